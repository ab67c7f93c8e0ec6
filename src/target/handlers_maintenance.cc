#include "target/handlers_maintenance.h"

#include <algorithm>

#include "base/limits.h"
#include "scsi/maintenance.h"
#include "target/unit_settings.h"

namespace olio::target {

using scsi::BackgroundKind;
using scsi::LogicalUnitState;
using scsi::MediumFault;
using scsi::SelfTestCode;
using scsi::SelfTestOutcome;
namespace sense = scsi::sense;

namespace {

constexpr std::uint64_t short_test_places = 32;
constexpr std::uint64_t short_test_blocks = 8;  // at each of them

// Zeros, in the way that costs the store least.
Stretch zeros(const LogicalUnitView& view) {
    const LogicalUnitState& state = view.state();
    Stretch stretch{.opcode = StoreOpcode::write_zeroes,
                    .range = {0, state.geometry.blocks},
                    .pattern = {},
                    .may_unmap = state.provisioning.unmap};
    if (view.capabilities().write_zeroes != Support::native) {
        stretch.opcode = StoreOpcode::write;
        stretch.pattern.resize(state.geometry.block_bytes);
    }
    return stretch;
}

}  // namespace

// The command that waits for the end of its operation. It may be gone before: then the operation
// goes on, or is stopped if only the command wanted it.
class DeviceServer::MaintenanceHandlers::Waiting final : public CommandExtension {
  public:
    struct Slot {
        Command* command = nullptr;
    };
    Waiting(Command& command, bool stop_if_abandoned)
        : slot(std::make_shared<Slot>(Slot{&command})),
          unit_(command.unit_->unit()),
          stop_if_abandoned_(stop_if_abandoned) {}
    ~Waiting() override { slot->command = nullptr; }

    [[nodiscard]] bool abandon() noexcept override {
        if (!under_way)
            return false;
        slot->command = nullptr;
        if (stop_if_abandoned_)
            unit_.stop_self_test(SelfTestOutcome::aborted_otherwise, [](bool) {});
        return true;
    }

    std::shared_ptr<Slot> slot;
    bool under_way = false;  // it has begun; before that the home shard works for the command

  private:
    LogicalUnitImpl& unit_;
    bool stop_if_abandoned_;
};

Step DeviceServer::MaintenanceHandlers::run(Command& c, BackgroundPlan plan, bool immediate,
                                            const scsi::SenseData& failure) {
    auto own = std::make_unique<Waiting>(c, plan.kind == BackgroundKind::foreground_self_test);
    Waiting& waiting = *own;
    c.extension_ = std::move(own);
    c.home_active_ = true;
    c.unit_->unit().run_background(
        std::move(plan),
        [&c, &waiting, immediate](const std::expected<void, Refusal>& begun) {
            c.home_active_ = false;
            waiting.under_way = begun.has_value();
            if (c.abort_) {
                (void)waiting.abandon();
                end_aborted(c);
            } else if (!begun) {
                refuse(c, begun.error());
            } else if (immediate) {
                waiting.slot->command = nullptr;
                succeed(c);
            }
        },
        [slot = waiting.slot, failure](const BackgroundResult& result) {
            Command* const waiter = slot->command;
            if (waiter == nullptr)
                return;
            if (result.status == StoreStatus::good)
                succeed(*waiter);
            else
                refuse(*waiter, failure);
        });
    return Step::waiting;
}

// --- FORMAT UNIT ---

// How long the parameter list is the CDB does not say: all that the host sends.
bool DeviceServer::MaintenanceHandlers::prepare_format(Command& c) {
    c.transfer_bytes_ = scsi::format_has_list(c.cdb) ? c.expected_data_out_bytes : 0;
    c.buffer_bytes_ = c.transfer_bytes_;
    if (c.transfer_bytes_ <= limits::parameter_list_bytes)
        return true;
    refuse(c, scsi::make_sense(sense::parameter_list_length_error));
    return false;
}

BackgroundPlan DeviceServer::MaintenanceHandlers::plan_format(Command& c,
                                                              const scsi::FormatFields& fields) {
    BackgroundPlan plan{.kind = BackgroundKind::format, .asked_by = c.nexus_->id()};
    const scsi::Geometry& geometry = c.unit_->state().geometry;
    if (c.unit_->state().protection.supported)
        plan.protection_type = fields.protection_type;
    if (fields.pattern.empty())
        plan.stretches.push_back(zeros(*c.unit_));
    else
        plan.stretches.push_back(
            {.opcode = StoreOpcode::write,
             .range = {0, geometry.blocks},
             .pattern = scsi::block_of_pattern(fields.pattern, geometry.block_bytes, false)});
    plan.conclude = [](LogicalUnitState& state, const BackgroundResult& result) {
        state.background.fault =
            result.status == StoreStatus::good ? MediumFault::none : MediumFault::format_corrupted;
    };
    return plan;
}

Step DeviceServer::MaintenanceHandlers::execute_format(Command& c) {
    const scsi::NexusState nexus = static_cast<const ITNexusImpl&>(c.nexus()).state();
    const auto fields = scsi::parse_format(request_of(c, &c.unit_->state(), nexus), c.data_out);
    if (!fields)
        return refuse(c, fields.error());
    return run(c, plan_format(c, *fields), fields->immediate,
               scsi::make_sense(sense::format_command_failed));
}

// --- SANITIZE ---

Step DeviceServer::MaintenanceHandlers::execute_sanitize(Command& c) {
    const LogicalUnitState& state = c.unit_->state();
    const scsi::NexusState nexus = static_cast<const ITNexusImpl&>(c.nexus()).state();
    const auto fields = scsi::parse_sanitize(request_of(c, &state, nexus), c.data_out);
    if (!fields)
        return refuse(c, fields.error());
    if (fields->action == scsi::SanitizeAction::exit_failure_mode)
        return exit_failure_mode(c);
    // One that failed without AUSE can be followed only by one without.
    const bool unrestricted = fields->unrestricted_exit;
    BackgroundPlan plan{.kind = BackgroundKind::sanitize};
    if (fields->action == scsi::SanitizeAction::block_erase) {
        plan.stretches.push_back({.opcode = StoreOpcode::write_zeroes,
                                  .range = {0, state.geometry.blocks},
                                  .pattern = {},
                                  .may_unmap = true});
    } else {
        for (unsigned pass = 0; pass < fields->passes; ++pass)
            plan.stretches.push_back(
                {.opcode = StoreOpcode::write,
                 .range = {0, state.geometry.blocks},
                 .pattern = scsi::block_of_pattern(fields->pattern, state.geometry.block_bytes,
                                                   fields->invert && pass % 2 == 1)});
    }
    plan.unrestricted_exit = unrestricted;
    plan.conclude = [unrestricted](LogicalUnitState& after, const BackgroundResult& result) {
        const bool good = result.status == StoreStatus::good;
        after.background.fault = good ? MediumFault::none : MediumFault::sanitize_failed;
        after.background.unrestricted_exit = !good && unrestricted;
    };
    return run(c, std::move(plan), fields->immediate,
               scsi::make_sense(sense::sanitize_command_failed));
}

// Where nothing has failed there is nothing to leave.
Step DeviceServer::MaintenanceHandlers::exit_failure_mode(Command& c) {
    c.unit_->unit().settings().forget_fault(
        [](const LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
            const scsi::BackgroundState& now = state.background;
            // It came while this was on its way; what it leaves behind is not known yet.
            if (scsi::takes_the_medium(now.kind))
                return std::unexpected(
                    Refusal{scsi::Status::check_condition, scsi::background_sense(now).value()});
            StateEffects effects;
            effects.changed = now.fault == MediumFault::sanitize_failed;
            if (effects.changed && !now.unrestricted_exit)
                return std::unexpected(
                    Refusal{scsi::Status::check_condition, scsi::invalid_field_in_cdb(1, 4)});
            return effects;
        },
        answer_from_home(c));
    return Step::waiting;
}

// --- SEND DIAGNOSTIC ---

Step DeviceServer::MaintenanceHandlers::execute_send_diagnostic(Command& c) {
    const scsi::NexusState nexus = static_cast<const ITNexusImpl&>(c.nexus()).state();
    const auto fields = scsi::decode_send_diagnostic(request_of(c, &c.unit_->state(), nexus));
    if (!fields)
        return refuse(c, fields.error());
    if (fields->default_self_test)
        return start_self_test(c, SelfTestCode::foreground_short, false);
    if (fields->code == SelfTestCode::abort_background)
        return abort_self_test(c);
    if (fields->code != SelfTestCode::none)
        return start_self_test(c, fields->code, true);
    if (const auto list = scsi::check_diagnostic_list(c.data_out); !list)
        return refuse(c, list.error());
    return succeed(c);
}

Step DeviceServer::MaintenanceHandlers::abort_self_test(Command& c) {
    c.home_active_ = true;
    c.unit_->unit().stop_self_test(SelfTestOutcome::aborted_by_host, [&c](bool stopped) {
        c.home_active_ = false;
        if (c.abort_)
            end_aborted(c);
        else if (stopped)
            succeed(c);
        else  // there is none in the background
            refuse(c, scsi::invalid_field_in_cdb(1, 7));
    });
    return Step::waiting;
}

// What is tested is whether the medium can be read: here and there, or all of it.
Step DeviceServer::MaintenanceHandlers::start_self_test(Command& c, SelfTestCode code,
                                                        bool logged) {
    const LogicalUnitState& state = c.unit_->state();
    if (!state.medium_present)
        return refuse(c, scsi::make_sense(sense::medium_not_present));
    const std::uint64_t blocks = state.geometry.blocks;
    const bool background =
        code == SelfTestCode::background_short || code == SelfTestCode::background_extended;
    const bool whole =
        code == SelfTestCode::background_extended || code == SelfTestCode::foreground_extended;
    BackgroundPlan plan{.kind = background ? BackgroundKind::background_self_test
                                           : BackgroundKind::foreground_self_test};
    const std::uint64_t places = whole ? 1 : std::min(short_test_places, blocks);
    for (std::uint64_t place = 0; place < places; ++place) {
        const std::uint64_t first = places == 1 ? 0 : (blocks - 1) / (places - 1) * place;
        const std::uint64_t end = whole ? blocks : std::min(first + short_test_blocks, blocks);
        plan.stretches.push_back(
            {.opcode = StoreOpcode::read, .range = {first, end}, .pattern = {}});
    }
    if (logged) {
        plan.begin = [code](LogicalUnitState& at) {
            at.self_tests.add({.code = code, .outcome = SelfTestOutcome::in_progress});
        };
        LogicalUnitImpl& unit = c.unit_->unit();
        plan.conclude = [code, &unit](LogicalUnitState& at, const BackgroundResult& result) {
            scsi::SelfTestResult entry{
                .code = code, .power_on_hours = unit.view(unit.home().index()).power_on_hours()};
            if (result.stopped) {
                entry.outcome = unit.self_test_stop_reason();
            } else if (result.status != StoreStatus::good) {
                entry.outcome = SelfTestOutcome::read_failed;
                entry.first_failure_lba = result.error_lba;
                entry.key = sense::unrecovered_read_error.key;
                entry.additional = sense::unrecovered_read_error.additional;
            }
            at.self_tests.add(entry);
        };
    }
    return run(c, std::move(plan), background,
               scsi::make_sense(sense::logical_unit_failed_self_test));
}

// --- WRITE BUFFER ---

bool DeviceServer::MaintenanceHandlers::prepare_write_buffer(Command& c) {
    const scsi::NexusState nexus = static_cast<const ITNexusImpl&>(c.nexus()).state();
    if (const auto allowed = scsi::check_write_buffer(request_of(c, &c.unit_->state(), nexus));
        !allowed) {
        refuse(c, allowed.error());
        return false;
    }
    return prepare_parameters(c);
}

Step DeviceServer::MaintenanceHandlers::execute_write_buffer(Command& c) {
    if (c.transfer_bytes_ == 0)
        return succeed(c);
    change_state(c, [&c](LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
        state.echo_buffer = std::make_shared<const scsi::EchoBuffer>(
            scsi::written(state.echo_buffer.get(), c.nexus_->id(), c.data_out));
        return StateEffects{};
    });
    return Step::waiting;
}

}  // namespace olio::target
