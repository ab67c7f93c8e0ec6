// How commands are aborted (SAM-5 5.6): in whichever stage they are, and so that none of them
// reaches the medium behind the back of those that come after.
#include <utility>

#include "target/aca.h"
#include "target/device_server.h"

namespace olio::target {

using scsi::MediumAccess;
using scsi::Status;

namespace {

[[nodiscard]] const ITNexusImpl& impl(const Command& command) noexcept {
    return static_cast<const ITNexusImpl&>(command.nexus());
}

}  // namespace

void DeviceServer::mark(Marked& marked, Command& command, AbortMode mode, const Ticket& ticket,
                        bool transfers) {
    const CommandStage stage = command.stage_;
    if (stage == CommandStage::idle || stage == CommandStage::completing ||
        stage == CommandStage::discarding)
        return;  // it has been answered
    const bool first = command.abort_ == nullptr;
    if (first) {
        command.abort_ = std::make_shared<AbortRecord>();
        command.abort_->mode = mode;
        command.watched_ = true;
        marked.push_back(command);
        if (command.place_ == Command::Place::dormant)
            command.itl_->tasks.withdraw(command);
    } else if (mode == AbortMode::silent) {
        command.abort_->mode = mode;
    }
    Command* const inner = stage == CommandStage::executing && command.extension_ != nullptr
                               ? command.extension_->at_work()
                               : nullptr;
    if (inner != nullptr) {  // whatever can reach a medium for this one is that
        mark(marked, *inner, AbortMode::silent, ticket, transfers);
        return;
    }
    if (ticket == nullptr)
        return;
    AbortRecord& record = *command.abort_;
    const bool transferring =
        stage == CommandStage::awaiting_data_out || stage == CommandStage::terminating;
    if (stage == CommandStage::executing) {
        if (command.home_active_)
            record.until_finished.push_back(ticket);
        else if (command.store_active_ && command.access_ == MediumAccess::writes &&
                 record.fence == 0)
            record.until_fenced.push_back(ticket);
        // Else it cannot reach the medium, or COMPARE AND WRITE has its own fence around it.
    } else if (!transferring || transfers) {
        record.until_finished.push_back(ticket);
    }
}

void DeviceServer::abort_marked(Marked& marked) noexcept {
    while (Command* command = marked.pop_front())
        abort(*command);
}

void DeviceServer::abort(Command& command) noexcept {
    switch (command.stage_) {
        case CommandStage::awaiting_buffer:
            impl(command).shard().buffers().cancel(command.waiter_);
            end_aborted(command);
            return;
        case CommandStage::dormant:
        case CommandStage::fenced:
        case CommandStage::blocked:
            command.wait_hook_.unlink();
            end_aborted(command);
            return;
        case CommandStage::awaiting_data_out:
            command.stage_ = CommandStage::terminating;
            command.services_->terminate_transfer(command);
            return;
        case CommandStage::executing:
            if (command.extension_ && command.extension_->abandon()) {
                end_aborted(command);
                return;
            }
            if (!command.store_active_)
                return;  // the home shard, a fence or its continuation comes back to it
            if (command.access_ == MediumAccess::writes)
                fence_orphan(command);
            command.unit_->channel().cancel(command.io_);
            return;
        case CommandStage::idle:
        case CommandStage::completing:
        case CommandStage::terminating:
        case CommandStage::discarding:
        case CommandStage::count:
            return;
    }
}

// The store has the write and may do it at any time from now on: newer ones must not come before
// it.
void DeviceServer::fence_orphan(Command& command) {
    const std::shared_ptr<AbortRecord> record = command.abort_;
    if (std::exchange(record->fence_asked, true))
        return;
    LogicalUnitImpl& unit = command.unit_->unit();
    record->unit = unit.shared_from_this();
    unit.raise_fence({{command.first_block_, command.end_block_}, FenceKind::orphan},
                     [record](FenceId fence) {
                         record->fence = fence;
                         if (record->ended)
                             record->unit->lower_fence(fence);
                         const auto tickets = std::exchange(record->until_fenced, {});
                     });
}

void DeviceServer::end_aborted(Command& command) noexcept {
    const std::shared_ptr<AbortRecord> record = std::move(command.abort_);
    command.abort_ = nullptr;
    const bool respond_to_host = record->mode == AbortMode::task_aborted;
    command.stage_ = respond_to_host ? CommandStage::completing : CommandStage::discarding;
    Aca::forget(command);
    leave_medium(command);
    record->ended = true;
    if (record->fence != 0)
        record->unit->lower_fence(record->fence);
    TransportServices& services = *command.services_;
    if (respond_to_host) {
        encode(command, Status::task_aborted, {});
        set_residual(command, command.data_received_ ? command.transfer_bytes_ : 0);
        services.complete(command);
    } else {
        services.discard(command);
    }
    // Now those who waited for it may answer.
    const auto fenced = std::exchange(record->until_fenced, {});
    const auto finished = std::exchange(record->until_finished, {});
}

}  // namespace olio::target
