#include "target/access_delay.h"

#include "target/device_server.h"

namespace olio::target {

using reactor::Nanoseconds;
using reactor::nanoseconds_per_ms;

void AccessDelay::close() noexcept {
    if (armed())
        shard_.stop(*this);
    batches_.clear();
}

void AccessDelay::arm() {
    if (batches_.empty())
        return;
    const Nanoseconds now = shard_.now();
    const Nanoseconds deadline = batches_.begin()->first;
    shard_.start(*this, deadline > now ? deadline - now : 0);
}

void AccessDelay::wait(Command& command, std::uint32_t delay_ms) {
    // Whole milliseconds: what arrives within one waits in one batch.
    const Nanoseconds deadline =
        (shard_.now() / nanoseconds_per_ms + delay_ms + 1) * nanoseconds_per_ms;
    const bool sooner = batches_.empty() || deadline < batches_.begin()->first;
    batches_[deadline].push_back(command);
    if (!sooner)
        return;
    if (armed())  // the delay has become shorter
        shard_.stop(*this);
    arm();
}

void AccessDelay::fired() noexcept {
    Batch ready;
    while (!batches_.empty() && batches_.begin()->first <= shard_.now()) {
        ready.splice_back(batches_.begin()->second);
        batches_.erase(batches_.begin());
    }
    arm();
    while (Command* command = ready.pop_front())
        DeviceServer::proceed(*command);
}

}  // namespace olio::target
