// LOG SENSE (SPC-5 6.8): for now the pages that list the pages (7.3.15 and 7.3.16).
#include <array>

#include "scsi/data_in.h"
#include "scsi/logical_unit_state.h"
#include "scsi/sense_codes.h"

namespace olio::scsi {

namespace {

void put_supported_pages(Builder& into);
void put_supported_pages_and_subpages(Builder& into);

struct LogPage {
    std::uint8_t code;
    std::uint8_t subpage;
    void (*put)(Builder&);  // what follows the four bytes of the header
};

constexpr std::array<LogPage, 2> pages{{
    {0x00, 0x00, put_supported_pages},
    {0x00, 0xFF, put_supported_pages_and_subpages},
}};

void put_supported_pages(Builder& into) {
    for (const LogPage& page : pages)
        if (page.subpage == 0)
            into.u8(page.code);
}

void put_supported_pages_and_subpages(Builder& into) {
    for (const LogPage& page : pages) {
        into.u8(page.code);
        into.u8(page.subpage);
    }
}

}  // namespace

std::expected<void, SenseData> log_sense(const Request& request, Builder& into) {
    const std::uint8_t code = request.cdb[2] & 0x3F;
    const std::uint8_t subpage = request.cdb[3];
    bool code_known = false;
    for (const LogPage& page : pages) {
        code_known = code_known || page.code == code;
        if (page.code != code || page.subpage != subpage)
            continue;
        // These pages have no parameters, so there is none that PARAMETER POINTER could name.
        if (load_be<std::uint16_t>(request.cdb.data() + 5) != 0)
            return std::unexpected(invalid_field_in_cdb(5));
        constexpr std::uint8_t subpage_format = 0x40;
        into.u8(static_cast<std::uint8_t>(code | (subpage != 0 ? subpage_format : 0)));
        into.u8(subpage);
        into.be16(0);  // PAGE LENGTH, below
        page.put(into);
        into.patch(2, static_cast<std::uint16_t>(into.size() - 4));
        return {};
    }
    return std::unexpected(code_known ? invalid_field_in_cdb(3) : invalid_field_in_cdb(2, 5));
}

}  // namespace olio::scsi
