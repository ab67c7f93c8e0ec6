// Takes connections, lets them log in, and finds each session its shard. What is shared by all
// sessions lives on shard 0; a session lives where it was placed, and the two talk by messages.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fabric/iscsi/hosted_session.h"
#include "fabric/iscsi/iscsi_target.h"
#include "fabric/iscsi/login_connection.h"
#include "reactor/reactor.h"

namespace olio::iscsi {

class PortalServer final : public IscsiTarget, public LoginHost, public SessionHost {
  public:
    PortalServer(reactor::Reactor& reactor, target::Engine& engine, IscsiOptions options);
    ~PortalServer() override;

    // IscsiTarget
    Result<void> add_target_node(TargetNodeOptions options) override;
    Result<void> start() override;
    void remove_target_node(const std::string& name,
                            std::move_only_function<void(Result<void>)> done) override;
    Result<void> set_lun_map(const std::string& target_name, std::uint16_t tag,
                             const std::string& initiator_name,
                             std::shared_ptr<const target::LunMap> map) override;
    [[nodiscard]] std::vector<reactor::Endpoint> portals() const override;
    void sessions(std::move_only_function<void(std::vector<SessionStatistics>)> done) override;
    void stop(unsigned drain_seconds, std::move_only_function<void()> done) override;

    // LoginHost, on shard 0
    void admission_wanted(LoginConnection& login) override;
    void login_ended(LoginConnection& login) override;

    // SessionHost
    std::string discovery_targets(std::string_view which, const std::string& initiator,
                                  const reactor::Endpoint& local) override;
    void cold_reset_of(const std::string& target_name) noexcept override;
    void session_fenced(std::uint64_t id) noexcept override;
    void session_drained(std::uint64_t id, unsigned shard) noexcept override;

  private:
    struct Listener;

    // A session as shard 0 knows it.
    struct Entry {
        std::string key;  // empty: discovery
        std::string target_name;
        std::uint16_t tag = 0;
        std::string initiator_name;
        std::uint16_t tsih = 0;
        std::uint16_t cid = 0;
        unsigned shard = 0;
        bool fenced = false;
        LoginConnection* successor = nullptr;  // waits until this one is fenced
    };

    [[nodiscard]] Result<void> listen_on(const std::vector<reactor::Endpoint>& endpoints);
    [[nodiscard]] Result<void> listen(const reactor::Endpoint& at);
    void accepted(Listener& listener, int socket);
    [[nodiscard]] LoginStatus admission_fault(const LoginIdentity& identity,
                                              const std::string& key) const;
    void start_session(LoginConnection& login, std::string key);
    void start_on_shard(SessionStart start, unsigned shard);
    void fenced_on_home(std::uint64_t id);
    void gone_on_home(std::uint64_t id);
    void close_session(std::uint64_t id, const Entry& entry, std::string reason);
    void close_sessions_of(const std::string& target_name, const std::string& reason);
    [[nodiscard]] Entry* find_entry(const std::string& key, std::uint64_t* id = nullptr);
    [[nodiscard]] unsigned least_loaded() const;
    [[nodiscard]] std::uint16_t new_tsih();
    void notify_waiters();
    void log_failure(const LoginConnection& login, LoginStatus status, const std::string& reason);
    [[nodiscard]] std::string key_of(const Login& login, const reactor::Endpoint& portal) const;

    struct Removal {
        std::string target_name;
        std::move_only_function<void(Result<void>)> done;
    };

    reactor::Reactor& reactor_;
    target::Engine& engine_;
    IscsiOptions options_;

    // Shard 0.
    TargetSet targets_;
    std::vector<std::unique_ptr<Listener>> listeners_;
    struct Pending {
        std::unique_ptr<LoginConnection> login;
        Listener* listener = nullptr;
    };
    std::map<LoginConnection*, Pending> logins_;
    std::map<std::uint64_t, Entry> entries_;
    std::vector<std::size_t> load_;  // sessions of each shard
    std::uint64_t last_id_ = 0;
    std::uint16_t last_tsih_ = 0;
    std::uint64_t failures_since_ = 0;  // the second whose failed logins are counted
    unsigned failures_ = 0;
    bool started_ = false;
    bool stopping_ = false;
    std::size_t open_listeners_ = 0;
    std::move_only_function<void()> stopped_;
    std::vector<Removal> removals_;

    // One for each shard, used there alone.
    std::vector<std::map<std::uint64_t, std::unique_ptr<HostedSession>>> hosted_;
};

}  // namespace olio::iscsi
