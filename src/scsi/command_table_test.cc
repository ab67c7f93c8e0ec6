#include "scsi/command_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "scsi/cdb_fields.h"
#include "scsi/range.h"
#include "scsi/request_testing.h"

namespace olio::scsi {
namespace {

using testing::Asked;
using testing::describe;
using testing::hex;

std::vector<std::uint8_t> empty_cdb(const CommandRow& row) {
    std::vector<std::uint8_t> cdb(row.cdb_bytes);
    cdb[0] = row.opcode;
    if (row.opcode == 0x7F) {
        cdb[7] = static_cast<std::uint8_t>(row.cdb_bytes - 8);
        store_be<std::uint16_t>(cdb.data() + 8, static_cast<std::uint16_t>(row.service_action));
    } else if (row.service_action >= 0) {
        cdb[1] = static_cast<std::uint8_t>(row.service_action);
    }
    return cdb;
}

std::map<std::string, std::string> with_naca(std::map<std::string, std::string> usage) {
    for (auto& [name, text] : usage) {
        std::vector<std::uint8_t> bytes = hex(text);
        bytes[bytes[0] == 0x7F ? 1 : bytes.size() - 1] |= 0x04;
        text = testing::to_hex(bytes);
    }
    return usage;
}

// The bits that SPC-5 and SBC-4 define and this logical unit evaluates, typed in from their tables
// of CDBs; NACA (SAM-5 5.2) is added to each CONTROL byte.
const std::map<std::string, std::string>& golden_usage() {
    static const std::map<std::string, std::string> usage = with_naca({
        {"TEST UNIT READY", "00 00 00 00 00 00"},
        {"REQUEST SENSE", "03 01 00 00 ff 00"},
        {"READ(6)", "08 1f ff ff ff 00"},
        {"WRITE(6)", "0a 1f ff ff ff 00"},
        {"INQUIRY", "12 01 ff ff ff 00"},
        {"MODE SELECT(6)", "15 11 00 00 ff 00"},
        {"RESERVE(6)", "16 00 00 00 00 00"},
        {"RELEASE(6)", "17 00 00 00 00 00"},
        {"MODE SENSE(6)", "1a 08 ff ff ff 00"},
        {"START STOP UNIT", "1b 01 00 0f f5 00"},
        {"READ CAPACITY(10)", "25 00 ff ff ff ff 00 00 01 00"},
        {"READ(10)", "28 18 ff ff ff ff 00 ff ff 00"},
        {"WRITE(10)", "2a 18 ff ff ff ff 00 ff ff 00"},
        {"WRITE AND VERIFY(10)", "2e 12 ff ff ff ff 00 ff ff 00"},
        {"VERIFY(10)", "2f 16 ff ff ff ff 00 ff ff 00"},
        {"PRE-FETCH(10)", "34 02 ff ff ff ff 00 ff ff 00"},
        {"SYNCHRONIZE CACHE(10)", "35 02 ff ff ff ff 00 ff ff 00"},
        {"WRITE SAME(10)", "41 18 ff ff ff ff 00 ff ff 00"},
        {"UNMAP", "42 01 00 00 00 00 00 ff ff 00"},
        {"LOG SELECT", "4c 02 ff ff 00 00 00 ff ff 00"},
        {"LOG SENSE", "4d 00 ff ff 00 ff ff ff ff 00"},
        {"MODE SELECT(10)", "55 11 00 00 00 00 00 ff ff 00"},
        {"RESERVE(10)", "56 00 00 00 00 00 00 00 00 00"},
        {"RELEASE(10)", "57 00 00 00 00 00 00 00 00 00"},
        {"MODE SENSE(10)", "5a 18 ff ff 00 00 00 ff ff 00"},
        {"PERSISTENT RESERVE IN (READ KEYS)", "5e 00 00 00 00 00 00 ff ff 00"},
        {"PERSISTENT RESERVE IN (READ RESERVATION)", "5e 01 00 00 00 00 00 ff ff 00"},
        {"PERSISTENT RESERVE IN (REPORT CAPABILITIES)", "5e 02 00 00 00 00 00 ff ff 00"},
        {"PERSISTENT RESERVE IN (READ FULL STATUS)", "5e 03 00 00 00 00 00 ff ff 00"},
        {"PERSISTENT RESERVE OUT (REGISTER)", "5f 00 ff 00 00 ff ff ff ff 00"},
        {"PERSISTENT RESERVE OUT (RESERVE)", "5f 01 ff 00 00 ff ff ff ff 00"},
        {"PERSISTENT RESERVE OUT (RELEASE)", "5f 02 ff 00 00 ff ff ff ff 00"},
        {"PERSISTENT RESERVE OUT (CLEAR)", "5f 03 ff 00 00 ff ff ff ff 00"},
        {"PERSISTENT RESERVE OUT (PREEMPT)", "5f 04 ff 00 00 ff ff ff ff 00"},
        {"PERSISTENT RESERVE OUT (PREEMPT AND ABORT)", "5f 05 ff 00 00 ff ff ff ff 00"},
        {"PERSISTENT RESERVE OUT (REGISTER AND IGNORE EXISTING KEY)",
         "5f 06 ff 00 00 ff ff ff ff 00"},
        {"PERSISTENT RESERVE OUT (REGISTER AND MOVE)", "5f 07 ff 00 00 ff ff ff ff 00"},
        {"PERSISTENT RESERVE OUT (REPLACE LOST RESERVATION)", "5f 08 ff 00 00 ff ff ff ff 00"},
        {"READ(32)",
         "7f 00 00 00 00 00 00 18 00 09 f8 00 ff ff ff ff ff ff ff ff "
         "ff ff ff ff ff ff ff ff ff ff ff ff"},
        {"VERIFY(32)",
         "7f 00 00 00 00 00 00 18 00 0a f6 00 ff ff ff ff ff ff ff ff "
         "ff ff ff ff ff ff ff ff ff ff ff ff"},
        {"WRITE(32)",
         "7f 00 00 00 00 00 00 18 00 0b f8 00 ff ff ff ff ff ff ff ff "
         "ff ff ff ff ff ff ff ff ff ff ff ff"},
        {"WRITE AND VERIFY(32)",
         "7f 00 00 00 00 00 00 18 00 0c f2 00 ff ff ff ff ff ff ff ff "
         "ff ff ff ff ff ff ff ff ff ff ff ff"},
        {"EXTENDED COPY(LID1)", "83 00 00 00 00 00 00 00 00 00 ff ff ff ff 00 00"},
        {"EXTENDED COPY(LID4)", "83 01 00 00 00 00 00 00 00 00 ff ff ff ff 00 00"},
        {"POPULATE TOKEN", "83 10 00 00 00 00 ff ff ff ff ff ff ff ff 00 00"},
        {"WRITE USING TOKEN", "83 11 00 00 00 00 ff ff ff ff ff ff ff ff 00 00"},
        {"RECEIVE ROD TOKEN INFORMATION", "84 07 ff ff ff ff 00 00 00 00 ff ff ff ff 00 00"},
        {"RECEIVE COPY DATA(LID4)", "84 06 ff ff ff ff 00 00 00 00 ff ff ff ff 00 00"},
        {"REPORT ALL ROD TOKENS", "84 08 00 00 00 00 00 00 00 00 ff ff ff ff 00 00"},
        {"COPY OPERATION ABORT", "83 1c ff ff ff ff 00 00 00 00 00 00 00 00 00 00"},
        {"RECEIVE COPY STATUS(LID1)", "84 00 ff 00 00 00 00 00 00 00 ff ff ff ff 00 00"},
        {"RECEIVE COPY DATA(LID1)", "84 01 ff 00 00 00 00 00 00 00 ff ff ff ff 00 00"},
        {"RECEIVE COPY OPERATING PARAMETERS", "84 03 00 00 00 00 00 00 00 00 ff ff ff ff 00 00"},
        {"RECEIVE COPY FAILURE DETAILS(LID1)", "84 04 ff 00 00 00 00 00 00 00 ff ff ff ff 00 00"},
        {"RECEIVE COPY STATUS(LID4)", "84 05 ff ff ff ff 00 00 00 00 ff ff ff ff 00 00"},
        {"READ(16)", "88 18 ff ff ff ff ff ff ff ff ff ff ff ff 00 00"},
        {"COMPARE AND WRITE", "89 18 ff ff ff ff ff ff ff ff 00 00 00 ff 00 00"},
        {"WRITE(16)", "8a 18 ff ff ff ff ff ff ff ff ff ff ff ff 00 00"},
        {"WRITE AND VERIFY(16)", "8e 12 ff ff ff ff ff ff ff ff ff ff ff ff 00 00"},
        {"VERIFY(16)", "8f 16 ff ff ff ff ff ff ff ff ff ff ff ff 00 00"},
        {"PRE-FETCH(16)", "90 02 ff ff ff ff ff ff ff ff ff ff ff ff 00 00"},
        {"SYNCHRONIZE CACHE(16)", "91 02 ff ff ff ff ff ff ff ff ff ff ff ff 00 00"},
        {"WRITE SAME(16)", "93 19 ff ff ff ff ff ff ff ff ff ff ff ff 00 00"},
        {"READ CAPACITY(16)", "9e 10 ff ff ff ff ff ff ff ff ff ff ff ff 01 00"},
        {"GET LBA STATUS(16)", "9e 12 ff ff ff ff ff ff ff ff ff ff ff ff ff 00"},
        {"STREAM CONTROL", "9e 74 00 00 ff ff 00 00 00 00 ff ff ff ff 00 00"},
        {"GET STREAM STATUS", "9e 16 00 00 ff ff 00 00 00 00 ff ff ff ff 00 00"},
        {"FORMAT UNIT", "04 ff 00 00 03 00"},
        {"RECEIVE DIAGNOSTIC RESULTS", "1c 01 ff ff ff 00"},
        {"SEND DIAGNOSTIC", "1d f7 00 ff ff 00"},
        {"READ DEFECT DATA(10)", "37 00 1f 00 00 00 00 ff ff 00"},
        {"WRITE BUFFER", "3b 1f ff ff ff ff ff ff ff 00"},
        {"READ BUFFER(10)", "3c 1f ff ff ff ff ff ff ff 00"},
        {"SANITIZE (OVERWRITE)", "48 a1 00 00 00 00 00 ff ff 00"},
        {"SANITIZE (BLOCK ERASE)", "48 a2 00 00 00 00 00 ff ff 00"},
        {"SANITIZE (EXIT FAILURE MODE)", "48 bf 00 00 00 00 00 ff ff 00"},
        {"READ DEFECT DATA(12)", "b7 1f ff ff ff ff ff ff ff ff 00 00"},
        {"ORWRITE(16)", "8b 18 ff ff ff ff ff ff ff ff ff ff ff ff 00 00"},
        {"WRITE STREAM(16)", "9a 18 ff ff ff ff ff ff ff ff ff ff ff ff 00 00"},
        {"WRITE ATOMIC(16)", "9c 18 ff ff ff ff ff ff ff ff ff ff ff ff 00 00"},
        {"WRITE SAME(32)",
         "7f 00 00 00 00 00 00 18 00 0d 19 00 ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff "
         "ff ff ff"},
        {"ORWRITE(32)",
         "7f 00 07 0f 00 00 00 18 00 0e 18 00 ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff "
         "ff ff ff"},
        {"WRITE ATOMIC(32)",
         "7f 00 00 00 ff ff 00 18 00 0f 18 00 ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff "
         "ff ff ff"},
        {"WRITE STREAM(32)",
         "7f 00 00 00 ff ff 00 18 00 10 18 00 ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff "
         "ff ff ff"},
        {"WRITE SCATTERED(16)", "9f 12 18 00 ff ff 00 00 ff ff ff ff ff ff 00 00"},
        {"WRITE SCATTERED(32)",
         "7f 00 00 00 00 00 00 18 00 11 18 00 ff ff 00 00 ff ff 00 00 00 00 00 00 00 00 00 00 ff "
         "ff ff ff"},
        {"GET LBA STATUS(32)",
         "7f 00 00 00 00 00 00 18 00 12 ff 00 ff ff ff ff ff ff ff ff ff ff ff ff 00 00 00 00 ff "
         "ff ff ff"},
        {"REPORT LUNS", "a0 00 ff 00 00 00 ff ff ff ff 00 00"},
        {"REPORT SUPPORTED OPERATION CODES", "a3 0c 87 ff ff ff ff ff ff ff 00 00"},
        {"REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", "a3 0d 80 00 00 00 ff ff ff ff 00 00"},
        {"REPORT IDENTIFYING INFORMATION", "a3 05 00 00 00 00 ff ff ff ff fe 00"},
        {"REPORT ALIASES", "a3 0b 00 00 00 00 ff ff ff ff 00 00"},
        {"REPORT PRIORITY", "a3 0e c0 00 00 00 ff ff ff ff 00 00"},
        {"CHANGE ALIASES", "a4 0b 00 00 00 00 ff ff ff ff 00 00"},
        {"SET PRIORITY", "a4 0e c0 00 00 00 ff ff ff ff 00 00"},
        {"REPORT TIMESTAMP", "a3 0f 00 00 00 00 ff ff ff ff 00 00"},
        {"SET IDENTIFYING INFORMATION", "a4 06 00 00 00 00 ff ff ff ff fe 00"},
        {"SET TIMESTAMP", "a4 0f 00 00 00 00 ff ff ff ff 00 00"},
        {"REPORT TARGET PORT GROUPS", "a3 ea 00 00 00 00 ff ff ff ff 00 00"},
        {"SET TARGET PORT GROUPS", "a4 0a 00 00 00 00 ff ff ff ff 00 00"},
        {"REPORT REFERRALS", "9e 13 ff ff ff ff ff ff ff ff ff ff ff ff 01 00"},
        {"READ(12)", "a8 18 ff ff ff ff ff ff ff ff 00 00"},
        {"WRITE(12)", "aa 18 ff ff ff ff ff ff ff ff 00 00"},
        {"WRITE AND VERIFY(12)", "ae 12 ff ff ff ff ff ff ff ff 00 00"},
        {"VERIFY(12)", "af 16 ff ff ff ff ff ff ff ff 00 00"},
    });
    return usage;
}

// Where SBC-4 has GROUP NUMBER, which is ignored.
const std::map<std::string, std::size_t> group_number_bytes{
    {"READ(10)", 6},
    {"WRITE(10)", 6},
    {"WRITE AND VERIFY(10)", 6},
    {"VERIFY(10)", 6},
    {"PRE-FETCH(10)", 6},
    {"SYNCHRONIZE CACHE(10)", 6},
    {"WRITE SAME(10)", 6},
    {"UNMAP", 6},
    {"READ(12)", 10},
    {"WRITE(12)", 10},
    {"WRITE AND VERIFY(12)", 10},
    {"VERIFY(12)", 10},
    {"READ(32)", 6},
    {"VERIFY(32)", 6},
    {"WRITE(32)", 6},
    {"WRITE AND VERIFY(32)", 6},
    {"READ(16)", 14},
    {"WRITE(16)", 14},
    {"WRITE AND VERIFY(16)", 14},
    {"VERIFY(16)", 14},
    {"PRE-FETCH(16)", 14},
    {"SYNCHRONIZE CACHE(16)", 14},
    {"WRITE SAME(16)", 14},
    {"COMPARE AND WRITE", 14},
    {"POPULATE TOKEN", 14},
    {"WRITE USING TOKEN", 14},
    {"ORWRITE(16)", 14},
    {"WRITE STREAM(16)", 14},
    {"WRITE ATOMIC(16)", 14},
    {"WRITE SAME(32)", 6},
    {"ORWRITE(32)", 6},
    {"WRITE ATOMIC(32)", 6},
    {"WRITE STREAM(32)", 6},
    {"WRITE SCATTERED(16)", 14},
    {"WRITE SCATTERED(32)", 6},
};

TEST(CommandTable, UsageMasksAreThoseOfTheStandards) {
    ASSERT_EQ(command_table().size(), golden_usage().size());
    for (const CommandRow& row : command_table()) {
        const auto golden = golden_usage().find(std::string(row.name));
        ASSERT_NE(golden, golden_usage().end()) << row.name;
        EXPECT_EQ(testing::to_hex(Bytes(row.usage.data(), row.cdb_bytes)), golden->second)
            << row.name;
    }
}

TEST(CommandTable, EveryRowIsFoundByItsOperationCodeAndServiceAction) {
    for (const CommandRow& row : command_table()) {
        const auto found = find_row(empty_cdb(row));
        ASSERT_TRUE(found) << row.name;
        EXPECT_EQ(*found, &row) << row.name;
        EXPECT_EQ(&command_table()[row_index(row)], &row);
    }
}

TEST(CommandTable, UnknownOperationCodesAreRefusedAsSuch) {
    std::array<bool, 256> known{};
    for (const CommandRow& row : command_table())
        known[row.opcode] = true;
    for (unsigned opcode = 0; opcode < 256; ++opcode) {
        std::vector<std::uint8_t> cdb(16);
        cdb[0] = static_cast<std::uint8_t>(opcode);
        if (!known[opcode]) {
            EXPECT_EQ(describe(find_row(cdb)), "5/20/00") << opcode;
        }
    }
    EXPECT_EQ(describe(find_row({})), "5/20/00");
}

TEST(CommandTable, UnknownServiceActionsPointAtTheServiceAction) {
    EXPECT_EQ(describe(find_row(hex("9e 11 00 00 00 00 00 00 00 00 00 00 00 00 00 00"))),
              "5/24/00 cdb 1.4");
    EXPECT_EQ(describe(find_row(hex("a3 1f 00 00 00 00 00 00 00 00 00 00"))), "5/24/00 cdb 1.4");
}

TEST(CommandTable, ShortCdbsAreRefused) {
    for (const CommandRow& row : command_table()) {
        const std::vector<std::uint8_t> cdb = empty_cdb(row);
        // Before its service action, a variable length CDB is none that is known.
        for (std::size_t length = row.opcode == 0x7F ? 10 : 2; length < cdb.size(); ++length)
            EXPECT_EQ(describe(find_row(Bytes(cdb).first(length))),
                      "5/24/00 cdb " + std::to_string(length))
                << row.name;
    }
}

// Each bit of each CDB alone: a one outside the mask is INVALID FIELD IN CDB with a pointer to that
// bit.
TEST(CommandTable, EachReservedBitAloneIsPointedAt) {
    for (const CommandRow& row : command_table()) {
        const std::vector<std::uint8_t> usage = hex(golden_usage().at(std::string(row.name)));
        for (std::size_t byte = 1; byte < row.cdb_bytes; ++byte) {
            for (unsigned bit = 0; bit < 8; ++bit) {
                const bool variable_length = row.opcode == 0x7F;
                if (variable_length ? byte >= 7 && byte <= 9
                                    : byte == 1 && bit < 5 && row.service_action >= 0)
                    continue;
                std::vector<std::uint8_t> cdb = empty_cdb(row);
                cdb[byte] |= static_cast<std::uint8_t>(1U << bit);
                const auto group = group_number_bytes.find(std::string(row.name));
                const bool ignored =
                    group != group_number_bytes.end() && group->second == byte && bit < 6;
                const std::string expected =
                    ignored || (usage[byte] >> bit & 1) != 0
                        ? "good"
                        : "5/24/00 cdb " + std::to_string(byte) + "." + std::to_string(bit);
                EXPECT_EQ(describe(check_usage(row, cdb)), expected) << row.name;
                cdb.resize(std::max<std::size_t>(cdb.size(), 16));  // as iSCSI brings it
                EXPECT_EQ(describe(check_usage(row, cdb)), expected) << row.name;
            }
        }
    }
}

TEST(CommandTable, TheLeftmostWrongBitIsPointedAt) {
    const auto row = find_row(hex("28 00 00 00 00 00 00 00 00 00"));
    ASSERT_TRUE(row);
    EXPECT_EQ(describe(check_usage(**row, hex("28 63 00 00 00 00 c0 00 00 ff"))),
              "5/24/00 cdb 1.6");
    EXPECT_EQ(describe(check_usage(**row, hex("28 18 ff ff ff ff 00 ff ff 04"))), "good");  // NACA
}

TEST(CommandTable, BytesBehindTheCdbAreNotLookedAt) {
    const auto row = find_row(hex("00 00 00 00 00 00"));
    ASSERT_TRUE(row);
    EXPECT_TRUE(check_usage(**row, hex("00 00 00 00 00 00 ff ff ff ff ff ff ff ff ff ff")));
}

TEST(CommandTable, NumericFieldsAreDecoded) {
    const auto decoded = [](std::string_view text) {
        const std::vector<std::uint8_t> cdb = hex(text);
        return decode(**find_row(cdb), cdb);
    };
    EXPECT_EQ(decoded("08 ff 23 45 00 00").lba, 0x1F2345U);
    EXPECT_EQ(decoded("08 1f 23 45 00 00").blocks, 256U);
    EXPECT_EQ(decoded("0a 00 00 00 00 00").blocks, 256U);
    EXPECT_EQ(decoded("0a 00 00 00 07 00").blocks, 7U);
    EXPECT_EQ(decoded("28 00 12 34 56 78 00 00 00 00").blocks, 0U);
    EXPECT_EQ(decoded("28 00 12 34 56 78 00 9a bc 00").lba, 0x12345678U);
    EXPECT_EQ(decoded("28 00 12 34 56 78 00 9a bc 00").blocks, 0x9ABCU);
    EXPECT_EQ(decoded("a8 00 12 34 56 78 01 02 03 04 00 00").blocks, 0x01020304U);
    const auto read_16 = decoded("88 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 00 00");
    EXPECT_EQ(read_16.lba, 0x0102030405060708U);
    EXPECT_EQ(read_16.blocks, 0x090A0B0CU);
    EXPECT_EQ(decoded("89 00 00 00 00 00 00 00 00 01 00 00 00 05 00 00").blocks, 5U);
    EXPECT_EQ(decoded("12 00 00 01 02 00").allocation_bytes, 0x0102U);
    EXPECT_EQ(decoded("a0 00 00 00 00 00 01 02 03 04 00 00").allocation_bytes, 0x01020304U);
    EXPECT_EQ(decoded("42 00 00 00 00 00 00 01 18 00").parameter_bytes, 0x0118U);
}

TEST(CommandTable, SupportFollowsTheLogicalUnit) {
    Asked unit;
    EXPECT_EQ(unit.asked("42 00 00 00 00 00 00 00 00 00"), "");
    EXPECT_EQ(unit.asked("89 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"), "");
    unit.state.provisioning.unmap = false;
    unit.state.maximum_compare_and_write_blocks = 0;
    EXPECT_EQ(unit.asked("42 00 00 00 00 00 00 00 00 00"), "5/20/00");
    EXPECT_EQ(unit.asked("89 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"), "5/20/00");
    EXPECT_EQ(unit.asked("00 00 00 00 00 00"), "");
}

TEST(CommandTable, OnlyWhatSpc2AllowsPassesAnothersReservation) {
    for (const CommandRow& row : command_table()) {
        const bool passes = !conflicts_with_reserve(row, false);
        // RESERVE's handler refuses it.
        const std::vector<std::string_view> allowed{
            "INQUIRY",         "LOG SENSE",     "REPORT LUNS",
            "RELEASE(6)",      "RELEASE(10)",   "RESERVE(6)",
            "RESERVE(10)",     "REQUEST SENSE", "REPORT TARGET PORT GROUPS",
            "REPORT REFERRALS"};
        EXPECT_EQ(passes, std::ranges::find(allowed, row.name) != allowed.end()) << row.name;
        EXPECT_EQ(row.medium == MediumAccess::writes,
                  row.medium != MediumAccess::none &&
                      (row.name.find("WRITE") != std::string_view::npos || row.name == "UNMAP" ||
                       row.name == "FORMAT UNIT" || row.name.starts_with("SANITIZE")))
            << row.name;
    }
}

// Random CDBs for every row: whatever comes, the answer is data no longer than asked for, or
// ILLEGAL REQUEST.
TEST(CommandTable, RandomCdbsOfEveryRowAreAnswered) {
    std::mt19937 random(20240);  // NOLINT: the same CDBs each time
    const Asked unit;
    for (const CommandRow& row : command_table()) {
        for (int round = 0; round < 400; ++round) {
            std::vector<std::uint8_t> cdb(std::max<std::size_t>(row.cdb_bytes, 16));
            for (std::size_t i = 0; i < cdb.size(); ++i) {
                const auto bits = static_cast<std::uint8_t>(random());
                // Mostly inside the mask, so that the handlers are reached.
                cdb[i] = round % 4 == 0 ? bits : static_cast<std::uint8_t>(bits & row.usage[i]);
            }
            cdb[0] = row.opcode;
            if (row.opcode == 0x7F)
                std::copy_n(row.usage.begin() + 7, 3, cdb.begin() + 7);
            else if (row.service_action >= 0)
                cdb[1] = row.usage[1];
            const Asked::Answer answer = unit.ask(cdb);
            if (!answer) {
                EXPECT_EQ(answer.error().key, SenseKey::illegal_request) << row.name;
                continue;
            }
            if (row.allocation_bytes.bytes != 0) {
                EXPECT_LE(answer->size(), decode(row, cdb).allocation_bytes) << row.name;
            }
            const Request request{row, cdb, decode(row, cdb), &unit.state, unit.nexus};
            if (row.lba.bytes != 0 && check_extent(request)) {
                EXPECT_LE(request.decoded.lba, unit.state.geometry.blocks);
                EXPECT_LE(request.decoded.lba + request.decoded.blocks, unit.state.geometry.blocks);
            }
        }
    }
}

// known-defects 9: WRITE SAME with NDOB has no data; every combination of the flag bits is decoded,
// and a command without data never asks for any.
TEST(CommandTable, Defect9EveryFlagBitOfWriteSameWithAndWithoutData) {
    const Asked unit;
    for (const std::string_view text :
         {"41 00 00 00 00 00 00 00 01 00", "93 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00"}) {
        for (unsigned flags = 0; flags < 256; ++flags) {
            std::vector<std::uint8_t> cdb = hex(text);
            cdb[1] = static_cast<std::uint8_t>(flags);
            const CommandRow& row = **find_row(cdb);
            // ANCHOR, UNMAP, NDOB; which of them go together the fields tell.
            const unsigned legal = row.cdb_bytes == 16 ? 0x19 : 0x18;
            const auto usage = check_usage(row, cdb);
            ASSERT_EQ(usage.has_value(), (flags & ~legal) == 0) << row.name << flags;
            if (!usage)
                continue;
            const auto fields =
                decode_write_same({row, cdb, decode(row, cdb), &unit.state, unit.nexus});
            ASSERT_EQ(fields.has_value(), (flags & 0x10) == 0);  // it cannot anchor
            if (!fields)
                continue;
            EXPECT_EQ(fields->no_data_out, (flags & 1) != 0);
            EXPECT_EQ(fields->unmap, (flags & 8) != 0);
            EXPECT_EQ(write_same_data_blocks(*fields), (flags & 1) != 0 ? 0U : 1U);
        }
    }
}

}  // namespace
}  // namespace olio::scsi
