// WRITE SCATTERED against a model, fully provisioned units, and what thin ones tell of their space.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "target/engine_testing.h"

namespace olio::target {
namespace {

using namespace testing;
using scsi::Status;
using Cdb = std::vector<std::uint8_t>;
using Data = std::vector<std::uint8_t>;

Data filled(std::size_t bytes, std::uint8_t with) {
    return Data(bytes, with);
}

class ThinTest : public ::testing::Test {
  protected:
    void SetUp() override {
        medium->capabilities.reports_space = true;
        medium->set_space(StoreSpace{.used_bytes = 0, .available_bytes = 64 << 20, .shared = true});
        unit = rig.add_unit(medium);
        ASSERT_NE(unit, nullptr);
        nexus = &rig.add_nexus(0, {unit});
        other = &rig.add_nexus(1, {unit});
    }
    static void expect_sense(const TestCommand& command, std::uint8_t key, unsigned additional) {
        EXPECT_EQ(command.status, Status::check_condition);
        EXPECT_EQ(command.key(), key);
        EXPECT_EQ(command.additional(), additional) << std::hex << command.additional();
    }

    EngineRig rig{2};
    std::shared_ptr<FakeMedium> medium = std::make_shared<FakeMedium>(8192);
    LogicalUnit* unit = nullptr;
    TestNexus* nexus = nullptr;
    TestNexus* other = nullptr;
    std::mt19937 random{7};
};

Cdb scattered_cdb(std::uint16_t ranges, std::uint32_t blocks, std::uint8_t flags = 0) {
    Cdb cdb(16);
    cdb[0] = 0x9F;
    cdb[1] = 0x12;
    cdb[2] = flags;
    cdb[5] = 1;
    store_be<std::uint16_t>(cdb.data() + 8, ranges);
    store_be<std::uint32_t>(cdb.data() + 10, blocks);
    return cdb;
}

TEST_F(ThinTest, ScatteredWritesGoWhereTheirDescriptorsSay) {
    Data model(8192 * 512);
    for (unsigned round = 0; round < 30; ++round) {
        const auto ranges = static_cast<std::uint16_t>(1 + random() % 15);
        Data data(512);
        std::uint32_t total = 0;
        for (unsigned i = 0; i < ranges; ++i) {
            // Apart from each other: in which order they are written is not said.
            const std::uint64_t lba = i * 64 + random() % 32;
            const auto blocks = static_cast<std::uint32_t>(random() % 8);
            store_be<std::uint64_t>(data.data() + 32 + i * 32, lba);
            store_be<std::uint32_t>(data.data() + 40 + i * 32, blocks);
            for (std::uint32_t b = 0; b < blocks * 512; ++b) {
                const auto byte = static_cast<std::uint8_t>(random());
                data.push_back(byte);
                model[lba * 512 + b] = byte;
            }
            total += blocks;
        }
        ASSERT_EQ(rig.run(*nexus, scattered_cdb(ranges, total), data).status, Status::good);
        ASSERT_EQ(medium->read(0, 8192), model);
    }
}

TEST_F(ThinTest, ScatteredWriteWithAnErrorWritesNothing) {
    Data data = filled(512 * 3, 9);
    std::fill_n(data.begin(), 512, std::uint8_t{0});
    store_be<std::uint64_t>(data.data() + 32, 5);
    store_be<std::uint32_t>(data.data() + 40, 1);
    store_be<std::uint64_t>(data.data() + 64, 8192);
    store_be<std::uint32_t>(data.data() + 72, 1);
    expect_sense(rig.run(*nexus, scattered_cdb(2, 2), data), 5, 0x2100);
    store_be<std::uint64_t>(data.data() + 64, 7);
    store_be<std::uint32_t>(data.data() + 72, 2);
    expect_sense(rig.run(*nexus, scattered_cdb(2, 2), data), 5, 0x2600);
    expect_sense(rig.run(*nexus, scattered_cdb(2, 3), data), 5, 0x0E03);
    EXPECT_EQ(medium->count(StoreOpcode::write), 0U);
    EXPECT_EQ(rig.run(*nexus, scattered_cdb(0, 0)).status, Status::good);
}

TEST_F(ThinTest, FullyProvisionedUnitHasNothingToGiveUp) {
    auto thick = std::make_shared<FakeMedium>();
    LogicalUnitOptions options;
    options.name = "full";
    options.thin = false;
    LogicalUnit* const full = rig.add_unit(make_fake_store(thick), options);
    ASSERT_NE(full, nullptr);
    TestNexus& host = rig.add_nexus(0, {full});
    const Cdb unmap{0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0};
    expect_sense(rig.run(host, unmap, filled(24, 0)), 5, 0x2000);
    Cdb same(16);
    same[0] = 0x93;
    same[1] = 0x08;
    same[13] = 1;
    expect_sense(rig.run(host, same, filled(512, 0)), 5, 0x2400);
    same[1] = 0;
    EXPECT_EQ(rig.run(host, same, filled(512, 0)).status, Status::good);
    const TestCommand& page = rig.run(host, {0x12, 1, 0xB2, 0, 64, 0}, {}, 64);
    EXPECT_EQ(page.in[4], 0);  // no thresholds
    EXPECT_EQ(page.in[5], 0);
    EXPECT_EQ(page.in[6], 0);
    Cdb capacity(16);
    capacity[0] = 0x9E;
    capacity[1] = 0x10;
    capacity[13] = 32;
    EXPECT_EQ(rig.run(host, capacity, {}, 32).in[14] & 0xC0, 0);  // LBPME, LBPRZ
    Cdb status = capacity;
    status[1] = 0x12;
    const Data in = rig.run(host, status, {}, 32).in;
    ASSERT_EQ(in.size(), 24U);
    EXPECT_EQ(load_be<std::uint32_t>(in.data() + 16), 2048U);
    EXPECT_EQ(in[20], 0);  // mapped
}

TEST_F(ThinTest, OutOfSpaceIsDataProtect) {
    medium->fail_next(StoreOpcode::write, StoreStatus::no_space);
    expect_sense(rig.write(*nexus, 0, filled(512, 1)), 7, 0x2707);
    EXPECT_EQ(rig.write(*nexus, 0, filled(512, 1)).status, Status::good);
}

// MODE SELECT(10) of the page 1Ch-02h: the thresholds of what is available and of what is used.
Data threshold_list(bool available, std::uint32_t available_sets, bool used,
                    std::uint32_t used_sets) {
    Data list(8 + 32);
    list[8] = 0x5C;
    list[9] = 0x02;
    list[11] = 28;
    list[24] = available ? 0x80 : 0;
    list[25] = 0x01;
    store_be<std::uint32_t>(list.data() + 28, available_sets);
    list[32] = static_cast<std::uint8_t>((used ? 0x80 : 0) | 0x01);
    list[33] = 0x02;
    store_be<std::uint32_t>(list.data() + 36, used_sets);
    return list;
}

TEST_F(ThinTest, ThresholdIsReportedToEveryNexusOnce) {
    const Cdb select{0x55, 0x10, 0, 0, 0, 0, 0, 0, 40, 0};
    EXPECT_EQ(rig.run(*nexus, {0x12, 1, 0xB2, 0, 64, 0}, {}, 64).in[4], 11);
    ASSERT_EQ(rig.run(*nexus, select, threshold_list(true, 8, false, 0)).status, Status::good);
    expect_sense(rig.run(*other, test_unit_ready), 6, 0x2A01);
    rig.settle();
    EXPECT_EQ(rig.run(*nexus, test_unit_ready).status, Status::good);
    medium->set_space(
        StoreSpace{.used_bytes = 58 << 20, .available_bytes = 6 << 20, .shared = true});
    for (TestNexus* host : {nexus, other}) {
        ASSERT_TRUE(
            rig.wait(host->shard, [&] { return unit->state()->provisioning.available_reached; }));
        expect_sense(rig.run(*host, test_unit_ready), 6, 0x3807);
        EXPECT_EQ(rig.run(*host, test_unit_ready).status, Status::good);
    }
    // Once more only when there has been room meanwhile.
    rig.settle();
    EXPECT_EQ(rig.run(*nexus, test_unit_ready).status, Status::good);
    ASSERT_EQ(rig.run(*nexus, select, threshold_list(false, 0, true, 3)).status, Status::good);
    expect_sense(rig.run(*other, test_unit_ready), 6, 0x2A01);
    ASSERT_TRUE(rig.wait(other->shard, [&] { return unit->state()->provisioning.used_reached; }));
    expect_sense(rig.run(*other, test_unit_ready), 6, 0x3807);
}

TEST_F(ThinTest, ModePageIsThereOnlyWhereSpaceIsKnown) {
    const Cdb sense{0x5A, 0x08, 0x1C, 0x02, 0, 0, 0, 0, 64, 0};
    const Data in = rig.run(*nexus, sense, {}, 64).in;
    ASSERT_EQ(in.size(), 40U);
    EXPECT_EQ(in[8] & 0x7F, 0x5C);
    EXPECT_EQ(in[9], 0x02);
    EXPECT_EQ(in[25], 0x01);
    EXPECT_EQ(in[33], 0x02);
    auto plain = std::make_shared<FakeMedium>();
    TestNexus& host = rig.add_nexus(0, {rig.add_unit(plain)});
    expect_sense(rig.run(host, sense, {}, 64), 5, 0x2400);
    EXPECT_EQ(rig.run(host, {0x12, 1, 0xB2, 0, 64, 0}, {}, 64).in[4], 0);
}

// Of each resource: the count in threshold sets of 1 MiB, and the scope.
TEST_F(ThinTest, LogPageTellsWhatTheStoreSaysNow) {
    const Cdb sense{0x4D, 0, 0x4C, 0, 0, 0, 0, 0, 64, 0};
    EXPECT_EQ(rig.run(*nexus, sense, {}, 64).in,
              (Data{0x0C, 0, 0, 24, 0, 1, 3, 8, 0, 0, 0, 64, 2, 0, 0, 0,  //
                    0,    2, 3, 8,  0, 0, 0, 0, 1, 0, 0, 0}));
    medium->set_space(StoreSpace{.used_bytes = 3 << 20, .available_bytes = 5 << 20});
    EXPECT_EQ(rig.run(*other, sense, {}, 64).in,
              (Data{0x0C, 0, 0, 24, 0, 1, 3, 8, 0, 0, 0, 5, 1, 0, 0, 0,  //
                    0,    2, 3, 8,  0, 0, 0, 3, 1, 0, 0, 0}));
    medium->set_space(std::nullopt);
    EXPECT_EQ(rig.run(*other, sense, {}, 64).in, (Data{0x0C, 0, 0, 0}));
}

TEST_F(ThinTest, UnitIsRemovedWhileItsSpaceIsWatched) {
    const Cdb select{0x55, 0x10, 0, 0, 0, 0, 0, 0, 40, 0};
    ASSERT_EQ(rig.run(*nexus, select, threshold_list(true, 8, false, 0)).status, Status::good);
    for (TestNexus* host : {nexus, other})
        rig.on(host->shard, [&] { host->nexus->set_lun_map(*LunMap::make({})); });
    bool removed = false;
    rig.on(0, [&] {
        rig.engine().remove_logical_unit(*unit, [&](const Result<void>&) { removed = true; });
    });
    EXPECT_TRUE(rig.wait(0, [&] { return removed; }));
}

}  // namespace
}  // namespace olio::target
