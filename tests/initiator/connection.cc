#include "initiator/connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace olio::initiator {
namespace {

constexpr std::size_t first_output_bytes = 16 << 10;
constexpr std::uint32_t absurd_data_bytes = 16 << 20;  // above it a length is taken for garbage

std::uint8_t opcode_of(std::uint8_t byte0) noexcept {
    return byte0 & 0x3f;
}

}  // namespace

Connection::Connection(Session& session, std::uint16_t cid) : session_(session), cid_(cid) {}

void Connection::violation(const std::string& what) {
    session_.listener().violation(*this, what);
}

// What cannot be carried on after: the framing is lost.
void Connection::break_off(const std::string& what) {
    stage_ = Stage::failed;
    violation(what);
}

// --- Output ---

std::uint8_t* Connection::grow(std::size_t count) {
    if (output_head_ == output_tail_)
        output_head_ = output_tail_ = 0;
    if (output_tail_ + count > output_capacity_) {
        const std::size_t queued = output_tail_ - output_head_;
        const std::size_t capacity =
            std::max({queued + count, 2 * output_capacity_, first_output_bytes});
        auto larger = std::make_unique_for_overwrite<std::uint8_t[]>(capacity);
        if (queued != 0)
            std::memcpy(larger.get(), output_.get() + output_head_, queued);
        output_ = std::move(larger);
        output_capacity_ = capacity;
        output_head_ = 0;
        output_tail_ = queued;
    }
    std::uint8_t* at = output_.get() + output_tail_;
    output_tail_ += count;
    return at;
}

void Connection::sent(std::size_t count) noexcept {
    output_head_ += count;
    if (output_head_ >= output_tail_)
        output_head_ = output_tail_ = 0;
}

void Connection::put_raw(Bytes bytes) {
    if (!bytes.empty())
        std::memcpy(grow(bytes.size()), bytes.data(), bytes.size());
}

void Connection::append(MutableBytes header, Bytes data, Bytes ahs, Mutation mutation) {
    const bool header_digest = digests_on_ && negotiated_.header_digest;
    const bool data_digest = digests_on_ && negotiated_.data_digest && !data.empty();
    const std::size_t ahs_bytes = padded(ahs.size());
    const std::size_t padding = padded(data.size()) - data.size();
    std::uint8_t* to = grow(header_bytes + ahs_bytes + (header_digest ? 4 : 0) + data.size() +
                            padding + (data_digest ? 4 : 0));
    std::uint8_t* const start = to;
    std::memcpy(to, header.data(), header_bytes);
    to += header_bytes;
    if (!ahs.empty()) {
        std::memcpy(to, ahs.data(), ahs.size());
        std::memset(to + ahs.size(), 0, ahs_bytes - ahs.size());
        to += ahs_bytes;
    }
    if (header_digest) {
        crc32c_store(crc32c(crc32c_start, Bytes(start, to)), to);
        if (mutation == Mutation::corrupt_header_digest)
            to[0] ^= 1;
        to += 4;
    }
    if (!data.empty()) {
        std::memcpy(to, data.data(), data.size());
        std::memset(to + data.size(), 0, padding);
        if (data_digest) {
            std::uint8_t* const end = to + data.size() + padding;
            crc32c_store(crc32c(crc32c_start, Bytes(to, end)), end);
            if (mutation == Mutation::corrupt_data_digest)
                end[3] ^= 0x80;
        }
    }
    if (mutation == Mutation::truncate)
        output_tail_ -= 4;
}

void Connection::put(const Header& header, Bytes data, Bytes ahs) {
    std::array<std::uint8_t, header_bytes> bytes = header.bytes;
    bytes[at::ahs_words] = static_cast<std::uint8_t>(padded(ahs.size()) / 4);
    store_be24(&bytes[at::data_length], static_cast<std::uint32_t>(data.size()));
    const Mutation mutation = alter ? alter(bytes, data) : Mutation::none;
    if (mutation == Mutation::drop)
        return;
    append(bytes, data, ahs, mutation);
    if (mutation == Mutation::repeat)
        append(bytes, data, ahs, mutation);
}

std::optional<std::uint32_t> Connection::submit(const CommandRequest& request) {
    Session& session = session_;
    if (!ready() || (!request.immediate && session.window() == 0))
        return std::nullopt;
    Task* task = session.take_task();
    if (task == nullptr)
        return std::nullopt;
    task->cookie = request.cookie;
    task->lun = request.lun;
    task->cmd_sn = session.cmd_sn_;
    task->order = ++session.orders_;
    task->connection = this;
    task->hold_data_out = request.hold_data_out;
    task->data_out = request.data_out;
    task->data_in = request.data_in;
    const bool writes = !request.data_out.empty();
    const bool reads = !writes && !request.data_in.empty();
    task->expected_bytes = static_cast<std::uint32_t>(
        request.expected_bytes >= 0 ? static_cast<std::size_t>(request.expected_bytes)
                                    : request.data_out.size() + request.data_in.size());

    const std::uint32_t first_burst = std::min(
        {negotiated_.first_burst_bytes, task->expected_bytes,
         static_cast<std::uint32_t>(std::min<std::size_t>(request.data_out.size(), no_tag))});
    const std::uint32_t in_command =
        negotiated_.immediate_data
            ? std::min(first_burst, negotiated_.target_max_recv_data_segment_bytes)
            : 0;
    const bool more_unasked = !negotiated_.initial_r2t && first_burst > in_command;
    Header header(Opcode::scsi_command,
                  static_cast<std::uint8_t>((more_unasked ? 0 : final_bit) |
                                            (reads ? read_bit : 0) | (writes ? write_bit : 0) |
                                            static_cast<std::uint8_t>(request.attribute)),
                  request.immediate);
    header.be64(at::lun, request.lun)
        .be32(at::task_tag, task->tag)
        .be32(at::transfer_tag, task->expected_bytes)
        .be32(at::cmd_sn, task->cmd_sn)
        .be32(at::exp_stat_sn, exp_stat_sn_);
    const std::size_t in_header = std::min<std::size_t>(request.cdb.size(), 16);
    std::memcpy(&header.bytes[at::cdb], request.cdb.data(), in_header);
    if (!request.immediate)
        ++session.cmd_sn_;
    const std::uint32_t tag = task->tag;
    if (request.cdb.size() <= 16) {
        put(header, request.data_out.first(in_command));
    } else {  // Extended CDB (11.2.2.3)
        std::array<std::uint8_t, 4 + 244> ahs{};
        const Bytes rest =
            request.cdb.subspan(16, std::min<std::size_t>(request.cdb.size() - 16, 244));
        store_be(ahs.data(), static_cast<std::uint16_t>(rest.size() + 1));
        ahs[2] = 1;
        std::memcpy(&ahs[4], rest.data(), rest.size());
        put(header, request.data_out.first(in_command), Bytes(ahs).first(4 + rest.size()));
    }
    task->data_out_sent = in_command;
    if (more_unasked)
        put_data_out(*task, no_tag, in_command, first_burst - in_command);
    task->next_r2t_offset = task->data_out_sent;
    return tag;
}

void Connection::put_data_out(Task& task, std::uint32_t transfer_tag, std::uint32_t offset,
                              std::uint32_t length) {
    const std::uint32_t most = negotiated_.target_max_recv_data_segment_bytes;
    for (std::uint32_t data_sn = 0; length != 0; ++data_sn) {
        const std::uint32_t part = std::min(length, most);
        length -= part;
        Header header(Opcode::data_out, length == 0 ? final_bit : 0);
        header.be64(at::lun, transfer_tag == no_tag ? 0 : task.lun)
            .be32(at::task_tag, task.tag)
            .be32(at::transfer_tag, transfer_tag)
            .be32(at::exp_stat_sn, exp_stat_sn_)
            .be32(at::data_sn, data_sn)
            .be32(at::buffer_offset, offset);
        put(header, task.data_out.subspan(offset, part));
        offset += part;
        task.data_out_sent += part;
    }
}

std::uint32_t Connection::manage(const FunctionRequest& request) {
    FunctionResult under_way;
    under_way.request = request;
    under_way.tag = session_.next_service_tag();
    under_way.cmd_sn = session_.cmd_sn_;
    under_way.order = ++session_.orders_;
    under_way.connection = this;
    Header header(
        Opcode::task_management_request,
        static_cast<std::uint8_t>(final_bit | static_cast<std::uint8_t>(request.function)),
        request.immediate);
    header.be64(at::lun, request.lun)
        .be32(at::task_tag, under_way.tag)
        .be32(at::transfer_tag, request.referenced_tag)
        .be32(at::cmd_sn, session_.cmd_sn_)
        .be32(at::exp_stat_sn, exp_stat_sn_)
        .be32(at::ref_cmd_sn, request.referenced_cmd_sn);
    if (!request.immediate)
        ++session_.cmd_sn_;
    session_.functions_.push_back(under_way);
    put(header, {});
    return under_way.tag;
}

std::uint32_t Connection::ping(Bytes data) {
    const std::uint32_t tag = session_.next_service_tag();
    Header header(Opcode::nop_out, final_bit, true);
    header.be32(at::task_tag, tag)
        .be32(at::transfer_tag, no_tag)
        .be32(at::cmd_sn, session_.cmd_sn_)
        .be32(at::exp_stat_sn, exp_stat_sn_);
    put(header, data);
    return tag;
}

void Connection::logout(std::uint8_t reason) {
    Header header(Opcode::logout_request, static_cast<std::uint8_t>(final_bit | reason), true);
    header.be32(at::task_tag, session_.next_service_tag())
        .be16(at::cid, cid_)
        .be32(at::cmd_sn, session_.cmd_sn_)
        .be32(at::exp_stat_sn, exp_stat_sn_);
    put(header, {});
}

void Connection::closed() {
    if (stage_ == Stage::closed)
        return;
    if (stage_ == Stage::security || stage_ == Stage::operational)
        fail_login(0, 0, "the connection was closed during the login");
    stage_ = Stage::closed;
    output_head_ = output_tail_ = 0;
    session_.connection_closed(*this);
}

// --- Input ---

void Connection::receive(Bytes bytes) {
    while (!bytes.empty() && stage_ != Stage::failed && stage_ != Stage::closed) {
        switch (receiving_) {
            case Receiving::header:
                bytes = receive_header(bytes);
                break;
            case Receiving::data:
                bytes = receive_data(bytes);
                break;
            case Receiving::trailer:
                bytes = receive_trailer(bytes);
                break;
        }
    }
}

Bytes Connection::receive_header(Bytes bytes) {
    const std::size_t digest = digests_on_ && negotiated_.header_digest ? 4 : 0;
    const auto take = [this, &bytes](std::size_t need) {
        const std::size_t count = std::min(need - std::min(need, header_have_), bytes.size());
        std::memcpy(&header_[header_have_], bytes.data(), count);
        header_have_ += count;
        bytes = bytes.subspan(count);
        return header_have_ >= need;
    };
    if (!take(header_bytes))
        return bytes;
    const std::size_t need = header_bytes + std::size_t{header_[at::ahs_words]} * 4 + digest;
    if (!take(need))
        return bytes;
    header_have_ = 0;
    if (digest != 0) {
        std::array<std::uint8_t, 4> right{};
        crc32c_store(crc32c(crc32c_start, Bytes(header_).first(need - 4)), right.data());
        if (std::memcmp(right.data(), &header_[need - 4], 4) != 0) {
            break_off("a PDU of the target has a wrong header digest");
            return bytes;
        }
    }
    begin_data();
    return bytes;
}

void Connection::begin_data() {
    const std::uint32_t length = load_be24(&header_[at::data_length]);
    if (length > absurd_data_bytes)
        return break_off(fmt::format("a data segment of {} bytes", length));
    if (length > session_.settings().max_recv_data_segment_bytes)
        violation(fmt::format("a data segment of {} bytes is longer than MaxRecvDataSegmentLength",
                              length));
    ignored_ = observe && !observe(Bytes(header_).first(header_bytes));
    data_left_ = length;
    padding_ = static_cast<std::uint32_t>(padded(length) - length);
    trailer_left_ = padding_ + (length != 0 && digests_on_ && negotiated_.data_digest ? 4 : 0);
    digest_ = crc32c_start;
    data_place_ = {};
    if (opcode_of(u8(0)) == static_cast<std::uint8_t>(Opcode::data_in) && !ignored_) {
        data_place_ = place_of_data_in(length);
    } else if (length != 0) {
        scratch_.resize(length);
        data_place_ = scratch_;
    } else {
        scratch_.clear();
    }
    if (length != 0)
        receiving_ = Receiving::data;
    else
        dispatch();
}

Bytes Connection::receive_data(Bytes bytes) {
    const Bytes part = bytes.first(std::min<std::size_t>(bytes.size(), data_left_));
    const std::size_t kept = std::min(part.size(), data_place_.size());
    if (kept != 0) {
        std::memcpy(data_place_.data(), part.data(), kept);
        data_place_ = data_place_.subspan(kept);
    }
    if (trailer_left_ > padding_)
        digest_ = crc32c(digest_, part);
    data_left_ -= static_cast<std::uint32_t>(part.size());
    if (data_left_ == 0) {
        if (trailer_left_ != 0)
            receiving_ = Receiving::trailer;
        else
            dispatch();
    }
    return bytes.subspan(part.size());
}

Bytes Connection::receive_trailer(Bytes bytes) {
    const bool with_digest = digests_on_ && negotiated_.data_digest;
    while (trailer_left_ != 0 && !bytes.empty()) {
        const std::uint32_t digest_left =
            with_digest ? std::min<std::uint32_t>(trailer_left_, 4) : 0;
        if (trailer_left_ > (with_digest ? 4U : 0U))
            digest_ = crc32c(digest_, bytes.first(1));  // padding
        else
            wire_digest_[4 - digest_left] = bytes[0];
        --trailer_left_;
        bytes = bytes.subspan(1);
    }
    if (trailer_left_ != 0)
        return bytes;
    if (with_digest) {
        std::array<std::uint8_t, 4> right{};
        crc32c_store(digest_, right.data());
        if (right != wire_digest_) {
            break_off("a PDU of the target has a wrong data digest");
            return bytes;
        }
    }
    dispatch();
    return bytes;
}

void Connection::dispatch() {
    receiving_ = Receiving::header;
    if (ignored_)
        return;
    const auto opcode = static_cast<Opcode>(opcode_of(u8(0)));
    const bool login = opcode == Opcode::login_response;
    if (!ready() && !login && opcode != Opcode::reject)
        return break_off(fmt::format("PDU {:#04x} before the end of the login", u8(0)));
    switch (opcode) {
        case Opcode::scsi_response:
            return handle_scsi_response();
        case Opcode::data_in:
            return handle_data_in();
        case Opcode::ready_to_transfer:
            return handle_ready_to_transfer();
        case Opcode::task_management_response:
            return handle_function_response();
        case Opcode::login_response:
            return handle_login_response();
        case Opcode::text_response:
            return handle_text_response();
        case Opcode::logout_response:
            take_numbers(true);
            return session_.listener().logout_finished(*this, u8(at::response));
        case Opcode::nop_in:
            return handle_nop_in();
        case Opcode::async_message:
            take_numbers(true);
            return session_.listener().async_message(*this, u8(at::async_event),
                                                     Bytes(header_).first(header_bytes), scratch_);
        case Opcode::reject:
            return handle_reject();
        default:
            return break_off(fmt::format("PDU {:#04x} is none that a target sends", u8(0)));
    }
}

// StatSN, ExpCmdSN and MaxCmdSN of every PDU of a target (4.2.2).
void Connection::take_numbers(bool uses_stat_sn) {
    const std::uint32_t stat_sn = be32(at::stat_sn);
    if (uses_stat_sn) {
        if (stat_sn_known_ && stat_sn != exp_stat_sn_)
            violation(fmt::format("PDU {:#04x} has StatSN {}, expected {}", u8(0), stat_sn,
                                  exp_stat_sn_));
        exp_stat_sn_ = stat_sn + 1;
        stat_sn_known_ = true;
    }
    const std::uint32_t exp_cmd_sn = be32(at::exp_cmd_sn);
    const std::uint32_t max_cmd_sn = be32(at::max_cmd_sn);
    if (before(session_.cmd_sn_, exp_cmd_sn))
        violation(fmt::format("ExpCmdSN {} is past CmdSN {}", exp_cmd_sn, session_.cmd_sn_));
    if (before(max_cmd_sn, exp_cmd_sn - 1))
        return violation("MaxCmdSN is below ExpCmdSN - 1");
    if (before(session_.exp_cmd_sn_, exp_cmd_sn))
        session_.exp_cmd_sn_ = exp_cmd_sn;
    if (before(session_.max_cmd_sn_, max_cmd_sn))
        session_.max_cmd_sn_ = max_cmd_sn;
}

}  // namespace olio::initiator
