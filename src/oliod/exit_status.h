// Exit status of the daemon, as oliod(8) lists it.
#pragma once

namespace olio::oliod {

enum class ExitStatus : int {
    success = 0,  // ended in order
    failure = 1,  // could not start
    usage = 2,    // the command line, the environment or a file it names is wrong
    at_once = 3,  // was told twice to end, or something did not end in time
};

}  // namespace olio::oliod
