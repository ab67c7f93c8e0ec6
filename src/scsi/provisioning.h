// Thin provisioning's resources (SBC-4): how many more blocks can be mapped, and the
// thresholds of the Logical Block Provisioning mode page (1Ch-02h) at which hosts are warned.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace olio::scsi {

struct Geometry;
struct LogicalUnitState;

// A threshold set is 2^this blocks: 1 MiB, or as much more as it takes to count the medium in 32
// bits.
[[nodiscard]] std::uint8_t threshold_exponent(const Geometry& geometry) noexcept;

// THRESHOLD RESOURCE, and the parameter codes of the log page.
enum class MappingResource : std::uint8_t { available = 0x01, used = 0x02 };

// What the store has found goes into the state. True: a threshold that is enabled has just been
// reached (THIN PROVISIONING SOFT THRESHOLD REACHED). It is armed again when there is more room, or
// when it has been disabled.
[[nodiscard]] bool note_resources(LogicalUnitState& state, std::uint64_t available_blocks,
                                  std::uint64_t used_blocks) noexcept;

// Whether anybody wants to be warned.
[[nodiscard]] bool thresholds_enabled(const LogicalUnitState& state) noexcept;

// What follows the header of a parameter of the Logical Block Provisioning log page (0Ch): 8 bytes.
inline constexpr std::uint8_t resource_parameter_bytes = 8;
void put_resource(const LogicalUnitState& state, MappingResource resource, Builder& into);

}  // namespace olio::scsi
