// Persistent reservations in the engine: commands that are under way when a reservation changes, on
// several shards. Sequences of commands: reservation_model_test.cc.
#include "target/reservation_server.h"

#include <gtest/gtest.h>

#include "scsi/aptpl.h"
#include "target/engine_testing.h"

namespace olio::target {
namespace {

using testing::EngineRig;
using testing::FakeMedium;
using testing::TestCommand;
using testing::TestNexus;
using Data = std::vector<std::uint8_t>;
using scsi::Status;

Data out_cdb(unsigned action, unsigned type = 0) {
    return {
        0x5F, static_cast<std::uint8_t>(action), static_cast<std::uint8_t>(type), 0, 0, 0, 0, 0, 24,
        0};
}

Data out_list(std::uint64_t key, std::uint64_t service_key, std::uint8_t flags = 0) {
    Data list(24);
    store_be(list.data(), key);
    store_be(list.data() + 8, service_key);
    list[20] = flags;
    return list;
}

class ReservationServerTest : public ::testing::TestWithParam<unsigned> {
  protected:
    ReservationServerTest()
        : rig(GetParam()),
          medium(std::make_shared<FakeMedium>()),
          unit(rig.add_unit(medium)),
          a(rig.add_nexus(0, {unit})),
          b(rig.add_nexus(GetParam() - 1, {unit})) {}

    Status out(TestNexus& nexus, unsigned action, unsigned type, std::uint64_t key,
               std::uint64_t service_key = 0) {
        return rig.run(nexus, out_cdb(action, type), out_list(key, service_key)).status;
    }
    void enroll() {
        ASSERT_EQ(out(a, 0, 0, 0, 0xA), Status::good);
        ASSERT_EQ(out(b, 0, 0, 0, 0xB), Status::good);
    }

    EngineRig rig;
    std::shared_ptr<FakeMedium> medium;
    LogicalUnit* unit;
    TestNexus& a;
    TestNexus& b;
};

INSTANTIATE_TEST_SUITE_P(Shards, ReservationServerTest, ::testing::Values(1U, 2U));

TEST_P(ReservationServerTest, AnotherNexusMeetsTheConflictAtOnce) {
    enroll();
    ASSERT_EQ(out(a, 1, 1, 0xA), Status::good);
    EXPECT_EQ(rig.write(b, 0, Data(512, 1)).status, Status::reservation_conflict);
    EXPECT_EQ(rig.read(b, 0, 1).status, Status::good);
    EXPECT_EQ(rig.write(a, 0, Data(512, 1)).status, Status::good);
    ASSERT_EQ(out(a, 2, 1, 0xA), Status::good);
    EXPECT_EQ(rig.write(b, 0, Data(512, 1)).status, Status::good);
}

TEST_P(ReservationServerTest, AWriteWhoseDataComeAfterTheReservationIsRefused) {
    enroll();
    rig.on(b.shard, [&] { b.hold_data_out = true; });
    TestCommand& write = rig.make(b, testing::write16(0, 1), Data(512, 7));
    rig.start(write, b);
    ASSERT_EQ(out(a, 1, 3, 0xA), Status::good);
    rig.on(b.shard, [&] {
        b.hold_data_out = false;
        b.deliver();
    });
    ASSERT_TRUE(rig.wait(b.shard, [&] { return write.ended(); }));
    EXPECT_EQ(write.status, Status::reservation_conflict);
    EXPECT_EQ(medium->count(StoreOpcode::write), 0U);
}

TEST_P(ReservationServerTest, RegistrationsOutliveASession) {
    enroll();
    ASSERT_EQ(out(b, 1, 5, 0xB), Status::good);
    rig.close(b);
    EXPECT_EQ(rig.write(a, 0, Data(512, 1)).status, Status::good);  // a registrant
    TestNexus& stranger = rig.add_nexus(0, {unit});
    EXPECT_EQ(rig.write(stranger, 0, Data(512, 1)).status, Status::reservation_conflict);
    const Data keys = rig.run(a, {0x5E, 0, 0, 0, 0, 0, 0, 0, 255, 0}, {}, 255).in;
    EXPECT_EQ(keys.size(), 8U + 2 * 8);
}

// Known defect 17: PREEMPT AND ABORT aborted only some. All of them, wherever they are, and GOOD
// only when none of them can reach the medium but behind a fence.
TEST_P(ReservationServerTest, KnownDefect17PreemptAndAbortEndsEveryCommandOfThePreempted) {
    enroll();
    ASSERT_EQ(out(b, 1, 1, 0xB), Status::good);
    medium->hold(StoreOpcode::write);
    std::vector<TestCommand*> writes;
    for (unsigned i = 0; i < 20; ++i) {
        writes.push_back(&rig.make(b, testing::write16(i, 1), Data(512, 7)));
        rig.start(*writes.back(), b);
    }
    TestCommand& preempt = rig.make(a, out_cdb(5, 1), out_list(0xA, 0xB));
    rig.start(preempt, a);
    ASSERT_TRUE(rig.wait(a.shard, [&] { return preempt.ended(); }));  // though the store is dead
    EXPECT_EQ(preempt.status, Status::good);
    TestCommand& newer = rig.make(a, testing::write16(0, 1), Data(512, 9));
    rig.start(newer, a);
    rig.settle();
    EXPECT_FALSE(newer.ended());  // behind the fence of the old one
    medium->release();
    for (TestCommand* write : writes) {
        ASSERT_TRUE(rig.wait(b.shard, [&] { return write->ended(); }));
        EXPECT_TRUE(write->discarded || write->status == Status::task_aborted);
    }
    ASSERT_TRUE(rig.wait(a.shard, [&] { return newer.ended(); }));
    EXPECT_EQ(medium->read(0, 1), Data(512, 9));
    TestCommand& told = rig.run(b, testing::test_unit_ready);
    EXPECT_EQ(told.additional(), 0x2A05U);
    EXPECT_EQ(rig.write(b, 0, Data(512, 7)).status, Status::reservation_conflict);
}

TEST_P(ReservationServerTest, PreemptAndAbortClearsTheAcaOfThePreempted) {
    enroll();
    ASSERT_EQ(out(b, 1, 3, 0xB), Status::good);
    // READ(10) far beyond the end, with NACA.
    Data beyond = {0x28, 0, 0x7F, 0, 0, 0, 0, 0, 1, 0x04};
    ASSERT_EQ(rig.run(b, beyond, {}, 512).status, Status::check_condition);
    ASSERT_EQ(rig.run(b, {0, 0, 0, 0, 0, 0}).status, Status::aca_active);
    ASSERT_EQ(out(a, 5, 1, 0xA, 0xB), Status::good);
    EXPECT_NE(rig.run(b, {0, 0, 0, 0, 0, 0}).status, Status::aca_active);
    EXPECT_EQ(rig.run(b, {0, 0, 0, 0, 0, 0}).status, Status::good);
}

// Known defect 20: PREEMPT AND ABORT waited for commands that only its own thread could finish.
// Known defect 52: it did not end at all.
TEST_P(ReservationServerTest, KnownDefect20And52PreemptAndAbortAmongReadsOnItsOwnConnection) {
    enroll();
    medium->complete_later(true);
    for (int round = 0; round < 50; ++round) {
        std::vector<std::pair<TestNexus*, TestCommand*>> all;
        const auto start = [&](TestNexus& nexus, TestCommand& command) {
            rig.start(command, nexus);
            all.emplace_back(&nexus, &command);
        };
        // Each preempts the other, and registers again, without waiting for anything.
        for (int i = 0; i < 4; ++i)
            for (TestNexus* nexus : {&a, &b}) {
                const std::uint64_t own = nexus == &a ? 0xA : 0xB;
                start(*nexus, rig.make(*nexus, testing::read10(0, 8), {}, 8 * 512));
                start(*nexus, rig.make(*nexus, testing::write16(0, 1), Data(512, 7)));
                start(*nexus, rig.make(*nexus, out_cdb(6), out_list(0, own)));
                start(*nexus, rig.make(*nexus, out_cdb(5, 1), out_list(own, own ^ 1)));
                start(*nexus, rig.make(*nexus, {0x16, 0, 0, 0, 0, 0}));
                start(*nexus, rig.make(*nexus, {0x17, 0, 0, 0, 0, 0}));
            }
        for (const auto& [nexus, command] : all)
            ASSERT_TRUE(rig.wait(nexus->shard, [&] { return command->returned; })) << round;
    }
}

// Known defect 57: the unit attention of a registrant on another node was dropped. Here: on another
// shard, and through another target port.
TEST_P(ReservationServerTest, KnownDefect57ARegistrantElsewhereIsToldOfItsPreemption) {
    TestNexus& elsewhere = rig.add_nexus(GetParam() - 1, {unit}, false, 2);
    enroll();
    ASSERT_EQ(out(elsewhere, 0, 0, 0, 0xC), Status::good);
    ASSERT_EQ(out(elsewhere, 1, 5, 0xC), Status::good);
    ASSERT_EQ(out(a, 4, 6, 0xA, 0xC), Status::good);
    EXPECT_EQ(rig.run(elsewhere, testing::test_unit_ready).additional(), 0x2A05U);
    EXPECT_EQ(rig.run(b, testing::test_unit_ready).additional(), 0x2A04U) << "another type";
    EXPECT_EQ(rig.run(a, testing::test_unit_ready).status, Status::good);
    // And who is away hears of a reset of it all when it comes again (29/00), so nothing is lost.
    EXPECT_EQ(out(a, 3, 0, 0xA), Status::good);
    EXPECT_EQ(rig.run(b, testing::test_unit_ready).additional(), 0x2A03U);
}

// Known defect 58: a peer that departed in the middle of it was still used.
TEST_P(ReservationServerTest, KnownDefect58APeerThatDepartsMeanwhileIsForgotten) {
    ASSERT_EQ(out(a, 0, 0, 0, 0xA), Status::good);
    medium->complete_later(true);
    for (int round = 0; round < 40; ++round) {
        TestNexus& peer = rig.add_nexus(static_cast<unsigned>(round) % GetParam(), {unit});
        ASSERT_EQ(out(peer, 0, 0, 0, 0xB), Status::good);
        if (round % 4 == 0)
            medium->hold(StoreOpcode::write);
        std::vector<TestCommand*> ours;
        for (unsigned i = 0; i < 4; ++i) {
            rig.start(rig.make(peer, testing::write16(i, 1), Data(512, 7)), peer);
            rig.start(rig.make(peer, out_cdb(6), out_list(0, 0xB)), peer);
            ours.push_back(&rig.make(a, out_cdb(round % 2 == 0 ? 5 : 4, 5), out_list(0xA, 0xB)));
            rig.start(*ours.back(), a);
        }
        if (round % 4 == 0) {
            rig.on(peer.shard, [&] { peer.nexus->close([] {}, [&] { peer.drained = true; }); });
            medium->release();
            ASSERT_TRUE(rig.wait(peer.shard, [&] { return peer.drained; }));
        }
        peer.fenced = true;
        rig.close(peer);
        for (TestCommand* command : ours)
            ASSERT_TRUE(rig.wait(a.shard, [&] { return command->returned; })) << round;
        (void)rig.run(a, out_cdb(5, 5), out_list(0xA, 0xB));  // what the peer has left behind
    }
    const auto state = [&] {
        std::shared_ptr<const scsi::LogicalUnitState> now;
        rig.on(0, [&] { now = unit->state(); });
        return now;
    }();
    ASSERT_EQ(state->reservations.persistent->registrations.size(), 1U);
    EXPECT_EQ(state->reservations.persistent->registrations[0].key, 0xAU);
}

// A medium that takes everything and has no bytes.
class VastStore final : public Backstore {
  public:
    explicit VastStore(std::uint64_t blocks) : blocks_(blocks) {}
    [[nodiscard]] std::string_view type() const override { return "vast"; }
    [[nodiscard]] std::string description() const override { return "a vast disk"; }
    [[nodiscard]] scsi::Geometry geometry() const override { return {.blocks = blocks_}; }
    [[nodiscard]] StoreCapabilities capabilities() const override { return {}; }
    [[nodiscard]] scsi::Identification identification() const override { return {}; }
    Result<std::unique_ptr<StoreChannel>> open_channel(reactor::Shard&) override {
        struct Channel final : StoreChannel {
            void submit(StoreIo& io) noexcept override { io.complete(StoreStatus::good); }
            void cancel(StoreIo&) noexcept override {}
            void stepped(StoreIo&, std::int64_t) noexcept override {}
        };
        return std::make_unique<Channel>();
    }
    Result<std::uint64_t> refresh_blocks() override { return blocks_; }
    Result<void> resize(std::uint64_t) override { return fail(ENOTSUP, "it is vast enough"); }
    Result<void> set_volatile_cache(bool) override { return fail(ENOTSUP, "it has none"); }

  private:
    std::uint64_t blocks_;
};

// Known defect 56: persistent reservations failed on devices of more than 2 TB.
TEST_P(ReservationServerTest, KnownDefect56ReservationsOfAUnitOfManyTerabytes) {
    constexpr std::uint64_t blocks = (std::uint64_t{16} << 40) / 512;  // 16 TiB
    LogicalUnitOptions options;
    options.name = "vast";
    LogicalUnit* const vast = rig.add_unit(std::make_unique<VastStore>(blocks), std::move(options));
    TestNexus& holder = rig.add_nexus(0, {vast});
    TestNexus& other = rig.add_nexus(GetParam() - 1, {vast});
    ASSERT_EQ(out(holder, 0, 0, 0, 0xA), Status::good);
    ASSERT_EQ(out(other, 0, 0, 0, 0xB), Status::good);
    ASSERT_EQ(out(holder, 1, 3, 0xA), Status::good);
    for (const std::uint64_t lba : {std::uint64_t{0}, std::uint64_t{1} << 32, blocks - 1}) {
        const auto write = [&](TestNexus& by) {
            return rig.run(by, testing::write16(lba, 1), Data(512)).status;
        };
        EXPECT_EQ(write(holder), Status::good) << lba;
        EXPECT_EQ(write(other), Status::reservation_conflict) << lba;
    }
    ASSERT_EQ(out(other, 5, 3, 0xB, 0xA), Status::good);
    EXPECT_EQ(rig.run(other, testing::write16(blocks - 1, 1), Data(512)).status, Status::good);
}

// Target ports that nobody has come by are known, because the unit is configured at them.
TEST_P(ReservationServerTest, AllConfiguredTargetPortsAreKnown) {
    LogicalUnitOptions options;
    options.name = "ported";
    for (const std::uint16_t number : {3, 1, 2}) {
        scsi::ConfiguredPort port;
        port.description.relative_port = number;
        port.description.port_name = "iqn.disk,t,0x000" + std::to_string(number);
        options.target_ports.push_back(port);
    }
    options.identification = scsi::Identification{};
    options.identification->serial = "ported";
    LogicalUnit* const ported = rig.add_unit(testing::make_fake_store(medium), std::move(options));
    TestNexus& host = rig.add_nexus(0, {ported});
    ASSERT_EQ(rig.run(host, out_cdb(0), out_list(0, 0xA, 4)).status, Status::good);
    const auto registrations = [&] {
        std::vector<scsi::Registration> all;
        rig.on(0, [&] { all = ported->state()->reservations.persistent->registrations; });
        return all;
    };
    ASSERT_EQ(registrations().size(), 3U);
    for (const scsi::Registration& each : registrations())
        EXPECT_EQ(each.nexus.port_name,
                  "iqn.disk,t,0x000" + std::to_string(each.nexus.relative_port));
    // REGISTER AND MOVE to another initiator through the third.
    ASSERT_EQ(out(host, 1, 1, 0xA), Status::good);
    Data list(24);
    store_be(list.data(), std::uint64_t{0xA});
    store_be(list.data() + 8, std::uint64_t{0xB});
    list[19] = 3;
    const Data id = testing::test_initiator(77).transport_id;
    list[23] = static_cast<std::uint8_t>(id.size());
    list.insert(list.end(), id.begin(), id.end());
    Data cdb = out_cdb(7);
    cdb[8] = static_cast<std::uint8_t>(list.size());
    ASSERT_EQ(rig.run(host, cdb, list).status, Status::good);
    ASSERT_EQ(registrations().size(), 4U);
    EXPECT_EQ(registrations()[3].nexus.relative_port, 3);
    EXPECT_EQ(registrations()[3].nexus.port_name, "iqn.disk,t,0x0003");
}

// enforce_pr_isids = 0: a registration by the name of the device is that of its sessions.
TEST_P(ReservationServerTest, SessionIdentifiersNeedNotBeEnforced) {
    const auto enforce = [&](const char* value) {
        bool done = false;
        rig.on(0, [&] {
            unit->set_attribute("enforce_pr_isids", value, true,
                                [&](const Result<void>& set) { done = set.has_value(); });
        });
        ASSERT_TRUE(rig.wait(0, [&] { return done; }));
    };
    const auto port = scsi::TransportId::parse(testing::test_initiator(2).transport_id);
    const auto node =
        scsi::TransportId::from_words(scsi::ProtocolIdentifier::iscsi, port->id.node());
    Data list = out_list(0, 0xA, 8);
    list.resize(28);
    list.insert(list.end(), node->bytes().begin(), node->bytes().end());
    list[27] = static_cast<std::uint8_t>(list.size() - 28);
    Data cdb = out_cdb(0);
    cdb[8] = static_cast<std::uint8_t>(list.size());
    enforce("0");
    ASSERT_EQ(rig.run(a, cdb, list).status, Status::good);
    ASSERT_EQ(out(a, 1, 5, 0xA), Status::good);
    // b has never registered; it is a session of the device that a has registered.
    EXPECT_EQ(rig.write(b, 0, Data(512, 1)).status, Status::good);
    EXPECT_EQ(out(b, 0, 0, 0xA, 0xB), Status::good) << "its key can be changed";
    enforce("1");
    EXPECT_EQ(rig.write(b, 0, Data(512, 1)).status, Status::reservation_conflict);
    EXPECT_EQ(out(b, 0, 0, 0xB, 0xC), Status::reservation_conflict);
    enforce("0");
    EXPECT_EQ(rig.write(b, 0, Data(512, 1)).status, Status::good);
    medium->hold(StoreOpcode::write);
    TestCommand& write = rig.make(b, testing::write16(0, 1), Data(512, 7));
    rig.start(write, b);
    ASSERT_TRUE(rig.wait(b.shard, [&] { return medium->held() == 1; }));
    ASSERT_EQ(out(a, 5, 5, 0xA, 0xB), Status::good);
    medium->release();
    ASSERT_TRUE(rig.wait(b.shard, [&] { return write.ended(); }));
    EXPECT_TRUE(write.discarded || write.status == Status::task_aborted);
    EXPECT_EQ(rig.run(b, testing::test_unit_ready).additional(), 0x2A05U);
    EXPECT_EQ(rig.write(b, 0, Data(512, 1)).status, Status::reservation_conflict);
}

// But not of one that is registered itself.
TEST_P(ReservationServerTest, ARegistrationOfADeviceIsNotThatOfARegisteredSession) {
    ASSERT_EQ(out(b, 0, 0, 0, 0xB), Status::good);
    bool done = false;
    rig.on(0, [&] {
        unit->set_attribute("enforce_pr_isids", "0", true,
                            [&](const Result<void>& set) { done = set.has_value(); });
    });
    ASSERT_TRUE(rig.wait(0, [&] { return done; }));
    const auto port = scsi::TransportId::parse(testing::test_initiator(2).transport_id);
    const auto node =
        scsi::TransportId::from_words(scsi::ProtocolIdentifier::iscsi, port->id.node());
    Data list = out_list(0, 0xA, 8);
    list.resize(28);
    list.insert(list.end(), node->bytes().begin(), node->bytes().end());
    list[27] = static_cast<std::uint8_t>(list.size() - 28);
    Data cdb = out_cdb(0);
    cdb[8] = static_cast<std::uint8_t>(list.size());
    ASSERT_EQ(rig.run(a, cdb, list).status, Status::good);
    medium->hold(StoreOpcode::write);
    TestCommand& write = rig.make(b, testing::write16(0, 1), Data(512, 7));
    rig.start(write, b);
    ASSERT_TRUE(rig.wait(b.shard, [&] { return medium->held() == 1; }));
    TestCommand& preempt = rig.make(b, out_cdb(5, 5), out_list(0xB, 0xA));
    rig.start(preempt, b);
    ASSERT_TRUE(rig.wait(b.shard, [&] {
        return unit->state()->reservations.persistent->registrations.size() == 1;
    }));
    medium->release();
    ASSERT_TRUE(rig.wait(b.shard, [&] { return write.ended() && preempt.ended(); }));
    EXPECT_EQ(preempt.status, Status::good);
    EXPECT_FALSE(write.discarded);
    EXPECT_EQ(write.status, Status::good);
    EXPECT_EQ(rig.run(b, testing::test_unit_ready).status, Status::good);
    EXPECT_EQ(rig.run(a, testing::test_unit_ready).additional(), 0x2A05U);
}

// The same of what a file brings back.
TEST(ReservationServer, ARegistrationOfADeviceInTheFileIsTakenAsConfigured) {
    struct OneFile final : MetadataStore {
        std::string name, text;
        void read(std::string asked, Found done) override {
            done(asked == name ? std::optional(text) : std::nullopt);
        }
        void write(std::string, std::string, Written done) override { done({}); }
    } metadata;
    scsi::PersistentReservations kept;
    kept.persists_through_power_loss = true;
    kept.type = scsi::ReservationType::write_exclusive;
    const auto port = scsi::TransportId::parse(testing::test_initiator(1).transport_id);
    scsi::Registration device;
    device.nexus.initiator =
        *scsi::TransportId::from_words(scsi::ProtocolIdentifier::iscsi, port->id.node());
    device.nexus.relative_port = 1;
    device.nexus.port_name = "iqn.disk,t,0x0001";
    device.key = 0xA;
    device.holds = true;
    kept.registrations.push_back(device);
    metadata.name = metadata_name("pr", "aptpl_", "S1");
    metadata.text = scsi::write_aptpl(kept);
    for (const char* enforced : {"0", "1"}) {
        EngineRig rig(1, 64 << 20, reactor::Backend::epoll, &metadata);
        LogicalUnitOptions options;
        options.identification = scsi::Identification{};
        options.identification->serial = "S1";
        options.attributes = {{"enforce_pr_isids", enforced}};
        LogicalUnit* const unit = rig.add_unit(
            testing::make_fake_store(std::make_shared<FakeMedium>()), std::move(options));
        ASSERT_NE(unit, nullptr);
        TestNexus& nexus = rig.add_nexus(0, {unit});
        EXPECT_EQ(rig.write(nexus, 0, Data(512)).status,
                  *enforced == '0' ? Status::good : Status::reservation_conflict);
    }
}

TEST(ReservationServer, WithoutAPlaceToKeepThemAptplIsRefused) {
    EngineRig rig;
    auto medium = std::make_shared<FakeMedium>();
    LogicalUnit* unit = rig.add_unit(medium);
    TestNexus& nexus = rig.add_nexus(0, {unit});
    EXPECT_EQ(rig.run(nexus, out_cdb(0), out_list(0, 5)).status, Status::good);
    EXPECT_EQ(rig.run(nexus, out_cdb(0), out_list(5, 6, 1)).additional(), 0x2600U);
}

}  // namespace
}  // namespace olio::target
