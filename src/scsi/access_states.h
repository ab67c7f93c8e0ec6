// Asymmetric logical unit access (SPC-5 5.17): target port groups, their access states, and which
// command passes in which state. Values and pure functions; the engine makes transitions of them
// (target/access_transition.h).
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "scsi/command_table.h"
#include "scsi/referrals.h"
#include "scsi/sense.h"

namespace olio::scsi {

// The ASYMMETRIC ACCESS STATE field. `offline` is the one secondary state: a port's own.
enum class AccessState : std::uint8_t {
    active_optimized = 0x0,
    active_non_optimized = 0x1,
    standby = 0x2,
    unavailable = 0x3,
    lba_dependent = 0x4,
    offline = 0xE,
    transitioning = 0xF,
};
[[nodiscard]] std::string_view name_of(AccessState state) noexcept;
// The state of that name, or of that number ("0", "0x0e").
[[nodiscard]] std::optional<AccessState> access_state_of(std::string_view text) noexcept;

// The STATUS CODE field: what changed the state last.
enum class AccessStatus : std::uint8_t { none = 0, explicitly = 1, implicitly = 2 };

// A state's bit, where REPORT TARGET PORT GROUPS has it: AO_SUP, AN_SUP, S_SUP, U_SUP, LBD_SUP,
// O_SUP, T_SUP. CommandRow::access_states is a mask of them too.
[[nodiscard]] constexpr std::uint8_t bit_of(AccessState state) noexcept {
    switch (state) {
        case AccessState::active_optimized:
        case AccessState::active_non_optimized:
        case AccessState::standby:
        case AccessState::unavailable:
        case AccessState::lba_dependent:
            return static_cast<std::uint8_t>(1U << static_cast<unsigned>(state));
        case AccessState::offline:
            return 0x40;
        case AccessState::transitioning:
            return 0x80;
    }
    return 0;
}
[[nodiscard]] constexpr bool admits(AccessStates mask, AccessState state) noexcept {
    return (static_cast<std::uint8_t>(mask) & bit_of(state)) != 0;
}

// LIO's defaults; the delay of the active/non-optimized state alone is zero here, not 100 ms.
struct TargetPortGroup {
    std::uint16_t id = 0;
    std::string name;  // that of its file: 1 to 63 visible characters without '/', not "." or ".."
    AccessState state = AccessState::active_optimized;
    AccessStatus status = AccessStatus::none;
    std::uint8_t supported_states = 0xCF;  // bit_of(); all but LBA dependent
    bool preferred = false;
    bool implicit_access = true;                   // the administrator may change the state
    bool explicit_access = true;                   // SET TARGET PORT GROUPS may
    std::uint32_t transition_delay_ms = 0;         // 0 … 30 000; how long `transitioning` lasts
    std::uint8_t implicit_transition_seconds = 0;  // reported: how long hosts should wait
    std::uint32_t nonoptimized_delay_ms = 0;       // 0 … 10 000; added to each command there
    // While a transition is under way: where it goes and whence it came.
    std::optional<AccessState> target = std::nullopt;
    AccessState before = AccessState::active_optimized;

    static constexpr std::uint32_t longest_transition_ms = 30'000;
    static constexpr std::uint32_t longest_nonoptimized_ms = 10'000;
    bool operator==(const TargetPortGroup&) const = default;
};

// A target port through which the logical unit is reached.
struct GroupedPort {
    std::uint16_t relative_port = 1;
    std::uint16_t group = 0;
    bool offline = false;
    AccessStatus status = AccessStatus::none;
    bool operator==(const GroupedPort&) const = default;
};

struct AccessStateTable {
    std::vector<TargetPortGroup> groups;  // by id; none: the unit has no asymmetric access (TPGS 0)
    std::vector<GroupedPort> ports;       // by relative port; each in a group that exists
    std::uint16_t logical_unit_group =
        0;  // units of one group change their states together; 0: none
    Referrals referrals;
    // Something is not active/optimized: what a command asks first. settle() keeps it.
    bool restricted = false;
    // A port is active/non-optimized, and its group has a delay. The same.
    bool delays = false;

    [[nodiscard]] TargetPortGroup* group(std::uint16_t id) noexcept;
    [[nodiscard]] const TargetPortGroup* group(std::uint16_t id) const noexcept;
    [[nodiscard]] GroupedPort* port(std::uint16_t relative_port) noexcept;
    [[nodiscard]] const GroupedPort* port(std::uint16_t relative_port) const noexcept;
    // The group of a port; nullptr if the port is in none.
    [[nodiscard]] const TargetPortGroup* group_of(std::uint16_t relative_port) const noexcept;
    // The state that commands through the port meet; active/optimized for a port in no group.
    [[nodiscard]] AccessState state_of(std::uint16_t relative_port) const noexcept;
    // What is added to a command through the port.
    [[nodiscard]] std::uint32_t delay_ms_of(std::uint16_t relative_port) const noexcept;
    [[nodiscard]] bool any_explicit() const noexcept;
    // After every change.
    void settle() noexcept;
    bool operator==(const AccessStateTable&) const = default;
};

// TPGS of the standard INQUIRY data: 0 none, 1 implicit, 2 explicit, 3 both.
[[nodiscard]] std::uint8_t access_change_of(const AccessStateTable& table,
                                            std::uint16_t relative_port) noexcept;

// Whether a command passes: its row's mask, and in the LBA-dependent state the blocks it touches.
// NOT READY with 04/0A transitioning, 04/0B standby, 04/0C unavailable, 04/12 offline.
[[nodiscard]] std::expected<void, SenseData> check_access(const CommandRow& row,
                                                          const DecodedCdb& decoded,
                                                          const AccessStateTable& table,
                                                          std::uint16_t relative_port) noexcept;

// --- Changes of state ---

// One descriptor of SET TARGET PORT GROUPS: a primary state of a group, or (offline) the secondary
// state of a port.
struct AccessChange {
    AccessState state = AccessState::active_optimized;
    std::uint16_t id = 0;  // the group's, or with `secondary` the port's relative identifier
    bool secondary = false;
    bool offline = false;  // with `secondary`: the state it gets
    bool operator==(const AccessChange&) const = default;
};

// The parameter list (SPC-5 6.45) that came in by `relative_port`; the whole list is checked before
// anything changes. Empty: no error, no change. A primary state given to a group brings its ports
// back from offline.
[[nodiscard]] std::expected<std::vector<AccessChange>, SenseData> parse_set_target_port_groups(
    Bytes list, const AccessStateTable& table, std::uint16_t relative_port);

// A transition in three steps: begin, which marks the groups (and, where they support it, puts them
// into the transitioning state); then, when their time has passed and the new state is on stable
// storage, finish; or cancel, which puts everything back.
struct Transition {
    std::vector<AccessChange> changes;  // those that change something
    AccessStatus status = AccessStatus::none;
    std::uint32_t delay_ms = 0;  // the longest of the groups'
};
// Fails with EBUSY while one of the groups is in transition; ENOENT, EINVAL: no such group or port,
// a state that it does not support, or changes of this kind are off. Nothing has changed then.
[[nodiscard]] Result<Transition> begin_transition(AccessStateTable& table,
                                                  std::span<const AccessChange> changes,
                                                  AccessStatus status);
void finish_transition(AccessStateTable& table, const Transition& transition) noexcept;
void cancel_transition(AccessStateTable& table, const Transition& transition) noexcept;

// --- Configuration ---

// EINVAL: bad name, delay or supported states; ENOSPC: too many. A new group has its state; an old
// one keeps the state that it has.
Result<void> put_group(AccessStateTable& table, TargetPortGroup group);
// ENOENT; EBUSY: it has ports, or is in transition.
Result<void> remove_group(AccessStateTable& table, std::uint16_t id);
// Moves the port, or makes it known. ENOENT: no such group.
Result<void> put_port(AccessStateTable& table, std::uint16_t relative_port, std::uint16_t group);
// EINVAL: a group that does not exist; or a group is LBA dependent and there would be no referrals.
Result<void> put_referrals(AccessStateTable& table, Referrals referrals);

// --- LIO's metadata files ---

// <state directory>/alua/tpgs_<unit serial>/<group name>. While a transition is under way, the
// state before it: what has not been answered is not done. A line that LIO has not, preferred=1,
// follows where the PREF bit is set.
[[nodiscard]] std::string group_metadata(const TargetPortGroup& group);
struct GroupMetadata {
    std::uint16_t id = 0;
    AccessState state = AccessState::active_optimized;
    AccessStatus status = AccessStatus::none;
    bool preferred = false;
};
// EINVAL where a field is missing or beyond its range, or the text does not end with a line's end,
// as one that is torn.
[[nodiscard]] Result<GroupMetadata> parse_group_metadata(std::string_view text);

// <state directory>/alua/<fabric>/<target name>+<portal group tag>/lun_<lun>
[[nodiscard]] std::string port_metadata(const GroupedPort& port);
struct PortMetadata {
    bool offline = false;
    AccessStatus status = AccessStatus::none;
};
[[nodiscard]] Result<PortMetadata> parse_port_metadata(std::string_view text);

}  // namespace olio::scsi
