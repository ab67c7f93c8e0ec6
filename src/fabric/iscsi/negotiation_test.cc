#include "fabric/iscsi/negotiation.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace olio::iscsi {
namespace {

class NegotiationTest : public testing::Test {
  protected:
    bool take(const std::vector<KeyValue>& pairs, Phase phase = Phase::operational) {
        TextBuilder builder;
        std::vector<std::pair<Key, std::string_view>> texts;
        const bool ok = negotiation_.take(pairs, phase, builder, texts).has_value();
        read(builder);
        return ok;
    }
    void read(const TextBuilder& builder) {
        text_ = builder.text();
        answers_.clear();
        const auto pairs = parse_text(text_);
        for (const KeyValue& pair : *pairs)
            answers_[std::string(pair.key)] = pair.value;
    }
    std::string answer_to(std::string_view key, std::string_view value) {
        Negotiation fresh(settings_, true);
        TextBuilder builder;
        std::vector<std::pair<Key, std::string_view>> texts;
        const KeyValue pair{key, value};
        if (!fresh.take({&pair, 1}, Phase::operational, builder, texts))
            return "(error)";
        read(builder);
        return answers_.contains(std::string(key)) ? answers_[std::string(key)] : "";
    }

    OperationalSettings settings_;
    Negotiation negotiation_{settings_, true};
    std::string text_;
    std::map<std::string, std::string> answers_;
};

TEST_F(NegotiationTest, AnswersEachKindAsTheRfcSays) {
    EXPECT_EQ(answer_to("InitialR2T", "No"), "No");
    EXPECT_EQ(answer_to("InitialR2T", "Yes"), "Yes");
    EXPECT_EQ(answer_to("ImmediateData", "No"), "No");
    EXPECT_EQ(answer_to("ImmediateData", "Yes"), "Yes");
    EXPECT_EQ(answer_to("MaxBurstLength", "16776192"), "1048576");
    EXPECT_EQ(answer_to("MaxBurstLength", "0x200"), "512");
    EXPECT_EQ(answer_to("DefaultTime2Wait", "5"), "5");
    EXPECT_EQ(answer_to("DefaultTime2Retain", "20"), "0");
    EXPECT_EQ(answer_to("MaxOutstandingR2T", "65535"), "8");
    EXPECT_EQ(answer_to("HeaderDigest", "CRC32C,None"), "CRC32C");
    EXPECT_EQ(answer_to("HeaderDigest", "None,CRC32C"), "None");
    EXPECT_EQ(answer_to("DataDigest", "X-foo,CRC32C"), "CRC32C");
    EXPECT_EQ(answer_to("ErrorRecoveryLevel", "2"), "0");
    EXPECT_EQ(answer_to("MaxConnections", "8"), "1");
    EXPECT_EQ(answer_to("TaskReporting", "FastAbort,ResponseFence,RFC3720"), "ResponseFence");
    EXPECT_EQ(answer_to("iSCSIProtocolLevel", "31"), "2");
}

TEST_F(NegotiationTest, RejectsValuesThatTheKeyDoesNotAdmit) {
    EXPECT_EQ(answer_to("InitialR2T", "Maybe"), "Reject");
    EXPECT_EQ(answer_to("InitialR2T", "yes"), "Reject");
    EXPECT_EQ(answer_to("MaxBurstLength", "511"), "Reject");
    EXPECT_EQ(answer_to("MaxBurstLength", "16777216"), "Reject");
    EXPECT_EQ(answer_to("MaxBurstLength", "4294967808"), "Reject");
    EXPECT_EQ(answer_to("MaxConnections", "0"), "Reject");
    EXPECT_EQ(answer_to("ErrorRecoveryLevel", "3"), "Reject");
    EXPECT_EQ(answer_to("HeaderDigest", "MD5"), "Reject");
    EXPECT_EQ(answer_to("MaxRecvDataSegmentLength", "511"), "(error)");
    EXPECT_EQ(answer_to("MaxRecvDataSegmentLength", "x"), "(error)");
}

TEST_F(NegotiationTest, DoesNotUnderstandUnknownKeysAndRejectsObsoleteOnes) {
    EXPECT_EQ(answer_to("X-com.example.thing", "1"), "NotUnderstood");
    EXPECT_EQ(answer_to("headerdigest", "None"), "NotUnderstood");
    EXPECT_EQ(answer_to("IFMarker", "No"), "Reject");
    EXPECT_EQ(answer_to("OFMarkInt", "2048~8192"), "Reject");
}

TEST_F(NegotiationTest, KeepsFirstBurstWithinMaxBurstInWhateverOrderTheyCome) {
    ASSERT_TRUE(take({{"FirstBurstLength", "65536"}, {"MaxBurstLength", "8192"}}));
    EXPECT_EQ(answers_["FirstBurstLength"], "8192");
    EXPECT_EQ(negotiation_.result().first_burst_bytes, 8192u);
}

TEST_F(NegotiationTest, AKeySentTwiceIsAnErrorEvenInLaterRequests) {
    ASSERT_TRUE(take({{"MaxBurstLength", "8192"}}));
    EXPECT_FALSE(take({{"MaxBurstLength", "8192"}}));
    EXPECT_FALSE(take({{"DataDigest", "None"}, {"DataDigest", "None"}}));
    EXPECT_FALSE(take({{"InitiatorName", "a"}, {"InitiatorName", "a"}}));
}

TEST_F(NegotiationTest, KeysOfTheTargetAndOfOtherPhasesAreErrors) {
    EXPECT_FALSE(take({{"TargetAlias", "x"}}));
    EXPECT_FALSE(take({{"TargetPortalGroupTag", "1"}}));
    EXPECT_FALSE(take({{"SendTargets", "All"}}));
    EXPECT_FALSE(take({{"HeaderDigest", "None"}}, Phase::security));
}

TEST_F(NegotiationTest, LeadingOnlyKeysAreRefusedOnAnAddedConnection) {
    negotiation_ = Negotiation(settings_, false);
    EXPECT_FALSE(take({{"MaxConnections", "4"}}));
    negotiation_ = Negotiation(settings_, false);
    EXPECT_TRUE(take({{"HeaderDigest", "None"}, {"MaxRecvDataSegmentLength", "8192"}}));
}

TEST_F(NegotiationTest, DiscoveryMakesSomeKeysIrrelevant) {
    negotiation_.set_discovery(true);
    ASSERT_TRUE(
        take({{"InitialR2T", "No"}, {"MaxBurstLength", "8192"}, {"DefaultTime2Wait", "2"}}));
    EXPECT_EQ(answers_["InitialR2T"], "Irrelevant");
    EXPECT_EQ(answers_["MaxBurstLength"], "Irrelevant");
    EXPECT_EQ(answers_["DefaultTime2Wait"], "2");
}

TEST_F(NegotiationTest, ProposesWhatTheDefaultWouldHurtAndWantsAnAnswer) {
    settings_.max_burst_bytes = 65536;
    settings_.header_digests = 0b10;
    negotiation_ = Negotiation(settings_, true);
    EXPECT_FALSE(negotiation_.defaults_suffice());
    TextBuilder builder;
    ASSERT_TRUE(negotiation_.propose(builder));
    read(builder);
    EXPECT_EQ(answers_["MaxBurstLength"], "65536");
    EXPECT_EQ(answers_["HeaderDigest"], "CRC32C");
    EXPECT_TRUE(negotiation_.unanswered());
    ASSERT_TRUE(take({{"MaxBurstLength", "4096"}, {"HeaderDigest", "CRC32C"}}));
    EXPECT_FALSE(negotiation_.unanswered());
    EXPECT_TRUE(answers_.empty());
    EXPECT_EQ(negotiation_.result().max_burst_bytes, 4096u);
    EXPECT_EQ(negotiation_.result().header_digest, 1u);
    TextBuilder nothing;
    EXPECT_FALSE(negotiation_.propose(nothing));
}

TEST_F(NegotiationTest, AnAnswerThatWasNotOfferedIsAnError) {
    settings_.header_digests = 0b10;
    negotiation_ = Negotiation(settings_, true);
    TextBuilder builder;
    ASSERT_TRUE(negotiation_.propose(builder));
    EXPECT_FALSE(take({{"HeaderDigest", "None"}}));
    settings_.max_burst_bytes = 4096;
    negotiation_ = Negotiation(settings_, true);
    ASSERT_TRUE(negotiation_.propose(builder));
    EXPECT_FALSE(take({{"MaxBurstLength", "8192"}}));
}

TEST_F(NegotiationTest, OffersOfLoginKeysInTheFullFeaturePhaseAreRejected) {
    ASSERT_TRUE(take({{"MaxBurstLength", "4096"}, {"MaxRecvDataSegmentLength", "4096"}},
                     Phase::full_feature));
    EXPECT_EQ(answers_["MaxBurstLength"], "Reject");
    EXPECT_EQ(negotiation_.result().initiator_max_recv_bytes, 4096u);
    EXPECT_EQ(negotiation_.result().max_burst_bytes, 262144u);
}

}  // namespace
}  // namespace olio::iscsi
