#include <gtest/gtest.h>

#include <algorithm>

#include "scsi/data_in.h"
#include "scsi/lba_status.h"
#include "scsi/request_testing.h"
#include "scsi/sense_codes.h"
#include "scsi/unit_attention.h"

namespace olio::scsi {
namespace {

using testing::Asked;
using testing::hex;
using testing::to_hex;

TEST(ReportLuns, ListsTheInventoryOfTheNexus) {
    const Asked unit;
    const std::string all =
        "00 00 00 18 00 00 00 00 00 00 00 00 00 00 00 00 "
        "00 01 00 00 00 00 00 00 41 2c 00 00 00 00 00 00";
    const std::string none = "00 00 00 00 00 00 00 00";
    EXPECT_EQ(unit.asked("a0 00 00 00 00 00 00 00 01 00 00 00"), all);
    EXPECT_EQ(unit.asked("a0 00 00 00 00 00 00 00 01 00 00 00", false), all);
    EXPECT_EQ(unit.asked("a0 00 02 00 00 00 00 00 01 00 00 00"), all);
    EXPECT_EQ(unit.asked("a0 00 11 00 00 00 00 00 01 00 00 00"), all);
    EXPECT_EQ(unit.asked("a0 00 01 00 00 00 00 00 01 00 00 00"), none);
    EXPECT_EQ(unit.asked("a0 00 10 00 00 00 00 00 01 00 00 00"), none);
    EXPECT_EQ(unit.asked("a0 00 12 00 00 00 00 00 01 00 00 00"), none);
    EXPECT_EQ(unit.asked("a0 00 00 00 00 00 00 00 00 10 00 00"), all.substr(0, 47));
}

TEST(ReportLuns, RefusesUnknownSelectionsAndShortAllocations) {
    const Asked unit;
    EXPECT_EQ(unit.asked("a0 00 03 00 00 00 00 00 01 00 00 00"), "5/24/00 cdb 2");
    EXPECT_EQ(unit.asked("a0 00 00 00 00 00 00 00 00 0f 00 00"), "5/24/00 cdb 6");
}

TEST(ReadCapacity, TenByteFormIsClipped) {
    Asked unit;
    EXPECT_EQ(unit.asked("25 00 00 00 00 00 00 00 00 00"), "00 00 ff ff 00 00 02 00");
    unit.state.geometry.blocks = 0x100000000;
    EXPECT_EQ(unit.asked("25 00 00 00 00 00 00 00 00 00"), "ff ff ff ff 00 00 02 00");
    unit.state.geometry.blocks = 0x100000001;
    unit.state.geometry.block_bytes = 4096;
    EXPECT_EQ(unit.asked("25 00 00 00 00 00 00 00 00 00"), "ff ff ff ff 00 00 10 00");
}

TEST(ReadCapacity, AnAddressNeedsPmi) {
    const Asked unit;
    EXPECT_EQ(unit.asked("25 00 00 00 00 01 00 00 00 00"), "5/24/00 cdb 2");
    EXPECT_EQ(unit.asked("25 00 00 00 00 01 00 00 01 00"), "00 00 ff ff 00 00 02 00");
    EXPECT_EQ(unit.asked("9e 10 00 00 00 00 00 00 00 01 00 00 00 20 00 00"), "5/24/00 cdb 2");
    EXPECT_EQ(unit.asked("9e 10 00 00 00 00 00 00 00 01 00 00 00 08 01 00"),
              "00 00 00 00 00 00 ff ff");
}

TEST(ReadCapacity, SixteenByteFormSaysAlignmentProvisioningAndProtection) {
    Asked unit;
    const std::string zeros = " 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00";
    EXPECT_EQ(unit.asked("9e 10 00 00 00 00 00 00 00 00 00 00 00 ff 00 00"),
              "00 00 00 00 00 00 ff ff 00 00 02 00 00 03 c0 00" + zeros);
    unit.state.provisioning = {};
    unit.state.protection.type = 3;
    unit.state.geometry.lowest_aligned_lba = 7;
    EXPECT_EQ(unit.asked("9e 10 00 00 00 00 00 00 00 00 00 00 00 ff 00 00"),
              "00 00 00 00 00 00 ff ff 00 00 02 00 05 03 00 07" + zeros);
}

TEST(GetLbaStatus, ExtentsBecomeDescriptors) {
    const std::array<LbaStatusExtent, 2> extents{
        {{0x10, 8, ProvisioningStatus::mapped}, {0x18, 0x20, ProvisioningStatus::deallocated}}};
    std::array<std::uint8_t, 64> room{};
    Builder into(room);
    put_lba_status(extents, LbaStatusEnd::end_of_medium, into);
    EXPECT_EQ(to_hex(into.written()),
              "00 00 00 24 00 00 00 05 00 00 00 00 00 00 00 10 00 00 00 08 00 00 00 00 "
              "00 00 00 00 00 00 00 18 00 00 00 20 01 00 00 00");
}

TEST(GetLbaStatus, LongExtentsAreSplit) {
    const std::array<LbaStatusExtent, 1> extents{
        {{0, 0x1'0000'0000, ProvisioningStatus::deallocated}}};
    std::array<std::uint8_t, 64> room{};
    Builder into(room);
    put_lba_status(extents, LbaStatusEnd::end_of_medium, into);
    EXPECT_EQ(to_hex(into.written()),
              "00 00 00 24 00 00 00 05 00 00 00 00 00 00 00 00 ff ff ff ff 01 00 00 00 "
              "00 00 00 00 ff ff ff ff 00 00 00 01 01 00 00 00");
}

std::size_t supported_commands(const Asked& unit) {
    return static_cast<std::size_t>(std::ranges::count_if(
        command_table(), [&](const CommandRow& row) { return supported(row, unit.state); }));
}

TEST(SupportedOperationCodes, AllOfThem) {
    Asked unit;
    unit.state.protection.type = 2;  // has the 32-byte commands as well
    const auto plain = unit.ask("a3 0c 00 00 00 00 00 00 ff ff 00 00");
    ASSERT_TRUE(plain);
    ASSERT_EQ(plain->size(), 4 + 8 * supported_commands(unit));
    EXPECT_EQ(load_be<std::uint32_t>(plain->data()), plain->size() - 4);
    EXPECT_EQ(to_hex(Bytes(*plain).subspan(4, 8)), "00 00 00 00 00 00 00 06");
    EXPECT_NE(to_hex(*plain).find("9e 00 00 10 00 01 00 10 9e 00 00 12 00 01 00 10"),
              std::string::npos);

    const auto timed = unit.ask("a3 0c 80 00 00 00 00 00 ff ff 00 00");
    ASSERT_TRUE(timed);
    ASSERT_EQ(timed->size(), 4 + 20 * supported_commands(unit));
    EXPECT_EQ(to_hex(Bytes(*timed).subspan(4, 20)),
              "00 00 00 00 00 02 00 06 00 0a 00 00 00 00 00 00 00 00 00 1e");
}

TEST(SupportedOperationCodes, OneByOperationCode) {
    const Asked unit;
    EXPECT_EQ(unit.asked("a3 0c 01 28 00 00 00 00 00 ff 00 00"),
              "00 03 00 0a 28 18 ff ff ff ff 00 ff ff 04");
    EXPECT_EQ(unit.asked("a3 0c 81 28 00 00 00 00 00 ff 00 00"),
              "00 83 00 0a 28 18 ff ff ff ff 00 ff ff 04 "
              "00 0a 00 00 00 00 00 00 00 00 00 1e");
    EXPECT_EQ(unit.asked("a3 0c 01 ff 00 00 00 00 00 ff 00 00"), "00 01 00 00");
    EXPECT_EQ(unit.asked("a3 0c 01 9e 00 10 00 00 00 ff 00 00"), "5/24/00 cdb 2.2");
    EXPECT_EQ(unit.asked("a3 0c 04 28 00 00 00 00 00 ff 00 00"), "5/24/00 cdb 2.2");
}

TEST(SupportedOperationCodes, OneByServiceAction) {
    const Asked unit;
    const std::string capacity = "00 03 00 10 9e 10 ff ff ff ff ff ff ff ff ff ff ff ff 01 04";
    EXPECT_EQ(unit.asked("a3 0c 02 9e 00 10 00 00 00 ff 00 00"), capacity);
    EXPECT_EQ(unit.asked("a3 0c 02 9e 00 11 00 00 00 ff 00 00"), "00 01 00 00");
    EXPECT_EQ(unit.asked("a3 0c 02 9e 01 10 00 00 00 ff 00 00"), "00 01 00 00");
    EXPECT_EQ(unit.asked("a3 0c 02 28 00 00 00 00 00 ff 00 00"), "5/24/00 cdb 2.2");
    EXPECT_EQ(unit.asked("a3 0c 03 9e 00 10 00 00 00 ff 00 00"), capacity);
    EXPECT_EQ(unit.asked("a3 0c 03 9e 00 00 00 00 00 ff 00 00"), "00 01 00 00");
    EXPECT_EQ(unit.asked("a3 0c 03 00 00 00 00 00 00 ff 00 00"), "00 03 00 06 00 00 00 00 00 04");
    EXPECT_EQ(unit.asked("a3 0c 03 00 00 01 00 00 00 ff 00 00"), "00 01 00 00");
}

TEST(SupportedOperationCodes, WhatTheLogicalUnitHasNotIsNotReported) {
    Asked unit;
    const std::size_t before = supported_commands(unit);
    unit.state.provisioning.unmap = false;
    EXPECT_EQ(unit.asked("a3 0c 01 42 00 00 00 00 00 ff 00 00"), "00 01 00 00");
    const auto all = unit.ask("a3 0c 00 00 00 00 00 00 ff ff 00 00");
    ASSERT_TRUE(all);
    EXPECT_EQ(all->size(), 4 + 8 * (before - 1));
}

// Each command reported is found by dispatch, and each row is reported: one truth.
TEST(SupportedOperationCodes, AgreeWithDispatch) {
    Asked unit;
    unit.state.protection.type = 2;  // has the 32-byte commands as well
    const auto all = unit.ask("a3 0c 00 00 00 00 00 00 ff ff 00 00");
    ASSERT_TRUE(all);
    std::size_t at = 4;
    for (const CommandRow& row : command_table()) {
        if (!supported(row, unit.state))
            continue;
        EXPECT_EQ((*all)[at], row.opcode);
        std::vector<std::uint8_t> cdb(load_be<std::uint16_t>(all->data() + at + 6));
        cdb[0] = (*all)[at];
        if (cdb[0] == 0x7F) {
            cdb[7] = static_cast<std::uint8_t>(cdb.size() - 8);
            std::copy_n(all->begin() + static_cast<std::ptrdiff_t>(at) + 2, 2, cdb.begin() + 8);
        } else if (((*all)[at + 5] & 1) != 0) {
            cdb[1] = (*all)[at + 3];
        }
        EXPECT_EQ(*find_row(cdb), &row);
        at += 8;
    }
}

TEST(SupportedTaskManagementFunctions, ShortAndExtended) {
    const Asked unit;
    EXPECT_EQ(unit.asked("a3 0d 00 00 00 00 00 00 00 ff 00 00"), "fa 00 00 00");
    EXPECT_EQ(unit.asked("a3 0d 80 00 00 00 00 00 00 ff 00 00"),
              "fa 00 00 0c 00 00 00 00 00 00 00 00 00 00 00 00");
}

std::string sense_requested(std::string_view text, const SenseData& pending) {
    const Asked unit;
    const std::vector<std::uint8_t> cdb = hex(text);
    const CommandRow& row = **find_row(cdb);
    std::vector<std::uint8_t> data(cdb[4]);
    Builder into(data);
    request_sense({row, cdb, decode(row, cdb), nullptr, unit.nexus}, pending, into);
    return to_hex(into.written());
}

TEST(RequestSense, ReturnsWhatIsPendingInTheFormatAskedFor) {
    const SenseData power_on = sense_of(UnitAttention::power_on_reset_or_bus_device_reset);
    EXPECT_EQ(sense_requested("03 00 00 00 fc 00", power_on),
              "70 00 06 00 00 00 00 0a 00 00 00 00 29 00 00 00 00 00");
    EXPECT_EQ(sense_requested("03 01 00 00 fc 00", power_on), "72 06 29 00 00 00 00 00");
    EXPECT_EQ(
        sense_requested("03 00 00 00 fc 00", make_sense(sense::no_additional_sense_information)),
        "70 00 00 00 00 00 00 0a 00 00 00 00 00 00 00 00 00 00");
    EXPECT_EQ(sense_requested("03 00 00 00 04 00", power_on), "70 00 06 00");
}

}  // namespace
}  // namespace olio::scsi
