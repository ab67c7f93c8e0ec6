#include <arpa/inet.h>
#include <fmt/format.h>
#include <net/if.h>
#include <netinet/in.h>

#include <cerrno>
#include <charconv>
#include <cstring>

#include "reactor/shard.h"

namespace olio::reactor {
namespace {

const sockaddr_in& ipv4(const sockaddr_storage& address) {
    return reinterpret_cast<const sockaddr_in&>(address);
}
const sockaddr_in6& ipv6(const sockaddr_storage& address) {
    return reinterpret_cast<const sockaddr_in6&>(address);
}

bool parse_port(std::string_view text, std::uint16_t& port) {
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, port);
    return !text.empty() && error == std::errc{} && stop == end;
}

// The zone of a link-local address (RFC 4007 11): an interface by name or number.
bool parse_zone(const std::string& zone, std::uint32_t& scope) {
    const char* const end = zone.data() + zone.size();
    const auto [stop, error] = std::from_chars(zone.data(), end, scope);
    if (error == std::errc{} && stop == end && !zone.empty())
        return true;
    scope = ::if_nametoindex(zone.c_str());
    return scope != 0;
}

}  // namespace

Result<Endpoint> Endpoint::parse(std::string_view text) {
    const auto wrong = [&](const char* why) {
        return fail(EINVAL,
                    fmt::format("'{}' is no address: {}; write ADDRESS:PORT, an IPv6 address "
                                "in brackets",
                                text, why));
    };
    const bool bracketed = text.starts_with('[');
    const std::size_t host_end = bracketed ? text.find(']') : text.rfind(':');
    if (host_end == std::string_view::npos)
        return wrong(bracketed ? "']' is missing" : "the port is missing");
    std::string host(text.substr(bracketed, host_end - bracketed));
    std::string_view rest = text.substr(host_end + bracketed);
    if (!rest.starts_with(':'))
        return wrong("the port is missing");
    std::uint16_t port = 0;
    if (!parse_port(rest.substr(1), port))
        return wrong("the port is no number of 0 to 65535");

    Endpoint endpoint;
    if (!bracketed) {
        if (host.find(':') != std::string::npos)
            return wrong("brackets are missing");
        auto& address = reinterpret_cast<sockaddr_in&>(endpoint.address);
        if (::inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1)
            return wrong("not an IPv4 address (names are not resolved)");
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        endpoint.length = sizeof address;
        return endpoint;
    }
    auto& address = reinterpret_cast<sockaddr_in6&>(endpoint.address);
    if (const std::size_t percent = host.find('%'); percent != std::string::npos) {
        if (!parse_zone(host.substr(percent + 1), address.sin6_scope_id))
            return wrong("there is no such interface");
        host.resize(percent);
    }
    if (::inet_pton(AF_INET6, host.c_str(), &address.sin6_addr) != 1)
        return wrong("not an IPv6 address");
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port);
    endpoint.length = sizeof address;
    return endpoint;
}

std::string Endpoint::host() const {
    char buffer[INET6_ADDRSTRLEN] = "";
    if (address.ss_family == AF_INET) {
        ::inet_ntop(AF_INET, &ipv4(address).sin_addr, buffer, sizeof buffer);
        return buffer;
    }
    if (address.ss_family != AF_INET6)
        return "?";
    ::inet_ntop(AF_INET6, &ipv6(address).sin6_addr, buffer, sizeof buffer);
    const std::uint32_t scope = ipv6(address).sin6_scope_id;
    if (scope == 0)
        return buffer;
    char interface[IF_NAMESIZE];
    if (::if_indextoname(scope, interface) != nullptr)
        return fmt::format("{}%{}", buffer, interface);
    return fmt::format("{}%{}", buffer, scope);
}

std::string Endpoint::text() const {
    if (address.ss_family == AF_INET6)
        return fmt::format("[{}]:{}", host(), port());
    return fmt::format("{}:{}", host(), port());
}

std::uint16_t Endpoint::port() const {
    if (address.ss_family == AF_INET)
        return ntohs(ipv4(address).sin_port);
    return address.ss_family == AF_INET6 ? ntohs(ipv6(address).sin6_port) : 0;
}

bool Endpoint::loopback() const {
    constexpr std::uint8_t network = 127;  // RFC 1122 3.2.1.3
    if (address.ss_family == AF_INET)
        return (ntohl(ipv4(address).sin_addr.s_addr) >> 24) == network;
    if (address.ss_family != AF_INET6)
        return false;
    const in6_addr& host_address = ipv6(address).sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(&host_address) ||
           (IN6_IS_ADDR_V4MAPPED(&host_address) && host_address.s6_addr[12] == network);
}

bool Endpoint::wildcard() const {
    if (address.ss_family == AF_INET)
        return ipv4(address).sin_addr.s_addr == htonl(INADDR_ANY);
    if (address.ss_family != AF_INET6)
        return false;
    return IN6_IS_ADDR_UNSPECIFIED(&ipv6(address).sin6_addr);
}

}  // namespace olio::reactor
