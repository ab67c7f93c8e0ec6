// T10 protection information (SBC-4 4.21): eight bytes beside each logical block that say whether
// it is the right block with the right contents. Here: the tuples, the guard's CRC, what each value
// of RDPROTECT, WRPROTECT, VRPROTECT and ORPROTECT asks for, and generating, checking,
// interleaving.
//
// All is pure and reentrant. The protection interval is the whole block (P_I_EXPONENT = 0). "Data"
// are whole blocks of `block_bytes`; "tuples" are protection_bytes for each of them; "interleaved"
// is each block with its tuple behind it, as it travels between the application client and us.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>

#include "base/bytes.h"
#include "scsi/sense.h"

namespace olio::scsi {

struct CommandRow;
struct LogicalUnitState;

inline constexpr std::size_t protection_bytes = 8;  // of one block

// SBC-4 4.21.3. In memory and on the wire: big-endian, in this order.
struct ProtectionTuple {
    std::uint16_t guard = 0;
    std::uint16_t application = 0;
    std::uint32_t reference = 0;
    bool operator==(const ProtectionTuple&) const = default;
};
[[nodiscard]] ProtectionTuple load_tuple(const std::uint8_t* from) noexcept;
void store_tuple(const ProtectionTuple& tuple, std::uint8_t* into) noexcept;

// What a block has that was never written or is unmapped: every check is off (SBC-4 4.21.3).
inline constexpr ProtectionTuple escape_tuple{0xFFFF, 0xFFFF, 0xFFFFFFFF};

// Whether a tuple switches all checks of its block off: an application tag of FFFFh; for type 3
// with a reference tag of FFFFFFFFh as well.
[[nodiscard]] constexpr bool escapes(const ProtectionTuple& tuple, std::uint8_t type) noexcept {
    return tuple.application == 0xFFFF && (type != 3 || tuple.reference == 0xFFFFFFFF);
}

// The CRC of T10 (polynomial 8BB7h, initial value 0, not reflected) of one block; of many,
// protection_guards.h is faster. portable_guard_of() is a table, and says the same.
[[nodiscard]] std::uint16_t guard_of(Bytes block) noexcept;
[[nodiscard]] std::uint16_t portable_guard_of(Bytes block) noexcept;

enum class ProtectionTag : std::uint8_t { guard, application, reference };

struct TagSet {
    bool guard = false;
    bool application = false;
    bool reference = false;
    bool operator==(const TagSet&) const = default;
};

// What one value of a PROTECT field asks for, on a unit that is formatted with protection. A tag
// that is named here is checked if the device server can know what it should be (see
// expectations()).
struct ProtectRow {
    bool reserved = false;     // INVALID FIELD IN CDB
    bool transferred = false;  // tuples are interleaved with the data that the command transfers
    TagSet medium{};           // checked in what is read from the medium
    TagSet medium_compared{};  // VERIFY with BYTCHK 01b or 11b: instead of `medium`
    TagSet data_out{};         // checked in what the application client sends
    TagSet compared{};         // VERIFY with BYTCHK 01b or 11b: data-out against the medium
};
using ProtectTable = std::array<ProtectRow, 8>;

// By the field's value. READ; WRITE, WRITE SAME and the write of WRITE AND VERIFY; VERIFY and the
// verify of WRITE AND VERIFY; ORWRITE.
extern const ProtectTable rdprotect_table;
extern const ProtectTable wrprotect_table;
extern const ProtectTable vrprotect_table;
extern const ProtectTable orprotect_table;

// The value of the PROTECT field of a CDB, 0 where its row has none.
[[nodiscard]] std::uint8_t protect_field_of(const CommandRow& row, Bytes cdb) noexcept;

// Whether the unit takes the CDB's PROTECT field (SBC-4 4.21.2): a value other than 000b is INVALID
// FIELD IN CDB without protection and where it is reserved; and INVALID COMMAND OPERATION CODE on a
// unit of type 2, save in the CDBs that bring expected tags, which only that type takes it in.
[[nodiscard]] std::expected<void, SenseData> check_protect_field(
    const CommandRow& row, Bytes cdb, const LogicalUnitState& state) noexcept;

// What the tuples of a run of blocks should hold.
struct ProtectionExpectation {
    TagSet tags{};                       // those that are checked
    std::uint8_t type = 1;               // 1 to 3
    std::uint32_t reference = 0;         // of the first block; one more for each that follows
    std::uint16_t application = 0;       // where the mask has ones
    std::uint16_t application_mask = 0;  // none: the application tag is not checked
    // The same for the blocks after the first `blocks`.
    [[nodiscard]] ProtectionExpectation after(std::uint64_t blocks) const noexcept {
        ProtectionExpectation next = *this;
        next.reference += static_cast<std::uint32_t>(blocks);
        return next;
    }
};

// What the CDB and the unit's state say of the tuples of the blocks that the CDB names: of `tags`
// those remain whose value the device server knows. A CDB may bring the reference tag and, with ATO
// = 1, the application tag (CommandRow::expected_tags_byte); of the others the reference tag of
// type 1 alone is known, from the LBA.
[[nodiscard]] ProtectionExpectation expectations(const CommandRow& row, Bytes cdb,
                                                 const LogicalUnitState& state, TagSet tags,
                                                 std::uint64_t lba) noexcept;
// The same for blocks that are read without a PROTECT field (or with 000b): DPICZ = 1 switches the
// checks off.
[[nodiscard]] ProtectionExpectation default_expectations(const LogicalUnitState& state,
                                                         std::uint64_t lba) noexcept;

// What VERIFY compares of ProtectRow::compared: tags that the device server may modify (ATO = 0)
// are not, and for type 3 those are the application and the reference tags.
[[nodiscard]] TagSet compared_tags(TagSet tags, const LogicalUnitState& state) noexcept;

// GRD_CHK, APP_CHK and REF_CHK, as the VPD pages 86h and B4h have them: which tags of what is read
// are checked. Of application tags those are that a 32-byte CDB brings; of type 3 the reference tag
// is not known.
[[nodiscard]] std::uint8_t protection_checks_of(const LogicalUnitState& state) noexcept;

// What the device server makes itself for data that come without tuples (SBC-4 4.21.3, WRPROTECT =
// 000b).
struct ProtectionMaking {
    std::uint16_t application = 0;
    std::uint32_t reference = 0;       // of the first block
    std::uint32_t reference_step = 0;  // 0 or 1 for each block that follows
};
[[nodiscard]] ProtectionMaking making_of(const LogicalUnitState& state, std::uint64_t lba) noexcept;

struct ProtectionFailure {
    std::uint64_t block = 0;  // from the first
    ProtectionTag tag = ProtectionTag::guard;
    bool operator==(const ProtectionFailure&) const = default;
};

// The first block whose tuple is not as expected, and its first tag in the order guard,
// application, reference.
[[nodiscard]] std::optional<ProtectionFailure> check_protection(
    Bytes data, Bytes tuples, std::size_t block_bytes,
    const ProtectionExpectation& expected) noexcept;
[[nodiscard]] std::optional<ProtectionFailure> check_interleaved(
    Bytes interleaved, std::size_t block_bytes, const ProtectionExpectation& expected) noexcept;

// Where the tuples that were sent differ first from those of the medium, in the tags of `compared`.
// A block that has switched its checks off is not compared (SBC-4 5.36, the table of compare
// operations).
[[nodiscard]] std::optional<ProtectionFailure> compare_protection(Bytes sent, Bytes medium,
                                                                  TagSet compared,
                                                                  std::uint8_t type) noexcept;

void generate_protection(Bytes data, MutableBytes tuples, std::size_t block_bytes,
                         const ProtectionMaking& making) noexcept;

// The data have changed, and the guards with them; the other tags stay.
void renew_guards(Bytes data, MutableBytes tuples, std::size_t block_bytes) noexcept;

// `into` is as long as both together.
void interleave(Bytes data, Bytes tuples, std::size_t block_bytes, MutableBytes into) noexcept;
// Moves the data to the front of `interleaved` and the tuples into `tuples`.
void separate(MutableBytes interleaved, MutableBytes tuples, std::size_t block_bytes) noexcept;

// The tuples of WRITE SAME's blocks, from that of its one block: the reference tag grows with each
// block for the types 1 and 2, and stays for type 3 (SBC-4 5.49).
void repeat_tuple(const ProtectionTuple& first, std::uint8_t type, MutableBytes tuples) noexcept;

// LOGICAL BLOCK GUARD, APPLICATION TAG or REFERENCE TAG CHECK FAILED, the LBA in INFORMATION.
[[nodiscard]] SenseData protection_sense(ProtectionTag tag, std::uint64_t lba) noexcept;
// The same where a comparison found it: MISCOMPARE.
[[nodiscard]] SenseData protection_miscompare(ProtectionTag tag, std::uint64_t lba) noexcept;

}  // namespace olio::scsi
