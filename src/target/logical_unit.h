// The engine's logical unit: the state at its home shard, and one view on every shard that commands
// work with. A view's snapshot of the state is immutable; the home shard makes the next one and
// sends it round.
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "scsi/logical_unit_state.h"
#include "scsi/unit_attention.h"
#include "target/access_delay.h"
#include "target/background.h"
#include "target/countdown.h"
#include "target/engine.h"
#include "target/fence.h"
#include "target/metadata_store.h"
#include "target/protection_channel.h"
#include "target/space_watch.h"

namespace olio::target {

class AccessKeeper;
class AccessTransition;
class ITLNexus;
class LogicalUnitImpl;
class ReservationServer;
class SettingsKeeper;
struct ReservationEffects;

// Why a command ends without success, and with which sense data (CHECK CONDITION).
struct Refusal {
    scsi::Status status = scsi::Status::check_condition;
    scsi::SenseData sense;
};

// What a change of state brings besides the next snapshot.
struct StateEffects {
    bool changed = true;
    std::optional<scsi::UnitAttention> attention;
    scsi::NexusId except = 0;  // the nexus that does not get it: the one that asked for the change
    std::optional<std::vector<scsi::NexusId>> only;    // the nexuses that get it; nullopt: all
    std::shared_ptr<ReservationEffects> reservations;  // of PERSISTENT RESERVE OUT
};

// One shard's part of a logical unit. Every member is that shard's.
class LogicalUnitView {
  public:
    LogicalUnitView(LogicalUnitImpl& unit, reactor::Shard& shard);
    LogicalUnitView(const LogicalUnitView&) = delete;
    LogicalUnitView& operator=(const LogicalUnitView&) = delete;
    ~LogicalUnitView();

    [[nodiscard]] LogicalUnitImpl& unit() const noexcept { return unit_; }
    [[nodiscard]] reactor::Shard& shard() const noexcept { return shard_; }
    [[nodiscard]] const scsi::LogicalUnitState& state() const noexcept { return *state_; }
    [[nodiscard]] const std::shared_ptr<const scsi::LogicalUnitState>& snapshot() const noexcept {
        return state_;
    }
    [[nodiscard]] const StoreCapabilities& capabilities() const noexcept { return capabilities_; }
    [[nodiscard]] StoreChannel& channel() noexcept { return *channel_; }
    [[nodiscard]] std::uint32_t block_bytes() const noexcept { return block_bytes_; }

    Result<void> open();
    // `done` when no nexus and no command uses the view any more and the channel is closed.
    void close(std::move_only_function<void()> done);

    // `ticket` is held until commands that the change aborts have ended.
    void apply(std::shared_ptr<const scsi::LogicalUnitState> state, const StateEffects& effects,
               const Ticket& ticket);
    // The I_T nexuses that reach the unit on this shard.
    void collect_nexuses(std::vector<scsi::KnownNexus>& into) const;

    void add(ITLNexus& itl) noexcept;
    void remove(ITLNexus& itl) noexcept;
    void add(Command& command) noexcept { commands_.push_back(command); }
    void remove(Command& command) noexcept;

    // Fences, and the delay of the active/non-optimized state.
    [[nodiscard]] bool must_wait(const Command& command) const noexcept {
        return gated_ && keeps_out(command);
    }
    void wait(Command& command);
    void command_left() noexcept {
        if (!fences_.empty()) [[unlikely]]
            fences_.command_left();
    }
    void raise_fence(FenceId id, const FenceRequest& request,
                     std::move_only_function<void()> standing) {
        gated_ = true;
        fences_.raise(id, request, std::move(standing));
    }
    void lower_fence(FenceId id) noexcept;

    // LOGICAL UNIT RESET on this shard: aborts every command, establishes the unit attention.
    void reset(scsi::NexusId by, const Ticket& ticket);

    struct Counters {
        std::uint64_t commands = 0;
        std::uint64_t errors = 0;
    };
    struct Traffic {
        std::uint64_t read_commands = 0;
        std::uint64_t read_bytes = 0;
        std::uint64_t write_commands = 0;
        std::uint64_t write_bytes = 0;
        std::uint64_t in_flight = 0;
        std::uint64_t verify_bytes = 0;
        // Commands that the backing store failed: by a medium error, or otherwise.
        std::uint64_t read_errors = 0;
        std::uint64_t write_errors = 0;
        std::uint64_t verify_errors = 0;
        std::uint64_t non_medium_errors = 0;

        // A command that moves so much begins.
        void read(std::uint64_t bytes) noexcept {
            ++read_commands;
            read_bytes += bytes;
        }
        void wrote(std::uint64_t bytes) noexcept {
            ++write_commands;
            write_bytes += bytes;
        }
    };
    // Since the unit was opened, at most FFFFh.
    [[nodiscard]] std::uint16_t power_on_hours() const noexcept;

    std::vector<Counters> counters;  // by row
    Traffic traffic;

  private:
    void close_if_unused();
    void apply_reservations(const ReservationEffects& effects, const Ticket& ticket);
    [[nodiscard]] bool keeps_out(const Command& command) const noexcept;
    [[nodiscard]] std::uint32_t delay_ms_of(const Command& command) const noexcept;
    void look_at_gate() noexcept { gated_ = !fences_.empty() || state_->access.delays; }

    LogicalUnitImpl& unit_;
    reactor::Shard& shard_;
    std::shared_ptr<const scsi::LogicalUnitState> state_;
    StoreCapabilities capabilities_;
    std::uint32_t block_bytes_;
    reactor::Nanoseconds opened_at_ = 0;
    std::unique_ptr<StoreChannel> channel_;
    FenceTable::Commands commands_;
    FenceTable fences_{commands_};
    bool gated_ = false;  // there is a fence, or a delay
    AccessDelay delay_;
    IntrusiveList<Command, &Command::wait_hook_> fenced_;
    std::vector<ITLNexus*> itls_;
    std::move_only_function<void()> closed_;
};

class LogicalUnitImpl final : public LogicalUnit,
                              public std::enable_shared_from_this<LogicalUnitImpl> {
  public:
    LogicalUnitImpl(reactor::Reactor& reactor, LogicalUnitOptions options,
                    std::unique_ptr<Backstore> store, scsi::LogicalUnitState first,
                    MetadataStore* metadata);
    ~LogicalUnitImpl() override;

    [[nodiscard]] const std::string& name() const noexcept override { return options_.name; }
    [[nodiscard]] const Backstore& backstore() const noexcept override { return *store_; }
    void rescan(std::optional<std::uint64_t> blocks, Done done) override;
    void set_write_protected(bool enabled, Done done) override;
    void configure_access(AccessConfiguration change, Done done) override;
    void set_access_states(std::vector<scsi::AccessChange> changes, Done done) override;
    void set_attribute(std::string name, std::string value, bool exported, Done done) override;
    [[nodiscard]] Result<std::uint32_t> attribute(std::string_view name) const override;
    [[nodiscard]] std::shared_ptr<const scsi::LogicalUnitState> state() const override;
    void statistics(std::move_only_function<void(LogicalUnitStatistics)> done) override;

    [[nodiscard]] Backstore& store() noexcept { return *store_; }
    // Null where the store keeps no protection information.
    [[nodiscard]] ProtectionLocks* protection_locks() noexcept { return protection_locks_.get(); }
    [[nodiscard]] reactor::Reactor& reactor() noexcept { return reactor_; }
    [[nodiscard]] LogicalUnitView& view(unsigned shard) noexcept { return *views_[shard]; }
    [[nodiscard]] const std::shared_ptr<const scsi::LogicalUnitState>& initial_state() const {
        return initial_state_;
    }

    [[nodiscard]] ReservationServer& reservations() noexcept { return *reservations_; }
    [[nodiscard]] SettingsKeeper& settings() noexcept { return *settings_; }
    [[nodiscard]] AccessKeeper& access_keeper() noexcept { return *access_keeper_; }
    // At the home shard.
    [[nodiscard]] const std::shared_ptr<const scsi::LogicalUnitState>& newest_state() const {
        return home_state_;
    }

    // Opens, closes the channels on every shard. `done` on the calling shard.
    void open(Done done);
    void close(std::move_only_function<void()> done);

    // Runs `change` on a copy of the newest state at the home shard; if it succeeds, the copy is
    // published to every shard with its effects. Then `done`, on the calling shard.
    using Change =
        std::move_only_function<std::expected<StateEffects, Refusal>(scsi::LogicalUnitState&)>;
    using Changed = std::move_only_function<void(std::expected<void, Refusal>)>;
    void change_state(Change change, Changed done);

    // From any shard; `standing` there, when the fence stands on every shard.
    void raise_fence(const FenceRequest& request, std::move_only_function<void(FenceId)> standing);
    void lower_fence(FenceId id);

    // SAM-5 6.3.3 and 7.7. `done` on the calling shard.
    void reset(scsi::NexusId by, std::move_only_function<void()> done);
    // For transitions of access states. Every unit of the engine; on shard 0.
    using Peers = std::function<std::vector<std::shared_ptr<LogicalUnitImpl>>()>;
    void set_peers(Peers peers) { peers_ = std::move(peers); }
    [[nodiscard]] std::vector<std::shared_ptr<LogicalUnitImpl>> peers() const { return peers_(); }
    [[nodiscard]] reactor::Shard& home() noexcept { return reactor_.shard(options_.home_shard); }
    void run_at_home(std::move_only_function<void()> function) { on_home(std::move(function)); }
    // On the home shard. The unit does not close before the last has left.
    void enter_transition(std::shared_ptr<AccessTransition> transition);
    void leave_transition(const AccessTransition& transition);
    [[nodiscard]] bool closing() const noexcept { return closing_; }

    // I_T nexus loss: ends the SPC-2 reservation if `nexus` holds it, and the priority that it was
    // given.
    void forget_nexus(scsi::NexusId nexus, std::move_only_function<void()> done);

    // The I_T nexuses that reach the unit; `found` on the calling shard.
    void find_nexuses(std::move_only_function<void(std::vector<scsi::KnownNexus>)> found);

    // Asks the store how much room it has; `done` on the calling shard, when the state tells it, or
    // where the store cannot say.
    void refresh_resources(std::move_only_function<void()> done);

    // The long operations (background.h), one at a time. From any shard, and the callbacks come
    // there: `begun` when every shard knows of it, or refused because of another one; then `ended`.
    using BackgroundBegun = std::move_only_function<void(const std::expected<void, Refusal>&)>;
    using BackgroundEnded = std::move_only_function<void(const BackgroundResult&)>;
    void run_background(BackgroundPlan plan, BackgroundBegun begun, BackgroundEnded ended);
    // `stopped` when it has ended; with false if there was none. aborted_by_host: one in the
    // background alone.
    void stop_self_test(scsi::SelfTestOutcome reason, std::move_only_function<void(bool)> stopped);
    // On the home shard, while one ends: why it was stopped.
    [[nodiscard]] scsi::SelfTestOutcome self_test_stop_reason() const noexcept;

  private:
    friend class LogicalUnitView;
    friend class ReservationServer;
    friend class SettingsKeeper;
    struct Background;
    struct BackgroundDeleter {
        void operator()(Background* background) const noexcept;
    };

    // The shard that callbacks come back to.
    [[nodiscard]] static unsigned here() noexcept;
    [[nodiscard]] std::size_t shards() const noexcept { return views_.size(); }
    // The newest; at the home shard.
    [[nodiscard]] const scsi::LogicalUnitState& home_state() const noexcept { return *home_state_; }
    // Here if this is the shard, else by message. The function keeps the unit alive.
    void on_shard(unsigned shard, std::move_only_function<void()> function);
    void on_home(std::move_only_function<void()> function) {
        on_shard(options_.home_shard, std::move(function));
    }
    // Runs `each` on every shard; it must let go of the ticket there when it is done. Then `done`
    // on this shard.
    void on_every_shard(std::function<void(LogicalUnitView&, Ticket)> each,
                        std::move_only_function<void()> done);
    void publish(std::shared_ptr<const scsi::LogicalUnitState> state, const StateEffects& effects,
                 std::move_only_function<void()> done);
    void keep_access(unsigned origin, Done done);
    void close_if_settled();
    void close_views(std::move_only_function<void()> done);
    void note_space(const std::optional<StoreSpace>& space);
    void format_protection(Done done);  // every tuple becomes FFh
    void begin_background(BackgroundPlan plan, unsigned origin, BackgroundBegun begun,
                          BackgroundEnded ended);
    void start_background_task();
    void clear_tuples();
    void end_background(BackgroundResult result);
    void conclude_background(BackgroundResult result);
    void refuse_background(const Refusal& refusal, BackgroundBegun begun);
    [[nodiscard]] bool medium_is_taken() const noexcept;  // by a format or the like
    // Stops what is under way; `next` when it has ended, on the home shard.
    void after_background(std::move_only_function<void()> next);
    void resize(std::uint64_t blocks, Done done);
    void set_blocks(std::uint64_t blocks, std::move_only_function<void()> done);
    void finish_resize(std::uint64_t blocks, std::uint64_t before, Done done);

    reactor::Reactor& reactor_;
    LogicalUnitOptions options_;
    std::unique_ptr<Backstore> store_;
    std::shared_ptr<const scsi::LogicalUnitState> initial_state_;
    std::unique_ptr<ProtectionLocks> protection_locks_;  // before the views, whose channels use it
    std::vector<std::unique_ptr<LogicalUnitView>> views_;
    // The home shard's.
    std::shared_ptr<const scsi::LogicalUnitState> home_state_;
    FenceQueue fence_queue_;
    std::unique_ptr<Background, BackgroundDeleter> background_;
    std::unique_ptr<SpaceWatch> space_watch_;  // of a thin unit whose store tells its space
    std::vector<std::shared_ptr<AccessTransition>> transitions_;
    bool closing_ = false;     // from when close() was called
    bool may_settle_ = false;  // nothing works in the background or watches any more
    std::move_only_function<void()> close_when_settled_;

    Peers peers_ = [] { return std::vector<std::shared_ptr<LogicalUnitImpl>>{}; };
    std::unique_ptr<ReservationServer> reservations_;
    std::unique_ptr<SettingsKeeper> settings_;
    std::unique_ptr<AccessKeeper> access_keeper_;
};

// The first snapshot of a logical unit on this store, without its attributes.
[[nodiscard]] scsi::LogicalUnitState make_state(const LogicalUnitOptions& options,
                                                const Backstore& store);
// The same with options.attributes, as far as they can be set.
[[nodiscard]] Result<scsi::LogicalUnitState> make_state_with_attributes(
    const LogicalUnitOptions& options, Backstore& store);

}  // namespace olio::target
