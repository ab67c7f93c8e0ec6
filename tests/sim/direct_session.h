// A host's session straight to the engine: a fabric made of nothing but delays. It checks the
// engine's side of target_port.h and it_nexus.h as it goes.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "host_session.h"
#include "reactor/shard.h"
#include "target/engine.h"

namespace olio::sim {

class DirectSession final : public HostSession, private target::TransportServices {
  public:
    DirectSession(reactor::Shard& shard, target::Engine& engine, const target::TargetPort& port,
                  std::string name, std::shared_ptr<const target::LunMap> luns, SessionUser& user,
                  std::uint64_t seed);
    ~DirectSession() override;

    void connect() override;
    [[nodiscard]] bool ready() const override { return state_ == State::ready; }
    bool submit(const HostCommand& command) override;
    void manage(const HostFunction& function) override;
    void cut() override;
    void close() override;
    [[nodiscard]] bool ended() const override;
    [[nodiscard]] std::string state() const override;

  private:
    enum class State : std::uint8_t { closed, connecting, ready };
    enum class Stage : std::uint8_t { submitted, receiving, received, completing, over };
    struct Life;  // one nexus and what belongs to it

    struct Task final : target::Command {
        const HostCommand* host = nullptr;  // null once the host was told
        Life* life = nullptr;
        WriteId id = 0;
        std::uint64_t order = 0;  // of submission, functions included
        Stage stage = Stage::submitted;
        bool terminating = false;
        bool engines = true;   // not yet given back by finished()
        bool aborted = false;  // the host has been told; the engine may keep it behind a fence
    };
    struct Request final : target::TaskManagement {
        HostFunction host;
        Life* life = nullptr;
        std::uint64_t order = 0;
    };
    struct Life : std::enable_shared_from_this<Life> {
        std::unique_ptr<target::ITNexus> nexus;
        std::map<WriteId, std::unique_ptr<Task>> tasks;
        std::map<std::uint64_t, std::unique_ptr<Request>> requests;
        bool current = true;
        bool fenced = false;
        bool drained = false;
    };
    struct Later final : reactor::Timer {
        Later(DirectSession& owner, std::function<void()> what)
            : session(owner), function(std::move(what)) {}
        void fired() noexcept override;
        DirectSession& session;
        std::function<void()> function;
    };

    // TransportServices.
    void receive_data_out(target::Command& command) noexcept override;
    void complete(target::Command& command) noexcept override;
    void terminate_transfer(target::Command& command) noexcept override;
    void discard(target::Command& command) noexcept override;
    void task_management_executed(target::TaskManagement& request) noexcept override;

    void later(std::uint64_t most_ms, std::function<void()> what);
    void tell(std::function<void()> what);  // the host, in order
    void data_arrives(Life& life, WriteId id);
    void data_in_sent(Life& life, WriteId id);
    void give_back(Task& task);
    void abort_covered(const Request& request);
    void lose_life();
    void try_connect();
    Task* find(Life& life, WriteId id);

    reactor::Shard& shard_;
    target::Engine& engine_;
    const target::TargetPort& port_;
    std::string name_;
    std::shared_ptr<const target::LunMap> luns_;
    SessionUser& user_;
    reactor::Random random_;
    State state_ = State::closed;
    std::uint64_t next_order_ = 1;
    std::deque<std::shared_ptr<Life>> lives_;  // the last one is the current one
    std::map<Later*, std::unique_ptr<Later>> timers_;
    std::deque<std::function<void()>> news_;
    bool telling_ = false;
};

}  // namespace olio::sim
