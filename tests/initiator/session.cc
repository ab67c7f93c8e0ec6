#include "initiator/session.h"

#include <algorithm>

#include "base/assert.h"

namespace olio::initiator {
namespace {

// A task's tag: generation and slot, so that an answer that comes twice is seen to be unknown. Tags
// of logins, functions, texts and NOPs have the highest slot number.
constexpr std::uint32_t slot_bits = 12;
constexpr std::uint32_t service_slot = (1U << slot_bits) - 1;

}  // namespace

void Settings::set(std::string_view key, std::string value) {
    for (auto& pair : keys) {
        if (pair.first == key) {
            pair.second = std::move(value);
            return;
        }
    }
    keys.emplace_back(key, std::move(value));
}

std::uint8_t Task::sense_key() const noexcept {
    const Bytes bytes = sense();
    if (bytes.size() < 3)
        return 0;
    return ((bytes[0] & 0x7f) >= 0x72 ? bytes[1] : bytes[2]) & 0x0f;
}

std::uint16_t Task::additional_sense() const noexcept {
    const Bytes bytes = sense();
    if (bytes.size() >= 4 && (bytes[0] & 0x7f) >= 0x72)
        return load_be<std::uint16_t>(&bytes[2]);
    return bytes.size() >= 14 ? load_be<std::uint16_t>(&bytes[12]) : 0;
}

// One task more than asked for: while Listener::task_finished runs, its task is still taken.
Session::Session(Settings settings, Listener& listener, std::size_t tasks)
    : settings_(std::move(settings)),
      listener_(listener),
      tsih_(settings_.tsih),
      cmd_sn_(settings_.first_cmd_sn),
      exp_cmd_sn_(cmd_sn_),
      max_cmd_sn_(cmd_sn_ - 1),
      tasks_(std::min(tasks, most_tasks) + 1) {
    free_.reserve(tasks_.size());
    for (std::size_t i = tasks_.size(); i != 0; --i) {
        free_.push_back(static_cast<std::uint16_t>(i - 1));
        tasks_[i - 1].tag = static_cast<std::uint32_t>(i - 1);
    }
    functions_.reserve(16);
}

Task* Session::find(std::uint32_t tag) noexcept {
    const std::uint32_t slot = tag & service_slot;
    if (slot >= tasks_.size() || !tasks_[slot].busy || tasks_[slot].tag != tag)
        return nullptr;
    return &tasks_[slot];
}

Task* Session::take_task() noexcept {
    if (under_way_ + 1 >= tasks_.size() || free_.empty())
        return nullptr;
    Task& task = tasks_[free_.back()];
    free_.pop_back();
    ++under_way_;
    const std::uint32_t tag = task.tag + (1U << slot_bits);
    task.busy = true;
    task.tag = tag;
    task.outcome = Outcome::answered;
    task.response = 0;
    task.status = 0;
    task.residual = 0;
    task.data_in_received = 0;
    task.data_out_sent = 0;
    task.sense_length = 0;
    task.next_data_in_offset = 0;
    task.data_in_pdus = 0;
    task.sequence_bytes = 0;
    task.next_r2t_offset = 0;
    task.r2ts = 0;
    task.r2ts_held = 0;
    return &task;
}

void Session::finish(Connection& on, Task& task, Outcome outcome) {
    OLIO_ASSERT(task.busy, "a task is finished twice");
    task.outcome = outcome;
    --under_way_;
    listener_.task_finished(on, task);
    task.busy = false;
    free_.push_back(static_cast<std::uint16_t>(task.tag & service_slot));
}

std::uint32_t Session::next_service_tag() noexcept {
    service_tags_ = (service_tags_ + 1) % 0xffff0;  // never no_tag
    return service_tags_ << slot_bits | service_slot;
}

bool Session::covers(const FunctionResult& function, const Task& task) noexcept {
    const FunctionRequest& request = function.request;
    const bool older = before(task.cmd_sn, function.cmd_sn) ||
                       (task.cmd_sn == function.cmd_sn && task.order < function.order);
    switch (request.function) {
        case Function::abort_task:
            return task.tag == request.referenced_tag;
        case Function::abort_task_set:
        case Function::clear_task_set:
        case Function::logical_unit_reset:
            return task.lun == request.lun && older;
        case Function::target_warm_reset:
        case Function::target_cold_reset:
        case Function::i_t_nexus_reset:
            return older;
        default:
            return false;
    }
}

void Session::finish_covered(Connection& on, const FunctionResult& function) {
    for (Task& task : tasks_)
        if (task.busy && covers(function, task))
            finish(on, task, Outcome::aborted);
}

void Session::connection_closed(Connection& which) {
    for (Task& task : tasks_)
        if (task.busy && task.connection == &which)
            finish(which, task, Outcome::connection_lost);
    for (std::size_t i = 0; i < functions_.size();) {
        if (functions_[i].connection != &which) {
            ++i;
            continue;
        }
        FunctionResult lost = functions_[i];
        functions_.erase(functions_.begin() + static_cast<std::ptrdiff_t>(i));
        lost.connection_lost = true;
        listener_.function_finished(which, lost);
    }
}

}  // namespace olio::initiator
