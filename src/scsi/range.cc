#include "scsi/range.h"

#include <algorithm>

#include "scsi/cdb_fields.h"
#include "scsi/logical_unit_state.h"
#include "scsi/sense_codes.h"

namespace olio::scsi {

std::expected<void, SenseData> check_range(const LogicalUnitState& state, std::uint64_t lba,
                                           std::uint64_t blocks) noexcept {
    const std::uint64_t capacity = state.geometry.blocks;
    if (lba <= capacity && blocks <= capacity - lba) [[likely]]
        return {};
    return std::unexpected(
        make_sense_at(sense::logical_block_address_out_of_range, std::max(lba, capacity)));
}

std::expected<void, SenseData> check_length(const Request& request) noexcept {
    const CommandRow& row = request.row;
    const LogicalUnitState& state = *request.state;
    std::uint64_t most = 0;  // 0: no limit
    switch (row.limit) {
        case LengthLimit::none:
            return {};
        case LengthLimit::transfer_if_compared: {
            const auto fields = decode_verify(request.cdb);
            if (!fields || fields->byte_check != ByteCheck::compare)
                return {};
            [[fallthrough]];
        }
        case LengthLimit::transfer:
            most = state.maximum_transfer_blocks;
            break;
        case LengthLimit::compare_and_write:
            most = state.maximum_compare_and_write_blocks;
            break;
        case LengthLimit::write_same:
            most = state.provisioning.maximum_write_same_blocks;
            if (request.decoded.blocks == 0)
                return std::unexpected(invalid_field_in_cdb(row.transfer_blocks.byte));
            break;
        case LengthLimit::atomic_write:
            most = state.maximum_atomic_blocks;
            break;
    }
    if (most != 0 && request.decoded.blocks > most)
        return std::unexpected(invalid_field_in_cdb(row.transfer_blocks.byte));
    return {};
}

std::expected<void, SenseData> check_extent(const Request& request) noexcept {
    if (request.row.lba.bytes == 0)
        return {};
    if (auto allowed = check_length(request); !allowed)
        return allowed;
    const std::uint64_t blocks =
        request.row.transfer_blocks.bytes == 0 ? 1 : request.decoded.blocks;
    return check_range(*request.state, request.decoded.lba, blocks);
}

std::uint64_t blocks_or_rest(const LogicalUnitState& state, std::uint64_t lba,
                             std::uint64_t blocks) noexcept {
    return blocks != 0 || lba > state.geometry.blocks ? blocks : state.geometry.blocks - lba;
}

}  // namespace olio::scsi
