// The unit attention conditions (SAM-5 5.14, SPC-5 annex F.2), with the order in which SAM-5 wants
// several pending ones reported.
#pragma once

#include <cstdint>
#include <string_view>

#include "scsi/sense.h"

namespace olio::scsi {

enum class UnitAttention : std::uint8_t {
    power_on_reset_or_bus_device_reset,
    power_on,
    scsi_bus_reset,
    bus_device_reset_function,
    device_internal_reset,
    i_t_nexus_loss,
    microcode_changed,
    not_ready_to_ready_change,
    mode_parameters_changed,
    log_parameters_changed,
    reservations_preempted,
    reservations_released,
    registrations_preempted,
    asymmetric_access_state_changed,
    implicit_access_state_transition_failed,
    priority_changed,
    capacity_data_changed,
    timestamp_changed,
    previous_busy_status,
    previous_task_set_full_status,
    previous_reservation_conflict_status,
    commands_cleared_by_another_initiator,
    commands_cleared_by_device_server,
    thin_provisioning_soft_threshold_reached,
    target_operating_conditions_changed,
    changed_operating_definition,
    inquiry_data_changed,
    device_identifier_changed,
    reported_luns_data_changed,
    count,
};

struct UnitAttentionRow {
    std::string_view name;
    AdditionalSense additional;
    // Lower is reported first. Those below `resets` mean that the state the host knew is gone:
    // establishing one clears what is pending with an equal or a larger number, because a host that
    // sees it starts afresh; the others are reported in the order they came (SAM-5 5.14.3).
    std::uint8_t priority = 0;

    static constexpr std::uint8_t resets = 8;
    [[nodiscard]] constexpr bool clears_others() const noexcept { return priority < resets; }
};

[[nodiscard]] const UnitAttentionRow& row_of(UnitAttention attention) noexcept;

// UNIT ATTENTION sense data.
[[nodiscard]] SenseData sense_of(UnitAttention attention) noexcept;

}  // namespace olio::scsi
