// Calls back when the last of those who hold it has let go. One shard's use; never on the path of a
// READ or WRITE.
#pragma once

#include <functional>
#include <memory>
#include <utility>

namespace olio::target {

class Countdown {
  public:
    explicit Countdown(std::move_only_function<void()> done) : done_(std::move(done)) {}
    Countdown(const Countdown&) = delete;
    Countdown& operator=(const Countdown&) = delete;
    ~Countdown() { done_(); }

  private:
    std::move_only_function<void()> done_;
};

// What somebody holds who must be waited for.
using Ticket = std::shared_ptr<Countdown>;

[[nodiscard]] inline Ticket when_released(std::move_only_function<void()> done) {
    return std::make_shared<Countdown>(std::move(done));
}

}  // namespace olio::target
