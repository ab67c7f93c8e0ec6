// READ CAPACITY (SBC-4 5.20, 5.21) and GET LBA STATUS (SBC-4 5.8).
#include <algorithm>
#include <limits>

#include "scsi/data_in.h"
#include "scsi/logical_unit_state.h"
#include "scsi/sense_codes.h"

namespace olio::scsi {

namespace {

// LOGICAL BLOCK ADDRESS and PMI are obsolete since SBC-4. As SBC-2 has it, an address without PMI
// is an error; with PMI the last block before a delay is asked for, and that is the last of all.
std::expected<void, SenseData> check_partial_medium(bool lba_is_zero, std::uint8_t pmi) {
    if (!lba_is_zero && (pmi & 1) == 0)
        return std::unexpected(invalid_field_in_cdb(2));
    return {};
}

}  // namespace

std::expected<void, SenseData> read_capacity_10(const Request& request, Builder& into) {
    const std::uint32_t lba = load_be<std::uint32_t>(request.cdb.data() + 2);
    if (auto allowed = check_partial_medium(lba == 0, request.cdb[8]); !allowed)
        return allowed;
    constexpr std::uint64_t largest = std::numeric_limits<std::uint32_t>::max();
    const Geometry& geometry = request.state->geometry;
    into.be32(static_cast<std::uint32_t>(std::min(geometry.blocks - 1, largest)));
    into.be32(geometry.block_bytes);
    return {};
}

std::expected<void, SenseData> read_capacity_16(const Request& request, Builder& into) {
    const std::uint64_t lba = load_be<std::uint64_t>(request.cdb.data() + 2);
    if (auto allowed = check_partial_medium(lba == 0, request.cdb[14]); !allowed)
        return allowed;
    const Geometry& geometry = request.state->geometry;
    const Provisioning& thin = request.state->provisioning;
    const std::uint8_t protection = request.state->protection.type;
    const bool management = thin.unmap || thin.write_same_unmap;
    into.be64(geometry.blocks - 1);
    into.be32(geometry.block_bytes);
    into.u8(protection == 0 ? 0 : static_cast<std::uint8_t>((protection - 1) << 1 | 1));
    into.u8(geometry.physical_block_exponent & 0x0F);
    into.be16(static_cast<std::uint16_t>((management ? 0x8000 : 0) |                 // LBPME
                                         (thin.unmapped_reads_zeros ? 0x4000 : 0) |  // LBPRZ
                                         (geometry.lowest_aligned_lba & 0x3FFF)));
    into.zeros(16);
    return {};
}

}  // namespace olio::scsi
