#include "fabric/iscsi/portal_server.h"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "base/former_owner.h"
#include "base/limits.h"
#include "base/log.h"

namespace olio::iscsi {

namespace {
constexpr unsigned logged_failures_per_second = 10;
constexpr reactor::Nanoseconds accept_pause = 100 * reactor::nanoseconds_per_ms;
}  // namespace

// Accepts on one endpoint, for ever; and knows for its logins which targets are behind it.
struct PortalServer::Listener final : reactor::Operation, LoginPolicy {
    struct Retry final : reactor::Timer {
        void fired() noexcept override { listener->accept_next(); }
        Listener* listener = nullptr;
    };

    Listener(PortalServer& of, reactor::Shard& on, int listening_socket,
             reactor::Endpoint as_configured)
        : server(of), shard(on), socket(listening_socket), configured(as_configured) {
        retry.listener = this;
    }
    void accept_next() {
        if (socket >= 0 && !closing)
            shard.submit(accept(socket));
    }
    void close() {
        closing = true;
        shard.stop(retry);
        if (in_flight())
            shard.cancel(*this);
        else
            end();
    }
    void end() {
        if (socket < 0)
            return;
        shard.close(std::exchange(socket, -1));
        --server.open_listeners_;
        server.notify_waiters();
    }
    void on_complete(std::int64_t result) noexcept override {
        if (result >= 0)
            server.accepted(*this, static_cast<int>(result));
        if (closing) {
            end();
        } else if (result >= 0 || result == -ECONNABORTED || result == -EINTR ||
                   result == -EAGAIN) {
            accept_next();
        } else {
            // No descriptors or memory: it will not help to ask again at once.
            log::warning("cannot accept on {}: {}", configured.text(),
                         std::strerror(static_cast<int>(-result)));
            shard.start(retry, accept_pause);
        }
    }
    TargetSelection select(const LoginIdentity& identity) override {
        return server.targets_.select(identity, configured);
    }

    PortalServer& server;
    reactor::Shard& shard;
    int socket;
    bool closing = false;
    reactor::Endpoint configured;
    Retry retry;
};

std::unique_ptr<IscsiTarget> IscsiTarget::create(reactor::Reactor& reactor, target::Engine& engine,
                                                 IscsiOptions options) {
    return std::make_unique<PortalServer>(reactor, engine, std::move(options));
}

PortalServer::PortalServer(reactor::Reactor& reactor, target::Engine& engine, IscsiOptions options)
    : reactor_(reactor),
      engine_(engine),
      options_(std::move(options)),
      load_(reactor.size()),
      hosted_(reactor.size()) {}

PortalServer::~PortalServer() = default;

Result<void> PortalServer::add_target_node(TargetNodeOptions options) {
    const std::string name = normalize_name(options.name);
    std::vector<reactor::Endpoint> endpoints;
    for (const PortalGroupOptions& group : options.portal_groups) {
        endpoints.insert(endpoints.end(), group.portals.begin(), group.portals.end());
        const std::string advice = secret_advice(authentication_of(group.access));
        if (!advice.empty())
            log::warning("{}: {}", name, advice);
    }
    OLIO_TRY(targets_.add(std::move(options)));
    if (!started_)
        return {};
    Result<void> listens = listen_on(endpoints);
    if (!listens)
        (void)targets_.remove(name);
    return listens;
}

Result<void> PortalServer::start() {
    started_ = true;
    Result<void> listens = listen_on(targets_.portals());
    const auto taken = [&listens] { return !listens && listens.error().code == EADDRINUSE; };
    if (taken())
        (void)outwait_former_owner(listens.error().message, [&] {
            listens = listen_on(targets_.portals());
            return !taken();
        });
    return listens;
}

Result<void> PortalServer::listen_on(const std::vector<reactor::Endpoint>& endpoints) {
    for (const reactor::Endpoint& endpoint : endpoints) {
        const bool there = std::ranges::any_of(listeners_, [&endpoint](const auto& listener) {
            return listener->configured.text() == endpoint.text();
        });
        if (!there)
            OLIO_TRY(listen(endpoint));
    }
    return {};
}

Result<void> PortalServer::listen(const reactor::Endpoint& at) {
    reactor::Shard& shard = reactor_.shard(0);
    Result<int> socket = shard.listen(at);
    if (!socket)
        return std::unexpected(socket.error());
    listeners_.push_back(std::make_unique<Listener>(*this, shard, *socket, at));
    ++open_listeners_;
    Listener* listener = listeners_.back().get();
    if (reactor::Shard::current() == &shard)
        listener->accept_next();
    else
        shard.post([listener] { listener->accept_next(); });
    return {};
}

std::vector<reactor::Endpoint> PortalServer::portals() const {
    std::vector<reactor::Endpoint> endpoints;
    for (const auto& listener : listeners_)
        if (listener->socket >= 0)
            if (auto local = listener->shard.local_endpoint(listener->socket))
                endpoints.push_back(*local);
    return endpoints;
}

void PortalServer::accepted(Listener& listener, int socket) {
    reactor::Shard& shard = listener.shard;
    auto local = shard.local_endpoint(socket);
    auto peer = shard.peer_endpoint(socket);
    if (stopping_ || !local || !peer || logins_.size() >= limits::connections_in_login) {
        shard.close(socket);
        return;
    }
    auto login = std::make_unique<LoginConnection>(shard, socket, *local, *peer,
                                                   std::make_unique<Login>(listener), *this);
    LoginConnection* started = login.get();
    logins_.emplace(started, Pending{std::move(login), &listener});
    started->start();
}

// Whoever can reach the port can fail to log in: the log must not fill the disk.
void PortalServer::log_failure(const LoginConnection& login, LoginStatus status,
                               const std::string& reason) {
    const std::uint64_t second = reactor_.shard(0).now() / reactor::nanoseconds_per_second;
    if (second != std::exchange(failures_since_, second)) {
        if (failures_ > logged_failures_per_second)
            log::warning("{} more iSCSI logins failed in one second",
                         failures_ - logged_failures_per_second);
        failures_ = 0;
    }
    if (++failures_ <= logged_failures_per_second)
        log::warning("iSCSI login from {} failed ({}): {}", login.peer().text(),
                     login_status_name(status), reason);
}

void PortalServer::login_ended(LoginConnection& login) {
    if (const LoginStatus status = login.login().failure_status(); status != LoginStatus::success)
        log_failure(login, status, login.login().failure());
    for (auto& [id, entry] : entries_)
        if (entry.successor == &login)
            entry.successor = nullptr;
    const auto found = logins_.find(&login);
    OLIO_ASSERT(found != logins_.end(), "a login ended twice");
    auto ended = std::make_shared<Pending>(std::move(found->second));
    logins_.erase(found);
    reactor_.shard(0).post([ended] {});  // destroyed when nobody is inside any more
    notify_waiters();
}

std::string PortalServer::key_of(const Login& login, const reactor::Endpoint& portal) const {
    const LoginIdentity& identity = login.identity();
    if (identity.discovery)
        return {};
    const auto group = targets_.find(identity.target_name, portal);
    return fmt::format("{} {} {} {}", identity.target_name, group ? group->options.tag : 0,
                       identity.initiator_name, hex_text(identity.isid));
}

PortalServer::Entry* PortalServer::find_entry(const std::string& key, std::uint64_t* id) {
    for (auto& [number, entry] : entries_) {
        if (entry.key != key || entry.fenced)
            continue;
        if (id != nullptr)
            *id = number;
        return &entry;
    }
    return nullptr;
}

LoginStatus PortalServer::admission_fault(const LoginIdentity& identity,
                                          const std::string& key) const {
    if (stopping_)
        return LoginStatus::service_unavailable;
    if (identity.tsih == 0)
        return entries_.size() < limits::sessions ? LoginStatus::success
                                                  : LoginStatus::out_of_resources;
    // A connection for a session that exists: one connection is what was negotiated (13.2).
    const auto found = std::ranges::find_if(entries_, [&](const auto& each) {
        return each.second.key == key && each.second.tsih == identity.tsih && !each.second.fenced;
    });
    if (found == entries_.end())
        return LoginStatus::session_does_not_exist;
    return found->second.cid == identity.cid ? LoginStatus::cannot_include_in_session
                                             : LoginStatus::too_many_connections;
}

void PortalServer::admission_wanted(LoginConnection& login) {
    const LoginIdentity& identity = login.login().identity();
    const Pending& pending = logins_.at(&login);
    std::string key = key_of(login.login(), pending.listener->configured);
    if (const LoginStatus fault = admission_fault(identity, key); fault != LoginStatus::success) {
        login.refuse(fault);
        return;
    }
    std::uint64_t id = 0;
    Entry* old = key.empty() ? nullptr : find_entry(key, &id);
    if (old == nullptr) {
        start_session(login, std::move(key));
        return;
    }
    // 6.3.5: session reinstatement. The old one ends first; of several that wait the last one wins.
    if (LoginConnection* earlier = std::exchange(old->successor, &login))
        earlier->close();
    else
        close_session(id, *old, "the host logged in anew");
}

void PortalServer::start_session(LoginConnection& login, std::string key) {
    const Pending& pending = logins_.at(&login);
    const LoginIdentity& identity = login.login().identity();
    SessionStart start;
    if (!identity.discovery) {
        start.group = targets_.find(identity.target_name, pending.listener->configured);
        if (start.group == nullptr) {
            login.refuse(LoginStatus::target_removed);
            return;
        }
        start.luns = start.group->luns_for(identity.initiator_name);
    }
    Entry entry;
    entry.key = std::move(key);
    entry.target_name = identity.target_name;
    entry.initiator_name = identity.initiator_name;
    entry.tag = start.group ? start.group->options.tag : 0;
    entry.cid = identity.cid;
    entry.tsih = new_tsih();
    entry.shard = identity.discovery ? 0 : least_loaded();
    log::info("iSCSI {} of {} from {}{}{}", identity.discovery ? "discovery" : "session",
              identity.initiator_name, login.peer().text(), identity.discovery ? "" : " to ",
              identity.target_name);
    start.id = ++last_id_;
    start.tsih = entry.tsih;
    start.times = options_.times;
    start.login = login.release();
    const unsigned shard = entry.shard;
    ++load_[shard];
    entries_.emplace(start.id, std::move(entry));
    // The login's shell has nothing left; it goes when nobody is inside any more.
    const auto found = logins_.find(&login);
    auto ended = std::make_shared<Pending>(std::move(found->second));
    logins_.erase(found);
    reactor_.shard(0).post([ended] {});
    start_on_shard(std::move(start), shard);
}

void PortalServer::start_on_shard(SessionStart start, unsigned index) {
    reactor::Shard& shard = reactor_.shard(index);
    shard.post([this, &shard, moved = std::move(start)]() mutable {
        const std::uint64_t id = moved.id;
        auto session = std::make_unique<HostedSession>(shard, engine_, *this, std::move(moved));
        HostedSession* begun = session.get();
        auto& here = hosted_[shard.index()];
        here.emplace(id, std::move(session));
        if (begun->begin())
            return;
        here.erase(id);
        session_fenced(id);
        reactor_.shard(0).post([this, id] { gone_on_home(id); });
    });
}

unsigned PortalServer::least_loaded() const {
    return static_cast<unsigned>(std::ranges::min_element(load_) - load_.begin());
}

std::uint16_t PortalServer::new_tsih() {
    for (;;) {
        if (++last_tsih_ == 0)
            continue;
        const bool used = std::ranges::any_of(
            entries_, [this](const auto& each) { return each.second.tsih == last_tsih_; });
        if (!used)
            return last_tsih_;
    }
}

void PortalServer::close_session(std::uint64_t id, const Entry& entry, std::string reason) {
    const unsigned index = entry.shard;
    reactor_.shard(index).post([this, id, index, why = std::move(reason)] {
        if (const auto found = hosted_[index].find(id); found != hosted_[index].end())
            found->second->close(why);
    });
}

void PortalServer::close_sessions_of(const std::string& target_name, const std::string& reason) {
    for (const auto& [id, entry] : entries_)
        if (entry.target_name == target_name)
            close_session(id, entry, reason);
}

void PortalServer::session_fenced(std::uint64_t id) noexcept {
    reactor_.shard(0).post([this, id] { fenced_on_home(id); });
}

void PortalServer::fenced_on_home(std::uint64_t id) {
    const auto found = entries_.find(id);
    if (found == entries_.end() || std::exchange(found->second.fenced, true))
        return;
    if (LoginConnection* login = std::exchange(found->second.successor, nullptr)) {
        if (stopping_)
            login->refuse(LoginStatus::service_unavailable);
        else
            start_session(*login, found->second.key);
    }
}

void PortalServer::session_drained(std::uint64_t id, unsigned shard) noexcept {
    // Destroyed from the loop: the caller is inside of it.
    reactor_.shard(shard).post([this, id, shard] {
        hosted_[shard].erase(id);
        reactor_.shard(0).post([this, id] { gone_on_home(id); });
    });
}

void PortalServer::gone_on_home(std::uint64_t id) {
    const auto found = entries_.find(id);
    OLIO_ASSERT(found != entries_.end(), "a session ended twice");
    --load_[found->second.shard];
    entries_.erase(found);
    notify_waiters();
}

void PortalServer::notify_waiters() {
    std::vector<Removal> finished;
    for (auto at = removals_.begin(); at != removals_.end();) {
        const bool busy = std::ranges::any_of(entries_, [&at](const auto& each) {
            return each.second.target_name == at->target_name;
        });
        if (busy) {
            ++at;
            continue;
        }
        finished.push_back(std::move(*at));
        at = removals_.erase(at);
    }
    for (Removal& removal : finished)
        removal.done({});
    if (stopping_ && stopped_ && entries_.empty() && logins_.empty() && open_listeners_ == 0)
        std::exchange(stopped_, nullptr)();
}

void PortalServer::remove_target_node(const std::string& name,
                                      std::move_only_function<void(Result<void>)> done) {
    if (Result<void> removed = targets_.remove(name); !removed) {
        done(std::move(removed));
        return;
    }
    const std::string target_name = normalize_name(name);
    close_sessions_of(target_name, "the target was removed");
    removals_.push_back({target_name, std::move(done)});
    notify_waiters();
}

Result<void> PortalServer::set_lun_map(const std::string& target_name, std::uint16_t tag,
                                       const std::string& initiator_name,
                                       std::shared_ptr<const target::LunMap> map) {
    const auto group = targets_.find(normalize_name(target_name), tag);
    if (group == nullptr)
        return fail(ENOENT, fmt::format("there is no portal group {} of {}", tag, target_name));
    const std::string initiator = normalize_name(initiator_name);
    if (initiator.empty() && map == nullptr)
        return fail(EINVAL, "the common LUN map cannot be taken away");
    if (initiator.empty())
        group->options.luns = std::move(map);
    else if (map != nullptr)
        group->options.luns_of_initiator[initiator] = std::move(map);
    else
        group->options.luns_of_initiator.erase(initiator);
    for (const auto& [id, entry] : entries_) {
        if (entry.target_name != group->target_name || entry.tag != tag ||
            (!initiator.empty() && entry.initiator_name != initiator))
            continue;
        reactor_.shard(entry.shard)
            .post([this, number = id, index = entry.shard,
                   now = group->luns_for(entry.initiator_name)] {
                const auto found = hosted_[index].find(number);
                if (found != hosted_[index].end() && found->second->session().nexus() != nullptr)
                    found->second->session().nexus()->set_lun_map(now);
            });
    }
    return {};
}

void PortalServer::sessions(std::move_only_function<void(std::vector<SessionStatistics>)> done) {
    struct Collection {
        std::move_only_function<void(std::vector<SessionStatistics>)> done;
        std::vector<SessionStatistics> found;
        std::size_t awaited = 0;
    };
    auto all = std::make_shared<Collection>();
    all->done = std::move(done);
    all->awaited = hosted_.size();
    for (unsigned index = 0; index < hosted_.size(); ++index) {
        reactor_.shard(index).post([this, index, all] {
            std::vector<SessionStatistics> here;
            for (const auto& [id, hosted] : hosted_[index]) {
                Session& session = hosted->session();
                SessionStatistics info;
                info.initiator_name = session.identity().initiator_name;
                info.initiator_alias = session.identity().initiator_alias;
                info.target_name = session.identity().target_name;
                info.portal_group_tag = hosted->group() ? hosted->group()->options.tag : 0;
                info.tsih = session.tsih();
                info.initiator_address = hosted->peer().text();
                info.discovery = session.discovery();
                info.header_digest = session.parameters().header_digest != 0;
                info.data_digest = session.parameters().data_digest != 0;
                info.shard = index;
                info.commands_in_flight = session.nexus() ? session.nexus()->commands() : 0;
                const SessionCounters& counters = session.counters();
                info.commands = counters.commands;
                info.read_bytes = counters.bytes_to_host;
                info.write_bytes = counters.bytes_from_host;
                info.rejects = counters.rejects;
                info.digest_errors = counters.digest_errors;
                here.push_back(std::move(info));
            }
            reactor_.shard(0).post([all, infos = std::move(here)]() mutable {
                std::ranges::move(infos, std::back_inserter(all->found));
                if (--all->awaited != 0)
                    return;
                // Other shards may hold the collection a moment longer; what `done` has caught must
                // end here.
                auto finished = std::exchange(all->done, nullptr);
                finished(std::move(all->found));
            });
        });
    }
}

void PortalServer::stop(unsigned drain_seconds, std::move_only_function<void()> done) {
    stopping_ = true;
    stopped_ = std::move(done);
    const auto seconds = static_cast<std::uint16_t>(std::min(drain_seconds, 65535U));
    for (const auto& listener : listeners_)
        listener->close();
    std::vector<LoginConnection*> logins;
    for (const auto& [login, pending] : logins_)
        logins.push_back(login);
    for (LoginConnection* login : logins)
        login->close();
    for (const auto& [id, entry] : entries_) {
        const unsigned index = entry.shard;
        reactor_.shard(index).post([this, number = id, index, seconds] {
            const auto found = hosted_[index].find(number);
            if (found == hosted_[index].end())
                return;
            if (seconds == 0)
                found->second->close("the target was stopped");
            else
                found->second->request_logout(seconds);
        });
    }
    notify_waiters();
}

std::string PortalServer::discovery_targets(std::string_view which, const std::string& initiator,
                                            const reactor::Endpoint& local) {
    return targets_.send_targets(which, initiator, local);
}

void PortalServer::cold_reset_of(const std::string& target_name) noexcept {
    reactor_.shard(0).post(
        [this, target_name] { close_sessions_of(target_name, "a TARGET COLD RESET"); });
}

}  // namespace olio::iscsi
