#include <gtest/gtest.h>

#include <string>

#include "reactor/shard.h"

namespace olio::reactor {
namespace {

TEST(Endpoint, WritesWhatItReads) {
    for (const char* text : {"127.0.0.1:3260", "0.0.0.0:0", "[::1]:3260", "[::]:65535",
                             "[fe80::1%lo]:860", "192.0.2.7:1"}) {
        const auto endpoint = Endpoint::parse(text);
        ASSERT_TRUE(endpoint) << endpoint.error().message;
        EXPECT_EQ(endpoint->text(), text);
    }
}

TEST(Endpoint, RefusesWhatIsNoAddressAndSaysWhatToWrite) {
    for (const std::string text :
         {"", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:80x",
          "::1:3260", "[::1]", "[::1]3260", "[::1", "[127.0.0.1]:1", "localhost:3260", "1.2.3:4",
          "[::1%no-such-interface]:1", "[::1%]:1", " 127.0.0.1:1", "127.0.0.1 :1"}) {
        const auto endpoint = Endpoint::parse(text);
        ASSERT_FALSE(endpoint) << text;
        EXPECT_NE(endpoint.error().message.find("ADDRESS:PORT"), std::string::npos);
    }
}

TEST(Endpoint, KnowsItsParts) {
    const auto four = Endpoint::parse("127.3.2.1:860").value();
    EXPECT_EQ(four.host(), "127.3.2.1");
    EXPECT_EQ(four.port(), 860);
    EXPECT_TRUE(four.loopback());
    EXPECT_FALSE(four.wildcard());
    EXPECT_TRUE(Endpoint::parse("[::1]:1")->loopback());
    EXPECT_TRUE(Endpoint::parse("[::ffff:127.0.0.1]:1")->loopback());
    EXPECT_FALSE(Endpoint::parse("[::ffff:10.0.0.1]:1")->loopback());
    EXPECT_FALSE(Endpoint::parse("128.0.0.1:1")->loopback());
    EXPECT_TRUE(Endpoint::parse("0.0.0.0:1")->wildcard());
    EXPECT_TRUE(Endpoint::parse("[::]:1")->wildcard());
    EXPECT_FALSE(Endpoint::parse("[::]:1")->loopback());
    EXPECT_EQ(Endpoint::parse("[2001:db8::5]:1")->host(), "2001:db8::5");
}

TEST(Endpoint, AnEmptyOneDoesNoHarm) {
    const Endpoint none;
    EXPECT_EQ(none.port(), 0);
    EXPECT_FALSE(none.loopback());
    EXPECT_FALSE(none.wildcard());
    EXPECT_EQ(none.host(), "?");
}

TEST(Random, TheSameSeedGivesTheSameNumbersAndBelowStaysBelow) {
    Random a(7);
    Random b(7);
    Random other(8);
    bool differs = false;
    for (int i = 0; i < 1000; ++i) {
        const std::uint64_t number = a.next();
        EXPECT_EQ(number, b.next());
        differs |= number != other.next();
    }
    EXPECT_TRUE(differs);
    unsigned counts[3]{};
    for (int i = 0; i < 3000; ++i)
        ++counts[a.below(3)];
    for (const unsigned count : counts)
        EXPECT_GT(count, 800U);
    EXPECT_EQ(a.below(1), 0U);
    EXPECT_LT(a.below((std::uint64_t{1} << 63) + 1), (std::uint64_t{1} << 63) + 1);
}

}  // namespace
}  // namespace olio::reactor
