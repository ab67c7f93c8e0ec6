// The shapes that rows of the command table have in common. Only the files of rows include it.
#pragma once

#include <cstdint>
#include <string_view>

#include "scsi/command_table.h"

namespace olio::scsi::rows {

inline constexpr std::uint8_t variable_length_opcode = 0x7F;
inline constexpr std::uint8_t service_action_mask = 0x1F;  // of byte 1

constexpr std::uint8_t hex_digit(char digit) {
    if (digit >= '0' && digit <= '9')
        return static_cast<std::uint8_t>(digit - '0');
    if (digit >= 'A' && digit <= 'F')
        return static_cast<std::uint8_t>(digit - 'A' + 10);
    throw "a usage mask has digits 0 to 9 and A to F";  // only ever while compiling
}

inline constexpr std::uint8_t naca_bit = 0x04;
constexpr std::size_t control_byte_of(std::uint8_t opcode, std::size_t cdb_bytes) {
    return opcode == variable_length_opcode ? 1 : cdb_bytes - 1;
}

// A row of its usage mask: hexadecimal bytes with spaces between.
constexpr CommandRow make_row(std::string_view name, std::string_view usage, CommandRow row) {
    row.name = name;
    row.cdb_bytes = static_cast<std::uint8_t>((usage.size() + 1) / 3);
    for (std::size_t i = 0; i < row.cdb_bytes; ++i) {
        row.usage[i] =
            static_cast<std::uint8_t>(hex_digit(usage[3 * i]) << 4 | hex_digit(usage[3 * i + 1]));
        row.must_be_zero[i] = static_cast<std::uint8_t>(~row.usage[i]);
    }
    row.opcode = row.usage[0];
    // NACA of the CONTROL byte, which every command has (SAM-5 5.2).
    const std::size_t control = control_byte_of(row.opcode, row.cdb_bytes);
    row.usage[control] |= naca_bit;
    row.must_be_zero[control] &= static_cast<std::uint8_t>(~naca_bit);
    row.must_be_zero[0] = 0;
    constexpr std::uint8_t group_number_mask = 0x3F;
    if (row.group_number_byte != 0)
        row.must_be_zero[row.group_number_byte] &= static_cast<std::uint8_t>(~group_number_mask);
    if (row.opcode == variable_length_opcode)  // ADDITIONAL CDB LENGTH and SERVICE ACTION
        row.must_be_zero[7] = row.must_be_zero[8] = row.must_be_zero[9] = 0;
    else if (row.service_action >= 0)
        row.must_be_zero[1] &= static_cast<std::uint8_t>(~service_action_mask);
    return row;
}

// SBC-4 puts GROUP NUMBER right before the length of 10-byte CDBs, and right before CONTROL of the
// longer ones.
constexpr std::uint8_t group_number_of(CdbField blocks) {
    if (blocks.byte == 4)
        return 0;  // READ(6) and WRITE(6)
    if (blocks.byte == 28)
        return 6;  // variable length CDBs
    return blocks.byte == 7 ? 6 : blocks.byte == 6 ? 10 : 14;
}

// Where the PROTECT field of the operations stands that have a protected form.
constexpr std::uint8_t protect_byte_of(Operation operation, CdbField blocks) {
    switch (operation) {
        case Operation::read:
        case Operation::write:
        case Operation::write_and_verify:
        case Operation::verify:
        case Operation::write_same:
        case Operation::orwrite:
        case Operation::write_atomic:
        case Operation::write_stream:
            return blocks.byte == 4 ? 0 : blocks.byte == 28 ? 10 : 1;
        case Operation::protected_read:
        case Operation::protected_write:
        case Operation::protected_write_and_verify:
        case Operation::protected_verify:
        case Operation::protected_write_same:
            return 10;
        default:
            return 0;
    }
}

// Of the CDBs of 32 bytes all have expected tags but ORWRITE(32), whose operation has generations
// instead.
constexpr std::uint8_t expected_tags_byte_of(Operation operation, CdbField blocks) {
    const bool tags = protect_byte_of(operation, blocks) == 10 && operation != Operation::orwrite;
    return tags ? 20 : 0;
}

// The common shapes of rows.
constexpr CommandRow answer(DataInFunction function, CdbField allocation) {
    return {.direction = DataDirection::in,
            .allocation_bytes = allocation,
            .operation = Operation::data_in,
            .data_in = function};
}

constexpr CommandRow medium_read(Operation operation, CdbField lba, CdbField blocks) {
    return {.group_number_byte = group_number_of(blocks),
            .protect_byte = protect_byte_of(operation, blocks),
            .expected_tags_byte = expected_tags_byte_of(operation, blocks),
            .direction = DataDirection::in,
            .medium = MediumAccess::reads,
            .lba = lba,
            .transfer_blocks = blocks,
            .limit = LengthLimit::transfer,
            .reservation = ReservationClass::reads,
            .operation = operation};
}

constexpr CommandRow medium_write(Operation operation, CdbField lba, CdbField blocks,
                                  LengthLimit limit = LengthLimit::transfer) {
    return {.group_number_byte = group_number_of(blocks),
            .protect_byte = protect_byte_of(operation, blocks),
            .expected_tags_byte = expected_tags_byte_of(operation, blocks),
            .direction = DataDirection::out,
            .medium = MediumAccess::writes,
            .lba = lba,
            .transfer_blocks = blocks,
            .limit = limit,
            .reservation = ReservationClass::writes,
            .operation = operation};
}

constexpr CommandRow medium_verify(CdbField lba, CdbField blocks,
                                   Operation operation = Operation::verify) {
    // With BYTCHK = 00b there are no data; the direction is that of the other forms.
    return {.group_number_byte = group_number_of(blocks),
            .protect_byte = protect_byte_of(operation, blocks),
            .expected_tags_byte = expected_tags_byte_of(operation, blocks),
            .direction = DataDirection::out,
            .medium = MediumAccess::reads,
            .lba = lba,
            .transfer_blocks = blocks,
            .limit = LengthLimit::transfer_if_compared,
            .reservation = ReservationClass::reads,
            .recommended_timeout_seconds = 120,
            .operation = operation};
}

constexpr CommandRow medium_no_data(Operation operation, MediumAccess access,
                                    ReservationClass reservation, CdbField lba, CdbField blocks) {
    return {.group_number_byte = group_number_of(blocks),
            .medium = access,
            .lba = lba,
            .transfer_blocks = blocks,
            .reservation = reservation,
            .recommended_timeout_seconds = 60,
            .operation = operation};
}

constexpr CommandRow reservation_command(Operation operation, ReservationClass reservation) {
    return {.requirement = Requirement::reservations,
            .reservation = reservation,
            .operation = operation};
}

constexpr CommandRow with(CommandRow row, ReservationClass reservation, AccessStates states,
                          UnitAttentionPolicy attention = UnitAttentionPolicy::report,
                          Ordering ordering = Ordering::by_attribute) {
    row.reservation = reservation;
    row.access_states = states;
    row.unit_attention = attention;
    row.ordering = ordering;
    return row;
}

constexpr CommandRow requiring(CommandRow row, Requirement requirement) {
    row.requirement = requirement;
    return row;
}

// The 32-byte forms, which only type 2 protection has.
constexpr CommandRow of_type_2(CommandRow row, std::int16_t service_action) {
    row.service_action = service_action;
    row.requirement = Requirement::type_2_protection;
    return row;
}

constexpr CommandRow with_service_action(CommandRow row, std::int16_t service_action) {
    row.service_action = service_action;
    return row;
}

constexpr CommandRow while_busy(CommandRow row, WhileBusy passes) {
    row.while_busy = passes;
    return row;
}
// Asked of a disk that is being sanitized, or could not be.
inline constexpr WhileBusy sanitize_too = either(WhileBusy::sanitize, WhileBusy::sanitize_failed);

constexpr CommandRow mode_select_row(CdbField parameters) {
    return {.direction = DataDirection::out,
            .parameter_bytes = parameters,
            .reservation = ReservationClass::writes,
            .access_states = AccessStates::standby_too,
            .operation = Operation::mode_select};
}

constexpr CommandRow copy_row(Operation operation, std::int16_t service_action) {
    return {.service_action = service_action,
            .direction = DataDirection::out,
            .parameter_bytes = {10, 4},
            .requirement = Requirement::third_party_copy,
            .reservation = ReservationClass::writes,
            .recommended_timeout_seconds = 300,
            .operation = operation};
}

constexpr CommandRow token_row(Operation operation, std::int16_t service_action,
                               MediumAccess medium, ReservationClass reservation) {
    CommandRow row = copy_row(operation, service_action);
    row.group_number_byte = 14;
    row.medium = medium;
    row.reservation = reservation;
    return row;
}

// Without a function the answer comes from the copy manager.
constexpr CommandRow copy_results_row(std::int16_t service_action,
                                      DataInFunction function = nullptr) {
    return {.service_action = service_action,
            .direction = DataDirection::in,
            .allocation_bytes = {10, 4},
            .requirement = Requirement::third_party_copy,
            .reservation = ReservationClass::allowed_if_persistent,
            .operation = function == nullptr ? Operation::receive_copy_results : Operation::data_in,
            .data_in = function};
}

constexpr CommandRow with_operation(CommandRow row, Operation operation) {
    row.operation = operation;
    return row;
}

inline constexpr auto any = AccessStates::any;
inline constexpr auto active_only = AccessStates::active_only;
inline constexpr auto standby_too = AccessStates::standby_too;
inline constexpr auto unavailable_too = AccessStates::unavailable_too;
inline constexpr auto always_allowed = ReservationClass::always_allowed;

inline constexpr CdbField lba_of_6{1, 3, 0x1F};
inline constexpr CdbField blocks_of_6{4, 1, 0xFF, 256};
inline constexpr CdbField lba_of_10{2, 4};
inline constexpr CdbField blocks_of_10{7, 2};
inline constexpr CdbField blocks_of_12{6, 4};
inline constexpr CdbField lba_of_16{2, 8};
inline constexpr CdbField blocks_of_16{10, 4};
inline constexpr CdbField lba_of_32{12, 8};
inline constexpr CdbField blocks_of_32{28, 4};

}  // namespace olio::scsi::rows
