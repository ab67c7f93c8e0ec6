// How much room a store has left for its thinly provisioned unit. Asking may block, so it is done
// on a helper thread; on the home shard otherwise.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "reactor/shard.h"
#include "target/backstore.h"

namespace olio::target {

class SpaceWatch final : private reactor::Operation, private reactor::Timer {
  public:
    using Found = std::move_only_function<void(const std::optional<StoreSpace>&)>;
    // `found` each time the store has answered; without a value where it could not say.
    SpaceWatch(Backstore& store, reactor::Shard& shard, Found found)
        : store_(store), shard_(shard), found_(std::move(found)) {}

    // Asks now; `done` after `found`.
    void refresh(std::move_only_function<void()> done);
    // Asks every second from now on, or no more.
    void keep_looking(bool enabled);
    // `closed` when nothing is under way any more.
    void close(std::move_only_function<void()> closed);

  private:
    void on_complete(std::int64_t result) noexcept override;
    void fired() noexcept override;

    Backstore& store_;
    reactor::Shard& shard_;
    Found found_;
    std::vector<std::move_only_function<void()>> waiting_;
    StoreSpace space_;  // the helper thread's while it asks
    bool asking_ = false;
    bool looking_ = false;
    bool closing_ = false;
};

}  // namespace olio::target
