// The text format of Login and Text PDUs (RFC 7143 6.1): key=value pairs, each ended by a NUL.
// Numbers, binary values and plain text have parsers of their own, for a CHAP_N that begins with
// "0x" is a name and nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/result.h"

namespace olio::iscsi {

inline constexpr std::size_t max_key_bytes = 63;      // RFC 7143 6.1
inline constexpr std::size_t max_text_pairs = 1024;   // in one negotiation sequence
inline constexpr std::size_t max_value_bytes = 8192;  // lists and large-binary-values included

struct KeyValue {
    std::string_view key;
    std::string_view value;
};

// Splits a complete text (all data segments of one sequence). The views point into it. Errors: no
// "=", a key that is empty, longer than 63 bytes or has characters that keys may not have, a value
// longer than max_value_bytes, more than max_text_pairs pairs. A NUL missing at the very end is
// forgiven; empty pairs (NULs in a row) are padding.
[[nodiscard]] Result<std::vector<KeyValue>> parse_text(std::string_view text);

// Joins the data segments of a sequence whose PDUs, but the last, have the C bit set (6.2).
class TextAssembler {
  public:
    explicit TextAssembler(std::size_t limit_bytes = limits::login_text_bytes) noexcept
        : limit_bytes_(limit_bytes) {}

    // False if the limit would be passed; nothing is added then.
    [[nodiscard]] bool add(Bytes segment);
    [[nodiscard]] std::string_view text() const noexcept { return text_; }
    [[nodiscard]] bool empty() const noexcept { return text_.empty(); }
    void clear() noexcept {
        text_.clear();
        text_.shrink_to_fit();
    }

  private:
    std::size_t limit_bytes_;
    std::string text_;
};

// Makes such a text. Keys are ours, values must not contain NULs.
class TextBuilder {
  public:
    void add(std::string_view key, std::string_view value);
    void add(std::string_view key, std::uint64_t number);
    void append(std::string_view pairs) { text_.append(pairs); }  // with their NULs
    [[nodiscard]] const std::string& text() const noexcept { return text_; }
    [[nodiscard]] std::string take() noexcept { return std::move(text_); }
    [[nodiscard]] bool empty() const noexcept { return text_.empty(); }

  private:
    std::string text_;
};

// A decimal-constant or hex-constant of at most 64 bits (6.1).
[[nodiscard]] Result<std::uint64_t> parse_number(std::string_view text);

// A binary-value: "0x" and hexadecimal digits, or "0b" and base64. The decoded length is checked
// against `out` before anything is written. Answers with that length.
[[nodiscard]] Result<std::size_t> parse_binary(std::string_view text, MutableBytes out);

[[nodiscard]] std::string hex_text(Bytes binary);  // "0x" and digits

// The items of a list value, in order. At most `max_items`; more is an error of the peer.
[[nodiscard]] Result<std::vector<std::string_view>> split_list(std::string_view value,
                                                               std::size_t max_items = 64);

// An iSCSI name as this target takes it (4.2.7): 1 to 223 bytes, no control characters, space or
// comma. Names are compared without regard to the case of ASCII letters: normalize_name() answers
// with the form that is stored and compared.
[[nodiscard]] bool valid_name(std::string_view name) noexcept;
[[nodiscard]] std::string normalize_name(std::string_view name);

}  // namespace olio::iscsi
