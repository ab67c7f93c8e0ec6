// The inside of an Operation, for the back ends only.
#pragma once

#include "reactor/operation.h"

namespace olio::reactor {

struct OperationAccess {
    Operation& operation;

    [[nodiscard]] OperationKind kind() const noexcept { return operation.kind_; }
    [[nodiscard]] int fd() const noexcept { return operation.fd_; }
    [[nodiscard]] bool durable() const noexcept { return operation.durable_; }
    [[nodiscard]] std::uint8_t priority() const noexcept { return operation.priority_; }
    [[nodiscard]] int mode() const noexcept { return operation.mode_; }
    [[nodiscard]] std::uint64_t offset() const noexcept { return operation.offset_; }
    [[nodiscard]] std::uint64_t length() const noexcept { return operation.length_; }
    [[nodiscard]] int from_fd() const noexcept { return operation.from_fd_; }
    [[nodiscard]] std::uint64_t from_offset() const noexcept { return operation.from_offset_; }
    [[nodiscard]] msghdr& message() const noexcept { return operation.message_; }
    [[nodiscard]] std::span<iovec> iov() const noexcept {
        return {operation.message_.msg_iov, operation.message_.msg_iovlen};
    }
    [[nodiscard]] const sockaddr* address() const noexcept {
        return reinterpret_cast<const sockaddr*>(operation.address_);
    }
    [[nodiscard]] socklen_t address_length() const noexcept {
        return static_cast<socklen_t>(operation.length_);
    }
    [[nodiscard]] std::int64_t call() const noexcept {
        return operation.function_(operation.argument_);
    }
    [[nodiscard]] Shard& shard() const noexcept { return *operation.shard_; }
    [[nodiscard]] Operation*& next() const noexcept { return operation.next_; }
    [[nodiscard]] std::uint64_t& cookie() const noexcept { return operation.cookie_; }
    [[nodiscard]] bool cancelled() const noexcept { return operation.cancelled_; }
    [[nodiscard]] bool finished() const noexcept { return operation.finished_; }
    // No back end has a way of its own to do it: it is for the helper threads.
    [[nodiscard]] bool needs_helper() const noexcept {
        return kind() == OperationKind::copy || kind() == OperationKind::call;
    }
    [[nodiscard]] bool on_socket() const noexcept {
        return kind() >= OperationKind::accept && kind() <= OperationKind::send;
    }
};

// A queue through Operation::next_.
class OperationQueue {
  public:
    [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }
    [[nodiscard]] Operation* front() const noexcept { return head_; }
    void push_back(Operation& operation) noexcept {
        OperationAccess{operation}.next() = nullptr;
        if (head_ == nullptr)
            head_ = &operation;
        else
            OperationAccess{*tail_}.next() = &operation;
        tail_ = &operation;
    }
    Operation* pop_front() noexcept {
        Operation* const first = head_;
        if (first != nullptr)
            head_ = OperationAccess{*first}.next();
        return first;
    }
    // False if it is not in the queue. Linear: for cancelling.
    bool remove(Operation& operation) noexcept {
        Operation* before = nullptr;
        for (Operation* at = head_; at != nullptr; before = at, at = OperationAccess{*at}.next()) {
            if (at != &operation)
                continue;
            Operation* const after = OperationAccess{operation}.next();
            if (before == nullptr)
                head_ = after;
            else
                OperationAccess{*before}.next() = after;
            if (tail_ == &operation)
                tail_ = before;
            return true;
        }
        return false;
    }

  private:
    Operation* head_ = nullptr;
    Operation* tail_ = nullptr;
};

// Does a file operation or a call at once, on this thread, with the system calls of old. The value
// of the system call or a negative errno.
[[nodiscard]] std::int64_t perform_blocking(Operation& operation) noexcept;

}  // namespace olio::reactor
