// The engine's I_T nexus, and what it has for each logical unit that it reaches.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <vector>

#include "target/countdown.h"
#include "target/it_nexus.h"
#include "target/logical_unit.h"
#include "target/task_set.h"
#include "target/unit_attention_queue.h"

namespace olio::target {

class CopyManager;
class ITNexusImpl;
class RodTokens;

// An I_T_L nexus. Its LUN may have left the map; then it stays until its last command has ended.
class ITLNexus {
  public:
    ITLNexus(ITNexusImpl& nexus, LogicalUnitView& view, const LunMapEntry& entry);
    ITLNexus(const ITLNexus&) = delete;
    ITLNexus& operator=(const ITLNexus&) = delete;
    ~ITLNexus();

    [[nodiscard]] ITNexusImpl& nexus() const noexcept { return nexus_; }
    [[nodiscard]] LogicalUnitView& view() const noexcept { return view_; }

    std::uint32_t lun;
    bool write_protected;
    bool retired = false;
    TaskSet tasks;
    std::uint32_t commands = 0;  // those that have not been finished
    UnitAttentionQueue attentions;
    std::vector<scsi::Alias> aliases;  // CHANGE ALIASES
    std::uint8_t priority;             // of commands that bring none

    // What the nexus is to these reservations, looked up once for each version of them.
    [[nodiscard]] scsi::NexusRole role(const scsi::Reservations& reservations) noexcept {
        if (role_version_ != reservations.version) [[unlikely]]
            look_up_role(reservations);
        return role_;
    }

    // The ACA condition (target/aca.h).
    bool aca = false;
    Command* aca_command = nullptr;                          // the one with the ACA attribute
    IntrusiveList<Command, &Command::wait_hook_> kept_back;  // answers of blocked commands

  private:
    void look_up_role(const scsi::Reservations& reservations) noexcept;

    ITNexusImpl& nexus_;
    LogicalUnitView& view_;
    std::uint64_t role_version_ = 0;
    scsi::NexusRole role_ = scsi::NexusRole::stranger;
};

class ITNexusImpl final : public ITNexus {
  public:
    ITNexusImpl(reactor::Reactor& reactor, reactor::Shard& shard, scsi::NexusId id,
                const TargetPort& port, InitiatorPort initiator, std::shared_ptr<const LunMap> map,
                TransportServices& services, std::shared_ptr<RodTokens> tokens);
    ~ITNexusImpl() override;

    [[nodiscard]] scsi::NexusId id() const noexcept override { return id_; }
    void submit(Command& command) noexcept override;
    void data_out_received(Command& command) noexcept override;
    void data_out_failed(Command& command, scsi::AdditionalSense additional) noexcept override;
    void transfer_terminated(Command& command) noexcept override;
    void finished(Command& command) noexcept override;
    void task_management(TaskManagement& request) noexcept override;
    void set_lun_map(std::shared_ptr<const LunMap> map) override;
    void close(std::move_only_function<void()> fenced,
               std::move_only_function<void()> drained) override;
    [[nodiscard]] std::size_t commands() const noexcept override { return count_; }

    // For the device server and the task manager.
    using Commands = IntrusiveList<Command, &Command::nexus_hook_>;
    [[nodiscard]] reactor::Shard& shard() const noexcept { return shard_; }
    [[nodiscard]] const TargetPort& port() const noexcept { return port_; }
    [[nodiscard]] const InitiatorPort& initiator() const noexcept { return initiator_; }
    // For persistent reservations; without an initiator if its TransportID is none.
    [[nodiscard]] const scsi::NexusName& name() const noexcept { return name_; }
    [[nodiscard]] TransportServices& services() const noexcept { return services_; }
    [[nodiscard]] const LunMap& map() const noexcept { return *map_; }
    [[nodiscard]] bool closing() const noexcept { return closing_; }
    [[nodiscard]] ITLNexus* find(const scsi::Lun& lun) const noexcept;
    [[nodiscard]] std::span<const std::unique_ptr<ITLNexus>> itls() const noexcept { return itls_; }
    [[nodiscard]] Commands& all_commands() noexcept { return commands_; }
    // The command with this tag that has not been answered and is not being aborted, if there is
    // one.
    [[nodiscard]] Command* find_tag(std::uint64_t tag) const noexcept;
    // … or else one that is being aborted, and whose end the initiator may not have been told.
    [[nodiscard]] Command* find_tag_to_abort(std::uint64_t tag) const noexcept;
    [[nodiscard]] scsi::NexusState state() const noexcept {
        return {id_, &port_.description, map_->inventory(), &name_};
    }
    void enlist_tag(Command& command) noexcept;
    // finished() of a command of the copy manager.
    void finished_within(Command& command) noexcept;
    [[nodiscard]] CopyManager& copy_manager();
    [[nodiscard]] RodTokens& tokens() const noexcept { return *tokens_; }
    // Something besides a command refers to the nexus: it must not be destroyed.
    void enter() noexcept { ++pending_; }
    void leave() noexcept;
    // What the nexus has of its units ends: SPC-2 reservations, priorities, aliases.
    void forget_in_units(const Ticket& ticket);

  private:
    static constexpr std::size_t tag_buckets = 256;
    void leave_unit(Command& command) noexcept;
    [[nodiscard]] static std::size_t bucket_of(std::uint64_t tag) noexcept {
        return (tag ^ tag >> 8 ^ tag >> 16) & (tag_buckets - 1);
    }
    void forget_tag(Command& command) noexcept;
    void report_drained();
    void sweep_retired();

    reactor::Reactor& reactor_;
    reactor::Shard& shard_;
    scsi::NexusId id_;
    const TargetPort& port_;
    InitiatorPort initiator_;
    scsi::NexusName name_;
    TransportServices& services_;
    std::shared_ptr<const LunMap> map_;
    std::vector<std::unique_ptr<ITLNexus>> itls_;  // as the map's entries
    std::vector<std::unique_ptr<ITLNexus>> retired_;
    Commands commands_;
    std::size_t count_ = 0;
    std::uint64_t pending_ = 0;
    std::shared_ptr<RodTokens> tokens_;
    std::unique_ptr<CopyManager> copy_manager_;  // made when it is first needed
    bool closing_ = false;
    bool sweeping_ = false;
    std::move_only_function<void()> drained_;
    std::array<Command*, tag_buckets> tags_{};
};

}  // namespace olio::target
