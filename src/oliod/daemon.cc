#include "oliod/daemon.h"

#include <fmt/core.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <utility>

#include "base/log.h"
#include "base/runtime_paths.h"
#include "base/size_text.h"
#include "config/control_server.h"
#include "config/json_rpc.h"
#include "fabric/iscsi/iscsi_target.h"
#include "oliod/control_access_states.h"
#include "oliod/control_methods.h"
#include "oliod/disks.h"
#include "oliod/process.h"
#include "oliod/signals.h"
#include "reactor/reactor.h"
#include "target/backstore.h"
#include "target/lun_map.h"
#include "target/metadata_store.h"

namespace olio::oliod {
namespace {

// How much longer than the hosts' grace the rest of ending may take.
constexpr unsigned end_slack_seconds = 10;

std::string disk_name(const Disk& disk) {
    return disk.spec.ram ? fmt::format("ram{}", disk.lun) : disk.spec.path;
}

std::optional<iscsi::ChapCredentials> for_iscsi(const std::optional<Credentials>& credentials) {
    if (!credentials)
        return std::nullopt;
    return iscsi::ChapCredentials{credentials->user, credentials->secret};
}

// As iscsi::OperationalSettings has them: bit 0 for None, bit 1 for CRC32C.
std::uint32_t digest_mask(DigestPolicy policy) {
    switch (policy) {
        case DigestPolicy::off:
            return 0b01;
        case DigestPolicy::required:
            return 0b10;
        case DigestPolicy::optional:
            break;
    }
    return 0b11;
}

}  // namespace

std::string_view name_of(DaemonState state) noexcept {
    constexpr std::array<std::string_view, 3> names{"starting", "serving", "draining"};
    return names[static_cast<std::size_t>(state)];
}

Daemon::Daemon(Options options) : options_(std::move(options)) {}

// Here, where the members' types are known.
Daemon::~Daemon() = default;

Result<std::unique_ptr<Daemon>> Daemon::create(Options options) {
    auto daemon = std::unique_ptr<Daemon>(new Daemon(std::move(options)));
    Options& wanted = daemon->options_;
    if (wanted.default_control_path)
        OLIO_TRY(make_runtime_directory(runtime_directory()));
    auto control = config::ControlServer::open(wanted.control_path);
    if (!control)
        return std::unexpected(std::move(control.error()));
    daemon->control_ = std::move(*control);
    auto reactor = reactor::Reactor::create({.backend = wanted.reactor, .shards = wanted.shards});
    if (!reactor)
        return std::unexpected(std::move(reactor.error()));
    daemon->reactor_ = std::move(*reactor);
    OLIO_TRY(daemon->open_metadata());
    auto engine = target::Engine::create(*daemon->reactor_, daemon->metadata_.get());
    if (!engine)
        return std::unexpected(std::move(engine.error()));
    daemon->engine_ = std::move(*engine);
    daemon->iscsi_ = iscsi::IscsiTarget::create(*daemon->reactor_, *daemon->engine_);
    daemon->methods_ = make_control_methods(*daemon);
    auto signals = Signals::install();
    if (!signals)
        return std::unexpected(std::move(signals.error()));
    daemon->signals_ = std::move(*signals);
    daemon->report_memory_bound();
    return daemon;
}

ExitStatus Daemon::run() {
    reactor_->shard(0).post([this] { start(); });
    reactor_->run();
    return exit_status_;
}

// ---- starting ----------------------------------------------------------------------------------

// A place that nobody named may be missing; then hosts are told that nothing is kept.
Result<void> Daemon::open_metadata() {
    auto opened = target::open_metadata_directory(options_.state_directory);
    if (opened) {
        metadata_ = std::move(*opened);
        return {};
    }
    if (!options_.default_state_directory)
        return fail(opened.error().code,
                    fmt::format("{}; name another place with --state-directory PATH",
                                opened.error().message));
    log::warning(
        "persistent reservations and access states will not outlive the daemon: {} "
        "(--state-directory PATH names another place)",
        opened.error().message);
    return {};
}

void Daemon::report_memory_bound() {
    std::uint64_t ram_bytes = 0;
    for (const DiskSpec& spec : options_.disks)
        if (spec.ram)
            ram_bytes += *spec.size_bytes;
    const auto parts = memory_bound(options_.shards, ram_bytes);
    memory_bound_bytes_ = total_bytes(parts);
    std::vector<std::string> texts;
    for (const MemoryPart& part : parts)
        if (part.bytes != 0)
            texts.push_back(fmt::format("{} {}", part.name, format_size(part.bytes)));
    log::info("memory stays below {} at all limits at once: {}", format_size(memory_bound_bytes_),
              fmt::join(texts, ", "));
}

void Daemon::start() {
    started_at_ = reactor_->shard(0).now();
    signals_->start(reactor_->shard(0), [this](int signal) { signal_heard(signal); });
    control_->start(reactor_->shard(0), *methods_);
    open_next_disk();
}

void Daemon::open_next_disk() {
    if (end_after_start_) {
        state_ = DaemonState::serving;
        return end(0);
    }
    if (disks_.size() == options_.disks.size())
        return start_target();
    Disk disk{.lun = static_cast<std::uint32_t>(disks_.size()),
              .spec = options_.disks[disks_.size()]};
    auto store =
        open_disk(disk.spec, fmt::format("{} of {}", disk_name(disk), options_.target_name));
    if (!store)
        return start_failed(store.error());
    target::LogicalUnitOptions unit{.name = disk_name(disk),
                                    .identification = std::nullopt,
                                    .write_protected = disk.spec.read_only,
                                    .thin = disk.spec.thin,
                                    .protection_type = disk.spec.protection_type,
                                    .home_shard = disk.lun % reactor_->size(),
                                    .access = initial_access(tags_of(options_)),
                                    .target_ports = target_ports(disk.lun),
                                    .attributes = disk.spec.attributes};
    disks_.push_back(std::move(disk));
    engine_->add_logical_unit(
        std::move(unit), std::move(*store),
        [this](Result<target::LogicalUnit*> added) { disk_opened(std::move(added)); });
}

void Daemon::disk_opened(Result<target::LogicalUnit*> unit) {
    if (!unit) {
        disks_.pop_back();
        return start_failed(unit.error());
    }
    Disk& disk = disks_.back();
    disk.unit = *unit;
    const scsi::Geometry geometry = disk.unit->backstore().geometry();
    log::info("LUN {}: {} {}, {}, blocks of {} bytes", disk.lun, disk.unit->backstore().type(),
              disk.unit->name(), format_size(geometry.blocks * geometry.block_bytes),
              geometry.block_bytes);
    // By way of the loop: thousands of disks must not become a deep recursion.
    reactor_->shard(0).post([this] { open_next_disk(); });
}

void Daemon::start_target() {
    const auto started = add_target();
    if (!started)
        return start_failed(started.error());
    serving();
}

Result<void> Daemon::add_target() {
    std::vector<target::LunMapEntry> entries;
    entries.reserve(disks_.size());
    for (const Disk& disk : disks_)
        entries.push_back(
            {.lun = disk.lun, .unit = disk.unit, .write_protected = disk.spec.read_only});
    auto luns = target::LunMap::make(std::move(entries));
    if (!luns)
        return std::unexpected(std::move(luns.error()));
    iscsi::TargetNodeOptions node{
        .name = options_.target_name, .alias = "Olio", .portal_groups = {}};
    for (const std::uint16_t tag : tags_of(options_))
        node.portal_groups.push_back(portal_group(tag, *luns));
    OLIO_TRY(iscsi_->add_target_node(std::move(node)));
    return iscsi_->start();
}

// As portal_group() makes them.
std::vector<scsi::ConfiguredPort> Daemon::target_ports(std::uint32_t lun) const {
    std::vector<scsi::ConfiguredPort> ports;
    for (const std::uint16_t tag : tags_of(options_))
        ports.push_back({.description = iscsi::port_description(options_.target_name, tag, tag),
                         .portal_group_tag = tag,
                         .lun = lun});
    return ports;
}

// Each portal group is a target port; its tag is the port's relative identifier too, so that it
// stays the same when others come and go.
iscsi::PortalGroupOptions Daemon::portal_group(std::uint16_t tag,
                                               std::shared_ptr<const target::LunMap> luns) const {
    iscsi::PortalGroupOptions group;
    group.tag = tag;
    group.relative_port = tag;
    for (std::size_t i = 0; i < options_.listen.size(); ++i)
        if (options_.portal_groups[i] == tag)
            group.portals.push_back(options_.listen[i]);
    group.access.initiator_names = options_.access.allowed;
    group.access.chap = for_iscsi(options_.access.chap);
    group.access.mutual_chap = for_iscsi(options_.access.mutual_chap);
    group.luns = std::move(luns);
    group.settings.header_digests = digest_mask(options_.header_digest);
    group.settings.data_digests = digest_mask(options_.data_digest);
    return group;
}

void Daemon::serving() {
    state_ = DaemonState::serving;
    for (const reactor::Endpoint& portal : iscsi_->portals())
        log::info("serving {} on {}", options_.target_name, portal.text());
    notify_service_manager("READY=1");
    if (end_after_start_)
        end(options_.grace_seconds);
}

// To stderr whatever the log level: it is the answer to whoever started us.
void Daemon::start_failed(const Error& error) {
    fmt::print(stderr, "oliod: {}\n", error.message);
    exit_status_ = ExitStatus::failure;
    state_ = DaemonState::serving;
    end(0);
}

// ---- ending ------------------------------------------------------------------------------------

void Daemon::signal_heard(int signal) {
    if (signal == SIGHUP)
        return rescan_all();
    if (++ends_heard_ > 1)
        end_at_once();
    log::info("ending; hosts have {} s to log out (a second signal ends at once)",
              options_.grace_seconds);
    end(options_.grace_seconds);
}

void Daemon::end(unsigned grace_seconds) {
    if (state_ == DaemonState::starting)
        end_after_start_ = true;
    if (state_ != DaemonState::serving)
        return;
    state_ = DaemonState::draining;
    notify_service_manager("STOPPING=1");
    reactor_->shard(0).start(watchdog_,
                             (grace_seconds + end_slack_seconds) * reactor::nanoseconds_per_second);
    iscsi_->stop(grace_seconds, [this] { remove_disks(); });
}

// Without taking anything down: what a host was told is durable is so already.
void Daemon::end_at_once() {
    log::warning("ending at once");
    ::unlink(control_path().c_str());
    ::_exit(static_cast<int>(ExitStatus::at_once));
}

void Daemon::remove_disks() {
    if (disks_.empty())
        return stop_listening_to_us();
    target::LogicalUnit& unit = *disks_.back().unit;
    disks_.pop_back();
    engine_->remove_logical_unit(unit, [this](Result<void> removed) {
        if (!removed)
            log::warning("{}", removed.error().message);
        reactor_->shard(0).post([this] { remove_disks(); });
    });
}

void Daemon::stop_listening_to_us() {
    control_->stop([this] {
        signals_->stop([this] {
            reactor_->shard(0).stop(watchdog_);
            reactor_->stop();
        });
    });
}

// ---- what the control methods ask --------------------------------------------------------------

void Daemon::rescan_all() {
    if (state_ != DaemonState::serving)
        return;
    for (const Disk& disk : disks_)
        disk.unit->rescan(std::nullopt, [lun = disk.lun](Result<void> done) {
            if (done)
                log::info("LUN {} was looked at anew", lun);
            else
                log::error("LUN {}: {}", lun, done.error().message);
        });
}

const Disk* Daemon::find_disk(std::uint64_t lun) const noexcept {
    const auto found = std::ranges::find(disks_, lun, &Disk::lun);
    return found == disks_.end() || found->unit == nullptr ? nullptr : &*found;
}

const std::string& Daemon::control_path() const noexcept {
    return control_->path();
}

std::uint64_t Daemon::uptime_seconds() const noexcept {
    return (reactor_->shard(0).now() - started_at_) / reactor::nanoseconds_per_second;
}

}  // namespace olio::oliod
