// Any bytes as headers, additional headers, text and binary values: nothing may be read or written
// outside them, and what is decoded must encode to what decodes the same.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>

#include "fabric/iscsi/pdu.h"
#include "fabric/iscsi/text.h"

namespace {

using namespace olio;
using namespace olio::iscsi;

template <class Pdu>
void check(const BasicHeader& bhs) {
    const BasicHeader once = encode(decode<Pdu>(bhs), data_segment_length(bhs));
    if (encode(decode<Pdu>(once), data_segment_length(once)) != once)
        std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const Bytes input(data, size);
    if (size >= bhs_bytes) {
        BasicHeader bhs;
        std::copy_n(data, bhs_bytes, bhs.begin());
        check<ScsiCommandPdu>(bhs);
        check<TaskManagementRequestPdu>(bhs);
        check<DataOutPdu>(bhs);
        check<LoginRequestPdu>(bhs);
        check<TextRequestPdu>(bhs);
        check<LogoutRequestPdu>(bhs);
        check<SnackRequestPdu>(bhs);
        check<NopOutPdu>(bhs);
        check<ScsiResponsePdu>(bhs);
        check<DataInPdu>(bhs);
        check<ReadyToTransferPdu>(bhs);
        check<AsyncMessagePdu>(bhs);
        check<RejectPdu>(bhs);
        (void)parse_additional_headers(input.subspan(bhs_bytes));
    }
    (void)parse_additional_headers(input);
    if (const auto pairs = parse_text(as_text(input)))
        for (const KeyValue& pair : *pairs) {
            (void)parse_number(pair.value);
            (void)split_list(pair.value);
            (void)valid_name(pair.value);
            std::array<std::uint8_t, 32> small;
            if (const auto length = parse_binary(pair.value, small);
                length && *length > small.size())
                std::abort();
        }
    return 0;
}
