#include "fabric/iscsi/login_connection.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "base/limits.h"

namespace olio::iscsi {

namespace {

constexpr std::size_t max_pdu_bytes = bhs_bytes + max_ahs_bytes + login_segment_bytes + 3;

// Sends what it has and closes; alive until then.
class Farewell final : reactor::Operation {
  public:
    Farewell(reactor::Shard& shard, int socket, std::string bytes)
        : shard_(shard), socket_(socket), bytes_(std::move(bytes)) {
        timer_.owner = this;
        shard_.start(timer_, reactor::nanoseconds_per_second * limits::login_timeout_seconds);
        next();
    }

  private:
    struct Deadline final : reactor::Timer {
        void fired() noexcept override { owner->shard_.cancel(*owner); }
        Farewell* owner = nullptr;
    };
    void next() {
        piece_[0] = {bytes_.data() + sent_, bytes_.size() - sent_};
        shard_.submit(Operation::send(socket_, piece_));
    }
    void on_complete(std::int64_t result) noexcept override {
        if (result > 0)
            sent_ += static_cast<std::size_t>(result);
        if (result > 0 && sent_ < bytes_.size()) {
            next();
            return;
        }
        shard_.stop(timer_);
        shard_.close(socket_);
        delete this;
    }

    reactor::Shard& shard_;
    int socket_;
    std::string bytes_;
    std::size_t sent_ = 0;
    std::array<iovec, 1> piece_{};
    Deadline timer_;
};

}  // namespace

std::string wire_form(const LoginReply& reply) {
    std::string bytes(as_text(reply.header));
    bytes += reply.data;
    bytes.append(padding(reply.data.size()), '\0');
    return bytes;
}

void send_and_close(reactor::Shard& shard, int socket, std::string bytes) {
    new Farewell(shard, socket, std::move(bytes));  // deletes itself
}

LoginConnection::LoginConnection(reactor::Shard& shard, int socket, reactor::Endpoint local,
                                 reactor::Endpoint peer, std::unique_ptr<Login> login,
                                 LoginHost& host)
    : shard_(shard),
      socket_(socket),
      local_(local),
      peer_(peer),
      login_(std::move(login)),
      host_(host),
      buffer_(512) {}

LoginConnection::~LoginConnection() {
    OLIO_ASSERT(socket_ < 0, "a login is destroyed before its socket was closed");
}

void LoginConnection::start() {
    shard_.start(deadline_, reactor::nanoseconds_per_second * limits::login_timeout_seconds);
    receive();
}

LoginOutcome LoginConnection::release() {
    OLIO_ASSERT(!receive_.in_flight() && !send_.in_flight(), "a login is released in flight");
    shard_.stop(deadline_);
    buffer_.resize(filled_);
    return {std::exchange(socket_, -1), std::move(login_), std::move(buffer_), local_, peer_};
}

void LoginConnection::refuse(LoginStatus status) {
    if (!closing_)
        reply(login_->admitted(status, 0));
}

void LoginConnection::close() {
    if (std::exchange(closing_, true))
        return;
    shard_.stop(deadline_);
    shard_.shutdown(socket_);
    if (receive_.in_flight())
        shard_.cancel(receive_);
    else if (send_.in_flight())
        shard_.cancel(send_);
    else
        shard_.defer(end_);
}

void LoginConnection::finish() {
    if (socket_ < 0)
        return;
    shard_.close(std::exchange(socket_, -1));
    host_.login_ended(*this);
}

void LoginConnection::receive() {
    if (filled_ == buffer_.size())
        buffer_.resize(std::min(buffer_.size() * 4, max_pdu_bytes));
    piece_[0] = {buffer_.data() + filled_, buffer_.size() - filled_};
    shard_.submit(receive_.receive(socket_, piece_));
}

void LoginConnection::receive_done(std::int64_t result) noexcept {
    if (closing_) {
        finish();
    } else if (result > 0) {
        filled_ += static_cast<std::size_t>(result);
        parse();
    } else if (result == -EAGAIN || result == -EINTR) {
        receive();
    } else {
        close();
    }
}

void LoginConnection::parse() {
    if (filled_ < bhs_bytes) {
        receive();
        return;
    }
    BasicHeader bhs;
    std::copy_n(buffer_.begin(), bhs_bytes, bhs.begin());
    const std::uint32_t length = data_segment_length(bhs);
    if (length > login_segment_bytes) {
        reply(login_->refuse(bhs, LoginStatus::initiator_error,
                             "a login request with a data segment above 8192 bytes"));
        return;
    }
    const std::size_t data_at = bhs_bytes + ahs_length(bhs);
    const std::size_t total = data_at + length + padding(length);
    if (filled_ < total) {
        receive();
        return;
    }
    const LoginStep step = login_->request(bhs, Bytes(buffer_).subspan(data_at, length));
    std::memmove(buffer_.data(), buffer_.data() + total, filled_ - total);
    filled_ -= total;
    if (step == LoginStep::admit)
        host_.admission_wanted(*this);
    else
        reply(step);
}

void LoginConnection::reply(LoginStep step) {
    close_after_send_ = step == LoginStep::reply_and_close;
    output_ = wire_form(login_->reply());
    output_sent_ = 0;
    send();
}

void LoginConnection::send() {
    piece_[0] = {output_.data() + output_sent_, output_.size() - output_sent_};
    shard_.submit(send_.send(socket_, piece_));
}

void LoginConnection::send_done(std::int64_t result) noexcept {
    if (closing_) {
        finish();
        return;
    }
    if (result < 0 && result != -EAGAIN && result != -EINTR) {
        close();
        return;
    }
    output_sent_ += result > 0 ? static_cast<std::size_t>(result) : 0;
    if (output_sent_ < output_.size())
        send();
    else if (close_after_send_)
        close();
    else
        parse();
}

}  // namespace olio::iscsi
