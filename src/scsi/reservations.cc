#include "scsi/reservations.h"

#include <algorithm>
#include <array>

#include "base/assert.h"
#include "scsi/sense_codes.h"

namespace olio::scsi {

namespace {

// What a type restricts, in one row each.
struct TypeRow {
    ReservationType type;
    bool exclusive_access;
    bool registrants_in;
    bool all_registrants;
};
constexpr std::array<TypeRow, 7> type_rows{{
    {ReservationType::none, false, false, false},
    {ReservationType::write_exclusive, false, false, false},
    {ReservationType::exclusive_access, true, false, false},
    {ReservationType::write_exclusive_registrants_only, false, true, false},
    {ReservationType::exclusive_access_registrants_only, true, true, false},
    {ReservationType::write_exclusive_all_registrants, false, true, true},
    {ReservationType::exclusive_access_all_registrants, true, true, true},
}};
constexpr std::array<const TypeRow*, 16> by_type = [] {
    std::array<const TypeRow*, 16> index{};
    for (const TypeRow& row : type_rows)
        index[static_cast<std::size_t>(row.type)] = &row;
    return index;
}();

const TypeRow& row_of(ReservationType type) noexcept {
    const TypeRow* const row = by_type[static_cast<std::size_t>(type) & 15];
    OLIO_ASSERT(row != nullptr, "types from outside are checked by is_reservation_type()");
    return *row;
}

// START STOP UNIT that only starts: START = 1 and POWER CONDITION = 0h.
bool only_starts(Bytes cdb) noexcept {
    return (cdb[4] & 0x01) != 0 && (cdb[4] & 0xF0) == 0;
}

}  // namespace

bool is_reservation_type(std::uint8_t type) noexcept {
    return type != 0 && type < by_type.size() && by_type[type] != nullptr;
}

bool all_registrants(ReservationType type) noexcept {
    return row_of(type).all_registrants;
}

bool lets_registrants_in(ReservationType type) noexcept {
    return row_of(type).registrants_in;
}

bool is_exclusive_access(ReservationType type) noexcept {
    return row_of(type).exclusive_access;
}

const Registration* PersistentReservations::find(const NexusName& nexus) const noexcept {
    auto found = std::ranges::find(registrations, nexus, &Registration::nexus);
    if (found == registrations.end() && any_session)
        found = std::ranges::find_if(
            registrations, [&nexus](const Registration& each) { return each.nexus.covers(nexus); });
    return found == registrations.end() ? nullptr : &*found;
}

const Registration* PersistentReservations::holder() const noexcept {
    const auto found = std::ranges::find(registrations, true, &Registration::holds);
    return found == registrations.end() ? nullptr : &*found;
}

NexusRole role_of(const PersistentReservations& reservations, const NexusName& nexus) noexcept {
    const Registration* const registration = reservations.find(nexus);
    if (registration == nullptr)
        return NexusRole::stranger;
    return reservations.holds(*registration) ? NexusRole::holder : NexusRole::registrant;
}

bool conflicts(const CommandRow& row, Bytes cdb, ReservationType type, NexusRole role) noexcept {
    if (type == ReservationType::none || role == NexusRole::holder ||
        (role == NexusRole::registrant && lets_registrants_in(type)))
        return false;
    switch (row.reservation) {
        case ReservationClass::always_allowed:
        case ReservationClass::allowed_if_persistent:
        case ReservationClass::persistent_reserve:
        case ReservationClass::special:
            return false;
        case ReservationClass::reads:
            return is_exclusive_access(type);
        case ReservationClass::writes:
            return true;
        case ReservationClass::start_stop:
            return !only_starts(cdb);
    }
    return true;
}

bool conflicts_with_reserve(const CommandRow& row, bool own) noexcept {
    switch (row.reservation) {
        case ReservationClass::always_allowed:
        case ReservationClass::special:
            return false;
        case ReservationClass::persistent_reserve:
            return true;
        case ReservationClass::allowed_if_persistent:
        case ReservationClass::reads:
        case ReservationClass::writes:
        case ReservationClass::start_stop:
            return !own;
    }
    return !own;
}

ReserveVerdict judge_reserve_release(const PersistentReservations& reservations,
                                     const NexusName& nexus) noexcept {
    const NexusRole role = role_of(reservations, nexus);
    if (reservations.type != ReservationType::none &&
        (role == NexusRole::holder ||
         (role == NexusRole::registrant && lets_registrants_in(reservations.type))))
        return ReserveVerdict::good_without_effect;
    return reservations.registrations.empty() ? ReserveVerdict::as_in_spc2
                                              : ReserveVerdict::conflict;
}

}  // namespace olio::scsi
