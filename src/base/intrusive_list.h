// A doubly linked list whose links live in the elements: no allocation, removal in constant time.
// An element is in one list per hook at most; it must have left the list before it is destroyed.
#pragma once

#include <cstddef>

#include "base/assert.h"

namespace olio {

struct ListHook {
    ListHook() = default;
    ListHook(const ListHook&) = delete;
    ListHook& operator=(const ListHook&) = delete;
    ~ListHook() { OLIO_ASSERT(!linked(), "an element is destroyed while it is in a list"); }

    [[nodiscard]] bool linked() const noexcept { return next != nullptr; }
    void unlink() noexcept {
        if (!linked())
            return;
        previous->next = next;
        next->previous = previous;
        next = previous = nullptr;
    }

    ListHook* next = nullptr;
    ListHook* previous = nullptr;
};

template <class T, ListHook T::* Hook>
class IntrusiveList {
  public:
    IntrusiveList() noexcept { head_.next = head_.previous = &head_; }
    IntrusiveList(const IntrusiveList&) = delete;
    IntrusiveList& operator=(const IntrusiveList&) = delete;
    ~IntrusiveList() {
        clear();
        head_.next = head_.previous = nullptr;
    }

    class Iterator {
      public:
        explicit Iterator(ListHook* at) noexcept : at_(at) {}
        T& operator*() const noexcept { return *element(at_); }
        T* operator->() const noexcept { return element(at_); }
        Iterator& operator++() noexcept {
            at_ = at_->next;
            return *this;
        }
        bool operator==(const Iterator&) const = default;

      private:
        ListHook* at_;
    };

    [[nodiscard]] bool empty() const noexcept { return head_.next == &head_; }
    [[nodiscard]] Iterator begin() noexcept { return Iterator(head_.next); }
    [[nodiscard]] Iterator end() noexcept { return Iterator(&head_); }
    [[nodiscard]] T& front() noexcept { return *element(head_.next); }
    [[nodiscard]] T& back() noexcept { return *element(head_.previous); }
    // The element after this one, or nullptr.
    [[nodiscard]] T* next(T& of) noexcept {
        ListHook* hook = (of.*Hook).next;
        return hook == &head_ ? nullptr : element(hook);
    }

    void push_back(T& value) noexcept { insert(head_.previous, value); }
    void push_front(T& value) noexcept { insert(&head_, value); }
    void remove(T& value) noexcept { (value.*Hook).unlink(); }
    T* pop_front() noexcept {
        if (empty())
            return nullptr;
        T& value = front();
        remove(value);
        return &value;
    }
    void clear() noexcept {
        while (!empty())
            head_.next->unlink();
    }
    // Moves all elements of `other` to the end of this list, in their order; constant time.
    void splice_back(IntrusiveList& other) noexcept {
        if (other.empty() || &other == this)
            return;
        ListHook* const first = other.head_.next;
        ListHook* const last = other.head_.previous;
        first->previous = head_.previous;
        head_.previous->next = first;
        last->next = &head_;
        head_.previous = last;
        other.head_.next = other.head_.previous = &other.head_;
    }

  private:
    static T* element(ListHook* hook) noexcept {
        // The hook's offset in T, by way of a pointer that is never dereferenced.
        alignas(T) static constexpr char probe[sizeof(T)]{};
        const auto* base = reinterpret_cast<const T*>(probe);
        const auto offset = reinterpret_cast<const char*>(&(base->*Hook)) - probe;
        return static_cast<T*>(static_cast<void*>(reinterpret_cast<char*>(hook) - offset));
    }
    void insert(ListHook* after, T& value) noexcept {
        ListHook& hook = value.*Hook;
        OLIO_ASSERT(!hook.linked(), "an element is put in a second list");
        hook.previous = after;
        hook.next = after->next;
        after->next->previous = &hook;
        after->next = &hook;
    }

    ListHook head_;
};

}  // namespace olio
