// Data buffers of one shard: page-aligned, power-of-two sizes, with a bound on their sum. Not
// thread-safe: a buffer is acquired and released on the pool's shard.
#pragma once

#include <array>
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
    void wait(BufferWaiter& waiter, std::size_t size) noexcept;
    void cancel(BufferWaiter& waiter) noexcept;

    [[nodiscard]] std::size_t bytes_in_use() const noexcept;
    [[nodiscard]] std::size_t bytes_held() const noexcept;  // in use and kept for reuse
    [[nodiscard]] std::size_t limit_bytes() const noexcept;
};

}  // namespace olio::reactor
