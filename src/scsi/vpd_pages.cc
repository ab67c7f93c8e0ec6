#include "scsi/vpd_pages.h"

#include <array>
#include <utility>

#include "base/limits.h"
#include "scsi/designators.h"
#include "scsi/extended_copy.h"
#include "scsi/logical_unit_state.h"
#include "scsi/pollable_sense.h"
#include "scsi/protection_information.h"

namespace olio::scsi {

namespace {

void put_supported_pages(const Request& request, Builder& into) {  // SPC-5 7.7.18
    for (const VpdPage& page : vpd_pages())
        if (has_page(request, page))
            into.u8(page.code);
}

void put_unit_serial_number(const Request& request, Builder& into) {  // SPC-5 7.7.19
    into.bytes(as_bytes(request.state->identification.serial));
}

void put_port_names(const PortDescription& port, Builder& into) {
    if (!port.port_name.empty())
        put_scsi_name_string(port, Association::target_port, port.port_name, into);
}

void put_device_identification(const Request& request, Builder& into) {  // SPC-5 7.7.6
    put_logical_unit_designators(request.state->identification, into);
    const PortDescription* port = request.nexus.port;
    if (port == nullptr)
        return;
    put_designator_header(port, Association::target_port, CodeSet::binary, 4, 4, into);
    into.be16(0);
    into.be16(port->relative_port);
    const AccessStateTable& access = request.state->access;
    if (const TargetPortGroup* const group = access.group_of(port->relative_port)) {
        put_designator_header(port, Association::target_port, CodeSet::binary, 5, 4, into);
        into.be16(0);
        into.be16(group->id);
    }
    if (access.logical_unit_group != 0) {
        put_designator_header(nullptr, Association::logical_unit, CodeSet::binary, 6, 4, into);
        into.be16(0);
        into.be16(access.logical_unit_group);
    }
    put_port_names(*port, into);
    if (!port->device_name.empty())
        put_scsi_name_string(*port, Association::target_device, port->device_name, into);
}

void put_extended_inquiry(const Request& request, Builder& into) {  // SPC-5 7.7.7
    const ModePages& mode = request.state->mode_pages;
    const Protection& protection = request.state->protection;
    // SPT: 111b says that FORMAT UNIT can make all types; else only the type in use is supported:
    // 000b type 1, 010b type 2, 100b type 3. Then GRD_CHK, APP_CHK and REF_CHK.
    const std::uint8_t supported_types = protection.supported ? std::uint8_t{0x07}
                                         : protection.type == 0
                                             ? std::uint8_t{0x00}
                                             : static_cast<std::uint8_t>((protection.type - 1) * 2);
    const bool volatile_cache = mode.write_cache_enabled || mode.write_cache_changeable;
    into.u8(static_cast<std::uint8_t>(supported_types << 3 | protection_checks_of(*request.state)));
    into.u8(0x07);                          // HEADSUP, ORDSUP, SIMPSUP
    into.u8(volatile_cache ? 0x01 : 0x00);  // V_SUP
    // NO_PI_CHK: blocks whose tuples switch checks off are not checked when written either. LUICLR:
    // unit attentions are cleared per I_T nexus.
    into.u8(static_cast<std::uint8_t>((protection.offered() ? 0x20 : 0x00) | 0x01));
    into.u8(request.state->access.referrals.empty() ? 0x00 : 0x10);  // R_SUP
    into.zeros(4);
    into.u8(limits::sense_bytes);  // MAXIMUM SUPPORTED SENSE DATA LENGTH
    into.zeros(50);
}

// Mode Page Policy: one set of mode parameters for all ports and nexuses, and each logical unit has
// its own.
void put_mode_page_policy(const Request&, Builder& into) {
    into.u8(0x3F);  // every page
    into.u8(0xFF);  // and subpage
    into.u8(0x00);  // MLUS = 0; MODE PAGE POLICY: shared
    into.u8(0);
}

// The target knows no initiator port names of its own to add.
void put_scsi_port(const PortDescription& port, Builder& into) {
    into.be16(0);
    into.be16(port.relative_port);
    into.be32(0);  // reserved; INITIATOR PORT TRANSPORTID LENGTH
    into.be16(0);
    const std::size_t length_at = into.size();
    into.be16(0);  // TARGET PORT DESCRIPTORS LENGTH, below
    put_port_names(port, into);
    into.patch(length_at, static_cast<std::uint16_t>(into.size() - length_at - 2));
}

// SCSI Ports: all that are configured, by their relative identifiers, and in any case the one
// through which the question came.
void put_scsi_ports(const Request& request, Builder& into) {
    const PortDescription* own = request.nexus.port;
    for (const ConfiguredPort& each : request.state->target_ports) {
        const std::uint16_t relative_port = each.description.relative_port;
        if (own != nullptr && own->relative_port <= relative_port) {
            put_scsi_port(*own, into);
            if (std::exchange(own, nullptr)->relative_port == relative_port)
                continue;
        }
        put_scsi_port(each.description, into);
    }
    if (own != nullptr)
        put_scsi_port(*own, into);
}

bool has_referrals(const Request& request) {
    return !request.state->access.referrals.empty();
}

void put_power_condition_page(const Request&, Builder& into) {
    put_power_conditions(into);
}

bool has_third_party_copy(const Request& request) {
    return request.state->settings.third_party_copy;
}

constexpr std::array pages{
    VpdPage{0x00, "Supported VPD Pages", "SPC-5 7.7.18", true, nullptr, put_supported_pages},
    VpdPage{0x80, "Unit Serial Number", "SPC-5 7.7.19", false, nullptr, put_unit_serial_number},
    VpdPage{0x83, "Device Identification", "SPC-5 7.7.6", false, nullptr,
            put_device_identification},
    VpdPage{0x86, "Extended INQUIRY Data", "SPC-5 7.7.7", false, nullptr, put_extended_inquiry},
    VpdPage{0x87, "Mode Page Policy", "SPC-5 7.7", false, nullptr, put_mode_page_policy},
    VpdPage{0x88, "SCSI Ports", "SPC-5 7.7", false, nullptr, put_scsi_ports},
    VpdPage{0x8A, "Power Condition", "SPC-5 7.7", false, nullptr, put_power_condition_page},
    VpdPage{0x8F, "Third-party Copy", "SPC-5 7.7", false, has_third_party_copy,
            put_third_party_copy},
    VpdPage{0xB0, "Block Limits", "SBC-4 6.6.4", false, nullptr, put_block_limits},
    VpdPage{0xB1, "Block Device Characteristics", "SBC-4 6.6.2", false, nullptr,
            put_block_device_characteristics},
    VpdPage{0xB2, "Logical Block Provisioning", "SBC-4 6.6.6", false, nullptr,
            put_logical_block_provisioning},
    VpdPage{0xB3, "Referrals", "SBC-4 6.6.8", false, has_referrals, put_referrals},
    VpdPage{0xB4, "Supported Block Lengths And Protection Types", "SBC-4 6.6", false, nullptr,
            put_supported_block_lengths},
    VpdPage{0xB7, "Block Limits Extension", "SBC-4 6.6", false, nullptr,
            put_block_limits_extension},
};

constexpr bool ascending() {
    for (std::size_t i = 1; i < pages.size(); ++i)
        if (pages[i - 1].code >= pages[i].code)
            return false;
    return true;
}
static_assert(ascending(), "SPC-5 7.7.18 wants the codes in ascending order");

}  // namespace

std::span<const VpdPage> vpd_pages() noexcept {
    return pages;
}

bool has_page(const Request& request, const VpdPage& page) {
    if (request.state == nullptr)
        return page.without_logical_unit;
    return page.present == nullptr || page.present(request);
}

}  // namespace olio::scsi
