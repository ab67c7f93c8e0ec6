#include "scsi/aptpl.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <map>
#include <optional>

namespace olio::scsi {

namespace {

constexpr std::string_view nothing = "No Registrations or Reservations";
constexpr std::string_view start_word = "PR_REG_START: ";
constexpr std::string_view end_word = "PR_REG_END: ";
constexpr std::string_view port_separator = ",t,0x";

constexpr std::array<std::string_view, 14> field_names{
    "initiator_fabric", "initiator_node", "initiator_sid", "sa_res_key", "res_holder",
    "res_type",         "res_scope",      "res_all_tg_pt", "mapped_lun", "target_fabric",
    "target_node",      "tpgt",           "port_rtpi",     "target_lun"};

// LIO names fabrics, SPC-5 protocols. The first of a protocol is what is written.
struct Fabric {
    ProtocolIdentifier protocol;
    std::string_view name;
};
constexpr std::array<Fabric, 11> fabrics{{
    {ProtocolIdentifier::iscsi, "iSCSI"},
    {ProtocolIdentifier::fibre_channel, "qla2xxx"},
    {ProtocolIdentifier::fibre_channel, "fc"},
    {ProtocolIdentifier::fibre_channel, "efct"},
    {ProtocolIdentifier::fibre_channel, "ibmvscsis"},
    {ProtocolIdentifier::rdma, "srpt"},
    {ProtocolIdentifier::sas, "loopback"},
    {ProtocolIdentifier::sas, "vhost"},
    {ProtocolIdentifier::sas, "xen-pvscsi"},
    {ProtocolIdentifier::ieee1394, "sbp"},
    {ProtocolIdentifier::sop, "sop"},
}};

std::string_view fabric_of(ProtocolIdentifier protocol) {
    const auto found = std::ranges::find(fabrics, protocol, &Fabric::protocol);
    return found == fabrics.end() ? std::string_view("iSCSI") : found->name;
}

std::optional<ProtocolIdentifier> protocol_of(std::string_view fabric) {
    const auto found = std::ranges::find(fabrics, fabric, &Fabric::name);
    if (found == fabrics.end())
        return std::nullopt;
    return found->protocol;
}

template <class T>
std::optional<T> number(std::string_view text, int base = 10) {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc{} || end != text.data() + text.size())
        return std::nullopt;
    return value;
}

// "iqn.…,t,0x0001" is node and portal group tag; what has no tag gets 1.
struct PortWords {
    std::string_view node;
    std::uint16_t tag = 1;
};
PortWords words_of_port(std::string_view port_name) {
    const std::size_t at = port_name.rfind(port_separator);
    if (at == std::string_view::npos)
        return {port_name, 1};
    return {port_name.substr(0, at),
            number<std::uint16_t>(port_name.substr(at + port_separator.size()), 16).value_or(1)};
}

std::string write_one(const PersistentReservations& all, const Registration& each, bool holds,
                      std::size_t index) {
    const TransportId& initiator = each.nexus.initiator;
    const std::string session = initiator.session();
    const PortWords port = words_of_port(each.nexus.port_name);
    const std::string_view fabric = fabric_of(initiator.protocol());
    std::string text = fmt::format("{}{}\ninitiator_fabric={}\ninitiator_node={}\n", start_word,
                                   index, fabric, initiator.node());
    if (!session.empty())
        text += fmt::format("initiator_sid={}\n", session);
    text += fmt::format("sa_res_key={}\n", each.key);
    if (holds)
        text += fmt::format("res_holder=1\nres_type={:02x}\nres_scope=00\n",
                            static_cast<unsigned>(all.type));
    else
        text += "res_holder=0\n";
    text += fmt::format("res_all_tg_pt={}\nmapped_lun={}\ntarget_fabric={}\ntarget_node={}\n",
                        each.all_target_ports ? 1 : 0, each.lun, fabric, port.node);
    text += fmt::format("tpgt={}\nport_rtpi={}\ntarget_lun={}\n{}{}\n", port.tag,
                        each.nexus.relative_port, each.lun, end_word, index);
    return text;
}

class Reader {
  public:
    Reader(std::string_view text, std::size_t maximum) : text_(text), maximum_(maximum) {}

    std::expected<PersistentReservations, std::string> read();

  private:
    using Fields = std::map<std::string_view, std::string_view>;
    using Maybe = std::expected<void, std::string>;

    [[nodiscard]] std::unexpected<std::string> wrong(std::string_view what) const {
        return std::unexpected(fmt::format("line {}: {}", line_, what));
    }
    // The next line that is not empty; nothing at the end.
    std::optional<std::string_view> next();
    Maybe line(std::string_view words);
    Maybe finish();
    Maybe take_reservation(Registration& registration);
    template <class T>
    bool take(std::string_view name, T& into, int base = 10);

    std::string_view text_;
    std::size_t maximum_;
    std::size_t line_ = 0;
    std::optional<std::size_t> open_;  // the number of the block that has begun
    Fields fields_;
    PersistentReservations all_;
};

std::optional<std::string_view> Reader::next() {
    while (!text_.empty()) {
        const std::size_t end = text_.find('\n');
        const std::string_view words = text_.substr(0, end);
        text_.remove_prefix(end == std::string_view::npos ? text_.size() : end + 1);
        ++line_;
        if (!words.empty())
            return words;
    }
    return std::nullopt;
}

// False: missing or no such number.
template <class T>
bool Reader::take(std::string_view name, T& into, int base) {
    const auto field = fields_.find(name);
    if (field == fields_.end())
        return false;
    const auto value = number<T>(field->second, base);
    if (!value)
        return false;
    into = *value;
    return true;
}

Reader::Maybe Reader::take_reservation(Registration& registration) {
    unsigned holder = 0;
    if (!take("res_holder", holder) || holder > 1)
        return wrong("res_holder is neither 0 nor 1");
    if (holder == 0)
        return {};
    unsigned type = 0;
    unsigned scope = 0;
    if (!take("res_type", type, 16) || type > 0xFF ||
        !is_reservation_type(static_cast<std::uint8_t>(type)))
        return wrong("res_type is no type of persistent reservation");
    if (fields_.contains("res_scope") && (!take("res_scope", scope, 16) || scope != 0))
        return wrong("res_scope is not that of a logical unit");
    if (all_.type != ReservationType::none)
        return wrong("a second holder of the one reservation");
    all_.type = static_cast<ReservationType>(type);
    registration.holds = !all_registrants(all_.type);
    return {};
}

Reader::Maybe Reader::finish() {
    Registration registration;
    const auto protocol = fields_.contains("initiator_fabric")
                              ? protocol_of(fields_["initiator_fabric"])
                              : std::optional(ProtocolIdentifier::iscsi);
    if (!protocol)
        return wrong("initiator_fabric is of no known fabric");
    const auto initiator =
        TransportId::from_words(*protocol, fields_["initiator_node"], fields_["initiator_sid"]);
    // Without initiator_sid: a device, see PersistentReservations::any_session.
    if (!initiator)
        return wrong("initiator_node and initiator_sid name no initiator port or device");
    registration.nexus.initiator = *initiator;
    if (!take("sa_res_key", registration.key) || registration.key == 0)
        return wrong("sa_res_key is no reservation key");
    unsigned everywhere = 0;
    if (fields_.contains("res_all_tg_pt") && (!take("res_all_tg_pt", everywhere) || everywhere > 1))
        return wrong("res_all_tg_pt is neither 0 nor 1");
    registration.all_target_ports = everywhere == 1;
    if (!take("port_rtpi", registration.nexus.relative_port))
        return wrong("port_rtpi is no relative target port identifier");
    if (fields_.contains("target_lun") && !take("target_lun", registration.lun))
        return wrong("target_lun is no LUN");
    std::uint16_t tag = 1;
    if (fields_.contains("tpgt") && !take("tpgt", tag))
        return wrong("tpgt is no portal group tag");
    registration.nexus.port_name =
        *protocol == ProtocolIdentifier::iscsi && !fields_["target_node"].empty()
            ? fmt::format("{}{}{:04x}", fields_["target_node"], port_separator, tag)
            : std::string(fields_["target_node"]);
    if (auto taken = take_reservation(registration); !taken)
        return taken;
    if (all_.find(registration.nexus) != nullptr)
        return wrong("the same I_T nexus is registered twice");
    if (all_.registrations.size() >= maximum_)
        return wrong(fmt::format("more than {} registrations", maximum_));
    all_.registrations.push_back(std::move(registration));
    return {};
}

Reader::Maybe Reader::line(std::string_view words) {
    if (words.starts_with(start_word)) {
        const auto index = number<std::size_t>(words.substr(start_word.size()));
        if (open_ || !index)
            return wrong("a registration begins inside another");
        open_ = index;
        fields_.clear();
        return {};
    }
    if (!open_)
        return wrong("text outside of a registration");
    if (words.starts_with(end_word)) {
        if (number<std::size_t>(words.substr(end_word.size())) != open_)
            return wrong("the end of another registration");
        open_.reset();
        return finish();
    }
    const std::size_t equals = words.find('=');
    if (equals == std::string_view::npos)
        return wrong("not NAME=VALUE");
    if (std::ranges::find(field_names, words.substr(0, equals)) == field_names.end())
        return wrong("no known field");
    if (!fields_.emplace(words.substr(0, equals), words.substr(equals + 1)).second)
        return wrong("a field is given twice");
    return {};
}

std::expected<PersistentReservations, std::string> Reader::read() {
    bool empty = true;
    while (const auto words = next()) {
        if (*words == nothing && empty) {
            empty = false;
            if (next())
                return wrong("text after the statement that there is nothing");
            return all_;
        }
        empty = false;
        if (auto taken = line(*words); !taken)
            return std::unexpected(taken.error());
    }
    if (open_)
        return wrong("the file ends inside a registration");
    if (empty)
        return wrong("the file is empty");
    all_.persists_through_power_loss = true;
    return std::move(all_);
}

}  // namespace

std::string write_aptpl(const PersistentReservations& reservations) {
    if (!reservations.persists_through_power_loss || reservations.registrations.empty())
        return std::string(nothing) + "\n";
    std::string text;
    const bool all = all_registrants(reservations.type);
    for (std::size_t i = 0; i < reservations.registrations.size(); ++i) {
        const Registration& each = reservations.registrations[i];
        // LIO has one holder even of an all registrants type.
        text += write_one(reservations, each, each.holds || (all && i == 0), i);
    }
    return text;
}

std::expected<PersistentReservations, std::string> parse_aptpl(std::string_view text,
                                                               std::size_t maximum_registrations) {
    if (text.ends_with('\0'))
        text.remove_suffix(1);
    return Reader(text, maximum_registrations).read();
}

}  // namespace olio::scsi
