// EXTENDED COPY, RECEIVE COPY RESULTS and their kin.
#pragma once

#include "target/device_server.h"

namespace olio::target {

struct DeviceServer::CopyHandlers {
    // The two sides of a copy by the store. The source's stands until the destination's has ended,
    // so that whatever waits for reads waits for it.
    static const Handler source_side;
    static const Handler destination_side;
    static Step execute_extended_copy(Command&);
    static Step execute_receive_copy_results(Command&);
    static Step execute_copy_operation_abort(Command&);
    static Step execute_report_all_rod_tokens(Command&);
    static Step execute_populate_token(Command&);
    static Step execute_write_using_token(Command&);
};

}  // namespace olio::target
