// A command on its way through the engine. A fabric derives its own task from it, takes it from a
// pool and gives it to ITNexus::submit; until ITNexus::finished has returned it belongs to the
// engine, except for the data moves the engine asks for. One shard's object: the session's.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "base/bytes.h"
#include "base/intrusive_list.h"
#include "base/limits.h"
#include "reactor/buffer_pool.h"
#include "reactor/shard.h"
#include "scsi/cdb_fields.h"
#include "scsi/command_table.h"
#include "scsi/sense.h"
#include "scsi/types.h"
#include "target/backstore.h"

namespace olio::target {

class ITLNexus;
class ITNexus;
class LogicalUnitView;
class TransportServices;
struct AbortRecord;
struct Handler;

// Where a command is; it can be inspected, aborted and counted in each. CommandStage::idle: the
// fabric's.
enum class CommandStage : std::uint8_t {
    idle,
    awaiting_buffer,    // memory is short
    awaiting_data_out,  // the fabric receives
    dormant,            // ordering: an older command must end first
    fenced,             // an overlapping COMPARE AND WRITE, or a change of state, must end first
    executing,          // in the backing store or on the home shard
    completing,         // the fabric sends
    terminating,        // the fabric was asked to stop its transfer
    discarding,         // ended without response
    blocked,            // done, and its answer waits until the ACA condition is cleared
    count,
};

class Command;

// What a handler off the hot path keeps for its command while it runs: a copy's state, a parsed
// parameter list. It ends with the command.
class CommandExtension {
  public:
    CommandExtension() = default;
    CommandExtension(const CommandExtension&) = delete;
    CommandExtension& operator=(const CommandExtension&) = delete;
    virtual ~CommandExtension() = default;
    // The copy manager's own command that works for this one just now; aborted with it.
    [[nodiscard]] virtual Command* at_work() noexcept { return nullptr; }
    // The command, which is executing, is aborted. True: what runs for it does without it, and will
    // not come back to it.
    [[nodiscard]] virtual bool abandon() noexcept { return false; }
};

class Command : public StoreCompletion {
  public:
    Command() = default;
    Command(const Command&) = delete;
    Command& operator=(const Command&) = delete;
    virtual ~Command() = default;

    // --- Filled by the fabric before submit. ---
    scsi::Lun lun;
    std::uint64_t tag = 0;  // unique among the nexus's commands
    scsi::TaskAttribute attribute = scsi::TaskAttribute::simple;
    std::uint8_t priority = 0;  // SAM-5: 1 is the highest, 15 the lowest; 0: the I_T_L nexus's
    Bytes cdb;                  // 6 … limits::cdb_bytes; in memory that stays until finished
    // What the host said it will send and take. Both zero for a command without data.
    std::uint32_t expected_data_out_bytes = 0;
    std::uint32_t expected_data_in_bytes = 0;
    // Part of the data-out arrives unasked, directly behind the command: the engine answers submit
    // with receive_data_out or complete before it returns (BUSY if there is no memory), never
    // later.
    bool unsolicited_data = false;
    // A digest or a second pass covers data-in: it must not change while it is sent.
    bool stable_data_in = false;

    // --- Set by the engine. ---
    // Valid from receive_data_out: how much the command takes, at most what the host said.
    MutableBytes data_out;
    // Valid in complete(): pieces of data-in, cut to what the host expects.
    [[nodiscard]] std::span<const iovec> data_in() const noexcept {
        return {data_in_.data(), data_in_count_};
    }
    scsi::Status status = scsi::Status::good;
    [[nodiscard]] Bytes sense() const noexcept { return Bytes(sense_.data(), sense_bytes_); }
    // SAM-5 5.4.2: how much more (positive: the host expected more than was moved; underflow) or
    // less (negative: overflow) the command had, in the direction of its data.
    std::int64_t residual_bytes = 0;

    [[nodiscard]] CommandStage stage() const noexcept { return stage_; }
    [[nodiscard]] ITNexus& nexus() const noexcept { return *nexus_; }

  private:
    friend class AccessDelay;
    friend class CopyManager;
    friend class CopyOperation;
    friend class ITNexusImpl;
    friend class DeviceServer;
    friend class FenceTable;
    friend class ITLNexus;
    friend class LogicalUnitView;
    friend class TaskManager;
    friend class TaskSet;
    friend struct CommandAccess;

    // Memory was short; now it is there.
    struct Waiter final : reactor::BufferWaiter {
        explicit Waiter(Command& owner) : command(owner) {}
        void buffer_available(reactor::Buffer buffer) noexcept override;
        Command& command;
    };
    // Goes on with a long command after others had their turn.
    struct Continuation final : reactor::Task {
        explicit Continuation(Command& owner) : command(owner) {}
        void run() noexcept override;
        Command& command;
    };

    void store_completed(StoreIo& io) noexcept final;

    // How the command stands in its task set (SAM-5 8.6).
    enum class Place : std::uint8_t { outside, dormant, simple, ordered, head_of_queue, unordered };

    ITNexus* nexus_ = nullptr;
    TransportServices* services_ = nullptr;  // who gets the answer
    ITLNexus* itl_ = nullptr;                // null where the LUN has no logical unit
    LogicalUnitView* unit_ = nullptr;        // null with it
    const scsi::CommandRow* row_ = nullptr;
    const Handler* handler_ = nullptr;
    scsi::DecodedCdb decoded_;
    CommandStage stage_ = CommandStage::idle;
    Place place_ = Place::outside;
    // What it does to which blocks, for the fences; none until known.
    scsi::MediumAccess access_ = scsi::MediumAccess::none;
    std::uint8_t phase_ = 0;  // the handler's
    bool fua_ = false;
    scsi::ByteCheck check_ = scsi::ByteCheck::medium_only;  // VERIFY
    bool unmap_ = false;                                    // WRITE SAME
    bool anchor_ = false;                                   // WRITE SAME and UNMAP
    bool data_received_ = false;
    bool delayed_ = false;              // it has had the delay of the active/non-optimized state
    bool watched_ = false;              // its answer concerns others: aborted, blocked, ACA
    bool of_copy_manager_ = false;      // unit attentions are left to the initiator's own
    bool store_active_ = false;         // the store has io_
    bool home_active_ = false;          // the home shard works for it
    bool submitting_ = false;           // inside StoreChannel::submit
    bool completed_inside_ = false;     // and it completed there
    std::uint32_t transfer_bytes_ = 0;  // what the CDB moves, in its row's direction
    std::uint32_t lacking_bytes_ = 0;   // a WRITE: and what it would move if the host sent it
    std::uint32_t buffer_bytes_ = 0;    // the buffer it needs for that
    std::uint32_t step_blocks_ = 0;     // the store request under way
    std::uint64_t first_block_ = 0;
    std::uint64_t end_block_ = 0;
    std::uint64_t done_blocks_ = 0;
    std::uint32_t items_ = 0;   // ranges of UNMAP, extents of GET LBA STATUS
    std::uint64_t cursor_ = 0;  // the handler's
    std::uint64_t fence_ = 0;   // the fence that it holds
    std::shared_ptr<AbortRecord> abort_;
    std::unique_ptr<CommandExtension> extension_;
    reactor::Buffer buffer_;
    StoreIo io_;
    Waiter waiter_{*this};
    Continuation continuation_{*this};
    std::array<iovec, StoreIo::borrowed_pieces> data_in_{};
    std::size_t data_in_count_ = 0;
    std::size_t sense_bytes_ = 0;
    std::array<std::uint8_t, limits::sense_bytes> sense_;
    Command* tag_next_ = nullptr;  // in the nexus's table of tags
    ListHook nexus_hook_;          // all commands of the nexus
    ListHook unit_hook_;           // all commands of the unit on this shard
    ListHook wait_hook_;           // dormant, or behind a fence
    ListHook abort_hook_;          // about to be aborted
};

}  // namespace olio::target
