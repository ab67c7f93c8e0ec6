// Task attributes and unit attentions.
#include "target/task_set.h"

#include <gtest/gtest.h>

#include "target/engine_testing.h"
#include "target/unit_attention_queue.h"

namespace olio::target {
namespace {

using namespace testing;
using scsi::TaskAttribute;
using scsi::UnitAttention;

class TaskSetTest : public ::testing::Test {
  protected:
    TaskSetTest() {
        unit = rig.add_unit(medium);
        nexus = &rig.add_nexus(0, {unit});
        medium->hold(StoreOpcode::read);
    }
    TestCommand& start(TaskAttribute attribute) {
        TestCommand& command = rig.make(*nexus, read10(0, 1), {}, 512);
        command.attribute = attribute;
        rig.start(command, *nexus);
        return command;
    }
    CommandStage stage(const TestCommand& command) {
        CommandStage found{};
        rig.on(0, [&] { found = command.stage(); });
        return found;
    }

    EngineRig rig;
    std::shared_ptr<FakeMedium> medium = std::make_shared<FakeMedium>();
    LogicalUnit* unit;
    TestNexus* nexus;
};

TEST_F(TaskSetTest, OrderedWaitsForOlderAndHoldsBackNewer) {
    TestCommand& simple = start(TaskAttribute::simple);
    TestCommand& ordered = start(TaskAttribute::ordered);
    TestCommand& late = start(TaskAttribute::simple);
    EXPECT_EQ(stage(simple), CommandStage::executing);
    EXPECT_EQ(stage(ordered), CommandStage::dormant);
    EXPECT_EQ(stage(late), CommandStage::dormant);
    medium->release();
    EXPECT_TRUE(rig.wait(0, [&] { return late.ended(); }));
    EXPECT_LT(simple.order, ordered.order);
    EXPECT_LT(ordered.order, late.order);
}

TEST_F(TaskSetTest, HeadOfQueueStartsAtOnceAndHoldsBackWhatIsDormant) {
    TestCommand& ordered = start(TaskAttribute::ordered);
    TestCommand& head = start(TaskAttribute::head_of_queue);
    TestCommand& simple = start(TaskAttribute::simple);
    EXPECT_EQ(stage(ordered), CommandStage::executing);
    EXPECT_EQ(stage(head), CommandStage::executing);
    EXPECT_EQ(stage(simple), CommandStage::dormant);
    medium->release();
    EXPECT_TRUE(rig.wait(0, [&] { return simple.ended(); }));
    EXPECT_LT(head.order, simple.order);
}

TEST_F(TaskSetTest, InquiryPassesAnOrderedCommand) {
    start(TaskAttribute::ordered);
    EXPECT_TRUE(rig.run(*nexus, {0x12, 0, 0, 0, 96, 0}, {}, 96).answered);
    medium->release();
}

TEST_F(TaskSetTest, OrderIsKeptWithinANexusOnly) {
    TestNexus& other = rig.add_nexus(0, {unit});
    start(TaskAttribute::ordered);
    medium->release();
    medium->hold(StoreOpcode::write);
    TestCommand& write = rig.make(*nexus, write10(0, 1), std::vector<std::uint8_t>(512));
    write.attribute = TaskAttribute::ordered;
    rig.start(write, *nexus);
    EXPECT_EQ(rig.read(other, 0, 1).status, scsi::Status::good);
    medium->release();
}

TEST_F(TaskSetTest, AbortOfADormantOrderedCommandLetsTheNewerStart) {
    TestCommand& first = start(TaskAttribute::simple);
    TestCommand& ordered = start(TaskAttribute::ordered);
    TestCommand& late = start(TaskAttribute::simple);
    rig.manage(*nexus, TaskManagementFunction::abort_task, ordered.tag);
    EXPECT_TRUE(ordered.discarded);
    EXPECT_EQ(stage(late), CommandStage::executing);
    EXPECT_EQ(stage(first), CommandStage::executing);
    medium->release();
}

// Synchronous completion: a long queue behind one ORDERED command does not grow the stack with it.
TEST_F(TaskSetTest, LongDormantQueueRunsInOrder) {
    start(TaskAttribute::ordered);
    std::vector<TestCommand*> queue;
    for (int i = 0; i < 300; ++i)
        queue.push_back(&start(TaskAttribute::ordered));
    medium->release();
    ASSERT_TRUE(rig.wait(0, [&] { return queue.back()->ended(); }));
    for (std::size_t i = 1; i < queue.size(); ++i)
        ASSERT_LT(queue[i - 1]->order, queue[i]->order);
}

TEST_F(TaskSetTest, MoreCommandsThanANexusMayHaveAreTaskSetFull) {
    for (std::uint32_t i = 0; i < 2 * limits::commands_per_nexus; ++i)
        start(TaskAttribute::simple);
    EXPECT_EQ(start(TaskAttribute::simple).status, scsi::Status::task_set_full);
    medium->release();
}

TEST(UnitAttentionQueue, ResetsComeFirstAndClearWhatTheyCover) {
    UnitAttentionQueue queue;
    queue.establish(UnitAttention::mode_parameters_changed);
    queue.establish(UnitAttention::capacity_data_changed);
    queue.establish(UnitAttention::mode_parameters_changed);
    EXPECT_EQ(queue.size(), 2U);
    EXPECT_EQ(queue.take(), UnitAttention::mode_parameters_changed);
    queue.establish(UnitAttention::i_t_nexus_loss);
    EXPECT_EQ(queue.size(), 1U);
    queue.establish(UnitAttention::reported_luns_data_changed);
    queue.establish(UnitAttention::bus_device_reset_function);
    queue.establish(UnitAttention::capacity_data_changed);
    EXPECT_EQ(queue.take(), UnitAttention::bus_device_reset_function);
    EXPECT_EQ(queue.take(), UnitAttention::capacity_data_changed);
    EXPECT_EQ(queue.take(), std::nullopt);
}

TEST(UnitAttentionQueue, OverflowBecomesPowerOnAndLosesNothing) {
    UnitAttentionQueue queue;
    for (auto i = static_cast<int>(UnitAttention::not_ready_to_ready_change);
         i < static_cast<int>(UnitAttention::count); ++i)
        queue.establish(static_cast<UnitAttention>(i));
    EXPECT_TRUE(queue.pending(UnitAttention::power_on_reset_or_bus_device_reset));
    EXPECT_LE(queue.size(), limits::unit_attentions_per_nexus_and_unit);
}

}  // namespace
}  // namespace olio::target
