// The iSCSI fabric as the daemon sees it: targets, the portals they listen on, and their sessions.
//
//   auto iscsi = IscsiTarget::create(reactor, engine, {});
//   (*iscsi)->add_target({.name = "iqn.2026-01.example:disk", .groups = {{.portals = {endpoint},
//                                                                         .luns = map}}});
//   reactor.run();
//
// All methods are called on shard 0, or before the reactor runs; callbacks come on shard 0. Before it
// is destroyed stop() must have called back, or the reactor must have ended.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "fabric/iscsi/connection.h"
#include "fabric/iscsi/session.h"
#include "fabric/iscsi/target_node.h"

namespace olio::reactor {
class Reactor;
}
namespace olio::target {
class Engine;
}

namespace olio::iscsi {

struct IscsiOptions {
    ConnectionTimes times;
    AuthenticationSettings discovery;  // empty: anybody may ask for the targets' names
};

struct SessionInfo {
    std::string initiator_name;
    std::string initiator_alias;
    std::string target_name;  // empty: discovery
    std::uint16_t portal_group_tag = 0;
    std::uint16_t tsih = 0;
    std::string peer;         // "192.0.2.7:40312"
    unsigned shard = 0;
    std::size_t commands_in_flight = 0;
    NegotiatedParameters parameters;
    SessionStatistics statistics;
};

class IscsiTarget {
  public:
    static Result<std::unique_ptr<IscsiTarget>> create(reactor::Reactor& reactor,
                                                       target::Engine& engine,
                                                       IscsiOptions options);
    virtual ~IscsiTarget() = default;

    // Begins to listen on its portals where nobody listens yet. Nothing is changed on an error.
    virtual Result<void> add_target(TargetNodeOptions options) = 0;
    // Ends its sessions; `done` when the last has gone. Listeners stay until stop().
    virtual void remove_target(const std::string& name,
                               std::move_only_function<void(Result<void>)> done) = 0;

    // Another LUN map for one initiator (empty: for all without one of their own), for sessions there
    // are and to come. nullptr takes an initiator's own map away. ENOENT: no such group or target.
    virtual Result<void> set_lun_map(const std::string& target_name, std::uint16_t tag,
                                     const std::string& initiator_name,
                                     std::shared_ptr<const target::LunMap> map) = 0;

    // Where connections are taken, with the ports that were given for port 0.
    [[nodiscard]] virtual std::vector<reactor::Endpoint> listening() const = 0;

    virtual void sessions(std::move_only_function<void(std::vector<SessionInfo>)> done) = 0;

    // Takes no new connections, asks the hosts to log out, ends what is left after `drain_seconds`
    // (0: at once), and calls `done` when every session has gone.
    virtual void stop(std::uint16_t drain_seconds, std::move_only_function<void()> done) = 0;
};

}  // namespace olio::iscsi
