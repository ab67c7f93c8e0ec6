#include "target/handlers_log.h"

#include <algorithm>

#include "base/limits.h"

namespace olio::target {

using scsi::LogCounter;
using scsi::LogicalUnitState;
using scsi::LogValues;

namespace {

LogValues values_of(const LogicalUnitStatistics& counted, const LogicalUnitState& state) {
    LogValues values;
    values[LogCounter::read_bytes] = counted.read_bytes;
    values[LogCounter::read_errors] = counted.read_errors;
    values[LogCounter::write_bytes] = counted.write_bytes;
    values[LogCounter::write_errors] = counted.write_errors;
    values[LogCounter::verify_bytes] = counted.verify_bytes;
    values[LogCounter::verify_errors] = counted.verify_errors;
    values[LogCounter::non_medium_errors] = counted.non_medium_errors;
    values[LogCounter::read_commands] = counted.read_commands;
    values[LogCounter::write_commands] = counted.write_commands;
    values[LogCounter::blocks_received] = counted.write_bytes / state.geometry.block_bytes;
    values[LogCounter::blocks_transmitted] = counted.read_bytes / state.geometry.block_bytes;
    return values;
}

}  // namespace

void DeviceServer::LogHandlers::gather(Command& c,
                                       void (*next)(Command&, const LogValues& counted)) {
    c.home_active_ = true;
    c.unit_->unit().statistics([&c, next](const LogicalUnitStatistics& counted) {
        c.home_active_ = false;
        if (c.abort_)
            end_aborted(c);
        else
            next(c, values_of(counted, c.unit_->state()));
    });
}

Step DeviceServer::LogHandlers::execute_log_sense(Command& c) {
    if (!obtain_buffer(c, limits::log_page_bytes))
        return Step::waiting;
    if (!scsi::log_sense_shows_resources(c.cdb)) {
        gather(c, answer);
        return Step::waiting;
    }
    c.home_active_ = true;
    c.unit_->unit().refresh_resources([&c] { gather(c, answer); });
    return Step::waiting;
}

void DeviceServer::LogHandlers::answer(Command& c, const LogValues& counted) {
    const LogicalUnitState& state = c.unit_->state();
    const scsi::NexusState nexus = static_cast<const ITNexusImpl&>(c.nexus()).state();
    LogValues shown = counted;
    for (std::size_t i = 0; i < scsi::log_counters; ++i)
        shown.values[i] += state.log_addends.values[i];
    const MutableBytes room = c.buffer_.bytes(limits::log_page_bytes);
    Builder into(room.first(std::min<std::size_t>(room.size(), c.decoded_.allocation_bytes)));
    if (const auto put = scsi::log_sense(request_of(c, &state, nexus), shown, into); !put) {
        refuse(c, put.error());
        return;
    }
    c.data_in_[0] = {room.data(), into.written().size()};
    c.data_in_count_ = 1;
    succeed_with_data(c, into.written().size());
}

Step DeviceServer::LogHandlers::execute_log_select(Command& c) {
    gather(c, change);
    return Step::waiting;
}

void DeviceServer::LogHandlers::change(Command& c, const LogValues& counted) {
    const scsi::NexusState nexus = static_cast<const ITNexusImpl&>(c.nexus()).state();
    const auto changes = scsi::log_select(
        request_of(c, &c.unit_->state(), nexus),
        c.transfer_bytes_ == 0 ? Bytes{} : Bytes(c.data_out).first(c.transfer_bytes_));
    if (!changes) {
        refuse(c, changes.error());
        return;
    }
    change_state(c,
                 [changes = *changes, counted,
                  id = nexus.id](LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
                     for (const scsi::LogChange& each : changes.counters)
                         state.log_addends[each.counter] = each.value - counted[each.counter];
                     if (changes.forgets_self_tests)
                         state.self_tests.forget_ended();
                     StateEffects effects;
                     effects.changed = !changes.empty();
                     effects.attention = scsi::UnitAttention::log_parameters_changed;
                     effects.except = id;
                     return effects;
                 });
}

}  // namespace olio::target
