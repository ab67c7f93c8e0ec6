// A login by any sequence of PDUs. The input is a series of records: one byte of policy first, then
// for each PDU two bytes of data length (little end first), the 48 bytes of its header and its
// data.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "fabric/iscsi/login.h"

namespace {

using namespace olio;
using namespace olio::iscsi;

struct Policy final : LoginPolicy {
    explicit Policy(std::uint8_t choice) : choice_(choice) {}
    TargetSelection select(const LoginIdentity&) override {
        TargetSelection selection;
        if ((choice_ & 1) != 0) {
            auto settings = std::make_shared<AuthenticationSettings>();
            settings->accepted = {{"user", "a secret of enough bytes"}};
            settings->mutual = ChapCredentials{"target", "another secret of enough bytes"};
            selection.authentication = settings;
        }
        if ((choice_ & 2) != 0) {
            selection.settings.header_digests = 0b10;
            selection.settings.max_burst_bytes = 65536;
        }
        if ((choice_ & 4) != 0) {
            selection.status = LoginStatus::moved_permanently;
            selection.redirect_address = "192.0.2.1:3260";
        }
        return selection;
    }
    std::uint8_t choice_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Cursor cursor(Bytes(data, size));
    const std::uint8_t choice = cursor.u8();
    Policy policy(choice);
    Login login(policy);
    while (cursor.remaining() >= 2 + bhs_bytes) {
        const std::size_t low = cursor.u8();
        std::size_t length = low | std::size_t{cursor.u8()} << 8;
        BasicHeader bhs;
        std::ranges::copy(cursor.bytes(bhs_bytes), bhs.begin());
        length = std::min({length, cursor.remaining(), login_segment_bytes});
        LoginStep step = login.request(bhs, cursor.bytes(length));
        if (step == LoginStep::admit)
            step = login.admitted(
                (choice & 8) != 0 ? LoginStatus::session_does_not_exist : LoginStatus::success, 1);
        if (login.reply().data.size() > login_segment_bytes)
            std::abort();
        const auto status = decode<LoginResponsePdu>(login.reply().header).status;
        if ((step == LoginStep::reply_and_close) != (status != LoginStatus::success))
            std::abort();
        if (step != LoginStep::reply || login.complete())
            break;
    }
    const NegotiatedParameters& result = login.parameters();
    if (result.first_burst_bytes < 512 || result.max_burst_bytes < 512 ||
        result.initiator_max_recv_bytes < 512 || result.max_outstanding_r2t == 0)
        std::abort();
    return 0;
}
