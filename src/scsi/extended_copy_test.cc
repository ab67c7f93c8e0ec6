#include "scsi/extended_copy.h"

#include <gtest/gtest.h>

#include "base/limits.h"
#include "scsi/extended_copy_testing.h"
#include "scsi/request_testing.h"

namespace olio::scsi {
namespace {

using testing::Asked;
using testing::block_to_block;
using testing::bytes_to_bytes;
using testing::cscd;
using testing::describe;
using testing::Descriptors;
using testing::lid1_list;
using testing::lid4_list;
using testing::verify_device;
using Bytestring = std::vector<std::uint8_t>;

const testing::Naa one{0x60, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

std::string lid1(const Bytestring& list) {
    return describe(parse_extended_copy_lid1(list));
}

Bytestring changed(Bytestring list, std::size_t byte, std::uint8_t value) {
    list[byte] = value;
    return list;
}

// --- The parameter list ---

TEST(ExtendedCopyList, IsReadAsSpcLaysItOut) {
    const auto list = parse_extended_copy_lid1(
        lid1_list({cscd(one, 4096)}, {block_to_block(0, 0xFFFF, 7, 0x123456789A, 0xBCDEF01234)}, 9,
                  ListIdUsage::named));
    ASSERT_TRUE(list);
    EXPECT_EQ(list->list_id, 9u);
    EXPECT_EQ(list->usage, ListIdUsage::named);
    ASSERT_EQ(list->descriptors.size(), 1u);
    EXPECT_EQ(list->descriptors[0].block_bytes, 4096u);
    ASSERT_EQ(list->segments.size(), 1u);
    const SegmentDescriptor& segment = list->segments[0];
    EXPECT_EQ(segment.count, 7u);
    EXPECT_EQ(segment.source, 0);
    EXPECT_EQ(segment.destination, 0xFFFF);
    EXPECT_EQ(segment.source_lba, 0x123456789Au);
    EXPECT_EQ(segment.destination_lba, 0xBCDEF01234u);
}

TEST(ExtendedCopyList, EmptyAsksForNothing) {
    EXPECT_EQ(lid1({}), "good");
    EXPECT_EQ(describe(parse_extended_copy_lid4({})), "good");
}

TEST(ExtendedCopyList, CutAnywhereIsALengthError) {
    const Bytestring list = lid1_list({cscd(one)}, {block_to_block(0, 0, 1, 0, 9)});
    for (std::size_t bytes = 1; bytes < list.size(); ++bytes)
        EXPECT_EQ(lid1({list.begin(), list.begin() + static_cast<std::ptrdiff_t>(bytes)}),
                  "5/1a/00")
            << bytes;
    EXPECT_EQ(lid1(list), "good");
}

TEST(ExtendedCopyList, TooManyDescriptorsAreRefused) {
    EXPECT_EQ(lid1(lid1_list(Descriptors(limits::copy_cscd_descriptors + 1, cscd(one)),
                             {block_to_block(0, 0, 1, 0, 9)})),
              "5/26/06");
    EXPECT_EQ(lid1(lid1_list({cscd(one)}, Descriptors(limits::copy_segment_descriptors + 1,
                                                      block_to_block(0, 0, 1, 0, 9)))),
              "5/26/08");
    EXPECT_EQ(lid1(lid1_list(Descriptors(limits::copy_cscd_descriptors, cscd(one)),
                             Descriptors(limits::copy_segment_descriptors,
                                         bytes_to_bytes(0, 0, 1, 0, 0, 9, 0)))),
              "good");
    EXPECT_EQ(lid1(lid1_list(Descriptors(limits::copy_cscd_descriptors + 1, cscd(one)),
                             Descriptors(limits::copy_segment_descriptors,
                                         bytes_to_bytes(0, 0, 1, 0, 0, 9, 0)))),
              "5/1a/00");  // above MAXIMUM DESCRIPTOR LIST LENGTH
}

TEST(ExtendedCopyList, LengthsNearTheirLargestValueDoNotOverflow) {
    Bytestring list = lid1_list({cscd(one)}, {block_to_block(0, 0, 1, 0, 9)});
    for (const std::size_t field : {8u, 12u})
        for (const std::uint32_t value : {0xFFFFFFFFu, 0xFFFFFFF0u, 0x80000000u}) {
            Bytestring wrong = list;
            store_be(wrong.data() + field, value);
            EXPECT_EQ(lid1(wrong), "5/1a/00");
        }
    store_be<std::uint16_t>(list.data() + 16 + 32 + 2, 0xFFFF);  // of the segment descriptor
    EXPECT_EQ(lid1(list), "5/1a/00");
}

TEST(ExtendedCopyList, UnsupportedDescriptorTypesAreNamedAsSuch) {
    const Bytestring list = lid1_list({cscd(one)}, {block_to_block(0, 0, 1, 0, 9)});
    for (unsigned type = 0; type < 256; ++type) {
        EXPECT_EQ(lid1(changed(list, 16, static_cast<std::uint8_t>(type))),
                  type == 0xE4 ? "good" : "5/26/07 list 16");
        const std::string got = lid1(changed(list, 48, static_cast<std::uint8_t>(type)));
        if (type == 0x02 || type == 0x0D)
            EXPECT_EQ(got, "good");
        else if (type == 0x07 || type == 0x0A)
            EXPECT_EQ(got, "5/26/00 list 50");  // they have other lengths
        else
            EXPECT_EQ(got, "5/26/09 list 48") << type;
    }
}

TEST(ExtendedCopyList, InlineDataHaveNoUseBetweenDisks) {
    Bytestring list = lid1_list({cscd(one)}, {block_to_block(0, 0, 1, 0, 9)});
    list[15] = 4;
    list.resize(list.size() + 4);
    EXPECT_EQ(lid1(list), "5/26/0b");
}

TEST(ExtendedCopyList, ListIdUsageIsChecked) {
    const Bytestring list = lid1_list({cscd(one)}, {}, 5, ListIdUsage::unnamed);
    EXPECT_EQ(lid1(list), "5/26/00 list 0");  // no identifier, yet one is given
    EXPECT_EQ(lid1(changed(list, 0, 0)), "good");
    EXPECT_EQ(lid1(changed(list, 1, 0x08)), "5/26/00 list 1.4");  // reserved
}

TEST(ExtendedCopyList, DesignatorsHaveAtMostTwentyBytes) {
    const Bytestring list = lid1_list({cscd(one)}, {});
    EXPECT_EQ(lid1(changed(list, 16 + 7, 20)), "good");
    EXPECT_EQ(lid1(changed(list, 16 + 7, 21)), "5/26/00 list 23");
}

TEST(ExtendedCopyList, CscdListsAreWholeDescriptors) {
    Bytestring list = lid1_list({cscd(one)}, {});
    list[3] = 31;
    EXPECT_EQ(lid1(list), "5/26/00 list 2");
}

TEST(ExtendedCopyList, Lid4HasItsOwnHeader) {
    const Bytestring list =
        lid4_list({cscd(one)}, {block_to_block(0, 0, 1, 0, 9)}, 0x01020304, true);
    const auto parsed = parse_extended_copy_lid4(list);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->list_id, 0x01020304u);
    EXPECT_TRUE(parsed->immediate);
    const auto refused = [&](std::size_t byte, std::uint8_t value) {
        return describe(parse_extended_copy_lid4(changed(list, byte, value)));
    };
    EXPECT_EQ(refused(0, 2), "5/26/00 list 0");      // PARAMETER LIST FORMAT
    EXPECT_EQ(refused(3, 31), "5/26/00 list 2");     // HEADER CSCD DESCRIPTOR LIST LENGTH
    EXPECT_EQ(refused(16, 0), "5/26/00 list 16");    // its type
    EXPECT_EQ(refused(15, 3), "5/26/00 list 15.1");  // G_SENSE
    EXPECT_EQ(refused(1, 0x18), "5/26/00 list 20");  // unnamed, with a name
    Bytestring unnamed = changed(list, 1, 0x18);
    std::fill_n(unnamed.begin() + 20, 4, std::uint8_t{0});
    EXPECT_EQ(describe(parse_extended_copy_lid4(unnamed)), "5/26/00 list 15.0");
    for (std::size_t bytes = 1; bytes < list.size(); ++bytes)
        EXPECT_EQ(describe(parse_extended_copy_lid4(Bytes(list).first(bytes))), "5/1a/00");
}

// --- Who is meant ---

TEST(CopyDesignators, OnlyTheWholeNaaDesignatorNamesALogicalUnit) {
    Identification who;
    who.naa = one;
    const auto matches = [&](std::size_t byte, std::uint8_t value) {
        return names(parse_extended_copy_lid1(lid1_list({changed(cscd(one), byte, value)}, {}))
                         ->descriptors[0],
                     who);
    };
    EXPECT_TRUE(matches(0, 0xE4));
    EXPECT_FALSE(matches(4, 2));          // code set
    EXPECT_FALSE(matches(5, 0x13));       // of a port
    EXPECT_FALSE(matches(5, 2));          // EUI-64
    EXPECT_FALSE(matches(7, 15));         // a beginning is not enough
    for (std::size_t i = 8; i < 24; ++i)  // nor is any similarity
        EXPECT_FALSE(matches(i, 0xFF)) << i;
    EXPECT_TRUE(matches(1, 0xE0));  // LU ID TYPE and NUL are obsolete
}

// --- The plan ---

struct Plans : ::testing::Test {
    std::vector<CopyDevice> devices{{true, 1000, 512}, {true, 100, 4096}, {true, 1000, 512}};
    Bytestring small = cscd(one, 512);   // device 0
    Bytestring large = cscd(one, 4096);  // device 1; device 2 is the receiving unit

    std::expected<std::vector<CopyMove>, SenseData> plan(Descriptors segments) {
        const auto list = parse_extended_copy_lid1(lid1_list({small, large}, std::move(segments)));
        EXPECT_TRUE(list) << describe(list);
        return plan_extended_copy(*list, devices);
    }
    std::string planned(Descriptors segments) { return describe(plan(std::move(segments))); }
};

TEST_F(Plans, BlocksBecomeBytes) {
    const auto moves = plan({block_to_block(0, 0xFFFF, 3, 10, 20), block_to_block(1, 0, 2, 1, 8)});
    ASSERT_TRUE(moves);
    EXPECT_EQ((*moves)[0].source_byte, 5120u);
    EXPECT_EQ((*moves)[0].destination_byte, 10240u);
    EXPECT_EQ((*moves)[0].bytes, 1536u);
    EXPECT_EQ((*moves)[0].destination, 2);
    EXPECT_EQ((*moves)[1].bytes, 8192u);  // DC = 0: blocks of the source
    EXPECT_EQ((*moves)[1].segment, 1);
}

TEST_F(Plans, DcCountsBlocksOfTheDestination) {
    auto segment = block_to_block(0, 1, 2, 0, 0);
    segment[1] = 0x02;
    EXPECT_EQ((*plan({segment}))[0].bytes, 8192u);
}

TEST_F(Plans, WhatIsLeftOfABlockNeedsPad) {
    EXPECT_EQ(planned({block_to_block(0, 1, 3, 0, 0)}), "a/26/0a list 90");
    EXPECT_EQ(planned({block_to_block(0, 1, 8, 0, 0)}), "good");
    large[28] = 0x04;  // PAD of the destination
    const auto moves = plan({block_to_block(0, 1, 3, 0, 0)});
    ASSERT_TRUE(moves);
    EXPECT_EQ((*moves)[0].bytes, 1536u);
    EXPECT_EQ((*moves)[0].pad_bytes, 4096u - 1536u);
    auto carried = block_to_block(0, 1, 3, 0, 0);
    carried[1] = 0x01;  // CAT
    EXPECT_EQ(planned({carried}), "a/26/0a list 90");
    auto counted = block_to_block(1, 0, 3, 0, 0);
    counted[1] = 0x02;
    EXPECT_EQ(planned({counted}), "good");  // PAD of the source: the rest of its block is left
    large[28] = 0;
    EXPECT_EQ(planned({counted}), "a/26/0a list 90");
}

TEST_F(Plans, UnreachableDevicesEndTheCopyBeforeItBegins) {
    EXPECT_EQ(planned({block_to_block(2, 0, 1, 0, 0)}), "a/0d/02 list 84");
    EXPECT_EQ(planned({block_to_block(0, 2, 1, 0, 0)}), "a/0d/02 list 86");
    EXPECT_EQ(planned({block_to_block(0, 0xFFFE, 1, 0, 0)}), "a/0d/02 list 86");
    EXPECT_EQ(planned({block_to_block(0, 0xC000, 1, 0, 0)}), "a/0d/02 list 86");
    devices[1].reachable = false;
    EXPECT_EQ(planned({block_to_block(0, 0xFFFF, 1, 0, 0)}), "good");  // it is not used
    const auto moves = plan({block_to_block(0, 2, 1, 0, 0), block_to_block(1, 0, 1, 0, 0)});
    EXPECT_EQ(moves.error().command_specific_information, 0u);
    const auto second = plan({block_to_block(0, 0, 1, 0, 9), block_to_block(1, 0, 1, 0, 0)});
    EXPECT_EQ(second.error().command_specific_information, 1u);
}

TEST_F(Plans, DevicesAreDisksWithTheBlocksThatTheHostKnows) {
    small[1] = 0x01;  // a tape
    EXPECT_EQ(planned({block_to_block(0, 0xFFFF, 1, 0, 0)}), "a/0d/03 list 84");
    small = cscd(one, 4096);
    EXPECT_EQ(planned({block_to_block(0, 0xFFFF, 1, 0, 0)}), "5/26/00 list 45");
    small = cscd(one, 0);
    EXPECT_EQ(planned({block_to_block(0, 0xFFFF, 1, 0, 0)}), "good");
}

TEST_F(Plans, RangesLieOnTheMedium) {
    EXPECT_EQ(planned({block_to_block(0, 0xFFFF, 1, 999, 999)}), "good");
    EXPECT_EQ(planned({block_to_block(0, 0xFFFF, 0, 1000, 1000)}), "good");
    EXPECT_EQ(planned({block_to_block(0, 0xFFFF, 1, 1000, 0)}), "a/00/00 list 92");
    EXPECT_EQ(planned({block_to_block(0, 0xFFFF, 2, 0, 999)}), "a/00/00 list 100");
    EXPECT_EQ(planned({block_to_block(0, 0xFFFF, 1, ~std::uint64_t{0}, 0)}), "a/00/00 list 92");
    EXPECT_EQ(planned({block_to_block(0, 0xFFFF, 0, 1ull << 55, 0)}), "a/00/00 list 92");
    EXPECT_EQ(planned({bytes_to_bytes(0, 0xFFFF, 513, 999, 0, 0, 0)}), "a/00/00 list 92");
    EXPECT_EQ(planned({bytes_to_bytes(0, 0xFFFF, 512, 0, 0, 999, 1)}), "a/00/00 list 100");
}

TEST_F(Plans, ByteOffsetsStandInsideTheFirstBlock) {
    const auto moves = plan({bytes_to_bytes(1, 0, 1000, 2, 4095, 3, 511)});
    ASSERT_TRUE(moves);
    EXPECT_EQ((*moves)[0].source_byte, 2u * 4096 + 4095);
    EXPECT_EQ((*moves)[0].destination_byte, 3u * 512 + 511);
    EXPECT_EQ(planned({bytes_to_bytes(0, 1, 1, 0, 512, 0, 0)}), "5/26/00 list 108");
    EXPECT_EQ(planned({bytes_to_bytes(0, 0, 1, 0, 0, 0, 512)}), "5/26/00 list 110");
}

TEST_F(Plans, SegmentsHaveALargestLength) {
    devices = {{true, 1u << 30, 512}, {true, 1u << 20, 4096}, {true, 1u << 30, 512}};
    EXPECT_EQ(planned({bytes_to_bytes(0, 0xFFFF, 256 << 20, 0, 0, 1 << 24, 0)}), "good");
    EXPECT_EQ(planned({bytes_to_bytes(0, 0xFFFF, (256 << 20) + 1, 0, 0, 1 << 24, 0)}),
              "5/26/00 list 88");
    EXPECT_EQ(planned({block_to_block(1, 0, 0xFFFF, 0, 0)}), "good");
}

TEST_F(Plans, VerifyMovesNothing) {
    const auto moves = plan({verify_device(0, true), verify_device(1, false)});
    ASSERT_TRUE(moves);
    EXPECT_TRUE((*moves)[0].test_unit_ready);
    EXPECT_FALSE((*moves)[1].test_unit_ready);
    EXPECT_EQ((*moves)[0].bytes, 0u);
    EXPECT_EQ(planned({verify_device(5, true)}), "a/0d/02 list 84");
}

// --- Results ---

std::string text(const CopyResult& result, void (*put)(const CopyResult&, Builder&)) {
    std::vector<std::uint8_t> room(256);
    Builder into(room);
    put(result, into);
    return testing::to_hex(into.written());
}

TEST(CopyResults, StatusLid1CountsInUnitsThatFit) {
    CopyResult result;
    result.transferred_bytes = 0x1234;
    result.segments_processed = 3;
    EXPECT_EQ(text(result, put_copy_status_lid1), "00 00 00 08 00 00 03 00 00 00 12 34");
    result.status = CopyStatus::completed;
    result.transferred_bytes = 1ull << 40;
    EXPECT_EQ(text(result, put_copy_status_lid1), "00 00 00 08 01 00 03 01 40 00 00 00");
    result.status = CopyStatus::failed;
    result.held_discarded = true;
    EXPECT_EQ(text(result, put_copy_status_lid1), "00 00 00 08 82 00 03 01 40 00 00 00");
}

TEST(CopyResults, FailureDetailsHaveTheSenseData) {
    CopyResult result;
    EXPECT_EQ(text(result, put_copy_failure_details), "00 00 00 00");
    result.status = CopyStatus::failed;
    result.completion = Status::check_condition;
    result.sense[0] = 0x70;
    result.sense_bytes = 1;
    const std::string details = text(result, put_copy_failure_details);
    EXPECT_EQ(details.substr(0, 11), "00 00 00 39");
    EXPECT_EQ(details.substr(3 * 56), "02 00 00 01 70");
}

TEST(CopyResults, StatusLid4) {
    CopyResult result;
    result.service_action = 1;
    result.status = CopyStatus::in_background;
    result.transferred_bytes = 0x100000002;
    result.operations = 5;
    const auto put = [](const CopyResult& r, Builder& into) {
        put_copy_status_lid4(r, false, into);
    };
    EXPECT_EQ(text(result, put),
              "00 00 00 1c 01 12 00 05 00 00 03 e8 00 00 00 00 "
              "00 00 00 01 00 00 00 02 00 00 00 00 00 00 00 00");
}

TEST(CopyResults, OperatingParametersAreTheLimits) {
    EXPECT_EQ(Asked().asked("84 03 00 00 00 00 00 00 00 00 00 00 01 00 00 00"),
              "00 00 00 2d 01 00 00 00 00 10 00 40 00 00 0a 00 10 00 00 00 00 00 00 00 00 01 00 00 "
              "00 00 00 00 00 00 00 10 10 00 00 00 00 00 00 05 02 07 0a 0d e4");
}

TEST(ThirdPartyCopyPage, ListsTheCommandsThatTheTableHas) {
    const Asked unit;
    const auto page = unit.ask("12 01 8f 10 00 00");
    ASSERT_TRUE(page);
    ASSERT_EQ(load_be<std::uint16_t>(page->data() + 2) + 4u, page->size());
    // The descriptors fill the page, each a multiple of four long.
    std::vector<unsigned> types;
    for (std::size_t at = 4; at < page->size();) {
        types.push_back(load_be<std::uint16_t>(page->data() + at));
        const std::size_t bytes = load_be<std::uint16_t>(page->data() + at + 2);
        EXPECT_EQ(bytes % 4, 0u);
        at += 4 + bytes;
        ASSERT_LE(at, page->size());
    }
    for (const unsigned type :
         {0x0000u, 0x0001u, 0x0004u, 0x0008u, 0x000Cu, 0x0106u, 0x0108u, 0x8001u, 0xC001u})
        EXPECT_EQ(std::ranges::count(types, type), 1) << type;
    EXPECT_TRUE(std::ranges::is_sorted(types));
    std::size_t named = 0;
    const std::uint8_t* at = page->data() + 4 + 36 + 4 + 1;
    const std::uint8_t* const end = at + page->at(4 + 36 + 4);
    while (at < end) {
        EXPECT_TRUE(at[0] == 0x83 || at[0] == 0x84);
        named += at[1];
        at += 2 + at[1];
    }
    EXPECT_EQ(named, static_cast<std::size_t>(
                         std::ranges::count_if(command_table(), [](const CommandRow& row) {
                             return row.requirement == Requirement::third_party_copy;
                         })));
}

TEST(ThirdPartyCopyPage, GoesWithTheCommandsAndTheBitInTheStandardData) {
    Asked unit;
    unit.state.settings.third_party_copy = false;
    EXPECT_EQ(unit.asked("12 01 8f 10 00 00"), "5/24/00 cdb 2");
    EXPECT_EQ(unit.asked("12 00 00 00 08 00"), "00 00 06 32 5b 00 00 02");
    EXPECT_EQ(unit.asked("84 03 00 00 00 00 00 00 00 00 00 00 01 00 00 00"), "5/24/00 cdb 1.4");
}

// --- Sense data of a copy ---

TEST(CopySense, ForwardsWhatTheDeviceReported) {
    SenseData data = copy_aborted({0x0D, 0x01}, 3);
    data.third_party = ThirdParty{true, Status::check_condition, SenseKey::data_protect, {0x27, 0}};
    std::vector<std::uint8_t> room(96);
    room.resize(data.encode(SenseFormat::fixed, room));
    EXPECT_EQ(testing::to_hex(room),
              "70 00 0a 00 00 00 00 1d 00 12 00 03 0d 01 00 00 00 00 "
              "02 70 00 07 00 00 00 00 0a 00 00 00 00 27 00 00 00 00 00");
    data.third_party->destination = false;
    room.resize(96);
    room.resize(data.encode(SenseFormat::descriptor, room));
    EXPECT_EQ(testing::to_hex(room),
              "72 0a 0d 01 00 00 00 22 01 0a 00 00 00 00 00 00 00 00 00 03 "
              "0c 14 01 02 70 00 07 00 00 00 00 0a 00 00 00 00 27 00 00 00 00 00");
}

TEST(CopySense, IsReadBackFromBothFormats) {
    SenseData data;
    data.key = SenseKey::miscompare;
    data.additional = {0x1D, 0x00};
    data.information = 77;
    for (const SenseFormat format : {SenseFormat::fixed, SenseFormat::descriptor}) {
        std::vector<std::uint8_t> room(96);
        room.resize(data.encode(format, room));
        const SenseData read = decode_sense(room);
        EXPECT_EQ(read.key, data.key);
        EXPECT_EQ(read.additional, data.additional);
        EXPECT_EQ(read.information, data.information);
        for (std::size_t bytes = 0; bytes < room.size(); ++bytes)
            (void)decode_sense(Bytes(room).first(bytes));
    }
}

}  // namespace
}  // namespace olio::scsi
