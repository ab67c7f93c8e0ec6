#include "scsi/transport_id.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/limits.h"

namespace olio::scsi {

namespace {

constexpr std::size_t header_bytes = 4;
constexpr std::size_t fixed_bytes = 24;
constexpr std::size_t smallest_additional_bytes = 20;
constexpr std::uint8_t port_format = 0x40;  // FORMAT CODE 01b
constexpr std::uint8_t format_mask = 0xC0;
constexpr std::uint8_t protocol_mask = 0x0F;
constexpr std::string_view separator = ",i,0x";
constexpr std::size_t session_digits = 12;  // an ISID has 48 bits

// Where the name stands in the TransportIDs of 24 bytes (SPC-5 tables 500, 502, 503, 507, 508), and
// how people write it.
struct FixedForm {
    ProtocolIdentifier protocol;
    std::uint8_t offset;
    std::uint8_t bytes;
    std::string_view prefix;
    std::string_view between;
};
constexpr std::array<FixedForm, 5> fixed_forms{{
    {ProtocolIdentifier::fibre_channel, 8, 8, "", ":"},
    {ProtocolIdentifier::ieee1394, 8, 8, "", ""},
    {ProtocolIdentifier::rdma, 8, 16, "0x", ""},
    {ProtocolIdentifier::sas, 4, 8, "naa.", ""},
    {ProtocolIdentifier::sop, 2, 2, "0x", ""},
}};

const FixedForm* form_of(ProtocolIdentifier protocol) {
    const auto found = std::ranges::find(fixed_forms, protocol, &FixedForm::protocol);
    return found == fixed_forms.end() ? nullptr : &*found;
}

int digit_of(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    const char small = static_cast<char>(c | 0x20);
    return small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

// Hexadecimal digits, with or without one of the usual prefixes and colons between. Exactly
// `into.size()` bytes.
bool read_hex(std::string_view text, MutableBytes into) {
    for (const std::string_view prefix : {"naa.", "eui.", "0x"})
        if (text.starts_with(prefix)) {
            text.remove_prefix(prefix.size());
            break;
        }
    std::size_t digits = 0;
    for (const char c : text) {
        if (c == ':')
            continue;
        const int digit = digit_of(c);
        if (digit < 0 || digits == 2 * into.size())
            return false;
        std::uint8_t& byte = into[digits / 2];
        byte = static_cast<std::uint8_t>(byte << 4 | digit);
        ++digits;
    }
    return digits == 2 * into.size();
}

// An ISID: at most 48 bits in hexadecimal digits, leading zeros or not.
std::optional<std::string> canonical_session(std::string_view text) {
    if (text.starts_with("0x"))
        text.remove_prefix(2);
    std::uint64_t value = 0;
    if (text.empty() || text.size() > session_digits)
        return std::nullopt;
    for (const char c : text) {
        const int digit = digit_of(c);
        if (digit < 0)
            return std::nullopt;
        value = value << 4 | static_cast<unsigned>(digit);
    }
    return fmt::format("{:012x}", value);
}

bool valid_iscsi_name(std::string_view name) {
    return !name.empty() && name.size() <= limits::iscsi_name_bytes &&
           std::ranges::all_of(name, [](char c) {
               return static_cast<unsigned char>(c) > ' ' && c != ',' && c != 0x7F;
           });
}

// iSCSI names do not tell capitals from small letters (RFC 7143 4.2.7.2).
std::string small_letters(std::string_view text) {
    std::string small(text);
    for (char& c : small)
        if (c >= 'A' && c <= 'Z')
            c = static_cast<char>(c | 0x20);
    return small;
}

std::vector<std::uint8_t> build_iscsi(std::string_view node, std::string_view session) {
    std::string name = small_letters(node);
    if (!session.empty())
        name += fmt::format("{}{}", separator, session);
    const std::size_t additional =
        std::max((name.size() + 1 + 3) & ~std::size_t{3}, smallest_additional_bytes);
    std::vector<std::uint8_t> bytes(header_bytes + additional);
    Builder into(bytes);
    into.u8(static_cast<std::uint8_t>((session.empty() ? 0 : port_format) |
                                      static_cast<std::uint8_t>(ProtocolIdentifier::iscsi)));
    into.u8(0);
    into.be16(static_cast<std::uint16_t>(additional));
    into.bytes(as_bytes(name));
    return bytes;
}

// The name of an iSCSI TransportID, up to the null that ends it.
std::string_view name_in(Bytes id) {
    const std::string_view text = as_text(id.subspan(header_bytes));
    return text.substr(0, text.find('\0'));
}

}  // namespace

std::optional<TransportId::Parsed> TransportId::parse(Bytes list) {
    if (list.size() < fixed_bytes)
        return std::nullopt;
    const auto protocol = static_cast<ProtocolIdentifier>(list[0] & protocol_mask);
    const std::uint8_t format = list[0] & format_mask;
    Parsed parsed;
    if (protocol != ProtocolIdentifier::iscsi) {
        const FixedForm* const form = form_of(protocol);
        if (form == nullptr || format != 0)
            return std::nullopt;
        parsed.id.bytes_.resize(fixed_bytes);
        parsed.id.bytes_[0] = list[0] & protocol_mask;
        std::ranges::copy(list.subspan(form->offset, form->bytes),
                          parsed.id.bytes_.begin() + form->offset);
        parsed.length_bytes = fixed_bytes;
        return parsed;
    }
    const std::size_t additional = load_be<std::uint16_t>(list.data() + 2);
    if (additional < smallest_additional_bytes || additional % 4 != 0 ||
        additional > list.size() - header_bytes || (format != 0 && format != port_format))
        return std::nullopt;
    parsed.length_bytes = header_bytes + additional;
    std::string_view name = name_in(list.first(parsed.length_bytes));
    std::string session;
    if (format == port_format) {
        const std::size_t at = name.find(separator);
        if (at == std::string_view::npos)
            return std::nullopt;
        auto digits = canonical_session(name.substr(at + separator.size()));
        if (!digits)
            return std::nullopt;
        session = std::move(*digits);
        name = name.substr(0, at);
    }
    if (!valid_iscsi_name(name))
        return std::nullopt;
    parsed.id.bytes_ = build_iscsi(name, session);
    return parsed;
}

std::optional<TransportId> TransportId::from_words(ProtocolIdentifier protocol,
                                                   std::string_view node,
                                                   std::string_view session) {
    TransportId id;
    if (protocol == ProtocolIdentifier::iscsi) {
        std::string digits;
        if (!session.empty()) {
            auto canonical = canonical_session(session);
            if (!canonical)
                return std::nullopt;
            digits = std::move(*canonical);
        }
        if (!valid_iscsi_name(node))
            return std::nullopt;
        id.bytes_ = build_iscsi(node, digits);
        return id;
    }
    const FixedForm* const form = form_of(protocol);
    if (form == nullptr || !session.empty())
        return std::nullopt;
    id.bytes_.resize(fixed_bytes);
    id.bytes_[0] = static_cast<std::uint8_t>(protocol);
    if (!read_hex(node, MutableBytes(id.bytes_).subspan(form->offset, form->bytes)))
        return std::nullopt;
    return id;
}

ProtocolIdentifier TransportId::protocol() const noexcept {
    if (bytes_.empty())
        return ProtocolIdentifier::none;
    return static_cast<ProtocolIdentifier>(bytes_[0] & protocol_mask);
}

bool TransportId::names_port() const noexcept {
    return !bytes_.empty() &&
           (protocol() != ProtocolIdentifier::iscsi || (bytes_[0] & format_mask) == port_format);
}

bool TransportId::covers(const TransportId& port) const {
    if (names_port() || empty())
        return *this == port;
    return port.protocol() == ProtocolIdentifier::iscsi && node() == port.node();
}

std::string TransportId::node() const {
    if (bytes_.empty())
        return {};
    if (protocol() == ProtocolIdentifier::iscsi) {
        const std::string_view name = name_in(bytes_);
        return std::string(names_port() ? name.substr(0, name.find(separator)) : name);
    }
    const FixedForm& form = *form_of(protocol());
    std::string text(form.prefix);
    for (std::size_t i = 0; i < form.bytes; ++i) {
        if (i != 0)
            text += form.between;
        text += fmt::format("{:02x}", bytes_[form.offset + i]);
    }
    return text;
}

std::string TransportId::session() const {
    if (protocol() != ProtocolIdentifier::iscsi || !names_port())
        return {};
    const std::string_view name = name_in(bytes_);
    return std::string(name.substr(name.find(separator) + separator.size()));
}

}  // namespace olio::scsi
