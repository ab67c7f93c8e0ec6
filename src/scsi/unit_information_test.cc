#include "scsi/unit_information.h"

#include <gtest/gtest.h>

#include "scsi/request_testing.h"

namespace olio::scsi {
namespace {

using testing::Asked;
using testing::describe;
using testing::hex;
using testing::to_hex;

class InformationTest : public ::testing::Test {
  protected:
    template <class Function>
    auto with(std::string_view text, Function function) {
        return unit.handle(text, function);
    }
    std::expected<IdentifyingInformation, SenseData> set(std::string_view cdb, Bytes list) {
        return with(cdb, [&](const Request& r) { return set_identifying_information(r, list); });
    }
    std::expected<std::optional<std::uint64_t>, SenseData> set_time(Bytes list) {
        return with("a4 0f 00 00 00 00 00 00 00 0c 00 00",
                    [&](const Request& r) { return set_timestamp(r, list); });
    }
    Asked unit;
};

const std::string set_peripheral = "a4 06 00 00 00 00 00 00 ff ff 00 00";
const std::string set_text = "a4 06 00 00 00 00 00 00 ff ff 04 00";

TEST_F(InformationTest, IsEmptyAtFirst) {
    EXPECT_EQ(unit.asked("a3 05 00 00 00 00 00 00 00 ff 00 00"), "00 00 00 00");
    EXPECT_EQ(unit.asked("a3 05 00 00 00 00 00 00 00 ff 04 00"), "00 00 00 00");
}

TEST_F(InformationTest, TypesAreListedWithTheirLengths) {
    EXPECT_EQ(unit.asked("a3 05 00 00 00 00 00 00 00 ff fe 00"),
              "00 00 00 08 00 00 02 00 04 00 01 00");
    EXPECT_EQ(unit.asked("a3 05 00 00 00 00 00 00 00 ff 02 00"), "5/24/00 cdb 10.7");
}

TEST_F(InformationTest, WhatIsSetIsReported) {
    const auto next = set(set_peripheral, hex("00 ff 41"));
    ASSERT_TRUE(next);
    unit.state.identifying_information = *next;
    EXPECT_EQ(unit.asked("a3 05 00 00 00 00 00 00 00 ff 00 00"), "00 00 00 03 00 ff 41");
    EXPECT_EQ(unit.asked("a3 05 00 00 00 00 00 00 00 05 00 00"), "00 00 00 03 00");
    const auto name = set(set_text, hex("61 62 00 00"));
    ASSERT_TRUE(name);
    unit.state.identifying_information = *name;
    EXPECT_EQ(unit.asked("a3 05 00 00 00 00 00 00 00 ff 04 00"), "00 00 00 04 61 62 00 00");
    EXPECT_EQ(unit.asked("a3 05 00 00 00 00 00 00 00 ff 00 00"), "00 00 00 03 00 ff 41");
    EXPECT_EQ(set(set_text, {})->text, "");
    EXPECT_EQ(set(set_text, {})->peripheral, next->peripheral);
}

TEST_F(InformationTest, LengthsAndTextsAreChecked) {
    EXPECT_TRUE(set(set_peripheral, std::vector<std::uint8_t>(512, 7)));
    EXPECT_EQ(describe(set(set_peripheral, std::vector<std::uint8_t>(513, 7))), "5/24/00 cdb 6");
    EXPECT_TRUE(set(set_text, std::vector<std::uint8_t>(256, 0)));
    EXPECT_EQ(describe(set(set_text, std::vector<std::uint8_t>(257, 0))), "5/24/00 cdb 6");
    EXPECT_EQ(describe(set(set_text, hex("61 62"))), "5/26/00 list 2");
    EXPECT_EQ(describe(set(set_text, hex("61 00 62"))), "5/26/00 list 2");
    EXPECT_EQ(describe(set("a4 06 00 00 00 00 00 00 ff ff fe 00", hex("61"))), "5/24/00 cdb 10.7");
}

std::string reported(const Timestamp& timestamp, std::int64_t clock_ms, std::int64_t machine_ms) {
    std::vector<std::uint8_t> data(12);
    Builder into(data);
    report_timestamp(timestamp, clock_ms, machine_ms, into);
    return to_hex(into.written());
}

TEST_F(InformationTest, TheTimestampIsTheMachinesUntilOneIsSet) {
    EXPECT_EQ(reported({}, 5, 0x123456789ABC), "00 0a 03 00 12 34 56 78 9a bc 00 00");
    EXPECT_EQ(reported({.offset_ms = 0x1000}, 5, 0x123456789ABC),
              "00 0a 02 00 00 00 00 00 10 05 00 00");
    EXPECT_EQ(reported({.offset_ms = -2}, 5, 1), "00 0a 02 00 00 00 00 00 00 03 00 00");
}

TEST_F(InformationTest, ATimestampIsTakenFromItsList) {
    EXPECT_EQ(set_time(hex("00 00 00 00 12 34 56 78 9a bc 00 00")).value(), 0x123456789ABCU);
    EXPECT_EQ(set_time({}).value(), std::nullopt);
    EXPECT_EQ(describe(set_time(hex("00 00 00 00 12 34 56 78 9a bc 00"))), "5/1a/00");
    unit.state.mode_pages.timestamp_precedence = false;
    EXPECT_EQ(describe(set_time(hex("00 00 00 00 12 34 56 78 9a bc 00 00"))), "5/24/00 cdb 1.4");
}

}  // namespace
}  // namespace olio::scsi
