// A shard is one thread with an event loop: reap completions, run what is ready, drain the mailbox,
// fire timers, run the turn-end hooks, submit once. All of a shard's methods but post() may be called
// on that shard alone. Everything that waits, waits here.
//
// Back ends: io_uring, epoll with a small thread pool, and sim (virtual clock, seeded randomness,
// simulated sockets and disks; all shards in one thread). They behave alike: shard_test.cc runs the
// same suite on each.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/intrusive_list.h"
#include "base/result.h"
#include "reactor/operation.h"

namespace olio::reactor {

class BufferPool;
class Shard;

// Nanoseconds of a monotonic clock that starts anywhere (sim: at 0).
using Nanoseconds = std::uint64_t;
inline constexpr Nanoseconds nanoseconds_per_ms = 1'000'000;
inline constexpr Nanoseconds nanoseconds_per_second = 1'000'000'000;

// Fires once, after start(); may be started again from fired(). Destroying or stopping it while armed
// is fine. Resolution is a millisecond; never early.
class Timer {
  public:
    Timer() = default;
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;
    virtual ~Timer();
    virtual void fired() noexcept = 0;
    [[nodiscard]] bool armed() const noexcept { return shard_ != nullptr; }

  private:
    friend class Shard;
    Shard* shard_ = nullptr;
    Nanoseconds deadline_ = 0;
    std::size_t slot_ = 0;
};

// Something to run on the shard it is given to: soon (Shard::defer) or when this turn of the loop
// ends (Shard::at_turn_end, for gathering output into one system call). One use at a time; giving it
// again while pending does nothing.
class Task {
  public:
    Task() = default;
    Task(const Task&) = delete;
    Task& operator=(const Task&) = delete;
    virtual ~Task() = default;  // leaves its queue
    virtual void run() noexcept = 0;
    [[nodiscard]] bool pending() const noexcept { return hook_.linked(); }
    void withdraw() noexcept { hook_.unlink(); }

  private:
    friend class Shard;
    struct Hook : ListHook {
        ~Hook() { unlink(); }
    } hook_;
};

// A letter from one shard (or any thread) to another. Intrusive: it belongs to the sender's object and
// must live until it has been delivered.
class Message {
  public:
    virtual ~Message() = default;
    virtual void delivered() noexcept = 0;  // on the shard it was posted to

  private:
    friend class Shard;
    friend class Mailbox;
    Message* next_ = nullptr;
};

// Random numbers for jitter and simulation: xoshiro256**, seeded; not for secrets.
class Random {
  public:
    explicit Random(std::uint64_t seed) noexcept;
    std::uint64_t next() noexcept;
    // Even in [0, bound); bound > 0.
    std::uint64_t below(std::uint64_t bound) noexcept;

  private:
    std::uint64_t state_[4];
};

struct Endpoint {
    sockaddr_storage address{};
    socklen_t length = 0;

    // "127.0.0.1:3260", "[::1]:3260", "0.0.0.0:0"; names are not resolved.
    static Result<Endpoint> parse(std::string_view text);
    [[nodiscard]] std::string text() const;       // as parse() takes it
    [[nodiscard]] std::string host() const;       // without the port; IPv6 without brackets
    [[nodiscard]] std::uint16_t port() const;
    [[nodiscard]] bool loopback() const;
    [[nodiscard]] bool wildcard() const;
};

class Shard {
  public:
    virtual ~Shard();
    Shard(const Shard&) = delete;
    Shard& operator=(const Shard&) = delete;

    // The shard whose loop runs on this thread; nullptr elsewhere.
    [[nodiscard]] static Shard* current() noexcept;
    [[nodiscard]] unsigned index() const noexcept { return index_; }

    // The time at the start of this turn of the loop.
    [[nodiscard]] Nanoseconds now() const noexcept { return now_; }

    // Starts an operation. System calls are batched to the end of the turn.
    void submit(Operation& operation) noexcept;
    // Asks for an early end. The operation still completes once: with -ECANCELED or its result.
    void cancel(Operation& operation) noexcept;

    void start(Timer& timer, Nanoseconds after) noexcept;
    void stop(Timer& timer) noexcept;
    void defer(Task& task) noexcept;
    void at_turn_end(Task& task) noexcept;

    // Any thread. Messages from one sender arrive in the order they were posted; after the loop has
    // ended they are delivered by ~Reactor, so that nothing waits forever.
    void post(Message& message) noexcept;
    // For cold paths: allocates.
    void post(std::move_only_function<void()> function);

    // Sockets. Descriptors are non-blocking and closed on exec; in sim they are numbers of its own.
    // A TCP socket gets TCP_NODELAY; a listener SO_REUSEADDR (and IPV6_V6ONLY).
    virtual Result<int> listen(const Endpoint& at) = 0;
    virtual Result<int> open_socket(const Endpoint& peer) = 0;  // for Operation::connect
    virtual Result<Endpoint> local_endpoint(int socket) = 0;
    virtual Result<Endpoint> peer_endpoint(int socket) = 0;
    virtual void shutdown(int socket) noexcept = 0;  // both ways; receives then yield 0
    // No operation may be in flight on it.
    virtual void close(int descriptor) noexcept = 0;

    [[nodiscard]] BufferPool& buffers() noexcept { return *buffers_; }
    [[nodiscard]] Random& random() noexcept { return random_; }

  protected:
    Shard(unsigned index, std::uint64_t seed, std::size_t buffer_limit_bytes);
    // To be completed by reactor/: the parts that the back ends share (ready queue, timers, mailbox).

  private:
    friend class Reactor;
    unsigned index_;
    Nanoseconds now_ = 0;
    Random random_;
    std::unique_ptr<BufferPool> buffers_;
};

}  // namespace olio::reactor
