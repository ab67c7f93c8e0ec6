#include "reactor/epoll_shard.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>

namespace olio::reactor {
namespace {

constexpr std::size_t events_per_turn = 256;
constexpr std::size_t sockets_reserved = 1024;
// Stands for "not yet"; no system call of ours yields it.
constexpr std::int64_t would_block = -EAGAIN;

std::int64_t socket_error(int fd) noexcept {
    int error = 0;
    socklen_t length = sizeof error;
    if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0)
        return -errno;
    return -error;
}

}  // namespace

Result<std::unique_ptr<Shard>> EpollShard::create(unsigned index, std::uint64_t seed,
                                                  std::size_t buffer_limit_bytes,
                                                  HelperPool& helpers) {
    std::unique_ptr<EpollShard> shard(new EpollShard(index, seed, buffer_limit_bytes, helpers));
    OLIO_TRY(shard->open_wake_up());
    shard->epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    if (shard->epoll_ < 0)
        return fail_errno(errno, "cannot open an epoll descriptor");
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = shard->wake_up_;
    if (::epoll_ctl(shard->epoll_, EPOLL_CTL_ADD, shard->wake_up_, &event) != 0)
        return fail_errno(errno, "cannot wait for the event descriptor");
    shard->sockets_.resize(sockets_reserved);
    return shard;
}

EpollShard::~EpollShard() {
    if (epoll_ >= 0)
        ::close(epoll_);
}

OperationQueue& EpollShard::queue_of(Operation& operation) {
    const OperationAccess access{operation};
    const auto fd = static_cast<std::size_t>(access.fd());
    if (fd >= sockets_.size())
        sockets_.resize(std::max(fd + 1, sockets_.size() * 2));
    const bool in =
        access.kind() == OperationKind::accept || access.kind() == OperationKind::receive;
    return in ? sockets_[fd].in : sockets_[fd].out;
}

// The system call of a socket operation; `first` is false when it was told to wait before.
std::int64_t EpollShard::attempt(Operation& operation, bool first) noexcept {
    const OperationAccess access{operation};
    for (;;) {
        std::int64_t result = 0;
        switch (access.kind()) {
            case OperationKind::accept:
                result = ::accept4(access.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
                break;
            case OperationKind::connect:
                if (!first)
                    return socket_error(access.fd());
                result = ::connect(access.fd(), access.address(), access.address_length());
                if (result != 0 && (errno == EINPROGRESS || errno == EINTR))
                    return would_block;
                break;
            case OperationKind::receive:
                result = ::recvmsg(access.fd(), &access.message(), MSG_DONTWAIT);
                break;
            default:
                result = ::sendmsg(access.fd(), &access.message(), MSG_DONTWAIT | MSG_NOSIGNAL);
                break;
        }
        if (result >= 0)
            return result;
        if (errno != EINTR)
            return -errno;
    }
}

void EpollShard::start_operation(Operation& operation) noexcept {
    const OperationAccess access{operation};
    if (!access.on_socket()) {
        helpers_.submit(operation);
        return;
    }
    if (access.fd() < 0) {
        finish(operation, -EBADF);
        return;
    }
    OperationQueue& queue = queue_of(operation);
    if (queue.empty()) {
        const std::int64_t result = attempt(operation, true);
        if (result != would_block) {
            finish(operation, result);
            return;
        }
    }
    queue.push_back(operation);
    arm(access.fd());
}

void EpollShard::cancel_operation(Operation& operation) noexcept {
    const OperationAccess access{operation};
    const bool stopped =
        access.on_socket() ? queue_of(operation).remove(operation) : helpers_.withdraw(operation);
    if (stopped)
        finish(operation, -ECANCELED);
}

// One-shot, armed anew for each wait. A socket may have been given to another shard, closed there,
// and its number be used again; only the kernel knows which socket the number means now.
void EpollShard::arm(int fd) noexcept {
    Waiting& waiting = sockets_[static_cast<std::size_t>(fd)];
    epoll_event event{};
    event.data.fd = fd;
    event.events = EPOLLONESHOT;
    if (!waiting.in.empty())
        event.events |= EPOLLIN | EPOLLRDHUP;
    if (!waiting.out.empty())
        event.events |= EPOLLOUT;
    if (::epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event) == 0)
        return;
    if (errno == ENOENT && ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0)
        return;
    fail_all(fd, errno);
}

void EpollShard::fail_all(int fd, int error) noexcept {
    Waiting& waiting = sockets_[static_cast<std::size_t>(fd)];
    for (OperationQueue* queue : {&waiting.in, &waiting.out})
        while (Operation* operation = queue->pop_front())
            finish(*operation, -error);
}

void EpollShard::advance(OperationQueue& queue) noexcept {
    while (Operation* operation = queue.front()) {
        const std::int64_t result = attempt(*operation, false);
        if (result == would_block)
            return;
        queue.pop_front();
        finish(*operation, result);
    }
}

void EpollShard::poll(Nanoseconds until) noexcept {
    int timeout_ms = 0;
    if (until == never) {
        timeout_ms = -1;
    } else if (until != 0) {
        const Nanoseconds time = clock();
        if (until > time)  // up: a timer is never early
            timeout_ms = static_cast<int>(std::min<Nanoseconds>(
                (until - time + nanoseconds_per_ms - 1) / nanoseconds_per_ms, INT_MAX));
    }
    std::array<epoll_event, events_per_turn> events;
    const int count =
        ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), timeout_ms);
    for (int i = 0; i < count; ++i) {
        const epoll_event& event = events[static_cast<std::size_t>(i)];
        const int fd = event.data.fd;
        if (fd == wake_up_) {
            drain_wake_up();
            continue;
        }
        Waiting& waiting = sockets_[static_cast<std::size_t>(fd)];
        const bool broken = (event.events & (EPOLLERR | EPOLLHUP)) != 0;
        if (broken || (event.events & (EPOLLIN | EPOLLRDHUP)) != 0)
            advance(waiting.in);
        if (broken || (event.events & EPOLLOUT) != 0)
            advance(waiting.out);
        if (!waiting.in.empty() || !waiting.out.empty())
            arm(fd);
    }
}

void EpollShard::close(int descriptor) noexcept {
    if (static_cast<std::size_t>(descriptor) < sockets_.size()) {
        const Waiting& waiting = sockets_[static_cast<std::size_t>(descriptor)];
        OLIO_ASSERT(waiting.in.empty() && waiting.out.empty(),
                    "a socket is closed with an operation in flight");
    }
    KernelShard::close(descriptor);
}

}  // namespace olio::reactor
