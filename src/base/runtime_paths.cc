#include "base/runtime_paths.h"

#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <system_error>

namespace olio {

std::string runtime_directory() {
    const uid_t user = ::geteuid();
    if (user == 0)
        return "/run/olio";
    const char* session = std::getenv("XDG_RUNTIME_DIR");
    if (session != nullptr && session[0] == '/')
        return session;
    return fmt::format("/tmp/olio-{}", user);
}

Result<void> make_runtime_directory(const std::string& directory) {
    if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST)
        return fail(errno, fmt::format("cannot make the folder '{}' for the control socket ({}); "
                                       "name another place with --control PATH",
                                       directory, std::generic_category().message(errno)));
    struct stat found{};
    if (::lstat(directory.c_str(), &found) != 0)
        return fail_errno(errno, fmt::format("cannot look at the folder '{}'", directory));
    if (!S_ISDIR(found.st_mode) || found.st_uid != ::geteuid() || (found.st_mode & 0022) != 0)
        return fail(EPERM, fmt::format("'{}' is not a folder that only you can write to; remove it "
                                       "or name another place with --control PATH",
                                       directory));
    return {};
}

std::string default_state_directory() {
    if (::geteuid() == 0)
        return "/var/lib/olio";
    if (const char* state = std::getenv("XDG_STATE_HOME"); state != nullptr && state[0] == '/')
        return fmt::format("{}/olio", state);
    if (const char* home = std::getenv("HOME"); home != nullptr && home[0] == '/')
        return fmt::format("{}/.local/state/olio", home);
    return runtime_directory() + "/state";
}

std::string default_control_path() {
    return runtime_directory() + "/olio.sock";
}

std::string serve_control_path(long process) {
    return fmt::format("{}/{}{}.sock", runtime_directory(), serve_socket_prefix, process);
}

}  // namespace olio
