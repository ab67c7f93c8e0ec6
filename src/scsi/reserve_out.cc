// PERSISTENT RESERVE OUT: its parameter list, and what each service action makes of the present
// registrations and the reservation (SPC-5 5.13.7 to 5.13.11).
#include <algorithm>
#include <array>

#include "scsi/reservations.h"
#include "scsi/sense_codes.h"

namespace olio::scsi {

namespace {

constexpr std::size_t basic_list_bytes = 24;
constexpr std::size_t length_field_bytes = 4;
constexpr std::uint16_t service_action_key_byte = 8;
constexpr std::uint16_t move_flags_byte = 17;
constexpr std::uint16_t relative_port_byte = 18;
constexpr std::uint16_t flags_byte = 20;
constexpr std::uint16_t move_transport_id_byte = 24;
constexpr std::uint16_t transport_ids_byte = 28;
constexpr std::uint8_t lu_scope = 0;

using Refused = std::unexpected<ReservationRefusal>;

Refused conflict() {
    return Refused(ReservationRefusal{Status::reservation_conflict, {}});
}
Refused refused(const SenseData& sense) {
    return Refused(ReservationRefusal{Status::check_condition, sense});
}
Refused refused(Condition condition) {
    return refused(make_sense(condition));
}

void parse_initiators(ReserveOut& out, Bytes ids, std::uint16_t at) {
    while (!ids.empty()) {
        auto parsed = TransportId::parse(ids);
        if (!parsed) {
            out.initiators_fault = invalid_field_in_parameter_list(at);
            return;
        }
        out.initiators.push_back(std::move(parsed->id));
        ids = ids.subspan(parsed->length_bytes);
        at = static_cast<std::uint16_t>(at + parsed->length_bytes);
    }
}

std::expected<ReserveOut, SenseData> parse_move(ReserveOut out, Bytes list) {
    if (list.size() < basic_list_bytes)
        return std::unexpected(make_sense(sense::parameter_list_length_error));
    out.unregister = (list[move_flags_byte] & 2) != 0;
    out.persist = (list[move_flags_byte] & 1) != 0;
    out.relative_port = load_be<std::uint16_t>(list.data() + relative_port_byte);
    const auto length = load_be<std::uint32_t>(list.data() + flags_byte);
    if (length > list.size() - basic_list_bytes)
        return std::unexpected(make_sense(sense::parameter_list_length_error));
    parse_initiators(out, list.subspan(basic_list_bytes, length), move_transport_id_byte);
    if (!out.initiators_fault && out.initiators.size() != 1)
        out.initiators_fault = invalid_field_in_parameter_list(flags_byte);
    return out;
}

// One PERSISTENT RESERVE OUT at work: `next` begins as a copy of what is.
class Work {
  public:
    Work(const PersistentReservations& now, const ReserveOut& out, const NexusName& from,
         std::uint32_t lun, const ReservationSurroundings& surroundings)
        : now_(now), out_(out), from_(from), lun_(lun), surroundings_(surroundings) {
        change_.next = now;
    }

    using Outcome = std::expected<ReservationChange, ReservationRefusal>;
    Outcome run();

  private:
    using Maybe = std::expected<void, ReservationRefusal>;

    Outcome done(bool counts) {
        if (counts)
            ++change_.next.generation;
        return std::move(change_);
    }
    Outcome register_key();
    Outcome register_nexuses();
    Outcome reserve();
    Outcome release();
    Outcome clear();
    Outcome preempt();
    Outcome preempt_reservation();
    Outcome remove_registrations();
    Outcome move();
    Outcome replace_lost();
    [[nodiscard]] bool aborts() const { return out_.action == ReserveOutAction::preempt_and_abort; }

    Maybe check_scope_and_type() const;
    Maybe process_persist(std::uint16_t byte, std::uint8_t bit);
    Maybe collect_initiators(std::vector<TransportId>& into) const;
    [[nodiscard]] std::vector<NexusName> target_ports() const;
    Maybe enroll(const NexusName& nexus);
    void withdraw(const NexusName& nexus);
    void release_reservation();
    void tell(const NexusName& nexus, UnitAttention attention);
    void tell_others(UnitAttention attention);

    const PersistentReservations& now_;
    const ReserveOut& out_;
    const NexusName& from_;
    std::uint32_t lun_;
    const ReservationSurroundings& surroundings_;
    ReservationChange change_;
};

void Work::tell(const NexusName& nexus, UnitAttention attention) {
    if (!(nexus == from_))
        change_.notices.push_back({nexus, attention});
}

// To all that are registered then, save the one that asks.
void Work::tell_others(UnitAttention attention) {
    for (const Registration& each : change_.next.registrations)
        tell(each.nexus, attention);
}

void Work::release_reservation() {
    change_.next.type = ReservationType::none;
    for (Registration& each : change_.next.registrations)
        each.holds = false;
}

// SPC-5 5.13.11.2.3, table 71.
void Work::withdraw(const NexusName& nexus) {
    PersistentReservations& next = change_.next;
    const auto found = std::ranges::find(next.registrations, nexus, &Registration::nexus);
    if (found == next.registrations.end())
        return;
    const bool held = found->holds;
    next.registrations.erase(found);
    const ReservationType type = next.type;
    if (held || next.registrations.empty())
        release_reservation();
    if (held && type != ReservationType::none && lets_registrants_in(type))
        tell_others(UnitAttention::reservations_released);
}

Work::Maybe Work::check_scope_and_type() const {
    if (out_.scope != lu_scope)
        return refused(invalid_field_in_cdb(2, 7));
    if (!is_reservation_type(out_.type))
        return refused(invalid_field_in_cdb(2, 3));
    return {};
}

Work::Maybe Work::process_persist(std::uint16_t byte, std::uint8_t bit) {
    if (out_.persist && !surroundings_.can_persist)
        return refused(invalid_field_in_parameter_list(byte, bit));
    change_.next.persists_through_power_loss = out_.persist;
    return {};
}

// --- REGISTER (SPC-5 tables 67, 68 and 69) ---

// The initiator ports to register besides the one that asks.
Work::Maybe Work::collect_initiators(std::vector<TransportId>& into) const {
    if (!out_.specify_initiator_ports)
        return {};
    if (out_.initiators_fault)
        return refused(*out_.initiators_fault);
    for (const TransportId& named : out_.initiators) {
        std::vector<TransportId> ports;
        if (named.names_port() || now_.any_session) {
            ports.push_back(named);
        } else {  // SPC-5 7.6.4.6: all initiator ports that are known with this node name
            for (const NexusName& nexus : surroundings_.nexuses)
                if (named.covers(nexus.initiator))
                    ports.push_back(nexus.initiator);
            if (ports.empty())  // to say GOOD would be to say that something was registered
                return refused(invalid_field_in_parameter_list(transport_ids_byte));
        }
        for (TransportId& port : ports)
            if (std::ranges::find(into, port) == into.end())
                into.push_back(std::move(port));
    }
    return {};
}

std::vector<NexusName> Work::target_ports() const {
    if (!out_.all_target_ports)
        return {from_};
    std::vector<NexusName> ports{from_};
    for (const NexusName& port : surroundings_.ports)
        if (std::ranges::find(ports, port.relative_port, &NexusName::relative_port) == ports.end())
            ports.push_back(port);
    return ports;
}

// Registers, or gives another key to what is registered. The reservation stays as it is.
Work::Maybe Work::enroll(const NexusName& nexus) {
    auto& registrations = change_.next.registrations;
    const auto found = std::ranges::find(registrations, nexus, &Registration::nexus);
    if (found != registrations.end()) {
        found->key = out_.service_action_key;
        found->all_target_ports = out_.all_target_ports;
        return {};
    }
    if (registrations.size() >= surroundings_.maximum_registrations)
        return refused(sense::insufficient_registration_resources);
    registrations.push_back({nexus, out_.service_action_key, false, out_.all_target_ports, lun_});
    return {};
}

Work::Outcome Work::register_nexuses() {
    std::vector<TransportId> initiators;
    if (auto collected = collect_initiators(initiators); !collected)
        return std::unexpected(collected.error());
    for (const NexusName& port : target_ports()) {
        NexusName nexus = port;
        nexus.initiator = from_.initiator;
        // As if it had come through each port (SPC-5 6.16.3): the key must be right on each, and
        // zero unregisters there too.
        const Registration* const there = now_.find(nexus);
        if (there != nullptr)
            nexus = there->nexus;
        if (there != nullptr && out_.action == ReserveOutAction::register_key &&
            there->key != out_.key)
            return conflict();
        if (out_.service_action_key == 0) {
            withdraw(nexus);
            continue;
        }
        if (auto enrolled = enroll(nexus); !enrolled)
            return std::unexpected(enrolled.error());
        for (const TransportId& initiator : initiators) {
            nexus.initiator = initiator;
            if (initiator == from_.initiator)
                continue;
            if (now_.find(nexus) != nullptr)  // table 67, note b
                return refused(invalid_field_in_parameter_list(transport_ids_byte));
            if (auto enrolled = enroll(nexus); !enrolled)
                return std::unexpected(enrolled.error());
        }
    }
    return done(true);
}

Work::Outcome Work::register_key() {
    const Registration* const own = now_.find(from_);
    if (out_.action == ReserveOutAction::register_key) {
        const std::uint64_t expected = own == nullptr ? 0 : own->key;
        if (out_.key != expected)
            return conflict();
        if (own != nullptr && out_.specify_initiator_ports)  // table 67, note c
            return refused(invalid_field_in_parameter_list(flags_byte, 3));
    }
    if (own == nullptr && out_.service_action_key == 0)
        return done(false);  // "do nothing except return GOOD status"
    if (auto persisted = process_persist(flags_byte, 0); !persisted)
        return std::unexpected(persisted.error());
    return register_nexuses();
}

// --- RESERVE and RELEASE (SPC-5 5.13.9, 5.13.11.2.2) ---

Work::Outcome Work::reserve() {
    if (auto checked = check_scope_and_type(); !checked)
        return std::unexpected(checked.error());
    const auto type = static_cast<ReservationType>(out_.type);
    if (now_.type != ReservationType::none) {
        if (role_of(now_, from_) != NexusRole::holder || now_.type != type)
            return conflict();
        return done(false);
    }
    change_.next.type = type;
    if (!all_registrants(type))
        std::ranges::find(change_.next.registrations, from_, &Registration::nexus)->holds = true;
    return done(false);
}

Work::Outcome Work::release() {
    if (now_.type == ReservationType::none || role_of(now_, from_) != NexusRole::holder)
        return done(false);
    if (out_.scope != lu_scope || out_.type != static_cast<std::uint8_t>(now_.type))
        return refused(sense::invalid_release_of_persistent_reservation);
    release_reservation();
    if (lets_registrants_in(now_.type))
        tell_others(UnitAttention::reservations_released);
    return done(false);
}

Work::Outcome Work::clear() {
    tell_others(UnitAttention::reservations_preempted);
    change_.next.registrations.clear();
    change_.next.type = ReservationType::none;
    return done(true);
}

// --- PREEMPT (SPC-5 5.13.11.2.4 to 5.13.11.2.6, table 72) ---

Work::Outcome Work::preempt() {
    const std::uint64_t victim = out_.service_action_key;
    if (now_.type != ReservationType::none) {
        if (all_registrants(now_.type)) {
            if (victim == 0)
                return preempt_reservation();
        } else if (victim != 0 && now_.holder()->key == victim) {
            return preempt_reservation();
        }
    }
    if (victim == 0)
        return refused(invalid_field_in_parameter_list(service_action_key_byte));
    return remove_registrations();
}

Work::Outcome Work::preempt_reservation() {
    if (auto checked = check_scope_and_type(); !checked)
        return std::unexpected(checked.error());
    const std::uint64_t victim = out_.service_action_key;  // 0: all
    const auto type = static_cast<ReservationType>(out_.type);
    std::vector<Registration> stay;
    for (Registration& each : change_.next.registrations) {
        const bool named = victim == 0 || each.key == victim;
        const bool own = each.nexus == from_;
        if (aborts() && named)
            change_.aborted.push_back(each.nexus);
        if (named && !own) {
            tell(each.nexus, UnitAttention::registrations_preempted);
            continue;
        }
        each.holds = own && !all_registrants(type);
        stay.push_back(std::move(each));
    }
    change_.next.registrations = std::move(stay);
    change_.next.type = type;
    if (type != now_.type)
        tell_others(UnitAttention::reservations_released);
    return done(true);
}

Work::Outcome Work::remove_registrations() {
    PersistentReservations& next = change_.next;
    std::vector<Registration> stay;
    for (Registration& each : next.registrations) {
        if (each.key != out_.service_action_key) {
            stay.push_back(std::move(each));
            continue;
        }
        if (aborts())
            change_.aborted.push_back(each.nexus);
        tell(each.nexus, UnitAttention::registrations_preempted);
    }
    if (stay.size() == next.registrations.size())
        return conflict();
    next.registrations = std::move(stay);
    // Table 71. The holder of another type is not among them.
    if (next.registrations.empty())
        release_reservation();
    return done(true);
}

// --- REGISTER AND MOVE (SPC-5 5.13.8, table 70) ---

Work::Outcome Work::move() {
    if (now_.type == ReservationType::none)
        return refused(invalid_field_in_cdb(1, 4));
    if (all_registrants(now_.type) || role_of(now_, from_) != NexusRole::holder)
        return conflict();
    if (out_.service_action_key == 0)
        return refused(invalid_field_in_parameter_list(service_action_key_byte));
    if (auto persisted = process_persist(move_flags_byte, 0); !persisted)
        return std::unexpected(persisted.error());
    if (out_.initiators_fault)
        return refused(*out_.initiators_fault);
    const TransportId& initiator = out_.initiators.front();
    const bool named = initiator.names_port() || now_.any_session;
    if (!named || initiator.protocol() != from_.initiator.protocol() ||
        initiator == from_.initiator)
        return refused(invalid_field_in_parameter_list(move_transport_id_byte));
    NexusName to = from_;
    if (out_.relative_port != from_.relative_port) {
        const auto port =
            std::ranges::find(surroundings_.ports, out_.relative_port, &NexusName::relative_port);
        if (port == surroundings_.ports.end())
            return refused(invalid_field_in_parameter_list(relative_port_byte));
        to = *port;
    }
    to.initiator = initiator;
    if (auto enrolled = enroll(to); !enrolled)
        return std::unexpected(enrolled.error());
    for (Registration& each : change_.next.registrations)
        each.holds = each.nexus == to;
    if (out_.unregister)
        withdraw(from_);
    return done(true);
}

Work::Outcome Work::replace_lost() {
    // SPC-5 5.13.11.3 and table 66, for a unit that has lost nothing.
    if (now_.find(from_) == nullptr && now_.type != ReservationType::none)
        return conflict();
    return refused(sense::invalid_release_of_persistent_reservation);
}

Work::Outcome Work::run() {
    struct Row {
        Outcome (Work::*act)();
        bool of_registrants;  // refused unless registered, with the right RESERVATION KEY
    };
    static constexpr std::array<Row, 9> rows{{
        {&Work::register_key, false},
        {&Work::reserve, true},
        {&Work::release, true},
        {&Work::clear, true},
        {&Work::preempt, true},
        {&Work::preempt, true},
        {&Work::register_key, false},
        {&Work::move, true},
        {&Work::replace_lost, false},
    }};
    const Row& row = rows[static_cast<std::size_t>(out_.action)];
    if (from_.initiator.empty())
        return conflict();  // nobody could say who it is that is registered
    if (row.of_registrants) {
        const Registration* const own = now_.find(from_);
        if (own == nullptr || own->key != out_.key)
            return conflict();
    }
    return (this->*row.act)();
}

}  // namespace

bool ReserveOut::needs_surroundings() const noexcept {
    return all_target_ports || specify_initiator_ports ||
           action == ReserveOutAction::register_and_move;
}

std::expected<ReserveOut, SenseData> parse_reserve_out(Bytes cdb, Bytes list) {
    ReserveOut out;  // find_row() knows no service action beyond the last
    out.action = static_cast<ReserveOutAction>(cdb[1] & 0x1F);
    out.scope = cdb[2] >> 4;
    out.type = cdb[2] & 0x0F;
    Cursor cursor(list);
    out.key = cursor.be64();
    out.service_action_key = cursor.be64();
    if (out.action == ReserveOutAction::register_and_move)
        return parse_move(std::move(out), list);
    if (list.size() < basic_list_bytes)
        return std::unexpected(make_sense(sense::parameter_list_length_error));
    const std::uint8_t flags = list[flags_byte];
    out.specify_initiator_ports = (flags & 8) != 0;
    out.all_target_ports = (flags & 4) != 0;
    out.persist = (flags & 1) != 0;
    const bool registers = out.action == ReserveOutAction::register_key ||
                           out.action == ReserveOutAction::register_and_ignore_existing_key;
    if (!registers)
        out.all_target_ports = false;  // ignored
    if (!out.specify_initiator_ports) {
        if (list.size() != basic_list_bytes)
            return std::unexpected(make_sense(sense::parameter_list_length_error));
        return out;
    }
    if (out.action != ReserveOutAction::register_key)
        return std::unexpected(invalid_field_in_parameter_list(flags_byte, 3));
    if (list.size() < basic_list_bytes + length_field_bytes)
        return std::unexpected(make_sense(sense::parameter_list_length_error));
    const auto length = load_be<std::uint32_t>(list.data() + basic_list_bytes);
    if (length > list.size() - transport_ids_byte)
        return std::unexpected(make_sense(sense::parameter_list_length_error));
    parse_initiators(out, list.subspan(transport_ids_byte, length), transport_ids_byte);
    return out;
}

std::expected<ReservationChange, ReservationRefusal> apply(
    const PersistentReservations& now, const ReserveOut& out, const NexusName& from,
    std::uint32_t lun, const ReservationSurroundings& surroundings) {
    // By the name that it is registered with, which may be that of its device.
    const Registration* const own = now.find(from);
    return Work(now, out, own == nullptr ? from : own->nexus, lun, surroundings).run();
}

}  // namespace olio::scsi
