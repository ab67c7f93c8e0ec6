// A disk in memory: sparse, zeroed, gone when the process ends. A read that may borrow is answered
// with the disk's own memory; nothing is copied.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "target/backstore.h"

namespace olio::ramdisk {

struct Options {
    std::uint64_t size_bytes = 0;     // a multiple of block_bytes, and no more than memory can hold
    std::uint32_t block_bytes = 512;  // 512 or 4096
    // Written and anchored blocks may take no more memory than this, a multiple of 4096; a write
    // beyond it fails for want of space. 0: as much as the disk is large.
    std::uint64_t limit_bytes = 0;
    bool preallocate = false;      // take all the memory now, rather than page by page as written
    bool protection = false;       // keeps protection information: eight bytes more for each block
    std::string name = "ramdisk";  // for messages; the identity follows from it where there is no
    std::string serial;            // serial number
};

// Fails with ENOMEM where memory cannot hold the disk beside the others that this process has
// promised. Blocks may be read and written on any shard at once; what overlapping writes leave is
// one or the other, byte by byte, as for any disk.
Result<std::unique_ptr<target::Backstore>> open(const Options& options);

}  // namespace olio::ramdisk
