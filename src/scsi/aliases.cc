#include "scsi/aliases.h"

#include <algorithm>
#include <array>
#include <set>

#include "base/limits.h"
#include "scsi/logical_unit_state.h"
#include "scsi/sense_codes.h"
#include "scsi/transport_id.h"

namespace olio::scsi {

namespace {

constexpr std::size_t list_header_bytes = 8;
constexpr std::size_t entry_header_bytes = 16;
constexpr std::uint8_t protocol_mask = 0x0F;

// The designations that are known; those with an address besides the name are not.
struct Form {
    ProtocolIdentifier protocol;
    std::uint8_t format;
    std::size_t least_bytes;
    std::size_t most_bytes;
    bool is_text;  // which ends with a NUL, and is filled up with more of them
};
constexpr std::array<Form, 4> forms{{
    {ProtocolIdentifier::none, 0x00, 0, 0, false},           // NULL DESIGNATION
    {ProtocolIdentifier::fibre_channel, 0x00, 8, 8, false},  // a worldwide port name
    {ProtocolIdentifier::rdma, 0x00, 16, 16, false},         // a target port identifier
    {ProtocolIdentifier::iscsi, 0x00, 4, (limits::iscsi_name_bytes + 4) & ~3U, true},
}};

std::unexpected<SenseData> wrong_at(std::size_t byte) {
    return std::unexpected(invalid_field_in_parameter_list(static_cast<std::uint16_t>(byte)));
}

bool is_name(Bytes designation) {
    const std::string_view text = as_text(designation);
    const std::string_view name = text.substr(0, text.find('\0'));
    return name.size() < text.size() && text.find_first_not_of('\0', name.size()) == text.npos &&
           TransportId::from_words(ProtocolIdentifier::iscsi, name).has_value();
}

// The entry at `at` of the list, whose end is `end`.
std::expected<Alias, SenseData> parse_entry(Bytes list, std::size_t at, std::size_t end) {
    if (end - at < entry_header_bytes)
        return std::unexpected(make_sense(sense::parameter_list_length_error));
    const std::uint8_t* const entry = list.data() + at;
    Alias alias{.value = load_be<std::uint64_t>(entry),
                .protocol = static_cast<ProtocolIdentifier>(entry[8] & protocol_mask),
                .format = entry[11],
                .designation = {}};
    const std::size_t bytes = load_be<std::uint16_t>(entry + 14);
    if (alias.value == 0)
        return wrong_at(at);
    const auto known = [&](const Form& form) { return form.protocol == alias.protocol; };
    if (std::ranges::none_of(forms, known))
        return wrong_at(at + 8);
    const auto form = std::ranges::find_if(
        forms, [&](const Form& each) { return known(each) && each.format == alias.format; });
    if (form == forms.end())
        return wrong_at(at + 11);
    if (bytes < form->least_bytes || bytes > form->most_bytes || bytes % 4 != 0)
        return wrong_at(at + 14);
    if (bytes > end - at - entry_header_bytes)
        return std::unexpected(make_sense(sense::parameter_list_length_error));
    const Bytes designation = list.subspan(at + entry_header_bytes, bytes);
    if (form->is_text && !is_name(designation))
        return wrong_at(at + entry_header_bytes);
    alias.designation.assign(designation.begin(), designation.end());
    return alias;
}

}  // namespace

std::expected<std::vector<Alias>, SenseData> change_aliases(std::vector<Alias> now, Bytes list) {
    if (list.empty())
        return now;
    constexpr std::size_t length_bytes = 4;
    if (list.size() < list_header_bytes)
        return std::unexpected(make_sense(sense::parameter_list_length_error));
    const std::size_t length = load_be<std::uint32_t>(list.data());
    if (length > list.size() - length_bytes || length + length_bytes < list_header_bytes)
        return std::unexpected(make_sense(sense::parameter_list_length_error));
    const std::size_t end = length + length_bytes;
    std::set<std::uint64_t> named;
    for (std::size_t at = list_header_bytes; at < end;) {
        auto alias = parse_entry(list, at, end);
        if (!alias)
            return std::unexpected(alias.error());
        if (!named.insert(alias->value).second)
            return wrong_at(at);  // which of the two is meant?
        at += entry_header_bytes + alias->designation.size();
        std::erase_if(now, [&](const Alias& each) { return each.value == alias->value; });
        if (alias->protocol != ProtocolIdentifier::none)
            now.push_back(std::move(*alias));
    }
    if (now.size() > limits::aliases_per_nexus_and_unit)
        return std::unexpected(make_sense(sense::insufficient_resources));
    return now;
}

std::expected<void, SenseData> report_aliases(const Request& request, Builder& into) {
    into.be32(0);  // ADDITIONAL LENGTH, below
    into.be16(0);
    into.be16(static_cast<std::uint16_t>(request.nexus.aliases.size()));
    for (const Alias& alias : request.nexus.aliases) {
        into.be64(alias.value);
        into.u8(static_cast<std::uint8_t>(alias.protocol));
        into.be16(0);
        into.u8(alias.format);
        into.be16(0);
        into.be16(static_cast<std::uint16_t>(alias.designation.size()));
        into.bytes(alias.designation);
    }
    into.patch(0, static_cast<std::uint32_t>(into.size() - 4));
    return {};
}

}  // namespace olio::scsi
