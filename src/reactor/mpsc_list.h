// A list that many threads put into and one takes out of, all at once: no lock and no allocation,
// as the links live in the elements. What one thread puts in comes out in its order.
#pragma once

#include <atomic>

namespace olio::reactor {

template <class T, T* T::* Next>
class MpscList {
  public:
    MpscList() = default;
    MpscList(const MpscList&) = delete;
    MpscList& operator=(const MpscList&) = delete;

    // Any thread. The element may be gone when this returns.
    void push(T& element) noexcept {
        T* head = head_.load(std::memory_order_relaxed);
        do
            element.*Next = head;
        while (!head_.compare_exchange_weak(head, &element, std::memory_order_seq_cst,
                                            std::memory_order_relaxed));
    }
    [[nodiscard]] bool empty() const noexcept {
        return head_.load(std::memory_order_seq_cst) == nullptr;
    }
    // The owner's thread: all elements, the oldest first, linked by Next and ended by nullptr.
    [[nodiscard]] T* take_all() noexcept {
        if (head_.load(std::memory_order_relaxed) == nullptr)
            return nullptr;
        T* newest = head_.exchange(nullptr, std::memory_order_acquire);
        T* oldest = nullptr;
        while (newest != nullptr) {
            T* const older = newest->*Next;
            newest->*Next = oldest;
            oldest = newest;
            newest = older;
        }
        return oldest;
    }

  private:
    std::atomic<T*> head_{nullptr};
};

}  // namespace olio::reactor
