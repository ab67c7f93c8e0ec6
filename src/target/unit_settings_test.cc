// Saved mode pages and identifying information: their file, and what a host is told.
#include "target/unit_settings.h"

#include <gtest/gtest.h>

#include <map>
#include <mutex>

#include "target/engine_testing.h"

namespace olio::target {
namespace {

using namespace testing;
using scsi::LogicalUnitState;
using scsi::Status;

LogicalUnitState state_with_everything() {
    LogicalUnitState state;
    state.mode_pages.write_cache_changeable = true;
    state.default_mode_pages = state.mode_pages;
    state.saved_mode_pages = state.mode_pages;
    state.saved_mode_pages->descriptor_sense = true;
    state.saved_mode_pages->software_write_protect = true;
    state.identifying_information.peripheral = std::string("\0\xFF=\n", 4);
    state.identifying_information.text = std::string("shelf 7\0", 8);
    state.protection.formatted = 2;
    return state;
}

TEST(UnitSettingsFile, WhatIsWrittenIsReadBack) {
    const LogicalUnitState state = state_with_everything();
    LogicalUnitState back;
    back.mode_pages = back.default_mode_pages = state.default_mode_pages;
    ASSERT_TRUE(read_unit_settings(write_unit_settings(state), back));
    EXPECT_EQ(back.saved_mode_pages, state.saved_mode_pages);
    EXPECT_EQ(back.identifying_information, state.identifying_information);
    EXPECT_EQ(back.protection.formatted, 2);
}

TEST(UnitSettingsFile, NothingSavedIsAFileToo) {
    LogicalUnitState back;
    EXPECT_TRUE(read_unit_settings(write_unit_settings(LogicalUnitState{}), back));
    EXPECT_FALSE(back.saved_mode_pages);
}

TEST(UnitSettingsFile, DamageIsAnErrorWherever) {
    const std::string whole = write_unit_settings(state_with_everything());
    for (std::size_t length = 0; length < whole.size(); ++length) {
        LogicalUnitState back;
        const bool at_a_line = length != 0 && whole[length - 1] == '\n';
        EXPECT_EQ(read_unit_settings(whole.substr(0, length), back).has_value(), at_a_line)
            << length;
    }
    for (const char* wrong :
         {"", "\n", "olio unit settings 2\n", "olio unit settings 1\nx\n",
          "olio unit settings 1\nmode_pages=0\n", "olio unit settings 1\nmode_pages=0g\n",
          "olio unit settings 1\nprotection_type=04\n",
          "olio unit settings 1\nprotection_type=0101\n", "olio unit settings 1\nmode_pages=08\n",
          "olio unit settings 1\ncolour=00\n", "olio unit settings 1\nmedium=0000\n",
          "olio unit settings 1\nmedium=0300\n", "olio unit settings 1\nmedium=0102\n",
          "olio unit settings 1\nmedium=01\n"}) {
        LogicalUnitState back;
        const auto read = read_unit_settings(wrong, back);
        ASSERT_FALSE(read) << wrong;
        EXPECT_EQ(read.error().code, EINVAL);
        EXPECT_FALSE(read.error().message.empty());
    }
    LogicalUnitState back;
    EXPECT_FALSE(read_unit_settings(
        "olio unit settings 1\nidentifying_text=" + std::string(2 * 257, '0') + "\n", back));
}

// Keeps files in memory; answers when told to.
class FakeMetadata final : public MetadataStore {
  public:
    void read(std::string name, Found done) override {
        const auto found = files.find(name);
        done(found == files.end() ? std::nullopt : std::optional(found->second));
    }
    void write(std::string name, std::string content, Written done) override {
        ++writes;
        if (fail_writes)
            return done(fail(EIO, "the disk is gone"));
        files[name] = std::move(content);
        if (std::exchange(fail_behind_next_write, false))
            return done(fail(EIO, "the directory cannot be synchronized"));
        if (!hold)
            return done({});
        held = std::move(done);
    }
    std::map<std::string, std::string> files;
    bool fail_writes = false;
    bool fail_behind_next_write = false;  // what it wrote is there nevertheless
    bool hold = false;                    // answers come by `held`
    Written held;
    unsigned writes = 0;
};

class UnitSettingsTest : public ::testing::Test {
  protected:
    UnitSettingsTest() {
        medium->capabilities.volatile_cache = true;
        medium->capabilities.cache_mode_changeable = true;
        medium->identification.serial = "S1";
    }
    struct Daemon {
        Daemon(const std::shared_ptr<FakeMedium>& medium, MetadataStore& metadata)
            : rig(2, 64 << 20, reactor::Backend::epoll, &metadata) {
            unit = rig.add_unit(medium);
            if (unit == nullptr)
                return;
            nexus = &rig.add_nexus(0, {unit});
            other = &rig.add_nexus(1, {unit});
        }
        std::vector<std::uint8_t> mode_page(std::uint8_t page, std::uint8_t control) {
            return rig
                .run(*nexus, {0x1A, 8, static_cast<std::uint8_t>(control << 6 | page), 0, 255, 0},
                     {}, 255)
                .in;
        }
        const TestCommand& select_control(std::uint8_t byte_2, bool save) {
            const std::vector<std::uint8_t> list{0, 0,    0, 0, 0x0A, 10,   byte_2, 0x10,
                                                 0, 0x40, 0, 0, 0xFF, 0xFF, 0,      0};
            return rig.run(
                *nexus, {0x15, static_cast<std::uint8_t>(save ? 0x11 : 0x10), 0, 0, 16, 0}, list);
        }
        EngineRig rig;
        LogicalUnit* unit = nullptr;
        TestNexus* nexus = nullptr;
        TestNexus* other = nullptr;
    };

    FakeMetadata metadata;
    std::shared_ptr<FakeMedium> medium = std::make_shared<FakeMedium>();
    static constexpr std::uint8_t current = 0, defaults = 2, saved = 3;
    static constexpr std::uint8_t plain = 0x22, descriptor = 0x26;  // D_SENSE
};

TEST_F(UnitSettingsTest, SavedModePagesOutliveResetAndDaemon) {
    {
        Daemon daemon(medium, metadata);
        EXPECT_EQ(daemon.mode_page(0x0A, saved)[6], plain);
        EXPECT_EQ(daemon.select_control(descriptor, true).status, Status::good);
        EXPECT_EQ(daemon.rig.run(*daemon.other, test_unit_ready).status, Status::check_condition);
        EXPECT_EQ(daemon.mode_page(0x0A, saved)[6], descriptor);
        EXPECT_EQ(daemon.select_control(plain, false).status, Status::good);
        EXPECT_EQ(daemon.mode_page(0x0A, current)[6], plain);
        EXPECT_EQ(daemon.mode_page(0x0A, saved)[6], descriptor);
        EXPECT_EQ(metadata.writes, 1U);
        daemon.rig.manage(*daemon.nexus, TaskManagementFunction::logical_unit_reset);
        daemon.rig.run(*daemon.nexus, {3, 0, 0, 0, 18, 0}, {}, 18);
        EXPECT_EQ(daemon.mode_page(0x0A, current)[6], descriptor);
    }
    Daemon daemon(medium, metadata);
    EXPECT_EQ(daemon.mode_page(0x0A, current)[6], descriptor);
    EXPECT_EQ(daemon.mode_page(0x0A, saved)[6], descriptor);
    EXPECT_EQ(daemon.mode_page(0x0A, defaults)[6], plain);
    EXPECT_EQ(daemon.mode_page(0x0A, current)[4], 0x8A);  // PS
}

TEST_F(UnitSettingsTest, TheTypeOfProtectionAHostHasFormattedOutlivesTheDaemon) {
    const std::string serial = medium->identification.serial;
    medium = make_protected_medium();
    medium->identification.serial = serial;
    const std::vector<std::uint8_t> type_3{0x04, 0xD8, 0, 0, 0, 0};
    const std::vector<std::uint8_t> list{0x01, 0, 0, 0};
    {
        Daemon daemon(medium, metadata);
        EXPECT_EQ(daemon.unit->state()->protection.type, 0);
        metadata.fail_writes = true;
        const TestCommand& failed = daemon.rig.run(*daemon.nexus, type_3, list);
        EXPECT_EQ(failed.additional(), 0x4400U);
        EXPECT_EQ(daemon.unit->state()->protection.type, 0) << "what cannot be kept is not done";
        metadata.fail_writes = false;
        const std::size_t before = metadata.writes;
        ASSERT_EQ(daemon.rig.run(*daemon.nexus, type_3, list).status, Status::good);
        EXPECT_EQ(metadata.writes, before + 3) << "it began, this is its type, it ended";
        ASSERT_EQ(daemon.rig.run(*daemon.nexus, type_3, list).status, Status::good);
        EXPECT_EQ(metadata.writes, before + 5) << "the file has its type already";
        EXPECT_EQ(daemon.unit->state()->protection.type, 3);
    }
    Daemon daemon(medium, metadata);
    EXPECT_EQ(daemon.unit->state()->protection.type, 3);
}

TEST_F(UnitSettingsTest, ASavedCacheModeIsTheStoresAtTheNextStart) {
    const std::vector<std::uint8_t> off{0, 0, 0, 0, 8, 18, 0, 0, 0, 0, 0, 0,
                                        0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0};
    {
        Daemon daemon(medium, metadata);
        EXPECT_EQ(daemon.rig.run(*daemon.nexus, {0x15, 0x11, 0, 0, 24, 0}, off).status,
                  Status::good);
        EXPECT_EQ(daemon.mode_page(8, current)[6], 0);
    }
    Daemon daemon(medium, metadata);
    EXPECT_EQ(daemon.mode_page(8, current)[6], 0);
    EXPECT_EQ(daemon.mode_page(8, defaults)[6], 4);
}

TEST_F(UnitSettingsTest, WhatCannotBeKeptIsRefusedAndChangesNothing) {
    Daemon daemon(medium, metadata);
    metadata.fail_writes = true;
    const TestCommand& refused = daemon.select_control(descriptor, true);
    EXPECT_EQ(refused.key(), 4);  // HARDWARE ERROR
    EXPECT_EQ(daemon.mode_page(0x0A, current)[6], plain);
    EXPECT_EQ(daemon.mode_page(0x0A, saved)[6], plain);
    EXPECT_EQ(daemon.rig.run(*daemon.other, test_unit_ready).status, Status::good);
    EXPECT_EQ(daemon.select_control(descriptor, false).status, Status::check_condition);
    metadata.fail_writes = false;
    // The file is written again although it would be the same: what is in it is not known.
    EXPECT_EQ(daemon.select_control(descriptor, false).status, Status::good);
    EXPECT_EQ(metadata.writes, 4U) << "one of them to put back what was there";
}

TEST_F(UnitSettingsTest, WhatChangesWhileTheFileIsWrittenStays) {
    Daemon daemon(medium, metadata);
    ASSERT_EQ(daemon.mode_page(8, current)[6], 4);
    metadata.hold = true;
    const std::vector<std::uint8_t> list{0, 0,    0, 0, 0x0A, 10,   descriptor, 0x10,
                                         0, 0x40, 0, 0, 0xFF, 0xFF, 0,          0};
    TestCommand& select = daemon.rig.make(*daemon.nexus, {0x15, 0x11, 0, 0, 16, 0}, list);
    daemon.rig.start(select, *daemon.nexus);
    ASSERT_TRUE(daemon.rig.wait(0, [&] { return metadata.held != nullptr; }));
    bool set = false;
    daemon.rig.on(0, [&] {
        daemon.unit->set_attribute("emulate_write_cache", "0", true,
                                   [&](const Result<void>& done) { set = done.has_value(); });
    });
    ASSERT_TRUE(daemon.rig.wait(0, [&] { return set; }));
    daemon.rig.on(0, [&] {
        metadata.hold = false;
        std::exchange(metadata.held, nullptr)({});
    });
    ASSERT_TRUE(daemon.rig.wait(0, [&] { return select.ended(); }));
    daemon.rig.run(*daemon.nexus, {3, 0, 0, 0, 18, 0}, {}, 18);
    EXPECT_EQ(daemon.mode_page(0x0A, current)[6], descriptor);
    EXPECT_EQ(daemon.mode_page(8, current)[6], 0) << "the cache stays off";
}

TEST_F(UnitSettingsTest, WhatAFailedWriteLeftInTheFileIsPutBack) {
    {
        Daemon daemon(medium, metadata);
        metadata.fail_behind_next_write = true;
        EXPECT_EQ(daemon.select_control(descriptor, true).key(), 4);  // HARDWARE ERROR
        EXPECT_EQ(daemon.mode_page(0x0A, saved)[6], plain);
    }
    Daemon daemon(medium, metadata);
    EXPECT_EQ(daemon.mode_page(0x0A, saved)[6], plain);
}

TEST_F(UnitSettingsTest, ACacheThatCannotBeSwitchedLeavesTheFileAsItWas) {
    const std::vector<std::uint8_t> off{0, 0, 0, 0, 8, 18, 0, 0, 0, 0, 0, 0,
                                        0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0};
    {
        Daemon daemon(medium, metadata);
        medium->cache_switch_fails = true;
        EXPECT_EQ(daemon.rig.run(*daemon.nexus, {0x15, 0x11, 0, 0, 24, 0}, off).key(), 4);
        EXPECT_EQ(daemon.mode_page(8, current)[6], 4);
    }
    medium->cache_switch_fails = false;
    Daemon daemon(medium, metadata);
    EXPECT_EQ(daemon.mode_page(8, current)[6], 4);
}

TEST_F(UnitSettingsTest, IdentifyingInformationOutlivesTheDaemon) {
    const std::vector<std::uint8_t> report{0xA3, 5, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0};
    {
        Daemon daemon(medium, metadata);
        EXPECT_EQ(daemon.rig.run(*daemon.nexus, {0xA4, 6, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0}, {'h', 'i'})
                      .status,
                  Status::good);
    }
    Daemon daemon(medium, metadata);
    EXPECT_EQ(daemon.rig.run(*daemon.nexus, report, {}, 256).in,
              (std::vector<std::uint8_t>{0, 0, 0, 2, 'h', 'i'}));
}

TEST_F(UnitSettingsTest, ADamagedFileKeepsTheDiskFromOpening) {
    metadata.files["unit/settings_S1"] = "olio unit settings 1\nmode_pages=08\n";
    EngineRig rig(1, 64 << 20, reactor::Backend::epoll, &metadata);
    std::string message;
    bool ended = false;
    rig.on(0, [&] {
        LogicalUnitOptions options;
        options.name = "disk";
        rig.engine().add_logical_unit(std::move(options), make_fake_store(medium),
                                      [&](Result<LogicalUnit*> added) {
                                          message = added ? "" : added.error().message;
                                          ended = true;
                                      });
    });
    EXPECT_TRUE(rig.wait(0, [&] { return ended; }));
    EXPECT_NE(message.find("unit/settings_S1"), std::string::npos) << message;
}

// --- A medium that is not whole ---

const std::vector<std::uint8_t> format_unit{0x04, 0, 0, 0, 0, 0};
const std::vector<std::uint8_t> overwrite{0x48, 0x01, 0, 0, 0, 0, 0, 0, 8, 0};
const std::vector<std::uint8_t> overwrite_with_exit{0x48, 0x21, 0, 0, 0, 0, 0, 0, 8, 0};
const std::vector<std::uint8_t> exit_failure_mode{0x48, 0x1F, 0, 0, 0, 0, 0, 0, 0, 0};
const std::vector<std::uint8_t> overwrite_list{0x01, 0, 0, 4, 1, 2, 3, 4};

TEST_F(UnitSettingsTest, AFormatThatTheEndOfTheDaemonCutsShortIsKnownToTheNext) {
    std::string during;
    {
        Daemon daemon(medium, metadata);
        medium->hold(StoreOpcode::flush);
        TestCommand& command = daemon.rig.make(*daemon.nexus, format_unit);
        daemon.rig.start(command, *daemon.nexus);
        ASSERT_TRUE(daemon.rig.wait(0, [&] { return medium->held() == 1; }));
        during = metadata.files["unit/settings_S1"];  // what a kill would leave
        medium->release();
        ASSERT_TRUE(daemon.rig.wait(0, [&] { return command.ended(); }));
        EXPECT_EQ(command.status, Status::good);
    }
    {
        Daemon daemon(medium, metadata);  // it ended well
        EXPECT_EQ(daemon.rig.read(*daemon.nexus, 0, 1).status, Status::good);
    }
    metadata.files["unit/settings_S1"] = during;
    {
        Daemon daemon(medium, metadata);
        const TestCommand& read = daemon.rig.read(*daemon.nexus, 0, 1);
        EXPECT_EQ(read.key(), 3);  // MEDIUM ERROR
        EXPECT_EQ(read.additional(), 0x3100u);
        // What else is saved does not touch it.
        EXPECT_EQ(daemon.select_control(descriptor, true).status, Status::good);
    }
    {
        Daemon daemon(medium, metadata);
        EXPECT_EQ(daemon.rig.read(*daemon.nexus, 0, 1).status, Status::check_condition);
        EXPECT_EQ(daemon.rig.run(*daemon.nexus, format_unit).status, Status::good);
        EXPECT_EQ(daemon.rig.read(*daemon.nexus, 0, 1).status, Status::good);
    }
    Daemon daemon(medium, metadata);
    EXPECT_EQ(daemon.rig.read(*daemon.nexus, 0, 1).status, Status::good);
    EXPECT_EQ(daemon.mode_page(0x0A, current)[6], descriptor);
}

TEST_F(UnitSettingsTest, ASanitizeThatFailedStaysFailed) {
    for (const bool may_exit : {false, true}) {
        const auto& sanitize = may_exit ? overwrite_with_exit : overwrite;
        {
            Daemon daemon(medium, metadata);
            medium->fail_next(StoreOpcode::write, StoreStatus::medium_error);
            EXPECT_EQ(daemon.rig.run(*daemon.nexus, sanitize, overwrite_list).status,
                      Status::check_condition);
        }
        {
            Daemon daemon(medium, metadata);
            EXPECT_EQ(daemon.rig.read(*daemon.nexus, 0, 1).additional(), 0x3103u);
            EXPECT_EQ(daemon.rig.run(*daemon.nexus, exit_failure_mode).status,
                      may_exit ? Status::good : Status::check_condition);
            if (!may_exit) {
                EXPECT_EQ(daemon.rig.run(*daemon.nexus, sanitize, overwrite_list).status,
                          Status::good);
            }
        }
        Daemon daemon(medium, metadata);
        EXPECT_EQ(daemon.rig.read(*daemon.nexus, 0, 1).status, Status::good);
    }
}

TEST_F(UnitSettingsTest, AFailureThatCannotBeForgottenStays) {
    Daemon daemon(medium, metadata);
    medium->fail_next(StoreOpcode::write, StoreStatus::medium_error);
    EXPECT_EQ(daemon.rig.run(*daemon.nexus, overwrite_with_exit, overwrite_list).status,
              Status::check_condition);
    metadata.fail_writes = true;
    EXPECT_EQ(daemon.rig.run(*daemon.nexus, exit_failure_mode).key(), 4);  // HARDWARE ERROR
    EXPECT_EQ(daemon.rig.read(*daemon.nexus, 0, 1).additional(), 0x3103U);
    metadata.fail_writes = false;
    EXPECT_EQ(daemon.rig.run(*daemon.nexus, exit_failure_mode).status, Status::good);
    EXPECT_EQ(daemon.rig.read(*daemon.nexus, 0, 1).status, Status::good);
}

TEST_F(UnitSettingsTest, AFormatThatCannotBeRememberedDoesNotBegin) {
    Daemon daemon(medium, metadata);
    medium->write(0, std::vector<std::uint8_t>(512, 7));
    metadata.fail_writes = true;
    EXPECT_EQ(daemon.rig.run(*daemon.nexus, format_unit).key(), 4);  // HARDWARE ERROR
    EXPECT_EQ(medium->read(0, 1), std::vector<std::uint8_t>(512, 7));
    EXPECT_EQ(daemon.rig.read(*daemon.nexus, 0, 1).status, Status::good);
    metadata.fail_writes = false;
    // Nor does it end well when that cannot be.
    medium->hold(StoreOpcode::flush);
    TestCommand& command = daemon.rig.make(*daemon.nexus, format_unit);
    daemon.rig.start(command, *daemon.nexus);
    ASSERT_TRUE(daemon.rig.wait(0, [&] { return medium->held() == 1; }));
    metadata.fail_writes = true;
    medium->release();
    ASSERT_TRUE(daemon.rig.wait(0, [&] { return command.ended(); }));
    EXPECT_EQ(command.status, Status::check_condition);
    EXPECT_EQ(daemon.rig.read(*daemon.nexus, 0, 1).additional(), 0x3100u);
    metadata.fail_writes = false;
    EXPECT_EQ(daemon.rig.run(*daemon.nexus, format_unit).status, Status::good);
    EXPECT_EQ(daemon.rig.read(*daemon.nexus, 0, 1).status, Status::good);
}

TEST_F(UnitSettingsTest, WithoutAStoreNothingCanBeSaved) {
    EngineRig rig(1);
    LogicalUnit* unit = rig.add_unit(medium);
    TestNexus& nexus = rig.add_nexus(0, {unit});
    EXPECT_EQ(rig.run(nexus, {0x1A, 8, 0xCA, 0, 255, 0}, {}, 255).additional(), 0x3900U);
    EXPECT_EQ(rig.run(nexus, {0x15, 0x11, 0, 0, 0, 0}).additional(), 0x2400U);
}

}  // namespace
}  // namespace olio::target
