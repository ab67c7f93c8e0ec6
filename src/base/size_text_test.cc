#include "base/size_text.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace olio {
namespace {

TEST(SizeText, reads_bytes_and_binary_suffixes) {
    EXPECT_EQ(*parse_size("512"), 512U);
    EXPECT_EQ(*parse_size("4096B"), 4096U);
    EXPECT_EQ(*parse_size("64K"), 64U << 10);
    EXPECT_EQ(*parse_size("64k"), 64U << 10);
    EXPECT_EQ(*parse_size("3M"), 3U << 20);
    EXPECT_EQ(*parse_size("1G"), 1ULL << 30);
    EXPECT_EQ(*parse_size("1GiB"), 1ULL << 30);
    EXPECT_EQ(*parse_size("2T"), 2ULL << 40);
    EXPECT_EQ(*parse_size("8388607T"), 8388607ULL << 40);
}

TEST(SizeText, refuses_what_is_no_size) {
    for (const char* text : {"", "G", "-1", "+1", " 1", "1 G", "1X", "1GB", "1.5G", "0x10", "1G ",
                             "0", "0G", "1KK", "1Gi1"}) {
        const auto size = parse_size(text);
        ASSERT_FALSE(size) << text;
        EXPECT_EQ(size.error().code, EINVAL) << text;
        EXPECT_NE(size.error().message.find(text), std::string::npos);
    }
}

TEST(SizeText, refuses_sizes_beyond_any_file) {
    for (const char* text : {"8388608T", "8192P", "9223372036854775808", "18446744073709551616",
                             "99999999999999999T"}) {
        const auto size = parse_size(text);
        ASSERT_FALSE(size) << text;
        EXPECT_EQ(size.error().code, ERANGE) << text;
    }
    EXPECT_EQ(*parse_size("9223372036854775807"), 9223372036854775807ULL);
}

TEST(SizeText, writes_whole_units_exactly_and_others_rounded_down) {
    EXPECT_EQ(format_size(0), "0 B");
    EXPECT_EQ(format_size(1023), "1023 B");
    EXPECT_EQ(format_size(1024), "1 KiB");
    EXPECT_EQ(format_size(1ULL << 30), "1 GiB");
    EXPECT_EQ(format_size(3ULL << 29), "1.5 GiB");
    EXPECT_EQ(format_size((1ULL << 30) + 512), "1.0 GiB");
    EXPECT_EQ(format_size((2ULL << 30) - 1), "1.9 GiB");
    EXPECT_EQ(format_size(~0ULL), "16383.9 PiB");
}

}  // namespace
}  // namespace olio
