#include "oliod/attribute_methods.h"

#include <fmt/core.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "config/json_rpc.h"
#include "oliod/daemon.h"
#include "target/attributes.h"

namespace olio::oliod {
namespace {

using config::Answer;
using config::Json;
using config::ParameterType;
using target::Attribute;
using target::AttributeAccess;

std::string_view name_of(AttributeAccess access) {
    switch (access) {
        case AttributeAccess::any_time:
            return "any time";
        case AttributeAccess::while_not_exported:
            return "before the disk is served";
        case AttributeAccess::ignored:
            return "no effect";
        case AttributeAccess::read_only:
            break;
    }
    return "read-only";
}

// The disk, or null when the answer has been given.
target::LogicalUnit* unit_of(Daemon& daemon, const Json& parameters, Answer& answer) {
    if (daemon.state() != DaemonState::serving) {
        answer.error({EAGAIN, fmt::format("the daemon is {}; try again when it serves",
                                          name_of(daemon.state()))});
        return nullptr;
    }
    const auto lun = parameters["lun"].get<std::uint64_t>();
    const Disk* disk = daemon.find_disk(lun);
    if (disk != nullptr && disk->unit != nullptr)
        return disk->unit;
    answer.error({ENODEV, fmt::format("there is no LUN {}; 'olio luns' lists them", lun)});
    return nullptr;
}

Json attribute_json(const Attribute& row, const target::LogicalUnit& unit) {
    return {{"name", row.name},
            {"value", unit.attribute(row.name).value_or(0)},
            {"type", row.type == target::AttributeType::boolean ? "boolean" : "number"},
            {"changes", name_of(row.access)},
            {"minimum", row.minimum},
            {"maximum", row.maximum},
            {"help", row.help}};
}

void list(Daemon& daemon, const Json& parameters, Answer answer) {
    const target::LogicalUnit* unit = unit_of(daemon, parameters, answer);
    if (unit == nullptr)
        return;
    Json rows = Json::array();
    for (const Attribute& row : target::attributes())
        rows.push_back(attribute_json(row, *unit));
    answer.result(rows);
}

void get(Daemon& daemon, const Json& parameters, Answer answer) {
    const target::LogicalUnit* unit = unit_of(daemon, parameters, answer);
    if (unit == nullptr)
        return;
    const auto row = target::find_attribute(parameters["name"].get<std::string>());
    if (!row)
        return answer.error(row.error());
    answer.result(attribute_json(**row, *unit));
}

void set(Daemon& daemon, const Json& parameters, Answer answer) {
    target::LogicalUnit* unit = unit_of(daemon, parameters, answer);
    if (unit == nullptr)
        return;
    const auto name = parameters["name"].get<std::string>();
    constexpr bool exported = true;  // the daemon serves every disk that it has
    unit->set_attribute(
        name, parameters["value"].get<std::string>(), exported,
        [&daemon, parameters, answer = std::move(answer)](Result<void> done) mutable {
            if (!done)
                return answer.error(done.error());
            get(daemon, {{"lun", parameters["lun"]}, {"name", parameters["name"]}},
                std::move(answer));
        });
}

template <class Function>
auto bind(Daemon& daemon, Function function) {
    return [&daemon, function](const Json& parameters, Answer answer) {
        function(daemon, parameters, std::move(answer));
    };
}

}  // namespace

void add_attribute_methods(Daemon& daemon, std::vector<config::Method>& methods) {
    const config::Parameter lun{"lun", ParameterType::integer, true, "the disk's LUN"};
    const config::Parameter name{"name", ParameterType::string, true, "the attribute's name"};
    methods.push_back({"attributes",
                       "Every attribute of a disk (LIO's attrib/), with its value and help.",
                       {lun},
                       bind(daemon, list)});
    methods.push_back(
        {"get_attribute", "One attribute of a disk.", {lun, name}, bind(daemon, get)});
    methods.push_back({"set_attribute",
                       "Sets an attribute of a disk; hosts are told of what they can see.",
                       {lun, name, {"value", ParameterType::string, true, "1 or 0, or a number"}},
                       bind(daemon, set)});
}

}  // namespace olio::oliod
