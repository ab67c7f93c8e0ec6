// What the daemon says to, and asks of, the system that started it.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace olio::oliod {

// Tells the service manager (sd_notify(3)): "READY=1", "STOPPING=1". Does nothing without one.
void notify_service_manager(std::string_view state);

// Raises the soft limit of open descriptors to the hard one; warns where sessions and disks at
// their limits would not fit.
void raise_descriptor_limit();

// The processors this process may use, at least 1.
[[nodiscard]] unsigned usable_processors();

// What the limits add up to: a part of the memory bound.
struct MemoryPart {
    std::string_view name;
    std::uint64_t bytes = 0;
};
[[nodiscard]] std::vector<MemoryPart> memory_bound(unsigned shards, std::uint64_t ram_disk_bytes);
[[nodiscard]] std::uint64_t total_bytes(std::span<const MemoryPart> parts);

}  // namespace olio::oliod
