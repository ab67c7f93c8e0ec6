// A regular file as a disk, through the page cache or around it (O_DIRECT).
//
// What WCE says is what happens: a write is durable when it completes only with write_through (then
// each is RWF_DSYNC), else when it had FUA or a flush followed it. O_DIRECT alone makes nothing
// durable: the disk below has a cache of its own, and the file its metadata.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "target/backstore.h"

namespace olio::fileio {

struct Options {
    std::string path;
    // Makes the file where there is none, readable and writable by its owner alone. A file that
    // exists must have exactly this size. Without it the file must exist.
    std::optional<std::uint64_t> size_bytes;
    bool preallocate = false;    // a new file (and what resize adds) gets all its blocks at once
    bool direct = false;         // O_DIRECT; data must be aligned in memory as in the file
    bool write_through = false;  // every write is durable when it completes: WCE = 0
    bool read_only = false;      // also taken where the file system or its permissions force it
    std::uint32_t block_bytes = 512;  // 512 or 4096
    // Keeps protection information in PATH.protection, LIO's file of eight bytes for each block.
    bool protection = false;
    std::string serial;  // else from the canonical path and this machine's identity
};

// The file is locked (an open file description lock on all of it: exclusive, or shared for a
// read-only store), so neither a second daemon nor QEMU serves it at the same time; the error names
// who does.
Result<std::unique_ptr<target::Backstore>> open(const Options& options);

// What a store over a descriptor that others opened cannot find out by itself.
struct Attachment {
    int descriptor = -1;  // stays the caller's; outlives the store
    std::string name = "attached";
    std::string serial;
    scsi::Geometry geometry;
    bool page_cache = true;      // an error of write-back may come out of a later sync
    bool write_through = false;  // fixed: cache_mode_changeable is false
    bool read_only = false;
    bool punches_holes = false;  // Operation::allocate understands PUNCH_HOLE | KEEP_SIZE and
                                 // ZERO_RANGE | KEEP_SIZE
    bool copies = false;         // Operation::copy works between it and others that say so
};

// No system call is made on the descriptor but through the shard that opened it: for simulated
// disks.
Result<std::unique_ptr<target::Backstore>> attach(const Attachment& attachment);

}  // namespace olio::fileio
