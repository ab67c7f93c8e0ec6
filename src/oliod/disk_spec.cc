#include "oliod/disk_spec.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <span>
#include <vector>

#include "base/size_text.h"
#include "target/attributes.h"

namespace olio::oliod {
namespace {

constexpr std::string_view ram_prefix = "ram:";
constexpr std::size_t longest_serial = 252;  // fits the Device Identification page, SPC-5 7.7.6

struct Field {
    std::string text;
    // Whether an option came from the defaults, which give way silently.
    bool is_default = false;
};

struct OptionRow {
    std::string_view name;
    std::string_view value;  // what it takes, for messages; empty: nothing
    bool for_ram;
    bool for_path;
    Result<void> (*set)(DiskSpec&, std::string_view value);
};

Result<void> set_size(DiskSpec& spec, std::string_view value) {
    const auto size = parse_size(value);
    if (!size)
        return std::unexpected(size.error());
    spec.size_bytes = *size;
    return {};
}

Result<void> set_block_size(DiskSpec& spec, std::string_view value) {
    const auto size = parse_size(value);
    if (!size || (*size != 512 && *size != 4096))
        return fail(EINVAL, fmt::format("block size '{}' is not 512 or 4096", value));
    spec.block_bytes = static_cast<std::uint32_t>(*size);
    return {};
}

Result<void> set_protection(DiskSpec& spec, std::string_view value) {
    if (value.size() != 1 || value[0] < '0' || value[0] > '3')
        return fail(EINVAL, fmt::format("protection type '{}' is not 0, 1, 2 or 3", value));
    spec.protection = true;
    spec.protection_type = static_cast<std::uint8_t>(value[0] - '0');
    return {};
}

Result<void> set_thin(DiskSpec& spec, std::string_view value) {
    if (value != "on" && value != "off")
        return fail(EINVAL, fmt::format("thin '{}' is neither on nor off", value));
    spec.thin = value == "on";
    return {};
}

Result<void> set_limit(DiskSpec& spec, std::string_view value) {
    constexpr std::uint64_t page_bytes = 4096;
    const auto size = parse_size(value);
    if (!size)
        return std::unexpected(size.error());
    if (*size == 0 || *size % page_bytes != 0)
        return fail(EINVAL, fmt::format("limit '{}' is not a multiple of {}", value, page_bytes));
    spec.limit_bytes = *size;
    return {};
}

Result<void> set_serial(DiskSpec& spec, std::string_view value) {
    const auto printable = [](char c) { return c > ' ' && c < 0x7F; };
    if (value.empty() || value.size() > longest_serial || !std::ranges::all_of(value, printable))
        return fail(EINVAL, fmt::format("serial number '{}' must be 1 to {} ASCII characters "
                                        "without spaces",
                                        value, longest_serial));
    spec.serial = value;
    return {};
}

template <bool DiskSpec::* Flag>
Result<void> set_flag(DiskSpec& spec, std::string_view) {
    spec.*Flag = true;
    return {};
}

constexpr std::array<OptionRow, 10> option_rows{{
    {"size", "SIZE", false, true, set_size},
    {"block-size", "512|4096", true, true, set_block_size},
    {"direct", "", false, true, set_flag<&DiskSpec::direct>},
    {"write-through", "", false, true, set_flag<&DiskSpec::write_through>},
    {"read-only", "", true, true, set_flag<&DiskSpec::read_only>},
    {"preallocate", "", true, true, set_flag<&DiskSpec::preallocate>},
    {"thin", "on|off", true, true, set_thin},
    {"limit", "SIZE", true, false, set_limit},
    {"protection", "0|1|2|3", true, true, set_protection},
    {"serial", "TEXT", true, true, set_serial},
}};

std::string option_names() {
    std::string names;
    for (const OptionRow& row : option_rows) {
        if (!names.empty())
            names += ", ";
        names += row.name;
        if (!row.value.empty())
            names += fmt::format("={}", row.value);
    }
    return names;
}

// Cuts at commas; two in a row are one that belongs to the text.
std::vector<Field> split(std::string_view text, bool is_default) {
    std::vector<Field> fields{{.text = {}, .is_default = is_default}};
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != ',') {
            fields.back().text += text[i];
        } else if (i + 1 < text.size() && text[i + 1] == ',') {
            fields.back().text += ',';
            ++i;
        } else {
            fields.push_back({.text = {}, .is_default = is_default});
        }
    }
    return fields;
}

// An attribute by its name. Whether it can have the value, its row says when the disk is made.
Result<void> apply_attribute(DiskSpec& spec, std::string_view disk, const Field& field) {
    const std::string_view text = field.text;
    const std::size_t equals = text.find('=');
    const std::string name(text.substr(0, equals));
    if (equals == std::string_view::npos)
        return fail(EINVAL,
                    fmt::format("disk '{}': attribute '{}' takes a value: {}=1", disk, name, name));
    if (std::ranges::any_of(spec.attributes,
                            [&](const auto& each) { return each.first == name; })) {
        if (field.is_default)
            return {};
        return fail(EINVAL, fmt::format("disk '{}': attribute '{}' is given twice", disk, name));
    }
    spec.attributes.emplace_back(name, text.substr(equals + 1));
    if (name == "pi_prot_type" && spec.attributes.back().second != "0")
        spec.protection = true;
    return {};
}

Result<void> apply(DiskSpec& spec, std::string_view disk, std::span<const Field> options) {
    std::array<bool, option_rows.size()> given{};
    for (const Field& field : options) {
        const std::string_view text = field.text;
        const std::size_t equals = text.find('=');
        const std::string_view name = text.substr(0, equals);
        if (target::find_attribute(name)) {
            OLIO_TRY(apply_attribute(spec, disk, field));
            continue;
        }
        const auto row = std::ranges::find(option_rows, name, &OptionRow::name);
        if (row == option_rows.end())
            return fail(EINVAL, fmt::format("disk '{}': there is no option '{}'; there are {}, and "
                                            "the attributes by their names. (A "
                                            "comma in a path is written twice.)",
                                            disk, name, option_names()));
        const bool has_value = equals != std::string_view::npos;
        if (has_value == row->value.empty())
            return fail(EINVAL,
                        fmt::format("disk '{}': option '{}' takes {}", disk, name,
                                    has_value ? "no value"
                                              : fmt::format("a value: {}={}", name, row->value)));
        bool& seen = given[static_cast<std::size_t>(row - option_rows.begin())];
        const bool applies = spec.ram ? row->for_ram : row->for_path;
        if (field.is_default && (seen || !applies))
            continue;
        if (!applies)
            return fail(EINVAL, fmt::format("disk '{}': option '{}' does not apply to {}{}", disk,
                                            name, spec.ram ? "RAM" : "files and devices",
                                            spec.ram && name == "size" ? "; write ram:SIZE" : ""));
        if (seen)
            return fail(EINVAL, fmt::format("disk '{}': option '{}' is given twice", disk, name));
        seen = true;
        const auto set = row->set(spec, has_value ? text.substr(equals + 1) : std::string_view{});
        if (!set)
            return fail(EINVAL, fmt::format("disk '{}': {}", disk, set.error().message));
    }
    return {};
}

}  // namespace

Result<DiskSpec> parse_disk_spec(std::string_view text, std::string_view defaults,
                                 const std::string& folder) {
    const std::vector<Field> fields = split(text, false);
    const std::string& disk = fields.front().text;
    DiskSpec spec;
    if (disk.starts_with(ram_prefix)) {
        spec.ram = true;
        if (const auto set = set_size(spec, disk.substr(ram_prefix.size())); !set)
            return fail(EINVAL, fmt::format("disk '{}': {}", disk, set.error().message));
    } else if (disk.empty()) {
        return fail(EINVAL, fmt::format("disk '{}' names no path; write PATH or ram:SIZE", text));
    } else {
        spec.path = (std::filesystem::path(folder) / disk).lexically_normal().string();
    }
    std::vector<Field> options(fields.begin() + 1, fields.end());
    if (!defaults.empty())
        for (Field& field : split(defaults, true))
            options.push_back(std::move(field));
    OLIO_TRY(apply(spec, disk, options));
    if (spec.limit_bytes && (spec.preallocate || !spec.thin))
        return fail(EINVAL, fmt::format("disk '{}': a limit and {} contradict one another", disk,
                                        spec.preallocate ? "preallocate" : "thin=off"));
    const std::uint32_t block_bytes = spec.block_bytes.value_or(512);
    if (spec.size_bytes && *spec.size_bytes % block_bytes != 0)
        return fail(EINVAL, fmt::format("disk '{}': a size of {} bytes is not a whole number of "
                                        "blocks of {} bytes",
                                        disk, *spec.size_bytes, block_bytes));
    return spec;
}

}  // namespace olio::oliod
