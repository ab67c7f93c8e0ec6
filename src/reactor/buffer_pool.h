// Data buffers of one shard: page-aligned, power-of-two sizes, with a bound on their sum. Not
// thread-safe: a buffer is acquired and released on the pool's shard.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "base/intrusive_list.h"

namespace olio::reactor {

class BufferPool;

// Owns one buffer; gives it back when destroyed. An empty one means that the limit was reached.
class Buffer {
  public:
    Buffer() = default;
    Buffer(Buffer&& other) noexcept;
    Buffer& operator=(Buffer&& other) noexcept;
    ~Buffer() { release(); }

    [[nodiscard]] explicit operator bool() const noexcept { return data_ != nullptr; }
    [[nodiscard]] std::uint8_t* data() const noexcept { return data_; }
    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
    // The first `length` bytes; length <= capacity().
    [[nodiscard]] MutableBytes bytes(std::size_t length) const noexcept;
    void release() noexcept;

  private:
    friend class BufferPool;
    BufferPool* pool_ = nullptr;
    std::uint8_t* data_ = nullptr;
    std::size_t capacity_ = 0;
};

// Waits for memory: woken in the order of waiting, once, when a buffer of `size` can be had.
class BufferWaiter {
  public:
    virtual ~BufferWaiter();
    virtual void buffer_available(Buffer buffer) noexcept = 0;
    [[nodiscard]] bool waiting() const noexcept { return hook_.linked(); }

  private:
    friend class BufferPool;
    std::size_t size_ = 0;
    ListHook hook_;
};

class BufferPool {
  public:
    static constexpr std::size_t smallest_bytes = 4096;
    static constexpr std::size_t largest_bytes = 16 << 20;

    explicit BufferPool(std::size_t limit_bytes);
    ~BufferPool();  // every buffer must be back
    BufferPool(const BufferPool&) = delete;
    BufferPool& operator=(const BufferPool&) = delete;

    // size <= largest_bytes. Empty if the limit is reached, or if others wait (no overtaking).
    // Contents are what the last user left: whoever hands bytes out must have written them.
    [[nodiscard]] Buffer acquire(std::size_t size) noexcept;
    // Calls waiter.buffer_available, from inside if a buffer can be had at once. size <=
    // largest_bytes and, rounded up to a power of two, <= limit_bytes().
    void wait(BufferWaiter& waiter, std::size_t size) noexcept;
    void cancel(BufferWaiter& waiter) noexcept;

    [[nodiscard]] std::size_t bytes_in_use() const noexcept { return in_use_; }
    [[nodiscard]] std::size_t bytes_held() const noexcept { return held_; }  // and kept for reuse
    [[nodiscard]] std::size_t limit_bytes() const noexcept { return limit_; }

  private:
    friend class Buffer;
    struct Idle {  // lies at the start of an idle buffer
        Idle* next;
    };
    static constexpr unsigned classes =
        std::bit_width(largest_bytes) - std::bit_width(smallest_bytes) + 1;

    Buffer take(std::size_t size) noexcept;
    void give_back(std::uint8_t* data, std::size_t capacity) noexcept;
    void serve() noexcept;
    bool trim(std::size_t room) noexcept;
    static void set_idle(std::uint8_t* data, std::size_t capacity, Idle* next) noexcept;

    std::size_t limit_;
    std::size_t in_use_ = 0;
    std::size_t held_ = 0;
    bool serving_ = false;
    std::array<Idle*, classes> idle_{};
    IntrusiveList<BufferWaiter, &BufferWaiter::hook_> waiters_;
};

}  // namespace olio::reactor
