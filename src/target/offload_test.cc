// ORWRITE, WRITE ATOMIC, streams, anchored blocks and GET LBA STATUS against a model of the medium.
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

Cdb cdb16(std::uint8_t opcode, std::uint64_t lba, std::uint32_t blocks, std::uint8_t flags = 0) {
    Cdb cdb(16);
    cdb[0] = opcode;
    cdb[1] = flags;
    store_be<std::uint64_t>(cdb.data() + 2, lba);
    store_be<std::uint32_t>(cdb.data() + 10, blocks);
    return cdb;
}

Cdb cdb32(std::uint16_t action, std::uint64_t lba, std::uint32_t blocks, std::uint8_t flags = 0) {
    Cdb cdb(32);
    cdb[0] = 0x7F;
    cdb[7] = 0x18;
    store_be<std::uint16_t>(cdb.data() + 8, action);
    cdb[10] = flags;
    store_be<std::uint64_t>(cdb.data() + 12, lba);
    store_be<std::uint32_t>(cdb.data() + 28, blocks);
    return cdb;
}

class OffloadTest : public ::testing::Test {
  protected:
    void SetUp() override {
        medium->capabilities.anchor = Support::native;
        medium->capabilities.maximum_atomic_bytes = 64 << 10;
        unit = rig.add_unit(medium);
        ASSERT_NE(unit, nullptr);
        nexus = &rig.add_nexus(0, {unit});
    }
    static void expect_sense(const TestCommand& command, std::uint8_t key, unsigned additional) {
        EXPECT_EQ(command.status, Status::check_condition);
        EXPECT_EQ(command.key(), key);
        EXPECT_EQ(command.additional(), additional) << std::hex << command.additional();
    }
    Data random_blocks(std::size_t blocks) {
        Data data(blocks * 512);
        std::ranges::generate(data, [this] { return static_cast<std::uint8_t>(random()); });
        return data;
    }

    EngineRig rig{2};
    std::shared_ptr<FakeMedium> medium = std::make_shared<FakeMedium>();
    LogicalUnit* unit = nullptr;
    TestNexus* nexus = nullptr;
    std::mt19937 random{3};
};

TEST_F(OffloadTest, OrWriteLeavesTheUnionOfBoth) {
    for (unsigned round = 0; round < 20; ++round) {
        const std::uint64_t lba = random() % 64;
        const std::uint32_t blocks = 1 + random() % 16;
        const Data before = random_blocks(blocks);
        const Data sent = random_blocks(blocks);
        medium->write(lba, before);
        ASSERT_EQ(rig.run(*nexus, cdb16(0x8B, lba, blocks), sent).status, Status::good);
        Data model(before.size());
        std::ranges::transform(before, sent, model.begin(), std::bit_or<std::uint8_t>());
        ASSERT_EQ(medium->read(lba, blocks), model);
    }
    EXPECT_EQ(rig.run(*nexus, cdb16(0x8B, 0, 0)).status, Status::good);
    expect_sense(rig.run(*nexus, cdb16(0x8B, 2047, 2), filled(1024, 1)), 5, 0x2100);
    expect_sense(rig.run(*nexus, cdb16(0x8B, 0, 2), filled(512, 1)), 5, 0x0E03);
}

Cdb orwrite32(std::uint64_t lba, std::uint32_t blocks, std::uint32_t expected, bool change = false,
              std::uint32_t next = 0, std::uint8_t policy = 0) {
    Cdb cdb = cdb32(0x0E, lba, blocks);
    cdb[2] = change ? 1 : 0;
    cdb[3] = policy;
    store_be(cdb.data() + 20, expected);
    store_be(cdb.data() + 24, next);
    return cdb;
}

// SBC-4 4.27: with a change of the generation, bits are cleared.
TEST_F(OffloadTest, OrWrite32SetsClearsAndChangesTheGeneration) {
    const Data before = random_blocks(8);
    const Data sent = random_blocks(8);
    Data both(before.size());
    medium->write(10, before);
    ASSERT_EQ(rig.run(*nexus, orwrite32(10, 8, 0), sent).status, Status::good);
    std::ranges::transform(before, sent, both.begin(), std::bit_or());
    EXPECT_EQ(medium->read(10, 8), both);
    // Policy 5: what expects another generation is discarded.
    const Data mask = random_blocks(8);
    ASSERT_EQ(rig.run(*nexus, orwrite32(10, 8, 0, true, 42, 5), mask).status, Status::good);
    std::ranges::transform(both, mask, both.begin(), std::bit_and());
    EXPECT_EQ(medium->read(10, 8), both);
    const std::size_t writes = medium->count(StoreOpcode::write);
    EXPECT_EQ(rig.run(*nexus, cdb16(0x8B, 10, 8), sent).status, Status::good);
    EXPECT_EQ(rig.run(*nexus, orwrite32(10, 8, 7), sent).status, Status::good);
    EXPECT_EQ(medium->count(StoreOpcode::write), writes);
    EXPECT_EQ(medium->read(10, 8), both);
    ASSERT_EQ(rig.run(*nexus, orwrite32(10, 8, 42), sent).status, Status::good);
    std::ranges::transform(both, sent, both.begin(), std::bit_or());
    EXPECT_EQ(medium->read(10, 8), both);
    // A change that expects another one; then one without blocks, to policy 7.
    expect_sense(rig.run(*nexus, orwrite32(10, 8, 0, true, 43), mask), 5, 0x2C0C);
    EXPECT_EQ(medium->read(10, 8), both);
    EXPECT_EQ(rig.run(*nexus, orwrite32(0, 0, 42, true, 43, 7)).status, Status::good);
    expect_sense(rig.run(*nexus, orwrite32(10, 8, 42), sent), 5, 0x2C0C);
    expect_sense(rig.run(*nexus, cdb16(0x8B, 10, 8), sent), 5, 0x2C0C);
    expect_sense(rig.run(*nexus, cdb16(0x8B, 10, 0)), 5, 0x2C0C);
    EXPECT_EQ(medium->read(10, 8), both);
    // A logical unit reset leaves the generation.
    rig.manage(*nexus, TaskManagementFunction::logical_unit_reset);
    rig.run(*nexus, test_unit_ready);
    EXPECT_EQ(rig.run(*nexus, orwrite32(10, 8, 43), sent).status, Status::good);
    expect_sense(rig.run(*nexus, orwrite32(10, 8, 43, true, 0, 1), mask), 5, 0x2400);
    Cdb reserved = orwrite32(10, 8, 43);
    reserved[2] = 3;
    expect_sense(rig.run(*nexus, reserved, sent), 5, 0x2400);
}

TEST_F(OffloadTest, OfTwoChangesOfAGenerationOneIsRefused) {
    TestNexus& other = rig.add_nexus(1, {unit});
    medium->write(0, filled(512 * 16, 0xFF));
    medium->hold(StoreOpcode::write);
    TestCommand& first = rig.make(*nexus, orwrite32(0, 8, 0, true, 1), filled(512 * 8, 0x0F));
    rig.start(first, *nexus);
    ASSERT_TRUE(rig.wait(0, [&] { return medium->held() == 1; }));
    // Of other blocks, and a set operation that expects a generation that never was.
    TestCommand& second = rig.make(other, orwrite32(8, 8, 0, true, 2), filled(512 * 8, 0x0F));
    TestCommand& set = rig.make(other, orwrite32(8, 8, 3), filled(512 * 8, 0));
    rig.start(second, other);
    rig.start(set, other);
    rig.settle();
    EXPECT_FALSE(second.ended() || set.ended());
    medium->release();
    ASSERT_TRUE(rig.wait(1, [&] { return second.ended() && set.ended(); }));
    ASSERT_TRUE(rig.wait(0, [&] { return first.ended(); }));
    EXPECT_EQ(first.status, Status::good);
    expect_sense(second, 5, 0x2C0C);
    expect_sense(set, 5, 0x2C0C);
    EXPECT_EQ(medium->read(0, 8), filled(512 * 8, 0x0F));
    EXPECT_EQ(medium->read(8, 8), filled(512 * 8, 0xFF));
}

TEST_F(OffloadTest, OrWriteOfManyAtOnceLosesNoBit) {
    TestNexus& other = rig.add_nexus(1, {unit});
    medium->complete_later(true);
    std::vector<std::pair<TestCommand*, TestNexus*>> commands;
    for (unsigned bit = 0; bit < 8; ++bit) {
        TestNexus& from = bit % 2 == 0 ? *nexus : other;
        TestCommand& one =
            rig.make(from, cdb16(0x8B, 5, 2), filled(1024, static_cast<std::uint8_t>(1U << bit)));
        rig.start(one, from);
        commands.emplace_back(&one, &from);
    }
    for (const auto& [command, from] : commands)
        ASSERT_TRUE(rig.wait(from->shard, [&] { return command->ended(); }));
    EXPECT_EQ(medium->read(5, 2), filled(1024, 0xFF));
}

TEST_F(OffloadTest, OrWriteHonoursForceUnitAccess) {
    auto cached = std::make_shared<FakeMedium>();
    cached->capabilities.volatile_cache = true;
    TestNexus& host = rig.add_nexus(0, {rig.add_unit(cached)});
    ASSERT_EQ(rig.run(host, cdb16(0x8B, 0, 1, 0x08), filled(512, 1)).status, Status::good);
    const auto records = cached->records();
    EXPECT_TRUE(std::ranges::any_of(records, [](const FakeMedium::Record& record) {
        return record.opcode == StoreOpcode::write && record.fua;
    }));
}

TEST_F(OffloadTest, AtomicWriteIsOneWriteThatWaitsForReads) {
    const Data data = random_blocks(8);
    medium->hold(StoreOpcode::read);
    TestCommand& read = rig.make(*nexus, read10(4, 2), {}, 1024);
    rig.start(read, *nexus);
    TestCommand& write = rig.make(*nexus, cdb16(0x9C, 0, 8), data);
    rig.start(write, *nexus);
    rig.settle();
    EXPECT_EQ(medium->count(StoreOpcode::write), 0U);
    TestCommand& later = rig.make(*nexus, read10(0, 8), {}, 4096);
    rig.start(later, *nexus);
    medium->release();
    ASSERT_TRUE(rig.wait(0, [&] { return read.ended() && write.ended() && later.ended(); }));
    EXPECT_EQ(write.status, Status::good);
    EXPECT_EQ(read.in, filled(1024, 0));
    EXPECT_EQ(later.in, data);
    EXPECT_EQ(medium->count(StoreOpcode::write), 1U);
}

TEST_F(OffloadTest, AtomicWriteWaitsUntilLentMemoryHasBeenSent) {
    auto lender = std::make_shared<FakeMedium>();
    lender->capabilities.borrows = true;
    lender->capabilities.maximum_atomic_bytes = 4096;
    TestNexus& host = rig.add_nexus(0, {rig.add_unit(lender)});
    host.hold_finish = true;
    TestCommand& read = rig.make(host, read10(0, 2), {}, 1024);
    rig.start(read, host);
    ASSERT_TRUE(rig.wait(0, [&] { return read.ended(); }));
    TestCommand& write = rig.make(host, cdb16(0x9C, 0, 2), filled(1024, 7));
    rig.start(write, host);
    rig.settle();
    EXPECT_EQ(lender->count(StoreOpcode::write), 0U) << "the read's memory is still being sent";
    rig.on(0, [&] {
        host.hold_finish = false;
        host.finish();
    });
    ASSERT_TRUE(rig.wait(0, [&] { return write.ended(); }));
    EXPECT_EQ(write.status, Status::good);
    EXPECT_EQ(lender->read(0, 2), filled(1024, 7));
}

TEST_F(OffloadTest, AtomicWriteKeepsToItsLimits) {
    EXPECT_EQ(rig.run(*nexus, cdb16(0x9C, 0, 128), filled(64 << 10, 1)).status, Status::good);
    expect_sense(rig.run(*nexus, cdb16(0x9C, 0, 129), filled(129 * 512, 1)), 5, 0x2400);
    EXPECT_EQ(rig.run(*nexus, cdb16(0x9C, 0, 16 | 8U << 16), filled(16 * 512, 1)).status,
              Status::good);
    expect_sense(rig.run(*nexus, cdb16(0x9C, 0, 16 | 0x100U << 16), filled(16 * 512, 1)), 5,
                 0x2400);
    EXPECT_EQ(rig.run(*nexus, cdb32(0x0F, 3, 2), filled(1024, 9)).status, Status::good);
    EXPECT_EQ(medium->read(3, 2), filled(1024, 9));
    const TestCommand& limits = rig.run(*nexus, {0x12, 1, 0xB0, 0, 64, 0}, {}, 64);
    ASSERT_EQ(limits.in.size(), 64U);
    EXPECT_EQ(load_be<std::uint32_t>(limits.in.data() + 44), 128U);
}

TEST_F(OffloadTest, WithoutAtomicStoreThereIsNoAtomicWrite) {
    auto plain = std::make_shared<FakeMedium>();
    TestNexus& host = rig.add_nexus(0, {rig.add_unit(plain)});
    expect_sense(rig.run(host, cdb16(0x9C, 0, 1), filled(512, 1)), 5, 0x2000);
    expect_sense(rig.run(host, cdb32(0x0F, 0, 1), filled(512, 1)), 5, 0x2400);
    const TestCommand& one = rig.run(host, {0xA3, 0x0C, 1, 0x9C, 0, 0, 0, 0, 0, 64, 0, 0}, {}, 64);
    EXPECT_EQ(one.in[1] & 7, 1);  // not supported
}

TEST_F(OffloadTest, StreamsAreOpenedWrittenAndClosed) {
    Cdb open(16);
    open[0] = 0x9E;
    open[1] = 0x34;
    open[13] = 8;
    const TestCommand& opened = rig.run(*nexus, open, {}, 8);
    ASSERT_EQ(opened.status, Status::good);
    ASSERT_EQ(opened.in.size(), 8U);
    EXPECT_EQ(opened.in[0], 7);
    const std::uint8_t stream = opened.in[5];
    EXPECT_EQ(stream, 1);
    const std::uint32_t in_stream = 2U | std::uint32_t{stream} << 16;
    EXPECT_EQ(rig.run(*nexus, cdb16(0x9A, 6, in_stream), filled(1024, 5)).status, Status::good);
    EXPECT_EQ(medium->read(6, 2), filled(1024, 5));
    Cdb long_form = cdb32(0x10, 8, 1);
    long_form[5] = stream;
    EXPECT_EQ(rig.run(*nexus, long_form, filled(512, 6)).status, Status::good);
    EXPECT_EQ(medium->read(8, 1), filled(512, 6));
    expect_sense(rig.run(*nexus, cdb16(0x9A, 6, 2U | 2U << 16), filled(1024, 5)), 5, 0x2C0F);
    Cdb close = open;
    close[1] = 0x54;
    close[5] = stream;
    EXPECT_EQ(rig.run(*nexus, close, {}, 8).status, Status::good);
    expect_sense(rig.run(*nexus, cdb16(0x9A, 6, in_stream), filled(1024, 5)), 5, 0x2C0F);
    expect_sense(rig.run(*nexus, close, {}, 8), 5, 0x2C0F);
}

TEST_F(OffloadTest, ResetClosesTheStreams) {
    Cdb open(16);
    open[0] = 0x9E;
    open[1] = 0x34;
    open[13] = 8;
    ASSERT_EQ(rig.run(*nexus, open, {}, 8).in[5], 1);
    rig.manage(*nexus, TaskManagementFunction::logical_unit_reset);
    rig.run(*nexus, test_unit_ready);
    Cdb status(16);
    status[0] = 0x9E;
    status[1] = 0x16;
    status[13] = 64;
    EXPECT_EQ(rig.run(*nexus, status, {}, 64).in, (Data{0, 0, 0, 4, 0, 0, 0, 0}));
}

Cdb unmap_cdb(bool anchor) {
    return {0x42, static_cast<std::uint8_t>(anchor ? 1 : 0), 0, 0, 0, 0, 0, 0, 24, 0};
}

Data unmap_list(std::uint64_t lba, std::uint32_t blocks) {
    Data list(24);
    list[1] = 22;
    list[3] = 16;
    store_be<std::uint64_t>(list.data() + 8, lba);
    store_be<std::uint32_t>(list.data() + 16, blocks);
    return list;
}

TEST_F(OffloadTest, AnchoredBlocksReadZerosAndAreReportedAsSuch) {
    ASSERT_EQ(rig.write(*nexus, 0, filled(32 * 512, 1)).status, Status::good);
    ASSERT_EQ(rig.run(*nexus, unmap_cdb(true), unmap_list(8, 8)).status, Status::good);
    ASSERT_EQ(rig.run(*nexus, unmap_cdb(false), unmap_list(16, 8)).status, Status::good);
    EXPECT_TRUE(medium->anchored(8));
    EXPECT_FALSE(medium->anchored(16));
    EXPECT_EQ(medium->read(8, 16), filled(16 * 512, 0));
    Cdb status = cdb16(0x9E, 0, 256);
    status[1] = 0x12;
    Data in = rig.run(*nexus, status, {}, 256).in;
    ASSERT_GE(in.size(), 8U + 5 * 16);
    const auto descriptor = [&](std::size_t i) { return in.data() + 8 + 16 * i; };
    EXPECT_EQ(load_be<std::uint32_t>(in.data()), 4U + 5 * 16);
    EXPECT_EQ(in[7], 0x05);  // the medium's end, and report types are processed
    const std::uint8_t states[] = {0, 2, 1, 0, 1};
    const std::uint64_t starts[] = {0, 8, 16, 24, 32};
    for (std::size_t i = 0; i < 5; ++i) {
        EXPECT_EQ(load_be<std::uint64_t>(descriptor(i)), starts[i]);
        EXPECT_EQ(descriptor(i)[12], states[i]);
    }
    // One kind alone, and the long form with a length to scan.
    status[14] = 4;
    in = rig.run(*nexus, status, {}, 256).in;
    ASSERT_EQ(in.size(), 8U + 16);
    EXPECT_EQ(load_be<std::uint64_t>(in.data() + 8), 8U);
    EXPECT_EQ(load_be<std::uint32_t>(in.data() + 16), 8U);
    status[14] = 3;
    EXPECT_EQ(rig.run(*nexus, status, {}, 256).in.size(), 8U + 2 * 16);
    status[14] = 1;
    EXPECT_EQ(rig.run(*nexus, status, {}, 256).in.size(), 8U);
    status[14] = 0x20;
    expect_sense(rig.run(*nexus, status, {}, 256), 5, 0x2400);
    Cdb long_form = cdb32(0x12, 4, 256, 0);
    long_form[23] = 16;  // SCAN LENGTH
    in = rig.run(*nexus, long_form, {}, 256).in;
    ASSERT_EQ(in.size(), 8U + 3 * 16);
    EXPECT_EQ(in[7], 0x07);
    EXPECT_EQ(load_be<std::uint64_t>(in.data() + 8), 4U);
    EXPECT_EQ(load_be<std::uint32_t>(in.data() + 8 + 2 * 16 + 8), 4U);
}

TEST_F(OffloadTest, WriteSameAnchorsOnlyWithUnmapAndWhereItCan) {
    ASSERT_EQ(rig.write(*nexus, 0, filled(8 * 512, 1)).status, Status::good);
    EXPECT_EQ(rig.run(*nexus, cdb16(0x93, 0, 4, 0x18), filled(512, 0)).status, Status::good);
    EXPECT_TRUE(medium->anchored(3));
    EXPECT_FALSE(medium->anchored(4));
    expect_sense(rig.run(*nexus, cdb16(0x93, 0, 4, 0x10), filled(512, 0)), 5, 0x2400);
    EXPECT_EQ(rig.run(*nexus, cdb32(0x0D, 4, 2, 0x19)).status, Status::good);  // NDOB
    EXPECT_TRUE(medium->anchored(5));
    EXPECT_EQ(rig.run(*nexus, cdb32(0x0D, 6, 2), filled(512, 3)).status, Status::good);
    EXPECT_EQ(medium->read(4, 2), filled(1024, 0));
    EXPECT_EQ(medium->read(6, 2), filled(1024, 3));

    auto plain = std::make_shared<FakeMedium>();
    TestNexus& host = rig.add_nexus(0, {rig.add_unit(plain)});
    expect_sense(rig.run(host, cdb16(0x93, 0, 4, 0x18), filled(512, 0)), 5, 0x2400);
    expect_sense(rig.run(host, unmap_cdb(true), unmap_list(0, 8)), 5, 0x2400);
    const TestCommand& page = rig.run(*nexus, {0x12, 1, 0xB2, 0, 64, 0}, {}, 64);
    EXPECT_EQ(page.in[5] & 0x02, 0x02);
    EXPECT_EQ(rig.run(host, {0x12, 1, 0xB2, 0, 64, 0}, {}, 64).in[5] & 0x02, 0x00);
}

}  // namespace
}  // namespace olio::target
