#include "backstore/fileio/fileio.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <limits>

#include "backstore/fileio/file_open.h"
#include "backstore/fileio/protection_file.h"
#include "target/file_channel.h"
#include "target/system_facts.h"

namespace olio::fileio {
namespace {

using target::FileBacking;
using target::Support;

constexpr int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
constexpr int zero = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;

// What fileio and an attached descriptor share.
class FileStore : public target::Backstore {
  public:
    [[nodiscard]] std::string_view type() const override { return "fileio"; }
    [[nodiscard]] std::string description() const override { return backing_->name; }
    [[nodiscard]] scsi::Geometry geometry() const override {
        scsi::Geometry now = geometry_;
        now.blocks = backing_->blocks;
        return now;
    }
    [[nodiscard]] target::StoreCapabilities capabilities() const override {
        target::StoreCapabilities able;
        const FileBacking& file = *backing_;
        able.unmap = file.unmap_mode != 0 ? Support::native : Support::none;
        able.write_zeroes = file.zero_mode != 0 ? Support::native : Support::emulate;
        able.extent_status = file.seeks_holes ? Support::native : Support::none;
        able.anchor = file.anchors ? Support::native : Support::none;
        able.unmapped_reads_zeros = file.unmap_zeroes;
        able.read_only = file.read_only;
        able.volatile_cache = !file.write_through && !file.read_only;
        able.cache_mode_changeable = changeable_ && !file.read_only;
        able.unmap_granularity_blocks =
            std::max<std::uint32_t>(1, 1u << geometry_.physical_block_exponent);
        return able;
    }
    [[nodiscard]] scsi::Identification identification() const override { return identification_; }

  protected:
    std::shared_ptr<FileBacking> backing_ = std::make_shared<FileBacking>();
    scsi::Geometry geometry_;
    scsi::Identification identification_;
    bool changeable_ = false;
};

class RegularFile final : public FileStore {
  public:
    RegularFile(const Options& options, OpenedFile file, std::unique_ptr<ProtectionFile> protection)
        : options_(options),
          descriptor_(std::move(file.descriptor)),
          protection_(std::move(protection)) {
        backing_->name = options.path;
        backing_->block_bytes = options.block_bytes;
        backing_->alignment_bytes = std::max(options.block_bytes, file.alignment_bytes);
        backing_->page_cache = !options.direct;
        backing_->read_only = file.read_only;
        backing_->seeks_holes = file.seeks_holes;
        backing_->holes_are_exact = file.holes_are_exact;
        backing_->prefetches = !options.direct;
        // Blocks that were allocated in advance are not given away for shared ones.
        backing_->copies = !(options.preallocate && file.copies_share_blocks);
        copies_share_blocks_ = file.copies_share_blocks;
        backing_->unmap_mode = file.punches_holes ? punch : 0;
        backing_->zero_mode = file.zeroes_ranges ? zero : 0;
        backing_->unmap_zeroes = file.punches_holes;
        backing_->anchors = file.anchors && file.seeks_holes;
        backing_->blocks = file.size_bytes / options.block_bytes;
        backing_->write_through = options.write_through;
        changeable_ = true;
        geometry_.block_bytes = options.block_bytes;
        // Beyond 4096 st_blksize is a wish of the file system's (NFS, ZFS), no unit of its writes.
        const std::uint32_t preferred = std::bit_floor(std::max(file.preferred_bytes, 512u));
        const std::uint32_t physical = std::clamp(preferred, options.block_bytes, 4096u);
        geometry_.physical_block_exponent =
            static_cast<std::uint8_t>(std::countr_zero(physical / options.block_bytes));
        geometry_.optimal_transfer_granularity =
            std::clamp(preferred, options.block_bytes, 1u << 20) / options.block_bytes;
        const std::string sysfs = target::sysfs_folder(file.device_number);
        geometry_.rotation_rate = target::queue_number(sysfs, "rotational") != 0 ? 0 : 1;
        identification_ =
            target::stable_identification(options.serial, "file:" + file.canonical_path);
    }

    [[nodiscard]] target::StoreCapabilities capabilities() const override {
        target::StoreCapabilities able = FileStore::capabilities();
        able.reports_space = true;
        able.copies_share_blocks = copies_share_blocks_;
        able.protection = protection_ ? Support::native : Support::none;
        return able;
    }

    Result<std::unique_ptr<target::StoreChannel>> open_channel(reactor::Shard& shard) override {
        if (!backing_->page_cache)
            return std::make_unique<target::FileChannel>(shard, backing_, descriptor_.get(),
                                                         target::OwnedDescriptor());
        auto own =
            reopen(descriptor_.get(), backing_->read_only ? O_RDONLY : O_RDWR, backing_->name);
        if (!own)
            return std::unexpected(std::move(own.error()));
        const int number = own->get();
        return std::make_unique<target::FileChannel>(shard, backing_, number, std::move(*own));
    }

    Result<std::unique_ptr<target::StoreChannel>> open_protection_channel(
        reactor::Shard& shard) override {
        return protection_ ? protection_->open_channel(shard)
                           : FileStore::open_protection_channel(shard);
    }
    Result<void> clear_protection() override {
        return protection_ ? protection_->clear() : FileStore::clear_protection();
    }

    Result<std::uint64_t> refresh_blocks() override {
        struct stat facts{};
        if (::fstat(descriptor_.get(), &facts) != 0)
            return fail_errno(errno, backing_->name);
        const std::uint64_t blocks =
            static_cast<std::uint64_t>(facts.st_size) / options_.block_bytes;
        if (blocks == 0)
            return fail(EIO, backing_->name + " has become empty; give it a size again");
        if (protection_ && blocks != backing_->blocks)
            OLIO_TRY(protection_->resize(blocks));
        backing_->blocks = blocks;
        return blocks;
    }

    Result<target::StoreSpace> space() override {
        struct stat file{};
        struct statvfs system{};
        if (::fstat(descriptor_.get(), &file) != 0 || ::fstatvfs(descriptor_.get(), &system) != 0)
            return fail_errno(errno, backing_->name);
        constexpr std::uint64_t unit_bytes = 512;  // of st_blocks, whatever the file system has
        return target::StoreSpace{
            .used_bytes = static_cast<std::uint64_t>(file.st_blocks) * unit_bytes,
            .available_bytes = std::uint64_t{system.f_bavail} * system.f_frsize,
            .shared = true};
    }

    Result<void> resize(std::uint64_t blocks) override {
        std::uint64_t bytes = 0;
        if (backing_->read_only)
            return fail(EROFS, backing_->name + " is read-only and keeps its size");
        if (blocks == 0 || !checked_multiply<std::uint64_t>(blocks, options_.block_bytes, bytes) ||
            bytes > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max()))
            return fail(EINVAL,
                        fmt::format("{}: a disk of {} blocks cannot be", backing_->name, blocks));
        // Where there is a block, there is its tuple: it comes first and goes last.
        if (protection_ && blocks > backing_->blocks)
            OLIO_TRY(protection_->resize(blocks));
        const auto size = static_cast<off_t>(bytes);
        const auto before = static_cast<off_t>(backing_->blocks * options_.block_bytes);
        if (options_.preallocate && size > before &&
            ::fallocate(descriptor_.get(), FALLOC_FL_KEEP_SIZE, before, size - before) != 0)
            return fail_errno(errno, fmt::format("{}: allocating {} bytes", backing_->name, bytes));
        if (::ftruncate(descriptor_.get(), size) != 0)
            return fail_errno(errno, fmt::format("{}: giving it {} bytes", backing_->name, bytes));
        if (protection_ && blocks < backing_->blocks)
            OLIO_TRY(protection_->resize(blocks));
        backing_->blocks = blocks;
        // A capacity that a host was told must not shrink again by a loss of power.
        if (::fdatasync(descriptor_.get()) != 0) {
            const int error = errno;
            backing_->remember_sync_failure(error);
            return fail_errno(error, backing_->name + ": fdatasync");
        }
        return {};
    }

    Result<void> set_volatile_cache(bool enabled) override {
        if (protection_)
            OLIO_TRY(protection_->set_write_through(!enabled));
        return backing_->set_write_through(descriptor_.get(), !enabled);
    }

  private:
    Options options_;
    target::OwnedDescriptor descriptor_;
    std::unique_ptr<ProtectionFile> protection_;  // null: none is kept
    bool copies_share_blocks_ = false;
};

class AttachedFile final : public FileStore {
  public:
    explicit AttachedFile(const Attachment& attachment) : descriptor_(attachment.descriptor) {
        backing_->name = attachment.name;
        backing_->block_bytes = attachment.geometry.block_bytes;
        backing_->alignment_bytes = attachment.geometry.block_bytes;
        backing_->page_cache = attachment.page_cache;
        backing_->read_only = attachment.read_only;
        if (attachment.punches_holes && !attachment.read_only) {
            backing_->unmap_mode = punch;
            backing_->zero_mode = zero;
            backing_->unmap_zeroes = true;
        }
        backing_->copies = attachment.copies;
        backing_->blocks = attachment.geometry.blocks;
        backing_->write_through = attachment.write_through;
        geometry_ = attachment.geometry;
        identification_ =
            target::stable_identification(attachment.serial, "attached:" + attachment.name);
    }
    Result<std::unique_ptr<target::StoreChannel>> open_channel(reactor::Shard& shard) override {
        return std::make_unique<target::FileChannel>(shard, backing_, descriptor_,
                                                     target::OwnedDescriptor());
    }
    Result<std::uint64_t> refresh_blocks() override { return backing_->blocks.load(); }
    Result<void> resize(std::uint64_t) override {
        return fail(ENOTSUP, backing_->name + ": an attached descriptor keeps its size");
    }
    Result<void> set_volatile_cache(bool enabled) override {
        if (enabled == !backing_->write_through)
            return {};
        return fail(ENOTSUP,
                    backing_->name + ": the cache mode of an attached descriptor is fixed");
    }

  private:
    int descriptor_;
};

bool possible_block(std::uint32_t bytes) {
    return bytes == 512 || bytes == 4096;
}

}  // namespace

Result<std::unique_ptr<target::Backstore>> open(const Options& options) {
    if (!possible_block(options.block_bytes))
        return fail(EINVAL, fmt::format("{}: blocks of {} bytes; only 512 and 4096 are possible",
                                        options.path, options.block_bytes));
    if (options.size_bytes &&
        (*options.size_bytes == 0 || *options.size_bytes % options.block_bytes != 0 ||
         *options.size_bytes > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max())))
        return fail(EINVAL,
                    fmt::format("{}: a size of {} bytes is not a multiple of the block size {}",
                                options.path, *options.size_bytes, options.block_bytes));
    auto file = open_file(options);
    if (!file)
        return std::unexpected(std::move(file.error()));
    std::unique_ptr<ProtectionFile> protection;
    if (options.protection) {
        auto opened = ProtectionFile::open({.path = options.path,
                                            .blocks = file->size_bytes / options.block_bytes,
                                            .made = file->made,
                                            .read_only = file->read_only,
                                            .write_through = options.write_through});
        if (!opened)
            return std::unexpected(std::move(opened.error()));
        protection = std::move(*opened);
    }
    return std::make_unique<RegularFile>(options, std::move(*file), std::move(protection));
}

Result<std::unique_ptr<target::Backstore>> attach(const Attachment& attachment) {
    if (!possible_block(attachment.geometry.block_bytes) || attachment.geometry.blocks == 0)
        return fail(EINVAL,
                    fmt::format("{}: {} blocks of {} bytes; there must be some, of 512 or 4096",
                                attachment.name, attachment.geometry.blocks,
                                attachment.geometry.block_bytes));
    return std::make_unique<AttachedFile>(attachment);
}

}  // namespace olio::fileio
