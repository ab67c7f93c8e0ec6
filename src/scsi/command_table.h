// One row of knowledge per command. Everything that needs to know something of an opcode reads its
// row: dispatch, the check of reserved bits, field pointers, REPORT SUPPORTED OPERATION CODES,
// reservations, access states, unit attentions, ordering, time-outs, counters.
#pragma once

#include <array>
#include <cstddef>
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

// How the command fares under another's reservation: SPC-5 table 65 and SBC-4 table 13 for
// persistent ones, SPC-2 table 10 for RESERVE. reservations.h decides by it.
enum class ReservationClass : std::uint8_t {
    always_allowed,         // INQUIRY, REPORT LUNS, REQUEST SENSE, ...
    allowed_if_persistent,  // TEST UNIT READY, READ CAPACITY: refused under RESERVE alone
    reads,                  // refused by exclusive access types only
    writes,                 // refused by write exclusive types as well
    start_stop,             // as allowed_if_persistent if it only starts, else as writes
    persistent_reserve,     // refused under any RESERVE, else its handler decides
    special,                // its handler decides: RESERVE, RELEASE
};

// Asymmetric access states in which the command is accepted (SPC-5 5.17.2.4), as a mask of
// scsi::bit_of(AccessState).
enum class AccessStates : std::uint8_t {
    any = 0xFF,              // also while unavailable, offline or in transition
    active_only = 0x13,      // active/optimized, active/non-optimized, LBA dependent
    standby_too = 0x17,      // and standby, but not unavailable
    unavailable_too = 0x5F,  // and unavailable and offline, but not in transition
};

// Which operations and faults of the whole logical unit let the command pass (scsi/background.h),
// as a bit mask.
enum class WhileBusy : std::uint8_t {
    refused = 0x00,
    format = 0x01,            // FORMAT UNIT is under way
    sanitize = 0x02,          // SANITIZE is
    self_test = 0x04,         // a self-test in the foreground is
    format_corrupted = 0x08,  // a format failed; what does not touch the medium passes as well
    sanitize_failed = 0x10,
    any = 0x1F,
};
[[nodiscard]] constexpr WhileBusy either(WhileBusy a, WhileBusy b) noexcept {
    return static_cast<WhileBusy>(static_cast<std::uint8_t>(a) | static_cast<std::uint8_t>(b));
}

// SAM-5 5.14.3 and the commands' own clauses.
enum class UnitAttentionPolicy : std::uint8_t {
    report,  // a pending unit attention ends the command with CHECK CONDITION
    ignore,  // processed, the unit attention stays pending: INQUIRY, REPORT LUNS, NOTIFY
    own,     // REQUEST SENSE returns it as parameter data
};

enum class Ordering : std::uint8_t {
    by_attribute,
    implicit_head_of_queue,  // INQUIRY, REPORT LUNS, REQUEST SENSE, TEST UNIT READY: SAM-5 8.6.3
                             // lets it
};

// Where a numeric field stands: big-endian, `bytes` long. bytes == 0: there is none.
struct CdbField {
    std::uint8_t byte = 0;
    std::uint8_t bytes = 0;
    std::uint8_t first_byte_mask = 0xFF;  // READ(6): the LBA's first byte has 5 bits
    std::uint16_t zero_means = 0;         // READ(6): TRANSFER LENGTH 0 is 256 blocks
};

// Which maximum of the Block Limits VPD page (SBC-4 6.6.4) bounds the number of logical blocks. One
// more is INVALID FIELD IN CDB.
enum class LengthLimit : std::uint8_t {
    none,
    transfer,              // MAXIMUM TRANSFER LENGTH
    transfer_if_compared,  // the same, but only with BYTCHK = 01b: without it no data are
                           // transferred
    compare_and_write,     // MAXIMUM COMPARE AND WRITE LENGTH
    write_same,            // MAXIMUM WRITE SAME LENGTH; and with WSNZ = 1 not zero
    atomic_write,          // MAXIMUM ATOMIC TRANSFER LENGTH
};

// What a logical unit must have for the command to exist there.
enum class Requirement : std::uint8_t {
    none,
    unmap,                  // Provisioning::unmap
    compare_and_write,      // maximum_compare_and_write_blocks
    target_port_groups,     // AccessStateTable::groups
    explicit_access,        // one of them with explicit_access
    referrals,              // AccessStateTable::referrals
    reservations,           // UnitSettings::reservations
    third_party_copy,       // UnitSettings::third_party_copy
    operation_code_report,  // UnitSettings::operation_code_report
    atomic_write,           // maximum_atomic_blocks
    type_2_protection,      // Protection::type 2; else INVALID COMMAND OPERATION CODE
    block_erase,            // LogicalUnitState::block_erase
};

// The handlers. Where CommandRow::data_in is not null it builds the whole answer and is pure; the
// other operations are the device server's (target/). REPORT LUNS has both: the device server
// clears a pending REPORTED LUNS DATA HAS CHANGED (SPC-5 6.35) and lets the function answer.
enum class Operation : std::uint8_t {
    data_in,  // CommandRow::data_in builds the whole answer
    test_unit_ready,
    request_sense,
    report_luns,
    mode_select,
    report_timestamp,
    set_timestamp,
    set_identifying_information,
    change_aliases,
    set_priority,
    log_sense,
    log_select,
    start_stop_unit,
    reserve,
    release,
    persistent_reserve_out,
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
    set_target_port_groups,
    orwrite,
    write_atomic,
    write_stream,
    stream_control,
    protected_read,  // with protection information on the wire, or the checks of a 32-byte CDB
    protected_write,
    protected_write_and_verify,
    protected_verify,
    protected_write_same,
    protected_compare_and_write,
    protected_orwrite,
    protected_write_atomic,
    protected_write_stream,
    extended_copy,
    receive_copy_results,
    copy_operation_abort,
    report_all_rod_tokens,
    format_unit,
    sanitize,
    send_diagnostic,
    write_buffer,
    write_scattered,
    populate_token,
    write_using_token,
    count,
};

// Puts the whole parameter data, whatever the allocation length: the caller gives a Builder over
// min(ALLOCATION LENGTH, its buffer) bytes, and Builder::size() is then the untruncated length.
// Cutting at the allocation length is the Builder's work alone, so no length in the data depends on
// it (SPC-5 4.2.5.6).
using DataInFunction = std::expected<void, SenseData> (*)(const Request&, Builder&);

struct CommandRow {
    std::string_view name{};
    std::uint8_t opcode = 0;
    std::int16_t service_action = -1;  // -1: the opcode has none
    std::uint8_t cdb_bytes = 6;
    // CDB USAGE DATA as REPORT SUPPORTED OPERATION CODES reports it (SPC-5 6.32.3): the operation
    // code and service action themselves, elsewhere a one for each bit that is evaluated.
    std::array<std::uint8_t, 32> usage{};
    // Where GROUP NUMBER stands; 0: nowhere. It is accepted and ignored: collecting attributes of a
    // group is optional and not a promise (SBC-4 4.22), so its bits are zero in the usage mask.
    std::uint8_t group_number_byte = 0;
    // Where RDPROTECT, WRPROTECT, VRPROTECT or ORPROTECT stands, in the three highest bits; 0:
    // nowhere. In the CDBs of up to 16 bytes those bits are zero in the usage mask, which holds for
    // units without protection information; check_usage_with_protection() takes them on the others.
    std::uint8_t protect_byte = 0;
    // Where EXPECTED INITIAL LOGICAL BLOCK REFERENCE TAG stands, and behind it EXPECTED LOGICAL
    // BLOCK APPLICATION TAG and its mask; 0: nowhere. Type 2 takes a PROTECT field in CDBs that
    // have them alone, the other types in the others.
    std::uint8_t expected_tags_byte = 0;
    // Made of both: the bits that must be zero in the CDB.
    std::array<std::uint8_t, 32> must_be_zero{};
    DataDirection direction = DataDirection::none;
    MediumAccess medium = MediumAccess::none;
    CdbField lba{};
    CdbField transfer_blocks{};   // TRANSFER LENGTH or NUMBER OF LOGICAL BLOCKS
    CdbField allocation_bytes{};  // ALLOCATION LENGTH (data-in)
    CdbField parameter_bytes{};   // PARAMETER LIST LENGTH (data-out)
    LengthLimit limit = LengthLimit::none;
    Requirement requirement = Requirement::none;
    ReservationClass reservation = ReservationClass::always_allowed;
    AccessStates access_states = AccessStates::active_only;
    UnitAttentionPolicy unit_attention = UnitAttentionPolicy::report;
    Ordering ordering = Ordering::by_attribute;
    WhileBusy while_busy = WhileBusy::refused;
    std::uint16_t nominal_timeout_seconds = 0;
    std::uint16_t recommended_timeout_seconds = 30;  // 0: none is reported
    Operation operation = Operation::data_in;
    DataInFunction data_in = nullptr;
};

// All rows; a row's index in it numbers the per-command counters.
[[nodiscard]] std::span<const CommandRow> command_table() noexcept;

// The index of a row of command_table().
[[nodiscard]] std::size_t row_index(const CommandRow& row) noexcept;

// The CDB field that holds the service action, of an opcode that has them: the low five bits of
// byte 1, or bytes 8 and 9 of a variable length CDB (SPC-5 4.2.2).
[[nodiscard]] std::int16_t service_action_of(Bytes cdb) noexcept;

// NACA of the CONTROL byte (SAM-5 5.2); false where the CDB is too short to have it, or its opcode
// says nothing of its length.
[[nodiscard]] bool naca(Bytes cdb) noexcept;

// Whether the logical unit has the command. Dispatch and REPORT SUPPORTED OPERATION CODES both ask
// this.
[[nodiscard]] bool supported(const CommandRow& row, const LogicalUnitState& state) noexcept;
// The same with the sense data of dispatch: INVALID COMMAND OPERATION CODE, or INVALID FIELD IN CDB
// where only the service action is missing.
[[nodiscard]] std::expected<void, SenseData> check_supported(
    const CommandRow& row, const LogicalUnitState& state) noexcept;

// In constant time. The row, or INVALID COMMAND OPERATION CODE (unknown opcode) or INVALID FIELD IN
// CDB (known opcode, unknown service action; with field pointer), or the same for a CDB shorter
// than the row's.
[[nodiscard]] std::expected<const CommandRow*, SenseData> find_row(Bytes cdb) noexcept;

// INVALID FIELD IN CDB with a pointer to the leftmost bit that is set in the CDB and not in the
// usage mask.
[[nodiscard]] std::expected<void, SenseData> check_usage(const CommandRow& row, Bytes cdb) noexcept;

// The same for a CDB whose PROTECT field is not 000b: bits that the row has zero for units without
// protection information are taken where check_protect_field() takes their value.
[[nodiscard]] std::expected<void, SenseData> check_usage_with_protection(
    const CommandRow& row, Bytes cdb, const LogicalUnitState& state) noexcept;
// The operation of a row when its PROTECT field is not 000b.
[[nodiscard]] Operation protected_form(Operation operation) noexcept;
// CDB USAGE DATA on this unit.
[[nodiscard]] std::array<std::uint8_t, 32> usage_of(const CommandRow& row,
                                                    const LogicalUnitState& state) noexcept;

// The numeric fields of a CDB, decoded as the row says; the CDB is one that find_row() accepted.
// READ(6)'s and WRITE(6)'s 0 blocks means 256.
struct DecodedCdb {
    std::uint64_t lba = 0;
    std::uint64_t blocks = 0;
    std::uint32_t allocation_bytes = 0;
    std::uint32_t parameter_bytes = 0;
};
[[nodiscard]] DecodedCdb decode(const CommandRow& row, Bytes cdb) noexcept;

}  // namespace olio::scsi
