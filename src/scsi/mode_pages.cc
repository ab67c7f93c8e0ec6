#include "scsi/mode_pages.h"

#include <algorithm>
#include <array>
#include <limits>

#include "scsi/data_in.h"
#include "scsi/logical_unit_state.h"
#include "scsi/sense_codes.h"

namespace olio::scsi {

namespace {

constexpr std::uint8_t all_pages = 0x3F;
constexpr std::uint8_t all_subpages = 0xFF;
constexpr std::uint8_t page_code_mask = 0x3F;
constexpr std::uint8_t subpage_format = 0x40;  // SPF
constexpr std::size_t longest_page = 32;

using PageBytes = std::array<std::uint8_t, longest_page>;

// The bytes of a page that are the same everywhere and never change.
struct Page {
    std::uint8_t code;
    std::uint8_t subpage;
    std::uint8_t bytes;  // with its header
    PageBytes constant;

    [[nodiscard]] std::size_t header_bytes() const {
        return (constant[0] & subpage_format) != 0 ? 4 : 2;
    }
};

constexpr std::array<Page, 3> pages{{
    // Caching (SBC-4 6.5.5).
    {0x08, 0x00, 20, {0x08, 0x12}},
    // Control (SPC-5 7.5.10): GLTSD, no limit of the busy time.
    {0x0A, 0x00, 12, {0x0A, 0x0A, 0x02, 0, 0, 0, 0, 0, 0xFF, 0xFF}},
    // Control extension (SPC-5 7.5.11): MAXIMUM SENSE DATA LENGTH is not restricted.
    {0x0A, 0x01, 32, {0x4A, 0x01, 0x00, 0x1C}},
}};

enum class Change : std::uint8_t { never, always, write_cache };

// Where a value of ModePages stands: one bit, or a field of several.
struct BitField {
    std::uint8_t code;
    std::uint8_t subpage;
    std::uint8_t byte;
    std::uint8_t bit;
    bool ModePages::* value;
    Change change;
};
constexpr std::array<BitField, 5> bit_fields{{
    {0x08, 0x00, 2, 2, &ModePages::write_cache_enabled, Change::write_cache},
    {0x08, 0x00, 2, 0, &ModePages::read_cache_disabled, Change::never},
    {0x0A, 0x00, 2, 2, &ModePages::descriptor_sense, Change::always},
    {0x0A, 0x00, 4, 3, &ModePages::software_write_protect, Change::always},
    {0x0A, 0x00, 5, 6, &ModePages::task_aborted_status, Change::always},
}};

struct NumberField {
    std::uint8_t code;
    std::uint8_t subpage;
    std::uint8_t byte;
    std::uint8_t lowest_bit;
    std::uint8_t ModePages::* value;
};
constexpr std::array<NumberField, 2> number_fields{{
    {0x0A, 0x00, 2, 5, &ModePages::task_set_type},
    {0x0A, 0x00, 3, 4, &ModePages::queue_algorithm_modifier},
}};

template <class Field>
bool belongs(const Field& field, const Page& page) {
    return field.code == page.code && field.subpage == page.subpage;
}

bool changeable(const BitField& field, const ModePages& values) {
    return field.change == Change::always ||
           (field.change == Change::write_cache && values.write_cache_changeable);
}

PageBytes page_of_values(const Page& page, const ModePages& values) {
    PageBytes bytes = page.constant;
    for (const BitField& field : bit_fields)
        if (belongs(field, page) && values.*field.value)
            bytes[field.byte] |= static_cast<std::uint8_t>(1U << field.bit);
    for (const NumberField& field : number_fields)
        if (belongs(field, page))
            bytes[field.byte] |= static_cast<std::uint8_t>(values.*field.value << field.lowest_bit);
    return bytes;
}

// The header, and a one for each bit that MODE SELECT may change.
PageBytes changeable_mask(const Page& page, const ModePages& values) {
    PageBytes bytes{};
    std::copy_n(page.constant.begin(), page.header_bytes(), bytes.begin());
    for (const BitField& field : bit_fields)
        if (belongs(field, page) && changeable(field, values))
            bytes[field.byte] |= static_cast<std::uint8_t>(1U << field.bit);
    return bytes;
}

// What the logical unit would start with. A write cache that cannot be switched is as it is.
ModePages default_values(const LogicalUnitState& state) {
    ModePages values = state.default_mode_pages;
    values.write_cache_changeable = state.mode_pages.write_cache_changeable;
    if (!values.write_cache_changeable)
        values.write_cache_enabled = state.mode_pages.write_cache_enabled;
    return values;
}

// MODE SENSE and MODE SELECT have a header of 4 bytes in the 6-byte forms and of 8 in the others.
struct HeaderShape {
    std::size_t bytes;
    std::uint8_t device_specific_byte;
    std::uint8_t block_descriptor_length_byte;
};
constexpr HeaderShape header_of_6{4, 2, 3};
constexpr HeaderShape header_of_10{8, 3, 6};

bool is_6_byte_form(const Request& request) {
    return request.row.cdb_bytes == 6;
}

// ---- MODE SENSE ----

enum class PageControl : std::uint8_t { current, changeable, defaults, saved };

std::uint8_t device_specific_parameter(const LogicalUnitState& state) {  // SBC-4 6.5.1
    const bool write_protected = state.write_protected || state.mode_pages.software_write_protect;
    return static_cast<std::uint8_t>((write_protected ? 0x80 : 0x00) |
                                     (state.fua_supported ? 0x10 : 0x00));
}

void put_block_descriptor(const Geometry& geometry, bool long_form, Builder& into) {
    if (long_form) {  // SBC-4 6.5.2.3
        into.be64(geometry.blocks);
        into.be32(0);
        into.be32(geometry.block_bytes);
        return;
    }
    constexpr std::uint64_t largest = std::numeric_limits<std::uint32_t>::max();
    into.be32(static_cast<std::uint32_t>(std::min(geometry.blocks, largest)));
    into.u8(0);
    into.be24(geometry.block_bytes);
}

void put_page(const Page& page, PageControl control, const LogicalUnitState& state, Builder& into) {
    PageBytes bytes;
    if (control == PageControl::changeable)
        bytes = changeable_mask(page, state.mode_pages);
    else if (control == PageControl::defaults)
        bytes = page_of_values(page, default_values(state));
    else
        bytes = page_of_values(page, state.mode_pages);
    into.bytes(Bytes(bytes.data(), page.bytes));
}

// Whether the page is asked for (SPC-5 table 200).
bool selected(const Page& page, std::uint8_t code, std::uint8_t subpage) {
    return (code == all_pages || code == page.code) &&
           (subpage == all_subpages || subpage == page.subpage);
}

// ---- MODE SELECT ----

std::unexpected<SenseData> list_too_short() {
    return std::unexpected(make_sense(sense::parameter_list_length_error));
}

std::unexpected<SenseData> wrong_at(std::size_t byte,
                                    std::optional<std::uint8_t> bit = std::nullopt) {
    return std::unexpected(invalid_field_in_parameter_list(static_cast<std::uint16_t>(byte), bit));
}

std::uint8_t leftmost_bit(std::uint8_t bits) {
    return static_cast<std::uint8_t>(std::bit_width(bits) - 1);
}

// A block descriptor may repeat what is there, or leave the number of blocks to us (0, or all ones
// for as many as there are). Anything else would need FORMAT UNIT.
std::expected<void, SenseData> check_block_descriptor(Bytes list, std::size_t at, bool long_form,
                                                      const Geometry& geometry) {
    const std::uint8_t* descriptor = list.data() + at;
    const std::uint64_t blocks =
        long_form ? load_be<std::uint64_t>(descriptor) : load_be<std::uint32_t>(descriptor);
    const std::uint64_t largest = long_form ? std::numeric_limits<std::uint64_t>::max()
                                            : std::numeric_limits<std::uint32_t>::max();
    if (blocks != 0 && blocks != largest && blocks != geometry.blocks)
        return wrong_at(at);
    const std::uint32_t block_bytes =
        long_form ? load_be<std::uint32_t>(descriptor + 12) : load_be24(descriptor + 5);
    if (block_bytes != geometry.block_bytes)
        return wrong_at(at + (long_form ? 12 : 5));
    return {};
}

// Returns where the first page begins.
std::expected<std::size_t, SenseData> check_header(const Request& request, Bytes list) {
    const HeaderShape& shape = is_6_byte_form(request) ? header_of_6 : header_of_10;
    if (list.size() < shape.bytes)
        return list_too_short();
    const std::size_t medium_type_byte = shape.device_specific_byte - 1U;
    if (list[medium_type_byte] != 0)
        return wrong_at(medium_type_byte);
    const bool long_form = !is_6_byte_form(request) && (list[4] & 0x01) != 0;  // LONGLBA
    const std::size_t at = shape.block_descriptor_length_byte;
    const std::size_t length =
        is_6_byte_form(request) ? list[at] : load_be<std::uint16_t>(list.data() + at);
    const std::size_t descriptor_bytes = long_form ? 16 : 8;
    if (length == 0)
        return shape.bytes;
    if (length != descriptor_bytes)
        return wrong_at(at);
    if (list.size() - shape.bytes < length)
        return list_too_short();
    if (auto same = check_block_descriptor(list, shape.bytes, long_form, request.state->geometry);
        !same)
        return std::unexpected(same.error());
    return shape.bytes + length;
}

const Page* find_page(std::uint8_t code, std::uint8_t subpage) {
    for (const Page& page : pages)
        if (page.code == code && page.subpage == subpage)
            return &page;
    return nullptr;
}

// Takes one page at `at` into `values`; returns where the next one begins.
std::expected<std::size_t, SenseData> select_page(Bytes list, std::size_t at, ModePages& values) {
    const Bytes rest = list.subspan(at);
    if (rest.size() < 2)
        return list_too_short();
    constexpr std::uint8_t reserved_bit = 0x80;  // PS, which only MODE SENSE has
    if ((rest[0] & reserved_bit) != 0)
        return wrong_at(at, std::uint8_t{7});
    const bool long_header = (rest[0] & subpage_format) != 0;
    if (long_header && rest.size() < 4)
        return list_too_short();
    const std::uint8_t code = rest[0] & page_code_mask;
    const Page* page = find_page(code, long_header ? rest[1] : std::uint8_t{0});
    if (page == nullptr && long_header && find_page(code, 0) != nullptr)
        return wrong_at(at + 1);
    if (page == nullptr)
        return wrong_at(at, std::uint8_t{5});
    if (long_header != (page->header_bytes() == 4))
        return wrong_at(at, std::uint8_t{6});
    const std::size_t length =
        long_header ? load_be<std::uint16_t>(rest.data() + 2) + 4U : rest[1] + 2U;
    if (length != page->bytes)
        return wrong_at(at + (long_header ? 2 : 1));
    if (rest.size() < length)
        return list_too_short();

    const PageBytes now = page_of_values(*page, values);
    const PageBytes mask = changeable_mask(*page, values);
    for (std::size_t i = page->header_bytes(); i < length; ++i) {
        const auto wrong =
            static_cast<std::uint8_t>((rest[i] ^ now[i]) & static_cast<std::uint8_t>(~mask[i]));
        if (wrong != 0)
            return wrong_at(at + i, leftmost_bit(wrong));
    }
    for (const BitField& field : bit_fields)
        if (belongs(field, *page) && changeable(field, values))
            values.*field.value = (rest[field.byte] >> field.bit & 1) != 0;
    return at + length;
}

}  // namespace

std::expected<void, SenseData> mode_sense(const Request& request, Builder& into) {
    const LogicalUnitState& state = *request.state;
    const bool disable_block_descriptors = (request.cdb[1] & 0x08) != 0;        // DBD
    const bool long_lba = !is_6_byte_form(request) && (request.cdb[1] & 0x10);  // LLBAA
    const auto control = static_cast<PageControl>(request.cdb[2] >> 6);
    const std::uint8_t code = request.cdb[2] & page_code_mask;
    const std::uint8_t subpage = request.cdb[3];
    if (control == PageControl::saved)
        return std::unexpected(make_sense(sense::saving_parameters_not_supported));
    if (code == all_pages && subpage != 0 && subpage != all_subpages)
        return std::unexpected(invalid_field_in_cdb(3));
    const bool code_known = code == all_pages || std::ranges::any_of(pages, [&](const Page& p) {
                                return p.code == code;
                            });
    if (!code_known)
        return std::unexpected(invalid_field_in_cdb(2, 5));
    if (std::ranges::none_of(pages, [&](const Page& p) { return selected(p, code, subpage); }))
        return std::unexpected(invalid_field_in_cdb(3));

    const std::uint8_t descriptor_bytes = disable_block_descriptors ? 0 : long_lba ? 16 : 8;
    if (is_6_byte_form(request)) {
        into.be16(0);  // MODE DATA LENGTH, below; MEDIUM TYPE
        into.u8(device_specific_parameter(state));
        into.u8(descriptor_bytes);
    } else {
        into.be24(0);
        into.u8(device_specific_parameter(state));
        into.u8(descriptor_bytes == 16 ? 0x01 : 0x00);  // LONGLBA
        into.u8(0);
        into.be16(descriptor_bytes);
    }
    if (descriptor_bytes != 0)
        put_block_descriptor(state.geometry, long_lba, into);
    for (const Page& page : pages)
        if (selected(page, code, subpage))
            put_page(page, control, state, into);
    if (is_6_byte_form(request))
        into.patch(0, static_cast<std::uint8_t>(into.size() - 1));
    else
        into.patch(0, static_cast<std::uint16_t>(into.size() - 2));
    return {};
}

std::expected<ModePages, SenseData> mode_select(const Request& request, Bytes list) {
    ModePages values = request.state->mode_pages;
    if (list.empty())  // SPC-5 6.12: no error, nothing changes
        return values;
    auto at = check_header(request, list);
    if (!at)
        return std::unexpected(at.error());
    const bool page_format = (request.cdb[1] & 0x10) != 0;  // PF
    if (!page_format &&
        *at < list.size())  // what follows would be vendor specific, and we have none
        return std::unexpected(invalid_field_in_cdb(1, 4));
    while (*at < list.size()) {
        at = select_page(list, *at, values);
        if (!at)
            return std::unexpected(at.error());
    }
    return values;
}

}  // namespace olio::scsi
