// Any bytes as the parameter list of POPULATE TOKEN or WRITE USING TOKEN; the first byte chooses,
// and which block lengths there are.
#include <cstddef>
#include <cstdint>

#include "base/assert.h"
#include "base/limits.h"
#include "scsi/logical_unit_state.h"
#include "scsi/rod_token.h"

using namespace olio;
using namespace olio::scsi;

namespace {

std::uint64_t check_ranges(const std::vector<BlockRange>& ranges, const LogicalUnitState& state) {
    std::uint64_t blocks = 0;
    OLIO_ASSERT(ranges.size() <= limits::rod_token_ranges, "the limit holds");
    for (const BlockRange& range : ranges) {
        OLIO_ASSERT(range.blocks != 0 && range.lba < state.geometry.blocks &&
                        range.blocks <= state.geometry.blocks - range.lba,
                    "an accepted range lies on the medium");
        blocks += range.blocks;
    }
    OLIO_ASSERT(blocks <= limits::rod_token_data_bytes / state.geometry.block_bytes,
                "the limit holds");
    return blocks;
}

void plan(const WriteUsingTokenList& list, std::uint32_t block_bytes, std::uint64_t blocks) {
    const std::vector<BlockRange> source{{5, 1000}, {9000, 3}, {2000, 77}};
    for (const std::uint32_t source_block : {512U, 4096U}) {
        std::uint64_t bytes = 0;
        for (const CopyMove& move :
             plan_write_using_token(list, block_bytes, source, source_block)) {
            OLIO_ASSERT(move.bytes != 0 && move.source_byte + move.bytes <= 9003ull * source_block,
                        "what is read is of the token");
            bytes += move.bytes;
        }
        OLIO_ASSERT(bytes <= 1080ull * source_block && bytes <= blocks * block_bytes,
                    "no more than there is, and no more than was asked for");
    }
    std::uint64_t zeros = 0;
    for (const CopyMove& move : plan_zeros(list, block_bytes))
        zeros += move.bytes;
    OLIO_ASSERT(zeros == blocks * block_bytes, "all of it");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0)
        return 0;
    LogicalUnitState state;
    state.geometry.block_bytes = (data[0] & 2) == 0 ? 512 : 4096;
    state.geometry.blocks = (data[0] & 4) == 0 ? 10000 : ~0ull / 4096;
    const Bytes list(data + 1, size - 1);
    if ((data[0] & 1) == 0) {
        if (const auto parsed = parse_populate_token(list, state)) {
            OLIO_ASSERT(check_ranges(parsed->ranges, state) == parsed->blocks, "the sum");
            OLIO_ASSERT(parsed->inactivity_timeout_seconds != 0 &&
                            parsed->inactivity_timeout_seconds <= limits::rod_token_timeout_seconds,
                        "tokens end");
        }
        return 0;
    }
    if (const auto parsed = parse_write_using_token(list, state)) {
        OLIO_ASSERT(check_ranges(parsed->ranges, state) == parsed->blocks, "the sum");
        (void)read_rod_token(parsed->token);
        plan(*parsed, state.geometry.block_bytes, parsed->blocks);
    }
    return 0;
}
