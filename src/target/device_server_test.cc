// A command's way through the engine: the checks in their order, data lengths, the medium commands.
#include <gtest/gtest.h>

#include <atomic>

#include <numeric>

#include "target/engine_testing.h"

namespace olio::target {
namespace {

using namespace testing;
using scsi::Status;
using Cdb = std::vector<std::uint8_t>;

std::vector<std::uint8_t> filled(std::size_t bytes, std::uint8_t with) {
    return std::vector<std::uint8_t>(bytes, with);
}

class DeviceServerTest : public ::testing::Test {
  protected:
    explicit DeviceServerTest(unsigned shards = 1) : rig(shards) {}
    void SetUp() override {
        unit = rig.add_unit(medium);
        ASSERT_NE(unit, nullptr);
        nexus = &rig.add_nexus(0, {unit});
    }
    static void expect_sense(const TestCommand& command, std::uint8_t key, unsigned additional) {
        EXPECT_EQ(command.status, Status::check_condition);
        EXPECT_EQ(command.key(), key);
        EXPECT_EQ(command.additional(), additional) << std::hex << command.additional();
    }

    EngineRig rig;
    std::shared_ptr<FakeMedium> medium = std::make_shared<FakeMedium>();
    LogicalUnit* unit = nullptr;
    TestNexus* nexus = nullptr;
};

TEST_F(DeviceServerTest, ReadsWhatWasWritten) {
    std::vector<std::uint8_t> data(2048);
    std::iota(data.begin(), data.end(), std::uint8_t{0});
    EXPECT_EQ(rig.write(*nexus, 7, data).status, Status::good);
    const TestCommand& read = rig.read(*nexus, 7, 4);
    EXPECT_EQ(read.status, Status::good);
    EXPECT_EQ(read.in, data);
    EXPECT_EQ(read.residual_bytes, 0);
}

TEST_F(DeviceServerTest, FreshLogicalUnitReadsZeros_defect10) {
    EXPECT_EQ(rig.read(*nexus, 0, 8).in, filled(4096, 0));
}

TEST_F(DeviceServerTest, ReadIsCutToWhatTheHostExpects) {
    const TestCommand& less = rig.run(*nexus, read10(0, 4), {}, 512);
    EXPECT_EQ(less.status, Status::good);
    EXPECT_EQ(less.in.size(), 512U);
    EXPECT_EQ(less.residual_bytes, -1536);
    const TestCommand& more = rig.run(*nexus, read10(0, 4), {}, 10000);
    EXPECT_EQ(more.in.size(), 2048U);
    EXPECT_EQ(more.residual_bytes, 10000 - 2048);
    const TestCommand& none = rig.run(*nexus, read10(0, 1), {}, 0);
    EXPECT_EQ(none.status, Status::good);
    EXPECT_EQ(none.residual_bytes, -512);
}

TEST_F(DeviceServerTest, WriteWritesTheWholeBlocksThatTheHostSends) {
    medium->write(0, filled(2048, 'a'));
    for (const std::uint8_t opcode : {0x2A, 0x2E}) {  // WRITE(10), WRITE AND VERIFY(10)
        Cdb two = write10(0, 2);
        two[0] = opcode;
        const TestCommand& less = rig.run(*nexus, two, filled(512, opcode));
        EXPECT_EQ(less.status, Status::good);
        EXPECT_EQ(less.residual_bytes, -512);
        EXPECT_EQ(medium->read(0, 1), filled(512, opcode));
        EXPECT_EQ(medium->read(1, 1), filled(512, 'a'));
        const TestCommand& none = rig.run(*nexus, two, {});
        EXPECT_EQ(none.status, Status::good);
        EXPECT_EQ(none.residual_bytes, -1024);
        Cdb one = write10(2, 1);
        one[0] = opcode;
        const TestCommand& more = rig.run(*nexus, one, filled(1024, opcode));
        EXPECT_EQ(more.status, Status::good);
        EXPECT_EQ(more.residual_bytes, 512);
        EXPECT_EQ(medium->read(2, 1), filled(512, opcode));
        EXPECT_EQ(medium->read(3, 1), filled(512, 'a'));
    }
}

TEST_F(DeviceServerTest, WriteOfATornBlockChangesNothing) {
    const TestCommand& write = rig.run(*nexus, write10(0, 2), filled(712, 'b'));
    expect_sense(write, 5, 0x0E03);
    EXPECT_EQ(write.residual_bytes, -312);
    EXPECT_EQ(medium->read(0, 2), filled(1024, 0));
    // That there is too little of it does not make a wrong range right.
    expect_sense(rig.run(*nexus, write10(2047, 2), filled(512, 'b')), 5, 0x2100);
    EXPECT_EQ(medium->read(2047, 1), filled(512, 0));
}

TEST_F(DeviceServerTest, CompareAndWriteAndWriteSameTakeExactlyTheirData) {
    expect_sense(rig.run(*nexus, compare_and_write(0, 2), filled(1024, 0)), 5, 0x0E03);
    expect_sense(rig.run(*nexus, compare_and_write(0, 1), filled(2048, 0)), 5, 0x2400);
    // 256 blocks do not fit into the CDB's byte; a host that tries must not take it for done.
    expect_sense(rig.run(*nexus, compare_and_write(0, 0), filled(1024, 0)), 5, 0x2400);
    EXPECT_EQ(rig.run(*nexus, compare_and_write(0, 0)).status, Status::good);
    const Cdb write_same{0x41, 0, 0, 0, 0, 0, 0, 0, 4, 0};
    expect_sense(rig.run(*nexus, write_same, filled(256, 'x')), 5, 0x0E03);
    expect_sense(rig.run(*nexus, write_same, filled(1024, 'x')), 5, 0x0E03);
    EXPECT_EQ(medium->read(0, 4), filled(2048, 0));
    EXPECT_EQ(rig.run(*nexus, write_same, filled(512, 'x')).status, Status::good);
}

TEST_F(DeviceServerTest, AReadOfAHostThatOnlySendsYieldsNothing) {
    const TestCommand& read = rig.run(*nexus, read10(0, 1), filled(512, 1));
    EXPECT_EQ(read.status, Status::good);
    EXPECT_TRUE(read.in.empty());
    EXPECT_EQ(read.residual_bytes, -512);
    EXPECT_EQ(medium->read(0, 1), filled(512, 0));
}

TEST_F(DeviceServerTest, AWriteOfAHostThatOnlyTakesIsRefused) {
    expect_sense(rig.run(*nexus, write10(0, 1), {}, 512), 5, 0x0E03);
}

// Known defect 5: no pair of LBA and count near 2^64 may reach the store (FakeMedium asserts).
TEST_F(DeviceServerTest, RangesNearTheEndOfTheNumbersAreRefused_defect5) {
    constexpr std::uint64_t top = ~std::uint64_t{0};
    for (const std::uint64_t lba : {top, top - 1, top - 255, top / 2, std::uint64_t{2048}})
        for (const std::uint32_t blocks : {1U, 2U, 256U, ~0U}) {
            Cdb read = write16(lba, blocks);
            read[0] = 0x88;
            expect_sense(rig.run(*nexus, read, {}, 512), 5, 0x2100);
            std::vector<std::uint8_t> list(24);
            list[1] = 22;
            list[3] = 16;
            store_be<std::uint64_t>(list.data() + 8, lba);
            store_be<std::uint32_t>(list.data() + 16, blocks);
            const Cdb unmap{0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0};
            const TestCommand& command = rig.run(*nexus, unmap, list);
            EXPECT_EQ(command.status, Status::check_condition);
            EXPECT_TRUE(command.additional() == 0x2100 || command.additional() == 0x2600);
        }
    EXPECT_EQ(medium->records().size(), 0U);
}

TEST_F(DeviceServerTest, ChecksComeInOneOrder) {
    TestNexus& fresh = rig.add_nexus(0, {unit}, true);
    const Cdb reserve{0x16, 0, 0, 0, 0, 0};
    ASSERT_EQ(rig.run(*nexus, reserve).status, Status::good);
    bool done = false;
    rig.on(0, [&] { unit->set_write_protected(true, [&](const Result<void>&) { done = true; }); });
    ASSERT_TRUE(rig.wait(0, [&] { return done; }));

    Cdb bad = write10(5000, 1);
    // Everything is wrong: LUN, opcode, reserved bit, ...
    expect_sense(rig.run(fresh, {0xFF, 0, 0, 0, 0, 0}, {}, 0, 9), 5, 0x2500);
    expect_sense(rig.run(fresh, {0xFF, 0, 0, 0, 0, 0}), 5, 0x2000);
    bad[1] = 0x04;
    expect_sense(rig.run(fresh, bad, filled(512, 1)), 5, 0x2400);
    bad[1] = 0;
    expect_sense(rig.run(fresh, bad, filled(512, 1)), 6, 0x2900);
    expect_sense(rig.run(fresh, bad, filled(512, 1)), 6, 0x2A01);
    expect_sense(rig.run(fresh, bad, filled(512, 1)), 7, 0x2700);
    done = false;
    rig.on(0, [&] { unit->set_write_protected(false, [&](const Result<void>&) { done = true; }); });
    ASSERT_TRUE(rig.wait(0, [&] { return done; }));
    expect_sense(rig.run(fresh, bad, filled(512, 1)), 6, 0x2A01);
    EXPECT_EQ(rig.run(fresh, bad, filled(512, 1)).status, Status::reservation_conflict);
    rig.run(*nexus, test_unit_ready);
    rig.run(*nexus, {0x17, 0, 0, 0, 0, 0});
    expect_sense(rig.run(fresh, bad, filled(512, 1)), 5, 0x2100);
}

TEST_F(DeviceServerTest, PowerOnIsReportedOncePerNexusAndUnit) {
    TestNexus& fresh = rig.add_nexus(0, {unit}, true);
    EXPECT_EQ(rig.run(fresh, {0x12, 0, 0, 0, 96, 0}, {}, 96).status, Status::good);
    EXPECT_EQ(rig.run(fresh, {0xA0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0}, {}, 64).status,
              Status::good);
    expect_sense(rig.run(fresh, test_unit_ready), 6, 0x2900);
    EXPECT_EQ(rig.run(fresh, test_unit_ready).status, Status::good);
}

TEST_F(DeviceServerTest, RequestSenseTakesTheUnitAttention) {
    TestNexus& fresh = rig.add_nexus(0, {unit}, true);
    const TestCommand& sense = rig.run(fresh, {0x03, 0, 0, 0, 252, 0}, {}, 252);
    ASSERT_EQ(sense.status, Status::good);
    ASSERT_GE(sense.in.size(), 18U);
    EXPECT_EQ(sense.in[2] & 15, 6);
    EXPECT_EQ(sense.in[12], 0x29);
    EXPECT_EQ(rig.run(fresh, test_unit_ready).status, Status::good);
}

TEST_F(DeviceServerTest, UnknownLunAnswersInquiryReportLunsAndRequestSense) {
    const TestCommand& inquiry = rig.run(*nexus, {0x12, 0, 0, 0, 96, 0}, {}, 96, 5);
    ASSERT_EQ(inquiry.status, Status::good);
    EXPECT_EQ(inquiry.in[0], 0x7F);
    const TestCommand& sense = rig.run(*nexus, {0x03, 0, 0, 0, 18, 0}, {}, 18, 5);
    ASSERT_EQ(sense.status, Status::good);
    EXPECT_EQ(sense.in[12], 0x25);
    expect_sense(rig.run(*nexus, test_unit_ready, {}, 0, 5), 5, 0x2500);
}

TEST_F(DeviceServerTest, NewLunMapIsReportedAndReportLunsClearsIt) {
    auto other = std::make_shared<FakeMedium>();
    LogicalUnit* second = rig.add_unit(other);
    rig.on(0, [&] {
        nexus->nexus->set_lun_map(*LunMap::make({{0, unit, false}, {1, second, true}}));
    });
    expect_sense(rig.run(*nexus, test_unit_ready), 6, 0x3F0E);
    const TestCommand& luns = rig.run(*nexus, {0xA0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0}, {}, 64);
    ASSERT_EQ(luns.in.size(), 24U);
    expect_sense(rig.run(*nexus, test_unit_ready, {}, 0, 1), 6, 0x2900);
    EXPECT_EQ(rig.run(*nexus, test_unit_ready, {}, 0, 1).status, Status::good);
    expect_sense(rig.run(*nexus, write10(0, 1), filled(512, 1), 0, 1), 7, 0x2700);
}

// Known defect 34: a logical unit can be removed while its sessions are idle.
TEST_F(DeviceServerTest, UnitIsRemovedWhileTheSessionIsIdle_defect34) {
    rig.on(0, [&] { nexus->nexus->set_lun_map(*LunMap::make({})); });
    bool removed = false;
    rig.on(0, [&] {
        rig.engine().remove_logical_unit(*unit, [&](const Result<void>&) { removed = true; });
    });
    EXPECT_TRUE(rig.wait(0, [&] { return removed; }));
    expect_sense(rig.run(*nexus, test_unit_ready), 5, 0x2500);
}

TEST_F(DeviceServerTest, SameSerialNumberIsRefused) {
    auto twin = std::make_shared<FakeMedium>();
    twin->identification = medium->identification;
    EXPECT_EQ(rig.add_unit(twin), nullptr);
}

// Known defect 13: designators of near-equal serial numbers differ.
TEST_F(DeviceServerTest, NearEqualSerialNumbersGetDifferentDesignators_defect13) {
    auto a = std::make_shared<FakeMedium>();
    auto b = std::make_shared<FakeMedium>();
    a->identification.serial = "serial-1";
    b->identification.serial = "serial_1";
    LogicalUnit* first = rig.add_unit(a);
    LogicalUnit* second = rig.add_unit(b);
    ASSERT_NE(first, nullptr);
    ASSERT_NE(second, nullptr);
    rig.on(0, [&] {
        EXPECT_NE(first->state()->identification.naa, second->state()->identification.naa);
        EXPECT_EQ(first->state()->identification.naa[0] >> 4, 6);
    });
}

TEST_F(DeviceServerTest, StoreErrorsBecomeSenseData) {
    medium->fail_next(StoreOpcode::read, StoreStatus::medium_error, 3);
    const TestCommand& read = rig.read(*nexus, 0, 8);
    expect_sense(read, 3, 0x1100);
    EXPECT_EQ(read.information(), 3U);
    medium->fail_next(StoreOpcode::write, StoreStatus::medium_error, 4);
    const TestCommand& write = rig.write(*nexus, 0, filled(4096, 1));
    expect_sense(write, 3, 0x0C00);
    EXPECT_EQ(write.information(), 4U);
    medium->fail_next(StoreOpcode::write, StoreStatus::no_space);
    expect_sense(rig.write(*nexus, 0, filled(512, 1)), 7, 0x2707);
    medium->fail_next(StoreOpcode::write, StoreStatus::write_protected);
    expect_sense(rig.write(*nexus, 0, filled(512, 1)), 7, 0x2700);
    medium->fail_next(StoreOpcode::read, StoreStatus::internal_error);
    expect_sense(rig.read(*nexus, 0, 1), 4, 0x4400);
}

TEST_F(DeviceServerTest, VanishedStoreIsNotReadyUntilARescanFindsIt) {
    medium->fail_next(StoreOpcode::read, StoreStatus::not_ready);
    expect_sense(rig.read(*nexus, 0, 1), 2, 0x3A00);
    rig.settle();
    expect_sense(rig.run(*nexus, test_unit_ready), 2, 0x3A00);
    bool done = false;
    rig.on(0, [&] { unit->rescan(std::nullopt, [&](const Result<void>&) { done = true; }); });
    ASSERT_TRUE(rig.wait(0, [&] { return done; }));
    EXPECT_EQ(rig.run(*nexus, test_unit_ready).status, Status::good);
}

TEST_F(DeviceServerTest, StoppedUnitIsNotReady) {
    EXPECT_EQ(rig.run(*nexus, {0x1B, 0, 0, 0, 0, 0}).status, Status::good);
    EXPECT_EQ(medium->count(StoreOpcode::flush), 1U);
    expect_sense(rig.read(*nexus, 0, 1), 2, 0x0402);
    expect_sense(rig.run(*nexus, test_unit_ready), 2, 0x0402);
    EXPECT_EQ(rig.run(*nexus, {0x1B, 0, 0, 0, 1, 0}).status, Status::good);
    EXPECT_EQ(rig.read(*nexus, 0, 1).status, Status::good);
}

TEST_F(DeviceServerTest, ResizeIsReportedAndTheEndIsTheEnd) {
    bool done = false;
    rig.on(0, [&] { unit->rescan(4096, [&](const Result<void>& r) { done = r.has_value(); }); });
    ASSERT_TRUE(rig.wait(0, [&] { return done; }));
    expect_sense(rig.run(*nexus, test_unit_ready), 6, 0x2A09);
    EXPECT_EQ(rig.read(*nexus, 4095, 1).status, Status::good);
    done = false;
    rig.on(0, [&] { unit->rescan(1024, [&](const Result<void>& r) { done = r.has_value(); }); });
    ASSERT_TRUE(rig.wait(0, [&] { return done; }));
    expect_sense(rig.run(*nexus, test_unit_ready), 6, 0x2A09);
    expect_sense(rig.read(*nexus, 1024, 1), 5, 0x2100);
}

TEST_F(DeviceServerTest, WriteAdmittedBeforeTheMediumShrankDoesNotReachBeyondItsEnd) {
    nexus->hold_data_out = true;
    TestCommand& write = rig.make(*nexus, write10(2000, 1), filled(512, 9));
    rig.start(write, *nexus);
    bool done = false;
    rig.on(0, [&] { unit->rescan(1024, [&](const Result<void>& r) { done = r.has_value(); }); });
    ASSERT_TRUE(rig.wait(0, [&] { return done; }));
    rig.on(0, [&] { nexus->deliver(); });
    expect_sense(write, 5, 0x2100);
}

TEST_F(DeviceServerTest, ReservationKeepsOthersOutUntilReleaseOrNexusLoss) {
    TestNexus& other = rig.add_nexus(0, {unit});
    const Cdb reserve{0x16, 0, 0, 0, 0, 0};
    const Cdb release{0x17, 0, 0, 0, 0, 0};
    EXPECT_EQ(rig.run(other, reserve).status, Status::good);
    EXPECT_EQ(rig.run(*nexus, reserve).status, Status::reservation_conflict);
    EXPECT_EQ(rig.read(*nexus, 0, 1).status, Status::reservation_conflict);
    EXPECT_EQ(rig.run(*nexus, {0x12, 0, 0, 0, 96, 0}, {}, 96).status, Status::good);
    EXPECT_EQ(rig.run(*nexus, release).status, Status::good);
    EXPECT_EQ(rig.read(*nexus, 0, 1).status, Status::reservation_conflict);
    rig.close(other);
    EXPECT_EQ(rig.read(*nexus, 0, 1).status, Status::good);
}

// --- The other medium commands ---

TEST_F(DeviceServerTest, VerifyReadsTheMediumOrComparesWithIt) {
    rig.write(*nexus, 4, filled(1024, 7));
    Cdb verify{0x2F, 0, 0, 0, 0, 4, 0, 0, 2, 0};
    EXPECT_EQ(rig.run(*nexus, verify).status, Status::good);
    verify[1] = 0x02;
    EXPECT_EQ(rig.run(*nexus, verify, filled(1024, 7)).status, Status::good);
    auto wrong = filled(1024, 7);
    wrong[700] = 8;
    const TestCommand& miscompare = rig.run(*nexus, verify, wrong);
    expect_sense(miscompare, 14, 0x1D00);
    EXPECT_EQ(miscompare.information(), 700U);
    verify[1] = 0x06;
    EXPECT_EQ(rig.run(*nexus, verify, filled(512, 7)).status, Status::good);
    expect_sense(rig.run(*nexus, verify, filled(512, 6)), 14, 0x1D00);
    verify[1] = 0x04;
    expect_sense(rig.run(*nexus, verify, filled(512, 6)), 5, 0x2400);
    verify[1] = 0;
    medium->fail_next(StoreOpcode::read, StoreStatus::medium_error, 5);
    expect_sense(rig.run(*nexus, verify), 3, 0x1100);
}

TEST_F(DeviceServerTest, WriteAndVerifyReadsBackWhatItWroteDurably) {
    Cdb cdb{0x2E, 0x02, 0, 0, 0, 9, 0, 0, 2, 0};
    EXPECT_EQ(rig.run(*nexus, cdb, filled(1024, 3)).status, Status::good);
    EXPECT_EQ(medium->read(9, 2), filled(1024, 3));
    const auto records = medium->records();
    ASSERT_EQ(records.size(), 2U);
    EXPECT_EQ(records[0].opcode, StoreOpcode::write);
    EXPECT_TRUE(records[0].fua);
    EXPECT_EQ(records[1].opcode, StoreOpcode::read);
}

TEST_F(DeviceServerTest, CompareAndWriteWritesOnlyIfEqual) {
    rig.write(*nexus, 3, filled(1024, 1));
    auto both = filled(1024, 1);
    both.resize(2048, 2);
    EXPECT_EQ(rig.run(*nexus, compare_and_write(3, 2), both).status, Status::good);
    EXPECT_EQ(medium->read(3, 2), filled(1024, 2));
    const TestCommand& again = rig.run(*nexus, compare_and_write(3, 2), both);
    expect_sense(again, 14, 0x1D00);
    EXPECT_EQ(again.information(), 0U);
    EXPECT_EQ(medium->read(3, 2), filled(1024, 2));
    EXPECT_EQ(rig.run(*nexus, compare_and_write(3, 0)).status, Status::good);
    EXPECT_EQ(rig.read(*nexus, 3, 2).status, Status::good);
}

TEST_F(DeviceServerTest, UnmapGivesUpEveryRangeOfTheList) {
    rig.write(*nexus, 0, filled(16 * 512, 5));
    std::vector<std::uint8_t> list(8 + 32);
    list[1] = 38;
    list[3] = 32;
    list[15] = 2;
    list[19] = 3;
    list[31] = 10;
    list[35] = 1;
    const Cdb unmap{0x42, 0, 0, 0, 0, 0, 0, 0, 40, 0};
    EXPECT_EQ(rig.run(*nexus, unmap, list).status, Status::good);
    for (std::uint64_t lba = 0; lba < 16; ++lba)
        EXPECT_EQ(medium->mapped(lba), !((lba >= 2 && lba < 5) || lba == 10)) << lba;
    EXPECT_EQ(medium->read(2, 3), filled(3 * 512, 0));
    list.resize(4);
    expect_sense(rig.run(*nexus, {0x42, 0, 0, 0, 0, 0, 0, 0, 4, 0}, list), 5, 0x1A00);
    EXPECT_EQ(rig.run(*nexus, {0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0}).status, Status::good);
}

TEST_F(DeviceServerTest, UnmapKeepsToTheGranularityOfTheStore) {
    auto coarse = std::make_shared<FakeMedium>();
    coarse->capabilities.unmap_granularity_blocks = 8;
    coarse->capabilities.unmap_alignment_blocks = 3;
    LogicalUnit* second = rig.add_unit(coarse);
    TestNexus& other = rig.add_nexus(0, {second});
    coarse->write(0, filled(64 * 512, 5));
    for (std::uint8_t lba = 0; lba < 24; ++lba)
        for (std::uint8_t blocks = 1; blocks < 24; ++blocks) {
            coarse->write(0, filled(64 * 512, 5));
            coarse->forget_records();
            std::vector<std::uint8_t> list(24);
            list[1] = 22;
            list[3] = 16;
            list[15] = lba;
            list[19] = blocks;
            ASSERT_EQ(rig.run(other, {0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0}, list).status,
                      Status::good);
            for (const auto& record : coarse->records()) {
                if (record.opcode != StoreOpcode::unmap)
                    continue;
                ASSERT_EQ(record.lba % 8, 3U) << +lba << ' ' << +blocks;
                ASSERT_EQ(record.blocks % 8, 0U) << +lba << ' ' << +blocks;
            }
            auto expected = filled(64 * 512, 5);
            std::fill_n(expected.begin() + lba * 512, blocks * 512, std::uint8_t{0});
            ASSERT_EQ(coarse->read(0, 64), expected) << +lba << ' ' << +blocks;
        }
}

TEST_F(DeviceServerTest, WriteSameRepeatsTheBlock) {
    Cdb cdb{0x41, 0, 0, 0, 0, 2, 0, 0, 5, 0};
    EXPECT_EQ(rig.run(*nexus, cdb, filled(512, 4)).status, Status::good);
    EXPECT_EQ(medium->read(2, 5), filled(5 * 512, 4));
    EXPECT_EQ(rig.run(*nexus, cdb, filled(512, 0)).status, Status::good);
    EXPECT_EQ(medium->count(StoreOpcode::write_zeroes), 1U);
    EXPECT_EQ(medium->read(2, 5), filled(5 * 512, 0));
    cdb[8] = 0;
    expect_sense(rig.run(*nexus, cdb, filled(512, 4)), 5, 0x2400);
}

// Known defect 9: NDOB has no data-out at all, whatever the other bits and lengths.
TEST_F(DeviceServerTest, WriteSameWithoutDataOutWritesZeros_defect9) {
    for (const bool native : {true, false}) {
        auto other_medium = std::make_shared<FakeMedium>();
        if (!native)
            other_medium->capabilities.write_zeroes = Support::emulate;
        TestNexus& other = rig.add_nexus(0, {rig.add_unit(other_medium)});
        for (unsigned flags = 0; flags < 256; ++flags) {
            Cdb cdb = write16(8, 4);
            cdb[0] = 0x93;
            cdb[1] = static_cast<std::uint8_t>(flags);
            other_medium->write(8, filled(4 * 512, 1));
            const TestCommand& command = rig.run(other, cdb);
            ASSERT_TRUE(command.answered);
            if (command.status == Status::good) {
                ASSERT_EQ(flags & 1, 1U);
                ASSERT_EQ(other_medium->read(8, 4), filled(4 * 512, 0));
            }
        }
    }
}

TEST_F(DeviceServerTest, GetLbaStatusReportsExtents) {
    rig.write(*nexus, 8, filled(4 * 512, 1));
    Cdb cdb(16);
    cdb[0] = 0x9E;
    cdb[1] = 0x12;
    cdb[13] = 8 + 16 * 3;
    const TestCommand& command = rig.run(*nexus, cdb, {}, 8 + 16 * 3);
    ASSERT_EQ(command.status, Status::good);
    ASSERT_EQ(command.in.size(), 8U + 48U);
    EXPECT_EQ(load_be<std::uint32_t>(command.in.data() + 16), 8U);
    EXPECT_EQ(command.in[20] & 15, 1);
    EXPECT_EQ(load_be<std::uint64_t>(command.in.data() + 24), 8U);
    EXPECT_EQ(load_be<std::uint32_t>(command.in.data() + 32), 4U);
    EXPECT_EQ(command.in[36] & 15, 0);
    EXPECT_EQ(load_be<std::uint32_t>(command.in.data() + 48), 2048U - 12);
}

// Known defect 16: FUA is taken in every cache mode, and is honoured in every one.
TEST_F(DeviceServerTest, ForceUnitAccessIsHonouredInEveryCacheMode_defect16) {
    for (const bool cache : {false, true})
        for (const Support support : {Support::native, Support::emulate})
            for (const bool fua : {false, true}) {
                auto one = std::make_shared<FakeMedium>();
                one->capabilities.volatile_cache = cache;
                one->capabilities.fua = support;
                TestNexus& other = rig.add_nexus(0, {rig.add_unit(one)});
                ASSERT_EQ(rig.run(other, write10(0, 1, fua), filled(512, 1)).status, Status::good);
                const auto records = one->records();
                ASSERT_FALSE(records.empty());
                EXPECT_EQ(records[0].fua, fua && support == Support::native);
                EXPECT_EQ(one->count(StoreOpcode::flush),
                          fua && support == Support::emulate ? 1U : 0U);
                EXPECT_EQ(rig.run(other, read10(0, 1, fua), {}, 512).status, Status::good);
            }
}

TEST_F(DeviceServerTest, LargeTransfersAreSplitAtTheLimitOfTheStore) {
    auto small = std::make_shared<FakeMedium>();
    small->capabilities.maximum_io_bytes = 4096;
    TestNexus& other = rig.add_nexus(0, {rig.add_unit(small)});
    std::vector<std::uint8_t> data(20 * 512);
    std::iota(data.begin(), data.end(), std::uint8_t{1});
    ASSERT_EQ(rig.write(other, 1, data).status, Status::good);
    EXPECT_EQ(small->count(StoreOpcode::write), 3U);
    EXPECT_EQ(rig.read(other, 1, 20).in, data);
    EXPECT_EQ(small->count(StoreOpcode::read), 3U);
}

TEST_F(DeviceServerTest, BorrowedMemoryIsUsedUnlessItMustStayStable) {
    auto lender = std::make_shared<FakeMedium>();
    lender->capabilities.borrows = true;
    TestNexus& other = rig.add_nexus(0, {rig.add_unit(lender)});
    lender->write(0, filled(1024, 6));
    EXPECT_EQ(rig.read(other, 0, 2).in, filled(1024, 6));
    TestCommand& stable = rig.make(other, read10(0, 2), {}, 1024);
    stable.stable_data_in = true;
    rig.start(stable, other);
    EXPECT_EQ(stable.in, filled(1024, 6));
}

TEST_F(DeviceServerTest, AcaAttributeIsRefused) {
    TestCommand& command = rig.make(*nexus, test_unit_ready);
    command.attribute = scsi::TaskAttribute::aca;
    rig.start(command, *nexus);
    expect_sense(command, 5, 0x4900);
}

TEST_F(DeviceServerTest, ModeSelectIsReportedToTheOthers) {
    TestNexus& other = rig.add_nexus(0, {unit});
    // D_SENSE of the control page, with the other fields as MODE SENSE reports them.
    const TestCommand& sense = rig.run(*nexus, {0x1A, 0x08, 0x0A, 0, 64, 0}, {}, 64);
    ASSERT_EQ(sense.status, Status::good);
    auto list = sense.in;
    list[0] = list[2] = 0;
    list[4] &= 0x3F;
    list[4 + 2] |= 0x04;
    const Cdb select{0x15, 0x10, 0, 0, static_cast<std::uint8_t>(list.size()), 0};
    ASSERT_EQ(rig.run(*nexus, select, list).status, Status::good);
    const TestCommand& attention = rig.run(other, test_unit_ready);
    EXPECT_EQ(attention.sense_storage.at(0), 0x72);
    EXPECT_EQ(attention.sense_storage.at(2), 0x2A);
    EXPECT_EQ(attention.sense_storage.at(3), 0x01);
    EXPECT_EQ(rig.run(*nexus, test_unit_ready).status, Status::good);
}

TEST_F(DeviceServerTest, OverlappedTagsAbortBoth) {
    medium->hold(StoreOpcode::read);
    TestCommand& first = rig.make(*nexus, read10(0, 1), {}, 512);
    rig.start(first, *nexus);
    TestCommand& second = rig.make(*nexus, read10(0, 1), {}, 512);
    second.tag = first.tag;
    rig.start(second, *nexus);
    expect_sense(second, 11, 0x4E00);
    medium->release();
    EXPECT_TRUE(rig.wait(0, [&] { return first.discarded; }));
}

// What a callback has caught may be bound to its shard, as a control connection is; another shard
// that lets go of the request last must not end it.
TEST(Statistics, EndWhatTheirCallbackCaughtOnTheShardThatAsked) {
    struct Witness {
        explicit Witness(std::atomic<int>& count) : elsewhere(count) {}
        Witness(const Witness&) = delete;
        Witness& operator=(const Witness&) = delete;
        ~Witness() {
            if (reactor::Shard::current() == nullptr || reactor::Shard::current()->index() != 0)
                ++elsewhere;
        }
        std::atomic<int>& elsewhere;
    };
    std::atomic<int> elsewhere{0};
    {
        EngineRig rig(3);
        LogicalUnit* const unit = rig.add_unit(std::make_shared<FakeMedium>());
        for (int i = 0; i < 3000; ++i)
            rig.on(0, [&] {
                unit->statistics(
                    [witness = std::make_unique<Witness>(elsewhere)](LogicalUnitStatistics) {});
            });
        rig.settle();
    }
    EXPECT_EQ(elsewhere, 0);
}

TEST_F(DeviceServerTest, StatisticsCountCommandsBytesAndErrors) {
    rig.write(*nexus, 0, filled(1024, 1));
    rig.read(*nexus, 0, 1);
    rig.read(*nexus, 5000, 1);
    std::optional<LogicalUnitStatistics> found;
    rig.on(0, [&] { unit->statistics([&](LogicalUnitStatistics s) { found = std::move(s); }); });
    ASSERT_TRUE(rig.wait(0, [&] { return found.has_value(); }));
    EXPECT_EQ(found->write_bytes, 1024U);
    EXPECT_EQ(found->read_commands, 1U);
    for (const CommandCount& count : found->commands)
        if (count.name == "READ(10)") {
            EXPECT_EQ(count.commands, 2U);
            EXPECT_EQ(count.errors, 1U);
        }
}

}  // namespace
}  // namespace olio::target
