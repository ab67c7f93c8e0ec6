// Small shapes of text on a terminal.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace olio::cli {

// Columns under headings, each as wide as its widest cell, two spaces between them; every line
// begins with `indent` spaces and ends with a newline. Columns named in `right` (by index) are set
// flush right.
[[nodiscard]] std::string table(const std::vector<std::vector<std::string>>& rows,
                                const std::vector<std::size_t>& right, std::size_t indent = 0);

// As a shell reads it back: unquoted where nothing in it is special.
[[nodiscard]] std::string shell_quoted(std::string_view text);

// Printable on a terminal whatever a host called itself: control characters become '?'.
[[nodiscard]] std::string printable(std::string_view text);

// "3.2k", "14", "1.1M"
[[nodiscard]] std::string short_number(double value);
// "12.3 MB/s" (10^6 bytes)
[[nodiscard]] std::string rate_text(double bytes_per_second);
// "3 d 04:05:06", "04:05:06"
[[nodiscard]] std::string duration_text(std::uint64_t seconds);

}  // namespace olio::cli
