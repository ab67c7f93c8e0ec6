// Asymmetric access states in the engine: who passes, who is told, and what a transition waits for.
#include <gtest/gtest.h>

#include "target/engine_testing.h"

namespace olio::target {
namespace {

using namespace testing;
using scsi::AccessChange;
using scsi::AccessState;
using scsi::AccessStateTable;
using scsi::Status;

const std::vector<std::uint8_t> report_groups{0xA3, 0x0A, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0};

std::vector<std::uint8_t> set_groups(std::size_t list_bytes) {
    return {0xA4, 0x0A, 0, 0, 0, 0, 0, 0, 0, static_cast<std::uint8_t>(list_bytes), 0, 0};
}
// A parameter list of one group and its state.
std::vector<std::uint8_t> to(AccessState state, std::uint16_t id) {
    return {0,
            0,
            0,
            0,
            static_cast<std::uint8_t>(state),
            0,
            static_cast<std::uint8_t>(id >> 8),
            static_cast<std::uint8_t>(id)};
}

class Access : public ::testing::Test {
  protected:
    Access() : rig(2) {
        unit = add_unit();
        left = &rig.add_nexus(0, {unit});
        right = &rig.add_nexus(1, {unit});
        rig.on(1, [&] { right->port.description.relative_port = 2; });
        other_left = &rig.add_nexus(1, {unit});
    }

    LogicalUnit* add_unit(std::uint16_t logical_unit_group = 0, std::uint32_t delay_ms = 0) {
        LogicalUnitOptions options;
        options.name = "unit";
        options.home_shard = 1;
        options.identification = scsi::Identification{};
        options.identification->serial = "access" + std::to_string(++serial);
        AccessStateTable& table = options.access;
        EXPECT_TRUE(put_group(table, {.id = 10, .name = "left", .transition_delay_ms = delay_ms}));
        EXPECT_TRUE(put_group(table, {.id = 20, .name = "right"}));
        EXPECT_TRUE(put_port(table, 1, 10));
        EXPECT_TRUE(put_port(table, 2, 20));
        table.logical_unit_group = logical_unit_group;
        newest_medium = std::make_shared<FakeMedium>();
        return rig.add_unit(make_fake_store(newest_medium), std::move(options));
    }
    Result<void> set(LogicalUnit* of, std::vector<AccessChange> changes, unsigned shard = 0) {
        bool done = false;
        Result<void> result;
        rig.on(shard, [&] {
            of->set_access_states(std::move(changes), [&](Result<void> ended) {
                result = std::move(ended);
                done = true;
            });
        });
        EXPECT_TRUE(rig.wait(shard, [&] { return done; }));
        return result;
    }
    Result<void> set(AccessState state, std::uint16_t group) {
        return set(unit, {{.state = state, .id = group}});
    }
    void configure(const std::function<void(AccessStateTable&)>& change) {
        bool done = false;
        rig.on(0, [&] {
            unit->configure_access(
                [&](AccessStateTable& table) -> Result<void> {
                    change(table);
                    return {};
                },
                [&](const Result<void>& result) { done = result.has_value(); });
        });
        EXPECT_TRUE(rig.wait(0, [&] { return done; }));
    }
    AccessState state_of(std::uint16_t port, LogicalUnit* of = nullptr) {
        AccessState state{};
        rig.on(0, [&] { state = (of == nullptr ? unit : of)->state()->access.state_of(port); });
        return state;
    }
    // 0 for GOOD, else ASC and ASCQ of the sense data, 0xFFFF for another status.
    unsigned ready(TestNexus& nexus, std::uint32_t lun = 0) {
        TestCommand& command = rig.run(nexus, test_unit_ready, {}, 0, lun);
        if (command.status == Status::good)
            return 0;
        return command.status == Status::check_condition ? command.additional() : 0xFFFF;
    }
    TestCommand& stpg(TestNexus& nexus, AccessState state, std::uint16_t group) {
        return rig.run(nexus, set_groups(8), to(state, group));
    }

    EngineRig rig;
    int serial = 0;
    std::shared_ptr<FakeMedium> newest_medium;
    LogicalUnit* unit = nullptr;
    TestNexus* left = nullptr;        // port 1
    TestNexus* other_left = nullptr;  // port 1 too
    TestNexus* right = nullptr;       // port 2
};

TEST_F(Access, TheStateOfThePortsGroupDecides) {
    const struct {
        AccessState state;
        unsigned additional;
    } cases[]{{AccessState::standby, 0x040B},
              {AccessState::unavailable, 0x040C},
              {AccessState::active_non_optimized, 0},
              {AccessState::active_optimized, 0}};
    for (const auto& each : cases) {
        ASSERT_TRUE(set(each.state, 10));
        EXPECT_EQ(ready(*left), 0x2A06U);
        EXPECT_EQ(ready(*left), each.additional);
        TestCommand& read = rig.read(*left, 0, 1);
        EXPECT_EQ(read.status == Status::good, each.additional == 0);
        TestCommand& written = rig.write(*left, 0, std::vector<std::uint8_t>(512));
        EXPECT_EQ(written.status == Status::good, each.additional == 0);
        EXPECT_EQ(ready(*right), 0x2A06U);
        EXPECT_EQ(ready(*right), 0U);
        EXPECT_EQ(rig.run(*left, report_groups, {}, 512).status, Status::good);
        EXPECT_EQ(ready(*other_left), 0x2A06U);
    }
}

TEST_F(Access, AnImplicitChangeIsToldToEveryNexusAnExplicitOneToTheOthers) {
    ASSERT_TRUE(set(AccessState::standby, 20));
    for (TestNexus* nexus : {left, right, other_left})
        EXPECT_EQ(ready(*nexus), 0x2A06U);
    EXPECT_EQ(stpg(*left, AccessState::active_optimized, 20).status, Status::good);
    EXPECT_EQ(ready(*left), 0U);
    EXPECT_EQ(ready(*right), 0x2A06U);
    EXPECT_EQ(ready(*other_left), 0x2A06U);
    EXPECT_EQ(ready(*right), 0U);
    // What is so already is no change, and nobody is told.
    EXPECT_EQ(stpg(*left, AccessState::active_optimized, 20).status, Status::good);
    ASSERT_TRUE(set(AccessState::active_optimized, 20));
    for (TestNexus* nexus : {left, right, other_left})
        EXPECT_EQ(ready(*nexus), 0U);
}

TEST_F(Access, SetTargetPortGroupsAnswersWhenTheStateIsInForce) {
    EXPECT_EQ(stpg(*left, AccessState::standby, 10).status, Status::good);
    EXPECT_EQ(ready(*left), 0x040BU);
    // In standby it still works, and so it does while unavailable: the way back.
    EXPECT_EQ(stpg(*left, AccessState::unavailable, 10).status, Status::good);
    EXPECT_EQ(ready(*left), 0x040CU);
    TestCommand& report = rig.run(*left, report_groups, {}, 512);
    ASSERT_GE(report.in.size(), 12U);
    EXPECT_EQ(report.in[4], 0x03);
    EXPECT_EQ(report.in[9], 0x01) << "changed by SET TARGET PORT GROUPS";
    EXPECT_EQ(stpg(*left, AccessState::active_optimized, 10).status, Status::good);
    EXPECT_EQ(ready(*left), 0U);
    TestCommand& bad = stpg(*left, AccessState::standby, 11);
    EXPECT_EQ(bad.additional(), 0x2600U);
    EXPECT_EQ(rig.run(*left, set_groups(0)).status, Status::good);
}

TEST_F(Access, AnOfflinePortIsASecondaryStateOfItsOwn) {
    EXPECT_EQ(stpg(*right, AccessState::offline, 1).status, Status::good);
    EXPECT_EQ(ready(*left), 0x2A06U);
    EXPECT_EQ(ready(*left), 0x0412U);
    EXPECT_EQ(ready(*right), 0U);
    EXPECT_EQ(state_of(1), AccessState::offline);
    // A primary state brings it back.
    EXPECT_EQ(stpg(*right, AccessState::standby, 10).status, Status::good);
    EXPECT_EQ(state_of(1), AccessState::standby);
    ASSERT_TRUE(set(unit, {{.id = 1, .secondary = true, .offline = true}}));
    EXPECT_EQ(state_of(1), AccessState::offline);
    ASSERT_TRUE(set(unit, {{.id = 1, .secondary = true, .offline = false}}));
    EXPECT_EQ(state_of(1), AccessState::standby);
}

TEST_F(Access, ATransitionLastsAsLongAsItsDelay) {
    configure([](AccessStateTable& table) { table.group(10)->transition_delay_ms = 300; });
    for (TestNexus* nexus : {left, right, other_left})
        EXPECT_EQ(ready(*nexus), 0x2A06U);
    TestCommand& command = rig.make(*left, set_groups(8), to(AccessState::standby, 10));
    rig.start(command, *left);
    ASSERT_TRUE(rig.wait(
        0, [&] { return unit->state()->access.state_of(1) == AccessState::transitioning; }));
    EXPECT_EQ(ready(*other_left), 0x2A06U);
    EXPECT_EQ(ready(*other_left), 0x040AU);
    EXPECT_EQ(ready(*right), 0x2A06U);
    EXPECT_EQ(ready(*right), 0U);
    TestCommand& report = rig.run(*other_left, report_groups, {}, 512);
    EXPECT_EQ(report.in[4] & 0x0F, 0x0F);
    // Another change of that group has to wait, one of another group has not.
    TestCommand& busy = stpg(*right, AccessState::unavailable, 10);
    EXPECT_EQ(busy.key(), 2);
    EXPECT_EQ(busy.additional(), 0x040AU);
    EXPECT_EQ(set(AccessState::unavailable, 10).error().code, EBUSY);
    EXPECT_TRUE(set(AccessState::active_non_optimized, 20));
    rig.on(0, [&] { EXPECT_FALSE(command.ended()); });
    ASSERT_TRUE(rig.wait(0, [&] { return command.ended(); }));
    EXPECT_EQ(command.status, Status::good);
    EXPECT_EQ(state_of(1), AccessState::standby);
    EXPECT_EQ(ready(*other_left), 0x2A06U);
    EXPECT_EQ(ready(*other_left), 0x040BU);
}

TEST_F(Access, WhatAbortsSetTargetPortGroupsDoesNotWaitForTheTransition) {
    configure([](AccessStateTable& table) { table.group(10)->transition_delay_ms = 2000; });
    (void)ready(*left);
    TestCommand& command = rig.make(*left, set_groups(8), to(AccessState::standby, 10));
    rig.start(command, *left);
    ASSERT_TRUE(rig.wait(
        0, [&] { return unit->state()->access.state_of(1) == AccessState::transitioning; }));
    TestManagement& reset = rig.manage(*left, TaskManagementFunction::logical_unit_reset);
    EXPECT_EQ(reset.response, TaskManagementResponse::function_complete);
    EXPECT_EQ(state_of(1), AccessState::transitioning);
    ASSERT_TRUE(rig.wait(0, [&] { return command.ended(); }));
    EXPECT_TRUE(command.discarded);
    EXPECT_EQ(state_of(1), AccessState::standby) << "the change itself is not undone";
}

TEST_F(Access, AUnitIsRemovedInTheMiddleOfATransition) {
    LogicalUnit* const second = add_unit(0, 20'000);
    bool changed = false;
    bool removed = false;
    rig.on(0, [&] {
        second->set_access_states(
            {{.state = AccessState::standby, .id = 10}},
            [&](const Result<void>& result) { changed = result.has_value(); });
    });
    ASSERT_TRUE(rig.wait(
        0, [&] { return second->state()->access.state_of(1) == AccessState::transitioning; }));
    rig.on(0, [&] {
        rig.engine().remove_logical_unit(
            *second, [&](const Result<void>& result) { removed = result.has_value(); });
    });
    EXPECT_TRUE(rig.wait(0, [&] { return removed; }));
    EXPECT_TRUE(rig.wait(0, [&] { return changed; }));
}

TEST_F(Access, ATransitionThatEndsDoesNotCloseAUnitUnderAFormat) {
    LogicalUnit* const second = add_unit(0, 200);
    TestNexus& nexus = rig.add_nexus(1, {second});
    newest_medium->hold(std::nullopt);
    ASSERT_EQ(rig.run(nexus, {0x04, 0x18, 0, 0, 0, 0}, {0, 0x02, 0, 0}).status, Status::good);
    ASSERT_TRUE(rig.wait(1, [&] { return newest_medium->held() == 1; }));
    rig.close(nexus);
    bool changed = false;
    bool removed = false;
    rig.on(0, [&] {
        second->set_access_states(
            {{.state = AccessState::standby, .id = 10}},
            [&](const Result<void>& result) { changed = result.has_value(); });
    });
    ASSERT_TRUE(rig.wait(
        0, [&] { return second->state()->access.state_of(1) == AccessState::transitioning; }));
    rig.on(0, [&] {
        rig.engine().remove_logical_unit(
            *second, [&](const Result<void>& result) { removed = result.has_value(); });
    });
    ASSERT_TRUE(rig.wait(0, [&] { return changed; }));
    rig.settle();
    rig.on(0, [&] { EXPECT_FALSE(removed) << "the store still works"; });
    newest_medium->release();
    EXPECT_TRUE(rig.wait(0, [&] { return removed; }));
}

TEST_F(Access, UnitsOfALogicalUnitGroupChangeTogether) {
    LogicalUnit* const first = add_unit(3);
    LogicalUnit* const second = add_unit(3);
    LogicalUnit* const stranger = add_unit(4);
    TestNexus& nexus = rig.add_nexus(1, {first, second, stranger});
    ASSERT_TRUE(set(first, {{.state = AccessState::standby, .id = 10},
                            {.id = 2, .secondary = true, .offline = true}}));
    EXPECT_EQ(state_of(1, first), AccessState::standby);
    EXPECT_EQ(state_of(1, second), AccessState::standby);
    EXPECT_EQ(state_of(1, stranger), AccessState::active_optimized);
    EXPECT_EQ(state_of(2, first), AccessState::offline);
    EXPECT_EQ(state_of(2, second), AccessState::active_optimized) << "a port's own state";
    EXPECT_EQ(ready(nexus, 0), 0x2A06U);
    EXPECT_EQ(ready(nexus, 1), 0x2A06U);
    EXPECT_EQ(ready(nexus, 2), 0U);
    TestCommand& command =
        rig.run(nexus, set_groups(8), to(AccessState::active_optimized, 10), 0, 1);
    EXPECT_EQ(command.status, Status::good);
    EXPECT_EQ(state_of(1, first), AccessState::active_optimized);
    EXPECT_EQ(ready(nexus, 0), 0x2A06U) << "of the other unit it did not ask";
    EXPECT_EQ(ready(nexus, 1), 0U);
}

TEST_F(Access, AConfigurationThatFailsChangesNothing) {
    bool failed = false;
    rig.on(0, [&] {
        unit->configure_access(
            [](AccessStateTable& table) -> Result<void> {
                table.groups.clear();
                return put_port(table, 1, 99);
            },
            [&](const Result<void>& result) { failed = !result; });
    });
    ASSERT_TRUE(rig.wait(0, [&] { return failed; }));
    EXPECT_EQ(ready(*left), 0U);
    TestCommand& report = rig.run(*left, report_groups, {}, 512);
    EXPECT_EQ(report.in.size(), 4U + 2 * 12U);
}

TEST_F(Access, ActiveNonOptimizedDelaysEachCommandThatAccessesTheMedium) {
    configure([](AccessStateTable& table) { table.group(10)->nonoptimized_delay_ms = 200; });
    ASSERT_TRUE(set(AccessState::active_non_optimized, 10));
    (void)ready(*left);
    TestCommand& delayed = rig.make(*left, read10(0, 1), {}, 512);
    TestCommand& aborted = rig.make(*left, read10(1, 1), {}, 512);
    rig.start(delayed, *left);
    rig.start(aborted, *left);
    EXPECT_EQ(ready(*left), 0U) << "it asks nothing of the medium";
    (void)ready(*right);
    EXPECT_EQ(rig.read(*right, 0, 1).status, Status::good);
    rig.on(0, [&] {
        EXPECT_FALSE(delayed.ended()) << "the other port is faster";
        EXPECT_FALSE(aborted.ended());
    });
    EXPECT_EQ(rig.manage(*left, TaskManagementFunction::abort_task, aborted.tag).response,
              TaskManagementResponse::function_complete);
    EXPECT_TRUE(aborted.discarded);
    ASSERT_TRUE(rig.wait(0, [&] { return delayed.returned; }));
    EXPECT_EQ(delayed.status, Status::good);
    // A shorter delay overtakes a longer one; none at all ends with the last that waits.
    TestCommand& slow = rig.make(*left, read10(0, 1), {}, 512);
    rig.start(slow, *left);
    configure([](AccessStateTable& table) { table.group(10)->nonoptimized_delay_ms = 1; });
    (void)ready(*left);
    TestCommand& quick = rig.read(*left, 0, 1);
    EXPECT_EQ(quick.status, Status::good);
    rig.on(0, [&] { EXPECT_FALSE(slow.ended()); });
    ASSERT_TRUE(rig.wait(0, [&] { return slow.returned; }));
}

// I/O from both ports while their groups change for ever: each command is done, or refused by the
// state that the port is in, or told of the change; nothing hangs.
TEST_F(Access, IoWhileStatesChange) {
    unsigned good = 0;
    unsigned refused = 0;
    unsigned told = 0;
    for (int round = 0; round < 60; ++round) {
        const auto state = static_cast<AccessState>(round % 4);
        bool done = false;
        rig.on(0, [&] {
            unit->set_access_states({{.state = state, .id = 10}},
                                    [&](const Result<void>& result) { done = result.has_value(); });
        });
        for (int i = 0; i < 8; ++i) {
            TestCommand& command = i % 2 == 0
                                       ? rig.read(*left, 0, 1)
                                       : rig.write(*right, 1, std::vector<std::uint8_t>(512));
            if (command.status == Status::good)
                ++good;
            else if (command.key() == 6)
                ++told;
            else if (command.key() == 2 && i % 2 == 0)
                ++refused;
            else
                ADD_FAILURE() << static_cast<unsigned>(command.status);
        }
        ASSERT_TRUE(rig.wait(0, [&] { return done; }));
    }
    EXPECT_GT(good, 200U);
    EXPECT_GT(told, 60U);
    EXPECT_GT(refused, 10U);
}

}  // namespace
}  // namespace olio::target
