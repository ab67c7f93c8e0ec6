#include "fabric/iscsi/connection.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "fabric/iscsi/connection_testing.h"

namespace olio::iscsi {
namespace {

using testing::block_bytes;
using testing::Host;
using testing::HostPdu;
using testing::Machine;

constexpr std::uint8_t write_flags = command_flags::write | 1;

std::vector<std::uint8_t> pattern(std::size_t length, unsigned seed = 1) {
    std::vector<std::uint8_t> bytes(length);
    for (std::size_t i = 0; i < length; ++i)
        bytes[i] = static_cast<std::uint8_t>(i * 7 + seed * 31 + (i >> 8));
    return bytes;
}

class ConnectionTest : public ::testing::Test {
  protected:
    ConnectionTest() {
        options_.parameters.initial_r2t = 0;
        options_.parameters.initiator_max_recv_bytes = 4096;
        options_.parameters.target_max_recv_bytes = 8192;
    }
    // The first command of a nexus meets UNIT ATTENTION (29/00); it is cleared here.
    Host& host() {
        if (host_ == nullptr) {
            host_ = std::make_unique<Host>(machine_, options_);
            if (!options_.discovery) {
                host_->send(encode(host_->command(0xfffffff0, {0, 0, 0, 0, 0, 0}, final_bit, 0)));
                EXPECT_EQ(host_->take().size(), 1u);
            }
        }
        return *host_;
    }
    // The status of a command that ended, from a SCSI Response or a Data-In; -1: no answer.
    int status_of(std::uint32_t tag, const std::vector<HostPdu>& pdus) {
        for (const HostPdu& pdu : pdus) {
            if (initiator_task_tag(pdu.header) != tag)
                continue;
            if (pdu.opcode() == Opcode::scsi_response)
                return pdu.as<ScsiResponsePdu>().status;
            if (pdu.opcode() == Opcode::data_in &&
                (pdu.as<DataInPdu>().flags & data_in_flags::status) != 0)
                return pdu.as<DataInPdu>().status;
        }
        return -1;
    }
    unsigned sense_of(const HostPdu& pdu) {
        return pdu.data.size() < 16 ? 0 : pdu.data[14] << 8 | pdu.data[15];
    }
    std::vector<std::uint8_t> data_of(std::uint32_t tag, const std::vector<HostPdu>& pdus) {
        std::vector<std::uint8_t> data;
        for (const HostPdu& pdu : pdus)
            if (pdu.opcode() == Opcode::data_in && initiator_task_tag(pdu.header) == tag) {
                EXPECT_EQ(pdu.as<DataInPdu>().buffer_offset, data.size());
                data.insert(data.end(), pdu.data.begin(), pdu.data.end());
            }
        return data;
    }
    // Answers R2Ts until the command has ended; PDUs of 1024 bytes.
    int finish_write(std::uint32_t tag, const std::vector<std::uint8_t>& data) {
        for (unsigned rounds = 0; rounds < 100; ++rounds) {
            const std::vector<HostPdu> pdus = host().take();
            if (const int status = status_of(tag, pdus); status >= 0)
                return status;
            for (const HostPdu& pdu : pdus) {
                if (pdu.opcode() != Opcode::ready_to_transfer)
                    continue;
                const auto r2t = pdu.as<ReadyToTransferPdu>();
                ++r2ts_;
                std::uint32_t sn = 0;
                for (std::uint32_t at = 0; at < r2t.desired_length; at += 1024) {
                    const std::uint32_t length = std::min(1024u, r2t.desired_length - at);
                    host().data_out(tag, r2t.transfer_tag, sn++, r2t.buffer_offset + at,
                                    Bytes(data).subspan(r2t.buffer_offset + at, length),
                                    at + length == r2t.desired_length);
                }
            }
        }
        return -1;
    }
    Bytes disk(std::uint32_t lba, std::size_t length) {
        return Bytes(machine_.medium.bytes).subspan(lba * block_bytes, length);
    }

    Machine machine_;
    Host::Options options_;
    std::unique_ptr<Host> host_;
    unsigned r2ts_ = 0;
};

TEST_F(ConnectionTest, ReadsInSegmentsWithStatusInTheLast) {
    options_.parameters.max_burst_bytes = 8192;
    machine_.medium.bytes = pattern(machine_.medium.bytes.size());
    host().read(7, 3, 40);
    const auto pdus = host().take();
    ASSERT_EQ(pdus.size(), 5u);
    EXPECT_TRUE(std::ranges::equal(data_of(7, pdus), disk(3, 40 * block_bytes)));
    for (std::uint32_t i = 0; i < 5; ++i) {
        const auto pdu = pdus[i].as<DataInPdu>();
        EXPECT_EQ(pdu.data_sn, i);
        EXPECT_EQ((pdu.flags & final_bit) != 0, i % 2 == 1 || i == 4) << i;
        EXPECT_EQ((pdu.flags & data_in_flags::acknowledge), 0);
    }
    EXPECT_EQ(pdus[4].as<DataInPdu>().flags & 0x7f, data_in_flags::status);
    EXPECT_EQ(status_of(7, pdus), 0);
}

TEST_F(ConnectionTest, WritesWithAllFourCombinationsOfInitialR2tAndImmediateData) {
    for (const unsigned combination : {0u, 1u, 2u, 3u}) {
        SCOPED_TRACE(combination);
        host_.reset();
        options_.parameters.initial_r2t = combination & 1;
        options_.parameters.immediate_data = combination >> 1;
        options_.parameters.first_burst_bytes = 4096;
        options_.parameters.max_burst_bytes = 6144;
        options_.parameters.max_outstanding_r2t = 2;
        const auto data = pattern(64 * block_bytes, combination);
        const std::size_t immediate = (combination & 2) != 0 ? 1024 : 0;
        const bool unsolicited = (combination & 1) == 0;
        host().write(9, 100, 64, Bytes(data).first(immediate), !unsolicited);
        if (unsolicited) {
            std::uint32_t sn = 0;
            for (std::size_t at = immediate; at < 4096; at += 1024)
                host().data_out(9, reserved_tag, sn++, static_cast<std::uint32_t>(at),
                                Bytes(data).subspan(at, 1024), at + 1024 == 4096);
        }
        EXPECT_EQ(finish_write(9, data), 0);
        EXPECT_TRUE(std::ranges::equal(disk(100, data.size()), data));
    }
    EXPECT_GT(r2ts_, 8u);
}

TEST_F(ConnectionTest, KeepsNoMoreR2tsOutstandingThanNegotiated) {
    options_.parameters.max_outstanding_r2t = 3;
    options_.parameters.max_burst_bytes = 1024;
    host().write(1, 0, 20, {});
    const auto pdus = host().take();
    ASSERT_EQ(pdus.size(), 3u);
    for (std::uint32_t i = 0; i < 3; ++i) {
        const auto r2t = pdus[i].as<ReadyToTransferPdu>();
        EXPECT_EQ(r2t.r2t_sn, i);
        EXPECT_EQ(r2t.buffer_offset, i * 1024);
        EXPECT_EQ(r2t.desired_length, 1024u);
    }
    const auto data = pattern(1024);
    const auto second = pdus[1].as<ReadyToTransferPdu>();
    host().data_out(1, second.transfer_tag, 0, second.buffer_offset, data, true);
    const auto more = host().take();
    ASSERT_EQ(more.size(), 1u);
    EXPECT_EQ(more[0].as<ReadyToTransferPdu>().buffer_offset, 3u * 1024);
}

TEST_F(ConnectionTest, TheSameBytesInAnyPiecesHaveTheSameEffect) {
    for (const std::size_t step : {1, 2, 3, 7, 47, 48, 49, 500, 5000}) {
        for (const std::uint32_t digests : {0u, 1u}) {
            SCOPED_TRACE(step);
            host_.reset();
            options_.receive_step = step;
            options_.send_step = step;
            options_.parameters.header_digest = options_.parameters.data_digest = digests;
            const auto data = pattern(6 * block_bytes + 0, static_cast<unsigned>(step));
            host().write(5, 8, 6, Bytes(data).first(1023 + 1), true);
            EXPECT_EQ(finish_write(5, data), 0);
            host().read(6, 8, 6);
            const auto pdus = host().take();
            EXPECT_EQ(data_of(6, pdus), data);
            EXPECT_EQ(status_of(6, pdus), 0);
        }
    }
}

TEST_F(ConnectionTest, AWriteIsDoneOnceHoweverItsDigestArrives) {
    // Another target wrote twice, once nothing, when the digest came in a packet of its own.
    options_.parameters.data_digest = 1;
    options_.receive_step = 1;
    const auto data = pattern(block_bytes);
    host().write(5, 0, 1, data);
    EXPECT_EQ(status_of(5, host().take()), 0);
    EXPECT_EQ(machine_.medium.writes, 1u);
}

TEST_F(ConnectionTest, AWrongHeaderDigestEndsTheConnection) {
    options_.parameters.header_digest = 1;
    host().send_spoiled(encode(host().command(1, {0, 0, 0, 0, 0, 0}, final_bit, 0)), {}, true);
    EXPECT_TRUE(host().dropped());
}

TEST_F(ConnectionTest, AWrongDataDigestFailsTheCommandAndWritesNothing) {
    options_.parameters.data_digest = 1;
    const auto data = pattern(block_bytes);
    auto pdu = host().command(3, {0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0}, final_bit | write_flags, 512);
    host().send_spoiled(encode(pdu), data, false);
    const auto reject = host().take_one(Opcode::reject);
    ASSERT_TRUE(reject);
    EXPECT_EQ(reject->as<RejectPdu>().reason, RejectReason::data_digest_error);
    ASSERT_EQ(reject->data.size(), bhs_bytes);
    const auto response = host().take_one(Opcode::scsi_response);
    ASSERT_TRUE(response);
    EXPECT_EQ(response->as<ScsiResponsePdu>().status, 2);
    EXPECT_EQ(sense_of(*response), 0x4705u);
    EXPECT_EQ(machine_.medium.writes, 0u);
    host().read(4, 0, 1);
    EXPECT_EQ(status_of(4, host().take()), 0);
}

TEST_F(ConnectionTest, UnsolicitedDataThatWasNotAgreedOnFailsTheCommand) {
    const auto data = pattern(4 * block_bytes);
    for (const unsigned fault : {0u, 1u, 2u}) {
        SCOPED_TRACE(fault);
        host_.reset();
        options_.parameters.immediate_data = fault != 0;
        options_.parameters.initial_r2t = fault == 1;
        options_.parameters.first_burst_bytes = 1024;
        host().write(3, 0, 4, Bytes(data).first(fault == 2 ? 2048 : 512), fault != 1);
        const auto response = host().take_one(Opcode::scsi_response);
        ASSERT_TRUE(response);
        EXPECT_EQ(sense_of(*response), 0x0c0cu);
        EXPECT_EQ(machine_.medium.writes, 0u);
    }
}

TEST_F(ConnectionTest, AWrongDataSnOrOffsetFailsTheCommand) {
    const auto data = pattern(block_bytes);
    for (const unsigned fault : {0u, 1u, 2u, 3u}) {
        SCOPED_TRACE(fault);
        host_.reset();
        host().write(3, 0, 2, {});
        const auto r2t = host().take_one(Opcode::ready_to_transfer);
        ASSERT_TRUE(r2t);
        const auto tag = r2t->as<ReadyToTransferPdu>().transfer_tag;
        if (fault == 0)
            host().data_out(3, tag, 1, 0, data, false);
        else if (fault == 1)
            host().data_out(3, tag, 0, 512, data, false);
        else if (fault == 2)
            host().data_out(3, tag, 0, 0, data, true);  // final, but not all of it
        else
            host().data_out(3, tag, 0, 0xfffffe00, data, true);
        const auto response = host().take_one(Opcode::scsi_response);
        ASSERT_TRUE(response);
        EXPECT_EQ(sense_of(*response), 0x0c0du);
        EXPECT_EQ(machine_.medium.writes, 0u);
    }
}

TEST_F(ConnectionTest, TakesPdusOfASequenceInAnyOrderWhereThatWasAgreedOn) {
    options_.parameters.data_pdu_in_order = 0;
    const auto data = pattern(4 * block_bytes);
    host().write(3, 0, 4, {});
    const auto r2t = host().take_one(Opcode::ready_to_transfer);
    ASSERT_TRUE(r2t);
    const auto tag = r2t->as<ReadyToTransferPdu>().transfer_tag;
    std::uint32_t sn = 0;
    for (const std::uint32_t piece : {2u, 0u, 3u, 1u})
        host().data_out(3, tag, sn++, piece * 512, Bytes(data).subspan(piece * 512, 512),
                        piece == 1);
    EXPECT_EQ(status_of(3, host().take()), 0);
    EXPECT_TRUE(std::ranges::equal(disk(0, data.size()), data));
}

TEST_F(ConnectionTest, TheSameBytesTwiceInOneSequenceAreRefused) {
    // What was not received would be whatever the buffer held before.
    options_.parameters.data_pdu_in_order = 0;
    const auto data = pattern(block_bytes);
    host().write(3, 0, 2, {});
    const auto r2t = host().take_one(Opcode::ready_to_transfer);
    ASSERT_TRUE(r2t);
    const auto tag = r2t->as<ReadyToTransferPdu>().transfer_tag;
    host().data_out(3, tag, 0, 0, data, false);
    host().data_out(3, tag, 1, 0, data, true);
    EXPECT_EQ(status_of(3, host().take()), 2);
    EXPECT_EQ(machine_.medium.writes, 0u);
}

TEST_F(ConnectionTest, ReportsResidualsBothWays) {
    auto more = host().command(1, {0x12, 0, 0, 0, 36, 0}, final_bit | command_flags::read | 1, 100);
    host().send(encode(more));
    auto pdus = host().take();
    ASSERT_FALSE(pdus.empty());
    EXPECT_EQ(pdus[0].as<DataInPdu>().flags & 0x06, data_in_flags::underflow);
    EXPECT_EQ(pdus[0].as<DataInPdu>().residual, 64u);
    auto less = host().command(2, {0x12, 0, 0, 0, 36, 0}, final_bit | command_flags::read | 1, 8);
    host().send(encode(less));
    pdus = host().take();
    ASSERT_FALSE(pdus.empty());
    EXPECT_EQ(pdus[0].data.size(), 8u);
    EXPECT_EQ(pdus[0].as<DataInPdu>().flags & 0x06, data_in_flags::overflow);
    EXPECT_EQ(pdus[0].as<DataInPdu>().residual, 28u);
}

TEST_F(ConnectionTest, CommandsOutsideTheWindowAndRepeatedOnesAreIgnored) {
    Host& target = host();
    auto pdu = target.command(1, {0, 0, 0, 0, 0, 0}, final_bit, 0);
    pdu.cmd_sn = target.cmd_sn - 2;  // was used
    target.send(encode(pdu));
    pdu.cmd_sn = target.cmd_sn + 40;  // beyond MaxCmdSN
    target.send(encode(pdu));
    EXPECT_TRUE(target.take().empty());
    --target.cmd_sn;
    target.read(2, 0, 1);
    EXPECT_EQ(status_of(2, target.take()), 0);
}

TEST_F(ConnectionTest, CommandsAheadOfTheirTurnWaitForIt) {
    const auto data = pattern(2 * block_bytes);
    const std::uint32_t first = host().cmd_sn;
    host().cmd_sn = first + 2;
    host().write(3, 4, 2, data);  // with its data
    host().cmd_sn = first + 1;
    host().read(2, 50, 2);
    EXPECT_TRUE(host().take().empty());
    host().cmd_sn = first;
    host().read(1, 0, 1);
    const auto pdus = host().take();
    EXPECT_EQ(status_of(1, pdus), 0);
    EXPECT_EQ(status_of(2, pdus), 0);
    EXPECT_EQ(status_of(3, pdus), 0);
    EXPECT_EQ(data_of(2, pdus), std::vector<std::uint8_t>(2 * block_bytes));
    EXPECT_TRUE(std::ranges::equal(disk(4, data.size()), data));
}

TEST_F(ConnectionTest, ACommandBeyondTheWindowIsIgnored) {
    const std::uint32_t first = host().cmd_sn;
    host().cmd_sn = first + options_.command_window;  // MaxCmdSN + 1: RFC 7143 4.2.2.1
    host().read(2, 0, 1);
    EXPECT_TRUE(host().take().empty());
    host().cmd_sn = first;
    for (std::uint32_t tag = 100; tag < 100 + options_.command_window; ++tag)
        host().read(tag, 0, 1);
    EXPECT_EQ(status_of(100 + options_.command_window - 1, host().take()), 0);
    EXPECT_FALSE(host().session().find_task(2)) << "it was kept until its turn came";
    // Its number is still free for a command that comes in time.
    host().read(3, 0, 1);
    EXPECT_EQ(status_of(3, host().take()), 0);
}

TEST_F(ConnectionTest, AReadThatIsNotFinalOrBringsDataIsRejected) {
    for (const bool with_data : {false, true}) {
        auto pdu = host().command(1, {0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0},
                                  static_cast<std::uint8_t>(with_data ? final_bit | 0x40 : 0x40),
                                  block_bytes);
        host().send(encode(pdu, with_data ? 16 : 0), pattern(with_data ? 16 : 0));
        --host().cmd_sn;
        const auto reject = host().take_one(Opcode::reject);
        ASSERT_TRUE(reject) << with_data;
        EXPECT_EQ(reject->as<RejectPdu>().reason, RejectReason::protocol_error);
    }
}

TEST_F(ConnectionTest, AbortTaskFillsTheGapOfACommandThatNeverCame) {
    const std::uint32_t missing = host().cmd_sn++;
    host().read(2, 0, 1);
    EXPECT_TRUE(host().take().empty());
    host().abort(9, 1, missing);
    const auto pdus = host().take();
    ASSERT_EQ(pdus.size(), 2u);
    EXPECT_EQ(pdus[0].as<TaskManagementResponsePdu>().response, TaskManagementResult::complete);
    EXPECT_EQ(status_of(2, pdus), 0);
}

TEST_F(ConnectionTest, ALostConnectionWithGapsAndAbortsLeavesNothing) {
    host().cmd_sn += 2;
    host().write(3, 0, 4, pattern(512), true);
    host().abort(9, 77, host().cmd_sn - 3, TaskManagementFunction::logical_unit_reset);
    EXPECT_TRUE(host().take().empty());
    host_.reset();  // asserts that the session ends
}

TEST_F(ConnectionTest, TheWindowOpensAgainWithTheLastAnswer) {
    // Another target opened the window with a later PDU that never came.
    options_.command_window = 1;
    for (std::uint32_t tag = 1; tag < 20; ++tag) {
        host().read(tag, 0, 1);
        const auto pdus = host().take();
        ASSERT_EQ(pdus.size(), 1u);
        const auto pdu = pdus[0].as<DataInPdu>();
        EXPECT_EQ(pdu.numbering.exp_cmd_sn, host().cmd_sn);
        EXPECT_EQ(pdu.numbering.max_cmd_sn, host().cmd_sn);
    }
}

TEST_F(ConnectionTest, TheWindowClosesByWhatIsOutstanding) {
    options_.command_window = 4;
    (void)host();
    machine_.medium.hold = true;
    for (std::uint32_t tag = 1; tag <= 5; ++tag)
        host().read(tag, 0, 1);
    NopOutPdu nop;
    nop.immediate = true;
    nop.task_tag = 99;
    host().send(encode(nop));
    auto pdus = host().take();
    ASSERT_EQ(pdus.size(), 1u);
    const Numbering closed = pdus[0].as<NopInPdu>().numbering;
    EXPECT_EQ(closed.max_cmd_sn + 1, closed.exp_cmd_sn);
    machine_.on_shard([this] { machine_.medium.release(); });
    host().run();
    pdus = host().take();
    EXPECT_EQ(status_of(4, pdus), 0);
    EXPECT_EQ(status_of(5, pdus), -1);  // was outside the window
}

TEST_F(ConnectionTest, StatSnGrowsWithEachStatusAndNotWithR2ts) {
    host().read(1, 0, 1);
    const auto first = host().take()[0].as<DataInPdu>().numbering.stat_sn;
    host().write(2, 0, 2, {});
    EXPECT_EQ(host().take()[0].as<ReadyToTransferPdu>().numbering.stat_sn, first + 1);
    host().read(3, 0, 1);
    EXPECT_EQ(host().take()[0].as<DataInPdu>().numbering.stat_sn, first + 1);
}

TEST_F(ConnectionTest, AbortTaskBetweenR2tAndDataOutIsAnsweredAndLateDataDropped) {
    const auto data = pattern(2 * block_bytes);
    host().write(3, 0, 2, {});
    const auto r2t = host().take_one(Opcode::ready_to_transfer);
    ASSERT_TRUE(r2t);
    host().abort(4, 3, host().cmd_sn - 1);
    const auto answer = host().take_one(Opcode::task_management_response);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->as<TaskManagementResponsePdu>().response, TaskManagementResult::complete);
    host().data_out(3, r2t->as<ReadyToTransferPdu>().transfer_tag, 0, 0, data, true);
    EXPECT_TRUE(host().take().empty());
    EXPECT_EQ(machine_.medium.writes, 0u);
    host().read(3, 0, 1);
    EXPECT_EQ(status_of(3, host().take()), 0);
}

TEST_F(ConnectionTest, AbortTaskInTheMiddleOfADataSegmentTakesTheMemoryBack) {
    // Half a segment is there and the rest may never come: the window into the command's memory is
    // lent.
    const auto data = pattern(8 * block_bytes);
    host().write(3, 0, 8, {});
    const auto r2t = host().take_one(Opcode::ready_to_transfer)->as<ReadyToTransferPdu>();
    DataOutPdu pdu;
    pdu.flags = final_bit;
    pdu.task_tag = 3;
    pdu.transfer_tag = r2t.transfer_tag;
    const BasicHeader header = encode(pdu, data.size());
    host().send_raw(header);
    host().send_raw(Bytes(data).first(1000));
    // The engine ends the task meanwhile: here by what another connection could have sent.
    TaskManagementRequestPdu abort;
    abort.immediate = true;
    abort.flags = final_bit | static_cast<std::uint8_t>(TaskManagementFunction::abort_task);
    abort.task_tag = 4;
    abort.referenced_task_tag = 3;
    abort.ref_cmd_sn = host().cmd_sn - 1;
    abort.cmd_sn = host().cmd_sn;
    machine_.on_shard(
        [&] { EXPECT_TRUE(host().session().task_management(host().connection(), abort)); });
    EXPECT_EQ(host().renewals, 1u);
    host().run();
    EXPECT_TRUE(host().take_one(Opcode::task_management_response));
    host().send_raw(Bytes(data).subspan(1000));
    EXPECT_EQ(machine_.medium.writes, 0u);
    host().read(5, 0, 1);
    EXPECT_EQ(status_of(5, host().take()), 0);
}

TEST_F(ConnectionTest, DataOutThatNeverComesEndsInAnErrorNotInAHang) {
    host().write(3, 0, 2, {});
    ASSERT_TRUE(host().take_one(Opcode::ready_to_transfer));
    host().advance(options_.times.data_out + 1);
    const auto response = host().take_one(Opcode::scsi_response);
    ASSERT_TRUE(response);
    EXPECT_EQ(sense_of(*response), 0x4b06u);
}

TEST_F(ConnectionTest, TaskManagementAnswersAsTheRfcSays) {
    const struct {
        std::uint8_t function;
        TaskManagementResult result;
    } cases[] = {
        {1, TaskManagementResult::task_does_not_exist},
        {2, TaskManagementResult::complete},
        {4, TaskManagementResult::complete},
        {5, TaskManagementResult::complete},
        {6, TaskManagementResult::complete},
        {8, TaskManagementResult::allegiance_reassignment_not_supported},
        {9, TaskManagementResult::function_not_supported},  // RFC 7144 was not negotiated
        {77, TaskManagementResult::function_not_supported},
    };
    for (const auto& each : cases) {
        SCOPED_TRACE(each.function);
        host().abort(50, 1234, host().cmd_sn - 1,
                     static_cast<TaskManagementFunction>(each.function));
        const auto answer = host().take_one(Opcode::task_management_response);
        ASSERT_TRUE(answer);
        EXPECT_EQ(answer->as<TaskManagementResponsePdu>().response, each.result);
    }
}

TEST_F(ConnectionTest, QueryAsynchronousEventTellsWhatWaits) {
    options_.parameters.protocol_level = 2;
    const auto ask = [this](TaskManagementFunction function) {
        host().abort(50, 1234, host().cmd_sn - 1, function);
        const auto answer = host().take_one(Opcode::task_management_response);
        return answer ? answer->as<TaskManagementResponsePdu>() : TaskManagementResponsePdu{};
    };
    const auto nothing = ask(TaskManagementFunction::query_async_event);
    EXPECT_EQ(nothing.response, TaskManagementResult::complete);
    EXPECT_EQ(nothing.additional, (std::array<std::uint8_t, 3>{}));
    EXPECT_EQ(ask(TaskManagementFunction::i_t_nexus_reset).response,
              TaskManagementResult::complete);
    const auto waiting = ask(TaskManagementFunction::query_async_event);
    EXPECT_EQ(waiting.response, TaskManagementResult::succeeded);
    // One event (UADE DEPTH 01b), UNIT ATTENTION, I_T NEXUS LOSS OCCURRED.
    EXPECT_EQ(waiting.additional, (std::array<std::uint8_t, 3>{0x16, 0x29, 0x07}));
}

TEST_F(ConnectionTest, ColdResetIsReportedToTheOwner) {
    host().abort(50, 1234, 0, TaskManagementFunction::target_cold_reset);
    EXPECT_TRUE(host().take_one(Opcode::task_management_response));
    EXPECT_TRUE(host().cold_reset_seen);
}

TEST_F(ConnectionTest, NopOutIsEchoedUpToTheInitiatorsLimit) {
    NopOutPdu nop;
    nop.immediate = true;
    nop.task_tag = 5;
    const auto data = pattern(6000);
    host().send(encode(nop), data);
    const auto answer = host().take_one(Opcode::nop_in);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->as<NopInPdu>().task_tag, 5u);
    EXPECT_EQ(answer->as<NopInPdu>().transfer_tag, reserved_tag);
    EXPECT_TRUE(std::ranges::equal(answer->data, Bytes(data).first(4096)));
    nop.task_tag = reserved_tag;
    host().send(encode(nop));
    EXPECT_TRUE(host().take().empty());
}

TEST_F(ConnectionTest, SilenceIsAnsweredByAPingAndThenByTheEnd) {
    (void)host();
    host().advance(options_.times.idle);
    const auto ping = host().take_one(Opcode::nop_in);
    ASSERT_TRUE(ping);
    EXPECT_EQ(ping->as<NopInPdu>().task_tag, reserved_tag);
    NopOutPdu nop;
    nop.immediate = true;
    nop.transfer_tag = ping->as<NopInPdu>().transfer_tag;
    host().send(encode(nop));
    host().advance(options_.times.answer);
    EXPECT_FALSE(host().dropped());
    host().advance(options_.times.idle);
    EXPECT_TRUE(host().take_one(Opcode::nop_in));
    host().advance(options_.times.answer);
    EXPECT_TRUE(host().dropped());
}

TEST_F(ConnectionTest, RejectsWhatItDoesNotKnowWithACopyOfTheHeader) {
    const struct {
        std::uint8_t byte0;
        RejectReason reason;
    } cases[] = {{0x10, RejectReason::snack_reject},
                 {0x43, RejectReason::protocol_error},
                 {0x0f, RejectReason::command_not_supported},
                 {0x1c, RejectReason::command_not_supported},
                 {0x21, RejectReason::command_not_supported}};
    for (const auto& each : cases) {
        BasicHeader bhs{};
        bhs[0] = each.byte0;
        bhs[47] = 0x77;
        host().send(bhs, pattern(10));
        const auto reject = host().take_one(Opcode::reject);
        ASSERT_TRUE(reject);
        EXPECT_EQ(reject->as<RejectPdu>().reason, each.reason);
        EXPECT_EQ(reject->as<RejectPdu>().task_tag, reserved_tag);
        ASSERT_EQ(reject->data.size(), bhs_bytes);
        EXPECT_EQ(reject->data[47], 0x77);
    }
    EXPECT_FALSE(host().dropped());
}

TEST_F(ConnectionTest, ARejectedCommandsNumberIsNotUsedUp) {
    auto pdu = host().command(1, {0, 0, 0, 0, 0, 0}, final_bit | 7, 0);  // no such attribute
    host().send(encode(pdu));
    EXPECT_TRUE(host().take_one(Opcode::reject));
    --host().cmd_sn;
    host().read(2, 0, 1);
    EXPECT_EQ(status_of(2, host().take()), 0);
}

// RFC 7144 5: below iSCSIProtocolLevel 2 these bits are reserved.
TEST_F(ConnectionTest, PriorityOfACommandReachesTheStoreFromProtocolLevel2On) {
    for (const std::uint32_t level : {1U, 2U}) {
        options_.parameters.protocol_level = level;
        host_.reset();
        auto pdu = host().command(1, {0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0},
                                  final_bit | command_flags::read | 1, 512);
        pdu.priority = 0xF3;
        host().send(encode(pdu));
        EXPECT_EQ(status_of(1, host().take()), 0);
        EXPECT_EQ(machine_.medium.priority, level == 2 ? 3 : 0);
    }
}

TEST_F(ConnectionTest, ATaskTagInUseIsRejected) {
    host().write(3, 0, 2, {});
    EXPECT_TRUE(host().take_one(Opcode::ready_to_transfer));
    host().read(3, 0, 1);
    const auto reject = host().take_one(Opcode::reject);
    ASSERT_TRUE(reject);
    EXPECT_EQ(reject->as<RejectPdu>().reason, RejectReason::task_in_progress);
}

TEST_F(ConnectionTest, TooManyImmediateCommandsAreRejected) {
    (void)host();
    machine_.medium.hold = true;
    unsigned rejected = 0;
    for (std::uint32_t tag = 1; tag <= 40; ++tag) {
        auto pdu = host().command(tag, {0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0},
                                  final_bit | command_flags::read | 1, 512);
        pdu.immediate = true;
        --host().cmd_sn;
        host().send(encode(pdu));
        if (const auto reject = host().take_one(Opcode::reject)) {
            ++rejected;
            EXPECT_EQ(reject->as<RejectPdu>().reason, RejectReason::immediate_command_rejected);
        }
    }
    EXPECT_EQ(rejected, 24u);
}

TEST_F(ConnectionTest, ADataSegmentBeyondTheLimitEndsTheConnectionWithAReject) {
    BasicHeader bhs = encode(NopOutPdu{.immediate = true, .task_tag = 1}, 8193);
    host().send_raw(bhs);
    EXPECT_TRUE(host().take_one(Opcode::reject));
    EXPECT_TRUE(host().dropped());
}

TEST_F(ConnectionTest, LogoutEndsTheConnectionAfterItsAnswer) {
    LogoutRequestPdu logout;
    logout.immediate = true;
    logout.task_tag = 8;
    logout.flags = final_bit | 2;  // for recovery
    host().send(encode(logout));
    EXPECT_EQ(host().take_one(Opcode::logout_response)->as<LogoutResponsePdu>().response,
              LogoutResult::recovery_not_supported);
    logout.flags = final_bit | 1;
    logout.cid = 9;
    host().send(encode(logout));
    EXPECT_EQ(host().take_one(Opcode::logout_response)->as<LogoutResponsePdu>().response,
              LogoutResult::cid_not_found);
    EXPECT_FALSE(host().dropped());
    logout.flags = final_bit;
    host().send(encode(logout));
    EXPECT_EQ(host().take_one(Opcode::logout_response)->as<LogoutResponsePdu>().response,
              LogoutResult::closed);
    EXPECT_TRUE(host().dropped());
}

TEST_F(ConnectionTest, ADrainAsksForLogoutAndThenDrops) {
    host().connection().request_logout(5, host().now);
    host().run();
    const auto async = host().take_one(Opcode::async_message);
    ASSERT_TRUE(async);
    EXPECT_EQ(async->as<AsyncMessagePdu>().event, AsyncEvent::logout_requested);
    EXPECT_EQ(async->as<AsyncMessagePdu>().parameter3, 5);
    host().advance(5'000'000'000);
    EXPECT_TRUE(host().dropped());
}

TEST_F(ConnectionTest, SendTargetsIsSplitWithTagsWhenItIsLong) {
    options_.discovery = true;
    Host& target = host();
    for (int i = 0; i < 400; ++i)
        target.targets += "TargetName=iqn.2026-01.example:disk" + std::to_string(i) + '\0';
    TextRequestPdu request;
    request.immediate = true;
    request.flags = final_bit;
    request.task_tag = 3;
    std::string text = "SendTargets=All";
    text.push_back('\0');
    std::string answer;
    target.send(encode(request), as_bytes(text));
    for (unsigned rounds = 0; rounds < 10; ++rounds) {
        const auto pdu = target.take_one(Opcode::text_response);
        ASSERT_TRUE(pdu);
        answer.append(pdu->data.begin(), pdu->data.end());
        const auto response = pdu->as<TextResponsePdu>();
        if ((response.flags & final_bit) != 0) {
            EXPECT_EQ(response.transfer_tag, reserved_tag);
            break;
        }
        EXPECT_EQ(response.flags & text_flags::continues, text_flags::continues);
        ASSERT_NE(response.transfer_tag, reserved_tag);
        request.transfer_tag = response.transfer_tag;
        target.send(encode(request));
    }
    EXPECT_EQ(answer, target.targets);
}

TEST_F(ConnectionTest, DiscoveryHasNoCommands) {
    options_.discovery = true;
    host().read(1, 0, 1);
    EXPECT_TRUE(host().take_one(Opcode::reject));
    host().abort(2, 1, 1);
    EXPECT_EQ(
        host().take_one(Opcode::task_management_response)->as<TaskManagementResponsePdu>().response,
        TaskManagementResult::function_not_supported);
}

TEST_F(ConnectionTest, AHostThatReadsNothingIsNotListenedToForEver) {
    (void)host();
    host().reading = false;
    NopOutPdu nop;
    nop.immediate = true;
    nop.task_tag = 5;
    const auto data = pattern(4096);
    for (int i = 0; i < 2000; ++i)
        host().send(encode(nop), data);
    host().reading = true;
    host().run();
    EXPECT_EQ(host().take().size(), 2000u);
}

TEST_F(ConnectionTest, ManyCommandsAtOnceAreAllAnswered) {
    options_.command_window = 128;
    machine_.medium.bytes = pattern(machine_.medium.bytes.size());
    (void)host();
    machine_.medium.hold = true;
    for (std::uint32_t tag = 1; tag <= 100; ++tag)
        host().read(tag, tag, 3);
    EXPECT_TRUE(host().take().empty());
    machine_.on_shard([this] { machine_.medium.release(); });
    host().run();
    const auto pdus = host().take();
    for (std::uint32_t tag = 1; tag <= 100; ++tag) {
        EXPECT_EQ(status_of(tag, pdus), 0);
        EXPECT_TRUE(std::ranges::equal(data_of(tag, pdus), disk(tag, 3 * block_bytes)));
    }
}

TEST_F(ConnectionTest, TheEndIsCleanWhereverACommandIs) {
    for (unsigned stage = 0; stage < 6; ++stage) {
        SCOPED_TRACE(stage);
        host_.reset();
        const auto data = pattern(4 * block_bytes);
        (void)host();
        machine_.medium.hold = stage >= 3;
        host().reading = stage != 5;
        if (stage == 0)
            host().write(1, 0, 4, {}, true);
        else if (stage == 1)
            host().write(1, 0, 4, Bytes(data).first(512), false);
        else if (stage == 2)
            host().send_raw(encode(
                host().command(1, {0x2a, 0, 0, 0, 0, 0, 0, 0, 4, 0}, final_bit | write_flags, 2048),
                2048));
        else if (stage == 3)
            host().write(1, 0, 4, data, true);
        else
            host().read(1, 0, 4);
        if (stage == 5) {
            machine_.on_shard([this] { machine_.medium.release(); });
            host().run();
        }
    }
}

}  // namespace
}  // namespace olio::iscsi
