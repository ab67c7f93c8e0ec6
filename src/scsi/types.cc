#include "scsi/types.h"

#include "base/assert.h"
#include "base/bytes.h"

namespace olio::scsi {

namespace {

constexpr std::uint32_t flat_space_limit = 1U << 14;
constexpr std::uint8_t address_method_mask = 0xC0;  // SAM-5 4.7.6
constexpr std::uint8_t flat_method = 0x40;
constexpr std::uint64_t lower_levels_mask = (std::uint64_t{1} << 48) - 1;

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
    const std::uint64_t whole = load_be<std::uint64_t>(bytes.data());
    if ((whole & lower_levels_mask) != 0) [[unlikely]]
        return no_number;
    const auto first_level = static_cast<std::uint32_t>(whole >> 48);
    if (first_level < 256)  // peripheral device addressing; a bus identifier is a second level
        return first_level;
    if ((bytes[0] & address_method_mask) == flat_method)
        return first_level & (flat_space_limit - 1);
    return no_number;
}

}  // namespace olio::scsi
