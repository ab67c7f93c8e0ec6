// Whether the blocks a command names exist and are not too many. Safe for every pair of 64-bit
// numbers.
#pragma once

#include <cstdint>
#include <expected>

#include "scsi/sense.h"

namespace olio::scsi {

struct LogicalUnitState;
struct Request;

// LOGICAL BLOCK ADDRESS OUT OF RANGE unless lba + blocks is at most the capacity (SBC-4: "plus ...
// exceeds the capacity of the medium"; so zero blocks directly behind the last one are no error).
// INFORMATION is the first LBA that does not exist.
[[nodiscard]] std::expected<void, SenseData> check_range(const LogicalUnitState& state,
                                                         std::uint64_t lba,
                                                         std::uint64_t blocks) noexcept;

// The row's LengthLimit: more blocks are INVALID FIELD IN CDB with a pointer to the length field.
// So are zero blocks of WRITE SAME (WSNZ = 1).
[[nodiscard]] std::expected<void, SenseData> check_length(const Request& request) noexcept;

// Both, for the LBA and length fields that the row has; a command with an LBA and no length (GET
// LBA STATUS) needs that block. A row without an LBA passes.
[[nodiscard]] std::expected<void, SenseData> check_extent(const Request& request) noexcept;

// PRE-FETCH and SYNCHRONIZE CACHE: zero blocks mean all from the LBA on. After check_range.
[[nodiscard]] std::uint64_t blocks_or_rest(const LogicalUnitState& state, std::uint64_t lba,
                                           std::uint64_t blocks) noexcept;

}  // namespace olio::scsi
