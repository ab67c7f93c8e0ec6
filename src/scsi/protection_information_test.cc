#include "scsi/protection_information.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "scsi/command_table.h"
#include "scsi/request_testing.h"

namespace olio::scsi {
namespace {

using testing::Asked;
using testing::describe;
using testing::hex;

std::vector<std::uint8_t> random_bytes(std::size_t count, unsigned seed) {
    std::mt19937 random(seed);
    std::vector<std::uint8_t> bytes(count);
    for (std::uint8_t& byte : bytes)
        byte = static_cast<std::uint8_t>(random());
    return bytes;
}

// --- The guard ---

TEST(ProtectionGuard, AgreesWithPublishedValues) {
    // The check value of CRC-16/T10-DIF, and 32 bytes of zeros and ones (SBC-4, table of CRC
    // samples).
    EXPECT_EQ(guard_of(as_bytes("123456789")), 0xD0DB);
    EXPECT_EQ(portable_guard_of(as_bytes("123456789")), 0xD0DB);
    const std::vector<std::uint8_t> zeros(32, 0x00);
    const std::vector<std::uint8_t> ones(32, 0xFF);
    EXPECT_EQ(guard_of(zeros), 0x0000);
    EXPECT_EQ(guard_of(ones), 0xA293);
    std::vector<std::uint8_t> rising(32);
    for (std::size_t i = 0; i < rising.size(); ++i)
        rising[i] = static_cast<std::uint8_t>(i);
    EXPECT_EQ(guard_of(rising), 0x0224);
}

TEST(ProtectionGuard, FastAndPortableFormsAgreeForEveryLengthAndAlignment) {
    const auto bytes = random_bytes(5000, 1);
    for (std::size_t length = 0; length < 600; ++length)
        for (const std::size_t offset : {0, 1, 7, 13})
            ASSERT_EQ(guard_of(Bytes(bytes).subspan(offset, length)),
                      portable_guard_of(Bytes(bytes).subspan(offset, length)))
                << length << " at " << offset;
    EXPECT_EQ(guard_of(Bytes(bytes).first(4096)), portable_guard_of(Bytes(bytes).first(4096)));
}

// --- The PROTECT fields. The golden data are typed in from the standard's tables, a line for each
// value: "-" reserved, else whether protection information is transferred (T or t), then which tags
// are checked (G, A, R) in what is read, and the same for each further column. ---

std::string text_of(const TagSet& tags) {
    return std::string(tags.guard ? "G" : ".") + (tags.application ? "A" : ".") +
           (tags.reference ? "R" : ".");
}

struct GoldenField {
    const char* name;
    const ProtectTable* table;
    // transferred, medium, medium when compared, data-out, compared
    std::array<std::string_view, 8> rows;
};

const std::array<GoldenField, 4> golden_fields{{
    {"RDPROTECT",
     &rdprotect_table,
     {
         "t GAR ... ... ...",  // 000b
         "T GAR ... ... ...",  // 001b
         "T .AR ... ... ...",  // 010b
         "T ... ... ... ...",  // 011b
         "T G.. ... ... ...",  // 100b
         "T GAR ... ... ...",  // 101b
         "-",                  // 110b
         "-",                  // 111b
     }},
    {"WRPROTECT",
     &wrprotect_table,
     {
         "t ... ... ... ...",
         "T ... ... GAR ...",
         "T ... ... .AR ...",
         "T ... ... ... ...",
         "T ... ... G.. ...",
         "T ... ... GAR ...",
         "-",
         "-",
     }},
    {"VRPROTECT",
     &vrprotect_table,
     {
         "t GAR GAR ... ...",
         "T GAR ... GAR GAR",
         "T .AR ... .AR .AR",
         "T ... ... ... GAR",
         "T G.. ... G.. GAR",
         "T GAR ... GAR GA.",
         "-",
         "-",
     }},
    {"ORPROTECT",
     &orprotect_table,
     {
         "t GAR ... ... ...",
         "T GAR ... GAR ...",
         "T .AR ... .AR ...",
         "T ... ... ... ...",
         "T G.. ... G.. ...",
         "T GAR ... GAR ...",
         "-",
         "-",
     }},
}};

TEST(ProtectFields, EveryValueIsThatOfTheStandardsTables) {
    for (const GoldenField& field : golden_fields)
        for (std::size_t value = 0; value < field.rows.size(); ++value) {
            const ProtectRow& row = (*field.table)[value];
            const std::string text =
                row.reserved ? "-"
                             : std::string(row.transferred ? "T" : "t") + " " +
                                   text_of(row.medium) + " " + text_of(row.medium_compared) + " " +
                                   text_of(row.data_out) + " " + text_of(row.compared);
            EXPECT_EQ(text, field.rows[value]) << field.name << " " << value;
        }
}

struct GoldenAnswer {
    const char* cdb;  // with 000b
    std::size_t byte;
};
const std::array<GoldenAnswer, 18> protectable{{
    {"28 00 00000000 00 0001 00", 1},
    {"2a 00 00000000 00 0001 00", 1},
    {"2e 00 00000000 00 0001 00", 1},
    {"2f 00 00000000 00 0001 00", 1},
    {"41 00 00000000 00 0001 00", 1},
    {"88 00 0000000000000000 00000001 00 00", 1},
    {"8a 00 0000000000000000 00000001 00 00", 1},
    {"8e 00 0000000000000000 00000001 00 00", 1},
    {"8f 00 0000000000000000 00000001 00 00", 1},
    {"93 00 0000000000000000 00000001 00 00", 1},
    {"a8 00 00000000 00000001 00 00", 1},
    {"aa 00 00000000 00000001 00 00", 1},
    {"ae 00 00000000 00000001 00 00", 1},
    {"af 00 00000000 00000001 00 00", 1},
    {"89 00 0000000000000000 000000 01 00 00", 1},
    {"8b 00 0000000000000000 00000001 00 00", 1},
    {"9a 00 0000000000000000 0000 0001 00 00", 1},
    {"9c 00 0000000000000000 0000 0001 00 00", 1},
}};
const std::array<const char*, 4> long_cdbs{
    "7f 00 00 00 00 00 00 18 0009 00 00 0000000000000000 00000000 0000 0000 00000001",
    "7f 00 00 00 00 00 00 18 000a 00 00 0000000000000000 00000000 0000 0000 00000001",
    "7f 00 00 00 00 00 00 18 000b 00 00 0000000000000000 00000000 0000 0000 00000001",
    "7f 00 00 00 00 00 00 18 000c 00 00 0000000000000000 00000000 0000 0000 00000001",
};

TEST(ProtectFields, AUnitTakesThemAsItsTypeAllows) {
    Asked unit;
    unit.state.maximum_atomic_blocks = 8;
    for (std::uint8_t type = 0; type <= 3; ++type) {
        unit.state.protection.type = type;
        for (const GoldenAnswer& each : protectable)
            for (std::uint8_t value = 0; value < 8; ++value) {
                auto cdb = hex(each.cdb);
                cdb[each.byte] |= static_cast<std::uint8_t>(value << 5);
                std::string expected = "good";
                if (value != 0 && (type == 0 || value >= 6))
                    expected = "5/24/00 cdb 1.7";
                else if (value != 0 && type == 2)
                    expected = "5/20/00";
                if (type == 0 && value != 0)  // the leftmost bit that is set
                    expected = "5/24/00 cdb 1." + std::to_string(value >= 4   ? 7
                                                                 : value >= 2 ? 6
                                                                              : 5);
                EXPECT_EQ(describe(unit.ask(cdb)), expected)
                    << each.cdb << " value " << int{value} << " type " << int{type};
            }
        // WRITE SAME, WRITE ATOMIC and WRITE STREAM (32) are there on every unit, their WRPROTECT
        // for type 2 alone.
        for (const char* action : {"0d", "0f", "10"})
            EXPECT_EQ(describe(unit.ask(hex(std::string("7f 00 00 00 00 00 00 18 00") + action +
                                            " 20 00 0000000000000000 00000000 0000 0000 "
                                            "00000001"))),
                      type == 0   ? "5/24/00 cdb 10.5"
                      : type == 2 ? "good"
                                  : "5/20/00")
                << action;
        for (const char* text : long_cdbs)
            EXPECT_EQ(describe(unit.ask(hex(text))), type == 2 ? "good" : "5/20/00") << text;
    }
}

TEST(ProtectFields, CommandsWithoutTheFieldRefuseItsBitsOnEveryUnit) {
    Asked unit;
    unit.state.protection.type = 1;
    // READ(6) has LBA bits and reserved ones there; WRITE SCATTERED's WRPROTECT is not supported.
    EXPECT_EQ(describe(unit.ask("08 20 00 00 01 00")), "5/24/00 cdb 1.5");
    EXPECT_EQ(describe(unit.ask("9f 12 20 00 0001 0000 0001 00000001 00 00")), "5/24/00 cdb 2.5");
}

TEST(ProtectFields, UsageDataShowThemOnlyWhereTheyAreTaken) {
    Asked unit;
    const auto usage_byte_1 = [&](std::string_view name) {
        for (const CommandRow& row : command_table())
            if (row.name == name)
                return int{usage_of(row, unit.state)[row.protect_byte]};
        return -1;
    };
    unit.state.protection.type = 0;
    EXPECT_EQ(usage_byte_1("READ(10)"), 0x18);
    for (const std::uint8_t type : {1, 3}) {
        unit.state.protection.type = type;
        EXPECT_EQ(usage_byte_1("READ(10)"), 0xF8);
        EXPECT_EQ(usage_byte_1("WRITE(16)"), 0xF8);
        EXPECT_EQ(usage_byte_1("VERIFY(12)"), 0xF6);
        EXPECT_EQ(usage_byte_1("WRITE SAME(10)"), 0xF8);
    }
    unit.state.protection.type = 2;
    EXPECT_EQ(usage_byte_1("READ(10)"), 0x18);
    EXPECT_EQ(usage_byte_1("READ(32)"), 0xF8);
}

// --- Expectations ---

const CommandRow& row_of(Bytes cdb) {
    return **find_row(cdb);
}

TEST(ProtectionExpectations, FollowTheTypeTheCdbAndTheModePages) {
    Asked unit;
    const auto cdb_10 = hex("28 20 00000010 00 0001 00");
    const auto cdb_32 =
        hex("7f 00 00 00 00 00 00 18 0009 20 00 0000000000000010 aabbccdd 1234 00ff 00000001");
    const TagSet all{true, true, true};
    for (const std::uint8_t type : {1, 2, 3}) {
        unit.state.protection.type = type;
        const auto of_10 = expectations(row_of(cdb_10), cdb_10, unit.state, all, 0x1'0000'0010);
        EXPECT_EQ(of_10.tags, (TagSet{true, false, type == 1}));
        EXPECT_EQ(of_10.reference, 0x10u);
    }
    unit.state.protection.type = 2;
    auto of_32 = expectations(row_of(cdb_32), cdb_32, unit.state, all, 0x10);
    EXPECT_EQ(of_32.tags, (TagSet{true, false, true})) << "ATO = 0: application tags are ignored";
    EXPECT_EQ(of_32.reference, 0xAABBCCDDu);
    unit.state.mode_pages.application_tag_owner = true;
    of_32 = expectations(row_of(cdb_32), cdb_32, unit.state, all, 0x10);
    EXPECT_EQ(of_32.tags, all);
    EXPECT_EQ(of_32.application, 0x1234);
    EXPECT_EQ(of_32.application_mask, 0x00FF);
    EXPECT_EQ(of_32.after(5).reference, 0xAABBCCE2u);
}

TEST(ProtectionExpectations, DpiczSwitchesChecksWithoutAProtectFieldOff) {
    Asked unit;
    unit.state.protection.type = 1;
    EXPECT_EQ(default_expectations(unit.state, 7).tags, (TagSet{true, false, true}));
    EXPECT_EQ(default_expectations(unit.state, 7).reference, 7u);
    unit.state.mode_pages.protection_check_disabled = true;
    EXPECT_EQ(default_expectations(unit.state, 7).tags, TagSet{});
    unit.state.mode_pages.protection_check_disabled = false;
    unit.state.protection.type = 3;
    EXPECT_EQ(default_expectations(unit.state, 7).tags, (TagSet{true, false, false}));
}

TEST(ProtectionExpectations, NothingThatTravelsIsCheckedWherePiProtVerifyIsOff) {
    Asked unit;
    unit.state.protection.type = 1;
    unit.state.settings.verify_protection = false;
    const auto with = hex("28 20 00000010 00 0001 00");
    const auto without = hex("28 00 00000010 00 0001 00");
    const TagSet all{true, true, true};
    EXPECT_EQ(expectations(row_of(with), with, unit.state, all, 16).tags, TagSet{});
    EXPECT_EQ(expectations(row_of(without), without, unit.state, all, 16).tags,
              (TagSet{true, false, true}));
    EXPECT_EQ(default_expectations(unit.state, 16).tags, (TagSet{true, false, true}));
}

TEST(ProtectionMaking, IsThatOfWrprotect000b) {
    Asked unit;
    unit.state.protection.type = 1;
    EXPECT_EQ(making_of(unit.state, 0x2'0000'0001).reference, 1u);
    EXPECT_EQ(making_of(unit.state, 1).reference_step, 1u);
    EXPECT_EQ(making_of(unit.state, 1).application, 0);
    unit.state.mode_pages.application_tag_owner = true;
    EXPECT_EQ(making_of(unit.state, 1).application, 0xFFFF);
    for (const std::uint8_t type : {2, 3}) {
        unit.state.protection.type = type;
        EXPECT_EQ(making_of(unit.state, 1).reference, 0xFFFFFFFFu);
        EXPECT_EQ(making_of(unit.state, 1).reference_step, 0u);
    }
}

// --- Generating, checking, interleaving ---

struct Sample {
    std::size_t block_bytes;
    std::size_t blocks;
    std::vector<std::uint8_t> data = random_bytes(block_bytes * blocks, 3);
    std::vector<std::uint8_t> tuples = std::vector<std::uint8_t>(blocks * protection_bytes);
    ProtectionExpectation expected{.tags = {true, true, true},
                                   .reference = 0xFFFFFFFE,
                                   .application = 0x5A00,
                                   .application_mask = 0xFF00};

    explicit Sample(std::size_t bytes = 512, std::size_t count = 9)
        : block_bytes(bytes), blocks(count) {
        generate_protection(data, tuples, block_bytes, {0x5A77, 0xFFFFFFFE, 1});
    }
    [[nodiscard]] auto check() const {
        return check_protection(data, tuples, block_bytes, expected);
    }
    [[nodiscard]] auto check_together() const {
        std::vector<std::uint8_t> together(data.size() + tuples.size());
        interleave(data, tuples, block_bytes, together);
        return check_interleaved(together, block_bytes, expected);
    }
};

TEST(ProtectionInformation, WhatIsGeneratedPassesAndReferenceTagsWrapAround) {
    for (const std::size_t bytes : {512, 4096}) {
        const Sample sample(bytes);
        EXPECT_EQ(sample.check(), std::nullopt);
        EXPECT_EQ(sample.check_together(), std::nullopt);
        EXPECT_EQ(load_tuple(sample.tuples.data() + 2 * protection_bytes).reference, 0u);
    }
}

TEST(ProtectionInformation, EveryBitThatFlipsFailsItsOwnTagInItsOwnBlock) {
    std::mt19937 random(17);
    for (int round = 0; round < 3000; ++round) {
        Sample sample(512, 4);
        const std::size_t block = random() % sample.blocks;
        const bool in_tuple = round % 2 == 0;
        ProtectionTag tag = ProtectionTag::guard;
        if (in_tuple) {
            const std::size_t bit = random() % (8 * protection_bytes);
            sample.tuples[block * protection_bytes + bit / 8] ^=
                static_cast<std::uint8_t>(0x80 >> bit % 8);
            if (bit / 8 == 3) {  // outside the application tag's mask
                EXPECT_EQ(sample.check(), std::nullopt);
                continue;
            }
            tag = bit < 16   ? ProtectionTag::guard
                  : bit < 32 ? ProtectionTag::application
                             : ProtectionTag::reference;
        } else {
            sample.data[block * 512 + random() % 512] ^=
                static_cast<std::uint8_t>(1 << random() % 8);
        }
        const ProtectionFailure failure{block, tag};
        ASSERT_EQ(sample.check(), failure);
        ASSERT_EQ(sample.check_together(), failure);
        // And it passes where that tag is not checked.
        if (tag == ProtectionTag::guard)
            sample.expected.tags.guard = false;
        else if (tag == ProtectionTag::application)
            sample.expected.tags.application = false;
        else
            sample.expected.tags.reference = false;
        ASSERT_EQ(sample.check(), std::nullopt);
    }
}

TEST(ProtectionInformation, ManyBurstsOfUpTo16BitsAreAllCaught) {
    std::mt19937 random(23);
    for (int round = 0; round < 2000; ++round) {
        Sample sample(512, 1);
        const std::size_t start = random() % (512 * 8 - 16);
        const unsigned burst = 1 + random() % 0xFFFF;
        for (unsigned bit = 0; bit < 16; ++bit)
            if ((burst >> bit & 1) != 0)
                sample.data[(start + bit) / 8] ^=
                    static_cast<std::uint8_t>(0x80 >> (start + bit) % 8);
        ASSERT_EQ(sample.check(), (ProtectionFailure{0, ProtectionTag::guard}));
    }
}

TEST(ProtectionInformation, EscapesSwitchAllChecksOfTheirBlockOff) {
    for (const std::uint8_t type : {1, 2, 3}) {
        Sample sample;
        sample.expected.type = type;
        ProtectionTuple tuple{0xDEAD, 0xFFFF, 0x12345678};
        store_tuple(tuple, sample.tuples.data() + 2 * protection_bytes);
        if (type == 3)
            EXPECT_EQ(sample.check(), (ProtectionFailure{2, ProtectionTag::guard}));
        else
            EXPECT_EQ(sample.check(), std::nullopt);
        tuple.reference = 0xFFFFFFFF;
        store_tuple(tuple, sample.tuples.data() + 2 * protection_bytes);
        EXPECT_EQ(sample.check(), std::nullopt);
        tuple.application = 0xFFFE;
        store_tuple(tuple, sample.tuples.data() + 2 * protection_bytes);
        EXPECT_EQ(sample.check(), (ProtectionFailure{2, ProtectionTag::guard}));
    }
}

TEST(ProtectionInformation, TheGuardFailsBeforeTheApplicationTagAndThatBeforeTheReferenceTag) {
    Sample sample;
    store_tuple({0, 0, 0}, sample.tuples.data() + protection_bytes);
    EXPECT_EQ(sample.check()->tag, ProtectionTag::guard);
    sample.expected.tags.guard = false;
    EXPECT_EQ(sample.check()->tag, ProtectionTag::application);
    sample.expected.tags.application = false;
    EXPECT_EQ(sample.check()->tag, ProtectionTag::reference);
}

TEST(ProtectionInformation, SeparatingUndoesInterleaving) {
    for (const std::size_t bytes : {512, 4096})
        for (const std::size_t blocks : {0, 1, 2, 7, 130}) {
            const Sample sample(bytes, blocks);
            std::vector<std::uint8_t> together(sample.data.size() + sample.tuples.size());
            interleave(sample.data, sample.tuples, bytes, together);
            std::vector<std::uint8_t> tuples(sample.tuples.size());
            separate(together, tuples, bytes);
            together.resize(sample.data.size());
            EXPECT_EQ(together, sample.data);
            EXPECT_EQ(tuples, sample.tuples);
        }
}

TEST(ProtectionInformation, ComparisonNamesTheFirstTagThatDiffersAmongThoseCompared) {
    const Sample sample;
    auto other = sample.tuples;
    const auto compare = [&](TagSet tags, std::uint8_t type = 1) {
        const auto one_way = compare_protection(sample.tuples, other, tags, type);
        EXPECT_EQ(compare_protection(other, sample.tuples, tags, type), one_way);
        return one_way;
    };
    constexpr TagSet all{true, true, true};
    EXPECT_EQ(compare(all), std::nullopt);
    other[3 * protection_bytes + 7] ^= 1;
    EXPECT_EQ(compare(all), (ProtectionFailure{3, ProtectionTag::reference}));
    EXPECT_EQ(compare({true, true, false}), std::nullopt);
    other[2 * protection_bytes + 2] ^= 1;
    EXPECT_EQ(compare(all), (ProtectionFailure{2, ProtectionTag::application}));
    // Where one of them has switched its checks off nothing is compared.
    std::fill_n(other.begin() + 2 * protection_bytes + 2, 2, std::uint8_t{0xFF});
    EXPECT_EQ(compare(all), (ProtectionFailure{3, ProtectionTag::reference}));
    EXPECT_EQ(compare(all, 3), (ProtectionFailure{2, ProtectionTag::application}));
    std::fill_n(other.begin() + 2 * protection_bytes + 4, 4, std::uint8_t{0xFF});
    EXPECT_EQ(compare(all, 3), (ProtectionFailure{3, ProtectionTag::reference}));
}

// SBC-4, the compare operation of VERIFY: of application tags, and of reference tags of type 3,
// only those that the device server may not change.
TEST(ProtectionInformation, WhatVerifyComparesDependsOnWhoOwnsTheTags) {
    Asked unit;
    constexpr TagSet all{true, true, true};
    for (const std::uint8_t type : {1, 2, 3})
        for (const bool owned : {false, true}) {
            unit.state.protection.type = type;
            unit.state.mode_pages.application_tag_owner = owned;
            EXPECT_EQ(compared_tags(all, unit.state), (TagSet{true, owned, owned || type != 3}));
        }
}

TEST(ProtectionInformation, RenewedGuardsFitAndTheOtherTagsStay) {
    Sample sample;
    sample.data[5 * 512 + 9] ^= 0x10;
    EXPECT_EQ(sample.check(), (ProtectionFailure{5, ProtectionTag::guard}));
    renew_guards(sample.data, sample.tuples, 512);
    EXPECT_EQ(sample.check(), std::nullopt);
}

TEST(ProtectionInformation, WriteSameCountsTheReferenceTagsOfTypes1And2) {
    for (const std::uint8_t type : {1, 2, 3}) {
        std::vector<std::uint8_t> tuples(3 * protection_bytes);
        repeat_tuple({1, 2, 0xFFFFFFFF}, type, tuples);
        EXPECT_EQ(load_tuple(tuples.data() + protection_bytes),
                  (ProtectionTuple{1, 2, type == 3 ? 0xFFFFFFFF : 0}));
    }
}

TEST(ProtectionInformation, SenseNamesTheTagAndTheBlock) {
    EXPECT_EQ(describe(protection_sense(ProtectionTag::guard, 5)), "b/10/01 info 0x5");
    EXPECT_EQ(describe(protection_sense(ProtectionTag::application, 5)), "b/10/02 info 0x5");
    EXPECT_EQ(describe(protection_sense(ProtectionTag::reference, 5)), "b/10/03 info 0x5");
    EXPECT_EQ(describe(protection_miscompare(ProtectionTag::guard, 5)), "e/10/01 info 0x5");
}

// --- What hosts are told ---

TEST(ProtectionPages, InquiryReadCapacityAndTheControlPageSayWhatTheUnitCanAndIs) {
    Asked unit;
    const auto inquiry_byte_5 = [&] { return int{(*unit.ask("12 00 00 00 ff 00"))[5]}; };
    const auto extended_byte_4 = [&] { return int{(*unit.ask("12 01 86 00 ff 00"))[4]}; };
    const auto capacity_byte_12 = [&] {
        return int{(*unit.ask("9e 10 0000000000000000 00000020 00 00"))[12]};
    };
    EXPECT_EQ(inquiry_byte_5() & 1, 0);
    EXPECT_EQ(extended_byte_4(), 0);
    EXPECT_EQ(capacity_byte_12(), 0);
    const auto extended_byte_7 = [&] { return int{(*unit.ask("12 01 86 00 ff 00"))[7]}; };
    const auto lengths = [&] {
        const auto page = *unit.ask("12 01 b4 00 ff 00");
        return std::pair{int{page[8]}, int{page[9]}};
    };
    EXPECT_EQ(extended_byte_7(), 0x01);
    EXPECT_EQ(lengths(), (std::pair{0x00, 0x01}));  // T0PS
    unit.state.protection.supported = true;
    EXPECT_EQ(extended_byte_7(), 0x21);             // NO_PI_CHK
    EXPECT_EQ(lengths(), (std::pair{0x0F, 0x0F}));  // NO_PI_CHK and all checks; T3PS to T0PS
    unit.state.settings.verify_protection = false;
    EXPECT_EQ(extended_byte_4(), 0x38);
    EXPECT_EQ(lengths(), (std::pair{0x08, 0x0F}));
    unit.state.settings.verify_protection = true;
    EXPECT_EQ(inquiry_byte_5() & 1, 1);
    EXPECT_EQ(extended_byte_4(), 0x3F);  // SPT 111b, GRD_CHK, APP_CHK, REF_CHK
    EXPECT_EQ(capacity_byte_12(), 0);
    for (const std::uint8_t type : {1, 2, 3}) {
        unit.state.protection.type = type;
        EXPECT_EQ(capacity_byte_12(), (type - 1) << 1 | 1);  // P_TYPE, PROT_EN
    }
}

TEST(ProtectionPages, AtoAndDpiczCanBeChangedOnlyWhereThereCanBeProtection) {
    Asked unit;
    const auto changeable = [&] { return *unit.ask("1a 08 4a 00 ff 00"); };
    EXPECT_EQ(changeable()[4 + 5] & 0x80, 0);
    EXPECT_EQ(changeable()[4 + 2] & 0x08, 0);
    unit.state.mode_pages.protection_changeable = true;
    EXPECT_EQ(changeable()[4 + 5] & 0x80, 0x80);
    EXPECT_EQ(changeable()[4 + 2] & 0x08, 0x08);
    auto list = *unit.ask("1a 08 0a 00 ff 00");
    list[0] = 0;
    list[2] = 0;
    list[4 + 5] |= 0x80;
    list[4 + 2] |= 0x08;
    const auto selected = unit.select("15 10 00 00 10 00", list);
    ASSERT_TRUE(selected) << describe(selected);
    EXPECT_TRUE(selected->application_tag_owner);
    EXPECT_TRUE(selected->protection_check_disabled);
}

}  // namespace
}  // namespace olio::scsi
