// ORWRITE(16) and (32) (SBC-4 4.27): bits of a bitmap on the medium are set, or cleared together
// with a change of its generation.
#pragma once

#include <cstdint>
#include <expected>

#include "base/bytes.h"
#include "scsi/sense.h"

namespace olio::scsi {

struct OrwriteGenerations;

// BMOP
enum class BitmapOperation : std::uint8_t { set = 0, change_generation_and_clear = 1 };

struct OrwriteFields {
    BitmapOperation operation = BitmapOperation::set;
    std::uint8_t policy = 0;  // PREVIOUS GENERATION PROCESSING, of a change of the generation
    std::uint32_t expected = 0;
    std::uint32_t next = 0;  // NEW ORWGENERATION
};
// ORWRITE(16) has none of the fields: it sets, and expects generation zero. INVALID FIELD IN CDB
// for what is reserved.
[[nodiscard]] std::expected<OrwriteFields, SenseData> decode_orwrite(Bytes cdb) noexcept;

// What a command does, given the generations that are.
enum class OrwriteAction : std::uint8_t {
    perform,
    discard,  // GOOD, and nothing is written
    refuse,   // ORWRITE GENERATION DOES NOT MATCH
};
[[nodiscard]] OrwriteAction orwrite_action(const OrwriteFields& fields,
                                           const OrwriteGenerations& now) noexcept;
// What a successful change leaves.
[[nodiscard]] OrwriteGenerations next_generations(const OrwriteFields& fields,
                                                  const OrwriteGenerations& now) noexcept;

}  // namespace olio::scsi
