#include "config/control_server.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/limits.h"
#include "config/control_socket.h"
#include "config/json_rpc.h"
#include "reactor/reactor.h"

namespace olio::config {
namespace {

using testing::HasSubstr;

class Folder {
  public:
    Folder() {
        char name[] = "/tmp/olio-control-XXXXXX";
        EXPECT_NE(::mkdtemp(name), nullptr);
        path_ = name;
    }
    ~Folder() { std::filesystem::remove_all(path_); }
    [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }

  private:
    std::string path_;
};

// A client that waits at most ten seconds for anything.
class Client {
  public:
    explicit Client(const std::string& path) : socket_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
        EXPECT_EQ(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0)
            << std::strerror(errno);
    }
    Client(Client&& other) noexcept : socket_(std::exchange(other.socket_, -1)) {}
    ~Client() {
        if (socket_ >= 0)
            ::close(socket_);
    }
    void send(const std::string& text) const {
        EXPECT_EQ(::send(socket_, text.data(), text.size(), MSG_NOSIGNAL),
                  static_cast<ssize_t>(text.size()));
    }
    void end() const { ::shutdown(socket_, SHUT_WR); }
    // A line, or "(closed)" or "(nothing)".
    std::string line() const {
        std::string text;
        while (true) {
            pollfd wait{socket_, POLLIN, 0};
            if (::poll(&wait, 1, 10'000) != 1)
                return "(nothing)";
            char c = 0;
            if (::recv(socket_, &c, 1, 0) <= 0)
                return "(closed)";
            if (c == '\n')
                return text;
            text += c;
        }
    }

  private:
    int socket_;
};

class ControlServerTest : public testing::TestWithParam<reactor::Backend> {
  protected:
    ControlServerTest()
        : table_(
              {{"echo",
                "Answers with what it was given.",
                {{"text", ParameterType::string, true, "any text"}},
                [](const Json& parameters, Answer answer) { answer.result(parameters["text"]); }},
               {"large",
                "Answers with a megabyte.",
                {},
                [](const Json&, Answer answer) { answer.result(std::string(1 << 20, 'x')); }},
               {"keep", "Answers late or never.", {}, [this](const Json&, Answer answer) {
                    kept_.push_back(std::move(answer));
                }}}) {}

    void SetUp() override {
        auto reactor = reactor::Reactor::create({.backend = GetParam()});
        if (!reactor)
            GTEST_SKIP() << reactor.error().message;
        reactor_ = std::move(*reactor);
        auto server = ControlServer::open(path_);
        ASSERT_TRUE(server) << server.error().message;
        server_ = std::move(*server);
        reactor_->shard(0).post([this] { server_->start(reactor_->shard(0), table_); });
        thread_ = std::thread([this] { reactor_->run(); });
    }
    void TearDown() override {
        if (!thread_.joinable())
            return;
        std::promise<void> stopped;
        reactor_->shard(0).post([&] { server_->stop([&] { stopped.set_value(); }); });
        EXPECT_EQ(stopped.get_future().wait_for(std::chrono::seconds(20)),
                  std::future_status::ready);
        reactor_->stop();
        thread_.join();
        kept_.clear();
        server_.reset();
        EXPECT_FALSE(std::filesystem::exists(path_));
    }

    static std::string echo(int id, const std::string& text) {
        return fmt::format(R"({{"jsonrpc":"2.0","id":{},"method":"echo","params":["{}"]}})", id,
                           text) +
               "\n";
    }
    static std::string echoed(int id, const std::string& text) {
        return fmt::format(R"({{"jsonrpc":"2.0","id":{},"result":"{}"}})", id, text);
    }

    Folder folder_;
    std::string path_ = folder_.file("control");
    MethodTable table_;
    std::vector<Answer> kept_;
    std::unique_ptr<reactor::Reactor> reactor_;
    std::unique_ptr<ControlServer> server_;
    std::thread thread_;
};

TEST_P(ControlServerTest, answers_requests_in_order) {
    const Client client(path_);
    client.send(echo(1, "a") + echo(2, "b") + echo(3, "c"));
    EXPECT_EQ(client.line(), echoed(1, "a"));
    EXPECT_EQ(client.line(), echoed(2, "b"));
    EXPECT_EQ(client.line(), echoed(3, "c"));
}

TEST_P(ControlServerTest, joins_a_request_that_comes_in_pieces) {
    const Client client(path_);
    for (const char c : echo(1, "slow")) {
        client.send(std::string(1, c));
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_EQ(client.line(), echoed(1, "slow"));
}

TEST_P(ControlServerTest, answers_a_last_request_without_newline) {
    const Client client(path_);
    std::string request = echo(1, "x");
    request.pop_back();
    client.send(request);
    client.end();
    EXPECT_EQ(client.line(), echoed(1, "x"));
    EXPECT_EQ(client.line(), "(closed)");
}

TEST_P(ControlServerTest, sends_answers_larger_than_a_socket_buffer) {
    const Client client(path_);
    client.send("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"large\"}\n");
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_GT(client.line().size(), 1U << 20);
}

TEST_P(ControlServerTest, survives_many_notifications_in_one_write) {
    const Client client(path_);
    std::string many;
    for (int i = 0; i < 2000; ++i)
        many += "{\"jsonrpc\":\"2.0\",\"method\":\"none\"}\n";
    client.send(many + echo(1, "after"));
    EXPECT_EQ(client.line(), echoed(1, "after"));
}

TEST_P(ControlServerTest, closes_after_a_message_beyond_the_limit) {
    const Client client(path_);
    client.send(std::string(limits::control_message_bytes + 1, 'x'));
    EXPECT_THAT(client.line(), HasSubstr("a message is longer than 65536 bytes"));
    EXPECT_EQ(client.line(), "(closed)");
    const Client next(path_);
    next.send(echo(1, "still here"));
    EXPECT_EQ(next.line(), echoed(1, "still here"));
}

TEST_P(ControlServerTest, one_slow_client_does_not_delay_another) {
    const Client waiting(path_);
    waiting.send("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"keep\"}\n");
    const Client half(path_);
    half.send("{\"jsonrpc\"");
    const Client client(path_);
    client.send(echo(2, "quick"));
    EXPECT_EQ(client.line(), echoed(2, "quick"));
}

TEST_P(ControlServerTest, refuses_connections_beyond_the_limit_and_takes_them_again) {
    std::vector<Client> clients;
    for (std::size_t i = 0; i < limits::control_connections; ++i) {
        clients.emplace_back(path_);
        clients.back().send(echo(1, "in"));
        EXPECT_EQ(clients.back().line(), echoed(1, "in"));
    }
    const Client refused(path_);
    EXPECT_THAT(refused.line(), HasSubstr("which is the limit"));
    EXPECT_EQ(refused.line(), "(closed)");
    clients.clear();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const Client again(path_);
    again.send(echo(1, "in"));
    EXPECT_EQ(again.line(), echoed(1, "in"));
}

TEST_P(ControlServerTest, stops_while_a_request_is_unanswered) {
    const Client client(path_);
    client.send("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"keep\"}\n");
    const Client other(path_);
    other.send(echo(1, "barrier"));
    EXPECT_EQ(other.line(), echoed(1, "barrier"));
    TearDown();
    EXPECT_EQ(client.line(), "(closed)");
}

TEST_P(ControlServerTest, a_client_may_leave_before_its_answer) {
    {
        const Client client(path_);
        client.send("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"keep\"}\n");
    }
    const Client other(path_);
    other.send(echo(1, "barrier"));
    EXPECT_EQ(other.line(), echoed(1, "barrier"));
    reactor_->shard(0).post([this] { kept_.clear(); });
    other.send(echo(2, "alive"));
    EXPECT_EQ(other.line(), echoed(2, "alive"));
}

std::string backend_name(const testing::TestParamInfo<reactor::Backend>& info) {
    return info.param == reactor::Backend::epoll ? "epoll" : "io_uring";
}
INSTANTIATE_TEST_SUITE_P(Backends, ControlServerTest,
                         testing::Values(reactor::Backend::io_uring, reactor::Backend::epoll),
                         backend_name);

TEST(ControlSocketTest, only_its_owner_can_reach_it) {
    const Folder folder;
    const mode_t before = ::umask(0);
    const auto socket = ControlSocket::open(folder.file("s"));
    ::umask(before);
    ASSERT_TRUE(socket) << socket.error().message;
    struct stat found{};
    ASSERT_EQ(::lstat(folder.file("s").c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 07777, 0600U);
}

TEST(ControlSocketTest, leaves_the_socket_of_a_running_daemon_alone) {
    const Folder folder;
    const auto first = ControlSocket::open(folder.file("s"));
    ASSERT_TRUE(first);
    const auto second = ControlSocket::open(folder.file("s"));
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, EADDRINUSE);
    EXPECT_THAT(second.error().message, HasSubstr("already answering"));
    const Client client(folder.file("s"));  // still the first's
}

TEST(ControlSocketTest, outwaits_the_socket_of_a_killed_daemon) {
    const Folder folder;
    const std::string path = folder.file("s");
    // Listens for a moment longer, as the kernel does for a daemon that was killed.
    const int left = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(left, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(::listen(left, 1000), 0);
    std::thread end([left] {
        std::this_thread::sleep_for(std::chrono::milliseconds(300));
        ::close(left);
    });
    const auto second = ControlSocket::open(path);
    end.join();
    EXPECT_TRUE(second) << second.error().message;
}

TEST(ControlSocketTest, replaces_a_socket_that_nobody_answers_on) {
    const Folder folder;
    {
        // Left behind as by kill -9: bound, never removed.
        const int stale = ::socket(AF_UNIX, SOCK_STREAM, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, folder.file("s").c_str(), sizeof address.sun_path - 1);
        ASSERT_EQ(::bind(stale, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        ::close(stale);
    }
    const auto socket = ControlSocket::open(folder.file("s"));
    ASSERT_TRUE(socket) << socket.error().message;
    const Client client(folder.file("s"));
}

TEST(ControlSocketTest, never_removes_what_is_no_socket) {
    const Folder folder;
    std::ofstream(folder.file("data")) << "precious";
    const auto socket = ControlSocket::open(folder.file("data"));
    ASSERT_FALSE(socket);
    EXPECT_EQ(socket.error().code, EEXIST);
    EXPECT_EQ(std::filesystem::file_size(folder.file("data")), 8U);
    std::filesystem::create_symlink(folder.file("data"), folder.file("link"));
    EXPECT_FALSE(ControlSocket::open(folder.file("link")));
}

TEST(ControlSocketTest, removes_only_its_own_path_at_the_end) {
    const Folder folder;
    {
        const auto socket = ControlSocket::open(folder.file("s"));
        ASSERT_TRUE(socket);
        std::filesystem::remove(folder.file("s"));
        std::ofstream(folder.file("s")) << "another's";
    }
    EXPECT_TRUE(std::filesystem::exists(folder.file("s")));
}

TEST(ControlSocketTest, says_what_is_wrong_with_a_path) {
    const auto missing = ControlSocket::open("/nonexistent/folder/s");
    ASSERT_FALSE(missing);
    EXPECT_THAT(missing.error().message, HasSubstr("/nonexistent/folder"));
    const auto lengthy = ControlSocket::open("/tmp/" + std::string(200, 'x'));
    ASSERT_FALSE(lengthy);
    EXPECT_EQ(lengthy.error().code, ENAMETOOLONG);
    EXPECT_FALSE(ControlSocket::open(""));
}

}  // namespace
}  // namespace olio::config
