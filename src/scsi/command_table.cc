#include "scsi/command_table.h"

#include <cstring>

#include "base/assert.h"
#include "scsi/data_in.h"
#include "scsi/logical_unit_state.h"
#include "scsi/sense_codes.h"

namespace olio::scsi {

namespace {

constexpr std::uint8_t variable_length_opcode = 0x7F;
constexpr std::uint8_t service_action_mask = 0x1F;  // of byte 1

constexpr std::uint8_t hex_digit(char digit) {
    if (digit >= '0' && digit <= '9')
        return static_cast<std::uint8_t>(digit - '0');
    if (digit >= 'A' && digit <= 'F')
        return static_cast<std::uint8_t>(digit - 'A' + 10);
    throw "a usage mask has digits 0 to 9 and A to F";  // only ever while compiling
}

constexpr bool within(const CdbField& field, const CommandRow& row) {
    if (field.bytes == 0)
        return true;
    if (unsigned{field.byte} + field.bytes > row.cdb_bytes || field.bytes > 8)
        return false;
    if (field.bytes > 4 && field.bytes < 8)
        return false;  // field_value() knows no such widths
    if (field.first_byte_mask != 0xFF && field.bytes != 1 && field.bytes != 3)
        return false;
    for (std::size_t i = 0; i < field.bytes; ++i) {
        const std::uint8_t bits = i == 0 ? field.first_byte_mask : 0xFF;
        if ((row.usage[field.byte + i] & bits) != bits)
            return false;
    }
    return true;
}

constexpr std::uint8_t length_of_group(std::uint8_t opcode) {  // SPC-5 4.2.5.1
    constexpr std::array<std::uint8_t, 8> lengths{6, 10, 10, 0, 16, 12, 0, 0};
    return lengths[opcode >> 5];
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
    row.must_be_zero[0] = 0;
    constexpr std::uint8_t group_number_mask = 0x3F;
    if (row.group_number_byte != 0)
        row.must_be_zero[row.group_number_byte] &= static_cast<std::uint8_t>(~group_number_mask);
    if (row.service_action >= 0)
        row.must_be_zero[1] &= static_cast<std::uint8_t>(~service_action_mask);
    return row;
}

// SBC-4 puts GROUP NUMBER right before the length of 10-byte CDBs, and right before CONTROL of the
// longer ones.
constexpr std::uint8_t group_number_of(CdbField blocks) {
    if (blocks.byte == 4)
        return 0;  // READ(6) and WRITE(6)
    return blocks.byte == 7 ? 6 : blocks.byte == 6 ? 10 : 14;
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
            .direction = DataDirection::out,
            .medium = MediumAccess::writes,
            .lba = lba,
            .transfer_blocks = blocks,
            .limit = limit,
            .reservation = ReservationClass::writes,
            .operation = operation};
}

constexpr CommandRow medium_verify(CdbField lba, CdbField blocks) {
    // With BYTCHK = 00b there are no data; the direction is that of the other forms.
    return {.group_number_byte = group_number_of(blocks),
            .direction = DataDirection::out,
            .medium = MediumAccess::reads,
            .lba = lba,
            .transfer_blocks = blocks,
            .limit = LengthLimit::transfer_if_compared,
            .reservation = ReservationClass::reads,
            .recommended_timeout_seconds = 120,
            .operation = Operation::verify};
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
    return {.reservation = reservation, .operation = operation};
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

constexpr CommandRow with_service_action(CommandRow row, std::int16_t service_action) {
    row.service_action = service_action;
    return row;
}

constexpr CommandRow mode_select_row(CdbField parameters) {
    return {.direction = DataDirection::out,
            .parameter_bytes = parameters,
            .reservation = ReservationClass::writes,
            .access_states = AccessStates::standby_too,
            .operation = Operation::mode_select};
}

constexpr auto any = AccessStates::any;
constexpr auto active_only = AccessStates::active_only;
constexpr auto standby_too = AccessStates::standby_too;
constexpr auto always_allowed = ReservationClass::always_allowed;

constexpr CdbField lba_of_6{1, 3, 0x1F};
constexpr CdbField blocks_of_6{4, 1, 0xFF, 256};
constexpr CdbField lba_of_10{2, 4};
constexpr CdbField blocks_of_10{7, 2};
constexpr CdbField blocks_of_12{6, 4};
constexpr CdbField lba_of_16{2, 8};
constexpr CdbField blocks_of_16{10, 4};

// By operation code, then service action. Usage masks: SPC-5 clause 6, SBC-4 clause 5, with these
// bits zero because the logical unit has not what they ask for: CONTROL (NACA: no ACA, SAM-5 5.2),
// RDPROTECT and the like (no protection information), GROUP NUMBER (ignored), DLD (no command
// duration limits), RARC (no rebuild assist), ANCHOR (ANC_SUP = 0), SP (nothing is saved), POWER
// CONDITION, LOEJ (not removable), and all that is obsolete save LOGICAL BLOCK ADDRESS and PMI of
// READ CAPACITY, which SBC-2 hosts set.
constexpr std::array rows{
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
    make_row("READ(6)", "08 1F FF FF FF 00", medium_read(Operation::read, lba_of_6, blocks_of_6)),
    make_row("WRITE(6)", "0A 1F FF FF FF 00",
             medium_write(Operation::write, lba_of_6, blocks_of_6)),
    make_row("INQUIRY", "12 01 FF FF FF 00",
             with(answer(inquiry, {3, 2}), always_allowed, any, UnitAttentionPolicy::ignore,
                  Ordering::implicit_head_of_queue)),
    make_row("MODE SELECT(6)", "15 10 00 00 FF 00", mode_select_row({4, 1})),
    make_row("RESERVE(6)", "16 00 00 00 00 00",
             reservation_command(Operation::reserve, ReservationClass::writes)),
    make_row("RELEASE(6)", "17 00 00 00 00 00",
             reservation_command(Operation::release, ReservationClass::special)),
    make_row("MODE SENSE(6)", "1A 08 FF FF FF 00",
             with(answer(mode_sense, {4, 1}), ReservationClass::reads, standby_too)),
    make_row("START STOP UNIT", "1B 01 00 00 05 00",
             {.reservation = ReservationClass::writes,
              .recommended_timeout_seconds = 60,
              .operation = Operation::start_stop_unit}),
    make_row("READ CAPACITY(10)", "25 00 FF FF FF FF 00 00 01 00",
             with(answer(read_capacity_10, {}), ReservationClass::reads, active_only)),
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
    make_row("WRITE SAME(10)", "41 08 FF FF FF FF 00 FF FF 00",
             medium_write(Operation::write_same, lba_of_10, blocks_of_10, LengthLimit::write_same)),
    make_row("UNMAP", "42 00 00 00 00 00 00 FF FF 00",
             {.group_number_byte = 6,
              .direction = DataDirection::out,
              .medium = MediumAccess::writes,
              .parameter_bytes = {7, 2},
              .requirement = Requirement::unmap,
              .reservation = ReservationClass::writes,
              .recommended_timeout_seconds = 120,
              .operation = Operation::unmap}),
    make_row("LOG SENSE", "4D 00 FF FF 00 FF FF FF FF 00",
             with(answer(log_sense, {7, 2}), always_allowed, standby_too)),
    make_row("MODE SELECT(10)", "55 10 00 00 00 00 00 FF FF 00", mode_select_row({7, 2})),
    make_row("RESERVE(10)", "56 00 00 00 00 00 00 00 00 00",
             reservation_command(Operation::reserve, ReservationClass::writes)),
    make_row("RELEASE(10)", "57 00 00 00 00 00 00 00 00 00",
             reservation_command(Operation::release, ReservationClass::special)),
    make_row("MODE SENSE(10)", "5A 18 FF FF 00 00 00 FF FF 00",
             with(answer(mode_sense, {7, 2}), ReservationClass::reads, standby_too)),
    make_row("READ(16)", "88 18 FF FF FF FF FF FF FF FF FF FF FF FF 00 00",
             medium_read(Operation::read, lba_of_16, blocks_of_16)),
    make_row("COMPARE AND WRITE", "89 18 FF FF FF FF FF FF FF FF 00 00 00 FF 00 00",
             {.group_number_byte = 14,
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
    make_row("WRITE SAME(16)", "93 09 FF FF FF FF FF FF FF FF FF FF FF FF 00 00",
             medium_write(Operation::write_same, lba_of_16, blocks_of_16, LengthLimit::write_same)),
    make_row(
        "READ CAPACITY(16)", "9E 10 FF FF FF FF FF FF FF FF FF FF FF FF 01 00",
        with_service_action(
            with(answer(read_capacity_16, {10, 4}), ReservationClass::reads, active_only), 0x10)),
    make_row("GET LBA STATUS", "9E 12 FF FF FF FF FF FF FF FF FF FF FF FF 00 00",
             {.service_action = 0x12,
              .direction = DataDirection::in,
              .medium = MediumAccess::reads,
              .lba = lba_of_16,
              .allocation_bytes = {10, 4},
              .reservation = ReservationClass::reads,
              .operation = Operation::get_lba_status}),
    make_row("REPORT LUNS", "A0 00 FF 00 00 00 FF FF FF FF 00 00",
             {.direction = DataDirection::in,
              .allocation_bytes = {6, 4},
              .access_states = any,
              .unit_attention = UnitAttentionPolicy::ignore,
              .ordering = Ordering::implicit_head_of_queue,
              .operation = Operation::report_luns,
              .data_in = report_luns}),
    make_row("REPORT SUPPORTED OPERATION CODES", "A3 0C 87 FF FF FF FF FF FF FF 00 00",
             with_service_action(with(answer(report_supported_operation_codes, {6, 4}),
                                      ReservationClass::reads, active_only),
                                 0x0C)),
    make_row("REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", "A3 0D 80 00 00 00 FF FF FF FF 00 00",
             with_service_action(with(answer(report_supported_task_management_functions, {6, 4}),
                                      ReservationClass::reads, active_only),
                                 0x0D)),
    make_row("READ(12)", "A8 18 FF FF FF FF FF FF FF FF 00 00",
             medium_read(Operation::read, lba_of_10, blocks_of_12)),
    make_row("WRITE(12)", "AA 18 FF FF FF FF FF FF FF FF 00 00",
             medium_write(Operation::write, lba_of_10, blocks_of_12)),
    make_row("WRITE AND VERIFY(12)", "AE 12 FF FF FF FF FF FF FF FF 00 00",
             medium_write(Operation::write_and_verify, lba_of_10, blocks_of_12)),
    make_row("VERIFY(12)", "AF 16 FF FF FF FF FF FF FF FF 00 00",
             medium_verify(lba_of_10, blocks_of_12)),
};

constexpr bool row_is_sound(const CommandRow& row) {
    if (row.usage[0] != row.opcode || row.name.empty() || row.cdb_bytes < 6 ||
        row.cdb_bytes > row.usage.size())
        return false;
    if (row.opcode != variable_length_opcode && row.cdb_bytes != length_of_group(row.opcode))
        return false;
    if (row.service_action >= 0 && (row.usage[1] & service_action_mask) != row.service_action)
        return false;
    if ((row.allocation_bytes.bytes != 0 && row.direction != DataDirection::in) ||
        (row.parameter_bytes.bytes != 0 && row.direction != DataDirection::out))
        return false;
    if (row.operation == Operation::data_in && row.data_in == nullptr)
        return false;
    if (row.group_number_byte != 0 && row.usage[row.group_number_byte] != 0)
        return false;
    return within(row.lba, row) && within(row.transfer_blocks, row) &&
           within(row.allocation_bytes, row) && within(row.parameter_bytes, row) &&
           row.allocation_bytes.bytes <= 4 && row.parameter_bytes.bytes <= 4;
}

constexpr bool table_is_sound() {
    for (std::size_t i = 0; i < rows.size(); ++i) {
        if (!row_is_sound(rows[i]))
            return false;
        if (i == 0)
            continue;
        const CommandRow& before = rows[i - 1];
        const bool ascending = before.opcode < rows[i].opcode ||
                               (before.opcode == rows[i].opcode && before.service_action >= 0 &&
                                before.service_action < rows[i].service_action);
        if (!ascending)
            return false;
    }
    return true;
}
static_assert(table_is_sound(), "rows are sorted and unique; their fields lie inside CDB and mask");

constexpr std::uint8_t no_row = 0xFF;
static_assert(rows.size() < no_row);

// For each operation code the index of its first row.
constexpr std::array<std::uint8_t, 256> first_rows = [] {
    std::array<std::uint8_t, 256> index{};
    index.fill(no_row);
    for (std::size_t i = rows.size(); i-- > 0;)
        index[rows[i].opcode] = static_cast<std::uint8_t>(i);
    return index;
}();

std::uint64_t field_value(const CdbField& field, Bytes cdb) noexcept {
    if (field.bytes == 0)
        return 0;
    OLIO_ASSERT(std::size_t{field.byte} + field.bytes <= cdb.size(), "find_row checks the length");
    const std::uint8_t* const at = cdb.data() + field.byte;
    std::uint64_t value = 0;
    switch (field.bytes) {  // the widths that CDBs have
        case 1:
            value = at[0] & field.first_byte_mask;
            break;
        case 2:
            value = load_be<std::uint16_t>(at);
            break;
        case 3:
            value = load_be24(at) & (std::uint32_t{field.first_byte_mask} << 16 | 0xFFFF);
            break;
        case 4:
            value = load_be<std::uint32_t>(at);
            break;
        default:
            value = load_be<std::uint64_t>(at);
            break;
    }
    return value == 0 ? field.zero_means : value;
}

}  // namespace

std::span<const CommandRow> command_table() noexcept {
    return rows;
}

std::size_t row_index(const CommandRow& row) noexcept {
    const auto index = static_cast<std::size_t>(&row - rows.data());
    OLIO_ASSERT(index < rows.size(), "the row is one of the table");
    return index;
}

std::int16_t service_action_of(Bytes cdb) noexcept {
    if (cdb.size() < 2)
        return 0;
    if (cdb[0] == variable_length_opcode)
        return cdb.size() < 10 ? std::int16_t{0} : load_be<std::int16_t>(cdb.data() + 8);
    return static_cast<std::int16_t>(cdb[1] & service_action_mask);
}

bool supported(const CommandRow& row, const LogicalUnitState& state) noexcept {
    switch (row.requirement) {
        case Requirement::none:
            return true;
        case Requirement::unmap:
            return state.provisioning.unmap;
        case Requirement::compare_and_write:
            return state.maximum_compare_and_write_blocks != 0;
    }
    return false;
}

std::expected<void, SenseData> check_supported(const CommandRow& row,
                                               const LogicalUnitState& state) noexcept {
    if (supported(row, state)) [[likely]]
        return {};
    if (row.service_action < 0)
        return std::unexpected(make_sense(sense::invalid_command_operation_code));
    return std::unexpected(invalid_field_in_cdb(1, 4));
}

std::expected<const CommandRow*, SenseData> find_row(Bytes cdb) noexcept {
    if (cdb.empty() || first_rows[cdb[0]] == no_row)
        return std::unexpected(make_sense(sense::invalid_command_operation_code));
    std::size_t index = first_rows[cdb[0]];
    if (rows[index].service_action >= 0) {
        const std::int16_t wanted = service_action_of(cdb);
        while (rows[index].service_action != wanted) {
            ++index;
            if (index == rows.size() || rows[index].opcode != cdb[0]) {
                if (cdb[0] == variable_length_opcode)
                    return std::unexpected(invalid_field_in_cdb(8));
                return std::unexpected(invalid_field_in_cdb(1, 4));
            }
        }
    }
    if (cdb.size() < rows[index].cdb_bytes)
        return std::unexpected(invalid_field_in_cdb(static_cast<std::uint16_t>(cdb.size())));
    return &rows[index];
}

std::expected<void, SenseData> check_usage(const CommandRow& row, Bytes cdb) noexcept {
    // Almost every CDB comes in 16 bytes or more: two words tell that all is well.
    if (cdb.size() >= 16 && row.cdb_bytes <= 16) [[likely]] {
        std::uint64_t given[2];
        std::uint64_t zero[2];
        std::memcpy(given, cdb.data(), sizeof given);
        std::memcpy(zero, row.must_be_zero.data(), sizeof zero);
        if (((given[0] & zero[0]) | (given[1] & zero[1])) == 0) [[likely]]
            return {};
    }
    const std::size_t length = cdb.size() < row.cdb_bytes ? cdb.size() : row.cdb_bytes;
    for (std::size_t byte = 0; byte < length; ++byte) {
        const auto wrong = static_cast<std::uint8_t>(cdb[byte] & row.must_be_zero[byte]);
        if (wrong != 0)
            return std::unexpected(
                invalid_field_in_cdb(static_cast<std::uint16_t>(byte),
                                     static_cast<std::uint8_t>(std::bit_width(wrong) - 1)));
    }
    return {};
}

DecodedCdb decode(const CommandRow& row, Bytes cdb) noexcept {
    return {.lba = field_value(row.lba, cdb),
            .blocks = field_value(row.transfer_blocks, cdb),
            .allocation_bytes = static_cast<std::uint32_t>(field_value(row.allocation_bytes, cdb)),
            .parameter_bytes = static_cast<std::uint32_t>(field_value(row.parameter_bytes, cdb))};
}

}  // namespace olio::scsi
