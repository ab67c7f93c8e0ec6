// EXTENDED COPY (SPC-5 6.6, 6.7) and its results (RECEIVE COPY STATUS, SPC-5 6.25 and its kin): the
// parameter list, read and checked; the plan that follows from it for given devices; and the
// answers about a copy under way or ended. What carries the plan out is target/copy_manager.h.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "scsi/sense.h"
#include "scsi/types.h"

namespace olio::scsi {

struct Identification;
struct Request;

// An identification CSCD descriptor (type E4h) of a block device. LU ID TYPE and NUL are obsolete
// and ignored.
struct CscdDescriptor {
    std::uint16_t byte = 0;  // where it stands in the parameter list
    std::uint8_t code_set = 0;
    std::uint8_t association = 0;
    std::uint8_t designator_type = 0;
    std::uint8_t designator_bytes = 0;  // at most 20
    std::array<std::uint8_t, 20> designator{};
    std::uint8_t device_type = 0;   // PERIPHERAL DEVICE TYPE
    bool pad = false;               // PAD
    std::uint32_t block_bytes = 0;  // DISK BLOCK LENGTH; 0: not said
};

// Whether the descriptor names exactly this logical unit: its whole NAA designator, and nothing
// that is only similar.
[[nodiscard]] bool names(const CscdDescriptor& descriptor, const Identification& who) noexcept;
// The descriptor of a logical unit, 32 bytes, as a token's CREATOR LOGICAL UNIT DESCRIPTOR has it.
void put_cscd_descriptor(const Identification& who, std::uint32_t block_bytes, Builder& into);

// The CSCD descriptor ID of the logical unit that has received the command.
inline constexpr std::uint16_t receiving_unit_id = 0xFFFF;

// The segment descriptors that make sense between disks. What the others need, streams, tapes and
// persistent reservations of a copy manager's own, is not there.
enum class SegmentType : std::uint8_t {
    block_to_block = 0x02,
    verify_device = 0x07,         // TEST UNIT READY
    block_to_block_bytes = 0x0A,  // with offsets into the first blocks
    block_to_block_hold = 0x0D,   // as 02h, and the data are held for RECEIVE COPY DATA
};

struct SegmentDescriptor {
    SegmentType type = SegmentType::block_to_block;
    std::uint16_t byte = 0;           // where it stands in the parameter list
    bool destination_counts = false;  // DC: `count` is in blocks of the destination
    bool concatenate = false;         // CAT
    bool test_unit_ready = false;     // TUR of 07h
    std::uint16_t source = 0;         // CSCD descriptor ID
    std::uint16_t destination = 0;
    std::uint32_t count = 0;  // blocks; 0Ah: bytes
    std::uint64_t source_lba = 0;
    std::uint64_t destination_lba = 0;
    std::uint16_t source_offset = 0;  // bytes
    std::uint16_t destination_offset = 0;
};

// LIST ID USAGE
enum class ListIdUsage : std::uint8_t {
    held = 0,     // the list identifier names the copy; its data are held
    named = 2,    // the list identifier names the copy; nothing is held
    unnamed = 3,  // there is none: LIST IDENTIFIER is zero
};

struct ExtendedCopyList {
    std::uint32_t list_id = 0;
    ListIdUsage usage = ListIdUsage::held;
    bool immediate = false;  // LID4: the command ends before the copy does
    std::vector<CscdDescriptor> descriptors;
    std::vector<SegmentDescriptor> segments;
};

// The sense data of a refusal are those of SPC-5: PARAMETER LIST LENGTH ERROR for a list cut inside
// a descriptor or longer than MAXIMUM DESCRIPTOR LIST LENGTH, TOO MANY TARGET or SEGMENT
// DESCRIPTORS, UNSUPPORTED TARGET or SEGMENT DESCRIPTOR TYPE CODE, INLINE DATA LENGTH EXCEEDED,
// INVALID FIELD IN PARAMETER LIST with a pointer. An empty list is no error and asks for nothing.
using ParsedCopyList = std::expected<ExtendedCopyList, SenseData>;
[[nodiscard]] ParsedCopyList parse_extended_copy_lid1(Bytes list);
[[nodiscard]] ParsedCopyList parse_extended_copy_lid4(Bytes list);

// A device as the plan needs it.
struct CopyDevice {
    bool reachable = false;
    std::uint64_t blocks = 0;
    std::uint32_t block_bytes = 512;
};

// One piece of work: `bytes` from one device to another, then `pad_bytes` zeros. Whole
// blocks are not needed on either side.
struct CopyMove {
    std::uint16_t segment = 0;
    std::uint16_t source = 0;  // index of the device
    std::uint16_t destination = 0;
    std::uint64_t source_byte = 0;
    std::uint64_t destination_byte = 0;
    std::uint64_t bytes = 0;
    std::uint32_t pad_bytes = 0;
    bool hold = false;
    bool test_unit_ready = false;  // of the source; nothing is moved
    bool zeros = false;            // zeros are written; there is no source
};

// `devices`: one for each descriptor of the list, and behind them the logical unit that has
// received the command. What is wrong ends the copy before anything is written: COPY TARGET DEVICE
// NOT REACHABLE, INCORRECT COPY TARGET DEVICE TYPE, UNEXPECTED INEXACT SEGMENT, ranges that are not
// on a medium. COMMAND-SPECIFIC INFORMATION is the segment's number.
[[nodiscard]] std::expected<std::vector<CopyMove>, SenseData> plan_extended_copy(
    const ExtendedCopyList& list, std::span<const CopyDevice> devices);

// COPY ABORTED while a segment was processed.
[[nodiscard]] SenseData copy_aborted(AdditionalSense additional, std::uint16_t segment) noexcept;

// --- Results ---

// COPY OPERATION STATUS
enum class CopyStatus : std::uint8_t {
    completed = 0x01,
    failed = 0x02,
    in_foreground = 0x11,
    in_background = 0x12,
    terminated = 0x60,  // by COPY OPERATION ABORT or a reset
};
[[nodiscard]] constexpr bool in_progress(CopyStatus status) noexcept {
    return status == CopyStatus::in_foreground || status == CopyStatus::in_background;
}

struct CopyResult {
    std::uint8_t service_action = 0;  // of the command that began it
    CopyStatus status = CopyStatus::in_foreground;
    Status completion = Status::good;  // once it has ended
    std::uint16_t segments_processed = 0;
    std::uint64_t transferred_bytes = 0;
    std::uint32_t block_bytes = 0;         // not 0: TRANSFER COUNT is in blocks (ODX)
    std::uint16_t operations = 0;          // OPERATION COUNTER: grows as the copy goes on
    std::array<std::uint8_t, 64> sense{};  // if completion is CHECK CONDITION
    std::uint8_t sense_bytes = 0;
    bool held_discarded = false;
    std::vector<std::uint8_t> held;   // for RECEIVE COPY DATA
    std::vector<std::uint8_t> token;  // of POPULATE TOKEN, 512 bytes
};

// The parameter data of RECEIVE COPY STATUS(LID1), RECEIVE COPY FAILURE DETAILS(LID1), RECEIVE COPY
// DATA(LID1) and (LID4), RECEIVE COPY STATUS(LID4) and RECEIVE ROD TOKEN INFORMATION
// (`with_token`).
void put_copy_status_lid1(const CopyResult& result, Builder& into);
void put_copy_failure_details(const CopyResult& result, Builder& into);
void put_copy_data(const CopyResult& result, Builder& into);
void put_copy_data_lid4(const CopyResult& result, Builder& into);
void put_copy_status_lid4(const CopyResult& result, bool with_token, Builder& into);

// RECEIVE COPY OPERATING PARAMETERS, and the Third-party Copy VPD page (8Fh) behind its header.
std::expected<void, SenseData> receive_copy_operating_parameters(const Request& request,
                                                                 Builder& into);
void put_third_party_copy(const Request& request, Builder& into);

}  // namespace olio::scsi
