// Any bytes as the INFORMATION TYPE and the parameter list of SET IDENTIFYING INFORMATION; what is
// taken is reported as it was given.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/assert.h"
#include "scsi/request_testing.h"
#include "scsi/unit_information.h"

using namespace olio;
using namespace olio::scsi;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0)
        return 0;
    scsi::testing::Asked unit;
    const Bytes list(data + 1, size - 1);
    const auto type = static_cast<std::uint8_t>(data[0] & 0xFE);
    const std::uint8_t set[12]{0xA4, 0x06, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, type, 0};
    const auto next = unit.handle(
        set, [&](const Request& request) { return set_identifying_information(request, list); });
    if (!next) {
        OLIO_ASSERT(next.error().key == SenseKey::illegal_request, "no other error");
        return 0;
    }
    unit.state.identifying_information = *next;
    const std::uint8_t report[12]{0xA3, 0x05, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, type, 0};
    const auto back = unit.ask(report);
    OLIO_ASSERT(back && back->size() == list.size() + 4 &&
                    std::equal(list.begin(), list.end(), back->begin() + 4),
                "what was set is reported");
    return 0;
}
