// The command priorities of I_T_L nexuses (SAM-5, command priority; SPC-5, SET PRIORITY and REPORT
// PRIORITY). 1 is the highest, 15 the lowest, 0 none. A command that brings a priority of its own
// has that one; else that of its nexus, which is INITIAL COMMAND PRIORITY of the Control Extension
// mode page until SET PRIORITY gives it another.
#pragma once

#include <cstdint>
#include <expected>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "scsi/reservations.h"
#include "scsi/sense.h"
#include "scsi/types.h"

namespace olio::scsi {

struct LogicalUnitState;
struct Request;

// An I_T nexus that exists.
struct KnownNexus {
    NexusId id = 0;
    NexusName name;
};

// What SET PRIORITY gave to one; it ends with the nexus, or with a logical unit reset.
struct NexusPriority {
    KnownNexus nexus;
    std::uint8_t priority = 0;
};

[[nodiscard]] std::uint8_t priority_of(const LogicalUnitState& state, NexusId nexus) noexcept;
// The nexus is gone. False: it had none.
bool forget_priority(LogicalUnitState& state, NexusId nexus);

// I_T_L NEXUS TO SET.
enum class PriorityScope : std::uint8_t { own = 0, named = 1, all_to_initial = 2 };

struct SetPriority {
    PriorityScope scope = PriorityScope::own;
    std::uint8_t priority = 0;        // 0: back to the initial one
    std::uint16_t relative_port = 0;  // of PriorityScope::named
    TransportId initiator;
};
[[nodiscard]] std::expected<SetPriority, SenseData> parse_set_priority(Bytes cdb, Bytes list);

// Changes the state; `nexuses` are those that exist. Which of them have another priority now.
[[nodiscard]] std::expected<std::vector<NexusId>, SenseData> set_priority(
    LogicalUnitState& state, const SetPriority& wanted, NexusId by,
    std::span<const KnownNexus> nexuses);

// REPORT PRIORITY.
[[nodiscard]] std::expected<void, SenseData> report_priority(const Request& request, Builder& into);

}  // namespace olio::scsi
