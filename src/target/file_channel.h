// What stores over a file descriptor (fileio, iblock) have in common: a channel that turns a
// StoreIo into the steps read, write, fallocate and fdatasync, carries short transfers to their
// end, and never calls data durable whose fate it does not know.
//
// Why durability needs care. The kernel reports a failed write-back of the page cache once per open
// file description, to whichever sync comes first, and then forgets it (errseq_t); a second
// fdatasync succeeds although the data is gone. Therefore
//   - each channel of a store that uses the page cache has a description of its own, so that every
//     shard gets the report;
//   - on one channel a sync that succeeded is answered only when those begun before its end are
//   over,
//     since one of them may have been given the report that was meant for it;
//   - once a sync has failed, every later flush of the store fails too, until the store is
//   reopened.
#pragma once

#include <atomic>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "reactor/shard.h"
#include "target/backstore.h"

namespace olio::target {

// What a host is told when a read, write, sync or fallocate failed with this errno.
[[nodiscard]] StoreStatus store_status_of(int error) noexcept;

// A descriptor that is closed when its owner goes.
class OwnedDescriptor {
  public:
    OwnedDescriptor() = default;
    explicit OwnedDescriptor(int descriptor) noexcept : descriptor_(descriptor) {}
    OwnedDescriptor(OwnedDescriptor&& other) noexcept
        : descriptor_(std::exchange(other.descriptor_, -1)) {}
    OwnedDescriptor& operator=(OwnedDescriptor&& other) noexcept;
    ~OwnedDescriptor();
    [[nodiscard]] int get() const noexcept { return descriptor_; }
    [[nodiscard]] explicit operator bool() const noexcept { return descriptor_ >= 0; }

  private:
    int descriptor_ = -1;
};

// The part of a file at or behind `offset` and before `end` that is allocated and without data,
// where none of it has data in the page cache: offset and end, empty where there is none. Or a
// negative errno. Blocks.
struct FilePart {
    std::uint64_t offset = 0;
    std::uint64_t end = 0;
};
[[nodiscard]] std::expected<FilePart, int> unwritten_part(int descriptor, std::uint64_t offset,
                                                          std::uint64_t end) noexcept;

// What all channels of one store share. The plain members are set before the first channel opens;
// the atomic ones may change while channels work.
struct FileBacking {
    std::string name;  // for the log
    std::uint32_t block_bytes = 512;
    // O_DIRECT: offsets, lengths and addresses are multiples of this, so a short transfer goes on
    // from the last such multiple. At least block_bytes.
    std::uint32_t alignment_bytes = 512;
    bool page_cache = true;  // writes go through the page cache: see above
    bool read_only = false;
    bool seeks_holes = false;  // extent_status by SEEK_DATA and SEEK_HOLE
    // What SEEK_DATA calls a hole has no data, not even in the page cache: so a copy may leave it
    // out.
    bool holes_are_exact = false;
    bool copies = false;  // a regular file: copy by copy_file_range(2)
    // zero_mode leaves allocated extents without data, to which writing needs no more space, and
    // FIEMAP tells them from holes: anchored blocks.
    bool anchors = false;
    bool prefetches = false;  // prefetch by POSIX_FADV_WILLNEED
    // fallocate(2) modes; 0: not by fallocate.
    int unmap_mode = 0;
    int zero_mode = 0;
    bool unmap_zeroes = false;  // what was unmapped reads as zeros
    // May block, on a helper thread; 0 or a negative errno. Used where unmap_mode is 0.
    std::int64_t (*unmap)(int descriptor, std::uint64_t offset, std::uint64_t length) = nullptr;
    // May block, on a helper thread: what an errno really means here, as a negative errno. May be
    // null.
    std::int64_t (*diagnose)(int descriptor, int error) = nullptr;

    std::atomic<std::uint64_t> blocks{0};
    std::atomic<bool> write_through{false};  // every write is durable when it completes
    std::atomic<bool> sync_failed{false};    // a sync failed: what was not durable then may be lost

    // Remembers a failed sync, and says so in the log the first time.
    void remember_sync_failure(int error) noexcept;
    // Switches write_through; towards true it also makes durable what was written before. Blocks.
    Result<void> set_write_through(int descriptor, bool enabled);
};

class FileChannel final : public StoreChannel {
  public:
    // `owned` is closed with the channel; it is the descriptor, or empty where the store keeps it.
    FileChannel(reactor::Shard& shard, std::shared_ptr<FileBacking> backing, int descriptor,
                OwnedDescriptor owned);
    ~FileChannel() override;

    void submit(StoreIo& io) noexcept override;
    void cancel(StoreIo& io) noexcept override;
    void stepped(StoreIo& io, std::int64_t result) noexcept override;
    [[nodiscard]] const void* copy_family() const noexcept override;

  private:
    enum class Phase : std::uint8_t;
    struct View;
    // In order of arrival, linked through StoreIo::scratch.
    struct Queue {
        StoreIo* first = nullptr;
        StoreIo* last = nullptr;
        void push(StoreIo& io) noexcept;
        void remove(StoreIo& io) noexcept;
    };

    void start_flush(StoreIo& io) noexcept;
    void start_write(StoreIo& io) noexcept;
    void start_range(StoreIo& io) noexcept;
    void start_extent(StoreIo& io) noexcept;
    void start_prefetch(StoreIo& io) noexcept;
    void start_copy(StoreIo& io) noexcept;
    void copy_piece(StoreIo& io, std::uint64_t bytes) noexcept;
    static std::int64_t look_into_hole(int descriptor, StoreIo& io, std::uint64_t block) noexcept;
    void transfer(StoreIo& io) noexcept;
    void sync(StoreIo& io) noexcept;
    void call(StoreIo& io, Phase phase, std::int64_t (*function)(void*)) noexcept;

    void transferred(StoreIo& io, std::int64_t result) noexcept;
    void transfer_failed(StoreIo& io, int error) noexcept;
    void rewritten(StoreIo& io, std::int64_t result) noexcept;
    void synced(StoreIo& io, std::int64_t result) noexcept;
    void ranged(StoreIo& io, std::int64_t result) noexcept;
    void looked_up(StoreIo& io, std::int64_t result) noexcept;
    void diagnosed(StoreIo& io, std::int64_t result) noexcept;
    void prefetched(StoreIo& io, std::int64_t result) noexcept;
    void surveyed(StoreIo& io, std::int64_t result) noexcept;
    void copied(StoreIo& io, std::int64_t result) noexcept;

    [[nodiscard]] bool must_be_durable(const StoreIo& io) const noexcept;
    void medium_changed(StoreIo& io) noexcept;
    void fail(StoreIo& io, int error) noexcept;
    void sync_failed(int error) noexcept;
    void enter_durable(StoreIo& io) noexcept;
    void finish_durable(StoreIo& io, StoreStatus status) noexcept;
    void finish(StoreIo& io, StoreStatus status) noexcept;
    void release_held() noexcept;

    reactor::Shard& shard_;
    std::shared_ptr<FileBacking> backing_;
    int descriptor_;
    OwnedDescriptor owned_;
    Queue syncing_;  // durable requests under way, in order of their beginning
    Queue held_;     // durable requests that succeeded, waiting for older ones
    std::uint64_t next_sequence_ = 1;
};

}  // namespace olio::target
