// What hosts leave with a logical unit: identifying information (SPC-5 6.32 REPORT and SET
// IDENTIFYING INFORMATION) and a timestamp (SPC-5 5.2, REPORT and SET TIMESTAMP).
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "scsi/sense.h"

namespace olio::scsi {

struct LogicalUnitState;
struct Request;

// Bytes that hosts chose; they outlive the daemon where there is stable storage.
struct IdentifyingInformation {
    static constexpr std::size_t peripheral_bytes = 512;  // at most
    static constexpr std::size_t text_bytes = 256;        // at most, with the NUL that ends it
    std::string peripheral;                               // type 0000000b, any bytes
    std::string text;  // type 0000010b, UTF-8 with a NUL at its end; or empty
    bool operator==(const IdentifyingInformation&) const = default;
};

// Data-in.
[[nodiscard]] std::expected<void, SenseData> report_identifying_information(const Request& request,
                                                                            Builder& into);
// What the information is then.
[[nodiscard]] std::expected<IdentifyingInformation, SenseData> set_identifying_information(
    const Request& request, Bytes list);

// Milliseconds since 1970, as 48 bits. `offset_ms` is what a host's SET TIMESTAMP added to the
// clock by which the device server tells time; none: the machine's own time.
struct Timestamp {
    std::optional<std::int64_t> offset_ms;
};

// `clock_ms`: that clock now; `machine_ms`: the machine's time of day.
void report_timestamp(const Timestamp& timestamp, std::int64_t clock_ms, std::int64_t machine_ms,
                      Builder& into);
// The timestamp to set; none for an empty list. INVALID FIELD IN CDB while SCSIP of the Control
// Extension page is zero: then only the machine sets the time.
[[nodiscard]] std::expected<std::optional<std::uint64_t>, SenseData> set_timestamp(
    const Request& request, Bytes list);

}  // namespace olio::scsi
