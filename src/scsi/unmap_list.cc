#include "scsi/unmap_list.h"

#include <algorithm>

#include "scsi/logical_unit_state.h"
#include "scsi/range.h"
#include "scsi/sense_codes.h"

namespace olio::scsi {

std::expected<std::span<BlockRange>, SenseData> parse_unmap_list(
    Bytes list, const LogicalUnitState& state, std::span<BlockRange> into) noexcept {
    constexpr std::size_t header_bytes = 8;
    constexpr std::size_t descriptor_bytes = 16;
    constexpr std::uint16_t descriptor_data_length_byte = 2;
    const Provisioning& thin = state.provisioning;
    if (list.empty())
        return into.first(0);
    if (list.size() < header_bytes)
        return std::unexpected(make_sense(sense::parameter_list_length_error));

    // UNMAP DATA LENGTH only repeats what the other two lengths say, and hosts get it wrong.
    const std::size_t claimed = load_be<std::uint16_t>(list.data() + descriptor_data_length_byte);
    const std::size_t count = std::min(claimed, list.size() - header_bytes) / descriptor_bytes;
    if (thin.maximum_unmap_descriptors != 0 && count > thin.maximum_unmap_descriptors)
        return std::unexpected(invalid_field_in_parameter_list(descriptor_data_length_byte));

    std::size_t written = 0;
    std::uint64_t total = 0;  // at most 4095 descriptors of 32 bits: cannot overflow
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t at = header_bytes + i * descriptor_bytes;
        const std::uint64_t lba = load_be<std::uint64_t>(list.data() + at);
        const std::uint64_t blocks = load_be<std::uint32_t>(list.data() + at + 8);
        if (auto exists = check_range(state, lba, blocks); !exists)
            return std::unexpected(exists.error());
        total += blocks;
        if (thin.maximum_unmap_blocks != 0 && total > thin.maximum_unmap_blocks)
            return std::unexpected(
                invalid_field_in_parameter_list(static_cast<std::uint16_t>(at + 8)));
        if (blocks == 0)
            continue;
        if (written == into.size())
            return std::unexpected(invalid_field_in_parameter_list(descriptor_data_length_byte));
        into[written++] = {lba, blocks};
    }
    return into.first(written);
}

}  // namespace olio::scsi
