#include "target/task_manager.h"

#include <set>

#include "target/aca.h"
#include "target/device_server.h"

namespace olio::target {

using Function = TaskManagementFunction;
using Response = TaskManagementResponse;

void TaskManager::answer(ITNexusImpl& nexus, TaskManagement& request, Response response) {
    request.response = response;
    nexus.services().task_management_executed(request);
    nexus.leave();
}

Ticket TaskManager::begin(ITNexusImpl& nexus, TaskManagement& request) {
    return when_released(
        [&nexus, &request] { answer(nexus, request, Response::function_complete); });
}

void TaskManager::abort_task(ITNexusImpl& nexus, ITLNexus& itl, TaskManagement& request) {
    // A command that something else aborts just now (another nexus's reset) may still be answered
    // TASK ABORTED: only when that is settled may the initiator be told that the task is gone.
    Command* const command = nexus.find_tag_to_abort(request.referenced_tag);
    if (command == nullptr || command->itl_ != &itl) {
        answer(nexus, request, Response::task_does_not_exist);
        return;
    }
    const Ticket ticket = begin(nexus, request);
    DeviceServer::Marked marked;
    DeviceServer::mark(marked, *command, AbortMode::silent, ticket, true);
    DeviceServer::abort_marked(marked);
}

// CLEAR TASK SET as well: the task set is that of this I_T nexus alone (TST = 001b, SPC-5 7.5.10).
void TaskManager::abort_task_set(ITNexusImpl& nexus, ITLNexus& itl, TaskManagement& request) {
    const Ticket ticket = begin(nexus, request);
    DeviceServer::Marked marked;
    for (Command& command : nexus.all_commands())
        if (command.itl_ == &itl)
            DeviceServer::mark(marked, command, AbortMode::silent, ticket, true);
    DeviceServer::abort_marked(marked);
}

void TaskManager::query_task_set(ITNexusImpl& nexus, ITLNexus& itl, TaskManagement& request) {
    bool found = false;
    for (Command& command : nexus.all_commands())
        found = found || (command.itl_ == &itl && !command.abort_ &&
                          command.stage_ != CommandStage::completing);
    answer(nexus, request, found ? Response::function_succeeded : Response::function_complete);
}

// SAM-5 7.10. Asking does not clear the condition.
void TaskManager::query_asynchronous_event(ITNexusImpl& nexus, ITLNexus& itl,
                                           TaskManagement& request) {
    constexpr std::uint8_t one_event = 1;
    constexpr std::uint8_t several_events = 2;
    const auto first = itl.attentions.first();
    if (!first)
        return answer(nexus, request, Response::function_complete);
    const std::uint8_t depth = itl.attentions.size() == 1 ? one_event : several_events;
    const scsi::SenseData sense = scsi::sense_of(*first);
    request.additional = {
        static_cast<std::uint8_t>(depth << 4 | static_cast<std::uint8_t>(sense.key)),
        sense.additional.code, sense.additional.qualifier};
    answer(nexus, request, Response::function_succeeded);
}

void TaskManager::reset_nexus(ITNexusImpl& nexus, TaskManagement& request) {
    const Ticket ticket = begin(nexus, request);
    for (const auto& itl : nexus.itls())
        itl->attentions.establish(scsi::UnitAttention::i_t_nexus_loss);
    nexus.forget_in_units(ticket);
    DeviceServer::Marked marked;
    for (Command& command : nexus.all_commands())
        DeviceServer::mark(marked, command, AbortMode::silent, ticket, true);
    DeviceServer::abort_marked(marked);
    for (const auto& itl : nexus.itls())
        DeviceServer::Aca::clear(*itl);
}

void TaskManager::reset_units(ITNexusImpl& nexus, std::vector<LogicalUnitImpl*> units,
                              TaskManagement& request) {
    const Ticket ticket = begin(nexus, request);
    // A unit may have several LUNs. The order stays that of the LUNs: a simulated run must replay.
    std::set<const LogicalUnitImpl*> seen;
    std::erase_if(units,
                  [&seen](const LogicalUnitImpl* unit) { return !seen.insert(unit).second; });
    for (LogicalUnitImpl* unit : units)
        unit->reset(nexus.id(), [held = Ticket(ticket)]() mutable { held.reset(); });
}

void TaskManager::execute(ITNexusImpl& nexus, TaskManagement& request) {
    nexus.enter();
    if (nexus.closing()) {
        answer(nexus, request, Response::function_rejected);
        return;
    }
    if (request.function == Function::i_t_nexus_reset) {
        reset_nexus(nexus, request);
        return;
    }
    if (request.function == Function::target_reset) {
        std::vector<LogicalUnitImpl*> units;
        for (const auto& itl : nexus.itls())
            units.push_back(&itl->view().unit());
        reset_units(nexus, std::move(units), request);
        return;
    }
    ITLNexus* const itl = nexus.find(request.lun);
    if (itl == nullptr) {
        answer(nexus, request, Response::lun_does_not_exist);
        return;
    }
    switch (request.function) {
        case Function::abort_task:
            return abort_task(nexus, *itl, request);
        case Function::abort_task_set:
        case Function::clear_task_set:
            return abort_task_set(nexus, *itl, request);
        case Function::clear_aca:  // without a condition there is nothing to do (SAM-5 7.4)
            DeviceServer::Aca::clear(*itl);
            return answer(nexus, request, Response::function_complete);
        case Function::logical_unit_reset:
            return reset_units(nexus, {&itl->view().unit()}, request);
        case Function::query_task: {
            const Command* command = nexus.find_tag(request.referenced_tag);
            return answer(nexus, request,
                          command != nullptr && command->itl_ == itl ? Response::function_succeeded
                                                                     : Response::function_complete);
        }
        case Function::query_task_set:
            return query_task_set(nexus, *itl, request);
        case Function::query_asynchronous_event:
            return query_asynchronous_event(nexus, *itl, request);
        case Function::i_t_nexus_reset:
        case Function::target_reset:
            break;
    }
    answer(nexus, request, Response::function_not_supported);
}

}  // namespace olio::target
