#include "reactor/helper_pool.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "base/log.h"
#include "reactor/shard.h"

namespace olio::reactor {

std::int64_t perform_blocking(Operation& operation) noexcept {
    const OperationAccess access{operation};
    const auto iov = access.iov();
    const auto offset = static_cast<off_t>(access.offset());
    std::int64_t result = 0;
    do {
        switch (access.kind()) {
            case OperationKind::read:
                result =
                    ::preadv2(access.fd(), iov.data(), static_cast<int>(iov.size()), offset, 0);
                break;
            case OperationKind::write:
                result = ::pwritev2(access.fd(), iov.data(), static_cast<int>(iov.size()), offset,
                                    access.durable() ? RWF_DSYNC : 0);
                break;
            case OperationKind::sync:
                result = ::fdatasync(access.fd());
                break;
            case OperationKind::allocate:
                result = ::fallocate(access.fd(), access.mode(), offset,
                                     static_cast<off_t>(access.length()));
                break;
            case OperationKind::copy: {
                auto to = offset;
                auto from = static_cast<off_t>(access.from_offset());
                result = ::copy_file_range(access.from_fd(), &from, access.fd(), &to,
                                           access.length(), 0);
                break;
            }
            case OperationKind::call:
                return access.call();
            default:
                return -EINVAL;
        }
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : result;
}

HelperPool::HelperPool(unsigned threads_at_most) : threads_at_most_(threads_at_most) {
    threads_.reserve(threads_at_most);
}

HelperPool::~HelperPool() {
    {
        const std::lock_guard lock(mutex_);
        ending_ = true;
    }
    work_to_do_.notify_all();
    for (std::thread& thread : threads_)
        thread.join();
}

void HelperPool::submit(Operation& operation) noexcept {
    bool stranded = false;
    {
        const std::lock_guard lock(mutex_);
        queue_.push_back(operation);
        ++queued_;
        if (queued_ > idle_ && threads_.size() < threads_at_most_) {
            try {
                threads_.emplace_back([this] { work(); });
            } catch (const std::system_error& error) {
                log::warning("cannot start a helper thread: {}; {} run", error.what(),
                             threads_.size());
                // With no thread at all nobody would ever take it.
                stranded = threads_.empty();
                if (stranded && queue_.remove(operation))
                    --queued_;
            }
        }
    }
    if (stranded)
        OperationAccess{operation}.shard().finish_remotely(operation, -EAGAIN);
    else
        work_to_do_.notify_one();
}

bool HelperPool::withdraw(Operation& operation) noexcept {
    const std::lock_guard lock(mutex_);
    if (!queue_.remove(operation))
        return false;
    --queued_;
    return true;
}

void HelperPool::work() noexcept {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
    pthread_setname_np(pthread_self(), "olio-helper");
    std::unique_lock lock(mutex_);
    for (;;) {
        ++idle_;
        work_to_do_.wait(lock, [this] { return ending_ || !queue_.empty(); });
        --idle_;
        Operation* const operation = queue_.pop_front();
        if (operation == nullptr)
            return;
        --queued_;
        lock.unlock();
        const std::int64_t result = perform_blocking(*operation);
        OperationAccess{*operation}.shard().finish_remotely(*operation, result);
        lock.lock();
    }
}

}  // namespace olio::reactor
