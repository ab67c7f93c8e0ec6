#include "target/space_watch.h"

#include <cerrno>
#include <utility>

namespace olio::target {

namespace {

constexpr reactor::Nanoseconds period = reactor::nanoseconds_per_second;

}  // namespace

void SpaceWatch::refresh(std::move_only_function<void()> done) {
    waiting_.push_back(std::move(done));
    if (std::exchange(asking_, true))
        return;
    shard_.submit(call(
        [](void* self) -> std::int64_t {
            auto& watch = *static_cast<SpaceWatch*>(self);
            const Result<StoreSpace> space = watch.store_.space();
            if (!space)
                return -EIO;
            watch.space_ = *space;
            return 0;
        },
        this));
}

void SpaceWatch::on_complete(std::int64_t result) noexcept {
    asking_ = false;
    if (!closing_)
        found_(result < 0 ? std::nullopt : std::optional(space_));
    auto waiting = std::exchange(waiting_, {});
    for (auto& done : waiting)
        done();  // the last of them may be the end of the watch
}

void SpaceWatch::keep_looking(bool enabled) {
    if (closing_ || std::exchange(looking_, enabled) == enabled)
        return;
    if (enabled)
        fired();
    else
        shard_.stop(*this);
}

void SpaceWatch::fired() noexcept {
    shard_.start(*this, period);
    if (!asking_)
        refresh([] {});
}

void SpaceWatch::close(std::move_only_function<void()> closed) {
    closing_ = true;
    if (looking_)
        shard_.stop(*this);
    if (asking_)
        waiting_.push_back(std::move(closed));
    else
        closed();
}

}  // namespace olio::target
