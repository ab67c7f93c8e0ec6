#include "scsi/format.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>

#include "scsi/request_testing.h"

namespace olio::scsi {
namespace {

using testing::Asked;
using testing::describe;
using testing::hex;
using testing::to_hex;

std::expected<FormatFields, SenseData> format(std::string_view cdb_text, std::string_view list,
                                              bool protection = false) {
    static Asked unit;
    unit.state.protection.supported = protection;
    return unit.try_handle(
        cdb_text, [&](const Request& request) { return parse_format(request, hex(list)); });
}

std::expected<SanitizeFields, SenseData> sanitize(std::string_view cdb_text,
                                                  std::vector<std::uint8_t> list) {
    static const Asked unit;
    return unit.try_handle(cdb_text,
                           [&](const Request& request) { return parse_sanitize(request, list); });
}

TEST(FormatUnit, WithoutAListItIsZerosAndNotImmediate) {
    const auto fields = format("04 00 00 00 00 00", "");
    ASSERT_TRUE(fields);
    EXPECT_FALSE(fields->immediate);
    EXPECT_TRUE(fields->pattern.empty());
    EXPECT_TRUE(format("04 00 00 00 01 00", "")->fast);
}

TEST(FormatUnit, CdbIsChecked) {
    EXPECT_EQ(describe(format("04 80 00 00 00 00", "")), "5/24/00 cdb 1.7");  // FMTPINFO
    EXPECT_TRUE(format("04 20 00 00 00 00", "")) << "LONGLIST says nothing without a list";
    EXPECT_TRUE(format("04 08 00 00 00 00", "")) << "nor does CMPLST";
    EXPECT_EQ(describe(format("04 06 00 00 00 00", "")), "5/24/00 cdb 1.2");
    EXPECT_EQ(describe(format("04 00 00 00 02 00", "")), "5/24/00 cdb 4.1");
    EXPECT_EQ(describe(format("04 00 01 00 00 00", "")), "5/24/00 cdb 2.0");
}

// SBC-4, the table of FMTPINFO and PROTECTION FIELD USAGE: what it makes of SPT = 111b and PROTECT
// = 1, and of PROTECT = 0. A digit is a type; C: INVALID FIELD IN CDB, L: INVALID FIELD IN
// PARAMETER LIST.
TEST(FormatUnit, ProtectionTypesAreThoseOfTheStandardsTable) {
    struct Row {
        int format_protection;
        std::string_view offered;  // by PROTECTION FIELD USAGE, 000b to 111b
        std::string_view not_offered;
    };
    constexpr std::array<Row, 4> golden{{
        {0b00, "0LLLLLLL", "0LLLLLLL"},
        {0b01, "CCCCCCCC", "CCCCCCCC"},
        {0b10, "1LLLLLLL", "CCCCCCCC"},
        {0b11, "23LLLLLL", "CCCCCCCC"},
    }};
    for (const Row& row : golden)
        for (unsigned usage = 0; usage < 8; ++usage)
            for (const bool offered : {false, true})
                for (const bool long_list : {false, true}) {
                    const auto cdb =
                        fmt::format("04 {:02x} 00 00 00 00",
                                    row.format_protection << 6 | (long_list ? 0x38 : 0x18));
                    const auto list =
                        fmt::format("{:02x} 00 00 00{}", usage, long_list ? " 00 00 00 00" : "");
                    const auto fields = format(cdb, list, offered);
                    const char expected = (offered ? row.offered : row.not_offered)[usage];
                    if (expected == 'C')
                        EXPECT_EQ(describe(fields), "5/24/00 cdb 1.7") << cdb << " " << list;
                    else if (expected == 'L')
                        EXPECT_EQ(describe(fields), "5/26/00 list 0.2") << cdb << " " << list;
                    else
                        EXPECT_EQ(fields ? fields->protection_type : -1, expected - '0')
                            << cdb << " " << list;
                }
    EXPECT_EQ(describe(format("04 80 00 00 00 00", "", true)), "5/24/00 cdb 1.7") << "no list";
    EXPECT_EQ(format("04 00 00 00 00 00", "", true)->protection_type, 0);
}

TEST(FormatUnit, ShortAndLongHeaders) {
    EXPECT_TRUE(format("04 18 00 00 00 00", "00 02 00 00")->immediate);
    EXPECT_FALSE(format("04 18 00 00 00 00", "00 80 00 00")->immediate);
    EXPECT_TRUE(format("04 38 00 00 00 00", "00 82 00 00 00 00 00 00")->immediate);
    EXPECT_EQ(describe(format("04 18 00 00 00 00", "00 02 00")), "5/1a/00");
    EXPECT_EQ(describe(format("04 38 00 00 00 00", "00 02 00 00 00 00 00")), "5/1a/00");
    EXPECT_EQ(describe(format("04 18 00 00 00 00", "01 02 00 00")), "5/26/00 list 0.2");
    EXPECT_EQ(describe(format("04 18 00 00 00 00", "00 20 00 00")), "5/26/00 list 1.7");
    EXPECT_EQ(describe(format("04 38 00 00 00 00", "00 02 00 10 00 00 00 00")), "5/26/00 list 3.7");
}

TEST(FormatUnit, DefectListsMustBeEmpty) {
    EXPECT_EQ(describe(format("04 10 00 00 00 00", "00 00 00 04 00 00 00 07")), "5/26/00 list 2");
    EXPECT_EQ(describe(format("04 10 00 00 00 00", "00 00 00 04 00 00 00")), "5/1a/00");
    EXPECT_EQ(describe(format("04 30 00 00 00 00", "00 00 00 00 ff ff ff ff")), "5/1a/00");
}

TEST(FormatUnit, InitializationPattern) {
    const auto fields = format("04 10 00 00 00 00", "00 88 00 00 00 01 00 02 ab cd");
    ASSERT_TRUE(fields) << describe(fields);
    EXPECT_EQ(to_hex(fields->pattern), "ab cd");
    EXPECT_TRUE(format("04 10 00 00 00 00", "00 88 00 00 20 00 00 00")->pattern.empty());
    EXPECT_EQ(describe(format("04 10 00 00 00 00", "00 08 00 00 00 01 00 02 ab cd")),
              "5/26/00 list 1.7");
    EXPECT_EQ(describe(format("04 10 00 00 00 00", "00 88 00 00 00 01 00 02 ab")), "5/1a/00");
    EXPECT_EQ(describe(format("04 10 00 00 00 00", "00 88 00 00 00 02 00 00")), "5/26/00 list 5");
    EXPECT_EQ(describe(format("04 10 00 00 00 00", "00 88 00 00 00 01 00 00")), "5/26/00 list 6");
    EXPECT_EQ(describe(format("04 10 00 00 00 00", "00 88 00 00 00 01 02 01")), "5/26/00 list 6");
    EXPECT_EQ(describe(format("04 10 00 00 00 00", "00 88 00 00 40 00 00 00")), "5/26/00 list 4.7");
}

TEST(Sanitize, OverwriteList) {
    const auto fields = sanitize("48 a1 00 00 00 00 00 00 06 00", hex("83 00 00 02 12 34"));
    ASSERT_TRUE(fields) << describe(fields);
    EXPECT_TRUE(fields->immediate);
    EXPECT_TRUE(fields->unrestricted_exit);
    EXPECT_TRUE(fields->invert);
    EXPECT_EQ(fields->passes, 3);
    EXPECT_EQ(to_hex(fields->pattern), "12 34");
    const std::string_view cdb = "48 01 00 00 00 00 00 00 06 00";
    EXPECT_EQ(describe(sanitize(cdb, {})), "5/24/00 cdb 7");
    EXPECT_EQ(describe(sanitize(cdb, hex("01 00 00 01"))), "5/24/00 cdb 7");
    EXPECT_EQ(describe(sanitize(cdb, std::vector<std::uint8_t>(517))), "5/24/00 cdb 7");
    EXPECT_EQ(describe(sanitize(cdb, hex("00 00 00 02 12 34"))), "5/26/00 list 0.4");
    EXPECT_EQ(describe(sanitize(cdb, hex("21 00 00 02 12 34"))), "5/26/00 list 0.6");
    EXPECT_EQ(describe(sanitize(cdb, hex("01 00 00 00 12 34"))), "5/26/00 list 2");
    EXPECT_EQ(describe(sanitize(cdb, hex("01 00 02 01 12 34"))), "5/26/00 list 2");
    EXPECT_EQ(describe(sanitize(cdb, hex("01 00 00 01 12 34"))), "5/1a/00");
}

TEST(Sanitize, TheOthersTakeNoList) {
    EXPECT_EQ(sanitize("48 02 00 00 00 00 00 00 00 00", {})->action, SanitizeAction::block_erase);
    EXPECT_EQ(sanitize("48 1f 00 00 00 00 00 00 00 00", {})->action,
              SanitizeAction::exit_failure_mode);
    EXPECT_EQ(describe(sanitize("48 02 00 00 00 00 00 00 01 00", {0})), "5/24/00 cdb 7");
    EXPECT_EQ(describe(find_row(hex("48 03 00 00 00 00 00 00 00 00"))), "5/24/00 cdb 1.4");
}

TEST(Sanitize, ABlockIsRepeatedAlsoFromWhereItStands) {
    std::vector<std::uint8_t> into(6);
    repeat_block(hex("01 02"), into);
    EXPECT_EQ(to_hex(into), "01 02 01 02 01 02");
    into = hex("07 08 00 00 00 00");
    repeat_block(Bytes(into).first(2), into);
    EXPECT_EQ(to_hex(into), "07 08 07 08 07 08");
}

TEST(Sanitize, PatternFillsTheBlockFromItsStart) {
    EXPECT_EQ(to_hex(block_of_pattern(hex("01 02 03"), 8, false)), "01 02 03 01 02 03 01 02");
    EXPECT_EQ(to_hex(block_of_pattern(hex("0f"), 2, true)), "f0 f0");
}

}  // namespace
}  // namespace olio::scsi
