// An iSCSI initiator's connection as a pure state machine: bytes in, bytes out. No sockets, no
// clock, no threads; once logged in, no allocation per command. It holds the target to RFC 7143 and
// says where it breaks it (Listener::violation), and it can be made to break it itself: `alter` and
// put_raw().
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "initiator/session.h"
#include "initiator/wire.h"

namespace olio::initiator {

// Results of the login.
struct Negotiated {
    bool header_digest = false;
    bool data_digest = false;
    bool initial_r2t = true;
    bool immediate_data = true;
    bool data_pdu_in_order = true;
    bool data_sequence_in_order = true;
    std::uint32_t target_max_recv_data_segment_bytes = 8192;
    std::uint32_t max_burst_bytes = 262144;
    std::uint32_t first_burst_bytes = 65536;
    std::uint32_t max_outstanding_r2t = 1;
    std::uint32_t error_recovery_level = 0;
    std::uint32_t max_connections = 1;
    std::uint32_t time_to_wait_seconds = 2;
    std::uint32_t time_to_retain_seconds = 20;
    std::uint32_t protocol_level = 1;
};

// A BHS in the making.
struct Header {
    std::array<std::uint8_t, header_bytes> bytes{};

    Header(Opcode opcode, std::uint8_t flags, bool immediate = false) noexcept {
        bytes[0] = static_cast<std::uint8_t>(opcode) | (immediate ? immediate_bit : 0);
        bytes[1] = flags;
    }
    Header& u8(std::size_t offset, std::uint8_t value) noexcept {
        bytes[offset] = value;
        return *this;
    }
    Header& be16(std::size_t offset, std::uint16_t value) noexcept {
        store_be(&bytes[offset], value);
        return *this;
    }
    Header& be32(std::size_t offset, std::uint32_t value) noexcept {
        store_be(&bytes[offset], value);
        return *this;
    }
    Header& be64(std::size_t offset, std::uint64_t value) noexcept {
        store_be(&bytes[offset], value);
        return *this;
    }
};

// What becomes of a PDU that is about to be queued.
enum class Mutation : std::uint8_t {
    none,
    drop,
    repeat,
    corrupt_header_digest,
    corrupt_data_digest,
    truncate,  // its last four bytes are missing
};

class Connection {
  public:
    enum class Stage : std::uint8_t { idle, security, operational, full_feature, failed, closed };

    explicit Connection(Session& session, std::uint16_t cid = 0);
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    // --- Bytes. ---
    void receive(Bytes bytes);
    [[nodiscard]] Bytes output() const noexcept {
        return {output_.get() + output_head_, output_tail_ - output_head_};
    }
    void sent(std::size_t count) noexcept;
    // The transport ended. Finishes what was under way as connection_lost.
    void closed();

    // --- Login. ---
    void login();
    [[nodiscard]] Stage stage() const noexcept { return stage_; }
    [[nodiscard]] bool ready() const noexcept { return stage_ == Stage::full_feature; }
    [[nodiscard]] const Negotiated& negotiated() const noexcept { return negotiated_; }

    // --- Full feature phase. ---
    // The tag, or nothing: no free task, or the window is closed (unless request.immediate).
    std::optional<std::uint32_t> submit(const CommandRequest& request);
    // The tag; the window is not asked for (functions are immediate by default).
    std::uint32_t manage(const FunctionRequest& request);
    std::uint32_t ping(Bytes data);
    void text(std::string_view keys);  // "SendTargets=All" and a NUL, say
    void logout(std::uint8_t reason = 0);

    // --- Misbehaviour. ---
    // Sees each PDU (header, data) before digests are made, may change the header, and decides.
    std::move_only_function<Mutation(MutableBytes header, Bytes data)> alter;
    // Sees each header received, before it is acted on; false: it is ignored.
    std::move_only_function<bool(Bytes header)> observe;
    // A PDU of the caller's own: length fields and digests are added, and numbers are left alone.
    void put(const Header& header, Bytes data, Bytes ahs = {});
    void put_raw(Bytes bytes);
    [[nodiscard]] std::uint32_t exp_stat_sn() const noexcept { return exp_stat_sn_; }

    [[nodiscard]] Session& session() noexcept { return session_; }
    [[nodiscard]] std::uint16_t cid() const noexcept { return cid_; }

  private:
    enum class Receiving : std::uint8_t { header, data, trailer };

    // Input.
    Bytes receive_header(Bytes bytes);
    Bytes receive_data(Bytes bytes);
    Bytes receive_trailer(Bytes bytes);
    void begin_data();
    MutableBytes place_of_data_in(std::uint32_t length);
    void dispatch();
    void handle_scsi_response();
    void handle_data_in();
    void handle_ready_to_transfer();
    void handle_function_response();
    void handle_nop_in();
    void handle_text_response();
    void handle_reject();
    void take_numbers(bool uses_stat_sn);
    void take_status(Task& task);
    void check_finished(const Task& task);
    [[nodiscard]] std::uint8_t u8(std::size_t offset) const noexcept { return header_[offset]; }
    [[nodiscard]] std::uint32_t be32(std::size_t offset) const noexcept {
        return load_be<std::uint32_t>(&header_[offset]);
    }
    void violation(const std::string& what);
    void break_off(const std::string& what);

    // Output.
    std::uint8_t* grow(std::size_t count);
    void append(MutableBytes header, Bytes data, Bytes ahs, Mutation mutation);
    void put_data_out(Task& task, std::uint32_t transfer_tag, std::uint32_t offset,
                      std::uint32_t length);

    // Login.
    using Keys = std::vector<std::pair<std::string, std::string>>;
    void put_login(std::string text, bool transit, std::uint8_t next_stage);
    void put_text_segments(Opcode opcode, std::string text, std::uint8_t last_flags,
                           std::uint32_t transfer_tag);
    void handle_login_response();
    void continue_security(const Keys& keys, std::uint8_t flags);
    void continue_operational(const Keys& keys, std::uint8_t flags);
    void put_operational(const std::string& more = {});
    void enter_full_feature();
    std::string adopt(const Keys& keys);
    void adopt_value(std::string_view key, std::string_view value);
    void fail_login(std::uint8_t status_class, std::uint8_t detail, std::string_view why);
    std::string answer_challenge(const Keys& keys);
    [[nodiscard]] bool target_proved_itself(const Keys& keys) const;

    Session& session_;
    std::uint16_t cid_;
    Stage stage_ = Stage::idle;
    Negotiated negotiated_;
    bool digests_on_ = false;
    std::uint32_t exp_stat_sn_ = 0;
    bool stat_sn_known_ = false;

    // Input: the PDU being received.
    Receiving receiving_ = Receiving::header;
    std::size_t header_have_ = 0;
    std::array<std::uint8_t, header_bytes + 255 * 4 + 4> header_{};
    MutableBytes data_place_;  // where what is left of the data goes; may be shorter
    std::uint32_t data_left_ = 0;
    std::uint32_t trailer_left_ = 0;  // padding and digest
    std::uint32_t padding_ = 0;
    std::uint32_t digest_ = 0;
    std::array<std::uint8_t, 4> wire_digest_{};
    std::vector<std::uint8_t> scratch_;  // data of PDUs other than Data-In and Response
    bool ignored_ = false;

    std::unique_ptr<std::uint8_t[]> output_;
    std::size_t output_capacity_ = 0;
    std::size_t output_head_ = 0;
    std::size_t output_tail_ = 0;

    std::uint32_t login_tag_ = no_tag;
    unsigned login_exchanges_ = 0;
    std::string text_in_;
    std::string text_rest_;  // to send when the part before has been answered
    std::uint8_t text_last_flags_ = 0;
    std::uint32_t text_tag_ = no_tag;
    std::vector<std::string> offered_;
    std::string mutual_challenge_;
    std::uint8_t mutual_identifier_ = 0;
    std::string chap_algorithm_;
    bool chap_answered_ = false;
    bool operational_offered_ = false;
};

}  // namespace olio::initiator
