#include "backstore/fileio/file_open.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/falloc.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <system_error>

#include "base/former_owner.h"
#include "base/log.h"
#include "target/system_facts.h"

namespace olio::fileio {
namespace {

using target::OwnedDescriptor;

struct FreeDeleter {
    void operator()(void* memory) const noexcept { std::free(memory); }
};

struct DirectoryDeleter {
    void operator()(DIR* directory) const noexcept { ::closedir(directory); }
};
using Directory = std::unique_ptr<DIR, DirectoryDeleter>;

// Who holds a lock on this inode, from the "lock:" lines of /proc/PID/fdinfo: "qemu-img (1234)".
std::string lock_holder(const struct stat& file) {
    const std::string inode =
        fmt::format(" {:02x}:{:02x}:{} ", major(file.st_dev), minor(file.st_dev), file.st_ino);
    const Directory processes(::opendir("/proc"));
    while (const dirent* process = processes ? ::readdir(processes.get()) : nullptr) {
        if (process->d_name[0] < '1' || process->d_name[0] > '9')
            continue;
        const std::string root = fmt::format("/proc/{}", process->d_name);
        const Directory descriptors(::opendir((root + "/fdinfo").c_str()));
        while (const dirent* entry = descriptors ? ::readdir(descriptors.get()) : nullptr) {
            std::ifstream lines(fmt::format("{}/fdinfo/{}", root, entry->d_name));
            for (std::string line; std::getline(lines, line);)
                if (line.starts_with("lock:") && line.find(inode) != std::string::npos)
                    return fmt::format("{} (process {})",
                                       target::first_line(root + "/comm").value_or("a program"),
                                       process->d_name);
        }
    }
    return "another program";
}

// Whether this very process holds a lock on it, which no waiting ends.
bool served_here(const struct stat& file) {
    return lock_holder(file).ends_with(fmt::format("(process {})", ::getpid()));
}

Result<void> lock(int descriptor, const std::string& path, const struct stat& file, bool shared) {
    struct flock whole{};
    whole.l_type = shared ? F_RDLCK : F_WRLCK;
    whole.l_whence = SEEK_SET;
    int error = 0;
    const auto attempt = [&] {
        error = ::fcntl(descriptor, F_OFD_SETLK, &whole) == 0 ? 0 : errno;
        return error != EAGAIN && error != EACCES;
    };
    if (!attempt() && (served_here(file) || !outwait_former_owner(path + " is in use", attempt)))
        return fail(EBUSY, fmt::format("{} is in use by {}; stop that first, or serve another file",
                                       path, lock_holder(file)));
    if (error != 0)
        log::warning(
            "{}: its file system does not lock files ({}); nothing keeps another program from "
            "writing to it",
            path, std::generic_category().message(error));
    return {};
}

std::string folder_of(const std::string& path) {
    const auto slash = path.rfind('/');
    if (slash == std::string::npos)
        return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

Result<void> fill(int descriptor, const Options& options) {
    const auto size = static_cast<off_t>(*options.size_bytes);
    if (::ftruncate(descriptor, size) != 0)
        return fail_errno(errno, fmt::format("{}: giving it {} bytes", options.path, size));
    if (options.preallocate && ::fallocate(descriptor, 0, 0, size) != 0)
        return fail_errno(errno, fmt::format("{}: allocating {} bytes", options.path, size));
    // The file itself must be on stable storage before a host trusts it with data.
    if (::fsync(descriptor) != 0)
        return fail_errno(errno, fmt::format("{}: fsync", options.path));
    const OwnedDescriptor folder(
        ::open(folder_of(options.path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder || ::fsync(folder.get()) != 0)
        return fail_errno(errno, fmt::format("{}: fsync of its folder", options.path));
    return {};
}

Result<void> create(const Options& options) {
    if (options.read_only)
        return fail(ENOENT, options.path + ": no such file; a read-only one is not made");
    const OwnedDescriptor made(
        ::open(options.path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!made)
        return fail_errno(errno, fmt::format("{}: making the file", options.path));
    auto filled = fill(made.get(), options);
    if (!filled)
        ::unlink(options.path.c_str());
    return filled;
}

Result<void> check_kind(const struct stat& file, const std::string& path) {
    if (S_ISREG(file.st_mode))
        return {};
    if (S_ISBLK(file.st_mode))
        return fail(EINVAL, path + " is a block device, not a file; serve it by iblock");
    return fail(EINVAL, path + " is not a regular file");
}

Result<void> check_size(const struct stat& file, const Options& options) {
    const auto size = static_cast<std::uint64_t>(file.st_size);
    if (options.size_bytes && *options.size_bytes != size)
        return fail(EEXIST,
                    fmt::format("{} exists and has {} bytes, not {}; leave the size out to serve "
                                "it as it is, or resize it",
                                options.path, size, *options.size_bytes));
    if (size == 0)
        return fail(EINVAL, options.path + " is empty; give it a size");
    if (size % options.block_bytes != 0)
        return fail(EINVAL,
                    fmt::format("{}: its size, {} bytes, is not a multiple of the block size {}; "
                                "truncate -s %{} {} makes it one",
                                options.path, size, options.block_bytes, options.block_bytes,
                                options.path));
    return {};
}

Result<OwnedDescriptor> open_descriptor(const Options& options, bool& read_only) {
    const int flags = O_CLOEXEC | O_NOCTTY | (options.direct ? O_DIRECT : 0);
    int descriptor = read_only ? -1 : ::open(options.path.c_str(), O_RDWR | flags);
    if (descriptor < 0 && (read_only || errno == EROFS || errno == EACCES || errno == EPERM)) {
        if (!read_only)
            log::warning("{}: it cannot be written ({}), so it is served read-only", options.path,
                         std::generic_category().message(errno));
        read_only = true;
        descriptor = ::open(options.path.c_str(), O_RDONLY | flags);
    }
    if (descriptor >= 0)
        return OwnedDescriptor(descriptor);
    if (errno == EINVAL && options.direct)
        return fail(EINVAL, options.path +
                                ": its file system has no direct I/O; serve it without `direct`");
    return fail_errno(errno, options.path);
}

// What O_DIRECT wants of offsets and addresses: as statx tells it (Linux 6.1), else by trying.
std::uint32_t direct_alignment(int descriptor) {
#ifdef STATX_DIOALIGN
    struct statx facts{};
    if (::statx(descriptor, "", AT_EMPTY_PATH, STATX_DIOALIGN, &facts) == 0 &&
        (facts.stx_mask & STATX_DIOALIGN) != 0 && facts.stx_dio_offset_align != 0)
        return std::max(facts.stx_dio_offset_align, facts.stx_dio_mem_align);
#endif
    const std::unique_ptr<void, FreeDeleter> memory(std::aligned_alloc(4096, 4096));
    for (const std::uint32_t size : {512u, 4096u})
        if (::pread(descriptor, memory.get(), size, 0) >= 0)
            return size;
    return 0;
}

// What is known of the file systems; of one that is not here the worst is taken for granted.
struct FileSystem {
    std::uint64_t magic = 0;
    // SEEK_DATA also finds data that have not been written back, which others (over FUSE, ZFS) may
    // call a hole.
    bool holes_are_exact = false;
    // A copy takes blocks of its own (copy_file_range), and what has been allocated can be written
    // without more space: not where files can share blocks, which are then written to another
    // place.
    bool shares_blocks = true;
};
constexpr std::array file_systems{
    FileSystem{.magic = EXT4_SUPER_MAGIC, .holes_are_exact = true, .shares_blocks = false},
    FileSystem{.magic = TMPFS_MAGIC, .holes_are_exact = true, .shares_blocks = false},
    FileSystem{.magic = XFS_SUPER_MAGIC, .holes_are_exact = true},
    FileSystem{.magic = BTRFS_SUPER_MAGIC, .holes_are_exact = true},
};

FileSystem file_system_of(int descriptor) {
    struct statfs facts{};
    if (::fstatfs(descriptor, &facts) != 0)
        return {};
    const auto magic = static_cast<std::uint32_t>(facts.f_type);
    const auto* const found = std::ranges::find(file_systems, magic, &FileSystem::magic);
    return found == file_systems.end() ? FileSystem{} : *found;
}

// Whether FIEMAP shows what has just been allocated at `offset`.
bool shows_unwritten(int descriptor, off_t offset) {
    const auto start = static_cast<std::uint64_t>(offset);
    const auto part = target::unwritten_part(descriptor, start, start + 0x10000);
    return part && part->offset == start && part->end > start;
}

// Asks the file system by a request just behind the end of the file, where nothing is; a block that
// it may have allocated there is given back.
void probe_ranges(int descriptor, const FileSystem& system, OpenedFile& file) {
    const off_t behind = (static_cast<off_t>(file.size_bytes) + 0xffff) & ~off_t{0xffff};
    file.punches_holes =
        ::fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, behind, 0x10000) == 0;
    file.zeroes_ranges =
        ::fallocate(descriptor, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, behind, 0x10000) == 0 ||
        errno == ENOSPC || errno == EDQUOT;
    file.anchors = file.zeroes_ranges && file.punches_holes && !system.shares_blocks &&
                   shows_unwritten(descriptor, behind);
    if (file.zeroes_ranges && ::ftruncate(descriptor, static_cast<off_t>(file.size_bytes)) != 0)
        log::debug("ftruncate after a probe: {}", std::generic_category().message(errno));
}

}  // namespace

Result<OpenedFile> open_file(const Options& options) {
    struct stat facts{};
    OpenedFile file;
    if (::stat(options.path.c_str(), &facts) != 0) {
        if (errno != ENOENT)
            return fail_errno(errno, options.path);
        if (!options.size_bytes)
            return fail(ENOENT, options.path + ": no such file; give a size to make it");
        OLIO_TRY(create(options));
        file.made = true;
    } else {
        OLIO_TRY(check_kind(facts, options.path));
    }
    file.read_only = options.read_only;
    auto descriptor = open_descriptor(options, file.read_only);
    if (!descriptor)
        return std::unexpected(std::move(descriptor.error()));
    file.descriptor = std::move(*descriptor);
    const int number = file.descriptor.get();
    if (::fstat(number, &facts) != 0)
        return fail_errno(errno, options.path);
    OLIO_TRY(check_kind(facts, options.path));
    OLIO_TRY(lock(number, options.path, facts, file.read_only));
    // Once more, now that nobody else changes it.
    if (::fstat(number, &facts) != 0)
        return fail_errno(errno, options.path);
    OLIO_TRY(check_size(facts, options));
    file.size_bytes = static_cast<std::uint64_t>(facts.st_size);
    file.device_number = facts.st_dev;
    file.preferred_bytes = static_cast<std::uint32_t>(facts.st_blksize);
    if (options.direct) {
        file.alignment_bytes = direct_alignment(number);
        if (file.alignment_bytes == 0 || file.alignment_bytes > 4096)
            return fail(EINVAL,
                        options.path +
                            ": its file system has no direct I/O in units of 4096 bytes or less; "
                            "serve it without `direct`");
        if (file.alignment_bytes > options.block_bytes)
            return fail(EINVAL,
                        fmt::format("{}: direct I/O works in units of {} bytes here; choose "
                                    "blocks of 4096 bytes, or serve it without `direct`",
                                    options.path, file.alignment_bytes));
    }
    const FileSystem system = file_system_of(number);
    if (!file.read_only)
        probe_ranges(number, system, file);
    file.seeks_holes = ::lseek(number, 0, SEEK_HOLE) >= 0;
    file.copies_share_blocks = system.shares_blocks;
    file.holes_are_exact = file.seeks_holes && system.holes_are_exact;
    const std::unique_ptr<char, FreeDeleter> canonical(::realpath(options.path.c_str(), nullptr));
    file.canonical_path = canonical ? canonical.get() : options.path;
    return file;
}

Result<OwnedDescriptor> reopen(int descriptor, int flags, const std::string& name) {
    OwnedDescriptor second(
        ::open(fmt::format("/proc/self/fd/{}", descriptor).c_str(), flags | O_CLOEXEC | O_NOCTTY));
    if (!second)
        return fail_errno(errno, fmt::format("{}: opening it once more (is /proc mounted?)", name));
    return second;
}

}  // namespace olio::fileio
