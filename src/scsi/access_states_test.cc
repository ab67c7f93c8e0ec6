#include "scsi/access_states.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <set>
#include <string>

#include "base/limits.h"
#include "scsi/request_testing.h"
#include "scsi/sense_codes.h"

namespace olio::scsi {
namespace {

using testing::Asked;
using testing::describe;
using testing::hex;
using testing::to_hex;

constexpr std::array states{AccessState::active_optimized, AccessState::active_non_optimized,
                            AccessState::standby,          AccessState::unavailable,
                            AccessState::lba_dependent,    AccessState::offline,
                            AccessState::transitioning};

AccessStateTable two_groups() {
    AccessStateTable table;
    EXPECT_TRUE(put_group(table, {.id = 0x20, .name = "right"}));
    EXPECT_TRUE(put_group(table, {.id = 0x10, .name = "left"}));
    EXPECT_TRUE(put_port(table, 2, 0x20));
    EXPECT_TRUE(put_port(table, 1, 0x10));
    return table;
}

// ---- The golden data: which commands pass in which state ----

// The lists of SPC-5 5.17.2.4.4 (standby), 5.17.2.4.5 (unavailable) and 5.17.2.5 (transitioning),
// typed in from the standard. What they leave to the device server is in `more`, by what LIO does.
const std::set<std::string_view> in_transition{
    "INQUIRY",
    "REPORT LUNS",
    "REPORT TARGET PORT GROUPS",
    "REQUEST SENSE",
};
const std::set<std::string_view> unavailable_besides{
    "SET TARGET PORT GROUPS",
};
const std::set<std::string_view> standby_besides{
    "LOG SELECT",
    "LOG SENSE",
    "MODE SELECT(6)",
    "MODE SELECT(10)",
    "MODE SENSE(6)",
    "MODE SENSE(10)",
    "RECEIVE DIAGNOSTIC RESULTS",
    "SEND DIAGNOSTIC",
    // Not in the standard's list: a disk in standby should still have a size.
    "READ CAPACITY(10)",
    "READ CAPACITY(16)",
    "REPORT SUPPORTED OPERATION CODES",
    "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS",
};
bool in_family(std::string_view name, std::initializer_list<std::string_view> families) {
    return std::ranges::any_of(families, [&](std::string_view f) { return name.starts_with(f); });
}
// Commands of which each service action or mode has a row of its own.
bool standby_family(std::string_view name) {
    return in_family(name, {"PERSISTENT RESERVE IN", "PERSISTENT RESERVE OUT", "READ BUFFER",
                            "WRITE BUFFER", "REPORT TIMESTAMP", "SET TIMESTAMP",
                            "REPORT IDENTIFYING INFORMATION", "SET IDENTIFYING INFORMATION",
                            "REPORT ALIASES", "CHANGE ALIASES", "REPORT PRIORITY", "SET PRIORITY"});
}
bool echo_buffer_family(std::string_view name) {
    return in_family(name, {"READ BUFFER", "WRITE BUFFER"});
}

enum class Expected : std::uint8_t { passes, refused, either };

Expected expected_of(std::string_view name, AccessState state) {
    switch (state) {
        case AccessState::active_optimized:
        case AccessState::active_non_optimized:
        case AccessState::lba_dependent:
            return Expected::passes;
        case AccessState::transitioning:
            if (echo_buffer_family(name))
                return Expected::either;
            return in_transition.contains(name) ? Expected::passes : Expected::refused;
        case AccessState::unavailable:
        case AccessState::offline:
            if (echo_buffer_family(name))
                return Expected::either;
            return in_transition.contains(name) || unavailable_besides.contains(name)
                       ? Expected::passes
                       : Expected::refused;
        case AccessState::standby:
            if (standby_family(name))
                return Expected::either;
            return in_transition.contains(name) || unavailable_besides.contains(name) ||
                           standby_besides.contains(name)
                       ? Expected::passes
                       : Expected::refused;
    }
    return Expected::refused;
}

const std::map<AccessState, std::string> golden_sense{
    {AccessState::standby, "2/04/0b"},
    {AccessState::unavailable, "2/04/0c"},
    {AccessState::offline, "2/04/12"},
    {AccessState::transitioning, "2/04/0a"},
};

// Every (row, access state) cell.
TEST(AccessStates, EveryCommandInEveryStateIsAsTheStandardHasIt) {
    std::size_t cells = 0;
    for (const CommandRow& row : command_table()) {
        for (const AccessState state : states) {
            AccessStateTable table = two_groups();
            table.referrals = *parse_referrals("0 0\n0 999 16:O 32:S\n");
            if (state == AccessState::offline)
                table.port(1)->offline = true;
            else
                table.group(0x10)->state = state;
            table.settle();
            EXPECT_EQ(table.restricted, state != AccessState::active_optimized);
            const std::string found =
                describe(check_access(row, {.lba = 1, .blocks = 1}, table, 1));
            const Expected expected = expected_of(row.name, state);
            if (expected == Expected::either) {
                EXPECT_TRUE(found == "good" || found == golden_sense.at(state))
                    << row.name << " in " << name_of(state) << ": " << found;
            } else {
                EXPECT_EQ(found, expected == Expected::passes ? "good" : golden_sense.at(state))
                    << row.name << " in " << name_of(state);
            }
            // The other port is not concerned.
            EXPECT_TRUE(check_access(row, {}, table, 2));
            EXPECT_TRUE(check_access(row, {}, table, 3)) << "a port in no group";
            ++cells;
        }
    }
    EXPECT_EQ(cells, command_table().size() * states.size());
}

TEST(AccessStates, InTheLbaDependentStateTheBlocksDecide) {
    AccessStateTable table = two_groups();
    table.referrals = *parse_referrals("0 0\n0 99 16:O 32:S\n100 199 16:U 32:O\n200 299 32:A\n");
    table.group(0x10)->state = AccessState::lba_dependent;
    table.settle();
    const auto read = **find_row(hex("28 00 00 00 00 00 00 00 00 00"));
    const auto check = [&](std::uint64_t lba, std::uint64_t blocks) {
        return describe(check_access(read, {.lba = lba, .blocks = blocks}, table, 1));
    };
    EXPECT_EQ(check(0, 100), "good");
    EXPECT_EQ(check(0, 101), "2/04/0c");
    EXPECT_EQ(check(99, 0), "good");
    EXPECT_EQ(check(100, 1), "2/04/0c");
    EXPECT_EQ(check(200, 1), "2/04/0c") << "the group is not named there";
    EXPECT_EQ(check(300, 1), "2/04/0c") << "nobody is named there";
    EXPECT_EQ(check(~0ULL, 2), "2/04/0c");
    const auto unmap = **find_row(hex("42 00 00 00 00 00 00 00 00 00"));
    EXPECT_EQ(describe(check_access(unmap, {}, table, 1)), "2/04/0c");
    const auto ready = **find_row(hex("00 00 00 00 00 00"));
    EXPECT_EQ(describe(check_access(ready, {}, table, 1)), "good");
}

TEST(AccessStates, ReferralsRepeatAfterTheMultiplier) {
    // Segments of 8 blocks, by turns of the one and of the other group.
    const auto referrals = parse_referrals("8 2\n0 7 1:O 2:S\n8 15 1:S 2:O\n");
    ASSERT_TRUE(referrals);
    for (std::uint64_t lba = 0; lba < 100; ++lba)
        for (std::uint64_t blocks = 1; blocks < 40; ++blocks) {
            bool first = false;
            bool second = false;
            for (std::uint64_t b = lba; b < lba + blocks; ++b)
                (b / 8 % 2 == 0 ? first : second) = true;
            EXPECT_EQ(state_of_blocks(*referrals, 1, lba, blocks),
                      second ? AccessState::standby : AccessState::active_optimized);
            EXPECT_EQ(state_of_blocks(*referrals, 2, lba, blocks),
                      first ? AccessState::standby : AccessState::active_optimized);
        }
    EXPECT_EQ(state_of_blocks(*referrals, 1, 0, 1ULL << 40), AccessState::standby);
    // The last segment there could be ends beyond the last LBA; once this went round for ever.
    const auto odd = parse_referrals("10 2\n0 9 1:O\n10 19 1:O\n");
    EXPECT_EQ(state_of_blocks(*odd, 1, ~0ULL, 1), AccessState::active_optimized);
    EXPECT_EQ(state_of_blocks(*odd, 1, ~0ULL - 3, 4), AccessState::active_optimized);
    EXPECT_EQ(state_of_blocks(*referrals, 1, (1ULL << 62), 1), AccessState::active_optimized);
}

TEST(AccessStates, ReferralsAreWrittenAsTheyAreRead) {
    const std::string text = "64 0\n0 99 1:O 2:A\n100 200 1:S 2:U\n";
    const auto referrals = parse_referrals(text);
    ASSERT_TRUE(referrals);
    EXPECT_EQ(format_referrals(*referrals), text);
    EXPECT_EQ(format_referrals(*parse_referrals("")), "");
    for (const char* bad : {"64\n", "x 1\n", "64 0\n5 4 1:O\n", "64 0\n0 1\n", "64 0\n0 1 1:X\n",
                            "64 0\n0 1 1:\n", "64 0\n0 1 70000:O\n", "0 2\n0 1 1:O\n",
                            "64 5000\n0 1 1:O\n", "64 0\n0 1 1:O 2:O 3:O 4:O 5:O 6:O 7:O 8:O 9:O\n",
                            "64 0\n-1 1 1:O\n", "64 0 0\n0 1 1:O\n"})
        EXPECT_FALSE(parse_referrals(bad)) << bad;
}

// ---- REPORT TARGET PORT GROUPS, REPORT REFERRALS, VPD pages ----

TEST(AccessStates, ReportTargetPortGroupsHasBothFormats) {
    Asked unit;
    unit.port.relative_port = 2;
    EXPECT_EQ(unit.asked("a3 0a 00 00 00 00 00 00 01 00 00 00"), "5/24/00 cdb 1.4");  // no groups
    unit.state.access = two_groups();
    unit.state.access.group(0x10)->preferred = true;
    unit.state.access.group(0x20)->state = AccessState::standby;
    unit.state.access.group(0x20)->status = AccessStatus::implicitly;
    unit.state.access.group(0x20)->implicit_transition_seconds = 60;
    ASSERT_TRUE(put_port(unit.state.access, 0x0103, 0x20));
    const std::string groups =
        "80 cf 00 10 00 00 00 01 00 00 00 01 "
        "02 cf 00 20 00 02 00 02 00 00 00 02 00 00 01 03";
    EXPECT_EQ(unit.asked("a3 0a 00 00 00 00 00 00 01 00 00 00"), "00 00 00 1c " + groups);
    EXPECT_EQ(unit.asked("a3 2a 00 00 00 00 00 00 01 00 00 00"),
              "00 00 00 20 10 3c 00 00 " + groups);
    EXPECT_EQ(unit.asked("a3 2a 00 00 00 00 00 00 00 06 00 00"), "00 00 00 20 10 3c");
    EXPECT_EQ(unit.asked("a3 4a 00 00 00 00 00 00 01 00 00 00"), "5/24/00 cdb 1.7");
}

TEST(AccessStates, InquiryShowsTheGroupOfThePortThatAsks) {
    Asked unit;
    unit.state.access = two_groups();
    unit.state.access.logical_unit_group = 7;
    unit.state.access.group(0x20)->explicit_access = false;
    const auto page = [&](std::uint16_t port) {
        unit.port.relative_port = port;
        return unit.asked("12 01 83 01 00 00");
    };
    EXPECT_NE(page(1).find("51 95 00 04 00 00 00 10"), std::string::npos);
    EXPECT_NE(page(2).find("51 95 00 04 00 00 00 20"), std::string::npos);
    EXPECT_EQ(page(9).find("51 95"), std::string::npos);
    EXPECT_NE(page(1).find("01 06 00 04 00 00 00 07"), std::string::npos);
    unit.port.relative_port = 1;
    EXPECT_EQ(unit.asked("12 00 00 00 06 00").substr(15, 2), "38");
    unit.port.relative_port = 2;
    EXPECT_EQ(unit.asked("12 00 00 00 06 00").substr(15, 2), "18");
    unit.port.relative_port = 9;
    EXPECT_EQ(unit.asked("12 00 00 00 06 00").substr(15, 2), "08");
}

TEST(AccessStates, ReferralsAreReportedByPageAndCommand) {
    Asked unit;
    unit.state.access = two_groups();
    EXPECT_EQ(unit.asked("12 01 b3 00 ff 00"), "5/24/00 cdb 2");
    EXPECT_EQ(unit.asked("9e 13 00 00 00 00 00 00 00 00 00 00 01 00 00 00"), "5/24/00 cdb 1.4");
    unit.state.access.referrals = *parse_referrals("256 3\n0 99 16:O 32:S\n100 199 16:A 32:U\n");
    EXPECT_EQ(unit.asked("12 01 b3 00 ff 00"), "00 b3 00 0c 00 00 00 00 00 00 01 00 00 00 00 03");
    const std::string first =
        "00 00 00 02 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 63 "
        "00 00 00 10 02 00 00 20";
    const std::string second =
        "00 00 00 02 00 00 00 00 00 00 00 64 00 00 00 00 00 00 00 c7 "
        "01 00 00 10 03 00 00 20";
    unit.state.access.referrals.segment_multiplier = 0;
    EXPECT_EQ(unit.asked("9e 13 00 00 00 00 00 00 00 00 00 00 01 00 00 00"),
              "00 00 00 38 " + first + " " + second);
    EXPECT_EQ(unit.asked("9e 13 00 00 00 00 00 00 00 64 00 00 01 00 00 00"),
              "00 00 00 1c " + second);
    EXPECT_EQ(unit.asked("9e 13 00 00 00 00 00 00 00 05 00 00 01 00 01 00"),
              "00 00 00 1c " + first);
    EXPECT_EQ(unit.asked("9e 13 ff 00 00 00 00 00 00 05 00 00 01 00 01 00"), "5/21/00");
    const auto extended = unit.ask("12 01 86 00 ff 00");
    ASSERT_TRUE(extended);
    EXPECT_EQ((*extended)[8], 0x10);  // R_SUP
}

// ---- SET TARGET PORT GROUPS ----

std::string parsed(std::string_view list, const AccessStateTable& table, std::uint16_t port = 1) {
    const auto changes = parse_set_target_port_groups(hex(list), table, port);
    if (!changes)
        return describe(changes.error());
    std::string text;
    for (const AccessChange& change : *changes)
        text += std::to_string(change.id) + (change.secondary ? "p" : "g") +
                (change.secondary ? change.offline ? "off" : "on"
                                  : std::to_string(static_cast<unsigned>(change.state))) +
                " ";
    return text;
}

TEST(AccessStates, SetTargetPortGroupsIsCheckedWholeFirst) {
    AccessStateTable table = two_groups();
    EXPECT_EQ(parsed("", table), "");
    EXPECT_EQ(parsed("00 00 00", table), "5/1a/00");
    EXPECT_EQ(parsed("00 00 00 00 01 00 00", table), "5/1a/00");
    EXPECT_EQ(parsed("00 00 00 00", table), "");
    EXPECT_EQ(parsed("00 00 00 00 01 00 00 10 02 00 00 20", table), "16g1 32g2 ");
    EXPECT_EQ(parsed("00 00 00 00 01 00 00 10 02 00 00 30", table), "5/26/00 list 10");
    EXPECT_EQ(parsed("00 00 00 00 01 00 00 10 02 00 00 10", table), "5/26/00 list 10");
    EXPECT_EQ(parsed("00 00 00 00 0e 00 00 02", table), "2poff ");  // a port's identifier
    EXPECT_EQ(parsed("00 00 00 00 0e 00 00 20", table), "5/26/00 list 6");
    EXPECT_EQ(parsed("00 00 00 00 0f 00 00 10", table), "5/26/00 list 4.3");
    EXPECT_EQ(parsed("00 00 00 00 04 00 00 10", table), "5/26/00 list 4.3");
    EXPECT_EQ(parsed("00 00 00 00 05 00 00 10", table), "5/26/00 list 4.3");
    table.group(0x20)->supported_states = 0x01;
    EXPECT_EQ(parsed("00 00 00 00 02 00 00 20", table), "5/26/00 list 4.3");
    table.port(1)->offline = true;
    EXPECT_EQ(parsed("00 00 00 00 00 00 00 10", table), "16g0 1pon ");
    table.group(0x10)->explicit_access = false;
    EXPECT_EQ(parsed("00 00 00 00 00 00 00 10", table), "5/20/00");
    EXPECT_EQ(parsed("00 00 00 00 00 00 00 10", table, 2), "5/26/00 list 6");
}

TEST(AccessStates, SetTargetPortGroupsNeedsAGroupThatAllowsIt) {
    Asked unit;
    unit.state.access = two_groups();
    EXPECT_EQ(unit.asked("a4 0a 00 00 00 00 00 00 00 00 00 00"), "");
    unit.state.access.group(0x10)->explicit_access = false;
    unit.state.access.group(0x20)->explicit_access = false;
    EXPECT_EQ(unit.asked("a4 0a 00 00 00 00 00 00 00 00 00 00"), "5/24/00 cdb 1.4");
}

// Whatever comes, a list is refused, or its changes can begin.
TEST(AccessStates, RandomListsNeverLeaveTheTableInconsistent) {
    std::mt19937 random(42);  // NOLINT: the same lists each time
    AccessStateTable table = two_groups();
    for (int round = 0; round < 20000; ++round) {
        std::vector<std::uint8_t> list(random() % 24);
        for (std::uint8_t& byte : list)
            byte = static_cast<std::uint8_t>(random() % 3 == 0 ? random() : 0);
        for (std::size_t at = 7; at < list.size(); at += 4)
            list[at] = std::array<std::uint8_t, 4>{0x10, 0x20, 1, 2}[random() % 4];
        const auto changes = parse_set_target_port_groups(list, table, 1);
        if (!changes)
            continue;
        const auto transition = begin_transition(table, *changes, AccessStatus::explicitly);
        ASSERT_TRUE(transition);
        if (random() % 4 == 0)
            cancel_transition(table, *transition);
        else
            finish_transition(table, *transition);
        for (const TargetPortGroup& group : table.groups) {
            EXPECT_FALSE(group.target);
            EXPECT_NE(group.supported_states & bit_of(group.state), 0);
            EXPECT_LE(group.state, AccessState::unavailable);
        }
    }
}

// ---- Transitions ----

TEST(AccessStates, ATransitionPassesThroughTransitioning) {
    AccessStateTable table = two_groups();
    table.group(0x10)->transition_delay_ms = 500;
    const AccessChange change[]{{.state = AccessState::standby, .id = 0x10}};
    const auto transition = begin_transition(table, change, AccessStatus::implicitly);
    ASSERT_TRUE(transition);
    EXPECT_EQ(transition->delay_ms, 500U);
    EXPECT_EQ(table.state_of(1), AccessState::transitioning);
    EXPECT_EQ(table.state_of(2), AccessState::active_optimized);
    EXPECT_TRUE(table.restricted);
    EXPECT_EQ(begin_transition(table, change, AccessStatus::implicitly).error().code, EBUSY);
    EXPECT_EQ(group_metadata(*table.group(0x10)),
              "tg_pt_gp_id=16\nalua_access_state=0x00\nalua_access_status=0x00\n")
        << "until it has ended, it has not been";
    finish_transition(table, *transition);
    EXPECT_EQ(table.state_of(1), AccessState::standby);
    EXPECT_EQ(table.group(0x10)->status, AccessStatus::implicitly);
}

TEST(AccessStates, ACancelledTransitionLeavesNothing) {
    AccessStateTable table = two_groups();
    table.group(0x10)->transition_delay_ms = 500;
    const AccessStateTable before = table;
    const AccessChange changes[]{{.state = AccessState::standby, .id = 0x10},
                                 {.id = 2, .secondary = true, .offline = true}};
    const auto transition = begin_transition(table, changes, AccessStatus::implicitly);
    ASSERT_TRUE(transition);
    EXPECT_EQ(transition->changes.size(), 2U);
    cancel_transition(table, *transition);
    TargetPortGroup& group = *table.group(0x10);
    group.before = before.group(0x10)->before;
    EXPECT_EQ(table, before);
}

TEST(AccessStates, WithoutDelayOrSupportNobodySeesTransitioning) {
    AccessStateTable table = two_groups();
    table.group(0x20)->transition_delay_ms = 100;
    table.group(0x20)->supported_states = 0x0F;
    const AccessChange changes[]{{.state = AccessState::standby, .id = 0x10},
                                 {.state = AccessState::unavailable, .id = 0x20}};
    const auto transition = begin_transition(table, changes, AccessStatus::implicitly);
    ASSERT_TRUE(transition);
    EXPECT_FALSE(table.restricted);
    finish_transition(table, *transition);
    EXPECT_EQ(table.state_of(1), AccessState::standby);
    EXPECT_EQ(table.state_of(2), AccessState::unavailable);
}

TEST(AccessStates, WhatIsThereAlreadyIsNoChange) {
    AccessStateTable table = two_groups();
    const AccessChange changes[]{{.state = AccessState::active_optimized, .id = 0x10},
                                 {.id = 2, .secondary = true, .offline = false}};
    const auto transition = begin_transition(table, changes, AccessStatus::implicitly);
    ASSERT_TRUE(transition);
    EXPECT_TRUE(transition->changes.empty());
}

TEST(AccessStates, AnAdministratorNeedsImplicitAccess) {
    AccessStateTable table = two_groups();
    table.group(0x10)->implicit_access = false;
    const AccessChange change[]{{.state = AccessState::standby, .id = 0x10}};
    EXPECT_EQ(begin_transition(table, change, AccessStatus::implicitly).error().code, EINVAL);
    EXPECT_TRUE(begin_transition(table, change, AccessStatus::explicitly));
    const AccessChange unknown[]{{.state = AccessState::standby, .id = 0x11}};
    EXPECT_EQ(begin_transition(table, unknown, AccessStatus::implicitly).error().code, ENOENT);
    const AccessChange dependent[]{{.state = AccessState::lba_dependent, .id = 0x20}};
    EXPECT_EQ(begin_transition(table, dependent, AccessStatus::implicitly).error().code, EINVAL);
}

// ---- Configuration ----

TEST(AccessStates, GroupsAreCheckedBeforeTheyAreTaken) {
    AccessStateTable table = two_groups();
    for (const char* name : {"", ".", "..", "a/b", "a b", "left", "\n"})
        EXPECT_FALSE(put_group(table, {.id = 5, .name = name})) << name;
    EXPECT_FALSE(put_group(table, {.id = 5, .name = std::string(64, 'a')}));
    EXPECT_FALSE(put_group(table, {.id = 5, .name = "a", .transition_delay_ms = 30'001}));
    EXPECT_FALSE(put_group(table, {.id = 5, .name = "a", .nonoptimized_delay_ms = 10'001}));
    EXPECT_FALSE(put_group(table, {.id = 5, .name = "a", .supported_states = 0x02}));
    EXPECT_TRUE(put_group(table, {.id = 5, .name = std::string(63, 'a')}));
    EXPECT_FALSE(put_port(table, 0, 5));
    EXPECT_FALSE(put_port(table, 1, 6));
    EXPECT_EQ(remove_group(table, 0x10).error().code, EBUSY);
    EXPECT_TRUE(remove_group(table, 5));
    EXPECT_EQ(remove_group(table, 5).error().code, ENOENT);
    for (std::uint16_t id = 1000; table.groups.size() < limits::target_port_groups; ++id)
        ASSERT_TRUE(put_group(table, {.id = id, .name = std::to_string(id)}));
    EXPECT_EQ(put_group(table, {.id = 5, .name = "a"}).error().code, ENOSPC);
}

TEST(AccessStates, AGroupKeepsItsStateWhenItIsChanged) {
    AccessStateTable table = two_groups();
    table.group(0x10)->state = AccessState::standby;
    EXPECT_TRUE(put_group(table, {.id = 0x10, .name = "other", .preferred = true}));
    EXPECT_EQ(table.group(0x10)->state, AccessState::standby);
    EXPECT_EQ(table.group(0x10)->name, "other");
    EXPECT_FALSE(put_group(table, {.id = 0x10, .name = "other", .supported_states = 0x01}));
}

TEST(AccessStates, ReferralsNameGroupsThatExist) {
    AccessStateTable table = two_groups();
    EXPECT_FALSE(put_referrals(table, *parse_referrals("0 0\n0 9 17:O\n")));
    EXPECT_TRUE(put_referrals(table, *parse_referrals("0 0\n0 9 16:O\n")));
    table.group(0x10)->state = AccessState::lba_dependent;
    EXPECT_FALSE(put_referrals(table, {}));
}

// The largest answer that the limits allow still fits where answers are made.
TEST(AccessStates, KnownDefect36TheLargestReportsFit) {
    Asked unit;
    AccessStateTable& table = unit.state.access;
    for (std::uint16_t id = 0; id < limits::target_port_groups; ++id)
        ASSERT_TRUE(put_group(table, {.id = id, .name = std::to_string(id)}));
    for (std::uint16_t port = 1; port <= limits::grouped_ports; ++port)
        ASSERT_TRUE(put_port(table, port, 9));
    EXPECT_EQ(put_port(table, 0x1000, 9).error().code, ENOSPC);
    std::string map = "1 0\n";
    for (std::size_t i = 0; i < limits::referrals; ++i)
        map += std::to_string(i) + " " + std::to_string(i) + " 1:O 2:O 3:O 4:O 5:O 6:O 7:O 8:O\n";
    ASSERT_TRUE(put_referrals(table, *parse_referrals(map)));
    EXPECT_FALSE(parse_referrals(map + "5000 5000 1:O\n"));
    const auto groups = unit.ask("a3 2a 00 00 00 00 ff ff ff ff 00 00");
    ASSERT_TRUE(groups);
    EXPECT_EQ(load_be<std::uint32_t>(groups->data()), groups->size() - 4);
    EXPECT_EQ(groups->size(), 8 + 8 * limits::target_port_groups + 4 * limits::grouped_ports);
    const auto referrals = unit.ask("9e 13 00 00 00 00 00 00 00 00 ff ff ff ff 00 00");
    ASSERT_TRUE(referrals);
    EXPECT_EQ(load_be<std::uint16_t>(referrals->data() + 2), referrals->size() - 4);
}

// ---- Metadata files ----

TEST(AccessStates, MetadataIsThatOfLio) {
    AccessStateTable table = two_groups();
    table.group(0x10)->state = AccessState::unavailable;
    table.group(0x10)->status = AccessStatus::explicitly;
    const std::string text = group_metadata(*table.group(0x10));
    EXPECT_EQ(text, "tg_pt_gp_id=16\nalua_access_state=0x03\nalua_access_status=0x01\n");
    const auto read = parse_group_metadata(text);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->id, 16);
    EXPECT_EQ(read->state, AccessState::unavailable);
    EXPECT_EQ(read->status, AccessStatus::explicitly);
    EXPECT_FALSE(read->preferred);
    table.group(0x10)->preferred = true;
    const auto preferred = parse_group_metadata(group_metadata(*table.group(0x10)));
    ASSERT_TRUE(preferred);
    EXPECT_TRUE(preferred->preferred);
    EXPECT_EQ(preferred->state, AccessState::unavailable);
    const std::string port =
        port_metadata({.relative_port = 3, .offline = true, .status = AccessStatus::implicitly});
    EXPECT_EQ(port, "alua_tg_pt_offline=1\nalua_tg_pt_status=0x02\n");
    ASSERT_TRUE(parse_port_metadata(port));
    EXPECT_TRUE(parse_port_metadata(port)->offline);
    EXPECT_EQ(parse_port_metadata(port)->status, AccessStatus::implicitly);
}

TEST(AccessStates, BrokenMetadataIsRefused) {
    for (const char* bad : {"", "tg_pt_gp_id=16\n",
                            "tg_pt_gp_id=16\nalua_access_state=0x0f\nalua_access_status=0x00\n",
                            "tg_pt_gp_id=70000\nalua_access_state=0x00\nalua_access_status=0x00\n",
                            "tg_pt_gp_id=16\nalua_access_state=\nalua_access_status=0x00\n",
                            "tg_pt_gp_id=16\nalua_access_state=0x00\nalua_access_status=0x0",
                            "tg_pt_gp_id=16\nalua_access_state=0x00\nalua_access_status=0x03\n"})
        EXPECT_FALSE(parse_group_metadata(bad)) << bad;
    EXPECT_FALSE(parse_port_metadata("alua_tg_pt_offline=2\nalua_tg_pt_status=0x00\n"));
    EXPECT_FALSE(parse_port_metadata("alua_tg_pt_offline=1\n"));
}

TEST(AccessStates, NamesAndNumbersNameStates) {
    for (const AccessState state : states) {
        EXPECT_EQ(access_state_of(name_of(state)), state);
        EXPECT_EQ(access_state_of(std::to_string(static_cast<unsigned>(state))), state);
    }
    EXPECT_EQ(access_state_of("0x0e"), AccessState::offline);
    EXPECT_FALSE(access_state_of("7"));
    EXPECT_FALSE(access_state_of(""));
    EXPECT_FALSE(access_state_of("reserved"));
}

}  // namespace
}  // namespace olio::scsi
