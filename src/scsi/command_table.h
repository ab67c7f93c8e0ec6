// One row of knowledge per command. Everything that needs to know something of an opcode reads its row:
// dispatch, the check of reserved bits, field pointers, REPORT SUPPORTED OPERATION CODES, reservations,
// access states, unit attentions, ordering, time-outs, counters.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <span>
#include <string_view>

#include "base/bytes.h"
#include "scsi/sense.h"
#include "scsi/types.h"

namespace olio::scsi {

struct LogicalUnitState;
struct NexusState;
struct Request;

enum class DataDirection : std::uint8_t { none, in, out };

// What a command does to the medium; decides write protection, START STOP UNIT and capacity checks.
enum class MediumAccess : std::uint8_t { none, reads, writes };

// How SPC-5 tables 67 to 69 and SBC-4 table 20 treat the command under another's reservation. For now only
// SPC-2 RESERVE/RELEASE asks; PERSISTENT RESERVE brings its columns with it.
enum class ReservationClass : std::uint8_t {
    always_allowed,  // INQUIRY, REPORT LUNS, REQUEST SENSE, ...
    reads,           // refused by exclusive access types only
    writes,          // refused by write exclusive types as well
    special,         // its handler decides (PERSISTENT RESERVE OUT, RELEASE)
};

// Asymmetric access states in which the command is accepted (SPC-5 5.17.2.4), as a bit mask.
enum class AccessStates : std::uint8_t {
    any = 0xFF,            // also while unavailable, standby or in transition
    active_only = 0x03,    // active/optimized and active/non-optimized
};

// SAM-5 5.14.3 and the commands' own clauses.
enum class UnitAttentionPolicy : std::uint8_t {
    report,  // a pending unit attention ends the command with CHECK CONDITION
    ignore,  // processed, the unit attention stays pending: INQUIRY, REPORT LUNS, NOTIFY
    own,     // REQUEST SENSE returns it as parameter data
};

enum class Ordering : std::uint8_t {
    by_attribute,
    implicit_head_of_queue,  // INQUIRY, REPORT LUNS, REQUEST SENSE, TEST UNIT READY: SAM-5 8.6.3 lets it
};

// Where a numeric field stands: big-endian, `bytes` long. bytes == 0: there is none.
struct CdbField {
    std::uint8_t byte = 0;
    std::uint8_t bytes = 0;
    std::uint8_t first_byte_mask = 0xFF;  // READ(6): the LBA's first byte has 5 bits
};

// The handlers. `data_in` ones are pure functions of this room and stand in the row; the others are the
// device server's (target/).
enum class Operation : std::uint8_t {
    data_in,  // CommandRow::data_in builds the whole answer
    test_unit_ready,
    request_sense,
    report_luns,
    mode_select,
    start_stop_unit,
    reserve,
    release,
    read,
    write,
    write_and_verify,
    verify,
    synchronize_cache,
    unmap,
    write_same,
    compare_and_write,
    pre_fetch,
    get_lba_status,
    count,
};

using DataInFunction = std::expected<void, SenseData> (*)(const Request&, Builder&);

struct CommandRow {
    std::string_view name;
    std::uint8_t opcode = 0;
    std::int16_t service_action = -1;      // -1: the opcode has none
    std::uint8_t cdb_bytes = 6;
    std::array<std::uint8_t, 32> usage{};  // SPC-5 6.32.3: a zero bit must be zero in the CDB
    DataDirection direction = DataDirection::none;
    MediumAccess medium = MediumAccess::none;
    CdbField lba;
    CdbField transfer_blocks;              // TRANSFER LENGTH or NUMBER OF LOGICAL BLOCKS
    CdbField allocation_bytes;             // ALLOCATION LENGTH (data-in)
    CdbField parameter_bytes;              // PARAMETER LIST LENGTH (data-out)
    ReservationClass reservation = ReservationClass::always_allowed;
    AccessStates access_states = AccessStates::active_only;
    UnitAttentionPolicy unit_attention = UnitAttentionPolicy::report;
    Ordering ordering = Ordering::by_attribute;
    std::uint16_t nominal_timeout_seconds = 0;
    std::uint16_t recommended_timeout_seconds = 30;
    Operation operation = Operation::data_in;
    DataInFunction data_in = nullptr;
};

// All rows; a row's index in it numbers the per-command counters.
[[nodiscard]] std::span<const CommandRow> command_table() noexcept;

// In constant time. The row, or INVALID COMMAND OPERATION CODE (unknown opcode) or INVALID FIELD IN CDB
// (known opcode, unknown service action; with field pointer), or the same for a CDB shorter than the row's.
[[nodiscard]] std::expected<const CommandRow*, SenseData> find_row(Bytes cdb) noexcept;

// INVALID FIELD IN CDB with a pointer to the leftmost bit that is set in the CDB and not in the usage mask.
[[nodiscard]] std::expected<void, SenseData> check_usage(const CommandRow& row, Bytes cdb) noexcept;

// The numeric fields of a CDB, decoded as the row says. READ(6)'s and WRITE(6)'s 0 blocks means 256.
struct DecodedCdb {
    std::uint64_t lba = 0;
    std::uint64_t blocks = 0;
    std::uint32_t allocation_bytes = 0;
    std::uint32_t parameter_bytes = 0;
};
[[nodiscard]] DecodedCdb decode(const CommandRow& row, Bytes cdb) noexcept;

}  // namespace olio::scsi
