#include "target/handlers_information.h"

#include <chrono>

#include "reactor/shard.h"
#include "scsi/aliases.h"
#include "scsi/priorities.h"
#include "scsi/unit_information.h"

namespace olio::target {

using scsi::LogicalUnitState;

namespace {

constexpr std::int64_t nanoseconds_per_millisecond = 1'000'000;

// The clock of the shards, which all of them share; it stands while the machine sleeps, and never
// goes back.
std::int64_t clock_ms() {
    return static_cast<std::int64_t>(reactor::Shard::current()->now()) /
           nanoseconds_per_millisecond;
}

std::int64_t machine_ms() {
    using namespace std::chrono;
    return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

Bytes list_of(const MutableBytes& data_out, std::uint32_t bytes) {
    return bytes == 0 ? Bytes{} : Bytes(data_out).first(bytes);
}

}  // namespace

Step DeviceServer::InformationHandlers::execute_report_timestamp(Command& c) {
    constexpr std::size_t room = 12;
    if (!obtain_buffer(c, room))
        return Step::waiting;
    return answer_with(c, c.buffer_.bytes(room), [&c](Builder& into) {
        scsi::report_timestamp(c.unit_->state().timestamp, clock_ms(), machine_ms(), into);
    });
}

Step DeviceServer::InformationHandlers::execute_set_timestamp(Command& c) {
    const scsi::NexusState nexus = static_cast<const ITNexusImpl&>(c.nexus()).state();
    const auto wanted = scsi::set_timestamp(request_of(c, &c.unit_->state(), nexus),
                                            list_of(c.data_out, c.transfer_bytes_));
    if (!wanted)
        return refuse(c, wanted.error());
    if (!*wanted)
        return succeed(c);
    const std::int64_t offset = static_cast<std::int64_t>(**wanted) - clock_ms();
    change_state(
        c,
        [offset, id = nexus.id](LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
            state.timestamp.offset_ms = offset;
            StateEffects effects;
            effects.attention = scsi::UnitAttention::timestamp_changed;
            effects.except = id;
            return effects;
        });
    return Step::waiting;
}

Step DeviceServer::InformationHandlers::execute_set_identifying_information(Command& c) {
    // At the home shard. The command waits for the answer, so its CDB and list stay.
    const scsi::NexusState nexus = static_cast<const ITNexusImpl&>(c.nexus()).state();
    change_settings(
        c, [&c, nexus](LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
            auto next = scsi::set_identifying_information(request_of(c, &state, nexus),
                                                          list_of(c.data_out, c.transfer_bytes_));
            if (!next)
                return std::unexpected(Refusal{scsi::Status::check_condition, next.error()});
            StateEffects effects;
            effects.changed = !(*next == state.identifying_information);
            effects.attention = scsi::UnitAttention::device_identifier_changed;
            effects.except = nexus.id;
            state.identifying_information = std::move(*next);
            return effects;
        });
    return Step::waiting;
}

Step DeviceServer::InformationHandlers::execute_change_aliases(Command& c) {
    auto next = scsi::change_aliases(c.itl_->aliases, list_of(c.data_out, c.transfer_bytes_));
    if (!next)
        return refuse(c, next.error());
    c.itl_->aliases = std::move(*next);
    return succeed(c);
}

// Which nexuses there are must be known first: those whose priority changes are told.
Step DeviceServer::InformationHandlers::execute_set_priority(Command& c) {
    const auto wanted = scsi::parse_set_priority(c.cdb, list_of(c.data_out, c.transfer_bytes_));
    if (!wanted)
        return refuse(c, wanted.error());
    c.home_active_ = true;
    c.unit_->unit().find_nexuses([&c, wanted = *wanted](std::vector<scsi::KnownNexus> nexuses) {
        change_state(
            c,
            [wanted, by = c.nexus_->id(), nexuses = std::move(nexuses)](
                LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
                auto changed = scsi::set_priority(state, wanted, by, nexuses);
                if (!changed)
                    return std::unexpected(Refusal{scsi::Status::check_condition, changed.error()});
                StateEffects effects;
                effects.attention = scsi::UnitAttention::priority_changed;
                effects.except = by;
                effects.only = std::move(*changed);
                return effects;
            });
    });
    return Step::waiting;
}

}  // namespace olio::target
