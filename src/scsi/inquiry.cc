// INQUIRY: standard data (SPC-5 6.6.2) and vital product data pages (SPC-5 7.7, SBC-4 6.6).
#include <algorithm>
#include <array>
#include <limits>
#include <string_view>

#include "base/limits.h"
#include "scsi/data_in.h"
#include "scsi/logical_unit_state.h"
#include "scsi/sense_codes.h"

namespace olio::scsi {

namespace {

constexpr std::uint8_t direct_access_block_device = 0x00;
constexpr std::uint8_t no_logical_unit = 0x7F;  // PERIPHERAL QUALIFIER 011b, DEVICE TYPE 1Fh

std::uint8_t peripheral_byte(const Request& request) {
    return request.state ? direct_access_block_device : no_logical_unit;
}

template <class T>
T clip(std::uint64_t value) {
    return static_cast<T>(std::min<std::uint64_t>(value, std::numeric_limits<T>::max()));
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
    const bool protection = request.state && request.state->protection.type != 0;
    const std::uint8_t access_change = request.state && port ? port->access_change & 3U : 0;

    into.u8(peripheral_byte(request));
    into.u8(0x00);  // RMB = 0
    into.u8(0x06);  // VERSION: SPC-4; what SPC-5 and SBC-4 add is claimed by the descriptors
    into.u8(0x12);  // HISUP, RESPONSE DATA FORMAT 2; NORMACA = 0
    into.u8(0x00);  // ADDITIONAL LENGTH, below
    into.u8(static_cast<std::uint8_t>(access_change << 4 | (protection ? 0x01 : 0x00)));
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

// ---- Vital product data pages. Each puts what follows the four bytes of the header. ----

void put_unit_serial_number(const Request& request, Builder& into) {  // SPC-5 7.7.19
    into.bytes(as_bytes(request.state->identification.serial));
}

// Designation descriptors (SPC-5 7.7.6.1).
constexpr std::uint8_t binary = 1;
constexpr std::uint8_t ascii = 2;
constexpr std::uint8_t utf_8 = 3;
enum class Association : std::uint8_t { logical_unit = 0, target_port = 1, target_device = 2 };

void put_designator_header(const Request& request, Association association, std::uint8_t code_set,
                           std::uint8_t type, std::size_t length, Builder& into) {
    const bool of_port = association != Association::logical_unit;
    const std::uint8_t protocol =
        of_port ? static_cast<std::uint8_t>(request.nexus.port->protocol) : 0;
    into.u8(static_cast<std::uint8_t>(protocol << 4 | code_set));
    into.u8(static_cast<std::uint8_t>((of_port ? 0x80 : 0x00) |  // PIV
                                      static_cast<std::uint8_t>(association) << 4 | type));
    into.u8(0);
    into.u8(static_cast<std::uint8_t>(length));
}

// SPC-5 7.7.6.9: with a NUL, padded with more to a multiple of four, at most 252 bytes.
void put_scsi_name_string(const Request& request, Association association, std::string_view name,
                          Builder& into) {
    constexpr std::size_t longest = 252;
    const std::string_view text = name.substr(0, longest - 1);
    const std::size_t padded = (text.size() + 4) / 4 * 4;
    put_designator_header(request, association, utf_8, 8, padded, into);
    into.bytes(as_bytes(text));
    into.zeros(padded - text.size());
}

void put_device_identification(const Request& request, Builder& into) {  // SPC-5 7.7.6
    const Identification& who = request.state->identification;
    constexpr std::size_t vendor_bytes = 8;
    constexpr std::size_t product_bytes = 16;
    const std::size_t t10_bytes = vendor_bytes + product_bytes + who.serial.size();
    if (t10_bytes <= 255) {  // a name cut short would not be unique
        put_designator_header(request, Association::logical_unit, ascii, 1, t10_bytes, into);
        into.text(who.vendor, vendor_bytes);
        into.text(who.product, product_bytes);
        into.bytes(as_bytes(who.serial));
    }
    put_designator_header(request, Association::logical_unit, binary, 3, who.naa.size(), into);
    into.bytes(who.naa);

    const PortDescription* port = request.nexus.port;
    if (port == nullptr)
        return;
    put_designator_header(request, Association::target_port, binary, 4, 4, into);
    into.be16(0);
    into.be16(port->relative_port);
    if (port->port_group != 0) {
        put_designator_header(request, Association::target_port, binary, 5, 4, into);
        into.be16(0);
        into.be16(port->port_group);
    }
    if (!port->port_name.empty())
        put_scsi_name_string(request, Association::target_port, port->port_name, into);
    if (!port->device_name.empty())
        put_scsi_name_string(request, Association::target_device, port->device_name, into);
}

void put_extended_inquiry(const Request& request, Builder& into) {  // SPC-5 7.7.7
    const ModePages& mode = request.state->mode_pages;
    const std::uint8_t protection = request.state->protection.type;
    // SPT: only the type in use is supported. 000b type 1, 010b type 2, 100b type 3.
    const std::uint8_t supported_types =
        protection == 0 ? 0 : static_cast<std::uint8_t>((protection - 1) * 2);
    const std::uint8_t checks = protection == 0 ? 0x00 : protection == 3 ? 0x04 : 0x05;
    const bool volatile_cache = mode.write_cache_enabled || mode.write_cache_changeable;
    into.u8(static_cast<std::uint8_t>(supported_types << 3 | checks));
    into.u8(0x07);                          // HEADSUP, ORDSUP, SIMPSUP
    into.u8(volatile_cache ? 0x01 : 0x00);  // V_SUP
    into.u8(0x01);                          // LUICLR: unit attentions are cleared per I_T nexus
    into.zeros(5);
    into.u8(limits::sense_bytes);  // MAXIMUM SUPPORTED SENSE DATA LENGTH
    into.zeros(50);
}

// Zero says that there is no UNMAP, all ones that there is no limit.
std::uint32_t unmap_limit(const Provisioning& thin, std::uint32_t limit) {
    if (!thin.unmap)
        return 0;
    return limit == 0 ? std::numeric_limits<std::uint32_t>::max() : limit;
}

void put_block_limits(const Request& request, Builder& into) {  // SBC-4 6.6.4
    const LogicalUnitState& state = *request.state;
    const Provisioning& thin = state.provisioning;
    constexpr std::uint32_t alignment_valid = 0x80000000;  // UGAVALID
    into.u8(0x01);                                         // WSNZ
    into.u8(clip<std::uint8_t>(state.maximum_compare_and_write_blocks));
    into.be16(clip<std::uint16_t>(state.geometry.optimal_transfer_granularity));
    into.be32(state.maximum_transfer_blocks);
    into.be32(state.geometry.optimal_transfer_blocks);
    into.be32(0);  // MAXIMUM PREFETCH LENGTH: no limit
    into.be32(unmap_limit(thin, thin.maximum_unmap_blocks));
    into.be32(unmap_limit(thin, thin.maximum_unmap_descriptors));
    into.be32(thin.granularity_blocks);
    into.be32(
        thin.granularity_blocks == 0 ? 0 : alignment_valid | (thin.alignment_blocks & 0x7FFFFFFF));
    into.be64(thin.maximum_write_same_blocks);
    into.zeros(20);  // atomic transfers: none
}

void put_block_device_characteristics(const Request& request, Builder& into) {  // SBC-4 6.6.2
    into.be16(request.state->geometry.rotation_rate);
    into.u8(0);     // PRODUCT TYPE: not indicated
    into.u8(0);     // NOMINAL FORM FACTOR: not reported
    into.u8(0x01);  // VBULS: VERIFY compares unmapped blocks as well
    into.zeros(55);
}

void put_logical_block_provisioning(const Request& request, Builder& into) {  // SBC-4 6.6.6
    const Provisioning& thin = request.state->provisioning;
    const bool provisioned_thinly = thin.unmap || thin.write_same_unmap;
    into.u8(0);  // THRESHOLD EXPONENT: no thresholds
    into.u8(static_cast<std::uint8_t>((thin.unmap ? 0x80 : 0x00) |             // LBPU
                                      (thin.write_same_unmap ? 0x60 : 0x00) |  // LBPWS, LBPWS10
                                      (thin.unmapped_reads_zeros ? 0x04 : 0x00)));  // LBPRZ 001b
    into.u8(provisioned_thinly ? 0x02 : 0x00);  // PROVISIONING TYPE
    into.u8(0);
}

void put_supported_pages(const Request& request, Builder& into);

struct VitalProductDataPage {
    std::uint8_t code;
    bool without_logical_unit;
    void (*put)(const Request&, Builder&);
};

constexpr std::array<VitalProductDataPage, 7> pages{{
    {0x00, true, put_supported_pages},
    {0x80, false, put_unit_serial_number},
    {0x83, false, put_device_identification},
    {0x86, false, put_extended_inquiry},
    {0xB0, false, put_block_limits},
    {0xB1, false, put_block_device_characteristics},
    {0xB2, false, put_logical_block_provisioning},
}};

bool has_page(const Request& request, const VitalProductDataPage& page) {
    return request.state != nullptr || page.without_logical_unit;
}

void put_supported_pages(const Request& request, Builder& into) {  // SPC-5 7.7.18
    for (const VitalProductDataPage& page : pages)
        if (has_page(request, page))
            into.u8(page.code);
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
    for (const VitalProductDataPage& page : pages) {
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
