#include "fabric/iscsi/target_node.h"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/limits.h"

namespace olio::iscsi {

namespace {

constexpr std::size_t max_alias_bytes = 255;

Result<void> check(const TargetNodeOptions& options) {
    if (!valid_name(options.name))
        return fail(EINVAL, fmt::format("'{}' is not an iSCSI name of 1 to {} bytes without spaces "
                                        "and commas",
                                        options.name, limits::iscsi_name_bytes));
    if (options.alias.size() > max_alias_bytes || options.alias.find('\0') != std::string::npos)
        return fail(EINVAL, fmt::format("the alias of {} is longer than {} bytes", options.name,
                                        max_alias_bytes));
    std::set<std::uint16_t> tags;
    for (const PortalGroupOptions& group : options.portal_groups) {
        if (!tags.insert(group.tag).second)
            return fail(EINVAL, fmt::format("portal group {} of {} is given twice", group.tag,
                                            options.name));
        if (group.luns == nullptr)
            return fail(EINVAL, fmt::format("portal group {} of {} has no LUN map", group.tag,
                                            options.name));
        if (group.command_window == 0 || group.command_window > limits::commands_per_nexus)
            return fail(EINVAL, fmt::format("the command window of {} must be 1 to {}",
                                            options.name, limits::commands_per_nexus));
        OLIO_TRY(check_authentication(authentication_of(group.access)));
        if (group.discovery_chap)
            OLIO_TRY(check_authentication({.accepted = {*group.discovery_chap}, .mutual = {}}));
    }
    return {};
}

// A portal of another family than the host's, or one that it cannot reach, is not for its ears.
std::string address_for(const reactor::Endpoint& portal, const reactor::Endpoint& local) {
    if (!portal.wildcard())
        return portal.loopback() && !local.loopback() ? "" : portal.text();
    if (portal.address.ss_family != local.address.ss_family)
        return "";
    const bool v6 = local.address.ss_family == AF_INET6;
    return fmt::format("{}{}{}:{}", v6 ? "[" : "", local.host(), v6 ? "]" : "",
                       portal.port() != 0 ? portal.port() : local.port());
}

}  // namespace

std::shared_ptr<const target::LunMap> PortalGroup::luns_for(const std::string& initiator) const {
    const auto own = options.luns_of_initiator.find(initiator);
    return own == options.luns_of_initiator.end() ? options.luns : own->second;
}

AuthenticationSettings authentication_of(const AccessOptions& access) {
    AuthenticationSettings settings{.accepted = access.further_chap, .mutual = access.mutual_chap};
    if (access.chap)
        settings.accepted.insert(settings.accepted.begin(), *access.chap);
    return settings;
}

scsi::PortDescription port_description(std::string_view target_name, std::uint16_t portal_group_tag,
                                       std::uint16_t relative_port) {
    std::string name = normalize_name(target_name);
    return {.protocol = scsi::ProtocolIdentifier::iscsi,
            .relative_port = relative_port,
            .port_name = fmt::format("{},t,0x{:04x}", name, portal_group_tag),
            .device_name = std::move(name)};
}

Result<void> TargetSet::add(TargetNodeOptions options) {
    OLIO_TRY(check(options));
    const std::string name = normalize_name(options.name);
    if (targets_.contains(name))
        return fail(EEXIST, fmt::format("there is a target {} already", name));
    auto& groups = targets_[name];
    for (PortalGroupOptions& each : options.portal_groups) {
        auto group = std::make_shared<PortalGroup>();
        group->target_name = name;
        group->target_alias = options.alias;
        for (const std::string& initiator : each.access.initiator_names)
            group->allowed.insert(normalize_name(initiator));
        group->authentication =
            std::make_shared<AuthenticationSettings>(authentication_of(each.access));
        if (each.discovery_chap)
            group->discovery_authentication = std::make_shared<AuthenticationSettings>(
                AuthenticationSettings{.accepted = {*each.discovery_chap}, .mutual = {}});
        group->port.description = port_description(
            name, each.tag, each.relative_port != 0 ? each.relative_port : ++last_relative_port_);
        group->port.maximum_data_bytes = limits::transfer_length_bytes;
        group->options = std::move(each);
        groups.push_back(std::move(group));
    }
    return {};
}

Result<void> TargetSet::remove(const std::string& name) {
    if (targets_.erase(normalize_name(name)) == 0)
        return fail(ENOENT, fmt::format("there is no target {}", name));
    return {};
}

std::shared_ptr<PortalGroup> TargetSet::find(std::string_view target_name,
                                             const reactor::Endpoint& portal) const {
    const auto target = targets_.find(target_name);
    if (target == targets_.end())
        return nullptr;
    const std::string text = portal.text();
    for (const auto& group : target->second)
        for (const reactor::Endpoint& own : group->options.portals)
            if (own.text() == text)
                return group;
    return nullptr;
}

std::shared_ptr<PortalGroup> TargetSet::find(std::string_view target_name,
                                             std::uint16_t tag) const {
    const auto target = targets_.find(target_name);
    if (target == targets_.end())
        return nullptr;
    for (const auto& group : target->second)
        if (group->options.tag == tag)
            return group;
    return nullptr;
}

TargetSelection TargetSet::select(const LoginIdentity& identity,
                                  const reactor::Endpoint& portal) const {
    TargetSelection selection;
    if (identity.discovery) {
        const std::string text = portal.text();
        for (const auto& [name, groups] : targets_)
            for (const auto& group : groups)
                if (group->discovery_authentication != nullptr &&
                    std::ranges::any_of(group->options.portals,
                                        [&text](const auto& own) { return own.text() == text; }))
                    selection.authentication = group->discovery_authentication;
        return selection;
    }
    const std::shared_ptr<PortalGroup> group = find(identity.target_name, portal);
    if (group == nullptr) {
        selection.status = LoginStatus::target_not_found;
    } else if (!group->options.enabled) {
        selection.status = LoginStatus::service_unavailable;
    } else if (!group->allowed.empty() && !group->allowed.contains(identity.initiator_name)) {
        selection.status = LoginStatus::authorization_failure;
    } else {
        selection.portal_group_tag = group->options.tag;
        selection.target_alias = group->target_alias;
        selection.authentication = group->authentication;
        selection.settings = group->options.settings;
        selection.command_window = group->options.command_window;
    }
    return selection;
}

void add_target_addresses(const PortalGroup& group, const reactor::Endpoint& local,
                          TextBuilder& text) {
    for (const reactor::Endpoint& portal : group.options.portals)
        if (const std::string address = address_for(portal, local); !address.empty())
            text.add(key_name(Key::target_address),
                     fmt::format("{},{}", address, group.options.tag));
}

std::string TargetSet::send_targets(std::string_view which, const std::string& initiator,
                                    const reactor::Endpoint& local) const {
    TextBuilder text;
    const bool all = which == "All";
    const std::string wanted = normalize_name(which);
    for (const auto& [name, groups] : targets_) {
        if (!all && name != wanted)
            continue;
        bool named = false;
        for (const auto& group : groups) {
            // Who may not log in is not told either.
            if (!group->options.enabled ||
                (!group->allowed.empty() && !group->allowed.contains(initiator)))
                continue;
            if (!std::exchange(named, true))
                text.add(key_name(Key::target_name), name);
            add_target_addresses(*group, local, text);
        }
    }
    return text.take();
}

std::vector<reactor::Endpoint> TargetSet::portals() const {
    std::vector<reactor::Endpoint> found;
    std::set<std::string> seen;
    for (const auto& [name, groups] : targets_)
        for (const auto& group : groups)
            for (const reactor::Endpoint& portal : group->options.portals)
                if (seen.insert(portal.text()).second)
                    found.push_back(portal);
    return found;
}

}  // namespace olio::iscsi
