// What `olio serve` says: how to reach the disks, and what happens on them. Plain text with a live
// line on a terminal, plain lines elsewhere, or one JSON object a line.
#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

namespace olio::cli {

using Json = nlohmann::json;

// Traffic between two looks.
struct Rates {
    double read_bytes = 0;  // each per second
    double read_commands = 0;
    double write_bytes = 0;
    double write_commands = 0;
};

// All that is printed once the daemon serves.
[[nodiscard]] std::string banner(const Json& status, const Json& luns);
[[nodiscard]] std::string status_line(std::uint64_t sessions, const Rates& rates);
// The members of "status" and "luns" that a program needs, with commands and URLs.
[[nodiscard]] Json serving_json(const Json& status, const Json& luns);

class ServeReport {
  public:
    ServeReport(bool json, bool terminal) noexcept : json_(json), terminal_(terminal) {}

    void starting(unsigned waited_seconds);
    void serving(const Json& status, const Json& luns);
    void status(const Json& status);
    void ending();
    void ended(int exit_status);

  private:
    struct Look {
        std::chrono::steady_clock::time_point at;
        std::uint64_t read_bytes = 0;
        std::uint64_t read_commands = 0;
        std::uint64_t write_bytes = 0;
        std::uint64_t write_commands = 0;
        std::uint64_t sessions = 0;
    };
    static Look look_at(const Json& status);
    void live(const std::string& line);
    void line(const std::string& line);

    bool json_;
    bool terminal_;
    bool live_shown_ = false;
    bool said_starting_ = false;
    std::optional<Look> last_;
};

}  // namespace olio::cli
