// The memory of one RAM disk: an address range reserved once, with room to grow, so that nothing
// that was lent ever moves; and a map of the pages that were written.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace olio::ramdisk {

// All methods but resize() may be called on several threads at once.
class RamMemory {
  public:
    static constexpr std::size_t page_bytes = 4096;

    // limit_bytes, a multiple of the page: written and anchored pages may take no more; 0: no
    // limit.
    static Result<std::shared_ptr<RamMemory>> create(std::uint64_t size_bytes, bool preallocate,
                                                     std::string_view name,
                                                     std::uint64_t limit_bytes = 0);
    ~RamMemory();
    RamMemory(const RamMemory&) = delete;
    RamMemory& operator=(const RamMemory&) = delete;

    [[nodiscard]] std::uint64_t size_bytes() const noexcept { return size_bytes_; }
    // Shrinking gives the memory up, but leaves it readable (as zeros). One thread at a time.
    Result<void> resize(std::uint64_t size_bytes, std::string_view name);

    [[nodiscard]] std::uint8_t* at(std::uint64_t offset) const noexcept { return base_ + offset; }
    void read(std::uint64_t offset, MutableBytes into) const noexcept;
    // False: it would take more than the limit, and nothing was written.
    [[nodiscard]] bool write(std::uint64_t offset, Bytes from) noexcept;
    // The bytes read as zeros; whole pages go back to the system, or with `anchor` keep their place
    // under the limit. Returns 0 or a negative errno.
    std::int64_t clear(std::uint64_t offset, std::uint64_t length, bool anchor = false) noexcept;

    struct Extent {
        bool written;
        bool anchored;
        std::uint64_t length;  // bytes from the offset on for which that holds, at least
    };
    [[nodiscard]] Extent extent(std::uint64_t offset) const noexcept;

    // What may still be asked of the system's memory for this disk.
    [[nodiscard]] std::uint64_t untouched_bytes() const noexcept;
    // Of written and anchored pages. Counts them all.
    [[nodiscard]] std::uint64_t taken_bytes() const noexcept;
    [[nodiscard]] std::uint64_t limit_bytes() const noexcept { return limit_pages_ * page_bytes; }

  private:
    RamMemory() = default;
    Result<void> open_pages(std::uint64_t size_bytes);
    void zero(std::uint64_t offset, std::uint64_t length) noexcept;
    enum class Becomes : std::uint8_t { written, anchored, free };
    // The only way to change the maps. With a limit it counts, under a lock; false if what is not
    // `forced` would take more than the limit allows: then nothing has changed.
    [[nodiscard]] bool change(std::uint64_t first_page, std::uint64_t last_page, Becomes becomes,
                              bool forced) noexcept;
    void apply(std::uint64_t first_page, std::uint64_t last_page, Becomes becomes) noexcept;
    [[nodiscard]] std::uint64_t count_taken(std::uint64_t first_page,
                                            std::uint64_t last_page) const noexcept;
    [[nodiscard]] bool all_written(std::uint64_t first_page,
                                   std::uint64_t last_page) const noexcept;

    std::uint8_t* base_ = nullptr;
    std::atomic<std::uint64_t>* written_ = nullptr;   // a bit for each page
    std::atomic<std::uint64_t>* anchored_ = nullptr;  // and not written
    std::uint64_t limit_pages_ = 0;
    std::mutex limit_lock_;          // where there is a limit: the maps and the next
    std::uint64_t taken_pages_ = 0;  // written or anchored
    std::uint64_t reserved_bytes_ = 0;
    std::uint64_t map_bytes_ = 0;
    std::uint64_t opened_bytes_ = 0;  // accessible, from the start
    bool populated_ = false;          // all of it was taken at the start
    std::atomic<std::uint64_t> size_bytes_{0};
};

// Memory that the system could still give this process: free and reclaimable, swap, and what its
// cgroup allows. ~0 where it cannot be told.
[[nodiscard]] std::uint64_t memory_available_bytes();

}  // namespace olio::ramdisk
