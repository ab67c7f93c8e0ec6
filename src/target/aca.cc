#include "target/aca.h"

#include <memory>
#include <utility>
#include <vector>

namespace olio::target {

using scsi::Status;
using scsi::TaskAttribute;
namespace sense = scsi::sense;

namespace {

// QERR (SPC-5 7.5.10).
constexpr bool aborts(std::uint8_t queue_error_management) noexcept {
    return queue_error_management == 0b01 || queue_error_management == 0b11;
}

}  // namespace

bool DeviceServer::Aca::admit(Command& command) noexcept {
    ITLNexus* const itl = command.itl_;
    const bool aca_attribute = command.attribute == TaskAttribute::aca;
    if (itl == nullptr || !itl->aca) {
        if (!aca_attribute)
            return true;
        // SAM-5 8.6.5: there is no ACA condition that it could belong to.
        refuse(command, scsi::make_sense(sense::invalid_message_error));
        return false;
    }
    if (!aca_attribute || itl->aca_command != nullptr) {
        refuse_with_status(command, Status::aca_active);
        return false;
    }
    itl->aca_command = &command;
    command.watched_ = true;
    return true;
}

void DeviceServer::Aca::forget(Command& command) noexcept {
    if (command.itl_ != nullptr && command.itl_->aca_command == &command)
        command.itl_->aca_command = nullptr;
}

bool DeviceServer::Aca::keeps_back(Command& command) noexcept {
    if (command.abort_) {
        end_aborted(command);
        return true;
    }
    ITLNexus& itl = *command.itl_;
    if (itl.aca_command == &command) {
        itl.aca_command = nullptr;
        if (command.status != Status::check_condition)
            return false;
        // SAM-5 5.9.5: it ends the condition, and may establish the next one. What that lets go
        // comes after its own answer.
        ITNexusImpl& nexus = itl.nexus();
        nexus.enter();
        itl.aca = false;
        send_answer(command);
        if (!itl.aca)
            clear(itl);
        nexus.leave();
        return true;
    }
    if (!itl.aca)
        return false;
    command.stage_ = CommandStage::blocked;
    leave_medium(command);
    itl.kept_back.push_back(command);
    return true;
}

void DeviceServer::Aca::unsuccessful(Command& command) noexcept {
    if (command.itl_ == nullptr)
        return;
    if (command.row_ != nullptr)
        ++command.unit_->counters[scsi::row_index(*command.row_)].errors;
    if (command.status != Status::check_condition || command.of_copy_manager_)
        return;
    if (scsi::naca(command.cdb))
        establish(command);
    else if (aborts(command.unit_->state().mode_pages.queue_error_management))
        abort_others(command);
}

void DeviceServer::Aca::establish(Command& command) noexcept {
    ITLNexus& itl = *command.itl_;
    itl.aca = true;
    itl.aca_command = nullptr;
    itl.tasks.block();
    if (aborts(command.unit_->state().mode_pages.queue_error_management))
        abort_others(command);
    else
        block_others(command);
}

// From the newest to the oldest, so that those that become dormant keep their order.
void DeviceServer::Aca::block_others(Command& faulted) noexcept {
    std::vector<Command*> others;
    for (Command& command : static_cast<ITNexusImpl&>(faulted.nexus()).all_commands())
        if (&command != &faulted && command.itl_ == faulted.itl_ && !command.abort_)
            others.push_back(&command);
    for (std::size_t i = others.size(); i-- > 0;) {
        Command& command = *others[i];
        switch (command.stage_) {
            case CommandStage::executing:
                command.watched_ = true;
                break;
            case CommandStage::fenced:
                command.wait_hook_.unlink();
                command.stage_ = CommandStage::dormant;
                faulted.itl_->tasks.postpone(command);
                break;
            case CommandStage::awaiting_buffer:
            case CommandStage::awaiting_data_out:
                if (command.place_ != Command::Place::dormant)
                    faulted.itl_->tasks.postpone(command);
                break;
            default:
                break;
        }
    }
}

// Nobody is told of their end: the host learns it from the CHECK CONDITION. They can send no answer
// from now on; what they hold they give back from the loop, for one of them may be further up the
// stack.
void DeviceServer::Aca::abort_others(Command& faulted) {
    auto marked = std::make_shared<Marked>();
    for (Command& command : static_cast<ITNexusImpl&>(faulted.nexus()).all_commands())
        if (&command != &faulted && command.itl_ == faulted.itl_)
            mark(*marked, command, AbortMode::silent, nullptr, false);
    if (!marked->empty())
        faulted.unit_->shard().post([marked] { abort_marked(*marked); });
}

void DeviceServer::Aca::clear(ITLNexus& itl) noexcept {
    itl.aca = false;
    // An answer that was kept back may be a CHECK CONDITION with NACA: then the rest stays.
    while (!itl.aca && !itl.kept_back.empty()) {
        Command& command = *itl.kept_back.pop_front();
        command.watched_ = false;
        send_answer(command);
    }
    if (!itl.aca)
        itl.tasks.unblock();
}

}  // namespace olio::target
