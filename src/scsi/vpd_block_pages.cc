// The vital product data pages of SBC-4 6.6.
#include <algorithm>
#include <limits>

#include "scsi/logical_unit_state.h"
#include "scsi/protection_information.h"
#include "scsi/provisioning.h"
#include "scsi/vpd_pages.h"

namespace olio::scsi {

namespace {

template <class T>
T clip(std::uint64_t value) {
    return static_cast<T>(std::min<std::uint64_t>(value, std::numeric_limits<T>::max()));
}

// Zero says that there is no UNMAP, all ones that there is no limit.
std::uint32_t unmap_limit(const Provisioning& thin, std::uint32_t limit) {
    if (!thin.unmap)
        return 0;
    return limit == 0 ? std::numeric_limits<std::uint32_t>::max() : limit;
}

}  // namespace

void put_block_limits(const Request& request, Builder& into) {  // SBC-4 6.6.4
    const LogicalUnitState& state = *request.state;
    const Provisioning& thin = state.provisioning;
    constexpr std::uint32_t alignment_valid = 0x80000000;  // UGAVALID
    into.u8(0x01);                                         // WSNZ
    into.u8(clip<std::uint8_t>(state.maximum_compare_and_write_blocks));
    into.be16(clip<std::uint16_t>(state.geometry.optimal_transfer_granularity));
    into.be32(state.maximum_transfer_blocks);
    into.be32(state.geometry.optimal_transfer_blocks);
    into.be32(0);  // MAXIMUM PREFETCH LENGTH: no limit
    into.be32(unmap_limit(thin, thin.maximum_unmap_blocks));
    into.be32(unmap_limit(thin, thin.maximum_unmap_descriptors));
    into.be32(thin.granularity_blocks);
    into.be32(
        thin.granularity_blocks == 0 ? 0 : alignment_valid | (thin.alignment_blocks & 0x7FFFFFFF));
    into.be64(thin.maximum_write_same_blocks);
    const std::uint32_t atomic = state.maximum_atomic_blocks;
    into.be32(atomic);  // MAXIMUM ATOMIC TRANSFER LENGTH
    into.be64(0);       // ATOMIC ALIGNMENT and TRANSFER LENGTH GRANULARITY: any
    into.be32(atomic);  // ... WITH ATOMIC BOUNDARY: the whole transfer is atomic all the same
    into.be32(atomic);  // MAXIMUM ATOMIC BOUNDARY SIZE
}

void put_block_device_characteristics(const Request& request, Builder& into) {  // SBC-4 6.6.2
    into.be16(request.state->geometry.rotation_rate);
    into.u8(0);  // PRODUCT TYPE: not indicated
    // WABEREQ: 01b, what a block erase has erased can be read. NOMINAL FORM FACTOR: not reported.
    into.u8(request.state->block_erase ? 0x40 : 0x00);
    into.u8(0x01);  // VBULS: VERIFY compares unmapped blocks as well
    into.zeros(55);
}

void put_logical_block_provisioning(const Request& request, Builder& into) {  // SBC-4 6.6.6
    const Provisioning& thin = request.state->provisioning;
    const bool provisioned_thinly = thin.unmap || thin.write_same_unmap;
    into.u8(thin.reports_resources ? threshold_exponent(request.state->geometry) : 0);
    into.u8(static_cast<std::uint8_t>((thin.unmap ? 0x80 : 0x00) |                 // LBPU
                                      (thin.write_same_unmap ? 0x60 : 0x00) |      // LBPWS, LBPWS10
                                      (thin.unmapped_reads_zeros ? 0x04 : 0x00) |  // LBPRZ 001b
                                      (thin.anchor ? 0x02 : 0x00)));               // ANC_SUP
    into.u8(provisioned_thinly ? 0x02 : 0x00);  // PROVISIONING TYPE
    into.u8(0);
}

void put_referrals(const Request& request, Builder& into) {  // SBC-4 6.6.8
    const Referrals& referrals = request.state->access.referrals;
    into.be32(0);
    into.be32(referrals.segment_blocks);
    into.be32(referrals.segment_multiplier);
}

// Supported Block Lengths And Protection Types: one length, which FORMAT UNIT does not change, with
// every type that it can choose.
void put_supported_block_lengths(const Request& request, Builder& into) {
    const Protection& protection = request.state->protection;
    constexpr std::uint8_t unchecked_escapes = 0x08;  // NO_PI_CHK
    into.be32(request.state->geometry.block_bytes);
    into.u8(static_cast<std::uint8_t>(protection_checks_of(*request.state) |
                                      (protection.offered() ? unchecked_escapes : 0)));
    into.u8(protection.supported  // T3PS, T2PS, T1PS, T0PS
                ? std::uint8_t{0x0F}
                : static_cast<std::uint8_t>(1U << protection.type));
    into.be16(0);
}

void put_block_limits_extension(const Request&, Builder& into) {
    into.be16(0);
    into.be16(Streams::maximum);  // MAXIMUM NUMBER OF STREAMS
    into.zeros(56);               // no write size or granularity of streams is better than another
}

}  // namespace olio::scsi
