#include "target/backstore_conformance_testing.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <future>
#include <random>

#include "reactor/shard.h"

namespace olio::target::testing {

std::vector<ConformanceSubject> on_each_backend(const ConformanceSubject& subject) {
    std::vector<ConformanceSubject> subjects(2, subject);
    subjects[0].backend = reactor::Backend::io_uring;
    subjects[1].backend = reactor::Backend::epoll;
    return subjects;
}

std::string conformance_name(const ::testing::TestParamInfo<ConformanceSubject>& info) {
    return info.param.name +
           (info.param.backend == reactor::Backend::io_uring ? "_io_uring" : "_epoll");
}

BackstoreConformance::BackstoreConformance() = default;
BackstoreConformance::~BackstoreConformance() = default;

void BackstoreConformance::SetUp() {
    reactor_ = std::make_unique<RunningReactor>(GetParam().backend);
    if (!reactor_->problem().empty())
        GTEST_SKIP() << reactor_->problem();
    auto made = GetParam().make();
    if (!made && made.error().code == ENOTSUP)
        GTEST_SKIP() << made.error().message;
    ASSERT_TRUE(made) << made.error().message;
    store_ = std::move(*made);
    user_ = std::make_unique<StoreUser>(*reactor_, *store_);
}

void BackstoreConformance::TearDown() {
    user_.reset();
}

AlignedBytes BackstoreConformance::pattern(std::uint64_t count, std::uint64_t seed) const {
    AlignedBytes made(count * block());
    made.pattern(seed);
    return made;
}

AlignedBytes BackstoreConformance::empty(std::uint64_t count, std::uint8_t fill) const {
    return AlignedBytes(count * block(), fill);
}

void BackstoreConformance::expect_zeros(std::uint64_t lba, std::uint64_t count) {
    AlignedBytes got = empty(count);
    ASSERT_EQ(user_->read(lba, got), StoreStatus::good);
    const auto bytes = got.view();
    const auto bad = std::find_if(bytes.begin(), bytes.end(), [](auto byte) { return byte != 0; });
    EXPECT_EQ(bad, bytes.end()) << "not zero at byte " << bad - bytes.begin() << " from LBA "
                                << lba;
}

void BackstoreConformance::expect_pattern(std::uint64_t lba, std::uint64_t count,
                                          std::uint64_t seed) {
    AlignedBytes got = empty(count);
    ASSERT_EQ(user_->read(lba, got), StoreStatus::good);
    EXPECT_TRUE(got == pattern(count, seed)) << "other data at LBA " << lba;
}

void BackstoreConformance::expect_zeroed_by(
    const std::function<StoreStatus(std::uint64_t, std::uint64_t)>& change) {
    struct Range {
        std::uint64_t lba;
        std::uint64_t count;
    };
    const std::uint64_t many = (6 << 20) / block();
    for (const Range range :
         {Range{0, 1}, Range{7, 1}, Range{3, 29}, Range{8, 64}, Range{1, many}}) {
        SCOPED_TRACE(fmt::format("LBA {}, {} blocks", range.lba, range.count));
        const std::uint64_t all = range.lba + range.count + 9;
        AlignedBytes before = pattern(all, range.count);
        ASSERT_EQ(user_->write(0, before), StoreStatus::good);
        ASSERT_EQ(change(range.lba, range.count), StoreStatus::good);
        std::memset(before.data() + range.lba * block(), 0, range.count * block());
        AlignedBytes after = empty(all);
        ASSERT_EQ(user_->read(0, after), StoreStatus::good);
        EXPECT_TRUE(before == after);
    }
}

// --- The contract -------------------------------------------------------------------------------

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(BackstoreConformance);

TEST_P(BackstoreConformance, SaysWhatItIs) {
    const scsi::Geometry geometry = store_->geometry();
    EXPECT_TRUE(geometry.block_bytes == 512 || geometry.block_bytes == 4096);
    EXPECT_GE(geometry.blocks * geometry.block_bytes, conformance_bytes);
    EXPECT_LE(geometry.physical_block_exponent, 15);
    EXPECT_EQ(store_->refresh_blocks().value(), geometry.blocks);
    EXPECT_FALSE(store_->description().empty());
    EXPECT_GE(store_->capabilities().unmap_granularity_blocks, 1u);
    const scsi::Identification identity = store_->identification();
    EXPECT_EQ(identity.serial, store_->identification().serial);
    EXPECT_EQ(identity.naa, store_->identification().naa);
    EXPECT_EQ(identity.naa[0] >> 4, 6) << "not an NAA 6h identifier";
    EXPECT_FALSE(identity.serial.empty());
    EXPECT_LE(identity.serial.size(), 252u);
    EXPECT_LE(identity.product.size(), 16u);
}

// CVE-2014-4027: memory of others must not be read from a new disk.
TEST_P(BackstoreConformance, AFreshStoreReadsZeros) {
    expect_zeros(0, (4 << 20) / block());
    expect_zeros(blocks() - 9, 9);
}

TEST_P(BackstoreConformance, ReadsWhatWasWritten) {
    const std::uint64_t counts[] = {1, 2, 7, 8, 255, (1 << 20) / block(), (8 << 20) / block()};
    for (const std::uint64_t count : counts) {
        for (const std::uint64_t lba : {std::uint64_t{0}, std::uint64_t{5}, blocks() - count}) {
            SCOPED_TRACE(fmt::format("LBA {}, {} blocks", lba, count));
            AlignedBytes data = pattern(count, lba + count);
            ASSERT_EQ(user_->write(lba, data), StoreStatus::good);
            expect_pattern(lba, count, lba + count);
        }
    }
}

TEST_P(BackstoreConformance, AWriteChangesNothingElse) {
    AlignedBytes all = pattern(64, 1);
    ASSERT_EQ(user_->write(100, all), StoreStatus::good);
    AlignedBytes one = pattern(3, 2);
    ASSERT_EQ(user_->write(117, one), StoreStatus::good);
    std::memcpy(all.data() + 17 * block(), one.data(), one.size());
    AlignedBytes got = empty(64);
    ASSERT_EQ(user_->read(100, got), StoreStatus::good);
    EXPECT_TRUE(got == all);
    expect_zeros(99, 1);
    expect_zeros(164, 1);
}

TEST_P(BackstoreConformance, OneShardReadsWhatAnotherWrote) {
    AlignedBytes data = pattern(16, 3);
    ASSERT_EQ(user_->write(40, data, false, 0), StoreStatus::good);
    AlignedBytes got = empty(16);
    ASSERT_EQ(user_->read(40, got, 1), StoreStatus::good);
    EXPECT_TRUE(got == data);
}

TEST_P(BackstoreConformance, FlushesAndForcesUnitAccess) {
    AlignedBytes data = pattern(16, 4);
    EXPECT_EQ(user_->flush(), StoreStatus::good);
    EXPECT_EQ(user_->write(0, data, true), StoreStatus::good);
    EXPECT_EQ(user_->write(16, data, false), StoreStatus::good);
    EXPECT_EQ(user_->flush(1), StoreStatus::good);
    StoreIo part;
    part.opcode = StoreOpcode::flush;
    part.lba = 16;
    part.blocks = 16;
    EXPECT_EQ(user_->run(part), StoreStatus::good);
    expect_pattern(0, 16, 4);
    expect_pattern(16, 16, 4);
}

TEST_P(BackstoreConformance, BorrowedMemoryShowsTheDataAndStays) {
    AlignedBytes data = pattern(40, 5);
    ASSERT_EQ(user_->write(3, data), StoreStatus::good);
    AlignedBytes into = empty(40);
    StoreIo io;
    io.lba = 3;
    io.blocks = 40;
    io.may_borrow = true;
    io.data = into.bytes();
    ASSERT_EQ(user_->run(io), StoreStatus::good);
    if (!store_->capabilities().borrows) {
        EXPECT_EQ(io.borrowed_count, 0u);
        EXPECT_TRUE(into == data) << "a store that lends nothing must fill the buffer";
        return;
    }
    ASSERT_GE(io.borrowed_count, 1u);
    std::vector<std::uint8_t> got;
    const auto gather = [&] {
        got.clear();
        for (std::size_t i = 0; i < io.borrowed_count; ++i) {
            const auto* from = static_cast<const std::uint8_t*>(io.borrowed[i].iov_base);
            got.insert(got.end(), from, from + io.borrowed[i].iov_len);
        }
    };
    gather();
    EXPECT_TRUE(std::ranges::equal(got, data.view()));
    ASSERT_EQ(user_->unmap(0, 64), StoreStatus::good);
    (void)store_->resize(blocks() + 4096);
    (void)store_->resize(8);
    gather();
    EXPECT_EQ(got.size(), data.size());
}

TEST_P(BackstoreConformance, UnmapsWhatItIsAskedToAndNothingElse) {
    const StoreCapabilities able = store_->capabilities();
    if (able.unmap != Support::native || !able.unmapped_reads_zeros)
        GTEST_SKIP() << store_->type() << " does not unmap to zeros here";
    expect_zeroed_by([&](auto lba, auto count) { return user_->unmap(lba, count); });
    EXPECT_EQ(user_->unmap(0, blocks()), StoreStatus::good);
    expect_zeros(0, 4096);
}

TEST_P(BackstoreConformance, WritesZeroesWhereItIsAskedToAndNowhereElse) {
    if (store_->capabilities().write_zeroes != Support::native)
        GTEST_SKIP() << store_->type() << " leaves zeroing to the engine here";
    for (const bool may_unmap : {false, true})
        for (const bool fua : {false, true})
            expect_zeroed_by([&](auto lba, auto count) {
                return user_->write_zeroes(lba, count, may_unmap, fua);
            });
}

TEST_P(BackstoreConformance, ExtentsTellWhereDataIs) {
    const StoreCapabilities able = store_->capabilities();
    if (able.extent_status != Support::native)
        return;  // the engine does not ask
    const std::uint64_t far = (9 << 20) / block() + 1;
    AlignedBytes data = pattern(3, 6);
    ASSERT_EQ(user_->write(far, data), StoreStatus::good);
    ASSERT_EQ(user_->write(blocks() - 3, data), StoreStatus::good);
    bool seen_unmapped = false;
    for (std::uint64_t lba = 0; lba < blocks();) {
        bool mapped = false;
        std::uint64_t count = 0;
        ASSERT_EQ(user_->extent(lba, mapped, count), StoreStatus::good);
        ASSERT_GE(count, 1u);
        ASSERT_LE(count, blocks() - lba) << "an extent goes beyond the end";
        if (!mapped) {
            seen_unmapped = true;
            const auto outside = [&](std::uint64_t at) { return at < lba || at >= lba + count; };
            EXPECT_TRUE(outside(far) && outside(far + 2) && outside(blocks() - 1))
                << "data counts as unmapped";
            expect_zeros(lba, std::min<std::uint64_t>(count, 64));
        }
        lba += count;
    }
    EXPECT_TRUE(seen_unmapped);
    bool mapped = false;
    std::uint64_t count = 0;
    ASSERT_EQ(user_->extent(far + 1, mapped, count), StoreStatus::good);
    EXPECT_TRUE(mapped);
    EXPECT_GE(count, 2u);
    if (able.unmap != Support::native)
        return;
    ASSERT_EQ(user_->unmap(0, blocks()), StoreStatus::good);
    ASSERT_EQ(user_->extent(far + 1, mapped, count), StoreStatus::good);
    EXPECT_FALSE(mapped);
    EXPECT_EQ(count, blocks() - far - 1);
}

// A copy may end with an error where the storage cannot do it; but what it says it has done it has,
// and it touches nothing else.
TEST_P(BackstoreConformance, CopiesWhatItIsAskedToAndNothingElse) {
    if (user_->channel().copy_family() == nullptr)
        GTEST_SKIP() << store_->type() << " leaves copies to the engine";
    const std::uint64_t mib_blocks = mib / block();
    bool all_went_well = true;
    unsigned seed = 20;
    for (const std::uint64_t count : {std::uint64_t{1}, std::uint64_t{7}, 8 * mib_blocks - 3})
        for (const bool fua : {false, true}) {
            const std::uint64_t from = mib_blocks + seed % 3;
            const std::uint64_t to = 12 * mib_blocks + seed % 5;
            AlignedBytes source = pattern(count, ++seed);
            AlignedBytes around = pattern(count + 8, 3);
            ASSERT_EQ(user_->write(from, source), StoreStatus::good);
            ASSERT_EQ(user_->write(to - 4, around), StoreStatus::good);
            const StoreStatus status = user_->copy(to, count, from, nullptr, fua);
            AlignedBytes got = empty(count + 8);
            ASSERT_EQ(user_->read(to - 4, got), StoreStatus::good);
            const std::size_t edge = 4 * std::size_t{block()};
            const Bytes inside = got.view().subspan(edge, source.size());
            if (status == StoreStatus::good) {
                EXPECT_TRUE(std::ranges::equal(inside, source.view())) << count;
            }
            EXPECT_TRUE(std::ranges::equal(got.view().first(edge), around.view().first(edge)));
            EXPECT_TRUE(std::ranges::equal(got.view().last(edge), around.view().last(edge)));
            expect_pattern(from, count, seed);
            all_went_well = all_went_well && status == StoreStatus::good;
        }
    if (!all_went_well)
        GTEST_SKIP() << "the file system below copies nothing by itself";
}

TEST_P(BackstoreConformance, CopiesHolesAsZerosWithoutFillingThem) {
    if (user_->channel().copy_family() == nullptr)
        GTEST_SKIP() << store_->type() << " leaves copies to the engine";
    const std::uint64_t mib_blocks = mib / block();
    AlignedBytes data = pattern(mib_blocks, 30);
    // A MiB of data between holes, onto: a hole, data, data, a hole.
    ASSERT_EQ(user_->write(2 * mib_blocks, data), StoreStatus::good);
    AlignedBytes before = pattern(2 * mib_blocks, 31);
    ASSERT_EQ(user_->write(11 * mib_blocks, before), StoreStatus::good);
    if (user_->copy(10 * mib_blocks, 4 * mib_blocks, mib_blocks) != StoreStatus::good)
        GTEST_SKIP() << "the file system below copies nothing by itself";
    // Before it is read: a file system may count what is in its page cache as data.
    if (store_->capabilities().extent_status == Support::native && GetParam().copies_keep_holes) {
        bool mapped = true;
        std::uint64_t count = 0;
        ASSERT_EQ(user_->extent(13 * mib_blocks, mapped, count), StoreStatus::good);
        EXPECT_FALSE(mapped) << "a hole was filled by a hole";
    }
    expect_zeros(10 * mib_blocks, mib_blocks);
    expect_pattern(11 * mib_blocks, mib_blocks, 30);
    expect_zeros(12 * mib_blocks, 2 * mib_blocks);
    expect_pattern(2 * mib_blocks, mib_blocks, 30);
}

TEST_P(BackstoreConformance, CopiesFromAnotherStoreOfItsKind) {
    if (user_->channel().copy_family() == nullptr)
        GTEST_SKIP() << store_->type() << " leaves copies to the engine";
    auto made = GetParam().make();
    ASSERT_TRUE(made);
    {
        StoreUser other(*reactor_, **made);
        EXPECT_EQ(other.channel().copy_family(), user_->channel().copy_family());
        AlignedBytes data = pattern(5000, 40);
        ASSERT_EQ(other.write(17, data), StoreStatus::good);
        if (user_->copy(33, 5000, 17, &other) != StoreStatus::good)
            GTEST_SKIP() << "the file system below copies nothing by itself";
        expect_pattern(33, 5000, 40);
        expect_zeros(32, 1);
        expect_zeros(5033, 1);
    }
}

// Where blocks can be anchored, they are told from written ones and from those given up. In
// pieces of 64 KiB, which no file system has to keep together with others.
TEST_P(BackstoreConformance, AnchoredBlocksAreToldApart) {
    if (store_->capabilities().anchor != Support::native)
        return;  // the engine does not ask for it
    const std::uint64_t piece = (64 << 10) / block();
    const auto is = [&](std::uint64_t first, bool mapped, bool anchored) {
        const StoreUser::Extent found = user_->extent(first * piece);
        EXPECT_EQ(found.mapped, mapped) << first;
        EXPECT_EQ(found.anchored, anchored) << first;
        EXPECT_GE(found.blocks, piece) << first;
    };
    AlignedBytes data = pattern(4 * piece, 9);
    ASSERT_EQ(user_->unmap(0, blocks()), StoreStatus::good);
    ASSERT_EQ(user_->write(2 * piece, data), StoreStatus::good);
    ASSERT_EQ(user_->flush(), StoreStatus::good);
    // Over written ones and behind them; and nothing was there before.
    ASSERT_EQ(user_->anchor(StoreOpcode::unmap, 4 * piece, 4 * piece), StoreStatus::good);
    ASSERT_EQ(user_->anchor(StoreOpcode::write_zeroes, 10 * piece, 2 * piece), StoreStatus::good);
    is(0, false, false);
    EXPECT_EQ(user_->extent(0).blocks, 2 * piece);
    is(2, true, false);
    is(3, true, false);
    is(4, false, true);
    is(7, false, true);
    is(8, false, false);
    EXPECT_EQ(user_->extent(8 * piece).blocks, 2 * piece);
    is(10, false, true);
    EXPECT_EQ(user_->extent(10 * piece).blocks, 2 * piece);
    is(12, false, false);
    expect_zeros(4 * piece, 8 * piece);
    // What is written is mapped at once, before anything is flushed.
    AlignedBytes one = pattern(piece, 10);
    ASSERT_EQ(user_->write(10 * piece, one), StoreStatus::good);
    is(10, true, false);
    expect_pattern(10 * piece, piece, 10);
    ASSERT_EQ(user_->unmap(4 * piece, 8 * piece), StoreStatus::good);
    is(4, false, false);
    is(10, false, false);
}

// What the kernel makes of it is its own affair; it must not refuse the request.
TEST_P(BackstoreConformance, ServesEveryPriority) {
    AlignedBytes data = pattern(1, 11);
    for (std::uint8_t priority = 0; priority <= 15; ++priority) {
        for (const StoreOpcode opcode : {StoreOpcode::write, StoreOpcode::read}) {
            StoreIo io;
            io.opcode = opcode;
            io.priority = priority;
            io.lba = priority;
            io.blocks = 1;
            io.data = data.bytes();
            EXPECT_EQ(user_->run(io), StoreStatus::good) << unsigned{priority};
        }
    }
}

TEST_P(BackstoreConformance, TakesAHintToPrefetch) {
    StoreIo io;
    io.opcode = StoreOpcode::prefetch;
    io.lba = 5;
    io.blocks = 100;
    EXPECT_EQ(user_->run(io), StoreStatus::good);
}

TEST_P(BackstoreConformance, SwitchesItsCacheOnlyWhereItCan) {
    const StoreCapabilities before = store_->capabilities();
    AlignedBytes data = pattern(8, 7);
    ASSERT_EQ(user_->write(0, data), StoreStatus::good);
    if (!before.cache_mode_changeable) {
        EXPECT_FALSE(store_->set_volatile_cache(!before.volatile_cache));
        return;
    }
    for (const bool enabled : {false, true, false}) {
        ASSERT_TRUE(store_->set_volatile_cache(enabled));
        EXPECT_EQ(store_->capabilities().volatile_cache, enabled);
        EXPECT_EQ(user_->write(8, data), StoreStatus::good);
        EXPECT_EQ(user_->flush(), StoreStatus::good);
        if (before.unmap == Support::native) {
            EXPECT_EQ(user_->unmap(64, 64), StoreStatus::good);
        }
        expect_pattern(8, 8, 7);
    }
}

TEST_P(BackstoreConformance, KeepsItsDataWhenItsSizeChanges) {
    const std::uint64_t before = blocks();
    AlignedBytes data = pattern(16, 8);
    ASSERT_EQ(user_->write(before - 16, data), StoreStatus::good);
    const auto grown = store_->resize(before + 4096);
    if (!grown && grown.error().code == ENOTSUP)
        return;
    ASSERT_TRUE(grown) << grown.error().message;
    EXPECT_EQ(blocks(), before + 4096);
    EXPECT_EQ(store_->refresh_blocks().value(), before + 4096);
    expect_pattern(before - 16, 16, 8);
    expect_zeros(before, 4096);
    AlignedBytes more = pattern(16, 9);
    ASSERT_EQ(user_->write(blocks() - 16, more), StoreStatus::good);
    ASSERT_TRUE(store_->resize(before - 8));
    EXPECT_EQ(blocks(), before - 8);
    ASSERT_TRUE(store_->resize(before + 4096));
    expect_pattern(before - 16, 8, 8);
    expect_zeros(before - 8, 4096 + 8);
    EXPECT_FALSE(store_->resize(0));
    EXPECT_FALSE(store_->resize(~std::uint64_t{0}));
    EXPECT_EQ(blocks(), before + 4096);
}

namespace {

// Keeps `depth` requests under way on one shard, in a part of the disk of its own, against a model.
class Load final : public StoreCompletion {
  public:
    static constexpr std::size_t depth = 32;

    Load(reactor::Shard& shard, StoreChannel& channel, std::uint32_t block_bytes,
         std::uint64_t first_lba, unsigned seed, std::size_t requests, bool unmaps)
        : shard_(shard),
          channel_(channel),
          first_lba_(first_lba),
          left_(requests),
          unmaps_(unmaps),
          random_(seed) {
        for (std::size_t i = 0; i < depth; ++i)
            slots_.push_back(std::make_unique<Slot>(slot_blocks * block_bytes));
    }
    void start() {
        for (const auto& slot : slots_)
            next(*slot);
    }
    void wait() { done_.get_future().wait(); }
    int mistakes = 0;  // read when it is over

    void store_completed(StoreIo& io) noexcept override {
        if (reactor::Shard::current() != &shard_ || io.status != StoreStatus::good)
            ++mistakes;
        for (const auto& slot : slots_) {
            if (&slot->io != &io)
                continue;
            if (io.opcode == StoreOpcode::read && !(slot->buffer == slot->expected))
                ++mistakes;
            next(*slot);
            return;
        }
        ++mistakes;
    }

  private:
    static constexpr std::uint64_t slot_blocks = 16;
    struct Slot {
        explicit Slot(std::size_t size) : buffer(size), expected(size) {}
        StoreIo io;
        AlignedBytes buffer;
        AlignedBytes expected;  // what the disk must hold at this slot's place
    };

    // A slot's place is its own, so that the model is exact whatever the order.
    void next(Slot& slot) noexcept {
        if (left_ == 0) {
            if (++idle_ == depth)
                done_.set_value();
            return;
        }
        --left_;
        std::size_t index = 0;
        while (slots_[index].get() != &slot)
            ++index;
        StoreIo& io = slot.io;
        io.completion = this;
        io.lba = first_lba_ + index * slot_blocks;
        io.blocks = slot_blocks;
        io.data = slot.buffer.bytes();
        io.fua = random_() % 8 == 0;
        const auto dice = random_() % 16;
        if (dice < 8) {
            io.opcode = StoreOpcode::write;
            slot.buffer.pattern(random_());
            std::memcpy(slot.expected.data(), slot.buffer.data(), slot.buffer.size());
        } else if (dice < 14) {
            io.opcode = StoreOpcode::read;
            io.fua = false;
        } else if (dice < 15 && unmaps_) {
            io.opcode = StoreOpcode::unmap;
            io.fua = false;
            std::memset(slot.expected.data(), 0, slot.expected.size());
        } else {
            io.opcode = StoreOpcode::flush;
            io.blocks = 0;
        }
        channel_.submit(io);
    }

    reactor::Shard& shard_;
    StoreChannel& channel_;
    std::uint64_t first_lba_;
    std::size_t left_;
    bool unmaps_;
    std::size_t idle_ = 0;
    std::mt19937_64 random_;
    std::vector<std::unique_ptr<Slot>> slots_;
    std::promise<void> done_;
};

}  // namespace

TEST_P(BackstoreConformance, ManyRequestsOnTwoShardsMatchAModel) {
    const StoreCapabilities able = store_->capabilities();
    const bool unmaps = able.unmap == Support::native && able.unmapped_reads_zeros;
    std::vector<std::unique_ptr<Load>> loads;
    for (unsigned shard = 0; shard < 2; ++shard) {
        loads.push_back(std::make_unique<Load>(reactor_->shard(shard), user_->channel(shard),
                                               block(), shard * 1024, shard + 1, 1000, unmaps));
        reactor_->on(shard, [&] { loads.back()->start(); });
    }
    for (unsigned shard = 0; shard < 2; ++shard) {
        loads[shard]->wait();
        reactor_->on(shard, [] {});
        EXPECT_EQ(loads[shard]->mistakes, 0);
    }
}

TEST_P(BackstoreConformance, OverlappingWritesOfTwoShardsLeaveOneOfThem) {
    AlignedBytes ones = empty(64, 1);
    AlignedBytes twos = empty(64, 2);
    for (int round = 0; round < 20; ++round) {
        std::thread other([&] { EXPECT_EQ(user_->write(0, twos, false, 1), StoreStatus::good); });
        StoreIo io;
        io.opcode = StoreOpcode::write;
        io.blocks = 64;
        io.data = ones.bytes();
        EXPECT_EQ(user_->run(io, 0), StoreStatus::good);
        other.join();
        AlignedBytes got = empty(64);
        ASSERT_EQ(user_->read(0, got), StoreStatus::good);
        for (const std::uint8_t byte : got.view())
            ASSERT_TRUE(byte == 1 || byte == 2);
    }
}

TEST_P(BackstoreConformance, ACanceledRequestCompletesOnce) {
    AlignedBytes data = pattern(64, 10);
    for (int round = 0; round < 50; ++round) {
        StoreIo io;
        io.opcode = round % 3 == 0 ? StoreOpcode::flush : StoreOpcode::write;
        io.blocks = 64;
        io.data = data.bytes();
        io.fua = round % 2 == 0;
        const StoreStatus status = user_->run_and_cancel(io);
        reactor_->on(0, [] {});
        EXPECT_TRUE(status == StoreStatus::good || status == StoreStatus::canceled);
    }
    ASSERT_EQ(user_->write(0, data), StoreStatus::good);
    expect_pattern(0, 64, 10);
}

// Only where it keeps them.
TEST_P(BackstoreConformance, TuplesOfProtectionInformationAreOnesUntilTheyAreWritten) {
    if (store_->capabilities().protection == Support::none)
        return;
    StoreUser tuples(*reactor_, scsi::protection_bytes, [this](reactor::Shard& shard) {
        return store_->open_protection_channel(shard).value();
    });
    constexpr std::uint64_t count = 1001;
    const AlignedBytes ones(count * scsi::protection_bytes, 0xFF);
    AlignedBytes got(ones.size());
    const std::uint64_t last = blocks() - count;
    for (const std::uint64_t lba : {std::uint64_t{0}, last}) {
        ASSERT_EQ(tuples.read(lba, got), StoreStatus::good);
        EXPECT_TRUE(got == ones);
        AlignedBytes written(ones.size());
        written.pattern(lba + 1);
        ASSERT_EQ(tuples.write(lba, written, true), StoreStatus::good);
        ASSERT_EQ(tuples.read(lba, got), StoreStatus::good);
        EXPECT_TRUE(got == written);
    }
    ASSERT_EQ(tuples.read(count, got), StoreStatus::good);
    EXPECT_TRUE(got == ones);
    EXPECT_EQ(tuples.flush(), StoreStatus::good);
    expect_zeros(0, 16);  // the blocks are others
    ASSERT_TRUE(store_->clear_protection());
    ASSERT_EQ(tuples.read(last, got), StoreStatus::good);
    EXPECT_TRUE(got == ones);
}

}  // namespace olio::target::testing
