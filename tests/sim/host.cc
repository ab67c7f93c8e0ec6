#include "host.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace olio::sim {
namespace {

using reactor::nanoseconds_per_ms;
using reactor::nanoseconds_per_second;

// What has no excuse must be answered within this time; a disk takes 30 ms at most.
constexpr std::uint64_t patience_ns = 10 * nanoseconds_per_second;
// After this time nothing is an excuse: no stall and no network fault lasts so long.
constexpr std::uint64_t last_patience_ns = 90 * nanoseconds_per_second;
constexpr std::uint64_t abort_after_ns = 12 * nanoseconds_per_second;
constexpr std::uint64_t reconnect_after_ns = 30 * nanoseconds_per_second;
constexpr std::uint64_t abort_held_after_ns = 100 * nanoseconds_per_ms;
constexpr std::size_t most_faults = 20;
constexpr std::uint32_t check_blocks = 16;
constexpr std::uint8_t naca = 0x04;  // of the CONTROL byte
constexpr std::uint8_t check_condition = 0x02;
constexpr std::uint8_t aca_active = 0x30;

}  // namespace

void Stage::over(Time at) {
    const auto found = active_.find(at);
    if (--found->second == 0)
        active_.erase(found);
    const Time oldest = active_.empty() ? time_ + 1 : active_.begin()->first;
    for (const auto& unit : units)
        unit->model.forget_before(oldest);
}

void Stage::fault(const std::string& who, const std::string& what) {
    if (faults_.size() < most_faults)
        faults_.push_back(who + ": " + what);
    if (verbose_)
        fmt::print("             FAULT {}: {}\n", who, what);
}

void Stage::say(std::uint64_t now_ns, const std::string& who, const std::string& what) const {
    fmt::print("{:>12} {} {}: {}\n", now_ns, time_, who, what);
}

Host::Host(Stage& stage, const Scenario& scenario, reactor::Shard& shard, std::string name,
           std::uint64_t seed, const MakeSession& make_session)
    : stage_(stage),
      scenario_(scenario),
      shard_(shard),
      name_(std::move(name)),
      random_(seed),
      session_(make_session(*this)),
      left_(scenario.commands_per_session) {}

void Host::start() {
    connecting_ = true;
    connecting_since_ns_ = shard_.now();
    session_->connect();
    shard_.start(*this, random_.below(5) * nanoseconds_per_ms);
}

void Host::fault(const std::string& what) {
    if (!stage_.stopped)
        stage_.fault(name_, what);
}

std::string Host::state() const {
    std::string text =
        fmt::format("{}: {} commands left, session: {}", name_, left_, session_->state());
    for (const auto& [id, command] : commands_)
        text += "\n    waits for " + describe(*command);
    for (const auto& [id, function] : functions_)
        text += fmt::format("\n    waits for function {} on LUN {}",
                            static_cast<int>(function.function), function.lun);
    return text;
}

// --- What the session says ---

void Host::session_ready() {
    say("ready");
    connecting_ = false;
    const Time now = stage_.tick();
    for (const auto& command : lost_)
        lost_is_over(*command, *stage_.units[command->lun], now);
    lost_.clear();
    ++stage_.counts["sessions"];
}

void Host::session_lost() {
    say("lost");
    faulted_.clear();
    if (!commands_.empty() || !functions_.empty())
        fault("a session is lost, but not everything of it was ended");
    if (closing_)
        return;
    // A login that failed counts on from its first attempt.
    const bool was_connecting = std::exchange(connecting_, false);
    const std::uint64_t since = connecting_since_ns_;
    reconnect_if_lost();
    if (was_connecting)
        connecting_since_ns_ = since;
}

void Host::reconnect_if_lost() {
    if (session_->ready() || connecting_)
        return;
    connecting_ = true;
    connecting_since_ns_ = shard_.now();
    session_->connect();
}

void Host::command_ended(WriteId id, const Answer& answer) {
    const auto at = commands_.find(id);
    if (at == commands_.end())
        return fault(fmt::format("command {} is answered twice", id));
    const auto command = std::move(at->second);
    commands_.erase(at);
    Unit& unit = *stage_.units[command->lun];
    const Time now = stage_.tick();
    stage_.note(id);
    stage_.note(static_cast<std::uint64_t>(answer.how) << 32 | std::uint64_t{answer.status} << 24 |
                answer.additional_sense);
    if (stage_.verbose())
        say(fmt::format("{} {}, {:#x}/{:#x}/{:#06x}", describe(*command),
                        answer.how == Answer::How::answered  ? "answered"
                        : answer.how == Answer::How::aborted ? "aborted"
                                                             : "lost",
                        answer.status, answer.sense_key, answer.additional_sense));
    ++stage_.counts[fmt::format("{} {}", name_of(command->kind),
                                answer.how == Answer::How::aborted         ? "aborted"
                                : answer.how == Answer::How::lost          ? "lost"
                                : answer.status == 0 || answer.status == 4 ? "good"
                                                                           : "refused or failed")];
    const Bytes cdb = command->cdb;
    if (answer.how == Answer::How::answered &&
        (answer.status == aca_active ||
         (answer.status == check_condition && (cdb.back() & naca) != 0)))
        faulted_.insert(command->lun);
    stage_.over(command->begun);
    if (stage_.stopped)
        return;
    if (const auto complaint = end(*command, unit, answer, now))
        fault(describe(*command) + ": " + *complaint);
    // The final check repeats what a unit attention swallowed.
    if (const auto check = checking_.extract(id);
        check && (answer.status != 0 || answer.how != Answer::How::answered))
        checks_.push_back(check.mapped());
    if (answer.how == Answer::How::lost) {
        auto copy = std::make_unique<HostCommand>(*command);
        copy->data_in.clear();
        lost_.push_back(std::move(copy));
    }
}

void Host::function_ended(std::uint64_t id, FunctionAnswer answer) {
    const auto at = functions_.find(id);
    if (at == functions_.end())
        return fault("a function is answered twice");
    say(fmt::format("function {} answered {}", static_cast<int>(at->second.function),
                    static_cast<int>(answer)));
    stage_.note(static_cast<std::uint64_t>(answer));
    ++stage_.counts[fmt::format("function {} {}", static_cast<int>(at->second.function),
                                answer == FunctionAnswer::complete ? "complete" : "otherwise")];
    if (answer == FunctionAnswer::refused && !stage_.stopped)
        fault(fmt::format("function {} is refused", static_cast<int>(at->second.function)));
    functions_.erase(at);
}

// --- What the host does ---

void Host::think() {
    if (closing_ && session_->ended())
        return;
    watch();
    if (session_->ready() && !faulted_.empty() && functions_.size() < 3 && chance(400))
        clear_aca();
    if (session_->ready() && !closing_ && !stage_.stopped) {
        if (!checks_.empty())
            send_verification();
        else if (!stage_.draining)
            act();
    }
    const std::uint64_t pause = left_ == 0 && checks_.empty() ? 20 : scenario_.think_most_ms;
    shard_.start(*this, random_.below(pause + 1) * nanoseconds_per_ms);
}

void Host::act() {
    if (left_ != 0 && chance(scenario_.cut_per_mille)) {
        say("cuts");
        ++stage_.counts["cuts"];
        return session_->cut();
    }
    if (left_ != 0 && chance(scenario_.function_per_mille) && functions_.size() < 3)
        return send_function();
    const std::uint64_t burst = 1 + random_.below(scenario_.depth);
    for (std::uint64_t i = 0; i < burst && left_ != 0 && commands_.size() < scenario_.depth; ++i)
        send_new();
}

void Host::send_new() {
    Unit& unit = *stage_.units[random_.below(stage_.units.size())];
    auto command = make_command(random_, stage_.next_id(), unit);
    if (scenario_.naca_per_mille != 0 && chance(scenario_.naca_per_mille)) {
        command->cdb.bytes[command->cdb.length - 1] |= naca;
        unit.naca_used = true;
    }
    if (faulted_.contains(unit.lun) && chance(300))
        command->attribute = Attribute::aca;
    command->hold_data_out =
        command->kind == Kind::write && command->cells > 1 && chance(scenario_.hold_per_mille);
    if (send(std::move(command)))
        --left_;
}

bool Host::send(std::unique_ptr<HostCommand> command) {
    HostCommand& sent = *command;
    Unit& unit = *stage_.units[sent.lun];
    sent.sent_ns = shard_.now();
    const Time now = stage_.tick();
    stage_.begun(now);
    begin(sent, unit, now);
    commands_.emplace(sent.id, std::move(command));
    if (session_->submit(sent)) {
        if (stage_.verbose())
            say("sends " + describe(sent));
        return true;
    }
    (void)end(sent, unit, {.how = Answer::How::answered, .status = 0x08}, now);  // as if BUSY
    stage_.over(now);
    commands_.erase(sent.id);
    return false;
}

void Host::send_function() {
    HostFunction function;
    function.lun = static_cast<std::uint32_t>(random_.below(stage_.units.size()));
    const std::uint64_t choice = random_.below(10);
    if (choice < 5) {
        if (commands_.empty())
            return;
        auto at = commands_.begin();
        std::advance(at, random_.below(commands_.size()));
        if (!at->second->abort_asked)
            send_abort(*at->second);
        return;
    }
    function.function = choice < 7   ? Function::abort_task_set
                        : choice < 8 ? Function::clear_task_set
                        : choice < 9 ? Function::logical_unit_reset
                                     : Function::target_warm_reset;
    send_function(function);
}

// What was blocked goes on then. The condition may be established again before that is executed:
// the next answer says so.
void Host::clear_aca() {
    HostFunction function;
    function.function = Function::clear_aca;
    function.lun = *faulted_.begin();
    faulted_.erase(faulted_.begin());
    send_function(function);
}

void Host::send_abort(HostCommand& command) {
    command.abort_asked = true;
    HostFunction function;
    function.lun = command.lun;
    function.referenced = command.id;
    send_function(function);
}

void Host::send_function(HostFunction function) {
    function.id = stage_.next_id();
    function.sent_ns = shard_.now();
    for (const auto& unit : stage_.units)
        unit->functions_used = true;
    say(fmt::format("sends function {} for LUN {}, command {}", static_cast<int>(function.function),
                    function.lun, function.referenced));
    functions_.emplace(function.id, function);
    session_->manage(function);
}

// --- What the host watches ---

bool Host::excused(const Unit& unit, std::uint64_t since_ns) const {
    return unit.stalled || unit.excused_until_ns >= since_ns || held_until_ns_ >= since_ns ||
           stage_.network_excused_until_ns >= since_ns;
}

void Host::watch() {
    const std::uint64_t now = shard_.now();
    if (stage_.stopped)
        return;
    for (const auto& [id, command] : commands_)
        if (command->hold_data_out)
            held_until_ns_ = now;
    bool hopeless = false;
    HostCommand* abort = nullptr;
    for (const auto& [id, command] : commands_) {
        const std::uint64_t age = now - command->sent_ns;
        const bool excuse = excused(*stage_.units[command->lun], command->sent_ns);
        if ((age > patience_ns && !excuse) || age > last_patience_ns) {
            fault(fmt::format("{} is not answered for {} ms\n    {}", describe(*command),
                              age / nanoseconds_per_ms, state()));
            command->sent_ns = now;
        }
        if (!command->abort_asked &&
            age > (command->hold_data_out ? abort_held_after_ns : abort_after_ns))
            abort = command.get();
    }
    for (auto& [id, function] : functions_) {
        const std::uint64_t age = now - function.sent_ns;
        const bool excuse =
            std::any_of(stage_.units.begin(), stage_.units.end(),
                        [&](const auto& unit) { return excused(*unit, function.sent_ns); });
        if ((age > patience_ns && !excuse) || age > last_patience_ns) {
            fault(fmt::format("function {} is not answered for {} ms\n    {}",
                              static_cast<int>(function.function), age / nanoseconds_per_ms,
                              state()));
            function.sent_ns = now;
        }
        hopeless |= age > reconnect_after_ns;
    }
    const std::uint64_t could_connect_since =
        std::max(connecting_since_ns_, std::min(now, stage_.network_excused_until_ns));
    if (connecting_ && now - could_connect_since > last_patience_ns) {
        fault("no login for 90 s\n    " + state());
        connecting_since_ns_ = now;
    }
    if (!session_->ready())
        return;
    if (hopeless)
        session_->cut();
    else if (abort != nullptr && functions_.size() < 3)
        send_abort(*abort);
}

void Host::verify_everything(unsigned rounds) {
    for (unsigned round = 0; round < rounds; ++round)
        for (const auto& unit : stage_.units)
            for (std::uint64_t lba = 0; lba < unit->blocks; lba += check_blocks)
                checks_.push_back({unit->lun, lba,
                                   static_cast<std::uint32_t>(
                                       std::min<std::uint64_t>(check_blocks, unit->blocks - lba))});
    left_ = 0;
}

void Host::send_verification() {
    while (!checks_.empty() && commands_.size() < 8) {
        const Check check = checks_.back();
        auto command =
            make_read(stage_.next_id(), *stage_.units[check.unit], check.lba, check.blocks);
        const WriteId id = command->id;
        checks_.pop_back();
        checking_.emplace(id, check);
        if (!send(std::move(command))) {
            checking_.erase(id);
            checks_.push_back(check);
            return;
        }
    }
}

void Host::close() {
    closing_ = true;
    session_->close();
}

}  // namespace olio::sim
