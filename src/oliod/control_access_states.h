// The methods of the control socket that show and change asymmetric access: target port groups,
// their states, and the ports in them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "scsi/access_states.h"

namespace olio::config {
struct Method;
}

namespace olio::oliod {

class Daemon;

// What a disk has at the start: all its ports in LIO's default group, or, where the daemon has
// several portal groups, a target port group for each of them, with the same number.
[[nodiscard]] scsi::AccessStateTable initial_access(std::span<const std::uint16_t> portal_groups);

// As make_control_methods(), which puts them into its table.
void add_access_methods(Daemon& daemon, std::vector<config::Method>& methods);

}  // namespace olio::oliod
