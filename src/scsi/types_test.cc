#include "scsi/types.h"

#include <gtest/gtest.h>

namespace olio::scsi {
namespace {

Lun lun(std::uint8_t first, std::uint8_t second, std::uint8_t third = 0, std::uint8_t last = 0) {
    return Lun{{first, second, third, 0, 0, 0, 0, last}};
}

TEST(Lun, UsesPeripheralAddressingBelow256AndFlatSpaceAbove) {
    EXPECT_EQ(Lun::from_number(0), lun(0x00, 0x00));
    EXPECT_EQ(Lun::from_number(255), lun(0x00, 0xFF));
    EXPECT_EQ(Lun::from_number(256), lun(0x41, 0x00));
    EXPECT_EQ(Lun::from_number(16383), lun(0x7F, 0xFF));
}

TEST(Lun, EveryNumberComesBack) {
    for (std::uint32_t number = 0; number < 16384; ++number)
        ASSERT_EQ(Lun::from_number(number).number(), number);
}

TEST(Lun, IsKnownInEitherAddressingMethod) {
    EXPECT_EQ(lun(0x40, 0x05).number(), 5U);
    EXPECT_EQ(lun(0x00, 0x05).number(), 5U);
}

TEST(Lun, OtherMethodsAndDeeperLevelsAreNoNumber) {
    EXPECT_EQ(lun(0x01, 0x05).number(), Lun::no_number);  // bus identifier
    EXPECT_EQ(lun(0x80, 0x05).number(), Lun::no_number);  // logical unit addressing
    EXPECT_EQ(lun(0xC1, 0x01).number(), Lun::no_number);  // well known logical unit
    EXPECT_EQ(lun(0x00, 0x05, 1).number(), Lun::no_number);
    EXPECT_EQ(lun(0x00, 0x05, 0, 1).number(), Lun::no_number);
}

}  // namespace
}  // namespace olio::scsi
