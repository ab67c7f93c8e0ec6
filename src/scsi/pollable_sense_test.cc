#include "scsi/pollable_sense.h"

#include <gtest/gtest.h>

#include "scsi/request_testing.h"

namespace olio::scsi {
namespace {

using testing::Asked;
using testing::describe;
using testing::hex;

std::string asked_for(std::string_view cdb) {
    const auto power = decode_power_request(hex(cdb));
    if (!power)
        return describe(power.error());
    return std::to_string(static_cast<int>(power->condition)) + (power->control ? " control" : "");
}

// SBC-4, START STOP UNIT: POWER CONDITION and its modifier.
TEST(PowerRequest, IsDecodedByTheStandardsTable) {
    EXPECT_EQ(asked_for("1b 00 00 00 01 00"), "0");
    EXPECT_EQ(asked_for("1b 00 00 00 00 00"), "6");
    EXPECT_EQ(asked_for("1b 00 00 00 10 00"), "0");
    EXPECT_EQ(asked_for("1b 00 00 00 20 00"), "1");
    EXPECT_EQ(asked_for("1b 00 00 01 20 00"), "2");
    EXPECT_EQ(asked_for("1b 00 00 02 20 00"), "3");
    EXPECT_EQ(asked_for("1b 00 00 01 30 00"), "4");
    EXPECT_EQ(asked_for("1b 00 00 00 30 00"), "5");
    EXPECT_EQ(asked_for("1b 00 00 00 70 00"), "6 control");
    EXPECT_EQ(asked_for("1b 00 00 02 a0 00"), "3");
    EXPECT_EQ(asked_for("1b 00 00 01 b0 00"), "4");
}

TEST(PowerRequest, WhatTheTableDoesNotHaveIsPointedAt) {
    EXPECT_EQ(asked_for("1b 00 00 01 01 00"), "5/24/00 cdb 3.3");
    EXPECT_EQ(asked_for("1b 00 00 01 10 00"), "5/24/00 cdb 3.3");
    EXPECT_EQ(asked_for("1b 00 00 03 20 00"), "5/24/00 cdb 3.3");
    EXPECT_EQ(asked_for("1b 00 00 02 30 00"), "5/24/00 cdb 3.3");
    EXPECT_EQ(asked_for("1b 00 00 01 70 00"), "5/24/00 cdb 3.3");
    for (const char* field : {"40", "50", "60", "80", "90", "c0", "f0"})
        EXPECT_EQ(asked_for(std::string("1b 00 00 00 ") + field + " 00"), "5/24/00 cdb 4.7");
}

TEST(PollableSense, NamesThePowerCondition) {
    LogicalUnitState state;
    const auto now = [&](PowerCondition power) {
        state.power = power;
        return describe(pollable_sense(state));
    };
    EXPECT_EQ(now(PowerCondition::active), "0/00/00");
    EXPECT_EQ(now(PowerCondition::idle_a), "0/5e/03");
    EXPECT_EQ(now(PowerCondition::idle_b), "0/5e/06");
    EXPECT_EQ(now(PowerCondition::idle_c), "0/5e/08");
    EXPECT_EQ(now(PowerCondition::standby_y), "0/5e/0a");
    EXPECT_EQ(now(PowerCondition::standby_z), "0/5e/04");
    EXPECT_EQ(now(PowerCondition::stopped), "2/04/02");
}

TEST(PollableSense, TellsOfATestExceptionOnRequestOnly) {
    LogicalUnitState state;
    state.mode_pages.exception_test = true;
    EXPECT_EQ(describe(pollable_sense(state)), "0/00/00");
    state.mode_pages.exception_reporting = 6;
    EXPECT_EQ(describe(pollable_sense(state)), "0/5d/ff");
    state.mode_pages.exceptions_disabled = true;
    EXPECT_EQ(describe(pollable_sense(state)), "0/00/00");
}

}  // namespace
}  // namespace olio::scsi
