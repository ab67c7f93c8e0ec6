#include "fabric/iscsi/text.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace olio::iscsi {
namespace {

using namespace std::string_literals;

TEST(TextTest, SplitsPairsAtNulAndFirstEqualsSign) {
    const std::string text = "A=1\0B=\0C=x=y\0"s;
    const auto pairs = parse_text(text);
    ASSERT_TRUE(pairs);
    ASSERT_EQ(pairs->size(), 3u);
    EXPECT_EQ((*pairs)[1].key, "B");
    EXPECT_EQ((*pairs)[1].value, "");
    EXPECT_EQ((*pairs)[2].value, "x=y");
}

TEST(TextTest, RefusesMalformedPairs) {
    EXPECT_FALSE(parse_text("NoEquals\0"s));
    EXPECT_FALSE(parse_text("=value\0"s));
    EXPECT_FALSE(parse_text("a b=1\0"s));
    EXPECT_FALSE(parse_text(std::string(64, 'k') + "=1\0"s));
    EXPECT_TRUE(parse_text(std::string(63, 'k') + "=1\0"s));
    EXPECT_FALSE(parse_text("k=" + std::string(max_value_bytes + 1, 'v')));
    std::string many;
    for (std::size_t i = 0; i <= max_text_pairs; ++i)
        many += "X-a=1\0"s;
    EXPECT_FALSE(parse_text(many));
}

TEST(TextTest, AssemblesThePiecesOfASplitTextWhereverItIsSplit) {
    const std::string whole = "InitiatorName=iqn.x\0HeaderDigest=CRC32C,None\0"s;
    for (std::size_t split = 0; split <= whole.size(); ++split) {
        TextAssembler text;
        ASSERT_TRUE(text.add(as_bytes(whole).first(split)));
        ASSERT_TRUE(text.add(as_bytes(whole).subspan(split)));
        const auto pairs = parse_text(text.text());
        ASSERT_TRUE(pairs);
        ASSERT_EQ(pairs->size(), 2u);
        EXPECT_EQ((*pairs)[1].value, "CRC32C,None");
    }
}

TEST(TextTest, AnAssemblerKeepsItsLimit) {
    TextAssembler text(10);
    const std::string piece = "123456";
    EXPECT_TRUE(text.add(as_bytes(piece)));
    EXPECT_FALSE(text.add(as_bytes(piece)));
    EXPECT_EQ(text.text().size(), 6u);
}

TEST(NumberTest, TakesDecimalAndHexadecimalOnly) {
    EXPECT_EQ(*parse_number("0"), 0u);
    EXPECT_EQ(*parse_number("262144"), 262144u);
    EXPECT_EQ(*parse_number("0x1F"), 31u);
    EXPECT_EQ(*parse_number("0Xff"), 255u);
    for (const char* bad : {"", "-1", "+1", "1 ", " 1", "0x", "12a", "99999999999999999999999",
                            "0b11", "0xfffffffffffffffff"})
        EXPECT_FALSE(parse_number(bad)) << bad;
}

TEST(BinaryTest, DecodesHexadecimalAndBase64) {
    std::array<std::uint8_t, 8> out{};
    ASSERT_EQ(*parse_binary("0x0102fF", out), 3u);
    EXPECT_EQ(out[2], 0xff);
    ASSERT_EQ(*parse_binary("0x123", out), 2u);
    EXPECT_EQ(out[0], 0x01);
    EXPECT_EQ(out[1], 0x23);
    ASSERT_EQ(*parse_binary("0bTWFu", out), 3u);
    EXPECT_EQ(as_text(Bytes(out).first(3)), "Man");
    ASSERT_EQ(*parse_binary("0BTQ==", out), 1u);
    EXPECT_EQ(out[0], 'M');
}

TEST(BinaryTest, ChecksTheDecodedLengthBeforeItWrites) {
    // Base64 of 95 bytes into a digest's buffer once overflowed another target's heap.
    std::array<std::uint8_t, 18> guarded{};
    guarded.fill(0xee);
    const MutableBytes digest = MutableBytes(guarded).first(16);
    EXPECT_FALSE(parse_binary("0b" + std::string(128, 'A'), digest));
    EXPECT_FALSE(parse_binary("0x" + std::string(34, '0'), digest));
    EXPECT_EQ(guarded[0], 0xee);
    EXPECT_EQ(guarded[16], 0xee);
    EXPECT_EQ(*parse_binary("0x" + std::string(32, '0'), digest), 16u);
}

TEST(BinaryTest, RefusesWhatIsNeither) {
    std::array<std::uint8_t, 8> out{};
    for (const char* bad :
         {"", "0x", "0b", "1234", "0xzz", "0bA", "0bAAA", "0bAA=", "0bAA!=", "0b===="})
        EXPECT_FALSE(parse_binary(bad, out)) << bad;
}

TEST(BinaryTest, HexTextIsReadBack) {
    for (std::size_t length = 1; length <= 32; ++length) {
        std::array<std::uint8_t, 32> in{}, out{};
        for (std::size_t i = 0; i < length; ++i)
            in[i] = static_cast<std::uint8_t>(i * 37 + length);
        ASSERT_EQ(*parse_binary(hex_text(Bytes(in).first(length)), out), length);
        EXPECT_TRUE(std::equal(in.begin(), in.begin() + static_cast<long>(length), out.begin()));
    }
}

TEST(ListTest, SplitsAtCommasAndRefusesEmptyItems) {
    EXPECT_EQ(split_list("CHAP,None")->size(), 2u);
    EXPECT_EQ(split_list("None")->size(), 1u);
    EXPECT_FALSE(split_list(""));
    EXPECT_FALSE(split_list("a,,b"));
    EXPECT_FALSE(split_list("a,"));
    EXPECT_FALSE(split_list("a,b,c", 2));
}

TEST(NameTest, ChecksLengthAndCharacters) {
    EXPECT_TRUE(valid_name("iqn.2001-04.com.example:disk"));
    EXPECT_TRUE(valid_name(std::string(223, 'a')));
    EXPECT_FALSE(valid_name(std::string(224, 'a')));
    EXPECT_FALSE(valid_name(""));
    EXPECT_FALSE(valid_name("iqn.a b"));
    EXPECT_FALSE(valid_name("iqn.a,b"));
    EXPECT_EQ(normalize_name("IQN.Abc:1"), "iqn.abc:1");
}

}  // namespace
}  // namespace olio::iscsi
