// Prints docs/scsi-support.md from the engine's own tables.
#include <fmt/core.h>

#include <string>
#include <vector>

#include "scsi/command_table.h"
#include "scsi/log_pages.h"
#include "scsi/mode_page_table.h"
#include "scsi/vpd_pages.h"
#include "support/command_support.h"
#include "target/attributes.h"

using namespace olio;

namespace {

std::string_view words(scsi::Requirement requirement) {
    switch (requirement) {
        case scsi::Requirement::none:
            return "";
        case scsi::Requirement::unmap:
            return "a store that can give up blocks";
        case scsi::Requirement::compare_and_write:
            return "`emulate_caw`";
        case scsi::Requirement::target_port_groups:
            return "target port groups";
        case scsi::Requirement::explicit_access:
            return "a target port group that hosts may change";
        case scsi::Requirement::referrals:
            return "referrals";
        case scsi::Requirement::reservations:
            return "`emulate_pr`";
        case scsi::Requirement::third_party_copy:
            return "`emulate_3pc`";
        case scsi::Requirement::operation_code_report:
            return "`emulate_rsoc`";
        default:
            return "what it works on";
    }
}

std::string_view words(target::AttributeAccess access) {
    switch (access) {
        case target::AttributeAccess::any_time:
            return "any time";
        case target::AttributeAccess::while_not_exported:
            return "while not exported";
        case target::AttributeAccess::ignored:
            return "taken, no effect";
        case target::AttributeAccess::read_only:
            break;
    }
    return "never";
}

std::string page_name(unsigned code, unsigned subpage, bool always) {
    return subpage == 0 && !always ? fmt::format("{:02X}h", code)
                                   : fmt::format("{:02X}h/{:02X}h", code, subpage);
}

void print_commands() {
    fmt::print(
        "## Commands\n\nA command that needs something of the logical unit does not exist without "
        "it: it is refused, and REPORT SUPPORTED OPERATION CODES does not list it.\n\n"
        "| Code | Command | Standard | Needs | Tests |\n|---|---|---|---|---|\n");
    for (const scsi::CommandRow& row : scsi::command_table()) {
        const support::CommandSupport& known = support::support_of(row.name);
        std::string code = fmt::format("{:02X}h", row.opcode);
        if (row.service_action >= 0)
            code += fmt::format("/{:02X}h", row.service_action);
        fmt::print("| {} | {} | {} | {} | {} |\n", code, row.name, known.clause,
                   words(row.requirement), known.tests);
    }
}

void print_vpd_pages() {
    fmt::print(
        "\n## Vital product data pages\n\nTests: VitalProductData, conformance, kernel.\n\n"
        "| Code | Page | Standard | Where |\n|---|---|---|---|\n");
    for (const scsi::VpdPage& page : scsi::vpd_pages())
        fmt::print("| {:02X}h | {} | {} | {} |\n", page.code, page.name, page.clause,
                   page.without_logical_unit ? "every LUN, also an empty one"
                   : page.present == nullptr ? "every logical unit"
                                             : "where it applies");
}

void print_mode_pages() {
    fmt::print(
        "\n## Mode pages\n\nCurrent, changeable, default and saved values come from one table. In "
        "the last column are the fields that can differ between logical units or change, with byte "
        "and leftmost bit; all others are constant. Saved values need stable storage "
        "(`MODE SELECT` with SP). Tests: ModeSense, ModeSelect, SavedModePages, conformance, "
        "kernel.\n\n"
        "| Code | Page | Standard | Bytes | Fields |\n|---|---|---|---|---|\n");
    for (const scsi::ModePage& page : scsi::mode_pages_table()) {
        std::string fields;
        for (const scsi::ModeField& field : scsi::mode_fields_table()) {
            if (!field.belongs_to(page))
                continue;
            const std::string_view change = field.change == scsi::Changeable::never ? "fixed"
                                            : field.change == scsi::Changeable::always
                                                ? "changeable"
                                                : "changeable if the store can";
            fields += fmt::format("{}{} ({}.{}, {})", fields.empty() ? "" : ", ", field.name,
                                  field.byte, field.bit, change);
        }
        fmt::print("| {} | {} | {} | {} | {} |\n", page_name(page.code, page.subpage, false),
                   page.name, page.clause, page.bytes, fields);
    }
}

void print_log_pages() {
    fmt::print(
        "\n## Log pages\n\nCounters can be reset and set by LOG SELECT. Tests: LogTest, PagesTest, "
        "log_select_fuzz, kernel.\n\n"
        "| Code | Page | Standard | Parameters |\n|---|---|---|---|\n");
    for (const scsi::LogPage& page : scsi::log_pages()) {
        std::string parameters;
        std::string_view before;
        for (const scsi::LogParameter& parameter : scsi::log_parameters()) {
            if (parameter.page != page.code || parameter.subpage != page.subpage)
                continue;
            if (parameter.name == before)  // the next of many alike
                continue;
            before = parameter.name;
            parameters +=
                fmt::format("{}{:04X}h {}{}", parameters.empty() ? "" : ", ", parameter.code,
                            parameter.name, parameter.put == nullptr ? " (counter)" : "");
        }
        fmt::print("| {} | {} | {} | {}{} |\n", page_name(page.code, page.subpage, false),
                   page.name, page.clause, parameters,
                   page.present == nullptr ? "" : " (where known)");
    }
}

void print_attributes() {
    fmt::print(
        "\n## Attributes\n\nThe names are those of LIO's `attrib/` directory. `olio attributes "
        "LUN` "
        "shows and sets them. LIO's default is what LIO starts with; Olio starts with what the "
        "backing store really does, and what a row shows is what the engine does. Tests: "
        "Attributes, AttributeTest, AttributeEffects.\n\n"
        "| Name | Values | LIO's default | Changes | Meaning |\n|---|---|---|---|---|\n");
    for (const target::Attribute& row : target::attributes()) {
        const std::string values = row.type == target::AttributeType::boolean
                                       ? "0 or 1"
                                       : fmt::format("{} to {}", row.minimum, row.maximum);
        fmt::print("| {} | {} | {} | {} | {} |\n", row.name, values,
                   row.lio_default.empty() ? "the store's" : row.lio_default, words(row.access),
                   row.help);
    }
}

}  // namespace

int main() {
    fmt::print(
        "# What Olio's disks support\n\nMade by `ninja scsi_support_table` from the tables of the "
        "engine; a test checks that it is up to date. Tests with a capital are test suites beside "
        "the code in `src/`; the others are fuzz targets and system tests under `tests/`.\n\n");
    print_commands();
    print_vpd_pages();
    print_mode_pages();
    print_log_pages();
    print_attributes();
    return 0;
}
