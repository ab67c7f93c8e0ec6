#include "olio/text.h"

#include <gtest/gtest.h>

namespace olio::cli {
namespace {

TEST(Text, tables_line_up_and_have_no_trailing_blanks) {
    EXPECT_EQ(
        table({{"LUN", "SIZE", "DISK"}, {"0", "1 GiB", "/a"}, {"10", "512 B", ""}}, {0, 1}, 1),
        " LUN   SIZE  DISK\n"
        "   0  1 GiB  /a\n"
        "  10  512 B\n");
}

TEST(Text, quotes_only_what_a_shell_would_change) {
    EXPECT_EQ(shell_quoted("iqn.2024-08.internal.olio:host"), "iqn.2024-08.internal.olio:host");
    EXPECT_EQ(shell_quoted("/tmp/a b"), "'/tmp/a b'");
    EXPECT_EQ(shell_quoted("it's"), "'it'\\''s'");
    EXPECT_EQ(shell_quoted("$(x)"), "'$(x)'");
    EXPECT_EQ(shell_quoted(""), "''");
}

TEST(Text, terminal_escapes_of_a_host_do_not_reach_the_terminal) {
    EXPECT_EQ(printable("iqn\033[2J\n\x7f"), "iqn?[2J??");
}

TEST(Text, numbers_stay_short) {
    EXPECT_EQ(short_number(0), "0");
    EXPECT_EQ(short_number(999.4), "999");
    EXPECT_EQ(short_number(999.6), "1.0k");
    EXPECT_EQ(short_number(12'345), "12.3k");
    EXPECT_EQ(short_number(999'999), "1.0M");
    EXPECT_EQ(rate_text(12'345'678), "12.3 MB/s");
    EXPECT_EQ(duration_text(59), "00:00:59");
    EXPECT_EQ(duration_text(2 * 86400 + 3661), "2 d 01:01:01");
}

}  // namespace
}  // namespace olio::cli
