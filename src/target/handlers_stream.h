// STREAM CONTROL and WRITE STREAM.
#pragma once

#include "target/device_server.h"

namespace olio::target {

struct DeviceServer::StreamHandlers {
    static bool prepare_write_stream(Command&);
    static bool prepare_protected_write_stream(Command&);
    static Step execute_stream_control(Command&);

  private:
    static bool check_stream(Command&);
};

}  // namespace olio::target
