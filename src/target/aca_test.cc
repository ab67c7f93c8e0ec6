// ACA, QERR, TAS and unit attention interlocks: what the end of one command means for the others of
// its task set (SAM-5 5.9, SPC-5 7.5.10).
#include <gtest/gtest.h>

#include "target/engine_testing.h"

namespace olio::target {
namespace {

using namespace testing;
using Function = TaskManagementFunction;
using Response = TaskManagementResponse;
using scsi::Status;
using scsi::TaskAttribute;

std::vector<std::uint8_t> with_naca(std::vector<std::uint8_t> cdb) {
    cdb.back() |= 0x04;
    return cdb;
}
// Fails with LOGICAL BLOCK ADDRESS OUT OF RANGE.
const std::vector<std::uint8_t> beyond = read10(0x7FFFFFFF, 1);
const std::vector<std::uint8_t> request_sense{3, 0, 0, 0, 96, 0};

std::vector<std::uint8_t> block(std::uint8_t with) {
    return std::vector<std::uint8_t>(512, with);
}

class AcaTest : public ::testing::Test {
  protected:
    AcaTest() : rig(2) {
        unit = rig.add_unit(medium, 1);
        nexus = &rig.add_nexus(0, {unit, rig.add_unit(second_medium, 0)});
        other = &rig.add_nexus(1, {unit});
    }
    TestCommand& start(const std::vector<std::uint8_t>& cdb, TaskAttribute attribute,
                       std::vector<std::uint8_t> out = {}, std::uint32_t in = 0) {
        TestCommand& command = rig.make(*nexus, cdb, std::move(out), in);
        command.attribute = attribute;
        rig.start(command, *nexus);
        return command;
    }
    TestCommand& run(const std::vector<std::uint8_t>& cdb, TaskAttribute attribute,
                     std::vector<std::uint8_t> out = {}, std::uint32_t in = 0) {
        TestCommand& command = start(cdb, attribute, std::move(out), in);
        EXPECT_TRUE(rig.wait(0, [&] { return command.returned; }));
        return command;
    }
    // CHECK CONDITION that establishes an ACA condition.
    void fail() {
        TestCommand& failed = rig.run(*nexus, with_naca(beyond), {}, 512);
        ASSERT_EQ(failed.status, Status::check_condition);
        EXPECT_EQ(failed.additional(), 0x2100U);
    }
    Response clear_aca(std::uint32_t lun = 0) {
        return rig.manage(*nexus, Function::clear_aca, 0, lun).response;
    }
    // Control mode page: QERR, TAS, UA_INTLCK_CTRL. From the other nexus, which then has no unit
    // attention; the nexus under test has, and takes it.
    void control_page(std::uint8_t qerr, std::uint8_t interlock = 0, bool tas = true) {
        const std::vector<std::uint8_t> list{0,
                                             0,
                                             0,
                                             0,
                                             0x0A,
                                             0x0A,
                                             0x22,
                                             static_cast<std::uint8_t>(0x10 | qerr << 1),
                                             static_cast<std::uint8_t>(interlock << 4),
                                             static_cast<std::uint8_t>(tas ? 0x40 : 0),
                                             0,
                                             0,
                                             0xFF,
                                             0xFF,
                                             0,
                                             0};
        TestCommand& select =
            rig.run(*other, {0x15, 0x10, 0, 0, static_cast<std::uint8_t>(list.size()), 0}, list);
        ASSERT_EQ(select.status, Status::good) << std::hex << select.additional();
        EXPECT_EQ(rig.run(*nexus, request_sense, {}, 96).status, Status::good);
    }
    void settle_and_expect_open(TestCommand& command) {
        rig.settle();
        rig.on(0, [&] { EXPECT_FALSE(command.ended()); });
    }
    CommandStage stage_of(TestCommand& command) {
        CommandStage stage{};
        rig.on(0, [&] { stage = command.stage(); });
        return stage;
    }

    EngineRig rig;
    std::shared_ptr<FakeMedium> medium = std::make_shared<FakeMedium>();
    std::shared_ptr<FakeMedium> second_medium = std::make_shared<FakeMedium>();
    LogicalUnit* unit;
    TestNexus* nexus;  // LUN 0 is the unit under test, LUN 1 another
    TestNexus* other;
};

// ---- Establishing, what is taken, clearing ----

TEST_F(AcaTest, OnlyAnAcaCommandIsTakenWhileTheConditionStands) {
    EXPECT_EQ(run(test_unit_ready, TaskAttribute::aca).additional(), 0x4900U)
        << "there is none yet";
    fail();
    for (const TaskAttribute attribute :
         {TaskAttribute::simple, TaskAttribute::ordered, TaskAttribute::head_of_queue}) {
        EXPECT_EQ(run(test_unit_ready, attribute).status, Status::aca_active);
        EXPECT_EQ(run(read10(0, 1), attribute, {}, 512).status, Status::aca_active);
        EXPECT_EQ(run({0x12, 0, 0, 0, 36, 0}, attribute, {}, 36).status, Status::aca_active);
        EXPECT_EQ(run({0xFF, 0, 0, 0, 0, 0}, attribute).status, Status::aca_active);
    }
    EXPECT_EQ(run(test_unit_ready, TaskAttribute::aca).status, Status::good);
    EXPECT_EQ(run(read10(0, 1), TaskAttribute::aca, {}, 512).status, Status::good);
    EXPECT_EQ(run(test_unit_ready, TaskAttribute::simple).status, Status::aca_active);
    EXPECT_EQ(clear_aca(), Response::function_complete);
    EXPECT_EQ(run(test_unit_ready, TaskAttribute::simple).status, Status::good);
    EXPECT_EQ(run(test_unit_ready, TaskAttribute::aca).additional(), 0x4900U);
    EXPECT_EQ(clear_aca(), Response::function_complete) << "there is nothing to clear";
    EXPECT_EQ(clear_aca(9), Response::lun_does_not_exist);
}

TEST_F(AcaTest, ASecondAcaCommandMustWaitForTheFirst) {
    fail();
    medium->hold(StoreOpcode::read);
    TestCommand& first = start(read10(0, 1), TaskAttribute::aca, {}, 512);
    EXPECT_EQ(run(test_unit_ready, TaskAttribute::aca).status, Status::aca_active);
    medium->release();
    ASSERT_TRUE(rig.wait(0, [&] { return first.ended(); }));
    EXPECT_EQ(first.status, Status::good);
    EXPECT_EQ(run(test_unit_ready, TaskAttribute::aca).status, Status::good);
    // One that is aborted makes room too.
    medium->hold(StoreOpcode::read);
    TestCommand& aborted = start(read10(0, 1), TaskAttribute::aca, {}, 512);
    EXPECT_EQ(rig.manage(*nexus, Function::abort_task, aborted.tag).response,
              Response::function_complete);
    medium->release();
    EXPECT_EQ(run(test_unit_ready, TaskAttribute::aca).status, Status::good);
}

TEST_F(AcaTest, NeitherOtherNexusesNorOtherUnitsAreConcerned) {
    fail();
    EXPECT_EQ(rig.run(*other, test_unit_ready).status, Status::good);
    EXPECT_EQ(rig.write(*other, 0, block(1)).status, Status::good);
    EXPECT_EQ(rig.run(*nexus, test_unit_ready, {}, 0, 1).status, Status::good);
    EXPECT_EQ(rig.manage(*other, Function::clear_aca).response, Response::function_complete);
    EXPECT_EQ(run(test_unit_ready, TaskAttribute::simple).status, Status::aca_active)
        << "it is not theirs to clear";
}

TEST_F(AcaTest, CheckConditionWithoutNacaEstablishesNothing) {
    EXPECT_EQ(rig.run(*nexus, beyond, {}, 512).status, Status::check_condition);
    EXPECT_EQ(run(test_unit_ready, TaskAttribute::simple).status, Status::good);
    EXPECT_EQ(run(with_naca(test_unit_ready), TaskAttribute::simple).status, Status::good);
    EXPECT_EQ(run(test_unit_ready, TaskAttribute::simple).status, Status::good);
    // One whose operation code is not known has a CONTROL byte all the same.
    EXPECT_EQ(run({0x02, 0, 0, 0, 0, 0x04}, TaskAttribute::simple).additional(), 0x2000U);
    EXPECT_EQ(run(test_unit_ready, TaskAttribute::simple).status, Status::aca_active);
}

TEST_F(AcaTest, AUnitAttentionEstablishesItToo) {
    TestNexus& fresh = rig.add_nexus(0, {unit}, true);
    EXPECT_EQ(rig.run(fresh, with_naca(test_unit_ready)).additional(), 0x2900U);
    EXPECT_EQ(rig.run(fresh, test_unit_ready).status, Status::aca_active);
    EXPECT_EQ(rig.manage(fresh, Function::clear_aca).response, Response::function_complete);
    EXPECT_EQ(rig.run(fresh, test_unit_ready).status, Status::good);
}

TEST_F(AcaTest, AnAcaCommandsCheckConditionEndsTheConditionOrRenewsIt) {
    fail();
    EXPECT_EQ(run(with_naca(beyond), TaskAttribute::aca, {}, 512).status, Status::check_condition);
    EXPECT_EQ(run(test_unit_ready, TaskAttribute::simple).status, Status::aca_active);
    EXPECT_EQ(run(beyond, TaskAttribute::aca, {}, 512).status, Status::check_condition);
    EXPECT_EQ(run(test_unit_ready, TaskAttribute::simple).status, Status::good);
}

// SAM-5 5.9.5, 6.3.3, 7.7: resets end it; ABORT TASK SET and CLEAR TASK SET leave it.
TEST_F(AcaTest, ResetsEndTheConditionAbortsLeaveIt) {
    fail();
    for (const Function function : {Function::abort_task_set, Function::clear_task_set}) {
        EXPECT_EQ(rig.manage(*nexus, function).response, Response::function_complete);
        EXPECT_EQ(run(test_unit_ready, TaskAttribute::simple).status, Status::aca_active);
    }
    for (const Function function :
         {Function::logical_unit_reset, Function::target_reset, Function::i_t_nexus_reset}) {
        EXPECT_EQ(rig.manage(*nexus, function).response, Response::function_complete);
        EXPECT_EQ(run(test_unit_ready, TaskAttribute::simple).key(), 6);
        EXPECT_EQ(run(test_unit_ready, TaskAttribute::simple).status, Status::good);
        fail();
    }
    EXPECT_EQ(rig.manage(*other, Function::logical_unit_reset).response,
              Response::function_complete);
    EXPECT_EQ(run(test_unit_ready, TaskAttribute::simple).key(), 6);
}

// ---- Blocked commands (QERR = 00b) ----

TEST_F(AcaTest, CommandsInTheStoreKeepTheirAnswersBack) {
    medium->hold(StoreOpcode::read);
    TestCommand& read = start(read10(5, 1), TaskAttribute::simple, {}, 512);
    fail();
    medium->release();
    ASSERT_TRUE(rig.wait(0, [&] { return read.stage() == CommandStage::blocked; }));
    settle_and_expect_open(read);
    EXPECT_EQ(rig.manage(*nexus, Function::query_task, read.tag).response,
              Response::function_succeeded);
    EXPECT_EQ(clear_aca(), Response::function_complete);
    ASSERT_TRUE(rig.wait(0, [&] { return read.returned; }));
    EXPECT_EQ(read.status, Status::good);
    EXPECT_EQ(read.in.size(), 512U);
}

TEST_F(AcaTest, CommandsThatHaveNotBegunBecomeDormantInTheirOrder) {
    nexus->hold_data_out = true;
    TestCommand& first = start(write10(1, 1), TaskAttribute::simple, block(1));
    TestCommand& second = start(write10(1, 1), TaskAttribute::simple, block(2));
    EXPECT_EQ(stage_of(first), CommandStage::awaiting_data_out);
    fail();
    rig.on(0, [&] {
        nexus->hold_data_out = false;
        nexus->deliver();
    });
    rig.settle();
    EXPECT_EQ(stage_of(first), CommandStage::dormant);
    EXPECT_EQ(stage_of(second), CommandStage::dormant);
    EXPECT_EQ(medium->count(StoreOpcode::write), 0U) << "nothing blocked begins to write";
    EXPECT_EQ(clear_aca(), Response::function_complete);
    ASSERT_TRUE(rig.wait(0, [&] { return first.returned && second.returned; }));
    EXPECT_EQ(first.status, Status::good);
    EXPECT_LT(first.order, second.order);
    EXPECT_EQ(medium->read(1, 1), block(2));
}

TEST_F(AcaTest, AFencedCommandIsBlockedAndComesAgain) {
    medium->hold(StoreOpcode::read);
    TestCommand& holder =
        rig.make(*other, compare_and_write(100, 1), std::vector<std::uint8_t>(1024));
    rig.start(holder, *other);
    ASSERT_TRUE(rig.wait(1, [&] { return medium->held() == 1; }));
    TestCommand& write = start(write10(100, 1), TaskAttribute::simple, block(3));
    EXPECT_EQ(stage_of(write), CommandStage::fenced);
    fail();
    EXPECT_EQ(stage_of(write), CommandStage::dormant);
    medium->release();
    ASSERT_TRUE(rig.wait(1, [&] { return holder.returned; }));
    settle_and_expect_open(write);
    EXPECT_EQ(clear_aca(), Response::function_complete);
    ASSERT_TRUE(rig.wait(0, [&] { return write.returned; }));
    EXPECT_EQ(write.status, Status::good);
    EXPECT_EQ(medium->read(100, 1), block(3));
}

TEST_F(AcaTest, DormantCommandsStayDormantAndHeadOfQueueStaysFirst) {
    nexus->hold_data_out = true;
    TestCommand& head = start(write10(1, 1), TaskAttribute::head_of_queue, block(1));
    TestCommand& ordered = start(write10(1, 1), TaskAttribute::ordered, block(2));
    fail();
    rig.on(0, [&] {
        nexus->hold_data_out = false;
        nexus->deliver();
    });
    settle_and_expect_open(head);
    settle_and_expect_open(ordered);
    EXPECT_EQ(clear_aca(), Response::function_complete);
    ASSERT_TRUE(rig.wait(0, [&] { return head.returned && ordered.returned; }));
    EXPECT_LT(head.order, ordered.order);
    EXPECT_EQ(medium->read(1, 1), block(2));
}

TEST_F(AcaTest, ABlockedCommandsOwnCheckConditionIsTheNextCondition) {
    medium->hold(StoreOpcode::read);
    TestCommand& bad = start(with_naca(read10(5, 1)), TaskAttribute::simple, {}, 512);
    TestCommand& good = start(read10(6, 1), TaskAttribute::simple, {}, 512);
    fail();
    medium->fail_next(StoreOpcode::read, StoreStatus::medium_error, 5);
    medium->release();
    ASSERT_TRUE(rig.wait(0, [&] {
        return bad.stage() == CommandStage::blocked && good.stage() == CommandStage::blocked;
    }));
    EXPECT_EQ(clear_aca(), Response::function_complete);
    ASSERT_TRUE(rig.wait(0, [&] { return bad.returned || good.returned; }));
    EXPECT_EQ(clear_aca(), Response::function_complete);
    ASSERT_TRUE(rig.wait(0, [&] { return bad.returned && good.returned; }));
    EXPECT_EQ(static_cast<int>(bad.status == Status::check_condition) +
                  static_cast<int>(good.status == Status::check_condition),
              1);
    EXPECT_EQ(run(test_unit_ready, TaskAttribute::simple).status, Status::good);
}

TEST_F(AcaTest, ALunThatLeavesTheMapLetsItsBlockedCommandsGo) {
    medium->hold(StoreOpcode::read);
    TestCommand& read = start(read10(5, 1), TaskAttribute::simple, {}, 512);
    fail();
    medium->release();
    ASSERT_TRUE(rig.wait(0, [&] { return read.stage() == CommandStage::blocked; }));
    rig.on(0, [&] { nexus->nexus->set_lun_map(*LunMap::make({})); });
    ASSERT_TRUE(rig.wait(0, [&] { return read.returned; }));
    EXPECT_EQ(read.status, Status::good);
}

TEST_F(AcaTest, ASessionEndsInTheMiddleOfIt) {
    medium->hold(StoreOpcode::read);
    TestCommand& read = start(read10(5, 1), TaskAttribute::simple, {}, 512);
    nexus->hold_data_out = true;
    TestCommand& write = start(write10(1, 1), TaskAttribute::simple, block(1));
    fail();
    medium->release();
    ASSERT_TRUE(rig.wait(0, [&] { return read.stage() == CommandStage::blocked; }));
    ASSERT_EQ(write.stage(), CommandStage::awaiting_data_out);
    rig.close(*nexus);  // returns when every command has ended
    EXPECT_EQ(rig.read(*other, 1, 1).status, Status::good);
}

// ---- QERR ----

class QueueErrorManagement : public AcaTest, public ::testing::WithParamInterface<int> {};

// SPC-5 7.5.10: 01b and 11b abort the nexus's other commands, with NACA or without.
TEST_P(QueueErrorManagement, ACheckConditionAbortsTheOthersOrDoesNot) {
    const auto qerr = static_cast<std::uint8_t>(GetParam());
    for (const bool naca : {false, true}) {
        SCOPED_TRACE(naca);
        control_page(qerr);
        medium->hold(StoreOpcode::read);
        nexus->hold_data_out = true;
        TestCommand& inside = start(read10(5, 1), TaskAttribute::simple, {}, 512);
        TestCommand& receiving = start(write10(1, 1), TaskAttribute::simple, block(1));
        TestCommand& dormant = start(write10(2, 1), TaskAttribute::ordered, block(2));
        TestCommand& foreign = rig.make(*other, read10(7, 1), {}, 512);
        rig.start(foreign, *other);
        TestCommand& failed = rig.run(*nexus, naca ? with_naca(beyond) : beyond, {}, 512);
        EXPECT_EQ(failed.status, Status::check_condition);
        rig.settle();
        medium->release();
        rig.on(0, [&] {
            nexus->hold_data_out = false;
            nexus->deliver();
        });
        if (naca && qerr == 0) {
            settle_and_expect_open(inside);
            EXPECT_EQ(clear_aca(), Response::function_complete);
        }
        ASSERT_TRUE(
            rig.wait(0, [&] { return inside.returned && receiving.returned && dormant.returned; }));
        for (TestCommand* command : {&inside, &receiving, &dormant}) {
            EXPECT_EQ(command->discarded, qerr != 0);
            EXPECT_EQ(command->answered, qerr == 0);
        }
        ASSERT_TRUE(rig.wait(1, [&] { return foreign.returned; }));
        EXPECT_EQ(foreign.status, Status::good) << "the task sets are per nexus";
        if (naca && qerr != 0) {
            EXPECT_EQ(run(test_unit_ready, TaskAttribute::simple).status, Status::aca_active);
            EXPECT_EQ(clear_aca(), Response::function_complete);
        }
        EXPECT_EQ(run(test_unit_ready, TaskAttribute::simple).status, Status::good);
        EXPECT_EQ(rig.write(*nexus, 1, block(9)).status, Status::good);
        EXPECT_EQ(medium->read(1, 1), block(9)) << "no aborted write comes after it";
    }
}
INSTANTIATE_TEST_SUITE_P(EveryValue, QueueErrorManagement, ::testing::Values(0, 1, 3));

TEST_F(AcaTest, OtherStatusesThanCheckConditionAbortNobody) {
    control_page(1);
    EXPECT_EQ(rig.run(*other, {0x16, 0, 0, 0, 0, 0}).status, Status::good);  // RESERVE(6)
    nexus->hold_data_out = true;
    TestCommand& conflict = rig.run(*nexus, with_naca(read10(0, 1)), {}, 512);
    EXPECT_EQ(conflict.status, Status::reservation_conflict);
    EXPECT_NE(run({0x12, 0, 0, 0, 36, 0}, TaskAttribute::simple, {}, 36).status,
              Status::aca_active);
}

TEST_F(AcaTest, ReservedValuesOfTheControlPageAreRefused) {
    for (const std::uint8_t qerr : {std::uint8_t{2}})
        EXPECT_EQ(
            rig.run(*other, {0x15, 0x10, 0, 0, 16, 0},
                    {0, 0, 0, 0, 0x0A, 0x0A, 0x22, static_cast<std::uint8_t>(0x10 | qerr << 1), 0,
                     0x40, 0, 0, 0xFF, 0xFF, 0, 0})
                .additional(),
            0x2600U);
    EXPECT_EQ(rig.run(*other, {0x15, 0x10, 0, 0, 16, 0},
                      {0, 0, 0, 0, 0x0A, 0x0A, 0x22, 0x10, 0x10, 0x40, 0, 0, 0xFF, 0xFF, 0, 0})
                  .additional(),
              0x2600U);
}

// ---- TAS ----

TEST_F(AcaTest, TaskAbortedStatusIsSentOnlyIfTasSaysSo) {
    for (const bool tas : {true, false}) {
        control_page(0, 0, tas);
        medium->hold(StoreOpcode::read);
        TestCommand& read = start(read10(5, 1), TaskAttribute::simple, {}, 512);
        TestManagement& reset = rig.manage(*other, Function::logical_unit_reset, 0, 0, false);
        rig.settle();
        medium->release();
        ASSERT_TRUE(rig.wait(1, [&] { return reset.answered; }));
        ASSERT_TRUE(rig.wait(0, [&] { return read.returned; }));
        EXPECT_EQ(read.discarded, !tas);
        if (tas) {
            EXPECT_EQ(read.status, Status::task_aborted);
        }
        EXPECT_EQ(rig.run(*other, request_sense, {}, 96).in[12], 0x29);
        EXPECT_EQ(rig.run(*nexus, request_sense, {}, 96).in[12], 0x29);
    }
}

// ---- UA_INTLCK_CTRL ----

class Interlocks : public AcaTest, public ::testing::WithParamInterface<int> {};

TEST_P(Interlocks, AUnitAttentionStaysUntilRequestSense) {
    control_page(0, static_cast<std::uint8_t>(GetParam()));
    EXPECT_EQ(rig.run(*other, {0x15, 0x10, 0, 0, 16, 0},
                      {0, 0, 0, 0, 0x0A, 0x0A, 0x26, 0x10,
                       static_cast<std::uint8_t>(GetParam() << 4), 0x40, 0, 0, 0xFF, 0xFF, 0, 0})
                  .status,
              Status::good);  // D_SENSE, to have a unit attention
    TestCommand& first = rig.run(*nexus, test_unit_ready);
    EXPECT_EQ(first.status, Status::check_condition);
    TestCommand& second = rig.run(*nexus, test_unit_ready);
    EXPECT_EQ(second.status, GetParam() == 0 ? Status::good : Status::check_condition);
    TestCommand& sense = rig.run(*nexus, request_sense, {}, 96);
    EXPECT_EQ(sense.in[2] & 0x0F, GetParam() == 0 ? 0 : 6);
    EXPECT_EQ(rig.run(*nexus, test_unit_ready).status, Status::good);
}

// 11b alone establishes a unit attention for BUSY, TASK SET FULL and RESERVATION CONFLICT.
TEST_P(Interlocks, ReservationConflictIsRemembered) {
    control_page(0, static_cast<std::uint8_t>(GetParam()));
    EXPECT_EQ(rig.run(*other, {0x16, 0, 0, 0, 0, 0}).status, Status::good);  // RESERVE(6)
    EXPECT_EQ(rig.read(*nexus, 0, 1).status, Status::reservation_conflict);
    TestCommand& next = rig.read(*nexus, 0, 1);
    if (GetParam() != 3) {
        EXPECT_EQ(next.status, Status::reservation_conflict);
        return;
    }
    EXPECT_EQ(next.status, Status::check_condition);
    EXPECT_EQ(next.additional(), 0x2C09U);
    TestCommand& sense = rig.run(*nexus, request_sense, {}, 96);
    EXPECT_EQ(sense.in[12], 0x2C);
    EXPECT_EQ(rig.read(*nexus, 0, 1).status, Status::reservation_conflict);
}

TEST_P(Interlocks, BusyIsRemembered) {
    control_page(0, static_cast<std::uint8_t>(GetParam()));
    std::vector<reactor::Buffer> hoard;
    rig.on(0, [&] {
        while (auto buffer = rig.reactor().shard(0).buffers().acquire(512))
            hoard.push_back(std::move(buffer));
    });
    TestCommand& busy = rig.make(*nexus, write10(0, 1), block(1));
    busy.unsolicited_data = true;
    rig.start(busy, *nexus);
    ASSERT_TRUE(rig.wait(0, [&] { return busy.ended(); }));
    EXPECT_EQ(busy.status, Status::busy);
    rig.on(0, [&] { hoard.clear(); });
    TestCommand& next = rig.run(*nexus, test_unit_ready);
    if (GetParam() == 3) {
        EXPECT_EQ(next.additional(), 0x2C07U);
    } else {
        EXPECT_EQ(next.status, Status::good);
    }
}
INSTANTIATE_TEST_SUITE_P(EveryValue, Interlocks, ::testing::Values(0, 2, 3));

// ---- 29/00 ----

TEST_F(AcaTest, PowerOnIsReportedOnceToEachNexus) {
    for (int i = 0; i < 2; ++i) {
        TestNexus& fresh = rig.add_nexus(static_cast<unsigned>(i), {unit}, true);
        EXPECT_EQ(rig.run(fresh, test_unit_ready).additional(), 0x2900U);
        EXPECT_EQ(rig.run(fresh, test_unit_ready).status, Status::good);
        EXPECT_EQ(rig.run(fresh, test_unit_ready).status, Status::good);
    }
    EXPECT_EQ(rig.run(*nexus, test_unit_ready).status, Status::good);
}

// known-defects 21, 23: an abort that comes for a blocked command, and a reset after it, end.
TEST_F(AcaTest, ResetAfterAbortOfABlockedCommandEnds_defect21_defect23) {
    nexus->hold_data_out = true;
    TestCommand& write = start(write10(1, 1), TaskAttribute::simple, block(1));
    fail();
    TestManagement& abort = rig.manage(*nexus, Function::abort_task, write.tag);
    EXPECT_EQ(abort.response, Response::function_complete);
    EXPECT_TRUE(write.discarded);
    EXPECT_EQ(rig.manage(*nexus, Function::abort_task, 12345).response,
              Response::task_does_not_exist);
    EXPECT_EQ(rig.manage(*other, Function::logical_unit_reset).response,
              Response::function_complete);
    EXPECT_EQ(run(test_unit_ready, TaskAttribute::simple).key(), 6);
    EXPECT_EQ(run(test_unit_ready, TaskAttribute::simple).status, Status::good);
}

}  // namespace
}  // namespace olio::target
