#include "scsi/mode_pages.h"

#include <gtest/gtest.h>

#include "scsi/request_testing.h"

namespace olio::scsi {
namespace {

using testing::Asked;
using testing::describe;
using testing::hex;

const std::string caching = "08 12 04 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00";
const std::string control = "0a 0a 22 10 00 40 00 00 ff ff 00 00";
const std::string extension =
    "4a 01 00 1c 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "
    "00 00 00 00 00 00 00 00 00 00 00 00";
const std::string short_descriptor = "00 01 00 00 00 00 02 00";

TEST(ModeSense, AllPagesInBothForms) {
    const Asked unit;
    EXPECT_EQ(unit.asked("1a 00 3f 00 ff 00"),
              "2b 00 10 08 " + short_descriptor + " " + caching + " " + control);
    EXPECT_EQ(unit.asked("1a 08 3f ff ff 00"),
              "43 00 10 00 " + caching + " " + control + " " + extension);
    EXPECT_EQ(unit.asked("5a 00 3f 00 00 00 00 00 ff 00"),
              "00 2e 00 10 00 00 00 08 " + short_descriptor + " " + caching + " " + control);
    EXPECT_EQ(unit.asked("5a 18 0a ff 00 00 00 00 ff 00"),
              "00 32 00 10 00 00 00 00 " + control + " " + extension);
}

TEST(ModeSense, LongBlockDescriptorWhereLlbaaAllows) {
    EXPECT_EQ(Asked().asked("5a 10 08 00 00 00 00 00 ff 00"),
              "00 2a 00 10 01 00 00 10 00 00 00 00 00 01 00 00 00 00 00 00 00 00 02 00 " + caching);
}

TEST(ModeSense, ShortDescriptorOfALargeUnitSaysFfffffff) {
    Asked unit;
    unit.state.geometry.blocks = 0x100000000;
    EXPECT_EQ(unit.asked("1a 00 0a 00 0c 00"), "17 00 10 08 ff ff ff ff 00 00 02 00");
}

TEST(ModeSense, OnePageOrOneSubpage) {
    const Asked unit;
    EXPECT_EQ(unit.asked("1a 08 08 00 ff 00"), "17 00 10 00 " + caching);
    EXPECT_EQ(unit.asked("1a 08 0a 00 ff 00"), "0f 00 10 00 " + control);
    EXPECT_EQ(unit.asked("1a 08 0a 01 ff 00"), "23 00 10 00 " + extension);
    EXPECT_EQ(unit.asked("1a 08 08 ff ff 00"), "17 00 10 00 " + caching);
}

TEST(ModeSense, UnknownPagesArePointedAt) {
    const Asked unit;
    EXPECT_EQ(unit.asked("1a 08 1c 00 ff 00"), "5/24/00 cdb 2.5");
    EXPECT_EQ(unit.asked("1a 08 0a 05 ff 00"), "5/24/00 cdb 3");
    EXPECT_EQ(unit.asked("1a 08 3f 01 ff 00"), "5/24/00 cdb 3");
}

TEST(ModeSense, ChangeableValuesAreMasks) {
    Asked unit;
    EXPECT_EQ(unit.asked("1a 08 48 00 ff 00"),
              "17 00 10 00 08 12 04 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00");
    EXPECT_EQ(unit.asked("1a 08 4a 00 ff 00"), "0f 00 10 00 0a 0a 04 00 08 40 00 00 00 00 00 00");
    unit.state.mode_pages.write_cache_changeable = false;
    EXPECT_EQ(unit.asked("1a 08 48 00 07 00"), "17 00 10 00 08 12 00");
}

TEST(ModeSense, DefaultsStayWhenCurrentValuesChange) {
    Asked unit;
    unit.state.mode_pages.write_cache_enabled = false;
    unit.state.mode_pages.descriptor_sense = true;
    EXPECT_EQ(unit.asked("1a 08 08 00 07 00"), "17 00 10 00 08 12 00");
    EXPECT_EQ(unit.asked("1a 08 88 00 07 00"), "17 00 10 00 08 12 04");
    EXPECT_EQ(unit.asked("1a 08 0a 00 07 00"), "0f 00 10 00 0a 0a 26");
    EXPECT_EQ(unit.asked("1a 08 8a 00 07 00"), "0f 00 10 00 0a 0a 22");
    unit.state.mode_pages.write_cache_changeable = false;
    EXPECT_EQ(unit.asked("1a 08 88 00 07 00"), "17 00 10 00 08 12 00");
}

TEST(ModeSense, NothingIsSaved) {
    EXPECT_EQ(Asked().asked("1a 08 c8 00 ff 00"), "5/39/00");
}

TEST(ModeSense, WriteProtectionAndFuaShowInTheHeader) {
    Asked unit;
    unit.state.fua_supported = false;
    EXPECT_EQ(unit.asked("1a 08 0a 00 04 00"), "0f 00 00 00");
    unit.state.write_protected = true;
    EXPECT_EQ(unit.asked("1a 08 0a 00 04 00"), "0f 00 80 00");
    unit.state.write_protected = false;
    unit.state.mode_pages.software_write_protect = true;
    EXPECT_EQ(unit.asked("5a 08 0a 00 00 00 00 00 05 00"), "00 12 00 80 00");
}

// ---- MODE SELECT ----

const std::string select_6 = "15 10 00 00 ff 00";
const std::string select_10 = "55 10 00 00 00 00 00 00 ff 00";

std::string selected(const Asked& unit, const std::string& cdb, const std::string& list) {
    return describe(unit.select(cdb, hex(list)));
}

TEST(ModeSelect, WhatModeSenseSaysIsAccepted) {
    const Asked unit;
    for (const bool descriptors : {true, false}) {
        const auto sense = unit.ask(descriptors ? "5a 10 3f ff 00 00 00 00 ff 00"
                                                : "5a 08 3f ff 00 00 00 00 ff 00");
        ASSERT_TRUE(sense);
        const auto values = unit.select(select_10, *sense);
        ASSERT_TRUE(values) << describe(values);
        EXPECT_EQ(*values, unit.state.mode_pages);
    }
    const auto sense = unit.ask("1a 00 3f ff ff 00");
    ASSERT_TRUE(sense);
    EXPECT_EQ(unit.select(select_6, *sense).value(), unit.state.mode_pages);
}

TEST(ModeSelect, ChangesWhatIsChangeableInSeveralPagesOfOneList) {
    const Asked unit;
    const auto values = unit.select(
        select_6, hex("00 00 00 00 08 12 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
                      "0a 0a 26 10 08 00 00 00 ff ff 00 00"));
    ASSERT_TRUE(values) << describe(values);
    ModePages expected = unit.state.mode_pages;
    expected.write_cache_enabled = false;
    expected.descriptor_sense = true;
    expected.software_write_protect = true;
    expected.task_aborted_status = false;
    EXPECT_EQ(*values, expected);
}

TEST(ModeSelect, OtherBitsMayNotChange) {
    Asked unit;
    // QAM 1 -> 0; TST 1 -> 0; BUSY TIMEOUT PERIOD; RCD.
    EXPECT_EQ(selected(unit, select_6, "00 00 00 00 0a 0a 22 00 00 40 00 00 ff ff 00 00"),
              "5/26/00 list 7.4");
    EXPECT_EQ(selected(unit, select_6, "00 00 00 00 0a 0a 02 10 00 40 00 00 ff ff 00 00"),
              "5/26/00 list 6.5");
    EXPECT_EQ(selected(unit, select_6, "00 00 00 00 0a 0a 22 10 00 40 00 00 ff 00 00 00"),
              "5/26/00 list 13.7");
    EXPECT_EQ(selected(unit, select_6,
                       "00 00 00 00 08 12 05 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"),
              "5/26/00 list 6.0");
    unit.state.mode_pages.write_cache_changeable = false;
    EXPECT_EQ(selected(unit, select_6,
                       "00 00 00 00 08 12 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"),
              "5/26/00 list 6.2");
}

TEST(ModeSelect, EachBitOfEachPageChangesOnlyInsideTheMask) {
    const Asked unit;
    const auto list = unit.ask("5a 08 3f ff 00 00 00 00 ff 00");
    const auto mask = unit.ask("5a 08 7f ff 00 00 00 00 ff 00");
    ASSERT_TRUE(list && mask && list->size() == mask->size());
    for (std::size_t byte = 8; byte < list->size(); ++byte) {
        const std::size_t in_page = byte < 28 ? byte - 8 : byte < 40 ? byte - 28 : byte - 40;
        if (in_page < (byte < 40 ? 2U : 4U))
            continue;  // page headers
        for (unsigned bit = 0; bit < 8; ++bit) {
            std::vector<std::uint8_t> changed = *list;
            changed[byte] ^= static_cast<std::uint8_t>(1U << bit);
            const std::string expected =
                ((*mask)[byte] >> bit & 1) != 0
                    ? "good"
                    : "5/26/00 list " + std::to_string(byte) + "." + std::to_string(bit);
            EXPECT_EQ(describe(unit.select(select_10, changed)), expected);
        }
    }
}

TEST(ModeSelect, ListsCutShortAreALengthError) {
    const Asked unit;
    const std::vector<std::uint8_t> whole =
        hex("00 00 00 08" + short_descriptor + control + extension);
    EXPECT_TRUE(unit.select(select_6, whole));
    for (std::size_t length = 1; length < whole.size(); ++length) {
        const bool at_a_page = length == 12 || length == 24;
        EXPECT_EQ(describe(unit.select(select_6, Bytes(whole).first(length))),
                  at_a_page ? "good" : "5/1a/00")
            << length;
    }
    EXPECT_EQ(selected(unit, select_6, ""), "good");
    EXPECT_EQ(selected(unit, select_10, "00 00 00 00 00 00 00"), "5/1a/00");
    EXPECT_EQ(selected(unit, select_10, "00 00 00 00 00 00 00 00"), "good");
}

TEST(ModeSelect, PagesMustExistAndHaveTheirLength) {
    const Asked unit;
    EXPECT_EQ(selected(unit, select_6, "00 00 00 00 1c 0a 00 00 00 00 00 00 00 00 00 00"),
              "5/26/00 list 4.5");
    EXPECT_EQ(selected(unit, select_6, "00 00 00 00 0a 0b 22 10 00 40 00 00 ff ff 00 00 00"),
              "5/26/00 list 5");
    EXPECT_EQ(selected(unit, select_6, "00 00 00 00 4a 05 00 1c"), "5/26/00 list 5");
    EXPECT_EQ(selected(unit, select_6, "00 00 00 00 4a 00 00 08"), "5/26/00 list 4.6");
    EXPECT_EQ(selected(unit, select_6, "00 00 00 00 4a 01 00 1d"), "5/26/00 list 6");
    EXPECT_EQ(selected(unit, select_6, "00 00 00 00 8a 0a 22 10 00 40 00 00 ff ff 00 00"),
              "5/26/00 list 4.7");
}

TEST(ModeSelect, BlockDescriptorsMayOnlyRepeatWhatIs) {
    const Asked unit;
    EXPECT_EQ(selected(unit, select_6, "00 00 00 08 00 00 00 00 00 00 02 00"), "good");
    EXPECT_EQ(selected(unit, select_6, "00 00 00 08 ff ff ff ff 00 00 02 00"), "good");
    EXPECT_EQ(selected(unit, select_6, "00 00 00 08 00 00 80 00 00 00 02 00"), "5/26/00 list 4");
    EXPECT_EQ(selected(unit, select_6, "00 00 00 08 00 01 00 00 00 00 10 00"), "5/26/00 list 9");
    EXPECT_EQ(selected(unit, select_6, "00 00 00 04 00 00 00 00"), "5/26/00 list 3");
    EXPECT_EQ(selected(unit, select_6, "00 01 00 00"), "5/26/00 list 1");
    EXPECT_EQ(selected(unit, select_10,
                       "00 00 00 00 01 00 00 10 00 00 00 00 00 01 00 00 00 00 00 00 00 00 10 00"),
              "5/26/00 list 20");
    EXPECT_EQ(selected(unit, select_10, "00 00 00 00 01 00 00 08 00 00 00 00 00 01 00 00"),
              "5/26/00 list 6");
}

TEST(ModeSelect, VendorFormatAndSavingAreRefused) {
    const Asked unit;
    const std::string list = "00 00 00 00 " + control;
    EXPECT_EQ(selected(unit, "15 00 00 00 ff 00", list), "5/24/00 cdb 1.4");
    EXPECT_EQ(selected(unit, "15 00 00 00 ff 00", "00 00 00 00"), "good");
    EXPECT_EQ(selected(unit, "15 11 00 00 ff 00", list), "5/24/00 cdb 1.0");  // SP
    EXPECT_EQ(selected(unit, "15 12 00 00 ff 00", list), "5/24/00 cdb 1.1");  // RTD
}

}  // namespace
}  // namespace olio::scsi
