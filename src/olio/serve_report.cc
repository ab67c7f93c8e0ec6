#include "olio/serve_report.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/size_text.h"
#include "olio/instructions.h"
#include "olio/text.h"

namespace olio::cli {
namespace {

std::vector<std::string> texts(const Json& list) {
    std::vector<std::string> all;
    for (const Json& item : list)
        all.push_back(printable(item.get<std::string>()));
    return all;
}

std::string text_or_empty(const Json& value) {
    return value.is_string() ? printable(value.get<std::string>()) : std::string();
}

ServedTarget served_target(const Json& status) {
    const Json& target = status.at("target");
    return {.name = printable(target.at("name").get<std::string>()),
            .portals = reachable_portals(texts(target.at("portals")), machine_addresses()),
            .chap_user = text_or_empty(target.at("chap_user")),
            .mutual_chap_user = text_or_empty(target.at("mutual_chap_user")),
            .allowed_initiators = texts(target.at("allowed_initiators"))};
}

std::string lun_table(const Json& luns) {
    std::vector<std::vector<std::string>> rows{{"LUN", "KIND", "SIZE", "BLOCK", "DISK"}};
    for (const Json& lun : luns) {
        const Json& path = lun.at("path");
        std::string disk = path.is_string() ? printable(path.get<std::string>())
                                            : std::string("(in memory, gone when this ends)");
        if (lun.value("write_protected", false))
            disk += " (read-only)";
        rows.push_back({fmt::format("{}", lun.at("lun").get<std::uint64_t>()),
                        printable(lun.at("kind").get<std::string>()),
                        format_size(lun.at("size_bytes").get<std::uint64_t>()),
                        fmt::format("{}", lun.at("block_bytes").get<std::uint64_t>()), disk});
    }
    return table(rows, {0, 2, 3}, 2);
}

std::string url_table(const ServedTarget& target, const Json& luns) {
    std::string text;
    for (const Json& lun : luns)
        text += fmt::format("  {}\n",
                            shell_quoted(disk_url(target, lun.at("lun").get<std::uint64_t>())));
    return text;
}

std::string secrets_note(const ServedTarget& target) {
    if (target.chap_user.empty())
        return {};
    if (target.mutual_chap_user.empty())
        return fmt::format("  ({} stands for the CHAP secret of {})\n", secret_placeholder,
                           target.chap_user);
    return fmt::format("  ({} stands for the CHAP secret of {}, {} for that of {})\n",
                       secret_placeholder, target.chap_user, mutual_secret_placeholder,
                       target.mutual_chap_user);
}

}  // namespace

std::string banner(const Json& status, const Json& luns) {
    const ServedTarget target = served_target(status);
    std::string text = fmt::format("Serving {}\n", target.name);
    text += fmt::format("on {}\n\n{}\n", fmt::join(texts(status.at("target").at("portals")), ", "),
                        lun_table(luns));
    text += "On a Linux host, as root (Debian's package open-iscsi):\n";
    for (const std::string& command : initiator_commands(target))
        text += fmt::format("  {}\n", command);
    text += secrets_note(target);
    if (!target.allowed_initiators.empty())
        text += fmt::format("  (InitiatorName in /etc/iscsi/initiatorname.iscsi must be {})\n",
                            fmt::join(target.allowed_initiators, " or "));
    text += fmt::format("\nFor QEMU, qemu-img and libiscsi:\n{}\n", url_table(target, luns));
    if (loopback_only(target.portals))
        text += "Only this machine can reach it; --listen ADDRESS serves other hosts.\n";
    text += fmt::format("Ask and change it: olio status --control {}\n",
                        shell_quoted(status.at("control").get<std::string>()));
    text += "Ctrl-C ends it.\n\n";
    return text;
}

Json serving_json(const Json& status, const Json& luns) {
    const ServedTarget target = served_target(status);
    Json disks = luns;
    for (Json& lun : disks)
        lun["url"] = disk_url(target, lun.at("lun").get<std::uint64_t>());
    return {{"event", "serving"},
            {"pid", status.at("pid")},
            {"version", status.at("version")},
            {"control", status.at("control")},
            {"reactor", status.at("reactor")},
            {"target", status.at("target")},
            {"initiator_commands", initiator_commands(target)},
            {"luns", std::move(disks)}};
}

std::string status_line(std::uint64_t sessions, const Rates& rates) {
    return fmt::format("{} session{} | read {} {} IOPS | write {} {} IOPS", sessions,
                       sessions == 1 ? "" : "s", rate_text(rates.read_bytes),
                       short_number(rates.read_commands), rate_text(rates.write_bytes),
                       short_number(rates.write_commands));
}

void ServeReport::live(const std::string& text) {
    fmt::print("\r\033[K{}", text);
    std::fflush(stdout);
    live_shown_ = true;
}

void ServeReport::line(const std::string& text) {
    fmt::print("{}{}\n", live_shown_ ? "\r\033[K" : "", text);
    std::fflush(stdout);
    live_shown_ = false;
}

void ServeReport::starting(unsigned waited_seconds) {
    const std::string text = fmt::format("Opening the disks, {} s", waited_seconds);
    if (json_)
        return;
    if (terminal_)
        live(text);
    else if (!said_starting_)
        line(text);
    said_starting_ = true;
}

void ServeReport::serving(const Json& status, const Json& luns) {
    if (json_) {
        line(serving_json(status, luns).dump(-1, ' ', false, Json::error_handler_t::replace));
    } else {
        fmt::print("{}{}", live_shown_ ? "\r\033[K" : "", banner(status, luns));
        std::fflush(stdout);
        live_shown_ = false;
    }
    this->status(status);
}

ServeReport::Look ServeReport::look_at(const Json& status) {
    const Json& traffic = status.at("traffic");
    return {.at = std::chrono::steady_clock::now(),
            .read_bytes = traffic.at("read_bytes").get<std::uint64_t>(),
            .read_commands = traffic.at("read_commands").get<std::uint64_t>(),
            .write_bytes = traffic.at("write_bytes").get<std::uint64_t>(),
            .write_commands = traffic.at("write_commands").get<std::uint64_t>(),
            .sessions = status.at("sessions").get<std::uint64_t>()};
}

// On a terminal a line that is always there; elsewhere a line when a host comes or goes.
void ServeReport::status(const Json& status) {
    const Look now = look_at(status);
    const std::optional<Look> before = last_;
    last_ = now;
    if (!terminal_ || json_) {
        if (before ? before->sessions == now.sessions : now.sessions == 0)
            return;
        if (json_)
            line(Json{{"event", "status"},
                      {"sessions", now.sessions},
                      {"read_bytes", now.read_bytes},
                      {"write_bytes", now.write_bytes}}
                     .dump());
        else
            line(fmt::format("{} session{}; read {}, written {} so far", now.sessions,
                             now.sessions == 1 ? "" : "s", format_size(now.read_bytes),
                             format_size(now.write_bytes)));
        return;
    }
    Rates rates;
    if (before) {
        const double elapsed = std::chrono::duration<double>(now.at - before->at).count();
        const auto per_second = [elapsed](std::uint64_t from, std::uint64_t to) {
            return elapsed > 0 && to > from ? static_cast<double>(to - from) / elapsed : 0.0;
        };
        rates = {.read_bytes = per_second(before->read_bytes, now.read_bytes),
                 .read_commands = per_second(before->read_commands, now.read_commands),
                 .write_bytes = per_second(before->write_bytes, now.write_bytes),
                 .write_commands = per_second(before->write_commands, now.write_commands)};
    }
    live(status_line(now.sessions, rates));
}

void ServeReport::ending() {
    if (json_)
        return line(R"({"event":"ending"})");
    const bool waits = last_ && last_->sessions != 0;
    if (waits)
        line("Ending: asking hosts to log out (Ctrl-C again ends at once)");
    else
        line("Ending");
}

void ServeReport::ended(int exit_status) {
    if (json_)
        return line(Json{{"event", "ended"}, {"exit_status", exit_status}}.dump());
    if (live_shown_)
        line("");
}

}  // namespace olio::cli
