// The unit attention conditions of one I_T_L nexus (SAM-5 5.14): each at most once, the resets
// first, the others in the order they came.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/limits.h"
#include "scsi/unit_attention.h"

namespace olio::target {

class UnitAttentionQueue {
  public:
    // Establishes a condition. One that tells of a reset clears those that it covers; if there is
    // no room, all of them become POWER ON, RESET, OR BUS DEVICE RESET OCCURRED, after which a host
    // looks at everything anew: nothing is lost.
    void establish(scsi::UnitAttention attention) noexcept;
    // The condition to report next, which is thereby cleared.
    [[nodiscard]] std::optional<scsi::UnitAttention> take() noexcept;
    // The same, which stays (UA_INTLCK_CTRL, SPC-5 7.5.10).
    [[nodiscard]] std::optional<scsi::UnitAttention> first() const noexcept {
        return count_ == 0 ? std::nullopt : std::optional(queue_[0]);
    }
    // Clears one condition, if it is pending.
    void clear(scsi::UnitAttention attention) noexcept;

    [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
    [[nodiscard]] std::size_t size() const noexcept { return count_; }
    [[nodiscard]] bool pending(scsi::UnitAttention attention) const noexcept;

  private:
    void erase(std::size_t at) noexcept;

    std::array<scsi::UnitAttention, limits::unit_attentions_per_nexus_and_unit> queue_{};
    std::uint8_t count_ = 0;
};

}  // namespace olio::target
