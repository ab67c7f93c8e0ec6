// Where the control socket lies, as the daemon and the command line both must know it.
#pragma once

#include <string>

#include "base/result.h"

namespace olio {

// The folder of sockets: /run/olio for root; $XDG_RUNTIME_DIR for others; /tmp/olio-UID where that
// is not set.
[[nodiscard]] std::string runtime_directory();

// Makes the folder (mode 0700) if it is missing. EPERM if one is there that others could have made
// or may write to.
[[nodiscard]] Result<void> make_runtime_directory(const std::string& directory);

// Where what outlives the daemon is kept: /var/lib/olio for root; olio in $XDG_STATE_HOME for
// others, or in ~/.local/state, or below runtime_directory() where there is no home either.
[[nodiscard]] std::string default_state_directory();

// The control socket unless told otherwise: olio.sock in runtime_directory().
[[nodiscard]] std::string default_control_path();

// The control socket of the `olio serve` with this process number, in the same folder. Their names
// all begin with serve_socket_prefix.
inline constexpr const char* serve_socket_prefix = "olio-serve-";
[[nodiscard]] std::string serve_control_path(long process);

}  // namespace olio
