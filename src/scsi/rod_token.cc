#include "scsi/rod_token.h"

#include <algorithm>

#include "base/limits.h"
#include "scsi/logical_unit_state.h"
#include "scsi/range.h"
#include "scsi/sense_codes.h"

namespace olio::scsi {

namespace {

constexpr std::size_t descriptor_bytes = 16;
constexpr std::uint16_t token_length = rod_token_bytes - 8;  // ROD TOKEN LENGTH
constexpr std::size_t secret_at = 160;  // behind the target device descriptor's place

std::unexpected<SenseData> wrong_at(std::size_t byte) {
    return std::unexpected(invalid_field_in_parameter_list(static_cast<std::uint16_t>(byte)));
}

std::uint64_t most_blocks(const LogicalUnitState& state) {
    return limits::rod_token_data_bytes / state.geometry.block_bytes;
}

// Both lists begin with the length of what follows it, and end with the length of the block device
// range descriptors and the descriptors.
struct Ranges {
    std::vector<BlockRange> ranges;
    std::uint64_t blocks = 0;
};
std::expected<Ranges, SenseData> parse_ranges(Bytes list, std::size_t length_at,
                                              const LogicalUnitState& state) {
    const std::size_t first = length_at + 2;
    if (list.size() < first)
        return std::unexpected(make_sense(sense::parameter_list_length_error));
    const std::size_t data_bytes = load_be<std::uint16_t>(list.data());
    if (data_bytes + 2 > list.size())
        return std::unexpected(make_sense(sense::parameter_list_length_error));
    if (data_bytes + 2 < first + descriptor_bytes)
        return wrong_at(0);
    const std::size_t range_bytes = load_be<std::uint16_t>(list.data() + length_at);
    if (range_bytes < descriptor_bytes || range_bytes > data_bytes + 2 - first)
        return wrong_at(length_at);
    const std::size_t count = range_bytes / descriptor_bytes;
    if (count > limits::rod_token_ranges)
        return std::unexpected(make_sense(sense::too_many_segment_descriptors));
    Ranges parsed;
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t at = first + i * descriptor_bytes;
        const BlockRange range{load_be<std::uint64_t>(list.data() + at),
                               load_be<std::uint32_t>(list.data() + at + 8)};
        if (auto exists = check_range(state, range.lba, range.blocks); !exists)
            return std::unexpected(exists.error());
        for (const BlockRange& other : parsed.ranges)
            if (range.blocks != 0 && range.lba < other.lba + other.blocks &&
                other.lba < range.lba + range.blocks)
                return wrong_at(at);
        parsed.blocks += range.blocks;  // at most 64 of 32 bits
        if (parsed.blocks > most_blocks(state))
            return wrong_at(at + 8);
        if (range.blocks != 0)
            parsed.ranges.push_back(range);
    }
    return parsed;
}

}  // namespace

std::expected<PopulateTokenList, SenseData> parse_populate_token(Bytes list,
                                                                 const LogicalUnitState& state) {
    constexpr std::uint8_t rod_type_valid = 0x02;  // RTV
    auto ranges = parse_ranges(list, 14, state);
    if (!ranges)
        return std::unexpected(ranges.error());
    PopulateTokenList parsed;
    parsed.inactivity_timeout_seconds = load_be<std::uint32_t>(list.data() + 4);
    if (parsed.inactivity_timeout_seconds > limits::rod_token_timeout_seconds)
        return wrong_at(4);
    if (parsed.inactivity_timeout_seconds == 0)
        parsed.inactivity_timeout_seconds = limits::rod_token_default_timeout_seconds;
    const auto type = static_cast<RodType>(load_be<std::uint32_t>(list.data() + 8));
    if ((list[2] & rod_type_valid) != 0 && type != RodType::point_in_time_default &&
        type != RodType::point_in_time_change_vulnerable && type != RodType::point_in_time_any)
        return wrong_at(8);
    parsed.ranges = std::move(ranges->ranges);
    parsed.blocks = ranges->blocks;
    return parsed;
}

std::expected<WriteUsingTokenList, SenseData> parse_write_using_token(
    Bytes list, const LogicalUnitState& state) {
    auto ranges = parse_ranges(list, 534, state);
    if (!ranges)
        return std::unexpected(ranges.error());
    WriteUsingTokenList parsed;
    parsed.immediate = (list[2] & 0x01) != 0;
    parsed.delete_token = (list[2] & 0x02) != 0;
    parsed.offset_blocks = load_be<std::uint64_t>(list.data() + 8);
    std::copy_n(list.data() + 16, rod_token_bytes, parsed.token.begin());
    parsed.ranges = std::move(ranges->ranges);
    parsed.blocks = ranges->blocks;
    return parsed;
}

RodTokenBytes make_rod_token(const RodTokenFields& fields, const Identification& who) {
    RodTokenBytes token{};
    Builder into(token);
    into.be32(static_cast<std::uint32_t>(fields.type));
    into.zeros(2);
    into.be16(token_length);
    into.be64(fields.identifier);
    put_cscd_descriptor(who, fields.block_bytes, into);  // CREATOR LOGICAL UNIT DESCRIPTOR
    into.be64(0);
    into.be64(fields.bytes);  // NUMBER OF BYTES REPRESENTED
    into.zeros(32);
    into.be32(fields.block_bytes);  // DEVICE TYPE SPECIFIC DATA: the block length
    into.zeros(secret_at - into.size());
    into.bytes(fields.secret);
    return token;
}

std::expected<RodTokenFields, SenseData> read_rod_token(const RodTokenBytes& token) {
    RodTokenFields fields;
    fields.type = static_cast<RodType>(load_be<std::uint32_t>(token.data()));
    if (load_be<std::uint16_t>(token.data() + 6) != token_length)
        return std::unexpected(make_sense(sense::invalid_token_length));
    if (fields.type != RodType::block_zero &&
        fields.type != RodType::point_in_time_change_vulnerable)
        return std::unexpected(make_sense(sense::unsupported_token_type));
    fields.identifier = load_be<std::uint64_t>(token.data() + 8);
    return fields;
}

void put_rod_management_tokens(Bytes tokens, Builder& into) {
    into.be32(static_cast<std::uint32_t>(4 + tokens.size()));  // AVAILABLE DATA
    into.zeros(4);
    into.bytes(tokens);
}

std::vector<CopyMove> plan_write_using_token(const WriteUsingTokenList& list,
                                             std::uint32_t block_bytes,
                                             std::span<const BlockRange> source,
                                             std::uint32_t source_block_bytes) {
    std::vector<CopyMove> moves;
    std::uint64_t total = 0;
    for (const BlockRange& range : source)
        total += range.blocks * source_block_bytes;
    // Whole blocks of the destination. Neither product nor sum is larger than a medium.
    std::uint64_t left = list.offset_blocks > total / block_bytes
                             ? 0
                             : (total / block_bytes - list.offset_blocks) * block_bytes;
    std::uint64_t skip = left == 0 ? 0 : list.offset_blocks * block_bytes;
    auto from = source.begin();
    std::uint64_t from_done = 0;
    for (const BlockRange& range : list.ranges) {
        for (std::uint64_t done = 0; done < range.blocks * block_bytes && left != 0;) {
            const std::uint64_t there = from->blocks * source_block_bytes - from_done;
            if (skip >= there) {
                skip -= there;
                ++from;
                from_done = 0;
                continue;
            }
            from_done += std::exchange(skip, 0);
            const std::uint64_t bytes = std::min({range.blocks * block_bytes - done, left,
                                                  from->blocks * source_block_bytes - from_done});
            moves.push_back({.source = 0,
                             .destination = 1,
                             .source_byte = from->lba * source_block_bytes + from_done,
                             .destination_byte = range.lba * block_bytes + done,
                             .bytes = bytes});
            done += bytes;
            left -= bytes;
            from_done += bytes;
            if (from_done == from->blocks * source_block_bytes) {
                ++from;
                from_done = 0;
            }
        }
    }
    return moves;
}

std::vector<CopyMove> plan_zeros(const WriteUsingTokenList& list, std::uint32_t block_bytes) {
    std::vector<CopyMove> moves;
    for (const BlockRange& range : list.ranges)
        moves.push_back({.source = 1,
                         .destination = 1,
                         .destination_byte = range.lba * block_bytes,
                         .bytes = range.blocks * block_bytes,
                         .zeros = true});
    return moves;
}

// --- The Third-party Copy VPD page ---

void put_token_limits(const LogicalUnitState& state, Builder& into) {
    into.be16(0x0000);
    into.be16(0x0020);
    into.zeros(6);
    into.be16(limits::rod_token_ranges);
    into.be32(limits::rod_token_timeout_seconds);
    into.be32(limits::rod_token_default_timeout_seconds);
    into.be64(most_blocks(state));
    into.be64(limits::rod_token_optimal_bytes / state.geometry.block_bytes);
}

void put_token_features(Builder& into) {
    constexpr std::uint16_t block_features_bytes = 48;
    into.be16(0x0106);
    into.be16(44 + block_features_bytes);
    into.u8(0);  // REMOTE TOKENS: none
    into.zeros(11);
    into.be32(0);  // MINIMUM TOKEN LIFETIME
    into.be32(0);  // MAXIMUM TOKEN LIFETIME: not limited but by inactivity
    into.be32(limits::rod_token_timeout_seconds);
    into.zeros(18);
    into.be16(block_features_bytes);
    into.u8(0x00);  // of block devices
    into.zeros(1);
    into.be16(block_features_bytes - 4);
    into.zeros(2);
    into.be16(1);  // OPTIMAL BLOCK ROD LENGTH GRANULARITY
    into.be64(limits::rod_token_data_bytes);
    into.be64(limits::rod_token_optimal_bytes);
    into.be64(limits::rod_token_optimal_bytes);  // to a token
    into.be64(limits::rod_token_optimal_bytes);  // from a token
    into.zeros(8);
}

void put_token_types(Builder& into) {
    struct Type {
        RodType type;
        std::uint8_t directions;  // TOKEN_IN 02h: WRITE USING TOKEN takes it; TOKEN_OUT 01h
    };
    constexpr std::array<Type, 2> types{
        {{RodType::point_in_time_change_vulnerable, 0x03}, {RodType::block_zero, 0x02}}};
    constexpr std::uint16_t type_bytes = 64;
    into.be16(0x0108);
    into.be16(4 + types.size() * type_bytes);
    into.zeros(2);
    into.be16(types.size() * type_bytes);
    for (const Type& type : types) {
        into.be32(static_cast<std::uint32_t>(type.type));
        into.u8(type.directions);
        into.u8(0);
        into.be16(0);  // PREFERENCE INDICATOR
        into.zeros(56);
    }
}

}  // namespace olio::scsi
