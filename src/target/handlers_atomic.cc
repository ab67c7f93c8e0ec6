#include "target/handlers_atomic.h"

#include <algorithm>

#include "scsi/cdb_fields.h"

namespace olio::target {

namespace {

enum Phase : std::uint8_t { phase_read, phase_write, phase_flush };

}  // namespace

// Its access_ stays `none`: its fence is what orders it, and it must not wait for itself.
void DeviceServer::AtomicHandlers::prepare(Command& c) {
    c.first_block_ = c.decoded_.lba;
    c.end_block_ = c.decoded_.lba + c.decoded_.blocks;
    c.fua_ = scsi::decode_cache_fields(c.cdb).force_unit_access;
    c.transfer_bytes_ = static_cast<std::uint32_t>(c.decoded_.blocks * c.unit_->block_bytes());
}

// What is there and what is sent, side by side.
bool DeviceServer::AtomicHandlers::prepare_orwrite(Command& c) {
    prepare(c);
    c.phase_ = phase_read;
    const std::uint64_t bytes = 2 * std::uint64_t{c.transfer_bytes_};
    if (bytes > reactor::BufferPool::largest_bytes) {
        refuse(c, scsi::invalid_field_in_cdb(c.row_->transfer_blocks.byte));
        return false;
    }
    c.buffer_bytes_ = static_cast<std::uint32_t>(bytes);
    return true;
}

bool DeviceServer::AtomicHandlers::prepare_write_atomic(Command& c) {
    if (scsi::atomic_boundary_of(c.cdb) > c.unit_->state().maximum_atomic_blocks) {
        refuse(c, scsi::invalid_field_in_cdb(scsi::is_variable_length(c.cdb) ? 4 : 10));
        return false;
    }
    prepare(c);
    c.phase_ = phase_write;
    c.buffer_bytes_ = c.transfer_bytes_;
    return true;
}

Step DeviceServer::AtomicHandlers::execute(Command& c) {
    if (c.decoded_.blocks == 0)
        return succeed(c);
    const FenceKind kind = c.phase_ == phase_write ? FenceKind::unseen : FenceKind::exclusive;
    c.unit_->unit().raise_fence({{c.first_block_, c.end_block_}, kind}, [&c](FenceId fence) {
        c.fence_ = fence;
        fence_stands(c);
    });
    return Step::waiting;
}

void DeviceServer::AtomicHandlers::fence_stands(Command& c) noexcept {
    if (c.abort_) {
        end_aborted(c);
        return;
    }
    if (c.end_block_ > c.unit_->state().geometry.blocks) {
        refuse(c, scsi::make_sense(scsi::sense::logical_block_address_out_of_range));
        return;
    }
    ++c.unit_->traffic.write_commands;
    c.unit_->traffic.write_bytes += c.transfer_bytes_;
    c.fua_ = write_must_be_durable(c);
    drive(c, next(c));
}

Step DeviceServer::AtomicHandlers::next(Command& c) {
    if (c.phase_ == phase_write)
        return next_write(c, c.data_out);
    const std::uint64_t blocks =
        std::min<std::uint64_t>(c.decoded_.blocks - c.done_blocks_, maximum_step_blocks(c));
    const std::size_t block_bytes = c.unit_->block_bytes();
    ask_store(c, StoreOpcode::read, c.decoded_.lba + c.done_blocks_, blocks,
              c.buffer_.bytes(c.buffer_bytes_)
                  .subspan(c.transfer_bytes_ + c.done_blocks_ * block_bytes, blocks * block_bytes));
    return Step::submit;
}

Step DeviceServer::AtomicHandlers::resume(Command& c) {
    if (c.phase_ == phase_flush)
        return succeed(c);
    c.done_blocks_ += c.step_blocks_;
    if (c.done_blocks_ < c.decoded_.blocks)
        return next(c);
    if (c.phase_ == phase_read) {
        const Bytes found = c.buffer_.bytes(c.buffer_bytes_).subspan(c.transfer_bytes_);
        std::ranges::transform(
            c.data_out, found, c.data_out.begin(),
            [](std::uint8_t a, std::uint8_t b) { return static_cast<std::uint8_t>(a | b); });
        c.phase_ = phase_write;
        c.done_blocks_ = 0;
        return next(c);
    }
    return finish_write(c, phase_flush);
}

}  // namespace olio::target
