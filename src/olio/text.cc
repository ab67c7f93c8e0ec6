#include "olio/text.h"

#include <fmt/core.h>

#include <algorithm>

namespace olio::cli {

std::string table(const std::vector<std::vector<std::string>>& rows,
                  const std::vector<std::size_t>& right, std::size_t indent) {
    std::vector<std::size_t> widths;
    for (const auto& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t i = 0; i < row.size(); ++i)
            widths[i] = std::max(widths[i], row[i].size());
    }
    std::string text;
    for (const auto& row : rows) {
        std::string line(indent, ' ');
        for (std::size_t i = 0; i < row.size(); ++i) {
            const bool flush_right = std::ranges::find(right, i) != right.end();
            line += flush_right ? fmt::format("{:>{}}", row[i], widths[i])
                                : fmt::format("{:<{}}", row[i], widths[i]);
            line += "  ";
        }
        line.erase(line.find_last_not_of(' ') + 1);
        text += line + "\n";
    }
    return text;
}

std::string shell_quoted(std::string_view text) {
    constexpr std::string_view plain =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:,@%+=[]";
    // Brackets are a pattern, but one that matches no file is left as it is written.
    if (!text.empty() && text.find_first_not_of(plain) == std::string_view::npos)
        return std::string(text);
    std::string quoted = "'";
    for (const char c : text)
        quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return quoted + "'";
}

std::string printable(std::string_view text) {
    std::string safe(text);
    std::ranges::replace_if(
        safe, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7F; }, '?');
    return safe;
}

std::string short_number(double value) {
    if (value >= 999'950)
        return fmt::format("{:.1f}M", value / 1e6);
    if (value >= 999.5)
        return fmt::format("{:.1f}k", value / 1e3);
    return fmt::format("{:.0f}", value);
}

std::string rate_text(double bytes_per_second) {
    return fmt::format("{:.1f} MB/s", bytes_per_second / 1e6);
}

std::string duration_text(std::uint64_t seconds) {
    const std::uint64_t days = seconds / 86400;
    const std::string clock =
        fmt::format("{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    return days == 0 ? clock : fmt::format("{} d {}", days, clock);
}

}  // namespace olio::cli
