#include "scsi/streams.h"

#include <gtest/gtest.h>

#include "scsi/request_testing.h"

namespace olio::scsi {
namespace {

using testing::Asked;
using testing::describe;
using testing::hex;

TEST(Streams, OpenAndCloseAndNoMoreThanThereAre) {
    Streams streams;
    const StreamControlFields open{.control = StreamControl::open};
    for (std::uint16_t stream = 1; stream <= Streams::maximum; ++stream)
        EXPECT_EQ(control_stream(open, streams), stream);
    EXPECT_EQ(describe(control_stream(open, streams)), "5/55/10");
    EXPECT_EQ(control_stream({StreamControl::close, 3}, streams), 3);
    EXPECT_FALSE(streams.is_open(3));
    EXPECT_EQ(describe(control_stream({StreamControl::close, 3}, streams)), "5/2c/0f");
    EXPECT_EQ(describe(control_stream({StreamControl::close, 0}, streams)), "5/2c/0f");
    EXPECT_EQ(describe(control_stream({StreamControl::close, 0xFFFF}, streams)), "5/2c/0f");
    EXPECT_EQ(control_stream(open, streams), 3);
}

TEST(Streams, ControlIsChecked) {
    EXPECT_EQ(
        describe(decode_stream_control(hex("9e 14 00 00 00 00 00 00 00 00 00 00 00 08 00 00"))),
        "5/24/00 cdb 1.6");
    EXPECT_EQ(
        describe(decode_stream_control(hex("9e 34 00 00 00 01 00 00 00 00 00 00 00 08 00 00"))),
        "5/24/00 cdb 4");
    const auto close =
        decode_stream_control(hex("9e 54 00 00 01 02 00 00 00 00 00 00 00 08 00 00"));
    ASSERT_TRUE(close);
    EXPECT_EQ(close->control, StreamControl::close);
    EXPECT_EQ(close->stream, 0x0102);
}

TEST(Streams, StatusListsThemFromTheStartOn) {
    Asked unit;
    unit.state.streams.open = 1U << 1 | 1U << 5 | 1U << 16;
    EXPECT_EQ(unit.asked("9e 16 00 00 00 00 00 00 00 00 00 00 00 ff 00 00"),
              "00 00 00 1c 00 00 00 03 00 00 00 01 00 00 00 00 00 00 00 05 00 00 00 00 "
              "00 00 00 10 00 00 00 00");
    EXPECT_EQ(unit.asked("9e 16 00 00 00 06 00 00 00 00 00 00 00 ff 00 00"),
              "00 00 00 0c 00 00 00 03 00 00 00 10 00 00 00 00");
    EXPECT_EQ(unit.asked("9e 16 00 00 00 00 00 00 00 00 00 00 00 04 00 00"), "00 00 00 1c");
}

}  // namespace
}  // namespace olio::scsi
