#include "target/handlers_protection.h"

#include <algorithm>
#include <cstring>

#include "scsi/cdb_fields.h"
#include "scsi/format.h"
#include "scsi/protection_information.h"

namespace olio::target {

using scsi::MediumAccess;
using scsi::Operation;
using scsi::protection_bytes;

namespace {

using P = DeviceServer::ProtectionHandlers;

constexpr std::uint64_t chunk_bytes = 256 << 10;  // read at a time

enum ReadPhase : std::uint8_t { read_start, read_flush, read_blocks };
enum WritePhase : std::uint8_t { write_start, write_data, write_flush, write_verify };
enum SamePhase : std::uint8_t { same_start, same_zeroes, same_pattern, same_flush };

}  // namespace

// --- What all have in common ---

const scsi::ProtectRow& P::protect(const Command& c) {
    const std::uint8_t field = scsi::protect_field_of(*c.row_, c.cdb);
    switch (c.handler_->operation) {
        case Operation::protected_read:
            return scsi::rdprotect_table[field];
        case Operation::protected_verify:
            return scsi::vrprotect_table[field];
        case Operation::protected_orwrite:
            return scsi::orprotect_table[field];
        default:
            return scsi::wrprotect_table[field];
    }
}

bool P::begin(Command& c, MediumAccess access) {
    if (const auto taken = scsi::check_protect_field(*c.row_, c.cdb, c.unit_->state()); !taken) {
        refuse(c, taken.error());
        return false;
    }
    c.access_ = access;
    c.first_block_ = c.decoded_.lba;
    c.end_block_ = c.decoded_.lba + c.decoded_.blocks;
    return true;
}

scsi::ProtectionExpectation P::expected(const Command& c, scsi::TagSet tags) {
    return scsi::expectations(*c.row_, c.cdb, c.unit_->state(), tags, c.decoded_.lba);
}

// Blocks of data-out, as the host sends them.
std::uint64_t P::data_out_blocks(const Command& c) {
    switch (c.handler_->operation) {
        case Operation::protected_read:
            return 0;
        case Operation::protected_verify:
            return scsi::verify_data_blocks(c.check_, c.decoded_.blocks);
        case Operation::protected_compare_and_write:
            return 2 * c.decoded_.blocks;
        default:
            return c.decoded_.blocks;
    }
}

P::Layout P::layout_of(const Command& c, std::uint64_t data_out_blocks) {
    Layout layout;
    layout.block_bytes = c.unit_->block_bytes();
    layout.transferred = protect(c).transferred;
    layout.wire_bytes = layout.block_bytes + (layout.transferred ? protection_bytes : 0);
    layout.tuples = c.transfer_bytes_;
    layout.staging = layout.tuples + (layout.transferred ? data_out_blocks * protection_bytes : 0);
    layout.chunk_blocks = static_cast<std::size_t>(
        std::min<std::uint64_t>(c.decoded_.blocks, chunk_bytes / layout.block_bytes));
    layout.staged_tuples = layout.staging + layout.chunk_blocks * layout.block_bytes;
    layout.end = layout.staged_tuples + layout.chunk_blocks * protection_bytes;
    return layout;
}

MutableBytes P::tuples_of(Command& c, const Layout& layout, std::uint64_t block,
                          std::uint64_t blocks) {
    return c.buffer_.bytes(c.buffer_bytes_)
        .subspan(layout.tuples + block * protection_bytes, blocks * protection_bytes);
}

// Data-out is there: checks its tuples and moves them behind the data.
bool P::take_apart(Command& c, std::uint64_t blocks) {
    const Layout layout = layout_of(c, blocks);
    if (!layout.transferred || blocks == 0)
        return true;
    if (const auto failure = scsi::check_interleaved(c.data_out, layout.block_bytes,
                                                     expected(c, protect(c).data_out))) {
        refuse(c, scsi::protection_sense(failure->tag, c.decoded_.lba + failure->block));
        return false;
    }
    scsi::separate(c.data_out, tuples_of(c, layout, 0, blocks), layout.block_bytes);
    return true;
}

// --- READ ---

bool P::prepare_read(Command& c) {
    if (!begin(c, MediumAccess::reads))
        return false;
    c.fua_ = scsi::decode_cache_fields(c.cdb).force_unit_access;
    c.transfer_bytes_ = static_cast<std::uint32_t>(c.decoded_.blocks * layout_of(c, 0).wire_bytes);
    c.buffer_bytes_ = static_cast<std::uint32_t>(layout_of(c, 0).end);
    return true;
}

Step P::execute_read(Command& c) {
    if (c.transfer_bytes_ == 0)
        return succeed_with_data(c, 0);
    if (c.phase_ == read_start) {
        ++c.unit_->traffic.read_commands;
        c.unit_->traffic.read_bytes += c.decoded_.blocks * c.unit_->block_bytes();
        if (c.fua_ && c.unit_->capabilities().volatile_cache &&
            c.unit_->state().mode_pages.write_cache_enabled) {
            c.phase_ = read_flush;
            ask_store(c, StoreOpcode::flush, c.decoded_.lba, c.decoded_.blocks, {});
            return Step::submit;
        }
        c.phase_ = read_blocks;
    }
    return next_read(c);
}

Step P::next_read(Command& c) {
    if (!obtain_buffer(c, c.buffer_bytes_))
        return Step::waiting;
    const Layout layout = layout_of(c, 0);
    const auto blocks = std::min<std::uint64_t>(
        {c.decoded_.blocks - c.done_blocks_, layout.chunk_blocks, maximum_step_blocks(c)});
    const MutableBytes buffer = c.buffer_.bytes(c.buffer_bytes_);
    const std::size_t at =
        layout.transferred ? layout.staging : c.done_blocks_ * layout.block_bytes;
    ask_store(c, StoreOpcode::read, c.decoded_.lba + c.done_blocks_, blocks,
              buffer.subspan(at, blocks * layout.block_bytes));
    c.io_.protection = buffer.subspan(layout.staged_tuples, blocks * protection_bytes);
    c.io_.expectation = expected(c, protect(c).medium).after(c.done_blocks_);
    return Step::submit;
}

Step P::resume_read(Command& c) {
    if (c.phase_ == read_flush) {
        c.phase_ = read_blocks;
        return next_read(c);
    }
    const Layout layout = layout_of(c, 0);
    if (layout.transferred)
        scsi::interleave(
            c.io_.data, c.io_.protection, layout.block_bytes,
            c.buffer_.bytes(c.buffer_bytes_)
                .subspan(c.done_blocks_ * layout.wire_bytes, c.step_blocks_ * layout.wire_bytes));
    c.done_blocks_ += c.step_blocks_;
    if (c.done_blocks_ < c.decoded_.blocks)
        return next_read(c);
    c.data_in_[0] = {c.buffer_.data(), c.transfer_bytes_};
    c.data_in_count_ = 1;
    return succeed_with_data(c, c.transfer_bytes_);
}

// --- WRITE ---

bool P::prepare_write(Command& c) {
    if (!begin(c, MediumAccess::writes))
        return false;
    c.fua_ = scsi::decode_cache_fields(c.cdb).force_unit_access;
    c.transfer_bytes_ = static_cast<std::uint32_t>(c.decoded_.blocks * layout_of(c, 0).wire_bytes);
    c.buffer_bytes_ = static_cast<std::uint32_t>(layout_of(c, c.decoded_.blocks).staging);
    return true;
}

bool P::parse_write(Command& c) {
    return take_apart(c, c.decoded_.blocks);
}

Step P::execute_write(Command& c) {
    if (c.transfer_bytes_ == 0)
        return succeed(c);
    ++c.unit_->traffic.write_commands;
    c.unit_->traffic.write_bytes += c.decoded_.blocks * c.unit_->block_bytes();
    c.phase_ = write_data;
    c.fua_ = write_must_be_durable(c);
    return next_write(c);
}

// What is written is the last of what the host has sent.
Step P::next_write(Command& c) {
    const std::uint64_t sent = data_out_blocks(c);
    const Layout layout = layout_of(c, sent);
    const auto blocks =
        std::min<std::uint64_t>(c.decoded_.blocks - c.done_blocks_, maximum_step_blocks(c));
    const std::uint64_t first = sent - c.decoded_.blocks + c.done_blocks_;
    ask_write(c, StoreOpcode::write, c.decoded_.lba + c.done_blocks_, blocks,
              c.data_out.subspan(first * layout.block_bytes, blocks * layout.block_bytes));
    if (layout.transferred)
        c.io_.protection = tuples_of(c, layout, first, blocks);
    return Step::submit;
}

Step P::resume_write(Command& c) {
    if (c.phase_ == write_flush)
        return succeed(c);
    c.done_blocks_ += c.step_blocks_;
    if (c.done_blocks_ < c.decoded_.blocks)
        return next_write(c);
    return finish_write(c, write_flush);
}

// --- WRITE AND VERIFY ---

bool P::prepare_write_and_verify(Command& c) {
    const auto fields = scsi::decode_verify(c.cdb);
    if (!fields) {
        refuse(c, fields.error());
        return false;
    }
    if (!prepare_write(c))
        return false;
    c.check_ = fields->byte_check;
    c.fua_ = true;  // what is verified must be on the medium
    c.buffer_bytes_ = static_cast<std::uint32_t>(layout_of(c, c.decoded_.blocks).end);
    return true;
}

Step P::execute_write_and_verify(Command& c) {
    return execute_write(c);
}

Step P::resume_write_and_verify(Command& c) {
    if (c.phase_ == write_verify)
        return resume_verify(c);
    if (c.phase_ == write_data) {
        c.done_blocks_ += c.step_blocks_;
        if (c.done_blocks_ < c.decoded_.blocks)
            return next_write(c);
        c.phase_ = write_flush;
        if (ask_flush(c))
            return Step::submit;
    }
    c.phase_ = write_verify;
    c.done_blocks_ = 0;
    return next_verify(c);
}

// --- VERIFY ---

bool P::prepare_verify(Command& c) {
    const auto fields = scsi::decode_verify(c.cdb);
    if (!fields) {
        refuse(c, fields.error());
        return false;
    }
    if (!begin(c, MediumAccess::reads))
        return false;
    c.check_ = fields->byte_check;
    const std::uint64_t blocks = data_out_blocks(c);
    c.transfer_bytes_ = static_cast<std::uint32_t>(blocks * layout_of(c, 0).wire_bytes);
    c.buffer_bytes_ = static_cast<std::uint32_t>(layout_of(c, blocks).end);
    return true;
}

bool P::parse_verify(Command& c) {
    return take_apart(c, data_out_blocks(c));
}

Step P::execute_verify(Command& c) {
    if (c.decoded_.blocks == 0)
        return succeed(c);
    if (!obtain_buffer(c, c.buffer_bytes_))
        return Step::waiting;
    return next_verify(c);
}

Step P::next_verify(Command& c) {
    const Layout layout = layout_of(c, data_out_blocks(c));
    const scsi::ProtectRow& row = scsi::vrprotect_table[scsi::protect_field_of(*c.row_, c.cdb)];
    const bool compares = c.check_ != scsi::ByteCheck::medium_only;
    const auto blocks = std::min<std::uint64_t>(
        {c.decoded_.blocks - c.done_blocks_, layout.chunk_blocks, maximum_step_blocks(c)});
    const MutableBytes buffer = c.buffer_.bytes(c.buffer_bytes_);
    ask_store(c, StoreOpcode::read, c.decoded_.lba + c.done_blocks_, blocks,
              buffer.subspan(layout.staging, blocks * layout.block_bytes));
    c.io_.protection = buffer.subspan(layout.staged_tuples, blocks * protection_bytes);
    c.io_.expectation =
        expected(c, compares ? row.medium_compared : row.medium).after(c.done_blocks_);
    return Step::submit;
}

// False: the command has ended with MISCOMPARE. The offset in INFORMATION is one in data-out as the
// host has sent it.
bool P::compare_blocks(Command& c, const Layout& layout) {
    const bool one = c.check_ == scsi::ByteCheck::compare_one;
    const Bytes found = c.io_.data;
    for (std::size_t block = 0; block < c.step_blocks_; ++block) {
        const std::size_t sent = one ? 0 : c.done_blocks_ + block;
        const Bytes a = c.data_out.subspan(sent * layout.block_bytes, layout.block_bytes);
        const Bytes b = found.subspan(block * layout.block_bytes, layout.block_bytes);
        if (std::memcmp(a.data(), b.data(), a.size()) == 0)
            continue;
        const auto same = static_cast<std::size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
        refuse(c, scsi::make_sense_at(scsi::sense::miscompare_during_verify,
                                      sent * layout.wire_bytes + same));
        return false;
    }
    return true;
}

bool P::compare_step(Command& c) {
    const Layout layout = layout_of(c, data_out_blocks(c));
    return compare_blocks(c, layout) && (!layout.transferred || compare_tuples(c, layout));
}

bool P::compare_tuples(Command& c, const Layout& layout) {
    const scsi::LogicalUnitState& state = c.unit_->state();
    const scsi::ProtectRow& row = scsi::vrprotect_table[scsi::protect_field_of(*c.row_, c.cdb)];
    const scsi::TagSet tags = scsi::compared_tags(row.compared, state);
    for (std::size_t block = 0; block < c.step_blocks_; ++block) {
        const std::uint64_t number = c.done_blocks_ + block;
        std::array<std::uint8_t, protection_bytes> sent{};
        if (c.check_ == scsi::ByteCheck::compare_one) {
            scsi::ProtectionTuple tuple = scsi::load_tuple(tuples_of(c, layout, 0, 1).data());
            if (state.protection.type != 3)
                tuple.reference += static_cast<std::uint32_t>(number);
            scsi::store_tuple(tuple, sent.data());
        } else {
            std::ranges::copy(tuples_of(c, layout, number, 1), sent.begin());
        }
        const auto failure = scsi::compare_protection(
            sent, c.io_.protection.subspan(block * protection_bytes, protection_bytes), tags,
            state.protection.type);
        if (!failure)
            continue;
        refuse(c, scsi::protection_miscompare(failure->tag, c.decoded_.lba + number));
        return false;
    }
    return true;
}

Step P::resume_verify(Command& c) {
    if (c.check_ != scsi::ByteCheck::medium_only && !compare_step(c))
        return Step::waiting;
    c.done_blocks_ += c.step_blocks_;
    return c.done_blocks_ < c.decoded_.blocks ? next_verify(c) : succeed(c);
}

// --- WRITE SAME ---

// In its buffer: room for chunk_blocks blocks of the pattern, into whose first the data-out comes;
// behind, one tuple more than the pattern has blocks, since data-out brings one.
bool P::prepare_write_same(Command& c) {
    const scsi::NexusState nexus = static_cast<const ITNexusImpl&>(c.nexus()).state();
    const auto fields = scsi::decode_write_same(request_of(c, &c.unit_->state(), nexus));
    if (!fields) {
        refuse(c, fields.error());
        return false;
    }
    if (!begin(c, MediumAccess::writes))
        return false;
    c.unmap_ = fields->unmap;
    c.anchor_ = fields->anchor;
    const Layout layout = layout_of(c, 0);
    c.transfer_bytes_ =
        static_cast<std::uint32_t>(scsi::write_same_data_blocks(*fields) * layout.wire_bytes);
    c.buffer_bytes_ = static_cast<std::uint32_t>(
        layout.chunk_blocks * (layout.block_bytes + protection_bytes) + protection_bytes);
    return true;
}

// The tuple moves into the cursor: the pattern will cover where it lies.
bool P::parse_write_same(Command& c) {
    const Layout layout = layout_of(c, 0);
    if (!layout.transferred)
        return true;
    if (const auto failure = scsi::check_interleaved(c.data_out, layout.block_bytes,
                                                     expected(c, protect(c).data_out))) {
        refuse(c, scsi::protection_sense(failure->tag, c.decoded_.lba));
        return false;
    }
    c.cursor_ = load_be<std::uint64_t>(c.data_out.data() + layout.block_bytes);
    return true;
}

Step P::execute_write_same(Command& c) {
    const Layout layout = layout_of(c, 0);
    const bool sent = c.transfer_bytes_ != 0;
    if (c.phase_ == same_start) {
        ++c.unit_->traffic.write_commands;
        c.unit_->traffic.write_bytes += c.decoded_.blocks * layout.block_bytes;
        c.fua_ = write_must_be_durable(c);
        const Bytes block = sent ? c.data_out.first(layout.block_bytes) : MutableBytes{};
        const bool zeros = std::ranges::all_of(block, [](std::uint8_t byte) { return byte == 0; });
        const bool native = c.unit_->capabilities().write_zeroes == Support::native;
        // Unmapped blocks lose their tuples; others get those that were sent.
        const bool no_tuples = c.unmap_ || !sent || !layout.transferred;
        c.phase_ = zeros && native && no_tuples ? same_zeroes : same_pattern;
    }
    if (c.phase_ == same_pattern) {
        if (!obtain_buffer(c, c.buffer_bytes_))
            return Step::waiting;
        const MutableBytes pattern = c.buffer_.bytes(layout.chunk_blocks * layout.block_bytes);
        if (!sent)
            std::memset(pattern.data(), 0, pattern.size());
        else
            scsi::repeat_block(pattern.first(layout.block_bytes), pattern);
    }
    return next_write_same(c);
}

Step P::next_write_same(Command& c) {
    const Layout layout = layout_of(c, 0);
    const std::uint64_t left = c.decoded_.blocks - c.done_blocks_;
    const std::uint64_t at = c.decoded_.lba + c.done_blocks_;
    if (c.phase_ == same_zeroes) {
        ask_write(c, StoreOpcode::write_zeroes, at, left, {});
        c.io_.may_unmap = c.unmap_;
        c.io_.anchor = c.anchor_;
    } else {
        const auto blocks =
            std::min<std::uint64_t>({left, layout.chunk_blocks, maximum_step_blocks(c)});
        const MutableBytes buffer = c.buffer_.bytes(c.buffer_bytes_);
        ask_write(c, StoreOpcode::write, at, blocks, buffer.first(blocks * layout.block_bytes));
        if (layout.transferred && c.transfer_bytes_ != 0) {
            const MutableBytes tuples =
                buffer.subspan(layout.chunk_blocks * layout.block_bytes + protection_bytes,
                               blocks * protection_bytes);
            std::array<std::uint8_t, protection_bytes> sent{};
            store_be(sent.data(), c.cursor_);
            scsi::ProtectionTuple first = scsi::load_tuple(sent.data());
            const std::uint8_t type = c.unit_->state().protection.type;
            if (type != 3)
                first.reference += static_cast<std::uint32_t>(c.done_blocks_);
            scsi::repeat_tuple(first, type, tuples);
            c.io_.protection = tuples;
        }
    }
    return Step::submit;
}

Step P::resume_write_same(Command& c) {
    if (c.phase_ == same_flush)
        return succeed(c);
    c.done_blocks_ += c.step_blocks_;
    if (c.done_blocks_ < c.decoded_.blocks)
        return next_write_same(c);
    return finish_write(c, same_flush);
}

}  // namespace olio::target
