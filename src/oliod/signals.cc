#include "oliod/signals.h"

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <span>
#include <utility>

#include "oliod/exit_status.h"
#include "reactor/operation.h"
#include "reactor/shard.h"

namespace olio::oliod {
namespace {

// What a handler may touch: lock-free atomics and system calls.
std::atomic<int> handler_socket{-1};
std::atomic<int> ends_asked{0};

void on_signal(int signal) {
    const int saved_errno = errno;
    if (signal != SIGHUP && ends_asked.fetch_add(1) == 2)
        ::_exit(static_cast<int>(ExitStatus::at_once));
    const auto byte = static_cast<std::uint8_t>(signal);
    (void)!::send(handler_socket.load(), &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    errno = saved_errno;
}

class SocketSignals final : public Signals {
  public:
    explicit SocketSignals(std::array<int, 2> sockets) : sockets_(sockets) {}
    ~SocketSignals() override {
        for (const int signal : {SIGTERM, SIGINT, SIGHUP})
            std::signal(signal, SIG_DFL);
        handler_socket.store(-1);
        for (const int socket : sockets_)
            ::close(socket);
    }

    void start(reactor::Shard& shard, std::move_only_function<void(int)> heard) override {
        shard_ = &shard;
        heard_ = std::move(heard);
        receive();
    }

    void stop(std::move_only_function<void()> done) override {
        done_ = std::move(done);
        shard_->cancel(receive_);
    }

  private:
    struct Receive final : reactor::Operation {
        explicit Receive(SocketSignals& of) : owner(of) {}
        void on_complete(std::int64_t result) noexcept override { owner.received(result); }
        SocketSignals& owner;
    };

    void receive() {
        vector_ = {bytes_.data(), bytes_.size()};
        shard_->submit(receive_.receive(sockets_[0], {&vector_, 1}));
    }

    void received(std::int64_t result) {
        for (const std::uint8_t byte :
             std::span(bytes_).first(result > 0 ? static_cast<std::size_t>(result) : 0))
            heard_(byte);
        if (done_)
            return std::exchange(done_, nullptr)();
        receive();
    }

    std::array<int, 2> sockets_;
    reactor::Shard* shard_ = nullptr;
    std::move_only_function<void(int)> heard_;
    std::move_only_function<void()> done_;
    Receive receive_{*this};
    std::array<std::uint8_t, 16> bytes_{};
    iovec vector_{};
};

}  // namespace

Result<std::unique_ptr<Signals>> Signals::install() {
    std::array<int, 2> sockets{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets.data()) != 0)
        return fail_errno(errno, "cannot make a socket pair for signals");
    handler_socket.store(sockets[1]);
    ends_asked.store(0);
    auto signals = std::make_unique<SocketSignals>(sockets);
    struct sigaction action{};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    for (const int signal : {SIGTERM, SIGINT, SIGHUP})
        if (::sigaction(signal, &action, nullptr) != 0)
            return fail_errno(errno, "cannot install a signal handler");
    return signals;
}

}  // namespace olio::oliod
