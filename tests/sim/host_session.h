// A session of a simulated host to the target, whichever way its commands travel: straight to the
// engine (direct_session.h) or over iSCSI (iscsi_session.h). The actor (host.h) and the model see
// only this.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "initiator/cdb.h"
#include "initiator/wire.h"
#include "medium_model.h"

namespace olio::sim {

using initiator::Attribute;
using initiator::Cdb;
using initiator::Function;

enum class Kind : std::uint8_t {
    read,
    write,
    write_and_verify,
    write_same,
    unmap,
    compare_and_write,
    verify,
    verify_compare,
    synchronize_cache,
    test_unit_ready,
    inquiry,
    read_capacity,
    report_luns,
    mode_sense,
    get_lba_status,
    pre_fetch,
    out_of_range,
    unknown_opcode,
    count,
};
[[nodiscard]] std::string_view name_of(Kind kind) noexcept;

// A command of a host, from its making to its end.
struct HostCommand {
    WriteId id = 0;  // its cookie, and its write's name in the model
    Kind kind = Kind::test_unit_ready;
    std::uint32_t lun = 0;
    Cdb cdb;
    Attribute attribute = Attribute::simple;
    bool hold_data_out = false;  // the host stops in the middle of its data
    bool fua = false;
    std::vector<std::uint8_t> data_out;
    std::vector<std::uint8_t> data_in;
    std::uint64_t first_cell = 0;
    std::uint64_t cells = 0;

    Time begun = 0;             // the model's time
    std::uint64_t sent_ns = 0;  // the simulator's
    bool abort_asked = false;
};

struct Answer {
    enum class How : std::uint8_t { answered, aborted, lost };
    How how = How::answered;
    std::uint8_t status = 0;
    std::uint8_t sense_key = 0;
    std::uint16_t additional_sense = 0;
    std::uint32_t data_in_bytes = 0;
};

enum class FunctionAnswer : std::uint8_t { complete, no_such_task, refused, lost };

struct HostFunction {
    std::uint64_t id = 0;
    Function function = Function::abort_task;
    std::uint32_t lun = 0;
    WriteId referenced = 0;
    std::uint64_t sent_ns = 0;
};

// Calls come on the session's shard, never from inside a call to the session.
class SessionUser {
  public:
    virtual void session_ready() = 0;
    virtual void session_lost() = 0;  // after every command's end as lost
    virtual void command_ended(WriteId id, const Answer& answer) = 0;
    virtual void function_ended(std::uint64_t id, FunctionAnswer answer) = 0;
    virtual void fault(const std::string& what) = 0;

  protected:
    ~SessionUser() = default;
};

class HostSession {
  public:
    virtual ~HostSession() = default;

    // Makes a session, replacing the one that the target may still hold (reinstatement).
    virtual void connect() = 0;
    [[nodiscard]] virtual bool ready() const = 0;
    // False: not now (window, slots). The command stays where it is until command_ended.
    virtual bool submit(const HostCommand& command) = 0;
    virtual void manage(const HostFunction& function) = 0;
    // The connection breaks, in the middle of whatever is under way; session_lost() follows.
    virtual void cut() = 0;
    // An orderly end; nothing may be under way. ended() when it is over.
    virtual void close() = 0;
    [[nodiscard]] virtual bool ended() const = 0;
    // What the target has not let go of, for complaints.
    [[nodiscard]] virtual std::string state() const = 0;
};

}  // namespace olio::sim
