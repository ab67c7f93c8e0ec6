// A host's session over iSCSI and simulated TCP, with the tests' own initiator.
#pragma once

#include <list>
#include <memory>
#include <string>

#include "host_session.h"
#include "initiator/connection.h"
#include "reactor/sim.h"

namespace olio::sim {

struct IscsiAccess {
    reactor::Endpoint portal;
    reactor::Endpoint source;  // the host's own address
    initiator::Settings settings;
};

class IscsiSession final : public HostSession {
  public:
    IscsiSession(reactor::SimReactor& sim, reactor::Shard& shard, IscsiAccess access,
                 SessionUser& user, std::uint64_t seed);
    ~IscsiSession() override;

    // Digests, bursts and the kinds of data, as a seed likes them.
    static void choose_keys(reactor::Random& random, initiator::Settings& settings);

    void connect() override;
    [[nodiscard]] bool ready() const override;
    bool submit(const HostCommand& command) override;
    void manage(const HostFunction& function) override;
    void cut() override;
    void close() override;
    [[nodiscard]] bool ended() const override { return links_.empty(); }
    [[nodiscard]] std::string state() const override;

  private:
    class Link;  // one TCP connection and the session on it

    reactor::SimReactor& sim_;
    reactor::Shard& shard_;
    IscsiAccess access_;
    SessionUser& user_;
    reactor::Random random_;
    bool connecting_ = false;
    std::list<std::unique_ptr<Link>> links_;
    Link* current_ = nullptr;
};

}  // namespace olio::sim
