// What the kernel tells of a block device, by ioctl and in sysfs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace olio::iblock {

struct DeviceFacts {
    std::uint64_t device_number = 0;
    std::uint64_t size_bytes = 0;
    std::uint32_t logical_block_bytes = 512;
    std::uint32_t physical_block_bytes = 512;
    std::uint32_t alignment_offset_bytes =
        0;                               // from the device's start to its first physical block
    std::uint32_t optimal_io_bytes = 0;  // 0: none reported
    std::uint32_t minimum_io_bytes = 0;
    bool rotational = false;
    bool read_only = false;
    bool volatile_cache = false;                  // queue/write_cache is "write back"
    std::uint64_t discard_granularity_bytes = 0;  // 0: no discard
    std::uint64_t discard_alignment_bytes = 0;
    std::uint64_t discard_max_bytes = 0;
    std::uint64_t write_zeroes_max_bytes =
        0;               // the device itself makes zeros; 0: the kernel writes them
    std::string zoned;   // "none", "host-aware", "host-managed"
    std::string model;   // for people; may be empty
    std::string serial;  // the device's own identity; may be empty
};

// `descriptor` is an open block device; `path` is for messages.
Result<DeviceFacts> device_facts(int descriptor, const std::string& path);

inline constexpr std::string_view held_by_a_program = "another program holds it";

// Why a device cannot be opened exclusively: "it is mounted on /srv", "it is used for swap", "it is
// held by dm-3 (vg-volume)", "its partition sda1 is mounted on /", or held_by_a_program.
[[nodiscard]] std::string why_busy(std::uint64_t device_number);

}  // namespace olio::iblock
