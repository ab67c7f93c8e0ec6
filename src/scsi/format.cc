#include "scsi/format.h"

#include <cstring>

#include "base/assert.h"
#include "scsi/logical_unit_state.h"
#include "scsi/sense_codes.h"

namespace olio::scsi {

namespace {

constexpr bool bit(std::uint8_t byte, unsigned number) noexcept {
    return (byte >> number & 1U) != 0;
}

std::unexpected<SenseData> too_short() {
    return std::unexpected(make_sense(sense::parameter_list_length_error));
}

std::unexpected<SenseData> wrong_at(std::size_t byte,
                                    std::optional<std::uint8_t> bit = std::nullopt) {
    return std::unexpected(invalid_field_in_parameter_list(static_cast<std::uint16_t>(byte), bit));
}

// FMTPINFO.
constexpr std::uint8_t format_protection_of(Bytes cdb) noexcept {
    return static_cast<std::uint8_t>(cdb[1] >> 6);
}

// By FMTPINFO and PROTECTION FIELD USAGE; -1: there is no such type.
constexpr int protection_type_of(std::uint8_t format_protection, std::uint8_t usage) noexcept {
    switch (format_protection << 3 | usage) {
        case 0b00'000:
            return 0;
        case 0b10'000:
            return 1;
        case 0b11'000:
            return 2;
        case 0b11'001:
            return 3;
        default:
            return -1;
    }
}

std::expected<void, SenseData> check_format_cdb(const Request& request, FormatFields& fields) {
    constexpr std::uint8_t last_defect_format = 5;  // PHYSICAL SECTOR; 110b is vendor specific
    const Bytes cdb = request.cdb;
    const std::uint8_t protection = format_protection_of(cdb);
    const bool possible = request.state->protection.supported && format_has_list(cdb);
    if (protection == 1 || (protection != 0 && !possible))
        return std::unexpected(invalid_field_in_cdb(1, 7));
    if ((cdb[1] & 0x07) > last_defect_format)
        return std::unexpected(invalid_field_in_cdb(1, 2));
    const std::uint8_t fast = cdb[4] & 0x03;
    if (fast > 1)
        return std::unexpected(invalid_field_in_cdb(4, 1));
    fields.fast = fast == 1;
    return {};
}

// The initialization pattern descriptor (SBC-4, FORMAT UNIT). Returns where the list goes on.
std::expected<std::size_t, SenseData> parse_pattern(const Request& request, Bytes list,
                                                    std::size_t at, FormatFields& fields) {
    enum Type : std::uint8_t { default_pattern = 0, repeated_pattern = 1 };
    constexpr std::size_t descriptor_bytes = 4;
    if (list.size() < at + descriptor_bytes)
        return too_short();
    constexpr std::uint8_t security_initialize = 0x20;  // SI: every block is written all the same
    if ((list[at] & ~security_initialize) != 0)
        return wrong_at(at, std::uint8_t{7});
    const std::uint8_t type = list[at + 1];
    const std::size_t length = load_be<std::uint16_t>(list.data() + at + 2);
    if (type > repeated_pattern)
        return wrong_at(at + 1);
    if (type == default_pattern && length != 0)
        return wrong_at(at + 2);
    if (type == repeated_pattern && (length == 0 || length > request.state->geometry.block_bytes))
        return wrong_at(at + 2);
    if (list.size() < at + descriptor_bytes + length)
        return too_short();
    const Bytes pattern = list.subspan(at + descriptor_bytes, length);
    fields.pattern.assign(pattern.begin(), pattern.end());
    return at + descriptor_bytes + length;
}

}  // namespace

bool format_has_list(Bytes cdb) noexcept {
    return bit(cdb[1], 4);
}

std::expected<FormatFields, SenseData> parse_format(const Request& request, Bytes list) {
    FormatFields fields;
    if (auto allowed = check_format_cdb(request, fields); !allowed)
        return std::unexpected(allowed.error());
    if (!format_has_list(request.cdb))
        return fields;
    const bool long_list = bit(request.cdb[1], 5);
    const std::size_t header_bytes = long_list ? 8 : 4;
    if (list.size() < header_bytes)
        return too_short();
    const int type = protection_type_of(format_protection_of(request.cdb), list[0] & 0x07);
    if (type < 0)  // PROTECTION FIELD USAGE
        return wrong_at(0, std::uint8_t{2});
    fields.protection_type = static_cast<std::uint8_t>(type);
    constexpr std::uint8_t options_without_validity = 0x78;  // DPRY, DCRT, STPF, IP
    const bool options_valid = bit(list[1], 7);              // FOV
    if (!options_valid && (list[1] & options_without_validity) != 0)
        return wrong_at(1, std::uint8_t{7});
    fields.immediate = bit(list[1], 1);
    if (long_list && list[3] != 0)  // P_I_INFORMATION and PROTECTION INTERVAL EXPONENT
        return wrong_at(3, std::uint8_t{7});
    const std::size_t defects_at = long_list ? 4 : 2;
    const std::uint64_t defect_bytes = long_list ? load_be<std::uint32_t>(list.data() + defects_at)
                                                 : load_be<std::uint16_t>(list.data() + defects_at);
    std::size_t at = header_bytes;
    if (bit(list[1], 3)) {  // IP
        const auto behind = parse_pattern(request, list, at, fields);
        if (!behind)
            return std::unexpected(behind.error());
        at = *behind;
    }
    if (defect_bytes > list.size() - at)
        return too_short();
    if (defect_bytes != 0)
        return wrong_at(defects_at);
    return fields;
}

std::expected<SanitizeFields, SenseData> parse_sanitize(const Request& request, Bytes list) {
    constexpr std::size_t header_bytes = 4;
    constexpr std::uint16_t length_byte = 7;
    SanitizeFields fields{.action = static_cast<SanitizeAction>(request.cdb[1] & 0x1F),
                          .immediate = bit(request.cdb[1], 7),
                          .unrestricted_exit = bit(request.cdb[1], 5)};
    if (fields.action != SanitizeAction::overwrite) {
        if (!list.empty())
            return std::unexpected(invalid_field_in_cdb(length_byte));
        return fields;
    }
    const std::size_t block_bytes = request.state->geometry.block_bytes;
    if (list.size() <= header_bytes || list.size() > header_bytes + block_bytes)
        return std::unexpected(invalid_field_in_cdb(length_byte));
    fields.invert = bit(list[0], 7);
    fields.passes = list[0] & 0x1F;
    const std::size_t length = load_be<std::uint16_t>(list.data() + 2);
    if ((list[0] & 0x60) != 0)  // TEST
        return wrong_at(0, std::uint8_t{6});
    if (fields.passes == 0)
        return wrong_at(0, std::uint8_t{4});
    if (length == 0 || length > block_bytes)
        return wrong_at(2);
    if (list.size() != header_bytes + length)
        return too_short();
    const Bytes pattern = list.subspan(header_bytes);
    fields.pattern.assign(pattern.begin(), pattern.end());
    return fields;
}

void repeat_block(Bytes block, MutableBytes into) noexcept {
    OLIO_ASSERT(!block.empty(), "a block has bytes");
    for (std::size_t at = 0; at + block.size() <= into.size(); at += block.size())
        std::memmove(into.data() + at, block.data(), block.size());
}

std::vector<std::uint8_t> block_of_pattern(Bytes pattern, std::size_t block_bytes, bool inverted) {
    std::vector<std::uint8_t> block(block_bytes);
    for (std::size_t i = 0; i < block.size() && !pattern.empty(); ++i)
        block[i] = pattern[i % pattern.size()];
    if (inverted)
        for (std::uint8_t& byte : block)
            byte = static_cast<std::uint8_t>(~byte);
    return block;
}

}  // namespace olio::scsi
