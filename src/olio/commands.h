// The verbs that ask a running daemon.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "olio/exit_status.h"

namespace olio::cli {

// What all of them take.
struct Asking {
    std::string control;  // empty: find it
    bool json = false;
};

[[nodiscard]] ExitStatus show_status(const Asking& asking);
[[nodiscard]] ExitStatus show_sessions(const Asking& asking);
[[nodiscard]] ExitStatus show_luns(const Asking& asking);
[[nodiscard]] ExitStatus show_counters(const Asking& asking, std::uint64_t lun);
// Sets what is given, each NAME=VALUE, and prints it; without any, prints all of them.
[[nodiscard]] ExitStatus show_or_set_attributes(const Asking& asking, std::uint64_t lun,
                                                const std::vector<std::string>& changes);
[[nodiscard]] ExitStatus resize_lun(const Asking& asking, std::uint64_t lun,
                                    const std::string& size, bool shrink);
[[nodiscard]] ExitStatus rescan(const Asking& asking, std::optional<std::uint64_t> lun);
[[nodiscard]] ExitStatus shut_down(const Asking& asking,
                                   std::optional<std::uint64_t> grace_seconds);

// Any method of the daemon with parameters as JSON text (empty: none); prints the result as JSON.
[[nodiscard]] ExitStatus call_method(const Asking& asking, const std::string& method,
                                     const std::string& parameters);
// The daemon's table of methods.
[[nodiscard]] ExitStatus show_methods(const Asking& asking);

}  // namespace olio::cli
