#include "base/size_text.h"

#include <fmt/core.h>

#include <cerrno>
#include <charconv>
#include <limits>

#include "base/bytes.h"

namespace olio {
namespace {

constexpr std::string_view unit_letters = "KMGTP";
constexpr std::uint64_t largest_size_bytes = std::numeric_limits<std::int64_t>::max();

// The number of powers of 1024 that a suffix stands for; -1: it is none.
int power_of(std::string_view suffix) {
    if (suffix.empty() || suffix == "B" || suffix == "b")
        return 0;
    const char letter = static_cast<char>(suffix.front() & ~0x20);
    const std::size_t index = unit_letters.find(letter);
    if (index == std::string_view::npos)
        return -1;
    const std::string_view rest = suffix.substr(1);
    if (!rest.empty() && rest != "iB" && rest != "ib" && rest != "i")
        return -1;
    return static_cast<int>(index) + 1;
}

}  // namespace

Result<std::uint64_t> parse_size(std::string_view text) {
    std::uint64_t bytes = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bytes);
    const auto too_large = [&] {
        return fail(ERANGE, fmt::format("size '{}' is larger than any file can be", text));
    };
    if (error == std::errc::result_out_of_range)
        return too_large();
    const int power = error == std::errc{}
                          ? power_of(text.substr(static_cast<std::size_t>(end - text.data())))
                          : -1;
    if (power < 0 || bytes == 0)
        return fail(EINVAL, fmt::format("'{}' is not a size; write a whole number above zero of "
                                        "bytes, or with K, M, G or T: 512M, 10G",
                                        text));
    for (int i = 0; i < power; ++i)
        if (!checked_multiply<std::uint64_t>(bytes, 1024, bytes))
            return too_large();
    if (bytes > largest_size_bytes)
        return too_large();
    return bytes;
}

std::string format_size(std::uint64_t bytes) {
    std::size_t power = 0;
    std::uint64_t unit = 1;
    while (power < unit_letters.size() && bytes / unit >= 1024) {
        unit *= 1024;
        ++power;
    }
    if (power == 0)
        return fmt::format("{} B", bytes);
    const char letter = unit_letters[power - 1];
    if (bytes % unit == 0)
        return fmt::format("{} {}iB", bytes / unit, letter);
    // Rounded down, so that nothing is shown larger than it is.
    const std::uint64_t tenths = bytes % unit / (unit / 1024) * 10 / 1024;
    return fmt::format("{}.{} {}iB", bytes / unit, tenths, letter);
}

}  // namespace olio
