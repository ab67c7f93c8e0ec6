#include "oliod/options.h"

#include <fmt/core.h>
#include <limits.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <set>

#include "base/limits.h"
#include "base/runtime_paths.h"
#include "olio/help_format.h"
#include "oliod/process.h"
#include "target/attributes.h"

namespace olio::oliod {
namespace {

constexpr const char* default_portal = "127.0.0.1:3260";

// What was written, before it is understood.
struct Words {
    std::vector<std::string> disks;
    std::string disk_defaults;
    std::vector<std::string> attributes;
    std::vector<std::string> listen;
    std::string target_name;
    std::string chap;
    std::string chap_file;
    std::string mutual_chap;
    std::string mutual_chap_file;
    std::vector<std::string> allow;
    bool open = false;
    DigestPolicy header_digest = DigestPolicy::optional;
    DigestPolicy data_digest = DigestPolicy::optional;
    reactor::Backend reactor = reactor::Backend::automatic;
    unsigned shards = 0;
    std::string control;
    std::string state_directory;
    log::Level log_level = log::Level::info;
    unsigned grace_seconds = Options{}.grace_seconds;
};

const std::map<std::string, reactor::Backend> backends{
    {"auto", reactor::Backend::automatic},
    {"io_uring", reactor::Backend::io_uring},
    {"epoll", reactor::Backend::epoll},
};
const std::map<std::string, DigestPolicy> digest_policies{
    {"optional", DigestPolicy::optional},
    {"required", DigestPolicy::required},
    {"off", DigestPolicy::off},
};
const std::map<std::string, log::Level> levels{
    {"debug", log::Level::debug}, {"info", log::Level::info}, {"warning", log::Level::warning},
    {"error", log::Level::error}, {"off", log::Level::off},
};

CLI::Option* add_list(CLI::App& app, const char* name, std::vector<std::string>& to,
                      const char* help) {
    return app.add_option(name, to, help)->allow_extra_args(false)->take_all();
}

void describe_disks(CLI::App& app, Words& words) {
    add_list(
        app, "--disk", words.disks,
        "A disk: PATH of a file or block device, or ram:SIZE; then options, each after a comma: "
        "size=SIZE (make the file if it is missing), block-size=512|4096, direct (past the page "
        "cache), write-through (durable when answered), read-only, preallocate, thin=on|off "
        "(whether hosts may give blocks up), protection=0|1|2|3 (T10 protection information), "
        "limit=SIZE (what a RAM disk may take), serial=TEXT. A comma in a path is written twice. "
        "The first --disk is LUN 0, the next LUN 1, ...")
        ->type_name("SPEC")
        ->group("Disks");
    app.add_option("--disk-defaults", words.disk_defaults,
                   "Options for every disk that does not say otherwise")
        ->type_name("OPTION,...")
        ->group("Disks");
    add_list(app, "--attribute", words.attributes,
             "An attribute of every disk that does not say otherwise; repeat it for more. 'olio "
             "attributes LUN' lists them")
        ->type_name("NAME=VALUE")
        ->group("Disks");
}

void describe_access(CLI::App& app, Words& words) {
    const char* const group = "Target and access";
    add_list(
        app, "--listen", words.listen,
        "Address to listen on (127.0.0.1:3260). Repeat it for more. Port 0 takes a free one. An "
        "address that other hosts reach wants --chap, --allow or --open. group=TAG puts it into "
        "another portal group than 1: a target port of its own, which can have another access "
        "state")
        ->type_name("ADDR[:PORT][,group=TAG]")
        ->group(group);
    app.add_option("--target-name", words.target_name,
                   "iSCSI name of the target (made from the host's name unless given)")
        ->type_name("IQN")
        ->group(group);
    app.add_option("--chap", words.chap,
                   "Hosts must prove that they know this. Others can see it in ps(1): prefer "
                   "--chap-file or the environment variable OLIO_CHAP")
        ->type_name("USER:SECRET")
        ->group(group);
    app.add_option("--chap-file", words.chap_file, "The same, from the first line of a file")
        ->type_name("FILE")
        ->group(group);
    app.add_option("--mutual-chap", words.mutual_chap,
                   "The target proves to hosts that it knows this (OLIO_MUTUAL_CHAP)")
        ->type_name("USER:SECRET")
        ->group(group);
    app.add_option("--mutual-chap-file", words.mutual_chap_file, "The same, from a file")
        ->type_name("FILE")
        ->group(group);
    add_list(
        app, "--allow", words.allow,
        "Let in only this initiator name. Repeat it for more. A name is no secret: it keeps out "
        "mistakes, not attackers")
        ->type_name("IQN")
        ->group(group);
    app.add_flag("--open", words.open, "Let everyone in who can reach the address")->group(group);
    const auto add_digest = [&](const char* name, DigestPolicy& to, const char* help) {
        app.add_option(name, to, help)
            ->type_name("POLICY")
            ->transform(CLI::CheckedTransformer(digest_policies, CLI::ignore_case).description(""))
            ->group(group);
    };
    add_digest("--header-digest", words.header_digest,
               "Checksums of headers: optional (as the host likes), required or off");
    add_digest("--data-digest", words.data_digest, "Checksums of data, likewise");
}

void describe_process(CLI::App& app, Words& words) {
    const char* const group = "Process";
    app.add_option(
           "--reactor", words.reactor,
           "How to wait for input and output: auto (io_uring, or epoll where that is refused), "
           "io_uring, epoll")
        ->type_name("KIND")
        ->transform(CLI::CheckedTransformer(backends, CLI::ignore_case).description(""))
        ->group(group);
    app.add_option("--shards", words.shards,
                   "Threads that serve, each with its own event loop (one per processor)")
        ->type_name("N")
        ->check(CLI::Range(1U, limits::shards).description(""))
        ->group(group);
    app.add_option("--control", words.control,
                   fmt::format("Control socket ({})", default_control_path()))
        ->type_name("PATH")
        ->group(group);
    app.add_option("--state-directory", words.state_directory,
                   fmt::format("Where to keep what outlives the daemon besides the disks, such as "
                               "persistent reservations ({})",
                               default_state_directory()))
        ->type_name("PATH")
        ->envname("OLIO_STATE_DIRECTORY")
        ->group(group);
    app.add_option("--grace", words.grace_seconds,
                   "How long hosts have to log out when the daemon ends")
        ->type_name("SECONDS")
        ->check(CLI::Range(0U, 3600U).description(""))
        ->capture_default_str()
        ->group(group);
    app.add_option("--log-level", words.log_level, "debug, info, warning, error or off")
        ->type_name("LEVEL")
        ->transform(CLI::CheckedTransformer(levels, CLI::ignore_case).description(""))
        ->group(group);
}

// Credentials from at most one of the command line, a file and the environment.
Result<std::optional<Credentials>> credentials(const std::string& option, const std::string& text,
                                               const std::string& file, const char* variable) {
    if (!text.empty() && !file.empty())
        return fail(EINVAL,
                    fmt::format("{} and {}-file contradict; give one of them", option, option));
    Result<Credentials> found = fail(0, {});
    if (!text.empty()) {
        log::warning(
            "{}: other users of this machine can see the secret in ps; {}-file FILE or the "
            "environment variable {} keep it private",
            option, option, variable);
        found = parse_credentials(text, option);
    } else if (!file.empty()) {
        found = read_credentials(file);
    } else if (const char* value = std::getenv(variable); value != nullptr && value[0] != '\0') {
        found = parse_credentials(value, variable);
    } else {
        return std::nullopt;
    }
    if (!found)
        return std::unexpected(found.error());
    if (found->secret.size() < shortest_good_secret_bytes)
        log::warning(
            "the secret of {} is shorter than the {} bytes that RFC 7143 asks for; some hosts "
            "refuse it, and it can be guessed from a recorded login",
            option, shortest_good_secret_bytes);
    return *found;
}

Result<AccessPolicy> understand_access(const Words& words) {
    AccessPolicy access;
    auto chap = credentials("--chap", words.chap, words.chap_file, "OLIO_CHAP");
    if (!chap)
        return std::unexpected(chap.error());
    auto mutual =
        credentials("--mutual-chap", words.mutual_chap, words.mutual_chap_file, "OLIO_MUTUAL_CHAP");
    if (!mutual)
        return std::unexpected(mutual.error());
    access.chap = std::move(*chap);
    access.mutual_chap = std::move(*mutual);
    access.allowed = words.allow;
    access.open = words.open;
    return access;
}

std::string host_name() {
    std::array<char, HOST_NAME_MAX + 1> name{};
    return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

std::string machine_id() {
    std::string id;
    std::getline(std::ifstream("/etc/machine-id"), id);
    return id;
}

Result<Options> understand(const Words& words) {
    Options options;
    std::error_code no_folder;
    const std::string folder = std::filesystem::current_path(no_folder).string();
    std::string defaults = words.disk_defaults;
    for (const std::string& attribute : words.attributes) {
        const std::string name = attribute.substr(0, attribute.find('='));
        if (const auto known = target::find_attribute(name); !known)
            return fail(EINVAL,
                        fmt::format("--attribute {}: {}", attribute, known.error().message));
        defaults += (defaults.empty() ? "" : ",") + attribute;
    }
    for (const std::string& text : words.disks) {
        auto disk = parse_disk_spec(text, defaults, folder);
        if (!disk)
            return std::unexpected(disk.error());
        options.disks.push_back(std::move(*disk));
    }
    if (options.disks.size() > limits::logical_units)
        return fail(EINVAL, fmt::format("{} disks are more than the {} that one daemon serves",
                                        options.disks.size(), limits::logical_units));
    std::vector<std::string> portals = words.listen;
    if (portals.empty())
        portals.emplace_back(default_portal);
    for (const std::string& text : portals) {
        auto portal = parse_listen(text);
        if (!portal)
            return std::unexpected(portal.error());
        options.listen.push_back(portal->endpoint);
        options.portal_groups.push_back(portal->group);
    }
    if (tags_of(options).size() > limits::grouped_ports)
        return fail(EINVAL,
                    fmt::format("a disk has at most {} portal groups", limits::grouped_ports));
    auto access = understand_access(words);
    if (!access)
        return std::unexpected(access.error());
    options.access = std::move(*access);
    OLIO_TRY(check_policy(options.access, options.listen));
    options.target_name = !words.target_name.empty()
                              ? words.target_name
                              : default_target_name(host_name(), machine_id(),
                                                    options.listen.front().port(), ::getpid());
    options.header_digest = words.header_digest;
    options.data_digest = words.data_digest;
    options.reactor = words.reactor;
    options.shards =
        words.shards != 0 ? words.shards : std::min(usable_processors(), limits::shards);
    options.default_control_path = words.control.empty();
    options.control_path =
        words.control.empty()
            ? default_control_path()
            : (std::filesystem::path(folder) / words.control).lexically_normal().string();
    options.default_state_directory = words.state_directory.empty();
    options.state_directory =
        words.state_directory.empty()
            ? default_state_directory()
            : (std::filesystem::path(folder) / words.state_directory).lexically_normal().string();
    options.grace_seconds = words.grace_seconds;
    return options;
}

}  // namespace

std::vector<std::uint16_t> tags_of(const Options& options) {
    const std::set<std::uint16_t> tags(options.portal_groups.begin(), options.portal_groups.end());
    return {tags.begin(), tags.end()};
}

ParsedOptions parse_options(int argc, const char* const* argv) {
    CLI::App app{
        "oliod serves files, block devices and RAM as disks over iSCSI. The command line olio "
        "starts it (olio serve) and talks to it (olio status). See oliod(8).",
        "oliod"};
    app.set_version_flag("--version", "oliod " OLIO_VERSION);
    app.formatter(std::make_shared<cli::HelpFormatter>());
    Words words;
    describe_disks(app, words);
    describe_access(app, words);
    describe_process(app, words);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        if (error.get_exit_code() == 0) {
            app.exit(error);
            return {std::nullopt, ExitStatus::success};
        }
        fmt::print(stderr, "oliod: {}\nTry 'oliod --help'.\n", error.what());
        return {std::nullopt, ExitStatus::usage};
    }
    log::set_level(words.log_level);
    Result<Options> options =
        words.disks.empty()
            ? fail(EINVAL,
                   "there is no disk to serve; name one with --disk PATH or --disk ram:SIZE")
            : understand(words);
    if (!options) {
        fmt::print(stderr, "oliod: {}\n", options.error().message);
        return {std::nullopt, ExitStatus::usage};
    }
    options->log_level = words.log_level;
    return {std::move(*options), ExitStatus::success};
}

}  // namespace olio::oliod
