#include "reactor/shard.h"

#include <bit>
#include <cerrno>
#include <utility>

#include "base/assert.h"
#include "reactor/buffer_pool.h"

namespace olio::reactor {
namespace {

thread_local Shard* current_shard = nullptr;

std::uint64_t splitmix(std::uint64_t& state) noexcept {
    std::uint64_t z = (state += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

constexpr std::size_t timers_reserved = 4096;

class FunctionMessage final : public Message {
  public:
    explicit FunctionMessage(std::move_only_function<void()> function)
        : function_(std::move(function)) {}
    void delivered() noexcept override {
        function_();
        delete this;
    }

  private:
    std::move_only_function<void()> function_;
};

}  // namespace

Timer::~Timer() {
    if (shard_ != nullptr)
        shard_->stop(*this);
}

Random::Random(std::uint64_t seed) noexcept : state_{} {
    for (std::uint64_t& word : state_)
        word = splitmix(seed);
}

std::uint64_t Random::next() noexcept {
    const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const std::uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return result;
}

std::uint64_t Random::below(std::uint64_t bound) noexcept {
    OLIO_ASSERT(bound != 0, "nothing lies below zero");
    // Numbers under the remainder of 2^64 by the bound would make the small results likelier.
    const std::uint64_t uneven = (0 - bound) % bound;
    std::uint64_t number = next();
    while (number < uneven)
        number = next();
    return number % bound;
}

TimerHeap::TimerHeap() {
    entries_.reserve(timers_reserved);
}

void TimerHeap::put(std::size_t slot, const Entry& entry) noexcept {
    entries_[slot] = entry;
    entry.timer->slot_ = slot;
}

void TimerHeap::sift_up(std::size_t slot, Entry entry) noexcept {
    while (slot != 0) {
        const std::size_t parent = (slot - 1) / 2;
        if (!(entry < entries_[parent]))
            break;
        put(slot, entries_[parent]);
        slot = parent;
    }
    put(slot, entry);
}

void TimerHeap::sift_down(std::size_t slot, Entry entry) noexcept {
    for (;;) {
        std::size_t child = 2 * slot + 1;
        if (child >= entries_.size())
            break;
        if (child + 1 < entries_.size() && entries_[child + 1] < entries_[child])
            ++child;
        if (!(entries_[child] < entry))
            break;
        put(slot, entries_[child]);
        slot = child;
    }
    put(slot, entry);
}

void TimerHeap::insert(Timer& timer, Nanoseconds deadline) {
    const Entry entry{deadline, started_++, &timer};
    entries_.push_back(entry);
    sift_up(entries_.size() - 1, entry);
}

void TimerHeap::remove(Timer& timer) noexcept {
    const std::size_t slot = timer.slot_;
    const Entry last = entries_.back();
    entries_.pop_back();
    if (slot == entries_.size())
        return;
    if (slot != 0 && last < entries_[(slot - 1) / 2])
        sift_up(slot, last);
    else
        sift_down(slot, last);
}

Shard::Shard(unsigned index, std::uint64_t seed, std::size_t buffer_limit_bytes)
    : index_(index), random_(seed), buffers_(std::make_unique<BufferPool>(buffer_limit_bytes)) {}

Shard::~Shard() {
    abandon();
}

Shard* Shard::current() noexcept {
    return current_shard;
}

void Shard::submit(Operation& operation) noexcept {
    OLIO_ASSERT(!operation.in_flight_, "an operation is submitted twice");
    OLIO_ASSERT(operation.kind_ != OperationKind::none, "an operation without arguments");
    operation.in_flight_ = true;
    operation.cancelled_ = false;
    operation.finished_ = false;
    operation.shard_ = this;
    operation.next_ = nullptr;
    operation.cookie_ = 0;
    in_flight_.push_back(operation);
    if (ended_)
        finish(operation, -ECANCELED);
    else
        start_operation(operation);
}

void Shard::cancel(Operation& operation) noexcept {
    if (!operation.in_flight_ || operation.cancelled_ || operation.finished_)
        return;
    OLIO_ASSERT(operation.shard_ == this, "an operation is cancelled on another shard");
    operation.cancelled_ = true;
    cancel_operation(operation);
}

void Shard::start(Timer& timer, Nanoseconds after) noexcept {
    stop(timer);
    // From the clock and not from now(): a long turn must not make a timer early. Rounded up to the
    // resolution, so that timers of about the same time share one turn.
    const Nanoseconds time = clock();
    Nanoseconds deadline = never - 1;
    if (after < never - time - nanoseconds_per_ms)
        deadline =
            (time + after + nanoseconds_per_ms - 1) / nanoseconds_per_ms * nanoseconds_per_ms;
    timers_.insert(timer, deadline);
    timer.shard_ = this;
}

void Shard::stop(Timer& timer) noexcept {
    if (timer.shard_ == nullptr)
        return;
    OLIO_ASSERT(timer.shard_ == this, "a timer is stopped on another shard");
    timers_.remove(timer);
    timer.shard_ = nullptr;
}

void Shard::defer(Task& task) noexcept {
    if (!task.pending())
        tasks_.push_back(task);
}

void Shard::at_turn_end(Task& task) noexcept {
    if (!task.pending())
        turn_end_.push_back(task);
}

void Shard::post(Message& message) noexcept {
    mailbox_.push(message);
    wake_if_sleeping();
}

void Shard::post(std::move_only_function<void()> function) {
    post(*new FunctionMessage(std::move(function)));
}

void Shard::wake_if_sleeping() noexcept {
    // Sequentially consistent with loop(): either it sees what was pushed, or this sees it asleep.
    if (sleeping_.load(std::memory_order_seq_cst) &&
        sleeping_.exchange(false, std::memory_order_seq_cst))
        wake();
}

void Shard::ask_to_stop() noexcept {
    stopping_.store(true, std::memory_order_seq_cst);
    wake();
}

void Shard::finish(Operation& operation, std::int64_t result) noexcept {
    OLIO_ASSERT(operation.in_flight_ && !operation.finished_, "an operation ends twice");
    operation.finished_ = true;
    operation.result_ = result;
    in_flight_.remove(operation);
    finished_.push_back(operation);
}

void Shard::finish_remotely(Operation& operation, std::int64_t result) noexcept {
    operation.result_ = result;
    remote_.push(operation);
    wake_if_sleeping();
}

void Shard::collect_remote() noexcept {
    for (Operation* operation = remote_.take_all(); operation != nullptr;) {
        Operation* const next = std::exchange(operation->next_, nullptr);
        finish(*operation, operation->result_);
        operation = next;
    }
}

void Shard::complete_finished() noexcept {
    Operations due;  // what on_complete submits and finds done at once waits for the next turn
    due.splice_back(finished_);
    while (Operation* operation = due.pop_front()) {
        operation->in_flight_ = false;
        operation->on_complete(operation->result_);
    }
}

void Shard::run_tasks(Tasks& queue) noexcept {
    Tasks due;
    due.splice_back(queue);
    while (Task* task = due.pop_front())
        task->run();
}

void Shard::deliver_messages() noexcept {
    for (Message* message = mailbox_.take_all(); message != nullptr;) {
        Message* const next = message->next_;  // delivered() may destroy or post it again
        message->delivered();
        message = next;
    }
}

void Shard::fire_timers() noexcept {
    // A timer that starts again with no delay waits for the next turn.
    const std::uint64_t first_new = timers_.started();
    while (!timers_.empty() && timers_.deadline() <= now_ && timers_.front_number() < first_new) {
        Timer& timer = timers_.front();
        stop(timer);
        timer.fired();
    }
}

bool Shard::ready() const noexcept {
    auto& self = const_cast<Shard&>(*this);
    return !self.finished_.empty() || !self.tasks_.empty() || !self.turn_end_.empty() ||
           !mailbox_.empty() || !remote_.empty();
}

void Shard::turn() noexcept {
    Shard* const outer = std::exchange(current_shard, this);
    now_ = clock();
    collect_remote();
    complete_finished();
    run_tasks(tasks_);
    deliver_messages();
    if (!ended_)
        fire_timers();
    run_tasks(turn_end_);
    current_shard = outer;
}

void Shard::sleep_or_poll() noexcept {
    if (ready()) {
        poll(0);
        return;
    }
    sleeping_.store(true, std::memory_order_seq_cst);
    const bool stay_awake = !mailbox_.empty() || !remote_.empty() ||
                            (!ended_ && stopping_.load(std::memory_order_seq_cst));
    poll(stay_awake ? 0 : ended_ ? never : next_deadline());
    sleeping_.store(false, std::memory_order_seq_cst);
}

void Shard::end() noexcept {
    if (std::exchange(ended_, true))
        return;
    Operations uncancelled;  // a cancel may finish others too, so no iterator would do
    uncancelled.splice_back(in_flight_);
    while (Operation* operation = uncancelled.pop_front()) {
        in_flight_.push_back(*operation);
        cancel(*operation);
    }
}

void Shard::loop() noexcept {
    current_shard = this;
    now_ = clock();
    while (!stopping_.load(std::memory_order_relaxed)) {
        turn();
        if (stopping_.load(std::memory_order_relaxed))
            break;
        sleep_or_poll();
    }
    end();
    while (!in_flight_.empty()) {
        sleep_or_poll();
        turn();
    }
    current_shard = nullptr;
}

void Shard::abandon() noexcept {
    while (Operation* operation = finished_.pop_front())
        operation->in_flight_ = false;
    while (Operation* operation = in_flight_.pop_front())
        operation->in_flight_ = false;
    tasks_.clear();
    turn_end_.clear();
    while (!timers_.empty())
        stop(timers_.front());
}

}  // namespace olio::reactor
