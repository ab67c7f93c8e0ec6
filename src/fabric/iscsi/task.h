// One SCSI task of a session, and the other things that a connection sends.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/intrusive_list.h"
#include "base/limits.h"
#include "fabric/iscsi/pdu.h"
#include "reactor/buffer_pool.h"
#include "target/command.h"

namespace olio::iscsi {

class Connection;

// What waits in a connection's output queue: a task (R2Ts, Data-In, SCSI Response) or an answer.
struct OutputSource {
    enum class Kind : std::uint8_t { task, answer };
    explicit OutputSource(Kind of) noexcept : source_kind(of) {}
    Kind source_kind;
    ListHook output_hook;
};

// Any PDU of the target but those of a task. Allocated: not on the path of a command.
struct Answer : OutputSource {
    Answer() noexcept : OutputSource(Kind::answer) {}
    BasicHeader header{};  // StatSN, ExpCmdSN and MaxCmdSN are filled in when it is sent
    std::vector<std::uint8_t> data;
    bool uses_stat_sn = true;
    bool closes = false;  // the connection ends when this has been sent
    // What was queued before it is sent before it, to the last byte: the host takes a task
    // management response for the end of every answer to what it covers (RFC 7143 4.2.2.3.3).
    bool fence = false;
};

// Data-Out of one sequence: the unsolicited one, or what an R2T asked for.
struct Burst {
    struct Extent {
        std::uint32_t begin;
        std::uint32_t end;
    };
    std::uint32_t transfer_tag = reserved_tag;
    std::uint32_t offset = 0;
    std::uint32_t length = 0;
    std::uint32_t received = 0;
    std::uint32_t next_data_sn = 0;
    std::uint32_t r2t_sn = 0;
    bool open = false;
    bool announced = false;       // the R2T was sent, or none is needed
    std::vector<Extent> extents;  // with DataPDUInOrder=No only

    void begin(std::uint32_t tag, std::uint32_t at, std::uint32_t bytes) noexcept {
        transfer_tag = tag;
        offset = at;
        length = bytes;
        received = next_data_sn = 0;
        open = true;
        announced = false;
        extents.clear();
    }
    // False if the bytes do not fit the sequence: outside of it, out of order, or received before.
    [[nodiscard]] bool accept(std::uint32_t at, std::uint32_t bytes, bool in_order);
};

enum class TaskState : std::uint8_t {
    unused,
    held,       // its CmdSN has predecessors that did not arrive yet
    submitted,  // the engine has it
    receiving,  // the engine wants its data-out
    answering,  // status and data-in are being sent
};

class IscsiTask final : public target::Command, public OutputSource {
  public:
    IscsiTask() noexcept : OutputSource(Kind::task) {}

    Connection* connection = nullptr;
    IscsiTask* next = nullptr;  // in its hash bucket, or in the list of unused ones
    TaskState state = TaskState::unused;
    bool immediate = false;
    bool reads = false;
    bool holds_window = false;     // its place in the CmdSN window is taken
    bool terminating = false;      // the engine awaits transfer_terminated
    bool unsolicited_done = true;  // the first burst has ended
    bool protocol_failed = false;  // data-out was wrong; see failure
    bool failure_reported = false;
    scsi::AdditionalSense failure;
    std::uint32_t task_tag = 0;
    std::uint32_t cmd_sn = 0;
    std::uint32_t expected_length = 0;  // of data-out, or of data-in if there is none
    std::uint64_t last_progress = 0;    // nanoseconds; when data-out last came

    // Data-out.
    std::array<Burst, limits::outstanding_r2ts> bursts;
    std::uint32_t next_offset = 0;  // where the next R2T begins
    reactor::Buffer staging;        // unsolicited data of a held task
    std::uint32_t staging_bytes = 0;

    // Data-in and numbering of PDUs: DataSN and R2TSN share it.
    std::uint32_t sequence_number = 0;
    std::uint32_t data_in_bytes = 0;
    std::uint32_t data_in_sent = 0;
    std::uint32_t burst_sent = 0;

    std::array<std::uint8_t, 16> cdb_bytes{};
    std::vector<std::uint8_t> long_cdb;

    // All that a new command must not inherit.
    void reset() noexcept;
    [[nodiscard]] Burst* find_burst(std::uint32_t transfer_tag) noexcept;
    [[nodiscard]] unsigned open_bursts() const noexcept;
    // Closes every burst; an R2T that was not sent is taken back, its R2TSN with it.
    void close_bursts() noexcept;
    // Where data-out goes now; empty if it is not wanted.
    [[nodiscard]] MutableBytes data_out_memory() const noexcept;
};

}  // namespace olio::iscsi
