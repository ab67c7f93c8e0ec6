// Opening a regular file for fileio: making it, locking it, and finding out what its file system
// can do.
#pragma once

#include <cstdint>
#include <string>

#include "backstore/fileio/fileio.h"
#include "base/result.h"
#include "target/file_channel.h"

namespace olio::fileio {

struct OpenedFile {
    target::OwnedDescriptor descriptor;
    std::string canonical_path;
    std::uint64_t size_bytes = 0;
    std::uint64_t device_number = 0;
    std::uint32_t preferred_bytes = 4096;  // st_blksize
    std::uint32_t alignment_bytes = 0;     // O_DIRECT's, of offsets and addresses; 0: not direct
    bool made = false;                     // there was no such file
    bool read_only = false;
    bool punches_holes = false;
    bool zeroes_ranges = false;
    bool seeks_holes = false;
    bool holes_are_exact = false;  // FileBacking::holes_are_exact
    bool anchors = false;          // FileBacking::anchors
    bool copies_share_blocks = false;
};

Result<OpenedFile> open_file(const Options& options);

// A second open file description of the same file, for a channel.
Result<target::OwnedDescriptor> reopen(int descriptor, int flags, const std::string& name);

}  // namespace olio::fileio
