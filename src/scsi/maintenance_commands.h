// The commands with which a disk is formatted, erased and looked after: SBC-4 clause 5 and SPC-5
// clause 6.
#pragma once

#include <array>

#include "scsi/command_shapes.h"
#include "scsi/maintenance.h"

namespace olio::scsi::rows {

constexpr CommandRow sanitize(std::int16_t service_action, Requirement requirement) {
    return {.service_action = service_action,
            .direction = DataDirection::out,
            .medium = MediumAccess::writes,
            .parameter_bytes = {7, 2},
            .requirement = requirement,
            .reservation = ReservationClass::writes,
            .while_busy = either(WhileBusy::format_corrupted, WhileBusy::sanitize_failed),
            .recommended_timeout_seconds = 0,
            .operation = Operation::sanitize};
}

inline constexpr std::array maintenance{
    make_row("FORMAT UNIT", "04 FF 00 00 03 00",
             {.direction = DataDirection::out,
              .medium = MediumAccess::writes,
              .reservation = ReservationClass::writes,
              .while_busy = WhileBusy::format_corrupted,
              .recommended_timeout_seconds = 0,
              .operation = Operation::format_unit}),
    make_row(
        "RECEIVE DIAGNOSTIC RESULTS", "1C 01 FF FF FF 00",
        with(answer(receive_diagnostic_results, {3, 2}), ReservationClass::reads, standby_too)),
    make_row("SEND DIAGNOSTIC", "1D F7 00 FF FF 00",
             {.direction = DataDirection::out,
              .parameter_bytes = {3, 2},
              .reservation = ReservationClass::writes,
              .access_states = standby_too,
              .recommended_timeout_seconds = 0,
              .operation = Operation::send_diagnostic}),
    make_row("READ DEFECT DATA(10)", "37 00 1F 00 00 00 00 FF FF 00",
             with(answer(read_defect_data_10, {7, 2}), ReservationClass::reads, active_only)),
    make_row("WRITE BUFFER", "3B 1F FF FF FF FF FF FF FF 00",
             {.direction = DataDirection::out,
              .parameter_bytes = {6, 3},
              .reservation = ReservationClass::writes,
              .operation = Operation::write_buffer}),
    make_row("READ BUFFER(10)", "3C 1F FF FF FF FF FF FF FF 00",
             with(answer(read_buffer, {6, 3}), ReservationClass::reads, active_only)),
    make_row("SANITIZE (OVERWRITE)", "48 A1 00 00 00 00 00 FF FF 00",
             sanitize(0x01, Requirement::none)),
    make_row("SANITIZE (BLOCK ERASE)", "48 A2 00 00 00 00 00 FF FF 00",
             sanitize(0x02, Requirement::block_erase)),
    make_row("SANITIZE (EXIT FAILURE MODE)", "48 BF 00 00 00 00 00 FF FF 00",
             sanitize(0x1F, Requirement::none)),
    make_row("READ DEFECT DATA(12)", "B7 1F FF FF FF FF FF FF FF FF 00 00",
             with(answer(read_defect_data_12, {6, 4}), ReservationClass::reads, active_only)),
};

}  // namespace olio::scsi::rows
