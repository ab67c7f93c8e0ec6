#include <gmock/gmock.h>

#include "initiator/chap.h"
#include "initiator/fake_target.h"

namespace olio::initiator {
namespace {

using namespace std::string_literals;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Settings normal() {
    Settings settings;
    settings.target_name = "iqn.2026-01.test:disk";
    return settings;
}

TEST(Login, OffersItsKeysAndTakesOverTheResults) {
    Settings settings = normal();
    settings.set("InitialR2T", "No");
    settings.set("HeaderDigest", "CRC32C,None");
    FakeTarget target(settings);
    target.connection.login();
    const Pdu request = target.next();
    EXPECT_EQ(request.header[0], 0x43);  // immediate Login Request
    EXPECT_EQ(request.u8(at::flags), 0x87);
    EXPECT_THAT(request.text(), HasSubstr("TargetName=iqn.2026-01.test:disk\0"s));
    EXPECT_THAT(request.text(), HasSubstr("InitialR2T=No\0"s));
    target.answer_login(request, 0x87,
                        "HeaderDigest=CRC32C\0InitialR2T=No\0MaxBurstLength=65536\0"
                        "MaxRecvDataSegmentLength=0x4000\0MaxOutstandingR2T=1\0"s);
    EXPECT_TRUE(target.connection.ready());
    EXPECT_TRUE(target.recorder.logged_in_);
    EXPECT_EQ(target.session.tsih(), 5);
    const Negotiated& result = target.connection.negotiated();
    EXPECT_TRUE(result.header_digest);
    EXPECT_FALSE(result.data_digest);
    EXPECT_FALSE(result.initial_r2t);
    EXPECT_EQ(result.max_burst_bytes, 65536U);
    EXPECT_EQ(result.target_max_recv_data_segment_bytes, 16384U);
    EXPECT_THAT(target.recorder.violations, IsEmpty());
}

TEST(Login, GoesThroughTheSecurityStageWithoutProof) {
    Settings settings = normal();
    settings.start_in_security_stage = true;
    FakeTarget target(settings);
    target.connection.login();
    const Pdu first = target.next();
    EXPECT_EQ(first.u8(at::flags), 0x81);
    EXPECT_THAT(first.text(), HasSubstr("AuthMethod=None\0"s));
    target.answer_login(first, 0x81, "AuthMethod=None\0"s);
    const Pdu second = target.next();
    EXPECT_EQ(second.u8(at::flags), 0x87);
    EXPECT_THAT(second.text(), HasSubstr("MaxBurstLength="));
    target.answer_login(second, 0x87);
    EXPECT_TRUE(target.connection.ready());
}

class LoginWithChap : public testing::TestWithParam<bool> {};

TEST_P(LoginWithChap, ProvesItselfAndChecksTheTarget) {
    const bool target_is_honest = GetParam();
    Settings settings = normal();
    settings.chap = Chap{"host", "secret-of-host", "disk", "secret-of-disk", "7,5"};
    FakeTarget target(settings);
    target.connection.login();
    target.answer_login(target.next(), 0x00, "AuthMethod=CHAP\0"s);
    const Pdu offer = target.next();
    EXPECT_EQ(offer.text(), "CHAP_A=7,5\0"s);
    target.answer_login(offer, 0x00, "CHAP_A=7\0CHAP_I=9\0CHAP_C=0x010203\0"s);
    const Pdu proof = target.next();
    const std::string text = proof.text();
    EXPECT_THAT(text, HasSubstr("CHAP_N=host\0CHAP_R="s +
                                encode_hex(chap_response("7", 9, "secret-of-host", "\1\2\3"))));
    const auto field = [&text](const std::string& key) {
        const std::size_t from = text.find(key + "=") + key.size() + 1;
        return text.substr(from, text.find('\0', from) - from);
    };
    const auto theirs = chap_response("7", static_cast<std::uint8_t>(std::stoi(field("CHAP_I"))),
                                      target_is_honest ? "secret-of-disk" : "a guess",
                                      *decode_binary(field("CHAP_C")));
    target.answer_login(proof, 0x81, "CHAP_N=disk\0CHAP_R="s + encode_hex(theirs) + "\0"s);
    if (!target_is_honest) {
        EXPECT_THAT(target.recorder.failure, HasSubstr("proof"));
        return;
    }
    target.answer_login(target.next(), 0x87);
    EXPECT_TRUE(target.connection.ready());
}
INSTANTIATE_TEST_SUITE_P(Targets, LoginWithChap, testing::Bool());

TEST(Login, FailsIfTheTargetAsksForNoProof) {
    Settings settings = normal();
    settings.chap = Chap{"host", "secret-of-host", "", "", "5"};
    FakeTarget target(settings);
    target.connection.login();
    target.answer_login(target.next(), 0x00, "AuthMethod=None\0"s);
    EXPECT_THAT(target.recorder.failure, HasSubstr("does not want CHAP"));
}

TEST(Login, ReportsClassAndDetail) {
    FakeTarget target(normal());
    target.connection.login();
    target.answer_login(target.next(), 0, {}, 0x0203);
    EXPECT_THAT(target.recorder.failure, HasSubstr("2/3"));
    EXPECT_EQ(target.connection.stage(), Connection::Stage::failed);
}

TEST(Login, SendsLongTextInPartsAndReadsSuch) {
    Settings settings = normal();
    settings.set("X-test.long", std::string(9000, 'x'));
    FakeTarget target(settings);
    target.byte_by_byte = true;
    target.connection.login();
    const Pdu first = target.next();
    EXPECT_EQ(first.u8(at::flags), 0x44);
    EXPECT_TRUE(target.silent());
    target.answer_login(first, 0x04);
    const Pdu second = target.next();
    EXPECT_EQ(second.u8(at::flags), 0x87);
    EXPECT_EQ(first.data.size(), 8192U);
    target.answer_login(second, 0x44, "MaxBurst"s);
    target.answer_login(target.next(), 0x87, "Length=4096\0X-test.long=NotUnderstood\0"s);
    EXPECT_TRUE(target.connection.ready());
    EXPECT_EQ(target.connection.negotiated().max_burst_bytes, 4096U);
    EXPECT_THAT(target.recorder.violations, IsEmpty());
}

TEST(Login, SeesAnIllegalResult) {
    FakeTarget target(normal());
    target.log_in("MaxBurstLength=999999\0InitialR2T=No\0"s);
    EXPECT_THAT(target.recorder.violations,
                ElementsAre(HasSubstr("MaxBurstLength=999999"), HasSubstr("InitialR2T=No")));
}

TEST(Login, SeesAWrongStatSN) {
    Settings settings = normal();
    settings.start_in_security_stage = true;
    FakeTarget target(settings);
    target.connection.login();
    target.answer_login(target.next(), 0x81);
    target.stat_sn += 3;
    target.answer_login(target.next(), 0x87);
    EXPECT_THAT(target.recorder.violations, Contains(HasSubstr("StatSN")));
}

TEST(Login, EndsWithTheConnection) {
    FakeTarget target(normal());
    target.connection.login();
    target.connection.closed();
    EXPECT_THAT(target.recorder.failure, HasSubstr("closed"));
}

}  // namespace
}  // namespace olio::initiator
