#include "target/task_set.h"

#include "target/device_server.h"

namespace olio::target {

using scsi::TaskAttribute;

bool TaskSet::may_start(const Command& command) const noexcept {
    if (command.attribute == TaskAttribute::ordered)
        return active_ == 0 && !blocked_;
    return (head_of_queue_ | ordered_ | static_cast<std::uint32_t>(blocked_)) == 0;
}

void TaskSet::enable(Command& command) noexcept {
    ++active_;
    if (command.attribute == TaskAttribute::ordered) {
        command.place_ = Command::Place::ordered;
        ++ordered_;
    } else {
        command.place_ = Command::Place::simple;
    }
}

bool TaskSet::passes_others(Command& command) noexcept {
    const bool implicitly = command.row_->ordering == scsi::Ordering::implicit_head_of_queue;
    if (!implicitly && command.attribute < TaskAttribute::head_of_queue) [[likely]]
        return false;
    ++active_;
    if (implicitly || command.attribute == TaskAttribute::aca) {
        // SAM-5 8.6.3 lets these pass all others; nobody waits for them but an ORDERED command.
        command.place_ = Command::Place::unordered;
    } else {
        ++head_of_queue_;
        command.place_ = Command::Place::head_of_queue;
    }
    return true;
}

void TaskSet::enter(Command& command) noexcept {
    if (passes_others(command))
        return;
    if (dormant_.empty() && may_start(command)) [[likely]] {
        enable(command);
        return;
    }
    command.place_ = Command::Place::dormant;
    ++dormant_count_;
    dormant_.push_back(command);
}

void TaskSet::postpone(Command& command) noexcept {
    withdraw(command);
    command.place_ = Command::Place::dormant;
    ++dormant_count_;
    dormant_.push_front(command);
}

void TaskSet::withdraw(Command& command) noexcept {
    switch (std::exchange(command.place_, Command::Place::outside)) {
        case Command::Place::outside:
            return;
        case Command::Place::dormant:
            dormant_.remove(command);
            --dormant_count_;
            return;
        case Command::Place::ordered:
            --ordered_;
            break;
        case Command::Place::head_of_queue:
            --head_of_queue_;
            break;
        case Command::Place::simple:
        case Command::Place::unordered:
            break;
    }
    --active_;
}

void TaskSet::leave(Command& command) noexcept {
    withdraw(command);
    pump();
}

void TaskSet::enable_dormant() noexcept {
    if (pumping_)
        return;  // the loop below looks again after each step
    pumping_ = true;
    while (!dormant_.empty()) {
        Command& command = dormant_.front();
        // Those that pass all others are here only if an ACA condition came between.
        const bool passing = !blocked_ && passes_others(command);
        if (!passing && !may_start(command))
            break;
        dormant_.remove(command);
        --dormant_count_;
        if (!passing)
            enable(command);
        if (command.stage_ == CommandStage::dormant)
            DeviceServer::advance(command);
    }
    pumping_ = false;
}

}  // namespace olio::target
