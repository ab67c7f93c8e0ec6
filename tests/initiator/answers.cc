// What a target answers in the full feature phase, and whether it keeps the RFC's rules.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "initiator/connection.h"

namespace olio::initiator {
namespace {

constexpr std::uint8_t good = 0x00;
constexpr std::uint8_t condition_met = 0x04;

}  // namespace

// Where a Data-In PDU's data goes, having checked its numbers (11.7).
MutableBytes Connection::place_of_data_in(std::uint32_t length) {
    Task* task = session_.find(be32(at::task_tag));
    if (task == nullptr || task->connection != this) {
        violation(fmt::format("Data-In for the unknown task {:#x}", be32(at::task_tag)));
        return {};
    }
    const std::uint32_t offset = be32(at::buffer_offset);
    const std::uint32_t data_sn = be32(at::data_sn);
    if (data_sn != task->data_in_pdus)
        violation(fmt::format("DataSN {} where {} comes", data_sn, task->data_in_pdus));
    ++task->data_in_pdus;
    if (negotiated_.data_pdu_in_order && negotiated_.data_sequence_in_order &&
        offset != task->next_data_in_offset)
        violation(
            fmt::format("Data-In at offset {} where {} comes", offset, task->next_data_in_offset));
    task->next_data_in_offset = offset + length;
    task->sequence_bytes += length;
    if (task->sequence_bytes > negotiated_.max_burst_bytes)
        violation("a Data-In sequence is longer than MaxBurstLength");
    const bool last = (u8(at::flags) & final_bit) != 0;
    if (last)
        task->sequence_bytes = 0;
    if (std::uint64_t{offset} + length > task->expected_bytes) {
        violation(fmt::format("Data-In of {} bytes at offset {}, {} are expected", length, offset,
                              task->expected_bytes));
        return {};
    }
    task->data_in_received += length;
    const std::size_t room = task->data_in.size();
    if (offset >= room)
        return {};
    return task->data_in.subspan(offset, std::min<std::size_t>(length, room - offset));
}

void Connection::handle_data_in() {
    const bool with_status = (u8(at::flags) & status_bit) != 0;
    take_numbers(with_status);
    if (!with_status)
        return;
    if ((u8(at::flags) & final_bit) == 0)
        violation("Data-In has the S bit without the F bit");
    Task* task = session_.find(be32(at::task_tag));
    if (task == nullptr)
        return;  // said before
    take_status(*task);
    if (task->status == 0x02)
        violation("Data-In carries CHECK CONDITION, which has no place for sense data");
    check_finished(*task);
    session_.finish(*this, *task, Outcome::answered);
}

void Connection::take_status(Task& task) {
    task.status = u8(at::status);
    const std::uint8_t flags = u8(at::flags);
    const auto residual = static_cast<std::int64_t>(be32(at::residual));
    if ((flags & overflow_bit) != 0 && (flags & underflow_bit) != 0)
        violation("both the U and the O bit are set");
    if ((flags & (overflow_bit | underflow_bit)) != 0)
        task.residual = (flags & overflow_bit) != 0 ? -residual : residual;
    else if (residual != 0)
        violation("a residual count without U or O bit");
}

void Connection::check_finished(const Task& task) {
    const bool succeeded =
        task.response == 0 && (task.status == good || task.status == condition_met);
    if (!succeeded)
        return;
    if (task.residual > std::int64_t{task.expected_bytes})
        violation("the residual count is larger than the expected length");
    if (task.data_out.empty()) {
        const std::int64_t moved = task.expected_bytes - std::max<std::int64_t>(task.residual, 0);
        if (task.data_in_received != moved)
            violation(fmt::format("{} bytes of Data-In came, residual {} of {} expected",
                                  task.data_in_received, task.residual, task.expected_bytes));
    }
}

void Connection::handle_scsi_response() {
    take_numbers(true);
    Task* task = session_.find(be32(at::task_tag));
    if (task == nullptr || task->connection != this)
        return violation(
            fmt::format("SCSI Response for the unknown task {:#x}", be32(at::task_tag)));
    task->response = u8(at::response);
    task->sense_length = 0;
    if (task->response == 0)
        take_status(*task);
    if (scratch_.size() >= 2) {
        const std::size_t length = load_be<std::uint16_t>(scratch_.data());
        if (length + 2 > scratch_.size())
            violation("SenseLength is longer than the data segment");
        const std::size_t kept =
            std::min({length, scratch_.size() - 2, task->sense_segment.size() - 2});
        std::memcpy(&task->sense_segment[2], &scratch_[2], kept);
        task->sense_length = static_cast<std::uint16_t>(kept);
    }
    if (task->response == 0 && task->status == 0x02 && task->sense_length == 0)
        violation("CHECK CONDITION without sense data");
    // ExpDataSN counts Data-In PDUs (11.4.8); targets differ on whether R2Ts count as well.
    const std::uint32_t exp_data_sn = be32(at::data_sn);
    const bool counts_r2ts = task->data_in_pdus == 0 && exp_data_sn == task->r2ts;
    if (task->response == 0 && exp_data_sn != task->data_in_pdus && !counts_r2ts)
        violation(
            fmt::format("ExpDataSN {} after {} Data-In PDUs", exp_data_sn, task->data_in_pdus));
    check_finished(*task);
    session_.finish(*this, *task, Outcome::answered);
}

void Connection::handle_ready_to_transfer() {
    take_numbers(false);
    Task* task = session_.find(be32(at::task_tag));
    if (task == nullptr || task->connection != this)
        return violation(fmt::format("R2T for the unknown task {:#x}", be32(at::task_tag)));
    if (be32(at::stat_sn) != exp_stat_sn_)
        violation(fmt::format("R2T has StatSN {}, expected {}", be32(at::stat_sn), exp_stat_sn_));
    const std::uint32_t offset = be32(at::buffer_offset);
    const std::uint32_t length = be32(at::desired_length);
    const std::uint32_t transfer_tag = be32(at::transfer_tag);
    if (transfer_tag == no_tag)
        violation("R2T has the reserved Target Transfer Tag");
    if (be32(at::data_sn) != task->r2ts)
        violation(fmt::format("R2TSN {} where {} comes", be32(at::data_sn), task->r2ts));
    ++task->r2ts;
    if (length == 0 || length > negotiated_.max_burst_bytes)
        violation(fmt::format("R2T asks for {} bytes", length));
    if (negotiated_.data_sequence_in_order && offset != task->next_r2t_offset)
        violation(fmt::format("R2T at offset {} where {} comes", offset, task->next_r2t_offset));
    task->next_r2t_offset = offset + length;
    if (std::uint64_t{offset} + length > task->data_out.size())
        return violation(fmt::format("R2T for {} bytes at offset {}, there are {}", length, offset,
                                     task->data_out.size()));
    if (task->hold_data_out) {
        if (++task->r2ts_held > negotiated_.max_outstanding_r2t)
            violation("more R2Ts are outstanding than MaxOutstandingR2T");
        return;
    }
    put_data_out(*task, transfer_tag, offset, length);
}

void Connection::handle_function_response() {
    take_numbers(true);
    const std::uint32_t tag = be32(at::task_tag);
    auto& functions = session_.functions_;
    const auto found = std::find_if(functions.begin(), functions.end(),
                                    [tag](const FunctionResult& f) { return f.tag == tag; });
    if (found == functions.end() || found->connection != this)
        return violation(fmt::format("response to the unknown task management request {:#x}", tag));
    FunctionResult result = *found;
    functions.erase(found);
    result.response = static_cast<FunctionResponse>(u8(at::response));
    // A task that does not exist has been answered, or another function that is not answered yet
    // ended it.
    if (result.request.function == Function::abort_task &&
        result.response == FunctionResponse::task_does_not_exist) {
        const Task* task = session_.find(result.request.referenced_tag);
        const bool known = task == nullptr ||
                           std::any_of(functions.begin(), functions.end(),
                                       [task](const auto& f) { return Session::covers(f, *task); });
        if (!known)
            violation("a task does not exist, says the target, but it was never answered");
    }
    if (result.response == FunctionResponse::complete)
        session_.finish_covered(*this, result);
    session_.listener().function_finished(*this, result);
}

void Connection::handle_nop_in() {
    const std::uint32_t tag = be32(at::task_tag);
    const std::uint32_t transfer_tag = be32(at::transfer_tag);
    take_numbers(tag != no_tag);
    if (tag != no_tag)
        return session_.listener().nop_answered(*this, tag, scratch_);
    if (be32(at::stat_sn) != exp_stat_sn_)
        violation("an unasked NOP-In has another StatSN than the next one");
    if (transfer_tag == no_tag)
        return;
    Header header(Opcode::nop_out, final_bit, true);
    header.be64(at::lun, load_be<std::uint64_t>(&header_[at::lun]))
        .be32(at::task_tag, no_tag)
        .be32(at::transfer_tag, transfer_tag)
        .be32(at::cmd_sn, session_.cmd_sn_)
        .be32(at::exp_stat_sn, exp_stat_sn_);
    put(header, {});
}

void Connection::text(std::string_view keys) {
    text_tag_ = session_.next_service_tag();
    text_in_.clear();
    put_text_segments(Opcode::text_request, std::string(keys), final_bit, no_tag);
}

void Connection::handle_text_response() {
    take_numbers(true);
    if (be32(at::task_tag) != text_tag_)
        return violation("Text Response for an unknown request");
    if (!text_rest_.empty())
        return put_text_segments(Opcode::text_request, std::move(text_rest_), text_last_flags_,
                                 be32(at::transfer_tag));
    text_in_ += as_text(scratch_);
    const bool last = (u8(at::flags) & final_bit) != 0;
    const std::uint32_t transfer_tag = be32(at::transfer_tag);
    if (last) {
        if (transfer_tag != no_tag)
            violation("the last Text Response has a Target Transfer Tag");
        const std::string whole = std::move(text_in_);
        text_in_.clear();
        return session_.listener().text_finished(*this, whole);
    }
    if (transfer_tag == no_tag)
        violation("a Text Response that goes on has no Target Transfer Tag");
    // There is more: an empty request asks for it (11.10.4).
    Header header(Opcode::text_request, final_bit, true);
    header.be64(at::lun, load_be<std::uint64_t>(&header_[at::lun]))
        .be32(at::task_tag, text_tag_)
        .be32(at::transfer_tag, transfer_tag)
        .be32(at::cmd_sn, session_.cmd_sn_)
        .be32(at::exp_stat_sn, exp_stat_sn_);
    put(header, {});
}

void Connection::handle_reject() {
    take_numbers(true);
    const std::uint8_t reason = u8(at::response);
    if (scratch_.size() < header_bytes)
        violation("Reject without the header in error");
    const std::vector<std::uint8_t> rejected = scratch_;
    if (rejected.size() >= header_bytes) {
        const bool command =
            (rejected[0] & 0x3f) == static_cast<std::uint8_t>(Opcode::scsi_command);
        Task* task = session_.find(load_be<std::uint32_t>(&rejected[at::task_tag]));
        if (command && task != nullptr && task->connection == this)
            session_.finish(*this, *task, Outcome::rejected);
    }
    session_.listener().rejected(*this, reason, rejected);
}

}  // namespace olio::initiator
