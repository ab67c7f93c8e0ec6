// Streams (SBC-4): what is written under one identifier probably dies at one time.
#pragma once

#include <cstdint>
#include <expected>

#include "base/bytes.h"
#include "scsi/sense.h"

namespace olio::scsi {

struct Request;
struct Streams;

// GET STREAM STATUS (SBC-4): the open streams from STARTING STREAM IDENTIFIER on.
[[nodiscard]] std::expected<void, SenseData> get_stream_status(const Request& request,
                                                               Builder& into);

// STREAM CONTROL: what it asks for, checked as far as the CDB tells.
enum class StreamControl : std::uint8_t { open = 1, close = 2 };
struct StreamControlFields {
    StreamControl control = StreamControl::open;
    std::uint16_t stream = 0;  // of `close`
};
[[nodiscard]] std::expected<StreamControlFields, SenseData> decode_stream_control(
    Bytes cdb) noexcept;
// Does it; the identifier that it opened or closed. MAXIMUM NUMBER OF STREAMS OPEN, STREAM NOT
// OPEN.
[[nodiscard]] std::expected<std::uint16_t, SenseData> control_stream(
    const StreamControlFields& fields, Streams& streams) noexcept;
// Its parameter data; `assigned` is zero where no stream has been opened.
void put_stream_control(std::uint16_t assigned, Builder& into);

// STREAM_ID of WRITE STREAM(16) and (32).
[[nodiscard]] std::uint16_t stream_of(Bytes cdb) noexcept;

}  // namespace olio::scsi
