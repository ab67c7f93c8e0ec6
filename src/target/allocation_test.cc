// READ and WRITE allocate nothing. This program's operator new counts, where a test asks it to.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "target/engine_testing.h"

// The sanitizers bring operators of their own, which find more than a count does.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OLIO_COUNTS_ALLOCATIONS 0
#elif defined(__has_feature)
#define OLIO_COUNTS_ALLOCATIONS \
    (!__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer))
#else
#define OLIO_COUNTS_ALLOCATIONS 1
#endif

namespace {

thread_local bool counting = false;
std::atomic<std::uint64_t> allocations{0};

}  // namespace

#if OLIO_COUNTS_ALLOCATIONS
namespace {

void* counted(std::size_t size, std::size_t alignment) {
    if (counting)
        ++allocations;
    void* memory =
        alignment <= alignof(std::max_align_t)
            ? std::malloc(size == 0 ? 1 : size)
            : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
    if (memory == nullptr)
        std::abort();
    return memory;
}

}  // namespace

void* operator new(std::size_t size) {
    return counted(size, alignof(std::max_align_t));
}
void* operator new[](std::size_t size) {
    return counted(size, alignof(std::max_align_t));
}
void* operator new(std::size_t size, std::align_val_t alignment) {
    return counted(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete[](void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
    std::free(memory);
}
#endif

namespace olio::target {
namespace {

using namespace testing;

TEST(Allocations, ReadAndWriteAllocateNothing) {
    if (!OLIO_COUNTS_ALLOCATIONS)
        GTEST_SKIP() << "a sanitizer has operator new";
    for (const bool borrows : {true, false}) {
        EngineRig rig;
        auto medium = std::make_shared<FakeMedium>();
        medium->capabilities.borrows = borrows;
        medium->record = false;
        LogicalUnit* unit = rig.add_unit(medium);
        rig.on(0, [&] {
            const TargetPort port;
            NullFabric fabric;
            auto nexus = rig.engine().establish_nexus(port, {"null", {}},
                                                      *LunMap::make({{0, unit, false}}), fabric);
            ASSERT_TRUE(nexus.has_value());
            fabric.nexus = nexus->get();
            TestCommand command;
            const auto run = [&](const std::vector<std::uint8_t>& cdb, std::uint32_t out,
                                 std::uint32_t in) {
                command.cdb = cdb;
                command.lun = scsi::Lun::from_number(0);
                command.expected_data_out_bytes = out;
                command.expected_data_in_bytes = in;
                ++command.tag;
                (*nexus)->submit(command);
            };
            run(test_unit_ready, 0, 0);
            const auto read = read10(8, 8);
            const auto write = write10(8, 8, true);
            run(read, 0, 4096);  // the pool takes its memory with the first
            run(write, 4096, 0);
            allocations = 0;
            fabric.failed = 0;
            counting = true;
            for (int i = 0; i < 1000; ++i) {
                run(read, 0, 4096);
                run(write, 4096, 0);
            }
            counting = false;
            EXPECT_EQ(allocations, 0U);
            EXPECT_EQ(fabric.failed, 0U);
            EXPECT_EQ(fabric.completed, 2003U);
            (*nexus)->close([] {}, [] {});
            // Nothing is under way, but `drained` has been posted and the nexus must live until
            // then.
            rig.reactor().shard(0).post([kept = std::move(*nexus)] {});
        });
        rig.settle();
    }
}

}  // namespace
}  // namespace olio::target
