#include "scsi/request_testing.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace olio::scsi::testing {

std::vector<std::uint8_t> hex(std::string_view text) {
    std::vector<std::uint8_t> bytes;
    std::string digits;
    for (const char c : text) {
        if (std::isxdigit(static_cast<unsigned char>(c)) == 0)
            continue;
        digits.push_back(c);
        if (digits.size() == 2) {
            bytes.push_back(static_cast<std::uint8_t>(std::stoul(digits, nullptr, 16)));
            digits.clear();
        }
    }
    return bytes;
}

std::string to_hex(Bytes bytes) {
    std::string text;
    for (const std::uint8_t byte : bytes)
        text += fmt::format("{}{:02x}", text.empty() ? "" : " ", byte);
    return text;
}

Asked::Asked() {
    state.identification.serial = "0123ABCD";
    state.identification.naa = {0x60, 0x01, 0x40, 0x5A, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    state.geometry.blocks = 0x10000;
    state.geometry.physical_block_exponent = 3;
    state.geometry.optimal_transfer_granularity = 8;
    state.geometry.optimal_transfer_blocks = 0x800;
    state.maximum_transfer_blocks = 0x4000;
    state.maximum_atomic_blocks = 0x80;
    state.block_erase = true;
    state.provisioning = {.unmap = true,
                          .write_same_unmap = true,
                          .unmapped_reads_zeros = true,
                          .granularity_blocks = 8,
                          .alignment_blocks = 0,
                          .maximum_unmap_blocks = 0x8000,
                          .maximum_unmap_descriptors = 4,
                          .maximum_write_same_blocks = 0xC000};
    state.mode_pages.write_cache_enabled = true;
    state.mode_pages.write_cache_changeable = true;
    state.default_mode_pages = state.mode_pages;
    port.relative_port = 1;
    port.port_name = "iqn.2024-01.example:disk,t,0x0001";
    port.device_name = "iqn.2024-01.example:disk";
    luns = {Lun::from_number(0), Lun::from_number(1), Lun::from_number(300)};
    nexus = {.id = 7, .port = &port, .luns = luns};
}

Asked::Answer Asked::ask(Bytes cdb, bool with_unit) const {
    const auto row = find_row(cdb);
    if (!row)
        return std::unexpected(row.error());
    if (auto usage = check_usage_with_protection(**row, cdb, state); !usage)
        return std::unexpected(usage.error());
    if (auto has = check_supported(**row, state); !has)
        return std::unexpected(has.error());
    if ((*row)->data_in == nullptr)
        return std::vector<std::uint8_t>{};
    const DecodedCdb decoded = decode(**row, cdb);
    const Request request{**row, cdb, decoded, with_unit ? &state : nullptr, nexus};
    const bool has_length = (*row)->allocation_bytes.bytes != 0;
    std::vector<std::uint8_t> data(
        has_length ? std::min<std::size_t>(decoded.allocation_bytes, 65536) : 64);
    Builder into(data);
    if (auto done = (*row)->data_in(request, into); !done)
        return std::unexpected(done.error());
    data.resize(into.written().size());
    return data;
}

std::string Asked::asked(std::string_view cdb, bool with_unit) const {
    const Answer answer = ask(cdb, with_unit);
    return answer ? to_hex(*answer) : describe(answer.error());
}

std::expected<ModePages, SenseData> Asked::select(std::string_view cdb, Bytes list) const {
    return try_handle(cdb, [&](const Request& request) { return mode_select(request, list); });
}

std::string describe(const SenseData& sense) {
    std::string text = fmt::format("{:x}/{:02x}/{:02x}", static_cast<unsigned>(sense.key),
                                   sense.additional.code, sense.additional.qualifier);
    if (sense.field) {
        text += fmt::format(" {} {}", sense.field->in_cdb ? "cdb" : "list", sense.field->byte);
        if (sense.field->bit)
            text += fmt::format(".{}", *sense.field->bit);
    }
    if (sense.progress)
        text += fmt::format(" progress {}", *sense.progress);
    if (sense.information)
        text += fmt::format(" info {:#x}", *sense.information);
    return text;
}

}  // namespace olio::scsi::testing
