#include "scsi/pollable_sense.h"

#include <array>
#include <limits>

#include "scsi/logical_unit_state.h"
#include "scsi/sense_codes.h"

namespace olio::scsi {

namespace {

// The pairs of POWER CONDITION and POWER CONDITION MODIFIER (SBC-4 table 70) that ask for a power
// condition. FORCE_IDLE_0 and FORCE_STANDBY_0 set timers to zero, which are zero always.
struct PowerRow {
    std::uint8_t field;
    std::uint8_t modifier;
    PowerCondition condition;
};
constexpr std::array<PowerRow, 11> power_rows{{
    {0x1, 0, PowerCondition::active},
    {0x2, 0, PowerCondition::idle_a},
    {0x2, 1, PowerCondition::idle_b},
    {0x2, 2, PowerCondition::idle_c},
    {0x3, 0, PowerCondition::standby_z},
    {0x3, 1, PowerCondition::standby_y},
    {0xA, 0, PowerCondition::idle_a},
    {0xA, 1, PowerCondition::idle_b},
    {0xA, 2, PowerCondition::idle_c},
    {0xB, 0, PowerCondition::standby_z},
    {0xB, 1, PowerCondition::standby_y},
}};
constexpr std::uint8_t start_valid = 0x0;
constexpr std::uint8_t lu_control = 0x7;

}  // namespace

bool enter_power_condition(LogicalUnitState& state, PowerCondition next) noexcept {
    if (state.power == next)
        return false;
    const auto count = [](std::uint32_t& counter) {  // which stops at its largest value
        counter += counter != std::numeric_limits<std::uint32_t>::max() ? 1 : 0;
    };
    if (state.power == PowerCondition::stopped)
        count(state.start_stop_cycles);
    count(state.power_transitions[power_transition_code(next)]);
    state.power = next;
    return true;
}

std::expected<PowerRequest, SenseData> decode_power_request(Bytes cdb) noexcept {
    const std::uint8_t field = cdb[4] >> 4;
    const std::uint8_t modifier = cdb[3] & 0x0F;
    if (field == start_valid || field == lu_control) {
        if (modifier != 0)
            return std::unexpected(invalid_field_in_cdb(3, 3));
        const bool start = (cdb[4] & 0x01) != 0;
        return PowerRequest{.condition = start ? PowerCondition::active : PowerCondition::stopped,
                            .control = field == lu_control};
    }
    bool field_known = false;
    for (const PowerRow& row : power_rows) {
        if (row.field != field)
            continue;
        if (row.modifier == modifier)
            return PowerRequest{.condition = row.condition};
        field_known = true;
    }
    return std::unexpected(field_known ? invalid_field_in_cdb(3, 3) : invalid_field_in_cdb(4, 7));
}

bool flushes_cache(PowerCondition condition) noexcept {
    return condition == PowerCondition::standby_y || condition == PowerCondition::standby_z ||
           condition == PowerCondition::stopped;
}

SenseData informational_exception(const LogicalUnitState& state) noexcept {
    SenseData data = make_sense(sense::no_additional_sense_information);
    if (state.mode_pages.exception_test && !state.mode_pages.exceptions_disabled)
        data.additional = sense::failure_prediction_threshold_exceeded_false.additional;
    return data;
}

SenseData pollable_sense(const LogicalUnitState& state) noexcept {
    constexpr std::uint8_t on_request = 6;  // MRIE
    if (state.mode_pages.exception_reporting == on_request) {
        const SenseData exception = informational_exception(state);
        if (exception.additional.code != 0)
            return exception;
    }
    switch (state.power) {  // "... CONDITION ACTIVATED BY COMMAND"
        case PowerCondition::idle_a:
            return make_sense(sense::idle_condition_activated_by_command);
        case PowerCondition::idle_b:
            return make_sense(sense::idle_b_condition_activated_by_command);
        case PowerCondition::idle_c:
            return make_sense(sense::idle_c_condition_activated_by_command);
        case PowerCondition::standby_y:
            return make_sense(sense::standby_y_condition_activated_by_command);
        case PowerCondition::standby_z:
            return make_sense(sense::standby_condition_activated_by_command);
        case PowerCondition::stopped:
            return make_sense(sense::initializing_command_required);
        case PowerCondition::active:
            break;
    }
    return make_sense(sense::no_additional_sense_information);
}

void put_power_conditions(Builder& into) {
    into.u8(0x03);   // STANDBY_Y, STANDBY_Z
    into.u8(0x07);   // IDLE_C, IDLE_B, IDLE_A
    into.zeros(12);  // recovery from each takes no time
}

}  // namespace olio::scsi
