// Tries the initiator on a target that stands outside:
//     initiator_try [--gentle] [--known TEXT] URL [TARGET-USER TARGET-PASSWORD]
// with a URL like iscsi://[user%password@]host:port/target/lun.
// Logs in with every combination of keys, writes, reads back, compares, manages tasks, pings,
// discovers, logs out. It overwrites the first mebibyte of the LUN. Exit status 0 if all went well;
// a violation of the RFC with TEXT in it is said and passed over. --gentle: no write is aborted
// while its data are missing.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <vector>

#include "initiator/cdb.h"
#include "initiator/connection.h"
#include "initiator/socket_transport.h"

namespace olio::initiator {
namespace {

constexpr int patience_ms = 10'000;
constexpr std::size_t block_bytes = 512;

std::string known_violation;
bool gentle = false;

class Trial final : public Listener {
  public:
    Trial(const Url& url, Settings settings) : session_(std::move(settings), *this, 64) {
        auto transport = SocketTransport::connect(url.host, url.port);
        if (!transport) {
            fault(transport.error().message);
            return;
        }
        transport_ = std::move(*transport);
        lun_ = lun_field(url.lun);
        connection_.login();
        run([this] { return connection_.ready(); }, "log in");
    }

    void task_finished(Connection&, const Task& task) override {
        ++finished_;
        if (task.outcome == Outcome::aborted && task.cookie == abortable)
            return;
        if (task.outcome != Outcome::answered || task.status != 0)
            fault(fmt::format("command {:#x}: outcome {}, status {:#x}, sense {:#x}", task.cookie,
                              static_cast<int>(task.outcome), task.status,
                              task.additional_sense()));
    }
    void login_failed(Connection&, std::uint8_t status_class, std::uint8_t detail,
                      std::string_view why) override {
        fault(fmt::format("login failed with {}/{}: {}", status_class, detail, why));
    }
    void function_finished(Connection&, const FunctionResult& result) override {
        if (result.connection_lost)
            fault("a task management function was lost");
        response_ = result.response;
        ++functions_;
    }
    void nop_answered(Connection&, std::uint32_t, Bytes data) override {
        pong_ = std::string(as_text(data));
    }
    void text_finished(Connection&, std::string_view keys) override { text_ = keys; }
    void logout_finished(Connection&, std::uint8_t response) override {
        logged_out_ = true;
        if (response != 0)
            fault(fmt::format("logout response {}", response));
    }
    void violation(Connection&, const std::string& what) override {
        if (known_violation.empty() || what.find(known_violation) == std::string::npos)
            fault("violation: " + what);
        else if (++known_ == 1)
            fmt::print("  known: {}\n", what);
    }

    // Until the sense data of the start (POWER ON, INQUIRY DATA HAS CHANGED) are out of the way.
    void clear_unit_attentions() {
        tolerant_ = true;
        for (int i = 0; i < 4; ++i)
            command(cdb::test_unit_ready(), {}, {});
        tolerant_ = false;
    }

    void write_and_read(std::size_t bytes) {
        std::vector<std::uint8_t> out(bytes);
        std::vector<std::uint8_t> in(bytes);
        for (std::size_t i = 0; i < bytes; ++i)
            out[i] = static_cast<std::uint8_t>(i * 7 + i / 512 + bytes);
        const auto blocks = static_cast<std::uint16_t>(bytes / block_bytes);
        command(cdb::write_10(16, blocks), out, {});
        command(cdb::read_10(16, blocks), {}, in);
        if (in != out)
            fault(fmt::format("{} bytes read are not those written", bytes));
    }

    // Many small commands at once, each with its own place.
    void many(std::size_t count) {
        std::vector<std::uint8_t> out(count * block_bytes);
        std::vector<std::uint8_t> in(out.size());
        for (std::size_t i = 0; i < out.size(); ++i)
            out[i] = static_cast<std::uint8_t>(i >> 9 ^ i);
        for (const bool writes : {true, false}) {
            std::size_t next = 0;
            finished_ = 0;
            while (finished_ < count && good_) {
                while (next < count && submit_one(writes, next, out, in))
                    ++next;
                if (!transport_->turn(connection_, patience_ms))
                    return fault("the connection ended");
            }
        }
        if (in != out)
            fault("many small commands: the data differ");
    }

    void manage_tasks() {
        std::vector<std::uint8_t> data(128 << 10);
        CommandRequest request;
        const Cdb cdb = cdb::write_10(0, 256);
        request.lun = lun_;
        request.cdb = cdb;
        request.data_out = data;
        request.hold_data_out = !gentle;
        request.cookie = abortable;
        FunctionRequest function;
        function.lun = lun_;
        function.referenced_cmd_sn = session_.cmd_sn();
        const auto tag = connection_.submit(request);
        if (!tag)
            return fault("no command can be sent");
        function.referenced_tag = *tag;
        if (gentle)
            run([this] { return session_.tasks_under_way() == 0; }, "end the task");
        manage(function, "ABORT TASK");
        if (session_.tasks_under_way() != 0)
            fault("the aborted task is still there");
        function.function = Function::logical_unit_reset;
        function.referenced_tag = no_tag;
        manage(function, "LOGICAL UNIT RESET");
        if (response_ != FunctionResponse::complete)
            fault(fmt::format("LOGICAL UNIT RESET: {}", static_cast<int>(response_)));
        clear_unit_attentions();
    }

    void ping() {
        const std::string words = "are you there?";
        connection_.ping(as_bytes(words));
        run([this, &words] { return pong_ == words; }, "ping");
    }

    std::string send_targets() {
        connection_.text(std::string_view("SendTargets=All\0", 16));
        run([this] { return !text_.empty(); }, "SendTargets");
        return text_;
    }

    void log_out() {
        connection_.logout();
        run([this] { return logged_out_; }, "log out");
    }

    [[nodiscard]] bool good() const { return good_; }

  private:
    static constexpr std::uint64_t abortable = 77;

    void fault(const std::string& what) {
        if (tolerant_)
            return;
        good_ = false;
        fmt::print("  {}\n", what);
    }
    void run(const std::function<bool()>& done, const char* what) {
        if (good_ && !transport_->run_until(connection_, done, patience_ms))
            fault(fmt::format("cannot {}", what));
    }
    void command(const Cdb& cdb, Bytes out, MutableBytes in) {
        CommandRequest request;
        request.lun = lun_;
        request.cdb = cdb;
        request.data_out = out;
        request.data_in = in;
        request.cookie = cdb.bytes[0];
        const std::size_t before = finished_;
        if (good_ && !connection_.submit(request))
            fault("no command can be sent");
        run([this, before] { return finished_ != before; }, "end a command");
    }
    bool submit_one(bool writes, std::size_t index, Bytes out, MutableBytes in) {
        CommandRequest request;
        const auto lba = static_cast<std::uint32_t>(index);
        const Cdb cdb = writes ? cdb::write_10(lba, 1) : cdb::read_10(lba, 1);
        request.lun = lun_;
        request.cdb = cdb;
        if (writes)
            request.data_out = out.subspan(index * block_bytes, block_bytes);
        else
            request.data_in = in.subspan(index * block_bytes, block_bytes);
        return connection_.submit(request).has_value();
    }
    void manage(const FunctionRequest& function, const char* name) {
        const std::size_t before = functions_;
        if (good_)
            connection_.manage(function);
        run([this, before] { return functions_ != before; }, name);
    }

    Session session_;
    Connection connection_{session_};
    std::unique_ptr<SocketTransport> transport_;
    std::uint64_t lun_ = 0;
    std::size_t finished_ = 0;
    std::size_t functions_ = 0;
    std::size_t known_ = 0;
    FunctionResponse response_ = FunctionResponse::rejected;
    std::string pong_;
    std::string text_;
    bool logged_out_ = false;
    bool tolerant_ = false;
    bool good_ = true;
};

struct Variation {
    const char* name;
    std::vector<std::pair<std::string, std::string>> keys;
};

const std::vector<Variation>& variations() {
    static const std::vector<Variation> all{
        {"defaults", {}},
        {"unsolicited data", {{"InitialR2T", "No"}}},
        {"no immediate data", {{"ImmediateData", "No"}}},
        {"unsolicited, not immediate", {{"InitialR2T", "No"}, {"ImmediateData", "No"}}},
        {"header digest", {{"HeaderDigest", "CRC32C,None"}}},
        {"data digest", {{"DataDigest", "CRC32C"}}},
        {"both digests, small bursts",
         {{"HeaderDigest", "CRC32C"},
          {"DataDigest", "CRC32C"},
          {"MaxBurstLength", "16384"},
          {"FirstBurstLength", "4096"},
          {"InitialR2T", "No"}}},
        {"several R2Ts", {{"MaxOutstandingR2T", "4"}, {"MaxBurstLength", "8192"}}},
    };
    return all;
}

int try_target(const Url& url, const std::string& target_user, const std::string& target_secret) {
    bool good = true;
    Settings base;
    base.target_name = url.target;
    if (!url.user.empty())
        base.chap = Chap{url.user, url.password, target_user, target_secret};
    for (const Variation& variation : variations()) {
        fmt::print("{}\n", variation.name);
        Settings settings = base;
        for (const auto& [key, value] : variation.keys)
            settings.set(key, value);
        Trial trial(url, settings);
        trial.clear_unit_attentions();
        for (const std::size_t bytes : {512, 4096, 12288, 66048, 524288})
            trial.write_and_read(bytes);
        trial.many(200);
        trial.manage_tasks();
        trial.write_and_read(8192);
        trial.ping();
        trial.log_out();
        good = good && trial.good();
    }
    fmt::print("discovery\n");
    Settings discovery = base;
    discovery.target_name.clear();
    discovery.chap.reset();
    Trial trial(url, discovery);
    const std::string found = trial.send_targets();
    good = good && trial.good() && found.find("TargetName=" + url.target) != std::string::npos;
    fmt::print("{}\n", good ? "all went well" : "FAILED");
    return good ? 0 : 1;
}

}  // namespace
}  // namespace olio::initiator

int main(int argc, char** argv) {
    std::vector<std::string> words(argv + 1, argv + argc);
    if (!words.empty() && words[0] == "--gentle") {
        olio::initiator::gentle = true;
        words.erase(words.begin());
    }
    if (words.size() > 2 && words[0] == "--known") {
        olio::initiator::known_violation = words[1];
        words.erase(words.begin(), words.begin() + 2);
    }
    if (words.size() != 1 && words.size() != 3) {
        fmt::print("usage: {} [--gentle] [--known TEXT] URL [TARGET-USER TARGET-PASSWORD]\n",
                   argv[0]);
        return 2;
    }
    const auto url = olio::initiator::Url::parse(words[0]);
    if (!url) {
        fmt::print("{}\n", url.error().message);
        return 2;
    }
    words.resize(3);
    return olio::initiator::try_target(*url, words[1], words[2]);
}
