// The simulator: all shards in one thread, in an order drawn from a seed; a clock that jumps to
// what happens next; a network and disks that misbehave as told. The same seed and the same calls
// give the same run, to the event: a failure is replayed by its seed.
//
//   auto sim = SimReactor::make({.shards = 2, .seed = 7});
//   const int disk = sim->create_disk(1 << 20);
//   sim->shard(0).post([&] { … submit operations, start timers … });
//   sim->run_until(5 * nanoseconds_per_second);
//   sim->network().partition("10.0.0.1", "10.0.0.2");
//   sim->disk(disk)->inject({.error = EIO, .offset = 4096, .length = 512});
//
// Operation::call runs on the one thread. Operations on descriptors that are not the simulator's
// are done on the real file, at once.
#pragma once

#include <memory>

#include "reactor/reactor.h"
#include "reactor/sim_disk.h"
#include "reactor/sim_network.h"

namespace olio::reactor {

class SimReactor final : public Reactor {
  public:
    static Result<std::unique_ptr<Reactor>> create(const ReactorOptions& options);
    // For tests: options.backend does not matter, seed 0 is a seed like others.
    static std::unique_ptr<SimReactor> make(const ReactorOptions& options);
    // Cancels and completes what is in flight, as run() does at its end.
    ~SimReactor() override;

    // Until stop() or until nothing is left to happen, and then as Reactor::run(): ends everything.
    void run() override;

    // These may be called as often as one likes, and between them anything on any shard (by post()
    // or by enter()) and any fault. False: stop() was called or nothing is left to happen.
    bool step();                       // one turn of one shard or one event
    bool run_until(Nanoseconds time);  // the clock then shows `time`, unless false
    bool run_for(Nanoseconds time) { return run_until(now() + time); }
    // Ends when nothing is left to happen; a timer that starts itself for ever is given up after a
    // million steps (false).
    bool run_until_idle();
    // Until condition() holds; false if it did not by `latest`.
    bool run_until(const std::function<bool()>& condition, Nanoseconds latest);

    // Runs a function as if on a shard: for calls that belong to it, such as submit().
    void enter(unsigned shard, const std::function<void()>& function);

    [[nodiscard]] Nanoseconds now() const noexcept { return world_.now(); }
    [[nodiscard]] Random& random() noexcept { return world_.random(); }
    [[nodiscard]] std::uint64_t trace_hash() const noexcept { return world_.trace_hash(); }
    [[nodiscard]] SimNetwork& network() noexcept { return network_; }

    // A new disk of zeros; the descriptor is for read, write, sync and allocate, and Shard::close.
    [[nodiscard]] int create_disk(std::uint64_t size_bytes) {
        return attach_disk(std::make_shared<SimDisk>(size_bytes));
    }
    // A disk may outlive its reactor: crash it, and attach it to the next one.
    [[nodiscard]] int attach_disk(std::shared_ptr<SimDisk> disk) {
        return storage_.attach(std::move(disk));
    }
    [[nodiscard]] std::shared_ptr<SimDisk> disk(int descriptor) const {
        return storage_.disk(descriptor);
    }
    void resume_disk(int descriptor) { storage_.resume(descriptor); }  // after SimDisk::stall
    void crash_disk(int descriptor) { storage_.crash(descriptor); }

  private:
    friend class SimShard;
    explicit SimReactor(const ReactorOptions& options);
    [[nodiscard]] bool stopping() const noexcept;
    [[nodiscard]] Nanoseconds next_time() const noexcept;
    void end_all() noexcept;

    SimWorld world_;
    SimNetwork network_;
    SimStorage storage_;
    bool ending_ = false;
};

}  // namespace olio::reactor
