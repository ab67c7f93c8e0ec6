// What an administrator configures: targets, their portal groups, who may come in and what they
// see.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "fabric/iscsi/chap.h"
#include "fabric/iscsi/login.h"
#include "fabric/iscsi/negotiation.h"
#include "reactor/shard.h"
#include "target/lun_map.h"
#include "target/target_port.h"

namespace olio::iscsi {

// Who may come in. Without CHAP credentials nobody is asked to prove a name.
struct AccessOptions {
    std::vector<std::string> initiator_names = {};  // that may log in; empty: any
    std::optional<ChapCredentials> chap = std::nullopt;
    std::optional<ChapCredentials> mutual_chap = std::nullopt;  // how the target proves itself
    std::vector<ChapCredentials> further_chap = {};             // accepted besides `chap`
};
[[nodiscard]] AuthenticationSettings authentication_of(const AccessOptions& access);

// One portal group (RFC 7143 4.4.1); its portals are network endpoints that this process listens
// on.
struct PortalGroupOptions {
    std::uint16_t tag = 1;
    // The relative target port identifier (SPC-5 4.3.4), unique among all targets; 0: the next.
    std::uint16_t relative_port = 0;
    bool enabled = true;
    std::vector<reactor::Endpoint> portals = {};
    AccessOptions access = {};
    // Asked of whoever wants to know the names of the targets behind these portals.
    std::optional<ChapCredentials> discovery_chap = std::nullopt;
    // What an initiator sees: its own map, or else the common one.
    std::shared_ptr<const target::LunMap> luns = nullptr;
    std::map<std::string, std::shared_ptr<const target::LunMap>> luns_of_initiator = {};
    OperationalSettings settings = {};
    std::uint32_t command_window = 128;  // 1 … limits::commands_per_nexus
};

struct TargetNodeOptions {
    std::string name;   // iqn., eui. or naa. name
    std::string alias;  // at most 255 bytes
    std::vector<PortalGroupOptions> portal_groups;
};

// The SCSI port of a portal group (RFC 7143 4.4.2).
[[nodiscard]] scsi::PortDescription port_description(std::string_view target_name,
                                                     std::uint16_t portal_group_tag,
                                                     std::uint16_t relative_port);

// A portal group in use. Immutable but for its LUN maps, which only shard 0 changes and reads.
struct PortalGroup {
    std::string target_name;
    std::string target_alias;
    PortalGroupOptions options;
    std::set<std::string> allowed;
    std::shared_ptr<const AuthenticationSettings> authentication;            // nullptr: none
    std::shared_ptr<const AuthenticationSettings> discovery_authentication;  // nullptr: none
    target::TargetPort port;

    [[nodiscard]] std::shared_ptr<const target::LunMap> luns_for(
        const std::string& initiator) const;
};

// All targets. Used on shard 0 alone.
class TargetSet {
  public:
    // EINVAL: bad name, tag, alias, window or credentials. EEXIST: the name is in use.
    [[nodiscard]] Result<void> add(TargetNodeOptions options);
    [[nodiscard]] Result<void> remove(const std::string& name);

    // For a host that came in by `portal` (as configured, e.g. a wildcard).
    [[nodiscard]] TargetSelection select(const LoginIdentity& identity,
                                         const reactor::Endpoint& portal) const;
    [[nodiscard]] std::shared_ptr<PortalGroup> find(std::string_view target_name,
                                                    const reactor::Endpoint& portal) const;
    [[nodiscard]] std::shared_ptr<PortalGroup> find(std::string_view target_name,
                                                    std::uint16_t tag) const;
    // SendTargets: what `initiator`, who came in at `local`, may see of `which` ("All" or a name).
    [[nodiscard]] std::string send_targets(std::string_view which, const std::string& initiator,
                                           const reactor::Endpoint& local) const;
    [[nodiscard]] std::vector<reactor::Endpoint> portals() const;  // each once

  private:
    std::map<std::string, std::vector<std::shared_ptr<PortalGroup>>, std::less<>> targets_;
    std::uint16_t last_relative_port_ = 0;
};

// TargetName and TargetAddress of one group (RFC 7143 appendix C), as a host at `local` may use
// them.
void add_target_addresses(const PortalGroup& group, const reactor::Endpoint& local,
                          TextBuilder& text);

}  // namespace olio::iscsi
