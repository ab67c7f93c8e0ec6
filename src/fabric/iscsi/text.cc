#include "fabric/iscsi/text.h"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

namespace olio::iscsi {

namespace {

// The characters of a standard-label or key-name (RFC 7143 6.1), and "#" of "X#" keys.
bool key_character(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '+' || c == '@' || c == '_' || c == '#' || c == '/';
}

bool starts_with_base(std::string_view text, char base) noexcept {
    return text.size() > 2 && text[0] == '0' && (text[1] | 0x20) == base;
}

constexpr std::uint8_t invalid_digit = 0xff;

std::uint8_t hex_digit(char c) noexcept {
    if (c >= '0' && c <= '9')
        return static_cast<std::uint8_t>(c - '0');
    const char lower = static_cast<char>(c | 0x20);
    if (lower >= 'a' && lower <= 'f')
        return static_cast<std::uint8_t>(lower - 'a' + 10);
    return invalid_digit;
}

std::uint8_t base64_digit(char c) noexcept {
    if (c >= 'A' && c <= 'Z')
        return static_cast<std::uint8_t>(c - 'A');
    if (c >= 'a' && c <= 'z')
        return static_cast<std::uint8_t>(c - 'a' + 26);
    if (c >= '0' && c <= '9')
        return static_cast<std::uint8_t>(c - '0' + 52);
    return c == '+' ? 62 : c == '/' ? 63 : invalid_digit;
}

Result<std::size_t> parse_hex(std::string_view digits, MutableBytes out) {
    const std::size_t length = (digits.size() + 1) / 2;
    if (length > out.size())
        return fail(EMSGSIZE, fmt::format("a binary value of {} bytes where at most {} may be",
                                          length, out.size()));
    // An odd number of digits has an implied leading zero.
    std::size_t nibble = digits.size() & 1;
    std::fill_n(out.begin(), length, std::uint8_t{0});
    for (const char c : digits) {
        const std::uint8_t digit = hex_digit(c);
        if (digit == invalid_digit)
            return fail(EINVAL, "a hexadecimal value has a character that is no digit");
        std::uint8_t& byte = out[nibble / 2];
        byte = static_cast<std::uint8_t>(byte << 4 | digit);
        ++nibble;
    }
    return length;
}

Result<std::size_t> parse_base64(std::string_view digits, MutableBytes out) {
    std::size_t pad = 0;
    while (pad < 2 && !digits.empty() && digits.back() == '=') {
        digits.remove_suffix(1);
        ++pad;
    }
    // RFC 4648: groups of four; the padding may not be left out, and a lone digit cannot be.
    if (digits.empty() || (digits.size() + pad) % 4 != 0 || digits.size() % 4 == 1)
        return fail(EINVAL, "a base64 value has the wrong length");
    const std::size_t length = digits.size() * 6 / 8;
    if (length > out.size())
        return fail(EMSGSIZE, fmt::format("a binary value of {} bytes where at most {} may be",
                                          length, out.size()));
    std::uint32_t bits = 0;
    unsigned count = 0;
    std::size_t at = 0;
    for (const char c : digits) {
        const std::uint8_t digit = base64_digit(c);
        if (digit == invalid_digit)
            return fail(EINVAL, "a base64 value has a character that is no digit");
        bits = bits << 6 | digit;
        count += 6;
        if (count >= 8) {
            count -= 8;
            out[at++] = static_cast<std::uint8_t>(bits >> count);
        }
    }
    return length;
}

}  // namespace

Result<std::vector<KeyValue>> parse_text(std::string_view text) {
    std::vector<KeyValue> pairs;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\0'), text.size());
        const std::string_view pair = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (pair.empty())
            continue;
        const std::size_t equals = pair.find('=');
        if (equals == std::string_view::npos)
            return fail(EINVAL, "a text pair has no '='");
        const KeyValue found{pair.substr(0, equals), pair.substr(equals + 1)};
        if (found.key.empty() || found.key.size() > max_key_bytes)
            return fail(EINVAL, fmt::format("a key of {} bytes; keys have 1 to {}",
                                            found.key.size(), max_key_bytes));
        if (!std::ranges::all_of(found.key, key_character))
            return fail(EINVAL, "a key has a character that keys may not have");
        if (found.value.size() > max_value_bytes)
            return fail(EINVAL, fmt::format("the value of {} has {} bytes; at most {} may be",
                                            found.key, found.value.size(), max_value_bytes));
        if (pairs.size() == max_text_pairs)
            return fail(EINVAL, fmt::format("more than {} keys at once", max_text_pairs));
        pairs.push_back(found);
    }
    return pairs;
}

bool TextAssembler::add(Bytes segment) {
    if (segment.size() > limit_bytes_ - text_.size())
        return false;
    text_.append(as_text(segment));
    return true;
}

void TextBuilder::add(std::string_view key, std::string_view value) {
    text_.append(key).append(1, '=').append(value).append(1, '\0');
}

void TextBuilder::add(std::string_view key, std::uint64_t number) {
    add(key, fmt::format("{}", number));
}

Result<std::uint64_t> parse_number(std::string_view text) {
    const bool hexadecimal = starts_with_base(text, 'x');
    const std::string_view digits = hexadecimal ? text.substr(2) : text;
    std::uint64_t value = 0;
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value, hexadecimal ? 16 : 10);
    if (error != std::errc{} || end != digits.data() + digits.size())
        return fail(EINVAL, "a value is not a number of at most 64 bits");
    return value;
}

Result<std::size_t> parse_binary(std::string_view text, MutableBytes out) {
    if (starts_with_base(text, 'x'))
        return parse_hex(text.substr(2), out);
    if (starts_with_base(text, 'b'))
        return parse_base64(text.substr(2), out);
    return fail(EINVAL, "a binary value begins with neither 0x nor 0b");
}

std::string hex_text(Bytes binary) {
    static constexpr std::string_view digits = "0123456789abcdef";
    std::string text = "0x";
    text.reserve(2 + binary.size() * 2);
    for (const std::uint8_t byte : binary) {
        text.push_back(digits[byte >> 4]);
        text.push_back(digits[byte & 15]);
    }
    return text;
}

Result<std::vector<std::string_view>> split_list(std::string_view value, std::size_t max_items) {
    std::vector<std::string_view> items;
    for (;;) {
        const std::size_t comma = value.find(',');
        const std::string_view item = value.substr(0, comma);
        if (item.empty())
            return fail(EINVAL, "a list has an empty item");
        if (items.size() == max_items)
            return fail(EINVAL, fmt::format("a list has more than {} items", max_items));
        items.push_back(item);
        if (comma == std::string_view::npos)
            return items;
        value.remove_prefix(comma + 1);
    }
}

bool valid_name(std::string_view name) noexcept {
    return !name.empty() && name.size() <= limits::iscsi_name_bytes &&
           std::ranges::all_of(name, [](char c) {
               const auto byte = static_cast<unsigned char>(c);
               return byte > ' ' && byte != 0x7f && c != ',';
           });
}

std::string normalize_name(std::string_view name) {
    std::string normal(name);
    for (char& c : normal)
        if (c >= 'A' && c <= 'Z')
            c = static_cast<char>(c | 0x20);
    return normal;
}

}  // namespace olio::iscsi
