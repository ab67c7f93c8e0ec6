// What a host leaves with the device server: timestamps, identifying information, aliases and
// priorities.
#pragma once

#include "target/device_server.h"

namespace olio::target {

struct DeviceServer::InformationHandlers {
    static Step execute_report_timestamp(Command&);
    static Step execute_set_timestamp(Command&);
    static Step execute_set_identifying_information(Command&);
    static Step execute_change_aliases(Command&);
    static Step execute_set_priority(Command&);
};

}  // namespace olio::target
