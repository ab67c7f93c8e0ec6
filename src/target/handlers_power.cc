#include "target/handlers_power.h"

#include "scsi/cdb_fields.h"
#include "scsi/pollable_sense.h"

namespace olio::target {

using scsi::LogicalUnitState;
using scsi::PowerCondition;

bool DeviceServer::PowerHandlers::prepare_start_stop(Command& c) {
    const auto power = scsi::decode_power_request(c.cdb);
    if (!power)
        refuse(c, power.error());
    return power.has_value();
}

// Standby and stopped first make the cache durable, unless NO_FLUSH (SBC-4 5.31).
Step DeviceServer::PowerHandlers::execute_start_stop(Command& c) {
    const scsi::PowerRequest power = *scsi::decode_power_request(c.cdb);
    if (power.control)
        return succeed(c);
    if (!scsi::flushes_cache(power.condition) || scsi::decode_start_stop(c.cdb).no_flush ||
        !c.unit_->state().medium_present)
        return change_power(c);
    ask_store(c, StoreOpcode::flush, 0, 0, {});
    return Step::submit;
}

Step DeviceServer::PowerHandlers::change_power(Command& c) {
    const PowerCondition next = scsi::decode_power_request(c.cdb)->condition;
    change_state(c, [next](LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
        StateEffects effects;
        effects.changed = scsi::enter_power_condition(state, next);
        return effects;
    });
    return Step::waiting;
}

}  // namespace olio::target
