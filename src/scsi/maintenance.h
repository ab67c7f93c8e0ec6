// Diagnostics, buffers and defect lists: what a disk answers when somebody looks after it.
#pragma once

#include <cstdint>
#include <expected>
#include <vector>

#include "base/bytes.h"
#include "scsi/background.h"
#include "scsi/sense.h"
#include "scsi/types.h"

namespace olio::scsi {

struct Request;

// --- SEND DIAGNOSTIC and RECEIVE DIAGNOSTIC RESULTS (SPC-5) ---

struct SendDiagnosticFields {
    SelfTestCode code = SelfTestCode::none;
    bool default_self_test = false;  // SELFTEST
};
// INVALID FIELD IN CDB: a reserved SELF-TEST CODE, one with SELFTEST, or either with a list; a list
// without PF.
[[nodiscard]] std::expected<SendDiagnosticFields, SenseData> decode_send_diagnostic(
    const Request& request) noexcept;
// The page that the list asks for: there is but the one that lists the pages.
[[nodiscard]] std::expected<void, SenseData> check_diagnostic_list(Bytes list) noexcept;

// The page that PCV and PAGE CODE name, or without PCV the one that SEND DIAGNOSTIC can have asked
// for.
[[nodiscard]] std::expected<void, SenseData> receive_diagnostic_results(const Request& request,
                                                                        Builder& into);

// --- READ BUFFER and WRITE BUFFER (SPC-5): the echo buffer ---

// What WRITE BUFFER wrote last, which only the I_T nexus that wrote it may read (EBOS = 1).
struct EchoBuffer {
    static constexpr std::uint32_t capacity_bytes = 4096;
    static constexpr std::size_t most_remembered = 64;

    NexusId writer = 0;
    std::vector<std::uint8_t> data{};
    std::vector<NexusId> overwritten{};  // those whose data are gone; the latest last
};
// What follows when `writer` writes.
[[nodiscard]] EchoBuffer written(const EchoBuffer* before, NexusId writer, Bytes data);

// INVALID FIELD IN CDB: any MODE but "write data to echo buffer" - microcode comes with the package
// of the daemon, not over the wire - and an identifier, offset or length that the buffer has not.
[[nodiscard]] std::expected<void, SenseData> check_write_buffer(const Request& request) noexcept;

// Modes: descriptor, echo buffer, echo buffer descriptor. COMMAND SEQUENCE ERROR: this nexus has
// written nothing. ECHO BUFFER OVERWRITTEN: another one wrote after it.
[[nodiscard]] std::expected<void, SenseData> read_buffer(const Request& request, Builder& into);

// --- READ DEFECT DATA (SBC-4): the lists are empty ---

[[nodiscard]] std::expected<void, SenseData> read_defect_data_10(const Request& request,
                                                                 Builder& into);
[[nodiscard]] std::expected<void, SenseData> read_defect_data_12(const Request& request,
                                                                 Builder& into);

}  // namespace olio::scsi
