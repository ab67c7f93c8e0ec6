// Referrals (SBC-4 4.28): which target port groups serve which blocks, where access depends on the
// LBA. LIO's lba_map.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace olio::scsi {

enum class AccessState : std::uint8_t;

struct ReferralGroup {
    std::uint16_t group = 0;
    AccessState state{};
    bool operator==(const ReferralGroup&) const = default;
};

// User data segments and the groups' states there.
struct Referral {
    std::uint64_t first_lba = 0;
    std::uint64_t last_lba = 0;
    std::vector<ReferralGroup> groups;
    bool operator==(const Referral&) const = default;
};

struct Referrals {
    std::uint32_t segment_blocks = 0;  // USER DATA SEGMENT SIZE
    // USER DATA SEGMENT MULTIPLIER: after so many segments the pattern of the list repeats; 0: the
    // list names every block.
    std::uint32_t segment_multiplier = 0;
    std::vector<Referral> list;
    [[nodiscard]] bool empty() const noexcept { return list.empty(); }
    bool operator==(const Referrals&) const = default;
};

// LIO's text: a line "segment_size multiplier", then lines "first last group:state…", the states O
// (active/optimized), A (active/non-optimized), S (standby), U (unavailable). Empty text: none.
// EINVAL says which line is wrong.
[[nodiscard]] Result<Referrals> parse_referrals(std::string_view text);
[[nodiscard]] std::string format_referrals(const Referrals& referrals);

// The worst state that a group has in these blocks, and `unavailable` where the list names it not;
// no blocks at all count as the one at `lba`.
[[nodiscard]] AccessState state_of_blocks(const Referrals& referrals, std::uint16_t group,
                                          std::uint64_t lba, std::uint64_t blocks) noexcept;
// The worst state that it has anywhere.
[[nodiscard]] AccessState state_of_all_blocks(const Referrals& referrals,
                                              std::uint16_t group) noexcept;

}  // namespace olio::scsi
