#include "scsi/types.h"

#include "base/assert.h"

namespace olio::scsi {

namespace {

constexpr std::uint32_t flat_space_limit = 1U << 14;
constexpr std::uint8_t address_method_mask = 0xC0;  // SAM-5 4.7.6
constexpr std::uint8_t peripheral_method = 0x00;
constexpr std::uint8_t flat_method = 0x40;

}  // namespace

Lun Lun::from_number(std::uint32_t number) noexcept {
    OLIO_ASSERT(number < flat_space_limit, "a LUN has 14 bits in flat space addressing");
    Lun lun;
    if (number >= 256)
        lun.bytes[0] = static_cast<std::uint8_t>(flat_method | number >> 8);
    lun.bytes[1] = static_cast<std::uint8_t>(number);
    return lun;
}

std::uint32_t Lun::number() const noexcept {
    for (std::size_t i = 2; i < bytes.size(); ++i)
        if (bytes[i] != 0)
            return no_number;
    const std::uint8_t low_bits = bytes[0] & static_cast<std::uint8_t>(~address_method_mask);
    switch (bytes[0] & address_method_mask) {
        case peripheral_method:
            return low_bits == 0 ? bytes[1] : no_number;  // a bus identifier is a second level
        case flat_method:
            return std::uint32_t{low_bits} << 8 | bytes[1];
        default:
            return no_number;
    }
}

}  // namespace olio::scsi
