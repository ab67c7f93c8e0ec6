#include "target/access_transition.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "target/access_keeper.h"

namespace olio::target {

using reactor::Shard;
using scsi::LogicalUnitState;
using scsi::UnitAttention;

AccessTransition::AccessTransition(std::shared_ptr<LogicalUnitImpl> unit, AccessRequest request,
                                   std::move_only_function<void(Result<void>)> done)
    : unit_(std::move(unit)), request_(std::move(request)), done_(std::move(done)) {}

void AccessTransition::begin() {
    unit_->enter_transition(shared_from_this());
    // The change runs at once: this is the home shard. Its end comes when every shard has it.
    auto failure = std::make_shared<Result<void>>();
    unit_->change_state(
        [this, failure](LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
            StateEffects effects;
            auto transition =
                scsi::begin_transition(state.access, request_.changes, request_.status);
            if (!transition) {
                *failure = std::unexpected(std::move(transition.error()));
                effects.changed = false;
                return effects;
            }
            transition_ = std::move(*transition);
            effects.changed = !transition_.changes.empty();
            if (transition_.delay_ms != 0)  // hosts can see that it is under way
                effects.attention = UnitAttention::asymmetric_access_state_changed;
            effects.except = request_.by;
            return effects;
        },
        [self = shared_from_this(), failure](const std::expected<void, Refusal>&) {
            if (!*failure)
                self->end(std::move(*failure));
            else if (self->transition_.changes.empty())
                self->confirm();
            else
                self->begun(self->transition_.delay_ms);
        });
}

void AccessTransition::begun(std::uint32_t delay_ms) {
    if (delay_ms == 0 || unit_->closing())
        finish();
    else
        unit_->home().start(*this, delay_ms * reactor::nanoseconds_per_ms);
}

void AccessTransition::fired() noexcept {
    finish();
}

void AccessTransition::hurry() {
    if (!armed())
        return;  // it is not waiting
    unit_->home().stop(*this);
    finish();
}

void AccessTransition::finish() {
    unit_->access_keeper().keep(transition_, [self = shared_from_this()](Result<void> kept) {
        if (kept)
            self->publish();
        else
            self->cancel(std::move(kept.error()));
    });
}

// The states are these already; but perhaps their files do not say so.
void AccessTransition::confirm() {
    unit_->access_keeper().keep(std::nullopt, [self = shared_from_this()](Result<void> kept) {
        if (!kept)
            kept = fail(kept.error().code,
                        fmt::format("the access states are these already, but they cannot be kept: "
                                    "{}",
                                    kept.error().message));
        self->end(std::move(kept));
    });
}

void AccessTransition::publish() {
    unit_->change_state(
        [this](LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
            scsi::finish_transition(state.access, transition_);
            StateEffects effects;
            effects.attention = UnitAttention::asymmetric_access_state_changed;
            effects.except = request_.by;
            return effects;
        },
        [self = shared_from_this()](const std::expected<void, Refusal>&) { self->end({}); });
}

// Of an implicit one every nexus is told that it failed; of an explicit one the nexus that asked is
// answered, and the others hear of it where they could see that it was under way.
void AccessTransition::cancel(Error error) {
    error.message =
        fmt::format("the change of access states cannot be kept, and is undone: {}", error.message);
    log::error("{}: {}", unit_->name(), error.message);
    unit_->change_state(
        [this](LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
            scsi::cancel_transition(state.access, transition_);
            StateEffects effects;
            if (transition_.status == scsi::AccessStatus::implicitly)
                effects.attention = UnitAttention::implicit_access_state_transition_failed;
            else if (transition_.delay_ms != 0)
                effects.attention = UnitAttention::asymmetric_access_state_changed;
            effects.except = request_.by;
            return effects;
        },
        [self = shared_from_this(), error](const std::expected<void, Refusal>&) {
            self->end(std::unexpected(error));
        });
}

void AccessTransition::end(Result<void> result) {
    const auto self = shared_from_this();
    unit_->leave_transition(*this);
    std::exchange(done_, nullptr)(std::move(result));
}

namespace {

void start_one(const std::shared_ptr<LogicalUnitImpl>& unit, AccessRequest request,
               std::move_only_function<void(Result<void>)> done) {
    Shard* const origin = Shard::current();
    unit->run_at_home([unit, origin, request = std::move(request),
                       done = std::move(done)]() mutable {
        auto answer = [origin, done = std::move(done)](Result<void> result) mutable {
            if (Shard::current() == origin || origin == nullptr)
                return done(std::move(result));
            origin->post([done = std::move(done), result = std::move(result)]() mutable {
                done(std::move(result));
            });
        };
        std::make_shared<AccessTransition>(unit, std::move(request), std::move(answer))->begin();
    });
}

// Several units' transitions: the first that fails is the answer.
struct Gathering {
    explicit Gathering(std::move_only_function<void(Result<void>)> to) : done(std::move(to)) {}
    Gathering(const Gathering&) = delete;
    Gathering& operator=(const Gathering&) = delete;
    ~Gathering() { done(std::move(result)); }

    std::move_only_function<void(Result<void>)> done;
    Result<void> result;
};

// On shard 0, where the engine knows its units.
void start_with_peers(const std::shared_ptr<LogicalUnitImpl>& unit, const AccessRequest& request,
                      std::move_only_function<void(Result<void>)> done) {
    const std::uint16_t group = unit->state()->access.logical_unit_group;
    const auto gathering = std::make_shared<Gathering>(std::move(done));
    const auto note = [gathering](Result<void> result) {
        if (!result && gathering->result)
            gathering->result = std::move(result);
    };
    start_one(unit, request, note);
    for (const std::shared_ptr<LogicalUnitImpl>& peer : unit->peers()) {
        const auto state = peer->state();
        if (peer == unit || state->access.logical_unit_group != group)
            continue;
        AccessRequest theirs{.changes = {}, .status = request.status, .by = 0};
        for (const scsi::AccessChange& change : request.changes)
            if (!change.secondary && state->access.group(change.id) != nullptr)
                theirs.changes.push_back(change);
        if (!theirs.changes.empty())
            start_one(peer, std::move(theirs), note);
    }
}

}  // namespace

void change_access_states(LogicalUnitImpl& unit, AccessRequest request,
                          std::move_only_function<void(Result<void>)> done) {
    auto self = unit.shared_from_this();
    if (unit.state()->access.logical_unit_group == 0) {
        start_one(self, std::move(request), std::move(done));
        return;
    }
    Shard* const origin = Shard::current();
    Shard& first = unit.reactor().shard(0);
    if (origin == &first) {
        start_with_peers(self, request, std::move(done));
        return;
    }
    first.post([self = std::move(self), origin, request = std::move(request),
                done = std::move(done)]() mutable {
        start_with_peers(
            self, request, [origin, done = std::move(done)](Result<void> result) mutable {
                origin->post([done = std::move(done), result = std::move(result)]() mutable {
                    done(std::move(result));
                });
            });
    });
}

}  // namespace olio::target
