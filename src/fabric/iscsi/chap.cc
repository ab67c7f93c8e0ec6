#include "fabric/iscsi/chap.h"

#include <fmt/core.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

namespace olio::iscsi {

namespace {

constexpr std::size_t max_credential_bytes = 255;

// IANA "PPP Authentication Algorithms", as RFC 7143 12.1.3 and its registry list them for CHAP_A.
constexpr ChapAlgorithm known_algorithms[] = {
    {5, "MD5", 16},
    {6, "SHA1", 20},
    {7, "SHA256", 32},
    {8, "SHA3-256", 32},
};

struct DigestFree {
    void operator()(EVP_MD* digest) const noexcept { EVP_MD_free(digest); }
};
struct ContextFree {
    void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
};

bool credential_ok(const ChapCredentials& credentials) noexcept {
    const auto ok = [](const std::string& value) {
        return !value.empty() && value.size() <= max_credential_bytes &&
               value.find('\0') == std::string::npos;
    };
    return ok(credentials.user) && ok(credentials.secret);
}

bool equal_secrets(std::string_view a, std::string_view b) noexcept {
    return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

Result<void> check_authentication(const AuthenticationSettings& settings) {
    const bool all_ok = std::ranges::all_of(settings.accepted, credential_ok) &&
                        (!settings.mutual || credential_ok(*settings.mutual));
    if (!all_ok)
        return fail(EINVAL,
                    fmt::format("a CHAP name or secret is empty, has a NUL or is longer than "
                                "{} bytes",
                                max_credential_bytes));
    if (settings.mutual && settings.accepted.empty())
        return fail(EINVAL, "mutual CHAP needs credentials of the initiator too");
    for (const ChapCredentials& accepted : settings.accepted)
        if (settings.mutual && equal_secrets(accepted.secret, settings.mutual->secret))
            return fail(EINVAL, "the CHAP secrets of initiator and target must differ");
    return {};
}

std::string secret_advice(const AuthenticationSettings& settings) {
    const auto is_short = [](const ChapCredentials& credentials) {
        return credentials.secret.size() < advised_chap_secret_bytes;
    };
    if (std::ranges::none_of(settings.accepted, is_short) &&
        (!settings.mutual || !is_short(*settings.mutual)))
        return {};
    return fmt::format(
        "a CHAP secret has fewer than {} bytes; some initiators refuse it, and it can "
        "be guessed from a recorded login",
        advised_chap_secret_bytes);
}

const std::vector<ChapAlgorithm>& chap_algorithms() {
    static const std::vector<ChapAlgorithm> usable = [] {
        std::vector<ChapAlgorithm> found;
        for (const ChapAlgorithm& algorithm : known_algorithms)
            if (chap_digest(algorithm, 0, "probe", {}))
                found.push_back(algorithm);
        return found;
    }();
    return usable;
}

Result<std::vector<std::uint8_t>> chap_digest(const ChapAlgorithm& algorithm,
                                              std::uint8_t identifier, std::string_view secret,
                                              Bytes challenge) {
    const std::unique_ptr<EVP_MD, DigestFree> digest(
        EVP_MD_fetch(nullptr, algorithm.name, nullptr));
    const std::unique_ptr<EVP_MD_CTX, ContextFree> context(EVP_MD_CTX_new());
    std::vector<std::uint8_t> result(EVP_MAX_MD_SIZE);
    unsigned length = 0;
    if (!digest || !context || EVP_DigestInit_ex2(context.get(), digest.get(), nullptr) != 1 ||
        EVP_DigestUpdate(context.get(), &identifier, 1) != 1 ||
        EVP_DigestUpdate(context.get(), secret.data(), secret.size()) != 1 ||
        EVP_DigestUpdate(context.get(), challenge.data(), challenge.size()) != 1 ||
        EVP_DigestFinal_ex(context.get(), result.data(), &length) != 1 ||
        length != algorithm.digest_bytes)
        return fail(EIO, fmt::format("the crypto library does not compute {}", algorithm.name));
    result.resize(length);
    return result;
}

Result<void> ChapTarget::step(const Answer& keys, TextBuilder& out) {
    const State before = std::exchange(state_, State::failed);
    if (before == State::algorithm) {
        if (!keys.algorithms || keys.name || keys.response || keys.identifier || keys.challenge)
            return fail(EACCES, "CHAP_A alone must come first");
        return choose(*keys.algorithms, out);
    }
    if (before == State::response)
        return verify(keys, out);
    return fail(EACCES, "CHAP keys after the end of CHAP");
}

Result<void> ChapTarget::choose(std::string_view list, TextBuilder& out) {
    const Result<std::vector<std::string_view>> items = split_list(list);
    if (!items)
        return std::unexpected(items.error());
    const std::vector<ChapAlgorithm>& usable = chap_algorithms();
    for (const std::string_view item : *items) {
        const Result<std::uint64_t> number = parse_number(item);
        const auto found = std::ranges::find_if(usable, [&number](const ChapAlgorithm& algorithm) {
            return number && algorithm.number == *number;
        });
        if (found == usable.end())
            continue;
        algorithm_ = &*found;
        const std::size_t length = algorithm_->digest_bytes;
        if (RAND_bytes(&identifier_, 1) != 1 ||
            RAND_bytes(challenge_.data(), static_cast<int>(length)) != 1)
            return fail(EIO, "the crypto library has no random numbers");
        out.add("CHAP_A", std::uint64_t{algorithm_->number});
        out.add("CHAP_I", std::uint64_t{identifier_});
        out.add("CHAP_C", hex_text(Bytes(challenge_).first(length)));
        state_ = State::response;
        return {};
    }
    return fail(EACCES, "no CHAP algorithm that both sides have");
}

Result<void> ChapTarget::verify(const Answer& keys, TextBuilder& out) {
    if (keys.algorithms || !keys.name || !keys.response)
        return fail(EACCES, "CHAP_N and CHAP_R must answer the challenge");
    std::array<std::uint8_t, max_chap_digest_bytes> response{};
    const Result<std::size_t> length =
        parse_binary(*keys.response, MutableBytes(response).first(algorithm_->digest_bytes));
    if (!length || *length != algorithm_->digest_bytes)
        return fail(EACCES, "CHAP_R is not a digest of the algorithm's length");

    // An unknown name takes as long as a wrong secret.
    static const ChapCredentials nobody{"", "no such initiator"};
    const auto found = std::ranges::find(settings_.accepted, *keys.name, &ChapCredentials::user);
    const bool known = found != settings_.accepted.end();
    const ChapCredentials& credentials = known ? *found : nobody;
    const Result<std::vector<std::uint8_t>> expected =
        chap_digest(*algorithm_, identifier_, credentials.secret,
                    Bytes(challenge_).first(algorithm_->digest_bytes));
    if (!expected)
        return std::unexpected(expected.error());
    const bool same = CRYPTO_memcmp(expected->data(), response.data(), expected->size()) == 0;
    if (!same || !known)
        return fail(EACCES, "wrong CHAP name or secret");
    if (keys.identifier || keys.challenge)
        OLIO_TRY(prove(keys, credentials.secret, out));
    user_ = credentials.user;
    state_ = State::done;
    return {};
}

Result<void> ChapTarget::prove(const Answer& keys, std::string_view accepted_secret,
                               TextBuilder& out) {
    if (!keys.identifier || !keys.challenge)
        return fail(EACCES, "mutual CHAP needs CHAP_I and CHAP_C");
    if (!settings_.mutual)
        return fail(EACCES, "the initiator wants mutual CHAP, but the target has no credentials");
    const Result<std::uint64_t> identifier = parse_number(*keys.identifier);
    std::array<std::uint8_t, max_chap_challenge_bytes> buffer{};
    const Result<std::size_t> length = parse_binary(*keys.challenge, buffer);
    if (!identifier || *identifier > 255 || !length || *length == 0)
        return fail(EACCES, "CHAP_I or CHAP_C of the initiator is malformed");
    const Bytes challenge = Bytes(buffer).first(*length);
    // RFC 7143 12.1.3: a reflected challenge, or the same secret both ways, would let an initiator
    // answer with our own words.
    if (std::ranges::equal(challenge, Bytes(challenge_).first(algorithm_->digest_bytes)))
        return fail(EACCES, "the initiator reflected the target's challenge");
    if (equal_secrets(accepted_secret, settings_.mutual->secret))
        return fail(EACCES, "the CHAP secrets of initiator and target are the same");
    const Result<std::vector<std::uint8_t>> proof = chap_digest(
        *algorithm_, static_cast<std::uint8_t>(*identifier), settings_.mutual->secret, challenge);
    if (!proof)
        return std::unexpected(proof.error());
    out.add("CHAP_N", settings_.mutual->user);
    out.add("CHAP_R", hex_text(*proof));
    return {};
}

}  // namespace olio::iscsi
