// Task management functions while commands are in every stage, and together with the end of
// nexuses.
#include <gtest/gtest.h>

#include "target/engine_testing.h"

namespace olio::target {
namespace {

using namespace testing;
using Function = TaskManagementFunction;
using Response = TaskManagementResponse;
using scsi::Status;

std::vector<std::uint8_t> block(std::uint8_t with) {
    return std::vector<std::uint8_t>(512, with);
}

// What ends commands, from which nexus.
struct Ending {
    const char* name;
    Function function = Function::abort_task;
    bool from_other = false;
    bool closes = false;
};

constexpr Ending endings[] = {
    {"AbortTask", Function::abort_task},
    {"AbortTaskSet", Function::abort_task_set},
    {"ClearTaskSet", Function::clear_task_set},
    {"LogicalUnitReset", Function::logical_unit_reset},
    {"LogicalUnitResetByOther", Function::logical_unit_reset, true},
    {"TargetReset", Function::target_reset},
    {"TargetResetByOther", Function::target_reset, true},
    {"NexusReset", Function::i_t_nexus_reset},
    {"Close", Function::abort_task, false, true},
};

struct Case {
    CommandStage stage;
    Ending ending;
    bool slow_termination = false;
};

std::vector<Case> cases() {
    std::vector<Case> all;
    for (const CommandStage stage :
         {CommandStage::awaiting_buffer, CommandStage::awaiting_data_out, CommandStage::dormant,
          CommandStage::fenced, CommandStage::executing, CommandStage::completing,
          CommandStage::blocked})
        for (const Ending& ending : endings) {
            all.push_back({stage, ending});
            if (stage == CommandStage::awaiting_data_out)
                all.push_back({stage, ending, true});
        }
    return all;
}

class Matrix : public ::testing::TestWithParam<Case> {
  protected:
    // One shard's pool holds four of the largest buffers.
    Matrix() : rig(2, 64 << 20) {
        unit = rig.add_unit(medium, 1);
        nexus = &rig.add_nexus(0, {unit});
        other = &rig.add_nexus(1, {unit});
    }
    // Puts a WRITE of block 100 into the stage.
    TestCommand& put(CommandStage stage) {
        TestCommand& command = rig.make(*nexus, write10(100, 1), block(7));
        switch (stage) {
            case CommandStage::awaiting_buffer:
                rig.on(0, [&] {
                    while (auto buffer = rig.reactor().shard(0).buffers().acquire(16 << 20))
                        hoard.push_back(std::move(buffer));
                });
                break;
            case CommandStage::awaiting_data_out:
                nexus->hold_data_out = true;
                break;
            case CommandStage::dormant: {
                medium->hold(StoreOpcode::read);
                command.attribute = scsi::TaskAttribute::ordered;
                TestCommand& before = rig.make(*nexus, read10(0, 1), {}, 512);
                rig.start(before, *nexus);
                break;
            }
            case CommandStage::fenced: {
                medium->hold(StoreOpcode::read);
                TestCommand& holder =
                    rig.make(*other, compare_and_write(100, 1), std::vector<std::uint8_t>(1024));
                rig.start(holder, *other);
                EXPECT_TRUE(rig.wait(1, [&] { return medium->held() == 1; }));
                break;
            }
            case CommandStage::executing:
                medium->hold(StoreOpcode::write);
                break;
            case CommandStage::blocked: {
                medium->hold(StoreOpcode::write);
                rig.start(command, *nexus);
                // CHECK CONDITION with NACA: out of range.
                rig.run(*nexus, {0x28, 0, 0x7F, 0, 0, 0, 0, 0, 1, 0x04}, {}, 512);
                medium->release();
                EXPECT_TRUE(rig.wait(0, [&] { return command.stage() == stage; }));
                return command;
            }
            default:
                nexus->hold_finish = true;
                break;
        }
        rig.start(command, *nexus);
        rig.on(0, [&] { EXPECT_EQ(command.stage(), stage); });
        return command;
    }
    void free_all() {
        rig.on(0, [&] { hoard.clear(); });
        medium->release();
        rig.on(0, [&] {
            nexus->hold_termination = false;
            nexus->terminate();
            nexus->hold_data_out = false;
            nexus->deliver();
            nexus->finish();
        });
    }

    EngineRig rig;
    std::shared_ptr<FakeMedium> medium = std::make_shared<FakeMedium>();
    LogicalUnit* unit;
    TestNexus* nexus;
    TestNexus* other;
    std::vector<reactor::Buffer> hoard;
};

TEST_P(Matrix, EveryEndingOfEveryStageTerminates) {
    const Case& c = GetParam();
    TestCommand& command = put(c.stage);
    nexus->hold_termination = c.slow_termination;
    if (c.ending.closes) {
        rig.on(0, [&] {
            nexus->nexus->close([&] { nexus->fenced = true; }, [&] { nexus->drained = true; });
        });
        // Whatever the store does, a new session may start soon.
        EXPECT_TRUE(rig.wait(0, [&] { return nexus->fenced; }));
        free_all();
        EXPECT_TRUE(rig.wait(0, [&] { return nexus->drained && command.returned; }));
    } else {
        TestNexus& by = c.ending.from_other ? *other : *nexus;
        TestManagement& request = rig.manage(by, c.ending.function, command.tag, 0, false);
        if (c.slow_termination && !c.ending.from_other) {
            rig.settle();
            rig.on(0, [&] {
                EXPECT_FALSE(request.answered) << "the host may still send data for it";
                nexus->terminate();
            });
        }
        // A store that does not let go must not hold back the answer.
        EXPECT_TRUE(rig.wait(by.shard, [&] { return request.answered; }));
        const bool gone =
            c.stage == CommandStage::completing && c.ending.function == Function::abort_task;
        EXPECT_EQ(request.response,
                  gone ? Response::task_does_not_exist : Response::function_complete);
        if (!c.ending.from_other && c.stage != CommandStage::executing)
            rig.on(0, [&] {
                EXPECT_TRUE(command.ended());
                EXPECT_LT(command.order, request.order);
            });
        free_all();
        EXPECT_TRUE(rig.wait(0, [&] { return command.returned; }));
    }
    if (c.stage == CommandStage::completing) {
        EXPECT_EQ(command.status, Status::good);
    } else if (c.ending.from_other) {
        EXPECT_EQ(command.status, Status::task_aborted);
    } else {
        EXPECT_TRUE(command.discarded);
    }
    rig.settle();
    // Nothing is left in the way: no fence, no task set, no buffer.
    if (!c.ending.closes) {
        if (c.stage == CommandStage::blocked)
            rig.manage(*nexus, Function::clear_aca);
        rig.run(*nexus, test_unit_ready);
        TestCommand& again = rig.make(*nexus, write10(100, 1), block(9));
        again.attribute = scsi::TaskAttribute::ordered;
        rig.start(again, *nexus);
        EXPECT_TRUE(rig.wait(0, [&] { return again.ended(); }));
        EXPECT_EQ(again.status, Status::good);
    }
    rig.run(*other, test_unit_ready);
    TestCommand& write = rig.run(*other, write10(100, 1), block(8));
    EXPECT_EQ(write.status, Status::good) << write.additional();
    rig.on(0, [&] { EXPECT_EQ(rig.reactor().shard(0).buffers().bytes_in_use(), 0U); });
}

std::string case_name(const ::testing::TestParamInfo<Case>& info) {
    static constexpr const char* stages[] = {
        "Idle",      "AwaitingBuffer", "AwaitingDataOut", "Dormant",    "Fenced",
        "Executing", "Completing",     "Terminating",     "Discarding", "Blocked"};
    return std::string(stages[static_cast<int>(info.param.stage)]) + info.param.ending.name +
           (info.param.slow_termination ? "Slowly" : "");
}

INSTANTIATE_TEST_SUITE_P(StageAndEnding, Matrix, ::testing::ValuesIn(cases()), case_name);

class TaskManagerTest : public ::testing::Test {
  protected:
    TaskManagerTest() : rig(2) {
        unit = rig.add_unit(medium, 1);
        nexus = &rig.add_nexus(0, {unit});
    }
    EngineRig rig;
    std::shared_ptr<FakeMedium> medium = std::make_shared<FakeMedium>();
    LogicalUnit* unit;
    TestNexus* nexus;
};

TEST_F(TaskManagerTest, AnswersWithoutCommands) {
    EXPECT_EQ(rig.manage(*nexus, Function::abort_task, 999).response,
              Response::task_does_not_exist);
    EXPECT_EQ(rig.manage(*nexus, Function::abort_task_set).response, Response::function_complete);
    EXPECT_EQ(rig.manage(*nexus, Function::clear_aca).response, Response::function_complete);
    EXPECT_EQ(rig.manage(*nexus, Function::query_task, 999).response, Response::function_complete);
    EXPECT_EQ(rig.manage(*nexus, Function::query_task_set).response, Response::function_complete);
    const TestManagement& asked = rig.manage(*nexus, Function::query_asynchronous_event);
    EXPECT_EQ(asked.response, Response::function_complete);
    EXPECT_EQ(asked.additional, (std::array<std::uint8_t, 3>{}));
    for (const Function function : {Function::abort_task, Function::abort_task_set,
                                    Function::logical_unit_reset, Function::query_task_set})
        EXPECT_EQ(rig.manage(*nexus, function, 1, 7).response, Response::lun_does_not_exist);
}

TEST_F(TaskManagerTest, QueriesSeeCommandsAndUnitAttentions) {
    medium->hold(StoreOpcode::read);
    TestCommand& read = rig.make(*nexus, read10(0, 1), {}, 512);
    rig.start(read, *nexus);
    EXPECT_EQ(rig.manage(*nexus, Function::query_task, read.tag).response,
              Response::function_succeeded);
    EXPECT_EQ(rig.manage(*nexus, Function::query_task_set).response, Response::function_succeeded);
    rig.manage(*nexus, Function::i_t_nexus_reset);
    const TestManagement& asked = rig.manage(*nexus, Function::query_asynchronous_event);
    EXPECT_EQ(asked.response, Response::function_succeeded);
    // One unit attention: UNIT ATTENTION, I_T NEXUS LOSS OCCURRED.
    EXPECT_EQ(asked.additional, (std::array<std::uint8_t, 3>{0x16, 0x29, 0x07}));
    rig.on(0, [&] { unit->set_write_protected(true, [](const Result<void>&) {}); });
    rig.settle();
    EXPECT_EQ(rig.manage(*nexus, Function::query_asynchronous_event).additional,
              (std::array<std::uint8_t, 3>{0x26, 0x29, 0x07}))
        << "there are more; asking has not cleared the first";
    EXPECT_EQ(rig.manage(*nexus, Function::query_task, read.tag).response,
              Response::function_complete);
    medium->release();
    EXPECT_EQ(rig.run(*nexus, test_unit_ready).additional(), 0x2907U);
}

TEST_F(TaskManagerTest, LogicalUnitResetIsReportedToEveryNexusAndEndsTheReservation) {
    TestNexus& other = rig.add_nexus(1, {unit});
    EXPECT_EQ(rig.run(*nexus, {0x16, 0, 0, 0, 0, 0}).status, Status::good);
    rig.manage(other, Function::logical_unit_reset);
    EXPECT_EQ(rig.run(*nexus, test_unit_ready).additional(), 0x2903U);
    EXPECT_EQ(rig.run(other, test_unit_ready).additional(), 0x2903U);
    EXPECT_EQ(rig.read(other, 0, 1).status, Status::good);
}

// Known defect 21: a reset after an abort of an unknown tag.
TEST_F(TaskManagerTest, ResetAfterAbortOfAnUnknownTagEnds_defect21) {
    medium->hold(StoreOpcode::write);
    TestCommand& write = rig.make(*nexus, write10(0, 1), block(1));
    rig.start(write, *nexus);
    EXPECT_EQ(rig.manage(*nexus, Function::abort_task, write.tag + 1).response,
              Response::task_does_not_exist);
    EXPECT_EQ(rig.manage(*nexus, Function::logical_unit_reset).response,
              Response::function_complete);
    medium->release();
    EXPECT_TRUE(rig.wait(0, [&] { return write.discarded; }));
}

// Known defect 22: the store stalls; the host resets, logs in again and goes on.
TEST_F(TaskManagerTest, StalledStoreHoldsUpNeitherResetNorANewSession_defect22) {
    auto second_medium = std::make_shared<FakeMedium>();
    LogicalUnit* second = rig.add_unit(second_medium);
    TestNexus& bystander = rig.add_nexus(1, {unit, second});
    medium->hold(StoreOpcode::write);
    TestCommand& stuck = rig.make(*nexus, write10(10, 4), std::vector<std::uint8_t>(2048, 1));
    rig.start(stuck, *nexus);
    EXPECT_EQ(rig.manage(*nexus, Function::logical_unit_reset).response,
              Response::function_complete);
    rig.on(0, [&] {
        nexus->nexus->close([&] { nexus->fenced = true; }, [&] { nexus->drained = true; });
    });
    ASSERT_TRUE(rig.wait(0, [&] { return nexus->fenced; }));
    TestNexus& again = rig.add_nexus(0, {unit});
    EXPECT_EQ(rig.read(again, 20, 4).status, Status::good);
    EXPECT_EQ(rig.run(bystander, test_unit_ready).additional(), 0x2903U);
    EXPECT_EQ(rig.run(bystander, write10(0, 1), block(3), 0, 1).status, Status::good);
    EXPECT_FALSE(nexus->drained);
    medium->release();
    EXPECT_TRUE(rig.wait(0, [&] { return nexus->drained; }));
}

// Known defect 43: a stale write must not come after a newer one of the next session.
TEST_F(TaskManagerTest, StaleWriteNeverOvertakesANewSessionsWrite_defect43) {
    medium->hold(StoreOpcode::write);
    TestCommand& stale = rig.make(*nexus, write10(10, 4), std::vector<std::uint8_t>(2048, 1));
    rig.start(stale, *nexus);
    rig.on(0, [&] {
        nexus->nexus->close([&] { nexus->fenced = true; }, [&] { nexus->drained = true; });
    });
    ASSERT_TRUE(rig.wait(0, [&] { return nexus->fenced; }));
    for (const unsigned shard : {0U, 1U}) {
        TestNexus& next = rig.add_nexus(shard, {unit});
        TestCommand& newer = rig.make(next, write10(12, 1), block(static_cast<std::uint8_t>(2)));
        rig.start(newer, next);
        rig.settle();
        rig.on(shard, [&] { EXPECT_EQ(newer.stage(), CommandStage::fenced); });
    }
    EXPECT_EQ(medium->held(), 1U);
    medium->release();
    EXPECT_TRUE(rig.wait(0, [&] { return nexus->drained; }));
    rig.settle();
    EXPECT_EQ(medium->read(12, 1), block(2));
    EXPECT_EQ(medium->read(11, 1), block(1));
}

// Known defects 20 and 28: functions and ends together, in every order, while the store stalls.
TEST_F(TaskManagerTest, FunctionsAndCloseTogetherEnd_defect28) {
    TestNexus& other = rig.add_nexus(1, {unit});
    medium->hold(std::nullopt);
    for (int i = 0; i < 8; ++i) {
        rig.start(rig.make(*nexus, write10(static_cast<std::uint32_t>(i), 2),
                           std::vector<std::uint8_t>(1024, 1)),
                  *nexus);
        rig.start(rig.make(other, read10(0, 4), {}, 2048), other);
        rig.start(rig.make(other, compare_and_write(2, 1), std::vector<std::uint8_t>(1024)), other);
    }
    std::vector<TestManagement*> requests;
    for (const Function function :
         {Function::abort_task_set, Function::logical_unit_reset, Function::clear_task_set,
          Function::target_reset, Function::i_t_nexus_reset, Function::logical_unit_reset}) {
        requests.push_back(&rig.manage(*nexus, function, 0, 0, false));
        requests.push_back(&rig.manage(other, function, 0, 0, false));
    }
    rig.on(0, [&] {
        nexus->nexus->close([&] { nexus->fenced = true; }, [&] { nexus->drained = true; });
    });
    EXPECT_TRUE(rig.wait(0, [&] { return nexus->fenced; }));
    for (const TestManagement* request : requests)
        EXPECT_TRUE(rig.wait(0, [&] { return request->answered; }));
    medium->release();
    EXPECT_TRUE(rig.wait(0, [&] { return nexus->drained; }));
    EXPECT_TRUE(rig.wait(1, [&] { return other.nexus->commands() == 0; }));
}

// Known defect 30: abort of COMPARE AND WRITE in each of its steps.
TEST_F(TaskManagerTest, CompareAndWriteIsAbortedInEachStep_defect30) {
    TestNexus& other = rig.add_nexus(1, {unit});
    for (const StoreOpcode step : {StoreOpcode::read, StoreOpcode::write}) {
        medium->hold(step);
        TestCommand& command =
            rig.make(*nexus, compare_and_write(5, 1), std::vector<std::uint8_t>(1024));
        rig.start(command, *nexus);
        ASSERT_TRUE(rig.wait(0, [&] { return medium->held() == 1; }));
        TestCommand& waiting =
            rig.make(other, compare_and_write(5, 1), std::vector<std::uint8_t>(1024));
        rig.start(waiting, other);
        rig.manage(*nexus, Function::abort_task, command.tag);
        rig.settle();
        EXPECT_FALSE(waiting.ended());
        rig.manage(other, Function::abort_task, waiting.tag);
        medium->release();
        EXPECT_TRUE(rig.wait(0, [&] { return command.discarded; }));
        EXPECT_TRUE(rig.wait(1, [&] { return waiting.discarded; }));
        rig.settle();
        EXPECT_EQ(rig.write(other, 5, block(0)).status, Status::good);
    }
}

TEST_F(TaskManagerTest, CancelledRequestsAreAborted) {
    medium->obey_cancel(true);
    medium->hold(StoreOpcode::write);
    TestCommand& write = rig.make(*nexus, write10(0, 1), block(1));
    rig.start(write, *nexus);
    rig.manage(*nexus, Function::abort_task, write.tag);
    EXPECT_TRUE(write.discarded);
    medium->release();
    EXPECT_EQ(rig.write(*nexus, 0, block(2)).status, Status::good);
}

// Known defect 20: nobody waits for what only he himself can bring about.
TEST_F(TaskManagerTest, ResetWaitsForNoOtherNexusesStalledTransfers_defect20) {
    TestNexus& other = rig.add_nexus(1, {unit});
    other.hold_data_out = true;
    other.hold_termination = true;
    TestCommand& write = rig.make(other, write10(0, 1), block(1));
    rig.start(write, other);
    EXPECT_EQ(rig.manage(*nexus, Function::logical_unit_reset).response,
              Response::function_complete);
    rig.on(1, [&] { other.terminate(); });
    EXPECT_EQ(write.status, Status::task_aborted);
}

TEST_F(TaskManagerTest, UnsolicitedDataWithoutMemoryIsBusyAtOnce) {
    std::vector<reactor::Buffer> hoard;
    rig.on(0, [&] {
        while (auto buffer = rig.reactor().shard(0).buffers().acquire(16 << 20))
            hoard.push_back(std::move(buffer));
    });
    TestCommand& write = rig.make(*nexus, write10(0, 1), block(1));
    write.unsolicited_data = true;
    rig.start(write, *nexus);
    EXPECT_EQ(write.status, Status::busy);
    TestCommand& patient = rig.make(*nexus, write10(0, 1), block(1));
    rig.start(patient, *nexus);
    EXPECT_FALSE(patient.ended());
    rig.on(0, [&] { hoard.clear(); });
    EXPECT_TRUE(rig.wait(0, [&] { return patient.answered; }));
    EXPECT_EQ(patient.status, Status::good);
}

// Known defect 23: the abort of a write whose data never come.
TEST_F(TaskManagerTest, AbortOfAWriteThatAwaitsItsDataEnds_defect23) {
    nexus->hold_data_out = true;
    TestCommand& write = rig.make(*nexus, write10(0, 1), block(1));
    rig.start(write, *nexus);
    EXPECT_EQ(rig.manage(*nexus, Function::abort_task, write.tag).response,
              Response::function_complete);
    EXPECT_TRUE(write.discarded);
    EXPECT_EQ(medium->count(StoreOpcode::write), 0U);
}

TEST_F(TaskManagerTest, LostDataOutEndsTheCommand) {
    nexus->hold_data_out = true;
    TestCommand& write = rig.make(*nexus, write10(0, 1), block(1));
    rig.start(write, *nexus);
    rig.on(0, [&] { nexus->nexus->data_out_failed(write, {0x0C, 0x0D}); });
    EXPECT_EQ(write.key(), 11);
    EXPECT_EQ(write.additional(), 0x0C0DU);
    nexus->receiving.clear();
}

}  // namespace
}  // namespace olio::target
