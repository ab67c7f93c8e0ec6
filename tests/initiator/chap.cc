#include "initiator/chap.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <array>
#include <cctype>

namespace olio::initiator {

std::string chap_response(std::string_view algorithm, std::uint8_t identifier,
                          std::string_view secret, std::string_view challenge) {
    const EVP_MD* digest = algorithm == "5"   ? EVP_md5()
                           : algorithm == "6" ? EVP_sha1()
                           : algorithm == "7" ? EVP_sha256()
                           : algorithm == "8" ? EVP_sha3_256()
                                              : nullptr;
    if (digest == nullptr)
        return {};
    std::string message(1, static_cast<char>(identifier));
    message += secret;
    message += challenge;
    std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
    unsigned length = 0;
    if (EVP_Digest(message.data(), message.size(), out.data(), &length, digest, nullptr) != 1)
        return {};
    return {reinterpret_cast<const char*>(out.data()), length};
}

std::optional<std::string> decode_binary(std::string_view text) {
    if (text.size() < 2 || text[0] != '0')
        return std::nullopt;
    const char form = static_cast<char>(std::tolower(static_cast<unsigned char>(text[1])));
    text.remove_prefix(2);
    std::string out;
    unsigned bits = 0;
    unsigned held = 0;
    const auto digit = [form](char c) -> int {
        const std::string_view base64 =
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        const std::string_view hex = "0123456789abcdef";
        const std::size_t at =
            form == 'b' ? base64.find(c)
                        : hex.find(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
        return at == std::string_view::npos ? -1 : static_cast<int>(at);
    };
    if (form != 'x' && form != 'b')
        return std::nullopt;
    const unsigned width = form == 'x' ? 4 : 6;
    if (form == 'x' && text.size() % 2 != 0)
        held = 4;  // a leading zero is understood
    for (const char c : text) {
        if (form == 'b' && c == '=')
            break;
        const int value = digit(c);
        if (value < 0)
            return std::nullopt;
        bits = bits << width | static_cast<unsigned>(value);
        held += width;
        if (held >= 8) {
            held -= 8;
            out.push_back(static_cast<char>(bits >> held & 0xff));
            bits &= (1U << held) - 1;
        }
    }
    return out;
}

std::string encode_hex(std::string_view binary) {
    std::string text = "0x";
    for (const char c : binary) {
        const auto byte = static_cast<unsigned char>(c);
        text += "0123456789abcdef"[byte >> 4];
        text += "0123456789abcdef"[byte & 15];
    }
    return text;
}

std::string random_bytes(std::size_t count) {
    std::string bytes(count, '\0');
    if (RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(count)) != 1)
        bytes.clear();
    return bytes;
}

}  // namespace olio::initiator
