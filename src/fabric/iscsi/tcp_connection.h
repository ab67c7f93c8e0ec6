// Carries the bytes of one connection over TCP on its shard: one receive at a time, straight into
// the connection's window, and one gathered send a turn of the loop.
#pragma once

#include <sys/uio.h>

#include <array>
#include <functional>
#include <string>
#include <string_view>

#include "fabric/iscsi/connection.h"
#include "reactor/operation.h"
#include "reactor/shard.h"

namespace olio::iscsi {

class TcpConnection final : public ConnectionTransport {
  public:
    // Takes the socket over. `closed` is called once, later, when the socket is closed and the
    // connection has let go of everything; it may destroy this object. `greeting` is sent first:
    // the last Login Response.
    TcpConnection(reactor::Shard& shard, int socket, Session& session, Connection::Options options,
                  std::string greeting, std::move_only_function<void()> closed);
    ~TcpConnection();
    TcpConnection(const TcpConnection&) = delete;
    TcpConnection& operator=(const TcpConnection&) = delete;

    // `already_received`: what came behind the last login request.
    void start(Bytes already_received);
    void request_logout(std::uint16_t seconds);
    void close(std::string_view reason) noexcept { connection_.drop(reason); }
    [[nodiscard]] const std::string& close_reason() const noexcept { return reason_; }

    // ConnectionTransport
    void output_ready() noexcept override;
    void input_resumed() noexcept override;
    void renew_receive() noexcept override;
    void drop(std::string_view reason) noexcept override;

  private:
    static constexpr std::size_t gathered_pieces = 192;

    struct Receive final : reactor::Operation {
        explicit Receive(TcpConnection& of) : owner(of) {}
        void on_complete(std::int64_t result) noexcept override { owner.receive_done(result); }
        TcpConnection& owner;
    };
    struct Send final : reactor::Operation {
        explicit Send(TcpConnection& of) : owner(of) {}
        void on_complete(std::int64_t result) noexcept override { owner.send_done(result); }
        TcpConnection& owner;
    };
    struct Flush final : reactor::Task {
        explicit Flush(TcpConnection& of) : owner(of) {}
        void run() noexcept override { owner.flush(); }
        TcpConnection& owner;
    };
    struct End final : reactor::Task {
        explicit End(TcpConnection& of) : owner(of) {}
        void run() noexcept override { owner.finish(); }
        TcpConnection& owner;
    };
    struct Deadline final : reactor::Timer {
        explicit Deadline(TcpConnection& of) : owner(of) {}
        void fired() noexcept override { owner.deadline(); }
        TcpConnection& owner;
    };

    void receive();
    void receive_done(std::int64_t result) noexcept;
    void flush() noexcept;
    void send_done(std::int64_t result) noexcept;
    void deadline() noexcept;
    void arm_timer() noexcept;
    void finish() noexcept;

    reactor::Shard& shard_;
    int socket_;
    bool dropped_ = false;
    bool renewing_ = false;
    std::string reason_;
    std::string greeting_;
    std::size_t greeting_sent_ = 0;
    std::move_only_function<void()> closed_;
    Receive receive_{*this};
    Send send_{*this};
    Flush flush_{*this};
    End end_{*this};
    Deadline deadline_{*this};
    std::array<iovec, 2> window_{};
    std::array<iovec, gathered_pieces> pieces_{};
    Connection connection_;
};

}  // namespace olio::iscsi
