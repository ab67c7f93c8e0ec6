// SCSI Command and Data-Out PDUs.
#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "fabric/iscsi/connection.h"

namespace olio::iscsi {

namespace {

// RFC 7143 11.4.7.2: the sense data for what went wrong in the protocol.
constexpr scsi::AdditionalSense unexpected_unsolicited_data{0x0c, 0x0c};
constexpr scsi::AdditionalSense incorrect_amount_of_data{0x0c, 0x0d};
constexpr scsi::AdditionalSense protocol_service_crc_error{0x47, 0x05};
constexpr scsi::AdditionalSense initiator_response_timeout{0x4b, 0x06};
constexpr scsi::AdditionalSense insufficient_resources{0x55, 0x03};

// 11.3.1.2; 0 is untagged, which a target may treat as simple.
constexpr scsi::TaskAttribute attributes[] = {
    scsi::TaskAttribute::simple, scsi::TaskAttribute::simple, scsi::TaskAttribute::ordered,
    scsi::TaskAttribute::head_of_queue, scsi::TaskAttribute::aca};

// iSCSIProtocolLevel from which on a SCSI Command PDU has a priority (RFC 7144 5).
constexpr std::uint32_t priority_level = 2;

// What makes a SCSI Command PDU invalid in itself; nothing if it can become a task.
std::optional<RejectReason> fault_of(const ScsiCommandPdu& pdu, std::uint32_t data_bytes) {
    const bool final = (pdu.flags & final_bit) != 0;
    const bool write = (pdu.flags & command_flags::write) != 0;
    if ((pdu.flags & command_flags::attribute_mask) >= std::size(attributes))
        return RejectReason::invalid_pdu_field;
    if (pdu.task_tag == reserved_tag)
        return RejectReason::invalid_pdu_field;
    if (!write && (!final || data_bytes != 0))
        return RejectReason::protocol_error;
    if (write && pdu.expected_length == 0 && (!final || data_bytes != 0))
        return RejectReason::protocol_error;
    return std::nullopt;
}

}  // namespace

void Connection::begin_command() {
    const auto pdu = decode_request<ScsiCommandPdu>(bhs_);
    exp_stat_sn_ = pdu.exp_stat_sn;
    if (session_.nexus() == nullptr) {
        refuse_pdu(RejectReason::command_not_supported);  // discovery has no SCSI (4.3)
        return;
    }
    Arrival arrival = Arrival::deliver;
    if (!pdu.immediate) {
        arrival = session_.classify(pdu.cmd_sn);
        if (arrival == Arrival::ignore) {
            ignored_ = true;
            return;
        }
    }
    if (const auto fault = fault_of(pdu, data_left_)) {
        refuse_pdu(*fault);
        return;
    }
    const auto extra = parse_additional_headers(ahs_);
    if (!extra) {
        refuse_pdu(RejectReason::invalid_pdu_field);
        return;
    }
    if (session_.find_task(pdu.task_tag) != nullptr) {
        refuse_pdu(RejectReason::task_in_progress);
        return;
    }
    IscsiTask* task = session_.take_task(*this, pdu.task_tag, pdu.immediate);
    if (task == nullptr) {
        refuse_pdu(pdu.immediate ? RejectReason::immediate_command_rejected
                                 : RejectReason::out_of_resources);
        return;
    }
    fill_task(*task, pdu, *extra);
    plan_unsolicited(*task, pdu);
    pdu_task_ = task;
    if (arrival == Arrival::hold) {
        const std::uint32_t staged =
            std::min(session_.parameters().first_burst_bytes, task->expected_length);
        if (task->unsolicited_data && !session_.acquire_staging(*task, staged)) {
            task->protocol_failed = true;
            task->failure = insufficient_resources;
        }
        session_.hold(*task);
    } else {
        if (!pdu.immediate)
            session_.advance(*task);
        session_.submit(*task);
    }
    // The engine has said where the data goes, or that it wants none.
    if (pdu_task_ != nullptr && data_left_ != 0)
        aim(*pdu_task_, 0);
}

void Connection::fill_task(IscsiTask& task, const ScsiCommandPdu& pdu,
                           const AdditionalHeaders& extra) {
    store_be(task.lun.bytes.data(), pdu.lun);
    task.cmd_sn = pdu.cmd_sn;
    task.attribute = attributes[pdu.flags & command_flags::attribute_mask];
    task.priority =
        session_.parameters().protocol_level >= priority_level ? pdu.priority & 0x0F : 0;
    task.expected_length = pdu.expected_length;
    task.stable_data_in = parameters_.data_digest != 0;
    task.reads = (pdu.flags & command_flags::read) != 0;
    if ((pdu.flags & command_flags::write) != 0) {
        task.expected_data_out_bytes = pdu.expected_length;
        if (task.reads)
            task.expected_data_in_bytes = extra.bidirectional_read_length.value_or(0);
    } else if (task.reads) {
        task.expected_data_in_bytes = pdu.expected_length;
    }
    task.cdb_bytes = pdu.cdb;
    task.cdb = task.cdb_bytes;
    if (!extra.extended_cdb.empty()) {
        const std::size_t room = limits::cdb_bytes - task.cdb_bytes.size();
        const std::size_t count = std::min(extra.extended_cdb.size(), room);
        task.long_cdb.assign(pdu.cdb.begin(), pdu.cdb.end());
        task.long_cdb.insert(task.long_cdb.end(), extra.extended_cdb.begin(),
                             extra.extended_cdb.begin() + static_cast<std::ptrdiff_t>(count));
        task.cdb = task.long_cdb;
    }
}

void Connection::plan_unsolicited(IscsiTask& task, const ScsiCommandPdu& pdu) {
    const NegotiatedParameters& agreed = session_.parameters();
    const bool final = (pdu.flags & final_bit) != 0;
    if (task.expected_data_out_bytes == 0 || (final && data_left_ == 0))
        return;
    const std::uint32_t first =
        std::min({agreed.first_burst_bytes, agreed.max_burst_bytes, task.expected_length});
    task.unsolicited_data = true;
    if ((data_left_ != 0 && agreed.immediate_data == 0) || (!final && agreed.initial_r2t != 0) ||
        data_left_ > first) {
        task.protocol_failed = true;
        task.failure = unexpected_unsolicited_data;
        return;
    }
    task.unsolicited_done = false;
    Burst& burst = task.bursts[0];
    burst.begin(reserved_tag, 0, final ? data_left_ : first);
    burst.announced = true;
    (void)burst.accept(0, data_left_, agreed.data_pdu_in_order != 0);
}

void Connection::aim(IscsiTask& task, std::uint32_t offset) noexcept {
    const MutableBytes memory = task.data_out_memory();
    if (offset >= memory.size())
        return;
    target_ = memory.subspan(offset);
    target_ = target_.first(std::min<std::size_t>(target_.size(), data_left_));
    target_task_ = &task;
}

void Connection::end_command(bool digest_ok) {
    // The queue behind this command may go on; but only now, for its data had to come first.
    if (IscsiTask* task = pdu_task_; task != nullptr && !task->unsolicited_done) {
        const bool wanted = task->state == TaskState::receiving || task->state == TaskState::held;
        Burst& burst = task->bursts[0];
        if (!digest_ok)
            reject(RejectReason::data_digest_error, bhs_);
        if (!digest_ok && wanted)
            fail_data(*task, protocol_service_crc_error);
        else if (wanted && burst.open && (is_final(bhs_) || burst.received == burst.length))
            close_burst(*task, burst);
    } else if (!digest_ok) {
        reject(RejectReason::data_digest_error, bhs_);
    }
    pdu_task_ = nullptr;
    session_.deliver_held();
}

void Connection::begin_data_out(IscsiTask& task) noexcept {
    ++waiting_for_data_;
    task.last_progress = now_;
    if (check_data_at_ == never)
        check_data_at_ = now_ + options_.times.data_out;
    if (task.staging) {
        const std::size_t staged = std::min<std::size_t>(
            {task.staging_bytes, task.data_out.size(),
             task.unsolicited_done ? task.next_offset : task.bursts[0].length});
        if (staged != 0)
            std::memcpy(task.data_out.data(), task.staging.data(), staged);
        task.staging.release();
    }
    if (task.protocol_failed) {
        --waiting_for_data_;
        session_.data_out_failed(task);
    } else if (task.unsolicited_done) {
        advance_data_out(task);
    }
}

void Connection::advance_data_out(IscsiTask& task) {
    const NegotiatedParameters& agreed = session_.parameters();
    const auto total = static_cast<std::uint32_t>(task.data_out.size());
    const auto allowed = std::min<std::size_t>(agreed.max_outstanding_r2t, task.bursts.size());
    bool asked = false;
    while (task.next_offset < total && task.open_bursts() < allowed) {
        Burst& burst = *std::ranges::find(task.bursts, false, &Burst::open);
        const std::uint32_t length = std::min(agreed.max_burst_bytes, total - task.next_offset);
        burst.begin(session_.next_transfer_tag(), task.next_offset, length);
        burst.r2t_sn = task.sequence_number++;
        task.next_offset += length;
        asked = true;
    }
    if (asked) {
        enqueue(task);
    } else if (task.open_bursts() == 0) {
        --waiting_for_data_;
        session_.data_out_received(task);
    }
}

void Connection::close_burst(IscsiTask& task, Burst& burst) {
    burst.open = false;
    if (burst.transfer_tag == reserved_tag) {
        const bool whole =
            burst.extents.empty() || (burst.extents.size() == 1 && burst.extents[0].begin == 0);
        if (!whole) {
            fail_data(task, incorrect_amount_of_data);
            return;
        }
        task.unsolicited_done = true;
        task.next_offset = burst.received;
    }
    if (task.state == TaskState::receiving)
        advance_data_out(task);
}

void Connection::begin_data_out_pdu() {
    const auto pdu = decode<DataOutPdu>(bhs_);
    exp_stat_sn_ = pdu.exp_stat_sn;
    ignored_ = true;
    IscsiTask* task = session_.find_task(pdu.task_tag);
    if (task == nullptr || task->connection != this || task->protocol_failed || task->terminating ||
        (task->state != TaskState::receiving && task->state != TaskState::held))
        return;  // the rest of what an aborted or failed task was sent
    Burst* burst = task->find_burst(pdu.transfer_tag);
    if (burst == nullptr || !burst->announced)
        return;
    if (pdu.data_sn != burst->next_data_sn ||
        !burst->accept(pdu.buffer_offset, data_left_,
                       session_.parameters().data_pdu_in_order != 0)) {
        // At ErrorRecoveryLevel 0 lost data cannot be asked for again.
        fail_data(*task, incorrect_amount_of_data);
        return;
    }
    ++burst->next_data_sn;
    ignored_ = false;
    pdu_task_ = task;
    pdu_burst_ = burst;
    aim(*task, pdu.buffer_offset);
}

void Connection::end_data_out_pdu(bool digest_ok) {
    IscsiTask* task = std::exchange(pdu_task_, nullptr);
    if (!digest_ok)
        reject(RejectReason::data_digest_error, bhs_);
    if (task == nullptr || task->protocol_failed || task->terminating ||
        (task->state != TaskState::receiving && task->state != TaskState::held))
        return;
    task->last_progress = now_;
    Burst& burst = *pdu_burst_;
    const bool solicited = burst.transfer_tag != reserved_tag;
    if (!digest_ok)
        fail_data(*task, protocol_service_crc_error);
    else if (is_final(bhs_) && solicited && burst.received < burst.length)
        fail_data(*task, incorrect_amount_of_data);
    else if (is_final(bhs_) || burst.received == burst.length)
        close_burst(*task, burst);
}

void Connection::fail_data(IscsiTask& task, scsi::AdditionalSense sense) {
    if (task.protocol_failed)
        return;
    task.protocol_failed = true;
    task.failure = sense;
    task.output_hook.unlink();  // an R2T that was not sent yet
    task.close_bursts();
    if (task.state != TaskState::receiving)
        return;  // held: it fails when its turn comes
    --waiting_for_data_;
    if (lends_memory_of(task)) {
        target_released_ = true;
        transport_.renew_receive();
        return;
    }
    if (target_task_ == &task) {
        target_ = {};
        target_task_ = nullptr;
    }
    session_.data_out_failed(task);
}

void Connection::check_data_out() {
    check_data_at_ = never;
    session_.for_each_task(*this, [this](IscsiTask& task) {
        if (task.state != TaskState::receiving || task.protocol_failed || task.terminating)
            return;
        const std::uint64_t at = task.last_progress + options_.times.data_out;
        if (at <= now_)
            fail_data(task, initiator_response_timeout);
        else
            check_data_at_ = std::min(check_data_at_, at);
    });
}

void Connection::stop_data_out(IscsiTask& task) noexcept {
    task.output_hook.unlink();
    task.close_bursts();
    if (!task.protocol_failed)
        --waiting_for_data_;
    if (lends_memory_of(task)) {
        if (!std::exchange(target_released_, true))
            transport_.renew_receive();
        return;
    }
    if (target_task_ == &task) {
        target_ = {};
        target_task_ = nullptr;
    }
    session_.transfer_terminated(task);
}

void Connection::forget(IscsiTask& task) noexcept {
    task.output_hook.unlink();
    if (pdu_task_ == &task)
        pdu_task_ = nullptr;
    if (target_task_ == &task) {
        OLIO_ASSERT(!lends_memory_of(task), "a task is given up while its memory is lent");
        target_ = {};
        target_task_ = nullptr;
    }
}

}  // namespace olio::iscsi
