#include "scsi/rod_token.h"

#include <gtest/gtest.h>

#include "base/limits.h"
#include "scsi/extended_copy_testing.h"
#include "scsi/request_testing.h"

namespace olio::scsi {
namespace {

using testing::Asked;
using testing::describe;
using testing::populate_list;
using testing::write_token_list;
using Bytestring = std::vector<std::uint8_t>;

Bytestring changed(Bytestring list, std::size_t byte, std::uint8_t value) {
    list[byte] = value;
    return list;
}

class TokenLists : public ::testing::Test {
  protected:
    TokenLists() {
        unit.state.geometry.blocks = 100000;
        unit.state.geometry.block_bytes = 512;
    }
    std::string populated(const Bytestring& list) {
        return describe(parse_populate_token(list, unit.state));
    }
    std::string written(const Bytestring& list) {
        return describe(parse_write_using_token(list, unit.state));
    }
    Asked unit;
};

TEST_F(TokenLists, AreReadAsSbcLaysThemOut) {
    Bytestring list = populate_list({{5, 7}, {0, 0}, {90000, 10000}});
    list[7] = 33;
    const auto populate = parse_populate_token(list, unit.state);
    ASSERT_TRUE(populate);
    EXPECT_EQ(populate->ranges, (std::vector<BlockRange>{{5, 7}, {90000, 10000}}));
    EXPECT_EQ(populate->blocks, 10007u);
    EXPECT_EQ(populate->inactivity_timeout_seconds, 33u);
    EXPECT_EQ(parse_populate_token(changed(list, 7, 0), unit.state)->inactivity_timeout_seconds,
              limits::rod_token_default_timeout_seconds);

    RodTokenBytes token{};
    token[511] = 9;
    const auto write = parse_write_using_token(
        changed(write_token_list({{5, 7}}, token, 0x1234), 2, 3), unit.state);
    ASSERT_TRUE(write);
    EXPECT_TRUE(write->immediate);
    EXPECT_TRUE(write->delete_token);
    EXPECT_EQ(write->offset_blocks, 0x1234u);
    EXPECT_EQ(write->token, token);
    EXPECT_EQ(write->ranges, (std::vector<BlockRange>{{5, 7}}));
}

TEST_F(TokenLists, CutAnywhereIsALengthError) {
    for (const Bytestring& list : {populate_list({{5, 7}}), write_token_list({{5, 7}}, {})})
        for (std::size_t bytes = 1; bytes < list.size(); ++bytes) {
            const Bytestring cut(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(bytes));
            EXPECT_EQ(list.size() < 100 ? populated(cut) : written(cut), "5/1a/00") << bytes;
        }
}

TEST_F(TokenLists, LengthsAreChecked) {
    const Bytestring list = populate_list({{5, 7}});
    EXPECT_EQ(populated(changed(list, 1, 29)), "5/26/00 list 0");  // less than one descriptor
    EXPECT_EQ(populated(changed(list, 1, 31)), "5/1a/00");         // more than there is
    EXPECT_EQ(populated(changed(list, 15, 15)), "5/26/00 list 14");
    EXPECT_EQ(populated(changed(list, 15, 17)), "5/26/00 list 14");
    EXPECT_EQ(populated(changed(list, 14, 0xFF)), "5/26/00 list 14");
    EXPECT_EQ(populated(populate_list({})), "5/26/00 list 0");
    const Bytestring write = write_token_list({{5, 7}}, {});
    EXPECT_EQ(written(changed(write, 1, 0x25)), "5/26/00 list 0");
    EXPECT_EQ(written(changed(write, 535, 15)), "5/26/00 list 534");
}

TEST_F(TokenLists, RangesLieOnTheMediumWithoutOverlap) {
    EXPECT_EQ(populated(populate_list({{99999, 1}})), "good");
    EXPECT_EQ(populated(populate_list({{99999, 2}})).substr(0, 7), "5/21/00");
    EXPECT_EQ(populated(populate_list({{~0ull, 1}})).substr(0, 7), "5/21/00");
    EXPECT_EQ(populated(populate_list({{10, 5}, {15, 5}, {5, 5}})), "good");
    EXPECT_EQ(populated(populate_list({{10, 5}, {14, 5}})), "5/26/00 list 32");
    EXPECT_EQ(populated(populate_list({{10, 5}, {10, 5}})), "5/26/00 list 32");
    EXPECT_EQ(written(write_token_list({{10, 5}, {6, 5}}, {})), "5/26/00 list 552");
}

TEST_F(TokenLists, NumbersAreBounded) {
    std::vector<BlockRange> many;
    for (std::size_t i = 0; i < limits::rod_token_ranges; ++i)
        many.push_back({i * 2, 1});
    EXPECT_EQ(populated(populate_list(many)), "good");
    many.push_back({50000, 1});
    EXPECT_EQ(populated(populate_list(many)), "5/26/08");
    EXPECT_EQ(written(write_token_list(many, {})), "5/26/08");
    unit.state.geometry.blocks = 1ull << 32;
    EXPECT_EQ(populated(populate_list({{0, 1 << 21}})), "good");  // 1 GiB
    EXPECT_EQ(populated(populate_list({{0, 1 << 21}, {1 << 22, 1}})), "5/26/00 list 40");
    EXPECT_EQ(populated(populate_list({{0, 0xFFFFFFFF}})), "5/26/00 list 24");
}

TEST_F(TokenLists, RodTypesAndTimeoutsAreThoseOfThePage) {
    Bytestring list = populate_list({{5, 7}});
    store_be(list.data() + 8, 0x12345678u);
    EXPECT_EQ(populated(list), "good");  // RTV = 0
    list[2] = 0x02;
    EXPECT_EQ(populated(list), "5/26/00 list 8");
    for (const std::uint32_t type : {0x00800000u, 0x00800001u, 0x0080FFFFu}) {
        store_be(list.data() + 8, type);
        EXPECT_EQ(populated(list), "good");
    }
    for (const std::uint32_t type : {0x00010000u, 0x00800002u, 0xFFFF0001u, 0u}) {
        store_be(list.data() + 8, type);
        EXPECT_EQ(populated(list), "5/26/00 list 8");
    }
    list = populate_list({{5, 7}});
    store_be(list.data() + 4, limits::rod_token_timeout_seconds);
    EXPECT_EQ(populated(list), "good");
    store_be(list.data() + 4, limits::rod_token_timeout_seconds + 1);
    EXPECT_EQ(populated(list), "5/26/00 list 4");
}

TEST(RodTokens, HaveTheHeaderOfSpc) {
    RodTokenFields fields;
    fields.identifier = 0x0102030405060708;
    fields.bytes = 0x100000;
    fields.block_bytes = 4096;
    fields.secret.fill(0xAB);
    Identification who;
    who.naa[0] = 0x60;
    const RodTokenBytes token = make_rod_token(fields, who);
    EXPECT_EQ(testing::to_hex(Bytes(token).first(64)),
              "00 80 00 01 00 00 01 f8 01 02 03 04 05 06 07 08 "
              "e4 00 00 00 01 03 00 10 60 00 00 00 00 00 00 00 "
              "00 00 00 00 00 00 00 00 00 00 00 00 00 00 10 00 "
              "00 00 00 00 00 00 00 00 00 00 00 00 00 10 00 00");
    EXPECT_EQ(std::ranges::count(token, 0xAB), 64);
    const auto read = read_rod_token(token);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->identifier, fields.identifier);
}

TEST(RodTokens, OtherTypesAndLengthsAreRefused) {
    RodTokenBytes token{};
    EXPECT_EQ(describe(read_rod_token(token)), "5/23/0a");
    token[6] = 0x01;
    token[7] = 0xF8;
    EXPECT_EQ(describe(read_rod_token(token)), "5/23/01");
    store_be(token.data(), 0xFFFF0001u);
    EXPECT_EQ(describe(read_rod_token(token)), "good");
    store_be(token.data(), 0x00800000u);  // asked for, never given out
    EXPECT_EQ(describe(read_rod_token(token)), "5/23/01");
}

// --- Plans ---

struct Piece {
    std::uint64_t source, destination, bytes;
    bool operator==(const Piece&) const = default;
};

std::vector<Piece> pieces(const std::vector<BlockRange>& to, std::uint64_t offset,
                          std::uint32_t block, const std::vector<BlockRange>& from,
                          std::uint32_t source_block) {
    WriteUsingTokenList list;
    list.ranges = to;
    list.offset_blocks = offset;
    std::vector<Piece> found;
    for (const CopyMove& move : plan_write_using_token(list, block, from, source_block))
        found.push_back({move.source_byte, move.destination_byte, move.bytes});
    return found;
}

TEST(TokenPlans, RangesOfBothSidesAreCutAtEachOthersEnds) {
    EXPECT_EQ(pieces({{100, 10}}, 0, 512, {{5, 10}}, 512),
              (std::vector<Piece>{{2560, 51200, 5120}}));
    EXPECT_EQ(pieces({{100, 3}, {200, 7}}, 0, 512, {{0, 5}, {50, 5}}, 512),
              (std::vector<Piece>{{0, 51200, 1536}, {1536, 102400, 1024}, {25600, 103424, 2560}}));
}

TEST(TokenPlans, TheOffsetSkipsWholeRanges) {
    EXPECT_EQ(pieces({{100, 2}}, 6, 512, {{0, 5}, {50, 5}}, 512),
              (std::vector<Piece>{{51 * 512, 51200, 1024}}));
    EXPECT_EQ(pieces({{100, 2}}, 5, 512, {{0, 5}, {50, 5}}, 512),
              (std::vector<Piece>{{50 * 512, 51200, 1024}}));
    EXPECT_EQ(pieces({{100, 2}}, 10, 512, {{0, 5}, {50, 5}}, 512), std::vector<Piece>{});
    EXPECT_EQ(pieces({{100, 2}}, ~0ull, 512, {{0, 5}, {50, 5}}, 512), std::vector<Piece>{});
    EXPECT_EQ(pieces({{100, 2}}, 1ull << 55, 512, {{0, 5}, {50, 5}}, 512), std::vector<Piece>{});
}

TEST(TokenPlans, EndsWithTheToken) {
    EXPECT_EQ(pieces({{100, 20}}, 8, 512, {{0, 5}, {50, 5}}, 512),
              (std::vector<Piece>{{53 * 512, 51200, 1024}}));
    EXPECT_EQ(pieces({{100, 20}}, 0, 512, {}, 512), std::vector<Piece>{});
}

TEST(TokenPlans, BlockLengthsMayDiffer) {
    EXPECT_EQ(pieces({{1, 2}}, 0, 4096, {{3, 12}}, 512),
              (std::vector<Piece>{{1536, 4096, 4096}}));  // one whole block is there
    EXPECT_EQ(pieces({{1, 16}}, 8, 512, {{3, 12}}, 4096), (std::vector<Piece>{{16384, 512, 8192}}));
}

}  // namespace
}  // namespace olio::scsi
