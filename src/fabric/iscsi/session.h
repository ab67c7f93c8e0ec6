// A session (RFC 7143 4.4): command numbering, the tasks, and the I_T nexus that they run in. It
// has a list of connections; each task keeps to the connection that brought it. Everything of a
// session happens on one shard.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "fabric/iscsi/login.h"
#include "fabric/iscsi/negotiation.h"
#include "fabric/iscsi/task.h"
#include "target/it_nexus.h"
#include "target/target_port.h"

namespace olio::reactor {
class BufferPool;
}

namespace olio::iscsi {

class Connection;

// What a session wants of the place that keeps it.
class SessionOwner {
  public:
    // The answer to SendTargets (RFC 7143 appendix C) for `which`: "All", a target's name or, in a
    // normal session, "" for the session's own target. Pairs with their NULs.
    virtual std::string send_targets(const Connection& connection, std::string_view which) = 0;
    // TARGET COLD RESET was executed: every session of the target ends (11.5.1).
    virtual void cold_reset() noexcept = 0;

  protected:
    ~SessionOwner() = default;
};

struct SessionCounters {
    std::uint64_t commands = 0;
    std::uint64_t bytes_to_host = 0;  // SCSI data, without headers
    std::uint64_t bytes_from_host = 0;
    std::uint64_t rejects = 0;
    std::uint64_t digest_errors = 0;
};

// How a PDU's CmdSN stands (4.2.2.1).
enum class Arrival : std::uint8_t { deliver, hold, ignore };

class Session final : public target::TransportServices {
  public:
    struct Options {
        LoginIdentity identity;
        NegotiatedParameters parameters;
        std::uint32_t command_window = 128;
        std::uint32_t first_cmd_sn = 0;
        std::uint16_t tsih = 0;
        reactor::BufferPool* buffers = nullptr;  // nullptr in discovery: nothing is staged
    };
    Session(Options options, SessionOwner& owner);
    ~Session();  // no connection, no task, nexus drained
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    // The nexus of a normal session; before the first command.
    void attach(std::unique_ptr<target::ITNexus> nexus) noexcept { nexus_ = std::move(nexus); }
    [[nodiscard]] target::ITNexus* nexus() noexcept { return nexus_.get(); }

    [[nodiscard]] const LoginIdentity& identity() const noexcept { return options_.identity; }
    [[nodiscard]] const NegotiatedParameters& parameters() const noexcept {
        return options_.parameters;
    }
    [[nodiscard]] std::uint16_t tsih() const noexcept { return options_.tsih; }
    [[nodiscard]] bool discovery() const noexcept { return options_.identity.discovery; }
    [[nodiscard]] SessionOwner& owner() noexcept { return owner_; }
    [[nodiscard]] SessionCounters& counters() noexcept { return counters_; }
    [[nodiscard]] const std::vector<Connection*>& connections() const noexcept {
        return connections_;
    }

    // Every connection is lost already. Aborts what runs; see ITNexus::close.
    void close(std::move_only_function<void()> fenced, std::move_only_function<void()> drained);

    // --- For connections ---
    void add(Connection& connection);
    // The connection has let go of all memory; its tasks get no answer.
    void remove(Connection& connection) noexcept;

    [[nodiscard]] std::uint32_t exp_cmd_sn() const noexcept { return exp_cmd_sn_; }
    [[nodiscard]] std::uint32_t max_cmd_sn() const noexcept {
        return exp_cmd_sn_ - 1 + (options_.command_window - window_used_);
    }
    // How a non-immediate PDU's CmdSN stands; nothing changes.
    [[nodiscard]] Arrival classify(std::uint32_t cmd_sn) const noexcept;
    // The CmdSN that was expected has been received.
    void advance() noexcept { ++exp_cmd_sn_; }
    // The same for a command, which also takes its place in the window: MaxCmdSN stays as it was.
    void advance(IscsiTask& task) noexcept;

    // nullptr: none left.
    [[nodiscard]] IscsiTask* take_task(Connection& connection, std::uint32_t task_tag,
                                       bool immediate);
    [[nodiscard]] IscsiTask* find_task(std::uint32_t task_tag) noexcept;
    // Gives the window's place back: when the last PDU of the task is on its way, so that it tells
    // the initiator of the place (the object itself stays until that PDU has been sent).
    void leave_window(IscsiTask& task) noexcept;
    void release(IscsiTask& task) noexcept;

    // Gives a task to the engine.
    void submit(IscsiTask& task) noexcept;
    // A held task, or any other held PDU, until its predecessors are here. False: no room.
    void hold(IscsiTask& task);
    [[nodiscard]] bool hold(Connection& connection, const BasicHeader& bhs,
                            std::vector<std::uint8_t> data, bool takes_cmd_sn);
    void deliver_held();

    // A Task Management Request whose turn has come. False: too many are under way.
    [[nodiscard]] bool task_management(Connection& connection, const TaskManagementRequestPdu& pdu);

    [[nodiscard]] std::uint32_t next_transfer_tag() noexcept {
        if (++transfer_tag_ == reserved_tag)
            ++transfer_tag_;
        return transfer_tag_;
    }
    // The task's data is complete, or will never be.
    void data_out_received(IscsiTask& task) noexcept;
    void data_out_failed(IscsiTask& task) noexcept;
    void finished(IscsiTask& task) noexcept;
    void transfer_terminated(IscsiTask& task) noexcept;
    // Calls `function` with each task of the connection.
    void for_each_task(const Connection& connection,
                       const std::function<void(IscsiTask&)>& function);
    [[nodiscard]] bool acquire_staging(IscsiTask& task, std::uint32_t length_bytes);

    // --- target::TransportServices ---
    void receive_data_out(target::Command& command) noexcept override;
    void complete(target::Command& command) noexcept override;
    void terminate_transfer(target::Command& command) noexcept override;
    void discard(target::Command& command) noexcept override;
    void task_management_executed(target::TaskManagement& request) noexcept override;

  private:
    static constexpr std::size_t tasks_per_chunk = 8;
    static constexpr std::size_t buckets = 64;
    static constexpr std::size_t max_management = 16;

    struct Held {
        std::uint32_t cmd_sn = 0;
        bool takes_cmd_sn = true;
        IscsiTask* task = nullptr;         // else a PDU, or a CmdSN given up by ABORT TASK
        Connection* connection = nullptr;  // nullptr: given up
        BasicHeader bhs{};
        std::vector<std::uint8_t> data;
    };
    struct Management : target::TaskManagement {
        Session* session = nullptr;
        Connection* connection = nullptr;
        std::uint32_t task_tag = 0;
        bool cold_reset = false;
    };

    void insert_held(Held held);
    void remove_held(const Connection& connection) noexcept;
    void answer_management(Connection& connection, std::uint32_t task_tag,
                           TaskManagementResult result,
                           std::array<std::uint8_t, 3> additional = {});
    [[nodiscard]] std::optional<TaskManagementResult> abort_undelivered(
        const TaskManagementRequestPdu& pdu);
    void unhash(IscsiTask& task) noexcept;
    void end_unsent(IscsiTask& task) noexcept;

    Options options_;
    SessionOwner& owner_;
    std::unique_ptr<target::ITNexus> nexus_;
    std::vector<Connection*> connections_;
    SessionCounters counters_;

    std::uint32_t exp_cmd_sn_;
    std::uint32_t window_used_ = 0;
    std::uint32_t transfer_tag_ = 0;
    std::uint32_t immediate_tasks_ = 0;
    bool delivering_ = false;

    std::array<IscsiTask*, buckets> by_tag_{};
    IscsiTask* unused_ = nullptr;
    std::vector<std::unique_ptr<IscsiTask[]>> chunks_;
    std::vector<Held> held_;  // in the order of CmdSN
    std::size_t held_bytes_ = 0;
    std::vector<std::unique_ptr<Management>> management_;
};

}  // namespace olio::iscsi
