#include "reactor/buffer_pool.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <vector>

#include "reactor/gate.h"

namespace olio::reactor {
namespace {

struct Waiter final : BufferWaiter {
    std::vector<Buffer> got;
    std::function<void()> then;
    void buffer_available(Buffer buffer) noexcept override {
        got.push_back(std::move(buffer));
        if (then)
            then();
    }
};

TEST(BufferPool, RoundsUpToAPowerOfTwoAndAligns) {
    BufferPool pool(1 << 20);
    for (const std::size_t size : {0U, 1U, 4096U, 4097U, 65536U, 100'000U}) {
        const Buffer buffer = pool.acquire(size);
        ASSERT_TRUE(buffer);
        EXPECT_GE(buffer.capacity(), size);
        EXPECT_GE(buffer.capacity(), BufferPool::smallest_bytes);
        EXPECT_EQ(buffer.capacity() & (buffer.capacity() - 1), 0U);
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 4096, 0U);
        std::memset(buffer.data(), 0xff, buffer.capacity());
    }
    EXPECT_EQ(pool.bytes_in_use(), 0U);
}

TEST(BufferPool, KeepsAReleasedBufferForReuse) {
    BufferPool pool(1 << 20);
    Buffer first = pool.acquire(10'000);
    std::uint8_t* const data = first.data();
    first.release();
    EXPECT_FALSE(first);
    EXPECT_EQ(pool.bytes_held(), 16384U);
    const Buffer second = pool.acquire(16'000);
    EXPECT_EQ(second.data(), data);
}

TEST(BufferPool, RefusesBeyondTheLimitAndCountsMovesOnce) {
    BufferPool pool(16384);
    Buffer a = pool.acquire(8192);
    Buffer b = pool.acquire(8192);
    EXPECT_FALSE(pool.acquire(1));
    EXPECT_FALSE(pool.acquire(BufferPool::largest_bytes));
    Buffer moved = std::move(a);
    EXPECT_FALSE(a);  // NOLINT(bugprone-use-after-move): that it is empty is the point
    EXPECT_EQ(pool.bytes_in_use(), 16384U);
    b = std::move(moved);  // gives b's own back
    EXPECT_EQ(pool.bytes_in_use(), 8192U);
    EXPECT_TRUE(pool.acquire(8192));
}

TEST(BufferPool, TrimsIdleBuffersOfOtherSizesRatherThanRefuse) {
    BufferPool pool(65536);
    {
        std::vector<Buffer> small;
        for (int i = 0; i < 16; ++i)
            small.push_back(pool.acquire(4096));
        EXPECT_FALSE(pool.acquire(4096));
    }
    EXPECT_EQ(pool.bytes_held(), 65536U);
    const Buffer large = pool.acquire(65536);
    EXPECT_TRUE(large);
    EXPECT_EQ(pool.bytes_held(), 65536U);
}

TEST(BufferPool, WakesWaitersInTheirOrderAndNobodyOvertakes) {
    BufferPool pool(32768);
    Buffer a = pool.acquire(16384);
    Buffer b = pool.acquire(16384);
    Waiter large;
    Waiter small;
    pool.wait(large, 32768);
    pool.wait(small, 4096);
    a.release();
    EXPECT_TRUE(large.waiting());
    EXPECT_TRUE(small.waiting()) << "a small one overtook";
    EXPECT_FALSE(pool.acquire(4096)) << "a newcomer overtook";
    b.release();
    ASSERT_EQ(large.got.size(), 1U);
    EXPECT_TRUE(small.waiting());
    large.got.clear();
    EXPECT_EQ(small.got.size(), 1U);
    EXPECT_FALSE(small.waiting());
}

TEST(BufferPool, CancellingTheFirstWaiterLetsTheNextHaveItsBuffer) {
    BufferPool pool(32768);
    const Buffer a = pool.acquire(16384);
    Waiter large;
    Waiter small;
    pool.wait(large, 32768);
    pool.wait(small, 4096);
    pool.cancel(large);
    pool.cancel(large);
    EXPECT_TRUE(large.got.empty());
    EXPECT_EQ(small.got.size(), 1U);
}

TEST(BufferPool, ADestroyedWaiterIsForgotten) {
    BufferPool pool(32768);
    Buffer a = pool.acquire(32768);
    Waiter last;
    {
        Waiter gone;
        pool.wait(gone, 4096);
        pool.wait(last, 4096);
    }
    a.release();
    EXPECT_EQ(last.got.size(), 1U);
}

TEST(BufferPool, AWaiterMayReleaseAndWaitAgainFromItsCall) {
    BufferPool pool(4096);
    Buffer a = pool.acquire(4096);
    Waiter waiter;
    Waiter second;
    int calls = 0;
    waiter.then = [&] {
        waiter.got.clear();
        if (++calls < 3)
            pool.wait(waiter, 4096);
    };
    pool.wait(waiter, 4096);
    pool.wait(second, 4096);
    a.release();
    EXPECT_EQ(calls, 1);
    ASSERT_EQ(second.got.size(), 1U);
    second.got.clear();
    EXPECT_EQ(calls, 3);
    EXPECT_EQ(pool.bytes_in_use(), 0U);
}

TEST(BufferPoolDeathTest, ABufferThatOutlivesItsPoolIsFound) {
    EXPECT_DEATH(
        {
            auto pool = std::make_unique<BufferPool>(8192);
            const Buffer buffer = pool->acquire(1);
            pool.reset();
        },
        "buffers in use");
}

TEST(Gate, RefusesNewcomersOnceClosedAndTellsWhenTheLastHasLeft) {
    Gate gate;
    EXPECT_TRUE(gate.enter());
    EXPECT_TRUE(gate.enter());
    EXPECT_EQ(gate.inside(), 2U);
    int empty = 0;
    gate.close([&] { ++empty; });
    EXPECT_FALSE(gate.enter());
    EXPECT_TRUE(gate.closed());
    gate.leave();
    EXPECT_EQ(empty, 0);
    gate.leave();
    EXPECT_EQ(empty, 1);
}

TEST(Gate, ClosingAnEmptyOneTellsAtOnce) {
    Gate gate;
    bool empty = false;
    gate.close([&] { empty = true; });
    EXPECT_TRUE(empty);
}

TEST(Gate, MayBeDestroyedInTheCallThatSaysItIsEmpty) {
    auto gate = std::make_unique<Gate>();
    ASSERT_TRUE(gate->enter());
    gate->close([&] { gate.reset(); });
    gate->leave();
    EXPECT_EQ(gate, nullptr);
}

TEST(GateDeathTest, LeavingWithoutEnteringIsFound) {
    Gate gate;
    EXPECT_DEATH(gate.leave(), "nobody entered");
}

}  // namespace
}  // namespace olio::reactor
