// The parameter list of UNMAP (SBC-4 5.35).
#pragma once

#include <cstdint>
#include <expected>
#include <span>

#include "base/bytes.h"
#include "scsi/sense.h"

namespace olio::scsi {

struct LogicalUnitState;

struct BlockRange {
    std::uint64_t lba = 0;
    std::uint64_t blocks = 0;
    bool operator==(const BlockRange&) const = default;
};

// Checks the whole list and writes its ranges, those of no blocks left out, to `into`; returns the
// part written. `list` is as long as the PARAMETER LIST LENGTH; empty: nothing to do. Nothing is to
// be unmapped on an error:
// - PARAMETER LIST LENGTH ERROR: shorter than its header;
// - INVALID FIELD IN PARAMETER LIST: more descriptors than Provisioning::maximum_unmap_descriptors
// or than
//   `into` has room for, or more blocks in all than Provisioning::maximum_unmap_blocks (zero: no
//   limit);
// - LOGICAL BLOCK ADDRESS OUT OF RANGE: a descriptor past the end, with the first LBA that does not
// exist. A descriptor that the list's or the descriptors' length cuts short is ignored
// (SBC-4 5.35.2).
[[nodiscard]] std::expected<std::span<BlockRange>, SenseData> parse_unmap_list(
    Bytes list, const LogicalUnitState& state, std::span<BlockRange> into) noexcept;

}  // namespace olio::scsi
