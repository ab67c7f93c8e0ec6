// What tests of this and other rooms need of the reactor: operations, timers, tasks and messages
// made of lambdas, and files that are simulated disks where the reactor is simulated.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "reactor/reactor.h"

namespace olio::reactor::testing {

class LambdaOperation final : public Operation {
  public:
    LambdaOperation() = default;
    explicit LambdaOperation(std::function<void(std::int64_t)> then) : then_(std::move(then)) {}
    void set(std::function<void(std::int64_t)> then) { then_ = std::move(then); }
    void on_complete(std::int64_t result) noexcept override {
        const auto then = then_;  // which may set another one
        if (then)
            then(result);
    }

  private:
    std::function<void(std::int64_t)> then_;
};

class LambdaTimer final : public Timer {
  public:
    explicit LambdaTimer(std::function<void()> then) : then_(std::move(then)) {}
    void fired() noexcept override { then_(); }

  private:
    std::function<void()> then_;
};

class LambdaTask final : public Task {
  public:
    explicit LambdaTask(std::function<void()> then) : then_(std::move(then)) {}
    void run() noexcept override { then_(); }

  private:
    std::function<void()> then_;
};

// The name that a test's parameter gets: "io_uring", "epoll", "sim".
[[nodiscard]] std::string name_of(Backend backend);

// Empty if this machine lets us use the back end; otherwise why not.
[[nodiscard]] std::string why_unusable(Backend backend);

// A file of `size` zero bytes: an unlinked temporary one, or a simulated disk. Closed by
// Shard::close.
[[nodiscard]] int make_file(Reactor& reactor, std::uint64_t size_bytes);

// Moves all of `bytes` through one direction of a socket, however short the single transfers are.
class Transfer {
  public:
    enum class Direction { send, receive };
    Transfer(Shard& shard, Direction direction) : shard_(shard), direction_(direction) {}
    // then(total) — fewer than asked at the end of the stream, or a negative errno. The bytes are
    // cut into `pieces` iovecs.
    void start(int socket, std::span<std::uint8_t> bytes, std::function<void(std::int64_t)> then,
               std::size_t pieces = 1);
    void cancel() { shard_.cancel(operation_); }

  private:
    void next();
    void done(std::int64_t result);

    Shard& shard_;
    Direction direction_;
    int socket_ = -1;
    std::span<std::uint8_t> bytes_;
    std::size_t moved_ = 0;
    std::size_t pieces_ = 1;
    std::vector<iovec> iov_;
    std::function<void(std::int64_t)> then_;
    LambdaOperation operation_{[this](std::int64_t result) { done(result); }};
};

}  // namespace olio::reactor::testing
