#include "scsi/scattered.h"

#include <algorithm>
#include <limits>

#include "scsi/cdb_fields.h"
#include "scsi/logical_unit_state.h"
#include "scsi/range.h"
#include "scsi/sense_codes.h"

namespace olio::scsi {

namespace {

constexpr std::size_t header_bytes = 32;
constexpr std::size_t descriptor_bytes = 32;

struct Shape {
    std::uint8_t flags;
    std::uint8_t offset;
    std::uint8_t ranges;
    std::uint8_t blocks;
};
constexpr Shape of_16{2, 4, 8, 10};
constexpr Shape of_32{10, 12, 16, 28};

}  // namespace

std::expected<ScatteredFields, SenseData> decode_scattered(const Request& request) noexcept {
    constexpr std::uint8_t force_unit_access = 0x08;
    const Bytes cdb = request.cdb;
    const Shape& shape = is_variable_length(cdb) ? of_32 : of_16;
    const ScatteredFields fields{.offset_blocks = load_be<std::uint16_t>(cdb.data() + shape.offset),
                                 .ranges = load_be<std::uint16_t>(cdb.data() + shape.ranges),
                                 .blocks = load_be<std::uint32_t>(cdb.data() + shape.blocks),
                                 .force_unit_access = (cdb[shape.flags] & force_unit_access) != 0};
    if (fields.ranges == 0)
        return fields;
    const LogicalUnitState& state = *request.state;
    if (header_bytes + fields.ranges * descriptor_bytes >
        std::uint64_t{fields.offset_blocks} * state.geometry.block_bytes)
        return std::unexpected(invalid_field_in_cdb(shape.offset));
    if (state.maximum_transfer_blocks != 0 &&
        fields.transfer_blocks() > state.maximum_transfer_blocks)
        return std::unexpected(invalid_field_in_cdb(shape.blocks));
    return fields;
}

BlockRange scattered_range(Bytes data_out, std::size_t number) noexcept {
    const std::uint8_t* const at = data_out.data() + header_bytes + number * descriptor_bytes;
    return {load_be<std::uint64_t>(at), load_be<std::uint32_t>(at + 8)};
}

std::expected<BlockRange, SenseData> check_scattered_list(Bytes data_out,
                                                          const ScatteredFields& fields,
                                                          const Request& request) noexcept {
    std::uint64_t first = std::numeric_limits<std::uint64_t>::max();
    std::uint64_t end = 0;
    std::uint64_t total = 0;  // of at most 65535 numbers of 32 bits
    for (std::size_t i = 0; i < fields.ranges; ++i) {
        const auto [lba, blocks] = scattered_range(data_out, i);
        if (auto exists = check_range(*request.state, lba, blocks); !exists)
            return std::unexpected(exists.error());
        total += blocks;
        if (total > fields.blocks)
            return std::unexpected(invalid_field_in_parameter_list(
                static_cast<std::uint16_t>(header_bytes + i * descriptor_bytes + 8)));
        if (blocks == 0)
            continue;
        first = std::min(first, lba);
        end = std::max(end, lba + blocks);
    }
    if (end == 0)
        return BlockRange{};
    return BlockRange{first, end - first};
}

}  // namespace olio::scsi
