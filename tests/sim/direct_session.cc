#include "direct_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/assert.h"

namespace olio::sim {
namespace {

constexpr std::uint64_t data_out_most_ms = 3;
constexpr std::uint64_t data_in_most_ms = 2;
constexpr std::uint64_t news_most_ms = 2;

scsi::TaskAttribute attribute_of(Attribute attribute) {
    switch (attribute) {
        case Attribute::ordered:
            return scsi::TaskAttribute::ordered;
        case Attribute::head_of_queue:
            return scsi::TaskAttribute::head_of_queue;
        case Attribute::aca:
            return scsi::TaskAttribute::aca;
        default:
            return scsi::TaskAttribute::simple;
    }
}

target::TaskManagementFunction function_of(Function function) {
    using target::TaskManagementFunction;
    switch (function) {
        case Function::abort_task:
            return TaskManagementFunction::abort_task;
        case Function::abort_task_set:
            return TaskManagementFunction::abort_task_set;
        case Function::clear_aca:
            return TaskManagementFunction::clear_aca;
        case Function::clear_task_set:
            return TaskManagementFunction::clear_task_set;
        case Function::logical_unit_reset:
            return TaskManagementFunction::logical_unit_reset;
        case Function::target_warm_reset:
        case Function::target_cold_reset:
            return TaskManagementFunction::target_reset;
        default:
            return TaskManagementFunction::query_task;
    }
}

FunctionAnswer answer_of(target::TaskManagementResponse response) {
    switch (response) {
        case target::TaskManagementResponse::function_complete:
        case target::TaskManagementResponse::function_succeeded:
            return FunctionAnswer::complete;
        case target::TaskManagementResponse::task_does_not_exist:
            return FunctionAnswer::no_such_task;
        default:
            return FunctionAnswer::refused;
    }
}

// Fixed or descriptor format.
void read_sense(Bytes sense, Answer& answer) {
    if (sense.size() < 8)
        return;
    const bool descriptor = (sense[0] & 0x7f) >= 0x72;
    answer.sense_key = (descriptor ? sense[1] : sense[2]) & 0x0f;
    if (descriptor)
        answer.additional_sense = load_be<std::uint16_t>(&sense[2]);
    else if (sense.size() >= 14)
        answer.additional_sense = load_be<std::uint16_t>(&sense[12]);
}

}  // namespace

DirectSession::DirectSession(reactor::Shard& shard, target::Engine& engine,
                             const target::TargetPort& port, std::string name,
                             std::shared_ptr<const target::LunMap> luns, SessionUser& user,
                             std::uint64_t seed)
    : shard_(shard),
      engine_(engine),
      port_(port),
      name_(std::move(name)),
      luns_(std::move(luns)),
      user_(user),
      random_(seed) {}

DirectSession::~DirectSession() = default;

void DirectSession::Later::fired() noexcept {
    const auto self = session.timers_.find(this);
    const auto holder = std::move(self->second);
    session.timers_.erase(self);
    holder->function();
}

void DirectSession::later(std::uint64_t most_ms, std::function<void()> what) {
    auto timer = std::make_unique<Later>(*this, std::move(what));
    Later& armed = *timer;
    timers_.emplace(&armed, std::move(timer));
    shard_.start(armed, random_.below(most_ms + 1) * reactor::nanoseconds_per_ms);
}

// What the host learns comes later, one after the other.
void DirectSession::tell(std::function<void()> what) {
    news_.push_back(std::move(what));
    if (telling_)
        return;
    telling_ = true;
    later(news_most_ms, [this] {
        auto news = std::move(news_);
        news_.clear();
        telling_ = false;
        for (auto& item : news)
            item();
    });
}

// --- The host's calls ---

void DirectSession::connect() {
    OLIO_ASSERT(state_ == State::closed, "a session connects twice");
    state_ = State::connecting;
    try_connect();
}

// A new session may start when the old one's commands are behind a fence.
void DirectSession::try_connect() {
    if (state_ != State::connecting)
        return;  // closed meanwhile
    for (const auto& life : lives_)
        if (!life->fenced)
            return later(5, [this] { try_connect(); });
    std::erase_if(
        lives_, [](const auto& life) { return life->nexus == nullptr && life->requests.empty(); });
    target::InitiatorPort initiator;
    initiator.name = name_;
    initiator.transport_id.assign(24, 0x45);
    auto life = std::make_shared<Life>();
    auto nexus = engine_.establish_nexus(port_, std::move(initiator), luns_, *this);
    if (!nexus)
        return user_.fault("establish_nexus: " + nexus.error().message);
    life->nexus = std::move(*nexus);
    lives_.push_back(std::move(life));
    state_ = State::ready;
    tell([this] { user_.session_ready(); });
}

bool DirectSession::submit(const HostCommand& command) {
    if (state_ != State::ready)
        return false;
    Life& life = *lives_.back();
    auto owned = std::make_unique<Task>();
    Task& task = *owned;
    task.host = &command;
    task.life = &life;
    task.id = command.id;
    task.order = next_order_++;
    task.lun = scsi::Lun::from_number(command.lun);
    task.tag = command.id;
    task.attribute = attribute_of(command.attribute);
    task.cdb = command.cdb.span();
    task.expected_data_out_bytes = static_cast<std::uint32_t>(command.data_out.size());
    task.expected_data_in_bytes = static_cast<std::uint32_t>(command.data_in.size());
    task.unsolicited_data = !command.data_out.empty() && random_.below(2) == 0;
    life.tasks.emplace(command.id, std::move(owned));
    const bool unsolicited = task.unsolicited_data;
    life.nexus->submit(task);
    const Task* after = find(life, command.id);
    if (unsolicited && after != nullptr && after->stage == Stage::submitted)
        user_.fault("submit returned without a place for unsolicited data");
    return true;
}

void DirectSession::manage(const HostFunction& function) {
    Life& life = *lives_.back();
    auto owned = std::make_unique<Request>();
    Request& request = *owned;
    request.host = function;
    request.life = &life;
    request.order = next_order_++;
    request.function = function_of(function.function);
    request.lun = scsi::Lun::from_number(function.lun);
    request.referenced_tag = function.referenced;
    life.requests.emplace(function.id, std::move(owned));
    life.nexus->task_management(request);
}

void DirectSession::cut() {
    if (state_ != State::ready)
        return;
    lose_life();
    tell([this] { user_.session_lost(); });
}

void DirectSession::lose_life() {
    Life& life = *lives_.back();
    state_ = State::closed;
    life.current = false;
    for (auto& [id, task] : life.tasks) {
        if (task->host == nullptr)
            continue;
        task->host = nullptr;
        tell([this, id] { user_.command_ended(id, {.how = Answer::How::lost}); });
    }
    for (auto& [id, request] : life.requests)
        tell([this, id] { user_.function_ended(id, FunctionAnswer::lost); });
    life.nexus->close(
        [&life] { life.fenced = true; },
        [this, &life] {
            life.drained = true;
            if (life.nexus->commands() != 0)
                user_.fault(
                    fmt::format("a nexus is drained with {} commands", life.nexus->commands()));
            for (const auto& [id, task] : life.tasks)
                if (task->engines)
                    user_.fault("a nexus is drained, but a command was never given back");
            // Not from inside this call.
            later(1, [life = life.shared_from_this()] { life->nexus.reset(); });
        });
}

void DirectSession::close() {
    if (state_ == State::ready)
        lose_life();
    state_ = State::closed;
}

bool DirectSession::ended() const {
    return state_ == State::closed &&
           std::all_of(lives_.begin(), lives_.end(),
                       [](const auto& life) { return life->drained && life->nexus == nullptr; });
}

std::string DirectSession::state() const {
    std::string text = fmt::format("state {}", static_cast<int>(state_));
    for (const auto& life : lives_) {
        text +=
            fmt::format("; nexus{}{}{} commands {} functions {}", life->current ? " current" : "",
                        life->fenced ? " fenced" : "", life->drained ? " drained" : "",
                        life->nexus ? life->nexus->commands() : 0, life->requests.size());
        for (const auto& [id, task] : life->tasks)
            if (task->engines)
                text +=
                    fmt::format(" [{} stage {} engine stage {}]", id, static_cast<int>(task->stage),
                                static_cast<int>(task->Command::stage()));
    }
    return text;
}

// --- The engine's calls ---

DirectSession::Task* DirectSession::find(Life& life, WriteId id) {
    const auto at = life.tasks.find(id);
    return at == life.tasks.end() ? nullptr : at->second.get();
}

void DirectSession::receive_data_out(target::Command& command) noexcept {
    auto& task = static_cast<Task&>(command);
    if (task.stage != Stage::submitted || task.aborted)
        user_.fault("receive_data_out comes twice or late");
    if (task.data_out.size() > task.expected_data_out_bytes)
        user_.fault("receive_data_out asks for more than the host has");
    task.stage = Stage::receiving;
    // A host that is gone sends nothing; one that holds its data waits to be aborted.
    if (task.host == nullptr || task.host->hold_data_out)
        return;
    later(data_out_most_ms,
          [this, life = task.life->shared_from_this(), id = task.id] { data_arrives(*life, id); });
}

void DirectSession::data_arrives(Life& life, WriteId id) {
    Task* task = find(life, id);
    if (task == nullptr || task->stage != Stage::receiving || task->terminating ||
        task->host == nullptr)
        return;
    task->stage = Stage::received;
    if (random_.below(200) == 0)
        return life.nexus->data_out_failed(*task, {0x4b, 0x00});  // DATA PHASE ERROR
    const auto& from = task->host->data_out;
    std::memcpy(task->data_out.data(), from.data(), std::min(task->data_out.size(), from.size()));
    life.nexus->data_out_received(*task);
}

void DirectSession::complete(target::Command& command) noexcept {
    auto& task = static_cast<Task&>(command);
    if (task.stage == Stage::completing || task.stage == Stage::over)
        user_.fault("a command is completed twice");
    if (task.stage == Stage::receiving)
        user_.fault("a command is completed while its data arrive");
    if (task.aborted)
        user_.fault("a command is answered after the function that aborted it");
    task.stage = Stage::completing;
    // The data leave later: borrowed memory may change until then.
    later(data_in_most_ms,
          [this, life = task.life->shared_from_this(), id = task.id] { data_in_sent(*life, id); });
}

void DirectSession::data_in_sent(Life& life, WriteId id) {
    Task& task = *find(life, id);
    if (task.host != nullptr) {
        Answer answer;
        answer.status = static_cast<std::uint8_t>(task.status);
        read_sense(task.sense(), answer);
        auto* host = const_cast<HostCommand*>(task.host);
        for (const iovec& piece : task.data_in()) {
            if (answer.data_in_bytes + piece.iov_len > host->data_in.size()) {
                user_.fault("more data-in than the host expects");
                break;
            }
            std::memcpy(host->data_in.data() + answer.data_in_bytes, piece.iov_base, piece.iov_len);
            answer.data_in_bytes += static_cast<std::uint32_t>(piece.iov_len);
        }
        task.host = nullptr;
        tell([this, id, answer] { user_.command_ended(id, answer); });
    }
    give_back(task);
}

void DirectSession::give_back(Task& task) {
    task.stage = Stage::over;
    Life& life = *task.life;
    life.nexus->finished(task);
    task.engines = false;
    if (task.host == nullptr)
        life.tasks.erase(task.id);
    // Otherwise the answer to the function that ended it tells the host (abort_covered).
}

void DirectSession::terminate_transfer(target::Command& command) noexcept {
    auto& task = static_cast<Task&>(command);
    if (task.stage != Stage::receiving || task.terminating)
        return user_.fault("terminate_transfer without a transfer");
    task.terminating = true;
    const auto stop = [this, life = task.life->shared_from_this(), id = task.id] {
        Task* stopped = find(*life, id);
        stopped->stage = Stage::received;
        life->nexus->transfer_terminated(*stopped);
    };
    if (random_.below(2) == 0)
        stop();
    else
        later(data_out_most_ms, stop);
}

void DirectSession::discard(target::Command& command) noexcept {
    auto& task = static_cast<Task&>(command);
    if (task.stage == Stage::receiving)
        user_.fault("a command is discarded while its data arrive");
    if (task.stage == Stage::completing || task.stage == Stage::over)
        user_.fault("a command is discarded after its end");
    if (task.host != nullptr && task.life->current && task.life->requests.empty())
        user_.fault(fmt::format("command {} is discarded, and the host would never know", task.id));
    give_back(task);
}

void DirectSession::task_management_executed(target::TaskManagement& request) noexcept {
    auto& done = static_cast<Request&>(request);
    Life& life = *done.life;
    if (life.current) {
        if (answer_of(done.response) == FunctionAnswer::complete)
            abort_covered(done);
        const Task* task = find(life, done.host.referenced);
        if (done.response == target::TaskManagementResponse::task_does_not_exist &&
            task != nullptr && task->engines && task->stage != Stage::completing)
            user_.fault("a task does not exist, says the engine, but it has it");
        tell([this, id = done.host.id, answer = answer_of(done.response)] {
            user_.function_ended(id, answer);
        });
    }
    life.requests.erase(done.host.id);
}

// The host takes the function's answer for the end of what it covers and has not been answered. The
// engine may keep such a command a while behind a fence, but it must not answer it any more.
void DirectSession::abort_covered(const Request& request) {
    if (request.function == target::TaskManagementFunction::clear_aca)
        return;  // it ends no command
    const bool one = request.function == target::TaskManagementFunction::abort_task;
    const bool all = request.function == target::TaskManagementFunction::target_reset;
    const auto end = [this](Task& task) {
        if (task.stage == Stage::completing)
            return;  // its answer is on the way, before the function's
        task.host = nullptr;
        task.aborted = true;
        tell([this, id = task.id] { user_.command_ended(id, {.how = Answer::How::aborted}); });
    };
    auto& tasks = request.life->tasks;
    for (auto at = tasks.begin(); at != tasks.end();) {
        Task& task = *(at++)->second;
        const bool covered = one ? task.id == request.host.referenced
                                 : task.order < request.order && (all || task.lun == request.lun);
        if (!covered || task.host == nullptr)
            continue;
        end(task);
        if (!task.engines)
            tasks.erase(task.id);
    }
}

}  // namespace olio::sim
