// Any bytes as the parameter list of FORMAT UNIT, SANITIZE, SEND DIAGNOSTIC or WRITE SCATTERED; the
// first byte chooses.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/assert.h"
#include "scsi/format.h"
#include "scsi/maintenance.h"
#include "scsi/request_testing.h"
#include "scsi/scattered.h"

using namespace olio;
using namespace olio::scsi;

namespace {

void check(const SenseData& error) {
    OLIO_ASSERT(error.key == SenseKey::illegal_request, "no other error");
}

void format(const scsi::testing::Asked& unit, std::string_view cdb, Bytes list) {
    const auto fields =
        unit.handle(cdb, [&](const Request& request) { return parse_format(request, list); });
    if (!fields) {
        check(fields.error());
        return;
    }
    OLIO_ASSERT(fields->pattern.size() <= unit.state.geometry.block_bytes, "it fits a block");
    OLIO_ASSERT(fields->protection_type <= (unit.state.protection.supported ? 3 : 0),
                "a type that the unit can have");
}

void sanitize(const scsi::testing::Asked& unit, Bytes list) {
    const auto fields = unit.handle("48 a1 00 00 00 00 00 ff ff 00", [&](const Request& request) {
        return parse_sanitize(request, list);
    });
    if (!fields) {
        check(fields.error());
        return;
    }
    OLIO_ASSERT(fields->passes >= 1 && fields->passes <= 31, "as many as the field can say");
    OLIO_ASSERT(!fields->pattern.empty(), "it writes something");
    const auto block =
        block_of_pattern(fields->pattern, unit.state.geometry.block_bytes, fields->invert);
    OLIO_ASSERT(block.size() == unit.state.geometry.block_bytes, "it fills a block");
}

void scattered(const scsi::testing::Asked& unit, Bytes list) {
    constexpr std::size_t data_blocks = 4;
    constexpr std::size_t ranges = 15;
    std::vector<std::uint8_t> data((1 + data_blocks) * unit.state.geometry.block_bytes);
    std::copy_n(list.begin(), std::min(list.size(), data.size()), data.begin());
    unit.handle("9f 12 00 00 00 01 00 00 00 0f 00 00 00 04 00 00", [&](const Request& request) {
        const auto fields = decode_scattered(request);
        OLIO_ASSERT(fields.has_value(), "the CDB is sound");
        const auto hull = check_scattered_list(data, *fields, request);
        if (!hull) {
            check(hull.error());
            return;
        }
        std::uint64_t total = 0;
        for (std::size_t i = 0; i < ranges; ++i) {
            const BlockRange range = scattered_range(data, i);
            total += range.blocks;
            OLIO_ASSERT(range.blocks == 0 || (range.lba >= hull->lba &&
                                              range.lba + range.blocks <= hull->lba + hull->blocks),
                        "every range lies in the hull");
        }
        OLIO_ASSERT(total <= data_blocks, "the data suffice");
        OLIO_ASSERT(hull->lba + hull->blocks <= unit.state.geometry.blocks,
                    "the hull lies on the medium");
    });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const scsi::testing::Asked unit;
    static scsi::testing::Asked protectable;
    protectable.state.protection.supported = true;
    if (size == 0)
        return 0;
    const Bytes list(data + 1, size - 1);
    if (data[0] == 0)
        format(unit, "04 18 00 00 00 00", list);
    else if (data[0] == 1)
        format(unit, "04 38 00 00 00 00", list);
    else if (data[0] == 2)
        sanitize(unit, list);
    else if (data[0] == 4)
        scattered(unit, list);
    else if (data[0] == 5)
        format(protectable, "04 98 00 00 00 00", list);
    else if (data[0] == 6)
        format(protectable, "04 f8 00 00 00 00", list);
    else if (const auto allowed = check_diagnostic_list(list); !allowed)
        check(allowed.error());
    return 0;
}
