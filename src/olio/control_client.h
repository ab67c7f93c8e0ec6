// Asks a daemon, over its control socket, and waits for the answer.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/result.h"

namespace olio::cli {

using Json = nlohmann::json;

class ControlClient {
  public:
    // ENOENT or ECONNREFUSED: no daemon is there.
    static Result<ControlClient> connect(const std::string& path, unsigned timeout_seconds = 30);
    ControlClient(ControlClient&& other) noexcept;
    ControlClient& operator=(ControlClient&&) = delete;
    ~ControlClient();

    // The result, or the daemon's error with its message. ETIMEDOUT: no answer within the timeout;
    // EPROTO: what came is no answer. After either, and after the connection broke, the client is
    // of no use any more.
    Result<Json> call(const std::string& method, const Json& parameters);

  private:
    ControlClient(int socket, unsigned timeout_seconds) noexcept;
    Result<void> send_line(const std::string& line) const;
    Result<std::string> receive_line();

    int socket_;
    unsigned timeout_seconds_;
    int last_id_ = 0;
    std::string buffer_;
};

// The control socket to use: `given`, or the default one, or if no daemon has that, the one of the
// only `olio serve` of this user. Errors say what was looked for.
[[nodiscard]] Result<std::string> find_control_socket(const std::string& given);

}  // namespace olio::cli
