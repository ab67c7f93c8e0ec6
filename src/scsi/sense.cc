#include "scsi/sense.h"

#include <array>
#include <limits>

namespace olio::scsi {

namespace {

// SENSE KEY SPECIFIC (SPC-5 4.4.2.4): three bytes, or SKSV = 0.
std::array<std::uint8_t, 3> sense_key_specific(const SenseData& sense) noexcept {
    constexpr std::uint8_t sksv = 0x80;
    std::array<std::uint8_t, 3> bytes{};
    if (sense.field) {
        bytes[0] = sksv;
        if (sense.field->in_cdb)
            bytes[0] |= 0x40;  // C/D
        if (sense.field->bit)
            bytes[0] |= 0x08 | (*sense.field->bit & 0x07);  // BPV and BIT POINTER
        store_be(bytes.data() + 1, sense.field->byte);
    } else if (sense.progress) {
        bytes[0] = sksv;
        store_be(bytes.data() + 1, *sense.progress);
    }
    return bytes;
}

// SPC-5 4.4.3
void encode_fixed(const SenseData& sense, Builder& into) noexcept {
    constexpr std::uint64_t largest = std::numeric_limits<std::uint32_t>::max();
    const bool valid = sense.information && *sense.information <= largest;
    const bool specific =
        sense.command_specific_information && *sense.command_specific_information <= largest;
    into.u8(static_cast<std::uint8_t>((valid ? 0x80 : 0x00) | (sense.deferred ? 0x71 : 0x70)));
    into.u8(0);
    into.u8(static_cast<std::uint8_t>(sense.key));
    into.be32(valid ? static_cast<std::uint32_t>(*sense.information) : 0);
    into.u8(10);  // ADDITIONAL SENSE LENGTH
    into.be32(specific ? static_cast<std::uint32_t>(*sense.command_specific_information) : 0);
    into.u8(sense.additional.code);
    into.u8(sense.additional.qualifier);
    into.u8(0);  // FIELD REPLACEABLE UNIT CODE
    into.bytes(sense_key_specific(sense));
}

// SPC-5 4.4.2
void encode_descriptors(const SenseData& sense, Builder& into) noexcept {
    into.u8(sense.deferred ? 0x73 : 0x72);
    into.u8(static_cast<std::uint8_t>(sense.key));
    into.u8(sense.additional.code);
    into.u8(sense.additional.qualifier);
    into.zeros(3);
    into.u8(0);  // ADDITIONAL SENSE LENGTH, below
    if (sense.information) {
        into.be16(0x000A);
        into.be16(0x8000);  // VALID
        into.be64(*sense.information);
    }
    if (sense.command_specific_information) {
        into.be16(0x010A);
        into.be16(0);
        into.be64(*sense.command_specific_information);
    }
    if (sense.field || sense.progress) {
        into.be16(0x0206);
        into.be16(0);
        into.bytes(sense_key_specific(sense));
        into.u8(0);
    }
    into.patch(7, static_cast<std::uint8_t>(into.size() - 8));
}

}  // namespace

std::size_t SenseData::encode(SenseFormat format, MutableBytes into) const noexcept {
    Builder builder(into);
    if (format == SenseFormat::descriptor)
        encode_descriptors(*this, builder);
    else
        encode_fixed(*this, builder);
    return builder.written().size();
}

}  // namespace olio::scsi
