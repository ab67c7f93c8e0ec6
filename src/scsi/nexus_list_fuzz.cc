// Any bytes as the parameter lists of CHANGE ALIASES and SET PRIORITY; what is taken is reported as
// it was given.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/assert.h"
#include "base/limits.h"
#include "scsi/request_testing.h"

using namespace olio;
using namespace olio::scsi;

namespace {

void change(Bytes list) {
    scsi::testing::Asked unit;
    const auto aliases = change_aliases({}, list);
    if (!aliases) {
        OLIO_ASSERT(aliases.error().key == SenseKey::illegal_request, "no other error");
        return;
    }
    OLIO_ASSERT(aliases->size() <= limits::aliases_per_nexus_and_unit, "there is a limit");
    unit.nexus.aliases = *aliases;
    const std::uint8_t report[12]{0xA3, 0x0B, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0};
    auto back = unit.ask(report);
    OLIO_ASSERT(back.has_value() && back->size() >= 8, "aliases are reported");
    store_be<std::uint32_t>(back->data() + 4, 0);  // the number of aliases: reserved in the list
    const auto again = change_aliases({}, *back);
    OLIO_ASSERT(again.has_value() && *again == *aliases, "a report is a list of the same aliases");
}

void set(Bytes list, std::uint8_t scope) {
    scsi::testing::Asked unit;
    const std::vector<KnownNexus> nexuses{
        {1, {*TransportId::from_words(ProtocolIdentifier::iscsi, "iqn.host", "1"), 1, {}}}};
    const std::uint8_t cdb[12]{0xA4, 0x0E, scope, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0};
    const auto wanted = parse_set_priority(cdb, list);
    if (!wanted) {
        OLIO_ASSERT(wanted.error().key == SenseKey::illegal_request, "no other error");
        return;
    }
    const auto changed = set_priority(unit.state, *wanted, 1, nexuses);
    OLIO_ASSERT(!changed || changed->size() <= nexuses.size(), "only nexuses that exist");
    OLIO_ASSERT(unit.state.priorities.size() <= nexuses.size(), "one each");
    OLIO_ASSERT(priority_of(unit.state, 1) <= 0x0F, "four bits");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0)
        return 0;
    const Bytes list(data + 1, size - 1);
    if ((data[0] & 1) != 0)
        change(list);
    else
        set(list, static_cast<std::uint8_t>(data[0] & 0xC0));
    return 0;
}
