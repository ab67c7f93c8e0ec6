// For tests and fuzz targets: a logical unit and a nexus to ask, and bytes written as hexadecimal
// text.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "scsi/logical_unit_state.h"

namespace olio::scsi::testing {

// "12 00 ff": spaces and line ends are ignored.
[[nodiscard]] std::vector<std::uint8_t> hex(std::string_view text);
[[nodiscard]] std::string to_hex(Bytes bytes);

struct Asked {
    Asked();
    Asked(const Asked&) = delete;
    Asked& operator=(const Asked&) = delete;

    LogicalUnitState state;
    PortDescription port;
    std::vector<Lun> luns;
    NexusState nexus;

    using Answer = std::expected<std::vector<std::uint8_t>, SenseData>;
    // As the device server does it: row, reserved bits, whether the unit has the command, then the
    // row's handler, cut to the allocation length.
    [[nodiscard]] Answer ask(Bytes cdb, bool with_unit = true) const;
    [[nodiscard]] Answer ask(std::string_view cdb, bool with_unit = true) const {
        return ask(hex(cdb), with_unit);
    }
    // The hexadecimal text of the answer, or the sense data as describe() writes it.
    [[nodiscard]] std::string asked(std::string_view cdb, bool with_unit = true) const;
    // What `handler`, a function of a Request, makes of a CDB that the table knows.
    template <class Handler>
    auto handle(Bytes cdb, Handler handler) const {
        const auto row = find_row(cdb);
        OLIO_ASSERT(row.has_value(), "the table knows the CDB");
        return handler(Request{**row, cdb, decode(**row, cdb), &state, nexus});
    }
    template <class Handler>
    auto handle(std::string_view cdb, Handler handler) const {
        return handle(hex(cdb), std::move(handler));
    }
    // The same where it is known and its reserved bits are zero, or else why not; the handler
    // returns an expected of SenseData, too.
    template <class Handler>
    auto try_handle(std::string_view text, Handler handler) const
        -> std::invoke_result_t<Handler, const Request&> {
        const std::vector<std::uint8_t> cdb = hex(text);
        const auto row = find_row(cdb);
        if (!row)
            return std::unexpected(row.error());
        if (const auto usage = check_usage(**row, cdb); !usage)
            return std::unexpected(usage.error());
        return handle(cdb, std::move(handler));
    }
    // MODE SELECT with this list.
    [[nodiscard]] std::expected<ModePages, SenseData> select(std::string_view cdb,
                                                             Bytes list) const;
};

// "5/24/00 cdb 2.5", "6/29/00"; key, code, qualifier, field pointer with bit, "info N".
[[nodiscard]] std::string describe(const SenseData& sense);
template <class T>
[[nodiscard]] std::string describe(const std::expected<T, SenseData>& result) {
    return result ? std::string("good") : describe(result.error());
}

}  // namespace olio::scsi::testing
