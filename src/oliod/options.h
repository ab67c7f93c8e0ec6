// The daemon's command line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "oliod/access_policy.h"
#include "oliod/disk_spec.h"
#include "oliod/exit_status.h"
#include "reactor/reactor.h"

namespace olio::oliod {

// Whether PDUs carry a CRC32C: as the host likes, always, or never.
enum class DigestPolicy : std::uint8_t { optional, required, off };

struct Options {
    std::vector<DiskSpec> disks;  // LUN 0, 1, 2 …
    std::vector<reactor::Endpoint> listen;
    std::vector<std::uint16_t> portal_groups;  // of each of `listen`: the portal group's tag
    std::string target_name;
    AccessPolicy access;
    DigestPolicy header_digest = DigestPolicy::optional;
    DigestPolicy data_digest = DigestPolicy::optional;
    reactor::Backend reactor = reactor::Backend::automatic;
    unsigned shards = 1;
    std::string control_path;
    bool default_control_path = true;
    std::string state_directory;  // what outlives the daemon besides the disks
    bool default_state_directory = true;
    log::Level log_level = log::Level::info;
    unsigned grace_seconds = 5;  // for hosts to log out at the end
};

// The tags of the portal groups, each once, ascending.
[[nodiscard]] std::vector<std::uint16_t> tags_of(const Options& options);

// Reads the command line and the environment (OLIO_CHAP, OLIO_MUTUAL_CHAP). Prints help, the
// version or what is wrong; then there are no options, but an exit status.
struct ParsedOptions {
    std::optional<Options> options;
    ExitStatus status = ExitStatus::success;
};
[[nodiscard]] ParsedOptions parse_options(int argc, const char* const* argv);

}  // namespace olio::oliod
