#include "scsi/mode_pages.h"

#include <gtest/gtest.h>

#include "scsi/request_testing.h"

namespace olio::scsi {
namespace {

using testing::Asked;
using testing::describe;
using testing::hex;

// Each page byte by byte, as SPC-5 7.5 and SBC-4 6.5 draw them.
const std::string recovery = "01 0a 00 00 00 00 00 00 00 00 00 00";
const std::string disconnect = "02 0e 00 00 00 00 00 00 00 00 00 00 00 00 00 00";
const std::string caching = "08 12 04 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00";
const std::string control = "0a 0a 22 10 00 40 00 00 ff ff 00 00";
const std::string extension =
    "4a 01 00 1c 06 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "
    "00 00 00 00 00 00 00 00 00 00 00 00";
const std::string protocol_unit = "18 06 05 00 00 00 00 00";
const std::string protocol_port = "19 06 05 00 00 00 00 00";
const std::string power =
    "1a 26 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "
    "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00";
const std::string exceptions = "1c 0a 00 00 00 00 00 00 00 00 00 00";
const std::string short_descriptor = "00 01 00 00 00 00 02 00";
const std::string pages_behind_control =
    protocol_unit + " " + protocol_port + " " + power + " " + exceptions;
const std::string pages_of_subpage_0 =
    recovery + " " + disconnect + " " + caching + " " + control + " " + pages_behind_control;

std::string advice() {
    std::string page = "4a 05 04 0c 00 00 00 00 00 00 00 00 00 00 00 00";
    for (int i = 0; i < 64; ++i)
        page += " 40 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00";
    return page;
}

TEST(ModeSense, AllPagesInBothForms) {
    const Asked unit;
    EXPECT_EQ(unit.asked("1a 00 3f 00 ff 00"),
              "8b 00 10 08 " + short_descriptor + " " + pages_of_subpage_0);
    EXPECT_EQ(unit.asked("5a 00 3f 00 00 00 00 00 ff 00"),
              "00 8e 00 10 00 00 00 08 " + short_descriptor + " " + pages_of_subpage_0);
    EXPECT_EQ(unit.asked("5a 08 3f ff 00 00 00 10 00 00"),
              "04 b6 00 10 00 00 00 00 " + recovery + " " + disconnect + " " + caching + " " +
                  control + " " + extension + " " + advice() + " " + pages_behind_control);
}

// SPC-5 7.5.5: MODE DATA LENGTH has one byte.
TEST(ModeSense, TheSixByteFormLeavesOutWhatItsLengthCannotSay) {
    EXPECT_EQ(Asked().asked("1a 08 3f ff ff 00"), "a3 00 10 00 " + recovery + " " + disconnect +
                                                      " " + caching + " " + control + " " +
                                                      extension + " " + pages_behind_control);
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
    EXPECT_EQ(unit.asked("1a 08 1d 00 ff 00"), "5/24/00 cdb 2.5");
    EXPECT_EQ(unit.asked("1a 08 0a 06 ff 00"), "5/24/00 cdb 3");
    EXPECT_EQ(unit.asked("1a 08 3f 01 ff 00"), "5/24/00 cdb 3");
}

TEST(ModeSense, ChangeableValuesAreMasks) {
    Asked unit;
    EXPECT_EQ(unit.asked("1a 08 48 00 ff 00"),
              "17 00 10 00 08 12 04 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00");
    EXPECT_EQ(unit.asked("1a 08 4a 00 ff 00"), "0f 00 10 00 0a 0a 04 06 38 40 00 00 00 00 00 00");
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

TEST(ModeSense, EachPageAndItsChangeableBits) {
    const Asked unit;
    const auto page = [&](const std::string& code, const std::string& subpage) {
        return unit.asked("5a 08 " + code + " " + subpage + " 00 00 00 10 00 00").substr(24);
    };
    EXPECT_EQ(page("01", "00"), recovery);
    EXPECT_EQ(page("02", "00"), disconnect);
    EXPECT_EQ(page("0a", "05"), advice());
    EXPECT_EQ(page("18", "00"), protocol_unit);
    EXPECT_EQ(page("19", "00"), protocol_port);
    EXPECT_EQ(page("1a", "00"), power);
    EXPECT_EQ(page("1c", "00"), exceptions);
    EXPECT_EQ(page("4a", "01").substr(0, 23), "4a 01 00 1c 02 0f 00 00");
    EXPECT_EQ(page("5c", "00"), "1c 0a 0c 0f 00 00 00 00 00 00 00 00");
    EXPECT_EQ(page("41", "00"), recovery);
    EXPECT_EQ(page("58", "00"), "18 06 00 00 00 00 00 00");
}

TEST(ModeSense, NothingIsSavedWithoutStableStorage) {
    EXPECT_EQ(Asked().asked("1a 08 c8 00 ff 00"), "5/39/00");
}

TEST(ModeSense, SavedValuesAreTheDefaultsUntilSomethingIsSaved) {
    Asked unit;
    unit.state.mode_pages_savable = true;
    EXPECT_EQ(unit.asked("1a 08 c8 00 07 00"), "17 00 10 00 88 12 04");  // PS
    EXPECT_EQ(unit.asked("1a 08 02 00 06 00"), "13 00 10 00 02 0e");     // nothing to save
    unit.state.saved_mode_pages = unit.state.mode_pages;
    unit.state.saved_mode_pages->write_cache_enabled = false;
    unit.state.saved_mode_pages->software_write_protect = true;
    EXPECT_EQ(unit.asked("1a 08 c8 00 07 00"), "17 00 10 00 88 12 00");
    EXPECT_EQ(unit.asked("1a 08 08 00 07 00"), "17 00 10 00 88 12 04");
    EXPECT_EQ(unit.asked("1a 08 ca 00 09 00"), "0f 00 10 00 8a 0a 22 10 08");
    EXPECT_EQ(unit.asked("1a 08 0a 00 09 00"), "0f 00 10 00 8a 0a 22 10 00");
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
        const auto sense = unit.ask(descriptors ? "5a 10 3f ff 00 00 00 10 00 00"
                                                : "5a 08 3f ff 00 00 00 10 00 00");
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
    const auto list = unit.ask("5a 08 3f ff 00 00 00 10 00 00");
    const auto mask = unit.ask("5a 08 7f ff 00 00 00 10 00 00");
    ASSERT_TRUE(list && mask && list->size() == mask->size());
    std::size_t page = 8;
    while (page < list->size()) {
        const bool long_header = ((*list)[page] & 0x40) != 0;
        const std::size_t header = long_header ? 4 : 2;
        const std::size_t end =
            page + header +
            (long_header ? load_be<std::uint16_t>(list->data() + page + 2) : (*list)[page + 1]);
        for (std::size_t byte = page + header; byte < end; ++byte) {
            for (unsigned bit = 0; bit < 8; ++bit) {
                std::vector<std::uint8_t> changed = *list;
                changed[byte] ^= static_cast<std::uint8_t>(1U << bit);
                const bool method = (*list)[page] == 0x1C && byte == page + 3 && bit < 4;
                // QERR 10b and UA_INTLCK_CTRL 01b are reserved.
                const bool control_page = (*list)[page] == 0x0A;
                const bool reserved = (control_page && byte == page + 3 && bit == 2) ||
                                      (control_page && byte == page + 4 && bit == 4);
                const std::string expected =
                    reserved ? "5/26/00 list " + std::to_string(byte) + (bit == 2 ? ".2" : ".5")
                    : method ? "5/26/00 list " + std::to_string(byte) + ".3"
                    : ((*mask)[byte] >> bit & 1) != 0
                        ? "good"
                        : "5/26/00 list " + std::to_string(byte) + "." + std::to_string(bit);
                EXPECT_EQ(describe(unit.select(select_10, changed)), expected);
            }
        }
        page = end;
    }
}

TEST(ModeSelect, AMethodOfReportingThatIsNotThereIsRefused) {
    const Asked unit;
    EXPECT_EQ(selected(unit, select_6, "00 00 00 00 1c 0a 00 06 00 00 00 00 00 00 00 00"), "good");
    EXPECT_EQ(selected(unit, select_6, "00 00 00 00 1c 0a 00 02 00 00 00 00 00 00 00 00"),
              "5/26/00 list 7.3");
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
    EXPECT_EQ(selected(unit, select_6, "00 00 00 00 1d 0a 00 00 00 00 00 00 00 00 00 00"),
              "5/26/00 list 4.5");
    EXPECT_EQ(selected(unit, select_6, "00 00 00 00 0a 0b 22 10 00 40 00 00 ff ff 00 00 00"),
              "5/26/00 list 5");
    EXPECT_EQ(selected(unit, select_6, "00 00 00 00 4a 06 00 1c"), "5/26/00 list 5");
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

TEST(ModeSelect, SavingNeedsStableStorage) {
    Asked unit;
    const std::string list = "00 00 00 00 " + control;
    EXPECT_EQ(selected(unit, "15 11 00 00 ff 00", list), "5/24/00 cdb 1.0");
    unit.state.mode_pages_savable = true;
    EXPECT_EQ(selected(unit, "15 11 00 00 ff 00", list), "good");
    EXPECT_TRUE(mode_select_saves(hex("15 11 00 00 ff 00")));
    EXPECT_FALSE(mode_select_saves(hex("15 10 00 00 ff 00")));
}

TEST(SavedModePages, ComeBackAsTheyWere) {
    const Asked unit;
    ModePages values = unit.state.mode_pages;
    values.descriptor_sense = true;
    values.software_write_protect = true;
    values.task_aborted_status = false;
    values.exception_reporting = 6;
    ModePages back;
    ASSERT_TRUE(
        decode_saved_mode_pages(encode_saved_mode_pages(values), unit.state.mode_pages, back));
    EXPECT_EQ(back, values);
}

TEST(SavedModePages, WhatThisVersionDoesNotKnowOrWouldRefuseIsPassedOver) {
    const Asked unit;
    ModePages back;
    // An unknown page, then a control page with a TST that cannot be and D_SENSE.
    ASSERT_TRUE(decode_saved_mode_pages(hex("3e 02 12 34 0a 0a e6 10 00 40 00 00 ff ff 00 00"
                                            "1c 0a 00 02 00 00 00 00 00 00 00 00"),
                                        unit.state.mode_pages, back));
    ModePages expected = unit.state.mode_pages;
    expected.descriptor_sense = true;
    EXPECT_EQ(back, expected);
}

TEST(SavedModePages, APageOfAnotherLengthIsPassedOver) {
    const Asked unit;
    ModePages back;
    for (const std::string_view stored :
         {"0a 08 06 10 00 40 00 00 ff ff", "0a 0c 06 10 00 40 00 00 ff ff 00 00 00 00"}) {
        ASSERT_TRUE(decode_saved_mode_pages(hex(stored), unit.state.mode_pages, back));
        EXPECT_EQ(back, unit.state.mode_pages);
    }
}

TEST(SavedModePages, CutShortTheyAreNoList) {
    const Asked unit;
    const std::vector<std::uint8_t> whole = encode_saved_mode_pages(unit.state.mode_pages);
    ModePages back;
    EXPECT_FALSE(
        decode_saved_mode_pages(Bytes(whole).first(whole.size() - 1), unit.state.mode_pages, back));
    EXPECT_FALSE(decode_saved_mode_pages(Bytes(whole).first(1), unit.state.mode_pages, back));
}

TEST(ModePagesAfterReset, AreTheSavedOnesWithTheCacheAsItIs) {
    Asked unit;
    unit.state.mode_pages.descriptor_sense = true;
    unit.state.mode_pages.write_cache_enabled = false;
    ModePages expected = unit.state.default_mode_pages;
    expected.write_cache_enabled = false;
    EXPECT_EQ(mode_pages_after_reset(unit.state), expected);
    unit.state.saved_mode_pages = unit.state.default_mode_pages;
    unit.state.saved_mode_pages->task_aborted_status = false;
    expected.task_aborted_status = false;
    EXPECT_EQ(mode_pages_after_reset(unit.state), expected);
}

}  // namespace
}  // namespace olio::scsi
