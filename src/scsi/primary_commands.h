// The commands that every kind of device may have: SPC-5 clause 6, and RESERVE and RELEASE of
// SPC-2.
#pragma once

#include <array>

#include "scsi/command_shapes.h"
#include "scsi/data_in.h"
#include "scsi/reservations.h"

namespace olio::scsi::rows {

constexpr CommandRow reserve_in(DataInFunction function, std::int16_t service_action) {
    CommandRow row = with(answer(function, {7, 2}), ReservationClass::persistent_reserve,
                          AccessStates::standby_too);
    row.requirement = Requirement::reservations;
    return with_service_action(row, service_action);
}

// SCOPE and TYPE are ignored by some service actions, so all of their bits may be set.
constexpr CommandRow reserve_out(std::int16_t service_action) {
    return {.service_action = service_action,
            .direction = DataDirection::out,
            .parameter_bytes = {5, 4},
            .requirement = Requirement::reservations,
            .reservation = ReservationClass::persistent_reserve,
            .access_states = AccessStates::standby_too,
            .operation = Operation::persistent_reserve_out};
}

inline constexpr std::array primary{
    make_row("TEST UNIT READY", "00 00 00 00 00 00",
             {.reservation = ReservationClass::allowed_if_persistent,
              .ordering = Ordering::implicit_head_of_queue,
              .operation = Operation::test_unit_ready}),
    make_row("REQUEST SENSE", "03 01 00 00 FF 00",
             {.direction = DataDirection::in,
              .allocation_bytes = {4, 1},
              .access_states = any,
              .unit_attention = UnitAttentionPolicy::own,
              .ordering = Ordering::implicit_head_of_queue,
              .operation = Operation::request_sense}),
    make_row("INQUIRY", "12 01 FF FF FF 00",
             with(answer(inquiry, {3, 2}), always_allowed, any, UnitAttentionPolicy::ignore,
                  Ordering::implicit_head_of_queue)),
    make_row("MODE SELECT(6)", "15 11 00 00 FF 00", mode_select_row({4, 1})),
    make_row("RESERVE(6)", "16 00 00 00 00 00",
             reservation_command(Operation::reserve, ReservationClass::special)),
    make_row("RELEASE(6)", "17 00 00 00 00 00",
             reservation_command(Operation::release, ReservationClass::special)),
    make_row("MODE SENSE(6)", "1A 08 FF FF FF 00",
             with(answer(mode_sense, {4, 1}), ReservationClass::reads, standby_too)),
    make_row("LOG SELECT", "4C 02 FF FF 00 00 00 FF FF 00",
             {.direction = DataDirection::out,
              .parameter_bytes = {7, 2},
              .reservation = ReservationClass::writes,
              .access_states = standby_too,
              .operation = Operation::log_select}),
    make_row("LOG SENSE", "4D 00 FF FF 00 FF FF FF FF 00",
             {.direction = DataDirection::in,
              .allocation_bytes = {7, 2},
              .access_states = standby_too,
              .operation = Operation::log_sense}),
    make_row("MODE SELECT(10)", "55 11 00 00 00 00 00 FF FF 00", mode_select_row({7, 2})),
    make_row("RESERVE(10)", "56 00 00 00 00 00 00 00 00 00",
             reservation_command(Operation::reserve, ReservationClass::special)),
    make_row("RELEASE(10)", "57 00 00 00 00 00 00 00 00 00",
             reservation_command(Operation::release, ReservationClass::special)),
    make_row("MODE SENSE(10)", "5A 18 FF FF 00 00 00 FF FF 00",
             with(answer(mode_sense, {7, 2}), ReservationClass::reads, standby_too)),
    make_row("PERSISTENT RESERVE IN (READ KEYS)", "5E 00 00 00 00 00 00 FF FF 00",
             reserve_in(read_keys, 0)),
    make_row("PERSISTENT RESERVE IN (READ RESERVATION)", "5E 01 00 00 00 00 00 FF FF 00",
             reserve_in(read_reservation, 1)),
    make_row("PERSISTENT RESERVE IN (REPORT CAPABILITIES)", "5E 02 00 00 00 00 00 FF FF 00",
             reserve_in(report_reservation_capabilities, 2)),
    make_row("PERSISTENT RESERVE IN (READ FULL STATUS)", "5E 03 00 00 00 00 00 FF FF 00",
             reserve_in(read_full_status, 3)),
    make_row("PERSISTENT RESERVE OUT (REGISTER)", "5F 00 FF 00 00 FF FF FF FF 00", reserve_out(0)),
    make_row("PERSISTENT RESERVE OUT (RESERVE)", "5F 01 FF 00 00 FF FF FF FF 00", reserve_out(1)),
    make_row("PERSISTENT RESERVE OUT (RELEASE)", "5F 02 FF 00 00 FF FF FF FF 00", reserve_out(2)),
    make_row("PERSISTENT RESERVE OUT (CLEAR)", "5F 03 FF 00 00 FF FF FF FF 00", reserve_out(3)),
    make_row("PERSISTENT RESERVE OUT (PREEMPT)", "5F 04 FF 00 00 FF FF FF FF 00", reserve_out(4)),
    make_row("PERSISTENT RESERVE OUT (PREEMPT AND ABORT)", "5F 05 FF 00 00 FF FF FF FF 00",
             reserve_out(5)),
    make_row("PERSISTENT RESERVE OUT (REGISTER AND IGNORE EXISTING KEY)",
             "5F 06 FF 00 00 FF FF FF FF 00", reserve_out(6)),
    make_row("PERSISTENT RESERVE OUT (REGISTER AND MOVE)", "5F 07 FF 00 00 FF FF FF FF 00",
             reserve_out(7)),
    make_row("PERSISTENT RESERVE OUT (REPLACE LOST RESERVATION)", "5F 08 FF 00 00 FF FF FF FF 00",
             reserve_out(8)),
    make_row("REPORT LUNS", "A0 00 FF 00 00 00 FF FF FF FF 00 00",
             {.direction = DataDirection::in,
              .allocation_bytes = {6, 4},
              .access_states = any,
              .unit_attention = UnitAttentionPolicy::ignore,
              .ordering = Ordering::implicit_head_of_queue,
              .operation = Operation::report_luns,
              .data_in = report_luns}),
    make_row("REPORT TARGET PORT GROUPS", "A3 EA 00 00 00 00 FF FF FF FF 00 00",
             {.service_action = 0x0A,
              .direction = DataDirection::in,
              .allocation_bytes = {6, 4},
              .requirement = Requirement::target_port_groups,
              .access_states = any,
              .operation = Operation::data_in,
              .data_in = report_target_port_groups}),
    make_row("REPORT SUPPORTED OPERATION CODES", "A3 0C 87 FF FF FF FF FF FF FF 00 00",
             requiring(with_service_action(with(answer(report_supported_operation_codes, {6, 4}),
                                                ReservationClass::reads, standby_too),
                                           0x0C),
                       Requirement::operation_code_report)),
    make_row("REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", "A3 0D 80 00 00 00 FF FF FF FF 00 00",
             with_service_action(with(answer(report_supported_task_management_functions, {6, 4}),
                                      ReservationClass::reads, standby_too),
                                 0x0D)),
    make_row("SET TARGET PORT GROUPS", "A4 0A 00 00 00 00 FF FF FF FF 00 00",
             {.service_action = 0x0A,
              .direction = DataDirection::out,
              .parameter_bytes = {6, 4},
              .requirement = Requirement::explicit_access,
              .reservation = ReservationClass::writes,
              .access_states = unavailable_too,
              .recommended_timeout_seconds = 60,
              .operation = Operation::set_target_port_groups}),
};

}  // namespace olio::scsi::rows
