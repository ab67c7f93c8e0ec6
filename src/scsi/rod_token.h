// Copies by token, known as ODX (SBC-4 5.14 POPULATE TOKEN and 5.62 WRITE USING TOKEN; SPC-5 7.7
// for the token itself): the parameter lists, read and checked, and the bytes of a ROD token. Who
// keeps the tokens, and what makes them invalid, is target/rod_tokens.h.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <vector>

#include "base/bytes.h"
#include "scsi/extended_copy.h"
#include "scsi/sense.h"
#include "scsi/unmap_list.h"

namespace olio::scsi {

struct LogicalUnitState;

inline constexpr std::size_t rod_token_bytes = 512;
using RodTokenBytes = std::array<std::uint8_t, rod_token_bytes>;

// ROD TYPE
enum class RodType : std::uint32_t {
    point_in_time_default = 0x00800000,  // POPULATE TOKEN only: the choice is ours
    point_in_time_change_vulnerable = 0x00800001,
    point_in_time_any = 0x0080FFFF,  // POPULATE TOKEN only: the choice is ours
    block_zero = 0xFFFF0001,         // blocks of zeros; known to every host, kept nowhere
};

struct PopulateTokenList {
    std::uint32_t inactivity_timeout_seconds = 0;  // the default where the list has zero
    std::vector<BlockRange> ranges;                // on the medium, without overlap, none empty
    std::uint64_t blocks = 0;                      // their sum
};
// PARAMETER LIST LENGTH ERROR, INVALID FIELD IN PARAMETER LIST with pointer, TOO MANY SEGMENT
// DESCRIPTORS, LOGICAL BLOCK ADDRESS OUT OF RANGE. IMMED is accepted and needs nothing.
[[nodiscard]] std::expected<PopulateTokenList, SenseData> parse_populate_token(
    Bytes list, const LogicalUnitState& state);

struct WriteUsingTokenList {
    bool immediate = false;
    bool delete_token = false;
    std::uint64_t offset_blocks = 0;  // OFFSET INTO ROD
    RodTokenBytes token{};
    std::vector<BlockRange> ranges;
    std::uint64_t blocks = 0;
};
[[nodiscard]] std::expected<WriteUsingTokenList, SenseData> parse_write_using_token(
    Bytes list, const LogicalUnitState& state);

// What a token says of itself. Only its type and identifier are ever read back: whether a token is
// good is decided by comparing all of it with the one that was given out.
struct RodTokenFields {
    RodType type = RodType::point_in_time_change_vulnerable;
    std::uint64_t identifier = 0;
    std::uint64_t bytes = 0;  // that it represents
    std::uint32_t block_bytes = 0;
    std::array<std::uint8_t, 64> secret{};  // random
};
[[nodiscard]] RodTokenBytes make_rod_token(const RodTokenFields& fields, const Identification& who);
// Type and identifier. INVALID TOKEN OPERATION, INVALID TOKEN LENGTH or UNSUPPORTED TOKEN TYPE.
[[nodiscard]] std::expected<RodTokenFields, SenseData> read_rod_token(const RodTokenBytes& token);

// A ROD management token is the header and the body of a token (SPC-5 5.18): what it is, not what
// makes it hard to guess. `tokens` are any number of them, one behind the other; the parameter data
// of REPORT ALL ROD TOKENS.
inline constexpr std::size_t rod_management_token_bytes = 96;
void put_rod_management_tokens(Bytes tokens, Builder& into);

// The copy of `list.ranges` from the token's `ranges`, in pieces. Device 0 is the source, 1 the
// destination. Ends where either side does.
[[nodiscard]] std::vector<CopyMove> plan_write_using_token(const WriteUsingTokenList& list,
                                                           std::uint32_t block_bytes,
                                                           std::span<const BlockRange> source,
                                                           std::uint32_t source_block_bytes);
// ... and of zeros.
[[nodiscard]] std::vector<CopyMove> plan_zeros(const WriteUsingTokenList& list,
                                               std::uint32_t block_bytes);

// The descriptors of the Third-party Copy VPD page that are about tokens.
void put_token_limits(const LogicalUnitState& state, Builder& into);
void put_token_features(Builder& into);
void put_token_types(Builder& into);

}  // namespace olio::scsi
