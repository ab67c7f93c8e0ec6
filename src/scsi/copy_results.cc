// What the copy manager says of itself and of its copies: RECEIVE COPY OPERATING PARAMETERS,
// RECEIVE COPY STATUS and its kin, and the Third-party Copy VPD page.
#include <algorithm>
#include <limits>

#include "base/limits.h"
#include "scsi/command_table.h"
#include "scsi/extended_copy.h"
#include "scsi/logical_unit_state.h"
#include "scsi/rod_token.h"

namespace olio::scsi {

namespace {

constexpr std::uint32_t longest_descriptor_list_bytes =
    limits::copy_cscd_descriptors * 32 + limits::copy_segment_descriptors * 32;
// Segment and CSCD descriptor types, ascending.
constexpr std::array<std::uint8_t, 5> implemented_descriptors{0x02, 0x07, 0x0A, 0x0D, 0xE4};
constexpr std::uint8_t data_granularity = 0;  // any number of bytes: 2^0
constexpr std::uint8_t held_granularity = 0;
constexpr std::uint8_t units_blocks = 0xF1;

constexpr std::uint8_t extended_copy_opcode = 0x83;
constexpr std::uint8_t receive_copy_results_opcode = 0x84;

// TRANSFER COUNT in the smallest unit in which it fits: 0 bytes, 1 KiB, 2 MiB, 3 GiB.
struct TransferCount {
    std::uint8_t units = 0;
    std::uint64_t count = 0;
};
TransferCount transfer_count(std::uint64_t bytes, std::uint64_t largest) {
    TransferCount count{0, bytes};
    while (count.count > largest) {
        count.count >>= 10;
        ++count.units;
    }
    return count;
}

void put_sense(const CopyResult& result, Builder& into) {
    into.bytes(Bytes(result.sense).first(result.sense_bytes));
}

// --- The Third-party Copy VPD page ---

// Puts a third-party copy descriptor: type, length, what `fill` puts, padded to a multiple of four.
template <class Fill>
void put_descriptor(std::uint16_t type, Builder& into, Fill fill) {
    into.be16(type);
    const std::size_t length_at = into.size();
    into.be16(0);
    const std::size_t start = into.size();
    fill();
    into.zeros((4 - (into.size() - start) % 4) % 4);
    into.patch(length_at, static_cast<std::uint16_t>(into.size() - start));
}

void put_supported_commands(const LogicalUnitState& state, Builder& into) {
    put_descriptor(0x0001, into, [&] {
        const std::size_t list_length_at = into.size();
        into.u8(0);
        for (const std::uint8_t opcode : {extended_copy_opcode, receive_copy_results_opcode}) {
            into.u8(opcode);
            const std::size_t count_at = into.size();
            into.u8(0);
            for (const CommandRow& row : command_table())
                if (row.opcode == opcode && supported(row, state))
                    into.u8(static_cast<std::uint8_t>(row.service_action));
            into.patch(count_at, static_cast<std::uint8_t>(into.size() - count_at - 1));
        }
        into.patch(list_length_at, static_cast<std::uint8_t>(into.size() - list_length_at - 1));
    });
}

void put_parameter_data(Builder& into) {
    put_descriptor(0x0004, into, [&] {
        into.zeros(4);
        into.be16(limits::copy_cscd_descriptors);
        into.be16(limits::copy_segment_descriptors);
        into.be32(longest_descriptor_list_bytes);
        into.be32(0);  // MAXIMUM INLINE DATA LENGTH
        into.zeros(12);
    });
}

void put_supported_descriptors(Builder& into) {
    put_descriptor(0x0008, into, [&] {
        into.u8(implemented_descriptors.size());
        into.bytes(implemented_descriptors);
    });
}

void put_supported_cscd_ids(Builder& into) {
    put_descriptor(0x000C, into, [&] {
        into.be16(2);
        into.be16(receiving_unit_id);
    });
}

void put_general_copy_operations(Builder& into) {
    put_descriptor(0x8001, into, [&] {
        into.be32(limits::copies_per_nexus);
        into.be32(limits::copies_per_nexus);  // with a list identifier
        into.be32(limits::copy_segment_bytes);
        into.u8(data_granularity);
        into.u8(0);  // INLINE DATA GRANULARITY
        into.zeros(18);
    });
}

void put_held_data(Builder& into) {
    put_descriptor(0xC001, into, [&] {
        into.be32(limits::copy_held_bytes);
        into.u8(held_granularity);
        into.zeros(23);
    });
}

}  // namespace

void put_third_party_copy(const Request& request, Builder& into) {
    put_token_limits(*request.state, into);
    put_supported_commands(*request.state, into);
    put_parameter_data(into);
    put_supported_descriptors(into);
    put_supported_cscd_ids(into);
    put_token_features(into);
    put_token_types(into);
    put_general_copy_operations(into);
    put_held_data(into);
}

std::expected<void, SenseData> receive_copy_operating_parameters(const Request&, Builder& into) {
    into.be32(0);   // AVAILABLE DATA, below
    into.u8(0x01);  // SNLID: a copy needs no list identifier
    into.zeros(3);
    into.be16(limits::copy_cscd_descriptors);
    into.be16(limits::copy_segment_descriptors);
    into.be32(longest_descriptor_list_bytes);
    into.be32(limits::copy_segment_bytes);
    into.be32(0);  // MAXIMUM INLINE DATA LENGTH
    into.be32(limits::copy_held_bytes);
    into.be32(0);  // MAXIMUM STREAM DEVICE TRANSFER SIZE
    into.zeros(2);
    into.be16(limits::copies_per_nexus);
    into.u8(limits::copies_per_nexus);
    into.u8(data_granularity);
    into.u8(0);  // INLINE DATA GRANULARITY
    into.u8(held_granularity);
    into.zeros(3);
    into.u8(implemented_descriptors.size());
    into.bytes(implemented_descriptors);
    into.patch(0, static_cast<std::uint32_t>(into.size() - 4));
    return {};
}

void put_copy_status_lid1(const CopyResult& result, Builder& into) {
    constexpr std::uint64_t largest = std::numeric_limits<std::uint32_t>::max();
    const std::uint8_t held_discarded = result.held_discarded ? 0x80 : 0x00;
    const std::uint8_t status = in_progress(result.status)               ? 0
                                : result.status == CopyStatus::completed ? 1
                                                                         : 2;
    const TransferCount moved = transfer_count(result.transferred_bytes, largest);
    into.be32(8);  // AVAILABLE DATA
    into.u8(held_discarded | status);
    into.be16(result.segments_processed);
    into.u8(moved.units);
    into.be32(static_cast<std::uint32_t>(moved.count));
}

void put_copy_failure_details(const CopyResult& result, Builder& into) {
    if (in_progress(result.status) || result.completion == Status::good) {
        into.be32(0);  // there was no failure
        return;
    }
    into.be32(static_cast<std::uint32_t>(56 + result.sense_bytes));
    into.zeros(52);
    into.u8(static_cast<std::uint8_t>(result.completion));
    into.u8(0);
    into.be16(result.sense_bytes);
    put_sense(result, into);
}

void put_copy_data(const CopyResult& result, Builder& into) {
    into.be32(static_cast<std::uint32_t>(result.held.size()));
    into.bytes(result.held);
}

namespace {

// What the answers about a list identifier of 32 bits begin with; AVAILABLE DATA is patched.
void put_status(const CopyResult& result, bool held_discarded, Builder& into) {
    into.be32(0);
    into.u8(result.service_action);
    into.u8(static_cast<std::uint8_t>(static_cast<std::uint8_t>(result.status) |
                                      (held_discarded ? 0x80 : 0)));
    into.be16(result.operations);
    // ESTIMATED STATUS UPDATE DELAY, in milliseconds; all ones once it will not change.
    into.be32(in_progress(result.status) ? 1000 : 0xFFFFFFFF);
    into.u8(in_progress(result.status) ? 0 : static_cast<std::uint8_t>(result.completion));
    into.u8(result.sense_bytes);  // LENGTH OF THE SENSE DATA FIELD
    into.u8(result.sense_bytes);  // SENSE DATA LENGTH
    if (result.block_bytes != 0) {
        into.u8(units_blocks);
        into.be64(result.transferred_bytes / result.block_bytes);
    } else {
        const TransferCount moved =
            transfer_count(result.transferred_bytes, std::numeric_limits<std::uint64_t>::max());
        into.u8(moved.units);
        into.be64(moved.count);
    }
    into.be16(result.segments_processed);
    into.zeros(6);
    put_sense(result, into);
}

}  // namespace

void put_copy_data_lid4(const CopyResult& result, Builder& into) {
    put_status(result, result.held_discarded, into);
    const Bytes held = result.status == CopyStatus::completed ? Bytes(result.held) : Bytes();
    into.be32(static_cast<std::uint32_t>(held.size()));  // HELD DATA LENGTH
    into.bytes(held);
    into.patch(0, static_cast<std::uint32_t>(into.size() - 4));
}

void put_copy_status_lid4(const CopyResult& result, bool with_token, Builder& into) {
    put_status(result, false, into);
    if (with_token) {
        constexpr std::size_t descriptor_header_bytes = 2;
        const std::size_t bytes =
            result.token.empty() ? 0 : descriptor_header_bytes + result.token.size();
        into.be32(static_cast<std::uint32_t>(bytes));  // ROD TOKEN DESCRIPTORS LENGTH
        if (bytes != 0) {
            into.zeros(descriptor_header_bytes);
            into.bytes(result.token);
        }
    }
    into.patch(0, static_cast<std::uint32_t>(into.size() - 4));
}

}  // namespace olio::scsi
