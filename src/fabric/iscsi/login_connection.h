// One login over TCP, in lockstep: a request is read, its response sent, and then the next is read.
// A login that stalls costs its own memory and nobody's time.
#pragma once

#include <sys/uio.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "fabric/iscsi/login.h"
#include "reactor/operation.h"
#include "reactor/shard.h"

namespace olio::iscsi {

class LoginConnection;

class LoginHost {
  public:
    // The login wants its session. Nothing is in flight: release() may take the socket away.
    virtual void admission_wanted(LoginConnection& login) = 0;
    // It failed or was given up; its socket is closed. Destroy it, but not from inside this call.
    virtual void login_ended(LoginConnection& login) = 0;

  protected:
    ~LoginHost() = default;
};

// What a login leaves to the session.
struct LoginOutcome {
    int socket = -1;
    std::unique_ptr<Login> login;
    std::vector<std::uint8_t> leftover;  // received behind the last request
    reactor::Endpoint local;
    reactor::Endpoint peer;
};

class LoginConnection {
  public:
    LoginConnection(reactor::Shard& shard, int socket, reactor::Endpoint local,
                    reactor::Endpoint peer, std::unique_ptr<Login> login, LoginHost& host);
    ~LoginConnection();
    LoginConnection(const LoginConnection&) = delete;
    LoginConnection& operator=(const LoginConnection&) = delete;

    void start();
    // From admission_wanted() on: the rest is a session's matter.
    [[nodiscard]] LoginOutcome release();
    // From admission_wanted() on: the session refuses.
    void refuse(LoginStatus status);
    // At any time.
    void close();

    [[nodiscard]] Login& login() noexcept { return *login_; }
    [[nodiscard]] const reactor::Endpoint& peer() const noexcept { return peer_; }
    [[nodiscard]] const reactor::Endpoint& local() const noexcept { return local_; }

  private:
    struct Receive final : reactor::Operation {
        explicit Receive(LoginConnection& of) : owner(of) {}
        void on_complete(std::int64_t result) noexcept override { owner.receive_done(result); }
        LoginConnection& owner;
    };
    struct Send final : reactor::Operation {
        explicit Send(LoginConnection& of) : owner(of) {}
        void on_complete(std::int64_t result) noexcept override { owner.send_done(result); }
        LoginConnection& owner;
    };
    struct Deadline final : reactor::Timer {
        explicit Deadline(LoginConnection& of) : owner(of) {}
        void fired() noexcept override { owner.close(); }
        LoginConnection& owner;
    };
    struct End final : reactor::Task {
        explicit End(LoginConnection& of) : owner(of) {}
        void run() noexcept override { owner.finish(); }
        LoginConnection& owner;
    };

    void receive();
    void receive_done(std::int64_t result) noexcept;
    void parse();
    void reply(LoginStep step);
    void send();
    void send_done(std::int64_t result) noexcept;
    void finish();

    reactor::Shard& shard_;
    int socket_;
    reactor::Endpoint local_;
    reactor::Endpoint peer_;
    std::unique_ptr<Login> login_;
    LoginHost& host_;
    bool closing_ = false;
    bool close_after_send_ = false;
    std::vector<std::uint8_t> buffer_;
    std::size_t filled_ = 0;
    std::string output_;
    std::size_t output_sent_ = 0;
    std::array<iovec, 1> piece_{};
    Receive receive_{*this};
    Send send_{*this};
    Deadline deadline_{*this};
    End end_{*this};
};

// The reply of a login as it goes on the wire.
[[nodiscard]] std::string wire_form(const LoginReply& reply);

// Sends some bytes and closes the socket; deletes itself.
void send_and_close(reactor::Shard& shard, int socket, std::string bytes);

}  // namespace olio::iscsi
