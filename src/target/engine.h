// The engine: logical units, and nexuses to them. Made once, before the reactor runs.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "reactor/reactor.h"
#include "target/backstore.h"
#include "target/it_nexus.h"
#include "target/lun_map.h"
#include "target/metadata_store.h"
#include "target/target_port.h"

namespace olio::target {

struct LogicalUnitOptions {
    std::string name;                                    // for people and the log
    std::optional<scsi::Identification> identification;  // else the backing store's suggestion
    bool write_protected = false;
    // Logical block provisioning management where the store can give blocks up; off: the unit is
    // fully provisioned, as hosts see it.
    bool thin = true;
    // The type of protection information that the medium is formatted with, 1 to 3; 0: none. A
    // store that keeps none refuses the others (ENOTSUP).
    std::uint8_t protection_type = 0;
    unsigned home_shard = 0;
    scsi::AccessStateTable access = {};  // target port groups; none: no asymmetric access
    // The target ports that it is, or will be, reached through: for hosts that ask for all of them,
    // ALL_TG_PT, REGISTER AND MOVE, and the files that keep their access states. At most
    // limits::grouped_ports, each with a relative target port identifier of its own.
    std::vector<scsi::ConfiguredPort> target_ports = {};
    // Names and values for set_attribute(), set before anything sees the unit.
    std::vector<std::pair<std::string, std::string>> attributes;
};

// Per-opcode counters, summed over the shards.
struct CommandCount {
    std::string_view name;
    std::uint64_t commands = 0;
    std::uint64_t errors = 0;  // ended with another status than GOOD or CONDITION MET
};

struct LogicalUnitStatistics {
    std::uint64_t read_commands = 0;
    std::uint64_t read_bytes = 0;
    std::uint64_t write_commands = 0;
    std::uint64_t write_bytes = 0;
    std::uint64_t in_flight = 0;
    std::uint64_t verify_bytes = 0;
    std::uint64_t read_errors = 0;  // ended by a medium error
    std::uint64_t write_errors = 0;
    std::uint64_t verify_errors = 0;
    std::uint64_t non_medium_errors = 0;  // failed by the backing store otherwise
    std::vector<CommandCount> commands;   // only those that were used
};

// A logical unit as configuration sees it. Methods may be called on any shard (and before the
// reactor runs); callbacks come on the calling shard.
class LogicalUnit {
  public:
    virtual ~LogicalUnit() = default;
    [[nodiscard]] virtual const std::string& name() const noexcept = 0;
    [[nodiscard]] virtual const Backstore& backstore() const noexcept = 0;

    using Done = std::move_only_function<void(Result<void>)>;
    // Looks at the backing store anew, or (blocks given) resizes it first; a changed capacity is
    // reported to every nexus with CAPACITY DATA HAS CHANGED (2A/09).
    virtual void rescan(std::optional<std::uint64_t> blocks, Done done) = 0;
    virtual void set_write_protected(bool enabled, Done done) = 0;
    // Changes what is configured of the target port groups (scsi::put_group() and its kin); hosts
    // are told with ASYMMETRIC ACCESS STATE CHANGED. Nothing changes where `change` fails; it runs
    // on the home shard.
    using AccessConfiguration = std::move_only_function<Result<void>(scsi::AccessStateTable&)>;
    virtual void configure_access(AccessConfiguration change, Done done) = 0;
    // Changes access states as an administrator does (implicit transitions). `done` when they are
    // in force, after the groups' transition delays. EBUSY while a group is in transition.
    virtual void set_access_states(std::vector<scsi::AccessChange> changes, Done done) = 0;
    // One of attributes() (attributes.h). With `exported`, those that cannot change then are
    // refused. Hosts are told of what they can see.
    virtual void set_attribute(std::string name, std::string value, bool exported, Done done) = 0;
    // The value now; ENOENT with a message for an unknown name.
    [[nodiscard]] virtual Result<std::uint32_t> attribute(std::string_view name) const = 0;
    // The snapshot in force on the calling shard.
    [[nodiscard]] virtual std::shared_ptr<const scsi::LogicalUnitState> state() const = 0;
    virtual void statistics(std::move_only_function<void(LogicalUnitStatistics)> done) = 0;
};

class Engine {
  public:
    // `metadata` keeps what outlives the daemon and must outlive the engine; null: nothing does.
    static Result<std::unique_ptr<Engine>> create(reactor::Reactor& reactor,
                                                  MetadataStore* metadata = nullptr);
    virtual ~Engine() = default;

    // On shard 0 or before the reactor runs. Opens a channel on every shard, and has the unit as
    // `metadata` knows it before anybody reaches it. Two units with the same serial number are
    // refused (EEXIST).
    virtual void add_logical_unit(LogicalUnitOptions options, std::unique_ptr<Backstore> store,
                                  std::move_only_function<void(Result<LogicalUnit*>)> done) = 0;
    // No nexus may have it in its map any more. `done` when its channels are closed.
    virtual void remove_logical_unit(LogicalUnit& unit, LogicalUnit::Done done) = 0;

    // On the shard where the session lives. `services` and `port` must outlive the nexus. A logical
    // unit reports POWER ON (29/00) to each nexus once.
    virtual Result<std::unique_ptr<ITNexus>> establish_nexus(const TargetPort& port,
                                                             InitiatorPort initiator,
                                                             std::shared_ptr<const LunMap> map,
                                                             TransportServices& services) = 0;
};

}  // namespace olio::target
