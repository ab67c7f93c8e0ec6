// Small facts that the operating system tells in text files, and the identity that a store without
// one of its own derives from them. Cold path; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "scsi/logical_unit_state.h"

namespace olio::target {

// The first line of a file, without its end and surrounding blanks; nothing if it cannot be read.
[[nodiscard]] std::optional<std::string> first_line(const std::string& path);
// The same, as a decimal number; nothing if it is not one.
[[nodiscard]] std::optional<std::uint64_t> number_in(const std::string& path);

// /sys/dev/block/MAJOR:MINOR of a device number; a partition's own folder, not its disk's.
[[nodiscard]] std::string sysfs_folder(std::uint64_t device_number);
// An attribute of the request queue: the device's, or for a partition its disk's.
[[nodiscard]] std::optional<std::string> queue_attribute(const std::string& sysfs,
                                                         std::string_view name);
[[nodiscard]] std::uint64_t queue_number(const std::string& sysfs, std::string_view name);

// Whose serial number and NAA identifier follow from `serial` if there is one, else from `seed` and
// this machine's identity (machine-id(5)): the same from run to run, different between machines.
[[nodiscard]] scsi::Identification stable_identification(std::string_view serial,
                                                         std::string_view seed);

}  // namespace olio::target
