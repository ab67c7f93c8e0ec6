// The wire of RFC 7143 clause 11, as an initiator needs it: where each field of a basic header
// segment (BHS) stands. Written from the RFC alone; it shares nothing with the target's own PDU
// code, so that the two check each other.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/bytes.h"

namespace olio::initiator {

inline constexpr std::size_t header_bytes = 48;
inline constexpr std::uint32_t no_tag = 0xffffffff;

// Byte 0 without the I bit (11.2.1.2).
enum class Opcode : std::uint8_t {
    nop_out = 0x00,
    scsi_command = 0x01,
    task_management_request = 0x02,
    login_request = 0x03,
    text_request = 0x04,
    data_out = 0x05,
    logout_request = 0x06,
    snack_request = 0x10,
    nop_in = 0x20,
    scsi_response = 0x21,
    task_management_response = 0x22,
    login_response = 0x23,
    text_response = 0x24,
    data_in = 0x25,
    logout_response = 0x26,
    ready_to_transfer = 0x31,
    async_message = 0x32,
    reject = 0x3f,
};

// Offsets in the BHS. Those that several PDUs have stand at the same place in all of them.
namespace at {
inline constexpr std::size_t flags = 1;
inline constexpr std::size_t response = 2;     // Response, TMF Response, Logout, Reject reason
inline constexpr std::size_t status = 3;       // SCSI status
inline constexpr std::size_t ahs_words = 4;    // TotalAHSLength
inline constexpr std::size_t data_length = 5;  // 24 bits
inline constexpr std::size_t lun = 8;          // login: ISID
inline constexpr std::size_t tsih = 14;
inline constexpr std::size_t task_tag = 16;
inline constexpr std::size_t transfer_tag = 20;  // command: expected length; TMF: referenced tag
inline constexpr std::size_t cid = 20;           // login, logout
inline constexpr std::size_t cmd_sn = 24;        // from a target: StatSN
inline constexpr std::size_t exp_stat_sn = 28;   // from a target: ExpCmdSN
inline constexpr std::size_t ref_cmd_sn = 32;    // from a target: MaxCmdSN; command: CDB
inline constexpr std::size_t stat_sn = 24;
inline constexpr std::size_t exp_cmd_sn = 28;
inline constexpr std::size_t max_cmd_sn = 32;
inline constexpr std::size_t cdb = 32;
inline constexpr std::size_t data_sn = 36;       // Data-Out, Data-In; R2TSN; ExpDataSN
inline constexpr std::size_t login_status = 36;  // class, detail
inline constexpr std::size_t async_event = 36;
inline constexpr std::size_t buffer_offset = 40;
inline constexpr std::size_t bidirectional_residual = 40;
inline constexpr std::size_t residual = 44;
inline constexpr std::size_t desired_length = 44;  // R2T
}  // namespace at

inline constexpr std::uint8_t immediate_bit = 0x40;  // byte 0
inline constexpr std::uint8_t final_bit = 0x80;      // byte 1
// SCSI Command, byte 1
inline constexpr std::uint8_t read_bit = 0x40;
inline constexpr std::uint8_t write_bit = 0x20;
// SCSI Response and Data-In, byte 1
inline constexpr std::uint8_t overflow_bit = 0x04;
inline constexpr std::uint8_t underflow_bit = 0x02;
inline constexpr std::uint8_t status_bit = 0x01;  // Data-In only
// Login and Text, byte 1
inline constexpr std::uint8_t transit_bit = 0x80;
inline constexpr std::uint8_t continue_bit = 0x40;

enum class Attribute : std::uint8_t { untagged, simple, ordered, head_of_queue, aca };

enum class Function : std::uint8_t {  // 11.5.1, RFC 7144 4.1
    abort_task = 1,
    abort_task_set = 2,
    clear_aca = 3,
    clear_task_set = 4,
    logical_unit_reset = 5,
    target_warm_reset = 6,
    target_cold_reset = 7,
    task_reassign = 8,
    query_task = 9,
    query_task_set = 10,
    i_t_nexus_reset = 11,
    query_asynchronous_event = 12,
};

enum class FunctionResponse : std::uint8_t {  // 11.6.1, RFC 7144 5.1
    complete = 0,
    task_does_not_exist = 1,
    lun_does_not_exist = 2,
    task_still_allegiant = 3,
    reassignment_not_supported = 4,
    not_supported = 5,
    authorization_failed = 6,
    succeeded = 7,
    rejected = 255,
};

[[nodiscard]] constexpr std::size_t padded(std::size_t length) noexcept {
    return (length + 3) & ~std::size_t{3};
}

// Serial number arithmetic (RFC 1982) as 4.2.2.1 asks.
[[nodiscard]] constexpr bool before(std::uint32_t a, std::uint32_t b) noexcept {
    return static_cast<std::int32_t>(a - b) < 0;
}

// SAM-5 4.7: peripheral device addressing below 256, flat space addressing above.
[[nodiscard]] constexpr std::uint64_t lun_field(std::uint32_t number) noexcept {
    return number < 256 ? std::uint64_t{number} << 48
                        : std::uint64_t{0x4000 | (number & 0x3fff)} << 48;
}

// CRC32C (13.1) over pieces: start with crc32c_start, end with crc32c_store.
inline constexpr std::uint32_t crc32c_start = 0xffffffff;
[[nodiscard]] std::uint32_t crc32c(std::uint32_t state, Bytes bytes) noexcept;
// Least significant byte first, as it travels.
inline void crc32c_store(std::uint32_t state, std::uint8_t* to) noexcept {
    const std::uint32_t value = ~state;
    for (int i = 0; i < 4; ++i)
        to[i] = static_cast<std::uint8_t>(value >> 8 * i);
}

}  // namespace olio::initiator
