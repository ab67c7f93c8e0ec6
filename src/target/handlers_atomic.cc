#include "target/handlers_atomic.h"

#include <algorithm>
#include <functional>

#include "scsi/cdb_fields.h"
#include "scsi/orwrite.h"

namespace olio::target {

namespace {

enum Phase : std::uint8_t { phase_read, phase_write, phase_flush };

bool is_orwrite(const scsi::CommandRow& row) noexcept {
    return row.operation == scsi::Operation::orwrite;
}

// What prepare_orwrite() has found good.
scsi::OrwriteFields orwrite_fields(Bytes cdb) noexcept {
    return *scsi::decode_orwrite(cdb);
}

bool changes_generation(const scsi::OrwriteFields& fields) noexcept {
    return fields.operation == scsi::BitmapOperation::change_generation_and_clear;
}

}  // namespace

// Its access_ stays `none`: its fence is what orders it, and it must not wait for itself.
void DeviceServer::AtomicHandlers::prepare(Command& c) {
    c.first_block_ = c.decoded_.lba;
    c.end_block_ = c.decoded_.lba + c.decoded_.blocks;
    c.fua_ = scsi::decode_cache_fields(c.cdb).force_unit_access;
    c.transfer_bytes_ = static_cast<std::uint32_t>(c.decoded_.blocks * c.unit_->block_bytes());
}

bool DeviceServer::AtomicHandlers::check_orwrite(Command& c) {
    const auto fields = scsi::decode_orwrite(c.cdb);
    if (!fields)
        refuse(c, fields.error());
    return fields.has_value();
}

// What is there and what is sent, side by side.
bool DeviceServer::AtomicHandlers::prepare_orwrite(Command& c) {
    if (!check_orwrite(c))
        return false;
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
    if (is_orwrite(*c.row_))
        return order_orwrite(c, start);
    if (c.decoded_.blocks == 0)
        return succeed(c);  // there is nothing to be kept out of
    c.unit_->unit().raise_fence({{c.first_block_, c.end_block_}, FenceKind::unseen},
                                [&c](FenceId fence) {
                                    c.fence_ = fence;
                                    if (may_use_fence(c))
                                        drive(c, start(c));
                                });
    return Step::waiting;
}

// A change of the generation waits for every ORWRITE, and every ORWRITE for it: its fence is around
// the whole medium. So none of them meets generations that change.
Step DeviceServer::AtomicHandlers::order_orwrite(Command& c, Step (*work)(Command&)) {
    const bool whole_medium = changes_generation(orwrite_fields(c.cdb));
    if (c.decoded_.blocks == 0 && !whole_medium) {
        orwrite_stands(c, work);  // there is nothing to be kept out of
        return Step::waiting;
    }
    const BlockRange range =
        whole_medium ? BlockRange{0, ~std::uint64_t{0}} : BlockRange{c.first_block_, c.end_block_};
    c.unit_->unit().raise_fence({range, FenceKind::exclusive}, [&c, work](FenceId fence) {
        c.fence_ = fence;
        orwrite_stands(c, work);
    });
    return Step::waiting;
}

void DeviceServer::AtomicHandlers::orwrite_stands(Command& c, Step (*work)(Command&)) {
    if (!may_use_fence(c))
        return;
    switch (scsi::orwrite_action(orwrite_fields(c.cdb), c.unit_->state().orwrite)) {
        case scsi::OrwriteAction::refuse:
            refuse(c, scsi::make_sense(scsi::sense::orwrite_generation_does_not_match));
            return;
        case scsi::OrwriteAction::discard:
            succeed(c);
            return;
        case scsi::OrwriteAction::perform:
            drive(c, c.decoded_.blocks == 0 ? written(c) : work(c));
            return;
    }
}

Step DeviceServer::AtomicHandlers::start(Command& c) {
    c.unit_->traffic.wrote(c.transfer_bytes_);
    c.fua_ = write_must_be_durable(c);
    return next(c);
}

void DeviceServer::AtomicHandlers::combine(const Command& c, MutableBytes sent, Bytes found) {
    if (changes_generation(orwrite_fields(c.cdb)))
        std::ranges::transform(sent, found, sent.begin(), std::bit_and());
    else
        std::ranges::transform(sent, found, sent.begin(), std::bit_or());
}

Step DeviceServer::AtomicHandlers::written(Command& c) {
    if (!is_orwrite(*c.row_) || !changes_generation(orwrite_fields(c.cdb)))
        return succeed(c);
    change_state(c,
                 [fields = orwrite_fields(c.cdb)](
                     scsi::LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
                     state.orwrite = scsi::next_generations(fields, state.orwrite);
                     return StateEffects{};
                 });
    return Step::waiting;
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
        return written(c);
    c.done_blocks_ += c.step_blocks_;
    if (c.done_blocks_ < c.decoded_.blocks)
        return next(c);
    if (c.phase_ == phase_read) {
        combine(c, c.data_out, c.buffer_.bytes(c.buffer_bytes_).subspan(c.transfer_bytes_));
        c.phase_ = phase_write;
        c.done_blocks_ = 0;
        return next(c);
    }
    c.phase_ = phase_flush;
    return ask_flush(c) ? Step::submit : written(c);
}

}  // namespace olio::target
