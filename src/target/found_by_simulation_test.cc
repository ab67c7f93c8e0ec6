// What the simulator (tests/sim) found in the engine, each as a small case.
#include <gtest/gtest.h>

#include "target/engine_testing.h"

namespace olio::target {
namespace {

using namespace testing;
using Function = TaskManagementFunction;
using Response = TaskManagementResponse;

class FoundBySimulation : public ::testing::Test {
  protected:
    std::shared_ptr<FakeMedium> medium = std::make_shared<FakeMedium>();
    EngineRig rig{2};
    LogicalUnit* unit = rig.add_unit(medium, 1);
    TestNexus* nexus = &rig.add_nexus(0, {unit});
    TestNexus* other = &rig.add_nexus(1, {unit});
};

// The reset of another nexus has not ended the command yet: "task does not exist" before its TASK
// ABORTED status would be a lie, and an answer to a task that the host has forgotten.
TEST_F(FoundBySimulation, AbortTaskDuringAnotherNexusesResetIsTheCommandsEnd) {
    medium->hold(StoreOpcode::read);
    TestCommand& read = rig.make(*nexus, read10(0, 1), {}, 512);
    rig.start(read, *nexus);
    EXPECT_EQ(rig.manage(*other, Function::logical_unit_reset).response,
              Response::function_complete);
    EXPECT_EQ(rig.manage(*nexus, Function::abort_task, read.tag).response,
              Response::function_complete);
    medium->release();
    EXPECT_TRUE(rig.wait(0, [&] { return read.returned; }));
    EXPECT_TRUE(read.discarded);
    EXPECT_FALSE(read.answered);
}

// A write that the store still has when its abort is answered: what a host reads afterwards must
// not change by it.
TEST_F(FoundBySimulation, ReadsWaitForAnAbortedWriteThatTheStoreStillHas) {
    medium->hold(StoreOpcode::write);
    TestCommand& stale = rig.make(*nexus, write10(10, 1), std::vector<std::uint8_t>(512, 9));
    rig.start(stale, *nexus);
    EXPECT_EQ(rig.manage(*nexus, Function::abort_task, stale.tag).response,
              Response::function_complete);
    TestCommand& read = rig.make(*other, read10(10, 1), {}, 512);
    rig.start(read, *other);
    rig.settle();
    rig.on(1, [&] { EXPECT_EQ(read.stage(), CommandStage::fenced); });
    medium->release();
    EXPECT_TRUE(rig.wait(1, [&] { return read.returned; }));
    EXPECT_EQ(read.in, std::vector<std::uint8_t>(512, 9));
}

}  // namespace
}  // namespace olio::target
