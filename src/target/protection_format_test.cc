// FORMAT UNIT on units that can have protection information: it chooses the type, clears the tuples
// and tells the others; and what it leaves when it fails.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "target/engine_testing.h"
#include "target/logical_unit.h"

namespace olio::target {
namespace {

using namespace testing;
using scsi::Status;
using Data = std::vector<std::uint8_t>;

constexpr unsigned capacity_has_changed = 0x2A09;
const Data capacity{0x9E, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0};

// FMTPINFO and PROTECTION FIELD USAGE of each type.
struct FormatCommand {
    Data cdb;
    Data list;
};
FormatCommand format_to(std::uint8_t type, bool immediate = false) {
    static constexpr std::array<std::uint8_t, 4> format_protection{0, 2, 3, 3};
    const auto byte_1 = static_cast<std::uint8_t>(format_protection[type] << 6 | 0x18);
    return {{0x04, byte_1, 0, 0, 0, 0},
            {std::uint8_t{type == 3}, static_cast<std::uint8_t>(immediate ? 0x02 : 0x00), 0, 0}};
}

class ProtectionFormatTest : public ::testing::TestWithParam<unsigned> {
  protected:
    ProtectionFormatTest() : rig(GetParam()) {}
    void make(std::uint8_t type) {
        medium = make_protected_medium(blocks);
        LogicalUnitOptions options;
        options.name = "protected";
        options.protection_type = type;
        unit = rig.add_unit(make_fake_store(medium), options);
        ASSERT_NE(unit, nullptr);
        nexus = &rig.add_nexus(0, {unit});
        other = &rig.add_nexus(GetParam() - 1, {unit});
        for (TestNexus* each : {nexus, other})
            rig.run(*each, {3, 0, 0, 0, 18, 0}, {}, 18);
    }
    const TestCommand& format(std::uint8_t type) {
        const auto [cdb, list] = format_to(type);
        return rig.run(*nexus, cdb, list);
    }
    std::uint8_t reported_type() {
        const TestCommand& answer = rig.run(*nexus, capacity, {}, 32);
        EXPECT_EQ(answer.status, Status::good);
        if (answer.in.size() < 32)
            return 0xFF;
        return (answer.in[12] & 1) == 0 ? std::uint8_t{0}
                                        : static_cast<std::uint8_t>((answer.in[12] >> 1) + 1);
    }
    bool tuples_are_ones() {
        const Data all = medium->tuples->read(0, blocks);
        return std::ranges::all_of(all, [](std::uint8_t byte) { return byte == 0xFF; });
    }

    static constexpr std::uint64_t blocks = 2048;
    EngineRig rig;
    std::shared_ptr<FakeMedium> medium;
    LogicalUnit* unit = nullptr;
    TestNexus* nexus = nullptr;
    TestNexus* other = nullptr;
};

INSTANTIATE_TEST_SUITE_P(Shards, ProtectionFormatTest, ::testing::Values(1U, 2U));

TEST_P(ProtectionFormatTest, ChoosesTheTypeClearsTheTuplesAndTellsTheOthers) {
    for (std::uint8_t from = 0; from < 4; ++from)
        for (std::uint8_t to = 0; to < 4; ++to) {
            make(from);
            ASSERT_EQ(reported_type(), from);
            ASSERT_EQ(rig.write(*nexus, 5, Data(512, 0x5A)).status, Status::good);
            ASSERT_EQ(format(to).status, Status::good);
            EXPECT_EQ(reported_type(), to);
            EXPECT_TRUE(tuples_are_ones());
            EXPECT_EQ(rig.run(*nexus, test_unit_ready).status, Status::good);
            const TestCommand& told = rig.run(*other, test_unit_ready);
            EXPECT_EQ(told.additional(), from == to ? 0U : capacity_has_changed);
            EXPECT_EQ(rig.read(*other, 0, 64).in, Data(std::size_t{64} * 512, 0));
            EXPECT_EQ(rig.run(*nexus, {0x12, 0, 0, 0, 36, 0}, {}, 36).in[5] & 1, 1) << "PROTECT";
            EXPECT_EQ(rig.run(*nexus, {0x12, 1, 0x86, 0, 64, 0}, {}, 64).in[4] & 0x38, 0x38)
                << "SPT";
            // And it works as that type does.
            ASSERT_EQ(rig.write(*nexus, 9, Data(512, 0)).status, Status::good);
            const scsi::ProtectionTuple tuple = scsi::load_tuple(medium->tuples->read(9, 1).data());
            EXPECT_EQ(tuple.reference, to == 1 ? 9U : 0xFFFFFFFFU);
            EXPECT_EQ(tuple.application, to == 0 ? 0xFFFF : 0);
        }
}

TEST_P(ProtectionFormatTest, WithoutFmtpinfoLeavesNone) {
    make(1);
    ASSERT_EQ(rig.run(*nexus, {0x04, 0, 0, 0, 0, 0}).status, Status::good);
    EXPECT_EQ(reported_type(), 0);
    EXPECT_EQ(rig.run(*nexus, {0x28, 0x20, 0, 0, 0, 0, 0, 0, 1, 0}, {}, 520).additional(), 0x2400U)
        << "RDPROTECT";
}

TEST_P(ProtectionFormatTest, LeavesTheTypeOfBeforeWhenItFails) {
    make(1);
    ASSERT_EQ(rig.write(*nexus, 5, Data(512, 0x5A)).status, Status::good);
    medium->clearing_fails = true;
    EXPECT_EQ(format(2).additional(), 0x3101U);
    EXPECT_EQ(unit->state()->protection.type, 1);
    EXPECT_EQ(rig.read(*other, 0, 1).additional(), 0x3100U) << "MEDIUM FORMAT CORRUPTED";
    medium->clearing_fails = false;
    medium->fail_next(StoreOpcode::write_zeroes, StoreStatus::medium_error, 0);
    EXPECT_EQ(format(2).additional(), 0x3101U);
    EXPECT_EQ(unit->state()->protection.type, 1);
    EXPECT_TRUE(tuples_are_ones()) << "no block has the tuple of what it held before";
    ASSERT_EQ(format(2).status, Status::good);
    EXPECT_EQ(reported_type(), 2);
    EXPECT_EQ(rig.run(*other, test_unit_ready).additional(), capacity_has_changed);
    EXPECT_EQ(rig.read(*other, 0, 16).status, Status::good);
}

TEST_P(ProtectionFormatTest, WaitsForACommandThatCarriesTuples) {
    make(1);
    ASSERT_EQ(rig.write(*other, 0, Data(std::size_t{4} * 512, 0x5A)).status, Status::good);
    medium->tuples->hold(StoreOpcode::read);
    TestCommand& read = rig.make(*other, {0x28, 0x20, 0, 0, 0, 0, 0, 0, 4, 0}, {}, 4 * 520);
    rig.start(read, *other);
    ASSERT_TRUE(rig.wait(other->shard, [&] { return medium->tuples->held() == 1; }));
    const auto [cdb, list] = format_to(3, true);
    ASSERT_EQ(rig.run(*nexus, cdb, list).status, Status::good);
    rig.settle();
    EXPECT_EQ(unit->state()->protection.type, 1) << "it is still read as it was";
    EXPECT_FALSE(tuples_are_ones());
    medium->tuples->release();
    ASSERT_TRUE(rig.wait(other->shard, [&] { return read.ended(); }));
    ASSERT_EQ(read.status, Status::good);
    EXPECT_EQ(scsi::load_tuple(read.in.data() + 512).reference, 0U);
    ASSERT_TRUE(rig.wait(0, [&] { return unit->state()->protection.type == 3; }));
    EXPECT_TRUE(tuples_are_ones());
}

TEST_P(ProtectionFormatTest, OfAUnitThatCanHaveNoneRefusesFmtpinfo) {
    medium = std::make_shared<FakeMedium>();
    unit = rig.add_unit(medium);
    nexus = &rig.add_nexus(0, {unit});
    EXPECT_EQ(format(1).additional(), 0x2400U);
    EXPECT_EQ(format(0).status, Status::good);
}

}  // namespace
}  // namespace olio::target
