// Commands whose whole answer follows from the CDB and the logical unit's state. All are pure and
// reentrant; the DataInFunctions stand in the command table, the builders are for commands that
// need something else as well. None looks at the allocation length: the Builder cuts (see
// DataInFunction).
#pragma once

#include <cstdint>
#include <expected>

#include "base/bytes.h"
#include "scsi/sense.h"

namespace olio::scsi {

struct Request;

// SPC-5 6.6: standard data, and the vital product data pages of 7.7 that vpd_pages() lists. Without
// a logical unit: peripheral qualifier 011b, and page 00h alone.
[[nodiscard]] std::expected<void, SenseData> inquiry(const Request& request, Builder& into);

// SPC-5 6.14 and 6.15, MODE SENSE(6) and (10).
[[nodiscard]] std::expected<void, SenseData> mode_sense(const Request& request, Builder& into);

// SBC-4 5.20 and 5.21. (10): a last LBA above 32 bits is reported as FFFFFFFFh.
[[nodiscard]] std::expected<void, SenseData> read_capacity_10(const Request& request,
                                                              Builder& into);
[[nodiscard]] std::expected<void, SenseData> read_capacity_16(const Request& request,
                                                              Builder& into);

// SPC-5 6.35. The logical unit may be null; the inventory is NexusState::luns, as it stands.
[[nodiscard]] std::expected<void, SenseData> report_luns(const Request& request, Builder& into);

// SPC-5 6.38 (both formats of the header) and SBC-4 5.27.
[[nodiscard]] std::expected<void, SenseData> report_target_port_groups(const Request& request,
                                                                       Builder& into);
[[nodiscard]] std::expected<void, SenseData> report_referrals(const Request& request,
                                                              Builder& into);

// SPC-5 6.36: all commands or one, with timeouts descriptors. What it says is what dispatch does.
[[nodiscard]] std::expected<void, SenseData> report_supported_operation_codes(
    const Request& request, Builder& into);

// SPC-5 6.37, bytes 0 and 1 of the parameter data: the functions of RFC 7143 11.5.1.
inline constexpr std::uint8_t task_management_functions_byte_0 = 0x80 |  // ABORT TASK
                                                                 0x40 |  // ABORT TASK SET
                                                                 0x20 |  // CLEAR ACA
                                                                 0x10 |  // CLEAR TASK SET
                                                                 0x08 |  // LOGICAL UNIT RESET
                                                                 0x02;   // TARGET RESET
inline constexpr std::uint8_t task_management_functions_byte_1 =
    0x00;  // QUERY ..., I_T NEXUS RESET
[[nodiscard]] std::expected<void, SenseData> report_supported_task_management_functions(
    const Request& request, Builder& into);

// SPC-5 6.39: the parameter data of REQUEST SENSE, in the format that DESC asks for. `pending` is
// what the device server has to report: a unit attention, a progress, or NO SENSE.
void request_sense(const Request& request, const SenseData& pending, Builder& into);

}  // namespace olio::scsi
