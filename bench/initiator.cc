// The load of the benchmarks.
//
//   initiator wire|libiscsi URL read|write random|sequential BYTES DEPTH SECONDS
//       keeps DEPTH commands of BYTES each outstanding, and prints one line of JSON
//   initiator idle URL COUNT
//       logs COUNT sessions in, says "idle", answers pings until standard input ends
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <expected>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "driver.h"
#include "harness/session.h"
#include "latency_histogram.h"

namespace olio::bench {
namespace {

using Clock = std::chrono::steady_clock;
using harness::Session;

constexpr auto warm_up = std::chrono::milliseconds(200);  // not counted
constexpr int serve_timeout_ms = 5000;                    // an answer that late is a hang

struct Job {
    bool libiscsi = false;
    std::string url;
    bool write = false;
    bool random = false;
    std::uint32_t bytes = 0;
    unsigned depth = 0;
    double seconds = 0;
};

double cpu_seconds() {
    rusage used{};
    getrusage(RUSAGE_SELF, &used);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    return seconds(used.ru_utime) + seconds(used.ru_stime);
}

class Load {
  public:
    Load(const Job& job, harness::Capacity capacity)
        : job_(job),
          blocks_(job.bytes / capacity.block_bytes),
          positions_(capacity.blocks / blocks_),
          sent_(job.depth) {}

    // Runs the job and prints what it measured; false if a command failed or the session was lost.
    bool run(Driver& driver);
    void done(unsigned slot, bool good);

  private:
    void send(unsigned slot);
    void report(double seconds, double cpu) const;

    const Job& job_;
    std::uint32_t blocks_;
    std::uint64_t positions_;
    std::uint64_t next_position_ = 0;
    std::mt19937_64 random_{1};  // the same places for every target
    std::vector<Clock::time_point> sent_;
    Driver* driver_ = nullptr;
    LatencyHistogram latencies_;
    std::uint64_t answered_ = 0;  // while counting
    std::uint64_t all_ = 0;       // with those of the warm-up
    bool counting_ = false;
    bool failed_ = false;
};

void Load::send(unsigned slot) {
    const std::uint64_t position =
        job_.random ? random_() % positions_ : next_position_++ % positions_;
    sent_[slot] = Clock::now();
    failed_ = !driver_->submit(job_.write, position * blocks_, blocks_, slot) || failed_;
}

void Load::done(unsigned slot, bool good) {
    failed_ = failed_ || !good;
    all_++;
    if (counting_) {
        const auto latency = std::chrono::nanoseconds(Clock::now() - sent_[slot]).count();
        latencies_.add(static_cast<std::uint64_t>(latency));
        answered_++;
    }
    if (!failed_) {
        send(slot);
    }
}

bool Load::run(Driver& driver) {
    driver_ = &driver;
    Clock::time_point start = Clock::now() + warm_up;
    const auto end = start + std::chrono::duration<double>(job_.seconds);
    double cpu = 0;
    for (unsigned slot = 0; slot < job_.depth; slot++) {
        send(slot);
    }
    while (!failed_) {
        const auto now = Clock::now();
        if (now >= end) {
            break;
        }
        if (!counting_ && now >= start) {
            counting_ = true;
            start = now;
            cpu = cpu_seconds();
        }
        failed_ = !driver.serve(serve_timeout_ms) || failed_;
    }
    if (failed_ || answered_ == 0) {
        return false;
    }
    const std::chrono::duration<double> elapsed = Clock::now() - start;
    report(elapsed.count(), cpu_seconds() - cpu);
    return true;
}

void Load::report(double seconds, double cpu) const {
    const auto microseconds = [this](double fraction) {
        return static_cast<double>(latencies_.quantile_ns(fraction)) / 1e3;
    };
    const auto count = static_cast<double>(answered_);
    std::printf(
        R"({"ios": %.0f, "all_ios": %llu, "seconds": %.4f, "iops": %.1f, "mb_per_s": %.2f, "p50_us": %.1f, )"
        R"("p99_us": %.1f, "client_cpu_us_per_io": %.2f})"
        "\n",
        count, static_cast<unsigned long long>(all_), seconds, count / seconds,
        count * job_.bytes / seconds / 1e6, microseconds(0.50), microseconds(0.99),
        cpu * 1e6 / count);
}

int fail(const Job& job, const std::string& why) {
    std::fprintf(stderr, "initiator: %s: %s\n", job.url.c_str(), why.c_str());
    return 1;
}

std::expected<harness::Capacity, std::string> capacity_of(const std::string& url) {
    auto session = Session::log_in(url);
    if (!session) {
        return std::unexpected(session.error());
    }
    return (*session)->capacity();
}

int run_io(const Job& job) {
    const auto capacity = capacity_of(job.url);
    if (!capacity) {
        return fail(job, capacity.error());
    }
    if (job.bytes % capacity->block_bytes != 0) {
        return fail(job, "commands are no whole number of blocks");
    }
    Load load(job, *capacity);
    const DriverSetup setup{.url = job.url,
                            .slots = job.depth,
                            .bytes = job.bytes,
                            .capacity = *capacity,
                            .done = [&load](unsigned slot, bool good) { load.done(slot, good); }};
    auto driver = job.libiscsi ? libiscsi_driver(setup) : wire_driver(setup);
    if (!driver) {
        return fail(job, driver.error());
    }
    return load.run(**driver) ? 0 : fail(job, "a command failed, or was not answered");
}

int run_idle(const std::string& url, std::size_t count) {
    std::vector<std::unique_ptr<Session>> sessions;
    std::vector<pollfd> waits{{STDIN_FILENO, POLLIN, 0}};
    for (std::size_t i = 0; i < count; i++) {
        auto session = Session::log_in(url);
        if (!session) {
            std::fprintf(stderr, "initiator: session %zu: %s\n", i, session.error().c_str());
            return 1;
        }
        waits.push_back({(*session)->descriptor(), POLLIN, 0});
        sessions.push_back(std::move(*session));
    }
    std::puts("idle");
    std::fflush(stdout);
    while (waits[0].revents == 0) {
        poll(waits.data(), waits.size(), -1);
        for (std::size_t i = 0; i < sessions.size(); i++) {
            if (waits[i + 1].revents != 0 && !sessions[i]->serve(0)) {
                std::fprintf(stderr, "initiator: the target dropped session %zu\n", i);
                return 1;
            }
        }
    }
    return 0;
}

}  // namespace
}  // namespace olio::bench

int main(int argc, char** argv) {
    const std::vector<std::string> words(argv, argv + argc);
    if (words.size() == 8 && (words[1] == "wire" || words[1] == "libiscsi")) {
        const olio::bench::Job job{
            .libiscsi = words[1] == "libiscsi",
            .url = words[2],
            .write = words[3] == "write",
            .random = words[4] == "random",
            .bytes = static_cast<std::uint32_t>(std::strtoul(argv[5], nullptr, 10)),
            .depth = static_cast<unsigned>(std::strtoul(argv[6], nullptr, 10)),
            .seconds = std::strtod(argv[7], nullptr)};
        if (job.bytes > 0 && job.depth > 0 && job.seconds > 0) {
            return olio::bench::run_io(job);
        }
    }
    if (words.size() == 4 && words[1] == "idle") {
        return olio::bench::run_idle(words[2], std::strtoul(argv[3], nullptr, 10));
    }
    std::fputs(
        "usage: initiator wire|libiscsi URL read|write random|sequential BYTES DEPTH SECONDS\n"
        "       initiator idle URL COUNT\n",
        stderr);
    return 2;
}
