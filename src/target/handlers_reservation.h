// PERSISTENT RESERVE OUT, and RESERVE and RELEASE of SPC-2.
#pragma once

#include "target/device_server.h"

namespace olio::target {

struct DeviceServer::ReservationHandlers {
    static Step execute_reserve(Command&);
    static Step execute_release(Command&);
    static Step execute_reserve_out(Command&);
    static Step execute_conflict(Command&);
};

}  // namespace olio::target
