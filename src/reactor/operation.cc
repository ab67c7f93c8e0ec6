#include "reactor/operation.h"

#include "base/assert.h"

namespace olio::reactor {

Operation::~Operation() {
    OLIO_ASSERT(!in_flight_, "an operation is destroyed while in flight");
}

Operation& Operation::accept(int listener) noexcept {
    kind_ = OperationKind::accept;
    fd_ = listener;
    return *this;
}

Operation& Operation::connect(int socket, const sockaddr_storage& address,
                              socklen_t length) noexcept {
    kind_ = OperationKind::connect;
    fd_ = socket;
    address_ = &address;
    length_ = length;
    return *this;
}

Operation& Operation::receive(int socket, std::span<iovec> into) noexcept {
    kind_ = OperationKind::receive;
    fd_ = socket;
    message_ = {};
    message_.msg_iov = into.data();
    message_.msg_iovlen = into.size();
    return *this;
}

Operation& Operation::send(int socket, std::span<iovec> from) noexcept {
    receive(socket, from);
    kind_ = OperationKind::send;
    return *this;
}

Operation& Operation::read(int file, std::span<iovec> into, std::uint64_t offset,
                           std::uint8_t priority) noexcept {
    receive(file, into);
    kind_ = OperationKind::read;
    offset_ = offset;
    priority_ = priority;
    return *this;
}

Operation& Operation::write(int file, std::span<iovec> from, std::uint64_t offset, bool durable,
                            std::uint8_t priority) noexcept {
    receive(file, from);
    kind_ = OperationKind::write;
    offset_ = offset;
    durable_ = durable;
    priority_ = priority;
    return *this;
}

Operation& Operation::sync(int file) noexcept {
    kind_ = OperationKind::sync;
    fd_ = file;
    return *this;
}

Operation& Operation::allocate(int file, int mode, std::uint64_t offset,
                               std::uint64_t length) noexcept {
    kind_ = OperationKind::allocate;
    fd_ = file;
    mode_ = mode;
    offset_ = offset;
    length_ = length;
    return *this;
}

Operation& Operation::copy(int file, std::uint64_t offset, std::uint64_t length, int from,
                           std::uint64_t from_offset) noexcept {
    kind_ = OperationKind::copy;
    fd_ = file;
    offset_ = offset;
    length_ = length;
    from_fd_ = from;
    from_offset_ = from_offset;
    return *this;
}

Operation& Operation::call(std::int64_t (*function)(void*), void* argument) noexcept {
    kind_ = OperationKind::call;
    fd_ = -1;
    function_ = function;
    argument_ = argument;
    return *this;
}

}  // namespace olio::reactor
