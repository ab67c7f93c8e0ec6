#include "fabric/iscsi/tcp_connection.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/assert.h"

namespace olio::iscsi {

TcpConnection::TcpConnection(reactor::Shard& shard, int socket, Session& session,
                             Connection::Options options, std::string greeting,
                             std::move_only_function<void()> closed)
    : shard_(shard),
      socket_(socket),
      greeting_(std::move(greeting)),
      closed_(std::move(closed)),
      connection_(session, *this, std::move(options), shard.now()) {}

TcpConnection::~TcpConnection() {
    OLIO_ASSERT(socket_ < 0, "a connection is destroyed before its socket was closed");
}

void TcpConnection::start(Bytes already_received) {
    if (!greeting_.empty())
        output_ready();
    connection_.preload(already_received, shard_.now());
    arm_timer();
    receive();
}

void TcpConnection::request_logout(std::uint16_t seconds) {
    connection_.request_logout(seconds, shard_.now());
    arm_timer();
}

void TcpConnection::output_ready() noexcept {
    if (!dropped_ && !send_.in_flight())
        shard_.at_turn_end(flush_);
}

void TcpConnection::input_resumed() noexcept {
    receive();
}

void TcpConnection::renew_receive() noexcept {
    renewing_ = true;
    if (receive_.in_flight())
        shard_.cancel(receive_);
}

void TcpConnection::drop(std::string_view reason) noexcept {
    if (std::exchange(dropped_, true))
        return;
    reason_ = reason;
    shard_.stop(deadline_);
    flush_.withdraw();
    shard_.shutdown(socket_);
    if (receive_.in_flight())
        shard_.cancel(receive_);
    if (send_.in_flight())
        shard_.cancel(send_);
    // Never at once: whoever called may be in the middle of the connection.
    if (!receive_.in_flight() && !send_.in_flight())
        shard_.defer(end_);
}

void TcpConnection::receive() {
    if (dropped_ || receive_.in_flight())
        return;
    const std::size_t count = connection_.receive_window(window_);
    if (count != 0)
        shard_.submit(receive_.receive(socket_, std::span(window_).first(count)));
}

void TcpConnection::receive_done(std::int64_t result) noexcept {
    const bool renewed = std::exchange(renewing_, false);
    if (dropped_) {
        if (!send_.in_flight())
            shard_.defer(end_);
        return;
    }
    if (result > 0 || (renewed && result == -ECANCELED)) {
        connection_.received(result > 0 ? static_cast<std::size_t>(result) : 0, shard_.now());
        receive();
    } else if (result == -EAGAIN || result == -EINTR) {
        connection_.received(0, shard_.now());
        receive();
    } else if (result == 0) {
        connection_.drop("the host closed the connection");
    } else {
        connection_.drop(std::strerror(static_cast<int>(-result)));
    }
}

void TcpConnection::flush() noexcept {
    if (dropped_ || send_.in_flight())
        return;
    if (greeting_sent_ < greeting_.size()) {
        pieces_[0] = {greeting_.data() + greeting_sent_, greeting_.size() - greeting_sent_};
        shard_.submit(send_.send(socket_, std::span(pieces_).first(1)));
        return;
    }
    const std::size_t count = connection_.gather(pieces_);
    if (count != 0)
        shard_.submit(send_.send(socket_, std::span(pieces_).first(count)));
}

void TcpConnection::send_done(std::int64_t result) noexcept {
    if (dropped_) {
        if (!receive_.in_flight())
            shard_.defer(end_);
        return;
    }
    if (result < 0 && result != -EAGAIN && result != -EINTR) {
        connection_.drop(std::strerror(static_cast<int>(-result)));
        return;
    }
    std::size_t count = result > 0 ? static_cast<std::size_t>(result) : 0;
    if (greeting_sent_ < greeting_.size()) {
        greeting_sent_ += count;
        count = 0;
        if (greeting_sent_ == greeting_.size()) {
            greeting_ = {};
            greeting_sent_ = 0;
        }
    }
    connection_.sent(count, shard_.now());
    if (!dropped_)
        shard_.at_turn_end(flush_);
}

void TcpConnection::deadline() noexcept {
    connection_.expired(shard_.now());
    arm_timer();
}

void TcpConnection::arm_timer() noexcept {
    if (dropped_)
        return;
    const std::uint64_t at = connection_.next_deadline();
    const std::uint64_t now = shard_.now();
    if (at != Connection::never)
        shard_.start(deadline_, at > now ? at - now : reactor::nanoseconds_per_ms);
}

void TcpConnection::finish() noexcept {
    if (socket_ < 0)
        return;
    connection_.lost();
    shard_.close(std::exchange(socket_, -1));
    if (closed_)
        std::exchange(closed_, nullptr)();
}

}  // namespace olio::iscsi
