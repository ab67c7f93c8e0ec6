// A session at home on its shard: its state machines, its socket, and its end.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "fabric/iscsi/login_connection.h"
#include "fabric/iscsi/session.h"
#include "fabric/iscsi/target_node.h"
#include "fabric/iscsi/tcp_connection.h"
#include "target/engine.h"

namespace olio::iscsi {

// The server, as a session calls it from its own shard.
class SessionHost {
  public:
    // A discovery session's (on shard 0).
    virtual std::string discovery_targets(std::string_view which, const std::string& initiator,
                                          const reactor::Endpoint& local) = 0;
    virtual void cold_reset_of(const std::string& target_name) noexcept = 0;
    // Nothing of the session reaches a medium any more.
    virtual void session_fenced(std::uint64_t id) noexcept = 0;
    // It may be destroyed (not from inside this call).
    virtual void session_drained(std::uint64_t id, unsigned shard) noexcept = 0;

  protected:
    ~SessionHost() = default;
};

struct SessionStart {
    std::uint64_t id = 0;
    std::uint16_t tsih = 0;
    LoginOutcome login;
    std::shared_ptr<PortalGroup> group;  // nullptr: discovery
    std::shared_ptr<const target::LunMap> luns;
    ConnectionTimes times;
};

class HostedSession final : public SessionOwner {
  public:
    HostedSession(reactor::Shard& shard, target::Engine& engine, SessionHost& host,
                  SessionStart start);
    ~HostedSession();

    // Establishes the nexus and answers the login. False: the login was refused, the session is not
    // there (and neither session_fenced nor session_drained follows).
    [[nodiscard]] bool begin();
    void close(std::string_view reason) noexcept;
    void request_logout(std::uint16_t seconds);

    [[nodiscard]] Session& session() noexcept { return *session_; }
    [[nodiscard]] const std::shared_ptr<PortalGroup>& group() const noexcept {
        return start_.group;
    }
    [[nodiscard]] const reactor::Endpoint& peer() const noexcept { return peer_; }

    // SessionOwner
    std::string send_targets(const Connection& connection, std::string_view which) override;
    void cold_reset() noexcept override;

  private:
    void connection_closed();

    reactor::Shard& shard_;
    target::Engine& engine_;
    SessionHost& host_;
    SessionStart start_;
    reactor::Endpoint local_;
    reactor::Endpoint peer_;
    std::unique_ptr<Session> session_;
    std::unique_ptr<TcpConnection> connection_;
};

}  // namespace olio::iscsi
