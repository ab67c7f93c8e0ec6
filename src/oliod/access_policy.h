// Who may log in, as the command line says it, and what must be said before other hosts can reach
// us.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "reactor/shard.h"

namespace olio::oliod {

struct Credentials {
    std::string user;
    std::string secret;
};

struct AccessPolicy {
    std::optional<Credentials> chap;         // hosts prove this
    std::optional<Credentials> mutual_chap;  // the target proves this
    std::vector<std::string> allowed;        // initiator names; empty: any
    bool open = false;                       // everyone, and meant so
};

// RFC 7143 9.2.1 wants secrets of at least 96 bits.
inline constexpr std::size_t shortest_good_secret_bytes = 12;

// "USER:SECRET", cut at the first colon. No message ever contains the secret.
[[nodiscard]] Result<Credentials> parse_credentials(std::string_view text, std::string_view source);

// The first line of a file that is neither empty nor a comment (#). Refuses a file that others may
// read, and one of more than 4 KiB.
[[nodiscard]] Result<Credentials> read_credentials(const std::string& path);

// EINVAL where the parts of the policy contradict: mutual CHAP without CHAP, the same secret both
// ways (RFC 7143 9.2.1), --open beside a restriction. EACCES where an address that other hosts can
// reach is listened on and nothing says who may log in.
[[nodiscard]] Result<void> check_policy(const AccessPolicy& policy,
                                        std::span<const reactor::Endpoint> listen);

// "ADDRESS" or "ADDRESS:PORT"; IPv6 in brackets where a port follows. The port is 3260 unless
// given.
[[nodiscard]] Result<reactor::Endpoint> parse_portal(std::string_view text);

// The same, with the portal group that it belongs to: "ADDRESS[:PORT][,group=TAG]".
struct ListenSpec {
    reactor::Endpoint endpoint;
    std::uint16_t group = 1;
};
[[nodiscard]] Result<ListenSpec> parse_listen(std::string_view text);

// A target name that is stable for this machine and portal and belongs to nobody else:
// iqn.2024-08.internal.olio:HOST.HASH, where .internal is the domain that is reserved for private
// use and never delegated, HASH comes from machine-id(5), and a port other than 3260 is added. Port
// 0 (any) adds the process number instead.
[[nodiscard]] std::string default_target_name(std::string_view host_name,
                                              std::string_view machine_id, unsigned port,
                                              long process);

}  // namespace olio::oliod
