// Sizes as people write and read them: "512", "64K", "1G", "1.5 GiB". All suffixes are binary.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace olio {

// A whole number of bytes, or of K, M, G, T or P (1024 times the one before; "KiB" and the like and
// small letters are the same). EINVAL for anything else, zero included; ERANGE if it passes 2^63 -
// 1, which no file or device can be.
[[nodiscard]] Result<std::uint64_t> parse_size(std::string_view text);

// "1 GiB" where that is exact, else with one decimal: "1.5 GiB"; below 1 KiB "512 B".
[[nodiscard]] std::string format_size(std::uint64_t bytes);

}  // namespace olio
