// The command line: what can be typed, and nothing else.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/runtime_paths.h"
#include "olio/commands.h"
#include "olio/help_format.h"
#include "olio/serve.h"

namespace olio::cli {
namespace {

using Run = std::function<ExitStatus()>;

CLI::Option* add_list(CLI::App& app, const char* name, std::vector<std::string>& to,
                      const char* help) {
    return app.add_option(name, to, help)->allow_extra_args(false)->take_all();
}

// ---- serve
// ---------------------------------------------------------------------------------------

struct ServeWords {
    ServeOptions options;
    std::vector<std::string> disks;
    std::vector<std::string> rams;
    CLI::Option* disk = nullptr;
    CLI::Option* ram = nullptr;
};

void describe_disks(CLI::App& app, ServeWords& words) {
    const char* const group = "Disks (LUN 0, 1, 2 ... in the order of the command line)";
    words.disk =
        app.add_option("DISK", words.disks,
                       "A file, or a block device such as /dev/sdb. Options for this one may "
                       "follow, each after a comma: disk.img,size=1G,serial=A1,read-only (see "
                       "olio(1)); a comma in a path is written twice")
            ->group(group);
    words.ram = add_list(app, "--ram", words.rams, "A disk in memory, gone at the end")
                    ->type_name("SIZE")
                    ->group(group);
    app.add_option("--size", words.options.size,
                   "Make files that are missing, this large: 512M, 1G, 2T (binary)")
        ->type_name("SIZE")
        ->group(group);
    app.add_option("--block-size", words.options.block_size,
                   "512 (unless given) or 4096, for files and memory")
        ->type_name("BYTES")
        ->group(group);
    app.add_flag("--direct", words.options.direct, "Files: past the page cache (O_DIRECT)")
        ->group(group);
    app.add_flag("--write-through", words.options.write_through,
                 "A write is on stable storage when it is answered (WCE=0)")
        ->group(group);
    app.add_flag("--read-only", words.options.read_only, "Hosts cannot write")->group(group);
    add_list(
        app, "--attribute", words.options.attributes,
        "A SCSI attribute, as LIO names them, of every disk: emulate_caw=0; repeat it for more. "
        "'olio attributes LUN' lists them")
        ->type_name("NAME=VALUE")
        ->group(group);
}

void describe_access(CLI::App& app, ServeOptions& options) {
    const char* const group = "Who can reach it";
    add_list(
        app, "--listen", options.listen,
        "Address to listen on (127.0.0.1:3260); repeat it for more. One that other hosts reach "
        "wants --chap, --allow or --open. group=TAG makes a target port of its own, for ALUA")
        ->type_name("ADDR[:PORT][,group=TAG]")
        ->group(group);
    app.add_option("--chap", options.chap,
                   "Hosts must prove that they know this; others can see it in ps(1)")
        ->type_name("USER:SECRET")
        ->group(group);
    app.add_option("--chap-file", options.chap_file,
                   "The same, from the first line of a private file")
        ->type_name("FILE")
        ->group(group);
    app.add_option("--mutual-chap", options.mutual_chap, "And the target proves that it knows this")
        ->type_name("USER:SECRET")
        ->group(group);
    app.add_option("--mutual-chap-file", options.mutual_chap_file, "The same, from a private file")
        ->type_name("FILE")
        ->group(group);
    add_list(app, "--allow", options.allow, "Only this initiator name; repeat it for more")
        ->type_name("IQN")
        ->group(group);
    app.add_flag("--open", options.open, "Everyone who can reach the address")->group(group);
    app.add_option("--target-name", options.target_name,
                   "iSCSI name of the target (made from the host's name unless given)")
        ->type_name("IQN")
        ->group(group);
}

void describe_process(CLI::App& app, ServeOptions& options) {
    const char* const group = "The daemon";
    app.add_option("--reactor", options.reactor, "auto, io_uring or epoll")
        ->type_name("KIND")
        ->group(group);
    app.add_option("--shards", options.shards, "Threads that serve (one per processor)")
        ->type_name("N")
        ->group(group);
    app.add_option("--control", options.control,
                   fmt::format("Control socket ({})",
                               runtime_directory() + "/" + serve_socket_prefix + "PID.sock"))
        ->type_name("PATH")
        ->group(group);
    app.add_option("--log-level", options.log_level, "debug, info, warning, error or off (warning)")
        ->type_name("LEVEL")
        ->group(group);
    app.add_flag("--json", options.json, "Say everything as JSON, one object a line")->group(group);
}

// LUNs are numbered as the disks were typed, whichever way.
std::vector<std::string> in_order_typed(const CLI::App& app, const ServeWords& words) {
    std::vector<std::string> order;
    std::size_t disk = 0;
    std::size_t ram = 0;
    for (const CLI::Option* option : app.parse_order()) {
        if (option == words.disk && disk < words.disks.size())
            order.push_back(words.disks[disk++]);
        else if (option == words.ram && ram < words.rams.size())
            order.push_back("ram:" + words.rams[ram++]);
    }
    return order;
}

void add_serve(CLI::App& app, Run& run) {
    CLI::App* serve_app = app.add_subcommand(
        "serve", "Serve files, block devices or memory as disks over iSCSI until Ctrl-C");
    serve_app->footer(
        "It prints what to type on the other side, then shows sessions and throughput.\n"
        "\n"
        "  olio serve disk.img --size 1G     a file, made if it is missing\n"
        "  olio serve /dev/sdb --ram 4G      a device as LUN 0, memory as LUN 1\n"
        "  olio serve disk.img --listen 0.0.0.0 --chap-file secret\n"
        "                                    to other hosts, with a password");
    const auto words = std::make_shared<ServeWords>();
    describe_disks(*serve_app, *words);
    describe_access(*serve_app, words->options);
    describe_process(*serve_app, words->options);
    serve_app->final_callback([serve_app, words, &run] {
        words->options.disks = in_order_typed(*serve_app, *words);
        if (words->options.disks.empty())
            throw CLI::ValidationError(
                "there is nothing to serve; name a file, a block device or "
                "--ram SIZE: olio serve disk.img --size 1G");
        run = [words] { return serve(words->options); };
    });
}

// ---- the verbs that ask
// ---------------------------------------------------------------------------

CLI::App* add_verb(CLI::App& app, const char* name, const char* help,
                   const std::shared_ptr<Asking>& asking) {
    CLI::App* verb = app.add_subcommand(name, help);
    verb->add_option("--control", asking->control,
                     fmt::format("Control socket ({}, or that of the only 'olio serve' running)",
                                 default_control_path()))
        ->type_name("PATH");
    verb->add_flag("--json", asking->json, "Print JSON");
    return verb;
}

void add_plain_verb(CLI::App& app, const char* name, const char* help, Run& run,
                    ExitStatus (*function)(const Asking&)) {
    const auto asking = std::make_shared<Asking>();
    add_verb(app, name, help, asking)->final_callback([=, &run] {
        run = [=] { return function(*asking); };
    });
}

CLI::Option* add_lun(CLI::App& verb, const std::shared_ptr<std::uint64_t>& lun) {
    return verb.add_option("LUN", *lun, "Number of the disk, as 'olio luns' lists it");
}

void add_counters(CLI::App& app, Run& run) {
    const auto asking = std::make_shared<Asking>();
    const auto lun = std::make_shared<std::uint64_t>();
    CLI::App* verb = add_verb(app, "counters",
                              "How often each SCSI command was used on a disk, and failed", asking);
    add_lun(*verb, lun)->required();
    verb->final_callback([=, &run] { run = [=] { return show_counters(*asking, *lun); }; });
}

void add_attributes(CLI::App& app, Run& run) {
    const auto asking = std::make_shared<Asking>();
    const auto lun = std::make_shared<std::uint64_t>();
    const auto changes = std::make_shared<std::vector<std::string>>();
    CLI::App* verb = add_verb(app, "attributes",
                              "The SCSI attributes of a disk (LIO's attrib/); or set some", asking);
    add_lun(*verb, lun)->required();
    verb->add_option("NAME=VALUE", *changes, "Attributes to set");
    verb->final_callback(
        [=, &run] { run = [=] { return show_or_set_attributes(*asking, *lun, *changes); }; });
}

void add_resize(CLI::App& app, Run& run) {
    const auto asking = std::make_shared<Asking>();
    const auto lun = std::make_shared<std::uint64_t>();
    const auto size = std::make_shared<std::string>();
    const auto shrink = std::make_shared<bool>(false);
    CLI::App* verb = add_verb(
        app, "resize", "Make a file or memory disk larger or smaller and tell the hosts", asking);
    add_lun(*verb, lun)->required();
    verb->add_option("SIZE", *size, "New size, such as 20G; a whole number of blocks")->required();
    verb->add_flag("--shrink", *shrink, "It may become smaller, which destroys what lies beyond");
    verb->final_callback(
        [=, &run] { run = [=] { return resize_lun(*asking, *lun, *size, *shrink); }; });
}

void add_rescan(CLI::App& app, Run& run) {
    const auto asking = std::make_shared<Asking>();
    const auto lun = std::make_shared<std::uint64_t>();
    CLI::App* verb = add_verb(
        app, "rescan", "Look at a disk anew, or at all: tell the hosts of a size changed elsewhere",
        asking);
    const CLI::Option* given = add_lun(*verb, lun);
    verb->final_callback([=, &run] {
        run = [=] {
            return rescan(*asking, given->count() != 0 ? std::optional(*lun) : std::nullopt);
        };
    });
}

void add_shutdown(CLI::App& app, Run& run) {
    const auto asking = std::make_shared<Asking>();
    const auto grace = std::make_shared<std::uint64_t>();
    CLI::App* verb =
        add_verb(app, "shutdown", "Ask the hosts to log out, then end the daemon", asking);
    const CLI::Option* given =
        verb->add_option("--grace", *grace, "How long the hosts have, at most")
            ->type_name("SECONDS");
    verb->final_callback([=, &run] {
        run = [=] {
            return shut_down(*asking, given->count() != 0 ? std::optional(*grace) : std::nullopt);
        };
    });
}

void add_call(CLI::App& app, Run& run) {
    const auto asking = std::make_shared<Asking>();
    const auto method = std::make_shared<std::string>();
    const auto parameters = std::make_shared<std::string>();
    CLI::App* verb =
        add_verb(app, "call", "Call any method of the daemon; 'olio methods' lists them", asking);
    verb->add_option("METHOD", *method, "Its name")->required();
    verb->add_option("PARAMETERS", *parameters, R"(As JSON, such as '{"lun": 0}')");
    verb->final_callback(
        [=, &run] { run = [=] { return call_method(*asking, *method, *parameters); }; });
}

int run_command_line(int argc, const char* const* argv) {
    CLI::App app{"Olio serves files, block devices and memory as disks over iSCSI. See olio(1).",
                 "olio"};
    app.set_version_flag("--version", "olio " OLIO_VERSION);
    app.set_help_all_flag("--help-all", "Print the help of every verb");
    app.formatter(std::make_shared<HelpFormatter>());
    app.require_subcommand(1);
    Run run;
    add_serve(app, run);
    add_plain_verb(app, "status", "The daemon: target, portals, sums of sessions and traffic", run,
                   show_status);
    add_plain_verb(app, "sessions", "Every host that is logged in", run, show_sessions);
    add_plain_verb(app, "luns", "Every disk, with its size and traffic", run, show_luns);
    add_counters(app, run);
    add_attributes(app, run);
    add_resize(app, run);
    add_rescan(app, run);
    add_shutdown(app, run);
    add_call(app, run);
    add_plain_verb(app, "methods", "What the daemon's control socket understands", run,
                   show_methods);
    for (CLI::App* verb : app.get_subcommands(nullptr))
        verb->set_help_all_flag();  // the program's own is enough
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        if (error.get_exit_code() == 0) {
            app.exit(error);
            return 0;
        }
        const auto verbs = app.get_subcommands();
        fmt::print(stderr, "olio: {}\nTry 'olio {}--help'.\n", error.what(),
                   verbs.empty() ? "" : verbs.front()->get_name() + " ");
        return static_cast<int>(ExitStatus::usage);
    }
    return static_cast<int>(run());
}

}  // namespace
}  // namespace olio::cli

int main(int argc, char** argv) {
    try {
        return olio::cli::run_command_line(argc, argv);
    } catch (const nlohmann::json::exception&) {
        fmt::print(stderr,
                   "olio: the daemon answered in a way that this olio does not understand; are "
                   "both of the same version?\n");
        return static_cast<int>(olio::cli::ExitStatus::failure);
    }
}
