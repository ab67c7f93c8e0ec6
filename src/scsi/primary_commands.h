// The commands that every kind of device may have: SPC-5 clause 6, and RESERVE and RELEASE of
// SPC-2.
#pragma once

#include <array>

#include "scsi/command_shapes.h"
#include "scsi/data_in.h"

namespace olio::scsi::rows {

inline constexpr std::array primary{
    make_row("TEST UNIT READY", "00 00 00 00 00 00",
             {.reservation = ReservationClass::reads,
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
             reservation_command(Operation::reserve, ReservationClass::writes)),
    make_row("RELEASE(6)", "17 00 00 00 00 00",
             reservation_command(Operation::release, ReservationClass::special)),
    make_row("MODE SENSE(6)", "1A 08 FF FF FF 00",
             with(answer(mode_sense, {4, 1}), ReservationClass::reads, standby_too)),
    make_row("LOG SENSE", "4D 00 FF FF 00 FF FF FF FF 00",
             with(answer(log_sense, {7, 2}), always_allowed, standby_too)),
    make_row("MODE SELECT(10)", "55 11 00 00 00 00 00 FF FF 00", mode_select_row({7, 2})),
    make_row("RESERVE(10)", "56 00 00 00 00 00 00 00 00 00",
             reservation_command(Operation::reserve, ReservationClass::writes)),
    make_row("RELEASE(10)", "57 00 00 00 00 00 00 00 00 00",
             reservation_command(Operation::release, ReservationClass::special)),
    make_row("MODE SENSE(10)", "5A 18 FF FF 00 00 00 FF FF 00",
             with(answer(mode_sense, {7, 2}), ReservationClass::reads, standby_too)),
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
