#include "scsi/log_pages.h"

#include <gtest/gtest.h>

#include <map>

#include "scsi/provisioning.h"
#include "scsi/request_testing.h"

namespace olio::scsi {
namespace {

using testing::Asked;
using testing::describe;
using testing::hex;
using testing::to_hex;

class LogTest : public ::testing::Test {
  protected:
    LogTest() {
        for (std::size_t i = 0; i < log_counters; ++i)
            values.values[i] = 0x100 * (i + 1);
        values[LogCounter::always_zero] = 0;
    }

    std::string sense(std::string_view text, std::size_t room = 256) {
        std::vector<std::uint8_t> data(room);
        Builder into(data);
        const auto put = unit.try_handle(
            text, [&](const Request& request) { return log_sense(request, values, into); });
        return put ? to_hex(into.written()) : describe(put.error());
    }
    std::expected<LogChanges, SenseData> select(std::string_view text, std::string_view list) {
        return unit.try_handle(
            text, [&](const Request& request) { return log_select(request, hex(list)); });
    }
    std::string selected(std::string_view cdb, std::string_view list) {
        return describe(select(cdb, list));
    }

    Asked unit;
    LogValues values;
};

TEST_F(LogTest, SenseListsThePages) {
    EXPECT_EQ(sense("4d 00 00 00 00 00 00 00 ff 00"), "00 00 00 0a 00 02 03 05 06 0e 10 19 1a 2f");
    EXPECT_EQ(sense("4d 00 40 ff 00 00 00 00 ff 00"),
              "40 ff 00 16 00 00 00 ff 02 00 03 00 05 00 06 00 0e 00 10 00 19 00 1a 00 2f 00");
    EXPECT_EQ(sense("4d 00 0d 00 00 00 00 00 ff 00"), "5/24/00 cdb 2.5");
    EXPECT_EQ(sense("4d 00 11 00 00 00 00 00 ff 00"), "5/24/00 cdb 2.5");
    EXPECT_EQ(sense("4d 00 00 01 00 00 00 00 ff 00"), "5/24/00 cdb 3");
    EXPECT_EQ(sense("4d 00 00 00 00 00 01 00 ff 00"), "5/24/00 cdb 5");
    EXPECT_EQ(sense("4d 01 00 00 00 00 00 00 ff 00"), "5/24/00 cdb 1.0");  // SP
    EXPECT_EQ(sense("4d 02 00 00 00 00 00 00 ff 00"), "5/24/00 cdb 1.1");  // PPC, obsolete
}

TEST_F(LogTest, EachPageByteByByte) {
    EXPECT_EQ(sense("4d 00 42 00 00 00 00 00 ff 00"),
              "82 00 00 24 00 03 00 08 00 00 00 00 00 00 00 00 "
              "00 05 00 08 00 00 00 00 00 00 03 00 00 06 00 08 00 00 00 00 00 00 04 00");
    EXPECT_EQ(sense("4d 00 43 00 00 00 00 00 ff 00"),
              "83 00 00 24 00 03 00 08 00 00 00 00 00 00 00 00 "
              "00 05 00 08 00 00 00 00 00 00 01 00 00 06 00 08 00 00 00 00 00 00 02 00");
    EXPECT_EQ(sense("4d 00 45 00 00 00 00 00 ff 00"),
              "85 00 00 24 00 03 00 08 00 00 00 00 00 00 00 00 "
              "00 05 00 08 00 00 00 00 00 00 05 00 00 06 00 08 00 00 00 00 00 00 06 00");
    EXPECT_EQ(sense("4d 00 46 00 00 00 00 00 ff 00"),
              "86 00 00 0c 00 00 00 08 00 00 00 00 00 00 07 00");
    unit.state.start_stop_cycles = 0x0102;
    EXPECT_EQ(sense("4d 00 4e 00 00 00 00 00 ff 00"), "0e 00 00 08 00 04 03 04 00 00 01 02");
    EXPECT_EQ(sense("4d 00 59 00 00 00 00 00 ff 00"),
              "19 00 00 44 00 01 02 40 00 00 00 00 00 00 08 00 00 00 00 00 00 00 09 00 "
              "00 00 00 00 00 00 0a 00 00 00 00 00 00 00 0b 00 "
              "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "
              "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00");
    EXPECT_EQ(sense("4d 00 6f 00 00 00 00 00 ff 00"), "2f 00 00 08 00 00 03 04 00 00 ff 00");
    unit.state.endurance_used_percent = 7;
    EXPECT_EQ(sense("4d 00 51 00 00 00 00 00 ff 00"), "11 00 00 08 00 01 03 04 00 00 00 07");
}

TEST_F(LogTest, ATestOfExceptionsShowsInTheirPage) {
    unit.state.mode_pages.exception_test = true;
    EXPECT_EQ(sense("4d 00 6f 00 00 00 00 00 ff 00"), "2f 00 00 08 00 00 03 04 5d ff ff 00");
    unit.state.mode_pages.exceptions_disabled = true;
    EXPECT_EQ(sense("4d 00 6f 00 00 00 00 00 ff 00"), "2f 00 00 08 00 00 03 04 00 00 ff 00");
}

TEST_F(LogTest, PageControlChoosesThresholdsAndDefaults) {
    EXPECT_EQ(sense("4d 00 06 00 00 00 00 00 ff 00"),
              "86 00 00 0c 00 00 00 08 ff ff ff ff ff ff ff ff");
    EXPECT_EQ(sense("4d 00 86 00 00 00 00 00 ff 00"),
              "86 00 00 0c 00 00 00 08 ff ff ff ff ff ff ff ff");
    EXPECT_EQ(sense("4d 00 c6 00 00 00 00 00 ff 00"),
              "86 00 00 0c 00 00 00 08 00 00 00 00 00 00 00 00");
}

TEST_F(LogTest, ThePointerChoosesWhereToBegin) {
    EXPECT_EQ(sense("4d 00 42 00 00 00 06 00 ff 00"),
              "82 00 00 0c 00 06 00 08 00 00 00 00 00 00 04 00");
    EXPECT_EQ(sense("4d 00 42 00 00 00 04 00 ff 00").substr(0, 35),
              "82 00 00 18 00 05 00 08 00 00 00 00");
    EXPECT_EQ(sense("4d 00 42 00 00 00 07 00 ff 00"), "5/24/00 cdb 5");
}

TEST_F(LogTest, ResourcesOfThinProvisioningWhereTheStoreTellsThem) {
    EXPECT_EQ(sense("4d 00 4c 00 00 00 00 00 ff 00"), "5/24/00 cdb 2.5");
    unit.state.provisioning.reports_resources = true;
    EXPECT_EQ(sense("4d 00 4c 00 00 00 00 00 ff 00"), "0c 00 00 00");  // it has not told them
    EXPECT_EQ(sense("4d 00 4c 00 00 00 01 00 ff 00"), "5/24/00 cdb 5");
    (void)note_resources(unit.state, 7 << 11, (2 << 11) + 5);
    unit.state.provisioning.shared_resources = true;
    EXPECT_EQ(sense("4d 00 4c 00 00 00 00 00 ff 00"),
              "0c 00 00 18 00 01 03 08 00 00 00 07 02 00 00 00 "
              "00 02 03 08 00 00 00 02 01 00 00 00");
    EXPECT_TRUE(log_sense_shows_resources(hex("4d 00 8c 00 00 00 00 00 ff 00")));
    EXPECT_FALSE(log_sense_shows_resources(hex("4d 00 4e 00 00 00 00 00 ff 00")));
}

TEST_F(LogTest, SelfTestsNewestFirstAndZerosWhereThereWasNone) {
    unit.state.self_tests.add({.code = SelfTestCode::background_short, .power_on_hours = 1});
    unit.state.self_tests.add({.code = SelfTestCode::foreground_extended,
                               .outcome = SelfTestOutcome::read_failed,
                               .power_on_hours = 0x0203,
                               .first_failure_lba = 0x55,
                               .key = SenseKey::medium_error,
                               .additional = {0x11, 0x00}});
    const std::string page = sense("4d 00 50 00 00 00 00 01 ff 00", 512);
    EXPECT_EQ(page.size(), 404 * 3 - 1);
    EXPECT_EQ(page.substr(0, 64 * 3 - 1),
              "10 00 01 90 00 01 03 10 c7 00 02 03 00 00 00 00 00 00 00 55 03 11 00 00 "
              "00 02 03 10 20 00 00 01 ff ff ff ff ff ff ff ff 00 00 00 00 "
              "00 03 03 10 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00");
    EXPECT_EQ(page.substr(page.size() - 20 * 3 + 1),
              "00 14 03 10 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00");
    EXPECT_EQ(sense("4d 00 50 00 00 00 14 01 ff 00", 512),
              "10 00 00 14 00 14 03 10 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00");
}

TEST_F(LogTest, EveryPowerConditionIsCountedWhenItBegins) {
    using enum PowerCondition;
    for (const PowerCondition next : {idle_a, idle_a, standby_z, standby_y, active, idle_b, idle_c,
                                      stopped, active, stopped, idle_a})
        (void)enter_power_condition(unit.state, next);
    EXPECT_EQ(sense("4d 00 5a 00 00 00 00 00 ff 00"),
              "1a 00 00 30 00 01 03 04 00 00 00 02 00 02 03 04 00 00 00 02 "
              "00 03 03 04 00 00 00 01 00 04 03 04 00 00 00 01 "
              "00 08 03 04 00 00 00 01 00 09 03 04 00 00 00 01");
    EXPECT_EQ(unit.state.start_stop_cycles, 2U);
    unit.state.power_transitions[1] = 0xFFFFFFFF;
    EXPECT_TRUE(enter_power_condition(unit.state, active));
    EXPECT_FALSE(enter_power_condition(unit.state, active));
    EXPECT_EQ(unit.state.power_transitions[1], 0xFFFFFFFFU);
}

TEST_F(LogTest, IsCutAtTheAllocationLengthWithoutChangingAnyLength) {
    EXPECT_EQ(sense("4d 00 42 00 00 00 00 00 06 00", 6), "82 00 00 24 00 03");
}

// ---- LOG SELECT ----

std::map<LogCounter, std::uint64_t> by_counter(const LogChanges& changes) {
    std::map<LogCounter, std::uint64_t> found;
    for (const LogChange& change : changes.counters)
        found[change.counter] = change.value;
    return found;
}

TEST_F(LogTest, PcrResetsOnePageOrAll) {
    const auto one = select("4c 02 43 00 00 00 00 00 00 00", "");
    ASSERT_TRUE(one);
    EXPECT_EQ(by_counter(*one),
              (std::map<LogCounter, std::uint64_t>{{LogCounter::read_bytes, 0},
                                                   {LogCounter::read_errors, 0},
                                                   {LogCounter::always_zero, 0}}));
    const auto all = select("4c 02 40 00 00 00 00 00 00 00", "");
    ASSERT_TRUE(all);
    EXPECT_EQ(by_counter(*all).size(), log_counters);
    EXPECT_TRUE(all->forgets_self_tests);
    EXPECT_FALSE(one->forgets_self_tests);
    const auto defaults = select("4c 00 c0 00 00 00 00 00 00 00", "");
    ASSERT_TRUE(defaults);
    EXPECT_EQ(by_counter(*defaults).size(), log_counters);
    const auto tests = select("4c 02 50 00 00 00 00 00 00 00", "");
    ASSERT_TRUE(tests);
    EXPECT_TRUE(tests->counters.empty());
    EXPECT_TRUE(tests->forgets_self_tests);
    EXPECT_FALSE(tests->empty());
    EXPECT_EQ(by_counter(*select("4c 02 59 00 00 00 00 00 00 00", "")),
              (std::map<LogCounter, std::uint64_t>{{LogCounter::read_commands, 0},
                                                   {LogCounter::write_commands, 0},
                                                   {LogCounter::blocks_received, 0},
                                                   {LogCounter::blocks_transmitted, 0}}));
    EXPECT_TRUE(select("4c 02 4e 00 00 00 00 00 00 00", "")->empty());  // never
    EXPECT_TRUE(select("4c 02 5a 00 00 00 00 00 00 00", "")->empty());
    EXPECT_EQ(selected("4c 02 4d 00 00 00 00 00 00 00", ""), "5/24/00 cdb 2.5");
    EXPECT_EQ(selected("4c 02 4c 00 00 00 00 00 00 00", ""), "5/24/00 cdb 2.5");  // not there
    EXPECT_EQ(selected("4c 02 51 00 00 00 00 00 00 00", ""), "5/24/00 cdb 2.5");
    EXPECT_EQ(selected("4c 02 43 01 00 00 00 00 00 00", ""), "5/24/00 cdb 3");
    EXPECT_EQ(selected("4c 03 43 00 00 00 00 00 00 00", ""), "5/24/00 cdb 1.0");  // SP
    EXPECT_TRUE(select("4c 00 40 00 00 00 00 00 00 00", "")->empty());
    EXPECT_TRUE(select("4c 00 80 00 00 00 00 00 00 00", "")->empty());
}

TEST_F(LogTest, AListSetsCounters) {
    const auto set = select("4c 00 40 00 00 00 00 00 ff 00",
                            "02 00 00 0c 00 06 00 08 00 00 00 00 00 00 12 34"
                            "06 00 00 0c 00 00 00 08 00 00 00 00 00 00 00 05");
    ASSERT_TRUE(set) << describe(set);
    EXPECT_EQ(by_counter(*set),
              (std::map<LogCounter, std::uint64_t>{{LogCounter::write_errors, 0x1234},
                                                   {LogCounter::non_medium_errors, 5}}));
}

TEST_F(LogTest, WhatCannotBeSetIsPointedAt) {
    const std::string cumulative = "4c 00 40 00 00 00 00 00 ff 00";
    const std::string parameter = "00 06 00 08 00 00 00 00 00 00 12 34";
    EXPECT_EQ(selected(cumulative, "0d 00 00 0c" + parameter), "5/26/00 list 0");
    EXPECT_EQ(selected(cumulative, "02 01 00 0c" + parameter), "5/26/00 list 1");
    EXPECT_EQ(selected(cumulative, "03 00 00 00 02 00 00 00"), "5/26/00 list 4");  // the order
    EXPECT_EQ(selected(cumulative, "02 00 00 00 02 00 00 00"), "5/26/00 list 4");  // and once
    EXPECT_EQ(selected(cumulative, "02 00 00 0c 00 07 00 08 00 00 00 00 00 00 00 00"),
              "5/26/00 list 4");
    EXPECT_EQ(selected(cumulative, "02 00 00 0c 00 06 80 08 00 00 00 00 00 00 00 00"),
              "5/26/00 list 6");
    EXPECT_EQ(selected(cumulative, "02 00 00 08 00 06 00 04 00 00 00 00"), "5/26/00 list 7");
    EXPECT_EQ(selected(cumulative, "02 00 00 0c 00 03 00 08 00 00 00 00 00 00 00 01"),
              "5/26/00 list 8");  // never counted
    EXPECT_EQ(selected(cumulative, "2f 00 00 08 00 00 03 04 00 00 ff 00"), "5/26/00 list 4");
    EXPECT_EQ(selected(cumulative, "0e 00 00 08 00 04 03 04 00 00 00 00"), "5/26/00 list 4");
    EXPECT_EQ(selected("4c 00 00 00 00 00 00 00 ff 00", "02 00 00 0c" + parameter),
              "5/26/00 list 8");  // a threshold
    EXPECT_EQ(selected("4c 00 00 00 00 00 00 00 ff 00",
                       "02 00 00 0c 00 06 00 08 ff ff ff ff ff ff ff ff"),
              "good");
    EXPECT_EQ(selected("4c 02 40 00 00 00 00 00 ff 00", "02 00 00 0c" + parameter),
              "5/24/00 cdb 1.1");
    EXPECT_EQ(selected("4c 00 42 00 00 00 00 00 ff 00", "02 00 00 0c" + parameter),
              "5/24/00 cdb 2.5");
    EXPECT_EQ(selected("4c 00 40 01 00 00 00 00 ff 00", "02 00 00 0c" + parameter),
              "5/24/00 cdb 3");
    EXPECT_EQ(selected("4c 00 c0 00 00 00 00 00 ff 00", "02 00 00 0c" + parameter),
              "5/24/00 cdb 2.7");
}

TEST_F(LogTest, ListsCutShortAreALengthError) {
    const std::vector<std::uint8_t> whole =
        hex("02 00 00 18 00 05 00 08 00 00 00 00 00 00 12 34 00 06 00 08 00 00 00 00 00 00 12 34");
    for (std::size_t length = 1; length < whole.size(); ++length)
        EXPECT_EQ(selected("4c 00 40 00 00 00 00 00 ff 00", to_hex(Bytes(whole).first(length))),
                  "5/1a/00")
            << length;
    EXPECT_EQ(selected("4c 00 40 00 00 00 00 00 ff 00", to_hex(whole)), "good");
}

}  // namespace
}  // namespace olio::scsi
