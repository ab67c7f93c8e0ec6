#include "fabric/iscsi/pdu.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <limits>
#include <span>

namespace olio::iscsi {

namespace {

template <class Code>
struct CodeName {
    Code code;
    std::string_view name;
};

constexpr CodeName<RejectReason> reject_reasons[] = {
    {RejectReason::data_digest_error, "data digest error"},
    {RejectReason::snack_reject, "SNACK reject"},
    {RejectReason::protocol_error, "protocol error"},
    {RejectReason::command_not_supported, "command not supported"},
    {RejectReason::immediate_command_rejected, "too many immediate commands"},
    {RejectReason::task_in_progress, "task in progress"},
    {RejectReason::invalid_data_ack, "invalid data acknowledgement"},
    {RejectReason::invalid_pdu_field, "invalid PDU field"},
    {RejectReason::out_of_resources, "out of resources"},
    {RejectReason::negotiation_reset, "negotiation reset"},
    {RejectReason::waiting_for_logout, "waiting for logout"},
};

constexpr CodeName<LoginStatus> login_statuses[] = {
    {LoginStatus::success, "success"},
    {LoginStatus::moved_temporarily, "target moved temporarily"},
    {LoginStatus::moved_permanently, "target moved permanently"},
    {LoginStatus::initiator_error, "initiator error"},
    {LoginStatus::authentication_failure, "authentication failure"},
    {LoginStatus::authorization_failure, "authorization failure"},
    {LoginStatus::target_not_found, "target not found"},
    {LoginStatus::target_removed, "target removed"},
    {LoginStatus::unsupported_version, "unsupported version"},
    {LoginStatus::too_many_connections, "too many connections"},
    {LoginStatus::missing_parameter, "missing parameter"},
    {LoginStatus::cannot_include_in_session, "cannot include connection in session"},
    {LoginStatus::session_type_not_supported, "session type not supported"},
    {LoginStatus::session_does_not_exist, "session does not exist"},
    {LoginStatus::invalid_during_login, "invalid request during login"},
    {LoginStatus::target_error, "target error"},
    {LoginStatus::service_unavailable, "service unavailable"},
    {LoginStatus::out_of_resources, "out of resources"},
};

template <class Code>
std::string_view name_of(std::span<const CodeName<Code>> table, Code code) noexcept {
    const auto row = std::ranges::find(table, code, &CodeName<Code>::code);
    return row == table.end() ? "unknown" : row->name;
}

// AHS types of RFC 7143 11.2.2.1.
constexpr std::uint8_t ahs_extended_cdb = 1;
constexpr std::uint8_t ahs_bidirectional_read_length = 2;

}  // namespace

std::string_view reject_reason_name(RejectReason reason) noexcept {
    return name_of<RejectReason>(reject_reasons, reason);
}

std::string_view login_status_name(LoginStatus status) noexcept {
    return name_of<LoginStatus>(login_statuses, status);
}

std::optional<AdditionalHeaders> parse_additional_headers(Bytes ahs) noexcept {
    AdditionalHeaders found;
    Cursor cursor(ahs);
    while (cursor.remaining() != 0) {
        // AHSLength counts the type-specific part and the byte after the type (11.2.2.2), without
        // padding: the whole segment is AHSLength + 3 bytes.
        const std::size_t length = cursor.be16();
        const std::uint8_t type = cursor.u8();
        if (cursor.failed() || length == 0)
            return std::nullopt;
        const Bytes body = cursor.bytes(length);
        if (cursor.failed())
            return std::nullopt;
        cursor.skip(std::min(padding(length + 3), cursor.remaining()));
        if (type == ahs_extended_cdb) {
            if (!found.extended_cdb.empty() || length < 2)
                return std::nullopt;
            found.extended_cdb = body.subspan(1);
        } else if (type == ahs_bidirectional_read_length) {
            if (found.bidirectional_read_length || length != 5)
                return std::nullopt;
            found.bidirectional_read_length = load_be<std::uint32_t>(body.data() + 1);
        }
    }
    return found;
}

void Crc32c::update(Bytes bytes) noexcept {
    // The library takes its length as an int and neither inverts the seed nor the result.
    while (!bytes.empty()) {
        const std::size_t count =
            std::min<std::size_t>(bytes.size(), std::numeric_limits<int>::max());
        state_ =
            crc32_iscsi(const_cast<unsigned char*>(bytes.data()), static_cast<int>(count), state_);
        bytes = bytes.subspan(count);
    }
}

void Crc32c::store(std::uint8_t* to) const noexcept {
    store_be(to, std::byteswap(value()));
}

bool Crc32c::matches(const std::uint8_t* wire) const noexcept {
    return load_be<std::uint32_t>(wire) == std::byteswap(value());
}

}  // namespace olio::iscsi
