// PERSISTENT RESERVE IN (SPC-5 6.15).
#include "base/assert.h"
#include "scsi/logical_unit_state.h"
#include "scsi/reservations.h"

namespace olio::scsi {

namespace {

const PersistentReservations& reservations_of(const Request& request) {
    OLIO_ASSERT(request.state != nullptr, "a unit attention policy of `report` needs a unit");
    return *request.state->reservations.persistent;
}

// SCOPE (always LU_SCOPE, 0h) and TYPE.
std::uint8_t scope_and_type(ReservationType type) {
    return static_cast<std::uint8_t>(type);
}

}  // namespace

// SPC-5 6.15.2.
std::expected<void, SenseData> read_keys(const Request& request, Builder& into) {
    const PersistentReservations& all = reservations_of(request);
    into.be32(all.generation);
    into.be32(static_cast<std::uint32_t>(8 * all.registrations.size()));
    for (const Registration& each : all.registrations)
        into.be64(each.key);
    return {};
}

// SPC-5 6.15.3.
std::expected<void, SenseData> read_reservation(const Request& request, Builder& into) {
    constexpr std::uint32_t descriptor_bytes = 16;
    const PersistentReservations& all = reservations_of(request);
    into.be32(all.generation);
    if (all.type == ReservationType::none) {
        into.be32(0);
        return {};
    }
    into.be32(descriptor_bytes);
    const Registration* const holder = all.holder();
    into.be64(holder == nullptr ? 0 : holder->key);  // zero where all registrants hold it
    into.be32(0);
    into.u8(0);
    into.u8(scope_and_type(all.type));
    into.be16(0);
    return {};
}

// SPC-5 6.15.4, tables 207 to 209.
std::expected<void, SenseData> report_reservation_capabilities(const Request& request,
                                                               Builder& into) {
    const bool can_persist = request.state->reservations_can_persist;
    into.be16(8);
    into.u8(static_cast<std::uint8_t>(0x80 |                       // RLR_C
                                      0x10 |                       // CRH
                                      0x08 |                       // SIP_C
                                      0x04 |                       // ATP_C
                                      (can_persist ? 0x01 : 0)));  // PTPL_C
    // TMV; ALLOW COMMANDS 100b: TEST UNIT READY and RECEIVE COPY RESULTS pass every type, MODE
    // SENSE and its kin the write exclusive ones.
    into.u8(static_cast<std::uint8_t>(
        0x80 | 0x40 | (reservations_of(request).persists_through_power_loss ? 1 : 0)));  // PTPL_A
    into.be16(0xEA01);  // all six types
    into.be16(0);
    return {};
}

// SPC-5 6.15.5. One descriptor for each I_T nexus; ALL_TG_PT is not needed then.
std::expected<void, SenseData> read_full_status(const Request& request, Builder& into) {
    const PersistentReservations& all = reservations_of(request);
    into.be32(all.generation);
    const std::size_t length_at = into.size();
    into.be32(0);
    for (const Registration& each : all.registrations) {
        const bool holds = all.holds(each);
        const Bytes initiator = each.nexus.initiator.bytes();
        into.be64(each.key);
        into.be32(0);
        into.u8(holds ? 1 : 0);  // R_HOLDER
        into.u8(holds ? scope_and_type(all.type) : 0);
        into.be32(0);
        into.be16(each.nexus.relative_port);
        into.be32(static_cast<std::uint32_t>(initiator.size()));
        into.bytes(initiator);
    }
    into.patch(length_at, static_cast<std::uint32_t>(into.size() - length_at - 4));
    return {};
}

}  // namespace olio::scsi
