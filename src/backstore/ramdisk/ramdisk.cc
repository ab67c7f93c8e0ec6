#include "backstore/ramdisk/ramdisk.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "backstore/ramdisk/ram_memory.h"
#include "base/assert.h"
#include "reactor/shard.h"
#include "target/system_facts.h"

namespace olio::ramdisk {
namespace {

using target::StoreIo;
using target::StoreOpcode;
using target::StoreStatus;

// Giving pages back costs time for each of them; more than this much is done on a helper thread.
constexpr std::uint64_t clear_at_once_bytes = 4 << 20;

// More than this is copied on a helper thread.
constexpr std::uint64_t copy_at_once_bytes = 256 << 10;

// A power failure leaves nothing of any write, so each of them is whole; the bound is on how long
// others wait for one.
constexpr std::uint32_t atomic_bytes = 1 << 20;

class RamChannel final : public target::StoreChannel {
  public:
    RamChannel(reactor::Shard& shard, std::shared_ptr<RamMemory> memory, std::uint32_t block_bytes)
        : shard_(shard), memory_(std::move(memory)), block_bytes_(block_bytes) {}

    void submit(StoreIo& io) noexcept override {
        using Run = void (RamChannel::*)(StoreIo&) noexcept;
        static constexpr std::array<Run, static_cast<std::size_t>(StoreOpcode::count)> runs = {
            &RamChannel::read,  &RamChannel::write,  &RamChannel::nothing, &RamChannel::clear,
            &RamChannel::clear, &RamChannel::extent, &RamChannel::nothing, &RamChannel::copy};
        io.channel = this;
        io.borrowed_count = 0;
        io.error_lba = io.lba;
        (this->*runs[static_cast<std::size_t>(io.opcode)])(io);
    }
    // Everything is either done at once or soon.
    void cancel(StoreIo&) noexcept override {}
    [[nodiscard]] const void* copy_family() const noexcept override {
        static constexpr char memory = 0;
        return &memory;
    }
    void stepped(StoreIo& io, std::int64_t result) noexcept override {
        io.complete(result == -ENOSPC ? StoreStatus::no_space
                    : result < 0      ? StoreStatus::internal_error
                                      : StoreStatus::good);
    }

  private:
    void read(StoreIo& io) noexcept {
        if (io.may_borrow) {
            io.borrowed[0] = {memory_->at(io.lba * block_bytes_), io.blocks * block_bytes_};
            io.borrowed_count = 1;
        } else {
            memory_->read(io.lba * block_bytes_, io.data);
        }
        io.complete(StoreStatus::good);
    }
    void write(StoreIo& io) noexcept {
        io.complete(memory_->write(io.lba * block_bytes_, io.data) ? StoreStatus::good
                                                                   : StoreStatus::no_space);
    }
    void clear(StoreIo& io) noexcept {
        if (io.blocks * block_bytes_ <= clear_at_once_bytes) {
            stepped(io, clear_now(&io));
            return;
        }
        shard_.submit(io.step().call(&RamChannel::clear_now, &io));
    }
    void extent(StoreIo& io) noexcept {
        const std::uint64_t offset = io.lba * block_bytes_;
        const RamMemory::Extent found = memory_->extent(offset);
        io.mapped = found.written;
        io.anchored = found.anchored;
        io.extent_blocks = std::max<std::uint64_t>(found.length / block_bytes_, 1);
        io.complete(StoreStatus::good);
    }
    void copy(StoreIo& io) noexcept {
        if (io.blocks * block_bytes_ <= copy_at_once_bytes)
            stepped(io, copy_now(&io));
        else
            shard_.submit(io.step().call(&RamChannel::copy_now, &io));
    }
    void nothing(StoreIo& io) noexcept { io.complete(StoreStatus::good); }

    static std::int64_t clear_now(void* argument) {
        const StoreIo& io = *static_cast<StoreIo*>(argument);
        const auto& self = static_cast<RamChannel&>(*io.channel);
        return self.memory_->clear(io.lba * self.block_bytes_, io.blocks * self.block_bytes_,
                                   io.anchor);
    }

    // Pages that the source never wrote take no memory in the destination where none was taken.
    static std::int64_t copy_now(void* argument) {
        const StoreIo& io = *static_cast<StoreIo*>(argument);
        const auto& self = static_cast<RamChannel&>(*io.channel);
        const auto& source = static_cast<const RamChannel&>(*io.source);
        std::uint64_t to = io.lba * self.block_bytes_;
        std::uint64_t from = io.source_lba * source.block_bytes_;
        std::uint64_t left = io.blocks * self.block_bytes_;
        while (left != 0) {
            const RamMemory::Extent there = source.memory_->extent(from);
            std::uint64_t bytes = std::min(left, there.length);
            if (there.written) {
                bytes = std::min<std::uint64_t>(bytes, copy_at_once_bytes);
                if (!self.memory_->write(to, Bytes(source.memory_->at(from), bytes)))
                    return -ENOSPC;
            } else {
                const RamMemory::Extent here = self.memory_->extent(to);
                bytes = std::min(bytes, here.length);
                const std::int64_t cleared = here.written ? self.memory_->clear(to, bytes) : 0;
                if (cleared < 0)
                    return cleared;
            }
            to += bytes;
            from += bytes;
            left -= bytes;
        }
        return 0;
    }

    reactor::Shard& shard_;
    std::shared_ptr<RamMemory>
        memory_;  // what was lent stays readable as long as the channel is open
    std::uint32_t block_bytes_;
};

// The tuples of protection information lie in memory with all bits inverted: what was never written
// is zero there and FFh to those who read it, as it must be, and costs no memory.
class TupleChannel final : public target::StoreChannel {
  public:
    explicit TupleChannel(std::shared_ptr<RamMemory> memory) : memory_(std::move(memory)) {}

    void submit(StoreIo& io) noexcept override {
        io.channel = this;
        io.borrowed_count = 0;
        io.error_lba = io.lba;
        const std::uint64_t offset = io.lba * scsi::protection_bytes;
        if (io.opcode == StoreOpcode::read) {
            memory_->read(offset, io.data);
            invert(io.data, io.data);
        } else if (io.opcode == StoreOpcode::write) {
            write(offset, io.data);
        }
        io.complete(StoreStatus::good);
    }
    void cancel(StoreIo&) noexcept override {}
    void stepped(StoreIo& io, std::int64_t) noexcept override {
        io.complete(StoreStatus::internal_error);
    }

  private:
    static void invert(Bytes from, MutableBytes to) noexcept {
        for (std::size_t i = 0; i < from.size(); i += scsi::protection_bytes) {
            std::uint64_t tuple = 0;
            std::memcpy(&tuple, from.data() + i, sizeof tuple);
            tuple = ~tuple;
            std::memcpy(to.data() + i, &tuple, sizeof tuple);
        }
    }
    void write(std::uint64_t offset, Bytes tuples) noexcept {
        std::array<std::uint8_t, 1024> piece;
        while (!tuples.empty()) {
            const std::size_t bytes = std::min(piece.size(), tuples.size());
            invert(tuples.first(bytes), piece);
            const bool written = memory_->write(offset, Bytes(piece).first(bytes));
            OLIO_ASSERT(written, "only the blocks themselves are limited");
            tuples = tuples.subspan(bytes);
            offset += bytes;
        }
    }

    std::shared_ptr<RamMemory> memory_;
};

class RamDisk final : public target::Backstore {
  public:
    RamDisk(Options options, std::shared_ptr<RamMemory> memory, std::shared_ptr<RamMemory> tuples)
        : options_(std::move(options)), memory_(std::move(memory)), tuples_(std::move(tuples)) {}

    [[nodiscard]] std::string_view type() const override { return "ramdisk"; }
    [[nodiscard]] std::string description() const override {
        return fmt::format("{} MiB of memory", memory_->size_bytes() >> 20);
    }
    [[nodiscard]] scsi::Geometry geometry() const override {
        scsi::Geometry geometry;
        geometry.blocks = blocks();
        geometry.block_bytes = options_.block_bytes;
        geometry.physical_block_exponent = options_.block_bytes == 512 ? 3 : 0;
        geometry.optimal_transfer_granularity = page_blocks();
        return geometry;
    }
    [[nodiscard]] target::StoreCapabilities capabilities() const override {
        target::StoreCapabilities able;
        able.unmap = target::Support::native;
        able.write_zeroes = target::Support::native;
        able.extent_status = target::Support::native;
        able.anchor = target::Support::native;
        able.erases = true;
        able.reports_space = true;
        able.maximum_atomic_bytes = atomic_bytes;
        able.unmapped_reads_zeros = true;
        able.borrows = true;
        able.protection = tuples_ ? target::Support::native : target::Support::none;
        able.unmap_granularity_blocks = page_blocks();
        return able;
    }
    [[nodiscard]] scsi::Identification identification() const override {
        return target::stable_identification(options_.serial, "ramdisk:" + options_.name);
    }
    Result<std::unique_ptr<target::StoreChannel>> open_channel(reactor::Shard& shard) override {
        return std::make_unique<RamChannel>(shard, memory_, options_.block_bytes);
    }
    Result<std::unique_ptr<target::StoreChannel>> open_protection_channel(
        reactor::Shard& shard) override {
        if (!tuples_)
            return Backstore::open_protection_channel(shard);
        return std::make_unique<TupleChannel>(tuples_);
    }
    Result<void> clear_protection() override {
        if (!tuples_)
            return Backstore::clear_protection();
        const std::int64_t cleared = tuples_->clear(0, tuples_->size_bytes());
        if (cleared < 0)
            return fail_errno(static_cast<int>(-cleared), options_.name);
        return {};
    }
    Result<std::uint64_t> refresh_blocks() override { return blocks(); }
    Result<void> resize(std::uint64_t blocks) override {
        std::uint64_t bytes = 0;
        if (blocks == 0 || !checked_multiply<std::uint64_t>(blocks, options_.block_bytes, bytes))
            return fail(EINVAL,
                        fmt::format("{}: a disk of {} blocks cannot be", options_.name, blocks));
        if (tuples_)
            OLIO_TRY(tuples_->resize(blocks * scsi::protection_bytes, options_.name));
        return memory_->resize(bytes, options_.name);
    }
    Result<target::StoreSpace> space() override {
        const std::uint64_t taken = memory_->taken_bytes();
        const std::uint64_t limit = memory_->limit_bytes();
        const std::uint64_t most =
            limit == 0 ? memory_->size_bytes() : std::min(limit, memory_->size_bytes());
        const std::uint64_t left = most > taken ? most - taken : 0;
        return target::StoreSpace{.used_bytes = taken,
                                  .available_bytes = std::min(left, memory_available_bytes()),
                                  .shared = limit == 0};
    }
    Result<void> set_volatile_cache(bool enabled) override {
        if (enabled)
            return fail(ENOTSUP, options_.name + ": a RAM disk has no cache to switch on");
        return {};
    }

  private:
    [[nodiscard]] std::uint64_t blocks() const {
        return memory_->size_bytes() / options_.block_bytes;
    }
    [[nodiscard]] std::uint32_t page_blocks() const {
        return static_cast<std::uint32_t>(RamMemory::page_bytes / options_.block_bytes);
    }

    Options options_;
    std::shared_ptr<RamMemory> memory_;
    std::shared_ptr<RamMemory> tuples_;  // null: no protection information
};

}  // namespace

Result<std::unique_ptr<target::Backstore>> open(const Options& options) {
    if (options.block_bytes != 512 && options.block_bytes != 4096)
        return fail(EINVAL, fmt::format("{}: blocks of {} bytes; only 512 and 4096 are possible",
                                        options.name, options.block_bytes));
    if (options.size_bytes == 0 || options.size_bytes % options.block_bytes != 0)
        return fail(EINVAL,
                    fmt::format("{}: the size, {} bytes, is not a multiple of the block size {}",
                                options.name, options.size_bytes, options.block_bytes));
    if (options.limit_bytes != 0 &&
        (options.preallocate || options.limit_bytes % RamMemory::page_bytes != 0))
        return fail(EINVAL,
                    fmt::format("{}: a limit of {} bytes of memory; it must be a multiple of {}, "
                                "and cannot be had with preallocation",
                                options.name, options.limit_bytes, RamMemory::page_bytes));
    auto memory = RamMemory::create(options.size_bytes, options.preallocate, options.name,
                                    options.limit_bytes);
    if (!memory)
        return std::unexpected(std::move(memory.error()));
    std::shared_ptr<RamMemory> tuples;
    if (options.protection) {
        auto made =
            RamMemory::create(options.size_bytes / options.block_bytes * scsi::protection_bytes,
                              options.preallocate, options.name);
        if (!made)
            return std::unexpected(std::move(made.error()));
        tuples = std::move(*made);
    }
    return std::make_unique<RamDisk>(options, std::move(*memory), std::move(tuples));
}

}  // namespace olio::ramdisk
