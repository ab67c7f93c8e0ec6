#include "olio/instructions.h"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include "olio/text.h"

namespace olio::cli {
namespace {

struct Portal {
    std::string host;  // IPv6 without brackets
    std::string port;
};

Portal split(const std::string& portal) {
    const std::size_t colon = portal.rfind(':');
    std::string host = portal.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']'))
        host = host.substr(1, host.size() - 2);
    return {host, colon == std::string::npos ? "" : portal.substr(colon + 1)};
}

bool is_ipv6(const std::string& host) {
    return host.find(':') != std::string::npos;
}

std::string join(const Portal& portal) {
    return is_ipv6(portal.host) ? fmt::format("[{}]:{}", portal.host, portal.port)
                                : fmt::format("{}:{}", portal.host, portal.port);
}

// Percent-encoded as a part of a URL.
std::string url_encoded(std::string_view text) {
    std::string encoded;
    for (const char c : text) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                           (c >= '0' && c <= '9') || std::strchr("-._~:", c) != nullptr;
        encoded +=
            plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
    return encoded;
}

std::string text_of(const sockaddr& address) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (address.sa_family == AF_INET)
        ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(address).sin_addr, text.data(),
                    text.size());
    else if (!IN6_IS_ADDR_LINKLOCAL(&reinterpret_cast<const sockaddr_in6&>(address).sin6_addr))
        ::inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr,
                    text.data(), text.size());
    return text.data();
}

}  // namespace

std::vector<std::string> reachable_portals(const std::vector<std::string>& portals,
                                           const std::vector<std::string>& addresses) {
    std::vector<std::string> reachable;
    for (const std::string& text : portals) {
        const Portal portal = split(text);
        if (portal.host != "0.0.0.0" && portal.host != "::") {
            reachable.push_back(text);
            continue;
        }
        const bool ipv6 = is_ipv6(portal.host);
        const std::size_t before = reachable.size();
        for (const std::string& address : addresses)
            if (is_ipv6(address) == ipv6)
                reachable.push_back(join({address, portal.port}));
        if (reachable.size() == before)
            reachable.push_back(join({ipv6 ? "::1" : "127.0.0.1", portal.port}));
    }
    return reachable;
}

std::vector<std::string> machine_addresses() {
    ifaddrs* first = nullptr;
    if (::getifaddrs(&first) != 0)
        return {};
    const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> all(first, &::freeifaddrs);
    std::vector<std::string> addresses;
    for (const ifaddrs* at = first; at != nullptr; at = at->ifa_next) {
        if (at->ifa_addr == nullptr || (at->ifa_flags & IFF_LOOPBACK) != 0 ||
            (at->ifa_flags & IFF_UP) == 0)
            continue;
        if (at->ifa_addr->sa_family != AF_INET && at->ifa_addr->sa_family != AF_INET6)
            continue;
        if (std::string text = text_of(*at->ifa_addr); !text.empty())
            addresses.push_back(std::move(text));
    }
    return addresses;
}

bool loopback_only(const std::vector<std::string>& portals) {
    return std::ranges::all_of(portals, [](const std::string& text) {
        const std::string host = split(text).host;
        return host.starts_with("127.") || host == "::1";
    });
}

std::vector<std::string> initiator_commands(const ServedTarget& target) {
    if (target.portals.empty())
        return {};
    const std::string portal = shell_quoted(target.portals.front());
    const std::string node =
        fmt::format("iscsiadm -m node -T {} -p {}", shell_quoted(target.name), portal);
    std::vector<std::string> lines{
        fmt::format("iscsiadm -m discovery -t sendtargets -p {}", portal)};
    const auto set = [&](std::string_view name, std::string_view value) {
        lines.push_back(fmt::format("{} -o update -n node.session.auth.{} -v {}", node, name,
                                    shell_quoted(value)));
    };
    if (!target.chap_user.empty()) {
        set("authmethod", "CHAP");
        set("username", target.chap_user);
        set("password", secret_placeholder);
    }
    if (!target.mutual_chap_user.empty()) {
        set("username_in", target.mutual_chap_user);
        set("password_in", mutual_secret_placeholder);
    }
    lines.push_back(node + " --login");
    lines.emplace_back("lsblk --scsi -o NAME,SIZE,VENDOR,MODEL,TRAN,SERIAL");
    return lines;
}

std::string disk_url(const ServedTarget& target, std::uint64_t lun) {
    if (target.portals.empty())
        return {};
    std::string user;
    if (!target.chap_user.empty())
        user = fmt::format("{}%{}@", url_encoded(target.chap_user), secret_placeholder);
    std::string url = fmt::format("iscsi://{}{}/{}/{}", user, target.portals.front(),
                                  url_encoded(target.name), lun);
    if (!target.mutual_chap_user.empty())
        url += fmt::format("?target_user={}&target_password={}",
                           url_encoded(target.mutual_chap_user), mutual_secret_placeholder);
    return url;
}

}  // namespace olio::cli
