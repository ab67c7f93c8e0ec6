#include "base/bytes.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <limits>
#include <string>

namespace olio {
namespace {

TEST(Bytes, LoadsAndStoresInTheStandardsOrder) {
    std::array<std::uint8_t, 8> bytes{};
    store_be<std::uint64_t>(bytes.data(), 0x0102030405060708);
    EXPECT_EQ(bytes, (std::array<std::uint8_t, 8>{1, 2, 3, 4, 5, 6, 7, 8}));
    EXPECT_EQ(load_be<std::uint16_t>(bytes.data()), 0x0102);
    EXPECT_EQ(load_be<std::uint32_t>(bytes.data() + 1), 0x02030405U);  // unaligned
    EXPECT_EQ(load_be24(bytes.data() + 5), 0x060708U);
    store_be24(bytes.data(), 0xabcdef);
    EXPECT_EQ(load_be24(bytes.data()), 0xabcdefU);
    EXPECT_EQ(bytes[3], 4);
}

TEST(Cursor, ReadsFieldAfterField) {
    const std::array<std::uint8_t, 20> bytes{1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
                                             11, 12, 13, 14, 15, 16, 17, 18, 19, 20};
    Cursor cursor(bytes);
    EXPECT_EQ(cursor.u8(), 1);
    EXPECT_EQ(cursor.be16(), 0x0203);
    EXPECT_EQ(cursor.be24(), 0x040506U);
    EXPECT_EQ(cursor.be32(), 0x0708090aU);
    cursor.skip(1);
    EXPECT_EQ(cursor.be64(), 0x0c0d0e0f10111213U);
    EXPECT_EQ(cursor.position(), 19U);
    EXPECT_EQ(cursor.remaining(), 1U);
    EXPECT_EQ(cursor.bytes(1).front(), 20);
    EXPECT_FALSE(cursor.failed());
}

TEST(Cursor, YieldsZerosPastTheEndAndRemembers) {
    const std::array<std::uint8_t, 3> bytes{1, 2, 3};
    Cursor cursor(bytes);
    EXPECT_EQ(cursor.be32(), 0U);
    EXPECT_TRUE(cursor.failed());
    EXPECT_EQ(cursor.remaining(), 0U);
    EXPECT_EQ(cursor.u8(), 0) << "after a failure nothing is read, not even what there was";
    Cursor huge(bytes);
    EXPECT_TRUE(huge.bytes(std::numeric_limits<std::size_t>::max()).empty());
    EXPECT_TRUE(huge.failed());
    Cursor none{Bytes{}};
    EXPECT_TRUE(none.bytes(0).empty());
    EXPECT_FALSE(none.failed());
    EXPECT_EQ(none.be24(), 0U);
    EXPECT_TRUE(none.failed());
}

TEST(Builder, WritesFieldAfterField) {
    std::array<std::uint8_t, 20> bytes{};
    Builder builder(bytes);
    builder.u8(1);
    builder.be16(0x0203);
    builder.be24(0x040506);
    builder.be32(0x0708090a);
    builder.be64(0x0b0c0d0e0f101112);
    builder.zeros(1);
    EXPECT_EQ(builder.size(), 19U);
    EXPECT_EQ(builder.written().size(), 19U);
    for (std::size_t i = 0; i < 18; ++i)
        EXPECT_EQ(bytes[i], i + 1);
}

TEST(Builder, DropsButCountsWhatDoesNotFit) {
    std::array<std::uint8_t, 6> bytes{};
    Builder builder(MutableBytes(bytes).first(5));
    builder.be32(0x01020304);
    builder.be32(0x05060708);
    EXPECT_EQ(builder.size(), 8U);
    EXPECT_EQ(builder.written().size(), 5U);
    EXPECT_EQ(bytes, (std::array<std::uint8_t, 6>{1, 2, 3, 4, 5, 0}));
    builder.zeros(1000);
    builder.bytes(as_bytes("more"));
    EXPECT_EQ(builder.size(), 1012U);
    EXPECT_EQ(bytes[5], 0);
}

TEST(Builder, PadsTextWithSpacesOrCutsIt) {
    std::array<std::uint8_t, 12> bytes{};
    Builder builder(bytes);
    builder.text("ab", 4);
    builder.text("abcdefghij", 8);
    EXPECT_EQ(as_text(builder.written()), "ab  abcdefgh");
}

TEST(Builder, PatchesAFieldWrittenBeforeAndNeverOutside) {
    std::array<std::uint8_t, 5> bytes{};
    Builder builder(MutableBytes(bytes).first(4));
    builder.zeros(4);
    builder.patch<std::uint16_t>(1, 0xabcd);
    builder.patch<std::uint32_t>(3, 0x99999999);
    EXPECT_EQ(bytes, (std::array<std::uint8_t, 5>{0, 0xab, 0xcd, 0x99, 0}));
}

TEST(Checked, TellsWhenASumOrProductDoesNotFit) {
    std::uint32_t result = 0;
    EXPECT_TRUE(checked_add<std::uint32_t>(0xfffffffe, 1, result));
    EXPECT_EQ(result, 0xffffffffU);
    EXPECT_FALSE(checked_add<std::uint32_t>(0xffffffff, 1, result));
    EXPECT_TRUE(checked_multiply<std::uint32_t>(0xffff, 0x10001, result));
    EXPECT_EQ(result, 0xffffffffU);
    EXPECT_FALSE(checked_multiply<std::uint32_t>(0x10000, 0x10000, result));
    std::uint64_t wide = 0;
    EXPECT_FALSE(checked_add<std::uint64_t>(~0ULL, 1, wide));
}

}  // namespace
}  // namespace olio
