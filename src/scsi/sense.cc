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

// What the device reported, as fixed format sense data without anything more.
void put_reported(const ThirdParty& device, Builder& into) noexcept {
    into.u8(0x70);
    into.u8(0);
    into.u8(static_cast<std::uint8_t>(device.key));
    into.be32(0);
    into.u8(10);
    into.be32(0);
    into.u8(device.additional.code);
    into.u8(device.additional.qualifier);
    into.zeros(4);
}
constexpr std::uint8_t reported_bytes = 18;

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
    constexpr std::uint8_t third_party_byte = 18;  // where its status and sense data begin
    const bool forwards = sense.third_party.has_value();
    std::uint32_t specific_bytes =
        specific ? static_cast<std::uint32_t>(*sense.command_specific_information) : 0;
    if (forwards)
        specific_bytes |= std::uint32_t{third_party_byte}
                          << (sense.third_party->destination ? 16 : 24);
    into.u8(10 + (forwards ? 1 + reported_bytes : 0));  // ADDITIONAL SENSE LENGTH
    into.be32(specific_bytes);
    into.u8(sense.additional.code);
    into.u8(sense.additional.qualifier);
    into.u8(0);  // FIELD REPLACEABLE UNIT CODE
    into.bytes(sense_key_specific(sense));
    if (forwards) {
        into.u8(static_cast<std::uint8_t>(sense.third_party->status));
        put_reported(*sense.third_party, into);
    }
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
    if (sense.third_party) {  // forwarded sense data
        into.u8(0x0C);
        into.u8(2 + reported_bytes);
        into.u8(sense.third_party->destination ? 0x02 : 0x01);
        into.u8(static_cast<std::uint8_t>(sense.third_party->status));
        put_reported(*sense.third_party, into);
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

SenseData decode_sense(Bytes encoded) noexcept {
    SenseData data;
    Cursor from(encoded);
    const std::uint8_t response_code = from.u8();
    if ((response_code & 0x7F) >= 0x72) {
        data.key = static_cast<SenseKey>(from.u8() & 0x0F);
        data.additional.code = from.u8();
        data.additional.qualifier = from.u8();
        from.skip(4);
        if (from.remaining() >= 12 && from.be16() == 0x000A && (from.be16() & 0x8000) != 0)
            data.information = from.be64();
        return data;
    }
    from.skip(1);
    data.key = static_cast<SenseKey>(from.u8() & 0x0F);
    const std::uint32_t information = from.be32();
    if ((response_code & 0x80) != 0)
        data.information = information;
    from.skip(5);
    data.additional.code = from.u8();
    data.additional.qualifier = from.u8();
    return data;
}

}  // namespace olio::scsi
