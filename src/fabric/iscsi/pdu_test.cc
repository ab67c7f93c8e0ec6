#include "fabric/iscsi/pdu.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

namespace olio::iscsi {
namespace {

std::uint32_t crc_of(Bytes bytes) {
    Crc32c crc;
    crc.update(bytes);
    return crc.value();
}

// The examples of RFC 7143 appendix A.4 (wire order there; as numbers here).
TEST(Crc32cTest, MatchesTheVectorsOfTheRfc) {
    std::vector<std::uint8_t> bytes(32, 0);
    EXPECT_EQ(crc_of(bytes), 0x8a9136aau);
    std::ranges::fill(bytes, 0xff);
    EXPECT_EQ(crc_of(bytes), 0x62a8ab43u);
    std::iota(bytes.begin(), bytes.end(), std::uint8_t{0});
    EXPECT_EQ(crc_of(bytes), 0x46dd794eu);
    std::ranges::reverse(bytes);
    EXPECT_EQ(crc_of(bytes), 0x113fdb5cu);
    const std::vector<std::uint8_t> read10 = {
        0x01, 0xc0, 0, 0, 0, 0, 0,    0, 0,    0, 0, 0,    0, 0, 0, 0,
        0x14, 0,    0, 0, 0, 0, 0x04, 0, 0,    0, 0, 0x14, 0, 0, 0, 0x18,
        0x28, 0,    0, 0, 0, 0, 0,    0, 0x02, 0, 0, 0,    0, 0, 0, 0};
    EXPECT_EQ(crc_of(read10), 0xd9963a56u);
}

TEST(Crc32cTest, GoesOnTheWireLeastSignificantByteFirst) {
    Crc32c crc;
    crc.update(std::vector<std::uint8_t>(32, 0));
    std::uint8_t wire[4];
    crc.store(wire);
    EXPECT_EQ(load_be<std::uint32_t>(wire), 0xaa36918au);
    EXPECT_TRUE(crc.matches(wire));
    wire[3] ^= 1;
    EXPECT_FALSE(crc.matches(wire));
}

TEST(Crc32cTest, IsTheSameHoweverTheBytesAreSplit) {
    std::vector<std::uint8_t> bytes(97);
    std::iota(bytes.begin(), bytes.end(), std::uint8_t{7});
    const std::uint32_t whole = crc_of(bytes);
    for (std::size_t split = 0; split <= bytes.size(); ++split) {
        Crc32c crc;
        crc.update(Bytes(bytes).first(split));
        crc.update(Bytes(bytes).subspan(split));
        EXPECT_EQ(crc.value(), whole) << split;
    }
}

// Whatever header is decoded and encoded again is the same, but for reserved bytes.
template <class Pdu>
void expect_stable() {
    for (unsigned seed = 0; seed < 256; ++seed) {
        BasicHeader random;
        for (std::size_t i = 0; i < random.size(); ++i)
            random[i] = static_cast<std::uint8_t>(seed * 31 + i * 17 + (seed >> 3));
        const BasicHeader once = encode(decode<Pdu>(random));
        EXPECT_EQ(opcode_of(once), Pdu::opcode);
        EXPECT_EQ(encode(decode<Pdu>(once)), [&once] {
            BasicHeader bhs = once;
            bhs[0] &= opcode_mask;  // decode() leaves `immediate` at its default
            if constexpr (requires { Pdu{}.immediate; })
                if (Pdu{}.immediate)
                    bhs[0] |= immediate_bit;
            return bhs;
        }());
    }
}

TEST(PduTest, EncodingUndoesDecodingForEveryKind) {
    expect_stable<ScsiCommandPdu>();
    expect_stable<TaskManagementRequestPdu>();
    expect_stable<DataOutPdu>();
    expect_stable<TextRequestPdu>();
    expect_stable<LoginRequestPdu>();
    expect_stable<LogoutRequestPdu>();
    expect_stable<SnackRequestPdu>();
    expect_stable<NopOutPdu>();
    expect_stable<ScsiResponsePdu>();
    expect_stable<TaskManagementResponsePdu>();
    expect_stable<DataInPdu>();
    expect_stable<ReadyToTransferPdu>();
    expect_stable<AsyncMessagePdu>();
    expect_stable<TextResponsePdu>();
    expect_stable<LoginResponsePdu>();
    expect_stable<LogoutResponsePdu>();
    expect_stable<NopInPdu>();
    expect_stable<RejectPdu>();
}

TEST(PduTest, DecodesAScsiCommandWhereTheRfcPutsItsFields) {
    BasicHeader bhs{};
    bhs[0] = 0x41;
    bhs[1] = 0x80 | 0x20 | 0x02;
    bhs[4] = 2;
    store_be24(&bhs[5], 0x123456);
    store_be<std::uint64_t>(&bhs[8], 0x0001000000000000);
    store_be<std::uint32_t>(&bhs[16], 0xa1a2a3a4);
    store_be<std::uint32_t>(&bhs[20], 4096);
    store_be<std::uint32_t>(&bhs[24], 7);
    store_be<std::uint32_t>(&bhs[28], 9);
    bhs[32] = 0x2a;
    bhs[47] = 0x55;
    const auto pdu = decode_request<ScsiCommandPdu>(bhs);
    EXPECT_TRUE(pdu.immediate);
    EXPECT_EQ(pdu.flags, 0xa2);
    EXPECT_EQ(pdu.lun, 0x0001000000000000u);
    EXPECT_EQ(pdu.task_tag, 0xa1a2a3a4u);
    EXPECT_EQ(pdu.expected_length, 4096u);
    EXPECT_EQ(pdu.cmd_sn, 7u);
    EXPECT_EQ(pdu.exp_stat_sn, 9u);
    EXPECT_EQ(pdu.cdb[0], 0x2a);
    EXPECT_EQ(pdu.cdb[15], 0x55);
    EXPECT_EQ(ahs_length(bhs), 8u);
    EXPECT_EQ(data_segment_length(bhs), 0x123456u);
}

TEST(AdditionalHeadersTest, FindsTheExtendedCdbAndTheReadLength) {
    std::vector<std::uint8_t> ahs = {0, 17, 1, 0};
    for (std::uint8_t i = 0; i < 16; ++i)
        ahs.push_back(i);
    ahs.insert(ahs.end(), {0, 5, 2, 0, 0, 0, 0x10, 0});
    const auto found = parse_additional_headers(ahs);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->extended_cdb.size(), 16u);
    EXPECT_EQ(found->extended_cdb[15], 15);
    EXPECT_EQ(found->bidirectional_read_length, 4096u);
}

TEST(AdditionalHeadersTest, RefusesSegmentsThatOverrunRepeatOrAreEmpty) {
    const std::vector<std::vector<std::uint8_t>> bad = {
        {0, 0, 1, 0},                                      // length 0
        {0, 6, 2, 0, 0, 0, 0, 0},                          // read length of the wrong size
        {0xff, 0xff, 1, 0},                                // overrun
        {0, 1, 1, 0},                                      // an extended CDB without bytes
        {0, 5, 2, 0, 0, 0, 0, 1, 0, 5, 2, 0, 0, 0, 0, 1},  // twice
        {0, 5},                                            // cut
    };
    for (const auto& ahs : bad)
        EXPECT_FALSE(parse_additional_headers(ahs));
}

TEST(AdditionalHeadersTest, SkipsTypesItDoesNotKnow) {
    const std::vector<std::uint8_t> ahs = {0, 5, 9, 0, 1, 2, 3, 4, 0, 5, 2, 0, 0, 0, 0, 9};
    const auto found = parse_additional_headers(ahs);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->bidirectional_read_length, 9u);
}

TEST(SerialTest, ComparesAcrossTheWrap) {
    EXPECT_TRUE(serial_less(0xffffffff, 0));
    EXPECT_FALSE(serial_less(0, 0xffffffff));
    EXPECT_FALSE(serial_less(5, 5));
}

}  // namespace
}  // namespace olio::iscsi
