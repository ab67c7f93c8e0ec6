// Carries a Connection over a real TCP socket, for tests and load on targets outside the simulator.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "initiator/connection.h"

namespace olio::initiator {

// "iscsi://[user[%password]@]host[:port][/target[/lun]]"; IPv6 addresses in brackets.
struct Url {
    std::string user;
    std::string password;
    std::string host;
    std::string port = "3260";
    std::string target;
    std::uint32_t lun = 0;

    static Result<Url> parse(std::string_view text);
};

class SocketTransport {
  public:
    // Blocks until connected; the socket is non-blocking afterwards.
    static Result<std::unique_ptr<SocketTransport>> connect(const std::string& host,
                                                            const std::string& port);
    ~SocketTransport();
    SocketTransport(const SocketTransport&) = delete;
    SocketTransport& operator=(const SocketTransport&) = delete;

    [[nodiscard]] int descriptor() const noexcept { return fd_; }

    // Sends what is queued, as far as the socket takes it, then waits (timeout_ms: 0 not at all, -1
    // without end) until something can be received or more be sent, and receives. An error, or the
    // peer's end of the connection, is reported to the Connection as closed(). Answers whether it
    // is still open.
    bool turn(Connection& connection, int timeout_ms);

    // Turns until `done` or the connection's end or the time is over; answers with done().
    bool run_until(Connection& connection, const std::function<bool()>& done, int timeout_ms);

    // Cuts the connection (RST).
    void cut() noexcept;

  private:
    explicit SocketTransport(int fd);
    bool send_queued(Connection& connection);

    int fd_;
    std::vector<std::uint8_t> input_;
};

}  // namespace olio::initiator
