// One asynchronous request to the operating system (or to the simulator). It is a member of
// whatever waits for it, so nothing is allocated; it must stay where it is until on_complete has
// been called.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstdint>
#include <span>

#include "base/intrusive_list.h"

namespace olio::reactor {

class Shard;

enum class OperationKind : std::uint8_t {
    none,
    accept,    // fd: a listening socket. Result: the new descriptor
    connect,   // fd: a socket, address
    receive,   // fd: a socket, iov. Result: bytes; 0 = the peer closed
    send,      // fd: a socket, iov. Result: bytes, possibly fewer than asked. Never raises SIGPIPE
    read,      // fd: a file, iov, offset. Result: bytes, possibly fewer
    write,     // fd: a file, iov, offset; durable = RWF_DSYNC. Result: bytes, possibly fewer
    sync,      // fd: a file; fdatasync
    allocate,  // fd: a file, offset, length, mode: fallocate(2)
    copy,  // fd: a file, offset, length, from: another or the same. Result: bytes, possibly fewer.
           // copy_file_range(2): the file system does it, by sharing blocks if it can
    call,  // function: runs on a helper thread, may block; its return value is the result (sim:
           // runs on the one thread)
};

class Operation {
  public:
    Operation() = default;
    Operation(const Operation&) = delete;
    Operation& operator=(const Operation&) = delete;
    virtual ~Operation();

    // Called exactly once for each Shard::submit, on the shard that submitted, never from inside
    // submit() or cancel(). After Reactor::stop() what is in flight is cancelled before run()
    // returns and what is submitted then ends with -ECANCELED: do not resubmit on that result.
    // `result` is the system call's value or a negative errno (-ECANCELED after a cancel that came
    // in time). The operation is idle again and may be destroyed or resubmitted.
    virtual void on_complete(std::int64_t result) noexcept = 0;

    [[nodiscard]] bool in_flight() const noexcept { return in_flight_; }

    // Setters of the arguments; each returns *this for use in submit().
    Operation& accept(int listener) noexcept;
    Operation& connect(int socket, const sockaddr_storage& address, socklen_t length) noexcept;
    Operation& receive(int socket, std::span<iovec> into) noexcept;
    Operation& send(int socket, std::span<iovec> from) noexcept;
    // `priority`: 1 (highest) to 15, for back ends that can tell the kernel; 0: as the process has
    // it.
    Operation& read(int file, std::span<iovec> into, std::uint64_t offset,
                    std::uint8_t priority = 0) noexcept;
    Operation& write(int file, std::span<iovec> from, std::uint64_t offset, bool durable,
                     std::uint8_t priority = 0) noexcept;
    Operation& sync(int file) noexcept;
    Operation& allocate(int file, int mode, std::uint64_t offset, std::uint64_t length) noexcept;
    Operation& copy(int file, std::uint64_t offset, std::uint64_t length, int from,
                    std::uint64_t from_offset) noexcept;
    Operation& call(std::int64_t (*function)(void*), void* argument) noexcept;

  private:
    friend class Shard;
    friend struct OperationAccess;  // the back ends

    OperationKind kind_ = OperationKind::none;
    bool in_flight_ = false;
    bool durable_ = false;
    std::uint8_t priority_ = 0;
    int fd_ = -1;
    int mode_ = 0;
    std::uint64_t offset_ = 0;
    std::uint64_t length_ = 0;
    int from_fd_ = -1;
    std::uint64_t from_offset_ = 0;
    msghdr message_{};
    sockaddr_storage const* address_ = nullptr;  // stays the caller's
    std::int64_t (*function_)(void*) = nullptr;
    void* argument_ = nullptr;

    // From here on the shard's and its back end's use.
    Shard* shard_ = nullptr;  // where it was submitted
    Operation* next_ =
        nullptr;  // in the queue of a socket, of the helper threads, or of what they did
    std::int64_t result_ = 0;
    std::uint64_t cookie_ = 0;
    bool cancelled_ = false;  // cancel() was asked for
    bool finished_ = false;   // the result stands; on_complete has not been called yet
    ListHook hook_;           // in the shard's list of operations in flight, or of finished ones
};

}  // namespace olio::reactor
