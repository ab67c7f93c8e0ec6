// The vital product data pages (SPC-5 7.7, SBC-4 6.6): one row a page. INQUIRY, the page that lists
// the pages and the manual read the table.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/bytes.h"

namespace olio::scsi {

struct Request;

struct VpdPage {
    std::uint8_t code;
    std::string_view name;
    std::string_view clause;    // of the standard, for the manual
    bool without_logical_unit;  // answered with peripheral qualifier 011b as well
    // Whether this logical unit has the page; null: always. Request::state is not null.
    bool (*present)(const Request&);
    // Puts what follows the four bytes of the header. Request::state is null only where
    // `without_logical_unit` is set.
    void (*put)(const Request&, Builder&);
};

// In ascending order of their codes.
[[nodiscard]] std::span<const VpdPage> vpd_pages() noexcept;
[[nodiscard]] bool has_page(const Request& request, const VpdPage& page);

// The pages of SBC-4, in vpd_block_pages.cc.
void put_block_limits(const Request& request, Builder& into);
void put_block_device_characteristics(const Request& request, Builder& into);
void put_logical_block_provisioning(const Request& request, Builder& into);
void put_referrals(const Request& request, Builder& into);
void put_supported_block_lengths(const Request& request, Builder& into);
void put_block_limits_extension(const Request& request, Builder& into);

}  // namespace olio::scsi
