// CHAP of RFC 1994 as iSCSI carries it (RFC 7143 12.1.3).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace olio::initiator {

// H(identifier, secret, challenge); empty for an algorithm that is not known. 5 MD5, 6 SHA1, 7
// SHA-256, 8 SHA3-256.
[[nodiscard]] std::string chap_response(std::string_view algorithm, std::uint8_t identifier,
                                        std::string_view secret, std::string_view challenge);
// "0x…" or "0b…" (base64) as binary.
[[nodiscard]] std::optional<std::string> decode_binary(std::string_view text);
[[nodiscard]] std::string encode_hex(std::string_view binary);
[[nodiscard]] std::string random_bytes(std::size_t count);

}  // namespace olio::initiator
