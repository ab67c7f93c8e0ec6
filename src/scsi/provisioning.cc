#include "scsi/provisioning.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include "scsi/logical_unit_state.h"

namespace olio::scsi {

namespace {

std::uint64_t blocks_of(std::uint32_t sets, std::uint8_t exponent) noexcept {
    return std::uint64_t{sets} << exponent;
}

// Whether it is newly true.
bool note(bool& reached, bool now) noexcept {
    return !std::exchange(reached, now) && now;
}

}  // namespace

std::uint8_t threshold_exponent(const Geometry& geometry) noexcept {
    constexpr std::uint32_t set_bytes = 1 << 20;
    constexpr int count_bits = 32;
    const int wanted = std::countr_zero(set_bytes / geometry.block_bytes);
    const int needed = static_cast<int>(std::bit_width(geometry.blocks)) - count_bits;
    return static_cast<std::uint8_t>(std::max(wanted, needed));
}

bool note_resources(LogicalUnitState& state, std::uint64_t available_blocks,
                    std::uint64_t used_blocks) noexcept {
    Provisioning& thin = state.provisioning;
    const ModePages& mode = state.mode_pages;
    const std::uint8_t exponent = threshold_exponent(state.geometry);
    thin.available_blocks = available_blocks;
    thin.used_blocks = used_blocks;
    thin.resources_known = true;
    const bool low = mode.available_threshold_enabled &&
                     available_blocks <= blocks_of(mode.available_threshold, exponent);
    const bool high =
        mode.used_threshold_enabled && used_blocks >= blocks_of(mode.used_threshold, exponent);
    const bool newly_low = note(thin.available_reached, low);
    const bool newly_high = note(thin.used_reached, high);
    return newly_low || newly_high;
}

bool thresholds_enabled(const LogicalUnitState& state) noexcept {
    return state.mode_pages.available_threshold_enabled || state.mode_pages.used_threshold_enabled;
}

void put_resource(const LogicalUnitState& state, MappingResource resource, Builder& into) {
    enum Scope : std::uint8_t { dedicated = 1, shared = 2 };
    const Provisioning& thin = state.provisioning;
    const bool available = resource == MappingResource::available;
    const std::uint64_t sets = (available ? thin.available_blocks : thin.used_blocks) >>
                               threshold_exponent(state.geometry);
    into.be32(static_cast<std::uint32_t>(
        std::min<std::uint64_t>(sets, std::numeric_limits<std::uint32_t>::max())));
    into.u8(available && thin.shared_resources ? shared : dedicated);
    into.zeros(3);
}

}  // namespace olio::scsi
