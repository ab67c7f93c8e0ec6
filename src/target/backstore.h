// The seam below the engine: what a backing store is. The engine asserts ranges and alignment and
// emulates what is missing; a backing store never checks them again. It reports what really
// happened.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "reactor/operation.h"
#include "scsi/logical_unit_state.h"
#include "scsi/protection_information.h"

namespace olio::reactor {
class Shard;
}

namespace olio::target {

class StoreChannel;
class StoreIo;

enum class StoreOpcode : std::uint8_t {
    read,          // data: where to; or borrow (see StoreIo::may_borrow)
    write,         // data: from; fua: durable before completion
    flush,         // all completed writes are durable; lba/blocks are a hint (blocks 0: to the end)
    unmap,         // the blocks may be given up; afterwards they read as Capabilities says
    write_zeroes,  // the blocks read as zeros; fua as for write; may_unmap: giving them up is
                   // welcome. Both with anchor: they keep, or get, their space
    extent_status,  // whether the block at lba is mapped, and for how many blocks that holds
    prefetch,       // a hint
    copy,  // from source_lba of `source`, whose channel is of the same copy_family; fua as for
           // write. The ranges do not overlap. May end with any error and be done in part: the
           // engine then reads and writes the range and finds out what is wrong with which side
    count,
};

enum class StoreStatus : std::uint8_t {
    good,
    medium_error,     // EIO and the like; error_lba says where
    no_space,         // ENOSPC, EDQUOT
    not_ready,        // the device or file vanished (ENODEV, ENXIO, ESTALE, ENOMEDIUM, ...)
    write_protected,  // EROFS, EPERM
    canceled,         // after StoreChannel::cancel; nothing or a part was done
    internal_error,   // anything else; HARDWARE ERROR
    // Protection information is not what it should be; error_lba says where.
    guard_check_failed,
    application_tag_check_failed,
    reference_tag_check_failed,
};

// What waits for a StoreIo. Called once for each submit, on the submitting shard; it may be called
// from inside StoreChannel::submit (RAM).
class StoreCompletion {
  public:
    virtual void store_completed(StoreIo& io) noexcept = 0;

  protected:
    ~StoreCompletion() = default;
};

// One request. It lives inside a Command (or whoever waits), nothing is allocated for it.
class StoreIo {
  public:
    static constexpr std::size_t borrowed_pieces = 8;

    StoreIo() : step_(*this) {}
    StoreIo(const StoreIo&) = delete;
    StoreIo& operator=(const StoreIo&) = delete;

    // Filled by the engine.
    StoreOpcode opcode = StoreOpcode::read;
    bool fua = false;
    bool may_unmap = false;
    bool anchor = false;  // only where StoreCapabilities::anchor is native
    // A read may answer with its own memory (`borrowed`) instead of filling `data`, which is then
    // empty when the engine has no buffer yet. Borrowed memory stays readable until the channel is
    // closed; its contents may change, which is why the engine does not set this where a digest
    // covers the data.
    bool may_borrow = false;
    std::uint8_t priority = 0;  // the command priority (SAM-5): 1 is the highest, 15 the lowest
    std::uint64_t lba = 0;
    std::uint64_t blocks = 0;
    MutableBytes data;
    // Of a unit with protection information alone (see ProtectionChannel), for a read or a write:
    // the tuples go to or come from here, and those read are checked so. Empty: they are made and
    // checked below the engine, as for a PROTECT field of 000b.
    MutableBytes protection;
    scsi::ProtectionExpectation expectation;
    // copy alone. In blocks of the source, which may be of another length; the range is as many
    // bytes long, whole blocks on both sides. The source stays open, and on this shard.
    StoreChannel* source = nullptr;
    std::uint64_t source_lba = 0;
    StoreCompletion* completion = nullptr;

    // Filled by the backing store.
    StoreStatus status = StoreStatus::good;
    std::uint64_t error_lba = 0;
    bool mapped = true;               // extent_status
    bool anchored = false;            // extent_status: not mapped, and its space is kept for it
    std::uint64_t extent_blocks = 0;  // extent_status
    std::array<iovec, borrowed_pieces> borrowed{};
    std::size_t borrowed_count = 0;

    // The backing store's own, for requests that take steps: one operation at a time.
    struct Step final : reactor::Operation {
        explicit Step(StoreIo& owner) : io(owner) {}
        void on_complete(std::int64_t result) noexcept override;  // StoreChannel::stepped
        StoreIo& io;
    };
    [[nodiscard]] Step& step() noexcept { return step_; }
    StoreChannel* channel = nullptr;  // set by the channel in submit
    std::uint64_t progress = 0;       // bytes done
    std::uint32_t phase = 0;
    iovec vector{};
    std::array<std::uint64_t, 4> scratch{};

    void complete(StoreStatus with) noexcept {
        status = with;
        completion->store_completed(*this);
    }

  private:
    Step step_;
};

// One shard's access to a backing store. Used on that shard alone. Destroyed when no request is
// under way.
class StoreChannel {
  public:
    virtual ~StoreChannel() = default;
    virtual void submit(StoreIo& io) noexcept = 0;
    // Asks for an early end; the request still completes once.
    virtual void cancel(StoreIo& io) noexcept = 0;
    // The io's step finished with a system call's value or a negative errno.
    virtual void stepped(StoreIo& io, std::int64_t result) noexcept = 0;
    // Channels with the same one copy blocks from each other by StoreOpcode::copy. Null: this one
    // does not. What protection information belongs to is never copied so.
    [[nodiscard]] virtual const void* copy_family() const noexcept { return nullptr; }
};

enum class Support : std::uint8_t { none, emulate, native };

// How much room a store has for blocks that are not mapped yet.
struct StoreSpace {
    std::uint64_t used_bytes = 0;       // by this store
    std::uint64_t available_bytes = 0;  // that it may still get
    bool shared = false;                // others may take it first
};

struct StoreCapabilities {
    Support fua = Support::native;  // emulate: the engine follows a write by a flush
    Support unmap = Support::none;
    Support write_zeroes = Support::emulate;  // emulate: the engine writes zeros
    Support extent_status = Support::none;    // none: every block is reported mapped
    Support anchor = Support::none;           // StoreIo::anchor; also what extent_status tells
    Support compare_and_write = Support::emulate;
    Support protection = Support::none;  // native: open_protection_channel works
    bool unmapped_reads_zeros = false;
    bool volatile_cache = false;         // a completed write without fua may be lost: WCE = 1
    bool cache_mode_changeable = false;  // set_volatile_cache works
    bool read_only = false;
    bool borrows = false;  // reads can answer with the store's own memory
    std::uint32_t unmap_granularity_blocks = 1;
    std::uint32_t unmap_alignment_blocks = 0;
    std::uint64_t maximum_unmap_blocks = 0;  // one request; 0: no limit of its own
    std::uint32_t maximum_io_bytes = 0;      // one read or write; 0: no limit of its own
    bool reports_space = false;              // Backstore::space works
    // StoreOpcode::copy may let both sides share what they had space of their own for: writing
    // there may then need more.
    bool copies_share_blocks = false;
    bool erases = false;  // what was given up (may_unmap) is gone for good, wherever one looks
    // A write of at most this many bytes in one request is all there or not at all, whenever the
    // power goes. 0: no write is.
    std::uint32_t maximum_atomic_bytes = 0;
};

// An opened file, device or memory. Made by a factory of its folder; owned by the LogicalUnit.
class Backstore {
  public:
    virtual ~Backstore() = default;

    [[nodiscard]] virtual std::string_view type() const = 0;    // "fileio", "iblock", "ramdisk"
    [[nodiscard]] virtual std::string description() const = 0;  // "/srv/disk.img", for people
    [[nodiscard]] virtual scsi::Geometry geometry() const = 0;
    [[nodiscard]] virtual StoreCapabilities capabilities() const = 0;
    // Suggested vendor, product and a serial number that stays the same from run to run (empty
    // where the store knows none); the configuration may override them.
    [[nodiscard]] virtual scsi::Identification identification() const = 0;

    // On the shard that will use it.
    virtual Result<std::unique_ptr<StoreChannel>> open_channel(reactor::Shard& shard) = 0;

    // Where Capabilities::protection is native: the tuples of protection information, as blocks of
    // scsi::protection_bytes, one for each block of the store. What was never written reads as FFh.
    // Only reads, writes and flushes are submitted.
    virtual Result<std::unique_ptr<StoreChannel>> open_protection_channel(reactor::Shard& shard);
    // Makes every tuple FFh again, durably (FORMAT UNIT). May block for long; no request is under
    // way.
    virtual Result<void> clear_protection();

    // Looks at the file or device anew: the number of blocks may have changed. On the home shard;
    // may block for a moment.
    virtual Result<std::uint64_t> refresh_blocks() = 0;
    // Makes the file or RAM larger or smaller; ENOTSUP where that is not the store's to decide.
    virtual Result<void> resize(std::uint64_t blocks) = 0;
    // On any thread; may block. Only where StoreCapabilities::reports_space is set.
    virtual Result<StoreSpace> space() { return fail(ENOTSUP, "this store cannot tell"); }
    // WCE by MODE SELECT. Off: every later completed write is durable, and so are the earlier ones.
    virtual Result<void> set_volatile_cache(bool enabled) = 0;
};

}  // namespace olio::target
