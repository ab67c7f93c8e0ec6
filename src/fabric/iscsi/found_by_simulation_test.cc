// What the simulator (tests/sim) found in the iSCSI fabric, each as a small case.
#include <gtest/gtest.h>

#include <algorithm>

#include "fabric/iscsi/connection_testing.h"

namespace olio::iscsi {
namespace {

using testing::Host;
using testing::HostPdu;
using testing::Machine;

class FoundBySimulation : public ::testing::Test {
  protected:
    void start() {
        host = std::make_unique<Host>(machine, options);
        host->send(encode(host->command(0xfffffff0, {0, 0, 0, 0, 0, 0}, final_bit, 0)));
        EXPECT_EQ(host->take().size(), 1u);  // the first unit attention
    }
    Machine machine;
    Host::Options options;
    std::unique_ptr<Host> host;
};

// A long read gives way to others after each burst; the response to a task management function is
// not one of them: the host takes it for the end of all that the function covers.
TEST_F(FoundBySimulation, ATaskManagementResponseComesBehindTheDataOfWhatItCovers) {
    options.parameters.max_burst_bytes = 512;
    options.parameters.initiator_max_recv_bytes = 512;
    start();
    host->reading = false;
    host->read(1, 0, 200);
    host->abort(2, 0xffffffff, 0, TaskManagementFunction::abort_task_set);
    host->reading = true;
    host->run();
    const std::vector<HostPdu> pdus = host->take();
    ASSERT_EQ(pdus.size(), 201u);
    EXPECT_EQ(pdus.back().opcode(), Opcode::task_management_response);
    EXPECT_NE(pdus[199].as<DataInPdu>().flags & data_in_flags::status, 0);
}

// R2Ts that the host was never sent do not count in ExpDataSN (RFC 7143 11.4.8).
TEST_F(FoundBySimulation, ExpDataSnDoesNotCountR2tsThatWereTakenBack) {
    options.parameters.max_outstanding_r2t = 4;
    options.parameters.max_burst_bytes = 512;
    options.times = {
        .idle = 1'000'000'000'000, .answer = 1'000'000'000'000, .data_out = 1'000'000'000};
    start();
    host->reading = false;
    host->write(1, 0, 8, {});
    host->advance(options.times.data_out + 1);
    host->reading = true;
    host->run();
    const std::vector<HostPdu> pdus = host->take();
    const auto r2ts = std::ranges::count(pdus, Opcode::ready_to_transfer, &HostPdu::opcode);
    ASSERT_FALSE(pdus.empty());
    ASSERT_EQ(pdus.back().opcode(), Opcode::scsi_response);
    EXPECT_EQ(pdus.back().as<ScsiResponsePdu>().exp_data_sn, r2ts);
}

}  // namespace
}  // namespace olio::iscsi
