#include "scsi/command_table.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "scsi/block_commands.h"
#include "scsi/logical_unit_state.h"
#include "scsi/maintenance_commands.h"
#include "scsi/primary_commands.h"
#include "scsi/protection_information.h"
#include "scsi/sense_codes.h"

namespace olio::scsi {

namespace {

using rows::service_action_mask;
using rows::variable_length_opcode;

constexpr std::uint8_t protect_mask = 0xE0;  // RDPROTECT, WRPROTECT, VRPROTECT

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

// By operation code, then service action. Usage masks: SPC-5 clause 6, SBC-4 clause 5; make_row()
// adds NACA. These bits are zero because the logical unit has not what they ask for: RDPROTECT and
// the like (see CommandRow::protect_byte), GROUP NUMBER (ignored), DLD (no command duration
// limits), RARC (no rebuild assist), POWER CONDITION, LOEJ (not removable), and all that is
// obsolete save LOGICAL BLOCK ADDRESS and PMI of READ CAPACITY, which SBC-2 hosts set.
constexpr auto table = [] {
    std::array<CommandRow, rows::primary.size() + rows::block.size() + rows::maintenance.size()>
        all{};
    const auto behind = std::ranges::copy(rows::primary, all.begin()).out;
    std::ranges::copy(rows::maintenance, std::ranges::copy(rows::block, behind).out);
    std::ranges::sort(
        all, {}, [](const CommandRow& row) { return std::pair(row.opcode, row.service_action); });
    return all;
}();

constexpr bool row_is_sound(const CommandRow& row) {
    if (row.usage[0] != row.opcode || row.name.empty() || row.cdb_bytes < 6 ||
        row.cdb_bytes > row.usage.size())
        return false;
    if (row.opcode != variable_length_opcode && row.cdb_bytes != length_of_group(row.opcode))
        return false;
    if (row.opcode == variable_length_opcode) {
        if (row.usage[7] + 8 != row.cdb_bytes ||
            (row.usage[8] << 8 | row.usage[9]) != row.service_action)
            return false;
    } else if (row.service_action >= 0 &&
               (row.usage[1] & service_action_mask) != row.service_action) {
        return false;
    }
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
    for (std::size_t i = 0; i < table.size(); ++i) {
        if (!row_is_sound(table[i]))
            return false;
        if (i == 0)
            continue;
        const CommandRow& before = table[i - 1];
        const bool ascending = before.opcode < table[i].opcode ||
                               (before.opcode == table[i].opcode && before.service_action >= 0 &&
                                before.service_action < table[i].service_action);
        if (!ascending)
            return false;
    }
    return true;
}
static_assert(table_is_sound(),
              "table are sorted and unique; their fields lie inside CDB and mask");

constexpr std::uint8_t no_row = 0xFF;
static_assert(table.size() < no_row);

// For each operation code the index of its first row.
constexpr std::array<std::uint8_t, 256> first_rows = [] {
    std::array<std::uint8_t, 256> index{};
    index.fill(no_row);
    for (std::size_t i = table.size(); i-- > 0;)
        index[table[i].opcode] = static_cast<std::uint8_t>(i);
    return index;
}();

std::uint64_t field_value(const CdbField& field, Bytes cdb) noexcept {
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

// Most rows lack two of the four fields.
inline std::uint64_t value_if_any(const CdbField& field, Bytes cdb) noexcept {
    return field.bytes == 0 ? 0 : field_value(field, cdb);
}

}  // namespace

std::span<const CommandRow> command_table() noexcept {
    return table;
}

std::size_t row_index(const CommandRow& row) noexcept {
    const auto index = static_cast<std::size_t>(&row - table.data());
    OLIO_ASSERT(index < table.size(), "the row is one of the table");
    return index;
}

std::int16_t service_action_of(Bytes cdb) noexcept {
    if (cdb.size() < 2)
        return 0;
    if (cdb[0] == variable_length_opcode)
        return cdb.size() < 10 ? std::int16_t{0} : load_be<std::int16_t>(cdb.data() + 8);
    return static_cast<std::int16_t>(cdb[1] & service_action_mask);
}

bool naca(Bytes cdb) noexcept {
    if (cdb.empty())
        return false;
    const std::size_t bytes =
        cdb[0] == rows::variable_length_opcode ? cdb.size() : length_of_group(cdb[0]);
    if (bytes < 6 || cdb.size() < bytes)
        return false;
    return (cdb[rows::control_byte_of(cdb[0], bytes)] & rows::naca_bit) != 0;
}

bool supported(const CommandRow& row, const LogicalUnitState& state) noexcept {
    switch (row.requirement) {
        case Requirement::none:
            return true;
        case Requirement::unmap:
            return state.provisioning.unmap;
        case Requirement::compare_and_write:
            return state.maximum_compare_and_write_blocks != 0;
        case Requirement::target_port_groups:
            return !state.access.groups.empty();
        case Requirement::explicit_access:
            return state.access.any_explicit();
        case Requirement::referrals:
            return !state.access.referrals.empty();
        case Requirement::reservations:
            return state.settings.reservations;
        case Requirement::third_party_copy:
            return state.settings.third_party_copy;
        case Requirement::operation_code_report:
            return state.settings.operation_code_report;
        case Requirement::atomic_write:
            return state.maximum_atomic_blocks != 0;
        case Requirement::type_2_protection:
            return state.protection.type == 2;
        case Requirement::block_erase:
            return state.block_erase;
    }
    return false;
}

std::expected<void, SenseData> check_supported(const CommandRow& row,
                                               const LogicalUnitState& state) noexcept {
    if (supported(row, state)) [[likely]]
        return {};
    if (row.service_action < 0 || row.requirement == Requirement::type_2_protection)
        return std::unexpected(make_sense(sense::invalid_command_operation_code));
    return std::unexpected(invalid_field_in_cdb(1, 4));
}

std::expected<const CommandRow*, SenseData> find_row(Bytes cdb) noexcept {
    if (cdb.empty() || first_rows[cdb[0]] == no_row)
        return std::unexpected(make_sense(sense::invalid_command_operation_code));
    std::size_t index = first_rows[cdb[0]];
    if (table[index].service_action >= 0) {
        const std::int16_t wanted = service_action_of(cdb);
        while (table[index].service_action != wanted) {
            ++index;
            if (index == table.size() || table[index].opcode != cdb[0]) {
                if (cdb[0] == variable_length_opcode)
                    return std::unexpected(invalid_field_in_cdb(8));
                return std::unexpected(invalid_field_in_cdb(1, 4));
            }
        }
    }
    if (cdb.size() < table[index].cdb_bytes)
        return std::unexpected(invalid_field_in_cdb(static_cast<std::uint16_t>(cdb.size())));
    if (cdb[0] == variable_length_opcode && cdb[7] + 8 != table[index].cdb_bytes)
        return std::unexpected(invalid_field_in_cdb(7));
    return &table[index];
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

std::expected<void, SenseData> check_usage_with_protection(const CommandRow& row, Bytes cdb,
                                                           const LogicalUnitState& state) noexcept {
    if (protect_field_of(row, cdb) == 0 || state.protection.type == 0)
        return check_usage(row, cdb);
    std::array<std::uint8_t, 32> rest{};
    std::ranges::copy(cdb.first(row.cdb_bytes), rest.begin());
    rest[row.protect_byte] &= static_cast<std::uint8_t>(~protect_mask);
    if (auto usage = check_usage(row, rest); !usage)
        return usage;
    return check_protect_field(row, cdb, state);
}

Operation protected_form(Operation operation) noexcept {
    switch (operation) {
        case Operation::read:
            return Operation::protected_read;
        case Operation::write:
            return Operation::protected_write;
        case Operation::write_and_verify:
            return Operation::protected_write_and_verify;
        case Operation::verify:
            return Operation::protected_verify;
        case Operation::write_same:
            return Operation::protected_write_same;
        case Operation::compare_and_write:
            return Operation::protected_compare_and_write;
        case Operation::orwrite:
            return Operation::protected_orwrite;
        case Operation::write_atomic:
            return Operation::protected_write_atomic;
        case Operation::write_stream:
            return Operation::protected_write_stream;
        default:
            return operation;
    }
}

std::array<std::uint8_t, 32> usage_of(const CommandRow& row,
                                      const LogicalUnitState& state) noexcept {
    std::array<std::uint8_t, 32> usage = row.usage;
    const bool brings_tags = row.expected_tags_byte != 0;
    if (row.protect_byte != 0 && state.protection.type != 0 &&
        brings_tags == (state.protection.type == 2))
        usage[row.protect_byte] |= protect_mask;
    return usage;
}

DecodedCdb decode(const CommandRow& row, Bytes cdb) noexcept {
    return {.lba = value_if_any(row.lba, cdb),
            .blocks = value_if_any(row.transfer_blocks, cdb),
            .allocation_bytes = static_cast<std::uint32_t>(value_if_any(row.allocation_bytes, cdb)),
            .parameter_bytes = static_cast<std::uint32_t>(value_if_any(row.parameter_bytes, cdb))};
}

}  // namespace olio::scsi
