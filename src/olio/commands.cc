#include "olio/commands.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "base/size_text.h"
#include "olio/control_client.h"
#include "olio/text.h"

namespace olio::cli {
namespace {

constexpr unsigned quick_seconds = 30;
// Making a file larger or smaller may take its file system a while.
constexpr unsigned slow_seconds = 600;

ExitStatus complain(const Error& error) {
    fmt::print(stderr, "olio: {}\n", error.message);
    return ExitStatus::failure;
}

// Asks and prints: with --json what came, else what `print` makes of it.
ExitStatus ask(const Asking& asking, const std::string& method, const Json& parameters,
               const std::function<void(const Json&)>& print,
               unsigned timeout_seconds = quick_seconds) {
    const auto path = find_control_socket(asking.control);
    if (!path)
        return complain(path.error());
    auto client = ControlClient::connect(*path, timeout_seconds);
    if (!client) {
        complain(client.error());
        return ExitStatus::no_daemon;
    }
    const auto result = client->call(method, parameters);
    if (!result)
        return complain(result.error());
    if (asking.json)
        fmt::print("{}\n", result->dump(2, ' ', false, Json::error_handler_t::replace));
    else
        print(*result);
    return ExitStatus::success;
}

std::string text_of(const Json& object, const char* member) {
    return printable(object.value(member, std::string()));
}

std::string number_of(const Json& object, const char* member) {
    return fmt::format("{}", object.value(member, std::uint64_t{0}));
}

std::string size_text(const Json& object, const char* member) {
    return format_size(object.value(member, std::uint64_t{0}));
}

// A member that is text or null.
std::string optional_text(const Json& object, const char* member) {
    const auto found = object.find(member);
    return found == object.end() || !found->is_string() ? std::string()
                                                        : printable(found->get<std::string>());
}

std::string access_text(const Json& target) {
    std::vector<std::string> rules;
    if (const std::string user = optional_text(target, "chap_user"); !user.empty())
        rules.push_back(fmt::format("CHAP user {}", user));
    if (const std::string user = optional_text(target, "mutual_chap_user"); !user.empty())
        rules.push_back(fmt::format("mutual CHAP user {}", user));
    for (const Json& name : target.value("allowed_initiators", Json::array()))
        rules.push_back(printable(name.get<std::string>()));
    return rules.empty() ? "everyone" : fmt::format("{}", fmt::join(rules, ", "));
}

void print_status(const Json& status) {
    const Json& target = status.at("target");
    const Json& traffic = status.at("traffic");
    std::vector<std::string> portals;
    for (const Json& portal : target.at("portals"))
        portals.push_back(portal.get<std::string>());
    const std::vector<std::vector<std::string>> rows{
        {"daemon", fmt::format("oliod {}, process {}, {} for {}", text_of(status, "version"),
                               number_of(status, "pid"), text_of(status, "state"),
                               duration_text(status.value("uptime_seconds", std::uint64_t{0})))},
        {"control", text_of(status, "control")},
        {"reactor",
         fmt::format("{}, {} shard(s)", text_of(status, "reactor"), number_of(status, "shards"))},
        {"memory", fmt::format("below {}", size_text(status, "memory_bound_bytes"))},
        {"target", text_of(target, "name")},
        {"portals", fmt::format("{}", fmt::join(portals, ", "))},
        {"access", access_text(target)},
        {"luns", number_of(status, "luns")},
        {"sessions", number_of(status, "sessions")},
        {"read", fmt::format("{} commands, {}", number_of(traffic, "read_commands"),
                             size_text(traffic, "read_bytes"))},
        {"written", fmt::format("{} commands, {}", number_of(traffic, "write_commands"),
                                size_text(traffic, "write_bytes"))},
    };
    fmt::print("{}", table(rows, {}));
}

void print_luns(const Json& luns) {
    std::vector<std::vector<std::string>> rows{
        {"LUN", "KIND", "SIZE", "BLOCK", "CACHE", "READ", "WRITTEN", "SERIAL", "DISK"}};
    for (const Json& lun : luns) {
        const Json& traffic = lun.at("traffic");
        std::string disk = text_of(lun, "description");
        if (lun.value("write_protected", false))
            disk += " (read-only)";
        if (!lun.value("medium_present", true))
            disk += " (VANISHED)";
        rows.push_back({number_of(lun, "lun"), text_of(lun, "kind"), size_text(lun, "size_bytes"),
                        number_of(lun, "block_bytes"),
                        lun.value("volatile_cache", false) ? "write-back" : "write-through",
                        size_text(traffic, "read_bytes"), size_text(traffic, "write_bytes"),
                        text_of(lun, "serial"), disk});
    }
    fmt::print("{}", table(rows, {0, 2, 3, 5, 6}));
}

void print_lun_size(const Json& lun) {
    fmt::print("LUN {} has {} now\n", number_of(lun, "lun"), size_text(lun, "size_bytes"));
}

void print_sessions(const Json& sessions) {
    if (sessions.empty())
        return fmt::print("no host is logged in\n");
    std::vector<std::vector<std::string>> rows{
        {"INITIATOR", "ADDRESS", "TSIH", "SHARD", "DIGESTS", "COMMANDS", "READ", "WRITTEN"}};
    for (const Json& session : sessions) {
        const bool header = session.value("header_digest", false);
        const bool data = session.value("data_digest", false);
        const char* digests = header && data ? "both" : header ? "header" : data ? "data" : "none";
        std::string initiator = text_of(session, "initiator");
        if (session.value("discovery", false))
            initiator += " (discovery)";
        rows.push_back({initiator, text_of(session, "address"), number_of(session, "tsih"),
                        number_of(session, "shard"), digests, number_of(session, "commands"),
                        size_text(session, "read_bytes"), size_text(session, "write_bytes")});
    }
    fmt::print("{}", table(rows, {2, 3, 5, 6, 7}));
}

void print_counters(const Json& counters) {
    if (counters.empty())
        return fmt::print("no command was used yet\n");
    std::vector<std::vector<std::string>> rows{{"COMMAND", "USED", "FAILED"}};
    for (const Json& counter : counters)
        rows.push_back({text_of(counter, "name"), number_of(counter, "commands"),
                        number_of(counter, "errors")});
    fmt::print("{}", table(rows, {1, 2}));
}

void print_attributes(const Json& attributes) {
    std::vector<std::vector<std::string>> rows{{"ATTRIBUTE", "VALUE", "CHANGES", "MEANING"}};
    for (const Json& attribute : attributes)
        rows.push_back({text_of(attribute, "name"), number_of(attribute, "value"),
                        text_of(attribute, "changes"), text_of(attribute, "help")});
    fmt::print("{}", table(rows, {1}));
}

void print_methods(const Json& methods) {
    for (const Json& method : methods) {
        fmt::print("{}\n    {}\n", text_of(method, "name"), text_of(method, "help"));
        for (const Json& parameter : method.at("parameters"))
            fmt::print(
                "    {} ({}{}): {}\n", text_of(parameter, "name"), text_of(parameter, "type"),
                parameter.value("required", true) ? "" : ", optional", text_of(parameter, "help"));
    }
}

// Waits for the daemon's end: it has ended when it closes the connection.
ExitStatus wait_for_end(ControlClient& client, std::uint64_t grace_seconds) {
    constexpr auto step = std::chrono::milliseconds(100);
    constexpr int slack_seconds = 15;
    const auto start = std::chrono::steady_clock::now();
    bool said = false;
    while (client.call("status", Json::object())) {
        const auto waited = std::chrono::steady_clock::now() - start;
        if (waited > std::chrono::seconds(grace_seconds + slack_seconds))
            return complain({ETIMEDOUT, "the daemon was told to end but still runs; see its log"});
        if (!said && waited > std::chrono::seconds(2)) {
            fmt::print(stderr, "Waiting for hosts to log out, {} s at most\n", grace_seconds);
            said = true;
        }
        std::this_thread::sleep_for(step);
    }
    return ExitStatus::success;
}

}  // namespace

ExitStatus show_status(const Asking& asking) {
    return ask(asking, "status", Json::object(), print_status);
}

ExitStatus show_sessions(const Asking& asking) {
    return ask(asking, "sessions", Json::object(), print_sessions);
}

ExitStatus show_luns(const Asking& asking) {
    return ask(asking, "luns", Json::object(), print_luns);
}

ExitStatus show_counters(const Asking& asking, std::uint64_t lun) {
    return ask(asking, "counters", {{"lun", lun}}, print_counters);
}

ExitStatus show_or_set_attributes(const Asking& asking, std::uint64_t lun,
                                  const std::vector<std::string>& changes) {
    if (changes.empty())
        return ask(asking, "attributes", {{"lun", lun}}, print_attributes);
    for (const std::string& change : changes) {
        const std::size_t equals = change.find('=');
        if (equals == std::string::npos) {
            fmt::print(stderr, "olio: '{}' sets nothing; write NAME=VALUE\n", change);
            return ExitStatus::usage;
        }
    }
    for (const std::string& change : changes) {
        const std::size_t equals = change.find('=');
        const ExitStatus status = ask(asking, "set_attribute",
                                      {{"lun", lun},
                                       {"name", change.substr(0, equals)},
                                       {"value", change.substr(equals + 1)}},
                                      [](const Json& attribute) {
                                          fmt::print("{} is {} now\n", text_of(attribute, "name"),
                                                     number_of(attribute, "value"));
                                      });
        if (status != ExitStatus::success)
            return status;
    }
    return ExitStatus::success;
}

ExitStatus resize_lun(const Asking& asking, std::uint64_t lun, const std::string& size,
                      bool shrink) {
    return ask(asking, "resize", {{"lun", lun}, {"size", size}, {"shrink", shrink}}, print_lun_size,
               slow_seconds);
}

ExitStatus rescan(const Asking& asking, std::optional<std::uint64_t> lun) {
    Json parameters = Json::object();
    if (lun)
        parameters["lun"] = *lun;
    return ask(
        asking, "rescan", parameters,
        [&](const Json& found) { lun ? print_lun_size(found) : print_luns(found); }, slow_seconds);
}

ExitStatus shut_down(const Asking& asking, std::optional<std::uint64_t> grace_seconds) {
    const auto path = find_control_socket(asking.control);
    if (!path)
        return complain(path.error());
    auto client = ControlClient::connect(*path);
    if (!client) {
        complain(client.error());
        return ExitStatus::no_daemon;
    }
    Json parameters = Json::object();
    if (grace_seconds)
        parameters["grace_seconds"] = *grace_seconds;
    const auto answer = client->call("shutdown", parameters);
    if (!answer)
        return complain(answer.error());
    const ExitStatus ended =
        wait_for_end(*client, answer->value("grace_seconds", std::uint64_t{0}));
    if (ended == ExitStatus::success)
        fmt::print("{}", asking.json ? "{\"ended\": true}\n" : "The daemon has ended\n");
    return ended;
}

ExitStatus call_method(const Asking& asking, const std::string& method,
                       const std::string& parameters) {
    const Json parsed =
        parameters.empty() ? Json::object() : Json::parse(parameters, nullptr, false);
    if (!parsed.is_structured()) {
        fmt::print(stderr, "olio: '{}' is no JSON object or array of parameters\n", parameters);
        return ExitStatus::usage;
    }
    return ask({.control = asking.control, .json = true}, method, parsed, [](const Json&) {});
}

ExitStatus show_methods(const Asking& asking) {
    return ask(asking, "methods", Json::object(), print_methods);
}

}  // namespace olio::cli
