// Any bytes as the parameter list of EXTENDED COPY; the first byte chooses LID1 or LID4, and which
// devices there are.
#include <array>
#include <cstddef>
#include <cstdint>

#include "base/assert.h"
#include "base/limits.h"
#include "scsi/extended_copy.h"

using namespace olio;
using namespace olio::scsi;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0)
        return 0;
    const Bytes bytes(data + 1, size - 1);
    const auto list =
        (data[0] & 1) == 0 ? parse_extended_copy_lid1(bytes) : parse_extended_copy_lid4(bytes);
    if (!list) {
        OLIO_ASSERT(list.error().key == SenseKey::illegal_request, "no other error");
        return 0;
    }
    OLIO_ASSERT(list->descriptors.size() <= limits::copy_cscd_descriptors &&
                    list->segments.size() <= limits::copy_segment_descriptors,
                "the limits hold");
    std::vector<CopyDevice> devices(list->descriptors.size() + 1);
    for (std::size_t i = 0; i < devices.size(); ++i)
        devices[i] = {(data[0] >> 1 & 1) == 0 || i % 2 == 0, i % 3 == 0 ? ~0ull / 4096 : 1000,
                      (data[0] >> (2 + i % 4) & 1) == 0 ? 512U : 4096U};
    const auto moves = plan_extended_copy(*list, devices);
    if (!moves) {
        OLIO_ASSERT(moves.error().key == SenseKey::illegal_request ||
                        moves.error().key == SenseKey::copy_aborted,
                    "no other error");
        return 0;
    }
    OLIO_ASSERT(moves->size() == list->segments.size(), "one move a segment");
    for (const CopyMove& move : *moves) {
        const CopyDevice& source = devices[move.source];
        const CopyDevice& destination = devices[move.destination];
        OLIO_ASSERT(source.reachable && destination.reachable, "only what can be reached");
        OLIO_ASSERT(move.bytes <= limits::copy_segment_bytes, "the limit holds");
        const std::uint64_t source_capacity = source.blocks * source.block_bytes;
        const std::uint64_t capacity = destination.blocks * destination.block_bytes;
        OLIO_ASSERT(move.bytes == 0 || (move.source_byte <= source_capacity &&
                                        move.bytes <= source_capacity - move.source_byte),
                    "the source lies on its medium");
        OLIO_ASSERT(
            move.bytes == 0 || (move.destination_byte <= capacity &&
                                move.bytes + move.pad_bytes <= capacity - move.destination_byte),
            "the destination lies on its medium");
        OLIO_ASSERT(
            move.pad_bytes == 0 || (move.bytes + move.pad_bytes) % destination.block_bytes == 0,
            "padding ends a block");
    }
    return 0;
}
