// A connection without a network, for tests and fuzzing: a simulated reactor, the real engine over
// a disk in memory, and a host that puts bytes in and takes PDUs out, in pieces of any size.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fabric/iscsi/connection.h"
#include "fabric/iscsi/login.h"
#include "fabric/iscsi/session.h"
#include "reactor/sim.h"
#include "target/engine.h"

namespace olio::iscsi::testing {

inline constexpr std::uint32_t block_bytes = 512;
inline constexpr std::uint32_t disk_blocks = 4096;

// The disk's memory and its faults.
struct Medium {
    std::vector<std::uint8_t> bytes = std::vector<std::uint8_t>(disk_blocks * block_bytes);
    bool hold = false;  // requests stay until release()
    std::vector<target::StoreIo*> held;
    std::uint64_t writes = 0;
    std::uint8_t priority = 0;  // of the last request
    void release();
    void perform(target::StoreIo& io);
};

// A backing store on that memory, which must outlive it.
[[nodiscard]] std::unique_ptr<target::Backstore> make_memory_store(Medium& medium);

// Reactor, engine and one logical unit; can be used by one connection after the other.
class Machine {
  public:
    Machine();
    ~Machine();
    void on_shard(const std::function<void()>& function);  // and whatever follows from it
    [[nodiscard]] target::Engine& engine() noexcept { return *engine_; }
    [[nodiscard]] const target::TargetPort& port() const noexcept { return port_; }
    [[nodiscard]] reactor::Shard& shard() noexcept { return reactor_->shard(0); }
    [[nodiscard]] std::shared_ptr<const target::LunMap> luns() const noexcept { return luns_; }
    Medium medium;

  private:
    std::unique_ptr<reactor::SimReactor> reactor_;
    std::unique_ptr<target::Engine> engine_;
    target::TargetPort port_;
    target::LogicalUnit* unit_ = nullptr;
    std::shared_ptr<const target::LunMap> luns_;
};

struct HostPdu {
    BasicHeader header{};
    std::vector<std::uint8_t> data;
    [[nodiscard]] Opcode opcode() const noexcept { return opcode_of(header); }
    template <class Pdu>
    [[nodiscard]] Pdu as() const noexcept {
        return decode<Pdu>(header);
    }
};

class Host final : public ConnectionTransport, public SessionOwner {
  public:
    struct Options {
        NegotiatedParameters parameters;
        bool discovery = false;
        std::uint32_t command_window = 32;
        std::uint32_t first_cmd_sn = 1;
        std::size_t receive_step = SIZE_MAX;  // bytes put in at once
        std::size_t send_step = SIZE_MAX;     // bytes taken at once
        ConnectionTimes times;
    };
    Host(Machine& machine, Options options);
    ~Host();

    // Sends a PDU: pads, adds digests. Then runs until nothing moves.
    void send(BasicHeader header, Bytes data = {}, Bytes ahs = {});
    void send_raw(Bytes bytes);
    // With the digest of the data segment (or of the header) spoiled.
    void send_spoiled(const BasicHeader& header, Bytes data, bool header_digest);
    void run();
    void advance(std::uint64_t nanoseconds);
    // What came since the last take, and the first of one kind.
    [[nodiscard]] std::vector<HostPdu> take();
    [[nodiscard]] std::optional<HostPdu> take_one(Opcode opcode);

    // A SCSI Command with the next CmdSN (or immediate, which has none).
    ScsiCommandPdu command(std::uint32_t tag, std::vector<std::uint8_t> cdb, std::uint8_t flags,
                           std::uint32_t expected_length);
    void read(std::uint32_t tag, std::uint32_t lba, std::uint16_t blocks);
    void write(std::uint32_t tag, std::uint32_t lba, std::uint16_t blocks, Bytes immediate,
               bool final = true);
    void data_out(std::uint32_t tag, std::uint32_t transfer_tag, std::uint32_t data_sn,
                  std::uint32_t offset, Bytes data, bool final);
    void abort(std::uint32_t tag, std::uint32_t referenced, std::uint32_t ref_cmd_sn,
               TaskManagementFunction function = TaskManagementFunction::abort_task);

    void disconnect();
    [[nodiscard]] bool dropped() const noexcept { return dropped_; }
    [[nodiscard]] const std::string& reason() const noexcept { return reason_; }
    [[nodiscard]] Session& session() noexcept { return *session_; }
    [[nodiscard]] Connection& connection() noexcept { return *connection_; }

    std::uint32_t cmd_sn;
    std::uint32_t exp_stat_sn = 1;
    std::uint64_t now = 1'000'000'000;
    std::size_t renewals = 0;
    std::string targets;  // what SendTargets yields
    bool cold_reset_seen = false;
    bool reading = true;  // the host takes what is sent

    void output_ready() noexcept override {}
    void input_resumed() noexcept override {}
    void renew_receive() noexcept override { ++renewals; }
    void drop(std::string_view reason) noexcept override;
    std::string send_targets(const Connection&, std::string_view which) override;
    void cold_reset() noexcept override { cold_reset_seen = true; }

  private:
    bool feed();
    bool drain();
    void parse_output();
    void put(const BasicHeader& header, Bytes data, Bytes ahs, int spoil);

    Machine& machine_;
    Options options_;
    std::unique_ptr<Session> session_;
    std::unique_ptr<Connection> connection_;
    bool dropped_ = false;
    bool window_lent_ = false;
    bool drained_ = false;
    std::string reason_;
    std::vector<std::uint8_t> input_;
    std::size_t input_at_ = 0;
    std::array<iovec, 2> window_{};
    std::size_t window_count_ = 0;
    std::vector<std::uint8_t> output_;
    std::vector<HostPdu> pdus_;
};

}  // namespace olio::iscsi::testing
