// CHAP as RFC 7143 12.1 uses it: the target's side, one way and mutual. Algorithms are the MD5,
// SHA1, SHA-256 and SHA3-256 of the IANA registry; one that the crypto library refuses (MD5 under
// FIPS) is not offered.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "fabric/iscsi/text.h"

namespace olio::iscsi {

inline constexpr std::size_t max_chap_digest_bytes = 32;
inline constexpr std::size_t max_chap_challenge_bytes = 1024;  // RFC 7143 12.1.4
inline constexpr std::size_t advised_chap_secret_bytes = 12;   // 96 bits, RFC 7143 9.2.1

struct ChapCredentials {
    std::string user;
    std::string secret;
};

// Whom a portal group or a discovery session takes. Without accepted credentials there is no
// authentication.
struct AuthenticationSettings {
    std::vector<ChapCredentials> accepted;
    std::optional<ChapCredentials> mutual;  // how we prove ourselves, if the initiator asks

    [[nodiscard]] bool required() const noexcept { return !accepted.empty(); }
};

// EINVAL for empty or over-long (255 bytes) names and secrets, and if the mutual secret is one of
// the accepted ones (RFC 7143 9.2.1).
[[nodiscard]] Result<void> check_authentication(const AuthenticationSettings& settings);
// A warning for the administrator about secrets shorter than RFC 7143 advises; empty if there is
// none.
[[nodiscard]] std::string secret_advice(const AuthenticationSettings& settings);

struct ChapAlgorithm {
    std::uint8_t number;  // of CHAP_A
    const char* name;     // of the crypto library
    std::size_t digest_bytes;
};
// Those that this machine's crypto library has.
[[nodiscard]] const std::vector<ChapAlgorithm>& chap_algorithms();
// H(identifier, secret, challenge). EIO if the library fails.
[[nodiscard]] Result<std::vector<std::uint8_t>> chap_digest(const ChapAlgorithm& algorithm,
                                                            std::uint8_t identifier,
                                                            std::string_view secret,
                                                            Bytes challenge);

class ChapTarget {
  public:
    // `settings` must outlive it.
    explicit ChapTarget(const AuthenticationSettings& settings) noexcept : settings_(settings) {}

    struct Answer {
        std::optional<std::string_view> algorithms = {};  // CHAP_A
        std::optional<std::string_view> name = {};        // CHAP_N
        std::optional<std::string_view> response = {};    // CHAP_R
        std::optional<std::string_view> identifier = {};  // CHAP_I
        std::optional<std::string_view> challenge = {};   // CHAP_C
        [[nodiscard]] bool empty() const noexcept {
            return !algorithms && !name && !response && !identifier && !challenge;
        }
    };
    // One step: the initiator's keys of one exchange; our keys are appended to `out`. An error (its
    // text holds no secrets) means that authentication failed.
    [[nodiscard]] Result<void> step(const Answer& keys, TextBuilder& out);

    [[nodiscard]] bool done() const noexcept { return state_ == State::done; }
    [[nodiscard]] const std::string& user() const noexcept { return user_; }

  private:
    enum class State : std::uint8_t { algorithm, response, done, failed };

    [[nodiscard]] Result<void> choose(std::string_view list, TextBuilder& out);
    [[nodiscard]] Result<void> verify(const Answer& keys, TextBuilder& out);
    [[nodiscard]] Result<void> prove(const Answer& keys, std::string_view accepted_secret,
                                     TextBuilder& out);

    const AuthenticationSettings& settings_;
    State state_ = State::algorithm;
    const ChapAlgorithm* algorithm_ = nullptr;
    std::uint8_t identifier_ = 0;
    std::array<std::uint8_t, max_chap_digest_bytes> challenge_{};
    std::string user_;
};

}  // namespace olio::iscsi
