// One connection in the full feature phase (RFC 7143 4.3) as a state machine from bytes to bytes.
// It knows neither sockets nor threads: whoever carries the bytes asks where the next ones go, says
// how many came, and asks what to send. Data goes straight to and from the memory of the engine.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/intrusive_list.h"
#include "fabric/iscsi/negotiation.h"
#include "fabric/iscsi/pdu.h"
#include "fabric/iscsi/session.h"
#include "fabric/iscsi/task.h"
#include "fabric/iscsi/text.h"

namespace olio::iscsi {

// What a connection tells the one who carries its bytes. Calls may come from inside calls to the
// connection; they only note what is to be done.
class ConnectionTransport {
  public:
    virtual void output_ready() noexcept = 0;   // gather() has something
    virtual void input_resumed() noexcept = 0;  // receive_window() is no longer empty
    // The window that is lent must come back soon: end the receive that uses it (received(0) will
    // do).
    virtual void renew_receive() noexcept = 0;
    // The connection is over. Bring back what is lent, then call Connection::lost().
    virtual void drop(std::string_view reason) noexcept = 0;

  protected:
    ~ConnectionTransport() = default;
};

struct ConnectionTimes {                      // nanoseconds
    std::uint64_t idle = 30'000'000'000;      // silence after which a NOP-In asks
    std::uint64_t answer = 10'000'000'000;    // silence after that which ends the connection
    std::uint64_t data_out = 60'000'000'000;  // solicited data that does not come
};

class Connection {
  public:
    static constexpr std::size_t receive_bytes = 8192;
    static constexpr std::size_t frames = 64;
    static constexpr std::uint64_t never = ~std::uint64_t{0};

    struct Options {
        std::uint16_t cid = 0;
        std::uint32_t stat_sn = 0;  // the next one
        std::uint16_t portal_group_tag = 1;
        std::string local_host;     // where the host came in, for SendTargets
        std::string local_address;  // the same with its port, as TargetAddress wants it
        ConnectionTimes times;
        OperationalSettings settings;  // for what may be renegotiated
    };
    // `session` must outlive it. Adds itself to the session; lost() removes it.
    Connection(Session& session, ConnectionTransport& transport, Options options,
               std::uint64_t now);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    // --- Bytes in. The window is lent until received() is called, with the number of bytes that
    // were put into it from its start. An empty window: ask again after input_resumed(). ---
    [[nodiscard]] std::size_t receive_window(std::span<iovec, 2> into) noexcept;
    void received(std::size_t count, std::uint64_t now);
    // Bytes that arrived before the connection was made (behind the last login request).
    void preload(Bytes bytes, std::uint64_t now);

    // --- Bytes out. What gather() gave stays valid until sent() has taken it or lost() is called.
    // ---
    [[nodiscard]] std::size_t gather(std::span<iovec> into);
    void sent(std::size_t count, std::uint64_t now);

    // --- Time ---
    [[nodiscard]] std::uint64_t next_deadline() const noexcept;
    void expired(std::uint64_t now);

    // Nothing is lent any more and no byte will move: lets go of everything. Tasks get no answer.
    void lost() noexcept;

    // Asks the host to log out within `seconds` (11.9.1) and ends the connection after that.
    void request_logout(std::uint16_t seconds, std::uint64_t now);

    [[nodiscard]] const Options& options() const noexcept { return options_; }
    [[nodiscard]] Session& session() noexcept { return session_; }
    [[nodiscard]] bool dropped() const noexcept { return dropped_; }

    // --- For the session ---
    void begin_data_out(IscsiTask& task) noexcept;
    void send_response(IscsiTask& task) noexcept;
    void stop_data_out(IscsiTask& task) noexcept;
    void forget(IscsiTask& task) noexcept;
    void send(std::unique_ptr<Answer> answer);
    // A PDU that was held, or that needed no holding, and has no task.
    void deliver(const BasicHeader& bhs, std::vector<std::uint8_t> data);
    void drop(std::string_view reason) noexcept;

  private:
    enum class Stage : std::uint8_t { header, data, trailer };

    struct Frame {
        std::array<std::uint8_t, bhs_bytes + digest_bytes> header;
        std::array<std::uint8_t, 3 + digest_bytes> trailer;
        std::uint8_t header_bytes = 0;
        std::uint8_t trailer_bytes = 0;
        bool closes = false;  // the connection ends behind it
        bool answer = false;  // counted among the queued answers
        std::uint32_t data_bytes = 0;
        std::uint32_t data_offset = 0;
        IscsiTask* task = nullptr;        // whose data-in it has
        IscsiTask* ending = nullptr;      // whose last frame it is
        std::vector<std::uint8_t> owned;  // else
        [[nodiscard]] std::size_t total() const noexcept {
            return std::size_t{header_bytes} + data_bytes + trailer_bytes;
        }
    };

    // connection.cc: receiving
    void parse();
    [[nodiscard]] bool parse_header();
    [[nodiscard]] bool parse_data();
    [[nodiscard]] bool parse_trailer();
    void take_data(std::size_t count, const std::uint8_t* copy_from);
    void compact() noexcept;
    // The next bytes of the wire go straight to where the data belongs.
    [[nodiscard]] bool receives_directly() const noexcept {
        return stage_ == Stage::data && !target_.empty() && available() == 0;
    }
    [[nodiscard]] bool lends_memory_of(const IscsiTask& task) const noexcept {
        return lent_ && target_task_ == &task && receives_directly();
    }
    [[nodiscard]] std::size_t available() const noexcept { return rx_end_ - rx_begin_; }
    void begin_pdu();
    void end_pdu(bool digest_ok);
    void end_other(bool digest_ok);
    void reject(RejectReason reason, const BasicHeader& bhs, bool closes = false);
    void refuse_pdu(RejectReason reason);  // the PDU being received; its data is discarded
    [[nodiscard]] bool input_paused() const noexcept;

    // connection_command.cc: SCSI Command and Data-Out
    void begin_command();
    void fill_task(IscsiTask& task, const ScsiCommandPdu& pdu, const AdditionalHeaders& extra);
    void plan_unsolicited(IscsiTask& task, const ScsiCommandPdu& pdu);
    void end_command(bool digest_ok);
    void begin_data_out_pdu();
    void end_data_out_pdu(bool digest_ok);
    void aim(IscsiTask& task, std::uint32_t offset) noexcept;
    void fail_data(IscsiTask& task, scsi::AdditionalSense sense);
    void advance_data_out(IscsiTask& task);
    void check_data_out();
    void close_burst(IscsiTask& task, Burst& burst);

    // connection_service.cc: everything else
    void take_nop_out(const BasicHeader& bhs, std::vector<std::uint8_t> data);
    void take_text(const BasicHeader& bhs, const std::vector<std::uint8_t>& data);
    [[nodiscard]] bool text_answers(TextBuilder& answers);
    void send_text(const TextRequestPdu& request);
    void take_logout(const BasicHeader& bhs);
    void take_task_management(const BasicHeader& bhs);
    void ping(std::uint64_t now);

    // connection_output.cc
    void enqueue(OutputSource& source) noexcept;
    void pump();
    // What becomes of a source after its next frame.
    enum class Then : std::uint8_t { stays, to_the_back, leaves, nothing_to_send };
    [[nodiscard]] Then produce(OutputSource& source, Frame& frame);
    void produce_answer(Answer& answer, Frame& frame);
    [[nodiscard]] Then produce_r2t(IscsiTask& task, Frame& frame);
    [[nodiscard]] Then produce_data_in(IscsiTask& task, Frame& frame);
    void produce_response(IscsiTask& task, Frame& frame);
    void seal(Frame& frame, const BasicHeader& bhs);
    [[nodiscard]] Numbering numbering(bool uses_stat_sn) noexcept;
    void frame_sent(Frame& frame);
    void clear_output() noexcept;

    Session& session_;
    ConnectionTransport& transport_;
    Options options_;
    Negotiation negotiation_;
    NegotiatedParameters parameters_;
    std::uint32_t stat_sn_;
    std::uint32_t exp_stat_sn_ = 0;  // what the host acknowledged
    bool dropped_ = false;
    bool lost_ = false;
    bool closing_ = false;  // nothing more is read; the connection ends with the queued output

    // Receiving.
    std::unique_ptr<std::uint8_t[]> rx_;
    std::size_t rx_begin_ = 0;
    std::size_t rx_end_ = 0;
    bool lent_ = false;
    bool parsing_ = false;
    bool paused_ = false;
    Stage stage_ = Stage::header;
    BasicHeader bhs_{};
    std::vector<std::uint8_t> ahs_;
    std::uint32_t data_left_ = 0;       // of the data segment
    MutableBytes target_;               // where its next bytes go; what is longer is discarded
    IscsiTask* target_task_ = nullptr;  // whose memory that is
    bool target_released_ = false;      // let go of target_ as soon as it is not lent
    Crc32c data_crc_;
    std::vector<std::uint8_t> small_;  // a data segment that is kept whole
    IscsiTask* pdu_task_ = nullptr;    // the task the PDU being received belongs to
    Burst* pdu_burst_ = nullptr;
    bool refused_ = false;
    bool ignored_ = false;

    // Text negotiation.
    TextAssembler text_;
    std::string text_out_;
    std::uint32_t text_tag_ = reserved_tag;
    bool text_open_ = false;

    // Sending.
    IntrusiveList<OutputSource, &OutputSource::output_hook> queue_;
    std::unique_ptr<Frame[]> ring_;
    std::size_t ring_begin_ = 0;
    std::size_t ring_count_ = 0;
    std::size_t front_sent_ = 0;
    std::size_t answer_bytes_ = 0;  // of queued answers
    std::size_t answers_ = 0;
    std::size_t fences_ = 0;  // answers in queue_ that nothing before them may fall behind

    // Time.
    std::uint64_t now_;
    std::uint64_t last_received_;
    std::uint64_t ping_sent_ = never;
    std::uint64_t end_at_ = never;
    std::uint64_t check_data_at_ = never;
    std::uint32_t waiting_for_data_ = 0;  // tasks
};

}  // namespace olio::iscsi
