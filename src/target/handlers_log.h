// LOG SENSE and LOG SELECT: what the shards have counted, gathered.
#pragma once

#include "scsi/log_pages.h"
#include "target/device_server.h"

namespace olio::target {

struct DeviceServer::LogHandlers {
    static Step execute_log_sense(Command&);
    static Step execute_log_select(Command&);

  private:
    // `next` when every shard has said what it counted; not if the command has been aborted.
    static void gather(Command&, void (*next)(Command&, const scsi::LogValues& counted));
    static void answer(Command&, const scsi::LogValues& counted);
    static void change(Command&, const scsi::LogValues& counted);
};

}  // namespace olio::target
