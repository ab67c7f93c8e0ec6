#include "oliod/access_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>

#include "reactor/shard.h"

#include "oliod/control_access_states.h"

namespace olio::oliod {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::string fault(const AccessPolicy& policy, std::vector<std::string> portals) {
    std::vector<reactor::Endpoint> listen;
    for (const std::string& portal : portals)
        listen.push_back(*parse_portal(portal));
    const auto checked = check_policy(policy, listen);
    return checked ? "" : checked.error().message;
}

TEST(AccessPolicy, loopback_needs_no_rule) {
    EXPECT_EQ(fault({}, {"127.0.0.1", "127.1.2.3:1", "[::1]:3260"}), "");
}

TEST(AccessPolicy, any_other_address_needs_one) {
    for (const char* portal : {"0.0.0.0", "192.0.2.1:3260", "[::]:3260", "2001:db8::1"}) {
        EXPECT_THAT(fault({}, {"127.0.0.1", portal}), HasSubstr("--open")) << portal;
        EXPECT_EQ(
            fault({.chap = Credentials{"u", "s"}, .mutual_chap = {}, .allowed = {}}, {portal}), "");
        EXPECT_EQ(fault({.chap = {}, .mutual_chap = {}, .allowed = {"iqn.x"}}, {portal}), "");
        EXPECT_EQ(fault({.chap = {}, .mutual_chap = {}, .allowed = {}, .open = true}, {portal}),
                  "");
    }
}

TEST(AccessPolicy, contradictions_are_refused) {
    const Credentials one{"u", "secret-of-one-side"};
    const Credentials two{"t", "secret-of-the-other"};
    EXPECT_EQ(fault({.chap = one, .mutual_chap = two, .allowed = {}}, {"0.0.0.0"}), "");
    EXPECT_THAT(fault({.chap = {}, .mutual_chap = two, .allowed = {}}, {"127.0.0.1"}),
                HasSubstr("add --chap"));
    EXPECT_THAT(fault({.chap = one, .mutual_chap = Credentials{"t", one.secret}, .allowed = {}},
                      {"127.0.0.1"}),
                HasSubstr("must differ"));
    EXPECT_THAT(fault({.chap = one, .mutual_chap = {}, .allowed = {}, .open = true}, {"127.0.0.1"}),
                HasSubstr("contradicts"));
}

TEST(AccessPolicy, reads_credentials_and_never_repeats_the_secret) {
    const auto good = parse_credentials("user:se:cret", "--chap");
    ASSERT_TRUE(good);
    EXPECT_EQ(good->user, "user");
    EXPECT_EQ(good->secret, "se:cret");
    for (const std::string bad : {"hidden", ":hidden", "hidden:", "u:hid\nden", ""}) {
        const auto refused = parse_credentials(bad, "--chap");
        ASSERT_FALSE(refused);
        EXPECT_THAT(refused.error().message, Not(HasSubstr("hid")));
    }
    EXPECT_FALSE(parse_credentials("u:" + std::string(256, 'x'), "--chap"));
}

TEST(AccessPolicy, reads_credentials_only_from_a_private_file) {
    char path[] = "/tmp/olio-chap-XXXXXX";
    const int file = ::mkstemp(path);
    ASSERT_GE(file, 0);
    ::close(file);
    std::ofstream(path) << "# comment\n\nuser:secret of twelve\nother:line\n";
    const auto good = read_credentials(path);
    ASSERT_TRUE(good) << good.error().message;
    EXPECT_EQ(good->secret, "secret of twelve");
    ::chmod(path, 0640);
    const auto exposed = read_credentials(path);
    ASSERT_FALSE(exposed);
    EXPECT_EQ(exposed.error().code, EPERM);
    EXPECT_THAT(exposed.error().message, HasSubstr("chmod 600"));
    ::unlink(path);
    EXPECT_FALSE(read_credentials(path));
    EXPECT_FALSE(read_credentials("/dev/zero"));
}

TEST(AccessPolicy, completes_portals_with_the_port_of_iscsi) {
    EXPECT_EQ(parse_portal("127.0.0.1")->text(), "127.0.0.1:3260");
    EXPECT_EQ(parse_portal("127.0.0.1:0")->text(), "127.0.0.1:0");
    EXPECT_EQ(parse_portal("::1")->text(), "[::1]:3260");
    EXPECT_EQ(parse_portal("[::1]")->text(), "[::1]:3260");
    EXPECT_EQ(parse_portal("[::1]:99")->text(), "[::1]:99");
    for (const char* bad : {"", "localhost", "1.2.3.4:", "1.2.3.4:65536", "[::1", "1.2.3"})
        EXPECT_FALSE(parse_portal(bad)) << bad;
}

TEST(AccessPolicy, an_address_may_belong_to_a_portal_group) {
    EXPECT_EQ(parse_listen("192.0.2.1")->group, 1);
    EXPECT_EQ(parse_listen("192.0.2.1:3261,group=2")->group, 2);
    EXPECT_EQ(parse_listen("192.0.2.1:3261,group=2")->endpoint.text(), "192.0.2.1:3261");
    EXPECT_EQ(parse_listen("[2001:db8::1]:3260,group=65535")->group, 65535);
    for (const char* bad :
         {"192.0.2.1,", "192.0.2.1,group=", "192.0.2.1,group=0", "192.0.2.1,group=65536",
          "192.0.2.1,group=2x", "192.0.2.1,tag=2", ",group=2"})
        EXPECT_FALSE(parse_listen(bad)) << bad;
}

TEST(AccessStateMethods, disks_begin_in_one_default_group_or_in_a_group_for_each_portal_group) {
    const std::uint16_t one[]{7};
    const scsi::AccessStateTable single = initial_access(one);
    ASSERT_EQ(single.groups.size(), 1U);
    EXPECT_EQ(single.groups[0].id, 0);
    EXPECT_EQ(single.groups[0].name, "default_tg_pt_gp");
    EXPECT_EQ(single.group_of(7), &single.groups[0]);
    const std::uint16_t two[]{1, 300};
    const scsi::AccessStateTable both = initial_access(two);
    ASSERT_EQ(both.groups.size(), 2U);
    EXPECT_EQ(both.group_of(1)->id, 1);
    EXPECT_EQ(both.group_of(300)->id, 300);
    EXPECT_EQ(both.group_of(300)->name, "tpgt_300");
}

TEST(AccessPolicy, default_target_name_is_stable_and_legal) {
    const std::string name = default_target_name("My_Host", "0123", 3260, 1);
    EXPECT_EQ(name, default_target_name("My_Host", "0123", 3260, 2));
    EXPECT_THAT(name, StartsWith("iqn.2024-08.internal.olio:my-host."));
    EXPECT_NE(name, default_target_name("My_Host", "0124", 3260, 1));
    EXPECT_EQ(name + ".3261", default_target_name("My_Host", "0123", 3261, 1));
    EXPECT_EQ(name + ".p7", default_target_name("My_Host", "0123", 0, 7));
    EXPECT_THAT(default_target_name("", "", 3260, 1), HasSubstr(":localhost."));
    EXPECT_LE(default_target_name(std::string(400, 'x'), "0", 1, 1).size(), 223U);
}

}  // namespace
}  // namespace olio::oliod
