#include "olio/serve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "olio/serve_report.h"

namespace olio::cli {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST(Serve, hands_options_to_the_daemon_but_never_secrets) {
    ServeOptions options;
    options.disks = {"-odd.img", "ram:1G"};
    options.size = "2G";
    options.direct = true;
    options.chap = "user:hidden";
    options.mutual_chap = "disk:concealed";
    options.listen = {"0.0.0.0"};
    const auto arguments = daemon_arguments(options, "/run/c");
    EXPECT_THAT(arguments,
                ElementsAre("--disk=-odd.img", "--disk=ram:1G", "--disk-defaults=size=2G,direct",
                            "--listen=0.0.0.0", "--log-level=warning", "--control=/run/c"));
}

Json a_status() {
    return {{"pid", 1},
            {"version", "0"},
            {"control", "/run/c"},
            {"reactor", "epoll"},
            {"target",
             {{"name", "iqn.x:t"},
              {"portals", {"127.0.0.1:3260"}},
              {"chap_user", nullptr},
              {"mutual_chap_user", nullptr},
              {"allowed_initiators", Json::array()}}}};
}

Json two_luns() {
    return {{{"lun", 0},
             {"kind", "fileio"},
             {"path", "/srv/a.img"},
             {"size_bytes", 1 << 30},
             {"block_bytes", 512},
             {"write_protected", true}},
            {{"lun", 1},
             {"kind", "ramdisk"},
             {"path", nullptr},
             {"size_bytes", 64 << 20},
             {"block_bytes", 4096},
             {"write_protected", false}}};
}

TEST(Serve, the_banner_shows_all_that_is_needed_to_connect) {
    const std::string text = banner(a_status(), two_luns());
    for (const char* part :
         {"Serving iqn.x:t", "127.0.0.1:3260", "0  fileio    1 GiB    512  /srv/a.img (read-only)",
          "1  ramdisk  64 MiB   4096  (in memory", "iscsiadm -m discovery", "--login", "lsblk",
          "iscsi://127.0.0.1:3260/iqn.x:t/0", "iscsi://127.0.0.1:3260/iqn.x:t/1",
          "Only this machine", "olio status --control /run/c"})
        EXPECT_THAT(text, HasSubstr(part));
    EXPECT_THAT(text, Not(HasSubstr("SECRET")));
}

TEST(Serve, json_has_urls_and_commands) {
    const Json json = serving_json(a_status(), two_luns());
    EXPECT_EQ(json["event"], "serving");
    EXPECT_EQ(json["luns"][1]["url"], "iscsi://127.0.0.1:3260/iqn.x:t/1");
    EXPECT_EQ(json["initiator_commands"].size(), 3U);
}

TEST(Serve, the_status_line_counts_and_measures) {
    EXPECT_EQ(
        status_line(
            1, {.read_bytes = 1.5e6, .read_commands = 3000, .write_bytes = 0, .write_commands = 0}),
        "1 session | read 1.5 MB/s 3.0k IOPS | write 0.0 MB/s 0 IOPS");
    EXPECT_THAT(status_line(0, {}), HasSubstr("0 sessions"));
}

}  // namespace
}  // namespace olio::cli
