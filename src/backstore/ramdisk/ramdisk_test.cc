#include "backstore/ramdisk/ramdisk.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>
#include <sstream>
#include <thread>

#include "backstore/ramdisk/ram_memory.h"
#include "target/backstore_conformance_testing.h"

namespace olio::ramdisk {
namespace {

using target::StoreStatus;
using namespace target::testing;

Options sized(std::uint64_t bytes, std::uint32_t block_bytes = 512) {
    Options options;
    options.size_bytes = bytes;
    options.block_bytes = block_bytes;
    return options;
}

// Resident memory of the process: the second number of statm, in pages.
std::uint64_t resident_bytes() {
    std::ifstream file("/proc/self/statm");
    std::uint64_t total = 0;
    std::uint64_t resident = 0;
    file >> total >> resident;
    return resident * 4096;
}

INSTANTIATE_TEST_SUITE_P(Blocks512, BackstoreConformance,
                         ::testing::ValuesIn(on_each_backend(
                             {"ramdisk512", [] { return open(sized(conformance_bytes)); }})),
                         conformance_name);
INSTANTIATE_TEST_SUITE_P(Blocks4096, BackstoreConformance,
                         ::testing::ValuesIn(on_each_backend(
                             {"ramdisk4096", [] { return open(sized(conformance_bytes, 4096)); }})),
                         conformance_name);

Options protected_sized(std::uint64_t bytes) {
    Options options = sized(bytes);
    options.protection = true;
    return options;
}

INSTANTIATE_TEST_SUITE_P(
    Protected, BackstoreConformance,
    ::testing::ValuesIn(on_each_backend({"ramdisk_protected",
                                         [] { return open(protected_sized(conformance_bytes)); }})),
    conformance_name);

TEST(Ramdisk, KeepsProtectionInformationOnlyWhenAskedTo) {
    RunningReactor reactor(reactor::Backend::epoll);
    auto plain = open(sized(mib)).value();
    EXPECT_EQ(plain->capabilities().protection, target::Support::none);
    EXPECT_FALSE(plain->open_protection_channel(reactor.shard(0)));
    EXPECT_FALSE(plain->clear_protection());
    EXPECT_EQ(open(protected_sized(mib)).value()->capabilities().protection,
              target::Support::native);
}

TEST(Ramdisk, RefusesSizesThatAreNoDisks) {
    EXPECT_FALSE(open(sized(0)));
    EXPECT_FALSE(open(sized(1000)));
    EXPECT_FALSE(open(sized(mib, 2048)));
    EXPECT_FALSE(open(sized(mib + 512, 4096)));
}

TEST(Ramdisk, RefusesMoreThanMemoryHoldsAndSaysHowMuchIsLeft) {
    for (const std::uint64_t bytes :
         {std::uint64_t{1} << 50, std::uint64_t{1} << 62, ~std::uint64_t{0} / 512 * 512}) {
        const auto made = open(sized(bytes));
        ASSERT_FALSE(made);
        EXPECT_EQ(made.error().code, ENOMEM);
        EXPECT_NE(made.error().message.find("left"), std::string::npos) << made.error().message;
    }
}

TEST(Ramdisk, CountsWhatOtherDisksWerePromised) {
    const std::uint64_t part = memory_available_bytes() / 8 * 5 / mib * mib;
    const auto first = open(sized(part));
    ASSERT_TRUE(first) << first.error().message;
    EXPECT_FALSE(open(sized(part)));
}

TEST(Ramdisk, TakesMemoryOnlyForWhatWasWrittenAndGivesItBack) {
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
    GTEST_SKIP() << "the sanitizer's shadow of the memory stays resident";
#endif
#endif
    const auto memory = RamMemory::create(256 * mib, false, "test").value();
    const std::uint64_t at_first = resident_bytes();
    const AlignedBytes data(64 * mib, 7);
    const std::uint64_t with_data = resident_bytes();
    EXPECT_TRUE(memory->write(100 * mib, data.view()));
    EXPECT_GT(resident_bytes(), with_data + 60 * mib);
    EXPECT_EQ(memory->clear(0, 256 * mib), 0);
    EXPECT_LT(resident_bytes(), at_first + 64 * mib + 8 * mib);
}

TEST(Ramdisk, PreallocatedMemoryIsThereFromTheStart) {
    const std::uint64_t before = resident_bytes();
    Options options = sized(64 * mib);
    options.preallocate = true;
    const auto made = open(options);
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_GT(resident_bytes(), before + 60 * mib);
}

TEST(Ramdisk, ExtentsEndWhereThePagesDo) {
    const auto memory = RamMemory::create(mib, false, "test").value();
    const AlignedBytes byte(512, 1);
    EXPECT_TRUE(memory->write(70 * 4096 + 512, byte.view()));
    const auto hole = memory->extent(512);
    EXPECT_FALSE(hole.written);
    EXPECT_EQ(hole.length, 70 * 4096u - 512);
    const auto data = memory->extent(70 * 4096);
    EXPECT_TRUE(data.written);
    EXPECT_EQ(data.length, 4096u);
    const auto rest = memory->extent(71 * 4096);
    EXPECT_FALSE(rest.written);
    EXPECT_EQ(rest.length, mib - 71 * 4096);
    const AlignedBytes much(200 * 4096, 1);
    EXPECT_TRUE(memory->write(20 * 4096, much.view()));
    const auto run = memory->extent(63 * 4096 + 4095);
    EXPECT_TRUE(run.written);
    EXPECT_EQ(run.length, (220 - 63) * 4096u - 4095);
}

TEST(Ramdisk, ZeroingPartOfAPageKeepsTheRest) {
    const auto memory = RamMemory::create(mib, false, "test").value();
    const AlignedBytes data(3 * 4096, 9);
    EXPECT_TRUE(memory->write(0, data.view()));
    EXPECT_EQ(memory->clear(512, 2 * 4096), 0);
    AlignedBytes got(3 * 4096, 1);
    memory->read(0, got.bytes());
    for (std::size_t i = 0; i < got.size(); ++i)
        ASSERT_EQ(got.view()[i], i >= 512 && i < 512 + 2 * 4096 ? 0 : 9) << i;
    EXPECT_TRUE(memory->extent(0).written);
    EXPECT_FALSE(memory->extent(4096).written);
    EXPECT_TRUE(memory->extent(8192).written);
}

TEST(Ramdisk, BorrowedMemoryOutlivesTheDisk) {
    RunningReactor reactor(reactor::Backend::epoll);
    ASSERT_TRUE(reactor.problem().empty()) << reactor.problem();
    auto disk = open(sized(mib)).value();
    StoreUser user(reactor, *disk);
    AlignedBytes data(4096, 5);
    ASSERT_EQ(user.write(0, data), StoreStatus::good);
    target::StoreIo io;
    io.blocks = 8;
    io.may_borrow = true;
    ASSERT_EQ(user.run(io), StoreStatus::good);
    disk.reset();
    EXPECT_EQ(static_cast<const std::uint8_t*>(io.borrowed[0].iov_base)[4095], 5);
}

TEST(Ramdisk, NamesGiveDisksDifferentIdentitiesThatLast) {
    Options options = sized(mib);
    options.name = "one";
    const auto one = open(options).value()->identification();
    const auto again = open(options).value()->identification();
    options.name = "two";
    const auto two = open(options).value()->identification();
    EXPECT_EQ(one.serial, again.serial);
    EXPECT_EQ(one.naa, again.naa);
    EXPECT_NE(one.serial, two.serial);
    EXPECT_NE(one.naa, two.naa);
    options.serial = "S123";
    EXPECT_EQ(open(options).value()->identification().serial, "S123");
}

TEST(Ramdisk, TellsItsSpaceAndEndsWritesBeyondTheLimit) {
    Options options = sized(mib);
    options.limit_bytes = 16 * 4096;
    auto store = open(options).value();
    ASSERT_TRUE(store->capabilities().reports_space);
    EXPECT_EQ(store->space().value().used_bytes, 0U);
    EXPECT_EQ(store->space().value().available_bytes, 16 * 4096U);
    EXPECT_FALSE(store->space().value().shared);
    options.preallocate = true;
    EXPECT_FALSE(open(options));
    options.preallocate = false;
    options.limit_bytes = 1000;
    EXPECT_FALSE(open(options));
}

TEST(Ramdisk, CopiesTakeWhatTheLimitLeavesAndNothingForHoles) {
    RunningReactor reactor(reactor::Backend::epoll);
    ASSERT_TRUE(reactor.problem().empty()) << reactor.problem();
    Options options = sized(8 * mib);
    options.limit_bytes = 16 * 4096;
    auto store = open(options).value();
    StoreUser user(reactor, *store);
    const auto taken_pages = [&] { return store->space().value().used_bytes / 4096; };
    AlignedBytes data(4096, 7);
    for (const std::uint64_t page : {0, 9})
        ASSERT_EQ(user.write(page * 8, data), StoreStatus::good);
    EXPECT_EQ(user.copy(8192, 10 * 8, 0), StoreStatus::good);  // two pages of ten
    EXPECT_EQ(taken_pages(), 4U);
    // Zeros where there were data give them up.
    EXPECT_EQ(user.copy(8192, 8 * 8, 8), StoreStatus::good);
    EXPECT_EQ(taken_pages(), 3U);
    AlignedBytes much(12 * 4096, 8);
    ASSERT_EQ(user.write(4096, much), StoreStatus::good);
    EXPECT_EQ(user.copy(12288, 12 * 8, 4096), StoreStatus::no_space);
    EXPECT_LE(taken_pages(), 16U);
    EXPECT_EQ(user.copy(12288, 1024, 2048), StoreStatus::good);  // nothing to nothing
}

TEST(RamMemory, TakesNoMoreThanItsLimit) {
    const auto memory = *RamMemory::create(64 * mib, false, "small", 8 * 4096);
    std::vector<std::uint8_t> page(4096, 1);
    for (std::uint64_t i = 0; i < 8; ++i)
        ASSERT_TRUE(memory->write(i * 2 * 4096, page));
    EXPECT_FALSE(memory->write(mib, page));
    EXPECT_EQ(memory->taken_bytes(), memory->limit_bytes());
    EXPECT_FALSE(memory->extent(mib).written);
    EXPECT_TRUE(memory->write(0, page)) << "what is there may be written again";
    EXPECT_EQ(memory->clear(0, 4096), 0);
    EXPECT_TRUE(memory->write(mib, page));
    EXPECT_EQ(memory->clear(2 * 4096, 4096, true), 0);  // anchored: it keeps its place
    EXPECT_FALSE(memory->write(2 * mib, page));
    EXPECT_EQ(memory->clear(4 * mib, 4096, true), -ENOSPC);
    EXPECT_TRUE(memory->write(2 * 4096, page));
    EXPECT_EQ(memory->clear(0, 64 * mib), 0);
    EXPECT_EQ(memory->taken_bytes(), 0U);
    EXPECT_TRUE(memory->write(2 * mib, page));
}

TEST(RamMemory, AnchoredPagesReadZerosAndAreToldApart) {
    const auto memory = *RamMemory::create(mib, false, "anchored");
    std::vector<std::uint8_t> pages(8 * 4096, 7);
    ASSERT_TRUE(memory->write(0, pages));
    ASSERT_EQ(memory->clear(4096, 2 * 4096, true), 0);
    ASSERT_EQ(memory->clear(3 * 4096, 4096), 0);
    const auto first = memory->extent(0);
    EXPECT_TRUE(first.written);
    EXPECT_EQ(first.length, 4096U);
    const auto kept = memory->extent(4096);
    EXPECT_FALSE(kept.written);
    EXPECT_TRUE(kept.anchored);
    EXPECT_EQ(kept.length, 2 * 4096U);
    EXPECT_FALSE(memory->extent(3 * 4096).anchored);
    EXPECT_EQ(memory->extent(3 * 4096).length, 4096U);
    EXPECT_EQ(*memory->at(4096), 0);
    ASSERT_TRUE(memory->write(4096, std::span(pages).first(4096)));
    EXPECT_TRUE(memory->extent(4096).written);
    EXPECT_FALSE(memory->extent(4096).anchored);
}

// Whatever threads do at once, what is counted is what the maps say.
TEST(RamMemory, CountsRightWhenManyThreadsWriteAndClear) {
    const auto memory = *RamMemory::create(mib, false, "raced", 64 * 4096);
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 4; ++t)
        threads.emplace_back([&memory, t] {
            std::vector<std::uint8_t> page(4096, static_cast<std::uint8_t>(t));
            for (unsigned i = 0; i < 400; ++i) {
                const std::uint64_t at = (i * 7 + t * 13) % 256 * 4096;
                if (i % 3 == 0)
                    (void)memory->clear(at, 3 * 4096 <= mib - at ? 3 * 4096 : 4096, i % 2 == 0);
                else
                    (void)memory->write(at, page);
            }
        });
    for (std::thread& thread : threads)
        thread.join();
    EXPECT_EQ(memory->clear(0, mib), 0);
    std::vector<std::uint8_t> page(4096, 9);
    for (std::uint64_t i = 0; i < 64; ++i)
        EXPECT_TRUE(memory->write(i * 4096, page)) << i;
    EXPECT_FALSE(memory->write(64 * 4096, page));
}

}  // namespace
}  // namespace olio::ramdisk
