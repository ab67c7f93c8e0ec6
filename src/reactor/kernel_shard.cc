#include "reactor/kernel_shard.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

namespace olio::reactor {
namespace {

class Descriptor {
  public:
    explicit Descriptor(int fd) noexcept : fd_(fd) {}
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() {
        if (fd_ >= 0)
            ::close(fd_);
    }
    [[nodiscard]] int get() const noexcept { return fd_; }
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }

  private:
    int fd_;
};

Result<int> open_tcp(const Endpoint& endpoint) {
    const int fd =
        ::socket(endpoint.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail_errno(errno, fmt::format("cannot open a socket for {}", endpoint.text()));
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

using NameCall = int (*)(int, sockaddr*, socklen_t*);

Result<Endpoint> endpoint_of(int socket, NameCall call, const char* which) {
    Endpoint endpoint;
    endpoint.length = sizeof endpoint.address;
    if (call(socket, reinterpret_cast<sockaddr*>(&endpoint.address), &endpoint.length) != 0)
        return fail_errno(errno, fmt::format("no {} address of socket {}", which, socket));
    return endpoint;
}

}  // namespace

KernelShard::KernelShard(unsigned index, std::uint64_t seed, std::size_t buffer_limit_bytes,
                         HelperPool& helpers)
    : Shard(index, seed, buffer_limit_bytes), helpers_(helpers) {}

KernelShard::~KernelShard() {
    if (wake_up_ >= 0)
        ::close(wake_up_);
}

Result<void> KernelShard::open_wake_up() {
    wake_up_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (wake_up_ < 0)
        return fail_errno(errno, "cannot open an event descriptor");
    return {};
}

Nanoseconds KernelShard::clock() const noexcept {
    timespec time;
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<Nanoseconds>(time.tv_sec) * nanoseconds_per_second +
           static_cast<Nanoseconds>(time.tv_nsec);
}

void KernelShard::wake() noexcept {
    const int error = errno;  // this may run in a signal handler
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_up_, &one, sizeof one);
    errno = error;
}

void KernelShard::drain_wake_up() noexcept {
    std::uint64_t count;
    [[maybe_unused]] const auto got = ::read(wake_up_, &count, sizeof count);
}

Result<int> KernelShard::listen(const Endpoint& at) {
    auto opened = open_tcp(at);
    if (!opened)
        return opened;
    Descriptor socket(*opened);
    const int on = 1;
    ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (at.address.ss_family == AF_INET6)
        ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&at.address), at.length) != 0)
        return fail_errno(errno, fmt::format("cannot bind to {}", at.text()));
    if (::listen(socket.get(), SOMAXCONN) != 0)
        return fail_errno(errno, fmt::format("cannot listen on {}", at.text()));
    return socket.release();
}

Result<int> KernelShard::open_socket(const Endpoint& peer) {
    return open_tcp(peer);
}

Result<Endpoint> KernelShard::local_endpoint(int socket) {
    return endpoint_of(socket, ::getsockname, "local");
}

Result<Endpoint> KernelShard::peer_endpoint(int socket) {
    return endpoint_of(socket, ::getpeername, "peer");
}

void KernelShard::shutdown(int socket) noexcept {
    ::shutdown(socket, SHUT_RDWR);
}

void KernelShard::close(int descriptor) noexcept {
    ::close(descriptor);
}

}  // namespace olio::reactor
