#include "reactor/reactor.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/random.h>

#include <cerrno>
#include <system_error>
#include <thread>

#include "base/assert.h"
#include "base/log.h"
#include "reactor/buffer_pool.h"
#include "reactor/epoll_shard.h"
#include "reactor/sim.h"
#include "reactor/uring_shard.h"

namespace olio::reactor {
namespace {

constexpr unsigned helper_threads = 4;  // with io_uring: calls only
constexpr unsigned file_threads = 16;   // with epoll: as many file operations at a time
constexpr unsigned settle_rounds = 100'000;

using ShardFactory = Result<std::unique_ptr<Shard>> (*)(unsigned index, std::uint64_t seed,
                                                        std::size_t buffer_limit_bytes,
                                                        HelperPool& helpers);

class KernelReactor final : public Reactor {
  public:
    KernelReactor(Backend backend, bool pin)
        : Reactor(backend, pin),
          helpers_(backend == Backend::io_uring ? helper_threads : file_threads) {}
    ~KernelReactor() override { settle(); }

    Result<void> make_shards(const ReactorOptions& options, std::uint64_t seed) {
        const ShardFactory factory =
            backend() == Backend::io_uring ? UringShard::create : EpollShard::create;
        Random seeds(seed);
        for (unsigned index = 0; index < options.shards; ++index) {
            auto shard = factory(index, seeds.next(), options.buffer_limit_bytes, helpers_);
            if (!shard)
                return std::unexpected(std::move(shard.error()));
            shards_.push_back(std::move(*shard));
        }
        return {};
    }

  private:
    HelperPool helpers_;
};

Result<std::unique_ptr<Reactor>> make(Backend backend, const ReactorOptions& options,
                                      std::uint64_t seed) {
    auto reactor = std::make_unique<KernelReactor>(backend, options.pin);
    OLIO_TRY(reactor->make_shards(options, seed));
    return reactor;
}

Result<std::unique_ptr<Reactor>> make_uring(const ReactorOptions& options, std::uint64_t seed) {
    OLIO_TRY(UringShard::probe());
    return make(Backend::io_uring, options, seed);
}

// A peer that has gone, or a file that may not grow further (RLIMIT_FSIZE), must never end the
// process: the operation's result says so.
void ignore_signals_of_failed_writes() {
    for (const int signal : {SIGPIPE, SIGXFSZ}) {
        struct sigaction action{};
        if (::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_DFL) {
            action.sa_handler = SIG_IGN;
            ::sigaction(signal, &action, nullptr);
        }
    }
}

void pin_to_core(unsigned index) {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) == 0)
        return;
    unsigned skip = index % static_cast<unsigned>(CPU_COUNT(&allowed));
    for (std::size_t core = 0; core < CPU_SETSIZE; ++core) {
        if (!CPU_ISSET(core, &allowed) || skip-- != 0)
            continue;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(core, &one);
        if (const int error = ::pthread_setaffinity_np(::pthread_self(), sizeof one, &one))
            log::warning(
                "{}", fail_errno(error, fmt::format("cannot pin shard {} to core {}", index, core))
                          .error()
                          .message);
        return;
    }
}

}  // namespace

Result<std::unique_ptr<Reactor>> Reactor::create(const ReactorOptions& options) {
    if (options.shards == 0 || options.shards > limits::shards)
        return fail(EINVAL,
                    fmt::format("{} shards; 1 to {} are possible", options.shards, limits::shards));
    if (options.buffer_limit_bytes < BufferPool::largest_bytes)
        return fail(EINVAL, fmt::format("{} bytes of buffers a shard; at least {} are needed",
                                        options.buffer_limit_bytes, BufferPool::largest_bytes));
    ignore_signals_of_failed_writes();
    std::uint64_t seed = options.seed;
    if (seed == 0 && ::getrandom(&seed, sizeof seed, 0) != sizeof seed)
        seed = static_cast<std::uint64_t>(std::hash<std::thread::id>{}(std::this_thread::get_id()));
    switch (options.backend) {
        case Backend::sim: {
            ReactorOptions seeded = options;
            seeded.seed = seed;
            return SimReactor::create(seeded);
        }
        case Backend::epoll:
            return make(Backend::epoll, options, seed);
        case Backend::io_uring:
            return make_uring(options, seed);
        case Backend::automatic:
            break;
    }
    auto reactor = make_uring(options, seed);
    if (reactor) {
        log::info("the reactor uses io_uring");
        return reactor;
    }
    log::info("the reactor uses epoll, because io_uring cannot be used: {}",
              reactor.error().message);
    return make(Backend::epoll, options, seed);
}

Reactor::Reactor(Backend backend, bool pin) : backend_(backend), pin_(pin) {}

Reactor::~Reactor() = default;

Shard& Reactor::shard(unsigned index) noexcept {
    OLIO_ASSERT(index < shards_.size(), "there is no such shard");
    return *shards_[index];
}

void Reactor::run_shard(Shard& shard) noexcept {
    if (pin_)
        pin_to_core(shard.index());
    if (auto begun = shard.begin_loop(); !begun) {
        log::error("shard {} cannot start, the reactor stops: {}", shard.index(),
                   begun.error().message);
        stop();
        return;
    }
    shard.loop();
    shard.end_loop();
}

void Reactor::run() {
    std::vector<std::thread> threads;
    threads.reserve(size());
    for (unsigned index = 1; index < size(); ++index) {
        const auto body = [this, index] {
            ::pthread_setname_np(::pthread_self(), fmt::format("olio-shard-{}", index).c_str());
            run_shard(*shards_[index]);
        };
        try {
            threads.emplace_back(body);
        } catch (const std::system_error& error) {
            log::error("the thread of shard {} cannot be started, the reactor stops: {}", index,
                       error.what());
            stop();
            break;
        }
    }
    run_shard(*shards_[0]);
    for (std::thread& thread : threads)
        thread.join();
    settle();
}

void Reactor::stop() noexcept {
    for (const auto& shard : shards_)
        shard->ask_to_stop();
}

void Reactor::settle() noexcept {
    for (const auto& shard : shards_)
        shard->end();
    for (unsigned round = 0; round < settle_rounds; ++round) {
        bool any = false;
        for (const auto& shard : shards_) {
            if (!shard->ready())
                continue;
            shard->turn();
            any = true;
        }
        if (!any)
            return;
    }
    log::error("the reactor ends with work that makes new work of itself");
}

}  // namespace olio::reactor
