#include "scsi/range.h"

#include <gtest/gtest.h>

#include <limits>

#include "scsi/cdb_fields.h"
#include "scsi/request_testing.h"
#include "scsi/unmap_list.h"

namespace olio::scsi {
namespace {

using testing::Asked;
using testing::describe;
using testing::hex;

constexpr std::uint64_t last_number = std::numeric_limits<std::uint64_t>::max();

TEST(Range, EndsAtTheCapacity) {
    const Asked unit;  // 10000h blocks
    EXPECT_TRUE(check_range(unit.state, 0, 0x10000));
    EXPECT_TRUE(check_range(unit.state, 0xFFFF, 1));
    EXPECT_TRUE(check_range(unit.state, 0x10000, 0));
    EXPECT_EQ(describe(check_range(unit.state, 0x10000, 1)), "5/21/00 info 0x10000");
    EXPECT_EQ(describe(check_range(unit.state, 0x10001, 0)), "5/21/00 info 0x10001");
    EXPECT_EQ(describe(check_range(unit.state, 0xFFFF, 2)), "5/21/00 info 0x10000");
}

TEST(Range, NearTheEndOfNumbersNothingWraps) {
    Asked unit;
    for (const std::uint64_t capacity : {std::uint64_t{1}, std::uint64_t{0x10000}, last_number}) {
        unit.state.geometry.blocks = capacity;
        for (std::uint64_t down = 0; down < 70; ++down)
            for (std::uint64_t more = 0; more < 70; ++more)
                for (const std::uint64_t blocks : {more, last_number - more}) {
                    const std::uint64_t lba = last_number - down;
                    __extension__ using Wide = unsigned __int128;
                    const bool inside = Wide{lba} + blocks <= capacity;
                    ASSERT_EQ(check_range(unit.state, lba, blocks).has_value(), inside)
                        << lba << ' ' << blocks;
                }
    }
}

std::string extent(const Asked& unit, std::string_view text) {
    return describe(unit.handle(text, check_extent));
}

TEST(Range, LengthsAboveTheBlockLimitsPointAtTheLengthField) {
    Asked unit;
    unit.state.geometry.blocks = 0x100000000;
    unit.state.maximum_compare_and_write_blocks = 8;
    EXPECT_EQ(extent(unit, "28 00 00 00 00 00 00 40 00 00"), "good");
    EXPECT_EQ(extent(unit, "28 00 00 00 00 00 00 40 01 00"), "5/24/00 cdb 7");
    EXPECT_EQ(extent(unit, "aa 00 00 00 00 00 00 00 40 01 00 00"), "5/24/00 cdb 6");
    EXPECT_EQ(extent(unit, "8a 00 00 00 00 00 00 00 00 00 00 00 40 01 00 00"), "5/24/00 cdb 10");
    EXPECT_EQ(extent(unit, "89 00 00 00 00 00 00 00 00 00 00 00 00 08 00 00"), "good");
    EXPECT_EQ(extent(unit, "89 00 00 00 00 00 00 00 00 00 00 00 00 09 00 00"), "5/24/00 cdb 13");
    EXPECT_EQ(extent(unit, "93 00 00 00 00 00 00 00 00 00 00 00 c0 00 00 00"), "good");
    EXPECT_EQ(extent(unit, "93 00 00 00 00 00 00 00 00 00 00 00 c0 01 00 00"), "5/24/00 cdb 10");
    EXPECT_EQ(extent(unit, "93 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"), "5/24/00 cdb 10");
    EXPECT_EQ(extent(unit, "41 00 00 00 00 00 00 00 00 00"), "5/24/00 cdb 7");
    // VERIFY transfers data only with BYTCHK = 01b; PRE-FETCH and SYNCHRONIZE CACHE never do.
    EXPECT_EQ(extent(unit, "2f 00 00 00 00 00 00 40 01 00"), "good");
    EXPECT_EQ(extent(unit, "2f 06 00 00 00 00 00 40 01 00"), "good");
    EXPECT_EQ(extent(unit, "2f 02 00 00 00 00 00 40 01 00"), "5/24/00 cdb 7");
    EXPECT_EQ(extent(unit, "34 00 00 00 00 00 00 ff ff 00"), "good");
    EXPECT_EQ(extent(unit, "35 00 00 00 00 00 00 ff ff 00"), "good");
    unit.state.maximum_transfer_blocks = 0;
    EXPECT_EQ(extent(unit, "28 00 00 00 00 00 00 ff ff 00"), "good");
}

TEST(Range, GetLbaStatusMustBeginOnTheMedium) {
    const Asked unit;
    EXPECT_EQ(extent(unit, "9e 12 00 00 00 00 00 00 ff ff 00 00 00 18 00 00"), "good");
    EXPECT_EQ(extent(unit, "9e 12 00 00 00 00 00 01 00 00 00 00 00 18 00 00"),
              "5/21/00 info 0x10000");
}

TEST(Range, ZeroBlocksOfPreFetchAndSynchronizeCacheMeanTheRest) {
    const Asked unit;
    EXPECT_EQ(blocks_or_rest(unit.state, 0x100, 0), 0xFF00U);
    EXPECT_EQ(blocks_or_rest(unit.state, 0x100, 3), 3U);
    EXPECT_EQ(blocks_or_rest(unit.state, last_number, 0), 0U);
}

TEST(CdbFields, VerifyKnowsItsByteChecks) {
    const auto verify = [](std::string_view text) { return decode_verify(hex(text)); };
    EXPECT_EQ(verify("2f 10 00 00 00 00 00 00 01 00")->byte_check, ByteCheck::medium_only);
    EXPECT_TRUE(verify("2f 10 00 00 00 00 00 00 01 00")->disable_page_out);
    EXPECT_EQ(verify("2f 02 00 00 00 00 00 00 01 00")->byte_check, ByteCheck::compare);
    EXPECT_EQ(verify("2f 06 00 00 00 00 00 00 01 00")->byte_check, ByteCheck::compare_one);
    EXPECT_EQ(describe(verify("2f 04 00 00 00 00 00 00 01 00")), "5/24/00 cdb 1.2");
    EXPECT_EQ(verify_data_blocks(ByteCheck::medium_only, 9), 0U);
    EXPECT_EQ(verify_data_blocks(ByteCheck::compare, 9), 9U);
    EXPECT_EQ(verify_data_blocks(ByteCheck::compare_one, 9), 1U);
    EXPECT_EQ(verify_data_blocks(ByteCheck::compare_one, 0), 0U);
}

TEST(CdbFields, SixByteCommandsHaveNoCacheFields) {
    EXPECT_FALSE(decode_cache_fields(hex("0a 1f ff ff 01 00")).force_unit_access);
    EXPECT_FALSE(decode_cache_fields(hex("0a 1f ff ff 01 00")).disable_page_out);
    EXPECT_TRUE(decode_cache_fields(hex("2a 08 00 00 00 00 00 00 01 00")).force_unit_access);
    EXPECT_TRUE(decode_cache_fields(hex("2a 10 00 00 00 00 00 00 01 00")).disable_page_out);
}

TEST(CdbFields, WriteSameUnmapNeedsALogicalUnitThatCan) {
    Asked unit;
    unit.state.provisioning.write_same_unmap = false;
    EXPECT_EQ(describe(unit.handle("41 08 00 00 00 00 00 00 01 00", decode_write_same)),
              "5/24/00 cdb 1.3");
}

TEST(CdbFields, CompareAndWriteTakesTwiceItsBlocks) {
    const Asked unit;
    const auto fields =
        unit.handle("89 08 00 00 00 00 00 00 00 00 00 00 00 ff 00 00", decode_compare_and_write);
    EXPECT_EQ(fields.blocks, 255);
    EXPECT_EQ(fields.data_blocks(), 510U);
    EXPECT_TRUE(fields.cache.force_unit_access);
}

TEST(CdbFields, StartStopAndImmediate) {
    EXPECT_TRUE(decode_immediate(hex("35 02 00 00 00 00 00 00 00 00")));
    EXPECT_FALSE(decode_immediate(hex("35 00 00 00 00 00 00 00 00 00")));
    const StartStopFields stop = decode_start_stop(hex("1b 01 00 00 04 00"));
    EXPECT_TRUE(stop.immediate);
    EXPECT_TRUE(stop.no_flush);
    EXPECT_FALSE(stop.start);
    EXPECT_TRUE(decode_start_stop(hex("1b 00 00 00 01 00")).start);
}

// ---- UNMAP ----

struct Unmap {
    std::array<BlockRange, 8> room{};
    std::string operator()(const Asked& unit, std::string_view text, std::size_t capacity = 8) {
        const auto ranges =
            parse_unmap_list(hex(text), unit.state, std::span(room).first(capacity));
        if (!ranges)
            return describe(ranges.error());
        std::string out = "ranges";
        for (const BlockRange& range : *ranges)
            out += " " + std::to_string(range.lba) + "+" + std::to_string(range.blocks);
        return out;
    }
};

TEST(UnmapList, RangesAreReadAndEmptyOnesLeftOut) {
    Unmap unmap;
    EXPECT_EQ(unmap(Asked(),
                    "00 36 00 30 00 00 00 00"
                    "00 00 00 00 00 00 00 10 00 00 00 08 00 00 00 00"
                    "00 00 00 00 00 00 00 20 00 00 00 00 00 00 00 00"
                    "00 00 00 00 00 00 ff ff 00 00 00 01 00 00 00 00"),
              "ranges 16+8 65535+1");
}

TEST(UnmapList, NothingIsNoErrorButAShortHeaderIs) {
    Unmap unmap;
    EXPECT_EQ(unmap(Asked(), ""), "ranges");
    EXPECT_EQ(unmap(Asked(), "00 06 00 00 00 00 00 00"), "ranges");
    EXPECT_EQ(unmap(Asked(), "00 06 00 00 00 00 00"), "5/1a/00");
}

TEST(UnmapList, DescriptorsCutShortAreIgnored) {
    Unmap unmap;
    const std::string one = "00 00 00 00 00 00 00 10 00 00 00 08 00 00 00 00";
    EXPECT_EQ(unmap(Asked(), "00 25 00 1f 00 00 00 00" + one + one), "ranges 16+8");
    EXPECT_EQ(unmap(Asked(), "00 26 00 20 00 00 00 00" + one + "00 00 00 00 00 00 00 10"),
              "ranges 16+8");
    EXPECT_EQ(unmap(Asked(), "00 26 00 0f 00 00 00 00" + one), "ranges");
}

TEST(UnmapList, LimitsOfTheBlockLimitsPageHold) {
    Unmap unmap;
    const std::string one = "00 00 00 00 00 00 00 10 00 00 00 08 00 00 00 00";
    const std::string half = "00 00 00 00 00 00 00 00 00 00 40 00 00 00 00 00";
    EXPECT_EQ(unmap(Asked(), "00 46 00 40 00 00 00 00" + one + one + one + one),
              "ranges 16+8 16+8 16+8 16+8");
    EXPECT_EQ(unmap(Asked(), "00 56 00 50 00 00 00 00" + one + one + one + one + one),
              "5/26/00 list 2");
    EXPECT_EQ(unmap(Asked(), "00 26 00 20 00 00 00 00" + half + half), "ranges 0+16384 0+16384");
    EXPECT_EQ(unmap(Asked(), "00 36 00 30 00 00 00 00" + half + half + one), "5/26/00 list 48");
    EXPECT_EQ(unmap(Asked(), "00 26 00 20 00 00 00 00" + one + one, 1), "5/26/00 list 2");
}

// known-defects 5: lba + blocks wraps round 64 bits.
TEST(UnmapList, Defect5NoRangeNearTheEndOfNumbersWraps) {
    Asked unit;
    unit.state.provisioning.maximum_unmap_blocks = 0;
    std::array<BlockRange, 1> room;
    for (std::uint64_t down = 0; down < 300; ++down) {
        for (const std::uint32_t blocks : {0U, 1U, 2U, 300U, 0x80000000U, 0xFFFFFFFFU}) {
            std::vector<std::uint8_t> list = hex("00 16 00 10 00 00 00 00");
            list.resize(24);
            store_be(list.data() + 8, last_number - down);
            store_be(list.data() + 16, blocks);
            EXPECT_EQ(describe(parse_unmap_list(list, unit.state, room)).substr(0, 7), "5/21/00");
        }
    }
}

}  // namespace
}  // namespace olio::scsi
