// LOG SENSE and LOG SELECT over the shards, power conditions, and the mode pages that REQUEST SENSE
// shows.
#include <gtest/gtest.h>

#include <algorithm>

#include "target/engine_testing.h"

namespace olio::target {
namespace {

using namespace testing;
using scsi::Status;
using Cdb = std::vector<std::uint8_t>;

class PagesTest : public ::testing::Test {
  protected:
    explicit PagesTest(unsigned shards = 2) : rig(shards) {}
    void SetUp() override {
        unit = rig.add_unit(medium);
        ASSERT_NE(unit, nullptr);
        nexus = &rig.add_nexus(0, {unit});
        other = &rig.add_nexus(rig.reactor().size() - 1, {unit});
    }
    // A counter of eight bytes of a log page.
    std::uint64_t counter(std::uint8_t page, std::uint8_t parameter) {
        const TestCommand& command = rig.run(
            *nexus,
            {0x4D, 0, static_cast<std::uint8_t>(0x40 | page), 0, 0, 0, parameter, 0, 255, 0}, {},
            255);
        EXPECT_EQ(command.status, Status::good);
        return command.in.size() < 16 ? ~0ull : load_be<std::uint64_t>(command.in.data() + 8);
    }
    unsigned polled(TestNexus& by) {
        const std::vector<std::uint8_t> sense = rig.run(by, {3, 0, 0, 0, 18, 0}, {}, 18).in;
        return static_cast<unsigned>(sense[12] << 8 | sense[13]);
    }

    EngineRig rig;
    std::shared_ptr<FakeMedium> medium = std::make_shared<FakeMedium>();
    LogicalUnit* unit = nullptr;
    TestNexus* nexus = nullptr;
    TestNexus* other = nullptr;
};

TEST_F(PagesTest, LogSenseSumsWhatEveryShardCounted) {
    EXPECT_EQ(rig.write(*nexus, 0, std::vector<std::uint8_t>(1024)).status, Status::good);
    EXPECT_EQ(rig.write(*other, 8, std::vector<std::uint8_t>(512)).status, Status::good);
    EXPECT_EQ(rig.read(*other, 0, 3).status, Status::good);
    EXPECT_EQ(rig.run(*nexus, {0x2F, 0, 0, 0, 0, 0, 0, 0, 4, 0}).status, Status::good);
    EXPECT_EQ(counter(0x02, 5), 1536U);
    EXPECT_EQ(counter(0x03, 5), 1536U);
    EXPECT_EQ(counter(0x05, 5), 2048U);
    const std::vector<std::uint8_t> statistics =
        rig.run(*nexus, {0x4D, 0, 0x59, 0, 0, 0, 0, 0, 255, 0}, {}, 255).in;
    ASSERT_EQ(statistics.size(), 72U);
    EXPECT_EQ(load_be<std::uint64_t>(statistics.data() + 8), 1U);
    EXPECT_EQ(load_be<std::uint64_t>(statistics.data() + 16), 2U);
    EXPECT_EQ(load_be<std::uint64_t>(statistics.data() + 24), 3U);
    EXPECT_EQ(load_be<std::uint64_t>(statistics.data() + 32), 3U);
}

TEST_F(PagesTest, FailuresOfTheStoreAreCountedByTheirKind) {
    medium->fail_next(StoreOpcode::read, StoreStatus::medium_error, 1);
    EXPECT_EQ(rig.read(*nexus, 0, 3).key(), 3);
    medium->fail_next(StoreOpcode::write, StoreStatus::medium_error, 1);
    EXPECT_EQ(rig.write(*other, 0, std::vector<std::uint8_t>(512)).key(), 3);
    medium->fail_next(StoreOpcode::read, StoreStatus::medium_error, 1);
    EXPECT_EQ(rig.run(*nexus, {0x2F, 0, 0, 0, 0, 0, 0, 0, 4, 0}).key(), 3);
    medium->fail_next(StoreOpcode::write, StoreStatus::no_space);
    EXPECT_EQ(rig.write(*nexus, 0, std::vector<std::uint8_t>(512)).key(), 7);
    EXPECT_EQ(counter(0x03, 6), 1U);
    EXPECT_EQ(counter(0x02, 6), 1U);
    EXPECT_EQ(counter(0x05, 6), 1U);
    EXPECT_EQ(counter(0x06, 0), 1U);
}

TEST_F(PagesTest, LogSelectResetsAndSetsAndTellsTheOthers) {
    EXPECT_EQ(rig.read(*nexus, 0, 3).status, Status::good);
    EXPECT_EQ(rig.run(*nexus, {0x4C, 2, 0x43, 0, 0, 0, 0, 0, 0, 0}).status, Status::good);
    EXPECT_EQ(counter(0x03, 5), 0U);
    EXPECT_EQ(rig.run(*other, test_unit_ready).additional(), 0x2A02U);
    EXPECT_EQ(rig.run(*nexus, test_unit_ready).status, Status::good);
    EXPECT_EQ(rig.read(*other, 0, 1).status, Status::good);
    EXPECT_EQ(counter(0x03, 5), 512U);  // it counts on
    const std::vector<std::uint8_t> list{0x03, 0, 0, 0x0C, 0, 5, 0, 8, 0, 0, 0, 0, 0, 0, 0x10, 0};
    EXPECT_EQ(rig.run(*nexus, {0x4C, 0, 0x40, 0, 0, 0, 0, 0, 16, 0}, list).status, Status::good);
    EXPECT_EQ(rig.read(*nexus, 0, 1).status, Status::good);
    EXPECT_EQ(counter(0x03, 5), 0x1000U + 512);
}

TEST_F(PagesTest, ARefusedLogSelectChangesNothing) {
    EXPECT_EQ(rig.read(*nexus, 0, 1).status, Status::good);
    const std::vector<std::uint8_t> list{0x03, 0, 0, 0x0C, 0, 9, 0, 8, 0, 0, 0, 0, 0, 0, 0x10, 0};
    const TestCommand& command = rig.run(*nexus, {0x4C, 0, 0x40, 0, 0, 0, 0, 0, 16, 0}, list);
    EXPECT_EQ(command.additional(), 0x2600U);
    EXPECT_EQ(counter(0x03, 5), 512U);
    EXPECT_EQ(rig.run(*other, test_unit_ready).status, Status::good);
}

TEST_F(PagesTest, LogSenseTellsHowMuchThereWouldBe) {
    const TestCommand& command = rig.run(*nexus, {0x4D, 0, 0x42, 0, 0, 0, 0, 0, 4, 0}, {}, 255);
    EXPECT_EQ(command.in, (std::vector<std::uint8_t>{0x82, 0, 0, 0x24}));
    EXPECT_EQ(command.residual_bytes, 251);
}

// Entry 70 of the list of defects: answers of rare commands showed what was in their buffer before.
TEST_F(PagesTest, NoPageShowsWhatWasInItsBufferBefore_defect70) {
    const std::vector<std::uint8_t> pattern(64 * 512, 0xA5);
    EXPECT_EQ(rig.write(*nexus, 0, pattern).status, Status::good);
    std::vector<Cdb> questions;
    for (const std::uint8_t page : rig.run(*nexus, {0x12, 1, 0, 4, 0, 0}, {}, 1024).in)
        questions.push_back({0x12, 1, page, 4, 0, 0});
    for (const std::uint8_t control : {0x00, 0x40, 0x80})
        questions.push_back(
            {0x5A, 0, static_cast<std::uint8_t>(control | 0x3F), 0xFF, 0, 0, 0, 8, 0, 0});
    for (const std::uint8_t page : {0x00, 0x02, 0x05, 0x06, 0x0E, 0x10, 0x1A, 0x2F})
        questions.push_back({0x4D, 0, static_cast<std::uint8_t>(0x40 | page), 0, 0, 0, 0, 4, 0, 0});
    questions.push_back({0xA3, 0x05, 0, 0, 0, 0, 0, 0, 4, 0, 0xFE, 0});
    questions.push_back({0xA3, 0x0C, 0x80, 0, 0, 0, 0, 0, 0xFF, 0, 0, 0});
    for (const Cdb& question : questions) {
        const std::vector<std::uint8_t> first = rig.run(*nexus, question, {}, 0xFF00).in;
        EXPECT_EQ(rig.read(*nexus, 0, 64).in, pattern);  // the next buffer is full of it
        EXPECT_EQ(rig.run(*nexus, question, {}, 0xFF00).in, first);
        EXPECT_EQ(std::ranges::count(first, std::uint8_t{0xA5}), 0) << unsigned{question[2]};
    }
}

// ---- What hosts leave with the unit ----

using InformationCommands = PagesTest;

TEST_F(InformationCommands, IdentifyingInformationIsThereForEveryNexus) {
    const std::vector<std::uint8_t> name{'d', 'b', 0};
    EXPECT_EQ(rig.run(*nexus, {0xA4, 6, 0, 0, 0, 0, 0, 0, 0, 3, 4, 0}, name).status, Status::good);
    EXPECT_EQ(rig.run(*other, test_unit_ready).additional(), 0x3F05U);
    const Cdb report{0xA3, 5, 0, 0, 0, 0, 0, 0, 1, 0, 4, 0};
    EXPECT_EQ(rig.run(*other, report, {}, 256).in,
              (std::vector<std::uint8_t>{0, 0, 0, 3, 'd', 'b', 0}));
    const TestCommand& wrong = rig.run(*nexus, {0xA4, 6, 0, 0, 0, 0, 0, 0, 0, 2, 4, 0}, {'d', 'b'});
    EXPECT_EQ(wrong.additional(), 0x2600U);
    EXPECT_EQ(rig.run(*other, report, {}, 256).in.size(), 7U);
    EXPECT_EQ(rig.run(*nexus, {0xA4, 6, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0}).status, Status::good);
    EXPECT_EQ(rig.run(*nexus, report, {}, 256).in, (std::vector<std::uint8_t>{0, 0, 0, 0}));
}

TEST_F(InformationCommands, ATimestampThatWasSetGoesOn) {
    const Cdb report{0xA3, 0x0F, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0};
    const std::vector<std::uint8_t> before = rig.run(*other, report, {}, 12).in;
    ASSERT_EQ(before.size(), 12U);
    EXPECT_EQ(before[2], 3);
    const std::vector<std::uint8_t> list{0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0};
    EXPECT_EQ(rig.run(*nexus, {0xA4, 0x0F, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0}, list).status,
              Status::good);
    EXPECT_EQ(rig.run(*other, test_unit_ready).additional(), 0x2A10U);
    const std::vector<std::uint8_t> after = rig.run(*other, report, {}, 12).in;
    ASSERT_EQ(after.size(), 12U);
    EXPECT_EQ(after[2], 2);
    const std::uint64_t now = load_be<std::uint64_t>(after.data() + 2) & 0xFFFFFFFFFFFF;
    EXPECT_GE(now, 0x10000U);
    EXPECT_LT(now, 0x10000U + 60'000);
}

// ---- Power conditions ----

TEST_F(PagesTest, IdleAndStandbyEndWithAnAccessToTheMedium) {
    EXPECT_EQ(rig.run(*nexus, {0x1B, 0, 0, 1, 0x20, 0}).status, Status::good);
    EXPECT_EQ(polled(*other), 0x5E06U);
    EXPECT_EQ(rig.run(*nexus, test_unit_ready).status, Status::good);
    EXPECT_EQ(polled(*nexus), 0x5E06U);
    EXPECT_EQ(rig.read(*other, 0, 1).status, Status::good);
    rig.settle();
    EXPECT_EQ(polled(*nexus), 0U);
    EXPECT_EQ(rig.run(*nexus, {0x1B, 0, 0, 0, 0x30, 0}).status, Status::good);
    EXPECT_EQ(polled(*nexus), 0x5E04U);
    EXPECT_EQ(rig.run(*nexus, {0x1B, 0, 0, 0, 0x10, 0}).status, Status::good);
    EXPECT_EQ(polled(*nexus), 0U);
}

TEST_F(PagesTest, StandbyMakesTheCacheDurableFirst) {
    medium->forget_records();
    EXPECT_EQ(rig.run(*nexus, {0x1B, 0, 0, 0, 0x20, 0}).status, Status::good);
    EXPECT_EQ(medium->count(StoreOpcode::flush), 0U);
    EXPECT_EQ(rig.run(*nexus, {0x1B, 0, 0, 0, 0x30, 0}).status, Status::good);
    EXPECT_EQ(medium->count(StoreOpcode::flush), 1U);
    EXPECT_EQ(rig.run(*nexus, {0x1B, 0, 0, 0, 0x34, 0}).status, Status::good);  // NO_FLUSH
    EXPECT_EQ(medium->count(StoreOpcode::flush), 1U);
}

TEST_F(PagesTest, StoppedWaitsForStartAndIsCounted) {
    EXPECT_EQ(rig.run(*nexus, {0x1B, 0, 0, 0, 0, 0}).status, Status::good);
    EXPECT_EQ(rig.read(*other, 0, 1).additional(), 0x0402U);
    EXPECT_EQ(rig.run(*nexus, {0x1B, 0, 0, 0, 0x70, 0}).status, Status::good);  // LU_CONTROL
    EXPECT_EQ(rig.read(*other, 0, 1).additional(), 0x0402U);
    EXPECT_EQ(rig.run(*nexus, {0x1B, 0, 0, 0, 1, 0}).status, Status::good);
    EXPECT_EQ(rig.read(*other, 0, 1).status, Status::good);
    const std::vector<std::uint8_t> page =
        rig.run(*nexus, {0x4D, 0, 0x4E, 0, 0, 0, 0, 0, 255, 0}, {}, 255).in;
    ASSERT_EQ(page.size(), 12U);
    EXPECT_EQ(page[11], 1);
    const std::vector<std::uint8_t> transitions =
        rig.run(*nexus, {0x4D, 0, 0x5A, 0, 0, 0, 0, 0, 255, 0}, {}, 255).in;
    ASSERT_EQ(transitions.size(), 52U);
    EXPECT_EQ(transitions[11], 1);  // to active
    EXPECT_EQ(transitions[19], 0);
}

TEST_F(PagesTest, ARefusedPowerConditionSaysWhere) {
    EXPECT_EQ(rig.run(*nexus, {0x1B, 0, 0, 3, 0x20, 0}).additional(), 0x2400U);
    EXPECT_EQ(polled(*nexus), 0U);
}

TEST_F(PagesTest, ATestExceptionIsSeenOnRequest) {
    const std::vector<std::uint8_t> list{0, 0, 0, 0, 0x1C, 10, 4, 6, 0, 0, 0, 0, 0, 0, 0, 0};
    EXPECT_EQ(rig.run(*nexus, {0x15, 0x10, 0, 0, 16, 0}, list).status, Status::good);
    EXPECT_EQ(polled(*nexus), 0x5DFFU);
    EXPECT_EQ(polled(*other), 0x2A01U);
    EXPECT_EQ(polled(*other), 0x5DFFU);
}

}  // namespace
}  // namespace olio::target
