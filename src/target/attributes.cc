#include "target/attributes.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <limits>

#include "base/limits.h"

namespace olio::target {

namespace {

using enum AttributeAccess;
using enum AttributeType;
using scsi::UnitAttention;
using Source = const AttributeSource&;
using Target = AttributeTarget&;

constexpr std::uint32_t any_number = std::numeric_limits<std::uint32_t>::max();

std::uint32_t clip(std::uint64_t value) {
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(value, any_number));
}

std::unexpected<Error> cannot(int code, const AttributeTarget& target, std::string_view why) {
    return fail(code, fmt::format("{}: {}", target.store.description(), why));
}

// Rows that show a constant: what LIO has as a switch and this engine always does one way.
template <std::uint32_t Value>
std::uint32_t always(Source) {
    return Value;
}

// The only value that there is; another is ENOSYS, as with LIO.
template <std::uint32_t Value>
Result<void> only(Target target, std::uint32_t value) {
    if (value == Value)
        return {};
    return cannot(ENOSYS, target, fmt::format("this cannot be other than {}", Value));
}

template <auto Member>
std::uint32_t get_setting(Source from) {
    return static_cast<std::uint32_t>(from.state.settings.*Member);
}
template <auto Member>
Result<void> set_setting(Target target, std::uint32_t value) {
    using Type = std::remove_cvref_t<decltype(target.state.settings.*Member)>;
    target.state.settings.*Member = static_cast<Type>(value);
    return {};
}

Result<void> set_session_identifiers(Target target, std::uint32_t value) {
    target.state.settings.enforce_session_identifiers = value != 0;
    auto next =
        std::make_shared<scsi::PersistentReservations>(*target.state.reservations.persistent);
    next->any_session = value == 0;
    target.state.reservations.set(std::move(next));
    return {};
}

template <auto Member>
std::uint32_t get_thin(Source from) {
    return clip(from.state.provisioning.*Member);
}
template <auto Member>
Result<void> set_thin(Target target, std::uint32_t value) {
    target.state.provisioning.*Member = value;
    return {};
}

// ---- Identity ----

Result<void> set_model_alias(Target target, std::uint32_t value) {
    target.state.settings.model_alias = value != 0;
    target.state.identification.product =
        value != 0 ? target.unit_name.substr(0, 16) : target.store.identification().product;
    return {};
}

// ---- The cache ----

std::uint32_t get_fua_write(Source from) {
    return from.state.fua_supported ? 1 : 0;
}
Result<void> set_fua_write(Target target, std::uint32_t value) {
    target.state.fua_supported = value != 0;
    return {};
}

std::uint32_t get_write_cache(Source from) {
    return from.state.mode_pages.write_cache_enabled ? 1 : 0;
}
Result<void> set_write_cache(Target target, std::uint32_t value) {
    const bool wanted = value != 0;
    if (wanted == target.state.mode_pages.write_cache_enabled)
        return {};
    if (!target.state.mode_pages.write_cache_changeable)
        return cannot(EINVAL, target, "its write cache cannot be switched");
    OLIO_TRY(target.store.set_volatile_cache(wanted));
    target.state.mode_pages.write_cache_enabled = wanted;
    target.state.default_mode_pages.write_cache_enabled = wanted;
    return {};
}

// ---- The control mode page ----

std::uint32_t get_task_aborted(Source from) {
    return from.state.mode_pages.task_aborted_status ? 1 : 0;
}
Result<void> set_task_aborted(Target target, std::uint32_t value) {
    target.state.mode_pages.task_aborted_status = value != 0;
    target.state.default_mode_pages.task_aborted_status = value != 0;
    return {};
}

// 0, 1, 2 are UA_INTLCK_CTRL = 00b, 10b, 11b.
std::uint32_t get_interlock(Source from) {
    const std::uint32_t control = from.state.mode_pages.unit_attention_interlock;
    return control == 0 ? 0 : control - 1;
}
Result<void> set_interlock(Target target, std::uint32_t value) {
    const auto control = static_cast<std::uint8_t>(value == 0 ? 0 : value + 1);
    target.state.mode_pages.unit_attention_interlock = control;
    target.state.default_mode_pages.unit_attention_interlock = control;
    return {};
}

// ---- Commands ----

std::uint32_t get_compare_and_write(Source from) {
    return from.state.maximum_compare_and_write_blocks != 0 ? 1 : 0;
}
Result<void> set_compare_and_write(Target target, std::uint32_t value) {
    target.state.maximum_compare_and_write_blocks =
        value != 0 ? limits::compare_and_write_blocks : 0;
    return {};
}

// ---- Thin provisioning ----

template <bool scsi::Provisioning::* Member>
Result<void> set_unmap(Target target, std::uint32_t value) {
    if (value != 0 && target.capabilities.unmap != Support::native)
        return cannot(ENOSYS, target, "it cannot give up blocks");
    target.state.provisioning.*Member = value != 0;
    return {};
}

Result<void> set_zeroes_data(Target target, std::uint32_t value) {
    if (value != 0 && !target.capabilities.unmapped_reads_zeros)
        return cannot(ENOSYS, target, "blocks that are given up do not read as zeros there");
    target.state.provisioning.unmapped_reads_zeros = value != 0;
    return {};
}

Result<void> set_unmap_descriptors(Target target, std::uint32_t value) {
    // As many as a command has room for, if it is all the same.
    target.state.provisioning.maximum_unmap_descriptors =
        value != 0 ? value : limits::unmap_descriptors;
    return {};
}

Result<void> set_alignment(Target target, std::uint32_t value) {
    const std::uint32_t granularity = target.state.provisioning.granularity_blocks;
    if (granularity != 0 && value >= granularity)
        return cannot(EINVAL, target,
                      fmt::format("an alignment of {} is not below the granularity of {} blocks",
                                  value, granularity));
    target.state.provisioning.alignment_blocks = value;
    return {};
}

// ---- The medium ----

std::uint32_t get_non_rotating(Source from) {
    return from.state.geometry.rotation_rate == 1 ? 1 : 0;
}
Result<void> set_non_rotating(Target target, std::uint32_t value) {
    target.state.geometry.rotation_rate = value != 0 ? 1 : 0;
    return {};
}

std::uint32_t get_block_bytes(Source from) {
    return from.state.geometry.block_bytes;
}
Result<void> set_block_bytes(Target target, std::uint32_t value) {
    if (value != target.state.geometry.block_bytes)
        return cannot(EINVAL, target,
                      fmt::format("it was opened with blocks of {} bytes; open it with the block "
                                  "size that you want",
                                  target.state.geometry.block_bytes));
    return {};
}

std::uint32_t get_maximum_transfer(Source from) {
    return from.state.maximum_transfer_blocks;
}
std::uint32_t get_optimal_transfer(Source from) {
    const std::uint32_t optimal = from.state.geometry.optimal_transfer_blocks;
    return optimal != 0 ? optimal : from.state.maximum_transfer_blocks;
}
Result<void> set_optimal_transfer(Target target, std::uint32_t value) {
    if (value > target.state.maximum_transfer_blocks)
        return cannot(EINVAL, target,
                      fmt::format("more than the {} blocks of hw_max_sectors",
                                  target.state.maximum_transfer_blocks));
    target.state.geometry.optimal_transfer_blocks = value;
    return {};
}

// ---- Protection information ----

std::uint32_t get_protection_type(Source from) {
    return from.state.protection.type;
}
// As with LIO: in force at once, and the tuples stay what they are until they are formatted.
Result<void> set_protection_type(Target target, std::uint32_t value) {
    if (value != 0 && target.capabilities.protection != Support::native)
        return cannot(ENOSYS, target, "it keeps no protection information");
    target.state.protection.type = static_cast<std::uint8_t>(value);
    target.state.settings.verify_protection = true;
    return {};
}
Result<void> set_protection_format(Target target, std::uint32_t value) {
    if (value == 0)
        return {};
    if (target.capabilities.protection != Support::native)
        return cannot(ENOSYS, target, "it keeps no protection information");
    if (target.state.protection.type == 0)
        return cannot(ENODEV, target, "its pi_prot_type is 0: there is nothing to format");
    target.format_protection = true;
    return {};
}

std::uint32_t get_protection_verify(Source from) {
    return from.state.protection.type != 0 && from.state.settings.verify_protection ? 1 : 0;
}
// Without protection information it stays 0, and that is no error, as with LIO.
Result<void> set_protection_verify(Target target, std::uint32_t value) {
    if (target.state.protection.type != 0)
        target.state.settings.verify_protection = value != 0;
    return {};
}

using Settings = scsi::UnitSettings;
using Thin = scsi::Provisioning;

constexpr auto inquiry_changed = UnitAttention::inquiry_data_changed;
constexpr auto mode_changed = UnitAttention::mode_parameters_changed;

// What a value can be.
struct Range {
    AttributeType type;
    std::uint32_t least;
    std::uint32_t most;
};
constexpr Range flag{boolean, 0, 1};
constexpr Range between(std::uint32_t least, std::uint32_t most) {
    return {number, least, most};
}
constexpr Range up_to(std::uint32_t most) {
    return between(0, most);
}

// Where it is.
struct Value {
    decltype(Attribute::get) get;
    decltype(Attribute::set) set;
};
template <auto Member>
constexpr Value setting{get_setting<Member>, set_setting<Member>};
template <auto Member>
constexpr Value thin{get_thin<Member>, set_thin<Member>};
template <std::uint32_t Only>
constexpr Value fixed{always<Only>, only<Only>};
constexpr Value shown(decltype(Attribute::get) get) {
    return {get, nullptr};
}

constexpr Attribute row(std::string_view name, Range range, AttributeAccess access,
                        std::string_view lio_default, std::string_view help, Value value,
                        std::optional<UnitAttention> attention = std::nullopt) {
    return {.name = name,
            .type = range.type,
            .access = access,
            .minimum = range.least,
            .maximum = range.most,
            .lio_default = lio_default,
            .help = help,
            .get = value.get,
            .set = value.set,
            .attention = attention};
}

constexpr std::array rows{
    row("alua_support", flag, any_time, "1",
        "Asymmetric logical unit access (target port groups) is there.", fixed<1>),
    row("block_size", between(512, 4096), while_not_exported, "512",
        "Bytes in a logical block: 512, 1024, 2048 or 4096. Chosen when the backing store is "
        "opened.",
        Value{get_block_bytes, set_block_bytes}),
    row("emulate_3pc", flag, any_time, "1",
        "Third-party copy: EXTENDED COPY and its relatives exist, INQUIRY says 3PC.",
        setting<&Settings::third_party_copy>, inquiry_changed),
    row("emulate_caw", flag, any_time, "1", "COMPARE AND WRITE exists.",
        Value{get_compare_and_write, set_compare_and_write}, inquiry_changed),
    row("emulate_dpo", flag, ignored, "1",
        "DPO is accepted. What is written here is taken and has no effect, as with LIO.",
        shown(always<1>)),
    row("emulate_fua_read", flag, ignored, "1",
        "FUA of READ is honoured. What is written here is taken and has no effect, as with "
        "LIO.",
        shown(always<1>)),
    row("emulate_fua_write", flag, any_time, "1",
        "MODE SENSE says DPOFUA: hosts may ask for single durable writes. FUA is honoured "
        "whether it says so or not.",
        Value{get_fua_write, set_fua_write}, mode_changed),
    row("emulate_model_alias", flag, while_not_exported, "0",
        "The product identification of INQUIRY is the disk's name instead of the kind of "
        "backing store.",
        Value{get_setting<&Settings::model_alias>, set_model_alias}, inquiry_changed),
    row("emulate_pr", flag, any_time, "1",
        "Reservations exist: PERSISTENT RESERVE IN and OUT, RESERVE and RELEASE.",
        setting<&Settings::reservations>),
    row("emulate_rest_reord", flag, any_time, "0",
        "Restricted reordering (QUEUE ALGORITHM MODIFIER 0h): not there, as with LIO.", fixed<0>),
    row("emulate_rsoc", flag, any_time, "1",
        "REPORT SUPPORTED OPERATION CODES exists (Linux 6.12).",
        setting<&Settings::operation_code_report>),
    row("emulate_tas", flag, while_not_exported, "1",
        "TAS of the Control mode page: a command that another nexus aborts ends with TASK "
        "ABORTED.",
        Value{get_task_aborted, set_task_aborted}, mode_changed),
    row("emulate_tpu", flag, any_time, "0",
        "UNMAP exists. On by itself where the backing store can give up blocks.",
        Value{get_thin<&Thin::unmap>, set_unmap<&Thin::unmap>}, inquiry_changed),
    row("emulate_tpws", flag, any_time, "0",
        "WRITE SAME takes UNMAP = 1. On by itself where the backing store can give up blocks.",
        Value{get_thin<&Thin::write_same_unmap>, set_unmap<&Thin::write_same_unmap>},
        inquiry_changed),
    row("emulate_ua_intlck_ctrl", up_to(2), while_not_exported, "0",
        "UA_INTLCK_CTRL of the Control mode page: 0 a unit attention is cleared when it is "
        "reported, 1 only REQUEST SENSE clears it, 2 and refusals establish one.",
        Value{get_interlock, set_interlock}, mode_changed),
    row("emulate_write_cache", flag, any_time, "0",
        "WCE of the Caching mode page. It says what the backing store does: switching it "
        "switches the store.",
        Value{get_write_cache, set_write_cache}, mode_changed),
    row("enforce_pr_isids", flag, any_time, "1",
        "A registration without an iSCSI session identifier (by SPEC_I_PT or REGISTER AND MOVE "
        "with "
        "the name of a device, or from the APTPL file) is nobody's; with 0 it is that of every "
        "session of the device.",
        Value{get_setting<&Settings::enforce_session_identifiers>, set_session_identifiers}),
    row("force_pr_aptpl", flag, while_not_exported, "0",
        "Every persistent reservation outlives a loss of power, as if APTPL had been asked "
        "for.",
        setting<&Settings::force_aptpl>),
    row("hw_block_size", up_to(any_number), read_only, "", "Bytes in a block of the backing store.",
        shown(get_block_bytes)),
    row("hw_max_sectors", up_to(any_number), read_only, "", "Most blocks that one command moves.",
        shown(get_maximum_transfer)),
    row("hw_pi_prot_type", up_to(3), read_only, "0",
        "Type of protection information that a device below keeps by itself: always none.",
        shown(always<0>)),
    row("hw_queue_depth", up_to(any_number), read_only, "", "Most commands of one nexus at a time.",
        shown(always<limits::commands_per_nexus>)),
    row("is_nonrot", flag, any_time, "", "The medium does not rotate (MEDIUM ROTATION RATE 1).",
        Value{get_non_rotating, set_non_rotating}, inquiry_changed),
    row("max_unmap_block_desc_count", up_to(limits::unmap_descriptors), any_time, "",
        "Most descriptors of one UNMAP; 0: as many as there can be.",
        Value{get_thin<&Thin::maximum_unmap_descriptors>, set_unmap_descriptors}, inquiry_changed),
    row("max_unmap_lba_count", up_to(any_number), any_time, "",
        "Most blocks of one UNMAP; 0: no limit.", thin<&Thin::maximum_unmap_blocks>,
        inquiry_changed),
    row("max_write_same_len", up_to(any_number), any_time, "",
        "Most blocks of one WRITE SAME; 0: no limit.", thin<&Thin::maximum_write_same_blocks>,
        inquiry_changed),
    row("optimal_sectors", up_to(any_number), while_not_exported, "",
        "Blocks that are best moved by one command, at most hw_max_sectors.",
        Value{get_optimal_transfer, set_optimal_transfer}, inquiry_changed),
    row("pgr_support", flag, any_time, "1", "Persistent reservations are there.", fixed<1>),
    row("pi_prot_format", flag, while_not_exported, "0",
        "1 makes all protection information FFh, which switches checks off until the blocks are "
        "written again. Shows 0, as with LIO.",
        Value{always<0>, set_protection_format}),
    row("pi_prot_type", up_to(3), while_not_exported, "0",
        "Type of protection information of the medium; 0: none. Hosts choose it by FORMAT UNIT.",
        Value{get_protection_type, set_protection_type}, UnitAttention::capacity_data_changed),
    row("pi_prot_verify", flag, while_not_exported, "0",
        "Protection information that travels with the data (a PROTECT field other than 000b) is "
        "checked. 1 as soon as pi_prot_type is not 0. What is made and stripped here is always "
        "checked.",
        Value{get_protection_verify, set_protection_verify}, inquiry_changed),
    row("queue_depth", between(1, limits::commands_per_nexus), while_not_exported, "",
        "Commands that the logical unit is said to take at a time. Nexuses have limits of "
        "their own; this one is shown only, as with LIO.",
        setting<&Settings::queue_depth>),
    row("submit_type", up_to(2), any_time, "0",
        "How commands reach the backing store (Linux 6.12: 0 as the fabric likes, 1 at once, "
        "2 by a work queue). Kept; here they always go at once.",
        setting<&Settings::submit_type>),
    row("unmap_granularity", up_to(any_number), any_time, "",
        "Blocks in which UNMAP gives up space best.", thin<&Thin::granularity_blocks>,
        inquiry_changed),
    row("unmap_granularity_alignment", up_to(any_number), any_time, "",
        "The first block with which such a unit begins.",
        Value{get_thin<&Thin::alignment_blocks>, set_alignment}, inquiry_changed),
    row("unmap_zeroes_data", flag, while_not_exported, "",
        "Blocks that were given up read as zeros (LBPRZ).",
        Value{get_thin<&Thin::unmapped_reads_zeros>, set_zeroes_data}, inquiry_changed),
};

constexpr bool rows_are_sound() {
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const bool settable = rows[i].access == any_time || rows[i].access == while_not_exported;
        if (rows[i].get == nullptr || rows[i].help.empty() ||
            settable != (rows[i].set != nullptr) || (i != 0 && rows[i - 1].name >= rows[i].name))
            return false;
    }
    return true;
}
static_assert(rows_are_sound(), "rows are sorted, and what can be set has a setter");

// The kernel's kstrtobool().
std::optional<std::uint32_t> parse_boolean(std::string_view text) {
    const auto at = [&](std::size_t i) { return i < text.size() ? text[i] : '\0'; };
    switch (at(0)) {
        case 'y':
        case 'Y':
        case 't':
        case 'T':
        case '1':
            return 1;
        case 'n':
        case 'N':
        case 'f':
        case 'F':
        case '0':
            return 0;
        case 'o':
        case 'O':
            if (at(1) == 'n' || at(1) == 'N')
                return 1;
            if (at(1) == 'f' || at(1) == 'F')
                return 0;
            break;
        default:
            break;
    }
    return std::nullopt;
}

Result<std::uint32_t> parse_number(const Attribute& attribute, std::string_view text) {
    std::string_view digits = text;
    if (digits.ends_with('\n'))
        digits.remove_suffix(1);
    if (digits.starts_with('+'))
        digits.remove_prefix(1);
    int base = 10;
    if (digits.starts_with("0x") || digits.starts_with("0X")) {
        base = 16;
        digits.remove_prefix(2);
    } else if (digits.size() > 1 && digits.starts_with('0')) {
        base = 8;
        digits.remove_prefix(1);
    }
    std::uint32_t value = 0;
    const char* const end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, value, base);
    if (error == std::errc::result_out_of_range && stop == end)
        return fail(ERANGE, fmt::format("{}: {} has more than 32 bits", attribute.name, digits));
    if (error != std::errc() || stop != end)
        return fail(EINVAL, fmt::format("{}: '{}' is not a number", attribute.name, text));
    return value;
}

}  // namespace

std::span<const Attribute> attributes() noexcept {
    return rows;
}

Result<const Attribute*> find_attribute(std::string_view name) {
    const auto row = std::ranges::lower_bound(rows, name, {}, &Attribute::name);
    if (row == rows.end() || row->name != name)
        return fail(ENOENT,
                    fmt::format("there is no attribute '{}'; 'olio attributes' lists them", name));
    return &*row;
}

Result<std::uint32_t> parse_attribute_value(const Attribute& attribute, std::string_view text) {
    if (attribute.type == number)
        return parse_number(attribute, text);
    const auto value = parse_boolean(text);
    if (!value)
        return fail(EINVAL, fmt::format("{}: '{}' is neither 1 nor 0", attribute.name, text));
    return *value;
}

Result<void> set_attribute(AttributeTarget& target, const Attribute& attribute,
                           std::string_view text, bool exported) {
    if (attribute.access == ignored)
        return {};
    if (attribute.access == read_only)
        return fail(EACCES, fmt::format("{} can only be read", attribute.name));
    const auto value = parse_attribute_value(attribute, text);
    if (!value)
        return std::unexpected(value.error());
    if (*value < attribute.minimum || *value > attribute.maximum)
        return fail(EINVAL, fmt::format("{}: {} is not within {} and {}", attribute.name, *value,
                                        attribute.minimum, attribute.maximum));
    if (exported && attribute.access == while_not_exported)
        return fail(EINVAL, fmt::format("{} cannot change while the disk is exported; give it "
                                        "when the disk is made: {}={} among its options",
                                        attribute.name, attribute.name, *value));
    if (const auto set = attribute.set(target, *value); !set)
        return fail(set.error().code,
                    fmt::format("{} = {}: {}", attribute.name, *value, set.error().message));
    return {};
}

}  // namespace olio::target
