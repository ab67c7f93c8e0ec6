#include "base/former_owner.h"

#include <gtest/gtest.h>

#include "base/log.h"

namespace olio {
namespace {

class FormerOwnerTest : public ::testing::Test {
  protected:
    FormerOwnerTest() { log::set_level(log::Level::off); }
    ~FormerOwnerTest() override { log::set_level(log::Level::info); }
    int attempts_ = 0;
};

TEST_F(FormerOwnerTest, WhatIsFreeIsTakenAtTheFirstAttempt) {
    EXPECT_TRUE(outwait_former_owner("held", [&] { return ++attempts_ == 1; }));
    EXPECT_EQ(attempts_, 1);
}

TEST_F(FormerOwnerTest, WhatBecomesFreeIsTakenThen) {
    EXPECT_TRUE(outwait_former_owner("held", [&] { return ++attempts_ == 4; }));
    EXPECT_EQ(attempts_, 4);
}

TEST_F(FormerOwnerTest, WhatStaysHeldIsGivenUp) {
    EXPECT_FALSE(outwait_former_owner("held", [&] { return ++attempts_ == 1'000'000; }));
    EXPECT_GT(attempts_, 1);
}

}  // namespace
}  // namespace olio
