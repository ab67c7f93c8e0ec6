#include "backstore/iblock/device_facts.h"

#include <dirent.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <memory>
#include <sstream>
#include <vector>

#include "target/system_facts.h"

namespace olio::iblock {
namespace {

using target::first_line;
using target::queue_attribute;
using target::queue_number;

struct DirectoryDeleter {
    void operator()(DIR* directory) const noexcept { ::closedir(directory); }
};

std::vector<std::string> entries(const std::string& path) {
    std::vector<std::string> names;
    const std::unique_ptr<DIR, DirectoryDeleter> folder(::opendir(path.c_str()));
    while (const dirent* entry = folder ? ::readdir(folder.get()) : nullptr)
        if (entry->d_name[0] != '.')
            names.emplace_back(entry->d_name);
    std::sort(names.begin(), names.end());
    return names;
}

// mountinfo writes blanks in names as \040 (proc(5)).
std::string unescaped(const std::string& text) {
    std::string plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && i + 3 < text.size()) {
            plain.push_back(static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                              (text[i + 3] - '0')));
            i += 3;
        } else {
            plain.push_back(text[i]);
        }
    }
    return plain;
}

bool is_device(const std::string& path, std::uint64_t device_number) {
    struct stat facts{};
    return ::stat(path.c_str(), &facts) == 0 && S_ISBLK(facts.st_mode) &&
           facts.st_rdev == device_number;
}

// proc(5): id, parent, major:minor, root, mount point, ... - type, source. The source too is
// compared, since some file systems (btrfs) have device numbers of their own.
std::string mount_point(std::uint64_t device_number) {
    const std::string wanted = fmt::format("{}:{}", major(device_number), minor(device_number));
    std::ifstream file("/proc/self/mountinfo");
    for (std::string line; std::getline(file, line);) {
        std::istringstream fields(line);
        std::string id, parent, numbers, root, point, word, type, source;
        fields >> id >> parent >> numbers >> root >> point;
        while (fields >> word && word != "-") {
        }
        fields >> type >> source;
        if (numbers == wanted ||
            (source.starts_with('/') && is_device(unescaped(source), device_number)))
            return unescaped(point);
    }
    return {};
}

bool is_swap(std::uint64_t device_number) {
    std::ifstream file("/proc/swaps");
    std::string line;
    std::getline(file, line);
    while (std::getline(file, line))
        if (is_device(unescaped(line.substr(0, line.find_first_of(" \t"))), device_number))
            return true;
    return false;
}

std::uint64_t number_of(const std::string& sysfs) {
    const std::string text = first_line(sysfs + "/dev").value_or("");
    unsigned major_number = 0;
    unsigned minor_number = 0;
    char colon = 0;
    std::istringstream fields(text);
    fields >> major_number >> colon >> minor_number;
    return makedev(major_number, minor_number);
}

// Empty if nothing is found.
std::string direct_reason(std::uint64_t device_number) {
    if (const std::string point = mount_point(device_number); !point.empty())
        return "mounted on " + point;
    if (is_swap(device_number))
        return "used for swap";
    const std::string holders = target::sysfs_folder(device_number) + "/holders";
    for (const std::string& holder : entries(holders)) {
        const auto name = first_line(fmt::format("{}/{}/dm/name", holders, holder));
        return name ? fmt::format("held by {} ({})", holder, *name) : "held by " + holder;
    }
    return {};
}

// The first of these attributes that says anything.
std::string first_of(const std::string& sysfs, std::initializer_list<std::string_view> names) {
    for (const std::string_view name : names)
        if (auto text = first_line(fmt::format("{}/{}", sysfs, name)); text && !text->empty())
            return *text;
    return {};
}

void identify(const std::string& sysfs, DeviceFacts& facts) {
    const auto partition = first_line(sysfs + "/partition");
    const std::string disk = partition ? sysfs + "/.." : sysfs;
    facts.model = first_of(disk, {"device/model", "dm/name"});
    facts.serial =
        first_of(disk, {"wwid", "device/wwid", "device/serial", "serial", "dm/uuid", "md/uuid"});
    // T10 vendor identifiers are padded with runs of blanks.
    facts.serial.erase(std::unique(facts.serial.begin(), facts.serial.end(),
                                   [](char a, char b) { return a == ' ' && b == ' '; }),
                       facts.serial.end());
    if (partition && !facts.serial.empty())
        facts.serial += "-part" + *partition;
}

}  // namespace

Result<DeviceFacts> device_facts(int descriptor, const std::string& path) {
    struct stat node{};
    if (::fstat(descriptor, &node) != 0)
        return fail_errno(errno, path);
    DeviceFacts facts;
    facts.device_number = node.st_rdev;
    int logical = 0;
    unsigned physical = 0;
    int alignment = 0;
    unsigned optimal = 0;
    unsigned minimum = 0;
    int read_only = 0;
    unsigned short rotational = 0;
    if (::ioctl(descriptor, BLKGETSIZE64, &facts.size_bytes) != 0 ||
        ::ioctl(descriptor, BLKSSZGET, &logical) != 0)
        return fail_errno(errno, path + ": asking for its size");
    facts.logical_block_bytes = static_cast<std::uint32_t>(logical);
    facts.physical_block_bytes = facts.logical_block_bytes;
    if (::ioctl(descriptor, BLKPBSZGET, &physical) == 0 && physical >= facts.logical_block_bytes)
        facts.physical_block_bytes = physical;
    if (::ioctl(descriptor, BLKALIGNOFF, &alignment) == 0 && alignment > 0)
        facts.alignment_offset_bytes = static_cast<std::uint32_t>(alignment);
    if (::ioctl(descriptor, BLKIOOPT, &optimal) == 0)
        facts.optimal_io_bytes = optimal;
    if (::ioctl(descriptor, BLKIOMIN, &minimum) == 0)
        facts.minimum_io_bytes = minimum;
    if (::ioctl(descriptor, BLKROGET, &read_only) == 0)
        facts.read_only = read_only != 0;
    if (::ioctl(descriptor, BLKROTATIONAL, &rotational) == 0)
        facts.rotational = rotational != 0;

    const std::string sysfs = target::sysfs_folder(facts.device_number);
    // Where sysfs does not say, a cache is assumed: then hosts flush it, and lose nothing but time.
    facts.volatile_cache =
        queue_attribute(sysfs, "write_cache").value_or("write back") == "write back";
    facts.discard_max_bytes = queue_number(sysfs, "discard_max_bytes");
    facts.discard_granularity_bytes = queue_number(sysfs, "discard_granularity");
    facts.discard_alignment_bytes = target::number_in(sysfs + "/discard_alignment").value_or(0);
    facts.write_zeroes_max_bytes = queue_number(sysfs, "write_zeroes_max_bytes");
    facts.zoned = queue_attribute(sysfs, "zoned").value_or("none");
    identify(sysfs, facts);
    return facts;
}

std::string why_busy(std::uint64_t device_number) {
    if (const std::string reason = direct_reason(device_number); !reason.empty())
        return "it is " + reason;
    const std::string sysfs = target::sysfs_folder(device_number);
    for (const std::string& name : entries(sysfs)) {
        const std::string folder = sysfs + "/" + name;
        if (!first_line(folder + "/partition"))
            continue;
        if (const std::string reason = direct_reason(number_of(folder)); !reason.empty())
            return fmt::format("its partition {} is {}", name, reason);
    }
    if (first_line(sysfs + "/partition")) {
        const std::uint64_t disk = number_of(sysfs + "/..");
        if (const std::string reason = direct_reason(disk); !reason.empty())
            return "the disk that it is a part of is " + reason;
    }
    return std::string(held_by_a_program);
}

}  // namespace olio::iblock
