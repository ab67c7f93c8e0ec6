// READ and WRITE in all their forms.
#include <algorithm>

#include "scsi/cdb_fields.h"
#include "scsi/range.h"
#include "target/device_server.h"

namespace olio::target {

using scsi::MediumAccess;

namespace {

enum ReadPhase : std::uint8_t { read_start, read_flush, read_borrow, read_copy };
enum WritePhase : std::uint8_t { write_start, write_data, write_flush };

}  // namespace

bool DeviceServer::prepare_range(Command& c) {
    c.first_block_ = c.decoded_.lba;
    c.end_block_ =
        c.decoded_.lba + scsi::blocks_or_rest(c.unit_->state(), c.decoded_.lba, c.decoded_.blocks);
    return true;
}

bool DeviceServer::prepare_read(Command& c) {
    c.access_ = MediumAccess::reads;
    c.first_block_ = c.decoded_.lba;
    c.end_block_ = c.decoded_.lba + c.decoded_.blocks;
    c.fua_ = scsi::decode_cache_fields(c.cdb).force_unit_access;
    // Bounded by MAXIMUM TRANSFER LENGTH, which admission has checked.
    c.transfer_bytes_ = static_cast<std::uint32_t>(c.decoded_.blocks * c.unit_->block_bytes());
    return true;
}

Step DeviceServer::execute_read(Command& c) {
    if (c.transfer_bytes_ == 0)
        return succeed_with_data(c, 0);
    if (c.phase_ == read_start) {
        c.unit_->traffic.read(c.transfer_bytes_);
        const StoreCapabilities& store = c.unit_->capabilities();
        if (c.fua_ && store.volatile_cache && c.unit_->state().mode_pages.write_cache_enabled) {
            // SBC-4 4.15: what is read with FUA is on the medium.
            c.phase_ = read_flush;
            ask_store(c, StoreOpcode::flush, c.decoded_.lba, c.decoded_.blocks, {});
            return Step::submit;
        }
        const bool whole = c.decoded_.blocks <= maximum_step_blocks(c);
        if (store.borrows && !c.stable_data_in && whole) {
            c.phase_ = read_borrow;
            ask_store(c, StoreOpcode::read, c.decoded_.lba, c.decoded_.blocks, {});
            c.io_.may_borrow = true;
            return Step::submit;
        }
        c.phase_ = read_copy;
    }
    return next_read(c);
}

Step DeviceServer::next_read(Command& c) {
    if (!obtain_buffer(c, c.transfer_bytes_))
        return Step::waiting;
    const std::uint64_t blocks =
        std::min<std::uint64_t>(c.decoded_.blocks - c.done_blocks_, maximum_step_blocks(c));
    const std::size_t block_bytes = c.unit_->block_bytes();
    ask_store(c, StoreOpcode::read, c.decoded_.lba + c.done_blocks_, blocks,
              c.buffer_.bytes(c.transfer_bytes_)
                  .subspan(c.done_blocks_ * block_bytes, blocks * block_bytes));
    return Step::submit;
}

Step DeviceServer::resume_read(Command& c) {
    if (c.phase_ == read_flush) {
        c.phase_ = read_copy;
        return next_read(c);
    }
    if (c.phase_ == read_borrow) {
        if (c.io_.borrowed_count != 0) [[likely]] {
            std::copy_n(c.io_.borrowed.begin(), c.io_.borrowed_count, c.data_in_.begin());
            c.data_in_count_ = c.io_.borrowed_count;
            return succeed_with_data(c, c.transfer_bytes_);
        }
        // The store's memory lies in too many pieces.
        c.phase_ = read_copy;
        return next_read(c);
    }
    c.done_blocks_ += c.step_blocks_;
    if (c.done_blocks_ < c.decoded_.blocks)
        return next_read(c);
    c.data_in_[0] = {c.buffer_.data(), c.transfer_bytes_};
    c.data_in_count_ = 1;
    return succeed_with_data(c, c.transfer_bytes_);
}

bool DeviceServer::prepare_write(Command& c) {
    prepare_read(c);
    c.access_ = MediumAccess::writes;
    c.buffer_bytes_ = c.transfer_bytes_;
    return true;
}

void DeviceServer::ask_write(Command& c, StoreOpcode opcode, std::uint64_t lba,
                             std::uint64_t blocks, MutableBytes data) noexcept {
    ask_store(c, opcode, lba, blocks, data);
    c.io_.fua = c.fua_ && c.unit_->capabilities().fua == Support::native;
}

bool DeviceServer::ask_flush(Command& c) noexcept {
    if (!c.fua_ || c.unit_->capabilities().fua == Support::native)
        return false;
    ask_store(c, StoreOpcode::flush, c.first_block_, c.end_block_ - c.first_block_, {});
    return true;
}

Step DeviceServer::finish_write(Command& c, std::uint8_t flush_phase) noexcept {
    if (!ask_flush(c))
        return succeed(c);
    c.phase_ = flush_phase;
    return Step::submit;
}

Step DeviceServer::execute_write(Command& c) {
    if (c.transfer_bytes_ == 0)
        return succeed(c);
    if (c.phase_ == write_start) {
        c.unit_->traffic.wrote(c.transfer_bytes_);
        c.phase_ = write_data;
        c.fua_ = write_must_be_durable(c);
    }
    return next_write(c, c.data_out);
}

// Writes the next piece of `data`, which covers the command's range.
Step DeviceServer::next_write(Command& c, MutableBytes data) {
    const std::uint64_t blocks =
        std::min<std::uint64_t>(c.decoded_.blocks - c.done_blocks_, maximum_step_blocks(c));
    const std::size_t block_bytes = c.unit_->block_bytes();
    ask_write(c, StoreOpcode::write, c.decoded_.lba + c.done_blocks_, blocks,
              data.subspan(c.done_blocks_ * block_bytes, blocks * block_bytes));
    return Step::submit;
}

Step DeviceServer::resume_write(Command& c) {
    if (c.phase_ == write_flush)
        return succeed(c);
    c.done_blocks_ += c.step_blocks_;
    if (c.done_blocks_ < c.decoded_.blocks)
        return next_write(c, c.data_out);
    return finish_write(c, write_flush);
}

}  // namespace olio::target
