#include "oliod/control_access_states.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "config/json_rpc.h"
#include "oliod/daemon.h"

namespace olio::oliod {

scsi::AccessStateTable initial_access(std::span<const std::uint16_t> portal_groups) {
    scsi::AccessStateTable table;
    const bool one = portal_groups.size() == 1;
    for (const std::uint16_t tag : portal_groups) {
        scsi::TargetPortGroup group;
        group.id = one ? std::uint16_t{0} : tag;
        group.name = one ? "default_tg_pt_gp" : fmt::format("tpgt_{}", tag);
        const bool put = put_group(table, std::move(group)) &&
                         put_port(table, tag, one ? std::uint16_t{0} : tag);
        OLIO_ASSERT(put, "the options have fewer portal groups than there may be ports");
    }
    return table;
}

namespace {

using config::Answer;
using config::Json;
using config::ParameterType;
using scsi::AccessChange;
using scsi::AccessState;
using scsi::AccessStateTable;
using scsi::TargetPortGroup;
using target::LogicalUnit;

// ---- what is shown ----

struct AccessType {
    std::string_view name;
    bool implicitly;
    bool explicitly;
};
constexpr std::array<AccessType, 4> access_types{{
    {"none", false, false},
    {"implicit", true, false},
    {"explicit", false, true},
    {"both", true, true},
}};

std::string_view name_of(scsi::AccessStatus status) {
    switch (status) {
        case scsi::AccessStatus::explicitly:
            return "changed by a host";
        case scsi::AccessStatus::implicitly:
            return "changed here";
        case scsi::AccessStatus::none:
            break;
    }
    return "never changed";
}

Json group_json(const AccessStateTable& table, const TargetPortGroup& group) {
    Json ports = Json::array();
    for (const scsi::GroupedPort& port : table.ports)
        if (port.group == group.id)
            ports.push_back({{"port", port.relative_port}, {"offline", port.offline}});
    Json supported = Json::array();
    for (unsigned state = 0; state < 16; ++state)
        if (const auto value = static_cast<AccessState>(state);
            (group.supported_states & bit_of(value)) != 0)
            supported.push_back(scsi::name_of(value));
    std::string_view access;
    for (const AccessType& type : access_types)
        if (type.implicitly == group.implicit_access && type.explicitly == group.explicit_access)
            access = type.name;
    return {{"group", group.id},
            {"name", group.name},
            {"state", scsi::name_of(group.state)},
            {"status", name_of(group.status)},
            {"preferred", group.preferred},
            {"access", access},
            {"supported", std::move(supported)},
            {"transition_ms", group.transition_delay_ms},
            {"implicit_transition_seconds", group.implicit_transition_seconds},
            {"nonoptimized_ms", group.nonoptimized_delay_ms},
            {"ports", std::move(ports)}};
}

Json lun_json(const Disk& disk) {
    const auto state = disk.unit->state();
    Json groups = Json::array();
    for (const TargetPortGroup& group : state->access.groups)
        groups.push_back(group_json(state->access, group));
    return {{"lun", disk.lun},
            {"groups", std::move(groups)},
            {"logical_unit_group", state->access.logical_unit_group},
            {"referrals", format_referrals(state->access.referrals)}};
}

// ---- one LUN, or all of them ----

// Every disk that `parameters` names; none when the error has been answered.
std::vector<const Disk*> disks_of(Daemon& daemon, const Json& parameters, Answer& answer) {
    std::vector<const Disk*> disks;
    if (daemon.state() != DaemonState::serving) {
        answer.error({EAGAIN, fmt::format("the daemon is {}; try again when it serves",
                                          name_of(daemon.state()))});
        return disks;
    }
    if (const auto given = parameters.find("lun"); given != parameters.end()) {
        const auto lun = given->get<std::uint64_t>();
        if (const Disk* disk = daemon.find_disk(lun))
            disks.push_back(disk);
        else
            answer.error({ENODEV, fmt::format("there is no LUN {}; 'olio luns' lists them", lun)});
        return disks;
    }
    for (const Disk& disk : daemon.disks())
        if (disk.unit != nullptr)
            disks.push_back(&disk);
    return disks;
}

void show(Daemon& daemon, const Json& parameters, Answer answer) {
    const std::vector<const Disk*> disks = disks_of(daemon, parameters, answer);
    if (disks.empty())
        return;
    Json list = Json::array();
    for (const Disk* disk : disks)
        list.push_back(lun_json(*disk));
    answer.result(list);
}

// Answers when the last disk is done: with what they have become, or with the first failure.
struct Several {
    Several(Daemon& of, const Json& with, Answer to)
        : daemon(of), parameters(with), answer(std::move(to)) {}
    Several(const Several&) = delete;
    Several& operator=(const Several&) = delete;
    ~Several() {
        if (failed)
            answer.error(*failed);
        else
            show(daemon, parameters, std::move(answer));
    }

    Daemon& daemon;
    Json parameters;
    Answer answer;
    std::optional<Error> failed;
};

void for_each_disk(Daemon& daemon, const Json& parameters, Answer answer,
                   const std::function<void(LogicalUnit&, LogicalUnit::Done)>& function) {
    const std::vector<const Disk*> disks = disks_of(daemon, parameters, answer);
    if (disks.empty())
        return;
    const auto several = std::make_shared<Several>(daemon, parameters, std::move(answer));
    for (const Disk* disk : disks)
        function(*disk->unit, [several, lun = disk->lun](const Result<void>& done) {
            if (!done && !several->failed)
                several->failed =
                    Error{done.error().code, fmt::format("LUN {}: {}", lun, done.error().message)};
        });
}

// ---- parameters ----

Result<std::uint16_t> number_16(const Json& parameters, std::string_view name) {
    const auto value = parameters.at(name).get<std::uint64_t>();
    if (value > std::numeric_limits<std::uint16_t>::max())
        return fail(EINVAL, fmt::format("{} {} is above 65535", name, value));
    return static_cast<std::uint16_t>(value);
}

template <class T>
Result<void> take_number(const Json& parameters, std::string_view name, T& into) {
    const auto given = parameters.find(name);
    if (given == parameters.end())
        return {};
    const auto value = given->get<std::uint64_t>();
    if (value > std::numeric_limits<T>::max())
        return fail(EINVAL,
                    fmt::format("{} {} is above {}", name, value, std::numeric_limits<T>::max()));
    into = static_cast<T>(value);
    return {};
}

// The words between commas.
std::vector<std::string> words_of(const std::string& text) {
    std::vector<std::string> words;
    std::size_t at = 0;
    while (at <= text.size()) {
        const std::size_t end = std::min(text.find(',', at), text.size());
        if (end != at)
            words.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    return words;
}

Result<AccessState> state_parameter(const std::string& text) {
    if (const auto state = scsi::access_state_of(text))
        return *state;
    return fail(EINVAL, fmt::format("'{}' is no access state; they are active/optimized, "
                                    "active/non-optimized, standby, unavailable, lba-dependent",
                                    text));
}

// What the request says of a group, over what the group is.
Result<TargetPortGroup> group_with(TargetPortGroup group, const Json& parameters) {
    if (const auto name = parameters.find("name"); name != parameters.end())
        group.name = name->get<std::string>();
    if (const auto preferred = parameters.find("preferred"); preferred != parameters.end())
        group.preferred = preferred->get<bool>();
    if (const auto access = parameters.find("access"); access != parameters.end()) {
        const auto text = access->get<std::string>();
        const auto type = std::ranges::find(access_types, text, &AccessType::name);
        if (type == access_types.end())
            return fail(EINVAL, fmt::format("'{}' is no access type; they are none, implicit, "
                                            "explicit, both",
                                            text));
        group.implicit_access = type->implicitly;
        group.explicit_access = type->explicitly;
    }
    if (const auto supported = parameters.find("supported"); supported != parameters.end()) {
        group.supported_states = 0;
        for (const std::string& word : words_of(supported->get<std::string>())) {
            const auto state = state_parameter(word);
            if (!state)
                return std::unexpected(state.error());
            group.supported_states |= bit_of(*state);
        }
    }
    OLIO_TRY(take_number(parameters, "transition_ms", group.transition_delay_ms));
    OLIO_TRY(take_number(parameters, "nonoptimized_ms", group.nonoptimized_delay_ms));
    OLIO_TRY(
        take_number(parameters, "implicit_transition_seconds", group.implicit_transition_seconds));
    return group;
}

Result<void> configure_group(AccessStateTable& table, std::uint16_t id, const Json& parameters) {
    TargetPortGroup group;
    if (const TargetPortGroup* const old = table.group(id))
        group = *old;
    else
        group.name = fmt::format("group_{}", id);
    group.id = id;
    auto wanted = group_with(std::move(group), parameters);
    if (!wanted)
        return std::unexpected(std::move(wanted.error()));
    OLIO_TRY(put_group(table, std::move(*wanted)));
    const auto ports = parameters.find("ports");
    if (ports == parameters.end())
        return {};
    for (const std::string& word : words_of(ports->get<std::string>())) {
        const Json number = Json::parse(word, nullptr, false);
        if (!number.is_number_unsigned() || number.get<std::uint64_t>() == 0 ||
            number.get<std::uint64_t>() > std::numeric_limits<std::uint16_t>::max())
            return fail(EINVAL, fmt::format("'{}' is no relative target port identifier", word));
        // Only ports that there are: others would be reported to hosts, which would look for them.
        const auto port = number.get<std::uint16_t>();
        if (table.port(port) == nullptr)
            return fail(ENOENT, fmt::format("there is no target port {}", port));
        OLIO_TRY(put_port(table, port, id));
    }
    return {};
}

// ---- the methods ----

void set_port_group(Daemon& daemon, const Json& parameters, Answer answer) {
    const auto id = number_16(parameters, "group");
    if (!id)
        return answer.error(id.error());
    for_each_disk(daemon, parameters, std::move(answer),
                  [&parameters, id](LogicalUnit& unit, LogicalUnit::Done done) {
                      unit.configure_access(
                          [id, parameters](AccessStateTable& table) {
                              return configure_group(table, *id, parameters);
                          },
                          std::move(done));
                  });
}

void remove_port_group(Daemon& daemon, const Json& parameters, Answer answer) {
    const auto id = number_16(parameters, "group");
    if (!id)
        return answer.error(id.error());
    for_each_disk(daemon, parameters, std::move(answer),
                  [id](LogicalUnit& unit, LogicalUnit::Done done) {
                      unit.configure_access(
                          [id](AccessStateTable& table) { return remove_group(table, *id); },
                          std::move(done));
                  });
}

void change(Daemon& daemon, const Json& parameters, Answer answer, const AccessChange& wanted) {
    for_each_disk(daemon, parameters, std::move(answer),
                  [wanted](LogicalUnit& unit, LogicalUnit::Done done) {
                      unit.set_access_states({wanted}, std::move(done));
                  });
}

void set_access_state(Daemon& daemon, const Json& parameters, Answer answer) {
    const auto id = number_16(parameters, "group");
    if (!id)
        return answer.error(id.error());
    const auto state = state_parameter(parameters["state"].get<std::string>());
    if (!state)
        return answer.error(state.error());
    change(daemon, parameters, std::move(answer), {.state = *state, .id = *id});
}

void set_port_offline(Daemon& daemon, const Json& parameters, Answer answer) {
    const auto port = number_16(parameters, "port");
    if (!port)
        return answer.error(port.error());
    change(daemon, parameters, std::move(answer),
           {.id = *port, .secondary = true, .offline = parameters["offline"].get<bool>()});
}

void set_logical_unit_group(Daemon& daemon, const Json& parameters, Answer answer) {
    const auto id = number_16(parameters, "group");
    if (!id)
        return answer.error(id.error());
    for_each_disk(daemon, parameters, std::move(answer),
                  [id](LogicalUnit& unit, LogicalUnit::Done done) {
                      unit.configure_access(
                          [id](AccessStateTable& table) -> Result<void> {
                              table.logical_unit_group = *id;
                              return {};
                          },
                          std::move(done));
                  });
}

void set_referrals(Daemon& daemon, const Json& parameters, Answer answer) {
    auto referrals = scsi::parse_referrals(parameters["map"].get<std::string>());
    if (!referrals)
        return answer.error(referrals.error());
    for_each_disk(
        daemon, parameters, std::move(answer),
        [referrals](LogicalUnit& unit, LogicalUnit::Done done) {
            unit.configure_access(
                [referrals](AccessStateTable& table) { return put_referrals(table, *referrals); },
                std::move(done));
        });
}

template <class Function>
auto bind(Daemon& daemon, Function function) {
    return [&daemon, function](const Json& parameters, Answer answer) {
        function(daemon, parameters, std::move(answer));
    };
}

}  // namespace

void add_access_methods(Daemon& daemon, std::vector<config::Method>& methods) {
    const config::Parameter lun{"lun", ParameterType::integer, false,
                                "the disk's LUN; all of them without it"};
    const config::Parameter group{"group", ParameterType::integer, true,
                                  "the target port group's number"};
    using enum ParameterType;
    methods.push_back({"access_states",
                       "The target port groups of a disk (ALUA), their access states and ports.",
                       {lun},
                       bind(daemon, show)});
    methods.push_back(
        {"set_access_state",
         "Changes a target port group's access state and tells the hosts; waits for the "
         "transition.",
         {lun,
          group,
          {"state", string, true,
           "active/optimized, active/non-optimized, standby, unavailable or lba-dependent"}},
         bind(daemon, set_access_state)});
    methods.push_back({"set_port_offline",
                       "Takes a target port offline, or brings it back.",
                       {lun,
                        {"port", integer, true, "its relative target port identifier"},
                        {"offline", boolean, true, "true: offline; false: as its group is"}},
                       bind(daemon, set_port_offline)});
    methods.push_back(
        {"set_port_group",
         "Makes a target port group, or changes what it is; its state stays.",
         {lun,
          group,
          {"name", string, false, "its name, 1 to 63 visible characters"},
          {"ports", string, false,
           "relative target port identifiers to move into it, such as 1,2; they are the portal "
           "group tags"},
          {"preferred", boolean, false, "the PREF bit"},
          {"access", string, false,
           "who changes its state: none, implicit (here), explicit (hosts) or both"},
          {"supported", string, false, "the states that it may have, with commas between"},
          {"transition_ms", integer, false, "how long a transition takes, up to 30000"},
          {"implicit_transition_seconds", integer, false,
           "how long hosts should wait for a transition, up to 255"},
          {"nonoptimized_ms", integer, false,
           "what the active/non-optimized state adds to each command, up to 10000"}},
         bind(daemon, set_port_group)});
    methods.push_back({"remove_port_group",
                       "Removes a target port group that has no ports.",
                       {lun, group},
                       bind(daemon, remove_port_group)});
    methods.push_back({"set_logical_unit_group",
                       "Puts a disk into a logical unit group, whose states change together.",
                       {lun, {"group", integer, true, "the group's number; 0: none"}},
                       bind(daemon, set_logical_unit_group)});
    methods.push_back(
        {"set_referrals",
         "Says which target port groups serve which blocks (LIO's lba_map), for lba-dependent.",
         {lun,
          {"map", string, true,
           "a line 'SEGMENT_SIZE MULTIPLIER', then lines 'FIRST LAST GROUP:STATE...' with the "
           "states O, A, S, U; empty: none"}},
         bind(daemon, set_referrals)});
}

}  // namespace olio::oliod
