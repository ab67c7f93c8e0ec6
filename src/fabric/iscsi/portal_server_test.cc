#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>

#include "fabric/iscsi/connection_testing.h"
#include "fabric/iscsi/iscsi_target.h"
#include "fabric/iscsi/login_connection.h"
#include "reactor/sim.h"

namespace olio::iscsi {
namespace {

using namespace std::string_literals;
using reactor::nanoseconds_per_second;

constexpr std::uint8_t direct = 0x80 | 0x04 | 3;  // T, from operational to full feature
const std::string portal_text = "10.0.0.1:3260";

// A host on the simulated network that does one thing after the other.
class SimHost {
  public:
    SimHost(reactor::SimReactor& sim, const std::string& portal, const std::string& source)
        : sim_(sim) {
        const auto endpoint = *reactor::Endpoint::parse(portal);
        sim_.enter(0, [&] {
            socket_ = *shard().open_socket(endpoint);
            sim_.network().set_source(socket_, *reactor::Endpoint::parse(source));
            endpoint_ = endpoint;
            shard().submit(connect_.connect(socket_, endpoint_.address, endpoint_.length));
        });
        wait([this] { return connect_.done; });
        if (connect_.result == 0)
            sim_.enter(0, [this] { receive(); });
        else
            ended_ = true;
    }
    ~SimHost() {
        sim_.enter(0, [this] {
            shard().shutdown(socket_);
            if (receive_.in_flight())
                shard().cancel(receive_);
        });
        wait([this] { return !receive_.in_flight() && !send_.in_flight(); });
        sim_.enter(0, [this] { shard().close(socket_); });
    }
    bool wait(const std::function<bool()>& condition, std::uint64_t seconds = 5) {
        return sim_.run_until(condition, sim_.now() + seconds * nanoseconds_per_second);
    }
    void send(const BasicHeader& header, const std::string& data) {
        BasicHeader bhs = header;
        set_data_segment_length(bhs, data.size());
        output_ = std::string(as_text(bhs)) + data + std::string(padding(data.size()), '\0');
        send_bytes();
    }
    // A header whose data segment never comes.
    void send_header(const BasicHeader& header) {
        output_ = std::string(as_text(header));
        send_bytes();
    }
    void send_bytes() {
        while (!output_.empty()) {
            send_.done = false;
            piece_[0] = {output_.data(), output_.size()};
            sim_.enter(0, [this] { shard().submit(send_.send(socket_, piece_)); });
            wait([this] { return send_.done; });
            if (send_.result <= 0)
                return;
            output_.erase(0, static_cast<std::size_t>(send_.result));
        }
    }
    // The next PDU, or nothing if the connection ended or nothing came in time.
    std::optional<testing::HostPdu> next(std::uint64_t seconds = 5) {
        const auto complete = [this] {
            if (input_.size() < bhs_bytes)
                return false;
            BasicHeader bhs;
            std::copy_n(input_.begin(), bhs_bytes, bhs.begin());
            const std::size_t length = data_segment_length(bhs);
            return input_.size() >= bhs_bytes + length + padding(length);
        };
        wait([&] { return complete() || ended_; }, seconds);
        if (!complete())
            return std::nullopt;
        testing::HostPdu pdu;
        std::copy_n(input_.begin(), bhs_bytes, pdu.header.begin());
        const std::size_t length = data_segment_length(pdu.header);
        pdu.data.assign(input_.begin() + bhs_bytes,
                        input_.begin() + bhs_bytes + static_cast<std::ptrdiff_t>(length));
        input_.erase(input_.begin(), input_.begin() + static_cast<std::ptrdiff_t>(
                                                          bhs_bytes + length + padding(length)));
        return pdu;
    }
    // One request straight into the full feature phase; its status, or nothing.
    std::optional<LoginStatus> log_in(const std::string& target = "iqn.t", std::uint8_t isid = 1,
                                      std::uint16_t session = 0, std::uint16_t cid = 1,
                                      const std::string& initiator = "iqn.i") {
        start_login(target, isid, session, cid, initiator);
        return finish_login();
    }
    void start_login(const std::string& target, std::uint8_t isid, std::uint16_t session = 0,
                     std::uint16_t cid = 1, const std::string& initiator = "iqn.i") {
        LoginRequestPdu request;
        request.flags = direct;
        request.isid = {0x80, 0, 0, 0, 0, isid};
        request.tsih = session;
        request.cid = cid;
        request.cmd_sn = cmd_sn;
        const std::string names =
            target.empty() ? "SessionType=Discovery\0"s : "TargetName=" + target + "\0"s;
        send(encode(request), "InitiatorName=" + initiator + "\0"s + names);
    }
    std::optional<LoginStatus> finish_login(std::uint64_t seconds = 5) {
        const auto pdu = next(seconds);
        if (!pdu || pdu->opcode() != Opcode::login_response)
            return std::nullopt;
        tsih = pdu->as<LoginResponsePdu>().tsih;
        return pdu->as<LoginResponsePdu>().status;
    }
    // Sends a command without data or a READ(10) of one block; its sense code, 0 for GOOD, -1:
    // none.
    int run(std::vector<std::uint8_t> cdb, std::uint32_t expected = 0) {
        ScsiCommandPdu pdu;
        pdu.flags =
            static_cast<std::uint8_t>(final_bit | (expected != 0 ? command_flags::read : 0) | 1);
        pdu.task_tag = ++tag_;
        pdu.expected_length = expected;
        pdu.cmd_sn = cmd_sn++;
        std::ranges::copy(cdb, pdu.cdb.begin());
        send(encode(pdu), "");
        while (const auto answer = next()) {
            if (initiator_task_tag(answer->header) != tag_)
                continue;
            if (answer->opcode() == Opcode::data_in)
                return (answer->as<DataInPdu>().flags & data_in_flags::status) != 0 ? 0 : -1;
            if (answer->opcode() == Opcode::scsi_response)
                return answer->data.size() < 16 ? 0 : answer->data[14] << 8 | answer->data[15];
        }
        return -1;
    }
    bool ended(std::uint64_t seconds = 5) {
        return wait([this] { return ended_; }, seconds);
    }

    std::uint16_t tsih = 0;
    std::uint32_t cmd_sn = 1;

  private:
    struct Operation final : reactor::Operation {
        void on_complete(std::int64_t with) noexcept override {
            done = true;
            result = with;
            if (then)
                then();
        }
        bool done = false;
        std::int64_t result = 0;
        std::function<void()> then;
    };
    reactor::Shard& shard() { return sim_.shard(0); }
    void receive() {
        into_[0] = {buffer_.data(), buffer_.size()};
        receive_.then = [this] {
            if (receive_.result <= 0) {
                ended_ = true;
                return;
            }
            input_.insert(input_.end(), buffer_.begin(), buffer_.begin() + receive_.result);
            receive();
        };
        shard().submit(receive_.receive(socket_, into_));
    }

    reactor::SimReactor& sim_;
    int socket_ = -1;
    reactor::Endpoint endpoint_;
    Operation connect_, receive_, send_;
    std::array<iovec, 1> piece_{}, into_{};
    std::array<std::uint8_t, 4096> buffer_{};
    std::vector<std::uint8_t> input_;
    std::string output_;
    bool ended_ = false;
    std::uint32_t tag_ = 0;
};

class PortalServerTest : public ::testing::Test {
  protected:
    PortalServerTest() : sim_(reactor::SimReactor::make({.shards = 2, .seed = 3})) {
        engine_ = *target::Engine::create(*sim_);
        sim_->enter(0, [this] {
            target::LogicalUnitOptions options;
            options.name = "memory";
            engine_->add_logical_unit(
                std::move(options), testing::make_memory_store(medium_),
                [this](Result<target::LogicalUnit*> added) { unit_ = *added; });
        });
        (void)sim_->run_until([this] { return unit_ != nullptr; }, nanoseconds_per_second);
        target_ = IscsiTarget::create(*sim_, *engine_);
    }
    ~PortalServerTest() override {
        if (!stopped_)
            stop(0);
        bool removed = false;
        sim_->enter(0, [&] {
            engine_->remove_logical_unit(*unit_, [&](Result<void>) { removed = true; });
        });
        EXPECT_TRUE(sim_->run_until([&] { return removed; }, sim_->now() + nanoseconds_per_second));
        EXPECT_EQ(sim_->network().open_sockets(), 0u);
    }
    void serve(AccessOptions access = {}, const std::string& portal = portal_text) {
        target::LunMapEntry entry;
        entry.unit = unit_;
        luns_ = *target::LunMap::make({entry});
        TargetNodeOptions node;
        node.name = "iqn.t";
        PortalGroupOptions group;
        group.portals = {*reactor::Endpoint::parse(portal)};
        group.access = std::move(access);
        group.luns = luns_;
        node.portal_groups.push_back(std::move(group));
        sim_->enter(0, [&] {
            ASSERT_TRUE(target_->add_target_node(std::move(node)));
            ASSERT_TRUE(target_->start());
        });
    }
    void stop(unsigned seconds) {
        sim_->enter(0, [&] { target_->stop(seconds, [this] { stopped_ = true; }); });
        EXPECT_TRUE(sim_->run_until([this] { return stopped_; },
                                    sim_->now() + (seconds + 5) * nanoseconds_per_second));
    }
    std::vector<SessionStatistics> sessions() {
        std::optional<std::vector<SessionStatistics>> found;
        sim_->enter(0, [&] {
            target_->sessions([&](std::vector<SessionStatistics> all) { found = std::move(all); });
        });
        (void)sim_->run_until([&] { return found.has_value(); },
                              sim_->now() + nanoseconds_per_second);
        return found.value_or(std::vector<SessionStatistics>{});
    }
    std::unique_ptr<SimHost> host(const std::string& source = "10.0.0.2:0") {
        return std::make_unique<SimHost>(*sim_, portal_text, source);
    }

    testing::Medium medium_;
    std::unique_ptr<reactor::SimReactor> sim_;
    std::unique_ptr<target::Engine> engine_;
    target::LogicalUnit* unit_ = nullptr;
    std::shared_ptr<const target::LunMap> luns_;
    std::unique_ptr<IscsiTarget> target_;
    bool stopped_ = false;
};

TEST_F(PortalServerTest, AHostLogsInAndReads) {
    serve();
    auto first = host();
    ASSERT_EQ(first->log_in(), LoginStatus::success);
    EXPECT_NE(first->tsih, 0);
    EXPECT_EQ(first->run({0, 0, 0, 0, 0, 0}), 0x2900);
    EXPECT_EQ(first->run({0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0}, 512), 0);
    const auto found = sessions();
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].initiator_name, "iqn.i");
    EXPECT_EQ(found[0].target_name, "iqn.t");
    EXPECT_EQ(found[0].commands, 2u);
    EXPECT_EQ(found[0].read_bytes, 512u);
    EXPECT_TRUE(found[0].initiator_address.starts_with("10.0.0.2:"));
}

TEST_F(PortalServerTest, SessionsAreSpreadOverTheShards) {
    serve();
    auto a = host(), b = host();
    ASSERT_EQ(a->log_in("iqn.t", 1), LoginStatus::success);
    ASSERT_EQ(b->log_in("iqn.t", 2), LoginStatus::success);
    const auto found = sessions();
    ASSERT_EQ(found.size(), 2u);
    EXPECT_NE(found[0].shard, found[1].shard);
    (void)a->run({0, 0, 0, 0, 0, 0});
    (void)b->run({0, 0, 0, 0, 0, 0});
    EXPECT_EQ(a->run({0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0}, 512), 0);
    EXPECT_EQ(b->run({0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0}, 512), 0);
}

TEST_F(PortalServerTest, DiscoveryNamesTheAddressTheHostCameInBy) {
    serve({}, "0.0.0.0:3260");
    auto asking = host();
    ASSERT_EQ(asking->log_in(""), LoginStatus::success);
    TextRequestPdu request;
    request.immediate = true;
    request.flags = final_bit;
    request.task_tag = 3;
    asking->send(encode(request), "SendTargets=All\0"s);
    const auto answer = asking->next();
    ASSERT_TRUE(answer);
    EXPECT_EQ(std::string(answer->data.begin(), answer->data.end()),
              "TargetName=iqn.t\0TargetAddress=10.0.0.1:3260,1\0"s);
}

TEST_F(PortalServerTest, StalledLoginsDoNotDelayAnHonestOne) {
    serve();
    std::vector<std::unique_ptr<SimHost>> stalled;
    for (int i = 0; i < 200; ++i) {
        stalled.push_back(host());
        if (i % 2 == 0)
            stalled.back()->send_header(encode(LoginRequestPdu{}, 8000));
    }
    const auto before = sim_->now();
    auto honest = host();
    EXPECT_EQ(honest->log_in(), LoginStatus::success);
    EXPECT_LT(sim_->now() - before, nanoseconds_per_second);
    EXPECT_TRUE(stalled[0]->ended(limits::login_timeout_seconds + 1));
}

TEST_F(PortalServerTest, ALoginAnewReplacesTheOldSessionAtOnceAndAgain) {
    serve();
    auto first = host();
    ASSERT_EQ(first->log_in(), LoginStatus::success);
    medium_.hold = true;
    (void)first->run({0, 0, 0, 0, 0, 0});
    for (int again = 0; again < 3; ++again) {
        auto next = host();
        ASSERT_EQ(next->log_in(), LoginStatus::success);
        EXPECT_TRUE(first->ended());
        first = std::move(next);
    }
    EXPECT_EQ(sessions().size(), 1u);
    medium_.release();
}

TEST_F(PortalServerTest, OfTwoLoginsBackToBackOneIsServed) {
    // Another target lost the signal of the second and never served it.
    serve();
    auto first = host(), second = host(), third = host();
    ASSERT_EQ(first->log_in(), LoginStatus::success);
    second->start_login("iqn.t", 1);
    third->start_login("iqn.t", 1);
    EXPECT_TRUE(first->ended());
    // The network decides which comes last.
    SimHost& last = second->ended(1) ? *third : *second;
    EXPECT_EQ(last.finish_login(), LoginStatus::success);
    EXPECT_EQ(last.run({0, 0, 0, 0, 0, 0}), 0x2900);
    EXPECT_NE(second->ended(1), third->ended(1));
    EXPECT_EQ(sessions().size(), 1u);
}

TEST_F(PortalServerTest, AConnectionForASessionIsRefusedWithTheReason) {
    serve();
    auto first = host(), unknown = host(), more = host(), same = host();
    ASSERT_EQ(first->log_in(), LoginStatus::success);
    EXPECT_EQ(unknown->log_in("iqn.t", 1, 0x7777), LoginStatus::session_does_not_exist);
    EXPECT_EQ(more->log_in("iqn.t", 1, first->tsih, 2), LoginStatus::too_many_connections);
    EXPECT_EQ(same->log_in("iqn.t", 1, first->tsih, 1), LoginStatus::cannot_include_in_session);
    EXPECT_EQ(sessions().size(), 1u);
}

TEST_F(PortalServerTest, WhoMayNotComeInIsToldSo) {
    serve({.initiator_names = {"iqn.friend"}});
    auto stranger = host(), friendly = host(), lost = host();
    EXPECT_EQ(stranger->log_in(), LoginStatus::authorization_failure);
    EXPECT_TRUE(stranger->ended());
    EXPECT_EQ(friendly->log_in("iqn.t", 1, 0, 1, "IQN.Friend"), LoginStatus::success);
    EXPECT_EQ(lost->log_in("iqn.nowhere"), LoginStatus::target_not_found);
}

TEST_F(PortalServerTest, CredentialsAreDemandedWhereTheyAreSet) {
    serve({.chap = ChapCredentials{"user", "a-secret-of-14"}});
    auto without = host();
    EXPECT_EQ(without->log_in(), LoginStatus::authentication_failure);
}

TEST_F(PortalServerTest, AnotherLunMapReachesSessionsThatAreThere) {
    serve();
    auto first = host();
    ASSERT_EQ(first->log_in(), LoginStatus::success);
    (void)first->run({0, 0, 0, 0, 0, 0});
    sim_->enter(0, [&] {
        target::LunMapEntry entry, other;
        entry.unit = other.unit = unit_;
        other.lun = 5;
        EXPECT_TRUE(target_->set_lun_map("iqn.t", 1, "", *target::LunMap::make({entry, other})));
        EXPECT_FALSE(target_->set_lun_map("iqn.t", 2, "", luns_));
    });
    (void)sim_->run_for(nanoseconds_per_second / 10);
    EXPECT_EQ(first->run({0, 0, 0, 0, 0, 0}), 0x3f0e);
}

TEST_F(PortalServerTest, ACutConnectionLeavesNothing) {
    serve();
    auto first = host();
    ASSERT_EQ(first->log_in(), LoginStatus::success);
    sim_->network().cut(*reactor::Endpoint::parse("10.0.0.2:0"));
    EXPECT_TRUE(first->ended());
    (void)sim_->run_for(nanoseconds_per_second);
    EXPECT_TRUE(sessions().empty());
}

TEST_F(PortalServerTest, StoppingAsksTheHostsToLogOutFirst) {
    serve();
    auto first = host();
    ASSERT_EQ(first->log_in(), LoginStatus::success);
    sim_->enter(0, [this] { target_->stop(3, [this] { stopped_ = true; }); });
    const auto message = first->next();
    ASSERT_TRUE(message);
    EXPECT_EQ(message->as<AsyncMessagePdu>().event, AsyncEvent::logout_requested);
    EXPECT_FALSE(stopped_);
    LogoutRequestPdu logout;
    logout.immediate = true;
    logout.cmd_sn = first->cmd_sn;
    first->send(encode(logout), "");
    EXPECT_EQ(first->next()->opcode(), Opcode::logout_response);
    EXPECT_TRUE(sim_->run_until([this] { return stopped_; }, sim_->now() + nanoseconds_per_second));
}

TEST_F(PortalServerTest, StoppingDropsHostsThatDoNotLogOut) {
    serve();
    auto first = host();
    ASSERT_EQ(first->log_in(), LoginStatus::success);
    stop(2);
    EXPECT_TRUE(first->ended());
}

TEST_F(PortalServerTest, ARemovedTargetEndsItsSessions) {
    serve();
    auto first = host(), late = host();
    ASSERT_EQ(first->log_in(), LoginStatus::success);
    bool gone = false;
    sim_->enter(0,
                [&] { target_->remove_target_node("iqn.t", [&](Result<void>) { gone = true; }); });
    EXPECT_TRUE(first->ended());
    EXPECT_TRUE(sim_->run_until([&] { return gone; }, sim_->now() + nanoseconds_per_second));
    EXPECT_EQ(late->log_in(), LoginStatus::target_not_found);
}

TEST_F(PortalServerTest, AColdResetEndsTheSession) {
    serve();
    auto first = host();
    ASSERT_EQ(first->log_in(), LoginStatus::success);
    TaskManagementRequestPdu reset;
    reset.immediate = true;
    reset.flags = final_bit | static_cast<std::uint8_t>(TaskManagementFunction::target_cold_reset);
    reset.cmd_sn = first->cmd_sn;
    first->send(encode(reset), "");
    EXPECT_EQ(first->next()->opcode(), Opcode::task_management_response);
    EXPECT_TRUE(first->ended());
}

TEST_F(PortalServerTest, RefusesTargetsThatCannotBe) {
    TargetNodeOptions node;
    node.name = "bad name";
    EXPECT_FALSE(target_->add_target_node(node));
    node.name = "iqn.ok";
    node.portal_groups.emplace_back();
    EXPECT_FALSE(target_->add_target_node(node));  // no LUN map
}

}  // namespace
}  // namespace olio::iscsi
