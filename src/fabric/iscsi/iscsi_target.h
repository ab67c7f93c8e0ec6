// The iSCSI fabric as the daemon sees it: target nodes with their portal groups, portals, access
// rules and LUNs; sessions to look at; an orderly end. All methods on shard 0 or before the reactor
// runs; callbacks come on shard 0.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "reactor/shard.h"
#include "target/engine.h"

namespace olio::iscsi {

struct ChapCredentials {
    std::string user;
    std::string secret;
};

// Who may log in to a portal group.
struct AccessRules {
    // Empty: every initiator name (demo mode). Otherwise only these.
    std::vector<std::string> initiator_names;
    std::optional<ChapCredentials> chap;         // the host must prove this
    std::optional<ChapCredentials> mutual_chap;  // and the target proves this (needs chap)
};

struct PortalGroupOptions {
    std::uint16_t tag = 1;
    std::vector<reactor::Endpoint> portals;  // port 0: any free one, see IscsiTarget::portals
    AccessRules access;
    std::optional<ChapCredentials> discovery_chap;
    std::shared_ptr<const target::LunMap> luns;
};

struct TargetNodeOptions {
    std::string name;  // iqn., eui. or naa. form; EINVAL otherwise
    std::string alias;
    std::vector<PortalGroupOptions> portal_groups;
};

struct SessionStatistics {
    std::string initiator_name;
    std::string initiator_address;
    std::string target_name;
    std::uint16_t portal_group_tag = 0;
    std::uint16_t tsih = 0;
    unsigned shard = 0;
    bool discovery = false;
    bool header_digest = false;
    bool data_digest = false;
    std::uint64_t commands = 0;
    std::uint64_t read_bytes = 0;
    std::uint64_t write_bytes = 0;
};

class IscsiTarget {
  public:
    static std::unique_ptr<IscsiTarget> create(reactor::Reactor& reactor, target::Engine& engine);
    virtual ~IscsiTarget() = default;  // after stop's done, or if start was never called

    // Checks the whole configuration; listens on nothing yet.
    virtual Result<void> add_target_node(TargetNodeOptions options) = 0;

    // Listens on every portal; the error names the portal that failed (in use, no such address).
    virtual Result<void> start() = 0;
    [[nodiscard]] virtual std::vector<reactor::Endpoint> portals()
        const = 0;  // with their real ports

    virtual void sessions(std::move_only_function<void(std::vector<SessionStatistics>)> done) = 0;

    // Another LUN map for a portal group: sessions report REPORTED LUNS DATA HAS CHANGED.
    virtual Result<void> set_luns(const std::string& target_name, std::uint16_t tag,
                                  std::shared_ptr<const target::LunMap> luns) = 0;

    // Closes the portals, asks hosts to log out (Async Message), and after `grace_seconds` closes
    // what is left. `done` when no session, connection or listener is left.
    virtual void stop(unsigned grace_seconds, std::move_only_function<void()> done) = 0;
};

}  // namespace olio::iscsi
