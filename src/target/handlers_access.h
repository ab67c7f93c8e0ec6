// SET TARGET PORT GROUPS (SPC-5 6.45).
#pragma once

#include "target/device_server.h"

namespace olio::target {

struct DeviceServer::AccessHandlers {
    static Step execute_set_target_port_groups(Command&);
};

}  // namespace olio::target
