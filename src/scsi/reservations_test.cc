// The tables of SPC-5 and SBC-4, typed in, and the service actions by their clauses. Random
// sequences against a model of its own: target/reservation_model_test.cc.
#include "scsi/reservations.h"

#include <gtest/gtest.h>

#include <map>

#include "scsi/request_testing.h"
#include "scsi/reservation_tables_testing.h"

namespace olio::scsi {
namespace {

using testing::Asked;
using testing::base_name;
using testing::describe;
using testing::golden_access;
using testing::hex;
using enum ReserveOutAction;
using enum ReservationType;

// --- Who may do what ---

constexpr std::array<ReservationType, 6> types{write_exclusive,
                                               exclusive_access,
                                               write_exclusive_registrants_only,
                                               exclusive_access_registrants_only,
                                               write_exclusive_all_registrants,
                                               exclusive_access_all_registrants};

// The column that a nexus reads under a type; -1 is a holder's.
int column(ReservationType type, NexusRole role) {
    const bool registrants = static_cast<int>(type) >= 5;
    const bool exclusive = type == exclusive_access || type == exclusive_access_registrants_only ||
                           type == exclusive_access_all_registrants;
    if (role == NexusRole::holder)
        return -1;
    if (!registrants)
        return exclusive ? 1 : 0;
    if (role == NexusRole::registrant)
        return 2;
    return exclusive ? 4 : 3;
}

bool golden_conflict(const std::string& columns, ReservationType type, NexusRole role) {
    const int at = column(type, role);
    return at >= 0 && columns[static_cast<std::size_t>(at)] == 'C';
}

TEST(Reservations, EveryCommandFaresAsTheTablesOfTheStandardsSay) {
    constexpr std::array roles{NexusRole::stranger, NexusRole::registrant, NexusRole::holder};
    std::size_t cells = 0;
    for (const CommandRow& row : command_table()) {
        if (row.reservation == ReservationClass::special ||
            row.operation == Operation::persistent_reserve_out ||
            row.operation == Operation::start_stop_unit)
            continue;  // below
        const auto golden = golden_access().find(base_name(row.name));
        ASSERT_NE(golden, golden_access().end()) << row.name << ": type in its row of the table";
        std::vector<std::uint8_t> cdb(32);
        for (const ReservationType type : types)
            for (const NexusRole role : roles) {
                EXPECT_EQ(conflicts(row, cdb, type, role),
                          golden_conflict(golden->second, type, role))
                    << row.name << ", type " << static_cast<int>(type) << ", role "
                    << static_cast<int>(role);
                ++cells;
            }
        for (const NexusRole role : roles)
            EXPECT_FALSE(conflicts(row, cdb, none, role));
    }
    EXPECT_GE(cells, 30U * 6 * 3);
}

TEST(Reservations, StartingIsAllowedAndStoppingIsNot) {
    const auto at = [](std::string_view cdb, ReservationType type, NexusRole role) {
        const auto bytes = hex(cdb);
        return conflicts(**find_row(bytes), bytes, type, role);
    };
    for (const ReservationType type : types)
        for (const NexusRole role : {NexusRole::stranger, NexusRole::registrant}) {
            EXPECT_FALSE(at("1b 00 00 00 01 00", type, role));
            EXPECT_EQ(at("1b 00 00 00 00 00", type, role), golden_conflict("CCACC", type, role));
            EXPECT_EQ(at("1b 00 00 00 31 00", type, role), golden_conflict("CCACC", type, role));
        }
}

TEST(Reservations, ReserveOfSpc2RefusesPersistentReserveEvenOfItsHolder) {
    for (const CommandRow& row : command_table()) {
        const bool persistent = row.name.starts_with("PERSISTENT RESERVE");
        EXPECT_EQ(conflicts_with_reserve(row, true), persistent) << row.name;
    }
    EXPECT_TRUE(conflicts_with_reserve(**find_row(hex("00 00 00 00 00 00")), false));
    EXPECT_FALSE(conflicts_with_reserve(**find_row(hex("12 00 00 00 00 00")), false));
    EXPECT_FALSE(conflicts_with_reserve(**find_row(hex("17 00 00 00 00 00")), false));
}

// --- Service actions ---

NexusName nexus(unsigned number, std::uint16_t port = 1) {
    return {*TransportId::from_words(ProtocolIdentifier::iscsi, fmt::format("iqn.host:{}", number),
                                     fmt::format("{:x}", number + 0x100)),
            port, fmt::format("iqn.disk,t,0x{:04x}", port)};
}

struct Unit {
    PersistentReservations state;
    ReservationSurroundings surroundings{
        {nexus(1), nexus(2), nexus(3), nexus(4), nexus(1, 2)},
        {{{}, 1, "iqn.disk,t,0x0001"}, {{}, 2, "iqn.disk,t,0x0002"}},
        true,
        16};
    std::vector<ReservationNotice> notices;
    std::vector<NexusName> aborted;

    static std::vector<std::uint8_t> list(std::uint64_t key, std::uint64_t service_action_key,
                                          std::uint8_t flags = 0) {
        std::vector<std::uint8_t> bytes(24);
        store_be(bytes.data(), key);
        store_be(bytes.data() + 8, service_action_key);
        bytes[20] = flags;
        return bytes;
    }

    // "good", "conflict" or the sense data.
    std::string send(const NexusName& from, ReserveOutAction action, unsigned scope_type,
                     Bytes parameters) {
        std::vector<std::uint8_t> cdb(10);
        cdb[0] = 0x5F;
        cdb[1] = static_cast<std::uint8_t>(action);
        cdb[2] = static_cast<std::uint8_t>(scope_type);
        const auto out = parse_reserve_out(cdb, parameters);
        if (!out)
            return describe(out.error());
        auto change = apply(state, *out, from, 0, surroundings);
        if (!change)
            return change.error().status == Status::reservation_conflict
                       ? "conflict"
                       : describe(change.error().sense);
        state = change->next;
        notices = change->notices;
        aborted = change->aborted;
        return "good";
    }
    std::string send(const NexusName& from, ReserveOutAction action, unsigned type,
                     std::uint64_t key, std::uint64_t service_action_key = 0,
                     std::uint8_t flags = 0) {
        return send(from, action, type, list(key, service_action_key, flags));
    }
    void enroll(std::initializer_list<unsigned> numbers) {
        for (const unsigned number : numbers)
            ASSERT_EQ(send(nexus(number), register_and_ignore_existing_key, 0, 0, number), "good");
    }
    [[nodiscard]] std::vector<std::uint64_t> keys() const {
        std::vector<std::uint64_t> all;
        for (const Registration& each : state.registrations)
            all.push_back(each.key);
        return all;
    }
    [[nodiscard]] std::string told() const {
        std::string text;
        for (const ReservationNotice& notice : notices)
            text += fmt::format("{}{}:{:02x}", text.empty() ? "" : " ",
                                notice.nexus.initiator.node().substr(9),
                                row_of(notice.attention).additional.qualifier);
        return text;
    }
};

using Keys = std::vector<std::uint64_t>;

TEST(ReserveOut, RegisterFollowsTable67) {
    Unit unit;
    EXPECT_EQ(unit.send(nexus(1), register_key, 0, 0, 0), "good");
    EXPECT_EQ(unit.state, PersistentReservations{});
    EXPECT_EQ(unit.send(nexus(1), register_key, 0, 7, 1), "conflict");
    EXPECT_EQ(unit.send(nexus(1), register_key, 0, 0, 1), "good");
    EXPECT_EQ(unit.state.generation, 1U);
    EXPECT_EQ(unit.keys(), Keys{1});
    EXPECT_EQ(unit.send(nexus(1), register_key, 0, 0, 2), "conflict");
    EXPECT_EQ(unit.send(nexus(1), register_key, 0, 2, 2), "conflict");
    EXPECT_EQ(unit.send(nexus(1), register_key, 0, 1, 2), "good");
    EXPECT_EQ(unit.keys(), Keys{2});
    EXPECT_EQ(unit.send(nexus(1), register_key, 0, 2, 0), "good");
    EXPECT_EQ(unit.keys(), Keys{});
    EXPECT_EQ(unit.state.generation, 3U);
}

TEST(ReserveOut, RegisterAndIgnoreFollowsTable68) {
    Unit unit;
    EXPECT_EQ(unit.send(nexus(1), register_and_ignore_existing_key, 0, 9, 0), "good");
    EXPECT_EQ(unit.state.generation, 0U);
    EXPECT_EQ(unit.send(nexus(1), register_and_ignore_existing_key, 0, 9, 1), "good");
    EXPECT_EQ(unit.send(nexus(1), register_and_ignore_existing_key, 0, 9, 2), "good");
    EXPECT_EQ(unit.keys(), Keys{2});
    EXPECT_EQ(unit.send(nexus(1), register_and_ignore_existing_key, 0, 9, 0), "good");
    EXPECT_EQ(unit.keys(), Keys{});
}

TEST(ReserveOut, OnlyRegistrantsWithTheirKeyMayDoTheRest) {
    for (const auto action :
         {reserve, release, clear, preempt, preempt_and_abort, register_and_move}) {
        Unit unit;
        unit.enroll({1});
        EXPECT_EQ(unit.send(nexus(2), action, 1, 0, 1), "conflict");
        EXPECT_EQ(unit.send(nexus(1), action, 1, 2, 1), "conflict");
        EXPECT_EQ(unit.send(nexus(1, 2), action, 1, 1, 1), "conflict");  // another target port
    }
}

TEST(ReserveOut, ReserveAsks) {
    for (const ReservationType type : types) {
        Unit unit;
        unit.enroll({1, 2});
        const auto code = static_cast<unsigned>(type);
        EXPECT_EQ(unit.send(nexus(1), reserve, 0x10 | code, 1), "5/24/00 cdb 2.7");
        for (const unsigned wrong : {0U, 2U, 4U, 9U, 15U})
            EXPECT_EQ(unit.send(nexus(1), reserve, wrong, 1), "5/24/00 cdb 2.3");
        EXPECT_EQ(unit.send(nexus(1), reserve, code, 1), "good");
        EXPECT_EQ(unit.state.type, type);
        EXPECT_EQ(unit.send(nexus(1), reserve, code, 1), "good");
        const bool all = all_registrants(type);
        EXPECT_EQ(unit.send(nexus(2), reserve, code, 2), all ? "good" : "conflict");
        EXPECT_EQ(unit.send(nexus(1), reserve, code == 1 ? 3 : 1, 1), "conflict");
        EXPECT_EQ(role_of(unit.state, nexus(1)), NexusRole::holder);
        EXPECT_EQ(role_of(unit.state, nexus(2)), all ? NexusRole::holder : NexusRole::registrant);
        EXPECT_EQ(role_of(unit.state, nexus(3)), NexusRole::stranger);
        EXPECT_EQ(unit.state.generation, 2U);
    }
}

TEST(ReserveOut, ReleaseIsTheHoldersAndTellsRegistrants) {
    for (const ReservationType type : types) {
        Unit unit;
        unit.enroll({1, 2, 3});
        const auto code = static_cast<unsigned>(type);
        EXPECT_EQ(unit.send(nexus(1), release, code, 1), "good");  // there is none
        ASSERT_EQ(unit.send(nexus(1), reserve, code, 1), "good");
        EXPECT_EQ(unit.send(nexus(1), release, code == 1 ? 3 : 1, 1), "5/26/04");
        EXPECT_EQ(unit.send(nexus(1), release, 0x10 | code, 1), "5/26/04");
        if (!all_registrants(type)) {
            EXPECT_EQ(unit.send(nexus(2), release, code == 1 ? 3 : 1, 2), "good");
            EXPECT_EQ(unit.state.type, type);
        }
        EXPECT_EQ(unit.send(nexus(1), release, code, 1), "good");
        EXPECT_EQ(unit.state.type, none);
        EXPECT_EQ(unit.state.holder(), nullptr);
        EXPECT_EQ(unit.told(), code >= 5 ? "2:04 3:04" : "");
        EXPECT_EQ(unit.keys(), (Keys{1, 2, 3}));
    }
}

TEST(ReserveOut, UnregisteringTheHolderReleases) {
    for (const ReservationType type : types) {
        Unit unit;
        unit.enroll({1, 2, 3});
        const auto code = static_cast<unsigned>(type);
        ASSERT_EQ(unit.send(nexus(1), reserve, code, 1), "good");
        ASSERT_EQ(unit.send(nexus(1), register_key, 0, 1, 0), "good");
        if (all_registrants(type)) {  // the last one does
            EXPECT_EQ(unit.state.type, type);
            EXPECT_EQ(unit.told(), "");
            ASSERT_EQ(unit.send(nexus(2), register_key, 0, 2, 0), "good");
            EXPECT_EQ(unit.state.type, type);
            ASSERT_EQ(unit.send(nexus(3), register_key, 0, 3, 0), "good");
        } else {
            EXPECT_EQ(unit.told(), code >= 5 ? "2:04 3:04" : "");
        }
        EXPECT_EQ(unit.state.type, none);
    }
}

TEST(ReserveOut, ClearEndsAllAndTellsTheOthers) {
    Unit unit;
    unit.enroll({1, 2, 3});
    ASSERT_EQ(unit.send(nexus(1), reserve, 3, 1), "good");
    EXPECT_EQ(unit.send(nexus(2), clear, 0xFF, 2, 99), "good");
    EXPECT_EQ(unit.told(), "1:03 3:03");
    EXPECT_EQ(unit.state.type, none);
    EXPECT_EQ(unit.keys(), Keys{});
    EXPECT_EQ(unit.state.generation, 4U);
}

TEST(ReserveOut, PreemptTakesTheReservationOver) {
    for (const ReservationType before : types)
        for (const ReservationType after : types) {
            Unit unit;
            unit.enroll({1, 2, 3, 4});
            ASSERT_EQ(unit.send(nexus(1), reserve, static_cast<unsigned>(before), 1), "good");
            const bool all = all_registrants(before);
            const auto code = static_cast<unsigned>(after);
            EXPECT_EQ(unit.send(nexus(2), preempt_and_abort, 0x10 | code, 2, all ? 0 : 1),
                      "5/24/00 cdb 2.7");
            EXPECT_EQ(unit.send(nexus(2), preempt_and_abort, 2, 2, all ? 0 : 1), "5/24/00 cdb 2.3");
            ASSERT_EQ(unit.send(nexus(2), preempt_and_abort, code, 2, all ? 0 : 1), "good");
            EXPECT_EQ(unit.state.type, after);
            EXPECT_EQ(role_of(unit.state, nexus(2)), NexusRole::holder);
            EXPECT_EQ(unit.keys(), all ? (Keys{2}) : (Keys{2, 3, 4}));
            const std::string changed = before == after ? "" : " 3:04 4:04";
            EXPECT_EQ(unit.told(), all ? "1:05 3:05 4:05" : "1:05" + changed);
            EXPECT_EQ(unit.aborted.size(), all ? 4U : 1U);
            EXPECT_EQ(unit.state.generation, 5U);
        }
}

TEST(ReserveOut, PreemptOfAnotherKeyRemovesRegistrationsOnly) {
    for (const ReservationType type : {none, write_exclusive, exclusive_access_all_registrants}) {
        Unit unit;
        unit.enroll({1, 2, 3});
        ASSERT_EQ(unit.send(nexus(4), register_key, 0, 0, 3), "good");
        if (type != none) {
            ASSERT_EQ(unit.send(nexus(1), reserve, static_cast<unsigned>(type), 1), "good");
        }
        EXPECT_EQ(unit.send(nexus(2), preempt, 1, 2, 77), "conflict");
        EXPECT_EQ(unit.send(nexus(2), preempt, 1, 2, 0),
                  all_registrants(type) ? "good" : "5/26/00 list 8")
            << static_cast<int>(type);
    }
}

// Known defect 18: PREEMPT refused a TYPE that it has to ignore.
TEST(ReserveOut, KnownDefect18PreemptThatOnlyRemovesRegistrationsIgnoresScopeAndType) {
    Unit unit;
    unit.enroll({1, 2, 3});
    ASSERT_EQ(unit.send(nexus(1), reserve, 1, 1), "good");
    EXPECT_EQ(unit.send(nexus(2), preempt, 0xFF, 2, 3), "good");
    EXPECT_EQ(unit.told(), "3:05");
    EXPECT_EQ(unit.keys(), (Keys{1, 2}));
    EXPECT_EQ(unit.state.type, write_exclusive);
}

// Known defect 17: PREEMPT AND ABORT aborted only some; with SERVICE ACTION RESERVATION KEY zero an
// all registrants reservation lost nobody; what had been moved kept its old key.
TEST(ReserveOut, KnownDefect17PreemptAndAbortNamesEveryNexusWithTheKey) {
    Unit unit;
    for (const unsigned number : {2U, 3U, 4U})
        ASSERT_EQ(unit.send(nexus(number), register_key, 0, 0, 9), "good");
    unit.enroll({1});
    ASSERT_EQ(unit.send(nexus(1), preempt_and_abort, 0, 1, 9), "good");
    EXPECT_EQ(unit.aborted, (std::vector{nexus(2), nexus(3), nexus(4)}));
    EXPECT_EQ(unit.keys(), Keys{1});
}
TEST(ReserveOut, KnownDefect17KeyZeroPreemptsAllRegistrants) {
    Unit unit;
    unit.enroll({1, 2, 3});
    ASSERT_EQ(unit.send(nexus(1), reserve, 7, 1), "good");
    ASSERT_EQ(unit.send(nexus(2), preempt, 5, 2, 0), "good");
    EXPECT_EQ(unit.keys(), Keys{2});
    EXPECT_EQ(unit.state.type, write_exclusive_registrants_only);
    EXPECT_EQ(unit.told(), "1:05 3:05");
}

TEST(ReserveOut, PreemptingOneself) {
    Unit unit;
    unit.enroll({1, 2});
    // Its own key, and it holds nothing: "the registration is removed".
    EXPECT_EQ(unit.send(nexus(1), preempt, 0, 1, 1), "good");
    EXPECT_EQ(unit.keys(), Keys{2});
    EXPECT_EQ(unit.told(), "");
    // The holder: the new reservation is established and the registration stays.
    unit.enroll({1});
    ASSERT_EQ(unit.send(nexus(1), reserve, 1, 1), "good");
    EXPECT_EQ(unit.send(nexus(1), preempt, 6, 1, 1), "good");
    EXPECT_EQ(unit.state.type, exclusive_access_registrants_only);
    EXPECT_EQ(unit.state.holder()->nexus, nexus(1));
    EXPECT_EQ(unit.told(), "2:04");
}

TEST(ReserveOut, PreemptOfTheLastOfAllRegistrantsReleases) {
    Unit unit;
    unit.enroll({1});
    ASSERT_EQ(unit.send(nexus(1), reserve, 8, 1), "good");
    EXPECT_EQ(unit.send(nexus(1), preempt, 0, 1, 1), "good");
    EXPECT_EQ(unit.state.type, none);
    EXPECT_EQ(unit.keys(), Keys{});
}

TEST(ReserveOut, ReplaceLostReservationOfAUnitThatLostNothing) {
    Unit unit;
    EXPECT_EQ(unit.send(nexus(1), replace_lost_reservation, 1, 0, 5), "5/26/04");
    unit.enroll({1});
    EXPECT_EQ(unit.send(nexus(1), replace_lost_reservation, 1, 0, 5), "5/26/04");
    ASSERT_EQ(unit.send(nexus(1), reserve, 1, 1), "good");
    EXPECT_EQ(unit.send(nexus(2), replace_lost_reservation, 1, 0, 5), "conflict");
    EXPECT_EQ(unit.keys(), Keys{1});
}

// --- REGISTER AND MOVE ---

std::vector<std::uint8_t> move_list(std::uint64_t key, std::uint64_t service_action_key,
                                    std::uint8_t flags, std::uint16_t port, Bytes id) {
    std::vector<std::uint8_t> list = Unit::list(key, service_action_key);
    list[17] = flags;
    store_be(list.data() + 18, port);
    store_be(list.data() + 20, static_cast<std::uint32_t>(id.size()));
    list.insert(list.end(), id.begin(), id.end());
    return list;
}

TEST(ReserveOut, KnownDefect17AMovedReservationHasTheNewKey) {
    Unit unit;
    unit.enroll({1, 3});
    ASSERT_EQ(unit.send(nexus(1), reserve, 5, 1), "good");
    const NexusName to = nexus(3);
    ASSERT_EQ(unit.send(nexus(1), register_and_move, 0xFF,
                        move_list(1, 0x33, 2, 1, to.initiator.bytes())),
              "good");
    EXPECT_EQ(unit.keys(), Keys{0x33});
    EXPECT_EQ(unit.state.holder()->nexus, to);
    EXPECT_EQ(unit.state.holder()->key, 0x33U);
    EXPECT_EQ(unit.told(), "");
    // To a port that has no registration, through another target port; the old one stays.
    ASSERT_EQ(unit.send(to, register_and_move, 0,
                        move_list(0x33, 0x44, 0, 2, nexus(4).initiator.bytes())),
              "good");
    EXPECT_EQ(unit.state.holder()->nexus, nexus(4, 2));
    EXPECT_EQ(unit.state.holder()->nexus.port_name, "iqn.disk,t,0x0002");
    EXPECT_EQ(unit.keys(), (Keys{0x33, 0x44}));
}

TEST(ReserveOut, RegisterAndMoveRefusals) {
    Unit unit;
    unit.enroll({1, 2});
    const NexusName to = nexus(3);
    const auto id = to.initiator.bytes();
    EXPECT_EQ(unit.send(nexus(1), register_and_move, 0, move_list(1, 5, 0, 1, id)),
              "5/24/00 cdb 1.4");  // there is no reservation
    ASSERT_EQ(unit.send(nexus(1), reserve, 1, 1), "good");
    EXPECT_EQ(unit.send(nexus(2), register_and_move, 0, move_list(2, 5, 0, 1, id)), "conflict");
    EXPECT_EQ(unit.send(nexus(1), register_and_move, 0, move_list(1, 0, 0, 1, id)),
              "5/26/00 list 8");
    EXPECT_EQ(unit.send(nexus(1), register_and_move, 0, move_list(1, 5, 0, 9, id)),
              "5/26/00 list 18");
    EXPECT_EQ(unit.send(nexus(1), register_and_move, 0,
                        move_list(1, 5, 0, 2, nexus(1).initiator.bytes())),
              "5/26/00 list 24");
    EXPECT_EQ(unit.send(nexus(1), register_and_move, 0, move_list(1, 5, 0, 1, {})),
              "5/26/00 list 20");
    const auto device = *TransportId::from_words(ProtocolIdentifier::iscsi, "iqn.host:3");
    EXPECT_EQ(unit.send(nexus(1), register_and_move, 0, move_list(1, 5, 0, 1, device.bytes())),
              "5/26/00 list 24");
    const auto sas = *TransportId::from_words(ProtocolIdentifier::sas, "naa.5000c50012345678");
    EXPECT_EQ(unit.send(nexus(1), register_and_move, 0, move_list(1, 5, 0, 1, sas.bytes())),
              "5/26/00 list 24");
    unit.surroundings.can_persist = false;
    EXPECT_EQ(unit.send(nexus(1), register_and_move, 0, move_list(1, 5, 1, 1, id)),
              "5/26/00 list 17.0");
    Unit all;
    all.enroll({1});
    ASSERT_EQ(all.send(nexus(1), reserve, 7, 1), "good");
    EXPECT_EQ(all.send(nexus(1), register_and_move, 0, move_list(1, 5, 0, 1, id)), "conflict");
}

// Known defect 6: a TransportID used after its list had been let go, which lists above 4096 bytes
// brought to light. Every length up to the largest that a CDB may name here.
TEST(ReserveOut, KnownDefect6ListsOfEveryLength) {
    for (std::size_t bytes = 0; bytes <= 65536; bytes = bytes < 300 ? bytes + 1 : bytes * 2) {
        Unit unit;
        unit.enroll({1});
        ASSERT_EQ(unit.send(nexus(1), reserve, 1, 1), "good");
        auto list = move_list(1, 5, 0, 1, nexus(3).initiator.bytes());
        list.resize(bytes);
        list.shrink_to_fit();
        const bool whole = bytes >= 24 + nexus(3).initiator.bytes().size();
        EXPECT_EQ(unit.send(nexus(1), register_and_move, 0, list), whole ? "good" : "5/1a/00");
        if (whole) {
            EXPECT_EQ(unit.state.holder()->nexus, nexus(3));
        }
        list = Unit::list(0, 5);
        list.resize(bytes);
        EXPECT_EQ(unit.send(nexus(2), register_key, 0, list), bytes == 24 ? "good" : "5/1a/00");
    }
}

// --- SPEC_I_PT, ALL_TG_PT, APTPL ---

std::vector<std::uint8_t> specify_list(std::uint64_t service_action_key,
                                       const std::vector<TransportId>& ids,
                                       std::uint8_t flags = 8) {
    std::vector<std::uint8_t> list = Unit::list(0, service_action_key, flags);
    list.resize(28);
    for (const TransportId& id : ids)
        list.insert(list.end(), id.bytes().begin(), id.bytes().end());
    store_be(list.data() + 24, static_cast<std::uint32_t>(list.size() - 28));
    return list;
}

TEST(ReserveOut, SpecifiedInitiatorPortsAreRegistered) {
    Unit unit;
    ASSERT_EQ(unit.send(nexus(1), register_key, 0,
                        specify_list(5, {nexus(2).initiator, nexus(8).initiator, nexus(1).initiator,
                                         nexus(2).initiator})),
              "good");
    EXPECT_EQ(unit.keys(), (Keys{5, 5, 5}));
    EXPECT_NE(unit.state.find(nexus(8)), nullptr);
    EXPECT_EQ(unit.state.generation, 1U);
    // One of a device: those of its ports that are known.
    const auto device = *TransportId::from_words(ProtocolIdentifier::iscsi, "iqn.host:3");
    ASSERT_EQ(unit.send(nexus(4), register_key, 0, specify_list(6, {device})), "good");
    EXPECT_NE(unit.state.find(nexus(3)), nullptr);
    EXPECT_EQ(unit.keys(), (Keys{5, 5, 5, 6, 6}));
}

TEST(ReserveOut, KnownDefect8SpecifiedInitiatorPortsAllOrNothing) {
    Unit unit;
    unit.enroll({2});
    const PersistentReservations before = unit.state;
    // Note b of table 67: one of them is registered already.
    EXPECT_EQ(unit.send(nexus(1), register_key, 0,
                        specify_list(5, {nexus(3).initiator, nexus(2).initiator})),
              "5/26/00 list 28");
    // Known defect 8: one that nobody knows must not end the device server.
    const auto unknown = *TransportId::from_words(ProtocolIdentifier::iscsi, "iqn.nobody");
    EXPECT_EQ(unit.send(nexus(1), register_key, 0, specify_list(5, {unknown})), "5/26/00 list 28");
    unit.surroundings.maximum_registrations = 3;
    EXPECT_EQ(unit.send(nexus(1), register_key, 0,
                        specify_list(5, {nexus(3).initiator, nexus(4).initiator})),
              "5/55/04");
    auto torn = specify_list(5, {nexus(3).initiator});
    store_be<std::uint32_t>(torn.data() + 24, static_cast<std::uint32_t>(torn.size() - 28 - 4));
    EXPECT_EQ(unit.send(nexus(1), register_key, 0, torn), "5/26/00 list 28");
    store_be<std::uint32_t>(torn.data() + 24, 0xFFFFFFFF);
    EXPECT_EQ(unit.send(nexus(1), register_key, 0, torn), "5/1a/00");
    torn.resize(27);
    EXPECT_EQ(unit.send(nexus(1), register_key, 0, torn), "5/1a/00");
    EXPECT_EQ(unit.send(nexus(2), register_key, 0, 2, 3, 8), "5/1a/00");
    auto registered = specify_list(5, {nexus(3).initiator});
    store_be<std::uint64_t>(registered.data(), 2);
    EXPECT_EQ(unit.send(nexus(2), register_key, 0, registered), "5/26/00 list 20.3");
    for (const auto action : {reserve, release, clear, preempt, preempt_and_abort,
                              register_and_ignore_existing_key, replace_lost_reservation})
        EXPECT_EQ(unit.send(nexus(2), action, 1, specify_list(5, {nexus(3).initiator})),
                  "5/26/00 list 20.3");
    EXPECT_EQ(unit.state, before);
}

// LIO's enforce_pr_isids = 0.
TEST(ReserveOut, WithAnySessionARegistrationOfADeviceIsThatOfItsSessions) {
    const auto session = [](const char* isid, std::uint16_t port = 1) {
        return NexusName{*TransportId::from_words(ProtocolIdentifier::iscsi, "iqn.host:2", isid),
                         port, "iqn.disk,t,0x0001"};
    };
    const auto device = *TransportId::from_words(ProtocolIdentifier::iscsi, "iqn.host:2");
    Unit unit;
    unit.state.any_session = true;
    ASSERT_EQ(unit.send(nexus(1), register_key, 0, specify_list(5, {device})), "good");
    EXPECT_EQ(unit.keys(), (Keys{5, 5})) << "one of the device, not one of each session";
    for (const char* isid : {"1", "ffff"})
        EXPECT_EQ(role_of(unit.state, session(isid)), NexusRole::registrant);
    EXPECT_EQ(role_of(unit.state, session("1", 2)), NexusRole::stranger) << "another target port";
    EXPECT_EQ(role_of(unit.state, nexus(3)), NexusRole::stranger);
    // One session reserves, the other releases: they are one registrant.
    ASSERT_EQ(unit.send(session("1"), reserve, 1, 5), "good");
    EXPECT_EQ(role_of(unit.state, session("2")), NexusRole::holder);
    EXPECT_EQ(unit.send(nexus(1), reserve, 1, 5), "conflict");
    ASSERT_EQ(unit.send(session("2"), release, 1, 5), "good");
    EXPECT_EQ(unit.state.type, none);
    // A second registration would be of the same; the key changes for both.
    EXPECT_EQ(unit.send(session("1"), register_key, 0, 0, 6), "conflict");
    ASSERT_EQ(unit.send(session("1"), register_key, 0, 5, 6), "good");
    EXPECT_EQ(unit.keys(), (Keys{5, 6}));
    // REGISTER AND MOVE to the name of a device.
    ASSERT_EQ(unit.send(nexus(1), reserve, 5, 5), "good");
    ASSERT_EQ(unit.send(nexus(1), preempt, 5, 5, 6), "good");
    EXPECT_EQ(unit.keys(), Keys{5});
    // Without it such a registration is nobody's, and cannot be made.
    ASSERT_EQ(unit.send(nexus(1), clear, 0, 5), "good");
    ASSERT_EQ(unit.send(nexus(1), register_key, 0, specify_list(5, {device})), "good");
    unit.state.any_session = false;
    EXPECT_EQ(role_of(unit.state, session("1")), NexusRole::stranger);
}

TEST(ReserveOut, AllTargetPortsAreRegistered) {
    Unit unit;
    ASSERT_EQ(unit.send(nexus(1), register_key, 0, 0, 5, 4), "good");
    EXPECT_NE(unit.state.find(nexus(1, 1)), nullptr);
    ASSERT_NE(unit.state.find(nexus(1, 2)), nullptr);
    EXPECT_EQ(unit.state.find(nexus(1, 2))->nexus.port_name, "iqn.disk,t,0x0002");
    EXPECT_EQ(unit.keys(), (Keys{5, 5}));
    // Each port has its registration for itself then.
    ASSERT_EQ(unit.send(nexus(1, 2), register_key, 0, 5, 6), "good");
    EXPECT_EQ(unit.send(nexus(1), register_key, 0, 5, 7, 4), "conflict");
    ASSERT_EQ(unit.send(nexus(1), register_and_ignore_existing_key, 0, 0, 0, 4), "good");
    EXPECT_EQ(unit.keys(), Keys{});
    ASSERT_EQ(unit.send(nexus(1), register_key, 0, specify_list(9, {nexus(2).initiator}, 8 | 4)),
              "good");
    EXPECT_EQ(unit.keys(), (Keys{9, 9, 9, 9}));
}

TEST(ReserveOut, PersistThroughPowerLossFollowsTheLastRegistration) {
    Unit unit;
    ASSERT_EQ(unit.send(nexus(1), register_key, 0, 0, 5, 1), "good");
    EXPECT_TRUE(unit.state.persists_through_power_loss);
    ASSERT_EQ(unit.send(nexus(1), reserve, 1, 5), "good");
    EXPECT_TRUE(unit.state.persists_through_power_loss);
    ASSERT_EQ(unit.send(nexus(2), register_key, 0, 0, 6, 0), "good");
    EXPECT_FALSE(unit.state.persists_through_power_loss);
    unit.surroundings.can_persist = false;
    EXPECT_EQ(unit.send(nexus(3), register_key, 0, 0, 7, 1), "5/26/00 list 20.0");
    EXPECT_EQ(unit.keys(), (Keys{5, 6}));
}

// Known defect 63: more registrants than an array held.
TEST(ReserveOut, KnownDefect63RegistrationsHaveALimit) {
    Unit unit;
    for (unsigned number = 0; number < 16; ++number)
        ASSERT_EQ(unit.send(nexus(number + 1), register_key, 0, 0, 5), "good");
    EXPECT_EQ(unit.send(nexus(17), register_key, 0, 0, 5), "5/55/04");
    EXPECT_EQ(unit.send(nexus(1), register_key, 0, 5, 6), "good");  // needs no more room
    EXPECT_EQ(unit.state.registrations.size(), 16U);
}

// --- RESERVE and RELEASE of SPC-2 beside it ---

TEST(Reservations, ReserveAndReleaseKnowCompatibleReservationHandling) {
    using enum ReserveVerdict;
    for (const ReservationType type : types) {
        Unit unit;
        EXPECT_EQ(judge_reserve_release(unit.state, nexus(1)), as_in_spc2);
        unit.enroll({1, 2});
        EXPECT_EQ(judge_reserve_release(unit.state, nexus(1)), conflict);
        EXPECT_EQ(judge_reserve_release(unit.state, nexus(3)), conflict);
        ASSERT_EQ(unit.send(nexus(1), reserve, static_cast<unsigned>(type), 1), "good");
        EXPECT_EQ(judge_reserve_release(unit.state, nexus(1)), good_without_effect);
        EXPECT_EQ(judge_reserve_release(unit.state, nexus(2)),
                  static_cast<int>(type) >= 5 ? good_without_effect : conflict);
        EXPECT_EQ(judge_reserve_release(unit.state, nexus(3)), conflict);
    }
}

// --- PERSISTENT RESERVE IN ---

TEST(ReserveIn, KnownDefect68SaysWhatThereIsWithKeysAsTheyCame) {
    Asked asked;
    EXPECT_EQ(asked.asked("5e 00 00 00 00 00 00 ff ff 00"), "00 00 00 00 00 00 00 00");
    EXPECT_EQ(asked.asked("5e 01 00 00 00 00 00 ff ff 00"), "00 00 00 00 00 00 00 00");
    EXPECT_EQ(asked.asked("5e 03 00 00 00 00 00 ff ff 00"), "00 00 00 00 00 00 00 00");
    EXPECT_EQ(asked.asked("5e 02 00 00 00 00 00 ff ff 00"), "00 08 9c c0 ea 01 00 00");
    EXPECT_EQ(asked.asked("5e 04 00 00 00 00 00 ff ff 00"), "5/24/00 cdb 1.4");
    Unit unit;
    ASSERT_EQ(unit.send(nexus(1), register_key, 0, 0, 0x0102030405060708, 1), "good");
    ASSERT_EQ(unit.send(nexus(2, 2), register_key, 0, 0, 0x1112131415161718, 1), "good");
    ASSERT_EQ(unit.send(nexus(1), reserve, 6, 0x0102030405060708), "good");
    asked.state.reservations.set(std::make_shared<PersistentReservations>(unit.state));
    asked.state.reservations_can_persist = true;
    EXPECT_EQ(asked.asked("5e 00 00 00 00 00 00 ff ff 00"),
              "00 00 00 02 00 00 00 10 01 02 03 04 05 06 07 08 11 12 13 14 15 16 17 18");
    // Cut: the length stays that of the whole (SPC-5 4.2.5.6).
    EXPECT_EQ(asked.asked("5e 00 00 00 00 00 00 00 09 00"), "00 00 00 02 00 00 00 10 01");
    EXPECT_EQ(asked.asked("5e 01 00 00 00 00 00 ff ff 00"),
              "00 00 00 02 00 00 00 10 01 02 03 04 05 06 07 08 00 00 00 00 00 06 00 00");
    EXPECT_EQ(asked.asked("5e 02 00 00 00 00 00 ff ff 00"), "00 08 9d c1 ea 01 00 00");
    // Known defect 68: the key byte-swapped in READ FULL STATUS.
    const std::string iqn = "69 71 6e 2e 68 6f 73 74 3a ";
    EXPECT_EQ(asked.asked("5e 03 00 00 00 00 00 ff ff 00"),
              "00 00 00 02 00 00 00 70 "
              "01 02 03 04 05 06 07 08 00 00 00 00 01 06 00 00 00 00 00 01 00 00 00 20 "
              "45 00 00 1c " +
                  iqn +
                  "31 2c 69 2c 30 78 30 30 30 30 30 30 30 30 30 31 30 31 00 "
                  "11 12 13 14 15 16 17 18 00 00 00 00 00 00 00 00 00 00 00 02 00 00 00 20 "
                  "45 00 00 1c " +
                  iqn + "32 2c 69 2c 30 78 30 30 30 30 30 30 30 30 30 31 30 32 00");
    ASSERT_EQ(unit.send(nexus(1), preempt, 8, 0x0102030405060708, 0x0102030405060708), "good");
    asked.state.reservations.set(std::make_shared<PersistentReservations>(unit.state));
    // All registrants hold it, and no key is told.
    EXPECT_EQ(asked.asked("5e 01 00 00 00 00 00 ff ff 00"),
              "00 00 00 03 00 00 00 10 00 00 00 00 00 00 00 00 00 00 00 00 00 08 00 00");
}

}  // namespace
}  // namespace olio::scsi
