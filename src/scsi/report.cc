// REPORT LUNS, REPORT SUPPORTED OPERATION CODES, REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS,
// REQUEST SENSE.
#include <array>

#include "base/limits.h"
#include "scsi/data_in.h"
#include "scsi/logical_unit_state.h"
#include "scsi/sense_codes.h"

namespace olio::scsi {

namespace {

// ---- REPORT SUPPORTED OPERATION CODES (SPC-5 6.36) ----

constexpr std::uint8_t return_timeouts = 0x80;  // RCTD
constexpr std::uint8_t reporting_options_byte = 2;
constexpr std::uint8_t reporting_options_bit = 2;

// SPC-5 table 273, SUPPORT.
constexpr std::uint8_t not_supported = 0x01;
constexpr std::uint8_t supported_as_standard = 0x03;

void put_timeouts(const CommandRow& row, Builder& into) {
    into.be16(0x000A);
    into.u8(0);
    into.u8(0);  // COMMAND SPECIFIC
    into.be32(row.nominal_timeout_seconds);
    into.be32(row.recommended_timeout_seconds);
}

void put_all_commands(const Request& request, bool timeouts, Builder& into) {
    into.be32(0);  // COMMAND DATA LENGTH, below
    for (const CommandRow& row : command_table()) {
        if (!supported(row, *request.state))
            continue;
        const bool has_service_action = row.service_action >= 0;
        into.u8(row.opcode);
        into.u8(0);
        into.be16(has_service_action ? static_cast<std::uint16_t>(row.service_action) : 0);
        into.u8(0);
        into.u8(static_cast<std::uint8_t>((timeouts ? 0x02 : 0x00) |             // CTDP
                                          (has_service_action ? 0x01 : 0x00)));  // SERVACTV
        into.be16(row.cdb_bytes);
        if (timeouts)
            put_timeouts(row, into);
    }
    into.patch(0, static_cast<std::uint32_t>(into.size() - 4));
}

void put_one_command(const CommandRow* row, const LogicalUnitState& state, bool timeouts,
                     Builder& into) {
    into.u8(0);
    if (row == nullptr) {
        into.u8(not_supported);
        into.be16(0);
        return;
    }
    into.u8(static_cast<std::uint8_t>(supported_as_standard | (timeouts ? 0x80 : 0x00)));  // CTDP
    into.be16(row->cdb_bytes);
    into.bytes(Bytes(usage_of(*row, state)).first(row->cdb_bytes));
    if (timeouts)
        put_timeouts(*row, into);
}

struct OneCommand {
    bool opcode_known = false;
    bool has_service_actions = false;
    const CommandRow* row = nullptr;  // null: not supported
};

OneCommand look_up(std::uint8_t opcode, std::uint16_t service_action,
                   const LogicalUnitState& state) {
    OneCommand found;
    for (const CommandRow& row : command_table()) {
        if (row.opcode != opcode)
            continue;
        found.opcode_known = true;
        found.has_service_actions = row.service_action >= 0;
        if (!found.has_service_actions || row.service_action == service_action)
            found.row = supported(row, state) ? &row : nullptr;
        if (found.row != nullptr)
            break;
    }
    return found;
}

// ---- REPORT LUNS (SPC-5 6.35), SELECT REPORT ----

struct SelectReport {
    std::uint8_t code;
    bool ordinary_units;  // whether logical units that are neither well known nor administrative
                          // are listed
};
constexpr std::array<SelectReport, 6> select_reports{{
    {0x00, true},   // all but well known logical units
    {0x01, false},  // well known ones
    {0x02, true},   // all
    {0x10, false},  // administrative ones
    {0x11, true},   // administrative ones and those that belong to no conglomerate
    {0x12, false},  // the subsidiaries of this administrative one
}};

}  // namespace

std::expected<void, SenseData> report_supported_operation_codes(const Request& request,
                                                                Builder& into) {
    enum Options : std::uint8_t { all, one_opcode, one_service_action, one_either };
    const bool timeouts = (request.cdb[reporting_options_byte] & return_timeouts) != 0;
    const std::uint8_t options = request.cdb[reporting_options_byte] & 0x07;
    const std::uint16_t service_action = load_be<std::uint16_t>(request.cdb.data() + 4);
    if (options == all) {
        put_all_commands(request, timeouts, into);
        return {};
    }
    if (options > one_either)
        return std::unexpected(invalid_field_in_cdb(reporting_options_byte, reporting_options_bit));

    OneCommand found = look_up(request.cdb[3], service_action, *request.state);
    if (found.opcode_known && ((options == one_opcode && found.has_service_actions) ||
                               (options == one_service_action && !found.has_service_actions)))
        return std::unexpected(invalid_field_in_cdb(reporting_options_byte, reporting_options_bit));
    if (options == one_either && !found.has_service_actions && service_action != 0)
        found.row = nullptr;
    put_one_command(found.row, *request.state, timeouts, into);
    return {};
}

std::expected<void, SenseData> report_supported_task_management_functions(const Request& request,
                                                                          Builder& into) {
    constexpr std::uint8_t return_extended_data = 0x80;  // REPD
    const bool extended = (request.cdb[2] & return_extended_data) != 0;
    into.u8(task_management_functions_byte_0);
    into.u8(task_management_functions_byte_1);
    into.u8(0);
    into.u8(extended ? 12 : 0);
    if (extended)
        into.zeros(12);  // TMFTMOV = 0: no timeouts are reported
    return {};
}

std::expected<void, SenseData> report_luns(const Request& request, Builder& into) {
    constexpr std::uint32_t smallest_allocation = 16;
    const SelectReport* selected = nullptr;
    for (const SelectReport& report : select_reports)
        if (report.code == request.cdb[2])
            selected = &report;
    if (selected == nullptr)
        return std::unexpected(invalid_field_in_cdb(2));
    if (request.decoded.allocation_bytes < smallest_allocation)
        return std::unexpected(invalid_field_in_cdb(6));
    const std::span<const Lun> luns =
        selected->ordinary_units ? request.nexus.luns : std::span<const Lun>{};
    into.be32(static_cast<std::uint32_t>(luns.size() * sizeof(Lun::bytes)));
    into.be32(0);
    for (const Lun& lun : luns)
        into.bytes(lun.bytes);
    return {};
}

void request_sense(const Request& request, const SenseData& pending, Builder& into) {
    constexpr std::uint8_t descriptor_format = 0x01;  // DESC
    std::array<std::uint8_t, limits::sense_bytes> sense{};
    const bool descriptor = (request.cdb[1] & descriptor_format) != 0;
    const std::size_t length =
        pending.encode(descriptor ? SenseFormat::descriptor : SenseFormat::fixed, sense);
    into.bytes(Bytes(sense.data(), length));
}

}  // namespace olio::scsi
