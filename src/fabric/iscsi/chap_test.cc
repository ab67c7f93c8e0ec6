#include "fabric/iscsi/chap.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace olio::iscsi {
namespace {

const ChapAlgorithm* algorithm(std::uint8_t number) {
    for (const ChapAlgorithm& candidate : chap_algorithms())
        if (candidate.number == number)
            return &candidate;
    return nullptr;
}

std::map<std::string, std::string> read(const TextBuilder& builder) {
    std::map<std::string, std::string> keys;
    const auto pairs = parse_text(builder.text());
    for (const KeyValue& pair : *pairs)
        keys[std::string(pair.key)] = pair.value;
    return keys;
}

std::string respond(std::map<std::string, std::string>& keys, std::string_view secret) {
    std::vector<std::uint8_t> challenge(1024);
    challenge.resize(*parse_binary(keys["CHAP_C"], challenge));
    const auto* used = algorithm(static_cast<std::uint8_t>(*parse_number(keys["CHAP_A"])));
    return hex_text(*chap_digest(*used, static_cast<std::uint8_t>(*parse_number(keys["CHAP_I"])),
                                 secret, challenge));
}

class ChapTest : public testing::Test {
  protected:
    std::map<std::string, std::string> challenge(ChapTarget& chap, std::string_view list) {
        TextBuilder out;
        EXPECT_TRUE(chap.step({.algorithms = list}, out));
        return read(out);
    }
    AuthenticationSettings settings_{.accepted = {{"alice", "secret-of-alice"}},
                                     .mutual = ChapCredentials{"target", "secret-of-target"}};
};

// From independent computations: md5/sha1/sha256/sha3-256 of 01 "abcdefghijkl" 00 01 02 … 0f.
TEST_F(ChapTest, DigestsMatchKnownAnswers) {
    std::vector<std::uint8_t> challenge(16);
    for (std::uint8_t i = 0; i < 16; ++i)
        challenge[i] = i;
    const std::map<std::uint8_t, std::string> expected = {
        {5, "0x0ba5fab36926a6aab1f2e4aa6cf1158d"},
        {6, "0x0700cd7237c529d1336313ebe988d7c3c8155174"},
        {7, "0x46fd2375fbaaf56824d6dd7d509ce396d8d613af7d8f603db93b9073e0104c60"},
        {8, "0xf52db2a245f5942343533b65b9007106a36039e769d90ba4bca10ff0ed68a5cc"}};
    for (const ChapAlgorithm& used : chap_algorithms())
        EXPECT_EQ(hex_text(*chap_digest(used, 1, "abcdefghijkl", challenge)),
                  expected.at(used.number));
}

TEST_F(ChapTest, AcceptsTheRightSecretWithEveryAlgorithm) {
    for (const ChapAlgorithm& used : chap_algorithms()) {
        ChapTarget chap(settings_);
        auto keys = challenge(chap, std::to_string(used.number));
        EXPECT_EQ(keys["CHAP_A"], std::to_string(used.number));
        const std::string response = respond(keys, "secret-of-alice");
        TextBuilder out;
        ASSERT_TRUE(chap.step({.name = "alice", .response = response}, out));
        EXPECT_TRUE(chap.done());
        EXPECT_EQ(chap.user(), "alice");
        EXPECT_TRUE(out.empty());
    }
}

TEST_F(ChapTest, TakesTheFirstAlgorithmOfTheInitiatorThatItHas) {
    ChapTarget chap(settings_);
    EXPECT_EQ(challenge(chap, "99,7,5")["CHAP_A"], "7");
    ChapTarget none(settings_);
    TextBuilder out;
    EXPECT_FALSE(none.step({.algorithms = "99"}, out));
}

TEST_F(ChapTest, RefusesWrongSecretsNamesAndLengths) {
    const auto attempt = [this](std::string_view name, std::string_view secret) {
        ChapTarget chap(settings_);
        auto keys = challenge(chap, "7");
        const std::string response = respond(keys, secret);
        TextBuilder out;
        return chap.step({.name = name, .response = response}, out).has_value() && chap.done();
    };
    EXPECT_TRUE(attempt("alice", "secret-of-alice"));
    EXPECT_FALSE(attempt("alice", "wrong"));
    EXPECT_FALSE(attempt("bob", "secret-of-alice"));
    EXPECT_FALSE(attempt("bob", "no such initiator"));
    EXPECT_FALSE(attempt("", "secret-of-alice"));
    for (const std::string& response :
         {std::string("0x00"), "0b" + std::string(128, 'A'), std::string("0x"), std::string("1")}) {
        ChapTarget chap(settings_);
        (void)challenge(chap, "7");
        TextBuilder out;
        EXPECT_FALSE(chap.step({.name = "alice", .response = response}, out));
    }
}

TEST_F(ChapTest, ANameThatLooksLikeANumberIsText) {
    settings_.accepted = {{"0x616c696365", "secret-of-alice"}};
    ChapTarget chap(settings_);
    auto keys = challenge(chap, "5");
    const std::string response = respond(keys, "secret-of-alice");
    TextBuilder out;
    EXPECT_TRUE(chap.step({.name = "0x616c696365", .response = response}, out));
}

TEST_F(ChapTest, ProvesItselfWhenAskedTo) {
    for (const char* identifier : {"7", "0x07"}) {
        ChapTarget chap(settings_);
        auto keys = challenge(chap, "7");
        const std::string response = respond(keys, "secret-of-alice");
        TextBuilder out;
        ASSERT_TRUE(chap.step({.name = "alice",
                               .response = response,
                               .identifier = identifier,
                               .challenge = "0bAAECAwQFBgcICQoLDA0ODw=="},
                              out));
        auto proof = read(out);
        EXPECT_EQ(proof["CHAP_N"], "target");
        std::map<std::string, std::string> ours = {
            {"CHAP_A", "7"}, {"CHAP_I", "7"}, {"CHAP_C", "0x000102030405060708090a0b0c0d0e0f"}};
        EXPECT_EQ(proof["CHAP_R"], respond(ours, "secret-of-target"));
    }
}

TEST_F(ChapTest, RefusesItsOwnChallengeReflected) {
    ChapTarget chap(settings_);
    auto keys = challenge(chap, "7");
    const std::string response = respond(keys, "secret-of-alice");
    TextBuilder out;
    EXPECT_FALSE(chap.step(
        {.name = "alice", .response = response, .identifier = "1", .challenge = keys["CHAP_C"]},
        out));
    EXPECT_TRUE(out.empty());
    EXPECT_FALSE(chap.done());
}

TEST_F(ChapTest, RefusesMutualAuthenticationWithoutOrWithTheSameSecret) {
    for (const auto& mutual : {std::optional<ChapCredentials>(),
                               std::optional(ChapCredentials{"target", "secret-of-alice"})}) {
        settings_.mutual = mutual;
        ChapTarget chap(settings_);
        auto keys = challenge(chap, "7");
        const std::string response = respond(keys, "secret-of-alice");
        TextBuilder out;
        EXPECT_FALSE(chap.step(
            {.name = "alice", .response = response, .identifier = "1", .challenge = "0x0102"},
            out));
    }
}

TEST_F(ChapTest, NeverRepeatsAChallenge) {
    std::set<std::string> seen;
    for (int i = 0; i < 200; ++i) {
        ChapTarget chap(settings_);
        EXPECT_TRUE(seen.insert(challenge(chap, "5")["CHAP_C"]).second);
    }
}

TEST_F(ChapTest, AFailedExchangeCannotBeContinued) {
    ChapTarget chap(settings_);
    auto keys = challenge(chap, "7");
    TextBuilder out;
    EXPECT_FALSE(chap.step({.name = "alice", .response = "0x00"}, out));
    const std::string response = respond(keys, "secret-of-alice");
    EXPECT_FALSE(chap.step({.name = "alice", .response = response}, out));
    EXPECT_FALSE(chap.step({.algorithms = "7"}, out));
}

TEST(AuthenticationSettingsTest, AreCheckedWhenTheyAreMade) {
    EXPECT_TRUE(check_authentication({}));
    EXPECT_FALSE(check_authentication({.accepted = {{"", "x"}}, .mutual = {}}));
    EXPECT_FALSE(check_authentication({.accepted = {{"a", ""}}, .mutual = {}}));
    EXPECT_FALSE(check_authentication(
        {.accepted = {{"a", "same-secret"}}, .mutual = ChapCredentials{"b", "same-secret"}}));
    EXPECT_FALSE(check_authentication({.accepted = {}, .mutual = ChapCredentials{"b", "c"}}));
    EXPECT_FALSE(secret_advice({.accepted = {{"a", "short"}}, .mutual = {}}).empty());
    EXPECT_TRUE(secret_advice({.accepted = {{"a", "long-enough-12"}}, .mutual = {}}).empty());
}

}  // namespace
}  // namespace olio::iscsi
