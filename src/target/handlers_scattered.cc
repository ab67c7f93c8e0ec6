#include "target/handlers_scattered.h"

#include <algorithm>

#include "scsi/scattered.h"

namespace olio::target {

namespace {

enum Phase : std::uint8_t { phase_write, phase_flush };

}  // namespace

bool DeviceServer::ScatteredHandlers::prepare(Command& c) {
    const scsi::NexusState nexus = static_cast<const ITNexusImpl&>(c.nexus()).state();
    const auto fields = scsi::decode_scattered(request_of(c, &c.unit_->state(), nexus));
    if (!fields) {
        refuse(c, fields.error());
        return false;
    }
    c.fua_ = fields->force_unit_access;
    // Bounded by MAXIMUM TRANSFER LENGTH, which the fields were checked against.
    c.transfer_bytes_ =
        static_cast<std::uint32_t>(fields->transfer_blocks() * c.unit_->block_bytes());
    c.buffer_bytes_ = c.transfer_bytes_;
    return true;
}

bool DeviceServer::ScatteredHandlers::parse(Command& c) {
    const scsi::NexusState nexus = static_cast<const ITNexusImpl&>(c.nexus()).state();
    const scsi::Request request = request_of(c, &c.unit_->state(), nexus);
    const auto fields = scsi::decode_scattered(request);
    const auto touched = fields ? scsi::check_scattered_list(c.data_out, *fields, request)
                                : std::unexpected(fields.error());
    if (!touched) {
        refuse(c, touched.error());
        return false;
    }
    c.items_ = fields->ranges;
    if (touched->blocks == 0)
        return true;
    c.access_ = scsi::MediumAccess::writes;
    c.first_block_ = touched->lba;
    c.end_block_ = touched->lba + touched->blocks;
    // Where in the data-out the next block to write stands.
    c.decoded_.blocks = fields->offset_blocks;
    return true;
}

Step DeviceServer::ScatteredHandlers::execute(Command& c) {
    if (c.access_ == scsi::MediumAccess::none)
        return succeed(c);
    ++c.unit_->traffic.write_commands;
    c.fua_ = write_must_be_durable(c);
    c.phase_ = phase_write;
    return next(c);
}

Step DeviceServer::ScatteredHandlers::next(Command& c) {
    const std::size_t block_bytes = c.unit_->block_bytes();
    while (c.cursor_ < c.items_) {
        const auto [lba, blocks] =
            scsi::scattered_range(c.data_out, static_cast<std::size_t>(c.cursor_));
        if (c.done_blocks_ == blocks) {
            ++c.cursor_;
            c.done_blocks_ = 0;
            continue;
        }
        const std::uint64_t piece =
            std::min<std::uint64_t>(blocks - c.done_blocks_, maximum_step_blocks(c));
        ask_write(c, StoreOpcode::write, lba + c.done_blocks_, piece,
                  c.data_out.subspan(c.decoded_.blocks * block_bytes, piece * block_bytes));
        c.unit_->traffic.write_bytes += piece * block_bytes;
        return Step::submit;
    }
    return finish_write(c, phase_flush);
}

Step DeviceServer::ScatteredHandlers::resume(Command& c) {
    if (c.phase_ == phase_flush)
        return succeed(c);
    c.done_blocks_ += c.step_blocks_;
    c.decoded_.blocks += c.step_blocks_;
    return next(c);
}

}  // namespace olio::target
