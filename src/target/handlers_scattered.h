// WRITE SCATTERED.
#pragma once

#include "target/device_server.h"

namespace olio::target {

struct DeviceServer::ScatteredHandlers {
    static bool prepare(Command&);
    static bool parse(Command&);
    static Step execute(Command&);
    static Step resume(Command&);

  private:
    static Step next(Command&);
};

}  // namespace olio::target
