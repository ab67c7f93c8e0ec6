#include "olio/serve.h"

#include <fmt/core.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "base/runtime_paths.h"
#include "olio/child.h"
#include "olio/control_client.h"
#include "olio/serve_report.h"

namespace olio::cli {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr unsigned answer_timeout_seconds = 5;

ExitStatus complain(const Error& error) {
    fmt::print(stderr, "olio: {}\n", error.message);
    return ExitStatus::failure;
}

// The signals that end a serve, as something to wait for instead of being interrupted by.
class EndSignals {
  public:
    EndSignals() {
        sigemptyset(&set_);
        for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD})
            sigaddset(&set_, signal);
        ::sigprocmask(SIG_BLOCK, &set_, nullptr);
    }
    // The signal that came, or 0 when the time is over.
    [[nodiscard]] int wait(milliseconds limit) const {
        const timespec time{.tv_sec = static_cast<time_t>(limit.count() / 1000),
                            .tv_nsec = static_cast<long>(limit.count() % 1000 * 1'000'000)};
        const int signal = ::sigtimedwait(&set_, nullptr, &time);
        return signal > 0 ? signal : 0;
    }

  private:
    sigset_t set_;
};

class Serving {
  public:
    Serving(const ServeOptions& options, std::string control, Child child)
        : control_(std::move(control)),
          child_(std::move(child)),
          watched_(::isatty(STDOUT_FILENO) == 1),
          report_(options.json, watched_) {}

    ExitStatus run(const EndSignals& signals) {
        started_at_ = Clock::now();
        auto next_look = started_at_;
        while (true) {
            const auto now = Clock::now();
            const int signal = signals.wait(
                std::max(milliseconds(0), std::chrono::ceil<milliseconds>(next_look - now)));
            if (const auto status = child_.status())
                return ended(*status);
            if (signal == SIGINT || signal == SIGTERM || signal == SIGHUP)
                end();
            if (Clock::now() < next_look)
                continue;
            next_look = Clock::now() + (serving_ ? between_looks() : milliseconds(50));
            look();
        }
    }

  private:
    // Nobody looks at a log every second, and each look costs the daemon some time.
    [[nodiscard]] milliseconds between_looks() const { return seconds(watched_ ? 1 : 10); }

    void end() {
        if (!ending_)
            report_.ending();
        ending_ = true;
        // The second makes it end at once.
        child_.send(SIGTERM);
    }

    ExitStatus ended(int status) {
        report_.ended(status);
        if (status == 0)
            return ExitStatus::success;
        if (status > 128)
            fmt::print(stderr, "olio: the daemon was ended by signal {}\n", status - 128);
        // Once it served, whoever said twice to end it at once got what was asked for.
        return status == static_cast<int>(ExitStatus::usage) ? ExitStatus::usage
                                                             : ExitStatus::failure;
    }

    // Looks at the daemon: is it ready, what does it do.
    void look() {
        if (ending_)
            return;
        if (!client_) {
            auto client = ControlClient::connect(control_, answer_timeout_seconds);
            if (!client)
                return be_patient();
            client_.emplace(std::move(*client));
        }
        const auto status = client_->call("status", Json::object());
        if (!status) {
            client_.reset();
            return;
        }
        if (serving_)
            return report_.status(*status);
        if (status->value("state", std::string()) != "serving")
            return be_patient();
        const auto luns = client_->call("luns", Json::object());
        if (!luns)
            return client_.reset();
        serving_ = true;
        report_.serving(*status, *luns);
    }

    void be_patient() {
        const auto waited = std::chrono::duration_cast<seconds>(Clock::now() - started_at_);
        if (waited >= seconds(2))
            report_.starting(static_cast<unsigned>(waited.count()));
    }

    std::string control_;
    Child child_;
    bool watched_;  // standard output is a terminal
    ServeReport report_;
    std::optional<ControlClient> client_;
    Clock::time_point started_at_;
    bool serving_ = false;
    bool ending_ = false;
};

std::string disk_defaults(const ServeOptions& options) {
    std::string defaults;
    const auto add = [&](const std::string& option) {
        defaults += (defaults.empty() ? "" : ",") + option;
    };
    if (!options.size.empty())
        add("size=" + options.size);
    if (!options.block_size.empty())
        add("block-size=" + options.block_size);
    if (options.direct)
        add("direct");
    if (options.write_through)
        add("write-through");
    if (options.read_only)
        add("read-only");
    return defaults;
}

Result<std::string> control_path(const ServeOptions& options) {
    if (!options.control.empty())
        return std::filesystem::absolute(options.control).string();
    OLIO_TRY(make_runtime_directory(runtime_directory()));
    return serve_control_path(::getpid());
}

}  // namespace

std::vector<std::string> daemon_arguments(const ServeOptions& options,
                                          const std::string& control_path) {
    std::vector<std::string> arguments;
    const auto add = [&](const char* option, const std::string& value) {
        if (!value.empty())
            arguments.insert(arguments.end(), {fmt::format("{}={}", option, value)});
    };
    for (const std::string& disk : options.disks)
        add("--disk", disk);
    add("--disk-defaults", disk_defaults(options));
    for (const std::string& attribute : options.attributes)
        add("--attribute", attribute);
    for (const std::string& address : options.listen)
        add("--listen", address);
    add("--chap-file", options.chap_file);
    add("--mutual-chap-file", options.mutual_chap_file);
    for (const std::string& name : options.allow)
        add("--allow", name);
    if (options.open)
        arguments.emplace_back("--open");
    add("--target-name", options.target_name);
    add("--reactor", options.reactor);
    add("--shards", options.shards);
    add("--log-level", options.log_level);
    add("--control", control_path);
    return arguments;
}

ExitStatus serve(const ServeOptions& options) {
    const auto daemon = find_daemon();
    if (!daemon)
        return complain(daemon.error());
    const auto control = control_path(options);
    if (!control)
        return complain(control.error());
    std::vector<std::string> command = daemon_arguments(options, *control);
    command.insert(command.begin(), *daemon);
    std::vector<std::pair<std::string, std::string>> secrets;
    if (!options.chap.empty())
        secrets.emplace_back("OLIO_CHAP", options.chap);
    if (!options.mutual_chap.empty())
        secrets.emplace_back("OLIO_MUTUAL_CHAP", options.mutual_chap);
    if (!secrets.empty())
        fmt::print(stderr,
                   "olio: other users of this machine can see secrets on a command line in "
                   "ps; --chap-file and --mutual-chap-file keep them private\n");
    const EndSignals signals;
    auto child = Child::start(command, secrets);
    if (!child)
        return complain(child.error());
    return Serving(options, *control, std::move(*child)).run(signals);
}

}  // namespace olio::cli
