// Fences on several shards, and what rests on them: COMPARE AND WRITE is atomic against every other
// write; overlapping writes and random ends of nexuses leave the data that a model allows.
#include "target/fence.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "target/engine_testing.h"

namespace olio::target {
namespace {

using namespace testing;
using scsi::Status;

TEST(FenceQueue, OverlappingExclusiveFencesComeOneAfterAnother) {
    FenceQueue queue;
    std::vector<int> granted;
    std::vector<FenceId> ids(4);
    const auto ask = [&](int who, std::uint64_t first, std::uint64_t end) {
        queue.request({{{first, end}, FenceKind::exclusive}, [&, who](FenceId id) {
                           granted.push_back(who);
                           ids[static_cast<std::size_t>(who)] = id;
                       }});
    };
    ask(0, 0, 10);
    ask(1, 5, 15);
    ask(2, 12, 20);  // behind 1, which was first
    ask(3, 30, 40);
    EXPECT_EQ(granted, (std::vector{0, 3}));
    queue.release(ids[0]);
    EXPECT_EQ(granted, (std::vector{0, 3, 1}));
    queue.release(ids[1]);
    EXPECT_EQ(granted, (std::vector{0, 3, 1, 2}));
}

// Several initiators count a block up with COMPARE AND WRITE, while others write beside it.
TEST(CompareAndWrite, IncrementsFromSeveralShardsAreExact) {
    constexpr unsigned shards = 3;
    constexpr std::uint64_t increments = 150;
    EngineRig rig(shards);
    auto medium = std::make_shared<FakeMedium>();
    medium->complete_later(true);
    LogicalUnit* unit = rig.add_unit(medium, 1);
    std::vector<TestNexus*> nexuses;
    for (unsigned i = 0; i < 2 * shards; ++i)
        nexuses.push_back(&rig.add_nexus(i % shards, {unit}));

    std::vector<std::thread> hosts;
    std::atomic<std::uint64_t> done{0};
    for (TestNexus* nexus : nexuses)
        hosts.emplace_back([&, nexus] {
            for (std::uint64_t n = 0; n < increments;) {
                std::unique_ptr<TestCommand> read(new TestCommand);
                std::unique_ptr<TestCommand> swap(new TestCommand);
                const auto execute = [&](TestCommand& command) {
                    static std::atomic<std::uint64_t> tag{1 << 20};
                    command.cdb = command.cdb_storage;
                    command.lun = scsi::Lun::from_number(0);
                    command.tag = ++tag;
                    command.expected_data_out_bytes =
                        static_cast<std::uint32_t>(command.out.size());
                    rig.start(command, *nexus);
                    EXPECT_TRUE(rig.wait(nexus->shard, [&] { return command.returned; }));
                };
                read->cdb_storage = read10(50, 1);
                read->expected_data_in_bytes = 512;
                execute(*read);
                std::vector<std::uint8_t> next = read->in;
                store_be(next.data(), load_be<std::uint64_t>(next.data()) + 1);
                swap->cdb_storage = compare_and_write(50, 1);
                swap->out = read->in;
                swap->out.insert(swap->out.end(), next.begin(), next.end());
                execute(*swap);
                if (swap->status == Status::good) {
                    ++n;
                    ++done;
                } else {
                    ASSERT_EQ(swap->additional(), 0x1D00U);
                }
            }
        });
    for (std::thread& host : hosts)
        host.join();
    EXPECT_EQ(done, nexuses.size() * increments);
    EXPECT_EQ(load_be<std::uint64_t>(medium->read(50, 1).data()), done);
}

TEST(CompareAndWrite, WritesOfEveryShardWaitForItAndItForThem) {
    EngineRig rig(2);
    auto medium = std::make_shared<FakeMedium>();
    LogicalUnit* unit = rig.add_unit(medium);
    TestNexus& a = rig.add_nexus(0, {unit});
    TestNexus& b = rig.add_nexus(1, {unit});
    const std::vector<std::uint8_t> ones(512, 1);

    medium->hold(StoreOpcode::write);
    TestCommand& before = rig.make(b, write10(9, 1), ones);
    rig.start(before, b);
    std::vector<std::uint8_t> both = ones;
    both.resize(1024, 2);
    TestCommand& swap = rig.make(a, compare_and_write(9, 1), both);
    rig.start(swap, a);
    rig.settle();
    EXPECT_EQ(medium->count(StoreOpcode::read), 0U) << "it must not look before the write is done";
    TestCommand& after = rig.make(b, write10(8, 2), std::vector<std::uint8_t>(1024, 3));
    rig.start(after, b);
    TestCommand& beside = rig.make(b, read10(8, 1), {}, 512);
    rig.start(beside, b);
    rig.settle();
    rig.on(1, [&] {
        EXPECT_EQ(after.stage(), CommandStage::fenced);
        EXPECT_TRUE(beside.answered);
    });
    medium->release();
    EXPECT_TRUE(rig.wait(0, [&] { return swap.answered; }));
    EXPECT_EQ(swap.status, Status::good);
    EXPECT_TRUE(rig.wait(1, [&] { return after.answered; }));
    EXPECT_EQ(medium->read(9, 1), std::vector<std::uint8_t>(512, 3));
}

TEST(Resize, ShrinkingWaitsForWhatIsInsideBeyondTheNewEnd) {
    EngineRig rig(2);
    auto medium = std::make_shared<FakeMedium>();
    LogicalUnit* unit = rig.add_unit(medium);
    TestNexus& nexus = rig.add_nexus(1, {unit});
    medium->hold(StoreOpcode::read);
    TestCommand& inside = rig.make(nexus, read10(2000, 1), {}, 512);
    rig.start(inside, nexus);
    bool done = false;
    rig.on(0, [&] { unit->rescan(1000, [&](const Result<void>&) { done = true; }); });
    rig.settle();
    EXPECT_FALSE(done);
    medium->release();
    EXPECT_TRUE(rig.wait(0, [&] { return done; }));
    EXPECT_TRUE(
        rig.wait(1, [&] { return inside.answered; }));  // its own shard may be a step behind
}

// Known defect 53: writers that overlap. Each block is written whole by one command; a block must
// be what one of the writes that could be the last left there. Nexuses are closed and functions
// sent in between; every command ends exactly once (the fabric asserts it), and nothing is left
// behind.
TEST(Engine, RandomWorkFromSeveralNexusesKeepsToTheModel_defect53) {
    constexpr unsigned shards = 2;
    constexpr unsigned blocks = 16;
    EngineRig rig(shards);
    auto medium = std::make_shared<FakeMedium>(64);
    medium->complete_later(true);
    LogicalUnit* unit = rig.add_unit(medium, 1);
    std::mt19937 random(20);
    std::vector<TestNexus*> nexuses;
    for (unsigned i = 0; i < 4; ++i)
        nexuses.push_back(&rig.add_nexus(i % shards, {unit}));
    std::uint8_t value = 0;
    for (int round = 0; round < 40; ++round) {
        std::vector<std::vector<std::uint8_t>> possible(blocks);
        for (unsigned i = 0; i < blocks; ++i)
            possible[i].push_back(medium->read(i, 1)[0]);
        std::vector<std::pair<TestNexus*, TestCommand*>> commands;
        if (round % 3 == 0)
            medium->hold(StoreOpcode::write);
        for (int n = 0; n < 12; ++n) {
            TestNexus* nexus = nexuses[random() % nexuses.size()];
            const unsigned lba = random() % blocks;
            const unsigned count = 1 + random() % (blocks - lba);
            ++value;
            TestCommand& command =
                rig.make(*nexus, write10(lba, static_cast<std::uint16_t>(count)),
                         std::vector<std::uint8_t>(count * std::size_t{512}, value));
            if (random() % 4 == 0)
                command.attribute = scsi::TaskAttribute::ordered;
            for (unsigned i = lba; i < lba + count; ++i)
                possible[i].push_back(value);
            rig.start(command, *nexus);
            commands.emplace_back(nexus, &command);
            if (random() % 6 == 0)
                rig.manage(*nexuses[random() % nexuses.size()],
                           random() % 2 ? TaskManagementFunction::logical_unit_reset
                                        : TaskManagementFunction::abort_task_set,
                           0, 0, false);
        }
        medium->release();
        for (const auto& [nexus, command] : commands)
            ASSERT_TRUE(rig.wait(nexus->shard, [&, c = command] { return c->returned; }));
        for (unsigned i = 0; i < blocks; ++i) {
            const auto found = medium->read(i, 1);
            ASSERT_NE(std::ranges::find(possible[i], found[0]), possible[i].end());
            ASSERT_EQ(found, std::vector<std::uint8_t>(512, found[0]));
        }
        if (round % 5 == 4) {
            rig.close(*nexuses[0]);
            nexuses[0] = &rig.add_nexus(static_cast<unsigned>(round) % shards, {unit});
        }
        for (TestNexus* nexus : nexuses)  // unit attentions of the resets
            while (rig.run(*nexus, test_unit_ready).status != Status::good) {
            }
    }
}

}  // namespace
}  // namespace olio::target
