#include "fabric/iscsi/login.h"

#include <fmt/core.h>

#include <algorithm>

namespace olio::iscsi {

namespace {
constexpr std::uint8_t our_version = 0x00;  // RFC 7143 11.12.4
}

Login::Login(LoginPolicy& policy) : policy_(policy), negotiation_(OperationalSettings{}, true) {}

LoginStep Login::request(const BasicHeader& bhs, Bytes data) {
    last_header_ = bhs;
    if (opcode_of(bhs) != Opcode::login_request)
        return fail_with(bhs, {LoginStatus::invalid_during_login,
                               fmt::format("a PDU of opcode {:#04x} during login", bhs[0])});
    const auto request = decode_request<LoginRequestPdu>(bhs);
    if (Verdict refusal = check_header(request, bhs))
        return fail_with(bhs, std::move(*refusal));
    if (!incoming_.add(data))
        return fail_with(
            bhs, {LoginStatus::initiator_error,
                  fmt::format("more than {} bytes of login text", limits::login_text_bytes)});
    if ((request.flags & text_flags::continues) != 0) {
        // 6.2: the rest of the text follows; the answer is an empty response.
        if (!outgoing_.empty())
            return fail_with(bhs, {LoginStatus::initiator_error,
                                   "a text was begun while the target's was unfinished"});
        transit_ = false;
        return send_chunk(request);
    }
    if (!outgoing_.empty()) {
        if (!incoming_.empty())
            return fail_with(bhs, {LoginStatus::initiator_error,
                                   "a text was sent while the target's was unfinished"});
        return send_chunk(request);
    }
    if (Verdict refusal = take_text(request))
        return fail_with(bhs, std::move(*refusal));
    outgoing_ = answers_.take();
    answers_ = {};
    if (transit_ && next_stage_ == LoginStage::full_feature_phase &&
        outgoing_.size() <= login_segment_bytes)
        return LoginStep::admit;
    return send_chunk(request);
}

Login::Verdict Login::check_header(const LoginRequestPdu& request, const BasicHeader& bhs) {
    if (++exchanges_ > limits::login_exchanges)
        return Refusal{LoginStatus::initiator_error,
                       fmt::format("more than {} login requests", limits::login_exchanges)};
    if (ahs_length(bhs) != 0)
        return Refusal{LoginStatus::initiator_error, "a login request with additional headers"};
    if (!first_seen_) {
        if (Verdict refusal = check_first(request))
            return refusal;
    } else if (request.task_tag != task_tag_ || request.isid != identity_.isid ||
               request.tsih != identity_.tsih || request.cid != identity_.cid) {
        return Refusal{LoginStatus::initiator_error,
                       "ISID, TSIH, CID or task tag changed during the login"};
    }
    return check_stages(request);
}

Login::Verdict Login::check_first(const LoginRequestPdu& request) {
    first_seen_ = true;
    identity_.isid = request.isid;
    identity_.tsih = request.tsih;
    identity_.cid = request.cid;
    task_tag_ = request.task_tag;
    cmd_sn_ = request.cmd_sn;
    stat_sn_ = request.exp_stat_sn;
    stage_ = request.current_stage();
    if (request.tsih != 0)
        negotiation_ = Negotiation(OperationalSettings{}, false);
    if (request.version_min > our_version)
        return Refusal{LoginStatus::unsupported_version,
                       fmt::format("the initiator speaks versions {} to {}, this target {}",
                                   request.version_min, request.version_max, our_version)};
    return std::nullopt;
}

Login::Verdict Login::check_stages(const LoginRequestPdu& request) const {
    const LoginStage current = request.current_stage();
    const LoginStage next = request.next_stage();
    const bool transit = (request.flags & text_flags::transit) != 0;
    const bool continues = (request.flags & text_flags::continues) != 0;
    if (current != stage_ || current > LoginStage::operational_negotiation)
        return Refusal{LoginStatus::initiator_error,
                       fmt::format("a request of stage {} in stage {}",
                                   static_cast<unsigned>(current), static_cast<unsigned>(stage_))};
    if (transit && continues)
        return Refusal{LoginStatus::initiator_error, "T and C bits are both set"};
    if (transit && (next <= current || next == LoginStage::reserved))
        return Refusal{LoginStatus::initiator_error,
                       fmt::format("a transition from stage {} to {}",
                                   static_cast<unsigned>(current), static_cast<unsigned>(next))};
    return std::nullopt;
}

Login::Verdict Login::take_text(const LoginRequestPdu& request) {
    transit_ = false;
    const Result<std::vector<KeyValue>> pairs = parse_text(incoming_.text());
    if (!pairs)
        return Refusal{LoginStatus::initiator_error, pairs.error().message};
    const Phase phase =
        stage_ == LoginStage::security_negotiation ? Phase::security : Phase::operational;
    // The settings that the keys are weighed against are the target's, so it is found first.
    Texts first;
    for (const KeyValue& pair : *pairs)
        if (const KeyRow* row = find_key(pair.key); row != nullptr && is_identity_key(row->key))
            first.emplace_back(row->key, pair.value);
    if (Verdict refusal = take_identity(first))
        return refusal;
    if (!identified_)
        if (Verdict refusal = select_target())
            return refusal;
    Texts texts;
    if (Result<void> taken = negotiation_.take(*pairs, phase, answers_, texts); !taken)
        return Refusal{LoginStatus::initiator_error, taken.error().message};
    Verdict refusal;
    if (phase == Phase::security) {
        refusal = take_security(texts, request);
    } else {
        const bool security_key = std::ranges::any_of(
            texts, [](const auto& pair) { return pair.first <= Key::chap_response; });
        if (security_key)
            return Refusal{LoginStatus::initiator_error,
                           "a key of authentication in the operational stage"};
        negotiation_.declare(answers_);
    }
    if (!refusal)
        refusal = decide_transition(request);
    incoming_.clear();
    return refusal;
}

Login::Verdict Login::take_identity(const Texts& texts) {
    LoginIdentity now = identity_;
    for (const auto& [key, value] : texts) {
        if (key == Key::initiator_name) {
            if (!valid_name(value))
                return Refusal{LoginStatus::initiator_error, "InitiatorName is not an iSCSI name"};
            now.initiator_name = normalize_name(value);
        } else if (key == Key::target_name) {
            if (!valid_name(value))
                return Refusal{LoginStatus::target_not_found, "TargetName is not an iSCSI name"};
            now.target_name = normalize_name(value);
        } else if (key == Key::initiator_alias) {
            now.initiator_alias = value.substr(0, 255);
        } else if (key == Key::session_type) {
            if (value != "Discovery" && value != "Normal")
                return Refusal{LoginStatus::session_type_not_supported,
                               "SessionType is neither Normal nor Discovery"};
            now.discovery = value == "Discovery";
        }
    }
    if (identified_) {
        // Some initiators say who they are in each stage; that may not change.
        if (now.initiator_name != identity_.initiator_name ||
            now.discovery != identity_.discovery ||
            (!now.discovery && now.target_name != identity_.target_name))
            return Refusal{LoginStatus::initiator_error,
                           "InitiatorName, TargetName or SessionType changed during the login"};
        return std::nullopt;
    }
    identity_ = std::move(now);
    // 6.3.1: the first request names the initiator and, unless it is for discovery, the target.
    if (identity_.initiator_name.empty())
        return Refusal{LoginStatus::missing_parameter, "InitiatorName is missing"};
    if (!identity_.discovery && identity_.target_name.empty())
        return Refusal{LoginStatus::missing_parameter, "TargetName is missing"};
    if (identity_.discovery && identity_.tsih != 0)
        return Refusal{LoginStatus::cannot_include_in_session,
                       "a discovery session has one connection"};
    return std::nullopt;
}

Login::Verdict Login::select_target() {
    identified_ = true;
    if (identity_.discovery)
        identity_.target_name.clear();
    selection_ = policy_.select(identity_);
    if (selection_.status != LoginStatus::success) {
        if (!selection_.redirect_address.empty())
            answers_.add(key_name(Key::target_address), selection_.redirect_address);
        return Refusal{selection_.status, std::string(login_status_name(selection_.status))};
    }
    negotiation_.set_settings(selection_.settings);
    negotiation_.set_discovery(identity_.discovery);
    if (!identity_.discovery) {
        // 13.9: in the first response; TargetAlias goes with it.
        if (!selection_.target_alias.empty())
            answers_.add(key_name(Key::target_alias), selection_.target_alias);
        answers_.add(key_name(Key::target_portal_group_tag),
                     std::uint64_t{selection_.portal_group_tag});
    }
    const bool required = selection_.authentication && selection_.authentication->required();
    if (required && stage_ != LoginStage::security_negotiation)
        return Refusal{LoginStatus::authentication_failure,
                       "authentication is required, and the initiator skipped it"};
    authenticated_ = !required;
    return std::nullopt;
}

Login::Verdict Login::choose_method(std::string_view methods) {
    const Result<std::vector<std::string_view>> offered = split_list(methods);
    if (!offered)
        return Refusal{LoginStatus::initiator_error, offered.error().message};
    const std::string_view wanted = authenticated_ ? "None" : "CHAP";
    if (std::ranges::find(*offered, wanted) == offered->end())
        return Refusal{LoginStatus::authentication_failure,
                       fmt::format("the initiator does not offer AuthMethod={}", wanted)};
    method_chosen_ = true;
    answers_.add(key_name(Key::auth_method), wanted);
    if (!authenticated_)
        chap_.emplace(*selection_.authentication);
    return std::nullopt;
}

Login::Verdict Login::take_security(const Texts& texts, const LoginRequestPdu& request) {
    ChapTarget::Answer answer;
    bool method_now = false;
    for (const auto& [key, value] : texts) {
        switch (key) {
            case Key::auth_method:
                if (Verdict refusal = choose_method(value))
                    return refusal;
                method_now = true;
                break;
            case Key::chap_algorithm:
                answer.algorithms = value;
                break;
            case Key::chap_name:
                answer.name = value;
                break;
            case Key::chap_response:
                answer.response = value;
                break;
            case Key::chap_identifier:
                answer.identifier = value;
                break;
            case Key::chap_challenge:
                answer.challenge = value;
                break;
            default:
                break;
        }
    }
    if (!answer.empty()) {
        if (!chap_ || method_now)
            return Refusal{LoginStatus::initiator_error, "CHAP keys without AuthMethod=CHAP"};
        if (Result<void> taken = chap_->step(answer, answers_); !taken)
            return Refusal{LoginStatus::authentication_failure, taken.error().message};
        if (chap_->done()) {
            authenticated_ = true;
            identity_.chap_user = chap_->user();
        }
    }
    const bool transit = (request.flags & text_flags::transit) != 0;
    if (transit && !authenticated_ && !method_chosen_)
        return Refusal{LoginStatus::authentication_failure,
                       "authentication is required, and the initiator offers none"};
    return std::nullopt;
}

Login::Verdict Login::decide_transition(const LoginRequestPdu& request) {
    if ((request.flags & text_flags::transit) == 0 || !authenticated_)
        return std::nullopt;
    if (negotiation_.unanswered())
        return Refusal{LoginStatus::initiator_error, "a proposal of the target was not answered"};
    next_stage_ = request.next_stage();
    if (stage_ == LoginStage::operational_negotiation) {
        if (negotiation_.propose(answers_))
            return std::nullopt;
    } else if (next_stage_ == LoginStage::full_feature_phase && !negotiation_.defaults_suffice()) {
        return Refusal{LoginStatus::initiator_error,
                       "the target does not take the defaults of the operational parameters"};
    }
    transit_ = true;
    return std::nullopt;
}

LoginStep Login::send_chunk(const LoginRequestPdu& request) {
    LoginResponsePdu response;
    const std::size_t count = std::min(outgoing_.size(), login_segment_bytes);
    reply_.data = outgoing_.substr(0, count);
    outgoing_.erase(0, count);
    response.flags = static_cast<std::uint8_t>(static_cast<unsigned>(stage_) << 2);
    if (!outgoing_.empty()) {
        response.flags |= text_flags::continues;
    } else if (transit_ && (request.flags & text_flags::transit) == 0) {
        transit_ = false;  // a stage ends only when both sides say so; the initiator says it again
    } else if (transit_) {
        // What did not fit one PDU ended with this one; the last step into the full feature phase
        // still wants the session's word.
        if (next_stage_ == LoginStage::full_feature_phase && !complete_) {
            outgoing_ = std::move(reply_.data);
            return LoginStep::admit;
        }
        response.flags |=
            static_cast<std::uint8_t>(text_flags::transit | static_cast<unsigned>(next_stage_));
        stage_ = next_stage_;
        transit_ = false;
    }
    response.version_max = our_version;
    response.version_active = our_version;
    response.isid = identity_.isid;
    response.tsih = identity_.tsih;
    response.task_tag = request.task_tag;
    response.numbering = {stat_sn_++, cmd_sn_, cmd_sn_ + selection_.command_window - 1};
    reply_.header = encode(response, reply_.data.size());
    return LoginStep::reply;
}

LoginStep Login::admitted(LoginStatus status, std::uint16_t tsih) {
    if (status != LoginStatus::success) {
        outgoing_.clear();
        return fail_with(last_header_, {status, std::string(login_status_name(status))});
    }
    complete_ = true;
    identity_.tsih = tsih;
    return send_chunk(decode_request<LoginRequestPdu>(last_header_));
}

LoginStep Login::refuse(const BasicHeader& bhs, LoginStatus status, std::string reason) {
    return fail_with(bhs, {status, std::move(reason)});
}

LoginStep Login::fail_with(const BasicHeader& bhs, Refusal refusal) {
    failure_ = std::move(refusal.reason);
    failure_status_ = refusal.status;
    LoginResponsePdu response;
    const auto request = decode<LoginRequestPdu>(bhs);
    response.version_max = our_version;
    response.version_active = our_version;
    response.isid = request.isid;
    response.tsih = request.tsih;
    response.task_tag = request.task_tag;
    response.status = refusal.status;
    reply_.data.clear();
    // A redirection names the address in the failing response (11.13.5).
    if (refusal.status == LoginStatus::moved_temporarily ||
        refusal.status == LoginStatus::moved_permanently)
        reply_.data = answers_.take();
    reply_.header = encode(response, reply_.data.size());
    return LoginStep::reply_and_close;
}

}  // namespace olio::iscsi
