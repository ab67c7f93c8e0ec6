// UNMAP, WRITE SAME and GET LBA STATUS.
#include <algorithm>
#include <cstring>
#include <new>

#include "base/limits.h"
#include "scsi/cdb_fields.h"
#include "scsi/format.h"
#include "scsi/lba_status.h"
#include "scsi/unmap_list.h"
#include "target/device_server.h"

namespace olio::target {

using scsi::LogicalUnitState;
using scsi::MediumAccess;

namespace {

// UNMAP: as many ranges as make_state() allows.
constexpr std::size_t most_ranges = limits::unmap_descriptors;
constexpr std::size_t ranges_bytes = most_ranges * sizeof(scsi::BlockRange);
std::size_t ranges_offset(std::size_t list_bytes) noexcept {
    constexpr std::size_t alignment = alignof(scsi::BlockRange);
    return (list_bytes + alignment - 1) / alignment * alignment;
}

constexpr std::uint64_t pattern_bytes = 1 << 20;  // WRITE SAME writes this much at a time
enum WriteSamePhase : std::uint8_t { same_start, same_zeroes, same_pattern, same_flush };

constexpr std::size_t most_extents = 1024;
constexpr std::size_t lba_status_header_bytes = 8;
constexpr std::size_t lba_status_descriptor_bytes = 16;
using Extent = scsi::LbaStatusExtent;

}  // namespace

// --- UNMAP (SBC-4 5.35) ---

bool DeviceServer::prepare_unmap(Command& c) {
    if (!prepare_parameters(c))
        return false;
    const scsi::NexusState nexus = static_cast<const ITNexusImpl&>(c.nexus()).state();
    const auto anchor = scsi::decode_unmap_anchor(request_of(c, &c.unit_->state(), nexus));
    if (!anchor) {
        refuse(c, anchor.error());
        return false;
    }
    c.anchor_ = *anchor;
    c.buffer_bytes_ = static_cast<std::uint32_t>(ranges_offset(c.transfer_bytes_) + ranges_bytes);
    return true;
}

// The ranges, decoded, lie behind the parameter list.
bool DeviceServer::parse_unmap(Command& c) {
    auto* const room =
        reinterpret_cast<scsi::BlockRange*>(c.buffer_.data() + ranges_offset(c.transfer_bytes_));
    const auto ranges = scsi::parse_unmap_list(c.data_out, c.unit_->state(), {room, most_ranges});
    if (!ranges) {
        refuse(c, ranges.error());
        return false;
    }
    c.items_ = static_cast<std::uint32_t>(ranges->size());
    if (ranges->empty())
        return true;
    c.access_ = MediumAccess::writes;
    c.first_block_ = ~std::uint64_t{0};
    for (const scsi::BlockRange& range : *ranges) {
        c.first_block_ = std::min(c.first_block_, range.lba);
        c.end_block_ = std::max(c.end_block_, range.lba + range.blocks);
    }
    return true;
}

Step DeviceServer::execute_unmap(Command& c) {
    if (c.access_ == MediumAccess::none)
        return succeed(c);
    return next_unmap(c);
}

// Whole units of the store's granularity are given up. What is left at the ends of a range becomes
// zeros where unmapped blocks read as zeros, so that the host sees the same everywhere; else it
// stays.
Step DeviceServer::next_unmap(Command& c) {
    const StoreCapabilities& store = c.unit_->capabilities();
    const std::uint64_t unit = std::max(store.unmap_granularity_blocks, 1u);
    const std::uint64_t shift = unit - store.unmap_alignment_blocks % unit;
    const bool zero_ends = store.unmapped_reads_zeros && store.write_zeroes == Support::native;
    const auto* const ranges = reinterpret_cast<const scsi::BlockRange*>(
        c.buffer_.data() + ranges_offset(c.transfer_bytes_));
    while (c.cursor_ < c.items_) {
        const auto [lba, blocks] = ranges[c.cursor_];
        if (c.done_blocks_ == blocks) {
            ++c.cursor_;
            c.done_blocks_ = 0;
            continue;
        }
        const std::uint64_t at = lba + c.done_blocks_;
        const std::uint64_t end = lba + blocks;
        const std::uint64_t past = (at + shift) % unit;
        const std::uint64_t start = past == 0 ? at : std::min(at + (unit - past), end);
        const std::uint64_t tail = std::min((end + shift) % unit, end - at);
        StoreOpcode opcode = StoreOpcode::write_zeroes;
        std::uint64_t piece = start - at;
        if (start == at) {
            piece = end - at - tail;
            if (store.maximum_unmap_blocks != 0)
                piece = std::min(
                    piece, std::max(store.maximum_unmap_blocks / unit, std::uint64_t{1}) * unit);
            opcode = piece != 0 ? StoreOpcode::unmap : StoreOpcode::write_zeroes;
            piece = piece != 0 ? piece : tail;
        }
        c.done_blocks_ += piece;
        if (opcode == StoreOpcode::write_zeroes && !zero_ends)
            continue;
        ask_store(c, opcode, at, piece, {});
        c.io_.anchor = c.anchor_;
        return Step::submit;
    }
    return succeed(c);
}

Step DeviceServer::resume_unmap(Command& c) {
    return next_unmap(c);
}

// --- WRITE SAME (SBC-4 5.49, 5.50) ---

bool DeviceServer::prepare_write_same(Command& c) {
    const scsi::NexusState nexus = static_cast<const ITNexusImpl&>(c.nexus()).state();
    const auto fields = scsi::decode_write_same(request_of(c, &c.unit_->state(), nexus));
    if (!fields) {
        refuse(c, fields.error());
        return false;
    }
    c.unmap_ = fields->unmap;
    c.anchor_ = fields->anchor;
    c.access_ = MediumAccess::writes;
    c.first_block_ = c.decoded_.lba;
    c.end_block_ = c.decoded_.lba + c.decoded_.blocks;
    const std::uint32_t block_bytes = c.unit_->block_bytes();
    c.transfer_bytes_ = scsi::write_same_data_blocks(*fields) * block_bytes;
    c.buffer_bytes_ = static_cast<std::uint32_t>(
        std::min(c.decoded_.blocks * std::uint64_t{block_bytes}, pattern_bytes));
    return true;
}

Step DeviceServer::execute_write_same(Command& c) {
    if (c.phase_ == same_start) {
        ++c.unit_->traffic.write_commands;
        c.unit_->traffic.write_bytes += c.decoded_.blocks * c.unit_->block_bytes();
        c.fua_ = write_must_be_durable(c);
        const bool zeros =
            std::ranges::all_of(c.data_out, [](std::uint8_t byte) { return byte == 0; });
        const bool native = c.unit_->capabilities().write_zeroes == Support::native;
        c.phase_ = zeros && native ? same_zeroes : same_pattern;
    }
    if (c.phase_ == same_pattern) {
        if (!obtain_buffer(c, c.buffer_bytes_))
            return Step::waiting;
        const std::size_t block_bytes = c.unit_->block_bytes();
        const MutableBytes pattern = c.buffer_.bytes(c.buffer_bytes_);
        if (c.transfer_bytes_ == 0)
            std::memset(pattern.data(), 0, pattern.size());
        else
            scsi::repeat_block(pattern.first(block_bytes), pattern);
    }
    return next_write_same(c);
}

Step DeviceServer::next_write_same(Command& c) {
    const std::uint64_t left = c.decoded_.blocks - c.done_blocks_;
    const std::uint64_t at = c.decoded_.lba + c.done_blocks_;
    if (c.phase_ == same_zeroes) {
        ask_write(c, StoreOpcode::write_zeroes, at, left, {});
        c.io_.may_unmap = c.unmap_;
        c.io_.anchor = c.anchor_;
    } else {
        const std::uint64_t block_bytes = c.unit_->block_bytes();
        const std::uint64_t blocks =
            std::min<std::uint64_t>({left, c.buffer_bytes_ / block_bytes, maximum_step_blocks(c)});
        ask_write(c, StoreOpcode::write, at, blocks, c.buffer_.bytes(blocks * block_bytes));
    }
    return Step::submit;
}

Step DeviceServer::resume_write_same(Command& c) {
    if (c.phase_ == same_flush)
        return succeed(c);
    c.done_blocks_ += c.step_blocks_;
    if (c.done_blocks_ < c.decoded_.blocks)
        return next_write_same(c);
    return finish_write(c, same_flush);
}

// --- GET LBA STATUS (SBC-4 5.8) ---

bool DeviceServer::prepare_get_lba_status(Command& c) {
    const auto fields = scsi::decode_lba_status(c.cdb);
    if (!fields) {
        refuse(c, fields.error());
        return false;
    }
    const std::uint64_t left = c.unit_->state().geometry.blocks - c.decoded_.lba;
    c.cursor_ = c.decoded_.lba +  // where the search ends
                (fields->scan_blocks == 0 ? left : std::min(left, fields->scan_blocks));
    return true;
}

// The buffer: first the extents found so far (items_ of them), then room for the parameter data.
Step DeviceServer::execute_get_lba_status(Command& c) {
    if (!obtain_buffer(c, most_extents * (sizeof(Extent) + lba_status_descriptor_bytes) +
                              lba_status_header_bytes))
        return Step::waiting;
    const LogicalUnitState& state = c.unit_->state();
    if (state.provisioning.unmap && c.unit_->capabilities().extent_status != Support::none)
        return next_lba_status(c);
    // Fully provisioned, or the store cannot tell.
    c.io_.mapped = true;
    c.io_.extent_blocks = state.geometry.blocks;
    return resume_get_lba_status(c);
}

Step DeviceServer::next_lba_status(Command& c) {
    const std::uint64_t at = c.decoded_.lba + c.done_blocks_;
    ask_store(c, StoreOpcode::extent_status, at, c.unit_->state().geometry.blocks - at, {});
    c.io_.mapped = true;
    c.io_.anchored = false;
    c.io_.extent_blocks = 0;
    return Step::submit;
}

Step DeviceServer::resume_get_lba_status(Command& c) {
    using scsi::LbaStatusEnd;
    using scsi::ProvisioningStatus;
    const std::uint64_t capacity = c.unit_->state().geometry.blocks;
    const std::uint64_t end = std::min(capacity, c.cursor_);
    const std::uint64_t at = c.decoded_.lba + c.done_blocks_;
    const LbaStatusEnd last =
        c.cursor_ < capacity ? LbaStatusEnd::scan_length : LbaStatusEnd::end_of_medium;
    if (at >= end)  // it has shrunk meanwhile
        return answer_lba_status(c, last);
    const std::uint64_t blocks = std::clamp<std::uint64_t>(c.io_.extent_blocks, 1, end - at);
    const auto status = c.io_.mapped     ? ProvisioningStatus::mapped
                        : c.io_.anchored ? ProvisioningStatus::anchored
                                         : ProvisioningStatus::deallocated;
    const std::size_t room = std::clamp<std::size_t>(
        (std::max<std::size_t>(c.decoded_.allocation_bytes, lba_status_header_bytes) -
         lba_status_header_bytes) /
            lba_status_descriptor_bytes,
        1, most_extents);
    auto* const extents = reinterpret_cast<Extent*>(c.buffer_.data());
    Extent* const before = c.items_ == 0 ? nullptr : &extents[c.items_ - 1];
    c.done_blocks_ += blocks;
    if (before != nullptr && before->status == status && before->lba + before->blocks == at) {
        before->blocks += blocks;
    } else if (scsi::wanted(scsi::decode_lba_status(c.cdb)->report, status)) {
        if (c.items_ == room)
            return answer_lba_status(c, LbaStatusEnd::allocation_length);
        ::new (extents + c.items_++) Extent{at, blocks, status};
    }
    return at + blocks < end ? next_lba_status(c) : answer_lba_status(c, last);
}

Step DeviceServer::answer_lba_status(Command& c, scsi::LbaStatusEnd end) {
    constexpr std::size_t offset = most_extents * sizeof(Extent);
    const auto* const extents = reinterpret_cast<const Extent*>(c.buffer_.data());
    const MutableBytes room =
        c.buffer_
            .bytes(offset + lba_status_header_bytes + most_extents * lba_status_descriptor_bytes)
            .subspan(offset);
    return answer_with(
        c, room, [&](Builder& into) { scsi::put_lba_status({extents, c.items_}, end, into); });
}

}  // namespace olio::target
