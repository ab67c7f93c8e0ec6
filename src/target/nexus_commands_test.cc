// What a host says of its I_T nexuses with a logical unit: aliases and command priorities.
#include <gtest/gtest.h>

#include "target/engine_testing.h"

namespace olio::target {
namespace {

using namespace testing;
using scsi::Status;
using Cdb = std::vector<std::uint8_t>;
using Data = std::vector<std::uint8_t>;

const Cdb report_aliases{0xA3, 0x0B, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0};
const Cdb change_aliases{0xA4, 0x0B, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0};
const Data alias_list{0, 0, 0, 28, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5,
                      0, 0, 0, 0,  0, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8};
const Cdb set_own{0xA4, 0x0E, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0};

class NexusCommands : public ::testing::Test {
  protected:
    void SetUp() override {
        unit = rig.add_unit(medium);
        ASSERT_NE(unit, nullptr);
        nexus = &rig.add_nexus(0, {unit});
        other = &rig.add_nexus(1, {unit});
    }
    unsigned aliases_of(TestNexus& by) { return rig.run(by, report_aliases, {}, 256).in.at(7); }
    unsigned priority_of(TestNexus& by) {
        const Cdb report{0xA3, 0x0E, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0};
        return rig.run(by, report, {}, 256).in.at(4);
    }
    // With which priority the store gets a read.
    unsigned priority_of_read(TestNexus& by) {
        medium->forget_records();
        EXPECT_EQ(rig.read(by, 0, 1).status, Status::good);
        return medium->records().at(0).priority;
    }
    // SET PRIORITY of another nexus.
    TestCommand& set_named(TestNexus& by, std::uint8_t priority, unsigned initiator) {
        const std::vector<std::uint8_t> id = test_initiator(initiator).transport_id;
        Data list{priority, 0, 0, 1, 0, 0, 0, static_cast<std::uint8_t>(id.size())};
        list.insert(list.end(), id.begin(), id.end());
        return rig.run(
            by, {0xA4, 0x0E, 0x40, 0, 0, 0, 0, 0, 0, static_cast<std::uint8_t>(list.size()), 0, 0},
            list);
    }

    EngineRig rig{2};
    std::shared_ptr<FakeMedium> medium = std::make_shared<FakeMedium>();
    LogicalUnit* unit = nullptr;
    TestNexus* nexus = nullptr;
    TestNexus* other = nullptr;
};

TEST_F(NexusCommands, EachNexusHasAliasesOfItsOwn) {
    EXPECT_EQ(rig.run(*nexus, change_aliases, alias_list).status, Status::good);
    EXPECT_EQ(aliases_of(*nexus), 1U);
    EXPECT_EQ(aliases_of(*other), 0U);
    Data wrong = alias_list;
    wrong[15] = 0;
    EXPECT_EQ(rig.run(*nexus, change_aliases, wrong).additional(), 0x2600U);
    EXPECT_EQ(aliases_of(*nexus), 1U);
}

TEST_F(NexusCommands, AliasesEndWithAResetOrTheNexus) {
    EXPECT_EQ(rig.run(*nexus, change_aliases, alias_list).status, Status::good);
    rig.manage(*other, TaskManagementFunction::logical_unit_reset);
    rig.run(*nexus, test_unit_ready);
    EXPECT_EQ(aliases_of(*nexus), 0U);
    EXPECT_EQ(rig.run(*nexus, change_aliases, alias_list).status, Status::good);
    rig.manage(*nexus, TaskManagementFunction::i_t_nexus_reset);
    rig.run(*nexus, test_unit_ready);
    EXPECT_EQ(aliases_of(*nexus), 0U);
}

TEST_F(NexusCommands, CommandsWithoutAPriorityHaveThatOfTheirNexus) {
    EXPECT_EQ(priority_of_read(*nexus), 0U);
    EXPECT_EQ(rig.run(*nexus, set_own, {4, 0, 0, 0, 0, 0, 0, 0}).status, Status::good);
    EXPECT_EQ(priority_of(*nexus), 4U);
    EXPECT_EQ(priority_of_read(*nexus), 4U);
    EXPECT_EQ(priority_of(*other), 0U);
    EXPECT_EQ(priority_of_read(*other), 0U);
    medium->forget_records();
    TestCommand& urgent = rig.make(*nexus, {0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0}, {}, 512);
    urgent.priority = 1;
    rig.start(urgent, *nexus);
    ASSERT_TRUE(rig.wait(0, [&] { return urgent.ended(); }));
    EXPECT_EQ(medium->records().at(0).priority, 1);
}

TEST_F(NexusCommands, OnlyTheNexusWhosePriorityChangedIsTold) {
    TestNexus& third = rig.add_nexus(0, {unit});
    EXPECT_EQ(set_named(*nexus, 6, 2).status, Status::good);
    EXPECT_EQ(rig.run(*other, test_unit_ready).additional(), 0x2A08U);
    EXPECT_EQ(rig.run(third, test_unit_ready).status, Status::good);
    EXPECT_EQ(rig.run(*nexus, test_unit_ready).status, Status::good);
    EXPECT_EQ(priority_of(*other), 6U);
    EXPECT_EQ(priority_of_read(*other), 6U);
    EXPECT_EQ(set_named(*nexus, 6, 77).additional(), 0x2600U);
}

TEST_F(NexusCommands, InitialPriorityIsAModeParameter) {
    EXPECT_EQ(set_named(*nexus, 6, 2).status, Status::good);
    rig.run(*other, test_unit_ready);
    Data list(4 + 32);
    list[4] = 0x4A;
    list[5] = 0x01;
    list[7] = 0x1C;
    list[8] = 0x06;
    list[9] = 9;
    EXPECT_EQ(rig.run(*nexus, {0x15, 0x10, 0, 0, 36, 0}, list).status, Status::good);
    EXPECT_EQ(priority_of_read(*nexus), 9U);
    EXPECT_EQ(rig.run(*other, test_unit_ready).additional(), 0x2A01U);
    EXPECT_EQ(priority_of_read(*other), 6U);
    EXPECT_EQ(priority_of_read(rig.add_nexus(1, {unit})), 9U);
}

TEST_F(NexusCommands, PrioritiesEndWithAResetOrTheNexus) {
    EXPECT_EQ(rig.run(*nexus, set_own, {4, 0, 0, 0, 0, 0, 0, 0}).status, Status::good);
    rig.manage(*other, TaskManagementFunction::logical_unit_reset);
    rig.run(*nexus, test_unit_ready);
    EXPECT_EQ(priority_of(*nexus), 0U);
    EXPECT_EQ(priority_of_read(*nexus), 0U);
    EXPECT_EQ(rig.run(*nexus, set_own, {4, 0, 0, 0, 0, 0, 0, 0}).status, Status::good);
    EXPECT_EQ(unit->state()->priorities.size(), 1U);
    rig.close(*nexus);
    rig.settle();
    rig.on(0, [&] { EXPECT_TRUE(unit->state()->priorities.empty()); });
}

}  // namespace
}  // namespace olio::target
