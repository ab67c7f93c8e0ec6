// REPORT and SET TIMESTAMP, SET IDENTIFYING INFORMATION.
#pragma once

#include "target/device_server.h"

namespace olio::target {

struct DeviceServer::InformationHandlers {
    static Step execute_report_timestamp(Command&);
    static Step execute_set_timestamp(Command&);
    static Step execute_set_identifying_information(Command&);
};

}  // namespace olio::target
