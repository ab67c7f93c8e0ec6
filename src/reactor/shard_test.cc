// The suite that every back end passes: timers, tasks, messages and the end. Sockets and files have
// files of their own.
#include "reactor/shard.h"

#include <signal.h>

#include <array>
#include <atomic>
#include <optional>
#include <thread>
#include <vector>

#include "reactor/shard_test_harness.h"

namespace olio::reactor::testing {
namespace {

class ShardTest : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Backends, ShardTest, all_backends(), parameter_name);

TEST_P(ShardTest, CurrentIsTheRunningShardAndNoneElsewhere) {
    EXPECT_EQ(Shard::current(), nullptr);
    run([&] {
        EXPECT_EQ(Shard::current(), &shard());
        done();
    });
    EXPECT_EQ(Shard::current(), nullptr);
}

TEST_P(ShardTest, TimersFireInTheOrderOfTheirDeadlinesAndNeverEarly) {
    std::vector<int> order;
    Nanoseconds begin = 0;
    std::vector<std::unique_ptr<LambdaTimer>> timers;
    const std::array<unsigned, 6> delays_ms{30, 5, 20, 5, 0, 12};
    run([&] {
        begin = shard().now();
        for (unsigned i = 0; i < delays_ms.size(); ++i) {
            timers.push_back(std::make_unique<LambdaTimer>([&, i] {
                order.push_back(static_cast<int>(i));
                EXPECT_FALSE(timers[i]->armed());
                EXPECT_GE(shard().now(), begin + delays_ms[i] * nanoseconds_per_ms);
                if (order.size() == delays_ms.size())
                    done();
            }));
            shard().start(*timers.back(), delays_ms[i] * nanoseconds_per_ms);
            EXPECT_TRUE(timers.back()->armed());
        }
    });
    EXPECT_EQ(order, (std::vector<int>{4, 1, 3, 5, 2, 0}));
}

TEST_P(ShardTest, AStoppedOrDestroyedTimerDoesNotFireAndARestartedOneFiresOnce) {
    int stopped = 0;
    int destroyed = 0;
    int restarted = 0;
    LambdaTimer to_stop([&] { ++stopped; });
    auto to_destroy = std::make_unique<LambdaTimer>([&] { ++destroyed; });
    LambdaTimer to_restart([&] { ++restarted; });
    LambdaTimer last([&] { done(); });
    run([&] {
        shard().start(to_stop, 1 * nanoseconds_per_ms);
        shard().start(*to_destroy, 1 * nanoseconds_per_ms);
        shard().start(to_restart, 1 * nanoseconds_per_ms);
        shard().stop(to_stop);
        shard().stop(to_stop);
        to_destroy.reset();
        shard().start(to_restart, 3 * nanoseconds_per_ms);
        shard().start(last, 20 * nanoseconds_per_ms);
    });
    EXPECT_EQ(stopped, 0);
    EXPECT_EQ(destroyed, 0);
    EXPECT_EQ(restarted, 1);
}

TEST_P(ShardTest, ATimerMayStartItselfAgainAndStopAnotherThatIsDue) {
    int count = 0;
    bool victim_fired = false;
    LambdaTimer victim([&] { victim_fired = true; });
    std::optional<LambdaTimer> timer;
    timer.emplace([&] {
        shard().stop(victim);
        if (++count == 5)
            done();
        else
            shard().start(*timer, 0);
    });
    run([&] {
        shard().start(*timer, 1 * nanoseconds_per_ms);
        shard().start(victim, 1 * nanoseconds_per_ms);
    });
    EXPECT_EQ(count, 5);
    EXPECT_FALSE(victim_fired);
}

TEST_P(ShardTest, ManyTimersKeepTheirOrderWhateverIsStoppedBetween) {
    constexpr unsigned count = 2000;
    std::vector<std::unique_ptr<LambdaTimer>> timers;
    std::vector<unsigned> delays(count);
    unsigned fired = 0;
    unsigned last = 0;
    unsigned slack_ms = 1;  // starting them takes its time
    LambdaTimer end([&] { done(); });
    run([&] {
        const auto begin = std::chrono::steady_clock::now();
        for (unsigned i = 0; i < count; ++i) {
            delays[i] = static_cast<unsigned>(shard().random().below(40));
            timers.push_back(std::make_unique<LambdaTimer>([&, i] {
                EXPECT_NE(i % 3, 0U) << "it was stopped";
                EXPECT_GE(delays[i] + slack_ms, last);
                last = delays[i];
                ++fired;
            }));
            shard().start(*timers[i], delays[i] * nanoseconds_per_ms);
        }
        for (unsigned i = 0; i < count; i += 3)
            shard().stop(*timers[i]);
        slack_ms += static_cast<unsigned>((std::chrono::steady_clock::now() - begin) / 1ms + 1);
        shard().start(end, 100 * nanoseconds_per_ms);
    });
    EXPECT_EQ(fired, count - (count + 2) / 3);
}

TEST_P(ShardTest, TimersThatAreArmedAtTheEndMayOutliveTheReactor) {
    LambdaTimer timer([] { FAIL(); });
    run([&] {
        shard().start(timer, 3600 * nanoseconds_per_second);
        done();
    });
    reactor_.reset();
    EXPECT_FALSE(timer.armed());
}

TEST_P(ShardTest, DeferredTasksRunInOrderAndTurnEndTasksAfterThem) {
    std::string order;
    LambdaTask a([&] { order += 'a'; });
    LambdaTask b([&] { order += 'b'; });
    LambdaTask end([&] { order += 'e'; });
    std::optional<LambdaTask> again;
    again.emplace([&] {
        order += 'r';
        if (order.size() > 20)
            done();
        else
            shard().defer(*again);
    });
    run([&] {
        shard().at_turn_end(end);
        shard().defer(a);
        shard().defer(b);
        shard().defer(a);  // pending already
        EXPECT_TRUE(a.pending());
        order += '1';
        shard().defer(*again);
    });
    // The function was a message, after the tasks of its turn; the turn's end comes first.
    EXPECT_EQ(order.substr(0, 5), "1eabr");
    EXPECT_EQ(order.size(), 21U);
}

TEST_P(ShardTest, AWithdrawnOrDestroyedTaskDoesNotRun) {
    int ran = 0;
    LambdaTask withdrawn([&] { ++ran; });
    auto destroyed = std::make_unique<LambdaTask>([&] { ++ran; });
    LambdaTask killer([&] {
        withdrawn.withdraw();
        destroyed.reset();
        done();
    });
    run([&] {
        shard().defer(killer);  // in the same round as its victims
        shard().defer(withdrawn);
        shard().defer(*destroyed);
    });
    EXPECT_EQ(ran, 0);
}

TEST_P(ShardTest, ATurnEndTaskMayAskForAnotherTurnEnd) {
    int count = 0;
    std::optional<LambdaTask> task;
    task.emplace([&] {
        if (++count == 3)
            done();
        else
            shard().at_turn_end(*task);
    });
    run([&] { shard().at_turn_end(*task); });
    EXPECT_EQ(count, 3);
}

struct Letter final : Message {
    std::function<void(Letter&)> then;
    void delivered() noexcept override { then(*this); }
};

TEST_P(ShardTest, MessagesOfOneSenderArriveInOrder) {
    make(2);
    std::vector<Letter> letters(1000);
    std::size_t next = 0;
    run([&] {
        for (std::size_t i = 0; i < letters.size(); ++i) {
            letters[i].then = [&, i](Letter&) {
                EXPECT_EQ(Shard::current(), &shard(1));
                EXPECT_EQ(i, next++);
                if (next == letters.size())
                    done();
            };
            shard(1).post(letters[i]);
        }
    });
    EXPECT_EQ(next, letters.size());
}

// Every shard sends to every other one for a while; each letter comes back to its sender.
TEST_P(ShardTest, NoMessageIsLostAmongShardsUnderLoad) {
    constexpr unsigned shards = 4;
    constexpr unsigned letters_each = 16;
    constexpr unsigned hops = 200;
    make(shards);
    struct Traveller {
        Letter letter;
        unsigned left = hops;
        std::uint64_t visits[shards]{};
    };
    std::vector<Traveller> travellers(shards * letters_each);
    std::atomic<unsigned> home{0};
    for (auto& traveller : travellers)
        traveller.letter.then = [&, self = &traveller](Letter& letter) {
            Shard& here = *Shard::current();
            ++self->visits[here.index()];
            if (self->left-- == 0) {
                if (++home == travellers.size())
                    done();
                return;
            }
            shard(static_cast<unsigned>(here.random().below(shards))).post(letter);
        };
    run([&] {
        for (unsigned i = 0; i < travellers.size(); ++i)
            shard(i % shards).post(travellers[i].letter);
    });
    EXPECT_EQ(home, travellers.size());
    for (const auto& traveller : travellers) {
        std::uint64_t sum = 0;
        for (const std::uint64_t visits : traveller.visits)
            sum += visits;
        EXPECT_EQ(sum, hops + 1);
    }
}

TEST_P(ShardTest, AMessageFromAnotherThreadWakesASleepingShard) {
    if (GetParam() == Backend::sim)
        GTEST_SKIP() << "the simulator has one thread";
    std::thread outside;
    run([&] {
        outside = std::thread([&] {
            std::this_thread::sleep_for(20ms);
            shard().post([&] { done(); });
        });
    });
    outside.join();
}

TEST_P(ShardTest, AnIdleShardUsesNoProcessorTime) {
    if (GetParam() == Backend::sim)
        GTEST_SKIP() << "the simulator has no idle time";
    make(2);
    LambdaTimer end([&] { done(); });
    timespec before{};
    timespec after{};
    run([&] {
        ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
        shard().start(end, 300 * nanoseconds_per_ms);
    });
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    const auto used_ms =
        (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1'000'000;
    EXPECT_LT(used_ms, 60);
}

TEST_P(ShardTest, StopBeforeRunEndsRunAtOnceAndDeliversWhatWasPosted) {
    bool delivered = false;
    shard().post([&] { delivered = true; });
    reactor_->stop();
    reactor_->run();
    EXPECT_TRUE(delivered);
}

TEST_P(ShardTest, WhatIsPostedToAReactorThatNeverRunsIsDeliveredWhenItIsDestroyed) {
    bool delivered = false;
    LambdaOperation operation([&](std::int64_t result) {
        EXPECT_EQ(result, errno_of(ECANCELED));
        delivered = true;
    });
    Shard& one = shard();
    one.post([&] { one.submit(operation.call([](void*) -> std::int64_t { return 7; }, nullptr)); });
    reactor_.reset();
    EXPECT_TRUE(delivered);
}

Reactor* reactor_of_signal = nullptr;

TEST_P(ShardTest, StopMayBeCalledInASignalHandler) {
    if (GetParam() == Backend::sim)
        GTEST_SKIP() << "the simulator takes no signals";
    make(2);
    reactor_of_signal = reactor_.get();
    struct sigaction action{};
    struct sigaction old{};
    action.sa_handler = [](int) { reactor_of_signal->stop(); };
    ::sigaction(SIGUSR1, &action, &old);
    std::thread sender;
    run([&] {
        sender = std::thread([target = ::pthread_self()] {
            std::this_thread::sleep_for(20ms);
            ::pthread_kill(target, SIGUSR1);
        });
    });
    sender.join();
    ::sigaction(SIGUSR1, &old, nullptr);
}

TEST_P(ShardTest, StopCancelsWhatIsInFlightBeforeRunReturns) {
    int completed = 0;
    LambdaOperation accept([&](std::int64_t result) {
        EXPECT_EQ(result, errno_of(ECANCELED));
        ++completed;
    });
    LambdaOperation late([&](std::int64_t result) {
        EXPECT_EQ(result, errno_of(ECANCELED));
        ++completed;
    });
    int listener = -1;
    run([&] {
        listener = shard().listen(Endpoint::parse("127.0.0.1:0").value()).value();
        accept.set([&](std::int64_t result) {
            EXPECT_EQ(result, errno_of(ECANCELED));
            ++completed;
            shard().submit(late.accept(listener));
        });
        shard().submit(accept.accept(listener));
        done();
    });
    EXPECT_EQ(completed, 2);
    shard().close(listener);
}

TEST_P(ShardTest, CallRunsTheFunctionAndGivesItsResult) {
    struct Argument {
        int value = 20;
    } argument;
    LambdaOperation operation([&](std::int64_t result) {
        EXPECT_EQ(result, 22);
        EXPECT_EQ(argument.value, 21);
        EXPECT_EQ(Shard::current(), &shard());
        done();
    });
    run([&] {
        shard().submit(operation.call(
            [](void* given) -> std::int64_t { return ++static_cast<Argument*>(given)->value + 1; },
            &argument));
        EXPECT_TRUE(operation.in_flight());
    });
}

TEST_P(ShardTest, ManyCallsFromManyShardsAllComplete) {
    constexpr unsigned shards = 3;
    constexpr int calls = 200;
    make(shards);
    std::atomic<int> left{calls * static_cast<int>(shards)};
    std::atomic<std::int64_t> sum{0};
    std::vector<std::vector<std::unique_ptr<LambdaOperation>>> operations(shards);
    run([&] {
        for (unsigned index = 0; index < shards; ++index)
            shard(index).post([&, index] {
                for (int i = 0; i < calls; ++i) {
                    auto& operation = *operations[index].emplace_back(
                        std::make_unique<LambdaOperation>([&](std::int64_t result) {
                            sum += result;
                            if (--left == 0)
                                done();
                        }));
                    shard(index).submit(
                        operation.call([](void*) -> std::int64_t { return 1; }, nullptr));
                }
            });
    });
    EXPECT_EQ(sum, calls * static_cast<int>(shards));
}

TEST_P(ShardTest, ACallThatHasNotBegunCanBeCancelled) {
    if (GetParam() == Backend::sim)
        GTEST_SKIP() << "the simulator's calls do not queue";
    std::atomic<bool> release{false};
    std::vector<std::unique_ptr<LambdaOperation>> blocking;
    std::size_t ended = 0;
    LambdaOperation queued([&](std::int64_t result) {
        EXPECT_EQ(result, errno_of(ECANCELED));
        release = true;
    });
    run([&] {
        for (int i = 0; i < 32; ++i) {
            auto& operation =
                *blocking.emplace_back(std::make_unique<LambdaOperation>([&](std::int64_t result) {
                    EXPECT_EQ(result, 1);
                    if (++ended == 32)
                        done();
                }));
            shard().submit(operation.call(
                [](void* flag) -> std::int64_t {
                    while (!static_cast<std::atomic<bool>*>(flag)->load())
                        std::this_thread::sleep_for(1ms);
                    return 1;
                },
                &release));
        }
        shard().submit(queued.call([](void*) -> std::int64_t { return 2; }, nullptr));
        shard().cancel(queued);
        EXPECT_TRUE(queued.in_flight());
        shard().cancel(queued);
    });
    EXPECT_EQ(ended, 32U);
}

}  // namespace
}  // namespace olio::reactor::testing
