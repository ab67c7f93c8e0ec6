// All shards of the process.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "base/result.h"
#include "reactor/shard.h"

namespace olio::reactor {

enum class Backend : std::uint8_t { automatic, io_uring, epoll, sim };

struct ReactorOptions {
    Backend backend = Backend::automatic;
    unsigned shards = 1;     // 1 … limits::shards
    bool pin = false;        // one core each
    std::uint64_t seed = 0;  // 0: from the system; sim: the seed that replays a run
    // Per shard; at least BufferPool::largest_bytes.
    std::size_t buffer_limit_bytes = limits::buffer_bytes_per_shard;
};

class Reactor {
  public:
    // Automatic tries io_uring (and the features needed of it) and falls back to epoll; the log
    // says which was taken and why.
    static Result<std::unique_ptr<Reactor>> create(const ReactorOptions& options);
    virtual ~Reactor();
    Reactor(const Reactor&) = delete;
    Reactor& operator=(const Reactor&) = delete;

    [[nodiscard]] Backend backend() const noexcept { return backend_; }  // taken; never automatic
    [[nodiscard]] unsigned size() const noexcept { return static_cast<unsigned>(shards_.size()); }
    [[nodiscard]] Shard& shard(unsigned index) noexcept;

    // Runs shard 0 on this thread and each other one on its own, until stop(). Once. Before it
    // returns, operations in flight are cancelled (a blocking call is waited for) and completed,
    // and messages delivered. sim: until stop() or until nothing is left to happen.
    virtual void run();
    // Any thread, and signal-safe. Loops end after their current turn.
    void stop() noexcept;

  protected:
    Reactor(Backend backend, bool pin);
    // Delivers and completes what is left when no loop runs any more.
    void settle() noexcept;

    std::vector<std::unique_ptr<Shard>> shards_;

  private:
    void run_shard(Shard& shard) noexcept;

    Backend backend_;
    bool pin_;
};

}  // namespace olio::reactor
