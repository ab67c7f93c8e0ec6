// What the connections of one iSCSI session share: settings, command numbering, tasks (RFC
// 7143 4.2, 4.4).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "initiator/wire.h"

namespace olio::initiator {

class Connection;

struct Chap {
    std::string user;
    std::string secret;
    // Mutual: what the target must prove. Empty: one way.
    std::string target_user;
    std::string target_secret;
    std::string algorithms = "5";  // CHAP_A as offered: 5 MD5, 6 SHA1, 7 SHA-256, 8 SHA3-256
};

struct Settings {
    std::string initiator_name = "iqn.2026-01.test.initiator:one";
    std::string target_name;  // empty: a discovery session
    std::array<std::uint8_t, 6> isid{0x80, 0, 0, 0, 0, 1};
    std::uint16_t tsih = 0;
    std::optional<Chap> chap;
    bool start_in_security_stage = false;  // without CHAP: AuthMethod=None is negotiated
    std::uint32_t first_cmd_sn = 1;
    std::uint32_t max_recv_data_segment_bytes = 256
                                                << 10;  // what we declare and hold the target to
    // Operational keys as offered, in this order, after MaxRecvDataSegmentLength. Add, change or
    // drop.
    std::vector<std::pair<std::string, std::string>> keys{
        {"HeaderDigest", "None"},    {"DataDigest", "None"},       {"InitialR2T", "Yes"},
        {"ImmediateData", "Yes"},    {"MaxBurstLength", "262144"}, {"FirstBurstLength", "65536"},
        {"MaxOutstandingR2T", "1"},  {"DataPDUInOrder", "Yes"},    {"DataSequenceInOrder", "Yes"},
        {"ErrorRecoveryLevel", "0"}, {"MaxConnections", "1"},      {"DefaultTime2Wait", "2"},
        {"DefaultTime2Retain", "0"}};
    // Sent with the first login PDU, as they are: for keys of the security stage or unknown ones.
    std::vector<std::pair<std::string, std::string>> first_keys;

    void set(std::string_view key, std::string value);
};

enum class Outcome : std::uint8_t {
    answered,  // a SCSI Response, or Data-In with status, arrived
    aborted,   // a task management function that covers it was answered "complete"
    rejected,  // a Reject PDU named it
    connection_lost,
};

struct CommandRequest {
    std::uint64_t lun = 0;  // as lun_field() makes it
    Bytes cdb;              // up to 260 bytes
    Attribute attribute = Attribute::simple;
    Bytes data_out;                    // stays readable until the task is finished
    MutableBytes data_in;              // stays writable until the task is finished
    std::int64_t expected_bytes = -1;  // the Expected Data Transfer Length, if not that of the data
    bool immediate = false;            // I bit: outside the CmdSN window
    bool hold_data_out = false;        // R2Ts are not answered
    std::uint64_t cookie = 0;          // the caller's
};

// A command under way; its fields are for reading. It belongs to the session and is gone when
// Listener::task_finished returns.
struct Task {
    std::uint64_t cookie = 0;
    std::uint64_t lun = 0;
    std::uint32_t tag = no_tag;
    std::uint32_t cmd_sn = 0;
    std::uint64_t order = 0;  // of sending; an immediate command uses no CmdSN up
    Connection* connection = nullptr;
    bool busy = false;
    bool hold_data_out = false;
    Bytes data_out;
    MutableBytes data_in;
    std::uint32_t expected_bytes = 0;

    Outcome outcome = Outcome::answered;
    std::uint8_t response = 0;  // iSCSI: 0 = completed at the target
    std::uint8_t status = 0;    // SCSI
    std::int64_t residual = 0;  // positive: underflow
    std::uint32_t data_in_received = 0;
    std::uint32_t data_out_sent = 0;
    std::uint16_t sense_length = 0;
    std::array<std::uint8_t, 254> sense_segment{};  // with its length in two bytes

    [[nodiscard]] Bytes sense() const noexcept {
        return Bytes(sense_segment).subspan(2, sense_length);
    }
    // Of fixed or descriptor format; 0 if there is no sense data.
    [[nodiscard]] std::uint8_t sense_key() const noexcept;
    [[nodiscard]] std::uint16_t additional_sense() const noexcept;  // ASC << 8 | ASCQ

    // Numbers that the target must keep.
    std::uint32_t next_data_in_offset = 0;
    std::uint32_t data_in_pdus = 0;
    std::uint32_t sequence_bytes = 0;  // Data-In since the last F bit
    std::uint32_t next_r2t_offset = 0;
    std::uint32_t r2ts = 0;
    std::uint32_t r2ts_held = 0;
};

struct FunctionRequest {
    Function function = Function::abort_task;
    std::uint64_t lun = 0;
    std::uint32_t referenced_tag = no_tag;
    std::uint32_t referenced_cmd_sn = 0;
    bool immediate = true;
    std::uint64_t cookie = 0;
};

struct FunctionResult {
    FunctionRequest request;
    std::uint32_t tag = no_tag;
    std::uint32_t cmd_sn = 0;
    std::uint64_t order = 0;
    Connection* connection = nullptr;
    bool connection_lost = false;
    FunctionResponse response = FunctionResponse::rejected;
};

// Who uses the session. Calls come from inside Connection::receive and Connection::closed; new
// commands may be submitted from inside.
class Listener {
  public:
    virtual void logged_in(Connection&) {}
    // Class and detail of 11.13.5; class 0: we ourselves gave up, `why` says the reason.
    virtual void login_failed(Connection&, std::uint8_t /*status_class*/, std::uint8_t /*detail*/,
                              std::string_view /*why*/) {}
    virtual void task_finished(Connection&, const Task&) = 0;
    virtual void function_finished(Connection&, const FunctionResult&) {}
    virtual void nop_answered(Connection&, std::uint32_t /*tag*/, Bytes /*data*/) {}
    virtual void text_finished(Connection&, std::string_view /*keys*/) {}
    virtual void logout_finished(Connection&, std::uint8_t /*response*/) {}
    virtual void async_message(Connection&, std::uint8_t /*event*/, Bytes /*header*/,
                               Bytes /*data*/) {}
    virtual void rejected(Connection&, std::uint8_t /*reason*/, Bytes /*header in error*/) {}
    // The target broke the RFC. What went before stands; the connection goes on if it can.
    virtual void violation(Connection&, const std::string& what) = 0;

  protected:
    ~Listener() = default;
};

class Session {
  public:
    static constexpr std::size_t most_tasks = 4094;

    // Up to `tasks` commands at a time; all memory for them is taken here.
    Session(Settings settings, Listener& listener, std::size_t tasks);
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    [[nodiscard]] const Settings& settings() const noexcept { return settings_; }
    [[nodiscard]] Listener& listener() noexcept { return listener_; }
    [[nodiscard]] std::uint16_t tsih() const noexcept { return tsih_; }
    [[nodiscard]] std::size_t tasks_under_way() const noexcept { return under_way_; }
    [[nodiscard]] std::size_t functions_under_way() const noexcept { return functions_.size(); }
    // Commands that the target is ready to take now (MaxCmdSN - CmdSN + 1).
    [[nodiscard]] std::uint32_t window() const noexcept {
        return before(max_cmd_sn_, cmd_sn_) ? 0 : max_cmd_sn_ - cmd_sn_ + 1;
    }
    [[nodiscard]] std::uint32_t cmd_sn() const noexcept { return cmd_sn_; }
    [[nodiscard]] std::uint32_t exp_cmd_sn() const noexcept { return exp_cmd_sn_; }
    [[nodiscard]] std::uint32_t max_cmd_sn() const noexcept { return max_cmd_sn_; }
    void set_cmd_sn(std::uint32_t value) noexcept { cmd_sn_ = value; }  // to make holes

    // The task of that tag, or nullptr.
    [[nodiscard]] Task* find(std::uint32_t tag) noexcept;

  private:
    friend class Connection;

    Task* take_task() noexcept;
    void finish(Connection& on, Task& task, Outcome outcome);
    std::uint32_t next_service_tag() noexcept;
    // Whether the function's answer "complete" is that task's end (RFC 7143 11.5.1).
    [[nodiscard]] static bool covers(const FunctionResult& function, const Task& task) noexcept;
    void finish_covered(Connection& on, const FunctionResult& function);
    void connection_closed(Connection& which);

    Settings settings_;
    Listener& listener_;
    std::uint16_t tsih_;
    std::uint32_t cmd_sn_;
    std::uint32_t exp_cmd_sn_;
    std::uint32_t max_cmd_sn_;
    std::uint32_t service_tags_ = 0;
    std::uint64_t orders_ = 0;
    std::size_t under_way_ = 0;
    std::vector<Task> tasks_;
    std::vector<std::uint16_t> free_;
    std::vector<FunctionResult> functions_;
};

}  // namespace olio::initiator
