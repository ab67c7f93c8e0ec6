// Any bytes as the CDB's fields and the parameter list of LOG SELECT.
#include <cstddef>
#include <cstdint>

#include "base/assert.h"
#include "scsi/log_pages.h"
#include "scsi/request_testing.h"

using namespace olio;
using namespace olio::scsi;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const scsi::testing::Asked unit;
    if (size < 3)
        return 0;
    const std::uint8_t cdb[10]{
        0x4C, static_cast<std::uint8_t>(data[0] & 0x02), data[1], data[2], 0, 0, 0, 0xFF, 0xFF, 0};
    const auto changes = unit.handle(cdb, [&](const Request& request) {
        return log_select(request, Bytes(data + 3, size - 3));
    });
    if (!changes) {
        OLIO_ASSERT(changes.error().key == SenseKey::illegal_request, "no other error");
        return 0;
    }
    OLIO_ASSERT(changes->counters.size() <= size + log_parameters().size() + log_counters,
                "no more changes than the list has bytes, or counters there are");
    for (const LogChange& change : changes->counters) {
        OLIO_ASSERT(change.counter < LogCounter::count, "it is a counter");
        OLIO_ASSERT(change.counter != LogCounter::always_zero || change.value == 0,
                    "what is never counted stays zero");
    }
    return 0;
}
