// COMPARE AND WRITE, ORWRITE and WRITE ATOMIC with protection information on the wire. Nobody sees
// them half done: a fence of their own orders them, so that their access_ stays `none`.
#include <algorithm>

#include "scsi/cdb_fields.h"
#include "scsi/protection_information.h"
#include "target/handlers_atomic.h"
#include "target/handlers_protection.h"

namespace olio::target {

using scsi::MediumAccess;
using scsi::protection_bytes;

namespace {

using P = DeviceServer::ProtectionHandlers;

// Apart from the phases of a write, which comes behind the reading.
constexpr std::uint8_t reading = 0x80;
constexpr std::uint8_t flushing = 0x81;

}  // namespace

Step P::behind_fence(Command& c, FenceKind kind, Step (*work)(Command&)) {
    if (c.decoded_.blocks == 0)
        return succeed(c);
    c.unit_->unit().raise_fence({{c.first_block_, c.end_block_}, kind}, [&c, work](FenceId fence) {
        c.fence_ = fence;
        if (c.abort_)
            end_aborted(c);
        else if (c.end_block_ > c.unit_->state().geometry.blocks)
            refuse(c, scsi::make_sense(scsi::sense::logical_block_address_out_of_range));
        else
            drive(c, work(c));
    });
    return Step::waiting;
}

// --- WRITE ATOMIC ---

bool P::prepare_write_atomic(Command& c) {
    if (!AtomicHandlers::prepare_write_atomic(c) || !prepare_write(c))
        return false;
    c.access_ = MediumAccess::none;
    return true;
}

Step P::execute_write_atomic(Command& c) {
    return behind_fence(c, FenceKind::unseen, execute_write);
}

// --- ORWRITE ---

bool P::prepare_orwrite(Command& c) {
    if (!AtomicHandlers::check_orwrite(c) || !prepare_write(c))
        return false;
    c.access_ = MediumAccess::none;
    c.buffer_bytes_ = static_cast<std::uint32_t>(layout_of(c, c.decoded_.blocks).end);
    return true;
}

Step P::execute_orwrite(Command& c) {
    return AtomicHandlers::order_orwrite(c, start_orwrite);
}

Step P::start_orwrite(Command& c) {
    c.phase_ = reading;
    return next_orwrite(c);
}

Step P::next_orwrite(Command& c) {
    const Layout layout = layout_of(c, data_out_blocks(c));
    const auto blocks = std::min<std::uint64_t>(
        {c.decoded_.blocks - c.done_blocks_, layout.chunk_blocks, maximum_step_blocks(c)});
    const MutableBytes buffer = c.buffer_.bytes(c.buffer_bytes_);
    ask_store(c, StoreOpcode::read, c.decoded_.lba + c.done_blocks_, blocks,
              buffer.subspan(layout.staging, blocks * layout.block_bytes));
    c.io_.protection = buffer.subspan(layout.staged_tuples, blocks * protection_bytes);
    c.io_.expectation = expected(c, protect(c).medium).after(c.done_blocks_);
    return Step::submit;
}

// The blocks get new guards; the other tags are those that the host has sent.
Step P::resume_orwrite(Command& c) {
    if (c.phase_ == flushing)
        return AtomicHandlers::written(c);
    c.done_blocks_ += c.step_blocks_;
    const bool more = c.done_blocks_ < c.decoded_.blocks;
    if (c.phase_ != reading) {
        if (more)
            return next_write(c);
        c.phase_ = flushing;
        return ask_flush(c) ? Step::submit : AtomicHandlers::written(c);
    }
    const Layout layout = layout_of(c, data_out_blocks(c));
    const std::size_t first = (c.done_blocks_ - c.step_blocks_) * layout.block_bytes;
    AtomicHandlers::combine(c, c.data_out.subspan(first, c.io_.data.size()), c.io_.data);
    if (more)
        return next_orwrite(c);
    scsi::renew_guards(c.data_out.first(c.decoded_.blocks * layout.block_bytes),
                       tuples_of(c, layout, 0, c.decoded_.blocks), layout.block_bytes);
    c.done_blocks_ = 0;
    return execute_write(c);
}

// --- COMPARE AND WRITE (SBC-4 5.3) ---

// Two instances of the blocks come, each block with its tuple. The tuples of the first are not
// used, and those of the second are checked only when the comparison has found no difference.
bool P::prepare_compare_and_write(Command& c) {
    if (!begin(c, MediumAccess::none))
        return false;
    c.fua_ = scsi::decode_cache_fields(c.cdb).force_unit_access;
    c.check_ = scsi::ByteCheck::compare;
    const std::uint64_t sent = data_out_blocks(c);
    c.transfer_bytes_ = static_cast<std::uint32_t>(sent * layout_of(c, sent).wire_bytes);
    c.buffer_bytes_ = static_cast<std::uint32_t>(layout_of(c, sent).end);
    return true;
}

bool P::parse_compare_and_write(Command& c) {
    const std::uint64_t sent = data_out_blocks(c);
    const Layout layout = layout_of(c, sent);
    if (sent != 0)
        scsi::separate(c.data_out, tuples_of(c, layout, 0, sent), layout.block_bytes);
    return true;
}

Step P::execute_compare_and_write(Command& c) {
    return behind_fence(c, FenceKind::exclusive, start_compare);
}

Step P::start_compare(Command& c) {
    c.phase_ = reading;
    return next_compare(c);
}

// What is read is checked as for a PROTECT field of 000b: the standard names no other way.
Step P::next_compare(Command& c) {
    const Layout layout = layout_of(c, data_out_blocks(c));
    const auto blocks = std::min<std::uint64_t>(
        {c.decoded_.blocks - c.done_blocks_, layout.chunk_blocks, maximum_step_blocks(c)});
    ask_store(
        c, StoreOpcode::read, c.decoded_.lba + c.done_blocks_, blocks,
        c.buffer_.bytes(c.buffer_bytes_).subspan(layout.staging, blocks * layout.block_bytes));
    return Step::submit;
}

Step P::resume_compare_and_write(Command& c) {
    if (c.phase_ != reading)
        return resume_write(c);
    const std::uint64_t blocks = c.decoded_.blocks;
    const Layout layout = layout_of(c, data_out_blocks(c));
    if (!compare_blocks(c, layout))
        return Step::waiting;
    c.done_blocks_ += c.step_blocks_;
    if (c.done_blocks_ < blocks)
        return next_compare(c);
    const Bytes instance =
        c.data_out.subspan(blocks * layout.block_bytes, blocks * layout.block_bytes);
    if (const auto failure =
            scsi::check_protection(instance, tuples_of(c, layout, blocks, blocks),
                                   layout.block_bytes, expected(c, protect(c).data_out)))
        return refuse(c, scsi::protection_sense(failure->tag, c.decoded_.lba + failure->block));
    c.done_blocks_ = 0;
    return execute_write(c);
}

}  // namespace olio::target
