#include "run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "backstore/fileio/fileio.h"
#include "backstore/ramdisk/ramdisk.h"
#include "direct_session.h"
#include "fabric/iscsi/iscsi_target.h"
#include "host.h"
#include "iscsi_session.h"
#include "reactor/buffer_pool.h"
#include "reactor/sim.h"
#include "target/engine.h"

namespace olio::sim {
namespace {

using reactor::nanoseconds_per_ms;
using reactor::nanoseconds_per_second;

constexpr std::uint64_t longest_run_ns = 600 * nanoseconds_per_second;
constexpr std::uint64_t longest_end_ns = 200 * nanoseconds_per_second;
constexpr std::uint64_t stall_most_ms = 20'000;
constexpr std::uint64_t partition_most_ms = 30'000;
constexpr std::size_t buffer_limit_bytes = 32 << 20;

constexpr const char* target_name = "iqn.2026-01.test.sim:target";
constexpr const char* target_address = "10.0.0.1";
constexpr const char* portal = "10.0.0.1:3260";

std::string address_of_host(unsigned host) {
    return fmt::format("10.0.1.{}", host + 1);
}

class World {
  public:
    World(const Scenario& scenario, bool verbose)
        : scenario_(scenario),
          stage_(verbose),
          random_(scenario.seed * 0x9e3779b97f4a7c15U + 1),
          sim_(reactor::SimReactor::make({.backend = reactor::Backend::sim,
                                          .shards = scenario.shards,
                                          .pin = false,
                                          .seed = scenario.seed,
                                          .buffer_limit_bytes = buffer_limit_bytes})) {}
    World(const World&) = delete;
    World& operator=(const World&) = delete;

    void play();
    [[nodiscard]] Verdict verdict();

  private:
    struct Disk {
        int descriptor = -1;
        target::LogicalUnit* unit = nullptr;
        std::uint64_t stall_ends_ns = 0;
        WriteId shrunk = 0;  // the model's name for "what lies beyond may be gone"
        bool resizing = false;
        bool removed = false;
    };
    class Chaos final : public reactor::Timer {
      public:
        explicit Chaos(World& owner) : world(owner) {}
        void fired() noexcept override { world.go_wrong(); }
        World& world;
    };

    bool build();
    bool add_unit(std::uint32_t lun);
    std::unique_ptr<target::Backstore> make_store(std::uint32_t lun, Disk& disk);
    bool start_iscsi();
    void stop_iscsi();
    void add_hosts();
    std::unique_ptr<HostSession> make_session(unsigned host, reactor::Shard& shard,
                                              std::uint64_t seed, SessionUser& user);
    void network_fault();
    bool wait(const char* what, const std::function<bool()>& condition);
    void go_wrong();
    void stall(std::size_t index);
    void disk_error(std::size_t index);
    void resize(std::size_t index, bool to_full);
    void power_failure();
    void heal();
    void verify();
    void tear_down();
    void remove_units();
    void check_leaks();
    [[nodiscard]] bool happens(std::uint64_t every_ms) {
        const bool now = every_ms != 0 && faults_left_ != 0 && random_.below(every_ms) == 0;
        faults_left_ -= now ? 1 : 0;
        return now;
    }
    void fault(const std::string& what) { stage_.fault("world", what); }

    const Scenario& scenario_;
    Stage stage_;
    reactor::Random random_;
    std::unique_ptr<reactor::SimReactor> sim_;
    std::unique_ptr<target::Engine> engine_;
    std::unique_ptr<iscsi::IscsiTarget> iscsi_;
    target::TargetPort port_;
    std::shared_ptr<const target::LunMap> luns_;
    std::vector<Disk> disks_;
    std::vector<std::unique_ptr<Host>> hosts_;
    std::unique_ptr<Chaos> chaos_;
    std::uint64_t power_fails_at_ns_ = 0;
    bool healed_ = false;
    unsigned faults_left_ = 60;  // a run comes to an end
    bool partitioned_ = false;
    std::uint64_t heals_at_ns_ = 0;
    std::uint64_t hash_ = 0;
};

std::unique_ptr<target::Backstore> World::make_store(std::uint32_t lun, Disk& disk) {
    const UnitScenario& wish = scenario_.units[lun];
    const std::uint64_t bytes = wish.blocks * wish.block_bytes;
    if (wish.ram) {
        auto store = ramdisk::open({.size_bytes = bytes,
                                    .block_bytes = wish.block_bytes,
                                    .preallocate = false,
                                    .name = fmt::format("ram{}", lun),
                                    .serial = fmt::format("sim{}", lun)});
        return store ? std::move(*store) : nullptr;
    }
    disk.descriptor = sim_->create_disk(bytes);
    const auto medium = sim_->disk(disk.descriptor);
    medium->latency_most = wish.disk_latency_most_ns;
    medium->short_io_per_mille = wish.short_io_per_mille;
    fileio::Attachment attachment;
    attachment.descriptor = disk.descriptor;
    attachment.name = fmt::format("disk{}", lun);
    attachment.serial = fmt::format("sim{}", lun);
    attachment.geometry.blocks = wish.blocks;
    attachment.geometry.block_bytes = wish.block_bytes;
    attachment.write_through = wish.write_through;
    attachment.punches_holes = wish.punches_holes;
    auto store = fileio::attach(attachment);
    return store ? std::move(*store) : nullptr;
}

bool World::add_unit(std::uint32_t lun) {
    const UnitScenario& wish = scenario_.units[lun];
    disks_.emplace_back();
    auto store = make_store(lun, disks_.back());
    if (store == nullptr) {
        fault("a backing store does not open");
        return false;
    }
    stage_.units.push_back(std::make_unique<Unit>(lun, wish.blocks, wish.block_bytes,
                                                  wish.write_through, scenario_.power_fails));
    stage_.units.back()->unmaps = wish.ram || wish.punches_holes;
    target::LogicalUnitOptions options;
    options.name = fmt::format("unit{}", lun);
    options.home_shard = static_cast<unsigned>(random_.below(scenario_.shards));
    bool answered = false;
    sim_->enter(0, [&] {
        engine_->add_logical_unit(std::move(options), std::move(store),
                                  [&, lun](Result<target::LogicalUnit*> unit) {
                                      answered = true;
                                      if (unit)
                                          disks_[lun].unit = *unit;
                                      else
                                          fault("add_logical_unit: " + unit.error().message);
                                  });
    });
    return wait("a logical unit", [&] { return answered; }) && disks_[lun].unit != nullptr;
}

bool World::build() {
    auto engine = target::Engine::create(*sim_);
    if (!engine) {
        fault("Engine::create: " + engine.error().message);
        return false;
    }
    engine_ = std::move(*engine);
    disks_.reserve(scenario_.units.size());
    for (std::uint32_t lun = 0; lun < scenario_.units.size(); ++lun)
        if (!add_unit(lun))
            return false;
    std::vector<target::LunMapEntry> entries;
    for (std::uint32_t lun = 0; lun < disks_.size(); ++lun)
        entries.push_back({lun, disks_[lun].unit, false});
    auto luns = target::LunMap::make(std::move(entries));
    if (!luns) {
        fault("LunMap::make: " + luns.error().message);
        return false;
    }
    luns_ = *luns;
    port_.description.port_name = fmt::format("{},t,0x0001", target_name);
    port_.description.device_name = target_name;
    if (scenario_.fabric == Fabric::iscsi && !start_iscsi())
        return false;
    add_hosts();
    return true;
}

bool World::start_iscsi() {
    iscsi::PortalGroupOptions group;
    group.portals = {*reactor::Endpoint::parse(portal)};
    group.luns = luns_;
    iscsi::TargetNodeOptions node;
    node.name = target_name;
    node.portal_groups.push_back(std::move(group));
    bool good = false;
    sim_->enter(0, [&] {
        iscsi_ = iscsi::IscsiTarget::create(*sim_, *engine_);
        auto added = iscsi_->add_target_node(std::move(node));
        auto started = added ? iscsi_->start() : std::move(added);
        good = started.has_value();
        if (!good)
            fault("iSCSI: " + started.error().message);
    });
    sim_->network().options.latency_most = scenario_.network_latency_most_ns;
    sim_->network().options.window_bytes = scenario_.network_window_bytes;
    return good;
}

void World::stop_iscsi() {
    bool stopped = false;
    sim_->enter(0, [&] { iscsi_->stop(1, [&stopped] { stopped = true; }); });
    if (wait("the iSCSI target's end", [&stopped] { return stopped; }))
        iscsi_.reset();
}

std::unique_ptr<HostSession> World::make_session(unsigned host, reactor::Shard& shard,
                                                 std::uint64_t seed, SessionUser& user) {
    // Two sessions each are those of one initiator.
    const std::string name = fmt::format("iqn.2026-01.test.sim:host{}", host / 2);
    if (scenario_.fabric == Fabric::direct)
        return std::make_unique<DirectSession>(shard, *engine_, port_,
                                               fmt::format("{},i,0x80000000000{}", name, host % 2),
                                               luns_, user, seed);
    IscsiAccess access;
    access.portal = *reactor::Endpoint::parse(portal);
    access.source = *reactor::Endpoint::parse(fmt::format("{}:1", address_of_host(host)));
    access.settings.initiator_name = name;
    access.settings.target_name = target_name;
    access.settings.isid[5] = static_cast<std::uint8_t>(host % 2);
    reactor::Random keys(seed);
    IscsiSession::choose_keys(keys, access.settings);
    return std::make_unique<IscsiSession>(*sim_, shard, std::move(access), user, seed);
}

void World::add_hosts() {
    for (unsigned i = 0; i < scenario_.sessions; ++i) {
        auto& shard = sim_->shard(static_cast<unsigned>(random_.below(scenario_.shards)));
        const std::uint64_t seed = random_.next();
        const auto make = [&](SessionUser& user) { return make_session(i, shard, seed + 1, user); };
        hosts_.push_back(
            std::make_unique<Host>(stage_, scenario_, shard, fmt::format("host{}", i), seed, make));
        sim_->enter(shard.index(), [&] { hosts_.back()->start(); });
    }
    chaos_ = std::make_unique<Chaos>(*this);
    sim_->enter(0, [&] { sim_->shard(0).start(*chaos_, nanoseconds_per_ms); });
}

bool World::wait(const char* what, const std::function<bool()>& condition) {
    if (sim_->run_until(condition, sim_->now() + longest_end_ns))
        return true;
    fault(fmt::format("waits in vain for {}", what));
    for (const auto& host : hosts_)
        if (!host->quiet() || !host->ended())
            fault(host->state());
    return false;
}

// --- What goes wrong ---

// Each millisecond.
void World::go_wrong() {
    if (healed_)
        return;
    const std::uint64_t now = sim_->now();
    for (std::size_t i = 0; i < disks_.size(); ++i) {
        if (stage_.units[i]->stalled && now >= disks_[i].stall_ends_ns) {
            sim_->resume_disk(disks_[i].descriptor);
            stage_.units[i]->stalled = false;
            stage_.units[i]->excused_until_ns = now;
        }
    }
    const std::size_t index = random_.below(disks_.size());
    if (happens(scenario_.stall_every_ms))
        stall(index);
    if (happens(scenario_.disk_error_every_ms))
        disk_error(index);
    if (happens(scenario_.resize_every_ms))
        resize(index, disks_[index].shrunk != 0);
    if (scenario_.fabric == Fabric::iscsi && !partitioned_ &&
        happens(scenario_.network_fault_every_ms))
        network_fault();
    if (partitioned_ && now >= heals_at_ns_) {
        sim_->network().heal_all();
        partitioned_ = false;
        stage_.network_excused_until_ns = now;
    }
    if (scenario_.power_fails && power_fails_at_ns_ == 0)
        power_fails_at_ns_ = now + random_.below(300) * nanoseconds_per_ms;
    if (scenario_.power_fails && now >= power_fails_at_ns_ && !stage_.stopped)
        power_failure();
    sim_->shard(0).start(*chaos_, nanoseconds_per_ms);
}

void World::stall(std::size_t index) {
    Unit& unit = *stage_.units[index];
    if (unit.stalled || disks_[index].descriptor < 0)
        return;
    unit.stalled = true;
    const std::uint64_t longest = random_.below(4) == 0 ? stall_most_ms : 500;
    disks_[index].stall_ends_ns = sim_->now() + random_.below(longest) * nanoseconds_per_ms;
    sim_->disk(disks_[index].descriptor)->stall();
    ++stage_.counts["disk stalls"];
}

void World::disk_error(std::size_t index) {
    if (disks_[index].descriptor < 0)
        return;
    constexpr std::array kinds{reactor::OperationKind::read, reactor::OperationKind::write,
                               reactor::OperationKind::sync, reactor::OperationKind::allocate};
    constexpr std::array errors{EIO, ENOSPC, EIO};
    const UnitScenario& wish = scenario_.units[index];
    reactor::SimDisk::Fault broken;
    broken.error = errors[random_.below(errors.size())];
    broken.kind = kinds[random_.below(kinds.size())];
    broken.offset = random_.below(wish.blocks) * wish.block_bytes;
    broken.length = random_.below(4) == 0 ? ~std::uint64_t{0} - broken.offset : wish.block_bytes;
    broken.times = 1 + random_.below(3);
    stage_.units[index]->fails = true;
    sim_->disk(disks_[index].descriptor)->inject(broken);
    ++stage_.counts["disk errors"];
}

void World::resize(std::size_t index, bool to_full) {
    Disk& disk = disks_[index];
    Unit& unit = *stage_.units[index];
    if (!scenario_.units[index].ram || disk.resizing)
        return;
    const std::uint64_t blocks = to_full ? unit.blocks : 1 + random_.below(unit.blocks);
    unit.resizes = true;
    disk.resizing = true;
    if (!to_full) {  // what lies beyond may be gone, until it is full again
        disk.shrunk = stage_.next_id();
        const std::uint64_t first = blocks * unit.cells_per_block();
        unit.model.write_begins(disk.shrunk, stage_.tick(), first, unit.model.cells() - first, {});
    }
    ++stage_.counts["resizes"];
    disk.unit->rescan(blocks, [this, index, to_full](Result<void> done) {
        Disk& resized = disks_[index];
        resized.resizing = false;
        if (!done)
            fault("resize: " + done.error().message);
        if (to_full && resized.shrunk != 0)
            stage_.units[index]->model.write_ends(std::exchange(resized.shrunk, 0), stage_.tick(),
                                                  WriteEnd::uncertain, false);
    });
}

void World::network_fault() {
    const std::string host =
        address_of_host(static_cast<unsigned>(random_.below(scenario_.sessions)));
    ++stage_.counts["network faults"];
    if (random_.below(2) == 0)
        return sim_->network().cut(*reactor::Endpoint::parse(host + ":0"));
    sim_->network().partition(host, target_address);
    const std::uint64_t longest = random_.below(4) == 0 ? partition_most_ms : 1'000;
    heals_at_ns_ =
        std::max(heals_at_ns_, sim_->now() + random_.below(longest) * nanoseconds_per_ms);
    partitioned_ = true;
    stage_.network_excused_until_ns = heals_at_ns_;
}

// The disks keep what was durable; what they hold is compared at once, for the daemon plays on.
void World::power_failure() {
    stage_.stopped = true;
    ++stage_.counts["power failures"];
    for (std::size_t i = 0; i < disks_.size(); ++i) {
        const Unit& unit = *stage_.units[i];
        if (disks_[i].descriptor < 0)
            continue;
        sim_->crash_disk(disks_[i].descriptor);
        std::vector<std::uint8_t> medium(unit.blocks * unit.block_bytes);
        sim_->disk(disks_[i].descriptor)->peek(0, medium);
        if (const auto complaint = unit.model.after_crash(medium))
            fault(fmt::format("LUN {}: {}", i, *complaint));
    }
}

void World::heal() {
    healed_ = true;
    sim_->network().heal_all();
    if (partitioned_)
        stage_.network_excused_until_ns = sim_->now();
    for (std::size_t i = 0; i < disks_.size(); ++i) {
        Unit& unit = *stage_.units[i];
        if (disks_[i].descriptor >= 0) {
            sim_->disk(disks_[i].descriptor)->clear_faults();
            sim_->resume_disk(disks_[i].descriptor);
        }
        if (std::exchange(unit.stalled, false))
            unit.excused_until_ns = sim_->now();
    }
    if (!wait("resizes", [this] {
            return std::none_of(disks_.begin(), disks_.end(),
                                [](const Disk& d) { return d.resizing; });
        }))
        return;
    for (std::size_t i = 0; i < disks_.size(); ++i)
        if (disks_[i].shrunk != 0)
            sim_->enter(0, [this, i] { resize(i, true); });
    wait("the last resizes", [this] {
        return std::none_of(disks_.begin(), disks_.end(),
                            [](const Disk& d) { return d.shrunk != 0; });
    });
}

// --- The course of a run ---

void World::play() {
    if (!build())
        return;
    const auto all = [this](auto&& condition) {
        return std::all_of(hosts_.begin(), hosts_.end(), condition);
    };
    const bool done = sim_->run_until(
        [&] {
            return stage_.stopped || !stage_.faults().empty() ||
                   all([](const auto& host) { return host->finished(); });
        },
        longest_run_ns);
    if (!done) {
        fault(fmt::format("the hosts do not come to an end in {} s",
                          longest_run_ns / nanoseconds_per_second));
        for (const auto& host : hosts_)
            fault(host->state());
    }
    stage_.draining = true;
    heal();
    if (!stage_.faults().empty())
        return;
    if (!stage_.stopped) {
        if (!wait("the last answers",
                  [&] { return all([](const auto& host) { return host->finished(); }); }))
            return;
        verify();
    }
}

// Two rounds: what the first finds, the second must find again.
void World::verify() {
    for (unsigned round = 0; round < 2; ++round) {
        Host& host = *hosts_[round % hosts_.size()];
        sim_->enter(host.shard().index(), [&host] { host.verify_everything(1); });
        if (!wait("the final reads", [&host] { return host.finished(); }))
            return;
    }
}

void World::tear_down() {
    healed_ = true;
    if (engine_ != nullptr && hosts_.size() == scenario_.sessions && stage_.faults().empty()) {
        for (const auto& host : hosts_)
            sim_->enter(host->shard().index(), [&host] { host->close(); });
        if (wait("the sessions' end", [this] {
                return std::all_of(hosts_.begin(), hosts_.end(),
                                   [](const auto& host) { return host->ended(); });
            })) {
            if (iscsi_ != nullptr)
                stop_iscsi();
            remove_units();
            check_leaks();
        }
    }
}

void World::remove_units() {
    hash_ = sim_->trace_hash();
    luns_.reset();
    std::size_t asked = 0;
    for (const Disk& disk : disks_) {
        sim_->enter(0, [this, &disk, &asked] {
            disk.unit->statistics([this, &asked](const target::LogicalUnitStatistics& counted) {
                ++asked;
                if (counted.in_flight != 0)
                    fault(fmt::format("{} commands are in flight without a session",
                                      counted.in_flight));
            });
        });
    }
    if (!wait("statistics", [&] { return asked == disks_.size(); }))
        return;
    for (Disk& disk : disks_) {
        sim_->enter(0, [this, &disk] {
            engine_->remove_logical_unit(*disk.unit, [this, &disk](Result<void> done) {
                disk.removed = true;
                if (!done)
                    fault("remove_logical_unit: " + done.error().message);
            });
        });
    }
    wait("the units' end", [this] {
        return std::all_of(disks_.begin(), disks_.end(),
                           [](const Disk& disk) { return disk.removed; });
    });
}

void World::check_leaks() {
    for (unsigned i = 0; i < scenario_.shards; ++i)
        if (const std::size_t left = sim_->shard(i).buffers().bytes_in_use(); left != 0)
            fault(fmt::format("{} bytes of buffers are left on shard {}", left, i));
    if (const std::size_t left = sim_->network().open_sockets(); left != 0)
        fault(fmt::format("{} sockets are left", left));
}

Verdict World::verdict() {
    tear_down();
    return {stage_.faults(), hash_ ^ stage_.hash(), stage_.counts};
}

}  // namespace

Verdict run(const Scenario& scenario, bool verbose) {
    auto world = std::make_unique<World>(scenario, verbose);
    world->play();
    Verdict verdict = world->verdict();
    // After a fault nothing need be orderly any more: such a world is kept as it is, to the end.
    static auto& broken = *new std::vector<World*>;
    if (!verdict.faults.empty())
        broken.push_back(world.release());
    return verdict;
}

}  // namespace olio::sim
