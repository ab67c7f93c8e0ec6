#include "scsi/unit_attention.h"

#include <array>

#include "base/assert.h"

namespace olio::scsi {

namespace {

constexpr auto resets = UnitAttentionRow::resets;

// In the order of the enumeration.
constexpr std::array<UnitAttentionRow, static_cast<std::size_t>(UnitAttention::count)> table{{
    {"POWER ON, RESET, OR BUS DEVICE RESET OCCURRED", {0x29, 0x00}, 0},
    {"POWER ON OCCURRED", {0x29, 0x01}, 0},
    {"SCSI BUS RESET OCCURRED", {0x29, 0x02}, 1},
    {"BUS DEVICE RESET FUNCTION OCCURRED", {0x29, 0x03}, 3},
    {"DEVICE INTERNAL RESET", {0x29, 0x04}, 2},
    {"I_T NEXUS LOSS OCCURRED", {0x29, 0x07}, 4},
    {"MICROCODE HAS BEEN CHANGED", {0x3F, 0x01}, resets},
    {"NOT READY TO READY CHANGE, MEDIUM MAY HAVE CHANGED", {0x28, 0x00}, resets + 1},
    {"MODE PARAMETERS CHANGED", {0x2A, 0x01}, resets + 2},
    {"LOG PARAMETERS CHANGED", {0x2A, 0x02}, resets + 2},
    {"RESERVATIONS PREEMPTED", {0x2A, 0x03}, resets + 2},
    {"RESERVATIONS RELEASED", {0x2A, 0x04}, resets + 2},
    {"REGISTRATIONS PREEMPTED", {0x2A, 0x05}, resets + 2},
    {"ASYMMETRIC ACCESS STATE CHANGED", {0x2A, 0x06}, resets + 2},
    {"IMPLICIT ASYMMETRIC ACCESS STATE TRANSITION FAILED", {0x2A, 0x07}, resets + 2},
    {"PRIORITY CHANGED", {0x2A, 0x08}, resets + 2},
    {"CAPACITY DATA HAS CHANGED", {0x2A, 0x09}, resets + 2},
    {"TIMESTAMP CHANGED", {0x2A, 0x10}, resets + 2},
    {"PREVIOUS BUSY STATUS", {0x2C, 0x07}, resets + 2},
    {"PREVIOUS TASK SET FULL STATUS", {0x2C, 0x08}, resets + 2},
    {"PREVIOUS RESERVATION CONFLICT STATUS", {0x2C, 0x09}, resets + 2},
    {"COMMANDS CLEARED BY ANOTHER INITIATOR", {0x2F, 0x00}, resets + 2},
    {"COMMANDS CLEARED BY DEVICE SERVER", {0x2F, 0x02}, resets + 2},
    {"THIN PROVISIONING SOFT THRESHOLD REACHED", {0x38, 0x07}, resets + 2},
    {"TARGET OPERATING CONDITIONS HAVE CHANGED", {0x3F, 0x00}, resets + 2},
    {"CHANGED OPERATING DEFINITION", {0x3F, 0x02}, resets + 2},
    {"INQUIRY DATA HAS CHANGED", {0x3F, 0x03}, resets + 2},
    {"DEVICE IDENTIFIER CHANGED", {0x3F, 0x05}, resets + 2},
    {"REPORTED LUNS DATA HAS CHANGED", {0x3F, 0x0E}, resets + 2},
}};

}  // namespace

const UnitAttentionRow& row_of(UnitAttention attention) noexcept {
    const auto index = static_cast<std::size_t>(attention);
    OLIO_ASSERT(index < table.size(), "count is no unit attention condition");
    return table[index];
}

SenseData sense_of(UnitAttention attention) noexcept {
    SenseData data;
    data.key = SenseKey::unit_attention;
    data.additional = row_of(attention).additional;
    return data;
}

}  // namespace olio::scsi
