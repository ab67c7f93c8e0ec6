#include "target/handlers_access.h"

#include <cerrno>

#include "base/log.h"
#include "target/access_transition.h"

namespace olio::target {

namespace sense = scsi::sense;

Step DeviceServer::AccessHandlers::execute_set_target_port_groups(Command& c) {
    const auto& nexus = static_cast<const ITNexusImpl&>(c.nexus());
    auto changes = scsi::parse_set_target_port_groups(c.data_out, c.unit_->state().access,
                                                      nexus.port().description.relative_port);
    if (!changes)
        return refuse(c, changes.error());
    if (changes->empty())
        return succeed(c);
    // A transition may last for half a minute and is not undone by an abort: what aborts the
    // command does not wait for it.
    change_access_states(
        c.unit_->unit(),
        {.changes = std::move(*changes),
         .status = scsi::AccessStatus::explicitly,
         .by = nexus.id()},
        [&c](const Result<void>& changed) {
            if (changed) {
                succeed(c);
            } else if (changed.error().code == EBUSY) {
                refuse(c, scsi::make_sense(sense::asymmetric_access_state_transition));
            } else {
                log::error("{}: SET TARGET PORT GROUPS failed: {}", c.unit_->unit().name(),
                           changed.error().message);
                refuse(c, scsi::make_sense(sense::set_target_port_groups_command_failed));
            }
        });
    return Step::waiting;
}

}  // namespace olio::target
