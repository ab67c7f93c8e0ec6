#include "target/attributes.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <set>

#include "base/limits.h"
#include "target/engine_testing.h"
#include "target/logical_unit.h"

namespace olio::target {
namespace {

using namespace testing;

// What a write to a file of LIO's attrib/ directory answers.
class AttributeTest : public ::testing::Test {
  protected:
    AttributeTest() {
        medium->capabilities.volatile_cache = true;
        medium->capabilities.cache_mode_changeable = true;
    }

    int write(std::string_view name, std::string_view text, bool exported = false) {
        const StoreCapabilities capabilities = store->capabilities();
        AttributeTarget target{state, capabilities, *store, unit_name};
        const auto attribute = find_attribute(name);
        if (!attribute)
            return attribute.error().code;
        const Result<void> set = set_attribute(target, **attribute, text, exported);
        if (set)
            return 0;
        EXPECT_FALSE(set.error().message.empty());
        return set.error().code;
    }
    std::uint32_t read(std::string_view name) {
        return (*find_attribute(name))->get({state, store->capabilities()});
    }

    std::shared_ptr<FakeMedium> medium = std::make_shared<FakeMedium>();
    std::unique_ptr<Backstore> store = make_fake_store(medium);
    std::string unit_name = "archive";
    scsi::LogicalUnitState state = make_state({}, *store);
};

TEST(Attributes, AreThe34OfLinux61AndTwoOfLinux612) {
    const std::set<std::string_view> golden{"alua_support",
                                            "block_size",
                                            "emulate_3pc",
                                            "emulate_caw",
                                            "emulate_dpo",
                                            "emulate_fua_read",
                                            "emulate_fua_write",
                                            "emulate_model_alias",
                                            "emulate_pr",
                                            "emulate_rest_reord",
                                            "emulate_tas",
                                            "emulate_tpu",
                                            "emulate_tpws",
                                            "emulate_ua_intlck_ctrl",
                                            "emulate_write_cache",
                                            "enforce_pr_isids",
                                            "force_pr_aptpl",
                                            "hw_block_size",
                                            "hw_max_sectors",
                                            "hw_pi_prot_type",
                                            "hw_queue_depth",
                                            "is_nonrot",
                                            "max_unmap_block_desc_count",
                                            "max_unmap_lba_count",
                                            "max_write_same_len",
                                            "optimal_sectors",
                                            "pgr_support",
                                            "pi_prot_format",
                                            "pi_prot_type",
                                            "pi_prot_verify",
                                            "queue_depth",
                                            "unmap_granularity",
                                            "unmap_granularity_alignment",
                                            "unmap_zeroes_data",
                                            "emulate_rsoc",
                                            "submit_type"};
    std::set<std::string_view> found;
    for (const Attribute& attribute : attributes())
        found.insert(attribute.name);
    EXPECT_EQ(found, golden);
}

// The answers of a real LIO to a disk that is exported.
TEST_F(AttributeTest, OfAnExportedDiskAnswerAsLioDoes) {
    struct Row {
        std::string_view name;
        std::string_view text;
        int answer;
    };
    constexpr Row golden[]{
        {"emulate_model_alias", "0", EINVAL},
        {"emulate_model_alias", "2", EINVAL},
        {"emulate_dpo", "2", 0},
        {"emulate_dpo", "x", 0},
        {"emulate_fua_write", "2", EINVAL},
        {"emulate_fua_write", "x", EINVAL},
        {"emulate_fua_read", "2", 0},
        {"emulate_write_cache", "2", EINVAL},
        {"emulate_ua_intlck_ctrl", "3", EINVAL},
        {"emulate_ua_intlck_ctrl", "2", EINVAL},
        {"emulate_ua_intlck_ctrl", "x", EINVAL},
        {"emulate_tas", "2", EINVAL},
        {"emulate_tas", "Y", EINVAL},
        {"emulate_tas", "1", EINVAL},
        {"emulate_tpu", "x", EINVAL},
        {"emulate_tpws", "2", EINVAL},
        {"emulate_caw", "2", EINVAL},
        {"emulate_3pc", "x", EINVAL},
        {"emulate_pr", "2", EINVAL},
        {"enforce_pr_isids", "2", EINVAL},
        {"is_nonrot", "2", EINVAL},
        {"force_pr_aptpl", "2", EINVAL},
        {"unmap_zeroes_data", "2", EINVAL},
        {"pi_prot_verify", "2", EINVAL},
        {"pgr_support", "0", ENOSYS},
        {"pgr_support", "2", EINVAL},
        {"pgr_support", "1", 0},
        {"alua_support", "0", ENOSYS},
        {"alua_support", "1", 0},
        {"emulate_rest_reord", "1", ENOSYS},
        {"emulate_rest_reord", "0", 0},
        {"pi_prot_type", "1", EINVAL},
        {"pi_prot_type", "4", EINVAL},
        {"pi_prot_type", "0", EINVAL},
        {"pi_prot_format", "1", EINVAL},
        {"queue_depth", "0", EINVAL},
        {"queue_depth", "64", EINVAL},
        {"queue_depth", "999999", EINVAL},
        {"queue_depth", "-1", EINVAL},
        {"block_size", "512", EINVAL},
        {"block_size", "513", EINVAL},
        {"block_size", "x", EINVAL},
        {"max_unmap_lba_count", "-1", EINVAL},
        {"max_unmap_lba_count", "4294967295", 0},
        {"max_unmap_lba_count", "4294967296", ERANGE},
        {"max_unmap_block_desc_count", "x", EINVAL},
        {"unmap_granularity", "abc", EINVAL},
        {"max_write_same_len", "99999999", 0},
        {"optimal_sectors", "4294967295", EINVAL},
        {"optimal_sectors", "64", EINVAL},
        {"hw_block_size", "512", EACCES},
        {"hw_max_sectors", "1", EACCES},
        {"no_such_attribute", "1", ENOENT},
    };
    for (const Row& row : golden)
        EXPECT_EQ(write(row.name, row.text, true), row.answer) << row.name << " = " << row.text;
}

TEST_F(AttributeTest, BooleansAreReadAsTheKernelReadsThem) {
    for (const char* text : {"Y", "y", "yes", "on", "true", "t", "1", "oN", "1 ", "10", "1\n\n"}) {
        state.mode_pages.task_aborted_status = false;
        EXPECT_EQ(write("emulate_tas", text), 0) << text;
        EXPECT_EQ(read("emulate_tas"), 1U) << text;
    }
    for (const char* text : {"n", "N", "no", "off", "of", "0x1", "0x0", "00", "0"}) {
        state.mode_pages.task_aborted_status = true;
        EXPECT_EQ(write("emulate_tas", text), 0) << text;
        EXPECT_EQ(read("emulate_tas"), 0U) << text;
    }
    for (const char* text : {"o", " 1", "+1", "-1", "2", "", "\t1"})
        EXPECT_EQ(write("emulate_tas", text), EINVAL) << text;
}

TEST_F(AttributeTest, NumbersAreReadAsTheKernelReadsThem) {
    const auto becomes = [&](const char* text, std::uint32_t value) {
        EXPECT_EQ(write("max_unmap_lba_count", text), 0) << text;
        EXPECT_EQ(read("max_unmap_lba_count"), value) << text;
    };
    becomes("10", 10);
    becomes("0x10", 16);
    becomes("010", 8);
    becomes("+7", 7);
    becomes("7\n", 7);
    becomes("0", 0);
    becomes("4294967295", 4294967295);
    for (const char* text : {" 7", "7 ", "7\n\n", "-1", "0xg", "1e3", "", "7,8", "0x", "08", "+"})
        EXPECT_EQ(write("max_unmap_lba_count", text), EINVAL) << text;
    for (const char* text : {"4294967296", "18446744073709551616"})
        EXPECT_EQ(write("max_unmap_lba_count", text), ERANGE) << text;
}

// Entry 35 of the list of defects: a crash on writing unmap attributes before the device was
// enabled.
TEST_F(AttributeTest, EveryAttributeTakesEveryValueInEveryState_defect35) {
    for (const bool unmap : {false, true}) {
        medium->capabilities.unmap = unmap ? Support::native : Support::none;
        for (const bool exported : {false, true})
            for (const Attribute& attribute : attributes())
                for (const char* text : {"", "0", "1", "2", "512", "4294967295", "x", "-1"}) {
                    state = make_state({}, *store);
                    const std::uint32_t before = read(attribute.name);
                    const int answer = write(attribute.name, text, exported);
                    if (answer != 0) {
                        EXPECT_EQ(read(attribute.name), before) << attribute.name << " " << text;
                    }
                }
    }
}

TEST_F(AttributeTest, WhatTheStoreCannotDoIsRefused) {
    medium->capabilities.unmap = Support::none;
    medium->capabilities.unmapped_reads_zeros = false;
    EXPECT_EQ(write("emulate_tpu", "1"), ENOSYS);
    EXPECT_EQ(write("emulate_tpws", "1"), ENOSYS);
    EXPECT_EQ(write("unmap_zeroes_data", "1"), ENOSYS);
    EXPECT_EQ(write("emulate_tpu", "0"), 0);
    state.mode_pages.write_cache_changeable = false;
    EXPECT_EQ(write("emulate_write_cache", read("emulate_write_cache") != 0 ? "0" : "1"), EINVAL);
    EXPECT_EQ(write("emulate_write_cache", read("emulate_write_cache") != 0 ? "1" : "0"), 0);
}

TEST_F(AttributeTest, OfADiskThatKeepsNoProtectionInformationAnswerAsLioDoes) {
    EXPECT_EQ(write("pi_prot_type", "0"), 0);
    EXPECT_EQ(write("pi_prot_type", "1"), ENOSYS);
    EXPECT_EQ(write("pi_prot_type", "4"), EINVAL);
    EXPECT_EQ(write("pi_prot_format", "1"), ENOSYS);
    EXPECT_EQ(write("pi_prot_format", "0"), 0);
    EXPECT_EQ(write("pi_prot_verify", "1"), 0);
    EXPECT_EQ(read("pi_prot_verify"), 0U);
    EXPECT_EQ(read("hw_pi_prot_type"), 0U);
}

// The answers of a real LIO to a RAM disk, but for type 2, which LIO has not.
TEST_F(AttributeTest, OfProtectionInformationFollowOneAnotherAsLiosDo) {
    medium = make_protected_medium();
    store = make_fake_store(medium);
    state = make_state({}, *store);
    EXPECT_EQ(read("pi_prot_type"), 0U);
    EXPECT_EQ(read("pi_prot_verify"), 0U);
    EXPECT_EQ(write("pi_prot_format", "1"), ENODEV) << "of type 0 there is nothing to format";
    for (const std::uint32_t type : {1U, 2U, 3U}) {
        EXPECT_EQ(write("pi_prot_type", std::to_string(type)), 0);
        EXPECT_EQ(read("pi_prot_type"), type);
        EXPECT_EQ(state.protection.type, type);
        EXPECT_EQ(read("pi_prot_verify"), 1U) << "on by itself";
        EXPECT_EQ(read("hw_pi_prot_type"), 0U);
    }
    EXPECT_EQ(write("pi_prot_verify", "0"), 0);
    EXPECT_EQ(read("pi_prot_verify"), 0U);
    EXPECT_FALSE(state.settings.verify_protection);
    EXPECT_EQ(write("pi_prot_format", "1"), 0);
    EXPECT_EQ(read("pi_prot_format"), 0U);
    EXPECT_EQ(write("pi_prot_type", "0"), 0);
    EXPECT_EQ(read("pi_prot_verify"), 0U);
    EXPECT_EQ(write("pi_prot_verify", "1"), 0);
    EXPECT_EQ(read("pi_prot_verify"), 0U);
}

TEST_F(AttributeTest, AValueReadCanBeWrittenBack) {
    for (const Attribute& attribute : attributes()) {
        if (attribute.access == AttributeAccess::read_only)
            continue;
        EXPECT_EQ(write(attribute.name, std::to_string(read(attribute.name))), 0) << attribute.name;
    }
}

// ---- What they do ----

class AttributeEffects : public ::testing::Test {
  protected:
    void SetUp() override {
        medium->capabilities.unmap = Support::native;
        medium->capabilities.unmapped_reads_zeros = true;
        medium->capabilities.volatile_cache = true;
        medium->capabilities.cache_mode_changeable = true;
    }
    void make(std::vector<std::pair<std::string, std::string>> attributes) {
        LogicalUnitOptions options;
        options.name = "a disk with a long name";
        options.attributes = std::move(attributes);
        unit = rig.add_unit(make_fake_store(medium), std::move(options));
        ASSERT_NE(unit, nullptr);
        nexus = &rig.add_nexus(0, {unit});
        other = &rig.add_nexus(0, {unit});
        // Of the power-on; with interlock TEST UNIT READY does not clear it.
        for (TestNexus* each : {nexus, other})
            rig.run(*each, {3, 0, 0, 0, 18, 0}, {}, 18);
    }
    int set(const std::string& name, const std::string& value) {
        int answer = -1;
        bool ended = false;
        rig.on(0, [&] {
            unit->set_attribute(name, value, true, [&](Result<void> done) {
                answer = done ? 0 : done.error().code;
                ended = true;
            });
        });
        EXPECT_TRUE(rig.wait(0, [&] { return ended; }));
        return answer;
    }
    std::uint32_t get(std::string_view name) {
        std::uint32_t value = 0;
        rig.on(0, [&] { value = unit->attribute(name).value(); });
        return value;
    }
    std::vector<std::uint8_t> inquiry(std::uint8_t page) {
        const std::uint8_t vital = page != 0 ? 1 : 0;
        return rig.run(*nexus, {0x12, vital, page, 0, 255, 0}, {}, 255).in;
    }
    unsigned attention() { return rig.run(*nexus, test_unit_ready).additional(); }

    EngineRig rig;
    std::shared_ptr<FakeMedium> medium = std::make_shared<FakeMedium>();
    LogicalUnit* unit = nullptr;
    TestNexus* nexus = nullptr;
    TestNexus* other = nullptr;
};

TEST_F(AttributeEffects, UnmapGoesAndComesWithItsPages) {
    make({});
    EXPECT_EQ(inquiry(0xB2)[5] & 0xE0, 0xE0);
    EXPECT_EQ(set("emulate_tpu", "0"), 0);
    EXPECT_EQ(attention(), 0x3F03U);  // INQUIRY DATA HAS CHANGED
    EXPECT_EQ(inquiry(0xB2)[5] & 0xE0, 0x60);
    EXPECT_EQ(rig.run(*nexus, {0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0}).additional(), 0x2000U);
    EXPECT_EQ(set("emulate_tpws", "0"), 0);
    EXPECT_EQ(attention(), 0x3F03U);
    EXPECT_EQ(inquiry(0xB2)[5] & 0xE0, 0x00);
    EXPECT_EQ(set("emulate_tpu", "1"), 0);
    EXPECT_EQ(attention(), 0x3F03U);
    EXPECT_EQ(inquiry(0xB2)[5] & 0xE0, 0x80);
}

TEST_F(AttributeEffects, TheSameValueAgainTellsNobody) {
    make({});
    EXPECT_EQ(set("emulate_tpu", "1"), 0);
    EXPECT_EQ(rig.run(*nexus, test_unit_ready).status, scsi::Status::good);
}

TEST_F(AttributeEffects, LimitsShowInTheBlockLimitsPage) {
    make({{"max_unmap_lba_count", "4660"},
          {"max_unmap_block_desc_count", "7"},
          {"unmap_granularity", "16"},
          {"unmap_granularity_alignment", "3"},
          {"max_write_same_len", "0x5678"},
          {"optimal_sectors", "99"}});
    const std::vector<std::uint8_t> page = inquiry(0xB0);
    ASSERT_EQ(page.size(), 64U);
    EXPECT_EQ(load_be<std::uint32_t>(page.data() + 12), 99U);
    EXPECT_EQ(load_be<std::uint32_t>(page.data() + 20), 4660U);
    EXPECT_EQ(load_be<std::uint32_t>(page.data() + 24), 7U);
    EXPECT_EQ(load_be<std::uint32_t>(page.data() + 28), 16U);
    EXPECT_EQ(load_be<std::uint32_t>(page.data() + 32), 0x80000003U);
    EXPECT_EQ(load_be<std::uint64_t>(page.data() + 36), 0x5678U);
}

TEST_F(AttributeEffects, CompareAndWriteCanBeTakenAway) {
    make({{"emulate_caw", "0"}});
    EXPECT_EQ(inquiry(0xB0)[5], 0);
    EXPECT_EQ(
        rig.run(*nexus, compare_and_write(0, 1), std::vector<std::uint8_t>(1024)).additional(),
        0x2000U);
    EXPECT_EQ(set("emulate_caw", "1"), 0);
    (void)attention();
    EXPECT_EQ(inquiry(0xB0)[5], 255);
    EXPECT_EQ(rig.run(*nexus, compare_and_write(0, 1), std::vector<std::uint8_t>(1024)).status,
              scsi::Status::good);
}

TEST_F(AttributeEffects, ReservationsCanBeTakenAway) {
    make({{"emulate_pr", "0"}});
    EXPECT_EQ(rig.run(*nexus, {0x16, 0, 0, 0, 0, 0}).additional(), 0x2000U);
    EXPECT_EQ(set("emulate_pr", "1"), 0);
    EXPECT_EQ(rig.run(*nexus, {0x16, 0, 0, 0, 0, 0}).status, scsi::Status::good);
}

TEST_F(AttributeEffects, TheReportOfOperationCodesCanBeTakenAway) {
    make({});
    const std::vector<std::uint8_t> report{0xA3, 0x0C, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0};
    EXPECT_EQ(rig.run(*nexus, report, {}, 256).status, scsi::Status::good);
    EXPECT_EQ(set("emulate_rsoc", "0"), 0);
    EXPECT_EQ(rig.run(*nexus, report, {}, 256).additional(), 0x2400U);
}

TEST_F(AttributeEffects, TheWriteCacheIsTheStores) {
    make({{"emulate_write_cache", "0"}});
    const std::vector<std::uint8_t> caching{0x1A, 8, 8, 0, 7, 0};
    EXPECT_EQ(rig.run(*nexus, caching, {}, 7).in[6] & 4, 0);
    EXPECT_EQ(set("emulate_write_cache", "1"), 0);
    EXPECT_EQ(attention(), 0x2A01U);
    EXPECT_EQ(rig.run(*nexus, caching, {}, 7).in[6] & 4, 4);
    EXPECT_EQ(get("emulate_write_cache"), 1U);
}

TEST_F(AttributeEffects, TheNameBecomesTheProduct) {
    make({{"emulate_model_alias", "1"}});
    const std::vector<std::uint8_t> data = inquiry(0);
    EXPECT_EQ(std::string(data.begin() + 16, data.begin() + 32), "a disk with a lo");
    EXPECT_EQ(set("emulate_model_alias", "0"), EINVAL);
}

TEST_F(AttributeEffects, TasAndUnitAttentionInterlockShowInTheControlPage) {
    make({{"emulate_tas", "0"}, {"emulate_ua_intlck_ctrl", "2"}, {"is_nonrot", "0"}});
    const std::vector<std::uint8_t> page = rig.run(*nexus, {0x1A, 8, 10, 0, 255, 0}, {}, 255).in;
    ASSERT_EQ(page.size(), 16U);
    EXPECT_EQ(page[8] & 0x30, 0x30);
    EXPECT_EQ(page[9] & 0x40, 0x00);
    EXPECT_EQ(load_be<std::uint16_t>(inquiry(0xB1).data() + 4), 0);
}

// What an administrator sets is the default value of the mode page, which a reset brings back.
TEST_F(AttributeEffects, WhatTheControlPageShowsOutlivesAReset) {
    make({{"emulate_tas", "0"}, {"emulate_ua_intlck_ctrl", "1"}, {"emulate_write_cache", "0"}});
    rig.manage(*other, TaskManagementFunction::logical_unit_reset);
    rig.run(*nexus, {3, 0, 0, 0, 18, 0}, {}, 18);
    EXPECT_EQ(get("emulate_tas"), 0U);
    EXPECT_EQ(get("emulate_ua_intlck_ctrl"), 1U);
    EXPECT_EQ(get("emulate_write_cache"), 0U);
    const std::vector<std::uint8_t> page = rig.run(*nexus, {0x1A, 8, 0x8A, 0, 255, 0}, {}, 255).in;
    ASSERT_EQ(page.size(), 16U);
    EXPECT_EQ(page[8] & 0x30, 0x20);
    EXPECT_EQ(page[9] & 0x40, 0x00);
}

TEST_F(AttributeEffects, AnAlignmentIsBelowItsGranularity) {
    make({{"unmap_granularity", "8"}});
    EXPECT_EQ(set("unmap_granularity_alignment", "8"), EINVAL);
    EXPECT_EQ(set("unmap_granularity_alignment", "7"), 0);
    EXPECT_EQ(get("unmap_granularity_alignment"), 7U);
    EXPECT_EQ(set("unmap_granularity", "0"), 0);  // none: any alignment
    EXPECT_EQ(set("unmap_granularity_alignment", "9"), 0);
}

TEST_F(AttributeEffects, NoLimitOfDescriptorsIsTheLimitOfACommand) {
    make({});
    EXPECT_EQ(set("max_unmap_block_desc_count", "3"), 0);
    EXPECT_EQ(get("max_unmap_block_desc_count"), 3U);
    EXPECT_EQ(set("max_unmap_block_desc_count", "0"), 0);
    EXPECT_EQ(get("max_unmap_block_desc_count"), limits::unmap_descriptors);
}

TEST_F(AttributeEffects, WithInterlockOnlyRequestSenseClearsAUnitAttention) {
    make({{"emulate_ua_intlck_ctrl", "1"}});
    EXPECT_EQ(set("emulate_tpu", "0"), 0);
    EXPECT_EQ(attention(), 0x3F03U);
    EXPECT_EQ(attention(), 0x3F03U);
    const std::vector<std::uint8_t> sense = rig.run(*nexus, {3, 0, 0, 0, 18, 0}, {}, 18).in;
    EXPECT_EQ(sense[12], 0x3F);
    EXPECT_EQ(rig.run(*nexus, test_unit_ready).status, scsi::Status::good);
}

TEST_F(AttributeEffects, WithInterlock2ARefusalIsToldAgain) {
    make({{"emulate_ua_intlck_ctrl", "2"}});
    EXPECT_EQ(rig.run(*nexus, {0x16, 0, 0, 0, 0, 0}).status, scsi::Status::good);
    EXPECT_EQ(rig.run(*other, {0x16, 0, 0, 0, 0, 0}).status, scsi::Status::reservation_conflict);
    EXPECT_EQ(rig.run(*other, test_unit_ready).additional(), 0x2C09U);
    EXPECT_EQ(rig.run(*other, {3, 0, 0, 0, 18, 0}, {}, 18).in[13], 0x09);
    EXPECT_EQ(rig.run(*nexus, test_unit_ready).status, scsi::Status::good);
}

TEST_F(AttributeEffects, ADiskCanBeMadeWithProtectionInformationFormatted) {
    medium = make_protected_medium();
    medium->tuples->write(7, std::vector<std::uint8_t>(8, 0x11));
    make({{"pi_prot_type", "3"}});
    EXPECT_EQ(medium->tuples->read(7, 1), std::vector<std::uint8_t>(8, 0x11)) << "it is kept";
    std::vector<std::uint8_t> capacity{0x9E, 0x10};
    capacity.resize(16);
    capacity[13] = 32;
    EXPECT_EQ(rig.run(*nexus, capacity, {}, 32).in[12], 0x05);  // P_TYPE 010b, PROT_EN
    EXPECT_EQ(set("pi_prot_type", "1"), EINVAL);
    EXPECT_EQ(set("pi_prot_format", "1"), EINVAL);
    EXPECT_EQ(medium->tuples->read(7, 1), std::vector<std::uint8_t>(8, 0x11));
}

TEST_F(AttributeEffects, FormattingProtectionInformationLeavesTheBlocks) {
    medium = make_protected_medium();
    make({{"pi_prot_type", "1"}});
    const std::vector<std::uint8_t> data(512, 0x42);
    ASSERT_EQ(rig.write(*nexus, 7, data).status, scsi::Status::good);
    EXPECT_NE(medium->tuples->read(7, 1), std::vector<std::uint8_t>(8, 0xFF));
    const auto format = [&] {
        int answer = -1;
        bool ended = false;
        rig.on(0, [&] {  // as if no LUN were this disk
            unit->set_attribute("pi_prot_format", "1", false, [&](Result<void> done) {
                answer = done ? 0 : done.error().code;
                ended = true;
            });
        });
        EXPECT_TRUE(rig.wait(0, [&] { return ended; }));
        return answer;
    };
    EXPECT_EQ(format(), 0);
    EXPECT_EQ(medium->tuples->read(7, 1), std::vector<std::uint8_t>(8, 0xFF));
    EXPECT_EQ(rig.read(*nexus, 7, 1).in, data);
    EXPECT_EQ(get("pi_prot_type"), 1U);
    medium->clearing_fails = true;
    EXPECT_EQ(format(), EIO);
    EXPECT_EQ(get("pi_prot_type"), 1U);
    EXPECT_EQ(rig.read(*nexus, 7, 1).additional(), 0x3100U) << "as the next start would find it";
    // That does not format the blocks, so it cannot make such a medium whole.
    medium->clearing_fails = false;
    EXPECT_EQ(format(), EIO);
    EXPECT_EQ(rig.read(*nexus, 7, 1).additional(), 0x3100U);
    EXPECT_EQ(rig.run(*nexus, {0x04, 0, 0, 0, 0, 0}).status, scsi::Status::good);
    EXPECT_EQ(rig.read(*nexus, 7, 1).status, scsi::Status::good);
}

TEST_F(AttributeEffects, AnAttributeThatCannotBeKeepsTheDiskFromOpening) {
    LogicalUnitOptions options;
    options.name = "bad";
    options.attributes = {{"emulate_caw", "x"}};
    bool ended = false;
    int code = 0;
    rig.on(0, [&] {
        rig.engine().add_logical_unit(std::move(options), make_fake_store(medium),
                                      [&](Result<LogicalUnit*> added) {
                                          code = added ? 0 : added.error().code;
                                          ended = true;
                                      });
    });
    EXPECT_TRUE(rig.wait(0, [&] { return ended; }));
    EXPECT_EQ(code, EINVAL);
}

}  // namespace
}  // namespace olio::target
