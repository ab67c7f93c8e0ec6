#include "backstore/ramdisk/ram_memory.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <limits>
#include <mutex>
#include <string>
#include <vector>

#include "target/system_facts.h"

// Two hosts that write one block at a time race by their own choice, and a disk must bear it. The
// sanitizer would call it a race of ours, so under it the copy is made where it does not look.
#if defined(__SANITIZE_THREAD__)
#define OLIO_RAMDISK_UNSEEN_COPY 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define OLIO_RAMDISK_UNSEEN_COPY 1
#endif
#endif

namespace olio::ramdisk {
namespace {

constexpr std::uint64_t page = RamMemory::page_bytes;
constexpr std::uint64_t unlimited = std::numeric_limits<std::uint64_t>::max();
// An extent is looked for no further than this many words of the map (16 GiB of disk).
constexpr std::uint64_t extent_words = 64 << 10;

void copy(std::uint8_t* to, const std::uint8_t* from, std::size_t count) noexcept {
#if defined(OLIO_RAMDISK_UNSEEN_COPY) && defined(__x86_64__)
    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
#elif defined(OLIO_RAMDISK_UNSEEN_COPY)
    auto unseen = [](std::uint8_t* t, const volatile std::uint8_t* f, std::size_t n)
                      __attribute__((no_sanitize("thread"))) {
                          while (n-- != 0)
                              *const_cast<volatile std::uint8_t*>(t++) = *f++;
                      };
    unseen(to, from, count);
#else
    std::memcpy(to, from, count);
#endif
}

// All disks of the process, to count what they have promised beyond what they have.
struct Registry {
    std::mutex lock;
    std::vector<const RamMemory*> disks;
};
Registry& registry() {
    static Registry instance;
    return instance;
}

std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) {
    return (value + unit - 1) / unit * unit;
}

// "MemAvailable:    123 kB" of /proc/meminfo, in bytes; 0 where there is no such line.
std::uint64_t meminfo(std::string_view field) {
    std::ifstream file("/proc/meminfo");
    std::string name, unit;
    std::uint64_t value = 0;
    while (file >> name >> value) {
        std::getline(file, unit);
        if (std::string_view(name).substr(0, name.size() - 1) == field)
            return value << 10;
    }
    return 0;
}

// What is left under the memory limits of this process's cgroup (version 2) and those above it.
std::uint64_t cgroup_available() {
    const std::string line = target::first_line("/proc/self/cgroup").value_or("");
    if (!line.starts_with("0::/"))
        return unlimited;
    std::uint64_t least = unlimited;
    for (std::string path = line.substr(3); !path.empty(); path.erase(path.rfind('/'))) {
        const std::string folder = "/sys/fs/cgroup" + (path == "/" ? std::string() : path);
        const auto limit = target::number_in(folder + "/memory.max");  // "max": no number
        const auto used = target::number_in(folder + "/memory.current");
        if (limit && used)
            least = std::min(least, *limit > *used ? *limit - *used : 0);
    }
    return least;
}

std::string in_units(std::uint64_t bytes) {
    if (bytes >= std::uint64_t{10} << 30)
        return fmt::format("{} GiB", bytes >> 30);
    return fmt::format("{} MiB", bytes >> 20);
}

Result<void> check_memory(std::uint64_t more_bytes, std::string_view name) {
    const std::uint64_t available = memory_available_bytes();
    std::uint64_t promised = 0;
    {
        const std::scoped_lock guard(registry().lock);
        for (const RamMemory* disk : registry().disks)
            promised += disk->untouched_bytes();
    }
    const std::uint64_t left = available > promised ? available - promised : 0;
    if (more_bytes <= left)
        return {};
    return fail(
        ENOMEM,
        fmt::format("{}: {} of memory are asked for, but only {} are left ({} available, {} of "
                    "them promised to RAM disks); make it smaller, or use a file",
                    name, in_units(more_bytes), in_units(left), in_units(available),
                    in_units(promised)));
}

}  // namespace

std::uint64_t memory_available_bytes() {
    const std::uint64_t available = meminfo("MemAvailable");
    const std::uint64_t machine = available == 0 ? unlimited : available + meminfo("SwapFree");
    return std::min(machine, cgroup_available());
}

Result<std::shared_ptr<RamMemory>> RamMemory::create(std::uint64_t size_bytes, bool preallocate,
                                                     std::string_view name,
                                                     std::uint64_t limit_bytes) {
    OLIO_TRY(check_memory(limit_bytes == 0 ? size_bytes : std::min(size_bytes, limit_bytes), name));
    std::shared_ptr<RamMemory> made(new RamMemory);
    // Address space costs nothing: as much as the machine has memory leaves every growth possible.
    const std::uint64_t room = std::max(size_bytes, meminfo("MemTotal") + meminfo("SwapTotal"));
    for (const std::uint64_t reserve : {round_up(room, page), round_up(size_bytes, page)}) {
        void* address =
            ::mmap(nullptr, reserve, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (address == MAP_FAILED)
            continue;
        made->base_ = static_cast<std::uint8_t*>(address);
        made->reserved_bytes_ = reserve;
        break;
    }
    if (made->base_ == nullptr)
        return fail_errno(errno, fmt::format("{}: no room for {} in the address space", name,
                                             in_units(size_bytes)));
    made->map_bytes_ = round_up(made->reserved_bytes_ / page / 8 + 8, page);
    void* map = ::mmap(nullptr, 2 * made->map_bytes_, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return fail_errno(errno, fmt::format("{}: no room for the map of pages", name));
    made->written_ = static_cast<std::atomic<std::uint64_t>*>(map);
    made->anchored_ = made->written_ + made->map_bytes_ / sizeof(*made->written_);
    made->limit_pages_ = limit_bytes / page;
    OLIO_TRY(made->open_pages(size_bytes));
    if (preallocate && ::madvise(made->base_, round_up(size_bytes, page), MADV_POPULATE_WRITE) != 0)
        return fail_errno(errno,
                          fmt::format("{}: taking {} of memory", name, in_units(size_bytes)));
    made->populated_ = preallocate;
    made->size_bytes_ = size_bytes;
    const std::scoped_lock guard(registry().lock);
    registry().disks.push_back(made.get());
    return made;
}

RamMemory::~RamMemory() {
    {
        const std::scoped_lock guard(registry().lock);
        std::erase(registry().disks, this);
    }
    if (base_ != nullptr)
        ::munmap(base_, reserved_bytes_);
    if (written_ != nullptr)
        ::munmap(static_cast<void*>(written_), 2 * map_bytes_);
}

Result<void> RamMemory::open_pages(std::uint64_t size_bytes) {
    const std::uint64_t wanted = round_up(size_bytes, page);
    if (wanted <= opened_bytes_)
        return {};
    if (::mprotect(base_ + opened_bytes_, wanted - opened_bytes_, PROT_READ | PROT_WRITE) != 0)
        return fail_errno(errno, fmt::format("{} of memory", in_units(size_bytes)));
    opened_bytes_ = wanted;
    return {};
}

Result<void> RamMemory::resize(std::uint64_t size_bytes, std::string_view name) {
    const std::uint64_t before = size_bytes_;
    if (size_bytes > before) {
        OLIO_TRY(check_memory(size_bytes - before, name));
        if (size_bytes > reserved_bytes_)
            return fail(ENOMEM, fmt::format("{}: it can grow to {} while it is in use; make a new "
                                            "RAM disk for more",
                                            name, in_units(reserved_bytes_)));
        OLIO_TRY(open_pages(size_bytes));
    } else if (size_bytes < before) {
        (void)clear(size_bytes, before - size_bytes);
    }
    size_bytes_ = size_bytes;
    return {};
}

void RamMemory::read(std::uint64_t offset, MutableBytes into) const noexcept {
    copy(into.data(), base_ + offset, into.size());
}

// The pages of a range that one word of the maps has, as (word, bits).
namespace {
template <class Each>
void each_word(std::uint64_t first_page, std::uint64_t last_page, Each each) noexcept {
    for (std::uint64_t word = first_page / 64; word <= last_page / 64; ++word) {
        const std::uint64_t from = std::max(first_page, word * 64) % 64;
        const std::uint64_t to = std::min(last_page, word * 64 + 63) % 64;
        each(word, (~std::uint64_t{0} >> (63 - (to - from))) << from);
    }
}
}  // namespace

// Data first, then the mark; clear() takes the mark away first, then the data. So at the end of any
// race between the two no page that holds data is unmarked. Where there is a limit the pages are
// taken before, too.
bool RamMemory::write(std::uint64_t offset, Bytes from) noexcept {
    if (from.empty())
        return true;
    const std::uint64_t first = offset / page;
    const std::uint64_t last = (offset + from.size() - 1) / page;
    if (limit_pages_ != 0 && !all_written(first, last) &&
        !change(first, last, Becomes::written, false))
        return false;
    copy(base_ + offset, from.data(), from.size());
    if (!all_written(first, last))
        (void)change(first, last, Becomes::written, true);
    return true;
}

bool RamMemory::all_written(std::uint64_t first_page, std::uint64_t last_page) const noexcept {
    bool all = true;
    each_word(first_page, last_page, [&](std::uint64_t word, std::uint64_t bits) {
        all = all && (written_[word].load(std::memory_order_relaxed) & bits) == bits;
    });
    return all;
}

std::uint64_t RamMemory::count_taken(std::uint64_t first_page,
                                     std::uint64_t last_page) const noexcept {
    std::uint64_t count = 0;
    each_word(first_page, last_page, [&](std::uint64_t word, std::uint64_t bits) {
        count += static_cast<std::uint64_t>(
            std::popcount((written_[word].load() | anchored_[word].load()) & bits));
    });
    return count;
}

void RamMemory::apply(std::uint64_t first_page, std::uint64_t last_page, Becomes becomes) noexcept {
    each_word(first_page, last_page, [&](std::uint64_t word, std::uint64_t bits) {
        if (becomes == Becomes::written) {
            if ((written_[word].load(std::memory_order_relaxed) & bits) != bits)
                written_[word].fetch_or(bits);
        } else if ((written_[word].load(std::memory_order_relaxed) & bits) != 0) {
            written_[word].fetch_and(~bits);
        }
        if (becomes == Becomes::anchored)
            anchored_[word].fetch_or(bits);
        else if ((anchored_[word].load(std::memory_order_relaxed) & bits) != 0)
            anchored_[word].fetch_and(~bits);
    });
}

bool RamMemory::change(std::uint64_t first_page, std::uint64_t last_page, Becomes becomes,
                       bool forced) noexcept {
    if (limit_pages_ == 0) {
        apply(first_page, last_page, becomes);
        return true;
    }
    const std::scoped_lock guard(limit_lock_);
    const std::uint64_t after = becomes == Becomes::free ? 0 : last_page - first_page + 1;
    const std::uint64_t taken = taken_pages_ - count_taken(first_page, last_page) + after;
    if (!forced && taken > limit_pages_ && taken > taken_pages_)
        return false;
    taken_pages_ = taken;
    apply(first_page, last_page, becomes);
    return true;
}

void RamMemory::zero(std::uint64_t offset, std::uint64_t length) noexcept {
    static constexpr std::uint8_t zeros[page] = {};
    while (length != 0) {
        const std::uint64_t count = std::min(length, page - offset % page);
        // A page never written is zero already, and stays unbacked.
        if ((written_[offset / page / 64].load(std::memory_order_relaxed) >> (offset / page % 64) &
             1) != 0)
            copy(base_ + offset, zeros, count);
        offset += count;
        length -= count;
    }
}

std::int64_t RamMemory::clear(std::uint64_t offset, std::uint64_t length, bool anchor) noexcept {
    const std::uint64_t end = offset + length;
    const std::uint64_t first = round_up(offset, page);
    const std::uint64_t last = end / page * page;
    if (first >= last) {
        zero(offset, length);
        return 0;
    }
    if (!change(first / page, last / page - 1, anchor ? Becomes::anchored : Becomes::free, false))
        return -ENOSPC;
    zero(offset, first - offset);
    zero(last, end - last);
    return ::madvise(base_ + first, last - first, MADV_DONTNEED) == 0 ? 0 : -errno;
}

RamMemory::Extent RamMemory::extent(std::uint64_t offset) const noexcept {
    const std::uint64_t size = size_bytes_;
    const std::uint64_t pages = round_up(size, page) / page;
    std::uint64_t at = offset / page;
    const auto is_set = [at](const std::atomic<std::uint64_t>* map) {
        return (map[at / 64].load(std::memory_order_relaxed) >> (at % 64) & 1) != 0;
    };
    const bool written = is_set(written_);
    const bool anchored = !written && is_set(anchored_);
    const std::uint64_t stop = std::min(pages, at + extent_words * 64);
    while (at < stop) {
        const std::uint64_t has_data = written_[at / 64].load(std::memory_order_relaxed);
        const std::uint64_t kept = anchored_[at / 64].load(std::memory_order_relaxed) & ~has_data;
        // Ones: another state.
        const std::uint64_t same = written ? has_data : anchored ? kept : ~(has_data | kept);
        const std::uint64_t word = ~same >> (at % 64);
        const auto run = static_cast<std::uint64_t>(std::countr_zero(word));
        if (run < 64 - at % 64) {
            at += run;
            break;
        }
        at += 64 - at % 64;
    }
    const std::uint64_t end = std::min(std::min(at, stop) * page, size);
    return {written, anchored, end > offset ? end - offset : 1};
}

std::uint64_t RamMemory::taken_bytes() const noexcept {
    return count_taken(0, (size_bytes_ - 1) / page) * page;
}

std::uint64_t RamMemory::untouched_bytes() const noexcept {
    if (populated_)
        return 0;
    const std::uint64_t words = round_up(size_bytes_, page * 64) / (page * 64);
    std::uint64_t written = 0;
    for (std::uint64_t word = 0; word < words; ++word)
        written += static_cast<std::uint64_t>(
            std::popcount(written_[word].load(std::memory_order_relaxed)));
    const std::uint64_t size = limit_pages_ == 0
                                   ? size_bytes_.load()
                                   : std::min<std::uint64_t>(size_bytes_, limit_bytes());
    return size > written * page ? size - written * page : 0;
}

}  // namespace olio::ramdisk
