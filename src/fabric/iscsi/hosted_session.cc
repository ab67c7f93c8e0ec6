#include "fabric/iscsi/hosted_session.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace olio::iscsi {

namespace {

// SPC-5 7.6.4.6: the iSCSI TransportID with the initiator session identifier (format 01b).
std::vector<std::uint8_t> transport_id(const std::string& port_name) {
    constexpr std::size_t header_bytes = 4;
    constexpr std::size_t smallest_name_bytes = 20;
    const std::size_t name_bytes =
        std::max((port_name.size() + 1 + 3) & ~std::size_t{3}, smallest_name_bytes);
    std::vector<std::uint8_t> id(header_bytes + name_bytes);
    Builder builder(id);
    builder.u8(0x40 | static_cast<std::uint8_t>(scsi::ProtocolIdentifier::iscsi));
    builder.u8(0);
    builder.be16(static_cast<std::uint16_t>(name_bytes));
    builder.bytes(as_bytes(port_name));
    return id;
}

// RFC 7143 4.4.1: the SCSI initiator port's name.
std::string port_name(const LoginIdentity& identity) {
    return fmt::format("{},i,{}", identity.initiator_name, hex_text(identity.isid));
}

}  // namespace

HostedSession::HostedSession(reactor::Shard& shard, target::Engine& engine, SessionHost& host,
                             SessionStart start)
    : shard_(shard),
      engine_(engine),
      host_(host),
      start_(std::move(start)),
      local_(start_.login.local),
      peer_(start_.login.peer) {}

HostedSession::~HostedSession() = default;

bool HostedSession::begin() {
    LoginOutcome outcome = std::move(start_.login);
    Login& login = *outcome.login;
    session_ = std::make_unique<Session>(Session::Options{.identity = login.identity(),
                                                          .parameters = login.parameters(),
                                                          .command_window = login.command_window(),
                                                          .first_cmd_sn = login.initial_cmd_sn(),
                                                          .tsih = start_.tsih,
                                                          .buffers = &shard_.buffers()},
                                         *this);
    if (start_.group != nullptr) {
        const std::string name = port_name(login.identity());
        auto nexus = engine_.establish_nexus(start_.group->port, {name, transport_id(name)},
                                             start_.luns, *session_);
        if (!nexus) {
            log::warning("iSCSI login of {} from {} refused: {}", login.identity().initiator_name,
                         peer_.text(), nexus.error().message);
            (void)login.admitted(LoginStatus::out_of_resources, 0);
            send_and_close(shard_, outcome.socket, wire_form(login.reply()));
            return false;
        }
        session_->attach(std::move(*nexus));
    }
    (void)login.admitted(LoginStatus::success, start_.tsih);
    Connection::Options options;
    options.cid = login.identity().cid;
    options.stat_sn = login.next_stat_sn();
    options.times = start_.times;
    if (start_.group != nullptr)
        options.settings = start_.group->options.settings;
    connection_ =
        std::make_unique<TcpConnection>(shard_, outcome.socket, *session_, std::move(options),
                                        wire_form(login.reply()), [this] { connection_closed(); });
    connection_->start(outcome.leftover);
    return true;
}

void HostedSession::close(std::string_view reason) noexcept {
    connection_->close(reason);
}

void HostedSession::request_logout(std::uint16_t seconds) {
    connection_->request_logout(seconds);
}

void HostedSession::connection_closed() {
    log::info("iSCSI session of {} from {} ended: {}", session_->identity().initiator_name,
              peer_.text(), connection_->close_reason());
    SessionHost& host = host_;
    session_->close(
        [&host, id = start_.id] { host.session_fenced(id); },
        [&host, id = start_.id, shard = shard_.index()] { host.session_drained(id, shard); });
}

std::string HostedSession::send_targets(const Connection&, std::string_view which) {
    if (start_.group == nullptr)
        return host_.discovery_targets(which, session_->identity().initiator_name, local_);
    // A normal session may ask for its own target alone (RFC 7143 appendix C).
    if (!which.empty() && normalize_name(which) != start_.group->target_name)
        return {};
    TextBuilder text;
    text.add(key_name(Key::target_name), start_.group->target_name);
    add_target_addresses(*start_.group, local_, text);
    return text.take();
}

void HostedSession::cold_reset() noexcept {
    if (start_.group != nullptr)
        host_.cold_reset_of(start_.group->target_name);
}

}  // namespace olio::iscsi
