// What the parts of the simulator share: the virtual clock, the one source of randomness, the
// events to come, the operations that wait for them, and the hash of all that happened.
#pragma once

#include <functional>
#include <map>
#include <queue>
#include <vector>

#include "reactor/operation_access.h"
#include "reactor/shard.h"

namespace olio::reactor {

class SimWorld {
  public:
    using Event = std::move_only_function<void()>;
    static constexpr Nanoseconds never = ~Nanoseconds{0};
    // Simulated descriptors begin here, so that a system call given one by mistake fails.
    static constexpr int first_descriptor = 1 << 24;

    explicit SimWorld(std::uint64_t seed) : random_(seed) {}

    [[nodiscard]] Nanoseconds now() const noexcept { return now_; }
    void advance_to(Nanoseconds time) noexcept { now_ = time > now_ ? time : now_; }
    [[nodiscard]] Random& random() noexcept { return random_; }
    [[nodiscard]] bool chance(unsigned per_mille) noexcept {
        return random_.below(1000) < per_mille;
    }
    // Even in [least, most].
    [[nodiscard]] std::uint64_t between(std::uint64_t least, std::uint64_t most) noexcept {
        return least + (most > least ? random_.below(most - least + 1) : 0);
    }

    void at(Nanoseconds time, Event event);
    [[nodiscard]] Nanoseconds next_event() const noexcept {
        return events_.empty() ? never : events_.top().time;
    }
    void run_next_event();

    [[nodiscard]] int new_descriptor() noexcept { return next_descriptor_++; }

    // An operation waits under a number, which an event can hold without harm when it has ended.
    std::uint64_t track(Operation& operation);
    [[nodiscard]] Operation* find(std::uint64_t number) const noexcept;
    void finish(Operation& operation, std::int64_t result) noexcept;

    void trace(std::uint64_t value) noexcept;
    [[nodiscard]] std::uint64_t trace_hash() const noexcept { return trace_; }

  private:
    struct Planned {
        Nanoseconds time;
        std::uint64_t number;
        mutable Event event;  // moved out when its time has come
        bool operator<(const Planned& other) const noexcept {
            return time != other.time ? time > other.time : number > other.number;
        }
    };

    Nanoseconds now_ = 0;
    Random random_;
    std::priority_queue<Planned> events_;
    std::uint64_t planned_ = 0;
    std::uint64_t tracked_ = 0;
    std::map<std::uint64_t, Operation*> waiting_;
    std::uint64_t trace_ = 0;
    int next_descriptor_ = first_descriptor;
};

}  // namespace olio::reactor
