// The Protocol Data Units of iSCSI (RFC 7143 11) as plain structs. Each lists its fields once, in
// fields(); decode() and encode() are both made from that list, so that they cannot disagree.
// Nothing here reads or writes outside the 48 bytes of a basic header segment (BHS).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>

#include "base/bytes.h"

namespace olio::iscsi {

inline constexpr std::size_t bhs_bytes = 48;
inline constexpr std::size_t digest_bytes = 4;
inline constexpr std::size_t max_ahs_bytes = 255 * 4;        // TotalAHSLength counts words
inline constexpr std::uint32_t max_data_segment = 0xffffff;  // DataSegmentLength has 24 bits
inline constexpr std::uint32_t reserved_tag = 0xffffffff;    // RFC 7143 11.2.1.8, 11.2.1.9

using BasicHeader = std::array<std::uint8_t, bhs_bytes>;

// RFC 7143 11.2.1.2.
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

inline constexpr std::uint8_t opcode_mask = 0x3f;
inline constexpr std::uint8_t immediate_bit = 0x40;  // byte 0 of a request
inline constexpr std::uint8_t final_bit = 0x80;      // byte 1 of every PDU

// Byte 1 of a SCSI Command (11.3.1).
namespace command_flags {
inline constexpr std::uint8_t read = 0x40;
inline constexpr std::uint8_t write = 0x20;
inline constexpr std::uint8_t attribute_mask = 0x07;
}  // namespace command_flags

// Byte 1 of a SCSI Response (11.4.1) and of a Data-In (11.7.1, 11.7.2).
namespace response_flags {
inline constexpr std::uint8_t bidirectional_overflow = 0x10;
inline constexpr std::uint8_t bidirectional_underflow = 0x08;
inline constexpr std::uint8_t overflow = 0x04;
inline constexpr std::uint8_t underflow = 0x02;
}  // namespace response_flags
namespace data_in_flags {
inline constexpr std::uint8_t acknowledge = 0x40;
inline constexpr std::uint8_t overflow = 0x04;
inline constexpr std::uint8_t underflow = 0x02;
inline constexpr std::uint8_t status = 0x01;
}  // namespace data_in_flags

// Byte 1 of Login (11.12.1, 11.12.2) and Text (11.10.1, 11.10.2) PDUs.
namespace text_flags {
inline constexpr std::uint8_t transit = 0x80;  // Login: T; Text: F
inline constexpr std::uint8_t continues = 0x40;
}  // namespace text_flags

// CSG and NSG of a Login PDU (11.12.3).
enum class LoginStage : std::uint8_t {
    security_negotiation = 0,
    operational_negotiation = 1,
    reserved = 2,
    full_feature_phase = 3,
};

// SNACK types (11.16.1).
enum class SnackType : std::uint8_t { data_or_r2t = 0, status = 1, data_ack = 2, r_data = 3 };

// Function of a Task Management Request (11.5.1; 9 to 12: RFC 7144 4).
enum class TaskManagementFunction : std::uint8_t {
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
    query_async_event = 12,
};

// Response of a Task Management Response (11.6.1; 7: RFC 7144 4.2).
enum class TaskManagementResult : std::uint8_t {
    complete = 0,
    task_does_not_exist = 1,
    lun_does_not_exist = 2,
    task_still_allegiant = 3,
    allegiance_reassignment_not_supported = 4,
    function_not_supported = 5,
    authorization_failed = 6,
    succeeded = 7,
    rejected = 255,
};

// Response of a SCSI Response (11.4.3).
enum class ScsiResponseCode : std::uint8_t { completed = 0, target_failure = 1 };

// Reason of a Logout Request (11.14.1) and Response of its answer (11.15.1).
enum class LogoutReason : std::uint8_t {
    close_session = 0,
    close_connection = 1,
    remove_for_recovery = 2,
};
enum class LogoutResult : std::uint8_t {
    closed = 0,
    cid_not_found = 1,
    recovery_not_supported = 2,
    cleanup_failed = 3,
};

// AsyncEvent (11.9.1; RFC 7144 4.3 for none).
enum class AsyncEvent : std::uint8_t {
    scsi = 0,
    logout_requested = 1,
    connection_will_be_dropped = 2,
    connections_will_be_dropped = 3,
    renegotiation_requested = 4,
    tasks_terminated = 5,
    vendor_specific = 255,
};

// Reason of a Reject (11.17.1).
enum class RejectReason : std::uint8_t {
    data_digest_error = 0x02,
    snack_reject = 0x03,
    protocol_error = 0x04,
    command_not_supported = 0x05,
    immediate_command_rejected = 0x06,
    task_in_progress = 0x07,
    invalid_data_ack = 0x08,
    invalid_pdu_field = 0x09,
    out_of_resources = 0x0a,
    negotiation_reset = 0x0b,
    waiting_for_logout = 0x0c,
};
[[nodiscard]] std::string_view reject_reason_name(RejectReason reason) noexcept;

// Status-Class (high byte) and Status-Detail of a Login Response (11.13.5).
enum class LoginStatus : std::uint16_t {
    success = 0x0000,
    moved_temporarily = 0x0101,
    moved_permanently = 0x0102,
    initiator_error = 0x0200,
    authentication_failure = 0x0201,
    authorization_failure = 0x0202,
    target_not_found = 0x0203,
    target_removed = 0x0204,
    unsupported_version = 0x0205,
    too_many_connections = 0x0206,
    missing_parameter = 0x0207,
    cannot_include_in_session = 0x0208,
    session_type_not_supported = 0x0209,
    session_does_not_exist = 0x020a,
    invalid_during_login = 0x020b,
    target_error = 0x0300,
    service_unavailable = 0x0301,
    out_of_resources = 0x0302,
};
[[nodiscard]] std::string_view login_status_name(LoginStatus status) noexcept;

using InitiatorSessionId = std::array<std::uint8_t, 6>;  // ISID, 11.12.5

namespace detail {
struct Decoder {
    const std::uint8_t* bhs;
    template <class T>
    void operator()(std::size_t at, T& field) const noexcept {
        if constexpr (std::is_enum_v<T>) {
            std::underlying_type_t<T> raw{};
            (*this)(at, raw);
            field = static_cast<T>(raw);
        } else if constexpr (std::is_integral_v<T>) {
            field = load_be<T>(bhs + at);
        } else {
            std::memcpy(field.data(), bhs + at, field.size());
        }
    }
};
struct Encoder {
    std::uint8_t* bhs;
    template <class T>
    void operator()(std::size_t at, const T& field) const noexcept {
        if constexpr (std::is_enum_v<T>)
            store_be(bhs + at, static_cast<std::underlying_type_t<T>>(field));
        else if constexpr (std::is_integral_v<T>)
            store_be(bhs + at, field);
        else
            std::memcpy(bhs + at, field.data(), field.size());
    }
};
}  // namespace detail

// Byte 0 and the lengths that every PDU has.
[[nodiscard]] inline Opcode opcode_of(const BasicHeader& bhs) noexcept {
    return static_cast<Opcode>(bhs[0] & opcode_mask);
}
[[nodiscard]] inline bool is_immediate(const BasicHeader& bhs) noexcept {
    return (bhs[0] & immediate_bit) != 0;
}
[[nodiscard]] inline bool is_final(const BasicHeader& bhs) noexcept {
    return (bhs[1] & final_bit) != 0;
}
[[nodiscard]] inline std::size_t ahs_length(const BasicHeader& bhs) noexcept {
    return std::size_t{bhs[4]} * 4;
}
[[nodiscard]] inline std::uint32_t data_segment_length(const BasicHeader& bhs) noexcept {
    return load_be24(&bhs[5]);
}
inline void set_data_segment_length(BasicHeader& bhs, std::size_t length_bytes) noexcept {
    store_be24(&bhs[5], static_cast<std::uint32_t>(length_bytes));
}
[[nodiscard]] inline std::uint32_t initiator_task_tag(const BasicHeader& bhs) noexcept {
    return load_be<std::uint32_t>(&bhs[16]);
}
// Segments are padded to words (11.2.3).
[[nodiscard]] inline std::size_t padding(std::size_t length_bytes) noexcept {
    return (4 - (length_bytes & 3)) & 3;
}

template <class Pdu>
[[nodiscard]] Pdu decode(const BasicHeader& bhs) noexcept {
    Pdu pdu;
    Pdu::fields(pdu, detail::Decoder{bhs.data()});
    return pdu;
}
// Byte 0 gets the PDU's opcode and, for a request with `immediate` set, the I bit.
template <class Pdu>
[[nodiscard]] BasicHeader encode(const Pdu& pdu, std::size_t data_length_bytes = 0) noexcept {
    BasicHeader bhs{};
    Pdu::fields(pdu, detail::Encoder{bhs.data()});
    bhs[0] = static_cast<std::uint8_t>(Pdu::opcode);
    if constexpr (requires { pdu.immediate; }) {
        if (pdu.immediate)
            bhs[0] |= immediate_bit;
    }
    set_data_segment_length(bhs, data_length_bytes);
    return bhs;
}
template <class Pdu>
[[nodiscard]] Pdu decode_request(const BasicHeader& bhs) noexcept {
    Pdu pdu = decode<Pdu>(bhs);
    pdu.immediate = is_immediate(bhs);
    return pdu;
}

// What most PDUs of a target carry at bytes 24, 28 and 32.
struct Numbering {
    std::uint32_t stat_sn = 0;
    std::uint32_t exp_cmd_sn = 0;
    std::uint32_t max_cmd_sn = 0;
};

// --- PDUs of an initiator ---

struct ScsiCommandPdu {  // 11.3
    static constexpr Opcode opcode = Opcode::scsi_command;
    bool immediate = false;
    std::uint8_t flags = 0;     // final_bit, command_flags
    std::uint8_t priority = 0;  // RFC 7144 5: byte 2, low four bits
    std::uint64_t lun = 0;
    std::uint32_t task_tag = 0;
    std::uint32_t expected_length = 0;
    std::uint32_t cmd_sn = 0;
    std::uint32_t exp_stat_sn = 0;
    std::array<std::uint8_t, 16> cdb{};

    static void fields(auto& self, auto field) {
        field(1, self.flags);
        field(2, self.priority);
        field(8, self.lun);
        field(16, self.task_tag);
        field(20, self.expected_length);
        field(24, self.cmd_sn);
        field(28, self.exp_stat_sn);
        field(32, self.cdb);
    }
};

struct TaskManagementRequestPdu {  // 11.5
    static constexpr Opcode opcode = Opcode::task_management_request;
    bool immediate = false;
    std::uint8_t flags = 0;  // final_bit; the rest is the function
    std::uint64_t lun = 0;
    std::uint32_t task_tag = 0;
    std::uint32_t referenced_task_tag = reserved_tag;
    std::uint32_t cmd_sn = 0;
    std::uint32_t exp_stat_sn = 0;
    std::uint32_t ref_cmd_sn = 0;
    std::uint32_t exp_data_sn = 0;

    [[nodiscard]] TaskManagementFunction function() const noexcept {
        return static_cast<TaskManagementFunction>(flags & 0x7f);
    }
    static void fields(auto& self, auto field) {
        field(1, self.flags);
        field(8, self.lun);
        field(16, self.task_tag);
        field(20, self.referenced_task_tag);
        field(24, self.cmd_sn);
        field(28, self.exp_stat_sn);
        field(32, self.ref_cmd_sn);
        field(36, self.exp_data_sn);
    }
};

struct DataOutPdu {  // 11.7
    static constexpr Opcode opcode = Opcode::data_out;
    std::uint8_t flags = 0;
    std::uint64_t lun = 0;
    std::uint32_t task_tag = 0;
    std::uint32_t transfer_tag = reserved_tag;
    std::uint32_t exp_stat_sn = 0;
    std::uint32_t data_sn = 0;
    std::uint32_t buffer_offset = 0;

    static void fields(auto& self, auto field) {
        field(1, self.flags);
        field(8, self.lun);
        field(16, self.task_tag);
        field(20, self.transfer_tag);
        field(28, self.exp_stat_sn);
        field(36, self.data_sn);
        field(40, self.buffer_offset);
    }
};

struct TextRequestPdu {  // 11.10
    static constexpr Opcode opcode = Opcode::text_request;
    bool immediate = false;
    std::uint8_t flags = 0;
    std::uint64_t lun = 0;
    std::uint32_t task_tag = 0;
    std::uint32_t transfer_tag = reserved_tag;
    std::uint32_t cmd_sn = 0;
    std::uint32_t exp_stat_sn = 0;

    static void fields(auto& self, auto field) {
        field(1, self.flags);
        field(8, self.lun);
        field(16, self.task_tag);
        field(20, self.transfer_tag);
        field(24, self.cmd_sn);
        field(28, self.exp_stat_sn);
    }
};

struct LoginRequestPdu {  // 11.12
    static constexpr Opcode opcode = Opcode::login_request;
    bool immediate = true;
    std::uint8_t flags = 0;  // text_flags, CSG in bits 3-2, NSG in bits 1-0
    std::uint8_t version_max = 0;
    std::uint8_t version_min = 0;
    InitiatorSessionId isid{};
    std::uint16_t tsih = 0;
    std::uint32_t task_tag = 0;
    std::uint16_t cid = 0;
    std::uint32_t cmd_sn = 0;
    std::uint32_t exp_stat_sn = 0;

    [[nodiscard]] LoginStage current_stage() const noexcept {
        return static_cast<LoginStage>(flags >> 2 & 3);
    }
    [[nodiscard]] LoginStage next_stage() const noexcept {
        return static_cast<LoginStage>(flags & 3);
    }
    static void fields(auto& self, auto field) {
        field(1, self.flags);
        field(2, self.version_max);
        field(3, self.version_min);
        field(8, self.isid);
        field(14, self.tsih);
        field(16, self.task_tag);
        field(20, self.cid);
        field(24, self.cmd_sn);
        field(28, self.exp_stat_sn);
    }
};

struct LogoutRequestPdu {  // 11.14
    static constexpr Opcode opcode = Opcode::logout_request;
    bool immediate = false;
    std::uint8_t flags = final_bit;  // final_bit; the rest is the reason
    std::uint32_t task_tag = 0;
    std::uint16_t cid = 0;
    std::uint32_t cmd_sn = 0;
    std::uint32_t exp_stat_sn = 0;

    [[nodiscard]] LogoutReason reason() const noexcept {
        return static_cast<LogoutReason>(flags & 0x7f);
    }
    static void fields(auto& self, auto field) {
        field(1, self.flags);
        field(16, self.task_tag);
        field(20, self.cid);
        field(24, self.cmd_sn);
        field(28, self.exp_stat_sn);
    }
};

struct SnackRequestPdu {  // 11.16
    static constexpr Opcode opcode = Opcode::snack_request;
    std::uint8_t flags = final_bit;  // final_bit; low four bits: SnackType
    std::uint64_t lun = 0;
    std::uint32_t task_tag = reserved_tag;
    std::uint32_t transfer_tag = reserved_tag;
    std::uint32_t exp_stat_sn = 0;
    std::uint32_t begin_run = 0;
    std::uint32_t run_length = 0;

    static void fields(auto& self, auto field) {
        field(1, self.flags);
        field(8, self.lun);
        field(16, self.task_tag);
        field(20, self.transfer_tag);
        field(28, self.exp_stat_sn);
        field(40, self.begin_run);
        field(44, self.run_length);
    }
};

struct NopOutPdu {  // 11.18
    static constexpr Opcode opcode = Opcode::nop_out;
    bool immediate = false;
    std::uint8_t flags = final_bit;
    std::uint64_t lun = 0;
    std::uint32_t task_tag = reserved_tag;
    std::uint32_t transfer_tag = reserved_tag;
    std::uint32_t cmd_sn = 0;
    std::uint32_t exp_stat_sn = 0;

    static void fields(auto& self, auto field) {
        field(1, self.flags);
        field(8, self.lun);
        field(16, self.task_tag);
        field(20, self.transfer_tag);
        field(24, self.cmd_sn);
        field(28, self.exp_stat_sn);
    }
};

// --- PDUs of a target ---

struct ScsiResponsePdu {  // 11.4
    static constexpr Opcode opcode = Opcode::scsi_response;
    std::uint8_t flags = final_bit;  // response_flags
    ScsiResponseCode response = ScsiResponseCode::completed;
    std::uint8_t status = 0;
    std::uint16_t status_qualifier = 0;  // RFC 7144 6
    std::uint32_t task_tag = 0;
    std::uint32_t snack_tag = 0;
    Numbering numbering;
    std::uint32_t exp_data_sn = 0;
    std::uint32_t bidirectional_residual = 0;
    std::uint32_t residual = 0;

    static void fields(auto& self, auto field) {
        field(1, self.flags);
        field(2, self.response);
        field(3, self.status);
        field(8, self.status_qualifier);
        field(16, self.task_tag);
        field(20, self.snack_tag);
        field(24, self.numbering.stat_sn);
        field(28, self.numbering.exp_cmd_sn);
        field(32, self.numbering.max_cmd_sn);
        field(36, self.exp_data_sn);
        field(40, self.bidirectional_residual);
        field(44, self.residual);
    }
};

struct TaskManagementResponsePdu {  // 11.6
    static constexpr Opcode opcode = Opcode::task_management_response;
    std::uint8_t flags = final_bit;
    TaskManagementResult response = TaskManagementResult::complete;
    std::array<std::uint8_t, 3> additional{};  // RFC 7144 4.2: additional response information
    std::uint32_t task_tag = 0;
    Numbering numbering;

    static void fields(auto& self, auto field) {
        field(1, self.flags);
        field(2, self.response);
        field(8, self.additional);
        field(16, self.task_tag);
        field(24, self.numbering.stat_sn);
        field(28, self.numbering.exp_cmd_sn);
        field(32, self.numbering.max_cmd_sn);
    }
};

struct DataInPdu {  // 11.7
    static constexpr Opcode opcode = Opcode::data_in;
    std::uint8_t flags = 0;  // final_bit, data_in_flags
    std::uint8_t status = 0;
    std::uint64_t lun = 0;
    std::uint32_t task_tag = 0;
    std::uint32_t transfer_tag = reserved_tag;
    Numbering numbering;  // stat_sn is valid only with data_in_flags::status
    std::uint32_t data_sn = 0;
    std::uint32_t buffer_offset = 0;
    std::uint32_t residual = 0;

    static void fields(auto& self, auto field) {
        field(1, self.flags);
        field(3, self.status);
        field(8, self.lun);
        field(16, self.task_tag);
        field(20, self.transfer_tag);
        field(24, self.numbering.stat_sn);
        field(28, self.numbering.exp_cmd_sn);
        field(32, self.numbering.max_cmd_sn);
        field(36, self.data_sn);
        field(40, self.buffer_offset);
        field(44, self.residual);
    }
};

struct ReadyToTransferPdu {  // 11.8
    static constexpr Opcode opcode = Opcode::ready_to_transfer;
    std::uint8_t flags = final_bit;
    std::uint64_t lun = 0;
    std::uint32_t task_tag = 0;
    std::uint32_t transfer_tag = 0;
    Numbering numbering;  // stat_sn: the next one; it is not used up
    std::uint32_t r2t_sn = 0;
    std::uint32_t buffer_offset = 0;
    std::uint32_t desired_length = 0;

    static void fields(auto& self, auto field) {
        field(1, self.flags);
        field(8, self.lun);
        field(16, self.task_tag);
        field(20, self.transfer_tag);
        field(24, self.numbering.stat_sn);
        field(28, self.numbering.exp_cmd_sn);
        field(32, self.numbering.max_cmd_sn);
        field(36, self.r2t_sn);
        field(40, self.buffer_offset);
        field(44, self.desired_length);
    }
};

struct AsyncMessagePdu {  // 11.9
    static constexpr Opcode opcode = Opcode::async_message;
    std::uint8_t flags = final_bit;
    std::uint64_t lun = 0;
    std::uint32_t task_tag = reserved_tag;
    Numbering numbering;
    AsyncEvent event = AsyncEvent::scsi;
    std::uint8_t vendor_code = 0;
    std::uint16_t parameter1 = 0;
    std::uint16_t parameter2 = 0;
    std::uint16_t parameter3 = 0;

    static void fields(auto& self, auto field) {
        field(1, self.flags);
        field(8, self.lun);
        field(16, self.task_tag);
        field(24, self.numbering.stat_sn);
        field(28, self.numbering.exp_cmd_sn);
        field(32, self.numbering.max_cmd_sn);
        field(36, self.event);
        field(37, self.vendor_code);
        field(38, self.parameter1);
        field(40, self.parameter2);
        field(42, self.parameter3);
    }
};

struct TextResponsePdu {  // 11.11
    static constexpr Opcode opcode = Opcode::text_response;
    std::uint8_t flags = 0;
    std::uint64_t lun = 0;
    std::uint32_t task_tag = 0;
    std::uint32_t transfer_tag = reserved_tag;
    Numbering numbering;

    static void fields(auto& self, auto field) {
        field(1, self.flags);
        field(8, self.lun);
        field(16, self.task_tag);
        field(20, self.transfer_tag);
        field(24, self.numbering.stat_sn);
        field(28, self.numbering.exp_cmd_sn);
        field(32, self.numbering.max_cmd_sn);
    }
};

struct LoginResponsePdu {  // 11.13
    static constexpr Opcode opcode = Opcode::login_response;
    std::uint8_t flags = 0;
    std::uint8_t version_max = 0;
    std::uint8_t version_active = 0;
    InitiatorSessionId isid{};
    std::uint16_t tsih = 0;
    std::uint32_t task_tag = 0;
    Numbering numbering;
    LoginStatus status = LoginStatus::success;

    static void fields(auto& self, auto field) {
        field(1, self.flags);
        field(2, self.version_max);
        field(3, self.version_active);
        field(8, self.isid);
        field(14, self.tsih);
        field(16, self.task_tag);
        field(24, self.numbering.stat_sn);
        field(28, self.numbering.exp_cmd_sn);
        field(32, self.numbering.max_cmd_sn);
        field(36, self.status);
    }
};

struct LogoutResponsePdu {  // 11.15
    static constexpr Opcode opcode = Opcode::logout_response;
    std::uint8_t flags = final_bit;
    LogoutResult response = LogoutResult::closed;
    std::uint32_t task_tag = 0;
    Numbering numbering;
    std::uint16_t time_to_wait_seconds = 0;
    std::uint16_t time_to_retain_seconds = 0;

    static void fields(auto& self, auto field) {
        field(1, self.flags);
        field(2, self.response);
        field(16, self.task_tag);
        field(24, self.numbering.stat_sn);
        field(28, self.numbering.exp_cmd_sn);
        field(32, self.numbering.max_cmd_sn);
        field(40, self.time_to_wait_seconds);
        field(42, self.time_to_retain_seconds);
    }
};

struct NopInPdu {  // 11.19
    static constexpr Opcode opcode = Opcode::nop_in;
    std::uint8_t flags = final_bit;
    std::uint64_t lun = 0;
    std::uint32_t task_tag = reserved_tag;
    std::uint32_t transfer_tag = reserved_tag;
    Numbering numbering;

    static void fields(auto& self, auto field) {
        field(1, self.flags);
        field(8, self.lun);
        field(16, self.task_tag);
        field(20, self.transfer_tag);
        field(24, self.numbering.stat_sn);
        field(28, self.numbering.exp_cmd_sn);
        field(32, self.numbering.max_cmd_sn);
    }
};

struct RejectPdu {  // 11.17; its data segment is the header of the PDU in error
    static constexpr Opcode opcode = Opcode::reject;
    std::uint8_t flags = final_bit;
    RejectReason reason = RejectReason::protocol_error;
    std::uint32_t task_tag = reserved_tag;
    Numbering numbering;
    std::uint32_t data_sn_or_r2t_sn = 0;

    static void fields(auto& self, auto field) {
        field(1, self.flags);
        field(2, self.reason);
        field(16, self.task_tag);
        field(24, self.numbering.stat_sn);
        field(28, self.numbering.exp_cmd_sn);
        field(32, self.numbering.max_cmd_sn);
        field(36, self.data_sn_or_r2t_sn);
    }
};

// Additional header segments (11.2.2). A segment that overruns the whole, has length 0 or comes
// twice makes the set malformed; types that we do not know are skipped.
struct AdditionalHeaders {
    Bytes extended_cdb;  // what follows the 16 bytes of the BHS
    std::optional<std::uint32_t> bidirectional_read_length;
};
[[nodiscard]] std::optional<AdditionalHeaders> parse_additional_headers(Bytes ahs) noexcept;

// CRC32C of RFC 7143 13.1, over any number of pieces.
class Crc32c {
  public:
    void update(Bytes bytes) noexcept;
    // As it goes on the wire: least significant byte first.
    void store(std::uint8_t* to) const noexcept;
    [[nodiscard]] bool matches(const std::uint8_t* wire) const noexcept;
    [[nodiscard]] std::uint32_t value() const noexcept { return ~state_; }

  private:
    std::uint32_t state_ = 0xffffffff;
};

// Serial number arithmetic (RFC 1982, 32 bits), as RFC 7143 4.2.2.1 asks for all sequence numbers.
[[nodiscard]] constexpr bool serial_less(std::uint32_t a, std::uint32_t b) noexcept {
    return static_cast<std::int32_t>(a - b) < 0;
}

}  // namespace olio::iscsi
