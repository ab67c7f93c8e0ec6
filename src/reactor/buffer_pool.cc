#include "reactor/buffer_pool.h"

#include <cstdlib>
#include <new>
#include <utility>

#include "base/assert.h"

#if defined(__SANITIZE_ADDRESS__)
#define OLIO_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define OLIO_POISON 1
#endif
#endif
#ifdef OLIO_POISON
#include <sanitizer/asan_interface.h>
#endif

namespace olio::reactor {
namespace {

constexpr std::size_t rounded(std::size_t size) noexcept {
    return std::bit_ceil(size < BufferPool::smallest_bytes ? BufferPool::smallest_bytes : size);
}

constexpr std::size_t class_of(std::size_t capacity) noexcept {
    return static_cast<std::size_t>(std::bit_width(capacity) -
                                    std::bit_width(BufferPool::smallest_bytes));
}

// Whoever touches a buffer after giving it back is caught by AddressSanitizer.
void forbid([[maybe_unused]] std::uint8_t* data, [[maybe_unused]] std::size_t size) noexcept {
#ifdef OLIO_POISON
    ASAN_POISON_MEMORY_REGION(data, size);
#endif
}
void permit([[maybe_unused]] std::uint8_t* data, [[maybe_unused]] std::size_t size) noexcept {
#ifdef OLIO_POISON
    ASAN_UNPOISON_MEMORY_REGION(data, size);
#endif
}

}  // namespace

Buffer::Buffer(Buffer&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)),
      data_(std::exchange(other.data_, nullptr)),
      capacity_(std::exchange(other.capacity_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
    if (this != &other) {
        release();
        pool_ = std::exchange(other.pool_, nullptr);
        data_ = std::exchange(other.data_, nullptr);
        capacity_ = std::exchange(other.capacity_, 0);
    }
    return *this;
}

MutableBytes Buffer::bytes(std::size_t length) const noexcept {
    OLIO_ASSERT(length <= capacity_, "more bytes than the buffer has");
    return {data_, length};
}

void Buffer::release() noexcept {
    if (data_ == nullptr)
        return;
    // Empty first: giving back may wake a waiter that looks at this buffer's owner.
    BufferPool* const pool = std::exchange(pool_, nullptr);
    std::uint8_t* const data = std::exchange(data_, nullptr);
    pool->give_back(data, std::exchange(capacity_, 0));
}

BufferWaiter::~BufferWaiter() {
    hook_.unlink();
}

BufferPool::BufferPool(std::size_t limit_bytes) : limit_(limit_bytes) {}

BufferPool::~BufferPool() {
    OLIO_ASSERT(in_use_ == 0, "a buffer pool is destroyed with buffers in use");
    trim(limit_);
}

void BufferPool::set_idle(std::uint8_t* data, std::size_t capacity, Idle* next) noexcept {
    ::new (data) Idle{next};
    forbid(data, capacity);
}

// Frees idle buffers, the largest first, until `room` bytes more can be held.
bool BufferPool::trim(std::size_t room) noexcept {
    if (room > limit_ || in_use_ > limit_ - room)
        return false;
    for (std::size_t index = classes; index-- != 0 && held_ > limit_ - room;) {
        const std::size_t capacity = smallest_bytes << index;
        while (idle_[index] != nullptr && held_ > limit_ - room) {
            auto* const data = reinterpret_cast<std::uint8_t*>(idle_[index]);
            permit(data, capacity);
            idle_[index] = idle_[index]->next;
            held_ -= capacity;
            std::free(data);
        }
    }
    return true;
}

Buffer BufferPool::take(std::size_t size) noexcept {
    const std::size_t capacity = rounded(size);
    const std::size_t index = class_of(capacity);
    std::uint8_t* data = nullptr;
    if (idle_[index] != nullptr) {
        data = reinterpret_cast<std::uint8_t*>(idle_[index]);
        permit(data, capacity);
        idle_[index] = idle_[index]->next;
    } else {
        if (!trim(capacity))
            return {};
        data = static_cast<std::uint8_t*>(std::aligned_alloc(smallest_bytes, capacity));
        if (data == nullptr)
            return {};
        held_ += capacity;
    }
    in_use_ += capacity;
    Buffer buffer;
    buffer.pool_ = this;
    buffer.data_ = data;
    buffer.capacity_ = capacity;
    return buffer;
}

Buffer BufferPool::acquire(std::size_t size) noexcept {
    OLIO_ASSERT(size <= largest_bytes, "no buffer is that large");
    if (!waiters_.empty())
        return {};
    return take(size);
}

void BufferPool::wait(BufferWaiter& waiter, std::size_t size) noexcept {
    OLIO_ASSERT(size <= largest_bytes && rounded(size) <= limit_, "no buffer will be that large");
    waiter.size_ = size;
    waiters_.push_back(waiter);
    serve();
}

void BufferPool::cancel(BufferWaiter& waiter) noexcept {
    if (!waiter.waiting())
        return;
    waiters_.remove(waiter);
    serve();  // it may have held up smaller ones
}

void BufferPool::give_back(std::uint8_t* data, std::size_t capacity) noexcept {
    const std::size_t index = class_of(capacity);
    in_use_ -= capacity;
    auto* const next = idle_[index];
    set_idle(data, capacity, next);
    idle_[index] = reinterpret_cast<Idle*>(data);
    serve();
}

void BufferPool::serve() noexcept {
    if (serving_)
        return;  // buffer_available() came back here; the loop below goes on
    serving_ = true;
    while (!waiters_.empty()) {
        BufferWaiter& waiter = waiters_.front();
        Buffer buffer = take(waiter.size_);
        if (!buffer)
            break;
        waiters_.remove(waiter);
        waiter.buffer_available(std::move(buffer));
    }
    serving_ = false;
}

}  // namespace olio::reactor
