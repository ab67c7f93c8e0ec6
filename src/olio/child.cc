#include "olio/child.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>

namespace olio::cli {
namespace {

// In the new process: only what is safe after fork().
[[noreturn]] void run_in_child(char* const* arguments, pid_t parent, int report) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent)
        ::_exit(127);  // it ended before we asked to hear of it
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::execv(arguments[0], arguments);
    const int code = errno;
    (void)!::write(report, &code, sizeof code);
    ::_exit(127);
}

}  // namespace

Result<std::string> find_daemon() {
    std::error_code error;
    const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
    if (error)
        return fail(error.value(), "cannot find out where olio itself is: /proc is not mounted");
    const auto folder = self.parent_path();
    std::string tried;
    for (const char* place : {"oliod", "../sbin/oliod", "../oliod/oliod"}) {
        const auto path = (folder / place).lexically_normal();
        if (::access(path.c_str(), X_OK) == 0 && std::filesystem::is_regular_file(path, error))
            return path.string();
        tried += (tried.empty() ? "" : ", ") + path.string();
    }
    return fail(ENOENT,
                fmt::format("the daemon is not installed beside olio (looked for {})", tried));
}

Result<Child> Child::start(const std::vector<std::string>& command,
                           const std::vector<std::pair<std::string, std::string>>& environment) {
    std::vector<std::string> words = command;
    std::vector<char*> arguments;
    for (std::string& word : words)
        arguments.push_back(word.data());
    arguments.push_back(nullptr);
    for (const auto& [name, value] : environment)
        ::setenv(name.c_str(), value.c_str(), 1);

    // Closed by a successful exec; else it brings the reason.
    std::array<int, 2> report{};
    if (::pipe2(report.data(), O_CLOEXEC) != 0)
        return fail_errno(errno, "cannot make a pipe");
    const pid_t parent = ::getpid();
    const pid_t process = ::fork();
    if (process == 0)
        run_in_child(arguments.data(), parent, report[1]);
    const int fork_error = errno;
    ::close(report[1]);
    int code = process < 0 ? fork_error : 0;
    if (process > 0 && ::read(report[0], &code, sizeof code) != sizeof code)
        code = 0;
    ::close(report[0]);
    for (const auto& [name, value] : environment)
        ::unsetenv(name.c_str());
    if (code != 0) {
        if (process > 0)
            ::waitpid(process, nullptr, 0);
        return fail_errno(code, fmt::format("cannot start {}", command.front()));
    }
    return Child(process);
}

std::optional<int> Child::status() {
    if (status_)
        return status_;
    int status = 0;
    if (::waitpid(process_, &status, WNOHANG) != process_)
        return std::nullopt;
    status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return status_;
}

void Child::send(int signal) const noexcept {
    if (!status_)
        ::kill(process_, signal);
}

}  // namespace olio::cli
