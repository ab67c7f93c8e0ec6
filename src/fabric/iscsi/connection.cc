// Receiving: from bytes to PDUs.
#include "fabric/iscsi/connection.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "base/limits.h"

namespace olio::iscsi {

namespace {
// A host that sends requests but reads no answers is not listened to beyond these.
constexpr std::size_t max_queued_answers = 512;
// A header with all its additional segments and digest must fit.
static_assert(Connection::receive_bytes > bhs_bytes + max_ahs_bytes + digest_bytes);
}  // namespace

Connection::Connection(Session& session, ConnectionTransport& transport, Options options,
                       std::uint64_t now)
    : session_(session),
      transport_(transport),
      options_(std::move(options)),
      negotiation_(options_.settings, true),
      parameters_(session.parameters()),
      stat_sn_(options_.stat_sn),
      rx_(std::make_unique_for_overwrite<std::uint8_t[]>(receive_bytes)),
      ring_(std::make_unique<Frame[]>(frames)),
      now_(now),
      last_received_(now) {
    negotiation_.set_result(parameters_);
    session_.add(*this);
}

Connection::~Connection() {
    OLIO_ASSERT(lost_, "a connection is destroyed before it was lost");
}

void Connection::drop(std::string_view reason) noexcept {
    if (dropped_)
        return;
    dropped_ = true;
    transport_.drop(reason);
}

void Connection::lost() noexcept {
    if (lost_)
        return;
    dropped_ = lost_ = true;
    lent_ = false;
    clear_output();
    target_ = {};
    target_task_ = nullptr;
    pdu_task_ = nullptr;
    if (std::exchange(target_released_, false))
        session_.for_each_task(*this, [this](IscsiTask& task) {
            if (task.state != TaskState::receiving)
                return;
            if (task.terminating)
                session_.transfer_terminated(task);
            else if (task.protocol_failed && !task.failure_reported)
                session_.data_out_failed(task);
        });
    session_.remove(*this);
}

std::size_t Connection::receive_window(std::span<iovec, 2> into) noexcept {
    if (dropped_ || closing_ || paused_)
        return 0;
    OLIO_ASSERT(!lent_, "a receive window is lent twice");
    lent_ = true;
    if (receives_directly()) {
        rx_begin_ = rx_end_ = 0;
        into[0] = {target_.data(), target_.size()};
        if (target_.size() < data_left_)
            return 1;  // the rest of the segment is discarded, by way of our own buffer
        into[1] = {rx_.get(), receive_bytes};
        return 2;
    }
    compact();
    into[0] = {rx_.get() + rx_end_, receive_bytes - rx_end_};
    return 1;
}

void Connection::compact() noexcept {
    if (rx_begin_ == 0)
        return;
    if (available() != 0)
        std::memmove(rx_.get(), rx_.get() + rx_begin_, available());
    rx_end_ = available();
    rx_begin_ = 0;
}

void Connection::received(std::size_t count, std::uint64_t now) {
    OLIO_ASSERT(lent_, "bytes came that nobody asked for");
    lent_ = false;
    now_ = now;
    if (lost_)
        return;
    if (count != 0) {
        last_received_ = now;
        ping_sent_ = never;
    }
    if (receives_directly()) {
        const std::size_t direct = std::min(count, target_.size());
        take_data(direct, nullptr);
        count -= direct;
    }
    OLIO_ASSERT(count <= receive_bytes - rx_end_, "more bytes came than there was room for");
    rx_end_ += count;
    if (std::exchange(target_released_, false)) {
        IscsiTask* task = std::exchange(target_task_, nullptr);
        target_ = {};
        if (task != nullptr && task->terminating)
            session_.transfer_terminated(*task);
        else if (task != nullptr && task->protocol_failed && !task->failure_reported)
            session_.data_out_failed(*task);
    }
    parse();
}

void Connection::preload(Bytes bytes, std::uint64_t now) {
    while (!bytes.empty() && !dropped_ && !closing_) {
        std::array<iovec, 2> window;
        if (receive_window(window) == 0)
            return;
        const std::size_t count = std::min(bytes.size(), window[0].iov_len);
        std::memcpy(window[0].iov_base, bytes.data(), count);
        bytes = bytes.subspan(count);
        received(count, now);
    }
}

bool Connection::input_paused() const noexcept {
    return answer_bytes_ > limits::async_output_bytes || answers_ > max_queued_answers;
}

void Connection::parse() {
    if (parsing_)
        return;
    parsing_ = true;
    bool more = true;
    while (more && !dropped_ && !closing_) {
        if (input_paused()) {
            paused_ = true;
            break;
        }
        switch (stage_) {
            case Stage::header:
                more = parse_header();
                break;
            case Stage::data:
                more = parse_data();
                break;
            case Stage::trailer:
                more = parse_trailer();
                break;
        }
    }
    parsing_ = false;
}

bool Connection::parse_header() {
    if (available() < bhs_bytes)
        return false;
    const std::uint8_t* start = rx_.get() + rx_begin_;
    std::copy_n(start, bhs_bytes, bhs_.begin());
    const std::size_t header = bhs_bytes + ahs_length(bhs_);
    const bool digest = parameters_.header_digest != 0;
    if (available() < header + (digest ? digest_bytes : 0))
        return false;
    if (digest) {
        Crc32c crc;
        crc.update({start, header});
        if (!crc.matches(start + header)) {
            // 7.7: where one PDU ends and the next begins is not known any more.
            ++session_.counters().digest_errors;
            drop("a header digest is wrong");
            return false;
        }
    }
    ahs_.assign(start + bhs_bytes, start + header);
    rx_begin_ += header + (digest ? digest_bytes : 0);
    data_left_ = data_segment_length(bhs_);
    data_crc_ = {};
    refused_ = ignored_ = false;
    pdu_task_ = nullptr;
    pdu_burst_ = nullptr;
    target_ = {};
    target_task_ = nullptr;
    stage_ = Stage::data;
    if (data_left_ > parameters_.target_max_recv_bytes) {
        reject(RejectReason::protocol_error, bhs_, true);
        closing_ = true;
        return false;
    }
    begin_pdu();
    return true;
}

bool Connection::parse_data() {
    if (data_left_ == 0) {
        stage_ = Stage::trailer;
        return true;
    }
    const std::size_t count = std::min<std::size_t>(available(), data_left_);
    if (count == 0)
        return false;
    const std::uint8_t* from = rx_.get() + rx_begin_;
    rx_begin_ += count;
    take_data(count, from);
    return true;
}

void Connection::take_data(std::size_t count, const std::uint8_t* copy_from) {
    const std::size_t kept = std::min(count, target_.size());
    if (kept != 0 && copy_from != nullptr)
        std::memcpy(target_.data(), copy_from, kept);
    if (parameters_.data_digest != 0) {
        if (copy_from != nullptr)
            data_crc_.update({copy_from, count});
        else
            data_crc_.update(target_.first(kept));
    }
    target_ = target_.subspan(kept);
    data_left_ -= static_cast<std::uint32_t>(count);
}

bool Connection::parse_trailer() {
    const std::uint32_t length = data_segment_length(bhs_);
    const std::size_t pad = padding(length);
    const bool digest = parameters_.data_digest != 0 && length != 0;
    if (available() < pad + (digest ? digest_bytes : 0))
        return false;
    bool digest_ok = true;
    if (digest) {
        data_crc_.update({rx_.get() + rx_begin_, pad});
        digest_ok = data_crc_.matches(rx_.get() + rx_begin_ + pad);
        if (!digest_ok)
            ++session_.counters().digest_errors;
    }
    rx_begin_ += pad + (digest ? digest_bytes : 0);
    stage_ = Stage::header;
    target_ = {};
    target_task_ = nullptr;
    end_pdu(digest_ok);
    return true;
}

void Connection::begin_pdu() {
    const Opcode opcode = opcode_of(bhs_);
    if (!ahs_.empty() && opcode != Opcode::scsi_command) {
        refuse_pdu(RejectReason::invalid_pdu_field);
        return;
    }
    switch (opcode) {
        case Opcode::scsi_command:
            begin_command();
            return;
        case Opcode::data_out:
            begin_data_out_pdu();
            return;
        case Opcode::nop_out:
        case Opcode::text_request:
            small_.resize(data_left_);
            target_ = small_;
            return;
        case Opcode::task_management_request:
        case Opcode::logout_request:
            return;
        case Opcode::snack_request:
            refuse_pdu(RejectReason::snack_reject);
            return;
        case Opcode::login_request:
            refuse_pdu(RejectReason::protocol_error);
            return;
        default:
            refuse_pdu(RejectReason::command_not_supported);
            return;
    }
}

void Connection::end_pdu(bool digest_ok) {
    if (refused_ || ignored_)
        return;
    switch (opcode_of(bhs_)) {
        case Opcode::scsi_command:
            end_command(digest_ok);
            return;
        case Opcode::data_out:
            end_data_out_pdu(digest_ok);
            return;
        default:
            end_other(digest_ok);
            return;
    }
}

void Connection::end_other(bool digest_ok) {
    std::vector<std::uint8_t> data = std::exchange(small_, {});
    if (!digest_ok) {
        reject(RejectReason::data_digest_error, bhs_);
        return;
    }
    exp_stat_sn_ = load_be<std::uint32_t>(&bhs_[28]);
    const bool unnumbered = is_immediate(bhs_) || (opcode_of(bhs_) == Opcode::nop_out &&
                                                   initiator_task_tag(bhs_) == reserved_tag);
    if (!unnumbered) {
        switch (session_.classify(load_be<std::uint32_t>(&bhs_[24]))) {
            case Arrival::ignore:
                return;
            case Arrival::hold:
                if (!session_.hold(*this, bhs_, std::move(data), true))
                    drop("too much was sent out of order");
                return;
            case Arrival::deliver:
                session_.advance();
                break;
        }
    }
    deliver(bhs_, std::move(data));
    session_.deliver_held();
}

void Connection::deliver(const BasicHeader& bhs, std::vector<std::uint8_t> data) {
    switch (opcode_of(bhs)) {
        case Opcode::nop_out:
            take_nop_out(bhs, std::move(data));
            return;
        case Opcode::text_request:
            take_text(bhs, data);
            return;
        case Opcode::logout_request:
            take_logout(bhs);
            return;
        case Opcode::task_management_request:
            take_task_management(bhs);
            return;
        default:
            OLIO_UNREACHABLE("a PDU was delivered that is never held");
    }
}

void Connection::refuse_pdu(RejectReason reason) {
    refused_ = true;
    reject(reason, bhs_);
}

void Connection::reject(RejectReason reason, const BasicHeader& bhs, bool closes) {
    ++session_.counters().rejects;
    RejectPdu pdu;
    pdu.reason = reason;
    auto answer = std::make_unique<Answer>();
    answer->data.assign(bhs.begin(), bhs.end());
    answer->header = encode(pdu, answer->data.size());
    answer->closes = closes;
    send(std::move(answer));
}

}  // namespace olio::iscsi
