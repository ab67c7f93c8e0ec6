// INQUIRY: standard data (SPC-5 6.6.2); the vital product data pages are in vpd_pages.cc.
#include <array>

#include "scsi/data_in.h"
#include "scsi/logical_unit_state.h"
#include "scsi/sense_codes.h"
#include "scsi/vpd_pages.h"

namespace olio::scsi {

namespace {

constexpr std::uint8_t direct_access_block_device = 0x00;
constexpr std::uint8_t no_logical_unit = 0x7F;  // PERIPHERAL QUALIFIER 011b, DEVICE TYPE 1Fh

std::uint8_t peripheral_byte(const Request& request) {
    return request.state ? direct_access_block_device : no_logical_unit;
}

// SPC-5 table 144: the VERSION DESCRIPTOR of a transport.
struct TransportVersion {
    ProtocolIdentifier protocol;
    std::uint16_t descriptor;
};
constexpr std::array<TransportVersion, 5> transport_versions{{
    {ProtocolIdentifier::fibre_channel, 0x0A40},  // FCP-4
    {ProtocolIdentifier::rdma, 0x0940},           // SRP
    {ProtocolIdentifier::iscsi, 0x0960},          // iSCSI
    {ProtocolIdentifier::sas, 0x20C0},            // SPL-3
    {ProtocolIdentifier::sop, 0x2220},            // SOP
}};

constexpr std::uint16_t version_sam_5 = 0x00A0;
constexpr std::uint16_t version_spc_4 = 0x0460;
constexpr std::uint16_t version_spc_5 = 0x05C0;
constexpr std::uint16_t version_sbc_3 = 0x04C0;
constexpr std::uint16_t version_sbc_4 = 0x0600;

void put_version_descriptors(const Request& request, Builder& into) {
    // The older editions are claimed too: hosts that do not know the newer ones look for them.
    std::array<std::uint16_t, 8> versions{version_sam_5, version_spc_5, version_spc_4};
    std::size_t count = 3;
    if (request.state) {
        versions[count++] = version_sbc_4;
        versions[count++] = version_sbc_3;
    }
    if (request.nexus.port != nullptr)
        for (const TransportVersion& transport : transport_versions)
            if (transport.protocol == request.nexus.port->protocol)
                versions[count++] = transport.descriptor;
    for (const std::uint16_t version : versions)
        into.be16(version);
}

void put_standard_data(const Request& request, Builder& into) {
    static const Identification nobody;
    const Identification& who = request.state ? request.state->identification : nobody;
    const PortDescription* port = request.nexus.port;
    const bool protection = request.state && request.state->protection.offered();
    const std::uint8_t access_change =
        request.state && port ? access_change_of(request.state->access, port->relative_port) : 0;
    const bool third_party = request.state && request.state->settings.third_party_copy;

    into.u8(peripheral_byte(request));
    into.u8(0x00);  // RMB = 0
    into.u8(0x06);  // VERSION: SPC-4; what SPC-5 and SBC-4 add is claimed by the descriptors
    into.u8(0x32);  // NORMACA, HISUP, RESPONSE DATA FORMAT 2
    into.u8(0x00);  // ADDITIONAL LENGTH, below
    into.u8(static_cast<std::uint8_t>(access_change << 4 | (third_party ? 0x08 : 0x00) |
                                      (protection ? 0x01 : 0x00)));
    into.u8(0x00);
    into.u8(0x02);  // CMDQUE
    into.text(who.vendor, 8);
    into.text(who.product, 16);
    into.text(who.revision, 4);
    into.zeros(22);  // vendor specific; reserved
    put_version_descriptors(request, into);
    into.zeros(22);
    into.patch(4, static_cast<std::uint8_t>(into.size() - 5));
}

}  // namespace

std::expected<void, SenseData> inquiry(const Request& request, Builder& into) {
    constexpr std::uint8_t enable_vital_product_data = 0x01;
    const std::uint8_t wanted = request.cdb[2];
    if ((request.cdb[1] & enable_vital_product_data) == 0) {
        if (wanted != 0)
            return std::unexpected(invalid_field_in_cdb(2));
        put_standard_data(request, into);
        return {};
    }
    for (const VpdPage& page : vpd_pages()) {
        if (page.code != wanted || !has_page(request, page))
            continue;
        into.u8(peripheral_byte(request));
        into.u8(page.code);
        into.be16(0);  // PAGE LENGTH, below
        page.put(request, into);
        into.patch(2, static_cast<std::uint16_t>(into.size() - 4));
        return {};
    }
    return std::unexpected(invalid_field_in_cdb(2));
}

}  // namespace olio::scsi
