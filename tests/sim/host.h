// One actor: a host with one session, which sends random commands and functions, loses its
// connection and comes back, and watches that everything it sent is answered in time.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "host_session.h"
#include "reactor/shard.h"
#include "scenario.h"
#include "workload.h"

namespace olio::sim {

// What all hosts of a run share.
class Stage {
  public:
    explicit Stage(bool verbose) : verbose_(verbose) {}

    std::vector<std::unique_ptr<Unit>> units;
    bool stopped = false;   // power has failed: nothing counts any more
    bool draining = false;  // no new commands
    std::uint64_t network_excused_until_ns = 0;

    [[nodiscard]] Time tick() noexcept { return ++time_; }
    [[nodiscard]] WriteId next_id() noexcept { return ++ids_; }
    void begun(Time at) { ++active_[at]; }
    void over(Time at);
    void note(std::uint64_t value) noexcept { hash_ = (hash_ ^ value) * 0x9e3779b97f4a7c15U; }
    [[nodiscard]] std::uint64_t hash() const noexcept { return hash_; }
    void fault(const std::string& who, const std::string& what);
    [[nodiscard]] const std::vector<std::string>& faults() const noexcept { return faults_; }
    void say(std::uint64_t now_ns, const std::string& who, const std::string& what) const;
    [[nodiscard]] bool verbose() const noexcept { return verbose_; }

    // How often things were tried, for showing that the runs are worth something.
    std::map<std::string, std::uint64_t> counts;

  private:
    bool verbose_;
    Time time_ = 0;
    WriteId ids_ = 0;
    std::map<Time, unsigned> active_;
    std::uint64_t hash_ = 0;
    std::vector<std::string> faults_;
};

class Host final : private SessionUser, private reactor::Timer {
  public:
    using MakeSession = std::function<std::unique_ptr<HostSession>(SessionUser&)>;
    Host(Stage& stage, const Scenario& scenario, reactor::Shard& shard, std::string name,
         std::uint64_t seed, const MakeSession& make_session);

    // All on the host's shard.
    void start();
    [[nodiscard]] bool finished() const {  // all its commands were sent and are over
        return left_ == 0 && checks_.empty() && commands_.empty() && functions_.empty() &&
               session_->ready();
    }
    [[nodiscard]] bool quiet() const { return commands_.empty() && functions_.empty(); }
    void verify_everything(unsigned rounds);  // reads all units; then finished() again
    void close();
    [[nodiscard]] bool ended() const { return session_->ended(); }
    [[nodiscard]] reactor::Shard& shard() const { return shard_; }
    [[nodiscard]] std::string state() const;
    void reconnect_if_lost();

  private:
    // SessionUser.
    void session_ready() override;
    void session_lost() override;
    void command_ended(WriteId id, const Answer& answer) override;
    void function_ended(std::uint64_t id, FunctionAnswer answer) override;
    void fault(const std::string& what) override;

    void fired() noexcept override { think(); }
    void think();
    void act();
    void send_new();
    bool send(std::unique_ptr<HostCommand> command);
    void send_verification();
    void send_function();
    void clear_aca();
    void send_abort(HostCommand& command);
    void send_function(HostFunction function);
    void watch();
    [[nodiscard]] bool excused(const Unit& unit, std::uint64_t since_ns) const;
    [[nodiscard]] bool chance(unsigned per_mille) { return random_.below(1000) < per_mille; }
    void say(const std::string& what) const {
        if (stage_.verbose())
            stage_.say(shard_.now(), name_, what);
    }

    struct Check {
        std::uint32_t unit;
        std::uint64_t lba;
        std::uint32_t blocks;
    };

    Stage& stage_;
    const Scenario& scenario_;
    reactor::Shard& shard_;
    std::string name_;
    reactor::Random random_;
    std::unique_ptr<HostSession> session_;
    unsigned left_;
    std::map<WriteId, std::unique_ptr<HostCommand>> commands_;
    std::map<std::uint64_t, HostFunction> functions_;
    std::set<std::uint32_t> faulted_;  // LUNs with an ACA condition, as far as the host knows
    std::vector<std::unique_ptr<HostCommand>> lost_;
    std::vector<Check> checks_;
    std::map<WriteId, Check> checking_;
    bool connecting_ = false;
    std::uint64_t connecting_since_ns_ = 0;
    std::uint64_t held_until_ns_ = 0;
    bool closing_ = false;
};

}  // namespace olio::sim
