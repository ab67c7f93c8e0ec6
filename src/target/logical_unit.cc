#include "target/logical_unit.h"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "base/limits.h"
#include "base/log.h"
#include "scsi/command_table.h"
#include "scsi/provisioning.h"
#include "target/aca.h"
#include "target/access_keeper.h"
#include "target/access_transition.h"
#include "target/device_server.h"
#include "target/it_nexus_impl.h"
#include "target/reservation_server.h"
#include "target/unit_settings.h"

namespace olio::target {

using reactor::Shard;
using scsi::LogicalUnitState;

namespace {

constexpr std::uint64_t maximum_write_same_bytes = 16 << 20;
constexpr std::uint64_t end_of_medium = std::numeric_limits<std::uint64_t>::max();

}  // namespace

LogicalUnitState make_state(const LogicalUnitOptions& options, const Backstore& store) {
    const StoreCapabilities capabilities = store.capabilities();
    LogicalUnitState state;
    state.identification =
        options.identification ? *options.identification : store.identification();
    state.geometry = store.geometry();
    const std::uint32_t block_bytes = state.geometry.block_bytes;
    state.provisioning.unmap = options.thin && capabilities.unmap == Support::native;
    state.provisioning.write_same_unmap = state.provisioning.unmap;
    if (state.provisioning.unmap) {
        state.provisioning.unmapped_reads_zeros = capabilities.unmapped_reads_zeros;
        state.provisioning.reports_resources = capabilities.reports_space;
        state.provisioning.anchor = capabilities.anchor == Support::native;
        state.provisioning.granularity_blocks = capabilities.unmap_granularity_blocks;
        state.provisioning.alignment_blocks = capabilities.unmap_alignment_blocks;
        state.provisioning.maximum_unmap_blocks = limits::unmap_blocks;
        state.provisioning.maximum_unmap_descriptors = limits::unmap_descriptors;
    }
    state.provisioning.maximum_write_same_blocks = maximum_write_same_bytes / block_bytes;
    state.protection.supported = capabilities.protection == Support::native;
    state.protection.type = options.protection_type;
    state.mode_pages.protection_changeable = state.protection.supported;
    state.mode_pages.write_cache_enabled = capabilities.volatile_cache;
    state.mode_pages.write_cache_changeable = capabilities.cache_mode_changeable;
    state.default_mode_pages = state.mode_pages;
    state.write_protected = options.write_protected || capabilities.read_only;
    state.access = options.access;
    state.access.settle();
    state.target_ports = options.target_ports;
    std::ranges::sort(state.target_ports, {},
                      [](const auto& port) { return port.description.relative_port; });
    state.maximum_transfer_blocks =
        static_cast<std::uint32_t>(limits::transfer_length_bytes / block_bytes);
    state.maximum_compare_and_write_blocks = limits::compare_and_write_blocks;
    // Its blocks are deallocated afterwards (SBC-4: the sanitize block erase operation).
    state.block_erase = capabilities.erases && state.provisioning.unmap;
    state.maximum_atomic_blocks = capabilities.maximum_atomic_bytes / block_bytes;
    return state;
}

// --- The view ---

LogicalUnitView::LogicalUnitView(LogicalUnitImpl& unit, Shard& shard)
    : counters(scsi::command_table().size()),
      unit_(unit),
      shard_(shard),
      state_(unit.initial_state()),
      capabilities_(unit.store().capabilities()),
      block_bytes_(state_->geometry.block_bytes),
      delay_(shard) {
    look_at_gate();
}

LogicalUnitView::~LogicalUnitView() = default;

Result<void> LogicalUnitView::open() {
    auto channel = unit_.store().open_channel(shard_);
    if (!channel)
        return std::unexpected(std::move(channel.error()));
    channel_ = std::move(*channel);
    if (ProtectionLocks* const locks = unit_.protection_locks()) {
        auto tuples = unit_.store().open_protection_channel(shard_);
        if (!tuples) {
            channel_.reset();
            return std::unexpected(std::move(tuples.error()));
        }
        channel_ = std::make_unique<ProtectionChannel>(*this, std::move(channel_),
                                                       std::move(*tuples), *locks);
    }
    opened_at_ = shard_.now();
    return {};
}

void LogicalUnitView::close(std::move_only_function<void()> done) {
    closed_ = std::move(done);
    close_if_unused();
}

void LogicalUnitView::close_if_unused() {
    if (!closed_ || !itls_.empty() || !commands_.empty())
        return;
    channel_.reset();
    delay_.close();
    std::exchange(closed_, nullptr)();
}

void LogicalUnitView::add(ITLNexus& itl) noexcept {
    itls_.push_back(&itl);
}

void LogicalUnitView::remove(ITLNexus& itl) noexcept {
    std::erase(itls_, &itl);
    close_if_unused();
}

void LogicalUnitView::remove(Command& command) noexcept {
    commands_.remove(command);
    if (closed_ || !fences_.empty()) [[unlikely]] {
        command_left();
        close_if_unused();
    }
}

void LogicalUnitView::apply(std::shared_ptr<const LogicalUnitState> state,
                            const StateEffects& effects, const Ticket& ticket) {
    // The order of messages from the home shard is the order of versions.
    state_ = std::move(state);
    look_at_gate();
    if (effects.reservations != nullptr)
        apply_reservations(*effects.reservations, ticket);
    for (ITLNexus* itl : itls_)
        itl->priority = scsi::priority_of(*state_, itl->nexus().id());
    if (!effects.attention)
        return;
    for (ITLNexus* itl : itls_) {
        const scsi::NexusId id = itl->nexus().id();
        const bool meant =
            !effects.only || std::ranges::find(*effects.only, id) != effects.only->end();
        if (meant && id != effects.except)
            itl->attentions.establish(*effects.attention);
    }
}

std::uint32_t LogicalUnitView::delay_ms_of(const Command& command) const noexcept {
    const auto& nexus = static_cast<const ITNexusImpl&>(command.nexus());
    return state_->access.delay_ms_of(nexus.port().description.relative_port);
}

bool LogicalUnitView::keeps_out(const Command& command) const noexcept {
    return fences_.keeps_out(command) ||
           (state_->access.delays && !command.delayed_ && delay_ms_of(command) != 0);
}

void LogicalUnitView::wait(Command& command) {
    if (fences_.keeps_out(command)) {
        fenced_.push_back(command);
        return;
    }
    command.delayed_ = true;
    delay_.wait(command, delay_ms_of(command));
}

void LogicalUnitView::lower_fence(FenceId id) noexcept {
    fences_.lower(id);
    look_at_gate();
    IntrusiveList<Command, &Command::wait_hook_> ready;
    ready.splice_back(fenced_);
    while (Command* command = ready.pop_front())
        DeviceServer::proceed(*command);
}

void LogicalUnitView::reset(scsi::NexusId by, const Ticket& ticket) {
    for (ITLNexus* itl : itls_) {
        itl->attentions.establish(scsi::UnitAttention::bus_device_reset_function);
        itl->aliases.clear();
    }
    DeviceServer::Marked marked;
    const AbortMode others =
        state_->mode_pages.task_aborted_status ? AbortMode::task_aborted : AbortMode::silent;
    for (Command& command : commands_) {
        const bool own = command.nexus().id() == by;
        DeviceServer::mark(marked, command, own ? AbortMode::silent : others, ticket, own);
    }
    DeviceServer::abort_marked(marked);
    for (ITLNexus* itl : itls_)
        DeviceServer::Aca::clear(*itl);
}

// --- The unit ---

LogicalUnitImpl::LogicalUnitImpl(reactor::Reactor& reactor, LogicalUnitOptions options,
                                 std::unique_ptr<Backstore> store, LogicalUnitState first,
                                 MetadataStore* metadata)
    : reactor_(reactor),
      options_(std::move(options)),
      store_(std::move(store)),
      initial_state_(std::make_shared<LogicalUnitState>(std::move(first))),
      home_state_(initial_state_),
      reservations_(std::make_unique<ReservationServer>(*this, metadata)),
      settings_(std::make_unique<SettingsKeeper>(*this, metadata)),
      access_keeper_(std::make_unique<AccessKeeper>(*this, metadata)) {
    if (initial_state_->protection.supported)
        protection_locks_ = std::make_unique<ProtectionLocks>();
    for (unsigned i = 0; i < reactor_.size(); ++i)
        views_.push_back(std::make_unique<LogicalUnitView>(*this, reactor_.shard(i)));
    if (initial_state_->provisioning.reports_resources)
        space_watch_ = std::make_unique<SpaceWatch>(
            *store_, reactor_.shard(options_.home_shard),
            [this](const std::optional<StoreSpace>& space) { note_space(space); });
}

LogicalUnitImpl::~LogicalUnitImpl() = default;

unsigned LogicalUnitImpl::here() noexcept {
    const Shard* shard = Shard::current();
    return shard == nullptr ? 0 : shard->index();
}

void LogicalUnitImpl::on_shard(unsigned shard, std::move_only_function<void()> function) {
    Shard& target = reactor_.shard(shard);
    if (Shard::current() == &target) {
        function();
        return;
    }
    target.post([self = shared_from_this(), function = std::move(function)]() mutable {
        function();
        function = nullptr;  // before the unit
    });
}

void LogicalUnitImpl::on_every_shard(std::function<void(LogicalUnitView&, Ticket)> each,
                                     std::move_only_function<void()> done) {
    struct Gathering {
        std::size_t remaining;
        std::move_only_function<void()> done;
    };
    const auto self = shared_from_this();  // `done` may be the end of the unit
    const unsigned origin = here();
    auto gathering = std::make_shared<Gathering>(Gathering{views_.size(), std::move(done)});
    for (unsigned i = 0; i < views_.size(); ++i) {
        on_shard(i, [this, self, each, i, origin, gathering] {
            each(*views_[i], when_released([this, self, origin, gathering] {
                on_shard(origin, [gathering] {
                    if (--gathering->remaining != 0)
                        return;
                    // Other shards may hold the gathering a moment longer; what `done` has caught
                    // must end here.
                    auto finished = std::exchange(gathering->done, nullptr);
                    finished();
                });
            }));
        });
    }
}

void LogicalUnitImpl::open(Done done) {
    auto failure = std::make_shared<std::vector<Result<void>>>(views_.size());
    on_every_shard([failure](LogicalUnitView& view,
                             const Ticket&) { (*failure)[view.shard().index()] = view.open(); },
                   [this, failure, done = std::move(done)]() mutable {
                       const auto bad =
                           std::ranges::find_if(*failure, [](const auto& r) { return !r; });
                       if (bad == failure->end()) {
                           done({});
                           return;
                       }
                       close([error = std::move(bad->error()), done = std::move(done)]() mutable {
                           done(std::unexpected(std::move(error)));
                       });
                   });
}

void LogicalUnitImpl::close(std::move_only_function<void()> done) {
    const unsigned origin = here();
    on_home([this, origin, done = std::move(done)]() mutable {
        closing_ = true;
        close_when_settled_ = [this, origin, done = std::move(done)]() mutable {
            on_shard(origin,
                     [this, done = std::move(done)]() mutable { close_views(std::move(done)); });
        };
        // First what works in the background and what watches, then the transitions.
        auto hurry_transitions = [this] {
            may_settle_ = true;
            const auto self = shared_from_this();  // the last to leave may close it
            // Copied: they leave while we look.
            for (const auto& transition : std::vector(transitions_))
                transition->hurry();
            close_if_settled();
        };
        after_background([this, hurry_transitions] {
            if (space_watch_ == nullptr)
                hurry_transitions();
            else
                space_watch_->close(hurry_transitions);
        });
    });
}

// A transition may end while an operation still uses the views: then it is not the last.
void LogicalUnitImpl::close_if_settled() {
    if (transitions_.empty() && may_settle_ && close_when_settled_)
        std::exchange(close_when_settled_, nullptr)();
}

void LogicalUnitImpl::close_views(std::move_only_function<void()> done) {
    on_every_shard(
        [](LogicalUnitView& view, Ticket ticket) { view.close([ticket = std::move(ticket)] {}); },
        std::move(done));
}

std::shared_ptr<const LogicalUnitState> LogicalUnitImpl::state() const {
    return views_[here()]->snapshot();
}

void LogicalUnitImpl::publish(std::shared_ptr<const LogicalUnitState> state,
                              const StateEffects& effects, std::move_only_function<void()> done) {
    // The aborts of a change end later than the change.
    if (effects.reservations != nullptr && effects.reservations->when_aborted)
        effects.reservations->shards_aborting = views_.size();
    const auto aborts_on_shard = [this, self = shared_from_this(),
                                  changes = effects.reservations]() -> Ticket {
        if (changes == nullptr || changes->aborted.empty())
            return nullptr;
        return when_released([this, self, changes] {
            on_home([changes] {
                if (--changes->shards_aborting == 0)
                    std::exchange(changes->when_aborted, nullptr)();
            });
        });
    };
    on_every_shard(
        [state = std::move(state), effects, aborts_on_shard](LogicalUnitView& view, const Ticket&) {
            view.apply(state, effects, aborts_on_shard());
        },
        std::move(done));
}

void LogicalUnitImpl::change_state(Change change, Changed done) {
    const unsigned origin = here();
    on_home([this, origin, change = std::move(change), done = std::move(done)]() mutable {
        auto next = std::make_shared<LogicalUnitState>(*home_state_);
        auto effects = change(*next);
        std::expected<void, Refusal> result;
        if (!effects)
            result = std::unexpected(std::move(effects.error()));
        if (!effects || !effects->changed) {
            on_shard(origin, [done = std::move(done), result = std::move(result)]() mutable {
                done(std::move(result));
            });
            return;
        }
        next->version = home_state_->version + 1;
        home_state_ = next;
        if (space_watch_ != nullptr)
            space_watch_->keep_looking(scsi::thresholds_enabled(*next));
        publish(std::move(next), *effects, [this, origin, done = std::move(done)]() mutable {
            on_shard(origin, [done = std::move(done)]() mutable { done({}); });
        });
    });
}

void LogicalUnitImpl::raise_fence(const FenceRequest& request,
                                  std::move_only_function<void(FenceId)> standing) {
    const unsigned origin = here();
    on_home([this, request, origin, standing = std::move(standing)]() mutable {
        fence_queue_.request(
            {request, [this, request, origin, standing = std::move(standing)](FenceId id) mutable {
                 on_every_shard(
                     [id, request](LogicalUnitView& view, Ticket ticket) {
                         view.raise_fence(id, request, [ticket = std::move(ticket)]() mutable {
                             ticket.reset();
                         });
                     },
                     [this, id, origin, standing = std::move(standing)]() mutable {
                         on_shard(origin,
                                  [id, standing = std::move(standing)]() mutable { standing(id); });
                     });
             }});
    });
}

void LogicalUnitImpl::lower_fence(FenceId id) {
    on_home([this, id] {
        // Every shard must have let it down before the next is raised: messages keep their order.
        for (unsigned i = 0; i < views_.size(); ++i)
            on_shard(i, [this, i, id] { views_[i]->lower_fence(id); });
        fence_queue_.release(id);
    });
}

void LogicalUnitImpl::reset(scsi::NexusId by, std::move_only_function<void()> done) {
    stop_self_test(scsi::SelfTestOutcome::aborted_otherwise, [](bool) {});
    on_every_shard(
        [by](LogicalUnitView& view, const Ticket& ticket) { view.reset(by, ticket); },
        [this, done = std::move(done)]() mutable {
            change_state(
                [](LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
                    const scsi::ModePages pages = scsi::mode_pages_after_reset(state);
                    StateEffects effects;
                    const bool woken =
                        scsi::enter_power_condition(state, scsi::PowerCondition::active);
                    effects.changed = woken || state.reservations.reserved_by != 0 ||
                                      state.streams.open != 0 || !state.priorities.empty() ||
                                      !(pages == state.mode_pages);
                    state.priorities.clear();
                    state.streams = {};
                    state.reservations.reserved_by = 0;
                    state.mode_pages = pages;
                    return effects;
                },
                [done = std::move(done)](const std::expected<void, Refusal>&) mutable { done(); });
        });
}

void LogicalUnitImpl::forget_nexus(scsi::NexusId nexus, std::move_only_function<void()> done) {
    change_state(
        [nexus](LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
            StateEffects effects;
            const bool had_priority = scsi::forget_priority(state, nexus);
            const bool reserved = state.reservations.reserved_by == nexus;
            if (reserved)
                state.reservations.reserved_by = 0;
            effects.changed = had_priority || reserved;
            return effects;
        },
        [done = std::move(done)](const std::expected<void, Refusal>&) mutable { done(); });
}

void LogicalUnitImpl::find_nexuses(
    std::move_only_function<void(std::vector<scsi::KnownNexus>)> found) {
    auto parts = std::make_shared<std::vector<std::vector<scsi::KnownNexus>>>(views_.size());
    on_every_shard([parts](LogicalUnitView& view,
                           const Ticket&) { view.collect_nexuses((*parts)[view.shard().index()]); },
                   [parts, found = std::move(found)]() mutable {
                       std::vector<scsi::KnownNexus> all;
                       for (auto& part : *parts)
                           std::ranges::move(part, std::back_inserter(all));
                       found(std::move(all));
                   });
}

// --- Configuration ---

void LogicalUnitImpl::set_write_protected(bool enabled, Done done) {
    if (!enabled && store_->capabilities().read_only) {
        on_shard(here(), [this, done = std::move(done)]() mutable {
            done(fail(EROFS, fmt::format("{}: {} is read-only; make it writable first",
                                         options_.name, store_->description())));
        });
        return;
    }
    change_state(
        [enabled](LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
            StateEffects effects;
            effects.changed = state.write_protected != enabled;
            effects.attention = scsi::UnitAttention::mode_parameters_changed;
            state.write_protected = enabled;
            return effects;
        },
        [done = std::move(done)](const std::expected<void, Refusal>&) mutable { done({}); });
}

void LogicalUnitImpl::enter_transition(std::shared_ptr<AccessTransition> transition) {
    transitions_.push_back(std::move(transition));
}

void LogicalUnitImpl::leave_transition(const AccessTransition& transition) {
    std::erase_if(transitions_, [&](const auto& each) { return each.get() == &transition; });
    close_if_settled();
}

void LogicalUnitImpl::set_access_states(std::vector<scsi::AccessChange> changes, Done done) {
    change_access_states(*this, {.changes = std::move(changes)}, std::move(done));
}

void LogicalUnitImpl::configure_access(AccessConfiguration change, Done done) {
    auto failure = std::make_shared<Result<void>>();
    const unsigned origin = here();
    change_state(
        [change = std::move(change),
         failure](LogicalUnitState& state) mutable -> std::expected<StateEffects, Refusal> {
            StateEffects effects;
            scsi::AccessStateTable next = state.access;
            *failure = change(next);
            effects.changed = *failure && !(next == state.access);
            if (!effects.changed)
                return effects;
            effects.attention = scsi::UnitAttention::asymmetric_access_state_changed;
            state.access = std::move(next);
            return effects;
        },
        [this, origin, failure,
         done = std::move(done)](const std::expected<void, Refusal>&) mutable {
            if (!*failure)
                return done(std::move(*failure));
            on_home([this, origin, done = std::move(done)]() mutable {
                keep_access(origin, std::move(done));
            });
        });
}

// What has been configured is in force already; it may still be that it cannot be kept.
void LogicalUnitImpl::keep_access(unsigned origin, Done done) {
    access_keeper_->keep(
        std::nullopt, [this, origin, done = std::move(done)](Result<void> kept) mutable {
            if (!kept)
                kept = fail(kept.error().code,
                            fmt::format("{}: it is in force, but cannot be kept for the next "
                                        "start: {}",
                                        options_.name, kept.error().message));
            on_shard(origin, [done = std::move(done), kept = std::move(kept)]() mutable {
                done(std::move(kept));
            });
        });
}

void LogicalUnitImpl::set_blocks(std::uint64_t blocks, std::move_only_function<void()> done) {
    change_state(
        [blocks](LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
            StateEffects effects;
            effects.changed = state.geometry.blocks != blocks || !state.medium_present;
            if (state.geometry.blocks != blocks)
                effects.attention = scsi::UnitAttention::capacity_data_changed;
            state.geometry.blocks = blocks;
            state.medium_present = true;
            return effects;
        },
        [done = std::move(done)](const std::expected<void, Refusal>&) mutable { done(); });
}

void LogicalUnitImpl::rescan(std::optional<std::uint64_t> blocks, Done done) {
    const unsigned origin = here();
    on_home([this, blocks, origin, done = std::move(done)]() mutable {
        Done answer = [this, origin, done = std::move(done)](Result<void> result) mutable {
            on_shard(origin, [done = std::move(done), result = std::move(result)]() mutable {
                done(std::move(result));
            });
        };
        if (blocks) {
            resize(*blocks, std::move(answer));
            return;
        }
        const Result<std::uint64_t> found = store_->refresh_blocks();
        if (!found) {
            answer(std::unexpected(found.error()));
        } else if (*found == 0) {
            answer(fail(EINVAL, fmt::format("{}: {} has less than one block", options_.name,
                                            store_->description())));
        } else {
            set_blocks(*found, [answer = std::move(answer)]() mutable { answer(Result<void>{}); });
        }
    });
}

void LogicalUnitImpl::resize(std::uint64_t blocks, Done done) {
    std::uint64_t bytes = 0;
    if (blocks == 0 ||
        !checked_multiply<std::uint64_t>(blocks, home_state_->geometry.block_bytes, bytes) ||
        bytes > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        done(fail(EINVAL,
                  fmt::format("{}: {} blocks is no size for a disk", options_.name, blocks)));
        return;
    }
    if (medium_is_taken()) {
        done(fail(EBUSY, fmt::format("{}: a host has it formatted or sanitized just now; try "
                                     "again when that has ended",
                                     options_.name)));
        return;
    }
    const std::uint64_t before = home_state_->geometry.blocks;
    if (blocks >= before) {
        const Result<void> resized = store_->resize(blocks);
        if (!resized)
            done(std::unexpected(resized.error()));
        else
            set_blocks(blocks, [done = std::move(done)]() mutable { done({}); });
        return;
    }
    // Smaller: first nobody may be admitted beyond the new end, then those inside must have left.
    set_blocks(blocks, [this, blocks, before, done = std::move(done)]() mutable {
        finish_resize(blocks, before, std::move(done));
    });
}

void LogicalUnitImpl::finish_resize(std::uint64_t blocks, std::uint64_t before, Done done) {
    raise_fence({{blocks, end_of_medium}, FenceKind::shrink},
                [this, blocks, before, done = std::move(done)](FenceId id) mutable {
                    Result<void> resized = store_->resize(blocks);
                    lower_fence(id);
                    if (resized) {
                        done({});
                        return;
                    }
                    set_blocks(before, [done = std::move(done), resized]() mutable {
                        done(std::move(resized));
                    });
                });
}

void LogicalUnitImpl::statistics(std::move_only_function<void(LogicalUnitStatistics)> done) {
    struct Part {
        LogicalUnitView::Traffic traffic;
        std::vector<LogicalUnitView::Counters> counters;
    };
    auto parts = std::make_shared<std::vector<Part>>(views_.size());
    on_every_shard(
        [parts](LogicalUnitView& view, const Ticket&) {
            (*parts)[view.shard().index()] = {view.traffic, view.counters};
        },
        [parts, done = std::move(done)]() mutable {
            LogicalUnitStatistics sum;
            const auto rows = scsi::command_table();
            std::vector<LogicalUnitView::Counters> counters(rows.size());
            for (const Part& part : *parts) {
                sum.read_commands += part.traffic.read_commands;
                sum.read_bytes += part.traffic.read_bytes;
                sum.write_commands += part.traffic.write_commands;
                sum.write_bytes += part.traffic.write_bytes;
                sum.in_flight += part.traffic.in_flight;
                sum.verify_bytes += part.traffic.verify_bytes;
                sum.read_errors += part.traffic.read_errors;
                sum.write_errors += part.traffic.write_errors;
                sum.verify_errors += part.traffic.verify_errors;
                sum.non_medium_errors += part.traffic.non_medium_errors;
                for (std::size_t i = 0; i < rows.size(); ++i) {
                    counters[i].commands += part.counters[i].commands;
                    counters[i].errors += part.counters[i].errors;
                }
            }
            for (std::size_t i = 0; i < rows.size(); ++i)
                if (counters[i].commands != 0)
                    sum.commands.push_back(
                        {rows[i].name, counters[i].commands, counters[i].errors});
            done(std::move(sum));
        });
}

}  // namespace olio::target
