// Any bytes as a CDB: found or refused, its reserved bits checked, decoded, and answered by the
// pure handlers into a small buffer. The first byte of the input chooses the buffer and whether
// there is a logical unit.
#include <array>
#include <cstddef>
#include <cstdint>

#include "base/assert.h"
#include "scsi/cdb_fields.h"
#include "scsi/logical_unit_state.h"
#include "scsi/orwrite.h"
#include "scsi/range.h"
#include "scsi/request_testing.h"

using namespace olio;
using namespace olio::scsi;

namespace {

// True, so that the decoders' answers are used.
bool decode_fields(const Request& request) {
    switch (request.row.operation) {
        case Operation::verify:
        case Operation::write_and_verify: {
            const auto fields = decode_verify(request.cdb);
            return !fields || verify_data_blocks(fields->byte_check, request.decoded.blocks) <=
                                  request.decoded.blocks;
        }
        case Operation::write_same: {
            const auto fields = decode_write_same(request);
            return !fields || write_same_data_blocks(*fields) <= 1;
        }
        case Operation::compare_and_write:
            return decode_compare_and_write(request).data_blocks() == 2 * request.decoded.blocks;
        case Operation::orwrite: {
            const auto fields = decode_orwrite(request.cdb);
            return !fields ||
                   orwrite_action(*fields, {.current = fields->expected}) == OrwriteAction::perform;
        }
        case Operation::start_stop_unit:
            return decode_start_stop(request.cdb).start == ((request.cdb[4] & 1) != 0);
        default:
            return decode_immediate(request.cdb) == ((request.cdb[1] & 2) != 0);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const scsi::testing::Asked unit;
    if (size == 0)
        return 0;
    const bool with_unit = (data[0] & 0x80) != 0;
    std::array<std::uint8_t, 127> room;
    const MutableBytes small = MutableBytes(room).first(data[0] & 0x7F);
    const Bytes cdb(data + 1, size - 1);

    const auto row = find_row(cdb);
    if (!row || !check_usage(**row, cdb))
        return 0;
    OLIO_ASSERT(row_index(**row) < command_table().size(), "the row is one of the table");
    const Request request{**row, cdb, decode(**row, cdb), with_unit ? &unit.state : nullptr,
                          unit.nexus};
    if (with_unit) {
        OLIO_ASSERT(decode_fields(request), "fields agree with the CDB");
        if ((*row)->lba.bytes != 0 && check_extent(request)) {
            const std::uint64_t capacity = unit.state.geometry.blocks;
            OLIO_ASSERT(request.decoded.lba <= capacity &&
                            request.decoded.blocks <= capacity - request.decoded.lba,
                        "an accepted range lies on the medium");
        }
    }
    const bool needs_unit = (*row)->operation == Operation::data_in && (*row)->name != "INQUIRY";
    if ((*row)->data_in != nullptr && (with_unit || !needs_unit)) {
        Builder into(small);
        const auto done = (*row)->data_in(request, into);
        OLIO_ASSERT(into.written().size() <= small.size(), "the answer is cut");
        OLIO_ASSERT(done || done.error().key == SenseKey::illegal_request, "no other error");
    }
    return 0;
}
