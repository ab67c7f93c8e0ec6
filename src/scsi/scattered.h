// WRITE SCATTERED(16) and (32) (SBC-4): many ranges in one command. The data-out begins with a
// header and the LBA range descriptors; at LOGICAL BLOCK DATA OFFSET the blocks follow, range by
// range.
#pragma once

#include <cstdint>
#include <expected>

#include "base/bytes.h"
#include "scsi/sense.h"
#include "scsi/unmap_list.h"

namespace olio::scsi {

struct Request;

struct ScatteredFields {
    std::uint32_t offset_blocks = 0;  // LOGICAL BLOCK DATA OFFSET
    std::uint32_t ranges = 0;         // NUMBER OF LBA RANGE DESCRIPTORS
    std::uint32_t blocks = 0;         // BUFFER TRANSFER LENGTH: of data, behind the offset
    bool force_unit_access = false;

    // Of data-out in all.
    [[nodiscard]] std::uint64_t transfer_blocks() const noexcept {
        return ranges == 0 ? 0 : std::uint64_t{offset_blocks} + blocks;
    }
};
// INVALID FIELD IN CDB: the descriptors do not fit before the data, or there are more blocks than
// MAXIMUM TRANSFER LENGTH.
[[nodiscard]] std::expected<ScatteredFields, SenseData> decode_scattered(
    const Request& request) noexcept;

// Checks every descriptor, and returns the blocks from the first one written to the last; nothing
// is to be written on an error: LOGICAL BLOCK ADDRESS OUT OF RANGE, or INVALID FIELD IN PARAMETER
// LIST where they want more data than there are. `data_out` is as long as fields.transfer_blocks().
[[nodiscard]] std::expected<BlockRange, SenseData> check_scattered_list(
    Bytes data_out, const ScatteredFields& fields, const Request& request) noexcept;

// The range of descriptor `number`.
[[nodiscard]] BlockRange scattered_range(Bytes data_out, std::size_t number) noexcept;

}  // namespace olio::scsi
