// Waiting for what a daemon that was killed has not let go of yet.
#pragma once

#include <functional>
#include <string_view>

namespace olio {

// Calls `attempt` until it is true, for three seconds at most; false if it never was. For what a
// daemon that was killed may still hold: the kernel lets go of its files and sockets only when
// their outstanding io_uring requests have ended, after the process is gone. Logs `problem` once if
// it has to wait. Blocks its thread: for starting only.
[[nodiscard]] bool outwait_former_owner(std::string_view problem,
                                        const std::function<bool()>& attempt);

}  // namespace olio
