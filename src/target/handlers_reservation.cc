#include "target/handlers_reservation.h"

#include <utility>

namespace olio::target {

using scsi::LogicalUnitState;

// SPC-2 7.21 and 7.22: the home shard decides between two that ask at the same time.
Step DeviceServer::ReservationHandlers::execute_reserve(Command& c) {
    const scsi::NexusId id = c.nexus_->id();
    change_state(c, [id](LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
        scsi::NexusId& holder = state.reservations.reserved_by;
        if (holder != 0 && holder != id)
            return std::unexpected(Refusal{scsi::Status::reservation_conflict, {}});
        StateEffects effects;
        effects.changed = std::exchange(holder, id) != id;
        return effects;
    });
    return Step::waiting;
}

// SPC-2 7.19: from a nexus that does not hold the reservation it does nothing.
Step DeviceServer::ReservationHandlers::execute_release(Command& c) {
    const scsi::NexusId id = c.nexus_->id();
    change_state(c, [id](LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
        StateEffects effects;
        effects.changed = state.reservations.reserved_by == id;
        if (effects.changed)
            state.reservations.reserved_by = 0;
        return effects;
    });
    return Step::waiting;
}

}  // namespace olio::target
