// GET LBA STATUS (SBC-4 5.8).
#pragma once

#include <cstdint>
#include <expected>
#include <span>

#include "base/bytes.h"
#include "scsi/sense.h"

namespace olio::scsi {

// PROVISIONING STATUS (SBC-4).
enum class ProvisioningStatus : std::uint8_t { mapped = 0, deallocated = 1, anchored = 2 };

// REPORT TYPE: which extents the host wants to know of. Nothing on this medium has an ADDITIONAL
// STATUS, and no LBA is known to be unreadable, so those two find none.
enum class LbaReport : std::uint8_t {
    all = 0x00,
    additional_status = 0x01,
    mapped = 0x02,
    deallocated = 0x03,
    anchored = 0x04,
    unrecovered_errors = 0x10,
};

struct LbaStatusFields {
    LbaReport report = LbaReport::all;
    std::uint64_t scan_blocks = 0;  // SCAN LENGTH; 0: to the end of the medium
};
// INVALID FIELD IN CDB for a report that the standard does not define.
[[nodiscard]] std::expected<LbaStatusFields, SenseData> decode_lba_status(Bytes cdb) noexcept;

[[nodiscard]] bool wanted(LbaReport report, ProvisioningStatus status) noexcept;

struct LbaStatusExtent {
    std::uint64_t lba = 0;
    std::uint64_t blocks = 0;  // above 32 bits it becomes several descriptors
    ProvisioningStatus status = ProvisioningStatus::mapped;
};

// COMPLETION CONDITION: why there are no more descriptors.
enum class LbaStatusEnd : std::uint8_t {
    allocation_length = 1,
    end_of_medium = 2,
    scan_length = 3,
};

// The parameter data. Of LbaReport::all the extents follow one another, and the first begins with
// the command's starting LBA. How many fit: (ALLOCATION LENGTH - 8) / 16.
void put_lba_status(std::span<const LbaStatusExtent> extents, LbaStatusEnd end, Builder& into);

}  // namespace olio::scsi
