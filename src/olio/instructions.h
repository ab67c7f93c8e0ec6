// What a person types on the other side: from the daemon's status to the commands of open-iscsi and
// the URLs of QEMU and libiscsi.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace olio::cli {

struct ServedTarget {
    std::string name;
    std::vector<std::string> portals;  // "127.0.0.1:3260", "[::1]:3260"
    std::string chap_user;             // empty: none
    std::string mutual_chap_user;
    std::vector<std::string> allowed_initiators;
};

// Stands for secrets, which are never printed.
inline constexpr std::string_view secret_placeholder = "SECRET";
inline constexpr std::string_view mutual_secret_placeholder = "MUTUAL_SECRET";

// The portals as a host can reach them: a wildcard becomes the addresses of this machine, loopback
// only where there is no other. `addresses` are bare, IPv6 without brackets.
[[nodiscard]] std::vector<std::string> reachable_portals(const std::vector<std::string>& portals,
                                                         const std::vector<std::string>& addresses);

// This machine's addresses, loopback and link-local ones left out.
[[nodiscard]] std::vector<std::string> machine_addresses();

// Whether every portal is on a loopback address.
[[nodiscard]] bool loopback_only(const std::vector<std::string>& portals);

// Discovery, login (with CHAP: its settings before) and a look at the disks; `target.portals` must
// be reachable ones.
[[nodiscard]] std::vector<std::string> initiator_commands(const ServedTarget& target);

[[nodiscard]] std::string disk_url(const ServedTarget& target, std::uint64_t lun);

}  // namespace olio::cli
