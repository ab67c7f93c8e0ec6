// Sockets, on every back end.
#include <numeric>
#include <optional>

#include "reactor/shard_test_harness.h"

namespace olio::reactor::testing {
namespace {

class SocketTest : public BackendTest {
  protected:
    void close_pair() {
        shard().close(client_);
        shard().close(server_);
    }
    std::array<std::uint8_t, 64> small_{};
    std::array<iovec, 1> small_iov_{{{small_.data(), small_.size()}}};
};
INSTANTIATE_TEST_SUITE_P(Backends, SocketTest, all_backends(), parameter_name);

std::vector<std::uint8_t> pattern(std::size_t size) {
    std::vector<std::uint8_t> bytes(size);
    for (std::size_t i = 0; i < size; ++i)
        bytes[i] = static_cast<std::uint8_t>(i * 131 + (i >> 8) * 7 + 1);
    return bytes;
}

// One round: the client sends, the server sends the same back, the client compares.
struct Echo {
    Echo(Shard& shard, int client, int server)
        : client_socket(client),
          server_socket(server),
          to_server(shard, Transfer::Direction::send),
          at_server(shard, Transfer::Direction::receive),
          to_client(shard, Transfer::Direction::send),
          at_client(shard, Transfer::Direction::receive) {}

    void round(std::size_t size, std::size_t pieces, std::function<void()> then) {
        sent = pattern(size);
        middle.assign(size, 0);
        back.assign(size, 0);
        at_client.start(
            client_socket, back,
            [this, size, then](std::int64_t result) {
                EXPECT_EQ(result, static_cast<std::int64_t>(size));
                EXPECT_EQ(back, sent);
                then();
            },
            pieces);
        at_server.start(
            server_socket, middle,
            [this, size, pieces](std::int64_t result) {
                EXPECT_EQ(result, static_cast<std::int64_t>(size));
                to_client.start(server_socket, middle, [](std::int64_t) {}, pieces);
            },
            pieces);
        to_server.start(client_socket, sent, [](std::int64_t) {}, pieces);
    }

    int client_socket;
    int server_socket;
    Transfer to_server, at_server, to_client, at_client;
    std::vector<std::uint8_t> sent, middle, back;
};

TEST_P(SocketTest, EchoesManySizesInOneOrMorePieces) {
    struct Round {
        std::size_t size;
        std::size_t pieces;
    };
    const std::vector<Round> rounds{{1, 1},     {48, 1},      {511, 3},      {4096, 1},
                                    {70000, 7}, {1 << 20, 1}, {3 << 20, 16}, {5, 5}};
    std::size_t round = 0;
    std::optional<Echo> echo;
    std::function<void()> next = [&] {
        if (round == rounds.size()) {
            close_pair();
            done();
            return;
        }
        const Round now = rounds[round++];
        echo->round(now.size, now.pieces, next);
    };
    run([&] {
        connect_pair("127.0.0.1:0", [&](int client, int server) {
            echo.emplace(shard(), client, server);
            next();
        });
    });
    EXPECT_EQ(round, rounds.size());
}

TEST_P(SocketTest, IPv6WorksAndEndpointsAreKnownAtBothEnds) {
    run([&] {
        if (!shard().listen(Endpoint::parse("[::1]:0").value())) {
            done();  // no IPv6 here
            return;
        }
        connect_pair("[::1]:0", [&](int client, int server) {
            const auto client_local = shard().local_endpoint(client).value();
            const auto server_peer = shard().peer_endpoint(server).value();
            EXPECT_EQ(client_local.text(), server_peer.text());
            EXPECT_EQ(shard().peer_endpoint(client).value().text(), listening_at_.text());
            EXPECT_EQ(shard().local_endpoint(server).value().text(), listening_at_.text());
            EXPECT_TRUE(server_peer.loopback());
            EXPECT_EQ(server_peer.host(), "::1");
            EXPECT_NE(server_peer.port(), 0);
            close_pair();
            done();
        });
    });
}

TEST_P(SocketTest, ConnectingWhereNobodyListensIsRefused) {
    LambdaOperation connect([&](std::int64_t result) {
        EXPECT_EQ(result, errno_of(ECONNREFUSED));
        shard().close(client_);
        done();
    });
    Endpoint nobody;
    run([&] {
        const int listener = shard().listen(Endpoint::parse("127.0.0.1:0").value()).value();
        nobody = shard().local_endpoint(listener).value();
        shard().close(listener);
        client_ = shard().open_socket(nobody).value();
        shard().submit(connect.connect(client_, nobody.address, nobody.length));
    });
}

TEST_P(SocketTest, ListeningTwiceAtOneAddressIsAnError) {
    run([&] {
        const int listener = shard().listen(Endpoint::parse("127.0.0.1:0").value()).value();
        const auto again = shard().listen(shard().local_endpoint(listener).value());
        EXPECT_FALSE(again);
        EXPECT_EQ(again.error().code, EADDRINUSE);
        EXPECT_NE(again.error().message.find("127.0.0.1:"), std::string::npos);
        shard().close(listener);
        done();
    });
}

TEST_P(SocketTest, AReceiveYieldsZeroWhenThePeerHasClosed) {
    LambdaOperation receive([&](std::int64_t result) {
        EXPECT_EQ(result, 0);
        shard().close(server_);
        done();
    });
    run([&] {
        connect_pair("127.0.0.1:0", [&](int client, int server) {
            shard().submit(receive.receive(server, small_iov_));
            shard().close(client);
        });
    });
}

TEST_P(SocketTest, ShutdownEndsAReceiveInFlightAndItsPeers) {
    int ended = 0;
    const auto check = [&](std::int64_t result) {
        EXPECT_EQ(result, 0);
        if (++ended == 2) {
            close_pair();
            done();
        }
    };
    LambdaOperation at_server(check);
    LambdaOperation at_client(check);
    std::array<std::uint8_t, 8> other{};
    std::array<iovec, 1> other_iov{{{other.data(), other.size()}}};
    LambdaTimer later([&] { shard().shutdown(server_); });
    run([&] {
        connect_pair("127.0.0.1:0", [&](int client, int server) {
            shard().submit(at_server.receive(server, small_iov_));
            shard().submit(at_client.receive(client, other_iov));
            shard().start(later, 5 * nanoseconds_per_ms);
        });
    });
    EXPECT_EQ(ended, 2);
}

TEST_P(SocketTest, SendingToAClosedPeerIsAnErrorAndNoSignal) {
    std::optional<LambdaOperation> send;
    LambdaTimer pause([&] { shard().submit(send->send(client_, small_iov_)); });
    int attempts = 0;
    send.emplace([&](std::int64_t result) {
        if (result >= 0) {
            ASSERT_LT(++attempts, 100);
            shard().start(pause, 1 * nanoseconds_per_ms);
            return;
        }
        EXPECT_TRUE(result == errno_of(EPIPE) || result == errno_of(ECONNRESET)) << result;
        shard().close(client_);
        done();
    });
    run([&] {
        connect_pair("127.0.0.1:0", [&](int, int server) {
            shard().close(server);
            shard().start(pause, 1 * nanoseconds_per_ms);
        });
    });
}

TEST_P(SocketTest, AReceiveWithoutDataCanBeCancelledAndTheSocketUsedAgain) {
    LambdaOperation receive;
    LambdaOperation send;
    LambdaTimer later([&] {
        shard().cancel(receive);
        shard().cancel(receive);
        EXPECT_TRUE(receive.in_flight());
    });
    run([&] {
        connect_pair("127.0.0.1:0", [&](int client, int server) {
            receive.set([&, client, server](std::int64_t result) {
                EXPECT_EQ(result, errno_of(ECANCELED));
                EXPECT_FALSE(receive.in_flight());
                receive.set([&](std::int64_t count) {
                    EXPECT_GT(count, 0);
                    EXPECT_EQ(small_[0], 0x5a);
                    close_pair();
                    done();
                });
                shard().submit(receive.receive(server, small_iov_));
                static std::array<std::uint8_t, 4> out{0x5a, 1, 2, 3};
                static std::array<iovec, 1> iov{{{out.data(), out.size()}}};
                shard().submit(send.send(client, iov));
            });
            shard().submit(receive.receive(server, small_iov_));
            shard().start(later, 5 * nanoseconds_per_ms);
        });
    });
}

// The cancel in the turn of the submission, before the back end has begun, and twice.
TEST_P(SocketTest, AnAcceptCanBeCancelledInTheTurnOfItsSubmission) {
    int listener = -1;
    LambdaOperation accept([&](std::int64_t result) {
        EXPECT_EQ(result, errno_of(ECANCELED));
        shard().close(listener);
        done();
    });
    run([&] {
        listener = shard().listen(Endpoint::parse("127.0.0.1:0").value()).value();
        shard().submit(accept.accept(listener));
        shard().cancel(accept);
        EXPECT_TRUE(accept.in_flight());
    });
}

TEST_P(SocketTest, CancellingWhatIsIdleOrCompletedDoesNothing) {
    LambdaOperation idle;
    LambdaOperation call([&](std::int64_t result) {
        EXPECT_EQ(result, 3);
        shard().cancel(call);
        done();
    });
    run([&] {
        shard().cancel(idle);
        shard().submit(call.call([](void*) -> std::int64_t { return 3; }, nullptr));
    });
}

TEST_P(SocketTest, ASendThatThePeerDoesNotReadCanBeCancelled) {
    std::vector<std::uint8_t> bytes(256 << 10);
    std::array<iovec, 1> iov{{{bytes.data(), bytes.size()}}};
    LambdaOperation send;
    std::int64_t sent = 0;
    LambdaTimer later([&] { shard().cancel(send); });
    send.set([&](std::int64_t result) {
        if (result > 0) {  // the buffers between take much, but not all
            sent += result;
            ASSERT_LT(sent, std::int64_t{1} << 30);
            shard().start(later, 20 * nanoseconds_per_ms);
            shard().submit(send.send(client_, iov));
            return;
        }
        EXPECT_EQ(result, errno_of(ECANCELED));
        close_pair();
        done();
    });
    run([&] {
        connect_pair("127.0.0.1:0", [&](int client, int) {
            shard().start(later, 20 * nanoseconds_per_ms);
            shard().submit(send.send(client, iov));
        });
    });
    EXPECT_GT(sent, 0);
}

TEST_P(SocketTest, AConnectionMayBeUsedOnAnotherShardThanTheOneThatAccepted) {
    make(2);
    std::optional<Echo> first;
    std::optional<Echo> second;
    run([&] {
        connect_pair("127.0.0.1:0", [&](int client, int server) {
            first.emplace(shard(0), client, server);
            first->round(100'000, 2, [&, client, server] {
                shard(1).post([&, client, server] {
                    second.emplace(shard(1), client, server);
                    second->round(200'000, 1, [&, client, server] {
                        shard(1).close(client);
                        shard(1).close(server);
                        done();
                    });
                });
            });
        });
    });
}

// A socket's number, used on a shard and then closed on another one, comes back as another socket.
TEST_P(SocketTest, ADescriptorClosedOnAnotherShardAndReusedIsWaitedForRightly) {
    make(2);
    std::optional<Echo> echo;
    int rounds = 0;
    std::function<void()> again = [&] {
        connect_pair("127.0.0.1:0", [&](int client, int server) {
            echo.emplace(shard(0), client, server);
            echo->round(50'000, 1, [&, client, server] {
                shard(1).post([&, client, server] {
                    shard(1).close(client);
                    shard(1).close(server);
                    shard(0).post([&] {
                        if (++rounds == 5)
                            done();
                        else
                            again();
                    });
                });
            });
        });
    };
    run([&] { again(); });
    EXPECT_EQ(rounds, 5);
}

TEST_P(SocketTest, SeveralAcceptsOnOneListenerAreServedOneConnectionEach) {
    constexpr unsigned count = 5;
    std::vector<std::unique_ptr<LambdaOperation>> operations;
    std::vector<int> descriptors;
    const auto end = [&](std::int64_t result) {
        EXPECT_GE(result, 0);
        if (result > 0)
            descriptors.push_back(static_cast<int>(result));
        for (const auto& operation : operations)
            if (operation->in_flight())
                return;
        for (const int descriptor : descriptors)
            shard().close(descriptor);
        done();
    };
    Endpoint at;
    run([&] {
        const int listener = shard().listen(Endpoint::parse("127.0.0.1:0").value()).value();
        descriptors.push_back(listener);
        at = shard().local_endpoint(listener).value();
        for (unsigned i = 0; i < count; ++i) {
            const int client = shard().open_socket(at).value();
            descriptors.push_back(client);
            auto& accept = *operations.emplace_back(std::make_unique<LambdaOperation>(end));
            shard().submit(accept.accept(listener));
            auto& connect = *operations.emplace_back(std::make_unique<LambdaOperation>(end));
            shard().submit(connect.connect(client, at.address, at.length));
        }
    });
    EXPECT_EQ(descriptors.size(), 2 * count + 1);
}

// More than the submission queue of an io_uring holds, in one turn.
TEST_P(SocketTest, ThousandsOfOperationsOfOneTurnAllComplete) {
    constexpr std::size_t count = 5000;
    std::vector<std::unique_ptr<LambdaOperation>> operations;
    std::size_t cancelled = 0;
    int listener = -1;
    run([&] {
        listener = shard().listen(Endpoint::parse("127.0.0.1:0").value()).value();
        for (std::size_t i = 0; i < count; ++i) {
            operations.push_back(std::make_unique<LambdaOperation>([&](std::int64_t result) {
                EXPECT_EQ(result, errno_of(ECANCELED));
                if (++cancelled == count) {
                    shard().close(listener);
                    done();
                }
            }));
            shard().submit(operations.back()->accept(listener));
        }
        for (auto& operation : operations)
            shard().cancel(*operation);
    });
    EXPECT_EQ(cancelled, count);
}

}  // namespace
}  // namespace olio::reactor::testing
