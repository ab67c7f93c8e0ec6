#include "backstore/fileio/fileio.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/falloc.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "reactor/sim.h"
#include "target/backstore_conformance_testing.h"
#include "target/file_channel.h"

namespace olio::fileio {
namespace {

using target::StoreStatus;
using namespace target::testing;

// A folder that goes with its contents.
class Folder {
  public:
    Folder() {
        std::string name = ::testing::TempDir() + "/olio-fileio-XXXXXX";
        path_ = ::mkdtemp(name.data());
    }
    ~Folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }
    [[nodiscard]] const std::string& path() const { return path_; }

  private:
    std::string path_;
};

Options at(const std::string& path, std::optional<std::uint64_t> size_bytes = std::nullopt) {
    Options options;
    options.path = path;
    options.size_bytes = size_bytes;
    return options;
}

void make_file(const std::string& path, std::uint64_t size_bytes) {
    const int made = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ASSERT_GE(made, 0);
    ASSERT_EQ(::ftruncate(made, static_cast<off_t>(size_bytes)), 0);
    ::close(made);
}

std::uint32_t file_system_of(const std::string& path) {
    struct statfs facts{};
    EXPECT_EQ(::statfs(path.c_str(), &facts), 0);
    return static_cast<std::uint32_t>(facts.f_type);
}

bool has_exact_holes(const std::string& path) {
    const std::uint32_t type = file_system_of(path);
    return type == EXT4_SUPER_MAGIC || type == XFS_SUPER_MAGIC || type == BTRFS_SUPER_MAGIC ||
           type == TMPFS_MAGIC;
}

ConformanceSubject subject(const std::string& name, const Options& options) {
    static const Folder folder;
    return {name,
            [name, options]() -> Result<std::unique_ptr<target::Backstore>> {
                Options own = options;
                own.path = folder.file(name);
                own.size_bytes = conformance_bytes;
                ::unlink(own.path.c_str());
                auto made = open(own);
                if (!made && own.direct && made.error().code == EINVAL)
                    return fail(ENOTSUP, made.error().message);
                return made;
            },
            reactor::Backend::epoll, has_exact_holes(folder.path())};
}

Options blocks_of(std::uint32_t block_bytes, bool direct) {
    Options options;
    options.block_bytes = block_bytes;
    options.direct = direct;
    return options;
}
Options preallocated_write_through() {
    Options options;
    options.preallocate = true;
    options.write_through = true;
    return options;
}

INSTANTIATE_TEST_SUITE_P(Buffered, BackstoreConformance,
                         ::testing::ValuesIn(on_each_backend(subject("buffered512",
                                                                     blocks_of(512, false)))),
                         conformance_name);
INSTANTIATE_TEST_SUITE_P(Buffered4096, BackstoreConformance,
                         ::testing::ValuesIn(on_each_backend(subject("buffered4096",
                                                                     blocks_of(4096, false)))),
                         conformance_name);
INSTANTIATE_TEST_SUITE_P(Direct, BackstoreConformance,
                         ::testing::ValuesIn(on_each_backend(subject("direct512",
                                                                     blocks_of(512, true)))),
                         conformance_name);
INSTANTIATE_TEST_SUITE_P(Direct4096, BackstoreConformance,
                         ::testing::ValuesIn(on_each_backend(subject("direct4096",
                                                                     blocks_of(4096, true)))),
                         conformance_name);
INSTANTIATE_TEST_SUITE_P(
    WriteThrough, BackstoreConformance,
    ::testing::ValuesIn(on_each_backend(subject("write_through", preallocated_write_through()))),
    conformance_name);

Options with_protection(Options options = {}) {
    options.protection = true;
    return options;
}

INSTANTIATE_TEST_SUITE_P(Protected, BackstoreConformance,
                         ::testing::ValuesIn(on_each_backend(subject("protected",
                                                                     with_protection()))),
                         conformance_name);

std::string contents(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

// LIO's format: eight bytes for each block, in their order, FFh at first.
TEST(Fileio, TuplesStandInTheFileBesideAsLioHasThem) {
    const Folder folder;
    const std::string path = folder.file("disk");
    RunningReactor reactor(reactor::Backend::epoll);
    {
        auto store = open(with_protection(at(path, mib))).value();
        EXPECT_EQ(contents(path + ".protection"), std::string(2048 * 8, '\xFF'));
        StoreUser tuples(reactor, 8, [&](reactor::Shard& shard) {
            return store->open_protection_channel(shard).value();
        });
        AlignedBytes two(16, 0x5A);
        ASSERT_EQ(tuples.write(3, two, true), StoreStatus::good);
    }
    std::string expected(2048 * 8, '\xFF');
    expected.replace(24, 16, 16, '\x5A');
    EXPECT_EQ(contents(path + ".protection"), expected);
    auto again = open(with_protection(at(path, mib)));
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(contents(path + ".protection"), expected) << "kept from run to run";
    ASSERT_TRUE((*again)->resize(4096));
    EXPECT_EQ(contents(path + ".protection"), expected + std::string(2048 * 8, '\xFF'));
    ASSERT_TRUE((*again)->resize(1024));
    EXPECT_EQ(contents(path + ".protection"), expected.substr(0, 1024 * 8));
    struct stat facts{};
    ASSERT_EQ(::stat((path + ".protection").c_str(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 0777, 0600u);
    EXPECT_FALSE(std::filesystem::exists(path + ".protection.new"));
}

TEST(Fileio, ANewDiskTakesNoTuplesOfAFormerOne) {
    const Folder folder;
    const std::string path = folder.file("disk");
    ASSERT_TRUE(open(with_protection(at(path, mib))));
    std::ofstream(path + ".protection") << std::string(2048 * 8, 'x');
    std::filesystem::remove(path);
    ASSERT_TRUE(open(with_protection(at(path, mib))));
    EXPECT_EQ(contents(path + ".protection"), std::string(2048 * 8, '\xFF'));
}

TEST(Fileio, AProtectionFileOfAnotherSizeIsRefused) {
    const Folder folder;
    const std::string path = folder.file("disk");
    ASSERT_TRUE(open(at(path, mib)));
    std::ofstream(path + ".protection") << "short";
    const auto store = open(with_protection(at(path, mib)));
    ASSERT_FALSE(store);
    EXPECT_NE(store.error().message.find("5 bytes"), std::string::npos) << store.error().message;
    Options read_only = with_protection(at(path, mib));
    read_only.read_only = true;
    std::filesystem::remove(path + ".protection");
    EXPECT_FALSE(open(read_only)) << "nothing is made beside a disk that is only read";
}

TEST(Fileio, MakesAFileForItsOwnerAloneWhenToldASize) {
    const Folder folder;
    auto store = open(at(folder.file("new"), 4 * mib));
    ASSERT_TRUE(store) << store.error().message;
    struct stat facts{};
    ASSERT_EQ(::stat(folder.file("new").c_str(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 0777, 0600u);
    EXPECT_EQ(facts.st_size, 4 << 20);
    EXPECT_LT(facts.st_blocks, 100) << "a sparse file takes no room";
    EXPECT_EQ((*store)->geometry().blocks, 8192u);
    store->reset();
    EXPECT_TRUE(open(at(folder.file("new"), 4 * mib))) << "the same size again is fine";
    const auto other = open(at(folder.file("new"), 5 * mib));
    ASSERT_FALSE(other);
    EXPECT_NE(other.error().message.find("4194304"), std::string::npos) << other.error().message;
}

TEST(Fileio, PreallocatesWhenAsked) {
    const Folder folder;
    Options options = at(folder.file("new"), 4 * mib);
    options.preallocate = true;
    const auto store = open(options);
    ASSERT_TRUE(store) << store.error().message;
    struct stat facts{};
    ASSERT_EQ(::stat(options.path.c_str(), &facts), 0);
    EXPECT_GE(facts.st_blocks * 512, 4 << 20);
}

TEST(Fileio, LeavesNothingBehindWhereTheFileCannotBeMade) {
    const Folder folder;
    const auto store = open(at(folder.file("huge"), std::uint64_t{1} << 62));
    ASSERT_FALSE(store);
    EXPECT_NE(::access(folder.file("huge").c_str(), F_OK), 0);
}

TEST(Fileio, RefusesWhatIsNoDiskAndSaysWhy) {
    const Folder folder;
    make_file(folder.file("empty"), 0);
    make_file(folder.file("odd"), mib + 512);
    ASSERT_EQ(::mkfifo(folder.file("fifo").c_str(), 0600), 0);
    struct Row {
        std::string path;
        std::uint32_t block_bytes;
        const char* says;
    };
    const Row rows[] = {{folder.file("missing"), 512, "give a size"},
                        {folder.file("empty"), 512, "empty"},
                        {folder.file("odd"), 4096, "not a multiple"},
                        {folder.file("odd"), 2048, "only 512 and 4096"},
                        {folder.path(), 512, "not a regular file"},
                        {folder.file("fifo"), 512, "not a regular file"}};
    for (const Row& row : rows) {
        Options options = at(row.path);
        options.block_bytes = row.block_bytes;
        const auto store = open(options);
        ASSERT_FALSE(store) << row.path;
        EXPECT_NE(store.error().message.find(row.says), std::string::npos) << store.error().message;
    }
}

TEST(Fileio, AFileIsServedOnceAndTheErrorNamesWhoDoes) {
    const Folder folder;
    auto first = open(at(folder.file("disk"), mib));
    ASSERT_TRUE(first) << first.error().message;
    const auto second = open(at(folder.file("disk")));
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, EBUSY);
    EXPECT_NE(second.error().message.find(fmt::format("process {}", ::getpid())), std::string::npos)
        << second.error().message;
    first->reset();
    EXPECT_TRUE(open(at(folder.file("disk"))));
}

TEST(Fileio, AFileThatAKilledDaemonStillHoldsIsWaitedFor) {
    const Folder folder;
    const std::string path = folder.file("disk");
    make_file(path, mib);
    // Another process has the lock for a while, as the kernel has for a daemon that was killed.
    const int held = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    ASSERT_GE(held, 0);
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const pid_t owner = ::fork();
    if (owner == 0) {
        struct flock whole{};
        whole.l_type = F_WRLCK;
        char end = 0;
        const bool locked = ::fcntl(held, F_OFD_SETLK, &whole) == 0;
        (void)!::write(ends[1], &end, locked ? 1 : 0);
        ::close(ends[1]);
        ::usleep(300'000);
        ::_exit(0);
    }
    ::close(held);
    ::close(ends[1]);
    char byte = 1;
    ASSERT_EQ(::read(ends[0], &byte, 1), 1);
    ::close(ends[0]);
    const auto store = open(at(path));
    EXPECT_TRUE(store) << store.error().message;
    ::waitpid(owner, nullptr, 0);
}

TEST(Fileio, ReadOnlyStoresShareAFile) {
    const Folder folder;
    make_file(folder.file("disk"), mib);
    Options options = at(folder.file("disk"));
    options.read_only = true;
    const auto one = open(options);
    const auto two = open(options);
    ASSERT_TRUE(one && two);
    EXPECT_FALSE(open(at(folder.file("disk"))));
    const auto able = (*one)->capabilities();
    EXPECT_TRUE(able.read_only);
    EXPECT_FALSE(able.volatile_cache);
    EXPECT_FALSE(able.cache_mode_changeable);
    EXPECT_EQ(able.unmap, target::Support::none);
    EXPECT_FALSE((*one)->resize(1));
    RunningReactor reactor(reactor::Backend::epoll);
    StoreUser user(reactor, **one);
    AlignedBytes data(4096);
    EXPECT_EQ(user.read(0, data), StoreStatus::good);
    EXPECT_EQ(user.flush(), StoreStatus::good);
}

TEST(Fileio, OpeningChangesNothingInTheFile) {
    const Folder folder;
    const std::string path = folder.file("disk");
    make_file(path, mib + 512);
    struct stat before{};
    struct stat after{};
    ASSERT_EQ(::stat(path.c_str(), &before), 0);
    ASSERT_TRUE(open(at(path)));
    ASSERT_EQ(::stat(path.c_str(), &after), 0);
    EXPECT_EQ(before.st_size, after.st_size);
    EXPECT_EQ(before.st_blocks, after.st_blocks);
}

TEST(Fileio, TheCacheBitSaysWhatHappens) {
    const Folder folder;
    for (const bool direct : {false, true}) {
        for (const bool write_through : {false, true}) {
            Options options = at(folder.file("disk"), mib);
            options.direct = direct;
            options.write_through = write_through;
            const auto store = open(options);
            if (!store && direct)
                GTEST_SKIP() << store.error().message;
            ASSERT_TRUE(store) << store.error().message;
            EXPECT_EQ((*store)->capabilities().volatile_cache, !write_through);
        }
    }
}

TEST(Fileio, IdentityFollowsThePathOrTheSerialNumber) {
    const Folder folder;
    const auto identity = [&](const std::string& name, const std::string& serial) {
        Options options = at(folder.file(name), mib);
        options.serial = serial;
        return open(options).value()->identification();
    };
    EXPECT_EQ(identity("a", "").serial, identity("a", "").serial);
    EXPECT_NE(identity("a", "").serial, identity("b", "").serial);
    EXPECT_NE(identity("a", "").naa, identity("b", "").naa);
    EXPECT_EQ(identity("a", "S1").naa, identity("b", "S1").naa);
    EXPECT_EQ(identity("a", "S1").serial, "S1");
    ASSERT_EQ(::symlink(folder.file("a").c_str(), folder.file("link").c_str()), 0);
    EXPECT_EQ(identity("a", "").serial, identity("link", "").serial);
}

TEST(Fileio, TellsWhatItsFileTakesAndWhatTheFileSystemHasLeft) {
    const Folder folder;
    auto store = open(at(folder.file("disk"), 64 * mib)).value();
    ASSERT_TRUE(store->capabilities().reports_space);
    const auto sparse = store->space().value();
    EXPECT_LT(sparse.used_bytes, 64 * mib);
    EXPECT_GT(sparse.available_bytes, 0U);
    EXPECT_TRUE(sparse.shared);
    const int file = ::open(folder.file("disk").c_str(), O_WRONLY | O_CLOEXEC);
    ASSERT_GE(file, 0);
    const std::vector<char> data(mib, 'x');
    ASSERT_EQ(::pwrite(file, data.data(), data.size(), 0), static_cast<ssize_t>(mib));
    ASSERT_EQ(::fsync(file), 0);
    ::close(file);
    EXPECT_GE(store->space().value().used_bytes, sparse.used_bytes + mib / 2);
}

TEST(Fileio, GrowthFromOutsideIsFound) {
    const Folder folder;
    auto store = open(at(folder.file("disk"), mib)).value();
    ASSERT_EQ(::truncate(folder.file("disk").c_str(), 3 << 20), 0);
    EXPECT_EQ(store->geometry().blocks, 2048u);
    EXPECT_EQ(store->refresh_blocks().value(), 6144u);
    EXPECT_EQ(store->geometry().blocks, 6144u);
    ASSERT_EQ(::truncate(folder.file("disk").c_str(), 0), 0);
    EXPECT_FALSE(store->refresh_blocks());
}

TEST(Fileio, AFileCutShortIsAMediumErrorAtItsEndAndNoCrash) {
    const Folder folder;
    RunningReactor reactor(reactor::Backend::epoll);
    auto store = open(at(folder.file("disk"), mib)).value();
    StoreUser user(reactor, *store);
    ASSERT_EQ(::truncate(folder.file("disk").c_str(), 100 * 512), 0);
    AlignedBytes data(200 * 512);
    EXPECT_EQ(user.read(0, data), StoreStatus::medium_error);
    EXPECT_EQ(user.error_lba(), 100u);
}

class SmallFileSystem : public ::testing::TestWithParam<reactor::Backend> {
  protected:
    void SetUp() override {
        if (::mount("olio", folder_.path().c_str(), "tmpfs", 0, "size=2m") != 0)
            GTEST_SKIP() << "a small file system cannot be mounted: " << std::strerror(errno);
        mounted_ = true;
    }
    void TearDown() override {
        if (mounted_)
            ::umount2(folder_.path().c_str(), MNT_DETACH);
    }
    Folder folder_;
    bool mounted_ = false;
};

TEST_P(SmallFileSystem, AFullOneIsNoSpaceAndUnmapMakesRoomAgain) {
    RunningReactor reactor(GetParam());
    if (!reactor.problem().empty())
        GTEST_SKIP() << reactor.problem();
    auto made = open(at(folder_.file("disk"), 64 * mib));
    ASSERT_TRUE(made) << made.error().message;
    StoreUser user(reactor, **made);
    AlignedBytes data(mib, 7);
    ASSERT_EQ(user.write(0, data), StoreStatus::good);
    StoreStatus status = StoreStatus::good;
    std::uint64_t lba = 2048;
    for (; status == StoreStatus::good && lba < 8192; lba += 2048)
        status = user.write(lba, data);
    EXPECT_EQ(status, StoreStatus::no_space);
    EXPECT_GE(user.error_lba(), 2048u);
    EXPECT_EQ(user.write(10 * 2048, data, true), StoreStatus::no_space);
    EXPECT_EQ(user.flush(), StoreStatus::good) << "what was acknowledged is not in doubt";
    if ((*made)->capabilities().unmap == target::Support::native) {
        EXPECT_EQ(user.unmap(0, 8192), StoreStatus::good);
        EXPECT_EQ(user.write(0, data), StoreStatus::good);
    }
}

INSTANTIATE_TEST_SUITE_P(Reactors, SmallFileSystem,
                         ::testing::Values(reactor::Backend::io_uring, reactor::Backend::epoll),
                         [](const auto& given) {
                             return given.param == reactor::Backend::epoll ? "epoll" : "io_uring";
                         });

TEST(Fileio, ASimulatedDiskCanBeAttached) {
    auto sim = reactor::SimReactor::make({});
    Attachment attachment;
    attachment.descriptor = sim->create_disk(4 * mib);
    attachment.geometry.blocks = 8192;
    attachment.punches_holes = true;
    auto store = attach(attachment).value();
    EXPECT_FALSE(store->resize(100));
    EXPECT_FALSE(store->set_volatile_cache(false));
    EXPECT_TRUE(store->capabilities().volatile_cache);
    EXPECT_EQ(store->refresh_blocks().value(), 8192u);
    struct Done final : target::StoreCompletion {
        void store_completed(target::StoreIo&) noexcept override { ++times; }
        int times = 0;
    } done;
    AlignedBytes data(4096);
    data.pattern(1);
    target::StoreIo io;
    io.opcode = target::StoreOpcode::write;
    io.lba = 8;
    io.blocks = 8;
    io.data = data.bytes();
    io.completion = &done;
    std::unique_ptr<target::StoreChannel> channel;
    sim->enter(0, [&] {
        channel = store->open_channel(sim->shard(0)).value();
        channel->submit(io);
    });
    sim->run_until_idle();
    EXPECT_EQ(done.times, 1);
    EXPECT_EQ(io.status, StoreStatus::good);
    AlignedBytes got(4096);
    sim->disk(attachment.descriptor)->peek(4096, got.bytes());
    EXPECT_TRUE(got == data);
    sim->enter(0, [&] { channel.reset(); });
    attachment.geometry.blocks = 0;
    EXPECT_FALSE(attach(attachment));
}

// Elsewhere a hole may have data that nobody has written back: all of it is copied.
TEST(Fileio, CopiesLeaveOutHolesOnlyWhereThoseAreExact) {
    const Folder folder;
    if (file_system_of(folder.path()) != EXT4_SUPER_MAGIC)
        GTEST_SKIP() << "a copy of a hole may take no blocks here";
    RunningReactor reactor(reactor::Backend::epoll);
    ASSERT_EQ(reactor.problem(), "");
    const std::string path = folder.file("disk");
    for (const bool exact : {true, false}) {
        make_file(path, 4 * mib);
        const target::OwnedDescriptor file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
        const auto backing = std::make_shared<target::FileBacking>();
        backing->seeks_holes = true;
        backing->holes_are_exact = exact;
        backing->copies = true;
        backing->zero_mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
        backing->blocks = 4 * mib / 512;
        StoreUser user(reactor, 512, [&](reactor::Shard& shard) {
            return std::make_unique<target::FileChannel>(shard, backing, file.get(),
                                                         target::OwnedDescriptor());
        });
        ASSERT_EQ(user.copy(4096, 2048, 0), StoreStatus::good);
        struct stat facts{};
        ASSERT_EQ(::fstat(file.get(), &facts), 0);
        EXPECT_EQ(facts.st_blocks == 0, exact);
    }
}

TEST(Fileio, BehindTheEndOfAFileCutShortNothingIsCopied) {
    RunningReactor reactor(reactor::Backend::epoll);
    ASSERT_EQ(reactor.problem(), "");
    const Folder folder;
    const std::string paths[] = {folder.file("source"), folder.file("destination")};
    for (const std::string& cut : paths) {
        SCOPED_TRACE(cut);
        const auto source = open(at(paths[0], mib));
        const auto destination = open(at(paths[1], mib));
        ASSERT_TRUE(source && destination);
        StoreUser from(reactor, **source);
        StoreUser to(reactor, **destination);
        AlignedBytes data(mib / 2);
        data.pattern(7);
        const bool source_is_cut = &cut == paths;
        if (source_is_cut) {
            ASSERT_EQ(to.write(1024, data), StoreStatus::good);
        }
        ASSERT_EQ(::truncate(cut.c_str(), mib / 4), 0);
        EXPECT_NE(to.copy(1024, 1024, 1024, &from), StoreStatus::good);
        EXPECT_NE(to.copy(256, 1024, 256, &from), StoreStatus::good) << "over its end";
        if (source_is_cut) {
            AlignedBytes got(mib / 2 - 128 * 1024);
            ASSERT_EQ(to.read(1280, got), StoreStatus::good);
            EXPECT_TRUE(std::ranges::equal(got.view(), data.view().subspan(128 * 1024)));
        }
        for (const std::string& path : paths)
            ASSERT_EQ(::truncate(path.c_str(), mib), 0);
    }
}

// Where files can share blocks, what is allocated is no promise.
TEST(Fileio, SpaceIsPromisedAloneWhereFilesShareNoBlocks) {
    const Folder folder;
    const auto made = open(at(folder.file("disk"), mib));
    ASSERT_TRUE(made);
    const std::uint32_t type = file_system_of(folder.path());
    const bool in_place = type == EXT4_SUPER_MAGIC;
    EXPECT_EQ((*made)->capabilities().anchor == target::Support::native, in_place);
    const bool shares = !in_place && type != TMPFS_MAGIC;
    EXPECT_EQ((*made)->capabilities().copies_share_blocks, shares);
    Options preallocated = at(folder.file("preallocated"), mib);
    preallocated.preallocate = true;
    const auto whole = open(preallocated);
    ASSERT_TRUE(whole);
    RunningReactor reactor(reactor::Backend::epoll);
    ASSERT_EQ(reactor.problem(), "");
    EXPECT_NE(StoreUser(reactor, **made).channel().copy_family(), nullptr);
    EXPECT_EQ(StoreUser(reactor, **whole).channel().copy_family() == nullptr, shares);
    struct stat file{};
    ASSERT_EQ(::stat(folder.file("disk").c_str(), &file), 0);
    EXPECT_EQ(file.st_blocks, 0) << "trying it leaves nothing behind";
}

}  // namespace
}  // namespace olio::fileio
