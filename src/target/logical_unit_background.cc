// The long operations of a logical unit, one at a time, at its home shard.
#include <algorithm>
#include <limits>

#include "base/log.h"
#include "scsi/provisioning.h"
#include "scsi/sense_codes.h"
#include "target/background.h"
#include "target/logical_unit.h"
#include "target/unit_settings.h"

namespace olio::target {

using scsi::BackgroundKind;
using scsi::LogicalUnitState;
using scsi::SelfTestOutcome;

namespace {

constexpr std::uint64_t end_of_medium = std::numeric_limits<std::uint64_t>::max();

// Makes every tuple FFh, on a helper thread: there may be many.
class TupleClearing final : private reactor::Operation {
  public:
    TupleClearing(Backstore& store, std::move_only_function<void(Result<void>)> done)
        : store_(store), done_(std::move(done)) {}
    void start(reactor::Shard& shard) {
        shard.submit(call(
            [](void* self) -> std::int64_t {
                auto& clearing = *static_cast<TupleClearing*>(self);
                clearing.result_ = clearing.store_.clear_protection();
                return 0;
            },
            this));
    }

  private:
    void on_complete(std::int64_t result) noexcept override {
        if (result < 0)  // the reactor ends
            result_ = fail(static_cast<int>(-result), store_.description());
        auto done = std::move(done_);
        done(std::move(result_));
    }

    Backstore& store_;
    std::move_only_function<void(Result<void>)> done_;
    Result<void> result_;
};

// What an operation leaves of the medium if it does not come to its end.
MediumCondition interrupted(const BackgroundPlan& plan) noexcept {
    if (plan.kind == BackgroundKind::format)
        return {.fault = scsi::MediumFault::format_corrupted};
    return {.fault = scsi::MediumFault::sanitize_failed,
            .unrestricted_exit = plan.unrestricted_exit};
}

}  // namespace

struct LogicalUnitImpl::Background {
    BackgroundPlan plan;
    unsigned origin = 0;
    BackgroundEnded ended;
    std::unique_ptr<BackgroundTask> task;  // from when it has the medium
    FenceId fence = 0;
    std::unique_ptr<TupleClearing> clearing;  // of a plan with a type of protection
    std::uint8_t type_before = 0;
    bool stopping = false;
    SelfTestOutcome stop_reason = SelfTestOutcome::aborted_otherwise;
    std::vector<std::move_only_function<void()>> afterwards;

    void stop() noexcept {
        stopping = true;
        if (task != nullptr)
            task->stop();
    }
};

void LogicalUnitImpl::BackgroundDeleter::operator()(Background* background) const noexcept {
    delete background;
}

void LogicalUnitImpl::run_background(BackgroundPlan plan, BackgroundBegun begun,
                                     BackgroundEnded ended) {
    const unsigned origin = here();
    on_home([this, origin, plan = std::move(plan), begun = std::move(begun),
             ended = std::move(ended)]() mutable {
        begin_background(std::move(plan), origin, std::move(begun), std::move(ended));
    });
}

void LogicalUnitImpl::begin_background(BackgroundPlan plan, unsigned origin, BackgroundBegun begun,
                                       BackgroundEnded ended) {
    if (closing_)
        return on_shard(origin, [begun = std::move(begun)]() mutable {
            begun(std::unexpected(
                Refusal{scsi::Status::check_condition,
                        scsi::make_sense(scsi::sense::not_ready_cause_not_reportable)}));
        });
    if (background_ != nullptr) {
        // A test in the background gives way to what needs the medium.
        if (background_->plan.kind == BackgroundKind::background_self_test &&
            scsi::takes_the_medium(plan.kind)) {
            background_->stop();
            background_->afterwards.push_back([this, origin, plan = std::move(plan),
                                               begun = std::move(begun),
                                               ended = std::move(ended)]() mutable {
                begin_background(std::move(plan), origin, std::move(begun), std::move(ended));
            });
            return;
        }
        const auto busy = scsi::background_sense(home_state_->background);
        on_shard(origin, [begun = std::move(begun),
                          refusal = Refusal{scsi::Status::check_condition,
                                            busy.value_or(scsi::SenseData{})}]() mutable {
            begun(std::unexpected(std::move(refusal)));
        });
        return;
    }
    if (plan.needs_whole_medium && home_state_->background.fault != scsi::MediumFault::none)
        return on_shard(origin, [begun = std::move(begun),
                                 refusal = Refusal{scsi::Status::check_condition,
                                                   scsi::background_sense(home_state_->background)
                                                       .value_or(scsi::SenseData{})}]() mutable {
            begun(std::unexpected(std::move(refusal)));
        });
    background_.reset(new Background{.plan = std::move(plan),
                                     .origin = origin,
                                     .ended = std::move(ended),
                                     .task = nullptr,
                                     .clearing = nullptr,
                                     .afterwards = {}});
    change_state(
        [this](LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
            BackgroundPlan& started = background_->plan;
            state.background.kind = started.kind;
            state.background.progress = 0;
            if (started.begin)
                started.begin(state);
            return StateEffects{};
        },
        [this, origin, begun = std::move(begun)](const std::expected<void, Refusal>&) mutable {
            if (!scsi::takes_the_medium(background_->plan.kind)) {
                on_shard(origin, [begun = std::move(begun)]() mutable { begun({}); });
                start_background_task();
                return;
            }
            // If the daemon ends before the operation does, the next one finds this.
            settings_->record(
                interrupted(background_->plan),
                [this, origin,
                 begun = std::move(begun)](const std::expected<void, Refusal>& recorded) mutable {
                    if (!recorded) {
                        refuse_background(recorded.error(), std::move(begun));
                        return;
                    }
                    on_shard(origin, [begun = std::move(begun)]() mutable { begun({}); });
                    raise_fence({{0, end_of_medium}, FenceKind::shrink}, [this](FenceId fence) {
                        background_->fence = fence;
                        start_background_task();
                    });
                });
        });
}

// It has not begun to touch the medium.
void LogicalUnitImpl::refuse_background(const Refusal& refusal, BackgroundBegun begun) {
    change_state(
        [](LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
            state.background.kind = BackgroundKind::none;
            return StateEffects{};
        },
        [this, refusal, begun = std::move(begun)](const std::expected<void, Refusal>&) mutable {
            const auto over = std::move(background_);
            on_shard(over->origin, [begun = std::move(begun), refusal]() mutable {
                begun(std::unexpected(refusal));
            });
            for (auto& next : over->afterwards)
                next();
        });
}

void LogicalUnitImpl::start_background_task() {
    if (background_->stopping) {
        end_background({.status = StoreStatus::canceled, .stopped = true});
        return;
    }
    if (background_->plan.protection_type && background_->clearing == nullptr) {
        clear_tuples();
        return;
    }
    background_->task = std::make_unique<BackgroundTask>(
        view(options_.home_shard), std::move(background_->plan.stretches),
        [this](std::uint16_t progress) {
            change_state(
                [progress](LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
                    state.background.progress = progress;
                    return StateEffects{};
                },
                [](const std::expected<void, Refusal>&) {});
        },
        [this](const BackgroundResult& result) { end_background(result); });
    background_->task->start();
}

// Nobody is inside the medium any more. Without a type the blocks are written past the tuples, so
// that these stay as they are: whenever the power goes, no block has a tuple of another's.
void LogicalUnitImpl::clear_tuples() {
    background_->clearing =
        std::make_unique<TupleClearing>(*store_, [this](const Result<void>& cleared) {
            if (cleared)
                return start_background_task();
            log::error("{}: the protection information cannot be formatted: {}", name(),
                       cleared.error().message);
            end_background({.status = StoreStatus::internal_error});
        });
    background_->type_before = home_state_->protection.type;
    change_state(
        [](LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
            state.protection.type = 0;
            return StateEffects{};
        },
        [this](const std::expected<void, Refusal>&) { background_->clearing->start(home()); });
}

// What the medium is formatted to, and that it is whole again, is on stable storage before anybody
// is told. In this order: a medium that is not known to be whole is formatted anew, whatever its
// type.
void LogicalUnitImpl::end_background(BackgroundResult result) {
    const BackgroundPlan& plan = background_->plan;
    if (!scsi::takes_the_medium(plan.kind) || result.status != StoreStatus::good)
        return conclude_background(result);
    auto whole = [this, result](const std::expected<void, Refusal>& kept) mutable {
        if (!kept) {
            result.status = StoreStatus::internal_error;
            return conclude_background(result);
        }
        settings_->record({}, [this, result](const std::expected<void, Refusal>& recorded) mutable {
            if (!recorded)
                result.status = StoreStatus::internal_error;
            conclude_background(result);
        });
    };
    if (!plan.protection_type)
        return whole({});
    settings_->change(
        [type = plan.protection_type](
            LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
            StateEffects effects;
            effects.changed = state.protection.formatted != type;
            state.protection.formatted = type;
            return effects;
        },
        std::move(whole));
}

void LogicalUnitImpl::conclude_background(BackgroundResult result) {
    change_state(
        [this, result](LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
            StateEffects effects;
            const BackgroundPlan& plan = background_->plan;
            state.background.kind = BackgroundKind::none;
            state.background.progress = 0;
            if (background_->clearing != nullptr) {
                const bool good = result.status == StoreStatus::good;
                const std::uint8_t before = background_->type_before;
                state.protection.type = good ? *plan.protection_type : before;
                state.settings.verify_protection |= good;
                if (state.protection.type != before) {
                    effects.attention = scsi::UnitAttention::capacity_data_changed;
                    effects.except = plan.asked_by;
                }
            }
            if (background_->plan.conclude)
                background_->plan.conclude(state, result);
            return effects;
        },
        [this, result](const std::expected<void, Refusal>&) {
            const auto over = std::move(background_);
            if (over->fence != 0)
                lower_fence(over->fence);
            on_shard(over->origin,
                     [ended = std::move(over->ended), result]() mutable { ended(result); });
            for (auto& next : over->afterwards)
                next();
        });
}

void LogicalUnitImpl::stop_self_test(SelfTestOutcome reason,
                                     std::move_only_function<void(bool)> stopped) {
    const unsigned origin = here();
    on_home([this, reason, origin, stopped = std::move(stopped)]() mutable {
        auto answer = [this, origin, stopped = std::move(stopped)](bool did) mutable {
            on_shard(origin, [stopped = std::move(stopped), did]() mutable { stopped(did); });
        };
        const BackgroundKind kind =
            background_ == nullptr ? BackgroundKind::none : background_->plan.kind;
        const bool is_meant = reason == SelfTestOutcome::aborted_by_host
                                  ? kind == BackgroundKind::background_self_test
                                  : scsi::is_self_test(kind);
        if (!is_meant) {
            answer(false);
            return;
        }
        background_->stop_reason = reason;
        background_->stop();
        background_->afterwards.push_back([answer = std::move(answer)]() mutable { answer(true); });
    });
}

SelfTestOutcome LogicalUnitImpl::self_test_stop_reason() const noexcept {
    return background_ == nullptr ? SelfTestOutcome::aborted_otherwise : background_->stop_reason;
}

bool LogicalUnitImpl::medium_is_taken() const noexcept {
    return background_ != nullptr && scsi::takes_the_medium(background_->plan.kind);
}

void LogicalUnitImpl::after_background(std::move_only_function<void()> next) {
    if (background_ == nullptr) {
        next();
        return;
    }
    background_->stop();
    // Who waited before may have begun another one.
    background_->afterwards.push_back(
        [this, next = std::move(next)]() mutable { after_background(std::move(next)); });
}

void LogicalUnitImpl::refresh_resources(std::move_only_function<void()> done) {
    const unsigned origin = here();
    on_home([this, origin, done = std::move(done)]() mutable {
        auto answer = [this, origin, done = std::move(done)]() mutable {
            on_shard(origin, std::move(done));
        };
        if (space_watch_ == nullptr)
            answer();
        else
            space_watch_->refresh(std::move(answer));
    });
}

void LogicalUnitImpl::note_space(const std::optional<StoreSpace>& space) {
    change_state(
        [space](LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
            const std::uint32_t block_bytes = state.geometry.block_bytes;
            const scsi::Provisioning before = state.provisioning;
            StateEffects effects;
            if (!space) {
                state.provisioning.resources_known = false;
            } else {
                if (scsi::note_resources(state, space->available_bytes / block_bytes,
                                         space->used_bytes / block_bytes))
                    effects.attention =
                        scsi::UnitAttention::thin_provisioning_soft_threshold_reached;
                state.provisioning.shared_resources = space->shared;
            }
            effects.changed = !(state.provisioning == before);
            return effects;
        },
        [](const std::expected<void, Refusal>&) {});
}

std::uint16_t LogicalUnitView::power_on_hours() const noexcept {
    constexpr std::uint64_t hour = 3600 * std::uint64_t{reactor::nanoseconds_per_second};
    const auto hours = static_cast<std::uint64_t>(shard_.now() - opened_at_) / hour;
    return static_cast<std::uint16_t>(std::min<std::uint64_t>(hours, 0xFFFF));
}

}  // namespace olio::target
