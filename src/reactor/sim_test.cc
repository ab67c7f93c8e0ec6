// What only the simulator can do: repeat a run by its seed, and break the network and the disks.
#include "reactor/sim.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "reactor/reactor_testing.h"

namespace olio::reactor {
namespace {

using testing::LambdaOperation;
using testing::LambdaTimer;
using testing::Transfer;

std::int64_t errno_of(int error) {
    return -static_cast<std::int64_t>(error);
}

// Two ends of a connection between the hosts 10.0.0.1 (client) and 10.0.0.2 (server), on shard 0.
class SimNetworkTest : public ::testing::Test {
  protected:
    explicit SimNetworkTest(std::uint64_t seed = 5)
        : sim_(SimReactor::make({.shards = 2, .seed = seed})) {}

    void TearDown() override { sim_.reset(); }  // ends the operations, while they are there
    Shard& shard() { return sim_->shard(0); }
    void connect() {
        server_at_ = Endpoint::parse("10.0.0.2:3260").value();
        listener_ = shard().listen(Endpoint::parse("0.0.0.0:3260").value()).value();
        client_ = shard().open_socket(server_at_).value();
        sim_->network().set_source(client_, Endpoint::parse("10.0.0.1:0").value());
        accept_.set([this](std::int64_t result) { server_ = static_cast<int>(result); });
        connect_.set([this](std::int64_t result) { connect_result_ = result; });
        sim_->enter(0, [this] {
            shard().submit(accept_.accept(listener_));
            shard().submit(connect_.connect(client_, server_at_.address, server_at_.length));
        });
    }
    void connected() {
        connect();
        ASSERT_TRUE(sim_->run_until([&] { return server_ >= 0 && connect_result_ == 0; },
                                    sim_->now() + nanoseconds_per_second));
        receive_iov_ = {received_.data(), received_.size()};
        send_iov_ = {to_send_.data(), to_send_.size()};
        receive_.set([this](std::int64_t result) { receive_result_ = result; });
        send_.set([this](std::int64_t result) { send_result_ = result; });
    }
    void receive(int socket) {
        receive_result_.reset();
        sim_->enter(0,
                    [&] { shard().submit(receive_.receive(socket, std::span(&receive_iov_, 1))); });
    }
    void send(int socket) {
        send_result_.reset();
        sim_->enter(0, [&] { shard().submit(send_.send(socket, std::span(&send_iov_, 1))); });
    }

    std::unique_ptr<SimReactor> sim_;
    Endpoint server_at_;
    int listener_ = -1;
    int client_ = -1;
    int server_ = -1;
    std::optional<std::int64_t> connect_result_;
    std::optional<std::int64_t> receive_result_;
    std::optional<std::int64_t> send_result_;
    std::array<std::uint8_t, 64> received_{};
    std::array<std::uint8_t, 16> to_send_{};
    iovec receive_iov_{};
    iovec send_iov_{};
    LambdaOperation accept_, connect_, receive_, send_;
};

TEST_F(SimNetworkTest, ACutConnectionIsResetAtBothEnds) {
    connected();
    std::optional<std::int64_t> other;
    LambdaOperation at_client([&](std::int64_t result) { other = result; });
    std::array<std::uint8_t, 4> bytes{};
    iovec iov{bytes.data(), bytes.size()};
    receive(server_);
    sim_->enter(0, [&] { shard().submit(at_client.receive(client_, std::span(&iov, 1))); });
    sim_->network().cut(client_);
    sim_->run_for(nanoseconds_per_second);
    EXPECT_EQ(receive_result_, errno_of(ECONNRESET));
    EXPECT_EQ(other, errno_of(ECONNRESET));
    receive(server_);
    send(server_);
    sim_->run_for(nanoseconds_per_second);
    EXPECT_EQ(receive_result_, 0);
    EXPECT_EQ(send_result_, errno_of(EPIPE));
}

TEST_F(SimNetworkTest, CuttingAHostResetsItsConnections) {
    connected();
    receive(server_);
    sim_->network().cut(Endpoint::parse("10.0.0.3:0").value());
    sim_->run_for(nanoseconds_per_second);
    EXPECT_FALSE(receive_result_);
    sim_->network().cut(Endpoint::parse("10.0.0.1:0").value());
    sim_->run_for(nanoseconds_per_second);
    EXPECT_EQ(receive_result_, errno_of(ECONNRESET));
}

TEST_F(SimNetworkTest, APartitionHoldsEverythingUntilItIsHealed) {
    connected();
    receive(server_);
    sim_->network().partition("10.0.0.2", "10.0.0.1");
    send(client_);
    sim_->run_for(600 * nanoseconds_per_second);
    EXPECT_TRUE(send_result_);
    EXPECT_FALSE(receive_result_);
    sim_->network().heal("10.0.0.1", "10.0.0.2");
    sim_->run_for(nanoseconds_per_second);
    EXPECT_GT(receive_result_.value_or(0), 0);
}

TEST_F(SimNetworkTest, ConnectingThroughAPartitionTimesOut) {
    sim_->network().partition("10.0.0.1", "10.0.0.2");
    connect();
    sim_->run_for(120 * nanoseconds_per_second);
    EXPECT_FALSE(connect_result_);
    sim_->run_for(20 * nanoseconds_per_second);
    EXPECT_EQ(connect_result_, errno_of(ETIMEDOUT));
}

TEST_F(SimNetworkTest, AHalfDeadPeerTakesAWindowOfBytesAndNeverAnswers) {
    connected();
    sim_->network().freeze(server_);
    std::vector<std::uint8_t> bytes(1 << 20);
    std::optional<std::int64_t> result;
    Transfer transfer(shard(), Transfer::Direction::send);
    sim_->enter(0, [&] { transfer.start(client_, bytes, [&](auto total) { result = total; }); });
    sim_->run_for(3600 * nanoseconds_per_second);
    EXPECT_FALSE(result);
    receive(server_);
    sim_->run_for(nanoseconds_per_second);
    EXPECT_FALSE(receive_result_);
    sim_->network().thaw(server_);
    sim_->run_for(nanoseconds_per_second);
    EXPECT_GT(receive_result_.value_or(0), 0);
    sim_.reset();
}

TEST_F(SimNetworkTest, EveryDescriptorIsCountedUntilClosed) {
    connected();
    EXPECT_EQ(sim_->network().open_sockets(), 3U);
    for (const int socket : {client_, server_, listener_})
        shard().close(socket);
    EXPECT_EQ(sim_->network().open_sockets(), 0U);
    EXPECT_TRUE(sim_->run_until_idle());
}

// A run with sockets, disks, timers and several shards; its trace.
std::uint64_t trace_of(std::uint64_t seed) {
    auto sim = SimReactor::make({.shards = 3, .seed = seed});
    const int disk = sim->create_disk(1 << 20);
    Shard& one = sim->shard(1);
    const Endpoint at = Endpoint::parse("10.0.0.2:1").value();
    const int listener = one.listen(at).value();
    const int client = one.open_socket(at).value();
    std::vector<std::uint8_t> out(300'000, 1);
    std::vector<std::uint8_t> in(out.size());
    std::array<std::uint8_t, 512> sector{};
    iovec iov{sector.data(), sector.size()};
    bool received = false;
    Transfer sending(one, Transfer::Direction::send);
    Transfer receiving(one, Transfer::Direction::receive);
    LambdaOperation connect([&](std::int64_t) { sending.start(client, out, [](auto) {}); });
    LambdaOperation accept([&](std::int64_t socket) {
        receiving.start(static_cast<int>(socket), in, [&](auto) { received = true; });
    });
    LambdaOperation write([&](std::int64_t) { sim->shard(2).post([] {}); });
    LambdaTimer timer(
        [&] { sim->shard(0).submit(write.write(disk, std::span(&iov, 1), 512, false)); });
    one.post([&] {
        one.submit(accept.accept(listener));
        one.submit(connect.connect(client, at.address, at.length));
    });
    sim->shard(0).post([&] { sim->shard(0).start(timer, 3 * nanoseconds_per_ms); });
    EXPECT_TRUE(sim->run_until_idle());
    EXPECT_TRUE(received);
    EXPECT_EQ(in, out);
    return sim->trace_hash();
}

TEST(SimReactor, TheSameSeedGivesTheSameRunAndAnotherSeedAnother) {
    const std::uint64_t trace = trace_of(11);
    EXPECT_EQ(trace_of(11), trace);
    EXPECT_NE(trace_of(12), trace);
}

TEST(SimReactor, TheClockJumpsOverTimeInWhichNothingHappens) {
    auto sim = SimReactor::make({.seed = 1});
    bool fired = false;
    LambdaTimer timer([&] { fired = true; });
    sim->enter(0, [&] { sim->shard(0).start(timer, 86'400 * nanoseconds_per_second); });
    EXPECT_TRUE(sim->run_until(86'399 * nanoseconds_per_second));
    EXPECT_EQ(sim->now(), 86'399 * nanoseconds_per_second);
    EXPECT_FALSE(fired);
    EXPECT_TRUE(sim->run_until([&] { return fired; }, 90'000 * nanoseconds_per_second));
    EXPECT_FALSE(sim->run_for(nanoseconds_per_second) && fired && sim->now() == 0);
}

TEST(SimReactor, ALoopThatAlwaysHasWorkStillMeetsItsTimers) {
    auto sim = SimReactor::make({.seed = 1});
    Shard& shard = sim->shard(0);
    std::optional<testing::LambdaTask> task;
    task.emplace([&] { shard.defer(*task); });
    LambdaTimer timer([&] { sim->stop(); });
    shard.post([&] {
        shard.defer(*task);
        shard.start(timer, nanoseconds_per_ms);
    });
    while (sim->step()) {
    }
    EXPECT_GE(sim->now(), nanoseconds_per_ms);
    task->withdraw();
}

class SimDiskTest : public ::testing::Test {
  protected:
    std::int64_t run(const std::function<Operation&(LambdaOperation&)>& prepare) {
        std::optional<std::int64_t> result;
        LambdaOperation operation([&](std::int64_t got) { result = got; });
        sim_->enter(0, [&] { sim_->shard(0).submit(prepare(operation)); });
        sim_->run_until([&] { return result.has_value(); }, sim_->now() + nanoseconds_per_second);
        EXPECT_TRUE(result);
        return result.value_or(1);
    }
    std::int64_t write(std::uint64_t offset, std::size_t length, std::uint8_t value,
                       bool durable = false) {
        bytes_.assign(length, value);
        iov_ = {bytes_.data(), length};
        return run([&](LambdaOperation& operation) -> Operation& {
            return operation.write(fd_, std::span(&iov_, 1), offset, durable);
        });
    }
    std::int64_t read(std::uint64_t offset, std::size_t length) {
        bytes_.assign(length, 0xee);
        iov_ = {bytes_.data(), length};
        return run([&](LambdaOperation& operation) -> Operation& {
            return operation.read(fd_, std::span(&iov_, 1), offset);
        });
    }
    std::int64_t sync() {
        return run([&](LambdaOperation& operation) -> Operation& { return operation.sync(fd_); });
    }

    std::unique_ptr<SimReactor> sim_ = SimReactor::make({.seed = 3});
    int fd_ = sim_->create_disk(1 << 20);
    std::shared_ptr<SimDisk> disk_ = sim_->disk(fd_);
    std::vector<std::uint8_t> bytes_;
    iovec iov_{};
};

TEST_F(SimDiskTest, ABadSectorFailsReadsThatTouchItAndNoOthers) {
    disk_->inject({.error = EIO, .kind = OperationKind::read, .offset = 8192, .length = 512});
    EXPECT_EQ(read(8192, 512), errno_of(EIO));
    EXPECT_EQ(read(0, 1 << 16), errno_of(EIO));
    EXPECT_EQ(read(8704, 4096), 4096);
    EXPECT_EQ(read(0, 8192), 8192);
    EXPECT_EQ(write(8192, 512, 1), 512);
    disk_->clear_faults();
    EXPECT_EQ(read(8192, 512), 512);
}

TEST_F(SimDiskTest, AFullDiskRefusesWritesAndAVanishedOneEverything) {
    disk_->inject({.error = ENOSPC, .kind = OperationKind::write, .times = 1});
    EXPECT_EQ(write(0, 512, 1), errno_of(ENOSPC));
    EXPECT_EQ(write(0, 512, 1), 512);
    EXPECT_EQ(write(1 << 20, 512, 1), errno_of(ENOSPC));
    disk_->vanish();
    EXPECT_EQ(write(0, 512, 1), errno_of(ENODEV));
    EXPECT_EQ(read(0, 512), errno_of(ENODEV));
    EXPECT_EQ(sync(), errno_of(ENODEV));
}

TEST_F(SimDiskTest, AStalledDiskAnswersWhenItIsResumed) {
    disk_->stall();
    std::optional<std::int64_t> result;
    LambdaOperation operation([&](std::int64_t got) { result = got; });
    sim_->enter(0, [&] { sim_->shard(0).submit(operation.sync(fd_)); });
    sim_->run_for(100 * nanoseconds_per_second);
    EXPECT_FALSE(result);
    sim_->resume_disk(fd_);
    sim_->run_for(nanoseconds_per_second);
    EXPECT_EQ(result, 0);
}

TEST_F(SimDiskTest, ACrashKeepsWhatWasSyncedOrDurableAndMayLoseTheRest) {
    constexpr std::size_t size = 64 * 512;
    ASSERT_EQ(write(0, size, 1), static_cast<std::int64_t>(size));
    ASSERT_EQ(sync(), 0);
    ASSERT_EQ(write(size, size, 2, true), static_cast<std::int64_t>(size));
    ASSERT_EQ(write(2 * size, size, 3), static_cast<std::int64_t>(size));
    ASSERT_EQ(write(2 * size, size, 4), static_cast<std::int64_t>(size));
    EXPECT_TRUE(disk_->has_unsynced());
    sim_->crash_disk(fd_);
    EXPECT_FALSE(disk_->has_unsynced());
    bytes_.resize(3 * size);
    disk_->peek(0, bytes_);
    std::array<unsigned, 5> seen{};
    for (std::size_t at = 0; at < 3 * size; at += 512) {
        for (std::size_t i = 1; i < 512; ++i)
            ASSERT_EQ(bytes_[at + i], bytes_[at]) << "torn inside a sector";
        if (at < 2 * size)
            ASSERT_EQ(bytes_[at], at < size ? 1 : 2) << "what was durable is lost";
        else
            ++seen[bytes_[at]];
    }
    // Old, first and second version: with 64 sectors each one survives somewhere.
    EXPECT_GT(seen[0], 0U);
    EXPECT_GT(seen[3], 0U);
    EXPECT_GT(seen[4], 0U);
}

TEST_F(SimDiskTest, AWriteInFlightAtACrashEndsWithAnErrorAndMayBeTorn) {
    std::vector<std::uint8_t> out(64 * 512, 9);
    iovec iov{out.data(), out.size()};
    std::optional<std::int64_t> result;
    LambdaOperation operation([&](std::int64_t got) { result = got; });
    sim_->enter(0,
                [&] { sim_->shard(0).submit(operation.write(fd_, std::span(&iov, 1), 0, false)); });
    sim_->crash_disk(fd_);
    sim_->run_for(nanoseconds_per_second);
    EXPECT_EQ(result, errno_of(EIO));
    disk_->peek(0, out);
    unsigned written = 0;
    for (std::size_t at = 0; at < out.size(); at += 512)
        written += out[at] == 9 ? 1 : 0;
    EXPECT_GT(written, 0U);
    EXPECT_LT(written, 64U);
}

TEST_F(SimDiskTest, ACopyGoesFromDiskToDiskAndMayBeTornByACrash) {
    const int other = sim_->create_disk(1 << 20);
    ASSERT_EQ(write(0, 64 * 512, 9), 64 * 512);
    std::optional<std::int64_t> result;
    LambdaOperation operation([&](std::int64_t got) { result = got; });
    const auto copy = [&](std::uint64_t offset, int from) {
        result.reset();
        sim_->enter(
            0, [&] { sim_->shard(0).submit(operation.copy(other, offset, 64 * 512, from, 0)); });
    };
    const auto copied = [&](std::uint64_t offset) {
        std::vector<std::uint8_t> in(64 * 512);
        sim_->disk(other)->peek(offset, in);
        return std::ranges::count(in, 9);
    };
    copy(512, fd_);
    sim_->run_for(nanoseconds_per_second);
    EXPECT_EQ(result, 64 * 512);
    EXPECT_EQ(copied(512), 64 * 512);
    EXPECT_TRUE(sim_->disk(other)->has_unsynced());
    copy(512 * 200, fd_);
    sim_->crash_disk(other);
    sim_->run_for(nanoseconds_per_second);
    EXPECT_EQ(result, errno_of(EIO));
    EXPECT_GT(copied(512 * 200), 0);
    EXPECT_LT(copied(512 * 200), 64 * 512);
    copy(0, other + 1000);
    sim_->run_for(nanoseconds_per_second);
    EXPECT_EQ(result, errno_of(EBADF));
}

TEST_F(SimDiskTest, ASyncDoesNotMakeDurableWhatWasWrittenAfterItWasSubmitted) {
    disk_->latency_least = disk_->latency_most = 10 * nanoseconds_per_ms;
    bool synced = false;
    LambdaOperation syncing([&](std::int64_t) { synced = true; });
    sim_->enter(0, [&] { sim_->shard(0).submit(syncing.sync(fd_)); });
    disk_->latency_least = disk_->latency_most = 1 * nanoseconds_per_ms;
    ASSERT_EQ(write(0, 512, 5), 512);
    EXPECT_FALSE(synced);
    sim_->run_for(nanoseconds_per_second);
    EXPECT_TRUE(synced);
    EXPECT_TRUE(disk_->has_unsynced());
}

TEST_F(SimDiskTest, ADiskOutlivesItsReactor) {
    ASSERT_EQ(write(4096, 512, 8, true), 512);
    sim_ = SimReactor::make({.seed = 4});
    fd_ = sim_->attach_disk(disk_);
    EXPECT_EQ(read(4096, 512), 512);
    EXPECT_EQ(bytes_[0], 8);
}

TEST_F(SimDiskTest, CompletionsComeInAnotherOrderThanSubmissions) {
    std::vector<int> order;
    std::vector<std::unique_ptr<LambdaOperation>> operations;
    sim_->enter(0, [&] {
        for (int i = 0; i < 50; ++i) {
            operations.push_back(
                std::make_unique<LambdaOperation>([&, i](std::int64_t) { order.push_back(i); }));
            sim_->shard(0).submit(operations.back()->sync(fd_));
        }
    });
    sim_->run_for(nanoseconds_per_second);
    ASSERT_EQ(order.size(), 50U);
    EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
}

TEST(SimReactor, StopCancelsWhatAStalledDiskHolds) {
    auto sim = SimReactor::make({.seed = 9});
    const int fd = sim->create_disk(4096);
    sim->disk(fd)->stall();
    std::vector<std::unique_ptr<LambdaOperation>> operations;
    int cancelled = 0;
    LambdaTimer end([&] { sim->stop(); });
    sim->shard(0).post([&] {
        for (int i = 0; i < 20; ++i) {
            operations.push_back(std::make_unique<LambdaOperation>([&](std::int64_t result) {
                EXPECT_EQ(result, errno_of(ECANCELED));
                ++cancelled;
            }));
            sim->shard(0).submit(operations.back()->sync(fd));
            if (i % 2 == 0)
                sim->shard(0).cancel(*operations.back());
        }
        sim->shard(0).start(end, nanoseconds_per_second);
    });
    sim->run();
    EXPECT_EQ(cancelled, 20);
}

}  // namespace
}  // namespace olio::reactor
