// A block device as a disk: opened exclusively and around the page cache, with the geometry, cache
// and discard abilities that the device itself reports.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "target/backstore.h"

namespace olio::iblock {

struct Options {
    std::string path;        // "/dev/sdb", "/dev/vg/volume", a partition
    bool read_only = false;  // also taken where the device is read-only
    bool write_through =
        false;           // every write is durable when it completes, whatever the device's cache
    std::string serial;  // else the device's own (wwid, serial, dm uuid), or from its path
};

// Fails with EBUSY and the reason (mounted where, used for swap, held by which device) where the
// device is in use: two users of one device destroy it.
Result<std::unique_ptr<target::Backstore>> open(const Options& options);

}  // namespace olio::iblock
