#include "backstore/fileio/protection_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>

#include "backstore/fileio/file_open.h"
#include "scsi/protection_information.h"

namespace olio::fileio {
namespace {

using scsi::protection_bytes;
using target::OwnedDescriptor;

// From byte `from` to byte `to`, then to stable storage.
Result<void> fill(int descriptor, std::uint64_t from, std::uint64_t to, const std::string& path) {
    static constexpr auto ones = [] {
        std::array<std::uint8_t, 64 << 10> bytes{};
        bytes.fill(0xFF);
        return bytes;
    }();
    while (from < to) {
        const ssize_t written =
            ::pwrite(descriptor, ones.data(), std::min<std::uint64_t>(ones.size(), to - from),
                     static_cast<off_t>(from));
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return fail_errno(written < 0 ? errno : EIO, path + ": writing protection information");
        from += static_cast<std::uint64_t>(written);
    }
    if (::fdatasync(descriptor) != 0)
        return fail_errno(errno, path + ": fdatasync");
    return {};
}

Result<void> sync_folder(const std::string& path) {
    const std::string folder = std::filesystem::absolute(path).parent_path().string();
    const OwnedDescriptor opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!opened || ::fsync(opened.get()) != 0)
        return fail_errno(errno, folder + ": fsync");
    return {};
}

// Whole under its own name, or not there at all.
Result<void> make(const std::string& path, std::uint64_t bytes) {
    const std::string temporary = path + ".new";
    const OwnedDescriptor made(
        ::open(temporary.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!made)
        return fail_errno(errno, temporary + ": making the file");
    if (auto filled = fill(made.get(), 0, bytes, temporary); !filled) {
        ::unlink(temporary.c_str());
        return filled;
    }
    if (::rename(temporary.c_str(), path.c_str()) != 0)
        return fail_errno(errno, fmt::format("renaming {} to {}", temporary, path));
    return sync_folder(path);
}

}  // namespace

Result<std::unique_ptr<ProtectionFile>> ProtectionFile::open(const Disk& disk) {
    const auto [disk_path, blocks, made, read_only, write_through] = disk;
    const std::string path = disk_path + ".protection";
    const std::uint64_t bytes = blocks * protection_bytes;
    struct stat facts{};
    const bool found = ::stat(path.c_str(), &facts) == 0;
    if (!found && errno != ENOENT)
        return fail_errno(errno, path);
    if (!found && read_only)
        return fail(ENOENT, path + ": no such file; for a read-only disk it is not made");
    if (!found || made)
        OLIO_TRY(make(path, bytes));
    std::unique_ptr<ProtectionFile> file(new ProtectionFile);
    file->descriptor_ = OwnedDescriptor(
        ::open(path.c_str(), (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY));
    if (!file->descriptor_ || ::fstat(file->descriptor_.get(), &facts) != 0)
        return fail_errno(errno, path);
    if (!S_ISREG(facts.st_mode))
        return fail(EINVAL, path + " is not a regular file");
    if (static_cast<std::uint64_t>(facts.st_size) != bytes)
        return fail(EINVAL,
                    fmt::format("{} has {} bytes, but {} blocks of protection information are {}; "
                                "it belongs to a disk of another size. Move it away to begin "
                                "without protection information",
                                path, facts.st_size, blocks, bytes));
    target::FileBacking& backing = *file->backing_;
    backing.name = path;
    backing.block_bytes = protection_bytes;
    backing.alignment_bytes = protection_bytes;
    backing.read_only = read_only;
    backing.blocks = blocks;
    backing.write_through = write_through;
    return file;
}

Result<std::unique_ptr<target::StoreChannel>> ProtectionFile::open_channel(reactor::Shard& shard) {
    auto own = reopen(descriptor_.get(), backing_->read_only ? O_RDONLY : O_RDWR, backing_->name);
    if (!own)
        return std::unexpected(std::move(own.error()));
    const int number = own->get();
    return std::make_unique<target::FileChannel>(shard, backing_, number, std::move(*own));
}

Result<void> ProtectionFile::resize(std::uint64_t blocks) {
    const std::uint64_t before = backing_->blocks;
    if (blocks > before)
        OLIO_TRY(fill(descriptor_.get(), before * protection_bytes, blocks * protection_bytes,
                      backing_->name));
    else if (::ftruncate(descriptor_.get(), static_cast<off_t>(blocks * protection_bytes)) != 0)
        return fail_errno(errno, fmt::format("{}: giving it {} tuples", backing_->name, blocks));
    backing_->blocks = blocks;
    return {};
}

Result<void> ProtectionFile::clear() {
    return fill(descriptor_.get(), 0, backing_->blocks * protection_bytes, backing_->name);
}

}  // namespace olio::fileio
