// What an administrator writes to name a disk: PATH[,OPTION...] or ram:SIZE[,OPTION...].
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace olio::oliod {

struct DiskSpec {
    bool ram = false;
    std::string path;  // absolute; empty for RAM
    std::optional<std::uint64_t>
        size_bytes;  // RAM: always; a path: to make the file if it is missing
    std::optional<std::uint32_t> block_bytes;  // 512 or 4096; empty: the store's own
    bool direct = false;                       // past the page cache
    bool write_through = false;                // a write is durable when it is answered: WCE = 0
    bool read_only = false;
    bool preallocate = false;                  // take all the space now
    bool thin = true;                          // hosts may give blocks up
    bool protection = false;                   // it keeps T10 protection information
    std::uint8_t protection_type = 0;          // 1 to 3; 0: a host may format it with some
    std::optional<std::uint64_t> limit_bytes;  // RAM: how much of it may be written
    std::string serial;                        // empty: derived from the path
    std::vector<std::pair<std::string, std::string>> attributes;  // names and values, to be set
};

// A comma in a path is written twice. Options: size=SIZE, block-size=512|4096, direct,
// write-through, read-only, preallocate, thin=on|off, limit=SIZE, protection=0|1|2|3, serial=TEXT,
// and each attribute by its name (target/attributes.h): emulate_tpu=1; each at most once.
// `defaults` has the same options without a path: they hold where the spec does not say otherwise
// and where they can apply (not size or direct for RAM, not limit for a path). A relative path is
// taken from `folder`.
[[nodiscard]] Result<DiskSpec> parse_disk_spec(std::string_view text, std::string_view defaults,
                                               const std::string& folder);

}  // namespace olio::oliod
