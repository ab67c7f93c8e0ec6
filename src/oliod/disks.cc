#include "oliod/disks.h"

#include <fmt/core.h>
#include <sys/stat.h>

#include <cerrno>

#include "backstore/fileio/fileio.h"
#include "backstore/iblock/iblock.h"
#include "backstore/ramdisk/ramdisk.h"
#include "target/backstore.h"

namespace olio::oliod {
namespace {

constexpr std::uint32_t default_block_bytes = 512;

Result<std::unique_ptr<target::Backstore>> open_device(const DiskSpec& spec) {
    if (spec.size_bytes)
        return fail(EINVAL, fmt::format("{} is a block device, which has a size of its own; leave "
                                        "the size out, or give it to the file alone: FILE,size=1G",
                                        spec.path));
    auto store = iblock::open({.path = spec.path,
                               .read_only = spec.read_only,
                               .write_through = spec.write_through,
                               .serial = spec.serial});
    if (store && spec.block_bytes && (*store)->geometry().block_bytes != *spec.block_bytes)
        return fail(EINVAL,
                    fmt::format("{} has blocks of {} bytes, not {}; leave the block size "
                                "out",
                                spec.path, (*store)->geometry().block_bytes, *spec.block_bytes));
    return store;
}

Result<std::unique_ptr<target::Backstore>> open_path(const DiskSpec& spec) {
    struct stat found{};
    if (::stat(spec.path.c_str(), &found) != 0) {
        if (errno != ENOENT)
            return fail_errno(errno, fmt::format("cannot open '{}'", spec.path));
        if (!spec.size_bytes)
            return fail(ENOENT,
                        fmt::format("there is no file '{}'; give a size to make it, such as "
                                    "--size 1G",
                                    spec.path));
    } else if (S_ISBLK(found.st_mode)) {
        return open_device(spec);
    } else if (!S_ISREG(found.st_mode)) {
        return fail(EINVAL,
                    fmt::format("'{}' is neither a file nor a block device, so it cannot be "
                                "served as a disk",
                                spec.path));
    }
    return fileio::open({.path = spec.path,
                         .size_bytes = spec.size_bytes,
                         .preallocate = spec.preallocate,
                         .direct = spec.direct,
                         .write_through = spec.write_through,
                         .read_only = spec.read_only,
                         .block_bytes = spec.block_bytes.value_or(default_block_bytes),
                         .protection = spec.protection,
                         .serial = spec.serial});
}

}  // namespace

Result<std::unique_ptr<target::Backstore>> open_disk(const DiskSpec& spec,
                                                     const std::string& name) {
    if (!spec.ram)
        return open_path(spec);
    return ramdisk::open({.size_bytes = *spec.size_bytes,
                          .block_bytes = spec.block_bytes.value_or(default_block_bytes),
                          .limit_bytes = spec.limit_bytes.value_or(0),
                          .preallocate = spec.preallocate,
                          .protection = spec.protection,
                          .name = name,
                          .serial = spec.serial});
}

}  // namespace olio::oliod
