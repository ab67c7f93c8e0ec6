// The target's side of a login (RFC 7143 6.3) as a state machine: Login Request PDUs in, Login
// Response PDUs out. It has no socket and no clock; what it must know of targets and sessions it
// asks a LoginPolicy for, and admission to a session, which can take time, is the caller's.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "fabric/iscsi/chap.h"
#include "fabric/iscsi/negotiation.h"
#include "fabric/iscsi/pdu.h"
#include "fabric/iscsi/text.h"

namespace olio::iscsi {

// Data segments of a login are at most this long in either direction (13.12: the default holds).
inline constexpr std::size_t login_segment_bytes = 8192;

// Who logs in and where to. Names are normalized (text.h).
struct LoginIdentity {
    std::string initiator_name;
    std::string initiator_alias;
    std::string target_name;  // empty in a discovery session
    bool discovery = false;
    InitiatorSessionId isid{};
    std::uint16_t tsih = 0;  // as the initiator sent it
    std::uint16_t cid = 0;
    std::string chap_user;  // once authenticated
};

// What a policy says about the first complete request.
struct TargetSelection {
    LoginStatus status = LoginStatus::success;
    std::string redirect_address;  // TargetAddress, with moved_temporarily and moved_permanently
    std::uint16_t portal_group_tag = 1;
    std::string target_alias;
    std::shared_ptr<const AuthenticationSettings> authentication;  // nullptr: none
    OperationalSettings settings;
    std::uint32_t command_window = 32;  // MaxCmdSN - ExpCmdSN + 1
};

class LoginPolicy {
  public:
    // Finds the target (or, in discovery, the discovery settings): is it there, enabled, and may
    // this initiator come in (target_not_found, service_unavailable, authorization_failure…)?
    virtual TargetSelection select(const LoginIdentity& identity) = 0;

  protected:
    ~LoginPolicy() = default;
};

enum class LoginStep : std::uint8_t {
    reply,            // send reply(), await the next request
    admit,            // find or make the session, then call admitted()
    reply_and_close,  // the login failed: send reply() and close
};

struct LoginReply {
    BasicHeader header{};
    std::string data;  // at most login_segment_bytes, unpadded
};

class Login {
  public:
    explicit Login(LoginPolicy& policy);

    // One PDU of the initiator, of any opcode, with its whole data segment. `ahs`: whether it had
    // additional headers.
    [[nodiscard]] LoginStep request(const BasicHeader& bhs, Bytes data);
    // The session's verdict: success with the TSIH for the response, or a failure.
    [[nodiscard]] LoginStep admitted(LoginStatus status, std::uint16_t tsih);
    // The request cannot even be taken (a data segment that is too long, a time-out).
    [[nodiscard]] LoginStep refuse(const BasicHeader& bhs, LoginStatus status, std::string reason);

    [[nodiscard]] const LoginReply& reply() const noexcept { return reply_; }
    // After admitted(success): the full feature phase begins.
    [[nodiscard]] bool complete() const noexcept { return complete_; }

    [[nodiscard]] const LoginIdentity& identity() const noexcept { return identity_; }
    [[nodiscard]] const NegotiatedParameters& parameters() const noexcept {
        return negotiation_.result();
    }
    [[nodiscard]] std::uint32_t command_window() const noexcept {
        return selection_.command_window;
    }
    [[nodiscard]] std::uint32_t initial_cmd_sn() const noexcept { return cmd_sn_; }
    [[nodiscard]] std::uint32_t next_stat_sn() const noexcept { return stat_sn_; }
    // Why it failed, for the log.
    [[nodiscard]] const std::string& failure() const noexcept { return failure_; }
    [[nodiscard]] LoginStatus failure_status() const noexcept { return failure_status_; }

  private:
    struct Refusal {
        LoginStatus status;
        std::string reason;
    };
    using Verdict = std::optional<Refusal>;  // nothing: go on

    [[nodiscard]] Verdict check_header(const LoginRequestPdu& request, const BasicHeader& bhs);
    [[nodiscard]] Verdict check_first(const LoginRequestPdu& request);
    [[nodiscard]] Verdict check_stages(const LoginRequestPdu& request) const;
    [[nodiscard]] Verdict take_text(const LoginRequestPdu& request);
    using Texts = std::vector<std::pair<Key, std::string_view>>;
    [[nodiscard]] Verdict take_identity(const Texts& texts);
    [[nodiscard]] Verdict select_target();
    [[nodiscard]] Verdict take_security(const Texts& texts, const LoginRequestPdu& request);
    [[nodiscard]] Verdict choose_method(std::string_view methods);
    [[nodiscard]] Verdict decide_transition(const LoginRequestPdu& request);
    [[nodiscard]] LoginStep send_chunk(const LoginRequestPdu& request);
    [[nodiscard]] LoginStep fail_with(const BasicHeader& bhs, Refusal refusal);

    LoginPolicy& policy_;
    Negotiation negotiation_;
    LoginIdentity identity_;
    TargetSelection selection_;
    std::optional<ChapTarget> chap_;

    bool first_seen_ = false;  // a request's header was taken
    bool identified_ = false;  // the first complete text was taken
    bool method_chosen_ = false;
    bool authenticated_ = false;
    bool transit_ = false;  // this response ends the stage
    bool complete_ = false;
    unsigned exchanges_ = 0;
    LoginStage stage_ = LoginStage::security_negotiation;
    LoginStage next_stage_ = LoginStage::security_negotiation;
    std::uint32_t task_tag_ = 0;
    std::uint32_t cmd_sn_ = 0;
    std::uint32_t stat_sn_ = 0;
    BasicHeader last_header_{};

    TextAssembler incoming_;
    TextBuilder answers_;
    std::string outgoing_;  // answers that did not fit one response yet
    LoginReply reply_;
    std::string failure_;
    LoginStatus failure_status_ = LoginStatus::success;
};

}  // namespace olio::iscsi
