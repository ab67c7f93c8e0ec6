// The frame of the suite that every back end passes. A test gives its first step to run(); the
// steps that follow come from completions, and the last one calls done().
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>

#include "reactor/buffer_pool.h"
#include "reactor/reactor.h"
#include "reactor/reactor_testing.h"

namespace olio::reactor::testing {

using namespace std::chrono_literals;

inline std::int64_t errno_of(int error) {
    return -static_cast<std::int64_t>(error);
}

class BackendTest : public ::testing::TestWithParam<Backend> {
  protected:
    void SetUp() override {
        if (const std::string why = why_unusable(GetParam()); !why.empty())
            GTEST_SKIP() << name_of(GetParam()) << " cannot be used here: " << why;
        make(1);
    }
    void make(unsigned shards) {
        reactor_.reset();
        ReactorOptions options;
        options.backend = GetParam();
        options.shards = shards;
        options.seed = 42;
        auto made = Reactor::create(options);
        ASSERT_TRUE(made) << made.error().message;
        reactor_ = std::move(*made);
    }
    Shard& shard(unsigned index = 0) { return reactor_->shard(index); }
    void done() { reactor_->stop(); }

    // Runs `first` on shard 0, and the reactor until done(). A test that hangs fails.
    void run(std::function<void()> first) {
        bool timed_out = false;
        LambdaTimer watchdog([&] {
            timed_out = true;
            done();
        });
        shard().post([&] {
            shard().start(watchdog, 30 * nanoseconds_per_second);
            first();
        });
        reactor_->run();
        EXPECT_FALSE(timed_out) << "nothing happened for 30 s";
    }

    // Connects two sockets over `address`; then(client, server). Both to be closed by the test.
    void connect_pair(const std::string& address, std::function<void(int, int)> then) {
        auto at = Endpoint::parse(address);
        ASSERT_TRUE(at) << at.error().message;
        auto listener = shard().listen(*at);
        ASSERT_TRUE(listener) << listener.error().message;
        listener_ = *listener;
        listening_at_ = shard().local_endpoint(listener_).value();
        client_ = shard().open_socket(listening_at_).value();
        server_ = -1;
        connected_ = false;
        const auto check = [this, then] {
            if (server_ < 0 || !connected_)
                return;
            shard().close(listener_);
            then(client_, server_);
        };
        accept_.set([this, check](std::int64_t result) {
            EXPECT_GE(result, 0);
            server_ = static_cast<int>(result);
            check();
        });
        connect_.set([this, check](std::int64_t result) {
            EXPECT_EQ(result, 0);
            connected_ = true;
            check();
        });
        shard().submit(accept_.accept(listener_));
        shard().submit(connect_.connect(client_, listening_at_.address, listening_at_.length));
    }

    std::unique_ptr<Reactor> reactor_;
    LambdaOperation accept_;
    LambdaOperation connect_;
    Endpoint listening_at_;
    int listener_ = -1;
    int client_ = -1;
    int server_ = -1;
    bool connected_ = false;
};

inline auto all_backends() {
    return ::testing::Values(Backend::io_uring, Backend::epoll, Backend::sim);
}
inline std::string parameter_name(const ::testing::TestParamInfo<Backend>& info) {
    return name_of(info.param);
}

}  // namespace olio::reactor::testing
