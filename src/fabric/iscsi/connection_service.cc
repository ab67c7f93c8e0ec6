// Everything of the full feature phase that moves no SCSI data.
#include <algorithm>
#include <cstring>
#include <utility>

#include "fabric/iscsi/connection.h"

namespace olio::iscsi {

namespace {
constexpr std::size_t text_segment_bytes = 8192;
}

void Connection::take_nop_out(const BasicHeader& bhs, std::vector<std::uint8_t> data) {
    const auto pdu = decode_request<NopOutPdu>(bhs);
    if (pdu.task_tag == reserved_tag)
        return;  // the answer to our ping, or a note that wants none (11.18)
    NopInPdu answer_pdu;
    answer_pdu.lun = pdu.lun;
    answer_pdu.task_tag = pdu.task_tag;
    if (data.size() > parameters_.initiator_max_recv_bytes)
        data.resize(parameters_.initiator_max_recv_bytes);
    auto answer = std::make_unique<Answer>();
    answer->header = encode(answer_pdu, data.size());
    answer->data = std::move(data);
    send(std::move(answer));
}

void Connection::ping(std::uint64_t now) {
    ping_sent_ = now;
    NopInPdu pdu;
    pdu.transfer_tag = session_.next_transfer_tag();
    auto answer = std::make_unique<Answer>();
    answer->header = encode(pdu);
    answer->uses_stat_sn = false;  // 11.19: the next one is shown, not used
    send(std::move(answer));
}

void Connection::take_text(const BasicHeader& bhs, const std::vector<std::uint8_t>& data) {
    const auto pdu = decode_request<TextRequestPdu>(bhs);
    const bool final = (pdu.flags & final_bit) != 0;
    const bool continues = (pdu.flags & text_flags::continues) != 0;
    if (pdu.task_tag == reserved_tag || (final && continues)) {
        reject(RejectReason::invalid_pdu_field, bhs);
        return;
    }
    if (pdu.transfer_tag == reserved_tag) {  // a new sequence; an old one is given up (11.10.4)
        text_.clear();
        text_out_.clear();
        text_open_ = false;
        negotiation_.restart();
    } else if (!text_open_ || pdu.transfer_tag != text_tag_) {
        reject(RejectReason::protocol_error, bhs);
        return;
    }
    if (!text_out_.empty()) {
        // The host asks for the rest of a long answer with empty requests (6.2).
        if (!data.empty())
            reject(RejectReason::protocol_error, bhs);
        else
            send_text(pdu);
        return;
    }
    if (!text_.add(data)) {
        text_.clear();
        text_open_ = false;
        reject(RejectReason::out_of_resources, bhs);
        return;
    }
    if (continues) {
        send_text(pdu);
        return;
    }
    TextBuilder answers;
    if (!text_answers(answers)) {
        text_.clear();
        text_open_ = false;
        negotiation_.set_result(parameters_);
        reject(RejectReason::negotiation_reset, bhs);
        return;
    }
    text_.clear();
    text_out_ = answers.take();
    send_text(pdu);
}

bool Connection::text_answers(TextBuilder& answers) {
    const Result<std::vector<KeyValue>> pairs = parse_text(text_.text());
    if (!pairs)
        return false;
    std::vector<std::pair<Key, std::string_view>> texts;
    if (!negotiation_.take(*pairs, Phase::full_feature, answers, texts))
        return false;
    parameters_.initiator_max_recv_bytes = negotiation_.result().initiator_max_recv_bytes;
    for (const auto& [key, value] : texts) {
        if (key != Key::send_targets)
            continue;
        // Appendix C: "All" is for discovery sessions; the own target may always be asked for.
        if (value == "All" && !session_.discovery()) {
            answers.add(key_name(key), value_reject);
            continue;
        }
        if (value.empty() && session_.discovery()) {
            answers.add(key_name(key), value_reject);
            continue;
        }
        answers.append(session_.owner().send_targets(*this, value));
    }
    return true;
}

void Connection::send_text(const TextRequestPdu& request) {
    TextResponsePdu pdu;
    pdu.lun = request.lun;
    pdu.task_tag = request.task_tag;
    const std::size_t limit =
        std::min<std::size_t>(text_segment_bytes, parameters_.initiator_max_recv_bytes);
    const std::size_t count = std::min(text_out_.size(), limit);
    auto answer = std::make_unique<Answer>();
    answer->data.assign(text_out_.begin(), text_out_.begin() + static_cast<std::ptrdiff_t>(count));
    text_out_.erase(0, count);
    const bool ends = text_out_.empty() && (request.flags & final_bit) != 0;
    if (ends) {
        pdu.flags = final_bit;
        text_open_ = false;
    } else {
        if (!text_out_.empty())
            pdu.flags = text_flags::continues;
        if (!std::exchange(text_open_, true))
            text_tag_ = session_.next_transfer_tag();
        pdu.transfer_tag = text_tag_;
    }
    answer->header = encode(pdu, count);
    send(std::move(answer));
}

void Connection::take_logout(const BasicHeader& bhs) {
    const auto pdu = decode_request<LogoutRequestPdu>(bhs);
    LogoutResponsePdu response;
    response.task_tag = pdu.task_tag;
    response.time_to_wait_seconds =
        static_cast<std::uint16_t>(session_.parameters().time2wait_seconds);
    response.time_to_retain_seconds =
        static_cast<std::uint16_t>(session_.parameters().time2retain_seconds);
    auto answer = std::make_unique<Answer>();
    switch (pdu.reason()) {
        case LogoutReason::close_session:
            answer->closes = answer->fence = true;
            break;
        case LogoutReason::close_connection:
            if (pdu.cid == options_.cid)
                answer->closes = answer->fence = true;
            else
                response.response = LogoutResult::cid_not_found;
            break;
        case LogoutReason::remove_for_recovery:
            response.response = LogoutResult::recovery_not_supported;
            break;
        default:
            reject(RejectReason::invalid_pdu_field, bhs);
            return;
    }
    // 11.14: after a successful logout nothing more of the connection is looked at.
    closing_ = closing_ || answer->closes;
    answer->header = encode(response);
    send(std::move(answer));
}

void Connection::take_task_management(const BasicHeader& bhs) {
    const auto pdu = decode_request<TaskManagementRequestPdu>(bhs);
    if (pdu.task_tag == reserved_tag)
        reject(RejectReason::invalid_pdu_field, bhs);
    else if (!session_.task_management(*this, pdu))
        reject(pdu.immediate ? RejectReason::immediate_command_rejected
                             : RejectReason::out_of_resources,
               bhs);
}

void Connection::request_logout(std::uint16_t seconds, std::uint64_t now) {
    now_ = now;
    if (dropped_ || end_at_ != never)
        return;
    end_at_ = now + std::uint64_t{seconds} * 1'000'000'000;
    AsyncMessagePdu pdu;
    pdu.event = AsyncEvent::logout_requested;
    pdu.parameter3 = seconds;
    auto answer = std::make_unique<Answer>();
    answer->header = encode(pdu);
    send(std::move(answer));
}

std::uint64_t Connection::next_deadline() const noexcept {
    if (dropped_)
        return never;
    const ConnectionTimes& times = options_.times;
    const std::uint64_t silence =
        ping_sent_ != never ? ping_sent_ + times.answer : last_received_ + times.idle;
    return std::min({end_at_, check_data_at_, silence});
}

void Connection::expired(std::uint64_t now) {
    now_ = now;
    if (dropped_)
        return;
    if (now >= end_at_) {
        drop("the host did not log out in time");
        return;
    }
    if (now >= check_data_at_)
        check_data_out();
    if (ping_sent_ != never) {
        if (now >= ping_sent_ + options_.times.answer)
            drop("the host answers no ping");
    } else if (now >= last_received_ + options_.times.idle) {
        ping(now);
    }
}

}  // namespace olio::iscsi
