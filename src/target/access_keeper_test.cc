// Access states across restarts: the files, what a transition waits for, and what becomes of one
// that cannot be kept.
#include "target/access_keeper.h"

#include <gtest/gtest.h>

#include <map>

#include "target/engine_testing.h"

namespace olio::target {
namespace {

using namespace testing;
using scsi::AccessChange;
using scsi::AccessState;
using scsi::AccessStateTable;
using scsi::AccessStatus;
using scsi::Status;

const std::string left_file = "alua/tpgs_S1/left";
const std::string port_file = "alua/iscsi/iqn.2026-01.test:disk+7/lun_3";

// Files in memory. On one shard alone: the home shard of the unit, which is the one that adds it.
class FakeMetadata final : public MetadataStore {
  public:
    void read(std::string name, Found done) override {
        if (unreadable && name.starts_with("alua/"))
            return done(fail(EIO, "the disk is gone"));
        const auto found = files.find(name);
        done(found == files.end() ? std::nullopt : std::optional(found->second));
    }
    void write(std::string name, std::string content, Written done) override {
        order.push_back(name);
        if (good_writes-- <= 0)
            return done(fail(EIO, "the disk is full"));
        files[name] = std::move(content);
        if (!hold)
            return done({});
        held = std::move(done);
    }
    std::map<std::string, std::string> files;
    std::vector<std::string> order;  // of the writes
    int good_writes = 1000;          // before they fail
    bool unreadable = false;         // as on a broken disk
    bool hold = false;               // answers come by `held`
    Written held;
};

struct Daemon {
    explicit Daemon(MetadataStore& metadata,
                    const std::function<void(LogicalUnitOptions&)>& configure = {})
        : rig(2, 64 << 20, reactor::Backend::epoll, &metadata) {
        LogicalUnitOptions options;
        options.name = "disk";
        options.identification = scsi::Identification{};
        options.identification->serial = "S1";
        AccessStateTable& table = options.access;
        EXPECT_TRUE(put_group(table, {.id = 10, .name = "left"}));
        EXPECT_TRUE(put_group(table, {.id = 20, .name = "right"}));
        EXPECT_TRUE(put_port(table, 1, 10));
        EXPECT_TRUE(put_port(table, 2, 20));
        scsi::ConfiguredPort port;
        port.description.relative_port = 1;
        port.description.device_name = "iqn.2026-01.test:disk";
        port.portal_group_tag = 7;
        port.lun = 3;
        options.target_ports.push_back(port);
        if (configure)
            configure(options);
        unit = rig.add_unit(make_fake_store(std::make_shared<FakeMedium>()), std::move(options));
        if (unit != nullptr) {
            left = &rig.add_nexus(0, {unit});
            right = &rig.add_nexus(1, {unit});
            rig.on(1, [&] { right->port.description.relative_port = 2; });
        }
    }
    Result<void> set(AccessChange change) {
        bool done = false;
        Result<void> result;
        rig.on(0, [&] {
            unit->set_access_states({change}, [&](Result<void> ended) {
                result = std::move(ended);
                done = true;
            });
        });
        EXPECT_TRUE(rig.wait(0, [&] { return done; }));
        return result;
    }
    Result<void> configure(LogicalUnit::AccessConfiguration change) {
        bool done = false;
        Result<void> result;
        rig.on(0, [&] {
            unit->configure_access(std::move(change), [&](Result<void> ended) {
                result = std::move(ended);
                done = true;
            });
        });
        EXPECT_TRUE(rig.wait(0, [&] { return done; }));
        return result;
    }
    // SET TARGET PORT GROUPS for the group 10.
    TestCommand& stpg(AccessState state) {
        return rig.run(*left, {0xA4, 0x0A, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0},
                       {0, 0, 0, 0, static_cast<std::uint8_t>(state), 0, 0, 10});
    }
    // 0 for GOOD, else ASC and ASCQ of the sense data.
    unsigned ready(TestNexus& nexus) {
        TestCommand& command = rig.run(nexus, test_unit_ready);
        return command.status == Status::good ? 0 : command.additional();
    }
    AccessStateTable access() {
        AccessStateTable table;
        rig.on(0, [&] { table = unit->state()->access; });
        return table;
    }

    EngineRig rig;
    LogicalUnit* unit = nullptr;
    TestNexus* left = nullptr;   // port 1
    TestNexus* right = nullptr;  // port 2
};

TEST(AccessKeeper, StatesOutliveTheDaemonInLiosFiles) {
    FakeMetadata metadata;
    {
        Daemon daemon(metadata);
        ASSERT_TRUE(daemon.set({.state = AccessState::standby, .id = 10}));
        EXPECT_EQ(metadata.files[left_file],
                  "tg_pt_gp_id=10\nalua_access_state=0x02\nalua_access_status=0x02\n");
        EXPECT_EQ(metadata.files.size(), 1U) << "what has not changed has no file";
        EXPECT_EQ(daemon.ready(*daemon.left), 0x2A06U);
        EXPECT_EQ(daemon.stpg(AccessState::unavailable).status, Status::good);
        EXPECT_EQ(metadata.files[left_file],
                  "tg_pt_gp_id=10\nalua_access_state=0x03\nalua_access_status=0x01\n");
    }
    Daemon daemon(metadata);
    const AccessStateTable access = daemon.access();
    EXPECT_EQ(access.group(10)->state, AccessState::unavailable);
    EXPECT_EQ(access.group(10)->status, AccessStatus::explicitly);
    EXPECT_EQ(access.group(20)->state, AccessState::active_optimized);
    EXPECT_EQ(daemon.ready(*daemon.left), 0x040CU);
    EXPECT_EQ(daemon.ready(*daemon.right), 0U);
    EXPECT_EQ(metadata.order.size(), 2U) << "a start writes nothing";
}

TEST(AccessKeeper, AnOfflinePortAndThePreferredGroupOutliveTheDaemon) {
    FakeMetadata metadata;
    {
        Daemon daemon(metadata);
        ASSERT_TRUE(daemon.set({.id = 1, .secondary = true, .offline = true}));
        EXPECT_EQ(metadata.files[port_file], "alua_tg_pt_offline=1\nalua_tg_pt_status=0x02\n");
        ASSERT_TRUE(daemon.configure([](AccessStateTable& table) -> Result<void> {
            table.group(20)->preferred = true;
            return {};
        }));
        EXPECT_TRUE(metadata.files.contains("alua/tpgs_S1/right"));
        // Its target is not known, so there is no name for a file.
        ASSERT_TRUE(daemon.set({.id = 2, .secondary = true, .offline = true}));
        EXPECT_EQ(metadata.files.size(), 2U);
    }
    {
        Daemon daemon(metadata);
        const AccessStateTable access = daemon.access();
        EXPECT_EQ(access.state_of(1), AccessState::offline);
        EXPECT_EQ(access.port(1)->status, AccessStatus::implicitly);
        EXPECT_TRUE(access.group(20)->preferred);
        ASSERT_TRUE(daemon.set({.id = 1, .secondary = true, .offline = false}));
    }
    EXPECT_EQ(Daemon(metadata).access().state_of(1), AccessState::active_optimized);
}

TEST(AccessKeeper, ATransitionEndsWhenItsStateIsOnStableStorage) {
    FakeMetadata metadata;
    Daemon daemon(metadata);
    metadata.hold = true;
    TestCommand& command = daemon.rig.make(*daemon.left, {0xA4, 0x0A, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0},
                                           {0, 0, 0, 0, 2, 0, 0, 10});
    daemon.rig.start(command, *daemon.left);
    ASSERT_TRUE(daemon.rig.wait(0, [&] { return metadata.held != nullptr; }));
    EXPECT_FALSE(command.ended());
    EXPECT_EQ(daemon.access().group(10)->state, AccessState::active_optimized);
    EXPECT_EQ(daemon.ready(*daemon.right), 0U);
    // Another group's change meanwhile waits its turn, and does not write this one's anew.
    bool done = false;
    daemon.rig.on(0, [&] {
        daemon.unit->set_access_states({{.state = AccessState::standby, .id = 20}},
                                       [&](const Result<void>&) { done = true; });
        metadata.hold = false;
        std::exchange(metadata.held, nullptr)({});
    });
    ASSERT_TRUE(daemon.rig.wait(0, [&] { return command.ended() && done; }));
    EXPECT_EQ(command.status, Status::good);
    EXPECT_EQ(metadata.order, (std::vector<std::string>{left_file, "alua/tpgs_S1/right"}));
}

TEST(AccessKeeper, WhatCannotBeKeptIsUndone) {
    FakeMetadata metadata;
    Daemon daemon(metadata);
    ASSERT_TRUE(daemon.set({.state = AccessState::active_non_optimized, .id = 10}));
    EXPECT_EQ(daemon.ready(*daemon.left), 0x2A06U);
    EXPECT_EQ(daemon.ready(*daemon.right), 0x2A06U);
    const auto before = metadata.files;
    metadata.good_writes = 0;
    // Explicit: the host that asked is told, nobody else could see it.
    TestCommand& refused = daemon.stpg(AccessState::standby);
    EXPECT_EQ(refused.key(), 4);
    EXPECT_EQ(refused.additional(), 0x670AU);
    EXPECT_EQ(daemon.ready(*daemon.left), 0U);
    EXPECT_EQ(daemon.ready(*daemon.right), 0U);
    // Implicit: every nexus hears that it failed.
    const auto implicit = daemon.set({.state = AccessState::standby, .id = 10});
    ASSERT_FALSE(implicit);
    EXPECT_NE(implicit.error().message.find("the disk is full"), std::string::npos);
    EXPECT_EQ(daemon.ready(*daemon.left), 0x2A07U);
    EXPECT_EQ(daemon.ready(*daemon.right), 0x2A07U);
    EXPECT_EQ(daemon.ready(*daemon.left), 0U);
    EXPECT_EQ(daemon.access().group(10)->state, AccessState::active_non_optimized);
    EXPECT_EQ(metadata.files, before);
    // And when there is room again, it works.
    metadata.good_writes = 1000;
    EXPECT_TRUE(daemon.set({.state = AccessState::standby, .id = 10}));
    EXPECT_EQ(metadata.files[left_file],
              "tg_pt_gp_id=10\nalua_access_state=0x02\nalua_access_status=0x02\n");
}

TEST(AccessKeeper, OfSeveralFilesThoseThatWereWrittenArePutBack) {
    FakeMetadata metadata;
    Daemon daemon(metadata);
    metadata.good_writes = 1;
    bool done = false;
    daemon.rig.on(0, [&] {
        daemon.unit->set_access_states(
            {{.state = AccessState::standby, .id = 10}, {.state = AccessState::standby, .id = 20}},
            [&](const Result<void>& result) {
                EXPECT_FALSE(result);
                done = true;
            });
    });
    ASSERT_TRUE(daemon.rig.wait(0, [&] { return done; }));
    EXPECT_EQ(daemon.access().group(10)->state, AccessState::active_optimized);
    EXPECT_GE(metadata.order.size(), 3U) << "it has tried to put one back";
    // It could not; the next change of anything does it.
    metadata.good_writes = 1000;
    ASSERT_TRUE(daemon.set({.id = 1, .secondary = true, .offline = true}));
    for (const auto& [name, content] : metadata.files) {
        EXPECT_EQ(content.find("0x02\nalua_access_status"), std::string::npos) << name;
    }
}

TEST(AccessKeeper, AConfigurationThatCannotBeKeptIsInForceAndSaysSo) {
    FakeMetadata metadata;
    Daemon daemon(metadata);
    metadata.good_writes = 0;
    const auto result = daemon.configure([](AccessStateTable& table) -> Result<void> {
        table.group(10)->preferred = true;
        return {};
    });
    ASSERT_FALSE(result);
    EXPECT_NE(result.error().message.find("it is in force"), std::string::npos);
    EXPECT_TRUE(daemon.access().group(10)->preferred);
}

// Torn, foreign or impossible: the configured state, and the disk opens.
TEST(AccessKeeper, ADamagedFileIsPassedOver) {
    for (const char* content :
         {"", "tg_pt_gp_id=10\nalua_access_st", "tg_pt_gp_id=10\nalua_access_state=0x02\n",
          "tg_pt_gp_id=11\nalua_access_state=0x02\nalua_access_status=0x01\n",
          "tg_pt_gp_id=10\nalua_access_state=0x04\nalua_access_status=0x01\n",
          "tg_pt_gp_id=10\nalua_access_state=0x0f\nalua_access_status=0x01\n",
          "\xFF\xFE no text at all\n"}) {
        FakeMetadata metadata;
        metadata.files[left_file] = content;
        metadata.files[port_file] = "alua_tg_pt_offline=1\nalua_tg_pt";
        Daemon daemon(metadata);
        ASSERT_NE(daemon.unit, nullptr) << content;
        EXPECT_EQ(daemon.access().group(10)->state, AccessState::active_optimized) << content;
        EXPECT_EQ(daemon.access().state_of(1), AccessState::active_optimized);
        ASSERT_TRUE(daemon.set({.state = AccessState::standby, .id = 10}));
        EXPECT_EQ(metadata.files[left_file],
                  "tg_pt_gp_id=10\nalua_access_state=0x02\nalua_access_status=0x02\n");
    }
    // A state that the group no longer supports; and a store that cannot be read.
    FakeMetadata metadata;
    metadata.files[left_file] = "tg_pt_gp_id=10\nalua_access_state=0x02\nalua_access_status=0x01\n";
    const auto without_standby = [](LogicalUnitOptions& options) {
        options.access.group(10)->supported_states = 0x8B;
    };
    EXPECT_EQ(Daemon(metadata, without_standby).access().group(10)->state,
              AccessState::active_optimized);
    EXPECT_EQ(Daemon(metadata).access().group(10)->state, AccessState::standby);
}

TEST(AccessKeeper, AFileThatWasPassedOverIsMendedByAChangeToTheSameState) {
    for (const bool unreadable : {false, true}) {
        FakeMetadata metadata;
        metadata.unreadable = unreadable;
        metadata.files[left_file] =
            "tg_pt_gp_id=10\nalua_access_state=0x04\nalua_access_status=0x01\n";
        metadata.files[port_file] = "alua_tg_pt_offline=1\nalua_tg_pt";
        Daemon daemon(metadata);
        const auto same = [&] {
            return daemon.set({.state = AccessState::active_optimized, .id = 10});
        };
        ASSERT_TRUE(same());
        EXPECT_EQ(metadata.files[left_file],
                  "tg_pt_gp_id=10\nalua_access_state=0x00\nalua_access_status=0x00\n");
        EXPECT_EQ(metadata.files[port_file].find("alua_tg_pt_offline=1"), std::string::npos);
        const std::size_t writes = metadata.order.size();
        ASSERT_TRUE(same());
        EXPECT_EQ(metadata.order.size(), writes) << "they say it already";
    }
}

TEST(AccessKeeper, PortsAreCheckedBeforeTheUnitIsMade) {
    FakeMetadata metadata;
    EngineRig rig(1, 64 << 20, reactor::Backend::epoll, &metadata);
    for (const std::vector<std::uint16_t>& numbers :
         {std::vector<std::uint16_t>{0}, std::vector<std::uint16_t>{2, 2}}) {
        LogicalUnitOptions options;
        for (const std::uint16_t number : numbers) {
            options.target_ports.emplace_back();
            options.target_ports.back().description.relative_port = number;
        }
        int code = 0;
        rig.on(0, [&] {
            rig.engine().add_logical_unit(
                std::move(options), make_fake_store(std::make_shared<FakeMedium>()),
                [&](const Result<LogicalUnit*>& added) { code = added ? 0 : added.error().code; });
        });
        EXPECT_EQ(code, EINVAL);
    }
}

TEST(AccessKeeper, NamesNeverLeadOutOfTheirFolder) {
    scsi::LogicalUnitState state;
    state.identification.serial = "../S";
    ASSERT_TRUE(put_group(state.access, {.id = 1, .name = "..\\%x"}));
    ASSERT_TRUE(put_port(state.access, 1, 1));
    scsi::ConfiguredPort port;
    port.description.device_name = "iqn.x/../y";
    state.target_ports.push_back(port);
    const auto files = access_files(state, state.access);
    ASSERT_EQ(files.size(), 2U);
    EXPECT_EQ(files[0].name, "alua/tpgs_..%2FS/..%5C%25x");
    EXPECT_EQ(files[1].name, "alua/iscsi/iqn.x%2F..%2Fy+1/lun_0");
}

}  // namespace
}  // namespace olio::target
