// Copies between files over disks that cannot copy, fail in the middle, fill up, lose their power:
// what a host is told is what it finds.
#include <gtest/gtest.h>

#include <cerrno>

#include "reactor/sim.h"
#include "scsi/extended_copy_testing.h"
#include "target/engine_testing.h"
#include "target/file_channel.h"

namespace olio::target {
namespace {

using namespace testing;
using reactor::OperationKind;
using reactor::SimDisk;
using reactor::SimReactor;
using scsi::Status;
using scsi::testing::Naa;
using Bytestring = std::vector<std::uint8_t>;

constexpr std::uint32_t block = 512;
constexpr std::uint64_t blocks = 4096;

Naa naa_of(unsigned number) {
    return {0x60, 1, 0x40, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, static_cast<std::uint8_t>(number)};
}

// A file on a simulated disk.
class SimFile final : public Backstore {
  public:
    SimFile(int descriptor, unsigned number, bool copies)
        : descriptor_(descriptor), number_(number) {
        backing_->name = "simulated";
        backing_->copies = copies;
        backing_->blocks = blocks;
    }
    [[nodiscard]] std::string_view type() const override { return "fileio"; }
    [[nodiscard]] std::string description() const override { return "a simulated file"; }
    [[nodiscard]] scsi::Geometry geometry() const override {
        scsi::Geometry geometry;
        geometry.blocks = blocks;
        geometry.block_bytes = block;
        return geometry;
    }
    [[nodiscard]] StoreCapabilities capabilities() const override {
        StoreCapabilities able;
        able.volatile_cache = true;
        return able;
    }
    [[nodiscard]] scsi::Identification identification() const override {
        scsi::Identification who;
        who.serial = "file" + std::to_string(number_);
        who.naa = naa_of(number_);
        return who;
    }
    Result<std::unique_ptr<StoreChannel>> open_channel(reactor::Shard& shard) override {
        return std::make_unique<FileChannel>(shard, backing_, descriptor_, OwnedDescriptor());
    }
    Result<std::uint64_t> refresh_blocks() override { return blocks; }
    Result<void> resize(std::uint64_t) override { return fail(ENOTSUP, "it keeps its size"); }
    Result<void> set_volatile_cache(bool) override { return {}; }

  private:
    int descriptor_;
    unsigned number_;
    std::shared_ptr<FileBacking> backing_ = std::make_shared<FileBacking>();
};

class SimulatedCopy : public ::testing::TestWithParam<bool> {
  protected:
    void start(std::uint64_t seed) {
        reactor::ReactorOptions options;
        options.seed = seed;
        sim = SimReactor::make(options);
        sim->enter(0, [&] { engine = std::move(*Engine::create(*sim, nullptr)); });
        std::vector<LunMapEntry> luns;
        for (unsigned i = 0; i < 2; ++i) {
            descriptors[i] = sim->create_disk(blocks * block);
            disks[i] = sim->disk(descriptors[i]);
            disks[i]->short_io_per_mille = 300;
            LogicalUnitOptions unit;
            unit.name = "unit" + std::to_string(i);
            LogicalUnit* made = nullptr;
            sim->enter(0, [&] {
                engine->add_logical_unit(
                    std::move(unit), std::make_unique<SimFile>(descriptors[i], i, GetParam()),
                    [&](Result<LogicalUnit*> added) { made = added.value_or(nullptr); });
            });
            sim->run_until([&] { return made != nullptr; }, seconds(10));
            ASSERT_NE(made, nullptr);
            luns.push_back({i, made, false});
        }
        host = std::make_unique<TestNexus>();
        host->port.description.relative_port = 1;
        sim->enter(0, [&] {
            host->nexus = std::move(*engine->establish_nexus(host->port, test_initiator(1),
                                                             *LunMap::make(luns), *host));
        });
        for (std::uint32_t lun = 0; lun < 2; ++lun)
            run(test_unit_ready, {}, lun);
    }
    void stop() {
        sim->enter(0, [&] {
            host->nexus->close([&] { host->fenced = true; }, [&] { host->drained = true; });
        });
        EXPECT_TRUE(sim->run_until([&] { return host->drained; }, sim->now() + seconds(60)));
        sim->enter(0, [&] { host->nexus.reset(); });
        sim->run_for(seconds(1));
        host.reset();
        sim->enter(0, [&] { engine.reset(); });
        sim.reset();
    }
    static reactor::Nanoseconds seconds(std::uint64_t count) {
        return static_cast<reactor::Nanoseconds>(count * reactor::nanoseconds_per_second);
    }
    TestCommand& submit(Bytestring cdb, Bytestring out, std::uint32_t lun) {
        host->commands.push_back(std::make_unique<TestCommand>());
        TestCommand& command = *host->commands.back();
        command.cdb_storage = std::move(cdb);
        command.cdb = command.cdb_storage;
        command.out = std::move(out);
        command.expected_data_out_bytes = static_cast<std::uint32_t>(command.out.size());
        command.lun = scsi::Lun::from_number(lun);
        command.tag = ++tag;
        sim->enter(0, [&] { host->nexus->submit(command); });
        return command;
    }
    TestCommand& run(Bytestring cdb, Bytestring out, std::uint32_t lun) {
        TestCommand& command = submit(std::move(cdb), std::move(out), lun);
        EXPECT_TRUE(sim->run_until([&] { return command.ended(); }, sim->now() + seconds(120)));
        return command;
    }
    TestCommand& submit_copy(std::uint16_t count, std::uint64_t from, std::uint64_t to) {
        const Bytestring list = scsi::testing::lid1_list(
            {scsi::testing::cscd(naa_of(0)), scsi::testing::cscd(naa_of(1))},
            {scsi::testing::block_to_block(0, 1, count, from, to)});
        Bytestring cdb(16);
        cdb[0] = 0x83;
        store_be(cdb.data() + 10, static_cast<std::uint32_t>(list.size()));
        return submit(cdb, list, 0);
    }
    TestCommand& copy(std::uint16_t count, std::uint64_t from, std::uint64_t to) {
        TestCommand& command = submit_copy(count, from, to);
        EXPECT_TRUE(sim->run_until([&] { return command.ended(); }, sim->now() + seconds(120)));
        return command;
    }
    Bytestring content(unsigned disk, std::uint64_t lba, std::uint64_t count) const {
        Bytestring found(count * block);
        disks[disk]->peek(lba * block, found);
        return found;
    }
    void fill(unsigned disk, unsigned seed) {
        Bytestring data(blocks * block);
        for (std::size_t i = 0; i < data.size(); ++i)
            data[i] = static_cast<std::uint8_t>((i * 2654435761u >> 11) + i / block + seed);
        for (std::uint64_t lba = 0; lba < blocks; lba += 1024)
            ASSERT_EQ(
                run(write16(lba, 1024),
                    Bytestring(data.begin() + static_cast<std::ptrdiff_t>(lba * block),
                               data.begin() + static_cast<std::ptrdiff_t>((lba + 1024) * block)),
                    disk)
                    .status,
                Status::good);
    }
    // What the device at fault answered, of a COPY ABORTED: sense key and additional sense code.
    static unsigned cause(const TestCommand& command) {
        const auto& s = command.sense_storage;
        if (command.status != Status::check_condition || command.key() != 0xA || s.size() < 37)
            return 0;
        return static_cast<unsigned>((s[21] & 15) << 16 | s[31] << 8 | s[32]);
    }

    std::unique_ptr<SimReactor> sim;
    std::unique_ptr<Engine> engine;
    std::unique_ptr<TestNexus> host;
    std::array<int, 2> descriptors{};
    std::array<std::shared_ptr<SimDisk>, 2> disks;
    std::uint64_t tag = 0;
};

INSTANTIATE_TEST_SUITE_P(Files, SimulatedCopy, ::testing::Bool(),
                         [](const auto& one) { return one.param ? "ThatCopy" : "ThatDoNot"; });

constexpr unsigned unrecovered_read_error = 0x31100;
constexpr unsigned write_error = 0x30C00;
constexpr unsigned space_allocation_failed = 0x72707;

TEST_P(SimulatedCopy, EndsAsItsStorageDoesAndTouchesNothingElse) {
    struct Case {
        const char* name;
        unsigned disk;
        SimDisk::Fault fault;
        unsigned cause;  // 0: it succeeds
    };
    const std::uint64_t middle = 2000 * block;
    const std::uint64_t always = ~std::uint64_t{0};
    const Case cases[] = {
        {"none", 0, {.times = 0}, 0},
        {"other file systems", 1, {.error = EXDEV, .kind = OperationKind::copy}, 0},
        {"no copies", 1, {.error = EOPNOTSUPP, .kind = OperationKind::copy}, 0},
        {"not these ranges", 1, {.error = EINVAL, .kind = OperationKind::copy, .times = 1}, 0},
        {"a copy fails once", 1, {.error = EIO, .kind = OperationKind::copy, .times = 1}, 0},
        {"a bad sector of the source",
         0,
         {.error = EIO,
          .kind = OperationKind::none,
          .offset = middle,
          .length = 1,
          .times = always},
         unrecovered_read_error},
        {"a bad sector of the destination",
         1,
         {.error = EIO,
          .kind = OperationKind::none,
          .offset = middle,
          .length = 1,
          .times = always},
         write_error},
        {"a full file system",
         1,
         {.error = ENOSPC, .kind = OperationKind::none, .offset = middle, .length = always},
         space_allocation_failed},
    };
    std::uint64_t seed = 0;
    for (const Case& one : cases)
        for (int round = 0; round < 3; ++round) {
            start(++seed);
            fill(0, 1);
            fill(1, 77);
            const Bytestring before = content(1, 0, blocks);
            disks[one.disk]->inject(one.fault);
            const TestCommand& command = copy(3000, 500, 600);
            EXPECT_EQ(cause(command), one.cause) << one.name << std::hex << cause(command);
            EXPECT_EQ(command.status, one.cause == 0 ? Status::good : Status::check_condition)
                << one.name;
            disks[one.disk]->clear_faults();
            const Bytestring after = content(1, 0, blocks);
            if (one.cause == 0) {
                EXPECT_TRUE(std::equal(after.begin() + 600 * block, after.begin() + 3600 * block,
                                       content(0, 500, 3000).begin()))
                    << one.name;
            }
            EXPECT_TRUE(std::equal(after.begin(), after.begin() + 600 * block, before.begin()));
            EXPECT_TRUE(std::equal(after.begin() + 3600 * block, after.end(),
                                   before.begin() + 3600 * block));
            stop();
        }
}

// GOOD and SYNCHRONIZE CACHE: what was copied outlives a loss of power.
TEST_P(SimulatedCopy, WhatWasFlushedOutlivesALossOfPower) {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        start(seed);
        fill(0, 1);
        ASSERT_EQ(copy(3000, 500, 600).status, Status::good);
        Bytestring synchronize(10);
        synchronize[0] = 0x35;
        ASSERT_EQ(run(synchronize, {}, 1).status, Status::good);
        const Bytestring expected = content(0, 500, 3000);
        const TestCommand& cut_short = submit_copy(100, 0, 3900);
        sim->run_for(static_cast<reactor::Nanoseconds>(seed * 40'000));
        sim->crash_disk(descriptors[1]);
        EXPECT_TRUE(sim->run_until([&] { return cut_short.ended(); }, sim->now() + seconds(120)));
        EXPECT_EQ(content(1, 600, 3000), expected) << seed;
        stop();
    }
}

TEST_P(SimulatedCopy, AStalledDestinationIsNoHindranceToAnAbort) {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        start(seed);
        fill(0, 1);
        disks[1]->stall();
        TestCommand& command = submit_copy(3000, 500, 600);
        sim->run_for(seconds(1));
        EXPECT_FALSE(command.ended());
        TestManagement abort;
        abort.function = TaskManagementFunction::abort_task;
        abort.referenced_tag = command.tag;
        sim->enter(0, [&] { host->nexus->task_management(abort); });
        EXPECT_TRUE(sim->run_until([&] { return abort.answered; }, sim->now() + seconds(10)));
        sim->resume_disk(descriptors[1]);
        EXPECT_TRUE(sim->run_until([&] { return command.ended(); }, sim->now() + seconds(10)));
        EXPECT_TRUE(command.discarded);
        EXPECT_EQ(copy(3000, 500, 600).status, Status::good);
        EXPECT_EQ(content(1, 600, 3000), content(0, 500, 3000));
        stop();
    }
}

}  // namespace
}  // namespace olio::target
