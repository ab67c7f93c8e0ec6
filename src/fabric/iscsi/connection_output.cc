// Sending: from the queue of sources to frames, from frames to gathered pieces.
#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "fabric/iscsi/connection.h"

namespace olio::iscsi {

namespace {

constexpr std::size_t kept_frame_capacity = 4096;

// Calls function(pointer, length) with each piece of the task's data-in from `offset` on.
template <class Function>
void for_each_piece(const IscsiTask& task, std::size_t offset, std::size_t length,
                    Function&& function) {
    for (const iovec& piece : task.data_in()) {
        if (length == 0)
            return;
        if (offset >= piece.iov_len) {
            offset -= piece.iov_len;
            continue;
        }
        const std::size_t count = std::min(piece.iov_len - offset, length);
        function(static_cast<std::uint8_t*>(piece.iov_base) + offset, count);
        length -= count;
        offset = 0;
    }
    OLIO_ASSERT(length == 0, "more data-in was promised than there is");
}

// O and U bits with the residual count (11.4.5).
std::uint8_t residual_flags(const IscsiTask& task, std::uint32_t& count) noexcept {
    const std::int64_t residual = task.residual_bytes;
    count = static_cast<std::uint32_t>(
        std::min<std::int64_t>(residual < 0 ? -residual : residual, 0xffffffff));
    if (residual == 0)
        return 0;
    return residual > 0 ? response_flags::underflow : response_flags::overflow;
}

bool collapses(const IscsiTask& task) noexcept {
    return task.status == scsi::Status::good && task.sense().empty() &&
           task.expected_data_out_bytes == 0;
}

}  // namespace

void Connection::enqueue(OutputSource& source) noexcept {
    if (source.output_hook.linked())
        return;
    queue_.push_back(source);
    transport_.output_ready();
}

void Connection::send(std::unique_ptr<Answer> answer) {
    if (dropped_)
        return;
    answer_bytes_ += answer->data.size();
    ++answers_;
    fences_ += answer->fence ? 1 : 0;
    enqueue(*answer.release());
}

void Connection::send_response(IscsiTask& task) noexcept {
    task.data_in_bytes = 0;
    for (const iovec& piece : task.data_in())
        task.data_in_bytes += static_cast<std::uint32_t>(piece.iov_len);
    if (!dropped_)
        enqueue(task);  // else lost() ends it
}

Numbering Connection::numbering(bool uses_stat_sn) noexcept {
    const Numbering now{stat_sn_, session_.exp_cmd_sn(), session_.max_cmd_sn()};
    if (uses_stat_sn)
        ++stat_sn_;
    return now;
}

void Connection::pump() {
    while (ring_count_ < frames && !queue_.empty()) {
        OutputSource& source = queue_.front();
        Frame& frame = ring_[(ring_begin_ + ring_count_) % frames];
        frame.closes = frame.answer = false;
        frame.task = frame.ending = nullptr;
        frame.data_bytes = frame.data_offset = 0;
        frame.owned.clear();
        const Then then = produce(source, frame);
        if (then != Then::nothing_to_send)
            ++ring_count_;
        if (then == Then::stays || (then == Then::to_the_back && fences_ != 0))
            continue;
        queue_.remove(source);
        if (then == Then::to_the_back) {
            queue_.push_back(source);
        } else if (source.source_kind == OutputSource::Kind::answer) {
            fences_ -= static_cast<Answer&>(source).fence ? 1 : 0;
            delete static_cast<Answer*>(&source);
        }
    }
}

Connection::Then Connection::produce(OutputSource& source, Frame& frame) {
    if (source.source_kind == OutputSource::Kind::answer) {
        produce_answer(static_cast<Answer&>(source), frame);
        return Then::leaves;
    }
    auto& task = static_cast<IscsiTask&>(source);
    if (task.state == TaskState::receiving)
        return produce_r2t(task, frame);
    OLIO_ASSERT(task.state == TaskState::answering, "a task without anything to send is queued");
    if (task.data_in_sent < task.data_in_bytes)
        return produce_data_in(task, frame);
    produce_response(task, frame);
    return Then::leaves;
}

void Connection::produce_answer(Answer& answer, Frame& frame) {
    const Numbering now = numbering(answer.uses_stat_sn);
    store_be(&answer.header[24], now.stat_sn);
    store_be(&answer.header[28], now.exp_cmd_sn);
    store_be(&answer.header[32], now.max_cmd_sn);
    frame.owned = std::move(answer.data);
    frame.data_bytes = static_cast<std::uint32_t>(frame.owned.size());
    frame.closes = answer.closes;
    frame.answer = true;
    seal(frame, answer.header);
}

Connection::Then Connection::produce_r2t(IscsiTask& task, Frame& frame) {
    Burst* first = nullptr;
    bool more = false;
    for (Burst& burst : task.bursts) {
        if (!burst.open || burst.announced)
            continue;
        more = first != nullptr;
        if (first == nullptr || serial_less(burst.r2t_sn, first->r2t_sn))
            first = &burst;
    }
    if (first == nullptr)
        return Then::nothing_to_send;
    first->announced = true;
    ReadyToTransferPdu pdu;
    pdu.lun = load_be<std::uint64_t>(task.lun.bytes.data());
    pdu.task_tag = task.task_tag;
    pdu.transfer_tag = first->transfer_tag;
    pdu.numbering = numbering(false);
    pdu.r2t_sn = first->r2t_sn;
    pdu.buffer_offset = first->offset;
    pdu.desired_length = first->length;
    seal(frame, encode(pdu));
    return more ? Then::stays : Then::leaves;
}

Connection::Then Connection::produce_data_in(IscsiTask& task, Frame& frame) {
    const std::uint32_t left = task.data_in_bytes - task.data_in_sent;
    const std::uint32_t burst_left = session_.parameters().max_burst_bytes - task.burst_sent;
    const std::uint32_t length = std::min({left, burst_left, parameters_.initiator_max_recv_bytes});
    const bool last = length == left;
    DataInPdu pdu;
    pdu.task_tag = task.task_tag;
    pdu.data_sn = task.sequence_number++;
    pdu.buffer_offset = task.data_in_sent;
    if (last || length == burst_left)
        pdu.flags |= final_bit;
    frame.task = &task;
    frame.data_offset = task.data_in_sent;
    frame.data_bytes = length;
    task.data_in_sent += length;
    task.burst_sent = length == burst_left ? 0 : task.burst_sent + length;
    session_.counters().bytes_to_host += length;
    const bool ends = last && collapses(task);
    if (ends) {
        session_.leave_window(task);
        pdu.flags |=
            static_cast<std::uint8_t>(data_in_flags::status | residual_flags(task, pdu.residual));
        pdu.status = static_cast<std::uint8_t>(task.status);
        frame.ending = &task;
    }
    pdu.numbering = numbering(ends);
    if (!ends)
        pdu.numbering.stat_sn = 0;
    seal(frame, encode(pdu, length));
    if (ends)
        return Then::leaves;
    // One long transfer does not hold up the others for more than a burst.
    return task.burst_sent == 0 && !last ? Then::to_the_back : Then::stays;
}

void Connection::produce_response(IscsiTask& task, Frame& frame) {
    session_.leave_window(task);
    ScsiResponsePdu pdu;
    pdu.task_tag = task.task_tag;
    pdu.status = static_cast<std::uint8_t>(task.status);
    pdu.flags |= residual_flags(task, pdu.residual);
    pdu.exp_data_sn = task.sequence_number;
    pdu.numbering = numbering(true);
    if (const Bytes sense = task.sense(); !sense.empty()) {
        frame.owned.resize(2 + sense.size());
        store_be(frame.owned.data(), static_cast<std::uint16_t>(sense.size()));
        std::ranges::copy(sense, frame.owned.begin() + 2);
        frame.data_bytes = static_cast<std::uint32_t>(frame.owned.size());
    }
    frame.ending = &task;
    seal(frame, encode(pdu, frame.data_bytes));
}

void Connection::seal(Frame& frame, const BasicHeader& bhs) {
    std::ranges::copy(bhs, frame.header.begin());
    frame.header_bytes = bhs_bytes;
    if (parameters_.header_digest != 0) {
        Crc32c crc;
        crc.update(bhs);
        crc.store(frame.header.data() + bhs_bytes);
        frame.header_bytes += digest_bytes;
    }
    const std::size_t pad = padding(frame.data_bytes);
    frame.trailer_bytes = static_cast<std::uint8_t>(pad);
    std::fill_n(frame.trailer.begin(), pad, std::uint8_t{0});
    if (parameters_.data_digest != 0 && frame.data_bytes != 0) {
        Crc32c crc;
        if (frame.task != nullptr)
            for_each_piece(
                *frame.task, frame.data_offset, frame.data_bytes,
                [&crc](const std::uint8_t* from, std::size_t count) { crc.update({from, count}); });
        else
            crc.update(frame.owned);
        crc.update(Bytes(frame.trailer).first(pad));
        crc.store(frame.trailer.data() + pad);
        frame.trailer_bytes += digest_bytes;
    }
}

std::size_t Connection::gather(std::span<iovec> into) {
    if (dropped_)
        return 0;
    pump();
    std::size_t count = 0;
    std::size_t skip = front_sent_;
    const auto put = [&](std::uint8_t* from, std::size_t length) {
        const std::size_t skipped = std::min(skip, length);
        skip -= skipped;
        if (length == skipped)
            return;
        into[count++] = {from + skipped, length - skipped};
    };
    for (std::size_t i = 0; i < ring_count_; ++i) {
        Frame& frame = ring_[(ring_begin_ + i) % frames];
        const std::size_t pieces = frame.task != nullptr ? frame.task->data_in().size() : 1;
        if (into.size() - count < pieces + 2)
            break;
        put(frame.header.data(), frame.header_bytes);
        if (frame.task != nullptr)
            for_each_piece(*frame.task, frame.data_offset, frame.data_bytes,
                           [&put](std::uint8_t* from, std::size_t length) { put(from, length); });
        else
            put(frame.owned.data(), frame.data_bytes);
        put(frame.trailer.data(), frame.trailer_bytes);
    }
    return count;
}

void Connection::sent(std::size_t count, std::uint64_t now) {
    now_ = now;
    if (lost_)
        return;
    front_sent_ += count;
    while (ring_count_ != 0 && front_sent_ >= ring_[ring_begin_].total()) {
        Frame& frame = ring_[ring_begin_];
        front_sent_ -= frame.total();
        ring_begin_ = (ring_begin_ + 1) % frames;
        --ring_count_;
        frame_sent(frame);
        if (lost_)
            return;
    }
    OLIO_ASSERT(ring_count_ != 0 || front_sent_ == 0, "more was sent than was gathered");
    if (paused_ && !input_paused() && !dropped_) {
        paused_ = false;
        parse();
        if (!paused_)
            transport_.input_resumed();
    }
}

void Connection::frame_sent(Frame& frame) {
    if (IscsiTask* task = std::exchange(frame.ending, nullptr)) {
        frame.task = nullptr;
        session_.finished(*task);
        session_.release(*task);
    }
    if (frame.answer) {
        frame.answer = false;
        answer_bytes_ -= frame.data_bytes;
        --answers_;
    }
    if (frame.owned.capacity() > kept_frame_capacity)
        frame.owned = {};
    if (frame.closes)
        drop("the connection was closed after its last answer");
}

void Connection::clear_output() noexcept {
    // Tasks that were answering are ended by Session::remove.
    ring_count_ = 0;
    front_sent_ = 0;
    while (OutputSource* source = queue_.pop_front())
        if (source->source_kind == OutputSource::Kind::answer)
            delete static_cast<Answer*>(source);
    answers_ = answer_bytes_ = fences_ = 0;
}

}  // namespace olio::iscsi
