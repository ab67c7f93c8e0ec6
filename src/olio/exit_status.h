// Exit status of the command line, as olio(1) lists it.
#pragma once

namespace olio::cli {

enum class ExitStatus : int {
    success = 0,
    failure = 1,    // what was asked for failed
    usage = 2,      // the command line is wrong
    no_daemon = 3,  // no daemon answers on the control socket
};

}  // namespace olio::cli
