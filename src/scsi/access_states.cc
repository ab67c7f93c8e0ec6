#include "scsi/access_states.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>

#include "base/limits.h"
#include "scsi/data_in.h"
#include "scsi/logical_unit_state.h"
#include "scsi/sense_codes.h"

namespace olio::scsi {

namespace {

struct StateName {
    AccessState state;
    std::string_view name;
};
constexpr std::array<StateName, 7> state_names{{
    {AccessState::active_optimized, "active/optimized"},
    {AccessState::active_non_optimized, "active/non-optimized"},
    {AccessState::standby, "standby"},
    {AccessState::unavailable, "unavailable"},
    {AccessState::lba_dependent, "lba-dependent"},
    {AccessState::offline, "offline"},
    {AccessState::transitioning, "transitioning"},
}};

// Decimal, or hexadecimal behind 0x.
template <class T>
std::optional<T> number_of(std::string_view text) noexcept {
    const bool hexadecimal = text.starts_with("0x") || text.starts_with("0X");
    if (hexadecimal)
        text.remove_prefix(2);
    T value{};
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), value, hexadecimal ? 16 : 10);
    if (error != std::errc{} || end != text.data() + text.size() || text.empty())
        return std::nullopt;
    return value;
}

bool is_primary(AccessState state) noexcept {
    return state != AccessState::offline && state != AccessState::transitioning;
}

}  // namespace

std::string_view name_of(AccessState state) noexcept {
    for (const StateName& each : state_names)
        if (each.state == state)
            return each.name;
    return "reserved";
}

std::optional<AccessState> access_state_of(std::string_view text) noexcept {
    const auto number = number_of<std::uint8_t>(text);
    for (const StateName& each : state_names)
        if (each.name == text || (number && *number == static_cast<std::uint8_t>(each.state)))
            return each.state;
    return std::nullopt;
}

// --- The table ---

const TargetPortGroup* AccessStateTable::group(std::uint16_t id) const noexcept {
    const auto at = std::ranges::lower_bound(groups, id, {}, &TargetPortGroup::id);
    return at != groups.end() && at->id == id ? &*at : nullptr;
}

TargetPortGroup* AccessStateTable::group(std::uint16_t id) noexcept {
    return const_cast<TargetPortGroup*>(std::as_const(*this).group(id));
}

const GroupedPort* AccessStateTable::port(std::uint16_t relative_port) const noexcept {
    const auto at = std::ranges::lower_bound(ports, relative_port, {}, &GroupedPort::relative_port);
    return at != ports.end() && at->relative_port == relative_port ? &*at : nullptr;
}

GroupedPort* AccessStateTable::port(std::uint16_t relative_port) noexcept {
    return const_cast<GroupedPort*>(std::as_const(*this).port(relative_port));
}

const TargetPortGroup* AccessStateTable::group_of(std::uint16_t relative_port) const noexcept {
    const GroupedPort* const found = port(relative_port);
    return found == nullptr ? nullptr : group(found->group);
}

AccessState AccessStateTable::state_of(std::uint16_t relative_port) const noexcept {
    const GroupedPort* const found = port(relative_port);
    if (found == nullptr)
        return AccessState::active_optimized;
    if (found->offline)
        return AccessState::offline;
    const TargetPortGroup* const its = group(found->group);
    return its == nullptr ? AccessState::active_optimized : its->state;
}

bool AccessStateTable::any_explicit() const noexcept {
    return std::ranges::any_of(groups, &TargetPortGroup::explicit_access);
}

std::uint32_t AccessStateTable::delay_ms_of(std::uint16_t relative_port) const noexcept {
    const TargetPortGroup* const its = group_of(relative_port);
    return its == nullptr || its->state != AccessState::active_non_optimized
               ? 0
               : its->nonoptimized_delay_ms;
}

void AccessStateTable::settle() noexcept {
    delays = std::ranges::any_of(
        ports, [this](const GroupedPort& each) { return delay_ms_of(each.relative_port) != 0; });
    restricted = std::ranges::any_of(ports, [this](const GroupedPort& each) {
        return state_of(each.relative_port) != AccessState::active_optimized;
    });
}

std::uint8_t access_change_of(const AccessStateTable& table, std::uint16_t relative_port) noexcept {
    const TargetPortGroup* const group = table.group_of(relative_port);
    if (group == nullptr)
        return 0;
    return static_cast<std::uint8_t>((group->implicit_access ? 1 : 0) |
                                     (group->explicit_access ? 2 : 0));
}

// --- Admission ---

namespace {

std::unexpected<SenseData> not_now(AccessState state) noexcept {
    switch (state) {
        case AccessState::standby:
            return std::unexpected(make_sense(sense::target_port_in_standby_state));
        case AccessState::transitioning:
            return std::unexpected(make_sense(sense::asymmetric_access_state_transition));
        case AccessState::offline:
            return std::unexpected(make_sense(sense::logical_unit_offline));
        default:
            return std::unexpected(make_sense(sense::target_port_in_unavailable_state));
    }
}

}  // namespace

std::expected<void, SenseData> check_access(const CommandRow& row, const DecodedCdb& decoded,
                                            const AccessStateTable& table,
                                            std::uint16_t relative_port) noexcept {
    const AccessState state = table.state_of(relative_port);
    if (!admits(row.access_states, state))
        return not_now(state);
    if (state != AccessState::lba_dependent || row.medium == MediumAccess::none)
        return {};
    // Blocks that only the parameter list names could be any.
    const std::uint16_t group = table.port(relative_port)->group;
    const AccessState there =
        row.lba.bytes == 0 ? state_of_all_blocks(table.referrals, group)
                           : state_of_blocks(table.referrals, group, decoded.lba, decoded.blocks);
    if (there == AccessState::standby || there == AccessState::unavailable)
        return not_now(there);
    return {};
}

// --- SET TARGET PORT GROUPS ---

std::expected<std::vector<AccessChange>, SenseData> parse_set_target_port_groups(
    Bytes list, const AccessStateTable& table, std::uint16_t relative_port) {
    constexpr std::size_t header_bytes = 4;
    constexpr std::size_t descriptor_bytes = 4;
    std::vector<AccessChange> changes;
    if (list.empty())
        return changes;
    const TargetPortGroup* const own = table.group_of(relative_port);
    if (own == nullptr || !own->explicit_access)  // TPGS is 0 or 1 at this port
        return std::unexpected(make_sense(sense::invalid_command_operation_code));
    if (list.size() < header_bytes || (list.size() - header_bytes) % descriptor_bytes != 0)
        return std::unexpected(make_sense(sense::parameter_list_length_error));
    for (std::size_t at = header_bytes; at < list.size(); at += descriptor_bytes) {
        const auto byte = static_cast<std::uint16_t>(at);
        const auto state = static_cast<AccessState>(list[at] & 0x0F);
        const std::uint16_t id = load_be<std::uint16_t>(list.data() + at + 2);
        AccessChange change{.state = state, .id = id};
        change.secondary = change.offline = state == AccessState::offline;
        const TargetPortGroup* group = table.group(id);
        if (change.secondary)  // the identifier is that of a port
            group = table.group_of(id);
        const bool twice = std::ranges::any_of(changes, [&](const AccessChange& other) {
            return other.id == id && other.secondary == change.secondary;
        });
        if (group == nullptr || twice || !group->explicit_access)
            return std::unexpected(
                invalid_field_in_parameter_list(static_cast<std::uint16_t>(byte + 2)));
        const bool settable = state <= AccessState::unavailable || change.secondary;
        if (!settable || (group->supported_states & bit_of(state)) == 0)
            return std::unexpected(invalid_field_in_parameter_list(byte, std::uint8_t{3}));
        changes.push_back(change);
        if (change.secondary)
            continue;
        for (const GroupedPort& port : table.ports)
            if (port.group == id && port.offline)
                changes.push_back({.id = port.relative_port, .secondary = true, .offline = false});
    }
    return changes;
}

// --- Transitions ---

namespace {

Result<void> check_change(const AccessStateTable& table, const AccessChange& change,
                          AccessStatus status) {
    const TargetPortGroup* const group =
        change.secondary ? table.group_of(change.id) : table.group(change.id);
    if (group == nullptr)
        return fail(ENOENT, fmt::format("there is no target port {}{}",
                                        change.secondary ? "" : "group ", change.id));
    if (status == AccessStatus::implicitly && !group->implicit_access)
        return fail(EINVAL, fmt::format("target port group {} changes its state only when a host "
                                        "asks for it; allow implicit access first",
                                        group->id));
    if (group->target)
        return fail(EBUSY, fmt::format("target port group {} is in transition to {}; wait for it",
                                       group->id, name_of(*group->target)));
    if (change.secondary
            ? change.offline && (group->supported_states & bit_of(AccessState::offline)) == 0
            : !is_primary(change.state) || (group->supported_states & bit_of(change.state)) == 0)
        return fail(EINVAL,
                    fmt::format("target port group {} does not have the state {}", group->id,
                                name_of(change.secondary ? AccessState::offline : change.state)));
    if (!change.secondary && change.state == AccessState::lba_dependent && table.referrals.empty())
        return fail(EINVAL, "access that depends on the LBA wants referrals first");
    return {};
}

}  // namespace

Result<Transition> begin_transition(AccessStateTable& table, std::span<const AccessChange> changes,
                                    AccessStatus status) {
    for (const AccessChange& change : changes)
        OLIO_TRY(check_change(table, change, status));
    Transition transition;
    transition.status = status;
    for (const AccessChange& change : changes) {
        if (change.secondary) {
            if (table.port(change.id)->offline != change.offline)
                transition.changes.push_back(change);
            continue;
        }
        TargetPortGroup& group = *table.group(change.id);
        if (group.target || group.state == change.state)
            continue;  // named twice, or there already
        group.before = group.state;
        group.target = change.state;
        if (group.transition_delay_ms != 0 &&
            (group.supported_states & bit_of(AccessState::transitioning)) != 0)
            group.state = AccessState::transitioning;
        transition.delay_ms = std::max(transition.delay_ms, group.transition_delay_ms);
        transition.changes.push_back(change);
    }
    table.settle();
    return transition;
}

void finish_transition(AccessStateTable& table, const Transition& transition) noexcept {
    for (const AccessChange& change : transition.changes) {
        if (change.secondary) {
            if (GroupedPort* const port = table.port(change.id)) {
                port->offline = change.offline;
                port->status = transition.status;
            }
        } else if (TargetPortGroup* const group = table.group(change.id)) {
            group->state = change.state;
            group->status = transition.status;
            group->target.reset();
        }
    }
    table.settle();
}

void cancel_transition(AccessStateTable& table, const Transition& transition) noexcept {
    for (const AccessChange& change : transition.changes) {
        TargetPortGroup* const group = change.secondary ? nullptr : table.group(change.id);
        if (group == nullptr)
            continue;
        group->state = group->before;
        group->target.reset();
    }
    table.settle();
}

// --- Configuration ---

namespace {

bool is_file_name(std::string_view name) noexcept {
    constexpr std::size_t longest = 63;
    return !name.empty() && name.size() <= longest && name != "." && name != ".." &&
           std::ranges::all_of(name, [](char c) { return c > ' ' && c < 0x7F && c != '/'; });
}

}  // namespace

Result<void> put_group(AccessStateTable& table, TargetPortGroup group) {
    if (!is_file_name(group.name))
        return fail(EINVAL, fmt::format("'{}' is no name for a target port group: 1 to 63 visible "
                                        "characters without '/'",
                                        group.name));
    if (group.transition_delay_ms > TargetPortGroup::longest_transition_ms ||
        group.nonoptimized_delay_ms > TargetPortGroup::longest_nonoptimized_ms)
        return fail(
            EINVAL,
            fmt::format("target port group {}: a transition lasts at most {} ms, a delay of "
                        "the active/non-optimized state {} ms",
                        group.id, TargetPortGroup::longest_transition_ms,
                        TargetPortGroup::longest_nonoptimized_ms));
    for (const TargetPortGroup& other : table.groups)
        if (other.id != group.id && other.name == group.name)
            return fail(EINVAL, fmt::format("target port group {} has the name {} already",
                                            other.id, group.name));
    TargetPortGroup* const old = table.group(group.id);
    if (old != nullptr) {
        group.state = old->state;
        group.status = old->status;
        group.target = old->target;
        group.before = old->before;
    }
    const AccessState now = group.target ? *group.target : group.state;
    if (!is_primary(now) || (group.supported_states & bit_of(now)) == 0)
        return fail(EINVAL, fmt::format("target port group {} must support the state {} that it "
                                        "is in",
                                        group.id, name_of(now)));
    if (old != nullptr) {
        *old = std::move(group);
    } else {
        if (table.groups.size() >= limits::target_port_groups)
            return fail(ENOSPC, fmt::format("a logical unit has at most {} target port groups",
                                            limits::target_port_groups));
        const auto at = std::ranges::lower_bound(table.groups, group.id, {}, &TargetPortGroup::id);
        table.groups.insert(at, std::move(group));
    }
    table.settle();
    return {};
}

Result<void> remove_group(AccessStateTable& table, std::uint16_t id) {
    const TargetPortGroup* const group = table.group(id);
    if (group == nullptr)
        return fail(ENOENT, fmt::format("there is no target port group {}", id));
    if (group->target || std::ranges::any_of(table.ports, [id](const GroupedPort& port) {
            return port.group == id;
        }))
        return fail(EBUSY,
                    fmt::format("target port group {} has ports; move them to another first", id));
    table.groups.erase(table.groups.begin() + (group - table.groups.data()));
    table.settle();
    return {};
}

Result<void> put_port(AccessStateTable& table, std::uint16_t relative_port, std::uint16_t group) {
    if (relative_port == 0)
        return fail(EINVAL, "relative target port identifiers begin with 1");
    if (table.group(group) == nullptr)
        return fail(ENOENT, fmt::format("there is no target port group {}", group));
    if (GroupedPort* const port = table.port(relative_port)) {
        port->group = group;
    } else {
        if (table.ports.size() >= limits::grouped_ports)
            return fail(ENOSPC, fmt::format("a logical unit has at most {} target ports",
                                            limits::grouped_ports));
        const auto at =
            std::ranges::lower_bound(table.ports, relative_port, {}, &GroupedPort::relative_port);
        table.ports.insert(at, {.relative_port = relative_port, .group = group});
    }
    table.settle();
    return {};
}

Result<void> put_referrals(AccessStateTable& table, Referrals referrals) {
    for (const Referral& each : referrals.list)
        for (const ReferralGroup& group : each.groups)
            if (table.group(group.group) == nullptr)
                return fail(ENOENT, fmt::format("there is no target port group {}", group.group));
    if (referrals.empty())
        for (const TargetPortGroup& group : table.groups)
            if (group.state == AccessState::lba_dependent ||
                group.target == AccessState::lba_dependent)
                return fail(EINVAL,
                            fmt::format("target port group {} is LBA dependent; give it another "
                                        "state before the referrals are taken away",
                                        group.id));
    table.referrals = std::move(referrals);
    return {};
}

// --- REPORT TARGET PORT GROUPS (SPC-5 6.38) ---

std::expected<void, SenseData> report_target_port_groups(const Request& request, Builder& into) {
    constexpr std::uint8_t length_only = 0;
    constexpr std::uint8_t extended = 1;
    const std::uint8_t format = request.cdb[1] >> 5;
    if (format != length_only && format != extended)
        return std::unexpected(invalid_field_in_cdb(1, 7));
    const AccessStateTable& table = request.state->access;
    into.be32(0);  // RETURN DATA LENGTH, below
    if (format == extended) {
        const TargetPortGroup* const own = request.nexus.port == nullptr
                                               ? nullptr
                                               : table.group_of(request.nexus.port->relative_port);
        into.u8(extended << 4);
        into.u8(own == nullptr ? 0 : own->implicit_transition_seconds);
        into.be16(0);
    }
    for (const TargetPortGroup& group : table.groups) {
        const auto members = std::ranges::count(table.ports, group.id, &GroupedPort::group);
        into.u8(static_cast<std::uint8_t>((group.preferred ? 0x80 : 0x00) |
                                          static_cast<std::uint8_t>(group.state)));
        into.u8(group.supported_states);
        into.be16(group.id);
        into.u8(0);
        into.u8(static_cast<std::uint8_t>(group.status));
        into.u8(0);
        into.u8(static_cast<std::uint8_t>(members));
        for (const GroupedPort& port : table.ports)
            if (port.group == group.id) {
                into.be16(0);
                into.be16(port.relative_port);
            }
    }
    into.patch(0, static_cast<std::uint32_t>(into.size() - 4));
    return {};
}

// --- Metadata files ---

namespace {

// The value behind "key=" on a line of its own.
template <class T>
std::optional<T> field_of(std::string_view text, std::string_view key) {
    while (!text.empty()) {
        const std::size_t end = text.find('\n');
        const std::string_view line = text.substr(0, end);
        text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
        if (line.starts_with(key) && line.substr(key.size()).starts_with('='))
            return number_of<T>(line.substr(key.size() + 1));
    }
    return std::nullopt;
}

}  // namespace

std::string group_metadata(const TargetPortGroup& group) {
    const AccessState state = group.target ? group.before : group.state;
    return fmt::format(
        "tg_pt_gp_id={}\nalua_access_state=0x{:02x}\nalua_access_status=0x{:02x}\n{}", group.id,
        static_cast<unsigned>(state), static_cast<unsigned>(group.status),
        group.preferred ? "preferred=1\n" : "");
}

Result<GroupMetadata> parse_group_metadata(std::string_view text) {
    const auto id = field_of<std::uint16_t>(text, "tg_pt_gp_id");
    const auto state = field_of<std::uint8_t>(text, "alua_access_state");
    const auto status = field_of<std::uint8_t>(text, "alua_access_status");
    if (!text.ends_with('\n') || !id || !state || !status || *status > 2 ||
        *state > static_cast<std::uint8_t>(AccessState::lba_dependent))
        return fail(EINVAL,
                    "there is no tg_pt_gp_id, alua_access_state (0x00 to 0x04) and "
                    "alua_access_status (0x00 to 0x02), each a whole line");
    return GroupMetadata{*id, static_cast<AccessState>(*state), static_cast<AccessStatus>(*status),
                         field_of<std::uint8_t>(text, "preferred").value_or(0) == 1};
}

std::string port_metadata(const GroupedPort& port) {
    return fmt::format("alua_tg_pt_offline={}\nalua_tg_pt_status=0x{:02x}\n", port.offline ? 1 : 0,
                       static_cast<unsigned>(port.status));
}

Result<PortMetadata> parse_port_metadata(std::string_view text) {
    const auto offline = field_of<std::uint8_t>(text, "alua_tg_pt_offline");
    const auto status = field_of<std::uint8_t>(text, "alua_tg_pt_status");
    if (!text.ends_with('\n') || !offline || !status || *offline > 1 || *status > 2)
        return fail(EINVAL,
                    "there is no alua_tg_pt_offline (0 or 1) and alua_tg_pt_status (0x00 "
                    "to 0x02)");
    return PortMetadata{*offline == 1, static_cast<AccessStatus>(*status)};
}

}  // namespace olio::scsi
