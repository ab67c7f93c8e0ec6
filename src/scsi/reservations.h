// Reservations as SPC-5 5.13 has them: who is registered, who holds what, who may do what. Values
// and pure functions; the logical unit's home shard keeps the present value and makes the next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "scsi/command_table.h"
#include "scsi/sense.h"
#include "scsi/transport_id.h"
#include "scsi/types.h"
#include "scsi/unit_attention.h"

namespace olio::scsi {

// SPC-5 6.15.3.4, the TYPE field; none: there is no persistent reservation.
enum class ReservationType : std::uint8_t {
    none = 0x0,
    write_exclusive = 0x1,
    exclusive_access = 0x3,
    write_exclusive_registrants_only = 0x5,
    exclusive_access_registrants_only = 0x6,
    write_exclusive_all_registrants = 0x7,
    exclusive_access_all_registrants = 0x8,
};
[[nodiscard]] bool is_reservation_type(std::uint8_t type) noexcept;
// Every registered I_T nexus holds it.
[[nodiscard]] bool all_registrants(ReservationType type) noexcept;
// Registrants only or all registrants: what registered I_T nexuses do is allowed.
[[nodiscard]] bool lets_registrants_in(ReservationType type) noexcept;
// Others may not even read.
[[nodiscard]] bool is_exclusive_access(ReservationType type) noexcept;

// An I_T nexus by its names, which outlive a session and the daemon (SPC-5 5.13.5.1). NexusId is
// the same thing for as long as a session lasts.
struct NexusName {
    TransportId initiator;
    std::uint16_t relative_port = 0;  // RELATIVE TARGET PORT IDENTIFIER
    std::string port_name;            // SCSI name string of the target port
    bool operator==(const NexusName& other) const {
        return relative_port == other.relative_port && initiator == other.initiator;
    }
    // Whether this is the name of an iSCSI device through the target port, without a session
    // identifier, and `other` a session of it.
    [[nodiscard]] bool covers(const NexusName& other) const {
        return relative_port == other.relative_port && !initiator.names_port() &&
               initiator.covers(other.initiator);
    }
};

struct Registration {
    NexusName nexus;
    std::uint64_t key = 0;
    bool holds = false;  // the one that holds a reservation not of an all registrants type
    bool all_target_ports = false;  // it was made with ALL_TG_PT
    std::uint32_t lun = 0;          // through which it was made; for LIO's file alone
    bool operator==(const Registration&) const = default;
};

// All that a logical unit knows of persistent reservations: an immutable value once it is shared.
struct PersistentReservations {
    std::vector<Registration> registrations;  // in the order in which they were made
    ReservationType type = ReservationType::none;
    std::uint32_t generation = 0;              // PRgeneration; zero after power on
    bool persists_through_power_loss = false;  // APTPL of the last registration
    // A registration that names an iSCSI device without a session identifier is that of each of its
    // sessions (LIO's enforce_pr_isids=0); else it is nobody's.
    bool any_session = false;

    // The one of this nexus; if there is none, with `any_session`, the one that covers it.
    [[nodiscard]] const Registration* find(const NexusName& nexus) const noexcept;
    // Null where there is no reservation and where all registrants hold it.
    [[nodiscard]] const Registration* holder() const noexcept;
    [[nodiscard]] bool holds(const Registration& registration) const noexcept {
        return registration.holds || all_registrants(type);
    }
    bool operator==(const PersistentReservations&) const = default;
};

// What an I_T nexus is to the logical unit.
enum class NexusRole : std::uint8_t { stranger, registrant, holder };
[[nodiscard]] NexusRole role_of(const PersistentReservations& reservations,
                                const NexusName& nexus) noexcept;

// The part of a logical unit's state.
struct Reservations {
    NexusId reserved_by = 0;  // RESERVE of SPC-2
    // Those of `persistent`, here because every command looks at it.
    ReservationType type = ReservationType::none;
    // Grows whenever `persistent` changes; who remembers a role remembers of which version.
    std::uint64_t version = 1;
    std::shared_ptr<const PersistentReservations> persistent =
        std::make_shared<const PersistentReservations>();

    // Nearly always false; then every command is allowed.
    [[nodiscard]] bool in_force() const noexcept {
        return type != ReservationType::none || reserved_by != 0;
    }
    void set(std::shared_ptr<const PersistentReservations> next) noexcept {
        type = next->type;
        persistent = std::move(next);
        ++version;
    }
};

// Whether a command is refused with RESERVATION CONFLICT because of a persistent reservation (SPC-5
// table 65, SBC-4 table 13) that `role` stands in this relation to.
[[nodiscard]] bool conflicts(const CommandRow& row, Bytes cdb, ReservationType type,
                             NexusRole role) noexcept;
// The same for a RESERVE of SPC-2 by another (SPC-2 table 10), or by whomever for PERSISTENT
// RESERVE IN and OUT (SPC-2 5.5.1).
[[nodiscard]] bool conflicts_with_reserve(const CommandRow& row, bool own) noexcept;

// RESERVE and RELEASE of SPC-2 where there are registrations (SPC-5 5.13.3, CRH = 1; SPC-2 5.5.1).
enum class ReserveVerdict : std::uint8_t {
    as_in_spc2,
    good_without_effect,
    conflict,
};
[[nodiscard]] ReserveVerdict judge_reserve_release(const PersistentReservations& reservations,
                                                   const NexusName& nexus) noexcept;

// SPC-5 table 213.
enum class ReserveOutAction : std::uint8_t {
    register_key = 0x0,
    reserve = 0x1,
    release = 0x2,
    clear = 0x3,
    preempt = 0x4,
    preempt_and_abort = 0x5,
    register_and_ignore_existing_key = 0x6,
    register_and_move = 0x7,
    replace_lost_reservation = 0x8,
};

// PERSISTENT RESERVE OUT, decoded; what is wrong only for some who send it is kept for apply().
struct ReserveOut {
    ReserveOutAction action = ReserveOutAction::register_key;
    std::uint8_t scope = 0;
    std::uint8_t type = 0;
    std::uint64_t key = 0;                 // RESERVATION KEY
    std::uint64_t service_action_key = 0;  // SERVICE ACTION RESERVATION KEY
    bool specify_initiator_ports = false;  // SPEC_I_PT
    bool all_target_ports = false;         // ALL_TG_PT
    bool persist = false;                  // APTPL
    bool unregister = false;               // UNREG of REGISTER AND MOVE
    std::uint16_t relative_port = 0;       // of REGISTER AND MOVE
    std::vector<TransportId> initiators;   // of SPEC_I_PT and REGISTER AND MOVE
    std::optional<SenseData> initiators_fault;

    // Whether apply() must know which ports there are.
    [[nodiscard]] bool needs_surroundings() const noexcept;
};
// SPC-5 6.16.3 and 6.16.4. `cdb` is one of PERSISTENT RESERVE OUT, `list` as long as it says.
[[nodiscard]] std::expected<ReserveOut, SenseData> parse_reserve_out(Bytes cdb, Bytes list);

// Ports that the device server knows.
struct ReservationSurroundings {
    std::vector<NexusName> nexuses;  // that exist now
    std::vector<NexusName> ports;    // target ports; the initiator is empty
    bool can_persist = false;        // APTPL = 1 is possible
    std::size_t maximum_registrations = 0;
};

struct ReservationNotice {
    NexusName nexus;
    UnitAttention attention;
    bool operator==(const ReservationNotice&) const = default;
};

struct ReservationChange {
    PersistentReservations next;
    std::vector<ReservationNotice> notices;
    std::vector<NexusName> aborted;  // whose commands PREEMPT AND ABORT aborts
};

struct ReservationRefusal {
    Status status = Status::reservation_conflict;
    SenseData sense;  // with CHECK CONDITION
};

// What PERSISTENT RESERVE OUT from `from` (through `lun`) makes of `now`. All or nothing; `next`
// equals `now` where the command has no effect.
[[nodiscard]] std::expected<ReservationChange, ReservationRefusal> apply(
    const PersistentReservations& now, const ReserveOut& out, const NexusName& from,
    std::uint32_t lun, const ReservationSurroundings& surroundings);

// PERSISTENT RESERVE IN, each service action (SPC-5 6.15).
struct Request;
[[nodiscard]] std::expected<void, SenseData> read_keys(const Request& request, Builder& into);
[[nodiscard]] std::expected<void, SenseData> read_reservation(const Request& request,
                                                              Builder& into);
[[nodiscard]] std::expected<void, SenseData> report_reservation_capabilities(const Request& request,
                                                                             Builder& into);
[[nodiscard]] std::expected<void, SenseData> read_full_status(const Request& request,
                                                              Builder& into);

}  // namespace olio::scsi
