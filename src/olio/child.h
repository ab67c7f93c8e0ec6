// The daemon as a child process that ends with its parent.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace olio::cli {

// Where oliod is: beside this program, in ../sbin, or in the build tree. ENOENT names what was
// tried.
[[nodiscard]] Result<std::string> find_daemon();

class Child {
  public:
    // Starts the program in a process group of its own, so that Ctrl-C on the terminal reaches it
    // only through us, with more environment (name, value). It gets SIGTERM when this process ends,
    // however that happens. Signals that are blocked here are not blocked there.
    static Result<Child> start(const std::vector<std::string>& command,
                               const std::vector<std::pair<std::string, std::string>>& environment);

    // Exit status, 128 + N after signal N; nothing while it runs.
    [[nodiscard]] std::optional<int> status();
    void send(int signal) const noexcept;
    [[nodiscard]] pid_t process() const noexcept { return process_; }

  private:
    explicit Child(pid_t process) noexcept : process_(process) {}

    pid_t process_;
    std::optional<int> status_;
};

}  // namespace olio::cli
