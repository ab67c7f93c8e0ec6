#include "scsi/mode_page_table.h"

#include <algorithm>
#include <type_traits>

#include "scsi/logical_unit_state.h"

namespace olio::scsi {

namespace {

constexpr std::size_t advice_header_bytes = 16;
constexpr std::size_t advice_descriptor_bytes = 16;
constexpr std::size_t advice_descriptors = 64;

// The protocol of the port through which the question came.
void fill_protocol(const Request& request, ModePageBytes& page) {
    const PortDescription* port = request.nexus.port;
    page[2] =
        static_cast<std::uint8_t>(port != nullptr ? port->protocol : ProtocolIdentifier::none);
}

// IO ADVICE HINTS MODE = 01b in each of the 64 group descriptors: no hints belong to the group.
void fill_advice(const Request&, ModePageBytes& page) {
    for (std::size_t i = 0; i < advice_descriptors; ++i)
        page[advice_header_bytes + i * advice_descriptor_bytes] = 0x40;
}

bool has_resources(const LogicalUnitState& state) {
    return state.provisioning.reports_resources;
}

constexpr std::array pages{
    // What the store corrects by itself, it does not tell: no bit is set.
    ModePage{0x01, 0, 12, "Read-Write Error Recovery", "SBC-4 6.5", {0x01, 0x0A}},
    ModePage{0x02, 0, 16, "Disconnect-Reconnect", "SPC-5 7.5", {0x02, 0x0E}},
    ModePage{0x08, 0, 20, "Caching", "SBC-4 6.5.5", {0x08, 0x12}},
    // GLTSD; no limit of the busy time.
    ModePage{
        0x0A, 0x00, 12, "Control", "SPC-5 7.5.10", {0x0A, 0x0A, 0x02, 0, 0, 0, 0, 0, 0xFF, 0xFF}},
    // TCMOS: the clock of the machine sets the timestamp; MAXIMUM SENSE DATA LENGTH is not
    // restricted.
    ModePage{0x0A, 0x01, 32, "Control Extension", "SPC-5 7.5.11", {0x4A, 0x01, 0x00, 0x1C, 0x04}},
    ModePage{0x0A,
             0x05,
             advice_header_bytes + advice_descriptors* advice_descriptor_bytes,
             "IO Advice Hints Grouping",
             "SBC-4 6.5",
             {0x4A, 0x05, 0x04, 0x0C},
             nullptr,
             fill_advice},
    ModePage{0x18,
             0,
             8,
             "Protocol Specific Logical Unit",
             "SPC-5 7.5",
             {0x18, 0x06},
             nullptr,
             fill_protocol},
    ModePage{
        0x19, 0, 8, "Protocol Specific Port", "SPC-5 7.5", {0x19, 0x06}, nullptr, fill_protocol},
    // No timers: power conditions change by START STOP UNIT alone, for nothing is saved by time.
    ModePage{0x1A, 0, 40, "Power Condition", "SPC-5 7.5", {0x1A, 0x26}},
    ModePage{0x1C, 0, 12, "Informational Exceptions Control", "SBC-4 6.5", {0x1C, 0x0A}},
    // SITUA = 0: every I_T nexus is warned. Two descriptors: available resources, armed as they
    // decrease, and used ones, armed as they increase.
    ModePage{0x1C,
             0x02,
             32,
             "Logical Block Provisioning",
             "SBC-4 6.5",
             {0x5C, 0x02, 0, 0x1C, 0,    0, 0, 0, 0, 0, 0, 0,    0,
              0,    0,    0, 0,    0x01, 0, 0, 0, 0, 0, 0, 0x01, 0x02},
             has_resources},
};

struct Place {
    std::uint8_t code;
    std::uint8_t subpage;
    std::uint8_t byte;
    std::uint8_t bit;
    std::uint8_t width;
};

template <auto Member>
constexpr ModeField field(std::string_view name, Place place, Changeable change,
                          std::uint16_t accepted = 0) {
    return {
        .name = name,
        .code = place.code,
        .subpage = place.subpage,
        .byte = place.byte,
        .bit = place.bit,
        .width = place.width,
        .change = change,
        .accepted = accepted,
        .get = [](const ModePages& values) { return static_cast<std::uint32_t>(values.*Member); },
        .set =
            [](ModePages& values, std::uint32_t value) {
                values.*Member = static_cast<std::remove_cvref_t<decltype(values.*Member)>>(value);
            }};
}

using enum Changeable;
constexpr std::array fields{
    field<&ModePages::write_cache_enabled>("WCE", {0x08, 0, 2, 2, 1}, write_cache),
    field<&ModePages::read_cache_disabled>("RCD", {0x08, 0, 2, 0, 1}, never),
    field<&ModePages::task_set_type>("TST", {0x0A, 0, 2, 7, 3}, never),
    field<&ModePages::protection_check_disabled>("DPICZ", {0x0A, 0, 2, 3, 1}, protection),
    field<&ModePages::descriptor_sense>("D_SENSE", {0x0A, 0, 2, 2, 1}, always),
    field<&ModePages::queue_algorithm_modifier>("QUEUE ALGORITHM MODIFIER", {0x0A, 0, 3, 7, 4},
                                                never),
    field<&ModePages::queue_error_management>("QERR", {0x0A, 0, 3, 2, 2}, always,
                                              1U << 0 | 1U << 1 | 1U << 3),
    field<&ModePages::unit_attention_interlock>("UA_INTLCK_CTRL", {0x0A, 0, 4, 5, 2}, always,
                                                1U << 0 | 1U << 2 | 1U << 3),
    field<&ModePages::software_write_protect>("SWP", {0x0A, 0, 4, 3, 1}, always),
    field<&ModePages::application_tag_owner>("ATO", {0x0A, 0, 5, 7, 1}, protection),
    field<&ModePages::task_aborted_status>("TAS", {0x0A, 0, 5, 6, 1}, always),
    field<&ModePages::timestamp_precedence>("SCSIP", {0x0A, 1, 4, 1, 1}, always),
    field<&ModePages::initial_command_priority>("INITIAL COMMAND PRIORITY", {0x0A, 1, 5, 3, 4},
                                                always),
    field<&ModePages::exceptions_disabled>("DEXCPT", {0x1C, 0, 2, 3, 1}, always),
    field<&ModePages::exception_test>("TEST", {0x1C, 0, 2, 2, 1}, always),
    field<&ModePages::exception_reporting>("MRIE", {0x1C, 0, 3, 3, 4}, always, 1U << 0 | 1U << 6),
    field<&ModePages::available_threshold_enabled>("ENABLED", {0x1C, 2, 16, 7, 1}, always),
    field<&ModePages::available_threshold>("THRESHOLD COUNT", {0x1C, 2, 20, 7, 32}, always),
    field<&ModePages::used_threshold_enabled>("ENABLED", {0x1C, 2, 24, 7, 1}, always),
    field<&ModePages::used_threshold>("THRESHOLD COUNT", {0x1C, 2, 28, 7, 32}, always),
};

constexpr bool pages_are_sound() {
    for (std::size_t i = 0; i < pages.size(); ++i) {
        const ModePage& page = pages[i];
        const bool long_header = page.header_bytes() == 4;
        const std::size_t length =
            long_header ? std::size_t{page.constant[2]} << 8 | page.constant[3] : page.constant[1];
        if ((page.constant[0] & ModePage::code_mask) != page.code ||
            long_header != (page.subpage != 0) ||
            (long_header && page.constant[1] != page.subpage) ||
            length + page.header_bytes() != page.bytes || page.bytes > longest_mode_page_bytes)
            return false;
        if (i != 0 &&
            (pages[i - 1].code << 8 | pages[i - 1].subpage) >= (page.code << 8 | page.subpage))
            return false;
    }
    return true;
}
static_assert(pages_are_sound(), "pages ascend, and their lengths are what their headers say");

constexpr bool fields_are_sound() {
    for (const ModeField& f : fields) {
        bool found = false;
        for (const ModePage& page : pages)
            found = found || (page.code == f.code && page.subpage == f.subpage &&
                              f.byte >= page.header_bytes() &&
                              f.byte * 8U + (7U - f.bit) + f.width <= page.bytes * 8U);
        if (!found || f.width == 0 || f.width > 32 || f.bit > 7)
            return false;
    }
    return true;
}
static_assert(fields_are_sound(), "every field lies behind the header of a page");

constexpr std::size_t bytes_of(const ModeField& f) {
    return (7U - f.bit + f.width + 7U) / 8;
}

}  // namespace

std::uint32_t ModeField::load(const ModePageBytes& page) const {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes_of(*this); ++i)
        value = value << 8 | page[byte + i];
    value >>= bytes_of(*this) * 8 - (7U - bit) - width;
    return static_cast<std::uint32_t>(value & ((std::uint64_t{1} << width) - 1));
}

void ModeField::store(ModePageBytes& page, std::uint32_t value) const {
    const std::size_t count = bytes_of(*this);
    const std::size_t shift = count * 8 - (7U - bit) - width;
    const std::uint64_t mask = ((std::uint64_t{1} << width) - 1) << shift;
    const std::uint64_t placed = std::uint64_t{value} << shift & mask;
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t down = (count - 1 - i) * 8;
        page[byte + i] =
            static_cast<std::uint8_t>((page[byte + i] & ~(mask >> down)) | (placed >> down & 0xFF));
    }
}

std::span<const ModePage> mode_pages_table() noexcept {
    return pages;
}

std::span<const ModeField> mode_fields_table() noexcept {
    return fields;
}

bool savable(const ModePage& page) noexcept {
    return std::ranges::any_of(fields, [&](const ModeField& f) {
        return f.belongs_to(page) && f.change != Changeable::never;
    });
}

}  // namespace olio::scsi
