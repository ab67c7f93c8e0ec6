// Protection information through the engine: what is made, checked, stripped and carried for every
// type and PROTECT field, what hosts are told, and what races and aborts leave on the medium.
#include <gtest/gtest.h>

#include <random>

#include "target/engine_testing.h"

namespace olio::target {
namespace {

using namespace testing;
using scsi::load_tuple;
using scsi::protection_bytes;
using scsi::ProtectionTuple;
using scsi::Status;
using Data = std::vector<std::uint8_t>;

constexpr std::uint32_t block_bytes = 512;
constexpr std::uint8_t aborted_command = 0xB;
constexpr std::uint8_t miscompare = 0xE;

Data pattern(std::size_t blocks, unsigned seed) {
    std::mt19937 random(seed);
    Data data(blocks * block_bytes);
    for (std::uint8_t& byte : data)
        byte = static_cast<std::uint8_t>(random());
    return data;
}

// Each block with a right tuple behind it.
Data interleaved(const Data& data, std::uint32_t reference, std::uint16_t application = 0x1234,
                 std::uint32_t step = 1) {
    const std::size_t blocks = data.size() / block_bytes;
    Data tuples(blocks * protection_bytes);
    scsi::generate_protection(data, tuples, block_bytes, {application, reference, step});
    Data both(data.size() + tuples.size());
    scsi::interleave(data, tuples, block_bytes, both);
    return both;
}

Data cdb_10(std::uint8_t opcode, std::uint8_t protect, std::uint32_t lba, std::uint16_t blocks,
            std::uint8_t flags = 0) {
    Data cdb(10);
    cdb[0] = opcode;
    cdb[1] = static_cast<std::uint8_t>(protect << 5 | flags);
    store_be(cdb.data() + 2, lba);
    store_be(cdb.data() + 7, blocks);
    return cdb;
}

struct Expected {
    std::uint32_t reference = 0;
    std::uint16_t application = 0;
    std::uint16_t mask = 0;
};
Data cdb_32(std::uint8_t action, std::uint8_t protect, std::uint64_t lba, std::uint32_t blocks,
            Expected expected, std::uint8_t flags = 0) {
    Data cdb(32);
    cdb[0] = 0x7F;
    cdb[7] = 0x18;
    cdb[9] = action;
    cdb[10] = static_cast<std::uint8_t>(protect << 5 | flags);
    store_be(cdb.data() + 12, lba);
    store_be(cdb.data() + 20, expected.reference);
    store_be(cdb.data() + 24, expected.application);
    store_be(cdb.data() + 26, expected.mask);
    store_be(cdb.data() + 28, blocks);
    return cdb;
}
constexpr std::uint8_t read_32 = 0x09;
constexpr std::uint8_t verify_32 = 0x0A;
constexpr std::uint8_t write_32 = 0x0B;
constexpr std::uint8_t write_and_verify_32 = 0x0C;
constexpr std::uint8_t write_same_32 = 0x0D;
constexpr std::uint8_t byte_check = 0x02;
constexpr std::uint8_t byte_check_one = 0x06;

class ProtectionTest : public ::testing::TestWithParam<int> {
  protected:
    explicit ProtectionTest(unsigned shards = 1) : rig(shards) {}
    void format(std::uint8_t type, std::uint64_t blocks = 4096, bool borrows = false) {
        medium = make_protected_medium(blocks);
        medium->capabilities.borrows = borrows;
        LogicalUnitOptions options;
        options.name = "protected";
        options.protection_type = type;
        unit = rig.add_unit(make_fake_store(medium), options);
        ASSERT_NE(unit, nullptr);
        nexus = &rig.add_nexus(0, {unit});
    }
    void own_application_tags() {  // ATO = 1
        const TestCommand& sensed = rig.run(*nexus, {0x1A, 0x08, 0x0A, 0, 64, 0}, {}, 64);
        Data list = sensed.in;
        list.resize(16);
        list[0] = list[2] = 0;
        list[4] &= 0x7F;
        list[9] |= 0x80;
        ASSERT_EQ(rig.run(*nexus, {0x15, 0x10, 0, 0, 16, 0}, list).status, Status::good);
    }
    [[nodiscard]] ProtectionTuple tuple(std::uint64_t lba) {
        return load_tuple(medium->tuples->read(lba, 1).data());
    }
    void put(std::uint64_t lba, const ProtectionTuple& tuple) {
        Data bytes(protection_bytes);
        scsi::store_tuple(tuple, bytes.data());
        medium->tuples->write(lba, bytes);
    }
    [[nodiscard]] Status run(Data cdb, Data out = {}) {
        return rig.run(*nexus, std::move(cdb), std::move(out)).status;
    }
    void expect_failure(const TestCommand& command, unsigned additional, std::uint32_t lba,
                        std::uint8_t key = aborted_command) {
        EXPECT_EQ(command.status, Status::check_condition);
        EXPECT_EQ(command.key(), key);
        EXPECT_EQ(command.additional(), additional) << std::hex << command.additional();
        EXPECT_EQ(command.information(), lba);
    }

    EngineRig rig;
    std::shared_ptr<FakeMedium> medium;
    LogicalUnit* unit = nullptr;
    TestNexus* nexus = nullptr;
};

TEST_F(ProtectionTest, UnitsWithoutItRefuseItsBits) {
    medium = std::make_shared<FakeMedium>();
    unit = rig.add_unit(medium);
    nexus = &rig.add_nexus(0, {unit});
    for (const std::uint8_t opcode : {0x28, 0x2A, 0x2E, 0x2F, 0x41}) {
        const TestCommand& command = rig.run(*nexus, cdb_10(opcode, 1, 0, 1), Data(520), 520);
        EXPECT_EQ(command.additional(), 0x2400u) << int{opcode};
    }
    EXPECT_EQ(rig.run(*nexus, cdb_32(read_32, 0, 0, 1, {}), {}, 512).additional(), 0x2000u);
    LogicalUnitOptions options;
    options.protection_type = 1;
    EXPECT_EQ(rig.add_unit(make_fake_store(std::make_shared<FakeMedium>()), options), nullptr);
}

TEST_F(ProtectionTest, TypeTwoTakesProtectFieldsInItsLongCdbsAlone) {
    format(2);
    EXPECT_EQ(rig.run(*nexus, cdb_10(0x28, 1, 0, 1), {}, 520).additional(), 0x2000u);
    EXPECT_EQ(rig.run(*nexus, cdb_10(0x28, 0, 0, 1), {}, 512).status, Status::good);
    EXPECT_EQ(rig.run(*nexus, cdb_32(read_32, 1, 0, 1, {}), {}, 520).status, Status::good);
    for (const std::uint8_t reserved : {6, 7})
        EXPECT_EQ(rig.run(*nexus, cdb_32(read_32, reserved, 0, 1, {}), {}, 520).additional(),
                  0x2400u);
}

TEST_F(ProtectionTest, HostsThatKnowNothingOfItGetTheirDataProtected) {
    for (const std::uint8_t type : {1, 2, 3}) {
        format(type);
        const Data data = pattern(9, type);
        EXPECT_EQ(rig.write(*nexus, 100, data).status, Status::good);
        for (std::uint64_t block = 0; block < 9; ++block) {
            const Bytes bytes = Bytes(data).subspan(block * block_bytes, block_bytes);
            const std::uint32_t reference =
                type == 1 ? static_cast<std::uint32_t>(100 + block) : 0xFFFFFFFF;
            EXPECT_EQ(tuple(100 + block),
                      (ProtectionTuple{scsi::portable_guard_of(bytes), 0, reference}));
        }
        EXPECT_EQ(rig.read(*nexus, 100, 9).in, data);
        EXPECT_EQ(tuple(99), scsi::escape_tuple);
        EXPECT_EQ(tuple(109), scsi::escape_tuple);
    }
}

TEST_F(ProtectionTest, BlocksNeverWrittenReadWithoutCheck) {
    format(1);
    EXPECT_EQ(rig.read(*nexus, 0, 8).in, Data(4096, 0));
    const TestCommand& with = rig.run(*nexus, cdb_10(0x28, 1, 0, 1), {}, 520);
    EXPECT_EQ(with.status, Status::good);
    EXPECT_EQ(load_tuple(with.in.data() + 512), scsi::escape_tuple);
}

TEST_F(ProtectionTest, SilentCorruptionOfTheMediumIsFoundWithItsBlockAndTag) {
    for (const bool borrows : {false, true})
        for (const bool wide : {false, true}) {
            format(1, 4096, borrows);
            const std::uint32_t blocks = wide ? 3000 : 16;  // several chunks, or one
            const Data data = pattern(blocks, 5);
            ASSERT_EQ(rig.write(*nexus, 0, data).status, Status::good);
            Data block = medium->read(blocks - 3, 1);
            block[17] ^= 4;
            medium->write(blocks - 3, block);
            expect_failure(rig.read(*nexus, 0, blocks), 0x1001, blocks - 3);
            EXPECT_EQ(rig.read(*nexus, 0, blocks - 3).status, Status::good);
            block[17] ^= 4;
            medium->write(blocks - 3, block);
            ProtectionTuple moved = tuple(blocks - 3);
            moved.reference += 1;  // a block that was written to the wrong place
            put(blocks - 3, moved);
            expect_failure(rig.read(*nexus, 0, blocks), 0x1003, blocks - 3);
        }
}

TEST_F(ProtectionTest, TheMediumsErrorsComeFirst) {
    format(1);
    medium->fail_next(StoreOpcode::read, StoreStatus::medium_error, 3);
    EXPECT_EQ(rig.read(*nexus, 0, 8).additional(), 0x1100u);
    medium->tuples->fail_next(StoreOpcode::read, StoreStatus::medium_error, 3);
    EXPECT_EQ(rig.read(*nexus, 0, 8).additional(), 0x1100u);
    medium->tuples->fail_next(StoreOpcode::write, StoreStatus::no_space, 3);
    EXPECT_EQ(rig.write(*nexus, 0, pattern(1, 1)).additional(), 0x2707u);
}

// --- With tuples on the wire ---

TEST_F(ProtectionTest, TuplesTravelWithTheBlocksThereAndBack) {
    for (const std::uint8_t type : {1, 3})
        for (const std::uint32_t blocks : {1u, 7u, 600u, 2000u}) {
            format(type);
            const Data both = interleaved(pattern(blocks, blocks), 40);
            const auto count = static_cast<std::uint16_t>(blocks);
            ASSERT_EQ(run(cdb_10(0x2A, 1, 40, count), both), Status::good);
            EXPECT_EQ(tuple(40).application, 0x1234);
            const TestCommand& back = rig.run(*nexus, cdb_10(0x28, 1, 40, count), {}, blocks * 520);
            ASSERT_EQ(back.status, Status::good);
            EXPECT_EQ(back.in, both);
            EXPECT_EQ(back.residual_bytes, 0);
            EXPECT_EQ(rig.read(*nexus, 40, blocks).in, pattern(blocks, blocks));
        }
}

TEST_F(ProtectionTest, LengthsAreThoseWithTuples) {
    format(1);
    EXPECT_EQ(rig.run(*nexus, cdb_10(0x2A, 1, 0, 4), Data(4 * 512)).additional(), 0x0E03u);
    const TestCommand& cut = rig.run(*nexus, cdb_10(0x28, 1, 0, 4), {}, 2048);
    EXPECT_EQ(cut.status, Status::good);
    EXPECT_EQ(cut.residual_bytes, 2048 - 4 * 520);
    EXPECT_EQ(run(cdb_10(0x2A, 1, 0, 0)), Status::good);
    EXPECT_EQ(run(cdb_10(0x28, 1, 0, 0)), Status::good);
}

// The cells of the tables: which wrong tag each value of the field catches. Typed in: g, a, r.
TEST_F(ProtectionTest, WrprotectChecksWhatItsTableSaysAndWritesNothingElse) {
    format(1);
    const std::array<const char*, 6> caught{"", "gr", "r", "", "g", "gr"};
    for (std::uint8_t field = 1; field < 6; ++field)
        for (const char tag : {'g', 'r'}) {
            const Data before = pattern(2, 77);
            ASSERT_EQ(rig.write(*nexus, 8, before).status, Status::good);
            Data both = interleaved(pattern(2, field), 8);
            both[520 + 512 + (tag == 'g' ? 0 : 7)] ^= 1;
            const TestCommand& write = rig.run(*nexus, cdb_10(0x2A, field, 8, 2), both);
            if (std::string_view(caught[field]).contains(tag)) {
                expect_failure(write, tag == 'g' ? 0x1001 : 0x1003, 9);
                EXPECT_EQ(rig.read(*nexus, 8, 2).in, before);
            } else {
                EXPECT_EQ(write.status, Status::good) << int{field} << tag;
                EXPECT_EQ(rig.read(*nexus, 8, 2).status, Status::check_condition);
            }
        }
}

TEST_F(ProtectionTest, RdprotectChecksWhatItsTableSays) {
    format(1);
    const std::array<const char*, 6> caught{"gr", "gr", "r", "", "g", "gr"};
    for (std::uint8_t field = 0; field < 6; ++field)
        for (const char tag : {'g', 'r'}) {
            ASSERT_EQ(rig.write(*nexus, 8, pattern(2, 1)).status, Status::good);
            ProtectionTuple wrong = tuple(9);
            (tag == 'g' ? wrong.guard : wrong.application) ^= tag == 'g' ? 1 : 0;
            wrong.reference ^= tag == 'r' ? 1 : 0;
            put(9, wrong);
            const std::uint32_t bytes = field == 0 ? 1024 : 1040;
            const TestCommand& read = rig.run(*nexus, cdb_10(0x28, field, 8, 2), {}, bytes);
            if (std::string_view(caught[field]).contains(tag))
                expect_failure(read, tag == 'g' ? 0x1001 : 0x1003, 9);
            else
                EXPECT_EQ(read.status, Status::good) << int{field} << tag;
        }
}

TEST_F(ProtectionTest, TypeTwoChecksTheTagsThatTheCdbExpects) {
    format(2);
    const Data both = interleaved(pattern(4, 9), 0xFFFFFFFE);
    EXPECT_EQ(run(cdb_32(write_32, 1, 16, 4, {0xFFFFFFFE}), both), Status::good);
    EXPECT_EQ(rig.run(*nexus, cdb_32(read_32, 1, 16, 4, {0xFFFFFFFE}), {}, 2080).in, both);
    expect_failure(rig.run(*nexus, cdb_32(read_32, 1, 16, 4, {7}), {}, 2080), 0x1003, 16);
    expect_failure(rig.run(*nexus, cdb_32(read_32, 0, 16, 4, {7}), {}, 2048), 0x1003, 16);
    EXPECT_EQ(rig.run(*nexus, cdb_32(read_32, 0, 16, 4, {0xFFFFFFFE}), {}, 2048).in, pattern(4, 9));
    EXPECT_EQ(rig.run(*nexus, cdb_32(read_32, 1, 18, 2, {0}), {}, 1040).status, Status::good);
    expect_failure(rig.run(*nexus, cdb_32(write_32, 1, 16, 4, {5}), both), 0x1003, 16);
    EXPECT_EQ(rig.read(*nexus, 16, 4).status, Status::good) << "a CDB without tags checks none";
}

TEST_F(ProtectionTest, ApplicationTagsAreCheckedWhereTheyAreTheApplicationClients) {
    format(2);
    const Data both = interleaved(pattern(2, 9), 0, 0xAB12);
    ASSERT_EQ(run(cdb_32(write_32, 1, 0, 2, {0, 0xFFFF, 0xFFFF}), both), Status::good)
        << "ATO = 0: ignored";
    own_application_tags();
    EXPECT_EQ(rig.run(*nexus, cdb_32(read_32, 1, 0, 2, {0, 0xAB12, 0xFFFF}), {}, 1040).status,
              Status::good);
    EXPECT_EQ(rig.run(*nexus, cdb_32(read_32, 1, 0, 2, {0, 0xAB00, 0xFF00}), {}, 1040).status,
              Status::good);
    expect_failure(rig.run(*nexus, cdb_32(read_32, 1, 0, 2, {0, 0xAB13, 0xFFFF}), {}, 1040), 0x1002,
                   0);
    expect_failure(rig.run(*nexus, cdb_32(write_32, 2, 0, 2, {0, 0xAA12, 0xFF00}), both), 0x1002,
                   0);
    ASSERT_EQ(rig.write(*nexus, 0, pattern(1, 3)).status, Status::good);
    EXPECT_EQ(tuple(0).application, 0xFFFF) << "WRPROTECT = 000b with ATO = 1";
}

TEST_F(ProtectionTest, VerifyChecksTheMediumAndComparesBlocksAndTuples) {
    format(1);
    const Data both = interleaved(pattern(600, 4), 32);
    ASSERT_EQ(run(cdb_10(0x2A, 1, 32, 600), both), Status::good);
    EXPECT_EQ(run(cdb_10(0x2F, 1, 32, 600)), Status::good);
    EXPECT_EQ(run(cdb_10(0x2F, 1, 32, 600, byte_check), both), Status::good);
    Data other = both;
    other[599 * 520 + 3] ^= 1;  // the data: their guard fails first
    expect_failure(rig.run(*nexus, cdb_10(0x2F, 1, 32, 600, byte_check), other), 0x1001, 631);
    expect_failure(rig.run(*nexus, cdb_10(0x2F, 3, 32, 600, byte_check), other), 0x1D00,
                   599 * 520 + 3, miscompare);
    other = both;
    other[599 * 520 + 519] ^= 1;
    expect_failure(rig.run(*nexus, cdb_10(0x2F, 3, 32, 600, byte_check), other), 0x1003, 631,
                   miscompare);
    ProtectionTuple wrong = tuple(40);
    wrong.guard ^= 1;
    put(40, wrong);
    expect_failure(rig.run(*nexus, cdb_10(0x2F, 1, 32, 600)), 0x1001, 40);
    EXPECT_EQ(run(cdb_10(0x2F, 3, 32, 600)), Status::good);
    expect_failure(rig.run(*nexus, cdb_10(0x2F, 4, 32, 600, byte_check), both), 0x1001, 40,
                   miscompare);
}

TEST_F(ProtectionTest, VerifyComparesOneBlockWithAll) {
    format(1);
    const Data both = interleaved(pattern(1, 4), 50);
    ASSERT_EQ(run(cdb_10(0x41, 1, 50, 700), both), Status::good);  // WRITE SAME
    EXPECT_EQ(run(cdb_10(0x2F, 1, 50, 700, byte_check_one), both), Status::good);
    EXPECT_EQ(run(cdb_10(0x2F, 0, 50, 700, byte_check_one), pattern(1, 4)), Status::good);
    ProtectionTuple wrong = tuple(650);
    wrong.reference ^= 1;
    put(650, wrong);
    expect_failure(rig.run(*nexus, cdb_10(0x2F, 1, 50, 700, byte_check_one), both), 0x1003, 650,
                   miscompare);
}

TEST_F(ProtectionTest, WriteAndVerifyReadsBackWhatItWrote) {
    for (const std::uint8_t flags : {std::uint8_t{0}, byte_check}) {
        format(1);
        const Data both = interleaved(pattern(700, 4), 5);
        ASSERT_EQ(run(cdb_10(0x2E, 1, 5, 700, flags), both), Status::good);
        EXPECT_GT(medium->count(StoreOpcode::read), 0u);
        EXPECT_EQ(rig.run(*nexus, cdb_10(0x28, 1, 5, 700), {}, 700 * 520).in, both);
    }
    format(2);
    const Data both = interleaved(pattern(3, 4), 900);
    EXPECT_EQ(run(cdb_32(write_and_verify_32, 1, 5, 3, {900}, byte_check), both), Status::good);
    EXPECT_EQ(run(cdb_32(verify_32, 1, 5, 3, {900}), {}), Status::good);
    expect_failure(rig.run(*nexus, cdb_32(verify_32, 1, 5, 3, {901}), {}), 0x1003, 5);
}

TEST_F(ProtectionTest, WriteSameRepeatsTheTupleAndCountsItsReferenceTag) {
    for (const std::uint8_t type : {1, 3}) {
        format(type);
        const Data block = pattern(1, type);
        ASSERT_EQ(run(cdb_10(0x41, 1, 9, 1200), interleaved(block, 9)), Status::good);
        EXPECT_EQ(tuple(9).reference, 9u);
        EXPECT_EQ(tuple(9 + 1199).reference, type == 3 ? 9u : 9u + 1199);
        EXPECT_EQ(tuple(9 + 1199).application, 0x1234);
        EXPECT_EQ(tuple(9 + 1200), scsi::escape_tuple);
        EXPECT_EQ(rig.read(*nexus, 9 + 1199, 1).in, block);
        ASSERT_EQ(run(cdb_10(0x41, 0, 9, 8), block), Status::good);
        EXPECT_EQ(tuple(10).application, 0);
        EXPECT_EQ(rig.read(*nexus, 9, 1200).status, Status::good);
        Data wrong = interleaved(block, 9);
        wrong[512] ^= 1;
        expect_failure(rig.run(*nexus, cdb_10(0x41, 1, 9, 1200), wrong), 0x1001, 9);
    }
    format(2);
    ASSERT_EQ(run(cdb_32(write_same_32, 1, 0, 5, {70}), interleaved(pattern(1, 1), 70)),
              Status::good);
    EXPECT_EQ(tuple(4).reference, 74u);
    ASSERT_EQ(run(cdb_32(write_same_32, 0, 0, 5, {}, 0x01)), Status::good) << "NDOB";
    EXPECT_EQ(rig.read(*nexus, 0, 5).in, Data(5 * 512, 0));
}

TEST_F(ProtectionTest, UnmappedBlocksLoseTheirTuples) {
    format(1);
    ASSERT_EQ(rig.write(*nexus, 0, pattern(3000, 1)).status, Status::good);
    Data list(24);
    list[1] = 22;
    list[3] = 16;
    store_be(list.data() + 8, std::uint64_t{2});
    store_be(list.data() + 16, std::uint32_t{2500});
    ASSERT_EQ(run({0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0}, list), Status::good);
    EXPECT_NE(tuple(1), scsi::escape_tuple);
    for (const std::uint64_t lba : {2, 1500, 2501})
        EXPECT_EQ(tuple(lba), scsi::escape_tuple) << lba;
    EXPECT_NE(tuple(2502), scsi::escape_tuple);
    EXPECT_EQ(rig.read(*nexus, 0, 3000).status, Status::good);
    ASSERT_EQ(run(cdb_10(0x41, 0, 2600, 100, 0x08), Data(512, 0)), Status::good);  // UNMAP = 1
    EXPECT_EQ(tuple(2650), scsi::escape_tuple);
    ASSERT_EQ(run(cdb_10(0x41, 0, 2600, 100), Data(512, 0)), Status::good);
    EXPECT_EQ(tuple(2650), (ProtectionTuple{0, 0, 2650}));
}

TEST_F(ProtectionTest, CompareAndWriteKeepsTuplesRight) {
    format(1);
    Data both = pattern(2, 1);
    const Data next = pattern(2, 2);
    ASSERT_EQ(rig.write(*nexus, 3, both).status, Status::good);
    both.insert(both.end(), next.begin(), next.end());
    ASSERT_EQ(run(compare_and_write(3, 2), both), Status::good);
    EXPECT_EQ(rig.run(*nexus, cdb_10(0x28, 1, 3, 2), {}, 1040).in, interleaved(next, 3, 0));
}

TEST_F(ProtectionTest, FlushesReachBothFiles) {
    format(1);
    medium->forget_records();
    ASSERT_EQ(run({0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0}), Status::good);
    EXPECT_EQ(medium->count(StoreOpcode::flush), 1u);
    EXPECT_EQ(medium->tuples->count(StoreOpcode::flush), 1u);
    ASSERT_EQ(run(write10(0, 1, true), pattern(1, 1)), Status::good);
    EXPECT_TRUE(medium->records().back().fua);
    EXPECT_TRUE(medium->tuples->records().back().fua);
}

// --- Races and aborts: a block and its tuple are never torn apart ---

TEST_F(ProtectionTest, AReadThatMeetsAWriteReadsAgainInsteadOfFailing) {
    for (const std::uint8_t field : {0, 1, 3}) {
        format(1);
        ASSERT_EQ(rig.write(*nexus, 0, pattern(4, 1)).status, Status::good);
        medium->tuples->hold(StoreOpcode::write);
        TestCommand& write = rig.make(*nexus, write10(0, 4), pattern(4, 2));
        rig.start(write, *nexus);
        ASSERT_TRUE(rig.wait(0, [&] { return medium->tuples->held() == 1; }));
        const std::uint32_t bytes = field == 0 ? 2048 : 2080;
        TestCommand& read = rig.make(*nexus, cdb_10(0x28, field, 0, 4), {}, bytes);
        rig.start(read, *nexus);
        rig.settle();
        EXPECT_FALSE(read.ended()) << "new data beside old tuples";
        medium->tuples->release();
        ASSERT_TRUE(rig.wait(0, [&] { return read.ended() && write.ended(); }));
        EXPECT_EQ(read.status, Status::good);
        EXPECT_TRUE(std::ranges::equal(Bytes(read.in).first(512), Bytes(write.out).first(512)));
    }
}

TEST_F(ProtectionTest, OverlappingWritesLeaveOneOrTheOtherNotBoth) {
    format(1);
    medium->tuples->hold(StoreOpcode::write);
    TestCommand& first = rig.make(*nexus, write10(4, 8), pattern(8, 1));
    TestCommand& second = rig.make(*nexus, write10(0, 8), pattern(8, 2));
    rig.start(first, *nexus);
    rig.start(second, *nexus);
    rig.settle();
    EXPECT_EQ(medium->count(StoreOpcode::write), 1u) << "the second waits for the first";
    medium->tuples->release();
    ASSERT_TRUE(rig.wait(0, [&] { return first.ended() && second.ended(); }));
    EXPECT_EQ(rig.read(*nexus, 0, 12).status, Status::good);
}

TEST_F(ProtectionTest, AnAbortedWriteLeavesNoBlockWithoutItsTuple) {
    for (const bool data_first : {false, true}) {
        format(1);
        ASSERT_EQ(rig.write(*nexus, 0, pattern(8, 1)).status, Status::good);
        FakeMedium& slow = data_first ? *medium->tuples : *medium;
        medium->obey_cancel(true);
        medium->tuples->obey_cancel(true);
        slow.hold(StoreOpcode::write);
        TestCommand& write = rig.make(*nexus, write10(0, 8), pattern(8, 2));
        rig.start(write, *nexus);
        ASSERT_TRUE(rig.wait(0, [&] { return slow.held() == 1; }));
        rig.manage(*nexus, TaskManagementFunction::abort_task, write.tag, 0, false);
        rig.settle();
        EXPECT_EQ(slow.held(), 1u);
        slow.release();
        ASSERT_TRUE(rig.wait(0, [&] { return write.ended(); }));
        EXPECT_EQ(rig.read(*nexus, 0, 8).status, Status::good);
    }
}

TEST_F(ProtectionTest, MoreRequestsThanAChannelHasPlacesForAreServedInTurn) {
    format(1);
    medium->hold(StoreOpcode::read);
    std::vector<TestCommand*> reads;
    for (std::uint32_t i = 0; i < 200; ++i) {
        reads.push_back(&rig.make(*nexus, read10(i, 1), {}, 512));
        rig.start(*reads.back(), *nexus);
    }
    rig.settle();
    medium->release();
    ASSERT_TRUE(rig.wait(0, [&] {
        return std::ranges::all_of(reads, [](const TestCommand* read) { return read->ended(); });
    }));
    for (const TestCommand* read : reads)
        EXPECT_EQ(read->status, Status::good);
}

class ProtectionShardsTest : public ProtectionTest {
  protected:
    ProtectionShardsTest() : ProtectionTest(2) {}
};

TEST_F(ProtectionShardsTest, WritesOfTwoShardsToTheSameBlocksNeverCorruptThem) {
    format(1, 64);
    TestNexus* const nexuses[] = {nexus, &rig.add_nexus(1, {unit})};
    for (int round = 0; round < 300; ++round) {
        std::array<TestCommand*, 4> commands{};
        for (unsigned i = 0; i < 4; ++i) {
            TestNexus& by = *nexuses[i % 2];
            const auto seed = static_cast<unsigned>(round * 4) + i;
            commands[i] = i < 3 ? &rig.make(by, write10(seed % 5, 40), pattern(40, seed))
                                : &rig.make(by, read10(0, 64), {}, 64 * 512);
        }
        for (unsigned i = 0; i < 4; ++i)
            rig.start(*commands[i], *nexuses[i % 2]);
        for (unsigned i = 0; i < 4; ++i) {
            ASSERT_TRUE(rig.wait(i % 2, [&] { return commands[i]->ended(); }));
            ASSERT_EQ(commands[i]->status, Status::good) << std::hex << commands[i]->additional();
        }
        ASSERT_EQ(rig.read(*nexus, 0, 64).status, Status::good);
    }
}

}  // namespace
}  // namespace olio::target
