// What REQUEST SENSE tells of a logical unit's state when nothing else is pending (SPC-5 6.39): its
// power condition and its informational exceptions. And the power conditions themselves
// (SPC-5 5.14, SBC-4 4.20), between which START STOP UNIT moves.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>

#include "base/bytes.h"
#include "scsi/sense.h"

namespace olio::scsi {

struct LogicalUnitState;

enum class PowerCondition : std::uint8_t {
    active,
    idle_a,
    idle_b,
    idle_c,
    standby_y,
    standby_z,
    stopped,  // only START STOP UNIT ends it; from the others, a medium access does
};

// The parameter code of the Power Condition Transitions log page (1Ah) that counts how often the
// unit has entered the condition; 0 where none does.
inline constexpr std::size_t power_transition_codes = 10;
[[nodiscard]] constexpr std::uint16_t power_transition_code(PowerCondition condition) noexcept {
    constexpr std::array<std::uint8_t, 7> codes{0x01, 0x02, 0x03, 0x04, 0x09, 0x08, 0x00};
    return codes[static_cast<std::size_t>(condition)];
}

// Makes it the unit's, and counts that for the log pages. False: it has been already.
bool enter_power_condition(LogicalUnitState& state, PowerCondition next) noexcept;

// What START STOP UNIT (SBC-4 5.31) asks for, or INVALID FIELD IN CDB where POWER CONDITION or its
// modifier says nothing that there is. `control` (LU_CONTROL) leaves things to the timers, of which
// there are none: nothing changes.
struct PowerRequest {
    PowerCondition condition = PowerCondition::active;
    bool control = false;
};
[[nodiscard]] std::expected<PowerRequest, SenseData> decode_power_request(Bytes cdb) noexcept;

// Whether the cache is made durable first, unless NO_FLUSH.
[[nodiscard]] bool flushes_cache(PowerCondition condition) noexcept;

// 5D/FF while the TEST bit of the Informational Exceptions Control page asks for it; else NO SENSE.
[[nodiscard]] SenseData informational_exception(const LogicalUnitState& state) noexcept;

// LOW POWER CONDITION ON and its kin, an informational exception that is reported on request, or NO
// SENSE.
[[nodiscard]] SenseData pollable_sense(const LogicalUnitState& state) noexcept;

// The Power Condition VPD page (8Ah) behind its header.
void put_power_conditions(Builder& into);

}  // namespace olio::scsi
