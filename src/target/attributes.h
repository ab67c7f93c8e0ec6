// The attributes of a logical unit: LIO's `attrib/` directory as one table (Linux 6.1, and
// what 6.12 added). The control socket, the command line, the manual and the configfs tree read the
// rows; no attribute has a value of its own, what a row shows is what the engine does.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "scsi/logical_unit_state.h"
#include "scsi/unit_attention.h"
#include "target/backstore.h"

namespace olio::target {

enum class AttributeType : std::uint8_t {
    boolean,  // read as the kernel reads it: 1 y t on, 0 n f off; the first letters decide
    number,   // 32 bits; decimal, 0x hexadecimal, or octal with a leading 0
};

enum class AttributeAccess : std::uint8_t {
    any_time,
    while_not_exported,  // EINVAL while a LUN of a target is this logical unit
    ignored,             // any text is taken, and nothing comes of it
    read_only,
};

// What a row reads.
struct AttributeSource {
    const scsi::LogicalUnitState& state;
    const StoreCapabilities& capabilities;
};

// What a row changes: the next state, at the logical unit's home shard. `store` is for what only
// the backing store can do; it may block for a moment.
struct AttributeTarget {
    scsi::LogicalUnitState& state;
    const StoreCapabilities& capabilities;
    Backstore& store;
    const std::string& unit_name;
    // Set by pi_prot_format: every tuple is to become FFh. That may take long, and is left to who
    // sets the attribute.
    bool format_protection = false;
};

struct Attribute {
    std::string_view name;
    AttributeType type;
    AttributeAccess access;
    std::uint32_t minimum;
    std::uint32_t maximum;
    // The value under LIO before anything is configured; empty: it follows from the backing store.
    std::string_view lio_default;
    std::string_view help;
    std::uint32_t (*get)(const AttributeSource&);
    // Null where nothing can change. The value lies within the range. EINVAL or ENOSYS with a
    // message where this logical unit cannot have it.
    Result<void> (*set)(AttributeTarget&, std::uint32_t value);
    // What hosts are told when it has changed.
    std::optional<scsi::UnitAttention> attention;
};

// In the order of their names.
[[nodiscard]] std::span<const Attribute> attributes() noexcept;
// ENOENT with a message where there is none of that name.
[[nodiscard]] Result<const Attribute*> find_attribute(std::string_view name);

// As the kernel reads it (kstrtobool, kstrtou32): EINVAL, or ERANGE for a number of more than 32
// bits. One line end at the end is taken.
[[nodiscard]] Result<std::uint32_t> parse_attribute_value(const Attribute& attribute,
                                                          std::string_view text);

// Sets one attribute. With `exported`, those that cannot change then are EINVAL. EACCES: read-only.
[[nodiscard]] Result<void> set_attribute(AttributeTarget& target, const Attribute& attribute,
                                         std::string_view text, bool exported);

}  // namespace olio::target
