// Sense data (SPC-5 4.4): a value, encoded as fixed or descriptor format when it is sent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "scsi/types.h"

namespace olio::scsi {

// SPC-5 4.4.8
enum class SenseKey : std::uint8_t {
    no_sense = 0x0,
    recovered_error = 0x1,
    not_ready = 0x2,
    medium_error = 0x3,
    hardware_error = 0x4,
    illegal_request = 0x5,
    unit_attention = 0x6,
    data_protect = 0x7,
    blank_check = 0x8,
    copy_aborted = 0xA,
    aborted_command = 0xB,
    volume_overflow = 0xD,
    miscompare = 0xE,
    completed = 0xF,
};

// ADDITIONAL SENSE CODE and QUALIFIER. Every pair the engine sends is declared in sense_codes.h.
struct AdditionalSense {
    std::uint8_t code = 0;
    std::uint8_t qualifier = 0;
    bool operator==(const AdditionalSense&) const = default;
};

// Which field of the CDB or of the parameter list is wrong (SPC-5 4.4.2.4.2).
struct FieldPointer {
    bool in_cdb = true;
    std::uint16_t byte = 0;
    std::optional<std::uint8_t> bit;  // the leftmost bit of the field
};

enum class SenseFormat : std::uint8_t { fixed, descriptor };  // D_SENSE of the control mode page

// How a command of the copy manager ended at the copy's source or destination.
struct ThirdParty {
    bool destination = false;
    Status status = Status::good;
    SenseKey key = SenseKey::no_sense;
    AdditionalSense additional;
};

struct SenseData {
    SenseKey key = SenseKey::no_sense;
    AdditionalSense additional;
    std::optional<std::uint64_t> information;
    std::optional<std::uint64_t> command_specific_information;
    std::optional<FieldPointer> field;
    std::optional<std::uint16_t> progress;  // 65536ths
    // COPY ABORTED: what the device reported. COMMAND-SPECIFIC INFORMATION is then the number of
    // the segment.
    std::optional<ThirdParty> third_party;
    bool deferred = false;

    // Writes at most `into.size()` bytes and returns the length written. An INFORMATION value above
    // 32 bits leaves VALID 0 in the fixed format (SPC-5 4.4.3).
    std::size_t encode(SenseFormat format, MutableBytes into) const noexcept;
};

// Sense key, additional sense code and INFORMATION of encoded sense data, in either format.
[[nodiscard]] SenseData decode_sense(Bytes encoded) noexcept;

}  // namespace olio::scsi
