// Lists of SET TARGET PORT GROUPS, and the texts that an administrator or a file brings: whatever
// comes, the table stays consistent and what was read is written alike.
#include <array>
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "scsi/access_states.h"

namespace {

using namespace olio;
using namespace olio::scsi;

AccessStateTable make_table() {
    AccessStateTable table;
    for (std::uint16_t id = 1; id <= 3; ++id) {
        TargetPortGroup group;
        group.id = id;
        group.name = std::string(1, static_cast<char>('a' + id));
        group.transition_delay_ms = id == 2 ? 100 : 0;
        (void)put_group(table, std::move(group));
        (void)put_port(table, id, id);
    }
    return table;
}

void check(const AccessStateTable& table) {
    for (const TargetPortGroup& group : table.groups)
        OLIO_ASSERT(!group.target && (group.supported_states & bit_of(group.state)) != 0,
                    "a group is in a state that it supports");
}

void set_groups(Bytes list) {
    AccessStateTable table = make_table();
    const auto changes = parse_set_target_port_groups(list, table, 1);
    if (!changes)
        return;
    const auto transition = begin_transition(table, *changes, AccessStatus::explicitly);
    OLIO_ASSERT(transition.has_value(), "what was parsed can begin");
    AccessStateTable cancelled = table;
    cancel_transition(cancelled, *transition);
    check(cancelled);
    finish_transition(table, *transition);
    check(table);
}

void texts(std::string_view text) {
    if (const auto referrals = parse_referrals(text)) {
        const auto again = parse_referrals(format_referrals(*referrals));
        OLIO_ASSERT(again && *again == *referrals, "referrals are written as they are read");
        for (const std::uint64_t lba : {0ULL, 1ULL, 0x7FFFFFFFULL, ~0ULL})
            for (const std::uint64_t blocks : {0ULL, 1ULL, 100ULL, 0xFFFFFFFFULL, ~0ULL})
                (void)state_of_blocks(*referrals, 1, lba, blocks);
    }
    if (const auto group = parse_group_metadata(text))
        OLIO_ASSERT(group->state <= AccessState::lba_dependent, "only primary states are read");
    (void)parse_port_metadata(text);
    (void)access_state_of(text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const Bytes bytes(data, size);
    if (bytes.empty())
        return 0;
    if ((bytes[0] & 1) == 0)
        set_groups(bytes.subspan(1));
    else
        texts({reinterpret_cast<const char*>(bytes.data()) + 1, bytes.size() - 1});
    return 0;
}
