// FORMAT UNIT, SANITIZE, SEND DIAGNOSTIC and WRITE BUFFER.
#pragma once

#include "scsi/format.h"
#include "target/background.h"
#include "target/device_server.h"

namespace olio::target {

struct DeviceServer::MaintenanceHandlers {
    static bool prepare_format(Command&);
    static Step execute_format(Command&);
    static Step execute_sanitize(Command&);
    static Step execute_send_diagnostic(Command&);
    static bool prepare_write_buffer(Command&);
    static Step execute_write_buffer(Command&);

  private:
    class Waiting;

    static BackgroundPlan plan_format(Command&, const scsi::FormatFields& fields);
    static Step exit_failure_mode(Command&);
    static Step start_self_test(Command&, scsi::SelfTestCode code, bool logged);
    static Step abort_self_test(Command&);
    // Runs it and answers: when it has begun if `immediate`, else when it has ended, with `failure`
    // if it failed.
    static Step run(Command&, BackgroundPlan plan, bool immediate, const scsi::SenseData& failure);
};

}  // namespace olio::target
