#include "oliod/control_methods.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/size_text.h"
#include "config/json_rpc.h"
#include "fabric/iscsi/iscsi_target.h"
#include "oliod/attribute_methods.h"
#include "oliod/control_access_states.h"
#include "oliod/daemon.h"
#include "reactor/reactor.h"
#include "scsi/logical_unit_state.h"
#include "target/backstore.h"

namespace olio::oliod {
namespace {

using config::Answer;
using config::Json;
using config::ParameterType;
using target::LogicalUnitStatistics;

std::string_view name_of(reactor::Backend backend) {
    switch (backend) {
        case reactor::Backend::io_uring:
            return "io_uring";
        case reactor::Backend::epoll:
            return "epoll";
        case reactor::Backend::sim:
            return "sim";
        case reactor::Backend::automatic:
            break;
    }
    return "auto";
}

Error no_such_lun(std::uint64_t lun) {
    return {ENODEV, fmt::format("there is no LUN {}; 'olio luns' lists them", lun)};
}

// ---- statistics of several units, gathered from every shard
// --------------------------------------

// Calls `done` when the last unit has answered, with the statistics in the order of
// Daemon::disks().
struct Gathering {
    explicit Gathering(std::size_t count) : statistics(count) {}
    Gathering(const Gathering&) = delete;
    Gathering& operator=(const Gathering&) = delete;
    ~Gathering() { done(std::move(statistics)); }

    std::vector<LogicalUnitStatistics> statistics;
    std::move_only_function<void(std::vector<LogicalUnitStatistics>)> done;
};

void gather_statistics(const Daemon& daemon,
                       std::move_only_function<void(std::vector<LogicalUnitStatistics>)> done) {
    const auto gathering = std::make_shared<Gathering>(daemon.disks().size());
    gathering->done = std::move(done);
    std::size_t index = 0;
    for (const Disk& disk : daemon.disks()) {
        const std::size_t at = index++;
        if (disk.unit != nullptr)
            disk.unit->statistics([gathering, at](LogicalUnitStatistics statistics) {
                gathering->statistics[at] = std::move(statistics);
            });
    }
}

Json traffic(const LogicalUnitStatistics& statistics) {
    return {{"read_commands", statistics.read_commands},
            {"read_bytes", statistics.read_bytes},
            {"write_commands", statistics.write_commands},
            {"write_bytes", statistics.write_bytes},
            {"in_flight", statistics.in_flight}};
}

// ---- status
// --------------------------------------------------------------------------------------

Json target_json(const Daemon& daemon) {
    const AccessPolicy& access = daemon.options().access;
    Json portals = Json::array();
    if (daemon.state() == DaemonState::serving)
        for (const reactor::Endpoint& portal : daemon.iscsi().portals())
            portals.push_back(portal.text());
    Json target{{"name", daemon.options().target_name},
                {"portals", std::move(portals)},
                {"allowed_initiators", access.allowed},
                {"chap_user", nullptr},
                {"mutual_chap_user", nullptr}};
    if (access.chap)
        target["chap_user"] = access.chap->user;
    if (access.mutual_chap)
        target["mutual_chap_user"] = access.mutual_chap->user;
    return target;
}

Json status_json(const Daemon& daemon, std::size_t sessions,
                 const std::vector<LogicalUnitStatistics>& units) {
    LogicalUnitStatistics sum;
    for (const LogicalUnitStatistics& unit : units) {
        sum.read_commands += unit.read_commands;
        sum.read_bytes += unit.read_bytes;
        sum.write_commands += unit.write_commands;
        sum.write_bytes += unit.write_bytes;
        sum.in_flight += unit.in_flight;
    }
    return {{"version", OLIO_VERSION},
            {"pid", ::getpid()},
            {"state", name_of(daemon.state())},
            {"uptime_seconds", daemon.uptime_seconds()},
            {"control", daemon.control_path()},
            {"reactor", name_of(daemon.reactor().backend())},
            {"shards", daemon.reactor().size()},
            {"memory_bound_bytes", daemon.memory_bound_bytes()},
            {"target", target_json(daemon)},
            {"luns", daemon.disks().size()},
            {"sessions", sessions},
            {"traffic", traffic(sum)}};
}

void status(Daemon& daemon, Answer answer) {
    // While starting or ending there are disks that must not be asked.
    if (daemon.state() != DaemonState::serving)
        return answer.result(status_json(daemon, 0, {}));
    daemon.iscsi().sessions([&daemon, answer = std::move(answer)](
                                std::vector<iscsi::SessionStatistics> sessions) mutable {
        const auto count = static_cast<std::size_t>(
            std::ranges::count(sessions, false, &iscsi::SessionStatistics::discovery));
        gather_statistics(daemon, [&daemon, count, answer = std::move(answer)](
                                      std::vector<LogicalUnitStatistics> units) mutable {
            answer.result(status_json(daemon, count, units));
        });
    });
}

// ---- disks
// ---------------------------------------------------------------------------------------

Json lun_json(const Disk& disk, const LogicalUnitStatistics& statistics) {
    const target::Backstore& store = disk.unit->backstore();
    const auto state = disk.unit->state();
    const scsi::Geometry& geometry = state->geometry;
    return {{"lun", disk.lun},
            {"kind", store.type()},
            {"path", disk.spec.ram ? Json(nullptr) : Json(disk.spec.path)},
            {"description", store.description()},
            {"size_bytes", geometry.blocks * geometry.block_bytes},
            {"block_bytes", geometry.block_bytes},
            {"blocks", geometry.blocks},
            {"serial", state->identification.serial},
            {"write_protected", state->write_protected},
            {"volatile_cache", store.capabilities().volatile_cache},
            {"medium_present", state->medium_present},
            {"traffic", traffic(statistics)}};
}

void luns(Daemon& daemon, Answer answer) {
    gather_statistics(daemon, [&daemon, answer = std::move(answer)](
                                  std::vector<LogicalUnitStatistics> units) mutable {
        Json list = Json::array();
        // A disk may have gone meanwhile, if the daemon is ending.
        for (std::size_t i = 0; i < daemon.disks().size() && i < units.size(); ++i)
            if (daemon.disks()[i].unit != nullptr)
                list.push_back(lun_json(daemon.disks()[i], units[i]));
        answer.result(list);
    });
}

void counters(Daemon& daemon, const Json& parameters, Answer answer) {
    const auto lun = parameters["lun"].get<std::uint64_t>();
    const Disk* disk = daemon.find_disk(lun);
    if (disk == nullptr)
        return answer.error(no_such_lun(lun));
    disk->unit->statistics([answer = std::move(answer)](LogicalUnitStatistics statistics) mutable {
        Json list = Json::array();
        for (const target::CommandCount& count : statistics.commands)
            list.push_back(
                {{"name", count.name}, {"commands", count.commands}, {"errors", count.errors}});
        answer.result(list);
    });
}

// The LUN's line after a change, or why it could not be made.
target::LogicalUnit::Done answer_with_lun(Daemon& daemon, std::uint64_t lun, Answer answer) {
    return [&daemon, lun, answer = std::move(answer)](Result<void> done) mutable {
        if (!done)
            return answer.error(done.error());
        const Disk* disk = daemon.find_disk(lun);
        if (disk == nullptr)
            return answer.error(no_such_lun(lun));
        disk->unit->statistics(
            [&daemon, lun, answer = std::move(answer)](LogicalUnitStatistics statistics) mutable {
                const Disk* still = daemon.find_disk(lun);
                if (still == nullptr)
                    answer.error(no_such_lun(lun));
                else
                    answer.result(lun_json(*still, statistics));
            });
    };
}

void resize(Daemon& daemon, const Json& parameters, Answer answer) {
    const auto lun = parameters["lun"].get<std::uint64_t>();
    const Disk* disk = daemon.find_disk(lun);
    if (disk == nullptr)
        return answer.error(no_such_lun(lun));
    const auto size = config::size_of(parameters["size"]);
    if (!size)
        return answer.error(size.error());
    const scsi::Geometry geometry = disk->unit->state()->geometry;
    if (*size % geometry.block_bytes != 0)
        return answer.error({EINVAL, fmt::format("{} bytes are not a whole number of blocks of {} "
                                                 "bytes",
                                                 *size, geometry.block_bytes)});
    const std::uint64_t now_bytes = geometry.blocks * geometry.block_bytes;
    const auto shrink = parameters.find("shrink");
    if (*size < now_bytes && (shrink == parameters.end() || !shrink->get<bool>()))
        return answer.error(
            {EPERM, fmt::format("LUN {} has {}; making it smaller ({}) destroys what "
                                "lies beyond. If you mean it, add --shrink",
                                lun, format_size(now_bytes), format_size(*size))});
    disk->unit->rescan(*size / geometry.block_bytes,
                       answer_with_lun(daemon, lun, std::move(answer)));
}

// One LUN, or all of them; the first that fails is the answer.
struct RescanAll {
    RescanAll(Daemon& of, Answer to) : daemon(of), answer(std::move(to)) {}
    RescanAll(const RescanAll&) = delete;
    RescanAll& operator=(const RescanAll&) = delete;
    ~RescanAll() {
        if (failed)
            answer.error(*failed);
        else
            luns(daemon, std::move(answer));
    }

    Daemon& daemon;
    Answer answer;
    std::optional<Error> failed;
};

void rescan(Daemon& daemon, const Json& parameters, Answer answer) {
    if (const auto given = parameters.find("lun"); given != parameters.end()) {
        const auto lun = given->get<std::uint64_t>();
        const Disk* disk = daemon.find_disk(lun);
        if (disk == nullptr)
            return answer.error(no_such_lun(lun));
        return disk->unit->rescan(std::nullopt, answer_with_lun(daemon, lun, std::move(answer)));
    }
    const auto all = std::make_shared<RescanAll>(daemon, std::move(answer));
    for (const Disk& disk : daemon.disks())
        if (disk.unit != nullptr)
            disk.unit->rescan(std::nullopt, [all, lun = disk.lun](Result<void> done) {
                if (!done && !all->failed)
                    all->failed = Error{done.error().code,
                                        fmt::format("LUN {}: {}", lun, done.error().message)};
            });
}

// ---- sessions
// ------------------------------------------------------------------------------------

Json session_json(const iscsi::SessionStatistics& session) {
    return {{"initiator", session.initiator_name},
            {"alias", session.initiator_alias},
            {"address", session.initiator_address},
            {"target", session.target_name},
            {"portal_group", session.portal_group_tag},
            {"tsih", session.tsih},
            {"shard", session.shard},
            {"discovery", session.discovery},
            {"header_digest", session.header_digest},
            {"data_digest", session.data_digest},
            {"commands", session.commands},
            {"commands_in_flight", session.commands_in_flight},
            {"read_bytes", session.read_bytes},
            {"write_bytes", session.write_bytes},
            {"rejects", session.rejects},
            {"digest_errors", session.digest_errors}};
}

void sessions(Daemon& daemon, Answer answer) {
    daemon.iscsi().sessions(
        [answer = std::move(answer)](std::vector<iscsi::SessionStatistics> found) mutable {
            Json list = Json::array();
            for (const iscsi::SessionStatistics& session : found)
                list.push_back(session_json(session));
            answer.result(list);
        });
}

void shutdown(Daemon& daemon, const Json& parameters, Answer answer) {
    const auto wanted =
        parameters.value("grace_seconds", std::uint64_t{daemon.options().grace_seconds});
    const auto grace = static_cast<unsigned>(std::min<std::uint64_t>(wanted, 3600));
    answer.result(Json{{"grace_seconds", grace}});
    daemon.end(grace);
}

// A method that makes sense only while the disks are there.
template <class Function>
auto while_serving(Daemon& daemon, Function function) {
    return [&daemon, function](const Json& parameters, Answer answer) {
        if (daemon.state() == DaemonState::serving)
            return function(daemon, parameters, std::move(answer));
        answer.error({EAGAIN, fmt::format("the daemon is {}; try again when it serves",
                                          oliod::name_of(daemon.state()))});
    };
}

}  // namespace

std::unique_ptr<config::MethodTable> make_control_methods(Daemon& daemon) {
    std::vector<config::Method> methods{
        {"status",
         "The daemon: its target, portals, and the sums of sessions and traffic.",
         {},
         [&daemon](const Json&, Answer answer) { status(daemon, std::move(answer)); }},
        {"sessions",
         "Every session of every host.",
         {},
         while_serving(daemon, [](Daemon& of, const Json&,
                                  Answer answer) { sessions(of, std::move(answer)); })},
        {"luns",
         "Every disk, with its size and traffic.",
         {},
         while_serving(
             daemon, [](Daemon& of, const Json&, Answer answer) { luns(of, std::move(answer)); })},
        {"counters",
         "How often each SCSI command was used on a disk, and how often it failed.",
         {{"lun", ParameterType::integer, true, "the disk's LUN"}},
         while_serving(daemon, counters)},
        {"resize",
         "Makes a disk larger or smaller and tells the hosts.",
         {{"lun", ParameterType::integer, true, "the disk's LUN"},
          {"size", ParameterType::size, true, "its new size, a whole number of blocks"},
          {"shrink", ParameterType::boolean, false,
           "true: it may become smaller, which destroys what lies beyond"}},
         while_serving(daemon, resize)},
        {"rescan",
         "Looks at a disk anew, or at all: a size changed by others is reported to the hosts.",
         {{"lun", ParameterType::integer, false, "the disk's LUN; all of them without it"}},
         while_serving(daemon, rescan)},
        {"shutdown",
         "Asks the hosts to log out and ends the daemon.",
         {{"grace_seconds", ParameterType::integer, false, "how long the hosts have, at most"}},
         [&daemon](const Json& parameters, Answer answer) {
             shutdown(daemon, parameters, std::move(answer));
         }},
    };
    add_attribute_methods(daemon, methods);
    add_access_methods(daemon, methods);
    return std::make_unique<config::MethodTable>(std::move(methods));
}

}  // namespace olio::oliod
