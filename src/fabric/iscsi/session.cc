#include "fabric/iscsi/session.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "fabric/iscsi/connection.h"

namespace olio::iscsi {

namespace {

constexpr std::uint32_t max_immediate_tasks = 16;
constexpr std::size_t max_held_pdus = 64;  // those without a task

IscsiTask& task_of(target::Command& command) noexcept {
    return static_cast<IscsiTask&>(command);
}

std::size_t bucket_of(std::uint32_t task_tag, std::size_t buckets) noexcept {
    // Tags are often counters, or counters in the high half.
    return (task_tag ^ task_tag >> 16) % buckets;
}

using Engine = target::TaskManagementFunction;

struct FunctionRow {
    TaskManagementFunction function;
    Engine engine;
    bool
        waits_for_predecessors;  // affects tasks whose commands may be still on their way (4.2.3.3)
    std::uint32_t protocol_level;
};

constexpr FunctionRow functions[] = {
    {TaskManagementFunction::abort_task, Engine::abort_task, false, 0},
    {TaskManagementFunction::abort_task_set, Engine::abort_task_set, true, 0},
    {TaskManagementFunction::clear_aca, Engine::clear_aca, false, 0},
    {TaskManagementFunction::clear_task_set, Engine::clear_task_set, true, 0},
    {TaskManagementFunction::logical_unit_reset, Engine::logical_unit_reset, true, 0},
    {TaskManagementFunction::target_warm_reset, Engine::target_reset, true, 0},
    {TaskManagementFunction::target_cold_reset, Engine::target_reset, true, 0},
    {TaskManagementFunction::query_task, Engine::query_task, false, 2},
    {TaskManagementFunction::query_task_set, Engine::query_task_set, false, 2},
    {TaskManagementFunction::i_t_nexus_reset, Engine::i_t_nexus_reset, true, 2},
    {TaskManagementFunction::query_async_event, Engine::query_asynchronous_event, false, 2},
};

TaskManagementResult result_of(target::TaskManagementResponse response) noexcept {
    using enum target::TaskManagementResponse;
    switch (response) {
        case function_complete:
            return TaskManagementResult::complete;
        case function_succeeded:
            return TaskManagementResult::succeeded;
        case task_does_not_exist:
            return TaskManagementResult::task_does_not_exist;
        case lun_does_not_exist:
            return TaskManagementResult::lun_does_not_exist;
        case function_not_supported:
            return TaskManagementResult::function_not_supported;
        case function_rejected:
            break;
    }
    return TaskManagementResult::rejected;
}

}  // namespace

Session::Session(Options options, SessionOwner& owner)
    : options_(std::move(options)), owner_(owner), exp_cmd_sn_(options_.first_cmd_sn) {
    options_.command_window =
        std::clamp<std::uint32_t>(options_.command_window, 1, limits::commands_per_nexus);
}

Session::~Session() {
    OLIO_ASSERT(connections_.empty(), "a session is destroyed before its connections");
    for (const IscsiTask* task : by_tag_)
        OLIO_ASSERT(task == nullptr, "a session is destroyed with tasks");
}

void Session::close(std::move_only_function<void()> fenced,
                    std::move_only_function<void()> drained) {
    OLIO_ASSERT(connections_.empty(), "a session is closed with connections");
    if (nexus_ == nullptr) {
        fenced();
        drained();
        return;
    }
    nexus_->close(std::move(fenced), std::move(drained));
}

void Session::add(Connection& connection) {
    connections_.push_back(&connection);
}

void Session::remove(Connection& connection) noexcept {
    std::erase(connections_, &connection);
    remove_held(connection);
    for (const auto& management : management_)
        if (management->connection == &connection)
            management->connection = nullptr;
    for_each_task(connection, [this](IscsiTask& task) {
        if (task.state == TaskState::answering)
            end_unsent(task);
        else
            task.connection = nullptr;  // the engine ends it: transfer terminated, then discarded
    });
}

void Session::end_unsent(IscsiTask& task) noexcept {
    finished(task);
    release(task);
}

void Session::for_each_task(const Connection& connection,
                            const std::function<void(IscsiTask&)>& function) {
    // The function may end any task, and so change the chains.
    std::vector<IscsiTask*> tasks;
    for (IscsiTask* task : by_tag_)
        for (; task != nullptr; task = task->next)
            if (task->connection == &connection)
                tasks.push_back(task);
    for (IscsiTask* task : tasks)
        if (task->connection == &connection)
            function(*task);
}

Arrival Session::classify(std::uint32_t cmd_sn) const noexcept {
    if (cmd_sn == exp_cmd_sn_)
        return window_used_ < options_.command_window ? Arrival::deliver : Arrival::ignore;
    if (serial_less(cmd_sn, exp_cmd_sn_) || serial_less(max_cmd_sn(), cmd_sn))
        return Arrival::ignore;
    const bool duplicate = std::ranges::any_of(
        held_, [cmd_sn](const Held& held) { return held.takes_cmd_sn && held.cmd_sn == cmd_sn; });
    return duplicate ? Arrival::ignore : Arrival::hold;
}

void Session::advance(IscsiTask& task) noexcept {
    ++exp_cmd_sn_;
    ++window_used_;
    task.holds_window = true;
}

IscsiTask* Session::take_task(Connection& connection, std::uint32_t task_tag, bool immediate) {
    if (immediate && immediate_tasks_ == max_immediate_tasks)
        return nullptr;
    if (unused_ == nullptr) {
        // Tasks whose last PDU is queued have left the window already, so there may be more of
        // them.
        const std::size_t bound =
            options_.command_window + max_immediate_tasks + limits::commands_per_nexus;
        if (chunks_.size() * tasks_per_chunk >= bound)
            return nullptr;
        chunks_.push_back(std::make_unique<IscsiTask[]>(tasks_per_chunk));
        for (std::size_t i = 0; i < tasks_per_chunk; ++i) {
            chunks_.back()[i].next = unused_;
            unused_ = &chunks_.back()[i];
        }
    }
    IscsiTask* task = unused_;
    unused_ = task->next;
    task->reset();
    task->connection = &connection;
    task->task_tag = task_tag;
    task->tag = task_tag;
    task->immediate = immediate;
    if (immediate)
        ++immediate_tasks_;
    IscsiTask*& bucket = by_tag_[bucket_of(task_tag, buckets)];
    task->next = bucket;
    bucket = task;
    return task;
}

IscsiTask* Session::find_task(std::uint32_t task_tag) noexcept {
    IscsiTask* task = by_tag_[bucket_of(task_tag, buckets)];
    while (task != nullptr && task->task_tag != task_tag)
        task = task->next;
    return task;
}

void Session::unhash(IscsiTask& task) noexcept {
    IscsiTask** link = &by_tag_[bucket_of(task.task_tag, buckets)];
    while (*link != &task)
        link = &(*link)->next;
    *link = task.next;
}

void Session::leave_window(IscsiTask& task) noexcept {
    if (!task.holds_window)
        return;
    task.holds_window = false;
    --window_used_;
}

void Session::release(IscsiTask& task) noexcept {
    if (task.connection != nullptr)
        task.connection->forget(task);
    leave_window(task);
    if (task.immediate)
        --immediate_tasks_;
    unhash(task);
    task.reset();
    task.connection = nullptr;
    task.next = unused_;
    unused_ = &task;
}

void Session::submit(IscsiTask& task) noexcept {
    task.state = TaskState::submitted;
    ++counters_.commands;
    nexus_->submit(task);
}

bool Session::acquire_staging(IscsiTask& task, std::uint32_t length_bytes) {
    if (options_.buffers == nullptr)
        return false;
    task.staging = options_.buffers->acquire(length_bytes);
    task.staging_bytes = task.staging ? length_bytes : 0;
    return static_cast<bool>(task.staging);
}

void Session::insert_held(Held held) {
    const auto at = std::ranges::find_if(held_, [&held](const Held& other) {
        return serial_less(held.cmd_sn, other.cmd_sn) ||
               (held.cmd_sn == other.cmd_sn && !held.takes_cmd_sn && other.takes_cmd_sn);
    });
    held_.insert(at, std::move(held));
}

void Session::hold(IscsiTask& task) {
    task.state = TaskState::held;
    insert_held({.cmd_sn = task.cmd_sn, .task = &task, .connection = task.connection, .data = {}});
}

bool Session::hold(Connection& connection, const BasicHeader& bhs, std::vector<std::uint8_t> data,
                   bool takes_cmd_sn) {
    const auto pdus = std::ranges::count_if(held_, [](const Held& held) { return !held.task; });
    if (static_cast<std::size_t>(pdus) >= max_held_pdus ||
        held_bytes_ + data.size() > limits::async_output_bytes)
        return false;
    held_bytes_ += data.size();
    insert_held({.cmd_sn = load_be<std::uint32_t>(&bhs[24]),
                 .takes_cmd_sn = takes_cmd_sn,
                 .connection = &connection,
                 .bhs = bhs,
                 .data = std::move(data)});
    return true;
}

void Session::remove_held(const Connection& connection) noexcept {
    for (Held& held : held_) {
        if (held.connection != &connection)
            continue;
        held.connection = nullptr;
        held_bytes_ -= held.data.size();
        held.data.clear();
        if (IscsiTask* task = std::exchange(held.task, nullptr))
            release(*task);
    }
    // Nobody waits for what was lost with its connection: the numbers are free again.
    std::erase_if(held_, [](const Held& held) { return !held.connection && !held.task; });
}

void Session::deliver_held() {
    if (delivering_)
        return;
    delivering_ = true;
    while (!held_.empty() && held_.front().cmd_sn == exp_cmd_sn_) {
        if (held_.front().task != nullptr && window_used_ == options_.command_window)
            break;
        Held held = std::move(held_.front());
        held_.erase(held_.begin());
        held_bytes_ -= held.data.size();
        if (held.task != nullptr) {
            advance(*held.task);
            submit(*held.task);
            continue;
        }
        if (held.takes_cmd_sn)
            advance();
        if (held.connection != nullptr)
            held.connection->deliver(held.bhs, std::move(held.data));
    }
    delivering_ = false;
}

void Session::data_out_received(IscsiTask& task) noexcept {
    task.state = TaskState::submitted;
    counters_.bytes_from_host += task.data_out.size();
    nexus_->data_out_received(task);
}

void Session::data_out_failed(IscsiTask& task) noexcept {
    task.state = TaskState::submitted;
    task.failure_reported = true;
    nexus_->data_out_failed(task, task.failure);
}

void Session::finished(IscsiTask& task) noexcept {
    nexus_->finished(task);
}

void Session::transfer_terminated(IscsiTask& task) noexcept {
    task.state = TaskState::submitted;
    nexus_->transfer_terminated(task);
}

void Session::receive_data_out(target::Command& command) noexcept {
    IscsiTask& task = task_of(command);
    task.state = TaskState::receiving;
    if (task.connection != nullptr)
        task.connection->begin_data_out(task);
}

void Session::complete(target::Command& command) noexcept {
    IscsiTask& task = task_of(command);
    task.state = TaskState::answering;
    if (task.connection != nullptr)
        task.connection->send_response(task);
    else
        end_unsent(task);
}

void Session::terminate_transfer(target::Command& command) noexcept {
    IscsiTask& task = task_of(command);
    task.terminating = true;
    if (task.connection != nullptr)
        task.connection->stop_data_out(task);
    else
        transfer_terminated(task);
}

void Session::discard(target::Command& command) noexcept {
    end_unsent(task_of(command));
}

std::optional<TaskManagementResult> Session::abort_undelivered(
    const TaskManagementRequestPdu& pdu) {
    for (Held& held : held_) {
        if (held.task == nullptr || held.task->task_tag != pdu.referenced_task_tag)
            continue;
        release(*std::exchange(held.task, nullptr));
        held.connection = nullptr;
        return TaskManagementResult::complete;
    }
    if (find_task(pdu.referenced_task_tag) != nullptr)
        return std::nullopt;
    // 11.5.5: a command that was not received yet counts as received from now on.
    if (serial_less(pdu.ref_cmd_sn, pdu.cmd_sn) && classify(pdu.ref_cmd_sn) != Arrival::ignore) {
        insert_held({.cmd_sn = pdu.ref_cmd_sn, .data = {}});
        return TaskManagementResult::complete;
    }
    return TaskManagementResult::task_does_not_exist;
}

bool Session::task_management(Connection& connection, const TaskManagementRequestPdu& pdu) {
    if (pdu.function() == TaskManagementFunction::task_reassign) {
        answer_management(connection, pdu.task_tag,
                          TaskManagementResult::allegiance_reassignment_not_supported);
        return true;
    }
    const auto* row = std::ranges::find(functions, pdu.function(), &FunctionRow::function);
    if (row == std::end(functions) || row->protocol_level > options_.parameters.protocol_level ||
        nexus_ == nullptr) {
        answer_management(connection, pdu.task_tag, TaskManagementResult::function_not_supported);
        return true;
    }
    if (row->waits_for_predecessors && pdu.immediate && serial_less(exp_cmd_sn_, pdu.cmd_sn) &&
        !serial_less(max_cmd_sn() + 1, pdu.cmd_sn))
        return hold(connection, encode(pdu), {}, false);
    if (pdu.function() == TaskManagementFunction::abort_task) {
        if (const auto result = abort_undelivered(pdu)) {
            answer_management(connection, pdu.task_tag, *result);
            return true;
        }
    }
    if (management_.size() == max_management)
        return false;
    auto request = std::make_unique<Management>();
    request->function = row->engine;
    store_be(request->lun.bytes.data(), pdu.lun);
    request->referenced_tag = pdu.referenced_task_tag;
    request->session = this;
    request->connection = &connection;
    request->task_tag = pdu.task_tag;
    request->cold_reset = pdu.function() == TaskManagementFunction::target_cold_reset;
    management_.push_back(std::move(request));
    nexus_->task_management(*management_.back());
    return true;
}

void Session::answer_management(Connection& connection, std::uint32_t task_tag,
                                TaskManagementResult result,
                                std::array<std::uint8_t, 3> additional) {
    TaskManagementResponsePdu pdu;
    pdu.task_tag = task_tag;
    pdu.response = result;
    pdu.additional = additional;
    auto answer = std::make_unique<Answer>();
    answer->header = encode(pdu);
    answer->fence = true;
    connection.send(std::move(answer));
}

void Session::task_management_executed(target::TaskManagement& request) noexcept {
    const auto found = std::ranges::find_if(
        management_, [&request](const auto& each) { return each.get() == &request; });
    OLIO_ASSERT(found != management_.end(), "a task management function ended twice");
    const std::unique_ptr<Management> done = std::move(*found);
    management_.erase(found);
    if (done->connection != nullptr)
        answer_management(*done->connection, done->task_tag, result_of(done->response),
                          done->additional);
    if (done->cold_reset && done->response == target::TaskManagementResponse::function_complete)
        owner_.cold_reset();
}

}  // namespace olio::iscsi
