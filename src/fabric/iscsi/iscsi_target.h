// The iSCSI fabric as the daemon sees it: targets, the portals they listen on, and their sessions.
//
//   auto iscsi = IscsiTarget::create(reactor, engine);
//   iscsi->add_target_node({.name = "iqn.2026-01.example:disk",
//                           .portal_groups = {{.portals = {endpoint}, .luns = map}}});
//   iscsi->start();
//   reactor.run();
//
// All methods are called on shard 0, or before the reactor runs; callbacks come on shard 0. Before
// it is destroyed stop() must have called back, or the reactor must have ended.
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
};

// A session as it was when it was asked. Bytes are SCSI data, without headers.
struct SessionStatistics {
    std::string initiator_name;
    std::string initiator_alias;
    std::string initiator_address;  // "192.0.2.7:40312"
    std::string target_name;        // empty: discovery
    std::uint16_t portal_group_tag = 0;
    std::uint16_t tsih = 0;
    unsigned shard = 0;
    bool discovery = false;
    bool header_digest = false;
    bool data_digest = false;
    std::size_t commands_in_flight = 0;
    std::uint64_t commands = 0;
    std::uint64_t read_bytes = 0;
    std::uint64_t write_bytes = 0;
    std::uint64_t rejects = 0;
    std::uint64_t digest_errors = 0;
};

class IscsiTarget {
  public:
    [[nodiscard]] static std::unique_ptr<IscsiTarget> create(reactor::Reactor& reactor,
                                                             target::Engine& engine,
                                                             IscsiOptions options = {});
    virtual ~IscsiTarget() = default;

    // After start() it begins to listen on portals where nobody listens yet. Nothing is changed on
    // an error.
    virtual Result<void> add_target_node(TargetNodeOptions options) = 0;
    // Begins to listen.
    virtual Result<void> start() = 0;
    // Ends its sessions; `done` when the last has gone. Listeners stay until stop().
    virtual void remove_target_node(const std::string& name,
                                    std::move_only_function<void(Result<void>)> done) = 0;

    // Another LUN map for one initiator (empty: for all without one of their own), for sessions
    // there are and to come. nullptr takes an initiator's own map away. ENOENT: no such group or
    // target.
    virtual Result<void> set_lun_map(const std::string& target_name, std::uint16_t tag,
                                     const std::string& initiator_name,
                                     std::shared_ptr<const target::LunMap> map) = 0;

    // Where connections are taken, with the ports that were given for port 0.
    [[nodiscard]] virtual std::vector<reactor::Endpoint> portals() const = 0;

    virtual void sessions(std::move_only_function<void(std::vector<SessionStatistics>)> done) = 0;

    // Takes no new connections, asks the hosts to log out, ends what is left after `drain_seconds`
    // (0: at once), and calls `done` when every session has gone.
    virtual void stop(unsigned drain_seconds, std::move_only_function<void()> done) = 0;
};

}  // namespace olio::iscsi
