// START STOP UNIT.
#pragma once

#include "target/device_server.h"

namespace olio::target {

struct DeviceServer::PowerHandlers {
    static bool prepare_start_stop(Command&);
    static Step execute_start_stop(Command&);
    static Step change_power(Command&);
};

}  // namespace olio::target
