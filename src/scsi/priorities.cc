#include "scsi/priorities.h"

#include <algorithm>

#include "scsi/logical_unit_state.h"
#include "scsi/sense_codes.h"

namespace olio::scsi {

namespace {

constexpr std::uint8_t priority_mask = 0x0F;
constexpr std::size_t descriptor_header_bytes = 8;

std::uint8_t choice(Bytes cdb) {  // PRIORITY REPORTED, I_T_L NEXUS TO SET
    return cdb[2] >> 6;
}

auto is(NexusId id) {
    return [id](const NexusPriority& each) { return each.nexus.id == id; };
}

void put_priority(const NexusName& name, std::uint8_t priority, Builder& into) {
    into.u8(priority);
    into.u8(0);
    into.be16(name.relative_port);
    into.be16(0);
    into.be16(static_cast<std::uint16_t>(name.initiator.bytes().size()));
    into.bytes(name.initiator.bytes());
}

}  // namespace

std::uint8_t priority_of(const LogicalUnitState& state, NexusId nexus) noexcept {
    const auto found = std::ranges::find_if(state.priorities, is(nexus));
    return found == state.priorities.end() ? state.mode_pages.initial_command_priority
                                           : found->priority;
}

bool forget_priority(LogicalUnitState& state, NexusId nexus) {
    return std::erase_if(state.priorities, is(nexus)) != 0;
}

std::expected<SetPriority, SenseData> parse_set_priority(Bytes cdb, Bytes list) {
    if (choice(cdb) > static_cast<std::uint8_t>(PriorityScope::all_to_initial))
        return std::unexpected(invalid_field_in_cdb(2, 7));
    SetPriority wanted{.scope = static_cast<PriorityScope>(choice(cdb)), .initiator = {}};
    if (wanted.scope == PriorityScope::all_to_initial)
        return wanted;  // the list is not looked at
    if (list.size() < descriptor_header_bytes)
        return std::unexpected(make_sense(sense::parameter_list_length_error));
    wanted.priority = list[0] & priority_mask;
    if (wanted.scope == PriorityScope::own)
        return wanted;
    wanted.relative_port = load_be<std::uint16_t>(list.data() + 2);
    const std::size_t length = load_be<std::uint16_t>(list.data() + 6);
    if (length > list.size() - descriptor_header_bytes)
        return std::unexpected(make_sense(sense::parameter_list_length_error));
    auto parsed = TransportId::parse(list.subspan(descriptor_header_bytes, length));
    if (!parsed || !parsed->id.names_port())
        return std::unexpected(invalid_field_in_parameter_list(descriptor_header_bytes));
    wanted.initiator = std::move(parsed->id);
    return wanted;
}

std::expected<std::vector<NexusId>, SenseData> set_priority(LogicalUnitState& state,
                                                            const SetPriority& wanted, NexusId by,
                                                            std::span<const KnownNexus> nexuses) {
    std::vector<std::uint8_t> before;
    for (const KnownNexus& nexus : nexuses)
        before.push_back(priority_of(state, nexus.id));
    // One that left just when it was given a priority.
    std::erase_if(state.priorities, [&](const NexusPriority& each) {
        return std::ranges::find(nexuses, each.nexus.id, &KnownNexus::id) == nexuses.end();
    });
    bool found = wanted.scope != PriorityScope::named;
    if (wanted.scope == PriorityScope::all_to_initial)
        state.priorities.clear();
    for (const KnownNexus& nexus : nexuses) {
        const bool own = wanted.scope == PriorityScope::own && nexus.id == by;
        const bool named = wanted.scope == PriorityScope::named &&
                           nexus.name.relative_port == wanted.relative_port &&
                           nexus.name.initiator == wanted.initiator;
        if (!own && !named)
            continue;
        found = true;
        forget_priority(state, nexus.id);
        if (wanted.priority != 0)
            state.priorities.push_back({nexus, wanted.priority});
    }
    if (!found)
        return std::unexpected(invalid_field_in_parameter_list(2));
    std::vector<NexusId> changed;
    for (std::size_t i = 0; i < nexuses.size(); ++i)
        if (priority_of(state, nexuses[i].id) != before[i])
            changed.push_back(nexuses[i].id);
    return changed;
}

std::expected<void, SenseData> report_priority(const Request& request, Builder& into) {
    enum Reported : std::uint8_t { own, not_initial };
    const LogicalUnitState& state = *request.state;
    if (choice(request.cdb) > not_initial)
        return std::unexpected(invalid_field_in_cdb(2, 7));
    into.be32(0);  // PRIORITY PARAMETER DATA LENGTH, below
    if (choice(request.cdb) == not_initial) {
        for (const NexusPriority& each : state.priorities)
            if (each.priority != state.mode_pages.initial_command_priority)
                put_priority(each.nexus.name, each.priority, into);
    } else if (request.nexus.name != nullptr) {
        put_priority(*request.nexus.name, priority_of(state, request.nexus.id), into);
    }
    into.patch(0, static_cast<std::uint32_t>(into.size() - 4));
    return {};
}

}  // namespace olio::scsi
