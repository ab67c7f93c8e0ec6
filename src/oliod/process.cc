#include "oliod/process.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "base/limits.h"
#include "base/log.h"
#include "target/command.h"

namespace olio::oliod {

void notify_service_manager(std::string_view state) {
    const char* path = std::getenv("NOTIFY_SOCKET");
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path == nullptr || (path[0] != '/' && path[0] != '@') ||
        std::strlen(path) >= sizeof address.sun_path)
        return;
    std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
    if (address.sun_path[0] == '@')
        address.sun_path[0] = '\0';  // the abstract name space
    const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (socket < 0)
        return;
    if (::sendto(socket, state.data(), state.size(), MSG_NOSIGNAL,
                 reinterpret_cast<const sockaddr*>(&address), length) < 0)
        log::warning("cannot tell the service manager '{}': {}", state, std::strerror(errno));
    ::close(socket);
}

void raise_descriptor_limit() {
    constexpr rlim_t spare = 256;
    constexpr rlim_t wanted = limits::sessions + limits::connections_in_login +
                              limits::logical_units + limits::control_connections + spare;
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        if (::setrlimit(RLIMIT_NOFILE, &limit) != 0)
            ::getrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < wanted)
        log::info(
            "at most {} files and connections can be open (ulimit -Hn); {} would allow as many "
            "sessions and disks as there may be",
            limit.rlim_cur, wanted);
}

unsigned usable_processors() {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    if (::sched_getaffinity(0, sizeof allowed, &allowed) == 0 && CPU_COUNT(&allowed) > 0)
        return static_cast<unsigned>(CPU_COUNT(&allowed));
    const long online = ::sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? static_cast<unsigned>(online) : 1;
}

std::vector<MemoryPart> memory_bound(unsigned shards, std::uint64_t ram_disk_bytes) {
    constexpr std::uint64_t session_bytes = limits::commands_per_nexus * sizeof(target::Command) +
                                            limits::max_recv_data_segment_bytes +
                                            limits::async_output_bytes;
    return {
        {"data buffers", std::uint64_t{shards} * limits::buffer_bytes_per_shard},
        {"sessions", limits::sessions * session_bytes},
        {"logins",
         limits::connections_in_login *
             std::uint64_t{limits::login_text_bytes + limits::max_recv_data_segment_bytes}},
        {"control socket",
         limits::control_connections * std::uint64_t{limits::control_message_bytes}},
        {"RAM disks", ram_disk_bytes},
    };
}

std::uint64_t total_bytes(std::span<const MemoryPart> parts) {
    std::uint64_t total = 0;
    for (const MemoryPart& part : parts)
        total += part.bytes;
    return total;
}

}  // namespace olio::oliod
