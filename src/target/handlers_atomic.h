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

    // What an ORWRITE does, with or without protection information on the wire. False: it has been
    // refused.
    static bool check_orwrite(Command&);
    // Does `work`, of one block or more, behind a fence if the generations allow that.
    static Step order_orwrite(Command&, Step (*work)(Command&));
    // Of what is sent and what is there: what shall be.
    static void combine(const Command&, MutableBytes sent, Bytes found);
    // The blocks are there, and durable if they must be.
    static Step written(Command&);

  private:
    static void prepare(Command&);
    static void orwrite_stands(Command&, Step (*work)(Command&));
    static Step start(Command&);
    static Step next(Command&);
};

}  // namespace olio::target
