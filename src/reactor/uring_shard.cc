#include "reactor/uring_shard.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <initializer_list>

#include "base/limits.h"
#include "base/log.h"

namespace olio::reactor {
namespace {

// user_data is the Operation's address, or one of these.
constexpr std::uint64_t of_cancel = 0;
constexpr std::uint64_t of_wake_up = 1;

// Operation::cookie_: what the kernel has been asked for.
enum Asked : std::uint64_t { asked_nothing, asked_operation, asked_poll };

constexpr unsigned completions_per_entry = 4;
constexpr unsigned probe_entries = 8;

#ifndef IORING_SETUP_TASKRUN_FLAG
#error "liburing 2.3 or newer is needed"
#endif

// The I/O priority of the kernel for each priority of an operation: 0 leaves it to the process; 1
// to 15 are the eight levels of the best-effort class, which needs no privilege. IOPRIO_PRIO_VALUE
// of linux/ioprio.h.
constexpr auto io_priorities = [] {
    constexpr unsigned best_effort = 2;
    constexpr unsigned class_shift = 13;
    std::array<std::uint16_t, 16> values{};
    for (unsigned priority = 1; priority < values.size(); ++priority)
        values[priority] =
            static_cast<std::uint16_t>(best_effort << class_shift | (priority - 1) / 2);
    return values;
}();

// The best that the kernel takes is used: 6.1 takes the first, 5.19 the second, 5.11 the last.
constexpr unsigned setup_flags[] = {
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
        IORING_SETUP_SUBMIT_ALL,
    IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
    0,
};
constexpr unsigned features_needed = IORING_FEAT_NODROP | IORING_FEAT_FAST_POLL |
                                     IORING_FEAT_EXT_ARG | IORING_FEAT_SUBMIT_STABLE |
                                     IORING_FEAT_SINGLE_MMAP;
constexpr int opcodes_needed[] = {
    IORING_OP_READV,   IORING_OP_WRITEV,   IORING_OP_READ,      IORING_OP_WRITE,
    IORING_OP_SENDMSG, IORING_OP_SEND,     IORING_OP_RECVMSG,   IORING_OP_RECV,
    IORING_OP_ACCEPT,  IORING_OP_FSYNC,    IORING_OP_FALLOCATE, IORING_OP_ASYNC_CANCEL,
    IORING_OP_CONNECT, IORING_OP_POLL_ADD,
};

// 0 or a negative errno. The ring is disabled: the thread that enables it becomes its only issuer.
int set_up(io_uring& ring, unsigned entries) noexcept {
    if (const int refusal = UringShard::refusal_for_tests.load(); refusal != 0)
        return -refusal;
    int error = -EINVAL;
    for (const unsigned flags : setup_flags) {
        io_uring_params parameters{};
        parameters.flags =
            flags | IORING_SETUP_R_DISABLED | IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE;
        parameters.cq_entries = entries * completions_per_entry;
        error = io_uring_queue_init_params(entries, &ring, &parameters);
        if (error != -EINVAL)
            break;
    }
    return error;
}

// liburing 2.3 declares io_uring_enable_rings() but does not export it.
int enable(io_uring& ring) noexcept {
    const long result =
        ::syscall(__NR_io_uring_register, ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
    return result < 0 ? -errno : 0;
}

std::string why_refused(int error) {
    int disabled = 0;
    if (std::FILE* file = std::fopen("/proc/sys/kernel/io_uring_disabled", "re")) {
        if (std::fscanf(file, "%d", &disabled) != 1)
            disabled = 0;
        std::fclose(file);
    }
    if (error == ENOSYS)
        return "the kernel has no io_uring, or a seccomp filter hides it";
    if (error == EPERM && disabled == 2)
        return "kernel.io_uring_disabled is 2";
    if (error == EPERM && disabled == 1)
        return "kernel.io_uring_disabled is 1 and this process has neither CAP_SYS_ADMIN nor the "
               "group of kernel.io_uring_group";
    if (error == EPERM || error == EACCES)
        return "a seccomp filter or security module forbids it";
    if (error == ENOMEM)
        return "not enough lockable memory (RLIMIT_MEMLOCK)";
    return "io_uring_setup failed";
}

Result<void> check_features(io_uring& ring) {
    if ((ring.features & features_needed) != features_needed)
        return fail(EOPNOTSUPP, "the kernel's io_uring is too old; Linux 5.11 has what is needed");
    io_uring_probe* const probe = io_uring_get_probe_ring(&ring);
    if (probe == nullptr)
        return fail(EOPNOTSUPP, "the kernel's io_uring does not say which operations it has");
    int missing = -1;
    for (const int opcode : opcodes_needed)
        if (!io_uring_opcode_supported(probe, opcode))
            missing = opcode;
    io_uring_free_probe(probe);
    if (missing >= 0)
        return fail(EOPNOTSUPP, fmt::format("the kernel's io_uring lacks operation {}", missing));
    if (const int error = enable(ring); error != 0)
        return fail_errno(-error, "io_uring_register failed");
    // Some filters allow the set-up and forbid the entering.
    io_uring_sqe* const entry = io_uring_get_sqe(&ring);
    io_uring_prep_nop(entry);
    if (const int submitted = io_uring_submit_and_wait(&ring, 1); submitted < 0)
        return fail_errno(-submitted, "io_uring_enter failed");
    return {};
}

}  // namespace

std::atomic<int> UringShard::refusal_for_tests{0};

Result<void> UringShard::probe() {
    io_uring ring{};
    if (const int error = set_up(ring, probe_entries); error != 0)
        return fail_errno(-error, why_refused(-error));
    auto checked = check_features(ring);
    io_uring_queue_exit(&ring);
    return checked;
}

Result<std::unique_ptr<Shard>> UringShard::create(unsigned index, std::uint64_t seed,
                                                  std::size_t buffer_limit_bytes,
                                                  HelperPool& helpers) {
    std::unique_ptr<UringShard> shard(new UringShard(index, seed, buffer_limit_bytes, helpers));
    OLIO_TRY(shard->open_wake_up());
    if (const int error = set_up(shard->ring_, limits::io_uring_entries); error != 0)
        return fail_errno(-error, why_refused(-error));
    shard->open_ = true;
    return shard;
}

UringShard::~UringShard() {
    if (open_)
        io_uring_queue_exit(&ring_);
}

Result<void> UringShard::begin_loop() {
    if (const int error = enable(ring_); error != 0)
        return fail_errno(-error, "cannot enable the io_uring");
    io_uring_register_ring_fd(&ring_);  // saves a look-up an entry; older kernels go without
    return {};
}

void UringShard::end_loop() noexcept {
    // Belongs to this thread: closing the ring on another one could not undo it.
    io_uring_unregister_ring_fd(&ring_);
}

io_uring_sqe* UringShard::next_entry() noexcept {
    if (io_uring_sqe* const entry = io_uring_get_sqe(&ring_))
        return entry;
    // Full: this turn enters the kernel more than once.
    if (io_uring_submit(&ring_) == -EBUSY)
        reap();
    return io_uring_get_sqe(&ring_);
}

void UringShard::start_operation(Operation& operation) noexcept {
    if (OperationAccess{operation}.needs_helper())
        helpers_.submit(operation);
    else
        enqueue(operation);
}

void UringShard::enqueue(Operation& operation) noexcept {
    io_uring_sqe* const entry = next_entry();
    if (entry == nullptr) {
        unsent_.push_back(operation);
        return;
    }
    const OperationAccess access{operation};
    const int fd = access.fd();
    const auto iov = access.iov();
    const auto iov_count = static_cast<unsigned>(iov.size());
    switch (access.kind()) {
        case OperationKind::accept:
            io_uring_prep_accept(entry, fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
            break;
        case OperationKind::connect:
            io_uring_prep_connect(entry, fd, access.address(), access.address_length());
            break;
        case OperationKind::receive:
            if (iov_count == 1)
                io_uring_prep_recv(entry, fd, iov[0].iov_base, iov[0].iov_len, 0);
            else
                io_uring_prep_recvmsg(entry, fd, &access.message(), 0);
            break;
        case OperationKind::send:
            if (iov_count == 1)
                io_uring_prep_send(entry, fd, iov[0].iov_base, iov[0].iov_len, MSG_NOSIGNAL);
            else
                io_uring_prep_sendmsg(entry, fd, &access.message(), MSG_NOSIGNAL);
            break;
        case OperationKind::read:
            io_uring_prep_readv2(entry, fd, iov.data(), iov_count, access.offset(), 0);
            entry->ioprio = io_priorities[access.priority()];
            break;
        case OperationKind::write:
            io_uring_prep_writev2(entry, fd, iov.data(), iov_count, access.offset(),
                                  access.durable() ? RWF_DSYNC : 0);
            entry->ioprio = io_priorities[access.priority()];
            break;
        case OperationKind::sync:
            io_uring_prep_fsync(entry, fd, IORING_FSYNC_DATASYNC);
            break;
        case OperationKind::allocate:
            io_uring_prep_fallocate(entry, fd, access.mode(), static_cast<off_t>(access.offset()),
                                    static_cast<off_t>(access.length()));
            break;
        case OperationKind::none:
        case OperationKind::copy:
        case OperationKind::call:
            OLIO_UNREACHABLE("an operation that io_uring does not do");
    }
    io_uring_sqe_set_data(entry, &operation);
    access.cookie() = asked_operation;
}

// The kernel found that the socket would block and did not wait itself: older ones do not for
// non-blocking sockets. Waits for readiness and tries again.
void UringShard::enqueue_poll(Operation& operation, io_uring_sqe& entry) noexcept {
    const OperationAccess access{operation};
    const bool in =
        access.kind() == OperationKind::accept || access.kind() == OperationKind::receive;
    io_uring_prep_poll_add(&entry, access.fd(), in ? POLLIN : POLLOUT);
    io_uring_sqe_set_data(&entry, &operation);
    access.cookie() = asked_poll;
}

void UringShard::cancel_operation(Operation& operation) noexcept {
    const OperationAccess access{operation};
    if (access.needs_helper()) {
        if (helpers_.withdraw(operation))
            finish(operation, -ECANCELED);
    } else if (access.cookie() == asked_nothing) {
        unsent_.remove(operation);
        finish(operation, -ECANCELED);
    } else {
        enqueue_cancel(operation);
    }
}

void UringShard::enqueue_cancel(Operation& operation) noexcept {
    io_uring_sqe* const entry = next_entry();
    if (OperationAccess{operation}.finished())
        return;  // making room for the entry has shown that it is done
    if (entry == nullptr) {
        unsent_cancels_.push_back(operation);
        return;
    }
    io_uring_prep_cancel(entry, &operation, 0);
    io_uring_sqe_set_data64(entry, of_cancel);
}

void UringShard::retry_postponed() noexcept {
    while (!unsent_cancels_.empty() && io_uring_sq_space_left(&ring_) != 0)
        enqueue_cancel(*unsent_cancels_.pop_front());
    while (!unsent_.empty() && io_uring_sq_space_left(&ring_) != 0)
        enqueue(*unsent_.pop_front());
}

void UringShard::poll(Nanoseconds until) noexcept {
    if (!wake_up_watched_) {
        if (io_uring_sqe* const entry = next_entry()) {
            io_uring_prep_poll_add(entry, wake_up_, POLLIN);
            io_uring_sqe_set_data64(entry, of_wake_up);
            wake_up_watched_ = true;
        } else {
            until = 0;
        }
    }
    retry_postponed();
    if (!unsent_.empty() || !unsent_cancels_.empty() || ready())
        until = 0;
    enter(until);
    reap();
}

void UringShard::enter(Nanoseconds until) noexcept {
    io_uring_cqe* cqe = nullptr;
    const Nanoseconds time = until == 0 || until == never ? 0 : clock();
    if (until <= time || io_uring_cq_ready(&ring_) != 0) {
        // Not asleep. Without anything to submit this enters the kernel only if it has work for us.
        if (io_uring_sq_ready(&ring_) != 0)
            io_uring_submit_and_get_events(&ring_);
        else
            io_uring_peek_cqe(&ring_, &cqe);
        return;
    }
    if (until == never) {
        io_uring_submit_and_wait(&ring_, 1);
        return;
    }
    const Nanoseconds sleep = until - time;
    __kernel_timespec timeout{};
    timeout.tv_sec = static_cast<std::int64_t>(sleep / nanoseconds_per_second);
    timeout.tv_nsec = static_cast<long long>(sleep % nanoseconds_per_second);
    io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &timeout, nullptr);
}

void UringShard::reap() noexcept {
    // next_entry() reaps too when both queues are full, so each one is taken off before it is used.
    io_uring_cqe* cqe = nullptr;
    while (io_uring_peek_cqe(&ring_, &cqe) == 0 && cqe != nullptr) {
        const std::uint64_t data = io_uring_cqe_get_data64(cqe);
        const int result = cqe->res;
        io_uring_cqe_seen(&ring_, cqe);
        if (data == of_wake_up) {
            wake_up_watched_ = false;
            drain_wake_up();
        } else if (data != of_cancel) {
            completed(*reinterpret_cast<Operation*>(data), result);
        }
    }
}

void UringShard::completed(Operation& operation, std::int64_t result) noexcept {
    const OperationAccess access{operation};
    const bool polled = access.cookie() == asked_poll;
    access.cookie() = asked_nothing;
    if (access.cancelled())
        unsent_cancels_.remove(operation);
    if (polled && result >= 0) {
        if (access.cancelled())
            result = -ECANCELED;
        else if (access.kind() != OperationKind::connect)
            return enqueue(operation);
        else {
            int error = 0;
            socklen_t length = sizeof error;
            ::getsockopt(access.fd(), SOL_SOCKET, SO_ERROR, &error, &length);
            result = -error;
        }
    } else if (result == -EINTR && access.cancelled()) {
        result = -ECANCELED;
    } else if (access.on_socket() && !access.cancelled() &&
               (result == -EAGAIN || result == -EINPROGRESS || result == -EINTR)) {
        if (io_uring_sqe* const entry = next_entry())
            return enqueue_poll(operation, *entry);
        unsent_.push_back(operation);
        return;
    }
    finish(operation, result);
}

}  // namespace olio::reactor
