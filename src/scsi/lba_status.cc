#include "scsi/lba_status.h"

#include <algorithm>
#include <limits>

#include "scsi/cdb_fields.h"
#include "scsi/sense_codes.h"

namespace olio::scsi {

std::expected<LbaStatusFields, SenseData> decode_lba_status(Bytes cdb) noexcept {
    const bool long_form = is_variable_length(cdb);
    const std::uint16_t report_byte = long_form ? 10 : 14;
    LbaStatusFields fields{.report = static_cast<LbaReport>(cdb[report_byte])};
    if (long_form)
        fields.scan_blocks = load_be<std::uint32_t>(cdb.data() + 20);
    switch (fields.report) {
        case LbaReport::all:
        case LbaReport::additional_status:
        case LbaReport::mapped:
        case LbaReport::deallocated:
        case LbaReport::anchored:
        case LbaReport::unrecovered_errors:
            return fields;
    }
    return std::unexpected(invalid_field_in_cdb(report_byte));
}

bool wanted(LbaReport report, ProvisioningStatus status) noexcept {
    switch (report) {
        case LbaReport::all:
            return true;
        case LbaReport::mapped:
            return status == ProvisioningStatus::mapped;
        case LbaReport::deallocated:
            return status == ProvisioningStatus::deallocated;
        case LbaReport::anchored:
            return status == ProvisioningStatus::anchored;
        case LbaReport::additional_status:
        case LbaReport::unrecovered_errors:
            return false;
    }
    return false;
}

void put_lba_status(std::span<const LbaStatusExtent> extents, LbaStatusEnd end, Builder& into) {
    constexpr std::uint64_t largest = std::numeric_limits<std::uint32_t>::max();
    constexpr std::uint8_t report_type_processed = 0x01;  // RTP
    into.be32(0);                                         // PARAMETER DATA LENGTH, below
    into.be24(0);
    into.u8(static_cast<std::uint8_t>(static_cast<std::uint8_t>(end) << 1 | report_type_processed));
    for (const LbaStatusExtent& extent : extents) {
        std::uint64_t lba = extent.lba;
        std::uint64_t blocks = extent.blocks;
        while (blocks != 0) {
            const std::uint64_t part = std::min(blocks, largest);
            into.be64(lba);
            into.be32(static_cast<std::uint32_t>(part));
            into.u8(static_cast<std::uint8_t>(extent.status));
            into.zeros(3);
            lba += part;
            blocks -= part;
        }
    }
    into.patch(0, static_cast<std::uint32_t>(into.size() - 4));
}

}  // namespace olio::scsi
