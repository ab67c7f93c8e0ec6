#include "iscsi_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "reactor/shard.h"

namespace olio::sim {
namespace {

using initiator::Outcome;

constexpr std::size_t tasks_per_session = 32;
constexpr std::size_t receive_bytes = 16 << 10;

FunctionAnswer answer_of(const initiator::FunctionResult& result) {
    if (result.connection_lost)
        return FunctionAnswer::lost;
    switch (result.response) {
        case initiator::FunctionResponse::complete:
            return FunctionAnswer::complete;
        case initiator::FunctionResponse::task_does_not_exist:
            return FunctionAnswer::no_such_task;
        default:
            return FunctionAnswer::refused;
    }
}

}  // namespace

class IscsiSession::Link final : public initiator::Listener {
  public:
    explicit Link(IscsiSession& owner)
        : owner_(owner), session_(owner.access_.settings, *this, tasks_per_session) {}

    void open();
    void pump();
    void end();  // of the connection, whoever ended it
    void cut();
    void log_out();
    [[nodiscard]] bool ready() const { return !over_ && connection_.ready() && !leaving_; }
    [[nodiscard]] bool idle() const {
        return session_.tasks_under_way() == 0 && session_.functions_under_way() == 0;
    }
    [[nodiscard]] initiator::Connection& connection() { return connection_; }
    [[nodiscard]] std::uint32_t tag_of(WriteId id) const {
        const auto at = tags_.find(id);
        return at == tags_.end() ? initiator::no_tag : at->second;
    }
    void remember(WriteId id, std::uint32_t tag) { tags_[id] = tag; }
    [[nodiscard]] std::string state() const;
    [[nodiscard]] initiator::Session& session() { return session_; }
    void ping(std::string words) { pings_[connection_.ping(as_bytes(words))] = std::move(words); }

  private:
    struct Step final : reactor::Operation {
        Step(Link& owner, void (Link::*then)(std::int64_t)) : link(owner), function(then) {}
        void on_complete(std::int64_t result) noexcept override { (link.*function)(result); }
        Link& link;
        void (Link::*function)(std::int64_t);
    };
    // Forgets the link, not from inside a completion of its own.
    struct Farewell final : reactor::Task {
        explicit Farewell(Link& owner) : link(owner) {}
        void run() noexcept override { link.leave(); }
        Link& link;
    };

    void connected(std::int64_t result);
    void received(std::int64_t result);
    void sent(std::int64_t result);
    void receive();
    void leave_if_done();
    void leave();

    void logged_in(initiator::Connection&) override;
    void login_failed(initiator::Connection&, std::uint8_t, std::uint8_t,
                      std::string_view) override;
    void task_finished(initiator::Connection&, const initiator::Task& task) override;
    void function_finished(initiator::Connection&,
                           const initiator::FunctionResult& result) override;
    void logout_finished(initiator::Connection&, std::uint8_t response) override;
    void rejected(initiator::Connection&, std::uint8_t reason, Bytes) override;
    void nop_answered(initiator::Connection&, std::uint32_t tag, Bytes data) override;
    void violation(initiator::Connection&, const std::string& what) override {
        owner_.user_.fault("the target breaks RFC 7143: " + what);
    }

    IscsiSession& owner_;
    initiator::Session session_;
    initiator::Connection connection_{session_};
    int socket_ = -1;
    bool over_ = false;
    bool leaving_ = false;
    std::map<WriteId, std::uint32_t> tags_;
    std::map<std::uint32_t, std::string> pings_;
    std::array<std::uint8_t, receive_bytes> input_{};
    std::vector<std::uint8_t> output_;
    std::size_t output_sent_ = 0;
    iovec receive_vector_{};
    iovec send_vector_{};
    Step connect_{*this, &Link::connected};
    Step receive_{*this, &Link::received};
    Step send_{*this, &Link::sent};
    Farewell farewell_{*this};
};

// --- The connection ---

void IscsiSession::Link::open() {
    auto socket = owner_.shard_.open_socket(owner_.access_.portal);
    if (!socket)
        return owner_.user_.fault("open_socket: " + socket.error().message);
    socket_ = *socket;
    owner_.sim_.network().set_source(socket_, owner_.access_.source);
    owner_.shard_.submit(
        connect_.connect(socket_, owner_.access_.portal.address, owner_.access_.portal.length));
}

void IscsiSession::Link::connected(std::int64_t result) {
    if (over_)
        return leave_if_done();
    if (result < 0)
        return end();
    connection_.login();
    receive();
    pump();
}

void IscsiSession::Link::receive() {
    receive_vector_ = {input_.data(), input_.size()};
    owner_.shard_.submit(receive_.receive(socket_, {&receive_vector_, 1}));
}

void IscsiSession::Link::received(std::int64_t result) {
    if (over_)
        return leave_if_done();
    if (result <= 0)
        return end();
    connection_.receive(Bytes(input_).first(static_cast<std::size_t>(result)));
    if (connection_.stage() == initiator::Connection::Stage::failed)
        return end();
    pump();
    receive();
}

void IscsiSession::Link::pump() {
    if (over_ || send_.in_flight())
        return;
    if (output_sent_ == output_.size()) {
        const Bytes queued = connection_.output();
        output_.assign(queued.begin(), queued.end());
        output_sent_ = 0;
        connection_.sent(queued.size());
    }
    if (output_.empty())
        return;
    send_vector_ = {output_.data() + output_sent_, output_.size() - output_sent_};
    owner_.shard_.submit(send_.send(socket_, {&send_vector_, 1}));
}

void IscsiSession::Link::sent(std::int64_t result) {
    if (over_)
        return leave_if_done();
    if (result < 0)
        return end();
    output_sent_ += static_cast<std::size_t>(result);
    if (output_sent_ == output_.size()) {
        output_.clear();
        output_sent_ = 0;
    }
    pump();
}

void IscsiSession::Link::end() {
    if (over_)
        return;
    over_ = true;
    if (owner_.current_ == this) {
        owner_.current_ = nullptr;
        owner_.connecting_ = false;
    }
    for (Step* step : {&connect_, &receive_, &send_})
        if (step->in_flight())
            owner_.shard_.cancel(*step);
    connection_.closed();
    if (!leaving_)
        owner_.user_.session_lost();
    leave_if_done();
}

void IscsiSession::Link::leave_if_done() {
    if (!connect_.in_flight() && !receive_.in_flight() && !send_.in_flight())
        owner_.shard_.defer(farewell_);
}

void IscsiSession::Link::leave() {
    if (socket_ >= 0)
        owner_.shard_.close(socket_);
    owner_.links_.remove_if([this](const auto& link) { return link.get() == this; });
}

void IscsiSession::Link::cut() {
    if (over_)
        return;
    if (owner_.random_.below(2) == 0)
        owner_.sim_.network().cut(socket_);  // both ends are told
    else
        owner_.shard_.shutdown(socket_);  // in the middle of what is being sent
}

void IscsiSession::Link::log_out() {
    leaving_ = true;
    if (!connection_.ready() || !idle())
        return end();
    connection_.logout();
    pump();
}

std::string IscsiSession::Link::state() const {
    return fmt::format("connection stage {}{}{}, {} tasks, window {}, CmdSN {}, ExpCmdSN {}",
                       static_cast<int>(connection_.stage()), over_ ? ", over" : "",
                       leaving_ ? ", leaving" : "", session_.tasks_under_way(), session_.window(),
                       session_.cmd_sn(), session_.exp_cmd_sn());
}

// --- What the initiator says ---

void IscsiSession::Link::logged_in(initiator::Connection&) {
    owner_.connecting_ = false;
    if (leaving_)
        return;
    owner_.user_.session_ready();
}

void IscsiSession::Link::login_failed(initiator::Connection&, std::uint8_t status_class,
                                      std::uint8_t detail, std::string_view why) {
    if (status_class != 0)
        owner_.user_.fault(
            fmt::format("login refused with {:#x}/{:#x}: {}", status_class, detail, why));
}

void IscsiSession::Link::task_finished(initiator::Connection&, const initiator::Task& task) {
    Answer answer;
    answer.how = task.outcome == Outcome::answered  ? Answer::How::answered
                 : task.outcome == Outcome::aborted ? Answer::How::aborted
                                                    : Answer::How::lost;
    if (task.outcome == Outcome::rejected || task.response != 0)
        owner_.user_.fault(fmt::format("command {}: outcome {}, response {}", task.cookie,
                                       static_cast<int>(task.outcome), task.response));
    answer.status = task.status;
    if (task.status == 0x02) {
        answer.sense_key = task.sense_key();
        answer.additional_sense = task.additional_sense();
    }
    answer.data_in_bytes = task.data_in_received;
    tags_.erase(task.cookie);
    owner_.user_.command_ended(task.cookie, answer);
}

void IscsiSession::Link::function_finished(initiator::Connection&,
                                           const initiator::FunctionResult& result) {
    owner_.user_.function_ended(result.request.cookie, answer_of(result));
}

void IscsiSession::Link::logout_finished(initiator::Connection&, std::uint8_t response) {
    if (response != 0)
        owner_.user_.fault(fmt::format("logout response {}", response));
    // The target closes the connection: received() sees its end.
}

void IscsiSession::Link::rejected(initiator::Connection&, std::uint8_t reason, Bytes) {
    owner_.user_.fault(fmt::format("a PDU is rejected with reason {:#x}", reason));
}

void IscsiSession::Link::nop_answered(initiator::Connection&, std::uint32_t tag, Bytes data) {
    const auto words = pings_.extract(tag);
    if (!words || words.mapped() != as_text(data))
        owner_.user_.fault("NOP-In does not echo the ping");
}

// --- The session ---

IscsiSession::IscsiSession(reactor::SimReactor& sim, reactor::Shard& shard, IscsiAccess access,
                           SessionUser& user, std::uint64_t seed)
    : sim_(sim), shard_(shard), access_(std::move(access)), user_(user), random_(seed) {}

IscsiSession::~IscsiSession() = default;

void IscsiSession::choose_keys(reactor::Random& random, initiator::Settings& settings) {
    const auto yes_or_no = [&random] { return random.below(2) == 0 ? "Yes" : "No"; };
    const auto digest = [&random] { return random.below(3) == 0 ? "CRC32C" : "None,CRC32C"; };
    settings.set("HeaderDigest", digest());
    settings.set("DataDigest", digest());
    settings.set("InitialR2T", yes_or_no());
    settings.set("ImmediateData", yes_or_no());
    settings.set("MaxBurstLength", std::to_string(512U << random.below(10)));
    settings.set("FirstBurstLength", "512");
    settings.set("MaxOutstandingR2T", std::to_string(1 + random.below(4)));
    settings.max_recv_data_segment_bytes = static_cast<std::uint32_t>(512 << random.below(9));
    settings.start_in_security_stage = random.below(2) == 0;
}

void IscsiSession::connect() {
    connecting_ = true;
    links_.push_back(std::make_unique<Link>(*this));
    current_ = links_.back().get();
    current_->open();
}

bool IscsiSession::ready() const {
    return current_ != nullptr && current_->ready();
}

bool IscsiSession::submit(const HostCommand& command) {
    if (!ready())
        return false;
    initiator::CommandRequest request;
    request.lun = initiator::lun_field(command.lun);
    request.cdb = command.cdb.span();
    request.attribute = command.attribute;
    request.data_out = command.data_out;
    request.data_in = const_cast<HostCommand&>(command).data_in;
    request.hold_data_out = command.hold_data_out;
    request.cookie = command.id;
    request.immediate = random_.below(30) == 0;
    if (random_.below(20) == 0)
        current_->ping(fmt::format("before command {}", command.id));
    const auto tag = current_->connection().submit(request);
    if (!tag)
        return false;
    current_->remember(command.id, *tag);
    current_->pump();
    return true;
}

void IscsiSession::manage(const HostFunction& function) {
    initiator::FunctionRequest request;
    request.function = function.function;
    request.lun = initiator::lun_field(function.lun);
    request.cookie = function.id;
    if (function.function == Function::abort_task) {
        request.referenced_tag = current_->tag_of(function.referenced);
        if (const initiator::Task* task = current_->session().find(request.referenced_tag))
            request.referenced_cmd_sn = task->cmd_sn;
    }
    current_->connection().manage(request);
    current_->pump();
}

void IscsiSession::cut() {
    if (current_ != nullptr)
        current_->cut();
}

void IscsiSession::close() {
    if (current_ != nullptr)
        current_->log_out();
}

std::string IscsiSession::state() const {
    std::string text = fmt::format("{} connections", links_.size());
    for (const auto& link : links_)
        text += "; " + link->state();
    return text;
}

}  // namespace olio::sim
