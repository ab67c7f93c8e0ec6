#include "backstore/iblock/iblock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/blkpg.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>

#include "backstore/iblock/device_facts.h"
#include "base/log.h"
#include "target/backstore_conformance_testing.h"
#include "target/file_channel.h"

namespace olio::iblock {
namespace {

using target::StoreStatus;
using namespace target::testing;

// A loop device over a file without a name; both go when this does.
class LoopDevice {
  public:
    explicit LoopDevice(std::uint64_t size_bytes, std::uint32_t block_bytes = 512,
                        std::uint32_t flags = 0, const std::string& folder = ::testing::TempDir()) {
        std::string name = folder + "/olio-iblock-XXXXXX";
        file_ = ::mkostemp(name.data(), O_CLOEXEC);
        ::unlink(name.c_str());
        if (file_ < 0 || ::ftruncate(file_, static_cast<off_t>(size_bytes)) != 0) {
            problem_ = fmt::format("no file for a loop device: {}", std::strerror(errno));
            return;
        }
        const int control = ::open("/dev/loop-control", O_RDWR | O_CLOEXEC);
        // Another process may take the free one first.
        for (int attempt = 0; attempt < 20 && control >= 0 && device_ < 0; ++attempt)
            configure(::ioctl(control, LOOP_CTL_GET_FREE), block_bytes, flags);
        if (device_ < 0)
            problem_ = fmt::format("no loop device can be had here: {}", std::strerror(errno));
        if (control >= 0)
            ::close(control);
    }
    ~LoopDevice() {
        if (device_ >= 0) {
            ::ioctl(device_, LOOP_CLR_FD);
            ::close(device_);
        }
        if (file_ >= 0)
            ::close(file_);
    }
    LoopDevice(const LoopDevice&) = delete;
    LoopDevice& operator=(const LoopDevice&) = delete;

    [[nodiscard]] const std::string& problem() const { return problem_; }
    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] int device() const { return device_; }
    void resize(std::uint64_t size_bytes, bool tell = true) const {
        ASSERT_EQ(::ftruncate(file_, static_cast<off_t>(size_bytes)), 0);
        if (tell) {
            ASSERT_EQ(::ioctl(device_, LOOP_SET_CAPACITY), 0);
        }
    }

  private:
    void configure(int number, std::uint32_t block_bytes, std::uint32_t flags) {
        if (number < 0)
            return;
        path_ = fmt::format("/dev/loop{}", number);
        const int device = ::open(path_.c_str(), O_RDWR | O_CLOEXEC);
        if (device < 0)
            return;
        loop_config config{};
        config.fd = static_cast<unsigned>(file_);
        config.block_size = block_bytes;
        config.info.lo_flags = flags;
        if (::ioctl(device, LOOP_CONFIGURE, &config) == 0)
            device_ = device;
        else
            ::close(device);
    }

    int file_ = -1;
    int device_ = -1;
    std::string path_;
    std::string problem_;
};

#define NEED_LOOP(loop)            \
    if (!(loop).problem().empty()) \
    GTEST_SKIP() << (loop).problem()

Options at(const std::string& path) {
    Options options;
    options.path = path;
    return options;
}

// The device lives as long as the store: it is kept until the next one is made.
ConformanceSubject subject(const std::string& name, std::uint32_t block_bytes, bool write_through) {
    const auto loop = std::make_shared<std::unique_ptr<LoopDevice>>();
    return {name,
            [loop, block_bytes, write_through]() -> Result<std::unique_ptr<target::Backstore>> {
                *loop = std::make_unique<LoopDevice>(conformance_bytes, block_bytes);
                if (!(*loop)->problem().empty())
                    return fail(ENOTSUP, (*loop)->problem());
                Options options = at((*loop)->path());
                options.write_through = write_through;
                return open(options);
            }};
}

INSTANTIATE_TEST_SUITE_P(Loop, BackstoreConformance,
                         ::testing::ValuesIn(on_each_backend(subject("loop512", 512, false))),
                         conformance_name);
INSTANTIATE_TEST_SUITE_P(Loop4096, BackstoreConformance,
                         ::testing::ValuesIn(on_each_backend(subject("loop4096", 4096, false))),
                         conformance_name);
INSTANTIATE_TEST_SUITE_P(WriteThrough, BackstoreConformance,
                         ::testing::ValuesIn(on_each_backend(subject("loop_write_through", 512,
                                                                     true))),
                         conformance_name);

TEST(Iblock, RefusesWhatIsNoBlockDevice) {
    const auto missing = open(at("/dev/there-is-no-such-device"));
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, ENOENT);
    for (const char* path : {"/dev/null", "/etc/passwd", "/"}) {
        const auto store = open(at(path));
        ASSERT_FALSE(store);
        EXPECT_NE(store.error().message.find("not a block device"), std::string::npos)
            << store.error().message;
    }
}

TEST(Iblock, ADeviceIsServedOnce) {
    const LoopDevice loop(4 * mib);
    NEED_LOOP(loop);
    auto first = open(at(loop.path()));
    ASSERT_TRUE(first) << first.error().message;
    const auto second = open(at(loop.path()));
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, EBUSY);
    EXPECT_NE(second.error().message.find("another program holds it"), std::string::npos)
        << second.error().message;
    first->reset();
    EXPECT_TRUE(open(at(loop.path())));
}

TEST(Iblock, ADeviceThatAKilledDaemonStillHoldsIsWaitedFor) {
    const LoopDevice loop(4 * mib);
    NEED_LOOP(loop);
    auto first = open(at(loop.path()));
    ASSERT_TRUE(first) << first.error().message;
    std::thread release([&first] {
        std::this_thread::sleep_for(std::chrono::milliseconds(300));
        first->reset();
    });
    const auto second = open(at(loop.path()));
    release.join();
    EXPECT_TRUE(second) << second.error().message;
}

TEST(Iblock, AMountedDeviceIsRefusedWithItsMountPoint) {
    const LoopDevice loop(16 * mib);
    NEED_LOOP(loop);
    if (std::system(fmt::format("mkfs.ext4 -q {} >/dev/null 2>&1", loop.path()).c_str()) != 0)
        GTEST_SKIP() << "mkfs.ext4 cannot be run here";
    std::string point = ::testing::TempDir() + "/olio mount XXXXXX";
    ASSERT_NE(::mkdtemp(point.data()), nullptr);
    if (::mount(loop.path().c_str(), point.c_str(), "ext4", 0, nullptr) != 0) {
        ::rmdir(point.c_str());
        GTEST_SKIP() << "nothing can be mounted here: " << std::strerror(errno);
    }
    const auto store = open(at(loop.path()));
    ::umount(point.c_str());
    ::rmdir(point.c_str());
    ASSERT_FALSE(store);
    EXPECT_EQ(store.error().code, EBUSY);
    const auto slashes = point.find("//");
    EXPECT_NE(store.error().message.find(
                  "mounted on " + (slashes == std::string::npos ? point : point.erase(slashes, 1))),
              std::string::npos)
        << store.error().message;
    EXPECT_TRUE(open(at(loop.path())));
}

TEST(Iblock, AReadOnlyDeviceIsServedReadOnly) {
    const LoopDevice loop(4 * mib, 512, LO_FLAGS_READ_ONLY);
    NEED_LOOP(loop);
    const auto store = open(at(loop.path()));
    ASSERT_TRUE(store) << store.error().message;
    EXPECT_TRUE((*store)->capabilities().read_only);
    EXPECT_EQ((*store)->capabilities().unmap, target::Support::none);
}

TEST(Iblock, TakesItsGeometryFromTheDevice) {
    for (const std::uint32_t block_bytes : {512u, 4096u}) {
        const LoopDevice loop(8 * mib, block_bytes);
        NEED_LOOP(loop);
        const auto store = open(at(loop.path()));
        ASSERT_TRUE(store) << store.error().message;
        const auto geometry = (*store)->geometry();
        EXPECT_EQ(geometry.block_bytes, block_bytes);
        EXPECT_EQ(geometry.blocks, 8 * mib / block_bytes);
        EXPECT_EQ(geometry.lowest_aligned_lba, 0);
        EXPECT_FALSE((*store)->resize(100));
    }
    const LoopDevice odd(8 * mib, 1024);
    NEED_LOOP(odd);
    const auto store = open(at(odd.path()));
    ASSERT_FALSE(store);
    EXPECT_NE(store.error().message.find("1024"), std::string::npos);
}

TEST(Iblock, AnUnattachedDeviceHasNoMedium) {
    std::string path;
    {
        const LoopDevice loop(4 * mib);
        NEED_LOOP(loop);
        path = loop.path();
    }
    const auto store = open(at(path));
    // Another test may have taken the device meanwhile.
    if (store || store.error().code == EBUSY)
        GTEST_SKIP() << path << " was taken again";
    EXPECT_EQ(store.error().code, ENXIO) << store.error().message;
}

TEST(Iblock, GrowthOfTheDeviceIsFound) {
    const LoopDevice loop(4 * mib);
    NEED_LOOP(loop);
    auto store = open(at(loop.path())).value();
    loop.resize(6 * mib);
    EXPECT_EQ(store->refresh_blocks().value(), 6 * mib / 512);
    EXPECT_EQ(store->geometry().blocks, 6 * mib / 512);
}

TEST(Iblock, AnUnreadableBlockIsAMediumErrorWithItsAddress) {
    const LoopDevice loop(4 * mib);
    NEED_LOOP(loop);
    RunningReactor reactor(reactor::Backend::epoll);
    auto store = open(at(loop.path())).value();
    StoreUser user(reactor, *store);
    loop.resize(mib, false);  // the device keeps its size, but the rest cannot be read
    AlignedBytes data(mib);
    const StoreStatus status = user.read(1024, data);
    if (status == StoreStatus::good)
        GTEST_SKIP() << "this kernel's loop device reads zeros behind the end of its file";
    EXPECT_EQ(status, StoreStatus::medium_error);
    EXPECT_EQ(user.error_lba(), 2048u);
}

TEST(Iblock, APartitionCanBeServedAndItsDiskThenCannot) {
    const LoopDevice loop(16 * mib, 512, LO_FLAGS_PARTSCAN);
    NEED_LOOP(loop);
    blkpg_partition partition{};
    partition.start = 2 * mib;
    partition.length = 4 * mib;
    partition.pno = 1;
    blkpg_ioctl_arg argument{};
    argument.op = BLKPG_ADD_PARTITION;
    argument.datalen = sizeof partition;
    argument.data = &partition;
    if (::ioctl(loop.device(), BLKPG, &argument) != 0)
        GTEST_SKIP() << "no partition can be made: " << std::strerror(errno);
    const std::string path = loop.path() + "p1";
    for (int wait = 0; wait < 100 && ::access(path.c_str(), F_OK) != 0; ++wait)
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    {
        auto store = open(at(path));
        if (!store && store.error().code == ENOENT)
            GTEST_SKIP() << "nobody makes device nodes here";
        ASSERT_TRUE(store) << store.error().message;
        EXPECT_EQ((*store)->geometry().blocks, 4 * mib / 512);
        EXPECT_EQ((*store)->capabilities().unmap, target::Support::native);
        RunningReactor reactor(reactor::Backend::epoll);
        StoreUser user(reactor, **store);
        AlignedBytes data(4096, 3);
        EXPECT_EQ(user.write(0, data), StoreStatus::good);
        EXPECT_EQ(user.flush(), StoreStatus::good);
        EXPECT_FALSE(open(at(loop.path())));
    }
    argument.op = BLKPG_DEL_PARTITION;
    ::ioctl(loop.device(), BLKPG, &argument);
}

TEST(Iblock, WithoutAWriteCacheThereIsNothingToSwitchOn) {
    const LoopDevice loop(4 * mib);
    NEED_LOOP(loop);
    auto store = open(at(loop.path())).value();
    const auto able = store->capabilities();
    EXPECT_EQ(able.volatile_cache, able.cache_mode_changeable);
    if (able.volatile_cache)
        EXPECT_TRUE(store->set_volatile_cache(false));
    else
        EXPECT_FALSE(store->set_volatile_cache(true));
    EXPECT_FALSE(store->capabilities().volatile_cache);
}

// The kernel's own page cache, which tells of a failed write-back once and then forgets it. Two
// flushes at once, and one more later: none may succeed.
class FailedWriteBack : public ::testing::TestWithParam<reactor::Backend> {};

TEST_P(FailedWriteBack, NoFlushSucceedsOnAnyShardAfterTheKernelLostData) {
    std::string folder = ::testing::TempDir() + "/olio-full-XXXXXX";
    ASSERT_NE(::mkdtemp(folder.data()), nullptr);
    if (::mount("olio", folder.c_str(), "tmpfs", 0, "size=1m") != 0) {
        ::rmdir(folder.c_str());
        GTEST_SKIP() << "a small file system cannot be mounted: " << std::strerror(errno);
    }
    auto loop = std::make_unique<LoopDevice>(16 * mib, 512, 0, folder);
    ::umount2(folder.c_str(), MNT_DETACH);
    ::rmdir(folder.c_str());
    NEED_LOOP(*loop);
    RunningReactor reactor(GetParam(), 1);
    if (!reactor.problem().empty())
        GTEST_SKIP() << reactor.problem();
    log::set_level(log::Level::off);
    auto backing = std::make_shared<target::FileBacking>();
    backing->name = loop->path();
    backing->blocks = 16 * mib / 512;
    const auto channel = [&](reactor::Shard& shard) {
        const int own = ::open(loop->path().c_str(), O_RDWR | O_CLOEXEC);
        return std::make_unique<target::FileChannel>(shard, backing, own,
                                                     target::OwnedDescriptor(own));
    };
    {
        StoreUser one(reactor, 512, channel);
        StoreUser two(reactor, 512, channel);
        AlignedBytes data(8 * mib, 7);
        EXPECT_EQ(one.write(0, data), StoreStatus::good) << "the page cache takes it";
        EXPECT_EQ(one.flush(), StoreStatus::medium_error);
        EXPECT_EQ(one.flush(), StoreStatus::medium_error);
        EXPECT_EQ(two.flush(), StoreStatus::medium_error);
        EXPECT_EQ(one.write(0, data, true), StoreStatus::medium_error);
    }
    log::set_level(log::Level::info);
}

INSTANTIATE_TEST_SUITE_P(Reactors, FailedWriteBack,
                         ::testing::Values(reactor::Backend::io_uring, reactor::Backend::epoll),
                         [](const auto& given) {
                             return given.param == reactor::Backend::epoll ? "epoll" : "io_uring";
                         });

}  // namespace
}  // namespace olio::iblock
