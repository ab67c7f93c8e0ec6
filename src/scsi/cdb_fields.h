// The bits of the medium access commands, as small types. All take a CDB that check_usage()
// accepted, so that what is reserved or not supported is zero already.
#pragma once

#include <cstdint>
#include <expected>

#include "base/bytes.h"
#include "scsi/sense.h"

namespace olio::scsi {

struct LogicalUnitState;
struct Request;

[[nodiscard]] inline bool is_variable_length(Bytes cdb) noexcept {
    return cdb[0] == 0x7F;
}
// Where DPO, FUA, UNMAP, BYTCHK and the like stand: behind the operation code, or in the 32-byte
// forms behind the service action.
[[nodiscard]] inline std::size_t flags_byte(Bytes cdb) noexcept {
    return is_variable_length(cdb) ? 10 : 1;
}

// READ, WRITE, COMPARE AND WRITE.
struct CacheFields {
    bool disable_page_out = false;   // DPO: a hint
    bool force_unit_access = false;  // FUA: data are on stable storage before GOOD
};
[[nodiscard]] CacheFields decode_cache_fields(Bytes cdb) noexcept;

// BYTCHK of VERIFY (SBC-4 table 129) and WRITE AND VERIFY (00b and 01b only).
enum class ByteCheck : std::uint8_t {
    medium_only = 0,  // no data-out (VERIFY)
    compare = 1,      // data-out is as long as the range
    compare_one = 3,  // data-out is one block, with which each block is compared
};
struct VerifyFields {
    bool disable_page_out = false;
    ByteCheck byte_check = ByteCheck::medium_only;
};
// BYTCHK = 10b is reserved: INVALID FIELD IN CDB.
[[nodiscard]] std::expected<VerifyFields, SenseData> decode_verify(Bytes cdb) noexcept;
// How many blocks of data-out VERIFY of `blocks` blocks has.
[[nodiscard]] std::uint64_t verify_data_blocks(ByteCheck byte_check, std::uint64_t blocks) noexcept;

// WRITE SAME (SBC-4 5.50, 5.51). The obsolete PBDATA and LBDATA are outside the usage mask.
struct WriteSameFields {
    bool unmap = false;        // UNMAP: deallocate where the pattern reads back the same
    bool anchor = false;       // ANCHOR: keep their space; only with `unmap`
    bool no_data_out = false;  // NDOB, not the 10-byte form: zeros, and no data-out is sent
};
// INVALID FIELD IN CDB: UNMAP = 1 where Provisioning::write_same_unmap is false, ANCHOR = 1 without
// UNMAP or where Provisioning::anchor is false.
[[nodiscard]] std::expected<WriteSameFields, SenseData> decode_write_same(
    const Request& request) noexcept;
// Blocks of data-out: one, or none with NDOB.
[[nodiscard]] inline std::uint32_t write_same_data_blocks(const WriteSameFields& fields) noexcept {
    return fields.no_data_out ? 0 : 1;
}

// COMPARE AND WRITE (SBC-4 5.3): the verify instance, then the write instance, one after the other.
struct CompareAndWriteFields {
    CacheFields cache;
    std::uint8_t blocks = 0;  // 0: nothing is compared or written, no error
    [[nodiscard]] std::uint32_t data_blocks() const noexcept { return 2U * blocks; }
};
[[nodiscard]] CompareAndWriteFields decode_compare_and_write(const Request& request) noexcept;

// ANCHOR of UNMAP; INVALID FIELD IN CDB where Provisioning::anchor is false.
[[nodiscard]] std::expected<bool, SenseData> decode_unmap_anchor(const Request& request) noexcept;

// ATOMIC BOUNDARY of WRITE ATOMIC(16) and (32), in blocks.
[[nodiscard]] std::uint16_t atomic_boundary_of(Bytes cdb) noexcept;

// PRE-FETCH and SYNCHRONIZE CACHE: IMMED. The range is DecodedCdb's; see blocks_or_rest() in
// range.h.
[[nodiscard]] bool decode_immediate(Bytes cdb) noexcept;

// START STOP UNIT (SBC-4 5.31).
struct StartStopFields {
    bool immediate = false;
    bool no_flush = false;  // NO_FLUSH: stop without writing the cache to the medium
    bool start = false;
};
[[nodiscard]] StartStopFields decode_start_stop(Bytes cdb) noexcept;

}  // namespace olio::scsi
