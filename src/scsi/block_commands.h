// The commands of disks: SBC-4 clause 5.
#pragma once

#include <array>

#include "scsi/command_shapes.h"
#include "scsi/data_in.h"
#include "scsi/streams.h"

namespace olio::scsi::rows {

constexpr CommandRow lba_status(std::int16_t service_action, CdbField lba, CdbField allocation) {
    return {.service_action = service_action,
            .direction = DataDirection::in,
            .medium = MediumAccess::reads,
            .lba = lba,
            .allocation_bytes = allocation,
            .reservation = ReservationClass::reads,
            .operation = Operation::get_lba_status};
}

constexpr CommandRow scattered(std::int16_t service_action, CdbField blocks, std::uint8_t group) {
    return {.service_action = service_action,
            .group_number_byte = group,
            .direction = DataDirection::out,
            .medium = MediumAccess::writes,
            .transfer_blocks = blocks,
            .reservation = ReservationClass::writes,
            .operation = Operation::write_scattered};
}

inline constexpr std::array block{
    make_row("READ(6)", "08 1F FF FF FF 00", medium_read(Operation::read, lba_of_6, blocks_of_6)),
    make_row("WRITE(6)", "0A 1F FF FF FF 00",
             medium_write(Operation::write, lba_of_6, blocks_of_6)),
    make_row("START STOP UNIT", "1B 01 00 0F F5 00",
             {.reservation = ReservationClass::start_stop,
              .recommended_timeout_seconds = 60,
              .operation = Operation::start_stop_unit}),
    make_row(
        "READ CAPACITY(10)", "25 00 FF FF FF FF 00 00 01 00",
        with(answer(read_capacity_10, {}), ReservationClass::allowed_if_persistent, standby_too)),
    make_row("READ(10)", "28 18 FF FF FF FF 00 FF FF 00",
             medium_read(Operation::read, lba_of_10, blocks_of_10)),
    make_row("WRITE(10)", "2A 18 FF FF FF FF 00 FF FF 00",
             medium_write(Operation::write, lba_of_10, blocks_of_10)),
    make_row("WRITE AND VERIFY(10)", "2E 12 FF FF FF FF 00 FF FF 00",
             medium_write(Operation::write_and_verify, lba_of_10, blocks_of_10)),
    make_row("VERIFY(10)", "2F 16 FF FF FF FF 00 FF FF 00", medium_verify(lba_of_10, blocks_of_10)),
    make_row("PRE-FETCH(10)", "34 02 FF FF FF FF 00 FF FF 00",
             medium_no_data(Operation::pre_fetch, MediumAccess::reads, ReservationClass::reads,
                            lba_of_10, blocks_of_10)),
    make_row("SYNCHRONIZE CACHE(10)", "35 02 FF FF FF FF 00 FF FF 00",
             medium_no_data(Operation::synchronize_cache, MediumAccess::reads,
                            ReservationClass::writes, lba_of_10, blocks_of_10)),
    make_row("WRITE SAME(10)", "41 18 FF FF FF FF 00 FF FF 00",
             medium_write(Operation::write_same, lba_of_10, blocks_of_10, LengthLimit::write_same)),
    make_row("UNMAP", "42 01 00 00 00 00 00 FF FF 00",
             {.group_number_byte = 6,
              .direction = DataDirection::out,
              .medium = MediumAccess::writes,
              .parameter_bytes = {7, 2},
              .requirement = Requirement::unmap,
              .reservation = ReservationClass::writes,
              .recommended_timeout_seconds = 120,
              .operation = Operation::unmap}),
    make_row("READ(32)",
             "7F 00 00 00 00 00 00 18 00 09 F8 00 FF FF FF FF FF FF FF FF "
             "FF FF FF FF FF FF FF FF FF FF FF FF",
             of_type_2(medium_read(Operation::protected_read, lba_of_32, blocks_of_32), 0x09)),
    make_row("VERIFY(32)",
             "7F 00 00 00 00 00 00 18 00 0A F6 00 FF FF FF FF FF FF FF FF "
             "FF FF FF FF FF FF FF FF FF FF FF FF",
             of_type_2(medium_verify(lba_of_32, blocks_of_32, Operation::protected_verify), 0x0A)),
    make_row("WRITE(32)",
             "7F 00 00 00 00 00 00 18 00 0B F8 00 FF FF FF FF FF FF FF FF "
             "FF FF FF FF FF FF FF FF FF FF FF FF",
             of_type_2(medium_write(Operation::protected_write, lba_of_32, blocks_of_32), 0x0B)),
    make_row("WRITE AND VERIFY(32)",
             "7F 00 00 00 00 00 00 18 00 0C F2 00 FF FF FF FF FF FF FF FF "
             "FF FF FF FF FF FF FF FF FF FF FF FF",
             of_type_2(medium_write(Operation::protected_write_and_verify, lba_of_32, blocks_of_32),
                       0x0C)),
    make_row("READ(16)", "88 18 FF FF FF FF FF FF FF FF FF FF FF FF 00 00",
             medium_read(Operation::read, lba_of_16, blocks_of_16)),
    make_row("COMPARE AND WRITE", "89 18 FF FF FF FF FF FF FF FF 00 00 00 FF 00 00",
             {.group_number_byte = 14,
              .protect_byte = 1,
              .direction = DataDirection::out,
              .medium = MediumAccess::writes,
              .lba = lba_of_16,
              .transfer_blocks = {13, 1},
              .limit = LengthLimit::compare_and_write,
              .requirement = Requirement::compare_and_write,
              .reservation = ReservationClass::writes,
              .operation = Operation::compare_and_write}),
    make_row("WRITE(16)", "8A 18 FF FF FF FF FF FF FF FF FF FF FF FF 00 00",
             medium_write(Operation::write, lba_of_16, blocks_of_16)),
    make_row("ORWRITE(16)", "8B 18 FF FF FF FF FF FF FF FF FF FF FF FF 00 00",
             medium_write(Operation::orwrite, lba_of_16, blocks_of_16)),
    make_row("WRITE AND VERIFY(16)", "8E 12 FF FF FF FF FF FF FF FF FF FF FF FF 00 00",
             medium_write(Operation::write_and_verify, lba_of_16, blocks_of_16)),
    make_row("VERIFY(16)", "8F 16 FF FF FF FF FF FF FF FF FF FF FF FF 00 00",
             medium_verify(lba_of_16, blocks_of_16)),
    make_row("PRE-FETCH(16)", "90 02 FF FF FF FF FF FF FF FF FF FF FF FF 00 00",
             medium_no_data(Operation::pre_fetch, MediumAccess::reads, ReservationClass::reads,
                            lba_of_16, blocks_of_16)),
    make_row("SYNCHRONIZE CACHE(16)", "91 02 FF FF FF FF FF FF FF FF FF FF FF FF 00 00",
             medium_no_data(Operation::synchronize_cache, MediumAccess::reads,
                            ReservationClass::writes, lba_of_16, blocks_of_16)),
    make_row("WRITE SAME(16)", "93 19 FF FF FF FF FF FF FF FF FF FF FF FF 00 00",
             medium_write(Operation::write_same, lba_of_16, blocks_of_16, LengthLimit::write_same)),
    make_row("WRITE STREAM(16)", "9A 18 FF FF FF FF FF FF FF FF FF FF FF FF 00 00",
             medium_write(Operation::write_stream, lba_of_16, {12, 2})),
    make_row("WRITE ATOMIC(16)", "9C 18 FF FF FF FF FF FF FF FF FF FF FF FF 00 00",
             requiring(medium_write(Operation::write_atomic, lba_of_16, {12, 2},
                                    LengthLimit::atomic_write),
                       Requirement::atomic_write)),
    make_row("READ CAPACITY(16)", "9E 10 FF FF FF FF FF FF FF FF FF FF FF FF 01 00",
             with_service_action(with(answer(read_capacity_16, {10, 4}),
                                      ReservationClass::allowed_if_persistent, standby_too),
                                 0x10)),
    make_row("GET LBA STATUS(16)", "9E 12 FF FF FF FF FF FF FF FF FF FF FF FF FF 00",
             lba_status(0x12, lba_of_16, {10, 4})),
    make_row("REPORT REFERRALS", "9E 13 FF FF FF FF FF FF FF FF FF FF FF FF 01 00",
             {.service_action = 0x13,
              .direction = DataDirection::in,
              .lba = lba_of_16,
              .allocation_bytes = {10, 4},
              .requirement = Requirement::referrals,
              .operation = Operation::data_in,
              .data_in = report_referrals}),
    make_row("STREAM CONTROL", "9E 74 00 00 FF FF 00 00 00 00 FF FF FF FF 00 00",
             {.service_action = 0x14,
              .direction = DataDirection::in,
              .allocation_bytes = {10, 4},
              .reservation = ReservationClass::writes,
              .operation = Operation::stream_control}),
    make_row(
        "GET STREAM STATUS", "9E 16 00 00 FF FF 00 00 00 00 FF FF FF FF 00 00",
        with_service_action(
            with(answer(get_stream_status, {10, 4}), ReservationClass::reads, active_only), 0x16)),
    make_row("WRITE SCATTERED(16)", "9F 12 18 00 FF FF 00 00 FF FF FF FF FF FF 00 00",
             scattered(0x12, {10, 4}, 14)),
    make_row("READ(12)", "A8 18 FF FF FF FF FF FF FF FF 00 00",
             medium_read(Operation::read, lba_of_10, blocks_of_12)),
    make_row("WRITE(12)", "AA 18 FF FF FF FF FF FF FF FF 00 00",
             medium_write(Operation::write, lba_of_10, blocks_of_12)),
    make_row("WRITE AND VERIFY(12)", "AE 12 FF FF FF FF FF FF FF FF 00 00",
             medium_write(Operation::write_and_verify, lba_of_10, blocks_of_12)),
    make_row("VERIFY(12)", "AF 16 FF FF FF FF FF FF FF FF 00 00",
             medium_verify(lba_of_10, blocks_of_12)),
    // The tags in bytes 20 to 27 say nothing where there is no protection information.
    make_row("WRITE SAME(32)",
             "7F 00 00 00 00 00 00 18 00 0D 19 00 FF FF FF FF FF FF FF FF FF FF FF FF FF FF FF FF "
             "FF FF FF FF",
             with_service_action(medium_write(Operation::write_same, lba_of_32, blocks_of_32,
                                              LengthLimit::write_same),
                                 0x000D)),
    make_row(
        "ORWRITE(32)",
        "7F 00 07 0F 00 00 00 18 00 0E 18 00 FF FF FF FF FF FF FF FF FF FF FF FF FF FF FF FF "
        "FF FF FF FF",
        with_service_action(medium_write(Operation::orwrite, lba_of_32, blocks_of_32), 0x000E)),
    make_row("WRITE ATOMIC(32)",
             "7F 00 00 00 FF FF 00 18 00 0F 18 00 FF FF FF FF FF FF FF FF FF FF FF FF FF FF FF FF "
             "FF FF FF FF",
             with_service_action(requiring(medium_write(Operation::write_atomic, lba_of_32,
                                                        blocks_of_32, LengthLimit::atomic_write),
                                           Requirement::atomic_write),
                                 0x000F)),
    make_row("WRITE STREAM(32)",
             "7F 00 00 00 FF FF 00 18 00 10 18 00 FF FF FF FF FF FF FF FF FF FF FF FF FF FF FF FF "
             "FF FF FF FF",
             with_service_action(medium_write(Operation::write_stream, lba_of_32, blocks_of_32),
                                 0x0010)),
    make_row("WRITE SCATTERED(32)",
             "7F 00 00 00 00 00 00 18 00 11 18 00 FF FF 00 00 FF FF 00 00 00 00 00 00 00 00 00 00 "
             "FF FF FF FF",
             scattered(0x0011, blocks_of_32, 6)),
    make_row("GET LBA STATUS(32)",
             "7F 00 00 00 00 00 00 18 00 12 FF 00 FF FF FF FF FF FF FF FF FF FF FF FF 00 00 00 00 "
             "FF FF FF FF",
             lba_status(0x0012, lba_of_32, {28, 4})),
};

}  // namespace olio::scsi::rows
