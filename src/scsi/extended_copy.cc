#include "scsi/extended_copy.h"

#include <algorithm>

#include "base/limits.h"
#include "scsi/logical_unit_state.h"
#include "scsi/sense_codes.h"

namespace olio::scsi {

namespace {

constexpr std::size_t lid1_header_bytes = 16;
constexpr std::size_t lid4_header_bytes = 48;
constexpr std::size_t cscd_bytes = 32;
constexpr std::size_t segment_header_bytes = 4;
constexpr std::uint8_t identification_descriptor = 0xE4;

// How long a segment descriptor of each type is, with its header.
struct SegmentShape {
    SegmentType type;
    std::uint8_t bytes;
};
constexpr std::array<SegmentShape, 4> segment_shapes{{
    {SegmentType::block_to_block, 28},
    {SegmentType::verify_device, 12},
    {SegmentType::block_to_block_bytes, 32},
    {SegmentType::block_to_block_hold, 28},
}};

constexpr std::size_t longest_list_bytes =
    limits::copy_cscd_descriptors * cscd_bytes + limits::copy_segment_descriptors * 32;

std::unexpected<SenseData> refused(Condition condition) {
    return std::unexpected(make_sense(condition));
}

std::unexpected<SenseData> wrong_at(std::size_t byte,
                                    std::optional<std::uint8_t> bit = std::nullopt) {
    return std::unexpected(invalid_field_in_parameter_list(static_cast<std::uint16_t>(byte), bit));
}

std::unexpected<SenseData> wrong_at(Condition condition, std::size_t byte) {
    SenseData data = make_sense(condition);
    data.field = FieldPointer{false, static_cast<std::uint16_t>(byte), std::nullopt};
    return std::unexpected(data);
}

// Where the parts of a list stand, whichever form it has.
struct Parts {
    std::size_t header_bytes = 0;
    std::uint64_t cscd_list_bytes = 0;
    std::uint64_t segment_list_bytes = 0;
    std::uint64_t inline_bytes = 0;
    std::size_t cscd_length_byte = 0;  // the field that says how long the CSCD descriptors are
};

std::expected<ListIdUsage, SenseData> list_id_usage(std::uint8_t flags, std::uint32_t list_id,
                                                    std::size_t list_id_byte) {
    const auto usage = static_cast<std::uint8_t>(flags >> 3 & 3);
    if (usage == 1)
        return wrong_at(1, 4);
    if (usage == static_cast<std::uint8_t>(ListIdUsage::unnamed) && list_id != 0)
        return wrong_at(list_id_byte);
    return static_cast<ListIdUsage>(usage);
}

std::expected<CscdDescriptor, SenseData> parse_cscd(Bytes list, std::size_t at) {
    const std::uint8_t* const from = list.data() + at;
    if (from[0] != identification_descriptor)
        return wrong_at(sense::unsupported_target_descriptor_type_code, at);
    CscdDescriptor cscd;
    cscd.byte = static_cast<std::uint16_t>(at);
    cscd.device_type = from[1] & 0x1F;
    cscd.code_set = from[4] & 0x0F;
    cscd.association = from[5] >> 4 & 3;
    cscd.designator_type = from[5] & 0x0F;
    cscd.designator_bytes = from[7];
    if (cscd.designator_bytes > cscd.designator.size())
        return wrong_at(at + 7);
    std::copy_n(from + 8, cscd.designator.size(), cscd.designator.begin());
    cscd.pad = (from[28] & 0x04) != 0;
    cscd.block_bytes = load_be24(from + 29);
    return cscd;
}

SegmentDescriptor parse_segment(Bytes descriptor, std::size_t at) {
    const std::uint8_t* const from = descriptor.data();
    SegmentDescriptor segment;
    segment.type = static_cast<SegmentType>(from[0]);
    segment.byte = static_cast<std::uint16_t>(at);
    segment.concatenate = (from[1] & 0x01) != 0;
    segment.source = load_be<std::uint16_t>(from + 4);
    if (segment.type == SegmentType::verify_device) {
        segment.test_unit_ready = (from[8] & 0x01) != 0;
        return segment;
    }
    segment.destination = load_be<std::uint16_t>(from + 6);
    segment.source_lba = load_be<std::uint64_t>(from + 12);
    segment.destination_lba = load_be<std::uint64_t>(from + 20);
    if (segment.type == SegmentType::block_to_block_bytes) {
        segment.count = load_be<std::uint32_t>(from + 8);
        segment.source_offset = load_be<std::uint16_t>(from + 28);
        segment.destination_offset = load_be<std::uint16_t>(from + 30);
    } else {
        segment.count = load_be<std::uint16_t>(from + 10);
        segment.destination_counts = (from[1] & 0x02) != 0;
    }
    return segment;
}

// How many descriptors the lengths in their headers make of the list; the first that does not fit
// is an error.
std::expected<std::size_t, SenseData> count_segments(Bytes segments) {
    std::size_t count = 0;
    for (std::size_t at = 0; at < segments.size(); ++count) {
        if (segments.size() - at < segment_header_bytes)
            return refused(sense::parameter_list_length_error);
        const std::size_t bytes =
            segment_header_bytes + load_be<std::uint16_t>(segments.data() + at + 2);
        if (segments.size() - at < bytes)
            return refused(sense::parameter_list_length_error);
        at += bytes;
    }
    return count;
}

std::expected<void, SenseData> parse_segments(Bytes list, const Parts& parts,
                                              ExtendedCopyList& into) {
    const auto first = static_cast<std::size_t>(parts.header_bytes + parts.cscd_list_bytes);
    const auto all = list.subspan(first, static_cast<std::size_t>(parts.segment_list_bytes));
    const auto count = count_segments(all);
    if (!count)
        return std::unexpected(count.error());
    if (*count > limits::copy_segment_descriptors)
        return refused(sense::too_many_segment_descriptors);
    for (std::size_t at = 0; at < all.size();) {
        const std::size_t bytes =
            segment_header_bytes + load_be<std::uint16_t>(all.data() + at + 2);
        const auto shape =
            std::ranges::find_if(segment_shapes, [type = all[at]](const SegmentShape& known) {
                return static_cast<std::uint8_t>(known.type) == type;
            });
        if (shape == segment_shapes.end())
            return wrong_at(sense::unsupported_segment_descriptor_type_code, first + at);
        if (bytes != shape->bytes)
            return wrong_at(first + at + 2);
        into.segments.push_back(parse_segment(all.subspan(at, bytes), first + at));
        at += bytes;
    }
    return {};
}

std::expected<void, SenseData> parse_descriptors(Bytes list, const Parts& parts,
                                                 ExtendedCopyList& into) {
    // 32-bit fields at most: the sums fit.
    const std::uint64_t descriptors = parts.cscd_list_bytes + parts.segment_list_bytes;
    if (descriptors > longest_list_bytes ||
        list.size() < parts.header_bytes + descriptors + parts.inline_bytes)
        return refused(sense::parameter_list_length_error);
    if (parts.inline_bytes > 0)
        return refused(sense::inline_data_length_exceeded);
    if (parts.cscd_list_bytes % cscd_bytes != 0)
        return wrong_at(parts.cscd_length_byte);
    if (parts.cscd_list_bytes / cscd_bytes > limits::copy_cscd_descriptors)
        return refused(sense::too_many_target_descriptors);
    for (std::size_t at = 0; at < parts.cscd_list_bytes; at += cscd_bytes) {
        auto cscd = parse_cscd(list, parts.header_bytes + at);
        if (!cscd)
            return std::unexpected(cscd.error());
        into.descriptors.push_back(*cscd);
    }
    return parse_segments(list, parts, into);
}

}  // namespace

bool names(const CscdDescriptor& descriptor, const Identification& who) noexcept {
    constexpr std::uint8_t binary = 1;
    constexpr std::uint8_t naa = 3;
    return descriptor.code_set == binary && descriptor.association == 0 &&
           descriptor.designator_type == naa && descriptor.designator_bytes == who.naa.size() &&
           std::equal(who.naa.begin(), who.naa.end(), descriptor.designator.begin());
}

void put_cscd_descriptor(const Identification& who, std::uint32_t block_bytes, Builder& into) {
    into.u8(identification_descriptor);
    into.zeros(3);
    into.u8(0x01);  // CODE SET: binary
    into.u8(0x03);  // DESIGNATOR TYPE: NAA, of the logical unit
    into.u8(0);
    into.u8(static_cast<std::uint8_t>(who.naa.size()));
    into.bytes(who.naa);
    into.zeros(4);
    into.u8(0);
    into.be24(block_bytes);
}

ParsedCopyList parse_extended_copy_lid1(Bytes list) {
    ExtendedCopyList parsed;
    if (list.empty())
        return parsed;
    if (list.size() < lid1_header_bytes)
        return refused(sense::parameter_list_length_error);
    const std::uint8_t* const from = list.data();
    parsed.list_id = from[0];
    const Parts parts{.header_bytes = lid1_header_bytes,
                      .cscd_list_bytes = load_be<std::uint16_t>(from + 2),
                      .segment_list_bytes = load_be<std::uint32_t>(from + 8),
                      .inline_bytes = load_be<std::uint32_t>(from + 12),
                      .cscd_length_byte = 2};
    const auto usage = list_id_usage(from[1], parsed.list_id, 0);
    if (!usage)
        return std::unexpected(usage.error());
    parsed.usage = *usage;
    if (auto good = parse_descriptors(list, parts, parsed); !good)
        return std::unexpected(good.error());
    return parsed;
}

ParsedCopyList parse_extended_copy_lid4(Bytes list) {
    constexpr std::uint8_t list_format = 0x01;
    constexpr std::uint8_t header_descriptor = 0xFF;
    constexpr std::uint8_t immediate = 0x01;
    constexpr std::uint8_t sense_with_good = 0x02;  // G_SENSE
    ExtendedCopyList parsed;
    if (list.empty())
        return parsed;
    if (list.size() < lid4_header_bytes)
        return refused(sense::parameter_list_length_error);
    const std::uint8_t* const from = list.data();
    if (from[0] != list_format)
        return wrong_at(0);
    if (load_be<std::uint16_t>(from + 2) != cscd_bytes)
        return wrong_at(2);
    if (from[16] != header_descriptor)
        return wrong_at(16);
    if ((from[15] & sense_with_good) != 0)
        return wrong_at(15, 1);
    parsed.list_id = load_be<std::uint32_t>(from + 20);
    parsed.immediate = (from[15] & immediate) != 0;
    const Parts parts{.header_bytes = lid4_header_bytes,
                      .cscd_list_bytes = load_be<std::uint16_t>(from + 42),
                      .segment_list_bytes = load_be<std::uint16_t>(from + 44),
                      .inline_bytes = load_be<std::uint16_t>(from + 46),
                      .cscd_length_byte = 42};
    const auto usage = list_id_usage(from[1], parsed.list_id, 20);
    if (!usage)
        return std::unexpected(usage.error());
    parsed.usage = *usage;
    if (parsed.immediate && parsed.usage == ListIdUsage::unnamed)
        return wrong_at(15, 0);  // nobody could ever ask what became of it
    if (auto good = parse_descriptors(list, parts, parsed); !good)
        return std::unexpected(good.error());
    return parsed;
}

// --- The plan ---

SenseData copy_aborted(AdditionalSense additional, std::uint16_t segment) noexcept {
    SenseData data = make_sense({SenseKey::copy_aborted, additional});
    data.command_specific_information = segment;
    return data;
}

namespace {

constexpr std::size_t source_id_byte = 4;
constexpr std::size_t destination_id_byte = 6;
constexpr std::size_t source_lba_byte = 12;
constexpr std::size_t destination_lba_byte = 20;

class Planner {
  public:
    Planner(const ExtendedCopyList& list, std::span<const CopyDevice> devices)
        : list_(list), devices_(devices) {}

    std::expected<CopyMove, SenseData> plan(std::uint16_t number) {
        segment_ = &list_.segments[number];
        move_ = {};
        move_.segment = number;
        const auto source = device(segment_->source, source_id_byte);
        if (!source)
            return std::unexpected(source.error());
        move_.source = *source;
        if (segment_->type == SegmentType::verify_device) {
            move_.test_unit_ready = segment_->test_unit_ready;
            return move_;
        }
        const auto destination = device(segment_->destination, destination_id_byte);
        if (!destination)
            return std::unexpected(destination.error());
        move_.destination = *destination;
        move_.hold = segment_->type == SegmentType::block_to_block_hold;
        const auto sized = segment_->type == SegmentType::block_to_block_bytes ? measure_bytes()
                                                                               : measure_blocks();
        if (!sized)
            return std::unexpected(sized.error());
        return place();
    }

  private:
    std::unexpected<SenseData> aborted(AdditionalSense additional, std::size_t byte) const {
        SenseData data = copy_aborted(additional, move_.segment);
        data.field =
            FieldPointer{false, static_cast<std::uint16_t>(segment_->byte + byte), std::nullopt};
        return std::unexpected(data);
    }

    std::expected<std::uint16_t, SenseData> device(std::uint16_t id, std::size_t id_byte) const {
        const std::size_t own = list_.descriptors.size();
        const std::size_t index = id == receiving_unit_id ? own : id;
        if (index > own || (index == own && id != receiving_unit_id) || !devices_[index].reachable)
            return aborted(sense::copy_target_device_not_reachable, id_byte);
        if (index < own) {
            const CscdDescriptor& descriptor = list_.descriptors[index];
            if (descriptor.device_type != 0)
                return aborted(sense::incorrect_copy_target_device_type, id_byte);
            if (descriptor.block_bytes != 0 &&
                descriptor.block_bytes != devices_[index].block_bytes)
                return wrong_at(descriptor.byte + std::size_t{29});
        }
        return static_cast<std::uint16_t>(index);
    }

    [[nodiscard]] bool pads(std::uint16_t device) const {
        return device < list_.descriptors.size() && list_.descriptors[device].pad;
    }

    // 02h and 0Dh. What is left of a block is cut off or filled up where PAD says so; that it is
    // carried over to the next segment (CAT) is not done.
    std::expected<void, SenseData> measure_blocks() {
        const std::uint32_t source_block = devices_[move_.source].block_bytes;
        const std::uint32_t destination_block = devices_[move_.destination].block_bytes;
        move_.bytes = std::uint64_t{segment_->count} *
                      (segment_->destination_counts ? destination_block : source_block);
        const std::uint64_t source_rest = move_.bytes % source_block;
        const std::uint64_t destination_rest = move_.bytes % destination_block;
        const bool inexact = source_rest != 0 || destination_rest != 0;
        if (inexact && (segment_->concatenate || (source_rest != 0 && !pads(move_.source)) ||
                        (destination_rest != 0 && !pads(move_.destination))))
            return aborted(sense::unexpected_inexact_segment, 10);
        if (destination_rest != 0)
            move_.pad_bytes = static_cast<std::uint32_t>(destination_block - destination_rest);
        return {};
    }

    std::expected<void, SenseData> measure_bytes() {
        if (segment_->source_offset >= devices_[move_.source].block_bytes)
            return wrong_at(segment_->byte + std::size_t{28});
        if (segment_->destination_offset >= devices_[move_.destination].block_bytes)
            return wrong_at(segment_->byte + std::size_t{30});
        move_.bytes = segment_->count;
        return {};
    }

    std::expected<CopyMove, SenseData> place() {
        if (move_.bytes > limits::copy_segment_bytes)
            return wrong_at(segment_->byte + std::size_t{8});
        if (!find(devices_[move_.source], segment_->source_lba, segment_->source_offset,
                  move_.bytes, move_.source_byte))
            return aborted(sense::no_additional_sense_information.additional, source_lba_byte);
        if (!find(devices_[move_.destination], segment_->destination_lba,
                  segment_->destination_offset, move_.bytes + move_.pad_bytes,
                  move_.destination_byte))
            return aborted(sense::no_additional_sense_information.additional, destination_lba_byte);
        return move_;
    }

    // The engine has seen to it that the capacity in bytes fits in 64 bits.
    static bool find(const CopyDevice& device, std::uint64_t lba, std::uint16_t offset,
                     std::uint64_t bytes, std::uint64_t& at) {
        if (lba > device.blocks)
            return false;
        const std::uint64_t capacity = device.blocks * device.block_bytes;
        at = lba * device.block_bytes + offset;
        return at <= capacity && bytes <= capacity - at;
    }

    const ExtendedCopyList& list_;
    std::span<const CopyDevice> devices_;
    const SegmentDescriptor* segment_ = nullptr;
    CopyMove move_;
};

}  // namespace

std::expected<std::vector<CopyMove>, SenseData> plan_extended_copy(
    const ExtendedCopyList& list, std::span<const CopyDevice> devices) {
    Planner planner(list, devices);
    std::vector<CopyMove> moves;
    moves.reserve(list.segments.size());
    for (std::size_t i = 0; i < list.segments.size(); ++i) {
        auto move = planner.plan(static_cast<std::uint16_t>(i));
        if (!move)
            return std::unexpected(move.error());
        moves.push_back(*move);
    }
    return moves;
}

}  // namespace olio::scsi
