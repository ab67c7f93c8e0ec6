// A whole connection: a login and then any bytes, against the real engine with a disk in memory.
// The first byte of a step decides how many bytes come at once; whatever comes, the session must
// end.
#include <algorithm>
#include <cstdint>
#include <memory>

#include "fabric/iscsi/connection_testing.h"

namespace {

using namespace olio;
using namespace olio::iscsi;

struct Policy final : LoginPolicy {
    TargetSelection select(const LoginIdentity&) override {
        TargetSelection selection;
        // Digests would keep the fuzzer out.
        selection.settings.header_digests = selection.settings.data_digests = 1;
        return selection;
    }
};

// Feeds requests to the login until it is complete; what is left belongs to the connection.
bool log_in(Login& login, Bytes& stream) {
    while (stream.size() >= bhs_bytes) {
        BasicHeader bhs;
        std::ranges::copy(stream.first(bhs_bytes), bhs.begin());
        const std::size_t length = data_segment_length(bhs);
        const std::size_t total = bhs_bytes + ahs_length(bhs) + length + padding(length);
        if (length > login_segment_bytes || total > stream.size())
            return false;
        LoginStep step = login.request(bhs, stream.subspan(bhs_bytes + ahs_length(bhs), length));
        stream = stream.subspan(total);
        if (step == LoginStep::admit)
            step = login.admitted(LoginStatus::success, 1);
        if (step != LoginStep::reply)
            return false;
        if (login.complete())
            return true;
    }
    return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static testing::Machine machine;
    Bytes stream(data, size);
    Policy policy;
    Login login(policy);
    if (!log_in(login, stream))
        return 0;
    testing::Host::Options options;
    options.parameters = login.parameters();
    options.discovery = login.identity().discovery;
    options.first_cmd_sn = login.initial_cmd_sn();
    options.command_window = login.command_window();
    options.receive_step = size % 3 == 0 ? 7 : SIZE_MAX;
    options.send_step = size % 5 == 0 ? 11 : SIZE_MAX;
    machine.medium.hold = size % 7 == 0;
    testing::Host host(machine, options);
    host.targets.assign(9000, 'x');
    host.send_raw(stream);
    machine.on_shard([] { machine.medium.release(); });
    host.run();
    host.advance(options.times.data_out);
    return 0;
}
