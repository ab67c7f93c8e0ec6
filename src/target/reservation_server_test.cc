// Persistent reservations in the engine: commands that are under way when a reservation changes, on
// several shards. Sequences of commands: reservation_model_test.cc.
#include "target/reservation_server.h"

#include <gtest/gtest.h>

#include "target/engine_testing.h"

namespace olio::target {
namespace {

using testing::EngineRig;
using testing::FakeMedium;
using testing::TestCommand;
using testing::TestNexus;
using Data = std::vector<std::uint8_t>;
using scsi::Status;

Data out_cdb(unsigned action, unsigned type = 0) {
    return {
        0x5F, static_cast<std::uint8_t>(action), static_cast<std::uint8_t>(type), 0, 0, 0, 0, 0, 24,
        0};
}

Data out_list(std::uint64_t key, std::uint64_t service_key, std::uint8_t flags = 0) {
    Data list(24);
    store_be(list.data(), key);
    store_be(list.data() + 8, service_key);
    list[20] = flags;
    return list;
}

class ReservationServerTest : public ::testing::TestWithParam<unsigned> {
  protected:
    ReservationServerTest()
        : rig(GetParam()),
          medium(std::make_shared<FakeMedium>()),
          unit(rig.add_unit(medium)),
          a(rig.add_nexus(0, {unit})),
          b(rig.add_nexus(GetParam() - 1, {unit})) {}

    Status out(TestNexus& nexus, unsigned action, unsigned type, std::uint64_t key,
               std::uint64_t service_key = 0) {
        return rig.run(nexus, out_cdb(action, type), out_list(key, service_key)).status;
    }
    void enroll() {
        ASSERT_EQ(out(a, 0, 0, 0, 0xA), Status::good);
        ASSERT_EQ(out(b, 0, 0, 0, 0xB), Status::good);
    }

    EngineRig rig;
    std::shared_ptr<FakeMedium> medium;
    LogicalUnit* unit;
    TestNexus& a;
    TestNexus& b;
};

INSTANTIATE_TEST_SUITE_P(Shards, ReservationServerTest, ::testing::Values(1U, 2U));

TEST_P(ReservationServerTest, AnotherNexusMeetsTheConflictAtOnce) {
    enroll();
    ASSERT_EQ(out(a, 1, 1, 0xA), Status::good);
    EXPECT_EQ(rig.write(b, 0, Data(512, 1)).status, Status::reservation_conflict);
    EXPECT_EQ(rig.read(b, 0, 1).status, Status::good);
    EXPECT_EQ(rig.write(a, 0, Data(512, 1)).status, Status::good);
    ASSERT_EQ(out(a, 2, 1, 0xA), Status::good);
    EXPECT_EQ(rig.write(b, 0, Data(512, 1)).status, Status::good);
}

TEST_P(ReservationServerTest, AWriteWhoseDataComeAfterTheReservationIsRefused) {
    enroll();
    rig.on(b.shard, [&] { b.hold_data_out = true; });
    TestCommand& write = rig.make(b, testing::write16(0, 1), Data(512, 7));
    rig.start(write, b);
    ASSERT_EQ(out(a, 1, 3, 0xA), Status::good);
    rig.on(b.shard, [&] {
        b.hold_data_out = false;
        b.deliver();
    });
    ASSERT_TRUE(rig.wait(b.shard, [&] { return write.ended(); }));
    EXPECT_EQ(write.status, Status::reservation_conflict);
    EXPECT_EQ(medium->count(StoreOpcode::write), 0U);
}

TEST_P(ReservationServerTest, RegistrationsOutliveASession) {
    enroll();
    ASSERT_EQ(out(b, 1, 5, 0xB), Status::good);
    rig.close(b);
    EXPECT_EQ(rig.write(a, 0, Data(512, 1)).status, Status::good);  // a registrant
    TestNexus& stranger = rig.add_nexus(0, {unit});
    EXPECT_EQ(rig.write(stranger, 0, Data(512, 1)).status, Status::reservation_conflict);
    const Data keys = rig.run(a, {0x5E, 0, 0, 0, 0, 0, 0, 0, 255, 0}, {}, 255).in;
    EXPECT_EQ(keys.size(), 8U + 2 * 8);
}

// Known defect 17: PREEMPT AND ABORT aborted only some. All of them, wherever they are, and GOOD
// only when none of them can reach the medium but behind a fence.
TEST_P(ReservationServerTest, Defect17PreemptAndAbortEndsEveryCommandOfThePreempted) {
    enroll();
    ASSERT_EQ(out(b, 1, 1, 0xB), Status::good);
    medium->hold(StoreOpcode::write);
    std::vector<TestCommand*> writes;
    for (unsigned i = 0; i < 20; ++i) {
        writes.push_back(&rig.make(b, testing::write16(i, 1), Data(512, 7)));
        rig.start(*writes.back(), b);
    }
    TestCommand& preempt = rig.make(a, out_cdb(5, 1), out_list(0xA, 0xB));
    rig.start(preempt, a);
    ASSERT_TRUE(rig.wait(a.shard, [&] { return preempt.ended(); }));  // though the store is dead
    EXPECT_EQ(preempt.status, Status::good);
    TestCommand& newer = rig.make(a, testing::write16(0, 1), Data(512, 9));
    rig.start(newer, a);
    rig.settle();
    EXPECT_FALSE(newer.ended());  // behind the fence of the old one
    medium->release();
    for (TestCommand* write : writes) {
        ASSERT_TRUE(rig.wait(b.shard, [&] { return write->ended(); }));
        EXPECT_TRUE(write->discarded || write->status == Status::task_aborted);
    }
    ASSERT_TRUE(rig.wait(a.shard, [&] { return newer.ended(); }));
    EXPECT_EQ(medium->read(0, 1), Data(512, 9));
    TestCommand& told = rig.run(b, testing::test_unit_ready);
    EXPECT_EQ(told.additional(), 0x2A05U);
    EXPECT_EQ(rig.write(b, 0, Data(512, 7)).status, Status::reservation_conflict);
}

TEST_P(ReservationServerTest, PreemptAndAbortClearsTheAcaOfThePreempted) {
    enroll();
    ASSERT_EQ(out(b, 1, 3, 0xB), Status::good);
    // READ(10) far beyond the end, with NACA.
    Data beyond = {0x28, 0, 0x7F, 0, 0, 0, 0, 0, 1, 0x04};
    ASSERT_EQ(rig.run(b, beyond, {}, 512).status, Status::check_condition);
    ASSERT_EQ(rig.run(b, {0, 0, 0, 0, 0, 0}).status, Status::aca_active);
    ASSERT_EQ(out(a, 5, 1, 0xA, 0xB), Status::good);
    EXPECT_NE(rig.run(b, {0, 0, 0, 0, 0, 0}).status, Status::aca_active);
    EXPECT_EQ(rig.run(b, {0, 0, 0, 0, 0, 0}).status, Status::good);
}

// Known defect 20: PREEMPT AND ABORT waited for commands that only its own thread could finish.
// Known defect 52: it did not end at all.
TEST_P(ReservationServerTest, Defect20PreemptAndAbortAmongReadsOnItsOwnConnection) {
    enroll();
    medium->complete_later(true);
    for (int round = 0; round < 50; ++round) {
        std::vector<std::pair<TestNexus*, TestCommand*>> all;
        const auto start = [&](TestNexus& nexus, TestCommand& command) {
            rig.start(command, nexus);
            all.emplace_back(&nexus, &command);
        };
        // Each preempts the other, and registers again, without waiting for anything.
        for (int i = 0; i < 4; ++i)
            for (TestNexus* nexus : {&a, &b}) {
                const std::uint64_t own = nexus == &a ? 0xA : 0xB;
                start(*nexus, rig.make(*nexus, testing::read10(0, 8), {}, 8 * 512));
                start(*nexus, rig.make(*nexus, testing::write16(0, 1), Data(512, 7)));
                start(*nexus, rig.make(*nexus, out_cdb(6), out_list(0, own)));
                start(*nexus, rig.make(*nexus, out_cdb(5, 1), out_list(own, own ^ 1)));
                start(*nexus, rig.make(*nexus, {0x16, 0, 0, 0, 0, 0}));
                start(*nexus, rig.make(*nexus, {0x17, 0, 0, 0, 0, 0}));
            }
        for (const auto& [nexus, command] : all)
            ASSERT_TRUE(rig.wait(nexus->shard, [&] { return command->returned; })) << round;
    }
}

TEST(ReservationServer, WithoutAPlaceToKeepThemAptplIsRefused) {
    EngineRig rig;
    auto medium = std::make_shared<FakeMedium>();
    LogicalUnit* unit = rig.add_unit(medium);
    TestNexus& nexus = rig.add_nexus(0, {unit});
    EXPECT_EQ(rig.run(nexus, out_cdb(0), out_list(0, 5)).status, Status::good);
    EXPECT_EQ(rig.run(nexus, out_cdb(0), out_list(5, 6, 1)).additional(), 0x2600U);
}

}  // namespace
}  // namespace olio::target
