// A command on its way through the engine. A fabric derives its own task from it, takes it from a pool
// and gives it to ITNexus::submit; until ITNexus::finished has returned it belongs to the engine, except for
// the data moves the engine asks for. One shard's object: the session's.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <span>

#include "base/bytes.h"
#include "base/intrusive_list.h"
#include "base/limits.h"
#include "reactor/buffer_pool.h"
#include "scsi/command_table.h"
#include "scsi/sense.h"
#include "scsi/types.h"
#include "target/backstore.h"

namespace olio::target {

class ITNexus;
class DeviceServer;
class LogicalUnitView;
class TaskSet;

// Where a command is; it can be inspected, aborted and counted in each. CommandStage::idle: the fabric's.
enum class CommandStage : std::uint8_t {
    idle,
    awaiting_buffer,      // memory is short
    awaiting_data_out,    // the fabric receives
    dormant,              // ordering: an older command must end first
    fenced,               // an overlapping COMPARE AND WRITE, or a change of state, must end first
    executing,            // in the backing store or on the home shard
    completing,           // the fabric sends
    terminating,          // the fabric was asked to stop its transfer
    discarding,           // ended without response
    count,
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
    Bytes cdb;  // 6 … limits::cdb_bytes; in memory that stays until finished
    // What the host said it will send and take. Both zero for a command without data.
    std::uint32_t expected_data_out_bytes = 0;
    std::uint32_t expected_data_in_bytes = 0;
    // Part of the data-out arrives unasked, directly behind the command: the engine answers submit with
    // receive_data_out or complete before it returns (BUSY if there is no memory), never later.
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
    // SAM-5 5.4.2: how much more (positive: the host expected more than was moved; underflow) or less
    // (negative: overflow) the command had, in the direction of its data.
    std::int64_t residual_bytes = 0;

    [[nodiscard]] CommandStage stage() const noexcept { return stage_; }
    [[nodiscard]] ITNexus& nexus() const noexcept { return *nexus_; }

  private:
    friend class ITNexus;
    friend class DeviceServer;
    friend class LogicalUnitView;
    friend class TaskSet;
    friend struct CommandAccess;

    void store_completed(StoreIo& io) noexcept final;

    // To be completed by target/.
    ITNexus* nexus_ = nullptr;
    LogicalUnitView* unit_ = nullptr;
    const scsi::CommandRow* row_ = nullptr;
    scsi::DecodedCdb decoded_;
    CommandStage stage_ = CommandStage::idle;
    reactor::Buffer buffer_;
    StoreIo io_;
    std::array<iovec, StoreIo::borrowed_pieces> data_in_{};
    std::size_t data_in_count_ = 0;
    std::size_t sense_bytes_ = 0;
    std::array<std::uint8_t, limits::sense_bytes> sense_;
    ListHook nexus_hook_;  // all commands of the nexus
    ListHook unit_hook_;   // all commands of the unit on this shard
};

}  // namespace olio::target
