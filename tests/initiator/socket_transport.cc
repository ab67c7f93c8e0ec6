#include "initiator/socket_transport.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>

namespace olio::initiator {
namespace {

constexpr std::size_t input_bytes = 256 << 10;

}  // namespace

Result<Url> Url::parse(std::string_view text) {
    const std::string whole(text);
    const auto bad = [&whole](std::string_view what) {
        return fail(EINVAL,
                    fmt::format("'{}': {}; write iscsi://HOST[:PORT]/TARGET/LUN", whole, what));
    };
    if (!text.starts_with("iscsi://"))
        return bad("no iscsi:// at the start");
    text.remove_prefix(8);
    Url url;
    std::string_view place = text.substr(0, text.find('/'));
    std::string_view rest = place.size() < text.size() ? text.substr(place.size() + 1) : "";
    if (const auto at = place.find('@'); at != std::string_view::npos) {
        const std::string_view account = place.substr(0, at);
        const auto percent = account.find('%');
        url.user = account.substr(0, percent);
        if (percent != std::string_view::npos)
            url.password = account.substr(percent + 1);
        place.remove_prefix(at + 1);
    }
    if (place.starts_with('[')) {
        const auto end = place.find(']');
        if (end == std::string_view::npos)
            return bad("'[' without ']'");
        url.host = place.substr(1, end - 1);
        place.remove_prefix(end + 1);
    } else {
        url.host = place.substr(0, place.find(':'));
        place.remove_prefix(url.host.size());
    }
    if (place.starts_with(':'))
        url.port = place.substr(1);
    if (url.host.empty())
        return bad("no host");
    url.target = rest.substr(0, rest.find('/'));
    rest.remove_prefix(std::min(rest.size(), url.target.size() + 1));
    if (!rest.empty()) {
        const auto end = std::from_chars(rest.data(), rest.data() + rest.size(), url.lun);
        if (end.ec != std::errc{} || end.ptr != rest.data() + rest.size() || url.lun > 16383)
            return bad("the LUN is no number up to 16383");
    }
    return url;
}

SocketTransport::SocketTransport(int fd) : fd_(fd), input_(input_bytes) {}

SocketTransport::~SocketTransport() {
    if (fd_ >= 0)
        ::close(fd_);
}

Result<std::unique_ptr<SocketTransport>> SocketTransport::connect(const std::string& host,
                                                                  const std::string& port) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0)
        return fail(0, fmt::format("{}:{}: {}", host, port, ::gai_strerror(error)));
    int error = 0;
    int fd = -1;
    for (const addrinfo* at = found; at != nullptr && fd < 0; at = at->ai_next) {
        fd = ::socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && ::connect(fd, at->ai_addr, at->ai_addrlen) == 0)
            break;
        error = errno;
        if (fd >= 0)
            ::close(fd);
        fd = -1;
    }
    ::freeaddrinfo(found);
    if (fd < 0)
        return fail_errno(error, fmt::format("connect to {}:{}", host, port));
    const int on = 1;
    (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)::fcntl(fd, F_SETFL, O_NONBLOCK);
    return std::unique_ptr<SocketTransport>(new SocketTransport(fd));
}

bool SocketTransport::send_queued(Connection& connection) {
    while (!connection.output().empty()) {
        const Bytes bytes = connection.output();
        const ssize_t count = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (count < 0)
            return errno == EAGAIN || errno == EINTR;
        connection.sent(static_cast<std::size_t>(count));
    }
    return true;
}

bool SocketTransport::turn(Connection& connection, int timeout_ms) {
    if (fd_ < 0)
        return false;
    bool open = send_queued(connection);
    if (open && timeout_ms != 0) {
        const short events = POLLIN | (connection.output().empty() ? 0 : POLLOUT);
        pollfd waiting{fd_, events, 0};
        open = ::poll(&waiting, 1, timeout_ms) >= 0 || errno == EINTR;
    }
    while (open) {
        const ssize_t count = ::recv(fd_, input_.data(), input_.size(), 0);
        if (count > 0)
            connection.receive(Bytes(input_).first(static_cast<std::size_t>(count)));
        open = count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR));
        if (count < static_cast<ssize_t>(input_.size()))
            break;
    }
    open = open && connection.stage() != Connection::Stage::failed && send_queued(connection);
    if (!open) {
        ::close(fd_);
        fd_ = -1;
        connection.closed();
    }
    return open;
}

bool SocketTransport::run_until(Connection& connection, const std::function<bool()>& done,
                                int timeout_ms) {
    using Clock = std::chrono::steady_clock;
    const auto deadline = Clock::now() + std::chrono::milliseconds(timeout_ms);
    while (!done()) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
        if (left < 0 || !turn(connection, static_cast<int>(std::min<long>(left + 1, 1000))))
            return done();
    }
    return true;
}

void SocketTransport::cut() noexcept {
    if (fd_ < 0)
        return;
    const linger hard{1, 0};
    (void)::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    ::close(fd_);
    fd_ = -1;
}

}  // namespace olio::initiator
