#include "olio/instructions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace olio::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Instructions, three_lines_without_chap) {
    const ServedTarget target{.name = "iqn.x:t",
                              .portals = {"127.0.0.1:3260"},
                              .chap_user = "",
                              .mutual_chap_user = "",
                              .allowed_initiators = {}};
    EXPECT_THAT(initiator_commands(target),
                ElementsAre("iscsiadm -m discovery -t sendtargets -p 127.0.0.1:3260",
                            "iscsiadm -m node -T iqn.x:t -p 127.0.0.1:3260 --login",
                            HasSubstr("lsblk --scsi")));
    EXPECT_EQ(disk_url(target, 2), "iscsi://127.0.0.1:3260/iqn.x:t/2");
}

TEST(Instructions, chap_settings_come_before_the_login_and_hold_no_secret) {
    const ServedTarget target{.name = "iqn.x:t",
                              .portals = {"[::1]:99"},
                              .chap_user = "o'neill",
                              .mutual_chap_user = "disk",
                              .allowed_initiators = {}};
    const auto lines = initiator_commands(target);
    ASSERT_EQ(lines.size(), 8U);
    EXPECT_THAT(lines[1], HasSubstr("-o update -n node.session.auth.authmethod -v CHAP"));
    EXPECT_THAT(lines[2], HasSubstr(R"(username -v 'o'\''neill')"));
    EXPECT_THAT(lines[3], HasSubstr("password -v SECRET"));
    EXPECT_THAT(lines[4], HasSubstr("username_in -v disk"));
    EXPECT_THAT(lines[5], HasSubstr("password_in -v MUTUAL_SECRET"));
    EXPECT_THAT(lines[6], HasSubstr("-p [::1]:99 --login"));
    EXPECT_EQ(disk_url(target, 0),
              "iscsi://o%27neill%SECRET@[::1]:99/iqn.x:t/"
              "0?target_user=disk&target_password=MUTUAL_SECRET");
}

TEST(Instructions, a_wildcard_becomes_addresses_that_hosts_can_use) {
    const std::vector<std::string> addresses{"192.0.2.7", "2001:db8::7", "198.51.100.7"};
    EXPECT_THAT(reachable_portals({"0.0.0.0:3260"}, addresses),
                ElementsAre("192.0.2.7:3260", "198.51.100.7:3260"));
    EXPECT_THAT(reachable_portals({"[::]:3260", "10.0.0.1:1"}, addresses),
                ElementsAre("[2001:db8::7]:3260", "10.0.0.1:1"));
    EXPECT_THAT(reachable_portals({"0.0.0.0:3260", "[::]:1"}, {}),
                ElementsAre("127.0.0.1:3260", "[::1]:1"));
}

TEST(Instructions, tells_loopback_from_the_rest) {
    EXPECT_TRUE(loopback_only({"127.0.0.1:3260", "[::1]:3260"}));
    EXPECT_FALSE(loopback_only({"127.0.0.1:3260", "192.0.2.1:3260"}));
    EXPECT_FALSE(loopback_only({"0.0.0.0:3260"}));
}

}  // namespace
}  // namespace olio::cli
