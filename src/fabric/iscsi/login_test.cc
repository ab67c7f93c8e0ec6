#include "fabric/iscsi/login.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace olio::iscsi {
namespace {

using namespace std::string_literals;

constexpr std::uint8_t to_operational = 0x80 | 0x01;           // T, CSG 0, NSG 1
constexpr std::uint8_t operational_to_full = 0x80 | 0x04 | 3;  // T, CSG 1, NSG 3
constexpr std::uint8_t security_to_full = 0x80 | 3;
const std::string names = "InitiatorName=iqn.i\0TargetName=iqn.t\0SessionType=Normal\0"s;

struct Policy final : LoginPolicy {
    TargetSelection select(const LoginIdentity& identity) override {
        seen = identity;
        TargetSelection answer = selection;
        if (!identity.discovery && identity.target_name != "iqn.t")
            answer.status = LoginStatus::target_not_found;
        return answer;
    }
    TargetSelection selection;
    LoginIdentity seen;
};

class LoginTest : public testing::Test {
  protected:
    LoginStep send(std::uint8_t flags, const std::string& text) {
        LoginRequestPdu request = header;
        request.flags = flags;
        return send(request, text);
    }
    LoginStep send(const LoginRequestPdu& request, const std::string& text) {
        const LoginStep step = login.request(encode(request, text.size()), as_bytes(text));
        if (step != LoginStep::admit)
            read();
        return step;
    }
    LoginStep admit(LoginStatus status = LoginStatus::success) {
        const LoginStep step = login.admitted(status, 77);
        read();
        return step;
    }
    void read() {
        response = decode<LoginResponsePdu>(login.reply().header);
        keys.clear();
        answer_text = login.reply().data;
        if (const auto pairs = parse_text(answer_text))
            for (const KeyValue& pair : *pairs)
                keys[std::string(pair.key)] = pair.value;
        EXPECT_EQ(data_segment_length(login.reply().header), answer_text.size());
        EXPECT_LE(answer_text.size(), login_segment_bytes);
    }
    void require_chap() {
        auto settings = std::make_shared<AuthenticationSettings>();
        settings->accepted = {{"alice", "secret-of-alice"}};
        policy.selection.authentication = settings;
    }
    void expect_refused(LoginStep step, LoginStatus status) {
        EXPECT_EQ(step, LoginStep::reply_and_close);
        EXPECT_EQ(response.status, status) << login_status_name(response.status);
        EXPECT_FALSE(login.failure().empty());
    }

    Policy policy;
    Login login{policy};
    LoginRequestPdu header{.isid = {0x80, 1, 2, 3, 4, 5},
                           .task_tag = 0x1234,
                           .cid = 1,
                           .cmd_sn = 100,
                           .exp_stat_sn = 50};
    LoginResponsePdu response;
    std::map<std::string, std::string> keys;
    std::string answer_text;
};

TEST_F(LoginTest, GoesFromSecurityOverOperationalToFullFeature) {
    ASSERT_EQ(send(to_operational, names + "AuthMethod=None,CHAP\0"s), LoginStep::reply);
    EXPECT_EQ(response.flags, to_operational);
    EXPECT_EQ(keys["AuthMethod"], "None");
    EXPECT_EQ(keys["TargetPortalGroupTag"], "1");
    EXPECT_EQ(response.numbering.stat_sn, 50u);
    EXPECT_EQ(response.numbering.exp_cmd_sn, 100u);
    EXPECT_EQ(response.numbering.max_cmd_sn, 131u);
    ASSERT_EQ(send(operational_to_full, "MaxBurstLength=8192\0"s), LoginStep::admit);
    ASSERT_EQ(admit(), LoginStep::reply);
    EXPECT_EQ(response.flags, operational_to_full);
    EXPECT_EQ(response.tsih, 77);
    EXPECT_EQ(response.numbering.stat_sn, 51u);
    EXPECT_EQ(keys["MaxBurstLength"], "8192");
    EXPECT_EQ(keys["MaxRecvDataSegmentLength"], "262144");
    EXPECT_TRUE(login.complete());
    EXPECT_EQ(login.parameters().max_burst_bytes, 8192u);
    EXPECT_EQ(login.parameters().target_max_recv_bytes, 262144u);
    EXPECT_EQ(policy.seen.initiator_name, "iqn.i");
}

TEST_F(LoginTest, MayBeginInTheOperationalStage) {
    ASSERT_EQ(send(operational_to_full, names), LoginStep::admit);
    EXPECT_EQ(admit(), LoginStep::reply);
    EXPECT_TRUE(login.complete());
}

TEST_F(LoginTest, MaySkipTheOperationalStage) {
    ASSERT_EQ(send(security_to_full, names), LoginStep::admit);
    EXPECT_EQ(admit(), LoginStep::reply);
    EXPECT_EQ(response.flags, security_to_full);
    EXPECT_EQ(login.parameters().target_max_recv_bytes, 8192u);
}

TEST_F(LoginTest, TakesDiscoveryWithoutTargetName) {
    ASSERT_EQ(
        send(operational_to_full, "InitiatorName=iqn.i\0SessionType=Discovery\0InitialR2T=No\0"s),
        LoginStep::admit);
    EXPECT_EQ(admit(), LoginStep::reply);
    EXPECT_TRUE(login.identity().discovery);
    EXPECT_EQ(keys["InitialR2T"], "Irrelevant");
    EXPECT_FALSE(keys.contains("TargetPortalGroupTag"));
}

TEST_F(LoginTest, NamesTheStatusOfEachFailure) {
    const struct {
        const char* what;
        std::uint8_t flags;
        std::string text;
        LoginStatus status;
    } cases[] = {
        {"no initiator name", operational_to_full, "TargetName=iqn.t\0"s,
         LoginStatus::missing_parameter},
        {"no target name", operational_to_full, "InitiatorName=iqn.i\0"s,
         LoginStatus::missing_parameter},
        {"unknown target", operational_to_full, "InitiatorName=iqn.i\0TargetName=iqn.x\0"s,
         LoginStatus::target_not_found},
        {"bad session type", operational_to_full, names + "X-a=1\0SessionType=Foo\0"s,
         LoginStatus::session_type_not_supported},
        {"T and C", 0xc5 | 0x02, names, LoginStatus::initiator_error},
        {"backwards", 0x80 | 0x04, names, LoginStatus::initiator_error},
        {"to the reserved stage", 0x80 | 0x04 | 2, names, LoginStatus::initiator_error},
        {"from the reserved stage", 0x80 | 0x08 | 3, names, LoginStatus::initiator_error},
        {"from full feature", 0x0c, names, LoginStatus::initiator_error},
        {"no equals sign", operational_to_full, names + "foo\0"s, LoginStatus::initiator_error},
        {"key twice", operational_to_full, names + "DataDigest=None\0DataDigest=None\0"s,
         LoginStatus::initiator_error},
        {"CHAP in the operational stage", operational_to_full, names + "CHAP_A=5\0"s,
         LoginStatus::initiator_error},
        {"CHAP without AuthMethod", 0x00, names + "CHAP_A=5\0"s, LoginStatus::initiator_error},
        {"AuthMethod without None", 0x00, names + "AuthMethod=CHAP\0"s,
         LoginStatus::authentication_failure},
        {"an operational key in security", 0x00, names + "DataDigest=None\0"s,
         LoginStatus::initiator_error},
    };
    for (const auto& each : cases) {
        SCOPED_TRACE(each.what);
        Policy own;
        Login fresh(own);
        LoginRequestPdu request = header;
        request.flags = each.flags;
        const LoginStep step =
            fresh.request(encode(request, each.text.size()), as_bytes(each.text));
        EXPECT_EQ(step, LoginStep::reply_and_close);
        EXPECT_EQ(decode<LoginResponsePdu>(fresh.reply().header).status, each.status)
            << fresh.failure();
    }
}

TEST_F(LoginTest, RefusesVersionsItDoesNotSpeak) {
    header.version_min = header.version_max = 1;
    header.flags = operational_to_full;
    expect_refused(send(header, names), LoginStatus::unsupported_version);
}

TEST_F(LoginTest, RefusesOtherPdusDuringLogin) {
    EXPECT_EQ(login.request(encode(NopOutPdu{}), {}), LoginStep::reply_and_close);
    EXPECT_EQ(decode<LoginResponsePdu>(login.reply().header).status,
              LoginStatus::invalid_during_login);
}

TEST_F(LoginTest, RefusesAnotherIsidBetweenRequests) {
    ASSERT_EQ(send(0x04, names), LoginStep::reply);
    header.isid[5] ^= 1;
    expect_refused(send(operational_to_full, ""), LoginStatus::initiator_error);
}

TEST_F(LoginTest, RefusesAnotherTaskTagBetweenRequests) {
    ASSERT_EQ(send(0x04, names), LoginStep::reply);
    header.task_tag ^= 1;
    expect_refused(send(operational_to_full, ""), LoginStatus::initiator_error);
}

TEST_F(LoginTest, TakesTheSameNamesAgainButNotOthers) {
    ASSERT_EQ(send(to_operational, names), LoginStep::reply);
    ASSERT_EQ(send(0x04, names), LoginStep::reply);
    EXPECT_EQ(response.status, LoginStatus::success);
    expect_refused(send(0x04, "InitiatorName=iqn.other\0"s), LoginStatus::initiator_error);
}

TEST_F(LoginTest, JoinsATextSplitAnywhere) {
    const std::string whole = names + "MaxBurstLength=8192\0HeaderDigest=CRC32C\0"s;
    for (std::size_t split = 0; split <= whole.size(); ++split) {
        Policy own;
        Login fresh(own);
        LoginRequestPdu request = header;
        request.flags = 0x40 | 0x04;
        const std::string head = whole.substr(0, split), tail = whole.substr(split);
        ASSERT_EQ(fresh.request(encode(request, head.size()), as_bytes(head)), LoginStep::reply);
        EXPECT_EQ(fresh.reply().data, "");
        EXPECT_EQ(decode<LoginResponsePdu>(fresh.reply().header).flags, 0x04);
        request.flags = operational_to_full;
        ASSERT_EQ(fresh.request(encode(request, tail.size()), as_bytes(tail)), LoginStep::admit)
            << split << " " << fresh.failure();
        EXPECT_EQ(fresh.parameters().header_digest, 1u);
    }
}

TEST_F(LoginTest, EndsEndlessTextsAndExchanges) {
    const std::string filler(8000, 'x');
    LoginStep step = LoginStep::reply;
    for (int i = 0; i < 12 && step == LoginStep::reply; ++i)
        step = send(0x44, filler);
    expect_refused(step, LoginStatus::initiator_error);

    Policy own;
    Login fresh(own);
    LoginRequestPdu request = header;
    request.flags = 0x04;
    unsigned count = 0;
    ASSERT_EQ(fresh.request(encode(request, names.size()), as_bytes(names)), LoginStep::reply);
    while (fresh.request(encode(request), {}) == LoginStep::reply)
        ASSERT_LT(++count, 1000u);
    EXPECT_EQ(fresh.failure_status(), LoginStatus::initiator_error);
}

TEST_F(LoginTest, SplitsAnswersThatDoNotFitOneResponse) {
    std::string many;
    for (int i = 0; i < 900; ++i)
        many += "X-" + std::to_string(i) + "=1\0"s;
    ASSERT_LT(many.size(), login_segment_bytes);
    Policy own;
    Login fresh(own);
    LoginRequestPdu request = header;
    request.flags = operational_to_full;
    const std::string sent = names + many;
    LoginStep step = fresh.request(encode(request, sent.size()), as_bytes(sent));
    std::string answer;
    unsigned rounds = 0;
    while (step == LoginStep::reply && ++rounds < 20) {
        const auto flags = decode<LoginResponsePdu>(fresh.reply().header).flags;
        EXPECT_EQ(flags & 0x40, 0x40);
        EXPECT_EQ(flags & 0x80, 0);
        answer += fresh.reply().data;
        step = fresh.request(encode(request), {});
    }
    ASSERT_EQ(step, LoginStep::admit);
    ASSERT_EQ(fresh.admitted(LoginStatus::success, 1), LoginStep::reply);
    answer += fresh.reply().data;
    EXPECT_EQ(parse_text(answer)->size(), 902u);  // and the group tag and our segment length
}

TEST_F(LoginTest, UnknownKeysOfAnyLengthAreAnsweredOrRefused) {
    // A long unknown key copied into the reply once overflowed another target's heap.
    for (std::size_t length = 1; length < 300; ++length) {
        Policy own;
        Login fresh(own);
        LoginRequestPdu request = header;
        request.flags = operational_to_full;
        const std::string sent = names + std::string(length, 'k') + "=v\0"s;
        const LoginStep step = fresh.request(encode(request, sent.size()), as_bytes(sent));
        EXPECT_EQ(step, length <= max_key_bytes ? LoginStep::admit : LoginStep::reply_and_close);
    }
}

TEST_F(LoginTest, WantsAuthenticationWhereItIsRequired) {
    require_chap();
    expect_refused(send(operational_to_full, names), LoginStatus::authentication_failure);
}

TEST_F(LoginTest, AuthenticatesByChapBeforeItLeavesTheSecurityStage) {
    require_chap();
    ASSERT_EQ(send(to_operational, names + "AuthMethod=CHAP,None\0"s), LoginStep::reply);
    EXPECT_EQ(keys["AuthMethod"], "CHAP");
    EXPECT_EQ(response.flags, 0x00);
    ASSERT_EQ(send(0x00, "CHAP_A=7\0"s), LoginStep::reply);
    std::vector<std::uint8_t> challenge(64);
    challenge.resize(*parse_binary(keys["CHAP_C"], challenge));
    const auto digest =
        chap_digest({7, "SHA256", 32}, static_cast<std::uint8_t>(*parse_number(keys["CHAP_I"])),
                    "secret-of-alice", challenge);
    ASSERT_EQ(send(to_operational, "CHAP_N=alice\0CHAP_R="s + hex_text(*digest) + "\0"s),
              LoginStep::reply);
    EXPECT_EQ(response.flags, to_operational);
    EXPECT_EQ(login.identity().chap_user, "alice");
    EXPECT_EQ(send(operational_to_full, ""), LoginStep::admit);
}

TEST_F(LoginTest, AWrongSecretIsAnAuthenticationFailure) {
    require_chap();
    ASSERT_EQ(send(0x00, names + "AuthMethod=CHAP\0"s), LoginStep::reply);
    ASSERT_EQ(send(0x00, "CHAP_A=7\0"s), LoginStep::reply);
    expect_refused(send(to_operational, "CHAP_N=alice\0CHAP_R=0x"s + std::string(64, '0') + "\0"s),
                   LoginStatus::authentication_failure);
}

TEST_F(LoginTest, NoAuthMethodAtAllIsAnAuthenticationFailureWhereOneIsRequired) {
    require_chap();
    expect_refused(send(security_to_full, names), LoginStatus::authentication_failure);
}

TEST_F(LoginTest, ARequestForNoneIsRefusedWhereChapIsRequired) {
    require_chap();
    expect_refused(send(to_operational, names + "AuthMethod=None\0"s),
                   LoginStatus::authentication_failure);
}

TEST_F(LoginTest, RedirectsWithTheAddress) {
    policy.selection.status = LoginStatus::moved_temporarily;
    policy.selection.redirect_address = "192.0.2.1:3260";
    expect_refused(send(operational_to_full, names), LoginStatus::moved_temporarily);
    EXPECT_EQ(keys["TargetAddress"], "192.0.2.1:3260");
}

TEST_F(LoginTest, TheSessionMayRefuseAtTheEnd) {
    ASSERT_EQ(send(operational_to_full, names), LoginStep::admit);
    const LoginStep step = admit(LoginStatus::session_does_not_exist);
    expect_refused(step, LoginStatus::session_does_not_exist);
    EXPECT_FALSE(login.complete());
}

TEST_F(LoginTest, ProposesItsLimitsAndWaitsForTheAnswer) {
    policy.selection.settings.max_burst_bytes = 65536;
    ASSERT_EQ(send(operational_to_full, names), LoginStep::reply);
    EXPECT_EQ(response.flags, 0x04);
    EXPECT_EQ(keys["MaxBurstLength"], "65536");
    ASSERT_EQ(send(operational_to_full, "MaxBurstLength=65536\0"s), LoginStep::admit);
    EXPECT_EQ(login.parameters().max_burst_bytes, 65536u);
}

TEST_F(LoginTest, AProposalLeftUnansweredIsRefused) {
    policy.selection.settings.header_digests = 0b10;
    ASSERT_EQ(send(operational_to_full, names), LoginStep::reply);
    expect_refused(send(operational_to_full, ""), LoginStatus::initiator_error);
}

}  // namespace
}  // namespace olio::iscsi
