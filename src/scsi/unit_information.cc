#include "scsi/unit_information.h"

#include <algorithm>
#include <array>

#include "scsi/logical_unit_state.h"
#include "scsi/sense_codes.h"

namespace olio::scsi {

namespace {

// INFORMATION TYPE.
enum InformationType : std::uint8_t { peripheral = 0x00, text = 0x02, supported_types = 0x7F };
constexpr std::uint16_t information_type_byte = 10;

std::uint8_t information_type(Bytes cdb) {
    return cdb[information_type_byte] >> 1;
}

struct TypeRow {
    std::uint8_t type;
    std::size_t most_bytes;
    std::string IdentifyingInformation::* value;
};
constexpr std::array<TypeRow, 2> types{{
    {peripheral, IdentifyingInformation::peripheral_bytes, &IdentifyingInformation::peripheral},
    {text, IdentifyingInformation::text_bytes, &IdentifyingInformation::text},
}};

const TypeRow* find_type(Bytes cdb) {
    const auto row = std::ranges::find(types, information_type(cdb), &TypeRow::type);
    return row == types.end() ? nullptr : &*row;
}

std::unexpected<SenseData> unknown_type() {
    return std::unexpected(invalid_field_in_cdb(information_type_byte, 7));
}

}  // namespace

std::expected<void, SenseData> report_identifying_information(const Request& request,
                                                              Builder& into) {
    if (information_type(request.cdb) == supported_types) {
        into.be16(0);
        into.be16(static_cast<std::uint16_t>(4 * types.size()));
        for (const TypeRow& row : types) {
            into.u8(static_cast<std::uint8_t>(row.type << 1));
            into.u8(0);
            into.be16(static_cast<std::uint16_t>(row.most_bytes));
        }
        return {};
    }
    const TypeRow* row = find_type(request.cdb);
    if (row == nullptr)
        return unknown_type();
    const std::string& value = request.state->identifying_information.*row->value;
    into.be16(0);
    into.be16(static_cast<std::uint16_t>(value.size()));
    into.bytes(as_bytes(value));
    return {};
}

std::expected<IdentifyingInformation, SenseData> set_identifying_information(const Request& request,
                                                                             Bytes list) {
    const TypeRow* row = find_type(request.cdb);
    if (row == nullptr)
        return unknown_type();
    if (list.size() > row->most_bytes)
        return std::unexpected(invalid_field_in_cdb(request.row.parameter_bytes.byte));
    if (row->type == text && !list.empty()) {  // ended by a NUL, and nothing but NULs behind it
        const auto end = std::ranges::find(list, std::uint8_t{0});
        const auto wrong = std::find_if(end, list.end(), [](std::uint8_t c) { return c != 0; });
        if (end == list.end() || wrong != list.end())
            return std::unexpected(invalid_field_in_parameter_list(
                static_cast<std::uint16_t>((wrong != list.end() ? wrong : end) - list.begin())));
    }
    IdentifyingInformation next = request.state->identifying_information;
    next.*row->value = as_text(list);
    return next;
}

void report_timestamp(const Timestamp& timestamp, std::int64_t clock_ms, std::int64_t machine_ms,
                      Builder& into) {
    enum Origin : std::uint8_t { set_by_command = 2, set_by_other_means = 3 };
    const bool set = timestamp.offset_ms.has_value();
    const auto now = static_cast<std::uint64_t>(set ? clock_ms + *timestamp.offset_ms : machine_ms);
    into.be16(10);
    into.u8(set ? set_by_command : set_by_other_means);
    into.u8(0);
    into.be16(static_cast<std::uint16_t>(now >> 32));
    into.be32(static_cast<std::uint32_t>(now));
    into.be16(0);
}

std::expected<std::optional<std::uint64_t>, SenseData> set_timestamp(const Request& request,
                                                                     Bytes list) {
    constexpr std::size_t list_bytes = 12;
    if (!request.state->mode_pages.timestamp_precedence)
        return std::unexpected(invalid_field_in_cdb(1, 4));
    if (list.empty())
        return std::nullopt;
    if (list.size() < list_bytes)
        return std::unexpected(make_sense(sense::parameter_list_length_error));
    return std::uint64_t{load_be<std::uint16_t>(list.data() + 4)} << 32 |
           load_be<std::uint32_t>(list.data() + 6);
}

}  // namespace olio::scsi
