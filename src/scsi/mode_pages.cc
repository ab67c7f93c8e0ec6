#include "scsi/mode_pages.h"

#include <algorithm>
#include <array>
#include <limits>

#include "scsi/data_in.h"
#include "scsi/logical_unit_state.h"
#include "scsi/mode_page_table.h"
#include "scsi/sense_codes.h"

namespace olio::scsi {

namespace {

constexpr std::uint8_t all_pages = 0x3F;
constexpr std::uint8_t all_subpages = 0xFF;

// The bytes that come from the table and from the values.
ModePageBytes page_of_values(const ModePage& page, const ModePages& values) {
    ModePageBytes bytes{};
    std::ranges::copy(page.constant, bytes.begin());
    for (const ModeField& field : mode_fields_table())
        if (field.belongs_to(page))
            field.store(bytes, field.get(values));
    return bytes;
}

ModePageBytes page_of_values(const Request& request, const ModePage& page,
                             const ModePages& values) {
    ModePageBytes bytes = page_of_values(page, values);
    if (page.fill != nullptr)
        page.fill(request, bytes);
    return bytes;
}

// The header, and a one for each bit that MODE SELECT may change.
ModePageBytes changeable_mask(const ModePage& page, const ModePages& values) {
    ModePageBytes bytes{};
    std::copy_n(page.constant.begin(), page.header_bytes(), bytes.begin());
    for (const ModeField& field : mode_fields_table())
        if (field.belongs_to(page) && field.changeable(values))
            field.store(bytes, ~std::uint32_t{0});
    return bytes;
}

bool has_page(const LogicalUnitState& state, const ModePage& page) {
    return page.present == nullptr || page.present(state);
}

// A write cache that cannot be switched is as it is.
ModePages with_real_cache(ModePages values, const LogicalUnitState& state) {
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

void put_page(const Request& request, const ModePage& page, PageControl control, Builder& into) {
    const LogicalUnitState& state = *request.state;
    ModePageBytes bytes;
    switch (control) {
        case PageControl::changeable:
            bytes = changeable_mask(page, state.mode_pages);
            break;
        case PageControl::defaults:
            bytes = page_of_values(request, page, with_real_cache(state.default_mode_pages, state));
            break;
        case PageControl::saved:
            bytes = page_of_values(
                request, page,
                with_real_cache(state.saved_mode_pages.value_or(state.default_mode_pages), state));
            break;
        case PageControl::current:
            bytes = page_of_values(request, page, state.mode_pages);
            break;
    }
    if (state.mode_pages_savable && savable(page))
        bytes[0] |= ModePage::savable_bit;
    into.bytes(Bytes(bytes.data(), page.bytes));
}

// Whether the page is asked for (SPC-5 table 200).
bool selected(const LogicalUnitState& state, const ModePage& page, std::uint8_t code,
              std::uint8_t subpage) {
    return (code == all_pages || code == page.code) &&
           (subpage == all_subpages || subpage == page.subpage) && has_page(state, page);
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

const ModePage* find_page(const LogicalUnitState& state, std::uint8_t code, std::uint8_t subpage) {
    for (const ModePage& page : mode_pages_table())
        if (page.code == code && page.subpage == subpage && has_page(state, page))
            return &page;
    return nullptr;
}

// What can be changed, taken from a page into `values`.
void take_fields(const ModePage& page, const ModePageBytes& bytes, ModePages& values) {
    for (const ModeField& field : mode_fields_table())
        if (field.belongs_to(page) && field.changeable(values))
            field.set(values, field.load(bytes));
}

bool accepts(const ModeField& field, std::uint32_t value) {
    return field.accepted == 0 || (value < 16 && (field.accepted >> value & 1) != 0);
}

// The header of a page at `at`, checked: the page, and how many bytes it has.
std::expected<const ModePage*, SenseData> check_page_header(const Request& request, Bytes list,
                                                            std::size_t at) {
    const Bytes rest = list.subspan(at);
    if (rest.size() < 2)
        return list_too_short();
    if ((rest[0] & ModePage::savable_bit) != 0)  // PS, which only MODE SENSE has
        return wrong_at(at, std::uint8_t{7});
    const bool long_header = (rest[0] & ModePage::subpage_format) != 0;
    if (long_header && rest.size() < 4)
        return list_too_short();
    const std::uint8_t code = rest[0] & ModePage::code_mask;
    const LogicalUnitState& state = *request.state;
    const ModePage* page = find_page(state, code, long_header ? rest[1] : std::uint8_t{0});
    if (page == nullptr && long_header && find_page(state, code, 0) != nullptr)
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
    return page;
}

// Takes one page at `at` into `values`; returns where the next one begins.
std::expected<std::size_t, SenseData> select_page(const Request& request, Bytes list,
                                                  std::size_t at, ModePages& values) {
    const auto found = check_page_header(request, list, at);
    if (!found)
        return std::unexpected(found.error());
    const ModePage& page = **found;
    ModePageBytes given{};
    std::copy_n(list.data() + at, page.bytes, given.begin());
    const ModePageBytes now = page_of_values(request, page, values);
    const ModePageBytes mask = changeable_mask(page, values);
    for (std::size_t i = page.header_bytes(); i < page.bytes; ++i) {
        const auto wrong =
            static_cast<std::uint8_t>((given[i] ^ now[i]) & static_cast<std::uint8_t>(~mask[i]));
        if (wrong != 0)
            return wrong_at(at + i, leftmost_bit(wrong));
    }
    for (const ModeField& field : mode_fields_table())
        if (field.belongs_to(page) && !accepts(field, field.load(given)))
            return wrong_at(at + field.byte, field.bit);
    take_fields(page, given, values);
    return at + page.bytes;
}

}  // namespace

std::expected<void, SenseData> mode_sense(const Request& request, Builder& into) {
    const LogicalUnitState& state = *request.state;
    const bool disable_block_descriptors = (request.cdb[1] & 0x08) != 0;        // DBD
    const bool long_lba = !is_6_byte_form(request) && (request.cdb[1] & 0x10);  // LLBAA
    const auto control = static_cast<PageControl>(request.cdb[2] >> 6);
    const std::uint8_t code = request.cdb[2] & ModePage::code_mask;
    const std::uint8_t subpage = request.cdb[3];
    if (control == PageControl::saved && !state.mode_pages_savable)
        return std::unexpected(make_sense(sense::saving_parameters_not_supported));
    if (code == all_pages && subpage != 0 && subpage != all_subpages)
        return std::unexpected(invalid_field_in_cdb(3));
    const auto pages = mode_pages_table();
    const bool code_known =
        code == all_pages || std::ranges::any_of(pages, [&](const ModePage& page) {
            return page.code == code && has_page(state, page);
        });
    if (!code_known)
        return std::unexpected(invalid_field_in_cdb(2, 5));
    if (std::ranges::none_of(
            pages, [&](const ModePage& page) { return selected(state, page, code, subpage); }))
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
    // MODE DATA LENGTH of the 6-byte form ends at 255 (SPC-5 7.5.5): pages that would go beyond are
    // for MODE SENSE(10).
    const std::size_t room = is_6_byte_form(request) ? 256 : 65536;
    for (const ModePage& page : pages)
        if (selected(state, page, code, subpage) && into.size() + page.bytes <= room)
            put_page(request, page, control, into);
    if (is_6_byte_form(request))
        into.patch(0, static_cast<std::uint8_t>(into.size() - 1));
    else
        into.patch(0, static_cast<std::uint16_t>(into.size() - 2));
    return {};
}

std::expected<ModePages, SenseData> mode_select(const Request& request, Bytes list) {
    ModePages values = request.state->mode_pages;
    if (mode_select_saves(request.cdb) && !request.state->mode_pages_savable)
        return std::unexpected(invalid_field_in_cdb(1, 0));
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
        at = select_page(request, list, *at, values);
        if (!at)
            return std::unexpected(at.error());
    }
    return values;
}

bool mode_select_saves(Bytes cdb) noexcept {
    return (cdb[1] & 0x01) != 0;
}

ModePages mode_pages_after_reset(const LogicalUnitState& state) {
    ModePages values = state.saved_mode_pages.value_or(state.default_mode_pages);
    values.write_cache_changeable = state.mode_pages.write_cache_changeable;
    values.write_cache_enabled = state.mode_pages.write_cache_enabled;
    return values;
}

std::vector<std::uint8_t> encode_saved_mode_pages(const ModePages& pages) {
    std::vector<std::uint8_t> bytes;
    for (const ModePage& page : mode_pages_table()) {
        if (!savable(page))
            continue;
        const ModePageBytes values = page_of_values(page, pages);
        bytes.insert(bytes.end(), values.begin(), values.begin() + page.bytes);
    }
    return bytes;
}

bool decode_saved_mode_pages(Bytes stored, const ModePages& defaults, ModePages& into) {
    into = defaults;
    Cursor list(stored);
    while (list.remaining() != 0) {
        const Bytes rest = stored.subspan(list.position());
        const bool long_header = (rest[0] & ModePage::subpage_format) != 0;
        if (rest.size() < (long_header ? 4U : 2U))
            return false;
        const std::size_t length =
            long_header ? load_be<std::uint16_t>(rest.data() + 2) + 4U : rest[1] + 2U;
        const std::uint8_t subpage = long_header ? rest[1] : std::uint8_t{0};
        const Bytes body = list.bytes(length);
        if (list.failed())
            return false;
        for (const ModePage& page : mode_pages_table()) {
            if (page.code != (rest[0] & ModePage::code_mask) || page.subpage != subpage ||
                page.bytes != length)
                continue;
            ModePageBytes bytes{};
            std::ranges::copy(body, bytes.begin());
            for (const ModeField& field : mode_fields_table())
                if (field.belongs_to(page) && field.changeable(into) &&
                    accepts(field, field.load(bytes)))
                    field.set(into, field.load(bytes));
        }
    }
    return true;
}

}  // namespace olio::scsi
