#include "config/control_server.h"

#include <fmt/core.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <list>
#include <utility>

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "config/control_socket.h"
#include "config/json_rpc.h"
#include "reactor/operation.h"
#include "reactor/shard.h"

namespace olio::config {
namespace {

class Server;

// Whether the process at the other end is the daemon's own user or root. The socket's mode says the
// same; this holds even where a file system or a descriptor passed on would not.
bool trusted_peer(int socket) {
    ucred peer{};
    socklen_t length = sizeof peer;
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
        return false;
    return peer.uid == 0 || peer.uid == ::geteuid();
}

// One client. Reads until it has a line, has it answered, sends the answer, and so on: so a client
// that asks a lot and reads nothing costs one answer of memory.
class Connection final : public std::enable_shared_from_this<Connection> {
  public:
    Connection(Server& server, reactor::Shard& shard, int socket, const MethodTable& methods)
        : server_(server), shard_(shard), socket_(socket), methods_(methods) {}
    ~Connection() { shard_.close(socket_); }

    void start() { receive(); }
    // Ends the connection as soon as an answer that is being sent has gone.
    void stop();
    // Sends a last line and closes.
    void refuse(std::string line) {
        closing_ = true;
        send(std::move(line));
    }

  private:
    struct Receive final : reactor::Operation {
        explicit Receive(Connection& owner) : connection(owner) {}
        void on_complete(std::int64_t result) noexcept override { connection.received(result); }
        Connection& connection;
    };
    struct Send final : reactor::Operation {
        explicit Send(Connection& owner) : connection(owner) {}
        void on_complete(std::int64_t result) noexcept override { connection.sent(result); }
        Connection& connection;
    };
    struct Patience final : reactor::Timer {
        explicit Patience(Connection& owner) : connection(owner) {}
        void fired() noexcept override { connection.timed_out(); }
        Connection& connection;
    };

    void receive();
    void received(std::int64_t result);
    void next_message();
    void answered(const std::string& text);
    void send(std::string line);
    void send_rest();
    void sent(std::int64_t result);
    void timed_out();
    void finish();

    Server& server_;
    reactor::Shard& shard_;
    int socket_;
    const MethodTable& methods_;
    Receive receive_{*this};
    Send send_{*this};
    Patience patience_{*this};
    LineFramer framer_;
    std::array<std::uint8_t, 16384> input_{};
    iovec input_vector_{};
    std::string output_;
    std::size_t output_sent_ = 0;
    iovec output_vector_{};
    bool at_end_ = false;   // the client will send no more
    bool closing_ = false;  // nothing more is read or answered
};

class Server final : public ControlServer {
  public:
    explicit Server(ControlSocket socket) : socket_(std::move(socket)) {}
    ~Server() override {
        OLIO_ASSERT(connections_.empty() && !accept_.in_flight(),
                    "a control server is destroyed while it serves");
    }

    const std::string& path() const noexcept override { return socket_.path(); }

    void start(reactor::Shard& shard, const MethodTable& methods) override {
        shard_ = &shard;
        methods_ = &methods;
        accept();
    }

    void stop(std::move_only_function<void()> done) override {
        on_stopped_ = std::move(done);
        stopping_ = true;
        shard_->stop(retry_);
        if (accept_.in_flight())
            shard_->cancel(accept_);
        for (auto at = connections_.begin(); at != connections_.end();) {
            const auto connection = *at++;  // stop() may take it out of the list
            connection->stop();
        }
        // Even with nothing to wait for, `done` comes from the loop.
        shard_->post([this] { check_stopped(); });
    }

    void remove(const std::shared_ptr<Connection>& connection) {
        connections_.remove(connection);
        check_stopped();
    }

  private:
    struct Accept final : reactor::Operation {
        explicit Accept(Server& owner) : server(owner) {}
        void on_complete(std::int64_t result) noexcept override { server.accepted(result); }
        Server& server;
    };
    struct Retry final : reactor::Timer {
        explicit Retry(Server& owner) : server(owner) {}
        void fired() noexcept override { server.accept(); }
        Server& server;
    };

    void accept() { shard_->submit(accept_.accept(socket_.descriptor())); }

    void accepted(std::int64_t result) {
        if (result >= 0)
            admit(static_cast<int>(result));
        if (stopping_)
            return check_stopped();
        if (result >= 0 || result == -ECONNABORTED || result == -EINTR || result == -EAGAIN)
            return accept();
        // No descriptors, no memory: it will pass, and trying at once would only burn the
        // processor.
        log::warning(
            "cannot accept a connection on the control socket '{}': {}; trying again in a "
            "second",
            path(), fail_errno(static_cast<int>(-result), "accept").error().message);
        shard_->start(retry_, reactor::nanoseconds_per_second);
    }

    void admit(int socket) {
        if (stopping_ || !trusted_peer(socket))
            return shard_->close(socket);
        auto connection = std::make_shared<Connection>(*this, *shard_, socket, *methods_);
        connections_.push_back(connection);
        if (connections_.size() > limits::control_connections)
            connection->refuse(error_text(
                RpcError::failed, fmt::format("{} clients are connected to the control socket, "
                                              "which is the limit; close some of them",
                                              limits::control_connections)));
        else
            connection->start();
    }

    void check_stopped() {
        if (stopping_ && connections_.empty() && !accept_.in_flight() && on_stopped_)
            std::exchange(on_stopped_, nullptr)();
    }

    ControlSocket socket_;
    reactor::Shard* shard_ = nullptr;
    const MethodTable* methods_ = nullptr;
    Accept accept_{*this};
    Retry retry_{*this};
    std::list<std::shared_ptr<Connection>> connections_;
    bool stopping_ = false;
    std::move_only_function<void()> on_stopped_;
};

void Connection::receive() {
    if (framer_.partial())
        shard_.start(patience_, limits::control_timeout_seconds * reactor::nanoseconds_per_second);
    input_vector_ = {input_.data(), input_.size()};
    shard_.submit(receive_.receive(socket_, {&input_vector_, 1}));
}

void Connection::received(std::int64_t result) {
    shard_.stop(patience_);
    if (closing_ || result < 0)
        return finish();
    at_end_ = result == 0;
    if (!framer_.add({input_.data(), static_cast<std::size_t>(result)}))
        return refuse(error_text(
            RpcError::invalid_request,
            fmt::format("a message is longer than {} bytes", limits::control_message_bytes)));
    next_message();
}

void Connection::next_message() {
    const auto line = framer_.next(at_end_);
    if (!line)
        return at_end_ ? finish() : receive();
    // The handler may answer when the client and even the server have gone.
    answer_message(methods_, *line, [weak = weak_from_this()](const std::string& text) {
        if (const auto connection = weak.lock())
            connection->answered(text);
    });
}

void Connection::answered(const std::string& text) {
    if (closing_ && text.empty())
        return finish();
    // Always by way of the loop: a line of many notifications must not become a deep recursion.
    if (text.empty())
        return shard_.post([weak = weak_from_this()] {
            if (const auto connection = weak.lock())
                connection->closing_ ? connection->finish() : connection->next_message();
        });
    send(text);
}

void Connection::send(std::string line) {
    output_ = std::move(line);
    output_ += '\n';
    output_sent_ = 0;
    shard_.start(patience_, limits::control_timeout_seconds * reactor::nanoseconds_per_second);
    send_rest();
}

void Connection::send_rest() {
    output_vector_ = {output_.data() + output_sent_, output_.size() - output_sent_};
    shard_.submit(send_.send(socket_, {&output_vector_, 1}));
}

void Connection::sent(std::int64_t result) {
    if (result <= 0) {
        shard_.stop(patience_);
        return finish();
    }
    output_sent_ += static_cast<std::size_t>(result);
    if (output_sent_ < output_.size())
        return send_rest();
    shard_.stop(patience_);
    output_ = {};
    if (closing_)
        finish();
    else
        next_message();
}

void Connection::timed_out() {
    closing_ = true;
    if (receive_.in_flight())
        shard_.cancel(receive_);
    if (send_.in_flight())
        shard_.cancel(send_);
}

void Connection::stop() {
    closing_ = true;
    if (receive_.in_flight())
        return shard_.cancel(receive_);
    // An answer on its way out may go; the patience timer bounds that. One still being made will
    // find the connection gone.
    if (!send_.in_flight())
        finish();
}

void Connection::finish() {
    OLIO_ASSERT(!receive_.in_flight() && !send_.in_flight(),
                "a control connection ends with an operation under way");
    shard_.stop(patience_);
    server_.remove(shared_from_this());
}

}  // namespace

Result<std::unique_ptr<ControlServer>> ControlServer::open(const std::string& path) {
    auto socket = ControlSocket::open(path);
    if (!socket)
        return std::unexpected(std::move(socket.error()));
    return std::make_unique<Server>(std::move(*socket));
}

}  // namespace olio::config
