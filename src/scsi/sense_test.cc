#include "scsi/sense.h"

#include <gtest/gtest.h>

#include <set>

#include "scsi/request_testing.h"
#include "scsi/sense_codes.h"
#include "scsi/unit_attention.h"

namespace olio::scsi {
namespace {

using testing::to_hex;

std::string encoded(const SenseData& sense, SenseFormat format, std::size_t room = 96) {
    std::vector<std::uint8_t> bytes(room, 0xEE);
    bytes.resize(sense.encode(format, bytes));
    return to_hex(bytes);
}

TEST(Sense, FixedFormatHasEighteenBytes) {
    EXPECT_EQ(encoded(make_sense(sense::invalid_command_operation_code), SenseFormat::fixed),
              "70 00 05 00 00 00 00 0a 00 00 00 00 20 00 00 00 00 00");
}

TEST(Sense, DescriptorFormatHasEightBytesWithoutDescriptors) {
    EXPECT_EQ(encoded(make_sense(sense::invalid_command_operation_code), SenseFormat::descriptor),
              "72 05 20 00 00 00 00 00");
}

TEST(Sense, FieldPointerNamesByteAndBit) {
    const SenseData in_cdb = invalid_field_in_cdb(1, 4);
    EXPECT_EQ(encoded(in_cdb, SenseFormat::fixed),
              "70 00 05 00 00 00 00 0a 00 00 00 00 24 00 00 cc 00 01");
    EXPECT_EQ(encoded(in_cdb, SenseFormat::descriptor),
              "72 05 24 00 00 00 00 08 02 06 00 00 cc 00 01 00");
    const SenseData in_list = invalid_field_in_parameter_list(0x0123);
    EXPECT_EQ(encoded(in_list, SenseFormat::fixed),
              "70 00 05 00 00 00 00 0a 00 00 00 00 26 00 00 80 01 23");
}

TEST(Sense, InformationAbove32BitsLeavesValidZeroInFixedFormat) {
    SenseData error = make_sense_at(sense::unrecovered_read_error, 0xFFFFFFFF);
    EXPECT_EQ(encoded(error, SenseFormat::fixed),
              "f0 00 03 ff ff ff ff 0a 00 00 00 00 11 00 00 00 00 00");
    error.information = 0x100000000;
    EXPECT_EQ(encoded(error, SenseFormat::fixed),
              "70 00 03 00 00 00 00 0a 00 00 00 00 11 00 00 00 00 00");
    EXPECT_EQ(encoded(error, SenseFormat::descriptor),
              "72 03 11 00 00 00 00 0c 00 0a 80 00 00 00 00 01 00 00 00 00");
}

TEST(Sense, CommandSpecificInformationProgressAndDeferred) {
    SenseData data = make_sense(sense::format_in_progress);
    data.progress = 0x8000;
    data.command_specific_information = 0x11223344;
    data.deferred = true;
    EXPECT_EQ(encoded(data, SenseFormat::fixed),
              "71 00 02 00 00 00 00 0a 11 22 33 44 04 04 00 80 80 00");
    EXPECT_EQ(
        encoded(data, SenseFormat::descriptor),
        "73 02 04 04 00 00 00 14 01 0a 00 00 00 00 00 00 11 22 33 44 02 06 00 00 80 80 00 00");
}

TEST(Sense, NeverWritesMoreThanTheRoomGiven) {
    SenseData data = invalid_field_in_cdb(1, 4);
    data.information = 5;
    data.command_specific_information = 6;
    for (const SenseFormat format : {SenseFormat::fixed, SenseFormat::descriptor}) {
        const std::string whole = encoded(data, format);
        for (std::size_t room = 0; room < 40; ++room) {
            const std::string part = encoded(data, format, room);
            EXPECT_EQ(part, whole.substr(0, part.size()));
            EXPECT_LE(part.size(), room * 3);
        }
    }
}

TEST(UnitAttention, HasTheCodesOfTheStandard) {
    const auto code = [](UnitAttention attention) {
        return testing::describe(sense_of(attention));
    };
    EXPECT_EQ(code(UnitAttention::power_on_reset_or_bus_device_reset), "6/29/00");
    EXPECT_EQ(code(UnitAttention::power_on), "6/29/01");
    EXPECT_EQ(code(UnitAttention::scsi_bus_reset), "6/29/02");
    EXPECT_EQ(code(UnitAttention::bus_device_reset_function), "6/29/03");
    EXPECT_EQ(code(UnitAttention::device_internal_reset), "6/29/04");
    EXPECT_EQ(code(UnitAttention::i_t_nexus_loss), "6/29/07");
    EXPECT_EQ(code(UnitAttention::not_ready_to_ready_change), "6/28/00");
    EXPECT_EQ(code(UnitAttention::mode_parameters_changed), "6/2a/01");
    EXPECT_EQ(code(UnitAttention::reservations_preempted), "6/2a/03");
    EXPECT_EQ(code(UnitAttention::reservations_released), "6/2a/04");
    EXPECT_EQ(code(UnitAttention::registrations_preempted), "6/2a/05");
    EXPECT_EQ(code(UnitAttention::asymmetric_access_state_changed), "6/2a/06");
    EXPECT_EQ(code(UnitAttention::implicit_access_state_transition_failed), "6/2a/07");
    EXPECT_EQ(code(UnitAttention::capacity_data_changed), "6/2a/09");
    EXPECT_EQ(code(UnitAttention::previous_reservation_conflict_status), "6/2c/09");
    EXPECT_EQ(code(UnitAttention::commands_cleared_by_another_initiator), "6/2f/00");
    EXPECT_EQ(code(UnitAttention::thin_provisioning_soft_threshold_reached), "6/38/07");
    EXPECT_EQ(code(UnitAttention::microcode_changed), "6/3f/01");
    EXPECT_EQ(code(UnitAttention::inquiry_data_changed), "6/3f/03");
    EXPECT_EQ(code(UnitAttention::reported_luns_data_changed), "6/3f/0e");
}

TEST(UnitAttention, EachIsDifferentAndResetsComeFirst) {
    std::set<std::pair<int, int>> codes;
    for (std::uint8_t i = 0; i < static_cast<std::uint8_t>(UnitAttention::count); ++i) {
        const UnitAttentionRow& row = row_of(static_cast<UnitAttention>(i));
        EXPECT_TRUE(codes.insert({row.additional.code, row.additional.qualifier}).second)
            << row.name;
        EXPECT_EQ(row.clears_others(), row.additional.code == 0x29) << row.name;
    }
}

}  // namespace
}  // namespace olio::scsi
