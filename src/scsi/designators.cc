#include "scsi/designators.h"

#include "scsi/logical_unit_state.h"

namespace olio::scsi {

void put_designator_header(const PortDescription* port, Association association, CodeSet code_set,
                           std::uint8_t type, std::size_t length, Builder& into) {
    const std::uint8_t protocol =
        port != nullptr ? static_cast<std::uint8_t>(port->protocol) : std::uint8_t{0};
    into.u8(static_cast<std::uint8_t>(protocol << 4 | static_cast<std::uint8_t>(code_set)));
    into.u8(static_cast<std::uint8_t>((port != nullptr ? 0x80 : 0x00) |  // PIV
                                      static_cast<std::uint8_t>(association) << 4 | type));
    into.u8(0);
    into.u8(static_cast<std::uint8_t>(length));
}

void put_scsi_name_string(const PortDescription& port, Association association,
                          std::string_view name, Builder& into) {
    constexpr std::size_t longest = 252;
    const std::string_view text = name.substr(0, longest - 1);
    const std::size_t padded = (text.size() + 4) / 4 * 4;
    put_designator_header(&port, association, CodeSet::utf_8, 8, padded, into);
    into.bytes(as_bytes(text));
    into.zeros(padded - text.size());
}

void put_logical_unit_designators(const Identification& who, Builder& into) {
    constexpr std::size_t vendor_bytes = 8;
    constexpr std::size_t product_bytes = 16;
    const std::size_t t10_bytes = vendor_bytes + product_bytes + who.serial.size();
    if (t10_bytes <= 255) {  // a name cut short would not be unique
        put_designator_header(nullptr, Association::logical_unit, CodeSet::ascii, 1, t10_bytes,
                              into);
        into.text(who.vendor, vendor_bytes);
        into.text(who.product, product_bytes);
        into.bytes(as_bytes(who.serial));
    }
    put_designator_header(nullptr, Association::logical_unit, CodeSet::binary, 3, who.naa.size(),
                          into);
    into.bytes(who.naa);
}

}  // namespace olio::scsi
