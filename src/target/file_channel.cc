#include "target/file_channel.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/assert.h"
#include "base/log.h"

namespace olio::target {
namespace {

struct ErrorRow {
    int error;
    StoreStatus status;
};

constexpr ErrorRow error_rows[] = {
    {EIO, StoreStatus::medium_error},       {ENODATA, StoreStatus::medium_error},
    {EREMOTEIO, StoreStatus::medium_error}, {EILSEQ, StoreStatus::medium_error},
    {EBADMSG, StoreStatus::medium_error},   {EUCLEAN, StoreStatus::medium_error},
    {ENOSPC, StoreStatus::no_space},        {EDQUOT, StoreStatus::no_space},
    {EFBIG, StoreStatus::no_space},         {ENODEV, StoreStatus::not_ready},
    {ENXIO, StoreStatus::not_ready},        {ESTALE, StoreStatus::not_ready},
    {ENOMEDIUM, StoreStatus::not_ready},    {ENOTCONN, StoreStatus::not_ready},
    {ESHUTDOWN, StoreStatus::not_ready},    {ENOLINK, StoreStatus::not_ready},
    {EHOSTDOWN, StoreStatus::not_ready},    {ETIMEDOUT, StoreStatus::not_ready},
    {EROFS, StoreStatus::write_protected},  {EPERM, StoreStatus::write_protected},
    {EACCES, StoreStatus::write_protected}, {ETXTBSY, StoreStatus::write_protected},
    {ECANCELED, StoreStatus::canceled},
};

// How long a failing transfer may be cut up in search of the block at fault. A disk in its own
// error recovery takes seconds for each attempt, and the host's patience ends at 30.
constexpr reactor::Nanoseconds search_limit = 3 * reactor::nanoseconds_per_second;

// Zeros to write where the file system refuses to make them; never written to, so it costs no
// memory.
constexpr std::size_t zero_bytes = 256 << 10;
alignas(4096) std::uint8_t zeros[zero_bytes];

bool refused(int error) noexcept {
    return error == EOPNOTSUPP || error == ENOTTY || error == ENOSYS || error == EINVAL;
}

}  // namespace

StoreStatus store_status_of(int error) noexcept {
    for (const ErrorRow& row : error_rows)
        if (row.error == error)
            return row.status;
    return StoreStatus::internal_error;
}

OwnedDescriptor& OwnedDescriptor::operator=(OwnedDescriptor&& other) noexcept {
    if (this != &other) {
        if (descriptor_ >= 0)
            ::close(descriptor_);
        descriptor_ = std::exchange(other.descriptor_, -1);
    }
    return *this;
}

OwnedDescriptor::~OwnedDescriptor() {
    if (descriptor_ >= 0)
        ::close(descriptor_);
}

std::expected<FilePart, int> unwritten_part(int descriptor, std::uint64_t offset,
                                            std::uint64_t end) noexcept {
    constexpr std::uint32_t most_extents = 32;
    constexpr std::uint32_t not_settled =
        FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC | FIEMAP_EXTENT_SHARED;
    // The head, and room for the extents behind it.
    alignas(struct fiemap) std::array<std::uint8_t, sizeof(struct fiemap) +
                                                        most_extents * sizeof(struct fiemap_extent)>
        map{};
    struct fiemap head{};
    head.fm_start = offset;
    head.fm_length = end - offset;
    head.fm_extent_count = most_extents;
    std::memcpy(map.data(), &head, sizeof(head));
    if (::ioctl(descriptor, FS_IOC_FIEMAP, map.data()) != 0)
        return std::unexpected(-errno);
    std::memcpy(&head, map.data(), sizeof(head));
    FilePart part{end, end};
    for (std::uint32_t i = 0; i < std::min(head.fm_mapped_extents, most_extents); ++i) {
        struct fiemap_extent extent{};
        std::memcpy(&extent, map.data() + sizeof(head) + i * sizeof(extent), sizeof(extent));
        const std::uint64_t from = std::max<std::uint64_t>(extent.fe_logical, offset);
        const std::uint64_t to = std::min<std::uint64_t>(extent.fe_logical + extent.fe_length, end);
        const bool unwritten = (extent.fe_flags & FIEMAP_EXTENT_UNWRITTEN) != 0 &&
                               (extent.fe_flags & not_settled) == 0;
        const bool found = part.offset < part.end;
        if (found && (!unwritten || from != part.end))
            break;
        if (unwritten)
            part = {found ? part.offset : from, to};
    }
    return part;
}

void FileBacking::remember_sync_failure(int error) noexcept {
    if (!sync_failed.exchange(true))
        log::error(
            "{}: writing to stable storage failed ({}); what was not yet durable may be lost, so "
            "every SYNCHRONIZE CACHE fails from now on; check the storage below, then restart",
            name, std::strerror(error));
}

Result<void> FileBacking::set_write_through(int descriptor, bool enabled) {
    // The order matters: a write that completes after this store sees it and syncs by itself; one
    // that completed before is in what fdatasync writes.
    write_through.store(enabled);
    if (!enabled || read_only)
        return {};
    if (::fdatasync(descriptor) != 0) {
        const int error = errno;
        remember_sync_failure(error);
        return fail_errno(error, name + ": fdatasync");
    }
    if (sync_failed)
        return olio::fail(EIO, name + ": an earlier write to stable storage failed");
    return {};
}

// --- The store's own fields of a StoreIo --------------------------------------------------------

enum class FileChannel::Phase : std::uint8_t {
    transfer,  // read or write, piece by piece
    rewrite,   // a durable write failed: was it the write, or the sync?
    sync,
    range,    // fallocate or its like
    look_up,  // extent_status
    prefetch,
    diagnose,
    survey,  // copy: what is next, data or a hole?
    copy,
    held,  // done, but an older sync is under way
    count,
};

// Names for what StoreIo lends: the phase and flags in `phase`; in `scratch` the bound of a piece
// while a failing block is searched, the errno or the place in the order of syncs, and the links of
// a Queue.
enum ExtentKind : std::int64_t { hole_extent, mapped_extent, anchored_extent };

struct FileChannel::View {
    StoreIo& io;

    static constexpr std::uint32_t phase_mask = 0xff;
    static constexpr std::uint32_t canceled = 0x100;
    static constexpr std::uint32_t durable = 0x200;     // written with RWF_DSYNC
    static constexpr std::uint32_t in_order = 0x400;    // is in syncing_
    static constexpr std::uint32_t tainted = 0x800;     // a sync failed meanwhile
    static constexpr std::uint32_t zero_fill = 0x1000;  // writes zeros instead of data

    [[nodiscard]] Phase phase() const noexcept { return static_cast<Phase>(io.phase & phase_mask); }
    void set(Phase phase) noexcept {
        io.phase = (io.phase & ~phase_mask) | static_cast<std::uint32_t>(phase);
    }
    [[nodiscard]] bool has(std::uint32_t flag) const noexcept { return (io.phase & flag) != 0; }
    void raise(std::uint32_t flag) noexcept { io.phase |= flag; }
    void clear(std::uint32_t flag) noexcept { io.phase &= ~flag; }

    std::uint64_t& piece_limit() noexcept { return io.scratch[0]; }
    std::uint64_t& sequence() noexcept { return io.scratch[1]; }
    std::uint64_t& value() noexcept { return io.scratch[1]; }  // of requests in no queue
    // While a failing block is searched; error_lba is only meant for the end.
    std::uint64_t& search_since() noexcept { return io.error_lba; }
    [[nodiscard]] StoreIo* previous() const noexcept {
        return reinterpret_cast<StoreIo*>(io.scratch[2]);
    }
    [[nodiscard]] StoreIo* next() const noexcept {
        return reinterpret_cast<StoreIo*>(io.scratch[3]);
    }
    void link(StoreIo* previous, StoreIo* next) noexcept {
        io.scratch[2] = reinterpret_cast<std::uint64_t>(previous);
        io.scratch[3] = reinterpret_cast<std::uint64_t>(next);
    }
};

void FileChannel::Queue::push(StoreIo& io) noexcept {
    View{io}.link(last, nullptr);
    if (last != nullptr)
        View{*last}.link(View{*last}.previous(), &io);
    else
        first = &io;
    last = &io;
}

void FileChannel::Queue::remove(StoreIo& io) noexcept {
    StoreIo* before = View{io}.previous();
    StoreIo* after = View{io}.next();
    if (before != nullptr)
        View{*before}.link(View{*before}.previous(), after);
    else
        first = after;
    if (after != nullptr)
        View{*after}.link(before, View{*after}.next());
    else
        last = before;
    View{io}.link(nullptr, nullptr);
}

// --- Beginnings ---------------------------------------------------------------------------------

FileChannel::FileChannel(reactor::Shard& shard, std::shared_ptr<FileBacking> backing,
                         int descriptor, OwnedDescriptor owned)
    : shard_(shard),
      backing_(std::move(backing)),
      descriptor_(descriptor),
      owned_(std::move(owned)) {
    OLIO_ASSERT(backing_->alignment_bytes % backing_->block_bytes == 0,
                "the alignment of a file is a multiple of its block");
}

FileChannel::~FileChannel() {
    OLIO_ASSERT(syncing_.first == nullptr && held_.first == nullptr,
                "a channel is destroyed while requests are under way");
}

void FileChannel::submit(StoreIo& io) noexcept {
    using Start = void (FileChannel::*)(StoreIo&) noexcept;
    static constexpr std::array<Start, static_cast<std::size_t>(StoreOpcode::count)> starts = {
        &FileChannel::transfer,       &FileChannel::start_write, &FileChannel::start_flush,
        &FileChannel::start_range,    &FileChannel::start_range, &FileChannel::start_extent,
        &FileChannel::start_prefetch, &FileChannel::start_copy};
    io.channel = this;
    io.progress = 0;
    io.phase = 0;
    io.scratch = {};
    io.error_lba = io.lba;
    io.borrowed_count = 0;
    (this->*starts[static_cast<std::size_t>(io.opcode)])(io);
}

void FileChannel::cancel(StoreIo& io) noexcept {
    View{io}.raise(View::canceled);
    if (io.step().in_flight())
        shard_.cancel(io.step());
}

bool FileChannel::must_be_durable(const StoreIo& io) const noexcept {
    return io.fua || backing_->write_through.load(std::memory_order_seq_cst);
}

void FileChannel::start_flush(StoreIo& io) noexcept {
    if (backing_->read_only) {
        finish(io, StoreStatus::good);
        return;
    }
    sync(io);
}

void FileChannel::start_write(StoreIo& io) noexcept {
    if (must_be_durable(io)) {
        View{io}.raise(View::durable);
        enter_durable(io);
    }
    transfer(io);
}

void FileChannel::start_range(StoreIo& io) noexcept {
    View view{io};
    const bool unmap = io.opcode == StoreOpcode::unmap;
    const bool anchor = io.anchor && backing_->anchors;
    const bool give_up = !anchor && (unmap || (io.may_unmap && backing_->unmap_zeroes));
    const int mode = give_up && backing_->unmap_mode != 0 ? backing_->unmap_mode
                     : unmap && !anchor                   ? 0
                                                          : backing_->zero_mode;
    if (mode != 0) {
        view.set(Phase::range);
        shard_.submit(io.step().allocate(descriptor_, mode, io.lba * backing_->block_bytes,
                                         io.blocks * backing_->block_bytes));
    } else if (unmap && backing_->unmap != nullptr) {
        call(io, Phase::range, [](void* argument) {
            const StoreIo& request = *static_cast<StoreIo*>(argument);
            const auto& self = static_cast<FileChannel&>(*request.channel);
            const std::uint64_t block = self.backing_->block_bytes;
            return self.backing_->unmap(self.descriptor_, request.lba * block,
                                        request.blocks * block);
        });
    } else {
        ranged(io, -EOPNOTSUPP);
    }
}

void FileChannel::start_extent(StoreIo& io) noexcept {
    if (!backing_->seeks_holes) {
        looked_up(io, -EOPNOTSUPP);
        return;
    }
    // Answers an ExtentKind, and the end of the extent in bytes in the request.
    call(io, Phase::look_up, [](void* argument) -> std::int64_t {
        StoreIo& request = *static_cast<StoreIo*>(argument);
        const auto& self = static_cast<FileChannel&>(*request.channel);
        const std::uint64_t block = self.backing_->block_bytes;
        const std::uint64_t start = request.lba * block;
        const off_t data = ::lseek(self.descriptor_, static_cast<off_t>(start), SEEK_DATA);
        if (data < 0 && errno != ENXIO)
            return -errno;
        const std::uint64_t next =
            data < 0 ? self.backing_->blocks * block : static_cast<std::uint64_t>(data);
        // A block with data anywhere in it is mapped.
        if (next >= start + block) {
            View{request}.value() = next / block * block;
            return self.backing_->anchors ? look_into_hole(self.descriptor_, request, block)
                                          : hole_extent;
        }
        const off_t hole = ::lseek(self.descriptor_, data, SEEK_HOLE);
        if (hole < 0)
            return -errno;
        View{request}.value() = (static_cast<std::uint64_t>(hole) + block - 1) / block * block;
        return mapped_extent;
    });
}

// In what SEEK_DATA calls a hole, some may have space: narrows the extent to what is like its first
// block.
std::int64_t FileChannel::look_into_hole(int descriptor, StoreIo& io,
                                         std::uint64_t block) noexcept {
    std::uint64_t& end = View{io}.value();
    const std::uint64_t start = io.lba * block;
    const auto part = unwritten_part(descriptor, start, end);
    if (!part)
        return part.error();
    if (part->offset >= part->end)
        return hole_extent;
    if (part->offset > start) {  // up to the next that has space, but this block at least
        end = std::max(part->offset / block, io.lba + 1) * block;
        return hole_extent;
    }
    const bool whole = part->end >= start + block;
    end = whole ? part->end / block * block : start + block;
    return whole ? anchored_extent : hole_extent;
}

void FileChannel::start_prefetch(StoreIo& io) noexcept {
    if (!backing_->prefetches) {
        finish(io, StoreStatus::good);
        return;
    }
    call(io, Phase::prefetch, [](void* argument) -> std::int64_t {
        const StoreIo& request = *static_cast<StoreIo*>(argument);
        const auto& self = static_cast<FileChannel&>(*request.channel);
        const std::uint64_t block = self.backing_->block_bytes;
        return -::posix_fadvise(self.descriptor_, static_cast<off_t>(request.lba * block),
                                static_cast<off_t>(request.blocks * block), POSIX_FADV_WILLNEED);
    });
}

const void* FileChannel::copy_family() const noexcept {
    static constexpr char regular_files = 0;
    return backing_->copies ? &regular_files : nullptr;
}

namespace {

// Answers of a survey; how far it holds, in bytes from what is done, is in the request.
enum class Piece : std::uint8_t {
    data,
    hole,        // of the source: the destination gets zeros
    both_holes,  // there is nothing to do
};

// How far the hole goes that begins at `offset`: 0 if there is data. At most `length`. EIO where
// the file ends before that: behind its end there is nothing, not zeros.
std::expected<std::uint64_t, int> hole_at(int descriptor, std::uint64_t offset,
                                          std::uint64_t length) noexcept {
    const off_t data = ::lseek(descriptor, static_cast<off_t>(offset), SEEK_DATA);
    if (data >= 0)
        return std::min(length, static_cast<std::uint64_t>(data) - offset);
    if (errno != ENXIO)
        return 0;
    struct stat facts{};
    if (::fstat(descriptor, &facts) != 0)
        return std::unexpected(errno);
    if (static_cast<std::uint64_t>(facts.st_size) < offset + length)
        return std::unexpected(EIO);
    return length;
}

std::uint64_t data_at(int descriptor, std::uint64_t offset, std::uint64_t length) noexcept {
    const off_t hole = ::lseek(descriptor, static_cast<off_t>(offset), SEEK_HOLE);
    const auto end = static_cast<std::uint64_t>(hole);
    return hole < 0 || end <= offset ? length : std::min(length, end - offset);
}

}  // namespace

// A hole of the source takes no room in the destination where there was none before, and is not
// read.
void FileChannel::start_copy(StoreIo& io) noexcept {
    const auto& source = static_cast<const FileChannel&>(*io.source);
    if (!source.backing_->holes_are_exact || !backing_->holes_are_exact ||
        backing_->zero_mode == 0) {
        copy_piece(io, io.blocks * backing_->block_bytes - io.progress);
        return;
    }
    call(io, Phase::survey, [](void* argument) -> std::int64_t {
        StoreIo& request = *static_cast<StoreIo*>(argument);
        const auto& self = static_cast<FileChannel&>(*request.channel);
        const auto& from = static_cast<const FileChannel&>(*request.source);
        const std::uint64_t at = request.lba * self.backing_->block_bytes + request.progress;
        const std::uint64_t from_at =
            request.source_lba * from.backing_->block_bytes + request.progress;
        const std::uint64_t left = request.blocks * self.backing_->block_bytes - request.progress;
        std::uint64_t& length = View{request}.value();
        // Where the source ends too early, copying finds that out.
        length = hole_at(from.descriptor_, from_at, left).value_or(0);
        if (length == 0) {
            length = data_at(from.descriptor_, from_at, left);
            return static_cast<std::int64_t>(Piece::data);
        }
        const auto own = hole_at(self.descriptor_, at, length);
        if (!own)
            return -own.error();
        if (*own == 0) {
            length = data_at(self.descriptor_, at, length);
            return static_cast<std::int64_t>(Piece::hole);
        }
        length = *own;
        return static_cast<std::int64_t>(Piece::both_holes);
    });
}

void FileChannel::copy_piece(StoreIo& io, std::uint64_t bytes) noexcept {
    const auto& source = static_cast<const FileChannel&>(*io.source);
    View{io}.set(Phase::copy);
    shard_.submit(io.step().copy(descriptor_, io.lba * backing_->block_bytes + io.progress, bytes,
                                 source.descriptor_,
                                 io.source_lba * source.backing_->block_bytes + io.progress));
}

void FileChannel::transfer(StoreIo& io) noexcept {
    View view{io};
    const std::uint64_t total = io.blocks * backing_->block_bytes;
    const bool fill = view.has(View::zero_fill);
    std::uint64_t length = total - io.progress;
    if (view.piece_limit() != 0)
        length = std::min(length, view.piece_limit());
    if (fill)
        length = std::min<std::uint64_t>(length, zero_bytes);
    OLIO_ASSERT(fill || io.data.size() == total, "the data of a request is as long as its blocks");
    io.vector = {fill ? zeros : io.data.data() + io.progress, length};
    const std::uint64_t offset = io.lba * backing_->block_bytes + io.progress;
    const std::span<iovec> vector(&io.vector, 1);
    if (view.phase() != Phase::rewrite)
        view.set(Phase::transfer);
    if (io.opcode == StoreOpcode::read)
        shard_.submit(io.step().read(descriptor_, vector, offset, io.priority));
    else
        shard_.submit(io.step().write(descriptor_, vector, offset,
                                      view.has(View::durable) && view.phase() != Phase::rewrite,
                                      io.priority));
}

void FileChannel::sync(StoreIo& io) noexcept {
    View{io}.set(Phase::sync);
    enter_durable(io);
    shard_.submit(io.step().sync(descriptor_));
}

void FileChannel::call(StoreIo& io, Phase phase, std::int64_t (*function)(void*)) noexcept {
    View{io}.set(phase);
    shard_.submit(io.step().call(function, &io));
}

// --- Continuations ------------------------------------------------------------------------------

void FileChannel::stepped(StoreIo& io, std::int64_t result) noexcept {
    using Continue = void (FileChannel::*)(StoreIo&, std::int64_t) noexcept;
    static constexpr std::array<Continue, static_cast<std::size_t>(Phase::held)> continuations = {
        &FileChannel::transferred, &FileChannel::rewritten, &FileChannel::synced,
        &FileChannel::ranged,      &FileChannel::looked_up, &FileChannel::prefetched,
        &FileChannel::diagnosed,   &FileChannel::surveyed,  &FileChannel::copied};
    if (result == -EINTR && !View{io}.has(View::canceled)) {
        shard_.submit(io.step());
        return;
    }
    (this->*continuations[static_cast<std::size_t>(View{io}.phase())])(io, result);
}

void FileChannel::transferred(StoreIo& io, std::int64_t result) noexcept {
    View view{io};
    const std::uint64_t total = io.blocks * backing_->block_bytes;
    if (result < 0) {
        transfer_failed(io, static_cast<int>(-result));
        return;
    }
    const std::uint64_t reached = io.progress + static_cast<std::uint64_t>(result);
    const std::uint64_t usable =
        reached == total ? total : reached / backing_->alignment_bytes * backing_->alignment_bytes;
    // Nothing more to be had: the file ends before the logical unit does, or the device has gone.
    if (usable <= io.progress) {
        transfer_failed(io, EIO);
        return;
    }
    io.progress = usable;
    if (view.piece_limit() != 0 && shard_.now() - view.search_since() >= search_limit)
        view.piece_limit() = total;  // the search took too long: the rest at once, or not at all
    if (io.progress < total) {
        if (view.has(View::canceled))
            fail(io, ECANCELED);
        else
            transfer(io);
        return;
    }
    if (io.opcode == StoreOpcode::read)
        finish(io, StoreStatus::good);
    else
        medium_changed(io);
}

void FileChannel::transfer_failed(StoreIo& io, int error) noexcept {
    View view{io};
    // Through the page cache a durable write is two things, and only a failed sync concerns others.
    if (view.has(View::durable) && backing_->page_cache && error != ECANCELED) {
        view.set(Phase::rewrite);
        io.status = store_status_of(error);
        transfer(io);
        return;
    }
    const std::uint64_t piece = io.vector.iov_len;
    if (store_status_of(error) == StoreStatus::medium_error && piece > backing_->alignment_bytes &&
        !view.has(View::canceled)) {
        if (view.piece_limit() == 0)
            view.search_since() = shard_.now();
        if (shard_.now() - view.search_since() < search_limit) {
            const std::uint64_t half = piece / 2 / backing_->alignment_bytes;
            view.piece_limit() = std::max<std::uint64_t>(half, 1) * backing_->alignment_bytes;
            transfer(io);
            return;
        }
    }
    fail(io, error);
}

void FileChannel::rewritten(StoreIo& io, std::int64_t result) noexcept {
    // The write failed by itself again: nothing was synced, nobody else is concerned.
    if (result < 0) {
        fail(io, static_cast<int>(-result));
        return;
    }
    const StoreStatus status = io.status;
    sync_failed(EIO);
    io.error_lba = io.lba + io.progress / backing_->block_bytes;
    finish_durable(io, status);
}

// A write, an unmap or zeroing is done; is it durable enough?
void FileChannel::medium_changed(StoreIo& io) noexcept {
    if (View{io}.has(View::durable))
        finish_durable(io, StoreStatus::good);
    else if (must_be_durable(io))
        sync(io);
    else
        finish(io, StoreStatus::good);
}

void FileChannel::synced(StoreIo& io, std::int64_t result) noexcept {
    io.error_lba = io.lba;
    if (result < 0 && result != -ECANCELED) {
        sync_failed(static_cast<int>(-result));
        finish_durable(io, store_status_of(static_cast<int>(-result)));
        return;
    }
    if (result == -ECANCELED)
        finish_durable(io, StoreStatus::canceled);
    else
        finish_durable(io, backing_->sync_failed ? StoreStatus::medium_error : StoreStatus::good);
}

void FileChannel::ranged(StoreIo& io, std::int64_t result) noexcept {
    if (result >= 0) {
        medium_changed(io);
        return;
    }
    const int error = static_cast<int>(-result);
    if (!refused(error)) {
        fail(io, error);
    } else if (io.opcode == StoreOpcode::unmap && !backing_->unmap_zeroes) {
        finish(io, StoreStatus::good);  // nothing was promised about the blocks
    } else {
        View{io}.raise(View::zero_fill);
        start_write(io);
    }
}

void FileChannel::looked_up(StoreIo& io, std::int64_t result) noexcept {
    if (result < 0 && !refused(static_cast<int>(-result))) {
        fail(io, static_cast<int>(-result));
        return;
    }
    const std::uint64_t blocks = backing_->blocks;
    std::uint64_t end = blocks;
    if (result >= 0)
        end = std::min(blocks, View{io}.value() / backing_->block_bytes);
    io.mapped = result < 0 || result == mapped_extent;  // one that cannot be looked up is, too
    io.anchored = result == anchored_extent;
    io.extent_blocks = end > io.lba ? end - io.lba : 1;
    finish(io, StoreStatus::good);
}

void FileChannel::prefetched(StoreIo& io, std::int64_t) noexcept {
    finish(io, StoreStatus::good);
}

void FileChannel::surveyed(StoreIo& io, std::int64_t result) noexcept {
    if (result < 0) {
        fail(io, static_cast<int>(-result));
        return;
    }
    const std::uint64_t length = View{io}.value();
    switch (static_cast<Piece>(result)) {
        case Piece::data:
            copy_piece(io, length);
            return;
        case Piece::hole:
            View{io}.set(Phase::copy);
            // Its result is no length: copied() takes that of the survey.
            View{io}.raise(View::zero_fill);
            shard_.submit(io.step().allocate(descriptor_, backing_->zero_mode,
                                             io.lba * backing_->block_bytes + io.progress, length));
            return;
        case Piece::both_holes:
            copied(io, static_cast<std::int64_t>(length));
            return;
    }
}

// A piece is done, by whichever way.
void FileChannel::copied(StoreIo& io, std::int64_t result) noexcept {
    View view{io};
    if (result >= 0 && view.has(View::zero_fill))
        result = static_cast<std::int64_t>(view.value());
    view.clear(View::zero_fill);
    if (result <= 0) {  // 0: the source has become shorter
        fail(io, result == 0 ? EIO : static_cast<int>(-result));
        return;
    }
    io.progress += static_cast<std::uint64_t>(result);
    if (io.progress == io.blocks * backing_->block_bytes)
        medium_changed(io);
    else if (view.has(View::canceled))
        fail(io, ECANCELED);
    else
        start_copy(io);
}

void FileChannel::diagnosed(StoreIo& io, std::int64_t result) noexcept {
    finish_durable(io, store_status_of(static_cast<int>(-result)));
}

// --- Ends ---------------------------------------------------------------------------------------

void FileChannel::fail(StoreIo& io, int error) noexcept {
    io.error_lba = io.lba + io.progress / backing_->block_bytes;
    if (backing_->diagnose == nullptr || error == ECANCELED) {
        finish_durable(io, store_status_of(error));
        return;
    }
    io.progress = static_cast<std::uint64_t>(error);
    call(io, Phase::diagnose, [](void* argument) {
        const StoreIo& request = *static_cast<StoreIo*>(argument);
        const auto& self = static_cast<FileChannel&>(*request.channel);
        return self.backing_->diagnose(self.descriptor_, static_cast<int>(request.progress));
    });
}

void FileChannel::sync_failed(int error) noexcept {
    backing_->remember_sync_failure(error);
    for (const Queue& queue : {syncing_, held_})
        for (StoreIo* io = queue.first; io != nullptr; io = View{*io}.next())
            View{*io}.raise(View::tainted);
}

void FileChannel::enter_durable(StoreIo& io) noexcept {
    View view{io};
    if (!backing_->page_cache || view.has(View::in_order))
        return;
    view.raise(View::in_order);
    view.sequence() = next_sequence_++;
    syncing_.push(io);
}

void FileChannel::finish_durable(StoreIo& io, StoreStatus status) noexcept {
    View view{io};
    if (!view.has(View::in_order)) {
        finish(io, status);
        return;
    }
    syncing_.remove(io);
    view.clear(View::in_order);
    const bool hold = status == StoreStatus::good && syncing_.first != nullptr;
    if (hold) {
        view.set(Phase::held);
        view.sequence() = next_sequence_;
        held_.push(io);
    }
    release_held();
    // Last, since whoever is told may close the channel.
    if (!hold)
        finish(io, status);
}

void FileChannel::finish(StoreIo& io, StoreStatus status) noexcept {
    if (status == StoreStatus::good && View{io}.has(View::tainted)) {
        io.error_lba = io.lba;
        status = StoreStatus::medium_error;
    }
    io.complete(status);
}

void FileChannel::release_held() noexcept {
    while (held_.first != nullptr) {
        StoreIo& io = *held_.first;
        if (syncing_.first != nullptr && View{*syncing_.first}.sequence() < View{io}.sequence())
            return;
        held_.remove(io);
        finish(io, StoreStatus::good);
    }
}

}  // namespace olio::target
