#include "scsi/scattered.h"

#include <gtest/gtest.h>

#include "scsi/provisioning.h"
#include "scsi/request_testing.h"

namespace olio::scsi {
namespace {

using testing::Asked;
using testing::describe;
using testing::hex;
using testing::to_hex;

TEST(WriteScattered, FieldsOfBothForms) {
    const Asked unit;
    const auto decoded = [&](std::string_view text) {
        return unit.try_handle(text, decode_scattered);
    };
    const auto one = decoded("9f 12 08 00 00 01 00 00 00 0f 00 00 00 20 00 00");
    ASSERT_TRUE(one);
    EXPECT_EQ(one->offset_blocks, 1U);
    EXPECT_EQ(one->ranges, 15U);
    EXPECT_EQ(one->blocks, 32U);
    EXPECT_TRUE(one->force_unit_access);
    const auto two = decoded(
        "7f 00 00 00 00 00 00 18 00 11 00 00 00 02 00 00 00 03 00 00 00 00 00 00 00 00 00 00 "
        "00 00 00 07");
    ASSERT_TRUE(two);
    EXPECT_EQ(two->transfer_blocks(), 9U);
    EXPECT_EQ(two->ranges, 3U);
    EXPECT_EQ(describe(decoded("9f 12 00 00 00 01 00 00 00 10 00 00 00 20 00 00")),
              "5/24/00 cdb 4");
    EXPECT_EQ(describe(decoded("9f 12 00 00 00 01 00 00 00 01 ff ff ff ff 00 00")),
              "5/24/00 cdb 10");
    EXPECT_EQ(decoded("9f 12 00 00 00 00 00 00 00 00 00 00 00 00 00 00")->transfer_blocks(), 0U);
}

TEST(WriteScattered, EveryDescriptorIsChecked) {
    const Asked unit;
    const auto cdb = hex("9f 12 00 00 00 01 00 00 00 02 00 00 00 05 00 00");
    const auto row = find_row(cdb);
    const Request request{**row, cdb, decode(**row, cdb), &unit.state, unit.nexus};
    const auto fields = decode_scattered(request);
    std::vector<std::uint8_t> data(6 * 512);
    const auto set = [&](std::size_t number, std::uint64_t lba, std::uint32_t blocks) {
        store_be<std::uint64_t>(data.data() + 32 + number * 32, lba);
        store_be<std::uint32_t>(data.data() + 40 + number * 32, blocks);
    };
    set(0, 0x100, 2);
    set(1, 0x10, 3);
    const auto hull = check_scattered_list(data, *fields, request);
    ASSERT_TRUE(hull);
    EXPECT_EQ(*hull, (BlockRange{0x10, 0xF2}));
    EXPECT_EQ(scattered_range(data, 1), (BlockRange{0x10, 3}));
    set(1, 0x10, 4);
    EXPECT_EQ(describe(check_scattered_list(data, *fields, request)), "5/26/00 list 72");
    set(1, 0xFFFF, 2);
    EXPECT_EQ(describe(check_scattered_list(data, *fields, request)), "5/21/00 info 0x10000");
    set(1, ~std::uint64_t{0}, 2);
    EXPECT_EQ(describe(check_scattered_list(data, *fields, request)),
              "5/21/00 info 0xffffffffffffffff");
    set(0, 7, 0);
    set(1, 9, 0);
    EXPECT_EQ(*check_scattered_list(data, *fields, request), BlockRange{});
}

TEST(Provisioning, ThresholdsWarnOnceUntilThereIsRoomAgain) {
    Asked unit;
    LogicalUnitState& state = unit.state;
    const std::uint8_t exponent = threshold_exponent(state.geometry);
    EXPECT_EQ(exponent, 11);
    EXPECT_FALSE(note_resources(state, 0, 0));
    state.mode_pages.available_threshold_enabled = true;
    state.mode_pages.available_threshold = 3;
    EXPECT_FALSE(note_resources(state, 4 << exponent, 0));
    EXPECT_TRUE(note_resources(state, 3 << exponent, 0));
    EXPECT_FALSE(note_resources(state, 2 << exponent, 0));
    EXPECT_FALSE(note_resources(state, 9 << exponent, 0));
    EXPECT_TRUE(note_resources(state, 1, 0));
    state.mode_pages.used_threshold_enabled = true;
    state.mode_pages.used_threshold = 5;
    EXPECT_FALSE(note_resources(state, 1, (5 << exponent) - 1));
    EXPECT_TRUE(note_resources(state, 1, 5 << exponent));
}

TEST(Provisioning, SetsAreCountedIn32Bits) {
    Geometry geometry;
    geometry.blocks = ~std::uint64_t{0} >> 1;
    EXPECT_EQ(threshold_exponent(geometry), 31);
    EXPECT_LT(geometry.blocks >> threshold_exponent(geometry), std::uint64_t{1} << 32);
    geometry = {.blocks = 1, .block_bytes = 4096};
    EXPECT_EQ(threshold_exponent(geometry), 8);
}

TEST(Provisioning, ResourcesAsLogParameters) {
    Asked unit;
    unit.state.provisioning.available_blocks = 7 << 11;
    unit.state.provisioning.used_blocks = (2 << 11) + 5;
    unit.state.provisioning.shared_resources = true;
    std::array<std::uint8_t, 16> room{};
    Builder into(room);
    put_resource(unit.state, MappingResource::available, into);
    put_resource(unit.state, MappingResource::used, into);
    EXPECT_EQ(to_hex(into.written()), "00 00 00 07 02 00 00 00 00 00 00 02 01 00 00 00");
}

}  // namespace
}  // namespace olio::scsi
