// What the end of a command means for others of its task set (SAM-5 5.9, SPC-5 7.5.10): the
// auto contingent allegiance that CHECK CONDITION establishes for a command with NACA = 1, and
// QERR. The task set is that of one I_T nexus (TST = 001b), so nothing of this
// touches other nexuses.
//
// While an ACA condition stands, the faulted nexus's other commands are blocked: those that have
// not begun become dormant, and those that are in the store keep their answers back. Of new ones
// a single command at a time with the ACA attribute is taken; all else is answered ACA ACTIVE.
// CLEAR ACA, the end of an ACA command with CHECK CONDITION, or a reset ends the condition.
#pragma once

#include "target/device_server.h"

namespace olio::target {

struct DeviceServer::Aca {
    // A command arrives that has the ACA attribute, or whose nexus has an ACA condition. False: it
    // has been refused.
    static bool admit(Command& command) noexcept;
    // An answer other than GOOD and CONDITION MET is about to be sent.
    static void unsuccessful(Command& command) noexcept;
    // The answer of a watched_ command is about to be sent. True: that has been seen to
    // here: it is kept back, or the command has been aborted.
    static bool keeps_back(Command& command) noexcept;
    // Ends the condition, if there is one, and lets the blocked commands go on.
    static void clear(ITLNexus& itl) noexcept;
    // The command has been aborted, or is no longer the nexus's ACA command for another reason.
    static void forget(Command& command) noexcept;

  private:
    static void establish(Command& command) noexcept;
    static void block_others(Command& faulted) noexcept;
    static void abort_others(Command& faulted);
};

}  // namespace olio::target
