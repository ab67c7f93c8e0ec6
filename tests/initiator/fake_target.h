// The other side for the initiator's own tests: splits what it sends into PDUs, and makes answers
// by hand.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "initiator/connection.h"

namespace olio::initiator {

struct Pdu {
    std::vector<std::uint8_t> header;
    std::vector<std::uint8_t> data;

    [[nodiscard]] std::uint8_t opcode() const { return header[0] & 0x3f; }
    [[nodiscard]] std::uint8_t u8(std::size_t at) const { return header[at]; }
    [[nodiscard]] std::uint32_t be32(std::size_t at) const {
        return load_be<std::uint32_t>(&header[at]);
    }
    [[nodiscard]] std::string text() const { return std::string(as_text(data)); }
};

class Recorder final : public Listener {
  public:
    void logged_in(Connection&) override { logged_in_ = true; }
    void login_failed(Connection&, std::uint8_t status_class, std::uint8_t detail,
                      std::string_view why) override {
        failure =
            std::to_string(status_class) + "/" + std::to_string(detail) + " " + std::string(why);
    }
    void task_finished(Connection&, const Task& task) override { tasks.push_back(task); }
    void function_finished(Connection&, const FunctionResult& result) override {
        functions.push_back(result);
    }
    void violation(Connection&, const std::string& what) override { violations.push_back(what); }

    bool logged_in_ = false;
    std::string failure;
    std::vector<Task> tasks;
    std::vector<FunctionResult> functions;
    std::vector<std::string> violations;
};

class FakeTarget {
  public:
    explicit FakeTarget(Settings settings = {})
        : session(std::move(settings), recorder, 8), connection(session) {}

    // Takes the next PDU out of the initiator's output (no digests).
    Pdu next() {
        const Bytes out = connection.output();
        Pdu pdu;
        if (out.size() < header_bytes)
            return Pdu{std::vector<std::uint8_t>(header_bytes, 0xee), {}};
        const std::size_t ahs = std::size_t{out[at::ahs_words]} * 4;
        const std::size_t length = load_be24(&out[at::data_length]);
        pdu.header.assign(out.begin(), out.begin() + header_bytes);
        const Bytes data = out.subspan(header_bytes + ahs, length);
        pdu.data.assign(data.begin(), data.end());
        connection.sent(header_bytes + ahs + padded(length));
        return pdu;
    }
    [[nodiscard]] bool silent() const { return connection.output().empty(); }

    // Numbers every PDU as a target does; `uses_stat_sn` as for those that have one of their own.
    void answer(Header header, std::string_view data = {}, bool uses_stat_sn = true) {
        header.be32(at::stat_sn, stat_sn).be32(at::exp_cmd_sn, exp_cmd_sn);
        header.be32(at::max_cmd_sn, exp_cmd_sn + window - 1);
        stat_sn += uses_stat_sn ? 1 : 0;
        send(header, data);
    }
    void send(Header header, std::string_view data = {}) {
        store_be24(&header.bytes[at::data_length], static_cast<std::uint32_t>(data.size()));
        std::string bytes(as_text(header.bytes));
        bytes += data;
        bytes.resize(header_bytes + padded(data.size()), '\0');
        if (byte_by_byte) {
            for (const char c : bytes)
                connection.receive(as_bytes(std::string_view(&c, 1)));
        } else {
            connection.receive(as_bytes(bytes));
        }
    }
    void answer_login(const Pdu& request, std::uint8_t flags, std::string_view keys = {},
                      std::uint16_t status = 0) {
        Header header(Opcode::login_response, flags);
        header.be16(at::tsih, (flags & 0x83) == 0x83 ? 5 : 0)
            .be32(at::task_tag, request.be32(at::task_tag))
            .be16(at::login_status, status);
        answer(header, keys);
    }
    // The whole login with the initiator's offers, answered with `keys`.
    void log_in(std::string_view keys = {}) {
        connection.login();
        answer_login(next(), 0x87, keys);
    }
    Header response(std::uint32_t tag, std::uint8_t status) {
        Header header(Opcode::scsi_response, final_bit);
        header.u8(at::status, status).be32(at::task_tag, tag);
        return header;
    }

    Recorder recorder;
    Session session;
    Connection connection;
    std::uint32_t stat_sn = 100;
    std::uint32_t exp_cmd_sn = 1;
    std::uint32_t window = 4;
    bool byte_by_byte = false;
};

}  // namespace olio::initiator
