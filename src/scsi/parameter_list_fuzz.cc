// Any bytes as the parameter list of MODE SELECT(6), MODE SELECT(10) or UNMAP, or as saved mode
// pages; the first byte chooses.
#include <array>
#include <cstddef>
#include <cstdint>

#include "base/assert.h"
#include "scsi/mode_page_table.h"
#include "scsi/request_testing.h"
#include "scsi/unmap_list.h"

using namespace olio;
using namespace olio::scsi;

namespace {

void select(const scsi::testing::Asked& unit, std::string_view cdb, Bytes list) {
    const auto values = unit.select(cdb, list);
    if (!values) {
        OLIO_ASSERT(values.error().key == SenseKey::illegal_request, "no other error");
        return;
    }
    for (const ModeField& field : mode_fields_table()) {
        const std::uint32_t value = field.get(*values);
        OLIO_ASSERT(
            field.changeable(unit.state.mode_pages) || value == field.get(unit.state.mode_pages),
            "only what is changeable changes");
        OLIO_ASSERT(field.accepted == 0 || (field.accepted >> value & 1) != 0,
                    "only to values that are accepted");
    }
    ModePages back;
    OLIO_ASSERT(decode_saved_mode_pages(encode_saved_mode_pages(*values),
                                        unit.state.default_mode_pages, back) &&
                    back == *values,
                "what is saved comes back");
}

// Any bytes as saved mode pages: they make a list or not.
void restore(const scsi::testing::Asked& unit, Bytes stored) {
    ModePages back;
    (void)decode_saved_mode_pages(stored, unit.state.default_mode_pages, back);
}

void unmap(const scsi::testing::Asked& unit, Bytes list) {
    std::array<BlockRange, 3> room;
    const auto ranges = parse_unmap_list(list, unit.state, room);
    if (!ranges)
        return;
    std::uint64_t total = 0;
    for (const BlockRange& range : *ranges) {
        OLIO_ASSERT(range.blocks != 0 && range.lba < unit.state.geometry.blocks &&
                        range.blocks <= unit.state.geometry.blocks - range.lba,
                    "an accepted range lies on the medium");
        total += range.blocks;
    }
    OLIO_ASSERT(total <= unit.state.provisioning.maximum_unmap_blocks, "the limit holds");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const scsi::testing::Asked unit;
    if (size == 0)
        return 0;
    const Bytes list(data + 1, size - 1);
    if (data[0] == 0)
        select(unit, "15 10 00 00 ff 00", list);
    else if (data[0] == 1)
        select(unit, "55 10 00 00 00 00 00 ff ff 00", list);
    else if (data[0] == 0xFF)
        restore(unit, list);
    else
        unmap(unit, list);
    return 0;
}
