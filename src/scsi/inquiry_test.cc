#include <fmt/core.h>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "scsi/request_testing.h"

namespace olio::scsi {
namespace {

using testing::Asked;

// SPC-5 table 142, byte by byte.
TEST(Inquiry, StandardData) {
    EXPECT_EQ(Asked().asked("12 00 00 01 00 00"),
              "00 00 06 32 5b 08 00 02 "                          // SPC-4, 3PC, CMDQUE
              "4f 4c 49 4f 20 20 20 20 "                          // vendor
              "64 69 73 6b 20 20 20 20 20 20 20 20 20 20 20 20 "  // product
              "30 30 30 31 "                                      // revision
              "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "  // 36 to 57
              "00 a0 05 c0 04 60 06 00 04 c0 09 60 00 00 00 00 "                    // versions
              "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00");
}

TEST(Inquiry, AccessChangeAndProtectionShowInByte5) {
    Asked unit;
    ASSERT_TRUE(put_group(unit.state.access, {.id = 0, .name = "default_tg_pt_gp"}));
    ASSERT_TRUE(put_port(unit.state.access, unit.port.relative_port, 0));
    unit.state.protection.type = 1;
    EXPECT_EQ(unit.asked("12 00 00 00 08 00"), "00 00 06 32 5b 39 00 02");
}

TEST(Inquiry, IsCutAtTheAllocationLengthWithoutChangingAnyLength) {
    EXPECT_EQ(Asked().asked("12 00 00 00 05 00"), "00 00 06 32 5b");
    EXPECT_EQ(Asked().asked("12 00 00 00 00 00"), "");
    EXPECT_EQ(Asked().asked("12 01 83 00 04 00"), "00 83 00 88");
}

TEST(Inquiry, APageCodeNeedsEvpd) {
    EXPECT_EQ(Asked().asked("12 00 80 00 ff 00"), "5/24/00 cdb 2");
    EXPECT_EQ(Asked().asked("12 01 85 00 ff 00"), "5/24/00 cdb 2");
    EXPECT_EQ(Asked().asked("12 02 00 00 ff 00"), "5/24/00 cdb 1.1");  // CMDDT, obsolete
}

TEST(Inquiry, WithoutLogicalUnitTheQualifierSaysSo) {
    const std::string data = Asked().asked("12 00 00 00 60 00", false);
    EXPECT_EQ(data.substr(0, 14), "7f 00 06 32 5b");
    EXPECT_EQ(data.substr(3 * 58, 26), "00 a0 05 c0 04 60 09 60 00");  // no SBC
    EXPECT_EQ(Asked().asked("12 01 00 00 60 00", false), "7f 00 00 01 00");
    EXPECT_EQ(Asked().asked("12 01 83 00 60 00", false), "5/24/00 cdb 2");
}

TEST(VitalProductData, SupportedPages) {
    EXPECT_EQ(Asked().asked("12 01 00 00 ff 00"),
              "00 00 00 0d 00 80 83 86 87 88 8a 8f b0 b1 b2 b4 b7");
}

TEST(VitalProductData, EveryPageListedAnswersWithItsOwnCode) {
    const Asked unit;
    const auto list = unit.ask("12 01 00 00 ff 00");
    ASSERT_TRUE(list);
    for (std::size_t i = 4; i < list->size(); ++i) {
        const std::uint8_t cdb[6]{0x12, 1, (*list)[i], 0x10, 0, 0};
        const auto page = unit.ask(cdb);
        ASSERT_TRUE(page);
        EXPECT_EQ((*page)[1], (*list)[i]);
        EXPECT_EQ(load_be<std::uint16_t>(page->data() + 2), page->size() - 4);
    }
}

TEST(VitalProductData, UnitSerialNumber) {
    EXPECT_EQ(Asked().asked("12 01 80 00 ff 00"), "00 80 00 08 30 31 32 33 41 42 43 44");
}

TEST(VitalProductData, DeviceIdentification) {
    Asked unit;
    unit.port.relative_port = 0x0102;
    ASSERT_TRUE(put_group(unit.state.access, {.id = 0x10, .name = "a"}));
    ASSERT_TRUE(put_port(unit.state.access, 0x0102, 0x10));
    EXPECT_EQ(unit.asked("12 01 83 01 00 00"),
              "00 83 00 90 "
              // T10 vendor ID based: vendor, product, serial.
              "02 01 00 20 4f 4c 49 4f 20 20 20 20 64 69 73 6b 20 20 20 20 20 20 20 20 20 20 20 20 "
              "30 31 32 33 41 42 43 44 "
              // NAA.
              "01 03 00 10 60 01 40 5a 01 02 03 04 05 06 07 08 09 0a 0b 0c "
              // Relative target port, target port group: of the iSCSI port (PIV).
              "51 94 00 04 00 00 01 02 "
              "51 95 00 04 00 00 00 10 "
              // SCSI name strings of port and device.
              "53 98 00 24 69 71 6e 2e 32 30 32 34 2d 30 31 2e 65 78 61 6d 70 6c 65 3a 64 69 73 6b "
              "2c 74 2c 30 78 30 30 30 31 00 00 00 "
              "53 a8 00 1c 69 71 6e 2e 32 30 32 34 2d 30 31 2e 65 78 61 6d 70 6c 65 3a 64 69 73 6b "
              "00 00 00 00");
}

TEST(VitalProductData, LongNamesAndSerialsStayInsideTheirLengthBytes) {
    Asked unit;
    unit.state.identification.serial = std::string(252, 'S');
    unit.port.port_name = std::string(400, 'P');
    unit.port.device_name = std::string(251, 'D');
    const auto page = unit.ask("12 01 83 ff ff 00");
    ASSERT_TRUE(page);
    std::size_t at = 4;
    int strings = 0;
    while (at < page->size()) {
        const std::size_t length = (*page)[at + 3];
        if (((*page)[at + 1] & 0x0F) == 8) {
            EXPECT_EQ(length, 252U);
            EXPECT_EQ((*page)[at + 3 + length], 0);
            ++strings;
        }
        EXPECT_NE((*page)[at + 1] & 0x0F, 1);  // cut short it would name other units as well
        at += 4 + length;
    }
    EXPECT_EQ(at, page->size());
    EXPECT_EQ(strings, 2);
}

TEST(VitalProductData, ExtendedInquiry) {
    Asked unit;
    const std::string zeros = [] {
        std::string text;
        for (int i = 0; i < 50; ++i)
            text += " 00";
        return text;
    }();
    EXPECT_EQ(unit.asked("12 01 86 00 ff 00"), "00 86 00 3c 00 07 01 01 00 00 00 00 00 60" + zeros);
    unit.state.mode_pages.write_cache_enabled = false;
    unit.state.mode_pages.write_cache_changeable = false;
    unit.state.protection.type = 3;
    EXPECT_EQ(unit.asked("12 01 86 00 ff 00"), "00 86 00 3c 24 07 00 21 00 00 00 00 00 60" + zeros);
    unit.state.protection.type = 2;
    EXPECT_EQ(unit.asked("12 01 86 00 ff 00"), "00 86 00 3c 17 07 00 21 00 00 00 00 00 60" + zeros);
}

TEST(VitalProductData, BlockLimits) {
    EXPECT_EQ(Asked().asked("12 01 b0 00 ff 00"),
              "00 b0 00 3c 01 ff 00 08 00 00 40 00 00 00 08 00 00 00 00 00 "
              "00 00 80 00 00 00 00 04 00 00 00 08 80 00 00 00 00 00 00 00 00 00 c0 00 "
              "00 00 00 80 00 00 00 00 00 00 00 00 00 00 00 80 00 00 00 80");
}

TEST(VitalProductData, BlockLimitsWithoutUnmap) {
    Asked unit;
    unit.state.provisioning = {};
    unit.state.maximum_atomic_blocks = 0;
    EXPECT_EQ(unit.asked("12 01 b0 00 ff 00"),
              "00 b0 00 3c 01 ff 00 08 00 00 40 00 00 00 08 00 00 00 00 00 "
              "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "
              "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00");
}

TEST(VitalProductData, BlockLimitsSayNoLimitOfUnmapWithAllOnes) {
    Asked unit;
    unit.state.provisioning.maximum_unmap_blocks = 0;
    unit.state.provisioning.maximum_unmap_descriptors = 0;
    const auto page = unit.ask("12 01 b0 00 ff 00");
    ASSERT_TRUE(page);
    EXPECT_EQ(testing::to_hex(Bytes(*page).subspan(20, 8)), "ff ff ff ff ff ff ff ff");
}

TEST(VitalProductData, BlockDeviceCharacteristics) {
    Asked unit;
    unit.state.geometry.rotation_rate = 7200;
    const auto page = unit.ask("12 01 b1 00 ff 00");
    ASSERT_TRUE(page);
    EXPECT_EQ(page->size(), 64U);
    EXPECT_EQ(testing::to_hex(Bytes(*page).first(10)), "00 b1 00 3c 1c 20 00 40 01 00");
}

TEST(VitalProductData, BlockLimitsExtensionTellsTheNumberOfStreams) {
    const auto page = Asked().ask("12 01 b7 00 ff 00");
    ASSERT_TRUE(page);
    EXPECT_EQ(page->size(), 64U);
    EXPECT_EQ(testing::to_hex(Bytes(*page).first(10)), "00 b7 00 3c 00 00 00 10 00 00");
}

TEST(VitalProductData, LogicalBlockProvisioning) {
    Asked unit;
    EXPECT_EQ(unit.asked("12 01 b2 00 ff 00"), "00 b2 00 04 00 e4 02 00");
    unit.state.provisioning.write_same_unmap = false;
    EXPECT_EQ(unit.asked("12 01 b2 00 ff 00"), "00 b2 00 04 00 84 02 00");
    unit.state.provisioning.anchor = true;
    EXPECT_EQ(unit.asked("12 01 b2 00 ff 00"), "00 b2 00 04 00 86 02 00");
    unit.state.provisioning = {};
    EXPECT_EQ(unit.asked("12 01 b2 00 ff 00"), "00 b2 00 04 00 00 00 00");
}

TEST(VitalProductData, VolatileCacheIsToldWhereThereIsOrMayBeOne) {
    Asked unit;
    for (const bool enabled : {false, true}) {
        for (const bool changeable : {false, true}) {
            unit.state.mode_pages.write_cache_enabled = enabled;
            unit.state.mode_pages.write_cache_changeable = changeable;
            const auto page = unit.ask("12 01 86 00 ff 00");
            ASSERT_TRUE(page);
            EXPECT_EQ((*page)[6], enabled || changeable ? 0x01 : 0x00);  // V_SUP
        }
    }
}

TEST(VitalProductData, ModePagePolicyIsSharedForAll) {
    EXPECT_EQ(Asked().asked("12 01 87 00 ff 00"), "00 87 00 04 3f ff 00 00");
}

TEST(VitalProductData, ScsiPortsNameThePortAsDeviceIdentificationDoes) {
    Asked unit;
    unit.port.relative_port = 0x0203;
    EXPECT_EQ(unit.asked("12 01 88 00 ff 00"),
              "00 88 00 34 00 00 02 03 00 00 00 00 00 00 00 28 "
              "53 98 00 24 69 71 6e 2e 32 30 32 34 2d 30 31 2e 65 78 61 6d 70 6c 65 3a 64 69 73 6b "
              "2c 74 2c 30 78 30 30 30 31 00 00 00");
    unit.port.port_name.clear();
    EXPECT_EQ(unit.asked("12 01 88 00 ff 00"), "00 88 00 0c 00 00 02 03 00 00 00 00 00 00 00 00");
    unit.nexus.port = nullptr;
    EXPECT_EQ(unit.asked("12 01 88 00 ff 00"), "00 88 00 00");
}

TEST(VitalProductData, ScsiPortsHasEveryConfiguredPortInTheirOrder) {
    Asked unit;
    const auto asked_from = [&unit](std::uint16_t own) {
        unit.port.relative_port = own;
        unit.port.port_name.clear();
        return unit.asked("12 01 88 00 ff 00");
    };
    const auto port = [](std::string_view id) {
        return fmt::format(" 00 00 {} 00 00 00 00 00 00 00 00", id);
    };
    for (const std::uint16_t number : {1, 2, 0x203}) {
        ConfiguredPort configured;
        configured.description.relative_port = number;
        unit.state.target_ports.push_back(configured);
    }
    const std::string all = port("00 01") + port("00 02") + port("02 03");
    for (const std::uint16_t own : {1, 2, 0x203})
        EXPECT_EQ(asked_from(own), "00 88 00 24" + all) << own;
    // The one that asks is there even if nobody has configured it.
    EXPECT_EQ(asked_from(0x300), "00 88 00 30" + all + port("03 00"));
    EXPECT_EQ(asked_from(0x100),
              "00 88 00 30" + port("00 01") + port("00 02") + port("01 00") + port("02 03"));
    // As many as there may be, with the longest names, fit into a page.
    unit.state.target_ports.clear();
    for (std::uint16_t number = 1; number <= limits::grouped_ports; ++number) {
        ConfiguredPort configured;
        configured.description.relative_port = number;
        configured.description.port_name = std::string(limits::iscsi_name_bytes, 'a') + ",t,0x0001";
        unit.state.target_ports.push_back(configured);
    }
    const auto page = unit.ask("12 01 88 ff ff 00");
    ASSERT_TRUE(page);
    EXPECT_EQ(load_be<std::uint16_t>(page->data() + 2), page->size() - 4);
    EXPECT_GT(page->size(), 60'000U);
}

TEST(VitalProductData, PowerConditions) {
    EXPECT_EQ(Asked().asked("12 01 8a 00 ff 00"),
              "00 8a 00 0e 03 07 00 00 00 00 00 00 00 00 00 00 00 00");
}

TEST(VitalProductData, SupportedBlockLengths) {
    Asked unit;
    EXPECT_EQ(unit.asked("12 01 b4 00 ff 00"), "00 b4 00 08 00 00 02 00 00 01 00 00");
    unit.state.geometry.block_bytes = 4096;
    unit.state.protection.type = 1;
    EXPECT_EQ(unit.asked("12 01 b4 00 ff 00"), "00 b4 00 08 00 00 10 00 0d 02 00 00");
    unit.state.protection.type = 3;
    EXPECT_EQ(unit.asked("12 01 b4 00 ff 00"), "00 b4 00 08 00 00 10 00 0c 08 00 00");
}

}  // namespace
}  // namespace olio::scsi
