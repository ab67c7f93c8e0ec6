#include "reactor/sim_network.h"

#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/assert.h"

namespace olio::reactor {
namespace {

constexpr std::size_t backlog_most = 128;
constexpr std::size_t segment_most = 16 << 10;
constexpr Nanoseconds connect_retry = nanoseconds_per_second;  // as TCP repeats a lost SYN

void set_port(Endpoint& endpoint, std::uint16_t port) {
    if (endpoint.address.ss_family == AF_INET6)
        reinterpret_cast<sockaddr_in6&>(endpoint.address).sin6_port = htons(port);
    else
        reinterpret_cast<sockaddr_in&>(endpoint.address).sin_port = htons(port);
}

std::pair<std::string, std::string> ordered(const std::string& a, const std::string& b) {
    return a < b ? std::pair(a, b) : std::pair(b, a);
}

bool same_family(const Endpoint& a, const Endpoint& b) {
    return a.address.ss_family == b.address.ss_family;
}

// Whether a connection to `to` reaches a listener at `at`.
bool reaches(const Endpoint& at, const Endpoint& to) {
    return same_family(at, to) && at.port() == to.port() &&
           (at.wildcard() || at.host() == to.host());
}

}  // namespace

SimNetwork::Socket* SimNetwork::find(int socket) {
    const auto at = sockets_.find(socket);
    return at == sockets_.end() ? nullptr : &at->second;
}

SimNetwork::Socket* SimNetwork::listener_for(const Endpoint& to) {
    for (auto& [number, socket] : sockets_)
        if (socket.role == Role::listening && reaches(socket.local, to))
            return &socket;
    return nullptr;
}

bool SimNetwork::in_use(const Endpoint& at) {
    for (const auto& [number, socket] : sockets_)
        if (socket.role == Role::listening && same_family(socket.local, at) &&
            socket.local.port() == at.port() &&
            (socket.local.wildcard() || at.wildcard() || socket.local.host() == at.host()))
            return true;
    return false;
}

bool SimNetwork::held(const Socket& socket) const {
    return socket.frozen || partitions_.contains(ordered(socket.local_host, socket.peer_host));
}

void SimNetwork::cut(int socket) {
    Socket* const one = find(socket);
    if (one == nullptr || one->role != Role::connected)
        return;
    const int other = one->peer;
    reset(*one);
    pump(socket);
    if (Socket* const peer = find(other)) {
        reset(*peer);
        pump(other);
    }
}

void SimNetwork::cut(const Endpoint& endpoint) {
    const auto matches = [&](const Endpoint& end) {
        return same_family(end, endpoint) && end.host() == endpoint.host() &&
               (endpoint.port() == 0 || end.port() == endpoint.port());
    };
    std::vector<int> victims;
    for (const auto& [number, socket] : sockets_)
        if (socket.role == Role::connected &&
            (matches(socket.local) || matches(socket.peer_endpoint)))
            victims.push_back(number);
    for (const int victim : victims)
        cut(victim);
}

void SimNetwork::partition(const std::string& host, const std::string& other_host) {
    partitions_.insert(ordered(host, other_host));
}

void SimNetwork::heal(const std::string& host, const std::string& other_host) {
    partitions_.erase(ordered(host, other_host));
    for (const auto& [number, socket] : sockets_)
        world_.at(world_.now() + latency(), [this, arriving = number] { arrive(arriving); });
}

void SimNetwork::heal_all() {
    partitions_.clear();
    heal({}, {});
}

void SimNetwork::freeze(int socket) {
    if (Socket* const one = find(socket))
        one->frozen = true;
}

void SimNetwork::thaw(int socket) {
    Socket* const one = find(socket);
    if (one == nullptr)
        return;
    one->frozen = false;
    for (const int end : {socket, one->peer})
        world_.at(world_.now() + latency(), [this, end] { arrive(end); });
}

void SimNetwork::set_source(int socket, const Endpoint& source) {
    Socket* const one = find(socket);
    OLIO_ASSERT(one != nullptr && one->role == Role::fresh, "only a fresh socket takes a source");
    one->local = source;
}

Result<int> SimNetwork::listen(const Endpoint& at) {
    Endpoint local = at;
    if (local.port() == 0)
        do
            set_port(local, free_port());
        while (in_use(local));
    else if (in_use(local))
        return fail_errno(EADDRINUSE, fmt::format("cannot bind to {}", at.text()));
    const int number = world_.new_descriptor();
    Socket& socket = sockets_[number];
    socket.role = Role::listening;
    socket.local = local;
    return number;
}

Result<int> SimNetwork::open_socket(const Endpoint& peer) {
    const int number = world_.new_descriptor();
    Socket& socket = sockets_[number];
    socket.peer_endpoint = peer;
    return number;
}

Result<Endpoint> SimNetwork::local_endpoint(int number) {
    const Socket* const socket = find(number);
    if (socket == nullptr)
        return fail_errno(EBADF, fmt::format("no local address of socket {}", number));
    return socket->local;
}

Result<Endpoint> SimNetwork::peer_endpoint(int number) {
    const Socket* const socket = find(number);
    if (socket == nullptr || socket->role != Role::connected)
        return fail_errno(ENOTCONN, fmt::format("no peer address of socket {}", number));
    return socket->peer_endpoint;
}

void SimNetwork::shutdown(int number) {
    Socket* const socket = find(number);
    if (socket == nullptr || socket->shut)
        return;
    socket->shut = true;
    socket->ended = true;
    if (socket->role == Role::connected)
        transmit(*socket, SegmentKind::end, {});
    pump(number);
}

void SimNetwork::close(int number) {
    Socket* const socket = find(number);
    OLIO_ASSERT(socket->in.empty() && socket->out.empty(),
                "a socket is closed with an operation in flight");
    if (socket->role == Role::connected) {
        // Unread bytes make it a reset (RFC 1122 4.2.2.13).
        const bool unread = !socket->received.empty() || socket->arriving_bytes != 0;
        if (unread || !socket->shut)
            transmit(*socket, unread ? SegmentKind::reset : SegmentKind::end, {});
        if (Socket* const peer = find(socket->peer))
            peer->peer = -1;
    }
    const auto backlog = std::move(socket->backlog);
    sockets_.erase(number);
    for (const int waiting : backlog) {
        cut(waiting);
        sockets_.erase(waiting);
    }
}

void SimNetwork::start(Operation& operation) {
    const OperationAccess access{operation};
    Socket& socket = *find(access.fd());
    switch (access.kind()) {
        case OperationKind::connect:
            begin_connect(operation, socket);
            return;
        case OperationKind::accept:
            if (socket.role != Role::listening)
                return world_.finish(operation, -EINVAL);
            break;
        default:
            if (socket.role != Role::connected && socket.error == 0)
                return world_.finish(operation,
                                     access.kind() == OperationKind::send ? -EPIPE : -ENOTCONN);
            break;
    }
    (access.kind() == OperationKind::send ? socket.out : socket.in).push_back(operation);
    pump(access.fd());
}

void SimNetwork::forget(Operation& operation) {
    Socket* const socket = find(OperationAccess{operation}.fd());
    if (socket == nullptr)
        return;
    if (!socket->in.remove(operation))
        socket->out.remove(operation);
}

void SimNetwork::begin_connect(Operation& operation, Socket& socket) {
    const OperationAccess access{operation};
    if (socket.role != Role::fresh)
        return world_.finish(operation, socket.role == Role::connected ? -EISCONN : -EALREADY);
    socket.role = Role::connecting;
    std::memcpy(&socket.peer_endpoint.address, access.address(), access.address_length());
    socket.peer_endpoint.length = access.address_length();
    if (socket.local.length == 0)
        socket.local = socket.peer_endpoint;
    set_port(socket.local, free_port());
    socket.local_host = socket.local.host();
    socket.peer_host = socket.peer_endpoint.host();
    const Nanoseconds give_up = world_.now() + options.connect_timeout;
    world_.at(world_.now() + latency(), [this, client = access.fd(), number = access.cookie(),
                                         give_up] { try_connect(client, number, give_up); });
}

void SimNetwork::try_connect(int client, std::uint64_t number, Nanoseconds give_up) {
    Socket* const socket = find(client);
    Operation* const operation = world_.find(number);
    if (socket == nullptr || operation == nullptr)
        return;
    const auto refuse = [&](int error) {
        socket->role = Role::fresh;
        world_.finish(*operation, -error);
    };
    if (socket->shut)
        return refuse(ECONNRESET);
    Socket* const listener = listener_for(socket->peer_endpoint);
    const bool unheard =
        held(*socket) ||
        (listener != nullptr && (listener->frozen || listener->backlog.size() >= backlog_most));
    if (unheard) {
        if (world_.now() + connect_retry > give_up)
            return refuse(ETIMEDOUT);
        world_.at(world_.now() + connect_retry,
                  [this, client, number, give_up] { try_connect(client, number, give_up); });
        return;
    }
    if (listener == nullptr)
        return refuse(ECONNREFUSED);
    const int server = world_.new_descriptor();
    Socket& other = sockets_[server];
    other.role = socket->role = Role::connected;
    other.local = socket->peer_endpoint;
    other.peer_endpoint = socket->local;
    other.local_host = socket->peer_host;
    other.peer_host = socket->local_host;
    other.peer = client;
    socket->peer = server;
    listener->backlog.push_back(server);
    world_.finish(*operation, 0);
    pump_accept(*listener);
}

// Puts a segment on its way to the other end. They arrive in the order in which they were sent.
void SimNetwork::transmit(Socket& from, SegmentKind kind, std::vector<std::uint8_t> bytes) {
    Socket* const to = find(from.peer);
    if (to == nullptr)
        return;
    to->last_arrival = std::max(to->last_arrival, world_.now() + latency());
    to->arriving_bytes += bytes.size();
    // Behind a reset nothing counts, so a sender that keeps on does not keep the peer from it.
    to->arriving.push_back({to->last_arrival, kind, std::move(bytes)});
    world_.at(to->last_arrival, [this, number = from.peer] { arrive(number); });
}

void SimNetwork::arrive(int number) {
    Socket* const socket = find(number);
    if (socket == nullptr || socket->role != Role::connected || held(*socket))
        return;
    if (const Socket* const peer = find(socket->peer); peer != nullptr && peer->frozen)
        return;
    while (!socket->arriving.empty() && socket->arriving.front().arrives <= world_.now()) {
        Segment segment = std::move(socket->arriving.front());
        socket->arriving.pop_front();
        socket->arriving_bytes -= segment.bytes.size();
        if (segment.kind == SegmentKind::reset) {
            reset(*socket);
            break;
        }
        if (segment.kind == SegmentKind::end)
            socket->ended = true;
        else if (socket->shut)
            transmit(*socket, SegmentKind::reset, {});  // nobody will read this
        else
            socket->received.insert(socket->received.end(), segment.bytes.begin(),
                                    segment.bytes.end());
    }
    pump(number);
    if (socket->peer >= 0)
        pump(socket->peer);  // what was thrown away leaves room
}

void SimNetwork::reset(Socket& socket) {
    socket.error = ECONNRESET;
    socket.ended = true;
    socket.shut = true;
    socket.received.clear();
    socket.arriving.clear();
    socket.arriving_bytes = 0;
    if (Socket* const peer = find(socket.peer))
        peer->peer = -1;
    socket.peer = -1;
}

void SimNetwork::pump(int number) {
    Socket* const socket = find(number);
    if (socket == nullptr)
        return;
    if (socket->role == Role::listening) {
        pump_accept(*socket);
        return;
    }
    pump_receive(*socket);
    pump_send(*socket);
}

void SimNetwork::pump_accept(Socket& socket) {
    while (!socket.in.empty() && (socket.shut || !socket.backlog.empty())) {
        Operation& operation = *socket.in.pop_front();
        if (socket.shut) {
            world_.finish(operation, -EINVAL);
            continue;
        }
        world_.finish(operation, socket.backlog.front());
        socket.backlog.pop_front();
    }
}

void SimNetwork::pump_receive(Socket& socket) {
    bool room_made = false;
    while (!socket.in.empty()) {
        std::int64_t result = 0;
        if (socket.error != 0) {
            result = -std::exchange(socket.error, 0);
        } else if (!socket.received.empty()) {
            const auto iov = OperationAccess{*socket.in.front()}.iov();
            std::size_t room = 0;
            for (const iovec& piece : iov)
                room += piece.iov_len;
            std::size_t count = std::min(room, socket.received.size());
            if (count > 1 && world_.chance(options.short_io_per_mille))
                count = 1 + world_.random().below(count);
            result = static_cast<std::int64_t>(count);
            for (const iovec& piece : iov) {
                const std::size_t part = std::min(count, piece.iov_len);
                const auto end = socket.received.begin() + static_cast<std::ptrdiff_t>(part);
                std::copy(socket.received.begin(), end, static_cast<std::uint8_t*>(piece.iov_base));
                socket.received.erase(socket.received.begin(), end);
                count -= part;
            }
            room_made = true;
        } else if (!socket.ended) {
            break;
        }
        world_.finish(*socket.in.pop_front(), result);
    }
    if (room_made)
        if (Socket* const peer = find(socket.peer))
            pump_send(*peer);
}

void SimNetwork::pump_send(Socket& socket) {
    while (!socket.out.empty()) {
        Operation& operation = *socket.out.front();
        const auto iov = OperationAccess{operation}.iov();
        std::size_t count = 0;
        for (const iovec& piece : iov)
            count += piece.iov_len;
        std::int64_t result = 0;
        if (socket.error != 0) {
            result = -std::exchange(socket.error, 0);
        } else if (socket.shut) {
            result = -EPIPE;
        } else if (Socket* const peer = find(socket.peer)) {
            const std::size_t used = peer->received.size() + peer->arriving_bytes;
            if (used >= options.window_bytes)
                break;
            count = std::min(count, options.window_bytes - used);
            if (count > 1 && world_.chance(options.short_io_per_mille))
                count = 1 + world_.random().below(count);
            send_segments(socket, iov, count);
            result = static_cast<std::int64_t>(count);
        } else {
            // The first send to a closed peer is taken; its answer is a reset.
            const int number = OperationAccess{operation}.fd();
            world_.at(world_.now() + 2 * latency(), [this, number] {
                if (Socket* const late = find(number)) {
                    reset(*late);
                    pump(number);
                }
            });
            result = static_cast<std::int64_t>(count);
        }
        socket.out.pop_front();
        world_.finish(operation, result);
    }
}

void SimNetwork::send_segments(Socket& socket, std::span<iovec> iov, std::size_t length) {
    std::vector<std::uint8_t> bytes;
    bytes.reserve(length);
    for (const iovec& piece : iov) {
        const auto* const from = static_cast<const std::uint8_t*>(piece.iov_base);
        bytes.insert(bytes.end(), from, from + std::min(piece.iov_len, length - bytes.size()));
    }
    for (std::size_t at = 0; at < length;) {
        const std::size_t most = std::min(length - at, segment_most);
        const std::size_t count = world_.chance(500) ? most : 1 + world_.random().below(most);
        transmit(socket, SegmentKind::data,
                 {bytes.begin() + static_cast<std::ptrdiff_t>(at),
                  bytes.begin() + static_cast<std::ptrdiff_t>(at + count)});
        at += count;
    }
}

}  // namespace olio::reactor
