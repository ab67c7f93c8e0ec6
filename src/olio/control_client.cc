#include "olio/control_client.h"

#include <fmt/core.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>
#include <vector>

#include "base/runtime_paths.h"

namespace olio::cli {
namespace {

constexpr std::size_t longest_answer_bytes = 256 << 20;

Result<void> wait_for(int socket, short event, unsigned timeout_seconds) {
    pollfd wait{socket, event, 0};
    int ready = 0;
    do
        ready = ::poll(&wait, 1, static_cast<int>(timeout_seconds) * 1000);
    while (ready < 0 && errno == EINTR);
    if (ready < 0)
        return fail_errno(errno, "cannot wait for the daemon");
    if (ready == 0)
        return fail(ETIMEDOUT,
                    fmt::format("the daemon did not answer within {} s", timeout_seconds));
    return {};
}

bool answers(const std::string& path) {
    return ControlClient::connect(path).has_value();
}

// The sockets of this user's `olio serve` that somebody answers on.
std::vector<std::string> served_sockets() {
    std::vector<std::string> found;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(runtime_directory(), error)) {
        const std::string name = entry.path().filename().string();
        if (name.starts_with(serve_socket_prefix) && answers(entry.path().string()))
            found.push_back(entry.path().string());
    }
    std::ranges::sort(found);
    return found;
}

}  // namespace

Result<ControlClient> ControlClient::connect(const std::string& path, unsigned timeout_seconds) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path)
        return fail(ENAMETOOLONG, fmt::format("'{}' is too long for the path of a socket", path));
    std::memcpy(address.sun_path, path.data(), path.size());
    ControlClient client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), timeout_seconds);
    if (client.socket_ < 0)
        return fail_errno(errno, "cannot make a socket");
    const timeval limit{.tv_sec = static_cast<time_t>(timeout_seconds), .tv_usec = 0};
    ::setsockopt(client.socket_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (::connect(client.socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) !=
        0) {
        const int code = errno;
        if (code == EACCES || code == EPERM)
            return fail(code, fmt::format("the daemon at '{}' belongs to another user; ask as that "
                                          "user or as root",
                                          path));
        return fail(code,
                    fmt::format("no daemon answers on the control socket '{}' ({}); start one "
                                "with 'olio serve', or name its socket with --control",
                                path, std::generic_category().message(code)));
    }
    return client;
}

ControlClient::ControlClient(int socket, unsigned timeout_seconds) noexcept
    : socket_(socket), timeout_seconds_(timeout_seconds) {}

ControlClient::ControlClient(ControlClient&& other) noexcept
    : socket_(std::exchange(other.socket_, -1)),
      timeout_seconds_(other.timeout_seconds_),
      last_id_(other.last_id_),
      buffer_(std::move(other.buffer_)) {}

ControlClient::~ControlClient() {
    if (socket_ >= 0)
        ::close(socket_);
}

Result<Json> ControlClient::call(const std::string& method, const Json& parameters) {
    const int id = ++last_id_;
    const Json request{{"jsonrpc", "2.0"}, {"id", id}, {"method", method}, {"params", parameters}};
    OLIO_TRY(send_line(request.dump(-1, ' ', false, Json::error_handler_t::replace)));
    const auto line = receive_line();
    if (!line)
        return std::unexpected(line.error());
    const Json answer = Json::parse(*line, nullptr, false);
    const auto strange = fail(EPROTO, "what answers on the control socket is no Olio daemon");
    if (!answer.is_object())
        return strange;
    if (const auto error = answer.find("error"); error != answer.end()) {
        if (!error->is_object() || !error->contains("message") || !(*error)["message"].is_string())
            return strange;
        int code = 0;
        if (const auto data = error->find("data"); data != error->end() && data->is_object())
            code = data->value("errno", 0);
        return fail(code, (*error)["message"].get<std::string>());
    }
    if (!answer.contains("result") || answer.value("id", Json()) != id)
        return strange;
    return answer["result"];
}

Result<void> ControlClient::send_line(const std::string& line) const {
    const std::string text = line + "\n";
    for (std::size_t sent = 0; sent < text.size();) {
        const ssize_t count = ::send(socket_, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return fail_errno(errno, "cannot ask the daemon");
        sent += static_cast<std::size_t>(count);
    }
    return {};
}

Result<std::string> ControlClient::receive_line() {
    std::size_t looked_at = 0;
    while (true) {
        const std::size_t end = buffer_.find('\n', looked_at);
        if (end != std::string::npos) {
            std::string line = buffer_.substr(0, end);
            buffer_.erase(0, end + 1);
            return line;
        }
        looked_at = buffer_.size();
        OLIO_TRY(wait_for(socket_, POLLIN, timeout_seconds_));
        std::array<char, 65536> chunk;
        const ssize_t count = ::recv(socket_, chunk.data(), chunk.size(), 0);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return fail_errno(errno, "cannot hear the daemon's answer");
        if (count == 0)
            return fail(ECONNRESET, "the daemon ended before it answered");
        buffer_.append(chunk.data(), static_cast<std::size_t>(count));
        if (buffer_.size() > longest_answer_bytes)
            return fail(EPROTO, "the daemon's answer has no end");
    }
}

Result<std::string> find_control_socket(const std::string& given) {
    if (!given.empty())
        return given;
    std::string usual = default_control_path();
    if (answers(usual))
        return usual;
    const std::vector<std::string> served = served_sockets();
    if (served.size() == 1)
        return served.front();
    if (served.empty())
        return usual;  // connecting to it says what is wrong
    return fail(EINVAL, fmt::format("several daemons of yours are running; name one of them with "
                                    "--control:\n  {}",
                                    fmt::join(served, "\n  ")));
}

}  // namespace olio::cli
