// FORMAT UNIT, SANITIZE, self-tests and the echo buffer in the engine: what they do to the medium,
// what others are told meanwhile, and how they end.
#include <gtest/gtest.h>

#include <algorithm>

#include "scsi/background.h"
#include "scsi/logical_unit_state.h"
#include "target/engine_testing.h"

namespace olio::target {
namespace {

using namespace testing;
using scsi::Status;
using Cdb = std::vector<std::uint8_t>;
using Data = std::vector<std::uint8_t>;

const Cdb request_sense{0x03, 0, 0, 0, 64, 0};
const Cdb format_immediate{0x04, 0x18, 0, 0, 0, 0};
const Data immediate_list{0, 0x02, 0, 0};

Data filled(std::size_t bytes, std::uint8_t with) {
    return Data(bytes, with);
}

Cdb sanitize_cdb(std::uint8_t action, std::uint16_t list_bytes, bool immediate = false,
                 bool unrestricted = false) {
    Cdb cdb(10);
    cdb[0] = 0x48;
    cdb[1] = static_cast<std::uint8_t>(action | (immediate ? 0x80 : 0) | (unrestricted ? 0x20 : 0));
    store_be<std::uint16_t>(cdb.data() + 7, list_bytes);
    return cdb;
}

class BackgroundTest : public ::testing::TestWithParam<unsigned> {
  protected:
    BackgroundTest() : rig(GetParam()) {}
    void SetUp() override {
        medium->capabilities.erases = true;
        unit = rig.add_unit(medium);
        ASSERT_NE(unit, nullptr);
        nexus = &rig.add_nexus(0, {unit});
        other = &rig.add_nexus(GetParam() - 1, {unit});
    }
    static void expect_sense(const TestCommand& command, std::uint8_t key, unsigned additional) {
        EXPECT_EQ(command.status, Status::check_condition);
        EXPECT_EQ(command.key(), key);
        EXPECT_EQ(command.additional(), additional) << std::hex << command.additional();
    }
    // Until no operation is under way any more, as seen by both nexuses' shards.
    void wait_until_quiet() {
        for (const unsigned shard : {0U, GetParam() - 1})
            ASSERT_TRUE(rig.wait(shard, [this] {
                return unit->state()->background.kind == scsi::BackgroundKind::none;
            }));
    }
    bool all_are(std::uint8_t with) {
        const Data all = medium->read(0, 2048);
        return std::ranges::all_of(all, [with](std::uint8_t byte) { return byte == with; });
    }

    EngineRig rig;
    std::shared_ptr<FakeMedium> medium = std::make_shared<FakeMedium>();
    LogicalUnit* unit = nullptr;
    TestNexus* nexus = nullptr;
    TestNexus* other = nullptr;
};

INSTANTIATE_TEST_SUITE_P(Shards, BackgroundTest, ::testing::Values(1U, 2U));

TEST_P(BackgroundTest, FormatLeavesZeros) {
    medium->write(0, filled(2048 * 512, 7));
    EXPECT_EQ(rig.run(*nexus, {0x04, 0, 0, 0, 0, 0}).status, Status::good);
    EXPECT_TRUE(all_are(0));
    EXPECT_FALSE(medium->mapped(100));
    EXPECT_GE(medium->count(StoreOpcode::flush), 1U);
    EXPECT_EQ(rig.run(*other, test_unit_ready).status, Status::good);
}

TEST_P(BackgroundTest, FormatWritesItsPattern) {
    const Cdb with_list{0x04, 0x18, 0, 0, 0, 0};
    const Data pattern{0, 0x88, 0, 0, 0, 1, 0, 3, 1, 2, 3};
    EXPECT_EQ(rig.run(*nexus, with_list, pattern).status, Status::good);
    const Data block = medium->read(2047, 1);
    for (std::size_t i = 0; i < block.size(); ++i)
        ASSERT_EQ(block[i], 1 + i % 3) << i;
    EXPECT_EQ(medium->read(3, 1), block);
}

TEST_P(BackgroundTest, ImmediateFormatTellsItsProgressAndKeepsOthersOut) {
    medium->write(0, filled(2048 * 512, 7));
    medium->hold(StoreOpcode::write_zeroes);
    EXPECT_EQ(rig.run(*nexus, format_immediate, immediate_list).status, Status::good);
    ASSERT_TRUE(rig.wait(0, [&] { return medium->held() == 1; }));
    for (TestNexus* host : {nexus, other}) {
        const TestCommand& ready = rig.run(*host, test_unit_ready);
        expect_sense(ready, 2, 0x0404);
        ASSERT_GE(ready.sense_storage.size(), 18U);
        EXPECT_EQ(ready.sense_storage[15] & 0x80, 0x80);  // SKSV: the progress follows
        expect_sense(rig.read(*host, 0, 1), 2, 0x0404);
        expect_sense(rig.write(*host, 0, filled(512, 1)), 2, 0x0404);
        const TestCommand& sense = rig.run(*host, request_sense, {}, 64);
        ASSERT_EQ(sense.status, Status::good);
        EXPECT_EQ(sense.in[2] & 15, 2);
        EXPECT_EQ(sense.in[12], 0x04);
        EXPECT_EQ(sense.in[13], 0x04);
        EXPECT_EQ(rig.run(*host, {0x12, 0, 0, 0, 36, 0}, {}, 36).status, Status::good);
        expect_sense(rig.run(*host, {0x04, 0, 0, 0, 0, 0}), 2, 0x0404);
    }
    medium->release();
    wait_until_quiet();
    EXPECT_TRUE(all_are(0));
    EXPECT_EQ(rig.run(*other, test_unit_ready).status, Status::good);
    EXPECT_EQ(rig.write(*other, 5, filled(512, 1)).status, Status::good);
    EXPECT_EQ(medium->read(5, 1), filled(512, 1));
}

// A write that was there before the format ends before it begins; one that was still coming does
// not land on the formatted medium.
TEST_P(BackgroundTest, FormatWaitsForWritesInside) {
    medium->hold(StoreOpcode::write);
    TestCommand& write = rig.make(*other, write10(9, 1), filled(512, 9));
    rig.start(write, *other);
    ASSERT_TRUE(rig.wait(other->shard, [&] { return medium->held() == 1; }));
    TestCommand& format = rig.make(*nexus, {0x04, 0, 0, 0, 0, 0});
    rig.start(format, *nexus);
    rig.settle();
    EXPECT_EQ(medium->count(StoreOpcode::write_zeroes), 0U);
    medium->release();
    ASSERT_TRUE(rig.wait(0, [&] { return format.ended(); }));
    EXPECT_EQ(format.status, Status::good);
    EXPECT_EQ(write.status, Status::good);
    EXPECT_EQ(medium->read(9, 1), filled(512, 0));
}

TEST_P(BackgroundTest, WriteWhoseDataComeDuringAFormatIsRefused) {
    other->hold_data_out = true;
    TestCommand& write = rig.make(*other, write10(9, 1), filled(512, 9));
    rig.start(write, *other);
    rig.settle();
    medium->hold(StoreOpcode::write_zeroes);
    ASSERT_EQ(rig.run(*nexus, format_immediate, immediate_list).status, Status::good);
    ASSERT_TRUE(rig.wait(0, [&] { return medium->held() == 1; }));
    rig.on(other->shard, [&] {
        other->hold_data_out = false;
        other->deliver();
    });
    ASSERT_TRUE(rig.wait(other->shard, [&] { return write.ended(); }));
    expect_sense(write, 2, 0x0404);
    medium->release();
    wait_until_quiet();
    EXPECT_TRUE(all_are(0));
}

TEST_P(BackgroundTest, FailedFormatLeavesTheMediumCorruptedUntilOneSucceeds) {
    medium->fail_next(StoreOpcode::write_zeroes, StoreStatus::medium_error, 3);
    expect_sense(rig.run(*nexus, {0x04, 0, 0, 0, 0, 0}), 3, 0x3101);
    expect_sense(rig.read(*other, 0, 1), 3, 0x3100);
    expect_sense(rig.run(*other, test_unit_ready), 3, 0x3100);
    EXPECT_EQ(rig.run(*other, {0x1A, 8, 0x0A, 0, 64, 0}, {}, 64).status, Status::good);
    EXPECT_EQ(rig.run(*nexus, {0x04, 0, 0, 0, 0, 0}).status, Status::good);
    EXPECT_EQ(rig.read(*other, 0, 1).status, Status::good);
}

TEST_P(BackgroundTest, FormatIsRefusedWithoutTouchingAnything) {
    medium->write(0, filled(512, 7));
    expect_sense(rig.run(*nexus, {0x04, 0x80, 0, 0, 0, 0}), 5, 0x2400);
    expect_sense(rig.run(*nexus, format_immediate, {0, 2, 0, 4, 0, 0, 0, 0}), 5, 0x2600);
    expect_sense(rig.run(*nexus, format_immediate, {0, 2}), 5, 0x1A00);
    bool done = false;
    rig.on(0, [&] { unit->set_write_protected(true, [&](const Result<void>&) { done = true; }); });
    ASSERT_TRUE(rig.wait(0, [&] { return done; }));
    rig.run(*nexus, test_unit_ready);
    expect_sense(rig.run(*nexus, {0x04, 0, 0, 0, 0, 0}), 7, 0x2700);
    expect_sense(rig.run(*nexus, sanitize_cdb(1, 5), {1, 0, 0, 1, 0}), 7, 0x2700);
    EXPECT_EQ(medium->read(0, 1), filled(512, 7));
}

TEST_P(BackgroundTest, AbortedFormatGoesOnWithoutItsCommand) {
    medium->write(0, filled(2048 * 512, 7));
    medium->hold(StoreOpcode::write_zeroes);
    TestCommand& format = rig.make(*nexus, {0x04, 0, 0, 0, 0, 0});
    rig.start(format, *nexus);
    ASSERT_TRUE(rig.wait(0, [&] { return medium->held() == 1; }));
    rig.manage(*nexus, TaskManagementFunction::abort_task, format.tag);
    ASSERT_TRUE(rig.wait(0, [&] { return format.discarded; }));
    rig.close(*nexus);  // and its session may go
    medium->release();
    wait_until_quiet();
    EXPECT_TRUE(all_are(0));
    EXPECT_EQ(rig.run(*other, test_unit_ready).status, Status::good);
}

TEST_P(BackgroundTest, FormatSurvivesALogicalUnitReset) {
    medium->write(0, filled(2048 * 512, 7));
    medium->hold(StoreOpcode::write_zeroes);
    ASSERT_EQ(rig.run(*nexus, format_immediate, immediate_list).status, Status::good);
    ASSERT_TRUE(rig.wait(0, [&] { return medium->held() == 1; }));
    EXPECT_TRUE(rig.manage(*other, TaskManagementFunction::logical_unit_reset).answered);
    rig.run(*nexus, test_unit_ready);
    expect_sense(rig.run(*nexus, test_unit_ready), 2, 0x0404);
    medium->release();
    wait_until_quiet();
    EXPECT_TRUE(all_are(0));
}

TEST_P(BackgroundTest, UnitIsRemovedDuringAFormat) {
    medium->hold(StoreOpcode::write_zeroes);
    ASSERT_EQ(rig.run(*nexus, format_immediate, immediate_list).status, Status::good);
    ASSERT_TRUE(rig.wait(0, [&] { return medium->held() == 1; }));
    for (TestNexus* host : {nexus, other})
        rig.on(host->shard, [&] { host->nexus->set_lun_map(*LunMap::make({})); });
    bool removed = false;
    rig.on(0, [&] {
        rig.engine().remove_logical_unit(*unit, [&](const Result<void>&) { removed = true; });
    });
    rig.settle();
    EXPECT_FALSE(removed) << "the store still works";
    medium->release();
    EXPECT_TRUE(rig.wait(0, [&] { return removed; }));
}

TEST_P(BackgroundTest, SizeStaysDuringAFormat) {
    medium->hold(StoreOpcode::write_zeroes);
    ASSERT_EQ(rig.run(*nexus, format_immediate, immediate_list).status, Status::good);
    ASSERT_TRUE(rig.wait(0, [&] { return medium->held() == 1; }));
    std::optional<Result<void>> resized;
    rig.on(0,
           [&] { unit->rescan(1024, [&](Result<void> result) { resized = std::move(result); }); });
    ASSERT_TRUE(rig.wait(0, [&] { return resized.has_value(); }));
    EXPECT_FALSE(*resized);
    medium->release();
    wait_until_quiet();
}

// --- SANITIZE ---

TEST_P(BackgroundTest, OverwriteWritesItsPassesInTurn) {
    medium->forget_records();
    const Data list{0x83, 0, 0, 1, 0x0F};  // three passes, inverted in between
    EXPECT_EQ(rig.run(*nexus, sanitize_cdb(1, 5), list).status, Status::good);
    EXPECT_TRUE(all_are(0x0F));
    std::uint64_t blocks = 0;
    std::size_t flushes = 0;
    for (const FakeMedium::Record& record : medium->records()) {
        blocks += record.opcode == StoreOpcode::write ? record.blocks : 0;
        flushes += record.opcode == StoreOpcode::flush ? 1 : 0;
    }
    EXPECT_EQ(blocks, 3U * 2048);
    EXPECT_EQ(flushes, 3U);
    EXPECT_EQ(rig.run(*nexus, sanitize_cdb(1, 5), {0x82, 0, 0, 1, 0x0F}).status, Status::good);
    EXPECT_TRUE(all_are(0xF0));
}

TEST_P(BackgroundTest, BlockEraseGivesEverythingUp) {
    ASSERT_EQ(rig.write(*nexus, 0, filled(512 * 64, 7)).status, Status::good);
    EXPECT_EQ(rig.run(*nexus, sanitize_cdb(2, 0)).status, Status::good);
    EXPECT_TRUE(all_are(0));
    EXPECT_FALSE(medium->mapped(3));
    auto plain = std::make_shared<FakeMedium>();
    TestNexus& host = rig.add_nexus(0, {rig.add_unit(plain)});
    expect_sense(rig.run(host, sanitize_cdb(2, 0)), 5, 0x2400);
    expect_sense(rig.run(host, sanitize_cdb(3, 0)), 5, 0x2400);  // no cryptographic erase
}

TEST_P(BackgroundTest, ImmediateSanitizeTellsItsProgress) {
    medium->hold(StoreOpcode::write);
    const Data list{1, 0, 0, 1, 0x55};
    EXPECT_EQ(rig.run(*nexus, sanitize_cdb(1, 5, true), list).status, Status::good);
    ASSERT_TRUE(rig.wait(0, [&] { return medium->held() == 1; }));
    expect_sense(rig.run(*other, test_unit_ready), 2, 0x041B);
    expect_sense(rig.run(*other, sanitize_cdb(1, 5), list), 2, 0x041B);
    const TestCommand& sense = rig.run(*other, request_sense, {}, 64);
    EXPECT_EQ(sense.in[2] & 15, 2);
    EXPECT_EQ(sense.in[13], 0x1B);
    EXPECT_EQ(rig.run(*other, {0x1A, 8, 0x0A, 0, 64, 0}, {}, 64).status, Status::good);
    medium->release();
    wait_until_quiet();
    EXPECT_TRUE(all_are(0x55));
}

TEST_P(BackgroundTest, FailedSanitizeIsLeftAsItsAuseAllows) {
    const Data list{1, 0, 0, 1, 0x55};
    medium->fail_next(StoreOpcode::write, StoreStatus::medium_error);
    expect_sense(rig.run(*nexus, sanitize_cdb(1, 5), list), 3, 0x3103);
    expect_sense(rig.read(*other, 0, 1), 3, 0x3103);
    expect_sense(rig.run(*other, {0x04, 0, 0, 0, 0, 0}), 3, 0x3103);
    expect_sense(rig.run(*nexus, sanitize_cdb(0x1F, 0)), 5, 0x2400);
    EXPECT_EQ(rig.run(*nexus, sanitize_cdb(1, 5), list).status, Status::good);
    EXPECT_EQ(rig.read(*other, 0, 1).status, Status::good);

    medium->fail_next(StoreOpcode::write, StoreStatus::medium_error);
    expect_sense(rig.run(*nexus, sanitize_cdb(1, 5, false, true), list), 3, 0x3103);
    EXPECT_EQ(rig.run(*nexus, sanitize_cdb(0x1F, 0)).status, Status::good);
    EXPECT_EQ(rig.read(*other, 0, 1).status, Status::good);
    EXPECT_EQ(rig.run(*nexus, sanitize_cdb(0x1F, 0)).status, Status::good);  // nothing to leave
}

// --- Self-tests ---

TEST_P(BackgroundTest, DefaultSelfTestReadsTheMedium) {
    EXPECT_EQ(rig.run(*nexus, {0x1D, 0x04, 0, 0, 0, 0}).status, Status::good);
    EXPECT_GE(medium->count(StoreOpcode::read), 2U);
    medium->fail_next(StoreOpcode::read, StoreStatus::medium_error, 5);
    expect_sense(rig.run(*nexus, {0x1D, 0x04, 0, 0, 0, 0}), 4, 0x3E03);
    EXPECT_EQ(unit->state()->self_tests.count, 0);
}

TEST_P(BackgroundTest, BackgroundSelfTestLetsOthersWork) {
    medium->hold(StoreOpcode::read);
    EXPECT_EQ(rig.run(*nexus, {0x1D, 0x40, 0, 0, 0, 0}).status, Status::good);
    ASSERT_TRUE(rig.wait(0, [&] { return medium->held() == 1; }));
    EXPECT_EQ(rig.run(*other, test_unit_ready).status, Status::good);
    EXPECT_EQ(rig.write(*other, 0, filled(512, 3)).status, Status::good);
    expect_sense(rig.run(*other, {0x1D, 0x20, 0, 0, 0, 0}), 2, 0x0409);
    const TestCommand& sense = rig.run(*other, request_sense, {}, 64);
    EXPECT_EQ(sense.in[12], 0x04);
    EXPECT_EQ(sense.in[13], 0x09);
    medium->release();
    wait_until_quiet();
    rig.on(0, [&] {
        const scsi::SelfTestLog& log = unit->state()->self_tests;
        ASSERT_EQ(log.count, 1);
        EXPECT_EQ(log.results[0].code, scsi::SelfTestCode::background_extended);
        EXPECT_EQ(log.results[0].outcome, scsi::SelfTestOutcome::good);
    });
}

TEST_P(BackgroundTest, BackgroundSelfTestIsAborted) {
    expect_sense(rig.run(*nexus, {0x1D, 0x80, 0, 0, 0, 0}), 5, 0x2400);
    medium->hold(StoreOpcode::read);
    for (const bool by_reset : {false, true}) {
        medium->hold(StoreOpcode::read);
        ASSERT_EQ(rig.run(*nexus, {0x1D, 0x20, 0, 0, 0, 0}).status, Status::good);
        ASSERT_TRUE(rig.wait(0, [&] { return medium->held() == 1; }));
        TestCommand& abort = rig.make(*nexus, {0x1D, 0x80, 0, 0, 0, 0});
        if (by_reset)
            rig.manage(*nexus, TaskManagementFunction::logical_unit_reset);
        else
            rig.start(abort, *nexus);
        rig.settle();
        medium->release();
        wait_until_quiet();
        if (!by_reset) {
            ASSERT_TRUE(rig.wait(0, [&] { return abort.ended(); }));
            EXPECT_EQ(abort.status, Status::good);
        }
        rig.on(0, [&] {
            EXPECT_EQ(unit->state()->self_tests.results[0].outcome,
                      by_reset ? scsi::SelfTestOutcome::aborted_otherwise
                               : scsi::SelfTestOutcome::aborted_by_host);
        });
    }
}

TEST_P(BackgroundTest, FormatEndsABackgroundSelfTest) {
    medium->hold(StoreOpcode::read);
    ASSERT_EQ(rig.run(*nexus, {0x1D, 0x40, 0, 0, 0, 0}).status, Status::good);
    ASSERT_TRUE(rig.wait(0, [&] { return medium->held() == 1; }));
    TestCommand& format = rig.make(*other, {0x04, 0, 0, 0, 0, 0});
    rig.start(format, *other);
    rig.settle();
    medium->release();
    ASSERT_TRUE(rig.wait(other->shard, [&] { return format.ended(); }));
    EXPECT_EQ(format.status, Status::good);
    rig.on(0, [&] {
        EXPECT_EQ(unit->state()->self_tests.results[0].outcome,
                  scsi::SelfTestOutcome::aborted_otherwise);
    });
}

TEST_P(BackgroundTest, ForegroundSelfTestKeepsOthersOutAndReportsWhatItFound) {
    medium->hold(StoreOpcode::read);
    TestCommand& test = rig.make(*nexus, {0x1D, 0xC0, 0, 0, 0, 0});
    rig.start(test, *nexus);
    ASSERT_TRUE(rig.wait(0, [&] { return medium->held() == 1; }));
    expect_sense(rig.run(*other, test_unit_ready), 2, 0x0409);
    medium->fail_next(StoreOpcode::read, StoreStatus::medium_error, 77);
    medium->release();
    ASSERT_TRUE(rig.wait(0, [&] { return test.ended(); }));
    expect_sense(test, 4, 0x3E03);
    rig.on(0, [&] {
        const scsi::SelfTestResult& result = unit->state()->self_tests.results[0];
        EXPECT_EQ(result.outcome, scsi::SelfTestOutcome::read_failed);
        EXPECT_EQ(result.first_failure_lba, 77U);
    });
    EXPECT_EQ(rig.run(*other, test_unit_ready).status, Status::good);
}

TEST_P(BackgroundTest, SelfTestResultsAreInTheirLogPageUntilReset) {
    const Cdb sense{0x4D, 0, 0x50, 0, 0, 0, 0, 1, 0x94, 0};
    const Data none = rig.run(*nexus, sense, {}, 404).in;
    ASSERT_EQ(none.size(), 404U);
    EXPECT_EQ(none[8], 0);
    medium->fail_next(StoreOpcode::read, StoreStatus::medium_error, 77);
    expect_sense(rig.run(*nexus, {0x1D, 0xC0, 0, 0, 0, 0}), 4, 0x3E03);
    medium->hold(StoreOpcode::read);
    ASSERT_EQ(rig.run(*nexus, {0x1D, 0x20, 0, 0, 0, 0}).status, Status::good);
    const Data both = rig.run(*other, sense, {}, 404).in;
    ASSERT_EQ(both.size(), 404U);
    EXPECT_EQ(both[8], 0x2F);  // short, in the background, in progress
    EXPECT_EQ(both[28], 0xC7);
    EXPECT_EQ(load_be<std::uint64_t>(both.data() + 32), 77U);
    EXPECT_EQ(both[40], 3);
    EXPECT_EQ(both[41], 0x11);
    EXPECT_EQ(rig.run(*nexus, {0x4C, 2, 0x50, 0, 0, 0, 0, 0, 0, 0}).status, Status::good);
    expect_sense(rig.run(*other, test_unit_ready), 6, 0x2A02);
    const Data left = rig.run(*other, sense, {}, 404).in;
    EXPECT_EQ(left[8], 0x2F);
    EXPECT_EQ(left[28], 0);
    medium->release();
    wait_until_quiet();
    EXPECT_EQ(rig.run(*other, sense, {}, 404).in[8], 0x20);
}

TEST_P(BackgroundTest, AbortedForegroundSelfTestStops) {
    medium->hold(StoreOpcode::read);
    TestCommand& test = rig.make(*nexus, {0x1D, 0xC0, 0, 0, 0, 0});
    rig.start(test, *nexus);
    ASSERT_TRUE(rig.wait(0, [&] { return medium->held() == 1; }));
    rig.manage(*nexus, TaskManagementFunction::abort_task, test.tag);
    EXPECT_TRUE(rig.wait(0, [&] { return test.discarded; }));
    medium->release();
    wait_until_quiet();
    EXPECT_EQ(rig.run(*other, test_unit_ready).status, Status::good);
    EXPECT_LT(medium->count(StoreOpcode::read), 4U);
}

// --- The echo buffer ---

TEST_P(BackgroundTest, EchoBufferGivesBackWhatTheSameNexusWrote) {
    const Data data = filled(252, 0xA5);
    const Cdb write{0x3B, 0x0A, 0, 0, 0, 0, 0, 0, 252, 0};
    const Cdb read{0x3C, 0x0A, 0, 0, 0, 0, 0, 1, 0, 0};
    expect_sense(rig.run(*nexus, read, {}, 256), 5, 0x2C00);
    EXPECT_EQ(rig.run(*nexus, write, data).status, Status::good);
    EXPECT_EQ(rig.run(*nexus, read, {}, 256).in, data);
    expect_sense(rig.run(*other, read, {}, 256), 5, 0x2C00);
    EXPECT_EQ(rig.run(*other, write, filled(252, 1)).status, Status::good);
    expect_sense(rig.run(*nexus, read, {}, 256), 0xB, 0x3F0F);
    EXPECT_EQ(rig.run(*other, read, {}, 256).in, filled(252, 1));
    expect_sense(rig.run(*nexus, {0x3B, 0x05, 0, 0, 0, 0, 0, 0, 4, 0}, filled(4, 1)), 5, 0x2400);
}

}  // namespace
}  // namespace olio::target
