#include "scsi/aliases.h"

#include <gtest/gtest.h>

#include <array>

#include "base/limits.h"
#include "scsi/request_testing.h"

namespace olio::scsi {
namespace {

using testing::Asked;
using testing::describe;
using testing::hex;
using testing::to_hex;

// A parameter list of these entries.
std::vector<std::uint8_t> list_of(std::string_view entries) {
    std::vector<std::uint8_t> list(8);
    const auto bytes = hex(entries);
    list.insert(list.end(), bytes.begin(), bytes.end());
    store_be<std::uint32_t>(list.data(), static_cast<std::uint32_t>(list.size() - 4));
    return list;
}

constexpr std::string_view port_5 =
    "00 00 00 00 00 00 00 05 00 00 00 00 00 00 00 08 20 00 00 11 22 33 44 55";
constexpr std::string_view name_6 =
    "00 00 00 00 00 00 00 06 05 00 00 00 00 00 00 08 69 71 6e 2e 61 00 00 00";
constexpr std::string_view null_5 = "00 00 00 00 00 00 00 05 0f 00 00 00 00 00 00 00";

std::string refused(const std::vector<std::uint8_t>& list) {
    return describe(change_aliases({}, list));
}

TEST(Aliases, AreAddedReplacedAndTakenAway) {
    const auto two = change_aliases({}, list_of(std::string(port_5) + std::string(name_6)));
    ASSERT_TRUE(two) << describe(two);
    ASSERT_EQ(two->size(), 2U);
    EXPECT_EQ((*two)[0].value, 5U);
    EXPECT_EQ((*two)[0].protocol, ProtocolIdentifier::fibre_channel);
    EXPECT_EQ((*two)[1].designation, hex("69 71 6e 2e 61 00 00 00"));
    std::string renamed(port_5);
    renamed.replace(renamed.size() - 2, 2, "56");
    const auto again = change_aliases(*two, list_of(renamed));
    ASSERT_TRUE(again);
    ASSERT_EQ(again->size(), 2U);
    EXPECT_EQ((*again)[1].designation.back(), 0x56);
    const auto one = change_aliases(*two, list_of(null_5));
    ASSERT_TRUE(one);
    ASSERT_EQ(one->size(), 1U);
    EXPECT_EQ((*one)[0].value, 6U);
    EXPECT_EQ(change_aliases(*one, list_of(null_5)), *one);  // there is none
    EXPECT_EQ(change_aliases(*one, {}), *one);
}

TEST(Aliases, AreReportedAsTheyWereGiven) {
    Asked unit;
    EXPECT_EQ(unit.asked("a3 0b 00 00 00 00 00 00 00 ff 00 00"), "00 00 00 04 00 00 00 00");
    const auto aliases = change_aliases({}, list_of(std::string(port_5) + std::string(name_6)));
    ASSERT_TRUE(aliases);
    unit.nexus.aliases = *aliases;
    EXPECT_EQ(unit.asked("a3 0b 00 00 00 00 00 00 00 ff 00 00"),
              "00 00 00 34 00 00 00 02 " + std::string(port_5) + " " + std::string(name_6));
    EXPECT_EQ(unit.asked("a3 0b 00 00 00 00 00 00 00 06 00 00"), "00 00 00 34 00 00");
}

TEST(Aliases, WhatIsWrongIsPointedAt) {
    std::string entry(port_5);
    entry[22] = '0';  // the alias value 0
    EXPECT_EQ(refused(list_of(entry)), "5/26/00 list 8");
    EXPECT_EQ(refused(list_of(std::string(port_5) + std::string(port_5))), "5/26/00 list 32");
    entry = port_5;
    entry[25] = '6';  // SAS has no designations
    EXPECT_EQ(refused(list_of(entry)), "5/26/00 list 16");
    entry = port_5;
    entry[34] = '1';  // FORMAT CODE: with an N_Port
    EXPECT_EQ(refused(list_of(entry)), "5/26/00 list 19");
    entry = port_5;
    entry[46] = '4';  // DESIGNATION LENGTH
    EXPECT_EQ(refused(list_of(entry)), "5/26/00 list 22");
    entry = name_6;
    entry.replace(48, 2, "20");  // " qn.a"
    EXPECT_EQ(refused(list_of(entry)), "5/26/00 list 24");
    entry = name_6;
    entry.replace(63, 8, "62 62 62");  // without a NUL
    EXPECT_EQ(refused(list_of(entry)), "5/26/00 list 24");
    entry = name_6;
    entry.replace(66, 2, "62");  // something behind it
    EXPECT_EQ(refused(list_of(entry)), "5/26/00 list 24");
}

TEST(Aliases, ListsCutShortAreALengthError) {
    const auto whole = list_of(std::string(port_5) + std::string(name_6));
    for (std::size_t length = 1; length < whole.size(); ++length)
        EXPECT_EQ(refused({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)}),
                  "5/1a/00")
            << length;
    for (const std::uint32_t length : {0U, 3U, 15U, 30U}) {
        auto lies = whole;
        store_be<std::uint32_t>(lies.data(), length);
        EXPECT_EQ(refused(lies), "5/1a/00") << length;
    }
    auto more = whole;
    more.push_back(0);
    EXPECT_EQ(refused(more), "good");
}

TEST(Aliases, AreNoMoreThanThereIsRoomFor) {
    std::string entries;
    for (unsigned i = 1; i <= limits::aliases_per_nexus_and_unit; ++i) {
        std::string entry(port_5);
        entry.replace(21, 2, to_hex(std::array{static_cast<std::uint8_t>(i)}));
        entries += entry;
    }
    const auto full = change_aliases({}, list_of(entries));
    ASSERT_TRUE(full);
    EXPECT_EQ(full->size(), limits::aliases_per_nexus_and_unit);
    std::string another(port_5);
    another.replace(21, 2, "ff");
    EXPECT_EQ(describe(change_aliases(*full, list_of(another))), "5/55/03");
    EXPECT_TRUE(change_aliases(*full, list_of(another + std::string(null_5))));
}

}  // namespace
}  // namespace olio::scsi
