// A shard is one thread with an event loop: reap completions, run what is ready, drain the mailbox,
// fire timers, run the turn-end hooks, submit once. All of a shard's methods but post() may be
// called on that shard alone, so before Reactor::run() only post() may be used (listen() and the
// other calls on sockets too: they belong to no loop). Everything that waits, waits here.
//
// Back ends: io_uring, epoll with a small thread pool, and sim (virtual clock, seeded randomness,
// simulated sockets and disks; all shards in one thread). They behave alike: shard_test.cc runs the
// same suite on each.
#pragma once

#include <sys/socket.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/intrusive_list.h"
#include "base/result.h"
#include "reactor/mpsc_list.h"
#include "reactor/operation.h"

namespace olio::reactor {

class BufferPool;
class Shard;

// Nanoseconds of a monotonic clock that starts anywhere (sim: at 0).
using Nanoseconds = std::uint64_t;
inline constexpr Nanoseconds nanoseconds_per_ms = 1'000'000;
inline constexpr Nanoseconds nanoseconds_per_second = 1'000'000'000;

// Fires once, after start(); may be started again from fired(). Destroying or stopping it while
// armed is fine. Resolution is a millisecond; never early.
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
    friend class TimerHeap;
    Shard* shard_ = nullptr;
    std::size_t slot_ = 0;  // where the heap keeps it
};

// Something to run on the shard it is given to: soon (Shard::defer) or when this turn of the loop
// ends (Shard::at_turn_end, for gathering output into one system call). One use at a time; giving
// it again while pending does nothing.
class Task {
  public:
    Task() = default;
    Task(const Task&) = delete;
    Task& operator=(const Task&) = delete;
    virtual ~Task() { hook_.unlink(); }  // leaves its queue
    virtual void run() noexcept = 0;
    [[nodiscard]] bool pending() const noexcept { return hook_.linked(); }
    void withdraw() noexcept { hook_.unlink(); }

  private:
    friend class Shard;
    ListHook hook_;
};

// A letter from one shard (or any thread) to another. Intrusive: it belongs to the sender's object
// and must live until it has been delivered.
class Message {
  public:
    virtual ~Message() = default;
    virtual void delivered() noexcept = 0;  // on the shard it was posted to

  private:
    friend class Shard;
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
    [[nodiscard]] std::string text() const;  // as parse() takes it
    [[nodiscard]] std::string host() const;  // without the port; IPv6 without brackets
    [[nodiscard]] std::uint16_t port() const;
    [[nodiscard]] bool loopback() const;
    [[nodiscard]] bool wildcard() const;
};

// The armed timers of a shard, the next to fire first; those of one deadline in the order in which
// they were started.
class TimerHeap {
  public:
    TimerHeap();
    void insert(Timer& timer, Nanoseconds deadline);
    void remove(Timer& timer) noexcept;
    [[nodiscard]] bool empty() const noexcept { return entries_.empty(); }
    // The first deadline; not empty().
    [[nodiscard]] Nanoseconds deadline() const noexcept { return entries_.front().deadline; }
    [[nodiscard]] Timer& front() const noexcept { return *entries_.front().timer; }
    // The number of insertions so far: what is started later has a higher number.
    [[nodiscard]] std::uint64_t started() const noexcept { return started_; }
    [[nodiscard]] std::uint64_t front_number() const noexcept { return entries_.front().number; }

  private:
    struct Entry {
        Nanoseconds deadline;
        std::uint64_t number;
        Timer* timer;
        bool operator<(const Entry& other) const noexcept {
            return deadline != other.deadline ? deadline < other.deadline : number < other.number;
        }
    };
    void put(std::size_t slot, const Entry& entry) noexcept;
    void sift_up(std::size_t slot, Entry entry) noexcept;
    void sift_down(std::size_t slot, Entry entry) noexcept;

    std::vector<Entry> entries_;
    std::uint64_t started_ = 0;
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

    // What a back end does. All but wake() are called on the shard's thread.
    static constexpr Nanoseconds never = ~Nanoseconds{0};
    virtual Nanoseconds clock() const noexcept = 0;
    virtual void start_operation(Operation& operation) noexcept = 0;
    virtual void cancel_operation(Operation& operation) noexcept = 0;
    // Hands over what was submitted, collects what is done (by finish()), and first sleeps until
    // there is something, until wake() or until the clock shows `until`; 0 is not to sleep.
    virtual void poll(Nanoseconds until) noexcept = 0;
    // Any thread and signal handlers: ends the sleep of poll().
    virtual void wake() noexcept = 0;
    // First and last thing on the loop's thread.
    virtual Result<void> begin_loop() = 0;
    virtual void end_loop() noexcept = 0;

    // What a back end may use. finish() queues the call of on_complete; finish_remotely() does the
    // same from another thread.
    void finish(Operation& operation, std::int64_t result) noexcept;
    void finish_remotely(Operation& operation, std::int64_t result) noexcept;
    // One turn of the loop, apart from poll().
    void turn() noexcept;
    // Whether a turn would find something to do, other than timers.
    [[nodiscard]] bool ready() const noexcept;
    [[nodiscard]] Nanoseconds next_deadline() const noexcept {
        return timers_.empty() ? never : timers_.deadline();
    }
    [[nodiscard]] bool operations_in_flight() noexcept { return !in_flight_.empty(); }

    // From now on no operation starts and no timer fires; cancels what is in flight.
    void end() noexcept;

  private:
    friend class Reactor;
    friend class HelperPool;
    friend class SimReactor;
    friend class SimWorld;

    using Operations = IntrusiveList<Operation, &Operation::hook_>;
    using Tasks = IntrusiveList<Task, &Task::hook_>;

    void loop() noexcept;
    void sleep_or_poll() noexcept;
    void ask_to_stop() noexcept;
    void wake_if_sleeping() noexcept;
    void collect_remote() noexcept;
    void complete_finished() noexcept;
    void run_tasks(Tasks& queue) noexcept;
    void deliver_messages() noexcept;
    void fire_timers() noexcept;
    // Drops what would not come to an end by itself; for the end of a reactor.
    void abandon() noexcept;

    unsigned index_;
    bool ended_ = false;
    std::atomic<bool> stopping_{false};
    std::atomic<bool> sleeping_{false};
    Nanoseconds now_ = 0;
    Random random_;
    std::unique_ptr<BufferPool> buffers_;
    TimerHeap timers_;
    Operations in_flight_;  // with the back end
    Operations finished_;   // on_complete is due
    Tasks tasks_;
    Tasks turn_end_;
    MpscList<Message, &Message::next_> mailbox_;
    MpscList<Operation, &Operation::next_> remote_;  // finished by helper threads
};

}  // namespace olio::reactor
