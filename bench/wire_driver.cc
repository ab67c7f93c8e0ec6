#include <iscsi/iscsi.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string_view>
#include <vector>

#include "driver.h"

namespace olio::bench {
namespace {

constexpr std::size_t header_bytes = 48;
constexpr std::size_t receive_bytes = 512 << 10;
constexpr std::uint32_t our_segment_bytes = 256 << 10;
constexpr std::uint32_t no_tag = 0xffffffff;
constexpr int login_timeout_ms = 10000;
constexpr int ready_attempts = 10;  // unit attentions that a new nexus may find
constexpr const char* initiator_name = "iqn.2026-01.test.initiator:wire";

using Header = std::array<std::uint8_t, header_bytes>;

// RFC 7143 11.1: opcodes.
enum Opcode : std::uint8_t {
    nop_out = 0x00,
    scsi_command = 0x01,
    login_request = 0x03,
    data_out = 0x05,
    nop_in = 0x20,
    scsi_response = 0x21,
    login_response = 0x23,
    data_in = 0x25,
    ready_to_transfer = 0x31,
};
constexpr std::uint8_t immediate = 0x40;
constexpr std::uint8_t final_bit = 0x80;

void put32(std::uint8_t* to, std::uint32_t value) {
    for (int i = 3; i >= 0; i--, value >>= 8) {
        to[i] = static_cast<std::uint8_t>(value);
    }
}

std::uint32_t get32(const std::uint8_t* from) {
    return std::uint32_t{from[0]} << 24 | std::uint32_t{from[1]} << 16 |
           std::uint32_t{from[2]} << 8 | from[3];
}

std::uint32_t get24(const std::uint8_t* from) {
    return std::uint32_t{from[0]} << 16 | std::uint32_t{from[1]} << 8 | from[2];
}

std::size_t padded(std::size_t bytes) {
    return (bytes + 3) & ~std::size_t{3};
}

class WireDriver final : public Driver {
  public:
    explicit WireDriver(const DriverSetup& setup)
        : done_(setup.done),
          block_bytes_(setup.capacity.block_bytes),
          tags_(setup.slots + 1),
          data_(setup.bytes, 0xa5) {}
    ~WireDriver() override {
        if (descriptor_ >= 0) {
            close(descriptor_);
        }
    }
    WireDriver(const WireDriver&) = delete;
    WireDriver& operator=(const WireDriver&) = delete;

    // Connects, logs in and waits until the LUN is ready; what went wrong, or nothing.
    std::string log_in(const iscsi_url& url);

    bool submit(bool write, std::uint64_t lba, std::uint32_t blocks, unsigned slot) override;
    bool serve(int timeout_ms) override;

  private:
    struct Command {
        Header header{};
        std::uint32_t bytes_out = 0;
        bool waits = false;  // for the command window
    };

    std::string connect_to(const std::string& portal);
    std::string negotiate(const std::string& target);
    void take_keys(std::string_view text);
    void command(unsigned tag, std::uint8_t flags, std::uint32_t length,
                 const std::array<std::uint8_t, 16>& cdb);
    void send_command(Command& command);
    void send_waiting();
    void send_data(const Header& r2t);
    void append(Header header, const std::uint8_t* data, std::size_t bytes);
    bool flush();
    bool receive(int timeout_ms);
    void take(const std::uint8_t* data, std::size_t bytes);
    void finish_pdu();
    void complete(std::uint32_t tag, bool good);

    unsigned ready_tag() const { return static_cast<unsigned>(tags_.size()) - 1; }

    Done done_;
    std::uint32_t block_bytes_;
    std::vector<Command> tags_;  // by initiator task tag; the last one is for TEST UNIT READY
    std::vector<std::uint8_t> data_;
    std::uint8_t lun_ = 0;
    int descriptor_ = -1;
    bool broken_ = false;
    int ready_ = -1;  // status of TEST UNIT READY: -1 none yet, 0 not GOOD, 1 GOOD

    std::uint32_t command_number_ = 1;
    std::uint32_t last_allowed_ = 1;  // MaxCmdSN
    std::uint32_t expected_status_ = 0;
    std::uint32_t segment_out_ = 8192;  // MaxRecvDataSegmentLength of the target
    std::uint32_t first_burst_ = 65536;
    bool immediate_data_ = true;

    std::vector<std::uint8_t> out_;
    std::size_t sent_ = 0;
    std::vector<std::uint8_t> in_ = std::vector<std::uint8_t>(receive_bytes);
    Header header_{};  // of the PDU that is coming in
    std::size_t have_ = 0;
    std::size_t left_ = 0;    // of its data segment
    std::string login_text_;  // data of login responses alone is kept
};

std::string WireDriver::connect_to(const std::string& portal) {
    const auto colon = portal.rfind(':');
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (getaddrinfo(portal.substr(0, colon).c_str(),
                    colon == std::string::npos ? "3260" : portal.substr(colon + 1).c_str(), &hints,
                    &found) != 0) {
        return "no address for " + portal;
    }
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> addresses(found, freeaddrinfo);
    descriptor_ = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor_ < 0 || connect(descriptor_, found->ai_addr, found->ai_addrlen) != 0) {
        return "cannot connect to " + portal;
    }
    const int on = 1;
    setsockopt(descriptor_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return {};
}

void WireDriver::take_keys(std::string_view text) {
    std::map<std::string, std::string> keys;
    while (!text.empty()) {
        const std::string_view pair = text.substr(0, text.find('\0'));
        text.remove_prefix(std::min(text.size(), pair.size() + 1));
        const auto equals = pair.find('=');
        if (equals != std::string_view::npos) {
            keys[std::string(pair.substr(0, equals))] = pair.substr(equals + 1);
        }
    }
    const auto number = [&keys](const char* key, std::uint32_t& value) {
        if (keys.contains(key)) {
            value = static_cast<std::uint32_t>(std::strtoul(keys[key].c_str(), nullptr, 0));
        }
    };
    number("MaxRecvDataSegmentLength", segment_out_);
    number("FirstBurstLength", first_burst_);
    if (keys.contains("ImmediateData")) {
        immediate_data_ = keys["ImmediateData"] == "Yes";
    }
}

std::string WireDriver::negotiate(const std::string& target) {
    std::string text;
    for (const std::string& pair :
         {"InitiatorName=" + std::string(initiator_name), "TargetName=" + target,
          std::string("SessionType=Normal"), std::string("HeaderDigest=None"),
          std::string("DataDigest=None"), std::string("InitialR2T=Yes"),
          std::string("ImmediateData=Yes"), std::string("MaxBurstLength=1048576"),
          std::string("FirstBurstLength=262144"), std::string("MaxOutstandingR2T=1"),
          std::string("MaxConnections=1"), std::string("ErrorRecoveryLevel=0"),
          std::string("DefaultTime2Wait=0"), std::string("DefaultTime2Retain=0"),
          "MaxRecvDataSegmentLength=" + std::to_string(our_segment_bytes)}) {
        text += pair + '\0';
    }
    for (int round = 0; round < 5; round++) {
        Header request{};
        request[0] = login_request | immediate;
        request[1] = final_bit | 0x07;  // operational stage, then full feature phase
        request[8] = 0x80;              // ISID of random format
        put32(&request[9], static_cast<std::uint32_t>(getpid()));
        put32(&request[24], command_number_);
        put32(&request[28], expected_status_);
        append(request, reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
        text.clear();
        header_[0] = 0;
        if (!flush()) {
            return "the connection broke during login";
        }
        while (header_[0] != login_response || have_ != 0) {
            if (!receive(login_timeout_ms)) {
                return "no answer to the login";
            }
        }
        if (header_[36] != 0) {
            return "the login was refused";
        }
        expected_status_ = get32(&header_[24]) + 1;
        if ((header_[1] & 0x83) == 0x83) {
            take_keys(login_text_);
            return {};
        }
    }
    return "the login does not come to an end";
}

std::string WireDriver::log_in(const iscsi_url& url) {
    lun_ = static_cast<std::uint8_t>(url.lun);
    if (auto error = connect_to(url.portal); !error.empty()) {
        return error;
    }
    if (auto error = negotiate(url.target); !error.empty()) {
        return error;
    }
    for (int attempt = 0; attempt < ready_attempts && ready_ != 1; attempt++) {
        ready_ = -1;
        command(ready_tag(), final_bit | 0x01, 0, {});
        while (ready_ == -1) {
            if (!serve(login_timeout_ms)) {
                return "no answer to TEST UNIT READY";
            }
        }
    }
    return ready_ == 1 ? "" : "the LUN does not become ready";
}

bool WireDriver::submit(bool write, std::uint64_t lba, std::uint32_t blocks, unsigned slot) {
    std::array<std::uint8_t, 16> cdb{};
    cdb[0] = write ? 0x8a : 0x88;
    put32(&cdb[2], static_cast<std::uint32_t>(lba >> 32));
    put32(&cdb[6], static_cast<std::uint32_t>(lba));
    put32(&cdb[10], blocks);
    const std::uint8_t direction = write ? 0x20 : 0x40;
    command(slot, final_bit | direction | 0x01, blocks * block_bytes_, cdb);
    return !broken_;
}

void WireDriver::command(unsigned tag, std::uint8_t flags, std::uint32_t length,
                         const std::array<std::uint8_t, 16>& cdb) {
    Command& mine = tags_[tag];
    mine.header = {};
    mine.header[0] = scsi_command;
    mine.header[1] = flags;
    mine.header[9] = lun_;
    put32(&mine.header[16], tag);
    put32(&mine.header[20], length);
    std::ranges::copy(cdb, &mine.header[32]);
    mine.bytes_out = (flags & 0x20) != 0 ? length : 0;
    mine.waits = true;
    send_command(mine);
}

void WireDriver::send_command(Command& command) {
    if (static_cast<std::int32_t>(last_allowed_ - command_number_) < 0) {
        return;  // the window is closed: serve() tries again
    }
    command.waits = false;
    put32(&command.header[24], command_number_++);
    put32(&command.header[28], expected_status_);
    const std::uint32_t with_it =
        immediate_data_ ? std::min({command.bytes_out, segment_out_, first_burst_}) : 0;
    append(command.header, data_.data(), with_it);
}

void WireDriver::send_waiting() {
    for (Command& command : tags_) {
        if (command.waits) {
            send_command(command);
        }
    }
}

void WireDriver::send_data(const Header& r2t) {
    std::uint32_t offset = get32(&r2t[40]);
    std::uint32_t left = get32(&r2t[44]);
    if (offset > data_.size() || left > data_.size() - offset) {
        broken_ = true;  // the target asks for what it was not promised
        return;
    }
    for (std::uint32_t number = 0; left > 0; number++) {
        const std::uint32_t bytes = std::min(left, segment_out_);
        Header out{};
        out[0] = data_out;
        out[1] = bytes == left ? final_bit : 0;
        out[9] = lun_;
        std::copy_n(&r2t[16], 8, &out[16]);  // task tag and transfer tag
        put32(&out[28], expected_status_);
        put32(&out[36], number);
        put32(&out[40], offset);
        append(out, &data_[offset], bytes);
        offset += bytes;
        left -= bytes;
    }
}

void WireDriver::append(Header header, const std::uint8_t* data, std::size_t bytes) {
    put32(&header[4], static_cast<std::uint32_t>(bytes));
    out_.insert(out_.end(), header.begin(), header.end());
    out_.insert(out_.end(), data, data + bytes);
    out_.resize(out_.size() + padded(bytes) - bytes);
}

bool WireDriver::flush() {
    while (sent_ < out_.size() && !broken_) {
        const ssize_t n =
            send(descriptor_, &out_[sent_], out_.size() - sent_, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return true;
        }
        broken_ = n <= 0;
        sent_ += n > 0 ? static_cast<std::size_t>(n) : 0;
    }
    out_.clear();
    sent_ = 0;
    return !broken_;
}

bool WireDriver::receive(int timeout_ms) {
    const bool has_output = !out_.empty();
    pollfd wait{descriptor_, static_cast<short>(has_output ? POLLIN | POLLOUT : POLLIN), 0};
    if (poll(&wait, 1, timeout_ms) <= 0) {
        return false;
    }
    if ((wait.revents & (POLLIN | POLLHUP | POLLERR)) == 0) {
        return true;
    }
    const ssize_t n = recv(descriptor_, in_.data(), in_.size(), MSG_DONTWAIT);
    if (n <= 0) {
        broken_ = n == 0 || (errno != EAGAIN && errno != EINTR);
        return !broken_;
    }
    take(in_.data(), static_cast<std::size_t>(n));
    return !broken_;
}

void WireDriver::take(const std::uint8_t* data, std::size_t bytes) {
    while (bytes > 0 && !broken_) {
        if (have_ < header_bytes) {
            const std::size_t n = std::min(bytes, header_bytes - have_);
            std::memcpy(&header_[have_], data, n);
            have_ += n;
            data += n;
            bytes -= n;
            if (have_ < header_bytes) {
                return;
            }
            left_ = padded(get24(&header_[5]));
        }
        const std::size_t n = std::min(bytes, left_);
        if ((header_[0] & 0x3f) == login_response) {
            login_text_.append(reinterpret_cast<const char*>(data), n);
        }
        data += n;
        bytes -= n;
        left_ -= n;
        if (left_ == 0) {
            have_ = 0;
            finish_pdu();
        }
    }
}

void WireDriver::finish_pdu() {
    const std::uint32_t tag = get32(&header_[16]);
    last_allowed_ = get32(&header_[32]);
    switch (header_[0] & 0x3f) {
        case login_response:
            return;
        case scsi_response:
            expected_status_ = get32(&header_[24]) + 1;
            return complete(tag, header_[2] == 0 && header_[3] == 0);
        case data_in:
            if ((header_[1] & 0x01) != 0) {  // carries the status
                expected_status_ = get32(&header_[24]) + 1;
                complete(tag, header_[3] == 0);
            }
            return;
        case ready_to_transfer:
            return send_data(header_);
        case nop_in: {
            if (get32(&header_[20]) == no_tag) {
                return;
            }
            Header pong{};
            pong[0] = nop_out | immediate;
            pong[1] = final_bit;
            put32(&pong[16], no_tag);
            std::copy_n(&header_[20], 4, &pong[20]);
            put32(&pong[24], command_number_);
            put32(&pong[28], expected_status_);
            return append(pong, nullptr, 0);
        }
        default:
            broken_ = true;  // a reject or an asynchronous message: no benchmark gets one
    }
}

void WireDriver::complete(std::uint32_t tag, bool good) {
    if (tag >= tags_.size()) {
        broken_ = true;
    } else if (tag == ready_tag()) {
        ready_ = good ? 1 : 0;
    } else {
        done_(tag, good);
    }
}

bool WireDriver::serve(int timeout_ms) {
    send_waiting();
    if (!flush() || !receive(timeout_ms)) {
        return false;
    }
    return flush();
}

}  // namespace

std::expected<std::unique_ptr<Driver>, std::string> wire_driver(const DriverSetup& setup) {
    const std::unique_ptr<iscsi_context, int (*)(iscsi_context*)> context(
        iscsi_create_context(initiator_name), iscsi_destroy_context);
    const std::unique_ptr<iscsi_url, void (*)(iscsi_url*)> url(
        iscsi_parse_full_url(context.get(), setup.url.c_str()), iscsi_destroy_url);
    if (!url) {
        return std::unexpected("not an iscsi:// URL: " + setup.url);
    }
    auto driver = std::make_unique<WireDriver>(setup);
    if (auto error = driver->log_in(*url); !error.empty()) {
        return std::unexpected(std::move(error));
    }
    return driver;
}

}  // namespace olio::bench
