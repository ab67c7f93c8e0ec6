#include "target/system_facts.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/bytes.h"

namespace olio::target {
namespace {

// The IEEE company identifier in LIO's NAA designators; hosts' multipath rules know it.
constexpr std::uint64_t company_id = 0x001405;
constexpr std::size_t serial_limit = 252;  // SPC-5 7.7.18: the page's length is below 256

// FNV-1a, then a finalizer that spreads every bit. Not for secrets: it only has to be stable.
std::uint64_t hash(std::string_view text, std::uint64_t salt) noexcept {
    std::uint64_t value = 0xcbf29ce484222325 ^ salt;
    for (const char letter : text) {
        value ^= static_cast<std::uint8_t>(letter);
        value *= 0x100000001b3;
    }
    value = (value ^ value >> 33) * 0xff51afd7ed558ccd;
    value = (value ^ value >> 33) * 0xc4ceb9fe1a85ec53;
    return value ^ value >> 33;
}

// SPC-5 6.6.4: a serial number is ASCII printable.
std::string printable(std::string_view text) {
    std::string kept;
    for (const char letter : text)
        if (letter >= ' ' && letter <= '~' && kept.size() < serial_limit)
            kept.push_back(letter);
    return kept;
}

}  // namespace

std::optional<std::string> first_line(const std::string& path) {
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return std::nullopt;
    std::array<char, 4096> text;
    const ssize_t count = ::read(file, text.data(), text.size());
    ::close(file);
    if (count < 0)
        return std::nullopt;
    std::string_view line(text.data(), static_cast<std::size_t>(count));
    line = line.substr(0, line.find('\n'));
    const auto first = line.find_first_not_of(" \t\r");
    if (first == std::string_view::npos)
        return std::string();
    return std::string(line.substr(first, line.find_last_not_of(" \t\r") - first + 1));
}

std::optional<std::uint64_t> number_in(const std::string& path) {
    const auto line = first_line(path);
    if (!line)
        return std::nullopt;
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(line->data(), line->data() + line->size(), number);
    if (error != std::errc() || end == line->data())
        return std::nullopt;
    return number;
}

std::string sysfs_folder(std::uint64_t device_number) {
    return fmt::format("/sys/dev/block/{}:{}", major(device_number), minor(device_number));
}

std::optional<std::string> queue_attribute(const std::string& sysfs, std::string_view name) {
    if (auto own = first_line(fmt::format("{}/queue/{}", sysfs, name)))
        return own;
    return first_line(fmt::format("{}/../queue/{}", sysfs, name));
}

std::uint64_t queue_number(const std::string& sysfs, std::string_view name) {
    const auto text = queue_attribute(sysfs, name);
    std::uint64_t number = 0;
    if (text)
        (void)std::from_chars(text->data(), text->data() + text->size(), number);
    return number;
}

scsi::Identification stable_identification(std::string_view serial, std::string_view seed) {
    scsi::Identification made;
    std::string origin = printable(serial);
    made.serial = origin;
    if (origin.empty()) {
        origin = first_line("/etc/machine-id").value_or(std::string());
        origin.push_back('\0');
        origin.append(seed);
    }
    const std::uint64_t high = hash(origin, 0x6f6c696f);
    const std::uint64_t low = hash(origin, 0x73746f7265);
    // SPC-5 7.7.6.6.5: NAA 6h, company, 36 bits of ours, and 64 more.
    store_be(made.naa.data(), std::uint64_t{6} << 60 | company_id << 36 | high >> 28);
    store_be(made.naa.data() + 8, low);
    if (made.serial.empty())
        made.serial = fmt::format("{:09x}{:016x}", high >> 28, low);
    return made;
}

}  // namespace olio::target
