// The mode pages (SPC-5 7.5, SBC-4 6.5) as two tables: the pages with the bytes that never change,
// and the fields that come from ModePages. MODE SENSE, MODE SELECT and the manual read them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/bytes.h"
#include "scsi/mode_pages.h"

namespace olio::scsi {

inline constexpr std::size_t longest_mode_page_bytes = 1040;
using ModePageBytes = std::array<std::uint8_t, longest_mode_page_bytes>;

struct ModePage {
    static constexpr std::uint8_t code_mask = 0x3F;
    static constexpr std::uint8_t subpage_format = 0x40;  // SPF
    static constexpr std::uint8_t savable_bit = 0x80;     // PS

    std::uint8_t code;
    std::uint8_t subpage;
    std::uint16_t bytes;  // with its header
    std::string_view name;
    std::string_view clause;
    std::array<std::uint8_t, 40> constant;  // how it begins; zeros follow
    // Whether this logical unit has the page; null: always.
    bool (*present)(const LogicalUnitState&) = nullptr;
    // Sets bytes that MODE SELECT never changes and that follow from elsewhere; null: none.
    void (*fill)(const Request&, ModePageBytes&) = nullptr;

    [[nodiscard]] constexpr std::size_t header_bytes() const {
        return (constant[0] & subpage_format) != 0 ? 4 : 2;
    }
};

enum class Changeable : std::uint8_t {
    never,
    always,
    write_cache,  // where ModePages::write_cache_changeable says so
    protection,   // where ModePages::protection_changeable says so
};

// Where a value stands: `width` bits from bit `bit` of byte `byte` on, towards lower bits and
// higher bytes.
struct ModeField {
    std::string_view name;
    std::uint8_t code;
    std::uint8_t subpage;
    std::uint8_t byte;
    std::uint8_t bit;
    std::uint8_t width;
    Changeable change;
    std::uint16_t accepted;  // bit n: MODE SELECT may set the value n; 0: any value
    std::uint32_t (*get)(const ModePages&);
    void (*set)(ModePages&, std::uint32_t);

    [[nodiscard]] bool belongs_to(const ModePage& page) const {
        return code == page.code && subpage == page.subpage;
    }
    [[nodiscard]] bool changeable(const ModePages& values) const {
        return change == Changeable::always ||
               (change == Changeable::write_cache && values.write_cache_changeable) ||
               (change == Changeable::protection && values.protection_changeable);
    }
    [[nodiscard]] std::uint32_t load(const ModePageBytes& page) const;
    void store(ModePageBytes& page, std::uint32_t value) const;
};

// In ascending order of page and subpage codes.
[[nodiscard]] std::span<const ModePage> mode_pages_table() noexcept;
[[nodiscard]] std::span<const ModeField> mode_fields_table() noexcept;

// Whether a page has fields that can be changed, and so saved.
[[nodiscard]] bool savable(const ModePage& page) noexcept;

}  // namespace olio::scsi
