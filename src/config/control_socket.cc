#include "config/control_socket.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>

#include "base/former_owner.h"
#include "base/limits.h"

namespace olio::config {
namespace {

// A descriptor that closes itself.
class Descriptor {
  public:
    explicit Descriptor(int number) noexcept : number_(number) {}
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() {
        if (number_ >= 0)
            ::close(number_);
    }
    [[nodiscard]] int get() const noexcept { return number_; }
    [[nodiscard]] int release() noexcept { return std::exchange(number_, -1); }

  private:
    int number_;
};

std::string folder_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos)
        return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

Result<sockaddr_un> address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path)
        return fail(ENAMETOOLONG,
                    fmt::format("the path of the control socket, '{}', must have 1 to {} "
                                "characters; name a shorter one with --control PATH",
                                path, sizeof address.sun_path - 1));
    std::memcpy(address.sun_path, path.data(), path.size());
    return address;
}

// Two daemons that start at once must not both take a stale socket for theirs to replace: the
// folder is locked while one looks and binds.
Result<void> lock_folder(const Descriptor& folder, const std::string& name) {
    for (int attempt = 0; ::flock(folder.get(), LOCK_EX | LOCK_NB) != 0; ++attempt) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return fail_errno(errno, fmt::format("cannot lock the folder '{}'", name));
        if (attempt == 100)  // longer than clear_stale() waits
            return fail(EBUSY, fmt::format("another program holds a lock on the folder '{}'; name "
                                           "another place with --control PATH",
                                           name));
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return {};
}

// A connection to whoever listens at the address. It is kept while one waits for them to end: to
// ask anew each time would fill their queue.
class Listening {
  public:
    explicit Listening(const sockaddr_un& address)
        : probe_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)),
          error_(::connect(probe_.get(), reinterpret_cast<const sockaddr*>(&address),
                           sizeof address) == 0
                     ? 0
                     : errno) {}

    // Somebody accepts connections there, or would when they get to it.
    [[nodiscard]] bool answered() const noexcept {
        return error_ != ECONNREFUSED && error_ != ENOENT;
    }
    // They were there and have ended since.
    [[nodiscard]] bool ended() const noexcept {
        pollfd hang_up{.fd = probe_.get(), .events = 0, .revents = 0};
        return error_ != 0 || (::poll(&hang_up, 1, 0) == 1 && (hang_up.revents & POLLHUP) != 0);
    }

  private:
    Descriptor probe_;
    int error_;
};

// Makes way for a new socket if what is there is one that nobody listens on any more.
Result<void> clear_stale(const std::string& path, const sockaddr_un& address) {
    struct stat found{};
    if (::lstat(path.c_str(), &found) != 0) {
        if (errno == ENOENT)
            return {};
        return fail_errno(errno, fmt::format("cannot look at the control socket '{}'", path));
    }
    if (!S_ISSOCK(found.st_mode))
        return fail(EEXIST,
                    fmt::format("'{}' exists and is no socket, so the control socket cannot "
                                "be made there; remove it or name another with --control",
                                path));
    const Listening owner(address);
    const auto has_left = [&] { return owner.ended() && !Listening(address).answered(); };
    if (owner.answered() && !outwait_former_owner(fmt::format("'{}' is in use", path), has_left))
        return fail(EADDRINUSE,
                    fmt::format("a daemon is already answering on the control socket '{}'; stop it "
                                "with 'olio shutdown --control {}', or name another with --control",
                                path, path));
    if (::unlink(path.c_str()) != 0 && errno != ENOENT)
        return fail_errno(errno, fmt::format("cannot replace the stale control socket '{}'", path));
    return {};
}

}  // namespace

Result<ControlSocket> ControlSocket::open(const std::string& path) {
    const auto address = address_of(path);
    if (!address)
        return std::unexpected(address.error());
    const std::string folder_name = folder_of(path);
    const Descriptor folder(::open(folder_name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (folder.get() < 0)
        return fail(errno, fmt::format("cannot open '{}', the folder of the control socket ({}); "
                                       "make it, or name another place with --control PATH",
                                       folder_name, std::generic_category().message(errno)));
    OLIO_TRY(lock_folder(folder, folder_name));
    OLIO_TRY(clear_stale(path, *address));

    Descriptor listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (listener.get() < 0)
        return fail_errno(errno, "cannot make the control socket");
    // The mode of the descriptor becomes that of the path: there is no moment at which others can
    // connect, and no umask to change under other threads.
    if (::fchmod(listener.get(), 0600) != 0 ||
        ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0)
        return fail(errno, fmt::format("cannot make the control socket '{}' ({}); name another "
                                       "place with --control PATH",
                                       path, std::generic_category().message(errno)));
    struct stat made{};
    if (::lstat(path.c_str(), &made) != 0 ||
        ::listen(listener.get(), static_cast<int>(limits::control_connections)) != 0) {
        const int code = errno;
        ::unlink(path.c_str());
        return fail_errno(code, fmt::format("cannot listen on the control socket '{}'", path));
    }
    return ControlSocket(path, listener.release(), made.st_dev, made.st_ino);
}

ControlSocket::ControlSocket(std::string path, int descriptor, dev_t device, ino_t inode) noexcept
    : path_(std::move(path)), descriptor_(descriptor), device_(device), inode_(inode) {}

ControlSocket::ControlSocket(ControlSocket&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      device_(other.device_),
      inode_(other.inode_) {}

ControlSocket::~ControlSocket() {
    if (descriptor_ < 0)
        return;
    struct stat found{};
    if (::lstat(path_.c_str(), &found) == 0 && found.st_dev == device_ && found.st_ino == inode_)
        ::unlink(path_.c_str());
    ::close(descriptor_);
}

}  // namespace olio::config
