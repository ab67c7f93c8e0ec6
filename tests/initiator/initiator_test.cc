#include <gmock/gmock.h>

#include <numeric>

#include "initiator/cdb.h"
#include "initiator/fake_target.h"

namespace olio::initiator {
namespace {

using namespace std::string_literals;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

Settings with(std::vector<std::pair<std::string, std::string>> keys = {}) {
    Settings settings;
    settings.target_name = "iqn.2026-01.test:disk";
    for (auto& [key, value] : keys)
        settings.set(key, value);
    return settings;
}

std::string keys_text(const std::vector<std::pair<std::string, std::string>>& keys) {
    std::string text;
    for (const auto& [key, value] : keys)
        text += key + "=" + value + "\0"s;
    return text;
}

class InitiatorTest : public testing::Test {
  protected:
    std::uint32_t read(std::size_t bytes) {
        in.assign(bytes, 0);
        CommandRequest request;
        const Cdb cdb = cdb::read_10(0, static_cast<std::uint16_t>(bytes / 512));
        request.cdb = cdb;
        request.data_in = in;
        request.cookie = 7;
        return target->connection.submit(request).value_or(no_tag);
    }
    std::uint32_t write(std::size_t bytes, bool hold = false) {
        out.resize(bytes);
        std::iota(out.begin(), out.end(), std::uint8_t{3});
        CommandRequest request;
        const Cdb cdb = cdb::write_10(0, static_cast<std::uint16_t>(bytes / 512));
        request.cdb = cdb;
        request.data_out = out;
        request.hold_data_out = hold;
        return target->connection.submit(request).value_or(no_tag);
    }
    void start(const std::vector<std::pair<std::string, std::string>>& keys = {}) {
        target = std::make_unique<FakeTarget>(with(keys));
        target->log_in(keys_text(keys));
        ASSERT_TRUE(target->connection.ready());
    }
    void data_in(std::uint32_t tag, std::uint32_t data_sn, std::uint32_t offset,
                 std::string_view data, std::uint8_t flags) {
        Header header(Opcode::data_in, flags);
        header.be32(at::task_tag, tag)
            .be32(at::transfer_tag, no_tag)
            .be32(at::data_sn, data_sn)
            .be32(at::buffer_offset, offset);
        target->answer(header, data, (flags & status_bit) != 0);
    }
    void ask(std::uint32_t tag, std::uint32_t r2t_sn, std::uint32_t offset, std::uint32_t length) {
        Header header(Opcode::ready_to_transfer, final_bit);
        header.be32(at::task_tag, tag)
            .be32(at::transfer_tag, 0x55)
            .be32(at::data_sn, r2t_sn)
            .be32(at::buffer_offset, offset)
            .be32(at::desired_length, length);
        target->answer(header, {}, false);
    }
    Recorder& seen() { return target->recorder; }

    std::unique_ptr<FakeTarget> target;
    std::vector<std::uint8_t> in;
    std::vector<std::uint8_t> out;
};

TEST_F(InitiatorTest, ReadsDataAndStatusInOnePdu) {
    start();
    const std::uint32_t tag = read(512);
    const Pdu command = target->next();
    EXPECT_EQ(command.opcode(), 0x01);
    EXPECT_EQ(command.u8(at::flags), final_bit | read_bit | 1);
    EXPECT_EQ(command.be32(at::transfer_tag), 512U);
    EXPECT_EQ(command.be32(at::cmd_sn), 1U);
    EXPECT_EQ(command.be32(at::exp_stat_sn), 101U);
    EXPECT_EQ(command.u8(at::cdb), 0x28);
    data_in(tag, 0, 0, std::string(512, 'd'), final_bit | status_bit);
    ASSERT_THAT(seen().tasks, SizeIs(1));
    EXPECT_EQ(seen().tasks[0].cookie, 7U);
    EXPECT_EQ(seen().tasks[0].status, 0);
    EXPECT_THAT(in, testing::Each('d'));
    EXPECT_THAT(seen().violations, IsEmpty());
    EXPECT_EQ(target->session.tasks_under_way(), 0U);
}

TEST_F(InitiatorTest, TakesPdusCutAnywhere) {
    start({{"HeaderDigest", "CRC32C"}, {"DataDigest", "CRC32C"}});
    const std::uint32_t tag = read(512);
    Header header(Opcode::data_in, final_bit | status_bit);
    header.be32(at::task_tag, tag).be32(at::stat_sn, target->stat_sn).be32(at::exp_cmd_sn, 2);
    header.be32(at::max_cmd_sn, 9);
    store_be24(&header.bytes[at::data_length], 510);
    header.be32(at::residual, 2).u8(at::flags, final_bit | status_bit | underflow_bit);
    std::vector<std::uint8_t> bytes(header.bytes.begin(), header.bytes.end());
    bytes.resize(52 + 512 + 4);
    crc32c_store(crc32c(crc32c_start, Bytes(bytes).first(48)), &bytes[48]);
    std::fill_n(bytes.begin() + 52, 510, 0x5a);
    crc32c_store(crc32c(crc32c_start, Bytes(bytes).subspan(52, 512)), &bytes[52 + 512]);
    for (const std::uint8_t byte : bytes)
        target->connection.receive(Bytes(&byte, 1));
    ASSERT_THAT(seen().tasks, SizeIs(1));
    EXPECT_EQ(seen().tasks[0].residual, 2);
    EXPECT_EQ(in[509], 0x5a);
    EXPECT_THAT(seen().violations, IsEmpty());
}

TEST_F(InitiatorTest, SeesAWrongDataDigest) {
    start({{"DataDigest", "CRC32C"}});
    const std::uint32_t tag = read(512);
    data_in(tag, 0, 0, std::string(512, 'd'), final_bit | status_bit);
    target->connection.receive(Bytes(std::vector<std::uint8_t>(4, 1)));
    EXPECT_THAT(seen().violations, Contains(HasSubstr("data digest")));
    EXPECT_EQ(target->connection.stage(), Connection::Stage::failed);
}

TEST_F(InitiatorTest, AnswersR2tsInParts) {
    start();
    const std::uint32_t tag = write(16384 + 8192);
    const Pdu command = target->next();
    EXPECT_EQ(command.data.size(),
              8192U);  // immediate, up to the target's MaxRecvDataSegmentLength
    EXPECT_EQ(command.u8(at::flags), final_bit | write_bit | 1);
    EXPECT_TRUE(target->silent());
    ask(tag, 0, 8192, 16384);
    const Pdu first = target->next();
    const Pdu second = target->next();
    EXPECT_TRUE(target->silent());
    EXPECT_EQ(first.opcode(), 0x05);
    EXPECT_EQ(first.be32(at::transfer_tag), 0x55U);
    EXPECT_EQ(first.be32(at::buffer_offset), 8192U);
    EXPECT_EQ(first.u8(at::flags), 0);
    EXPECT_EQ(second.be32(at::data_sn), 1U);
    EXPECT_EQ(second.u8(at::flags), final_bit);
    EXPECT_EQ(second.data[0], out[16384]);
    Header response = target->response(tag, 0);
    response.be32(at::data_sn, 1);
    target->answer(response);
    EXPECT_THAT(seen().tasks, SizeIs(1));
    EXPECT_THAT(seen().violations, IsEmpty());
}

TEST_F(InitiatorTest, SendsUnsolicitedDataUpToFirstBurst) {
    start({{"InitialR2T", "No"}, {"ImmediateData", "No"}, {"FirstBurstLength", "12288"}});
    write(16384);
    const Pdu command = target->next();
    EXPECT_THAT(command.data, IsEmpty());
    EXPECT_EQ(command.u8(at::flags) & final_bit, 0);
    const Pdu first = target->next();
    const Pdu second = target->next();
    EXPECT_EQ(first.be32(at::transfer_tag), no_tag);
    EXPECT_EQ(first.data.size() + second.data.size(), 12288U);
    EXPECT_EQ(second.u8(at::flags), final_bit);
    EXPECT_TRUE(target->silent());
}

TEST_F(InitiatorTest, ObeysTheWindow) {
    start();
    for (int i = 0; i < 4; ++i)
        EXPECT_NE(read(512), no_tag);
    EXPECT_EQ(read(512), no_tag);
    EXPECT_EQ(target->session.window(), 0U);
    target->exp_cmd_sn = 3;
    target->answer(target->response(0xdead, 0));  // any PDU opens it
    EXPECT_EQ(target->session.window(), 2U);
}

TEST_F(InitiatorTest, SeesASecondAnswerToATask) {
    start();
    const std::uint32_t tag = write(512);
    target->answer(target->response(tag, 0));
    EXPECT_THAT(seen().violations, IsEmpty());
    target->answer(target->response(tag, 0));
    EXPECT_THAT(seen().violations, ElementsAre(HasSubstr("unknown task")));
    EXPECT_THAT(seen().tasks, SizeIs(1));
}

TEST_F(InitiatorTest, KeepsSenseData) {
    start();
    const std::uint32_t tag = read(512);
    target->answer(target->response(tag, 0x02),
                   "\0\x12\x70\0\x06\0\0\0\0\x0a\0\0\0\0\x29\0\0\0\0\0"s);
    ASSERT_THAT(seen().tasks, SizeIs(1));
    EXPECT_EQ(seen().tasks[0].sense_key(), 6);
    EXPECT_EQ(seen().tasks[0].additional_sense(), 0x2900);
}

TEST_F(InitiatorTest, SeesMissingData) {
    start();
    const std::uint32_t tag = read(1024);
    data_in(tag, 0, 0, std::string(512, 'd'), final_bit | status_bit);
    EXPECT_THAT(seen().violations, ElementsAre(HasSubstr("512 bytes of Data-In came")));
}

TEST_F(InitiatorTest, SeesDataBeyondTheExpectedLength) {
    start();
    const std::uint32_t tag = read(512);
    data_in(tag, 0, 512, std::string(512, 'd'), final_bit);
    EXPECT_THAT(seen().violations, Contains(HasSubstr("512 are expected")));
}

TEST_F(InitiatorTest, SeesGapsInDataSnAndStatSn) {
    start();
    const std::uint32_t tag = read(1024);
    data_in(tag, 1, 0, std::string(512, 'd'), 0);
    EXPECT_THAT(seen().violations, ElementsAre(HasSubstr("DataSN 1 where 0")));
    ++target->stat_sn;
    data_in(tag, 1, 512, std::string(512, 'd'), final_bit | status_bit);
    EXPECT_THAT(seen().violations, Contains(HasSubstr("StatSN")));
}

TEST_F(InitiatorTest, EndsTasksThatACompletedFunctionCovers) {
    start();
    const std::uint32_t first = write(65536, true);
    const std::uint32_t second = read(512);
    FunctionRequest request;
    request.function = Function::abort_task;
    request.referenced_tag = first;
    const std::uint32_t tag = target->connection.manage(request);
    target->answer(Header(Opcode::task_management_response, final_bit).be32(at::task_tag, tag));
    ASSERT_THAT(seen().tasks, SizeIs(1));
    EXPECT_EQ(seen().tasks[0].outcome, Outcome::aborted);
    EXPECT_EQ(seen().functions.at(0).response, FunctionResponse::complete);
    request.function = Function::logical_unit_reset;
    const std::uint32_t reset = target->connection.manage(request);
    const std::uint32_t later = read(512);
    target->answer(Header(Opcode::task_management_response, final_bit).be32(at::task_tag, reset));
    EXPECT_THAT(seen().tasks, SizeIs(2));
    EXPECT_EQ(seen().tasks.back().tag, second);
    EXPECT_NE(target->session.find(later), nullptr);
}

TEST_F(InitiatorTest, SeesATaskThatTheTargetForgot) {
    start();
    FunctionRequest request;
    request.referenced_tag = write(65536, true);
    const std::uint32_t tag = target->connection.manage(request);
    target->answer(Header(Opcode::task_management_response, final_bit)
                       .u8(at::response, 1)
                       .be32(at::task_tag, tag));
    EXPECT_THAT(seen().violations, ElementsAre(HasSubstr("never answered")));
}

TEST_F(InitiatorTest, AnswersPings) {
    start();
    target->answer(
        Header(Opcode::nop_in, final_bit).be32(at::task_tag, no_tag).be32(at::transfer_tag, 9),
        "hello", false);
    const Pdu pong = target->next();
    EXPECT_EQ(pong.header[0], 0x40);
    EXPECT_EQ(pong.be32(at::transfer_tag), 9U);
    EXPECT_EQ(pong.be32(at::task_tag), no_tag);
}

TEST_F(InitiatorTest, SendsLongCdbsInAnAdditionalHeader) {
    start();
    std::vector<std::uint8_t> cdb(32, 0x7f);
    CommandRequest request;
    request.cdb = cdb;
    target->connection.submit(request);
    const Bytes bytes = target->connection.output();
    ASSERT_EQ(bytes.size(), 48U + 20U);
    EXPECT_EQ(bytes[at::ahs_words], 5);
    EXPECT_EQ(bytes[49], 17);  // AHSLength
    EXPECT_EQ(bytes[50], 1);   // Extended CDB
}

TEST_F(InitiatorTest, EndsEverythingWithTheConnection) {
    start();
    read(512);
    target->connection.manage({});
    target->connection.closed();
    ASSERT_THAT(seen().tasks, SizeIs(1));
    EXPECT_EQ(seen().tasks[0].outcome, Outcome::connection_lost);
    EXPECT_TRUE(seen().functions.at(0).connection_lost);
}

TEST_F(InitiatorTest, MisbehavesAsTold) {
    start();
    target->connection.alter = [](MutableBytes header, Bytes) {
        header[at::flags] ^= 0x40;
        return Mutation::repeat;
    };
    read(512);
    const Pdu first = target->next();
    EXPECT_EQ(first.u8(at::flags) & read_bit, 0);
    EXPECT_EQ(target->next().header, first.header);
    target->connection.alter = [](MutableBytes, Bytes) { return Mutation::drop; };
    read(512);
    EXPECT_TRUE(target->silent());
}

// RFC 7143 appendix A.4 (13.1): CRC32C of 32 bytes.
TEST(Crc32c, KnowsTheExamplesOfTheRfc) {
    const auto crc = [](Bytes bytes) {
        std::array<std::uint8_t, 4> wire{};
        crc32c_store(crc32c(crc32c_start, bytes), wire.data());
        return load_be<std::uint32_t>(wire.data());
    };
    std::vector<std::uint8_t> bytes(32, 0);
    EXPECT_EQ(crc(bytes), 0xaa36918aU);
    bytes.assign(32, 0xff);
    EXPECT_EQ(crc(bytes), 0x43aba862U);
    std::iota(bytes.begin(), bytes.end(), std::uint8_t{0});
    EXPECT_EQ(crc(bytes), 0x4e79dd46U);
}

}  // namespace
}  // namespace olio::initiator
