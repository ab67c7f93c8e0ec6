// VERIFY, WRITE AND VERIFY, and COMPARE AND WRITE: what is on the medium against what the host
// sent.
#include <algorithm>
#include <cstring>

#include "scsi/cdb_fields.h"
#include "target/device_server.h"

namespace olio::target {

using scsi::MediumAccess;

namespace {

constexpr std::uint64_t chunk_bytes = 256 << 10;  // read back at a time

enum VerifyPhase : std::uint8_t { verify_start, verify_write, verify_flush, verify_read };
enum ComparePhase : std::uint8_t { compare_start, compare_read, compare_write, compare_flush };

// Where two ranges of the same length differ first; their length if they do not.
std::size_t first_difference(Bytes a, Bytes b) noexcept {
    if (std::memcmp(a.data(), b.data(), a.size()) == 0)
        return a.size();
    return static_cast<std::size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

}  // namespace

bool DeviceServer::prepare_verify(Command& c) {
    c.access_ = MediumAccess::reads;
    c.first_block_ = c.decoded_.lba;
    c.end_block_ = c.decoded_.lba + c.decoded_.blocks;
    const std::uint32_t block_bytes = c.unit_->block_bytes();
    const auto fields = scsi::decode_verify(c.cdb);
    if (!fields) {
        refuse(c, fields.error());
        return false;
    }
    c.check_ = fields->byte_check;
    c.transfer_bytes_ = static_cast<std::uint32_t>(
        scsi::verify_data_blocks(c.check_, c.decoded_.blocks) * block_bytes);
    c.buffer_bytes_ = c.transfer_bytes_ + static_cast<std::uint32_t>(std::min<std::uint64_t>(
                                              c.decoded_.blocks * block_bytes, chunk_bytes));
    return true;
}

Step DeviceServer::execute_verify(Command& c) {
    if (c.decoded_.blocks == 0)
        return succeed(c);
    if (!obtain_buffer(c, c.buffer_bytes_))
        return Step::waiting;
    return next_verify(c);
}

// Reads the next chunk behind the data-out.
Step DeviceServer::next_verify(Command& c) {
    const std::uint32_t block_bytes = c.unit_->block_bytes();
    const std::uint64_t blocks = std::min<std::uint64_t>(
        {c.decoded_.blocks - c.done_blocks_, chunk_bytes / block_bytes, maximum_step_blocks(c)});
    ask_store(c, StoreOpcode::read, c.decoded_.lba + c.done_blocks_, blocks,
              c.buffer_.bytes(c.buffer_bytes_).subspan(c.transfer_bytes_, blocks * block_bytes));
    return Step::submit;
}

// False: the command has ended with MISCOMPARE; INFORMATION is the offset of the first byte of
// data-out that differs (SBC-4 4.7).
bool DeviceServer::compare_step(Command& c, bool single_block) {
    const std::size_t block_bytes = c.unit_->block_bytes();
    const Bytes found = c.io_.data;
    const std::size_t piece = single_block ? block_bytes : found.size();
    for (std::size_t at = 0; at < found.size(); at += piece) {
        const std::size_t offset = single_block ? 0 : c.done_blocks_ * block_bytes;
        const std::size_t same =
            first_difference(c.data_out.subspan(offset, piece), found.subspan(at, piece));
        if (same == piece)
            continue;
        refuse(c, scsi::make_sense_at(scsi::sense::miscompare_during_verify, offset + same));
        return false;
    }
    return true;
}

Step DeviceServer::resume_verify(Command& c) {
    if (c.check_ != scsi::ByteCheck::medium_only &&
        !compare_step(c, c.check_ == scsi::ByteCheck::compare_one))
        return Step::waiting;
    c.done_blocks_ += c.step_blocks_;
    if (c.done_blocks_ < c.decoded_.blocks)
        return next_verify(c);
    c.unit_->traffic.verify_bytes += c.decoded_.blocks * c.unit_->block_bytes();
    return succeed(c);
}

bool DeviceServer::prepare_write_and_verify(Command& c) {
    const auto fields = scsi::decode_verify(c.cdb);
    if (!fields) {
        refuse(c, fields.error());
        return false;
    }
    prepare_write(c);
    c.check_ = fields->byte_check;
    c.fua_ = true;  // what is verified must be on the medium
    c.buffer_bytes_ = c.transfer_bytes_ + static_cast<std::uint32_t>(std::min<std::uint64_t>(
                                              c.transfer_bytes_, chunk_bytes));
    return true;
}

Step DeviceServer::execute_write_and_verify(Command& c) {
    if (c.transfer_bytes_ == 0)
        return succeed(c);
    c.unit_->traffic.wrote(c.transfer_bytes_);
    c.phase_ = verify_write;
    return next_write(c, c.data_out);
}

Step DeviceServer::resume_write_and_verify(Command& c) {
    switch (c.phase_) {
        case verify_write:
            c.done_blocks_ += c.step_blocks_;
            if (c.done_blocks_ < c.decoded_.blocks)
                return next_write(c, c.data_out);
            c.phase_ = verify_flush;
            if (ask_flush(c))
                return Step::submit;
            [[fallthrough]];
        case verify_flush:
            c.phase_ = verify_read;
            c.done_blocks_ = 0;
            return next_verify(c);
        default:
            return resume_verify(c);
    }
}

// --- COMPARE AND WRITE (SBC-4 5.3) ---

bool DeviceServer::prepare_compare_and_write(Command& c) {
    c.first_block_ = c.decoded_.lba;
    c.end_block_ = c.decoded_.lba + c.decoded_.blocks;
    c.fua_ = scsi::decode_cache_fields(c.cdb).force_unit_access;
    const auto bytes = static_cast<std::uint32_t>(c.decoded_.blocks * c.unit_->block_bytes());
    c.transfer_bytes_ = 2 * bytes;
    c.buffer_bytes_ = 3 * bytes;
    return true;
}

// Its fence keeps everybody else out from before the comparison until after the write. Its access_
// stays `none`: the fence is what orders it, and it must not wait for itself.
Step DeviceServer::execute_compare_and_write(Command& c) {
    if (c.decoded_.blocks == 0)
        return succeed(c);
    c.unit_->unit().raise_fence({{c.first_block_, c.end_block_}, FenceKind::exclusive},
                                [&c](FenceId fence) {
                                    c.fence_ = fence;
                                    fence_stands(c);
                                });
    return Step::waiting;
}

// It may have been aborted, or the medium have become smaller.
bool DeviceServer::may_use_fence(Command& c) noexcept {
    if (c.abort_) {
        end_aborted(c);
        return false;
    }
    if (c.end_block_ > c.unit_->state().geometry.blocks) {
        refuse(c, scsi::make_sense(scsi::sense::logical_block_address_out_of_range));
        return false;
    }
    return true;
}

void DeviceServer::fence_stands(Command& c) noexcept {
    if (!may_use_fence(c))
        return;
    c.unit_->traffic.wrote(c.transfer_bytes_ / 2);
    c.fua_ = write_must_be_durable(c);
    c.phase_ = compare_read;
    drive(c, next_compare_and_write(c));
}

Step DeviceServer::next_compare_and_write(Command& c) {
    const std::uint64_t blocks =
        std::min<std::uint64_t>(c.decoded_.blocks - c.done_blocks_, maximum_step_blocks(c));
    const std::size_t block_bytes = c.unit_->block_bytes();
    const std::size_t whole = c.transfer_bytes_ / 2;
    if (c.phase_ == compare_write)
        return next_write(c, c.data_out.subspan(whole));
    ask_store(c, StoreOpcode::read, c.decoded_.lba + c.done_blocks_, blocks,
              c.buffer_.bytes(c.buffer_bytes_)
                  .subspan(2 * whole + c.done_blocks_ * block_bytes, blocks * block_bytes));
    return Step::submit;
}

Step DeviceServer::resume_compare_and_write(Command& c) {
    if (c.phase_ == compare_flush)
        return succeed(c);
    if (c.phase_ == compare_read && !compare_step(c, false))
        return Step::waiting;
    c.done_blocks_ += c.step_blocks_;
    if (c.done_blocks_ < c.decoded_.blocks)
        return next_compare_and_write(c);
    if (c.phase_ == compare_read) {
        c.phase_ = compare_write;
        c.done_blocks_ = 0;
        return next_compare_and_write(c);
    }
    return finish_write(c, compare_flush);
}

}  // namespace olio::target
