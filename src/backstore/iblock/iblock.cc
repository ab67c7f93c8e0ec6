#include "backstore/iblock/iblock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <limits>
#include <memory>
#include <system_error>

#include "backstore/iblock/device_facts.h"
#include "base/former_owner.h"
#include "base/log.h"
#include "target/file_channel.h"
#include "target/system_facts.h"

namespace olio::iblock {
namespace {

using target::OwnedDescriptor;
using target::Support;

// On a block device these modes mean: make zeros and give up what can be (the request fails where
// the device cannot do it by itself), and make zeros by any means, keeping the blocks.
constexpr int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
constexpr int zero = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;

std::int64_t discard(int descriptor, std::uint64_t offset, std::uint64_t length) {
    std::uint64_t range[2] = {offset, length};
    return ::ioctl(descriptor, BLKDISCARD, range) == 0 ? 0 : -errno;
}

// A device that was taken away shows itself by odd errors: writes behind its end (ENOSPC), reads of
// nothing (EIO here). Its size tells them from the true ones.
std::int64_t diagnose(int descriptor, int error) {
    std::uint64_t size_bytes = 0;
    if (::ioctl(descriptor, BLKGETSIZE64, &size_bytes) != 0 || size_bytes == 0)
        return -ENODEV;
    return -error;
}

class BlockDevice final : public target::Backstore {
  public:
    BlockDevice(const Options& options, OwnedDescriptor descriptor, DeviceFacts facts,
                bool read_only)
        : facts_(std::move(facts)), descriptor_(std::move(descriptor)) {
        backing_->name = options.path;
        backing_->block_bytes = facts_.logical_block_bytes;
        backing_->alignment_bytes = facts_.logical_block_bytes;
        backing_->page_cache = false;
        backing_->read_only = read_only;
        backing_->diagnose = &diagnose;
        if (!read_only) {
            backing_->zero_mode = zero;
            // Zeros by the device itself are preferred to a discard, after which nobody knows what
            // is read.
            if (facts_.discard_max_bytes != 0 && facts_.write_zeroes_max_bytes != 0) {
                backing_->unmap_mode = punch;
                backing_->unmap_zeroes = true;
            } else if (facts_.discard_max_bytes != 0) {
                backing_->unmap = &discard;
            }
        }
        backing_->blocks = facts_.size_bytes / facts_.logical_block_bytes;
        backing_->write_through = options.write_through;
        identify(options);
    }

    [[nodiscard]] std::string_view type() const override { return "iblock"; }
    [[nodiscard]] std::string description() const override { return backing_->name; }

    [[nodiscard]] scsi::Geometry geometry() const override {
        const std::uint32_t block = facts_.logical_block_bytes;
        scsi::Geometry geometry;
        geometry.blocks = backing_->blocks;
        geometry.block_bytes = block;
        geometry.physical_block_exponent = static_cast<std::uint8_t>(
            std::countr_zero(std::bit_floor(facts_.physical_block_bytes / block)));
        // SBC-4 5.20.2: 14 bits.
        geometry.lowest_aligned_lba =
            static_cast<std::uint16_t>(std::min(facts_.alignment_offset_bytes / block, 0x3fffu));
        geometry.rotation_rate = facts_.rotational ? 0 : 1;
        geometry.optimal_transfer_granularity = facts_.minimum_io_bytes / block;
        geometry.optimal_transfer_blocks = facts_.optimal_io_bytes / block;
        return geometry;
    }

    [[nodiscard]] target::StoreCapabilities capabilities() const override {
        const std::uint32_t block = facts_.logical_block_bytes;
        const auto in_blocks = [block](std::uint64_t bytes) {
            return static_cast<std::uint32_t>(
                std::min<std::uint64_t>(bytes / block, std::numeric_limits<std::uint32_t>::max()));
        };
        target::StoreCapabilities able;
        able.unmap = backing_->unmap_mode != 0 || backing_->unmap != nullptr ? Support::native
                                                                             : Support::none;
        able.write_zeroes = backing_->zero_mode != 0 ? Support::native : Support::emulate;
        able.unmapped_reads_zeros = backing_->unmap_zeroes;
        able.read_only = backing_->read_only;
        able.volatile_cache =
            facts_.volatile_cache && !backing_->write_through && !backing_->read_only;
        able.cache_mode_changeable = facts_.volatile_cache && !backing_->read_only;
        able.unmap_granularity_blocks = std::max(1u, in_blocks(facts_.discard_granularity_bytes));
        able.unmap_alignment_blocks =
            in_blocks(facts_.discard_alignment_bytes) % able.unmap_granularity_blocks;
        return able;
    }

    [[nodiscard]] scsi::Identification identification() const override { return identification_; }

    Result<std::unique_ptr<target::StoreChannel>> open_channel(reactor::Shard& shard) override {
        return std::make_unique<target::FileChannel>(shard, backing_, descriptor_.get(),
                                                     OwnedDescriptor());
    }

    Result<std::uint64_t> refresh_blocks() override {
        std::uint64_t size_bytes = 0;
        if (::ioctl(descriptor_.get(), BLKGETSIZE64, &size_bytes) != 0)
            return fail_errno(errno, backing_->name + ": asking for its size");
        if (size_bytes < facts_.logical_block_bytes)
            return fail(ENODEV, backing_->name + " has vanished; connect it again and restart");
        backing_->blocks = size_bytes / facts_.logical_block_bytes;
        return backing_->blocks.load();
    }

    Result<void> resize(std::uint64_t) override {
        return fail(ENOTSUP, backing_->name +
                                 ": a block device is resized where it is made (lvextend, ...); "
                                 "rescan then finds its new size");
    }

    Result<void> set_volatile_cache(bool enabled) override {
        if (enabled && !facts_.volatile_cache)
            return fail(ENOTSUP,
                        backing_->name + ": the device has no volatile cache to switch on");
        return backing_->set_write_through(descriptor_.get(), !enabled);
    }

  private:
    void identify(const Options& options) {
        const std::unique_ptr<char, void (*)(void*)> canonical(
            ::realpath(options.path.c_str(), nullptr), &std::free);
        identification_ = target::stable_identification(
            options.serial.empty() ? facts_.serial : options.serial,
            fmt::format("device:{}", canonical ? canonical.get() : options.path.c_str()));
        if (!facts_.model.empty())
            identification_.product = facts_.model.substr(0, 16);
    }

    DeviceFacts facts_;
    OwnedDescriptor descriptor_;
    scsi::Identification identification_;
    std::shared_ptr<target::FileBacking> backing_ = std::make_shared<target::FileBacking>();
};

// O_EXCL on a block device: the kernel refuses it while the device is mounted, swapped on, part of
// another device, or so opened by another program (open(2)). Only the last may end by itself.
Result<OwnedDescriptor> open_descriptor(const Options& options, std::uint64_t device_number,
                                        bool& read_only) {
    int descriptor = -1;
    int error = 0;
    const auto attempt = [&](int access) {
        descriptor = ::open(options.path.c_str(), access | O_CLOEXEC | O_EXCL | O_DIRECT);
        error = descriptor >= 0 ? 0 : errno;
        return error != EBUSY;
    };
    const auto open_for = [&](int access) {
        if (!attempt(access) && why_busy(device_number) == held_by_a_program)
            (void)outwait_former_owner(options.path + " is in use",
                                       [&] { return attempt(access); });
    };
    if (!read_only)
        open_for(O_RDWR);
    if (read_only || error == EROFS || error == EACCES || error == EPERM) {
        if (!read_only)
            log::warning("{}: it cannot be written ({}), so it is served read-only", options.path,
                         std::generic_category().message(error));
        read_only = true;
        open_for(O_RDONLY);
    }
    if (descriptor >= 0)
        return OwnedDescriptor(descriptor);
    if (error == EBUSY)
        return fail(EBUSY, fmt::format("{} cannot be served: {}; free it first", options.path,
                                       why_busy(device_number)));
    return fail_errno(error, options.path);
}

Result<void> check(const DeviceFacts& facts, const std::string& path) {
    if (facts.logical_block_bytes != 512 && facts.logical_block_bytes != 4096)
        return fail(EINVAL,
                    fmt::format("{} has blocks of {} bytes; only 512 and 4096 can be served", path,
                                facts.logical_block_bytes));
    if (facts.size_bytes < facts.logical_block_bytes)
        return fail(ENXIO, path + " has no medium, or nothing is attached to it");
    if (facts.zoned == "host-managed")
        return fail(EINVAL, path +
                                " is a host-managed zoned device, which is no ordinary disk; put "
                                "dm-zoned on it and serve that");
    return {};
}

}  // namespace

Result<std::unique_ptr<target::Backstore>> open(const Options& options) {
    struct stat node{};
    if (::stat(options.path.c_str(), &node) != 0)
        return fail_errno(errno, options.path);
    if (!S_ISBLK(node.st_mode))
        return fail(ENOTBLK, options.path + " is not a block device; serve a file by fileio");
    bool read_only = options.read_only;
    auto descriptor = open_descriptor(options, node.st_rdev, read_only);
    if (!descriptor)
        return std::unexpected(std::move(descriptor.error()));
    auto facts = device_facts(descriptor->get(), options.path);
    if (!facts)
        return std::unexpected(std::move(facts.error()));
    OLIO_TRY(check(*facts, options.path));
    read_only = read_only || facts->read_only;
    return std::make_unique<BlockDevice>(options, std::move(*descriptor), std::move(*facts),
                                         read_only);
}

}  // namespace olio::iblock
