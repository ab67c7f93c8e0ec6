// Commands that nobody sees half done: ORWRITE and WRITE ATOMIC. As COMPARE AND WRITE, they work
// behind a fence of their own.
#pragma once

#include "target/device_server.h"

namespace olio::target {

struct DeviceServer::AtomicHandlers {
    static bool prepare_orwrite(Command&);
    static bool prepare_write_atomic(Command&);
    static Step execute(Command&);
    static Step resume(Command&);

  private:
    static void prepare(Command&);
    static void fence_stands(Command&) noexcept;
    static Step next(Command&);
    static Step written(Command&);
};

}  // namespace olio::target
