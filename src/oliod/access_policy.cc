#include "oliod/access_policy.h"

#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <fstream>

#include "reactor/shard.h"

namespace olio::oliod {
namespace {

constexpr unsigned iscsi_port = 3260;  // RFC 7143 14
constexpr std::size_t longest_credential_bytes = 255;
constexpr std::size_t longest_file_bytes = 4096;

bool is_control(char c) {
    return static_cast<unsigned char>(c) < ' ' || c == 0x7F;
}

}  // namespace

Result<Credentials> parse_credentials(std::string_view text, std::string_view source) {
    const std::size_t colon = text.find(':');
    if (colon == std::string_view::npos || colon == 0 || colon + 1 == text.size())
        return fail(EINVAL, fmt::format("{}: CHAP credentials are written USER:SECRET", source));
    Credentials credentials{std::string(text.substr(0, colon)),
                            std::string(text.substr(colon + 1))};
    if (std::ranges::any_of(text, is_control) ||
        credentials.user.size() > longest_credential_bytes ||
        credentials.secret.size() > longest_credential_bytes)
        return fail(EINVAL, fmt::format("{}: a CHAP user and secret have at most {} bytes each and "
                                        "no control characters",
                                        source, longest_credential_bytes));
    return credentials;
}

Result<Credentials> read_credentials(const std::string& path) {
    struct stat found{};
    if (::stat(path.c_str(), &found) != 0)
        return fail_errno(errno, fmt::format("cannot read CHAP credentials from '{}'", path));
    if (!S_ISREG(found.st_mode) || found.st_size > static_cast<off_t>(longest_file_bytes))
        return fail(EINVAL, fmt::format("'{}' is no file of CHAP credentials; it should have one "
                                        "line, USER:SECRET",
                                        path));
    if ((found.st_mode & 0077) != 0)
        return fail(EPERM,
                    fmt::format("'{}' holds a secret but other users may open it; run: chmod "
                                "600 {}",
                                path, path));
    std::ifstream file(path);
    std::string line;
    while (std::getline(file, line)) {
        if (!line.empty() && line.back() == '\r')
            line.pop_back();
        if (!line.empty() && line.front() != '#')
            return parse_credentials(line, path);
    }
    return fail(EINVAL, fmt::format("'{}' has no line USER:SECRET", path));
}

Result<void> check_policy(const AccessPolicy& policy, std::span<const reactor::Endpoint> listen) {
    if (policy.mutual_chap && !policy.chap)
        return fail(EINVAL, "mutual CHAP needs CHAP of the host as well: add --chap");
    if (policy.mutual_chap && policy.mutual_chap->secret == policy.chap->secret)
        return fail(EINVAL,
                    "the secrets of --chap and --mutual-chap must differ: one who knows "
                    "only how to ask could use the answer of the other side");
    const bool restricted = policy.chap || !policy.allowed.empty();
    if (policy.open && restricted)
        return fail(EINVAL,
                    "--open lets everyone in, which contradicts --chap and --allow; leave "
                    "one of them out");
    if (restricted || policy.open)
        return {};
    for (const reactor::Endpoint& endpoint : listen)
        if (!endpoint.loopback())
            return fail(
                EACCES,
                fmt::format("other hosts can reach {}, and nothing says who may log in: add "
                            "--chap-file FILE or --chap USER:SECRET, --allow "
                            "INITIATOR-NAME, or --open to let everyone in",
                            endpoint.text()));
    return {};
}

Result<reactor::Endpoint> parse_portal(std::string_view text) {
    const auto colons = std::ranges::count(text, ':');
    std::string whole(text);
    if (!text.empty() && text.front() != '[' && colons > 1)
        whole = fmt::format("[{}]:{}", text, iscsi_port);
    else if (text.ends_with(']') || colons == 0)
        whole = fmt::format("{}:{}", text, iscsi_port);
    auto endpoint = reactor::Endpoint::parse(whole);
    if (!endpoint)
        return fail(EINVAL,
                    fmt::format("'{}' is no address to listen on; write ADDRESS or "
                                "ADDRESS:PORT, such as 192.0.2.1:3260 or [2001:db8::1]:3260",
                                text));
    return endpoint;
}

Result<ListenSpec> parse_listen(std::string_view text) {
    constexpr std::string_view option = ",group=";
    const std::size_t comma = std::min(text.find(','), text.size());
    auto endpoint = parse_portal(text.substr(0, comma));
    if (!endpoint)
        return std::unexpected(endpoint.error());
    ListenSpec spec{.endpoint = *endpoint};
    const std::string_view rest = text.substr(comma);
    if (rest.empty())
        return spec;
    if (rest.starts_with(option)) {
        const std::string_view tag = rest.substr(option.size());
        const auto [end, error] = std::from_chars(tag.data(), tag.data() + tag.size(), spec.group);
        if (error == std::errc{} && end == tag.data() + tag.size() && spec.group != 0)
            return spec;
    }
    return fail(EINVAL, fmt::format("'{}': behind the address may stand ,group=TAG, the tag of a "
                                    "portal group from 1 to 65535",
                                    text));
}

std::string default_target_name(std::string_view host_name, std::string_view machine_id,
                                unsigned port, long process) {
    std::string host;
    for (const char c : host_name.substr(0, 64)) {
        const char small = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
        const bool plain = (small >= 'a' && small <= 'z') || (small >= '0' && small <= '9') ||
                           small == '-' || small == '.';
        host += plain ? small : '-';
    }
    if (host.empty())
        host = "localhost";
    // FNV-1a, folded to 32 bits: the machine-id itself is not to be shown to others.
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const char c : machine_id)
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    std::string name = fmt::format("iqn.2024-08.internal.olio:{}.{:08x}", host,
                                   static_cast<std::uint32_t>(hash ^ (hash >> 32)));
    if (port == 0)
        name += fmt::format(".p{}", process);
    else if (port != iscsi_port)
        name += fmt::format(".{}", port);
    return name;
}

}  // namespace olio::oliod
