// Any bytes as PERSISTENT RESERVE OUT and its parameter list, and as the file of reservations. The
// first byte chooses: the service action, from whom, and to which state of affairs.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/assert.h"
#include "scsi/aptpl.h"
#include "scsi/reservations.h"

using namespace olio;
using namespace olio::scsi;

namespace {

constexpr std::size_t maximum = 8;

NexusName nexus(unsigned number) {
    static const std::array ids{
        *TransportId::from_words(ProtocolIdentifier::iscsi, "iqn.a:1", "1"),
        *TransportId::from_words(ProtocolIdentifier::iscsi, "iqn.a:1", "2"),
        *TransportId::from_words(ProtocolIdentifier::iscsi, "iqn.a:2", "1"),
        *TransportId::from_words(ProtocolIdentifier::sas, "naa.5000c50012345678"),
    };
    return {ids[number % ids.size()], static_cast<std::uint16_t>(1 + number % 2), "iqn.d,t,0x0001"};
}

// `devices`: initiators may be named without session identifiers.
void check(const PersistentReservations& all, bool devices) {
    OLIO_ASSERT(all.registrations.size() <= maximum, "the limit holds");
    std::size_t holders = 0;
    for (const Registration& each : all.registrations) {
        OLIO_ASSERT(each.key != 0, "zero is no key");
        OLIO_ASSERT(each.nexus.initiator.names_port() || devices,
                    "ports are registered, not devices");
        OLIO_ASSERT(all.find(each.nexus) == &each, "each nexus once");
        holders += each.holds ? 1 : 0;
    }
    const bool single = all.type != ReservationType::none && !all_registrants(all.type);
    OLIO_ASSERT(holders == (single ? 1U : 0U), "one holds it, or all, or nobody");
    OLIO_ASSERT(all.type == ReservationType::none || !all.registrations.empty(),
                "a reservation has holders");
    PersistentReservations kept = all;
    kept.persists_through_power_loss = true;
    const auto read = parse_aptpl(write_aptpl(kept), maximum);
    kept.generation = 0;
    if (kept.registrations.empty())
        kept.persists_through_power_loss = false;
    OLIO_ASSERT(
        read && read->registrations.size() == kept.registrations.size() && read->type == kept.type,
        "what is written can be read");
}

void fuzz_list(std::uint8_t choice, Bytes list) {
    PersistentReservations now;
    const unsigned registered = choice >> 6;
    for (unsigned i = 0; i < registered; ++i)
        now.registrations.push_back({nexus(i), 0x0101010101010101ULL * (i + 1), false, false, 0});
    if (registered != 0 && (choice & 0x20) != 0) {
        now.type = (choice & 0x10) != 0 ? ReservationType::exclusive_access_all_registrants
                                        : ReservationType::write_exclusive_registrants_only;
        now.registrations[0].holds = (choice & 0x10) == 0;
    }
    std::array<std::uint8_t, 10> cdb{0x5F, static_cast<std::uint8_t>((choice & 15) % 9)};
    if (!list.empty()) {
        cdb[2] = list[0];
        now.any_session = (list[0] & 0x80) != 0;
        list = list.subspan(1);
    }
    const auto out = parse_reserve_out(cdb, list);
    if (!out) {
        OLIO_ASSERT(out.error().key == SenseKey::illegal_request, "no other error");
        return;
    }
    const ReservationSurroundings around{
        {nexus(0), nexus(1), nexus(2)}, {{{}, 1, "a"}, {{}, 2, "b"}}, true, maximum};
    for (unsigned from = 0; from < 2; ++from) {
        const auto change = apply(now, *out, nexus(from), 0, around);
        if (!change)
            continue;
        check(change->next, now.any_session);
        for (const ReservationNotice& notice : change->notices)
            OLIO_ASSERT(!(notice.nexus == nexus(from)), "who asks is not told");
    }
}

void fuzz_file(Bytes bytes) {
    const auto all = parse_aptpl(as_text(bytes), maximum);
    if (!all)
        return;
    check(*all, true);
    const auto again = parse_aptpl(write_aptpl(*all), maximum);
    OLIO_ASSERT(again && *again == *all, "what is read is what was written");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0)
        return 0;
    if (data[0] == 'P' || data[0] == 'N')
        fuzz_file(Bytes(data, size));
    else
        fuzz_list(data[0], Bytes(data + 1, size - 1));
    return 0;
}
