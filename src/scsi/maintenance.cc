#include "scsi/maintenance.h"

#include <algorithm>

#include "scsi/logical_unit_state.h"
#include "scsi/sense_codes.h"

namespace olio::scsi {

namespace {

constexpr std::uint8_t supported_pages = 0x00;  // the only diagnostic page

constexpr bool bit(std::uint8_t byte, unsigned number) noexcept {
    return (byte >> number & 1U) != 0;
}

}  // namespace

std::expected<SendDiagnosticFields, SenseData> decode_send_diagnostic(
    const Request& request) noexcept {
    const std::uint8_t flags = request.cdb[1];
    const SendDiagnosticFields fields{.code = static_cast<SelfTestCode>(flags >> 5),
                                      .default_self_test = bit(flags, 2)};
    constexpr std::uint8_t reserved = 3;
    constexpr std::uint8_t last = 6;
    const bool tests = fields.code != SelfTestCode::none || fields.default_self_test;
    if (flags >> 5 == reserved || flags >> 5 > last ||
        (fields.default_self_test && fields.code != SelfTestCode::none))
        return std::unexpected(invalid_field_in_cdb(1, 7));
    if (tests && request.decoded.parameter_bytes != 0)
        return std::unexpected(invalid_field_in_cdb(3));
    if (!bit(flags, 4) && request.decoded.parameter_bytes != 0)  // PF
        return std::unexpected(invalid_field_in_cdb(1, 4));
    return fields;
}

std::expected<void, SenseData> check_diagnostic_list(Bytes list) noexcept {
    constexpr std::size_t header_bytes = 4;
    if (list.empty())
        return {};
    if (list.size() < header_bytes)
        return std::unexpected(make_sense(sense::parameter_list_length_error));
    if (list[0] != supported_pages)
        return std::unexpected(invalid_field_in_parameter_list(0));
    if (load_be<std::uint16_t>(list.data() + 2) != 0)
        return std::unexpected(invalid_field_in_parameter_list(2));
    return {};
}

std::expected<void, SenseData> receive_diagnostic_results(const Request& request, Builder& into) {
    const bool page_code_valid = bit(request.cdb[1], 0);
    if (page_code_valid && request.cdb[2] != supported_pages)
        return std::unexpected(invalid_field_in_cdb(2));
    into.u8(supported_pages);
    into.u8(0);
    into.be16(1);  // PAGE LENGTH
    into.u8(supported_pages);
    return {};
}

// ---- Buffers ----

namespace {

enum BufferMode : std::uint8_t {
    buffer_descriptor = 0x03,
    echo = 0x0A,
    echo_descriptor = 0x0B,
};
constexpr std::uint8_t mode_mask = 0x1F;

// The echo buffer is addressed as a whole.
std::expected<void, SenseData> check_whole(Bytes cdb) noexcept {
    if (cdb[2] != 0)
        return std::unexpected(invalid_field_in_cdb(2));
    if (load_be24(cdb.data() + 3) != 0)
        return std::unexpected(invalid_field_in_cdb(3));
    return {};
}

}  // namespace

EchoBuffer written(const EchoBuffer* before, NexusId writer, Bytes data) {
    EchoBuffer now{.writer = writer, .data = {data.begin(), data.end()}, .overwritten = {}};
    if (before == nullptr)
        return now;
    now.overwritten = before->overwritten;
    std::erase(now.overwritten, writer);
    if (before->writer != writer)
        now.overwritten.push_back(before->writer);
    if (now.overwritten.size() > EchoBuffer::most_remembered)
        now.overwritten.erase(now.overwritten.begin());
    return now;
}

std::expected<void, SenseData> check_write_buffer(const Request& request) noexcept {
    if ((request.cdb[1] & mode_mask) != echo)
        return std::unexpected(invalid_field_in_cdb(1, 4));
    if (auto whole = check_whole(request.cdb); !whole)
        return whole;
    if (request.decoded.parameter_bytes > EchoBuffer::capacity_bytes)
        return std::unexpected(invalid_field_in_cdb(6));
    return {};
}

std::expected<void, SenseData> read_buffer(const Request& request, Builder& into) {
    const std::uint8_t mode = request.cdb[1] & mode_mask;
    if (mode == buffer_descriptor) {  // of any identifier: there is no such buffer
        into.zeros(4);
        return {};
    }
    if (mode != echo && mode != echo_descriptor)
        return std::unexpected(invalid_field_in_cdb(1, 4));
    if (auto whole = check_whole(request.cdb); !whole)
        return whole;
    if (mode == echo_descriptor) {
        constexpr std::uint8_t owned_by_nexus = 0x01;  // EBOS
        into.u8(owned_by_nexus);
        into.u8(0);
        into.be16(EchoBuffer::capacity_bytes);
        return {};
    }
    const EchoBuffer* const buffer = request.state->echo_buffer.get();
    if (buffer != nullptr && buffer->writer == request.nexus.id) {
        into.bytes(buffer->data);
        return {};
    }
    if (buffer != nullptr &&
        std::ranges::find(buffer->overwritten, request.nexus.id) != buffer->overwritten.end())
        return std::unexpected(make_sense(sense::echo_buffer_overwritten));
    return std::unexpected(make_sense(sense::command_sequence_error));
}

// ---- Defects ----

namespace {

// An empty list looks the same in every format that SBC-4 defines.
std::expected<std::uint8_t, SenseData> defect_list_flags(Bytes cdb, std::uint16_t byte) noexcept {
    constexpr std::uint8_t last_format = 5;
    constexpr std::uint8_t format_mask = 0x07;
    if ((cdb[byte] & format_mask) > last_format)
        return std::unexpected(invalid_field_in_cdb(byte, 2));
    return cdb[byte];  // REQ_PLIST and REQ_GLIST become PLISTV and GLISTV
}

}  // namespace

std::expected<void, SenseData> read_defect_data_10(const Request& request, Builder& into) {
    const auto flags = defect_list_flags(request.cdb, 2);
    if (!flags)
        return std::unexpected(flags.error());
    into.u8(0);
    into.u8(*flags);
    into.be16(0);  // DEFECT LIST LENGTH
    return {};
}

std::expected<void, SenseData> read_defect_data_12(const Request& request, Builder& into) {
    const auto flags = defect_list_flags(request.cdb, 1);
    if (!flags)
        return std::unexpected(flags.error());
    into.u8(0);
    into.u8(*flags);
    into.be16(0);  // GENERATION CODE: not reported
    into.be32(0);  // DEFECT LIST LENGTH
    return {};
}

}  // namespace olio::scsi
