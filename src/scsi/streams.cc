#include "scsi/streams.h"

#include "scsi/cdb_fields.h"
#include "scsi/logical_unit_state.h"
#include "scsi/sense_codes.h"

namespace olio::scsi {

namespace {

constexpr std::size_t stream_byte = 4;  // of STREAM CONTROL and GET STREAM STATUS

}  // namespace

std::expected<void, SenseData> get_stream_status(const Request& request, Builder& into) {
    const Streams& streams = request.state->streams;
    const auto first = load_be<std::uint16_t>(request.cdb.data() + stream_byte);
    std::uint16_t open = 0;
    for (std::uint16_t stream = 1; stream <= Streams::maximum; ++stream)
        open = static_cast<std::uint16_t>(open + (streams.is_open(stream) ? 1 : 0));
    into.be32(0);  // PARAMETER DATA LENGTH, below
    into.be16(0);
    into.be16(open);
    for (std::uint16_t stream = 1; stream <= Streams::maximum; ++stream) {
        if (stream < first || !streams.is_open(stream))
            continue;
        into.be16(0);
        into.be16(stream);
        into.be32(0);
    }
    into.patch(0, static_cast<std::uint32_t>(into.size() - 4));
    return {};
}

std::expected<StreamControlFields, SenseData> decode_stream_control(Bytes cdb) noexcept {
    const std::uint8_t control = cdb[1] >> 5 & 0x03;
    StreamControlFields fields{.control = static_cast<StreamControl>(control),
                               .stream = load_be<std::uint16_t>(cdb.data() + stream_byte)};
    if (fields.control != StreamControl::open && fields.control != StreamControl::close)
        return std::unexpected(invalid_field_in_cdb(1, 6));
    if (fields.control == StreamControl::open && fields.stream != 0)
        return std::unexpected(invalid_field_in_cdb(stream_byte));
    return fields;
}

std::expected<std::uint16_t, SenseData> control_stream(const StreamControlFields& fields,
                                                       Streams& streams) noexcept {
    if (fields.control == StreamControl::close) {
        if (!streams.is_open(fields.stream))
            return std::unexpected(make_sense(sense::stream_not_open));
        streams.open &= ~(1U << fields.stream);
        return fields.stream;
    }
    for (std::uint16_t stream = 1; stream <= Streams::maximum; ++stream) {
        if (streams.is_open(stream))
            continue;
        streams.open |= 1U << stream;
        return stream;
    }
    return std::unexpected(make_sense(sense::maximum_number_of_streams_open));
}

void put_stream_control(std::uint16_t assigned, Builder& into) {
    into.u8(7);  // PARAMETER DATA LENGTH
    into.zeros(3);
    into.be16(assigned);
    into.be16(0);
}

std::uint16_t stream_of(Bytes cdb) noexcept {
    constexpr std::size_t of_16 = 10;
    constexpr std::size_t of_32 = 4;
    return load_be<std::uint16_t>(cdb.data() + (is_variable_length(cdb) ? of_32 : of_16));
}

}  // namespace olio::scsi
