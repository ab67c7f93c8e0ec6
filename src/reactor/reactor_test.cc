// The choice of a back end, and what a reactor refuses.
#include "reactor/reactor.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "reactor/buffer_pool.h"
#include "reactor/reactor_testing.h"
#include "reactor/uring_shard.h"

namespace olio::reactor {
namespace {

class Refusal {
  public:
    explicit Refusal(int error) { UringShard::refusal_for_tests = error; }
    Refusal(const Refusal&) = delete;
    Refusal& operator=(const Refusal&) = delete;
    ~Refusal() { UringShard::refusal_for_tests = 0; }
};

TEST(Reactor, AutomaticFallsBackToEpollWhereIoUringIsRefusedAndSaysWhy) {
    for (const int error : {ENOSYS, EPERM, EACCES, ENOMEM, EINVAL}) {
        const Refusal refusal(error);
        ::testing::internal::CaptureStderr();
        auto reactor = Reactor::create({});
        const std::string log = ::testing::internal::GetCapturedStderr();
        ASSERT_TRUE(reactor) << reactor.error().message;
        EXPECT_EQ((*reactor)->backend(), Backend::epoll);
        EXPECT_NE(log.find("epoll, because io_uring cannot be used: "), std::string::npos) << log;
        bool ran = false;
        (*reactor)->shard(0).post([&] {
            ran = true;
            (*reactor)->stop();
        });
        (*reactor)->run();
        EXPECT_TRUE(ran);
    }
}

TEST(Reactor, IoUringThatIsAskedForAndRefusedIsAnErrorWithTheReason) {
    const Refusal refusal(ENOSYS);
    auto reactor = Reactor::create({.backend = Backend::io_uring});
    ASSERT_FALSE(reactor);
    EXPECT_EQ(reactor.error().code, ENOSYS);
    EXPECT_NE(reactor.error().message.find("seccomp"), std::string::npos);
}

TEST(Reactor, AutomaticTakesIoUringWhereItCanBeUsed) {
    if (const auto usable = UringShard::probe(); !usable)
        GTEST_SKIP() << usable.error().message;
    EXPECT_EQ(Reactor::create({}).value()->backend(), Backend::io_uring);
}

TEST(Reactor, RefusesImpossibleNumbersOfShardsAndTooSmallBufferLimits) {
    for (const unsigned shards : {0U, limits::shards + 1})
        EXPECT_FALSE(Reactor::create({.shards = shards}));
    const auto small = Reactor::create({.buffer_limit_bytes = BufferPool::largest_bytes - 1});
    ASSERT_FALSE(small);
    EXPECT_NE(small.error().message.find("16777216"), std::string::npos);
}

TEST(Reactor, RunsAsManyShardsAsAskedPinnedOrNot) {
    auto reactor = Reactor::create({.backend = Backend::epoll, .shards = 5, .pin = true}).value();
    ASSERT_EQ(reactor->size(), 5U);
    std::atomic<unsigned> running{0};
    for (unsigned index = 0; index < reactor->size(); ++index) {
        EXPECT_EQ(reactor->shard(index).index(), index);
        reactor->shard(index).post([&] {
            if (++running == reactor->size())
                reactor->stop();
        });
    }
    reactor->run();
    EXPECT_EQ(running, 5U);
}

TEST(Reactor, TheProcessSurvivesTheSignalsOfFailedWrites) {
    const auto reactor = Reactor::create({.backend = Backend::epoll}).value();
    EXPECT_EQ(::raise(SIGPIPE), 0);
    EXPECT_EQ(::raise(SIGXFSZ), 0);
}

}  // namespace
}  // namespace olio::reactor
