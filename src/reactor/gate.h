// A gate counts who is inside. Closing it refuses newcomers and says when the last has left, so
// that an object is destroyed only when nothing refers to it any more. One shard's use.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "base/assert.h"

namespace olio::reactor {

class Gate {
  public:
    Gate() = default;
    Gate(const Gate&) = delete;
    Gate& operator=(const Gate&) = delete;
    ~Gate() { OLIO_ASSERT(inside_ == 0, "a gate is destroyed with somebody inside"); }

    // False if the gate is closed.
    [[nodiscard]] bool enter() noexcept {
        if (closed_)
            return false;
        ++inside_;
        return true;
    }
    void leave() noexcept {
        OLIO_ASSERT(inside_ != 0, "left a gate that nobody entered");
        if (--inside_ == 0 && closed_ && on_empty_)
            std::exchange(on_empty_, nullptr)();
    }
    // Calls on_empty (possibly at once) when the last has left.
    void close(std::move_only_function<void()> on_empty) {
        closed_ = true;
        if (inside_ == 0)
            on_empty();
        else
            on_empty_ = std::move(on_empty);
    }
    [[nodiscard]] bool closed() const noexcept { return closed_; }
    [[nodiscard]] std::uint64_t inside() const noexcept { return inside_; }

  private:
    std::uint64_t inside_ = 0;
    bool closed_ = false;
    std::move_only_function<void()> on_empty_;
};

}  // namespace olio::reactor
