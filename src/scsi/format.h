// The CDBs and parameter lists of FORMAT UNIT and SANITIZE (SBC-4).
#pragma once

#include <cstdint>
#include <expected>
#include <vector>

#include "base/bytes.h"
#include "scsi/sense.h"

namespace olio::scsi {

struct Request;

struct FormatFields {
    bool immediate = false;
    bool fast = false;                    // FFMT = 01b: blocks need not be written
    std::vector<std::uint8_t> pattern{};  // of each block, repeated to its end; empty: zeros
    std::uint8_t protection_type = 0;     // of the medium afterwards, 0 to 3
};

// Whether the CDB takes a parameter list: FMTDATA. How long it is only its data tell.
[[nodiscard]] bool format_has_list(Bytes cdb) noexcept;

// `list` is all that the host sent; empty without FMTDATA, and LONGLIST and CMPLST say nothing
// then. Defects are not managed here, so a list of them must be empty. FMTPINFO and PROTECTION
// FIELD USAGE choose the type of protection (SBC-4 5.4, the table of both), where the unit can have
// any:
// - INVALID FIELD IN CDB: FMTPINFO = 01b; one that the unit cannot have, or without FMTDATA; a
//   DEFECT LIST FORMAT that SBC-4 does not define; FFMT = 10b and 11b;
// - PARAMETER LIST LENGTH ERROR: the list is shorter than its header, its pattern or its defects;
// - INVALID FIELD IN PARAMETER LIST: everything else, with the place.
[[nodiscard]] std::expected<FormatFields, SenseData> parse_format(const Request& request,
                                                                  Bytes list);

enum class SanitizeAction : std::uint8_t {
    overwrite = 0x01,
    block_erase = 0x02,
    exit_failure_mode = 0x1F,
};

struct SanitizeFields {
    SanitizeAction action = SanitizeAction::overwrite;
    bool immediate = false;
    bool unrestricted_exit = false;  // AUSE
    std::uint8_t passes = 1;         // OVERWRITE COUNT, 1 to 31
    bool invert = false;             // INVERT: every second pass writes the complement
    std::vector<std::uint8_t>
        pattern{};  // of each block, repeated to its end; 1 to a block's bytes
};

// INVALID FIELD IN CDB: a PARAMETER LIST LENGTH that the action does not take. INVALID FIELD IN
// PARAMETER LIST: TEST, a count of zero, a pattern of no or of more than a block's bytes.
// PARAMETER LIST LENGTH ERROR: another length than the pattern's tells.
[[nodiscard]] std::expected<SanitizeFields, SenseData> parse_sanitize(const Request& request,
                                                                      Bytes list);

// Fills `into`, whole blocks, with `block`, which may be the first of them.
void repeat_block(Bytes block, MutableBytes into) noexcept;

// The pattern, from the start of the block to its end again and again.
[[nodiscard]] std::vector<std::uint8_t> block_of_pattern(Bytes pattern, std::size_t block_bytes,
                                                         bool inverted);

}  // namespace olio::scsi
