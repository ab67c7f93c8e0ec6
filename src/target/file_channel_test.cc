// Errors and orders that a real disk seldom shows, on a simulated one.
#include "target/file_channel.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/falloc.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/log.h"
#include "reactor/sim.h"
#include "target/backstore_conformance_testing.h"

namespace olio::target {
namespace {

using reactor::OperationKind;
using reactor::SimDisk;
using reactor::SimReactor;
using testing::AlignedBytes;

constexpr std::uint64_t disk_bytes = 8 << 20;
constexpr std::uint32_t block = 512;

struct Counter final : StoreCompletion {
    void store_completed(StoreIo&) noexcept override { ++times; }
    int times = 0;
};

class FileChannelTest : public ::testing::Test {
  protected:
    FileChannelTest() {
        log::set_level(log::Level::off);
        start(1, true);
    }
    ~FileChannelTest() override {
        sim_->enter(0, [&] { channel_.reset(); });
        log::set_level(log::Level::info);
    }

    void start(std::uint64_t seed, bool page_cache) {
        if (sim_)
            sim_->enter(0, [&] { channel_.reset(); });
        reactor::ReactorOptions options;
        options.seed = seed;
        sim_ = SimReactor::make(options);
        const int descriptor = sim_->create_disk(disk_bytes);
        disk_ = sim_->disk(descriptor);
        backing_ = std::make_shared<FileBacking>();
        backing_->name = "simulated";
        backing_->page_cache = page_cache;
        backing_->unmap_mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
        backing_->zero_mode = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
        backing_->unmap_zeroes = true;
        backing_->copies = true;
        backing_->blocks = disk_bytes / block;
        sim_->enter(0, [&] {
            channel_ = std::make_unique<FileChannel>(sim_->shard(0), backing_, descriptor,
                                                     OwnedDescriptor());
        });
    }
    void submit(StoreIo& io, Counter& counter, StoreOpcode opcode, std::uint64_t lba,
                AlignedBytes* data, bool fua = false) {
        io.opcode = opcode;
        io.lba = lba;
        io.fua = fua;
        io.completion = &counter;
        if (data != nullptr) {
            io.data = data->bytes();
            io.blocks = data->size() / block;
        }
        sim_->enter(0, [&] { channel_->submit(io); });
    }
    StoreStatus finish(const StoreIo& io, const Counter& counter, int times = 1) {
        sim_->run_until_idle();
        EXPECT_EQ(counter.times, times);
        error_lba_ = io.error_lba;
        return io.status;
    }
    StoreStatus run(StoreOpcode opcode, std::uint64_t lba, AlignedBytes* data, bool fua = false) {
        StoreIo io;
        Counter counter;
        submit(io, counter, opcode, lba, data, fua);
        return finish(io, counter);
    }
    StoreStatus run_range(StoreOpcode opcode, std::uint64_t lba, std::uint64_t blocks) {
        StoreIo io;
        Counter counter;
        io.blocks = blocks;
        submit(io, counter, opcode, lba, nullptr);
        return finish(io, counter);
    }
    StoreStatus copy(std::uint64_t lba, std::uint64_t blocks, std::uint64_t source_lba,
                     bool fua = false) {
        StoreIo io;
        Counter counter;
        io.blocks = blocks;
        io.source = channel_.get();
        io.source_lba = source_lba;
        submit(io, counter, StoreOpcode::copy, lba, nullptr, fua);
        return finish(io, counter);
    }
    [[nodiscard]] AlignedBytes there(std::uint64_t lba, std::size_t blocks) const {
        AlignedBytes got(blocks * block, 0xee);
        disk_->peek(lba * block, got.bytes());
        return got;
    }
    [[nodiscard]] bool durable(std::uint64_t lba, const AlignedBytes& data) const {
        AlignedBytes got(data.size(), 0xee);
        disk_->peek_durable(lba * block, got.bytes());
        return got == data;
    }

    std::unique_ptr<SimReactor> sim_;
    std::shared_ptr<SimDisk> disk_;
    std::shared_ptr<FileBacking> backing_;
    std::unique_ptr<FileChannel> channel_;
    std::uint64_t error_lba_ = 0;
};

AlignedBytes pattern(std::size_t blocks, std::uint64_t seed = 1) {
    AlignedBytes made(blocks * block);
    made.pattern(seed);
    return made;
}

TEST_F(FileChannelTest, ShortTransfersAreCarriedToTheirEnd) {
    disk_->short_io_per_mille = 900;
    for (const bool fua : {false, true}) {
        AlignedBytes data = pattern(2048, fua ? 2 : 1);
        ASSERT_EQ(run(StoreOpcode::write, 3, &data, fua), StoreStatus::good);
        AlignedBytes got(data.size(), 0xee);
        ASSERT_EQ(run(StoreOpcode::read, 3, &got), StoreStatus::good);
        EXPECT_TRUE(got == data);
    }
}

TEST_F(FileChannelTest, ABadSectorIsNamedExactlyInALongTransfer) {
    for (const bool page_cache : {false, true}) {
        for (const std::uint64_t bad : {10u, 11u, 777u, 2057u}) {
            start(bad, page_cache);
            disk_->inject({.error = EIO, .offset = bad * block, .length = 1});
            AlignedBytes data = pattern(2048);
            EXPECT_EQ(run(StoreOpcode::read, 10, &data), StoreStatus::medium_error);
            EXPECT_EQ(error_lba_, bad);
            EXPECT_EQ(run(StoreOpcode::write, 10, &data), StoreStatus::medium_error);
            EXPECT_EQ(error_lba_, bad);
            AlignedBytes one = pattern(1);
            EXPECT_EQ(run(StoreOpcode::read, bad, &one), StoreStatus::medium_error);
            EXPECT_EQ(error_lba_, bad);
        }
    }
}

TEST_F(FileChannelTest, ASlowlyFailingDiskIsNotSearchedForever) {
    disk_->latency_least = disk_->latency_most = 2 * reactor::nanoseconds_per_second;
    disk_->inject({.error = EIO, .offset = 777 * block, .length = 1});
    AlignedBytes data = pattern(2048);
    const auto before = sim_->now();
    EXPECT_EQ(run(StoreOpcode::read, 0, &data), StoreStatus::medium_error);
    EXPECT_LT(sim_->now() - before, 11 * reactor::nanoseconds_per_second);
    EXPECT_LE(error_lba_, 777u);
}

TEST_F(FileChannelTest, AnErrorThatPassesIsRepeatedAway) {
    disk_->inject({.error = EIO, .kind = OperationKind::read, .times = 1});
    AlignedBytes data = pattern(2048);
    ASSERT_EQ(run(StoreOpcode::write, 0, &data), StoreStatus::good);
    AlignedBytes got(data.size());
    EXPECT_EQ(run(StoreOpcode::read, 0, &got), StoreStatus::good);
    EXPECT_TRUE(got == data);
}

TEST_F(FileChannelTest, TellsTheKindsOfErrorsApart) {
    struct Row {
        int error;
        StoreStatus status;
    };
    for (const Row row :
         {Row{ENOSPC, StoreStatus::no_space}, Row{EDQUOT, StoreStatus::no_space},
          Row{EIO, StoreStatus::medium_error}, Row{ENODEV, StoreStatus::not_ready},
          Row{ENXIO, StoreStatus::not_ready}, Row{ESTALE, StoreStatus::not_ready},
          Row{EROFS, StoreStatus::write_protected}, Row{EFAULT, StoreStatus::internal_error}}) {
        for (const bool fua : {false, true}) {
            start(1, true);
            disk_->inject({.error = row.error});
            AlignedBytes data = pattern(8);
            EXPECT_EQ(run(StoreOpcode::write, 64, &data, fua), row.status) << row.error;
            EXPECT_EQ(error_lba_, 64u);
            // The write itself failed, so nothing that was acknowledged is in doubt.
            disk_->clear_faults();
            EXPECT_EQ(run_range(StoreOpcode::flush, 0, 0), StoreStatus::good);
        }
    }
}

TEST_F(FileChannelTest, OnlyForcedOrFlushedWritesAreDurable) {
    AlignedBytes one = pattern(8, 1);
    AlignedBytes two = pattern(8, 2);
    ASSERT_EQ(run(StoreOpcode::write, 0, &one, true), StoreStatus::good);
    EXPECT_TRUE(durable(0, one));
    ASSERT_EQ(run(StoreOpcode::write, 8, &two), StoreStatus::good);
    EXPECT_FALSE(durable(8, two)) << "a write without FUA was synced: it need not be";
    ASSERT_EQ(run_range(StoreOpcode::flush, 0, 0), StoreStatus::good);
    EXPECT_TRUE(durable(8, two));
}

TEST_F(FileChannelTest, WithWriteThroughEverythingIsDurable) {
    for (const bool page_cache : {false, true}) {
        start(1, page_cache);
        backing_->write_through = true;
        AlignedBytes data = pattern(32, 1);
        const AlignedBytes zeros(8 * block);
        ASSERT_EQ(run(StoreOpcode::write, 0, &data), StoreStatus::good);
        EXPECT_TRUE(durable(0, data));
        ASSERT_EQ(run_range(StoreOpcode::unmap, 0, 8), StoreStatus::good);
        EXPECT_TRUE(durable(0, zeros));
        ASSERT_EQ(run_range(StoreOpcode::write_zeroes, 8, 8), StoreStatus::good);
        EXPECT_TRUE(durable(8, zeros));
    }
}

TEST_F(FileChannelTest, AWriteUnderWayWhenTheCacheIsSwitchedOffIsSynced) {
    AlignedBytes data = pattern(8, 1);
    StoreIo io;
    Counter counter;
    submit(io, counter, StoreOpcode::write, 0, &data);
    backing_->write_through = true;
    EXPECT_EQ(finish(io, counter), StoreStatus::good);
    EXPECT_TRUE(durable(0, data));
}

// The kernel reports a failed write-back once; the next fdatasync succeeds although data is lost.
TEST_F(FileChannelTest, AfterAFailedSyncNoFlushSucceedsAgain) {
    for (const bool page_cache : {false, true}) {
        start(1, page_cache);
        disk_->inject({.error = EIO, .kind = OperationKind::sync, .times = 1});
        EXPECT_EQ(run_range(StoreOpcode::flush, 0, 0), StoreStatus::medium_error);
        EXPECT_EQ(run_range(StoreOpcode::flush, 0, 0), StoreStatus::medium_error);
        EXPECT_TRUE(backing_->sync_failed);
        AlignedBytes data = pattern(8);
        EXPECT_EQ(run(StoreOpcode::write, 0, &data, true), StoreStatus::good)
            << "what is durable by itself still succeeds";
    }
}

// Of two syncs at once one is told the error that concerns both.
TEST_F(FileChannelTest, NoSyncSucceedsBesideOneThatFails) {
    for (std::uint64_t seed = 1; seed <= 100; ++seed) {
        start(seed, true);
        disk_->inject({.error = EIO, .kind = OperationKind::sync, .times = 1});
        std::vector<AlignedBytes> data;
        for (int i = 0; i < 4; ++i)
            data.push_back(pattern(8, seed));
        std::array<StoreIo, 8> ios;
        Counter counter;
        for (std::size_t i = 0; i < 4; ++i) {
            submit(ios[2 * i], counter, StoreOpcode::flush, 0, nullptr);
            submit(ios[2 * i + 1], counter, StoreOpcode::write, 8 * i, &data[i], true);
        }
        sim_->run_until_idle();
        EXPECT_EQ(counter.times, 8);
        for (std::size_t i = 0; i < 8; i += 2)
            EXPECT_EQ(ios[i].status, StoreStatus::medium_error) << "seed " << seed;
    }
}

TEST_F(FileChannelTest, ADurableWriteWhoseSyncFailedMakesLaterFlushesFail) {
    disk_->inject({.error = EIO, .kind = OperationKind::write, .times = 1});
    AlignedBytes data = pattern(8);
    EXPECT_EQ(run(StoreOpcode::write, 40, &data, true), StoreStatus::medium_error);
    EXPECT_EQ(error_lba_, 40u);
    EXPECT_EQ(run_range(StoreOpcode::flush, 0, 0), StoreStatus::medium_error);
}

TEST_F(FileChannelTest, ManySyncsAtOnceAllEnd) {
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        start(seed, true);
        disk_->latency_most = 20 * reactor::nanoseconds_per_ms;
        AlignedBytes data = pattern(8, seed);
        std::array<StoreIo, 64> ios;
        Counter counter;
        for (std::size_t i = 0; i < ios.size(); ++i) {
            const bool flush = sim_->random().below(3) == 0;
            submit(ios[i], counter, flush ? StoreOpcode::flush : StoreOpcode::write, 8 * i,
                   flush ? nullptr : &data, sim_->random().below(2) == 0);
            if (sim_->random().below(4) == 0)
                sim_->run_for(reactor::nanoseconds_per_ms);
            if (sim_->random().below(8) == 0 && ios[i].step().in_flight())
                sim_->enter(0, [&] { channel_->cancel(ios[i]); });
        }
        sim_->run_until_idle();
        EXPECT_EQ(counter.times, 64) << "seed " << seed;
        for (const StoreIo& io : ios)
            EXPECT_TRUE(io.status == StoreStatus::good || io.status == StoreStatus::canceled);
    }
}

TEST_F(FileChannelTest, WritesZeroesItselfWhereTheFileSystemRefuses) {
    disk_->inject({.error = EOPNOTSUPP, .kind = OperationKind::allocate});
    for (const StoreOpcode opcode : {StoreOpcode::unmap, StoreOpcode::write_zeroes}) {
        AlignedBytes data = pattern(4096, 1);
        ASSERT_EQ(run(StoreOpcode::write, 0, &data), StoreStatus::good);
        ASSERT_EQ(run_range(opcode, 1, 4000), StoreStatus::good);
        std::fill_n(data.data() + block, 4000 * block, 0);
        AlignedBytes got(data.size());
        ASSERT_EQ(run(StoreOpcode::read, 0, &got), StoreStatus::good);
        EXPECT_TRUE(got == data);
    }
}

TEST_F(FileChannelTest, AVanishedDeviceIsNotReadyWhateverItsErrorsSay) {
    backing_->diagnose = [](int, int) -> std::int64_t { return -ENODEV; };
    for (const bool fua : {false, true}) {
        disk_->clear_faults();
        disk_->inject({.error = ENOSPC});
        AlignedBytes data = pattern(8);
        EXPECT_EQ(run(StoreOpcode::write, 0, &data, fua), StoreStatus::not_ready);
    }
}

TEST_F(FileChannelTest, AFileThatEndsTooEarlyIsAMediumErrorAtItsEnd) {
    disk_->resize(100 * block);
    AlignedBytes data = pattern(200);
    EXPECT_EQ(run(StoreOpcode::read, 0, &data), StoreStatus::medium_error);
    EXPECT_EQ(error_lba_, 100u);
}

TEST_F(FileChannelTest, WithoutHolesEverythingIsMapped) {
    StoreIo io;
    Counter counter;
    io.blocks = 1;
    submit(io, counter, StoreOpcode::extent_status, 5, nullptr);
    EXPECT_EQ(finish(io, counter), StoreStatus::good);
    EXPECT_TRUE(io.mapped);
    EXPECT_EQ(io.extent_blocks, disk_bytes / block - 5);
}

// --- Copies ---

TEST_F(FileChannelTest, ACopyThatIsDoneInPiecesIsDoneWhole) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        start(seed, seed % 2 == 0);
        disk_->short_io_per_mille = 700;
        const AlignedBytes data = pattern(300, seed);
        AlignedBytes write = pattern(300, seed);
        ASSERT_EQ(run(StoreOpcode::write, 10, &write), StoreStatus::good);
        ASSERT_EQ(copy(500, 300, 10), StoreStatus::good);
        EXPECT_TRUE(there(500, 300) == data) << seed;
        EXPECT_TRUE(there(499, 1) == AlignedBytes(block)) << seed;
        EXPECT_TRUE(there(800, 1) == AlignedBytes(block)) << seed;
    }
}

TEST_F(FileChannelTest, ACopyIsAsDurableAsAWrite) {
    AlignedBytes data = pattern(8);
    ASSERT_EQ(run(StoreOpcode::write, 0, &data), StoreStatus::good);
    ASSERT_EQ(run_range(StoreOpcode::flush, 0, 0), StoreStatus::good);
    ASSERT_EQ(copy(100, 8, 0), StoreStatus::good);
    EXPECT_FALSE(durable(100, data));
    ASSERT_EQ(copy(200, 8, 0, true), StoreStatus::good);
    EXPECT_TRUE(durable(200, data));
    EXPECT_TRUE(durable(100, data));  // a sync of the file
    backing_->write_through = true;
    ASSERT_EQ(copy(300, 8, 0), StoreStatus::good);
    EXPECT_TRUE(durable(300, data));
}

TEST_F(FileChannelTest, ACopyThatFailsSaysSo) {
    using reactor::OperationKind;
    AlignedBytes data = pattern(8);
    ASSERT_EQ(run(StoreOpcode::write, 0, &data), StoreStatus::good);
    for (const int error : {EXDEV, EOPNOTSUPP, EINVAL, ENOSYS, EBADF}) {
        disk_->inject({.error = error, .kind = OperationKind::copy});
        EXPECT_EQ(copy(100, 8, 0), StoreStatus::internal_error) << error;
        disk_->clear_faults();
    }
    disk_->inject({.error = ENOSPC, .kind = OperationKind::copy});
    EXPECT_EQ(copy(100, 8, 0), StoreStatus::no_space);
    disk_->clear_faults();
    // A bad sector of the source.
    disk_->inject({.error = EIO, .kind = OperationKind::read, .offset = 3 * block, .length = 1});
    EXPECT_EQ(copy(100, 8, 0), StoreStatus::medium_error);
    EXPECT_EQ(copy(100, 3, 0), StoreStatus::good);
    disk_->clear_faults();
    // A source that has become shorter.
    disk_->resize(disk_bytes / 2);
    EXPECT_EQ(copy(0, 8, disk_bytes / block - 8), StoreStatus::medium_error);
    disk_->resize(disk_bytes);
    // A sync that fails: what was copied may be lost.
    disk_->inject({.error = EIO, .kind = OperationKind::sync, .times = 1});
    EXPECT_EQ(copy(100, 8, 0, true), StoreStatus::medium_error);
    EXPECT_EQ(run_range(StoreOpcode::flush, 0, 0), StoreStatus::medium_error);
}

TEST_F(FileChannelTest, ACopyCanBeCancelled) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        start(seed, true);
        disk_->short_io_per_mille = 1000;
        StoreIo io;
        Counter counter;
        io.blocks = 1000;
        io.source = channel_.get();
        submit(io, counter, StoreOpcode::copy, 1000, nullptr);
        sim_->run_for(seed * 50'000);
        if (counter.times == 0)
            sim_->enter(0, [&] { channel_->cancel(io); });
        const StoreStatus status = finish(io, counter);
        EXPECT_TRUE(status == StoreStatus::canceled || status == StoreStatus::good) << seed;
    }
}

}  // namespace
}  // namespace olio::target
