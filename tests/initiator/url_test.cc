#include <gtest/gtest.h>

#include "initiator/chap.h"
#include "initiator/socket_transport.h"

namespace olio::initiator {
namespace {

TEST(Url, NamesHostPortTargetAndLun) {
    const auto url = Url::parse("iscsi://me%word@127.0.0.1:3261/iqn.2026-01.test:disk/7");
    ASSERT_TRUE(url);
    EXPECT_EQ(url->user, "me");
    EXPECT_EQ(url->password, "word");
    EXPECT_EQ(url->host, "127.0.0.1");
    EXPECT_EQ(url->port, "3261");
    EXPECT_EQ(url->target, "iqn.2026-01.test:disk");
    EXPECT_EQ(url->lun, 7U);
}

TEST(Url, TakesIpv6AndTheDefaultPort) {
    const auto url = Url::parse("iscsi://[::1]/iqn.2026-01.test:disk/0");
    ASSERT_TRUE(url);
    EXPECT_EQ(url->host, "::1");
    EXPECT_EQ(url->port, "3260");
}

TEST(Url, RefusesWhatItCannotRead) {
    EXPECT_FALSE(Url::parse("http://127.0.0.1/"));
    EXPECT_FALSE(Url::parse("iscsi://"));
    EXPECT_FALSE(Url::parse("iscsi://[::1/iqn/0"));
    EXPECT_FALSE(Url::parse("iscsi://a/iqn/x"));
    EXPECT_FALSE(Url::parse("iscsi://a/iqn/16384"));
}

// RFC 1994's function with known answers, computed with another implementation.
TEST(Chap, AnswersAsTheRfcSays) {
    const std::string challenge = *decode_binary("0x000102030405060708090a0b0c0d0e0f");
    EXPECT_EQ(encode_hex(chap_response("5", 42, "secret-of-12", challenge)),
              "0x479ff0281a36a84b4c91706547cb2667");
    EXPECT_EQ(encode_hex(chap_response("6", 42, "secret-of-12", challenge)),
              "0x14208ee4fcd5bdb43278a34e174347be6a624ad6");
    EXPECT_EQ(encode_hex(chap_response("7", 42, "secret-of-12", challenge)),
              "0x2fd87d5eacba631a1c1c10f0dcefb8024713e336f8aabb55baa9491dff56cc79");
    EXPECT_EQ(encode_hex(chap_response("8", 42, "secret-of-12", challenge)),
              "0x9cae23007a7de74f5c23dff260d2729a93334ca96133cda51f00036fe5d0fa83");
    EXPECT_EQ(chap_response("9", 42, "secret-of-12", challenge), "");
}

TEST(Chap, ReadsHexadecimalAndBase64) {
    EXPECT_EQ(decode_binary("0x4f6C696f"), "Olio");
    EXPECT_EQ(decode_binary("0X14f"), "\x01\x4f");
    EXPECT_EQ(decode_binary("0bT2xpbw=="), "Olio");
    EXPECT_FALSE(decode_binary("T2xpbw=="));
    EXPECT_FALSE(decode_binary("0xzz"));
}

}  // namespace
}  // namespace olio::initiator
