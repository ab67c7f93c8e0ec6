#include "reactor/sim.h"

#include <algorithm>
#include <cerrno>

#include "base/assert.h"

namespace olio::reactor {
namespace {

// What a turn of the loop takes, so that one which always has something to do meets its timers too.
constexpr Nanoseconds turn_least = 500;
constexpr Nanoseconds turn_most = 5'000;
constexpr Nanoseconds call_most = 2 * nanoseconds_per_ms;
constexpr unsigned steps_until_idle = 1'000'000;

}  // namespace

void SimWorld::at(Nanoseconds time, Event event) {
    events_.push({std::max(time, now_), planned_++, std::move(event)});
}

void SimWorld::run_next_event() {
    advance_to(events_.top().time);
    trace(events_.top().number);
    Event event = std::move(events_.top().event);
    events_.pop();
    event();
}

std::uint64_t SimWorld::track(Operation& operation) {
    const std::uint64_t number = ++tracked_;
    OperationAccess{operation}.cookie() = number;
    waiting_.emplace(number, &operation);
    return number;
}

Operation* SimWorld::find(std::uint64_t number) const noexcept {
    const auto at = waiting_.find(number);
    return at == waiting_.end() ? nullptr : at->second;
}

void SimWorld::finish(Operation& operation, std::int64_t result) noexcept {
    const OperationAccess access{operation};
    waiting_.erase(access.cookie());
    trace(now_);
    trace(static_cast<std::uint64_t>(access.kind()) << 32 | access.shard().index());
    trace(static_cast<std::uint64_t>(result));
    access.shard().finish(operation, result);
}

void SimWorld::trace(std::uint64_t value) noexcept {
    trace_ = (trace_ ^ value) * 0x9e3779b97f4a7c15U;
    trace_ ^= trace_ >> 29;
}

class SimShard final : public Shard {
  public:
    SimShard(SimReactor& reactor, unsigned index, std::uint64_t seed, std::size_t limit_bytes)
        : Shard(index, seed, limit_bytes), reactor_(reactor) {}

    Result<int> listen(const Endpoint& at) override { return reactor_.network_.listen(at); }
    Result<int> open_socket(const Endpoint& peer) override {
        return reactor_.network_.open_socket(peer);
    }
    Result<Endpoint> local_endpoint(int socket) override {
        return reactor_.network_.local_endpoint(socket);
    }
    Result<Endpoint> peer_endpoint(int socket) override {
        return reactor_.network_.peer_endpoint(socket);
    }
    void shutdown(int socket) noexcept override { reactor_.network_.shutdown(socket); }
    void close(int descriptor) noexcept override;

  private:
    Nanoseconds clock() const noexcept override { return reactor_.world_.now(); }
    void start_operation(Operation& operation) noexcept override;
    void cancel_operation(Operation& operation) noexcept override;
    void poll(Nanoseconds) noexcept override {}
    void wake() noexcept override {}
    Result<void> begin_loop() override { return {}; }
    void end_loop() noexcept override {}

    SimReactor& reactor_;
};

void SimShard::close(int descriptor) noexcept {
    if (reactor_.network_.owns(descriptor))
        reactor_.network_.close(descriptor);
    else if (reactor_.storage_.owns(descriptor))
        reactor_.storage_.close(descriptor);
}

void SimShard::start_operation(Operation& operation) noexcept {
    const OperationAccess access{operation};
    SimWorld& world = reactor_.world_;
    const std::uint64_t number = world.track(operation);
    if (access.on_socket()) {
        if (reactor_.network_.owns(access.fd()))
            reactor_.network_.start(operation);
        else
            world.finish(operation, -EBADF);
    } else if (access.kind() != OperationKind::call && reactor_.storage_.owns(access.fd())) {
        reactor_.storage_.start(operation);
    } else if (access.kind() != OperationKind::call && access.fd() >= SimWorld::first_descriptor) {
        world.finish(operation, -EBADF);
    } else {
        world.at(world.now() + world.between(0, call_most), [&world, number] {
            if (Operation* const due = world.find(number))
                world.finish(*due, perform_blocking(*due));
        });
    }
}

void SimShard::cancel_operation(Operation& operation) noexcept {
    // Only what waits for a peer can surely be called off; the rest may be too far gone.
    const OperationKind kind = OperationAccess{operation}.kind();
    const bool waits = kind == OperationKind::accept || kind == OperationKind::receive ||
                       kind == OperationKind::send || kind == OperationKind::connect;
    if (!waits && !reactor_.ending_ && reactor_.world_.chance(500))
        return;
    if (waits)
        reactor_.network_.forget(operation);
    reactor_.world_.finish(operation, -ECANCELED);
}

Result<std::unique_ptr<Reactor>> SimReactor::create(const ReactorOptions& options) {
    return make(options);
}

std::unique_ptr<SimReactor> SimReactor::make(const ReactorOptions& options) {
    return std::unique_ptr<SimReactor>(new SimReactor(options));
}

SimReactor::SimReactor(const ReactorOptions& options)
    : Reactor(Backend::sim, false), world_(options.seed), network_(world_), storage_(world_) {
    for (unsigned index = 0; index < options.shards; ++index)
        shards_.push_back(std::make_unique<SimShard>(*this, index, world_.random().next(),
                                                     options.buffer_limit_bytes));
}

SimReactor::~SimReactor() {
    end_all();
    shards_.clear();  // while the network and the disks are still there
}

void SimReactor::end_all() noexcept {
    ending_ = true;
    for (const auto& each : shards_) {
        each->end();
        // Those whose cancel had come too late, on a disk that will not go on.
        while (!each->in_flight_.empty())
            world_.finish(each->in_flight_.front(), -ECANCELED);
    }
    settle();
}

bool SimReactor::stopping() const noexcept {
    return shards_[0]->stopping_.load(std::memory_order_relaxed);
}

Nanoseconds SimReactor::next_time() const noexcept {
    Nanoseconds time = world_.next_event();
    for (const auto& each : shards_)
        time = std::min(time, each->next_deadline());
    return time;
}

bool SimReactor::step() {
    if (stopping())
        return false;
    // What could go on now: each shard with work, and the event that is due.
    unsigned choices = world_.next_event() <= world_.now() ? 1 : 0;
    const bool event_due = choices != 0;
    const auto may_run = [this](const Shard& each) {
        return each.ready() || each.next_deadline() <= world_.now();
    };
    for (const auto& each : shards_)
        choices += may_run(*each) ? 1U : 0U;
    if (choices == 0) {
        const Nanoseconds time = next_time();
        if (time == SimWorld::never)
            return false;
        world_.advance_to(time);
        if (world_.next_event() <= time)
            world_.run_next_event();
        return true;
    }
    std::uint64_t choice = world_.random().below(choices);
    if (event_due && choice-- == 0) {
        world_.run_next_event();
        return true;
    }
    for (const auto& each : shards_) {
        if (!may_run(*each) || choice-- != 0)
            continue;
        world_.trace(each->index());
        each->turn();
        world_.advance_to(world_.now() + world_.between(turn_least, turn_most));
        break;
    }
    return true;
}

bool SimReactor::run_until(Nanoseconds time) {
    while (world_.now() < time) {
        const bool anything_now = std::any_of(shards_.begin(), shards_.end(),
                                              [](const auto& each) { return each->ready(); });
        if (!anything_now && next_time() > time) {
            world_.advance_to(time);
            return !stopping();
        }
        if (!step())
            return false;
    }
    return true;
}

bool SimReactor::run_until(const std::function<bool()>& condition, Nanoseconds latest) {
    while (!condition())
        if (world_.now() >= latest || !step())
            return condition();
    return true;
}

bool SimReactor::run_until_idle() {
    for (unsigned i = 0; i < steps_until_idle; ++i)
        if (!step())
            return true;
    return false;
}

void SimReactor::enter(unsigned index, const std::function<void()>& function) {
    Shard& entered = shard(index);
    entered.post([&function] { function(); });
    entered.turn();
}

void SimReactor::run() {
    while (step()) {
    }
    end_all();
}

}  // namespace olio::reactor
