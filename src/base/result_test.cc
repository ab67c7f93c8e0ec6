#include "base/result.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "base/assert.h"
#include "base/log.h"

namespace olio {
namespace {

Result<int> half(int number) {
    if (number % 2 != 0)
        return fail(EINVAL, "odd");
    return number / 2;
}

Result<std::string> quarter(int number) {
    OLIO_TRY(half(number));
    OLIO_TRY(half(number / 2));
    return std::to_string(number / 4);
}

TEST(Result, TryHandsAnErrorOnAndGoesOnWithoutOne) {
    EXPECT_EQ(quarter(8).value(), "2");
    const auto failed = quarter(6);
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code, EINVAL);
    EXPECT_EQ(failed.error().message, "odd");
}

TEST(Result, ASystemErrorNamesWhatFailedAndWhy) {
    const Result<int> failed = fail_errno(ENOENT, "cannot open 'x'");
    EXPECT_EQ(failed.error().code, ENOENT);
    EXPECT_EQ(failed.error().message, "cannot open 'x': No such file or directory");
}

TEST(AssertDeathTest, PrintsItsMessageAndAborts) {
    EXPECT_DEATH(OLIO_ASSERT(1 == 2, "numbers differ"),
                 "assertion failed: numbers differ .1 == 2.");
    OLIO_ASSERT(true, "not printed");
}

TEST(Log, WritesWhatIsAtLeastAsSevereAsTheLevel) {
    ::testing::internal::CaptureStderr();
    log::set_level(log::Level::warning);
    log::info("quiet {}", 1);
    log::warning("loud {}", 2);
    log::set_level(log::Level::off);
    log::error("silenced {}", 3);
    log::set_level(log::Level::info);
    const std::string text = ::testing::internal::GetCapturedStderr();
    EXPECT_EQ(text.find("quiet"), std::string::npos);
    EXPECT_NE(text.find("loud 2"), std::string::npos);
    EXPECT_EQ(text.find("silenced"), std::string::npos);
}

}  // namespace
}  // namespace olio
