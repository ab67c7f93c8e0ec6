// COMPARE AND WRITE, ORWRITE, WRITE ATOMIC and WRITE STREAM with tuples on the wire.
#include <fmt/format.h>
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

constexpr std::size_t block_bytes = 512;
constexpr std::size_t wire_bytes = block_bytes + protection_bytes;
constexpr std::uint8_t aborted_command = 0xB;
constexpr std::uint8_t miscompare = 0xE;

enum Opcode : std::uint8_t {
    opcode_compare = 0x89,
    opcode_orwrite = 0x8B,
    opcode_stream = 0x9A,
    opcode_atomic = 0x9C,
};

Data pattern(std::size_t blocks, unsigned seed) {
    std::mt19937 random(seed);
    Data data(blocks * block_bytes);
    for (std::uint8_t& byte : data)
        byte = static_cast<std::uint8_t>(random());
    return data;
}

Data interleaved(const Data& data, std::uint32_t reference, std::uint16_t application = 0x1234) {
    const std::size_t blocks = data.size() / block_bytes;
    Data tuples(blocks * protection_bytes);
    scsi::generate_protection(data, tuples, block_bytes, {application, reference, 1});
    Data both(data.size() + tuples.size());
    scsi::interleave(data, tuples, block_bytes, both);
    return both;
}

Data joined(Data first, const Data& second) {
    first.insert(first.end(), second.begin(), second.end());
    return first;
}

Data cdb_16(Opcode opcode, std::uint8_t protect, std::uint64_t lba, std::uint16_t blocks) {
    Data cdb(16);
    cdb[0] = opcode;
    cdb[1] = static_cast<std::uint8_t>(protect << 5);
    store_be(cdb.data() + 2, lba);
    if (opcode == opcode_compare || opcode == opcode_orwrite)
        cdb[13] = static_cast<std::uint8_t>(blocks);
    if (opcode == opcode_orwrite)
        cdb[12] = static_cast<std::uint8_t>(blocks >> 8);
    else if (opcode != opcode_compare)
        store_be(cdb.data() + 12, blocks);
    return cdb;
}

class ProtectionAtomicTest : public ::testing::Test {
  protected:
    void format(std::uint8_t type) {
        medium = make_protected_medium(4096);
        medium->capabilities.maximum_atomic_bytes = 1 << 20;
        LogicalUnitOptions options;
        options.name = "protected";
        options.protection_type = type;
        unit = rig.add_unit(make_fake_store(medium), options);
        ASSERT_NE(unit, nullptr);
        nexus = &rig.add_nexus(0, {unit});
    }
    [[nodiscard]] ProtectionTuple tuple(std::uint64_t lba) {
        return load_tuple(medium->tuples->read(lba, 1).data());
    }
    void put(std::uint64_t lba, const ProtectionTuple& tuple) {
        Data bytes(protection_bytes);
        scsi::store_tuple(tuple, bytes.data());
        medium->tuples->write(lba, bytes);
    }
    void expect_failure(const TestCommand& command, unsigned additional, std::uint32_t information,
                        std::uint8_t key = aborted_command) {
        EXPECT_EQ(command.status, Status::check_condition);
        EXPECT_EQ(command.key(), key);
        EXPECT_EQ(command.additional(), additional) << std::hex << command.additional();
        EXPECT_EQ(command.information(), information);
    }
    Data read_with_tuples(std::uint64_t lba, std::uint32_t blocks) {
        Data cdb(16);
        cdb[0] = 0x88;
        cdb[1] = 0x20;
        store_be(cdb.data() + 2, lba);
        store_be(cdb.data() + 10, blocks);
        return rig.run(*nexus, cdb, {}, blocks * static_cast<std::uint32_t>(wire_bytes)).in;
    }

    EngineRig rig;
    std::shared_ptr<FakeMedium> medium;
    LogicalUnit* unit = nullptr;
    TestNexus* nexus = nullptr;
};

TEST_F(ProtectionAtomicTest, CompareAndWriteComparesDataAloneAndWritesTheSecondInstance) {
    for (const std::uint8_t type : {1, 3})
        for (const std::uint16_t blocks : {1, 7, 255}) {
            format(type);
            const Data before = pattern(blocks, 1);
            const Data next = interleaved(pattern(blocks, 2), 20, 0x4321);
            ASSERT_EQ(rig.write(*nexus, 20, before).status, Status::good);
            Data compared = interleaved(before, 999);  // its tuples are not used
            compared[block_bytes] ^= 1;
            ASSERT_EQ(rig.run(*nexus, cdb_16(opcode_compare, 1, 20, blocks), joined(compared, next))
                          .status,
                      Status::good);
            EXPECT_EQ(read_with_tuples(20, blocks), next);
        }
}

TEST_F(ProtectionAtomicTest, CompareAndWriteTellsWhereInWhatWasSentTheBlocksDiffer) {
    format(1);
    const Data before = pattern(3, 1);
    ASSERT_EQ(rig.write(*nexus, 20, before).status, Status::good);
    Data other = before;
    other[2 * block_bytes + 17] ^= 1;
    Data wrong = interleaved(pattern(3, 2), 20);
    wrong[block_bytes] ^= 1;  // would fail, were it looked at
    expect_failure(
        rig.run(*nexus, cdb_16(opcode_compare, 1, 20, 3), joined(interleaved(other, 20), wrong)),
        0x1D00, 2 * wire_bytes + 17, miscompare);
    EXPECT_EQ(rig.read(*nexus, 20, 3).in, before);
}

// The cells of WRPROTECT, for the instance that is written. Typed in: g, r.
TEST_F(ProtectionAtomicTest, CompareAndWriteChecksTheSecondInstanceAsWrprotectSays) {
    format(1);
    const std::array<std::string_view, 6> caught{"", "gr", "r", "", "g", "gr"};
    for (std::uint8_t field = 1; field < 6; ++field)
        for (const char tag : {'g', 'r'}) {
            const Data before = pattern(2, 77);
            ASSERT_EQ(rig.write(*nexus, 8, before).status, Status::good);
            Data next = interleaved(pattern(2, field), 8);
            next[wire_bytes + block_bytes + (tag == 'g' ? 0 : 7)] ^= 1;
            const TestCommand& command = rig.run(*nexus, cdb_16(opcode_compare, field, 8, 2),
                                                 joined(interleaved(before, 8), next));
            if (caught[field].contains(tag)) {
                expect_failure(command, tag == 'g' ? 0x1001 : 0x1003, 9);
                EXPECT_EQ(rig.read(*nexus, 8, 2).in, before);
            } else {
                EXPECT_EQ(command.status, Status::good) << int{field} << tag;
            }
        }
    EXPECT_EQ(rig.run(*nexus, cdb_16(opcode_compare, 1, 8, 1), Data(3 * wire_bytes)).additional(),
              0x2400U)
        << "more than it compares and writes";
}

TEST_F(ProtectionAtomicTest, OrwriteMakesNewGuardsAndKeepsTheTagsThatWereSent) {
    for (const std::uint8_t type : {1, 3})
        for (const std::uint16_t blocks : {1, 7, 700}) {
            format(type);
            const Data before = pattern(blocks, 1);
            const Data sent = pattern(blocks, 2);
            ASSERT_EQ(rig.write(*nexus, 30, before).status, Status::good);
            ASSERT_EQ(rig.run(*nexus, cdb_16(opcode_orwrite, 1, 30, blocks),
                              interleaved(sent, 30, 0x4321))
                          .status,
                      Status::good);
            Data both(before.size());
            for (std::size_t i = 0; i < both.size(); ++i)
                both[i] = before[i] | sent[i];
            EXPECT_EQ(read_with_tuples(30, blocks), interleaved(both, 30, 0x4321));
        }
}

// The cells of ORPROTECT: which wrong tag of what is sent (s) and of what is read (m) is caught.
TEST_F(ProtectionAtomicTest, OrwriteChecksBothSidesAsOrprotectSays) {
    format(1);
    const std::array<std::string_view, 6> caught{"", "gr", "r", "", "g", "gr"};
    for (std::uint8_t field = 1; field < 6; ++field)
        for (const char tag : {'g', 'r'})
            for (const bool on_medium : {false, true}) {
                const Data before = pattern(2, 77);
                ASSERT_EQ(rig.write(*nexus, 8, before).status, Status::good);
                Data sent = interleaved(pattern(2, field), 8);
                if (on_medium) {
                    ProtectionTuple wrong = tuple(9);
                    (tag == 'g' ? wrong.guard : wrong.application) ^= tag == 'g' ? 1 : 0;
                    wrong.reference ^= tag == 'r' ? 1 : 0;
                    put(9, wrong);
                } else {
                    sent[wire_bytes + block_bytes + (tag == 'g' ? 0 : 7)] ^= 1;
                }
                const TestCommand& command =
                    rig.run(*nexus, cdb_16(opcode_orwrite, field, 8, 2), sent);
                if (caught[field].contains(tag)) {
                    expect_failure(command, tag == 'g' ? 0x1001 : 0x1003, 9);
                    EXPECT_EQ(medium->read(8, 2), before);
                } else {
                    EXPECT_EQ(command.status, Status::good) << int{field} << tag << on_medium;
                }
            }
}

Data orwrite_32(std::uint8_t protect, std::uint32_t blocks, std::uint32_t expected,
                bool change = false, std::uint32_t next = 0, std::uint8_t policy = 0) {
    Data cdb(32);
    cdb[0] = 0x7F;
    cdb[2] = change ? 1 : 0;
    cdb[3] = policy;
    cdb[7] = 0x18;
    cdb[9] = 0x0E;
    cdb[10] = static_cast<std::uint8_t>(protect << 5);
    store_be(cdb.data() + 12, std::uint64_t{30});
    store_be(cdb.data() + 20, expected);
    store_be(cdb.data() + 24, next);
    store_be(cdb.data() + 28, blocks);
    return cdb;
}

// SBC-4 4.27: ORPROTECT changes what is checked, never what is done.
TEST_F(ProtectionAtomicTest, OrwriteMindsTheGenerationsWhateverOrprotectSays) {
    constexpr std::uint32_t current = 7;
    constexpr std::uint32_t previous = 0;
    constexpr std::uint32_t other = 3;
    struct Row {
        bool change;
        std::uint8_t policy;
        std::uint32_t expected;
        char result;  // O: ORed, A: ANDed, D: discarded, R: refused
    };
    constexpr std::array rows{
        Row{false, 7, current, 'O'},  Row{false, 7, previous, 'R'}, Row{false, 7, other, 'R'},
        Row{false, 2, previous, 'D'}, Row{false, 2, other, 'R'},    Row{false, 3, other, 'O'},
        Row{false, 5, other, 'D'},    Row{true, 7, current, 'A'},   Row{true, 7, previous, 'R'},
        Row{true, 3, other, 'R'},
    };
    for (const std::uint8_t protect : {0, 1})
        for (const std::uint16_t blocks : {1, 700})
            for (const Row& row : rows) {
                SCOPED_TRACE(fmt::format("ORPROTECT {}, {} blocks, change {}, policy {}, {}",
                                         protect, blocks, row.change, row.policy, row.expected));
                format(1);
                const Data before = pattern(blocks, 1);
                const Data sent = pattern(blocks, 2);
                const Data on_wire = protect == 0 ? sent : interleaved(sent, 30);
                ASSERT_EQ(rig.write(*nexus, 30, before).status, Status::good);
                ASSERT_EQ(
                    rig.run(*nexus, orwrite_32(protect, 0, 0, true, current, row.policy)).status,
                    Status::good)
                    << "a change without blocks";
                const TestCommand& command = rig.run(
                    *nexus, orwrite_32(protect, blocks, row.expected, row.change, 8, 7), on_wire);
                Data after = before;
                for (std::size_t i = 0; i < after.size(); ++i)
                    after[i] = row.result == 'O'   ? before[i] | sent[i]
                               : row.result == 'A' ? before[i] & sent[i]
                                                   : before[i];
                EXPECT_EQ(rig.read(*nexus, 30, blocks).in, after);
                if (row.result == 'R')
                    EXPECT_EQ(command.additional(), 0x2C0CU);
                else
                    EXPECT_EQ(command.status, Status::good);
                const std::uint32_t now = row.result == 'A' ? 8 : current;
                EXPECT_EQ(rig.run(*nexus, orwrite_32(protect, 0, now, true, 9, 7)).status,
                          Status::good)
                    << "it has the generation that it should have";
                EXPECT_EQ(rig.run(*nexus, cdb_16(opcode_orwrite, protect, 30, blocks), on_wire)
                              .additional(),
                          0x2C0CU)
                    << "ORWRITE(16) expects generation zero";
                Data reserved = orwrite_32(protect, blocks, 9);
                reserved[2] = 3;
                EXPECT_EQ(rig.run(*nexus, reserved, on_wire).additional(), 0x2400U);
                EXPECT_EQ(rig.run(*nexus, orwrite_32(protect, blocks, 9, true, 1, 1), on_wire)
                              .additional(),
                          0x2400U);
            }
}

TEST_F(ProtectionAtomicTest, WriteAtomicAndWriteStreamCarryTuplesAsWriteDoes) {
    const std::array<std::string_view, 6> caught{"", "gr", "r", "", "g", "gr"};
    for (const Opcode opcode : {opcode_atomic, opcode_stream}) {
        format(1);
        for (const std::uint16_t blocks : {1, 600}) {
            const Data both = interleaved(pattern(blocks, blocks), 40);
            ASSERT_EQ(rig.run(*nexus, cdb_16(opcode, 1, 40, blocks), both).status, Status::good);
            EXPECT_EQ(read_with_tuples(40, blocks), both);
        }
        const Data before = medium->read(40, 2);
        for (std::uint8_t field = 1; field < 6; ++field)
            for (const char tag : {'g', 'r'}) {
                Data both = interleaved(pattern(2, field), 40);
                both[wire_bytes + block_bytes + (tag == 'g' ? 0 : 7)] ^= 1;
                const TestCommand& command = rig.run(*nexus, cdb_16(opcode, field, 40, 2), both);
                if (caught[field].contains(tag)) {
                    expect_failure(command, tag == 'g' ? 0x1001 : 0x1003, 41);
                } else {
                    EXPECT_EQ(command.status, Status::good);
                    medium->write(40, before);
                }
                EXPECT_EQ(medium->read(40, 2), before);
            }
    }
    EXPECT_EQ(rig.run(
                     *nexus,
                     [] {
                         Data cdb = cdb_16(opcode_stream, 1, 0, 1);
                         cdb[11] = 9;  // a stream that nobody has opened
                         return cdb;
                     }(),
                     Data(wire_bytes))
                  .status,
              Status::check_condition);
}

TEST_F(ProtectionAtomicTest, TypeTwoTakesThemInTheirLongFormsWithTheTagsOfTheCdb) {
    format(2);
    for (const Opcode opcode : {opcode_compare, opcode_orwrite, opcode_atomic, opcode_stream})
        EXPECT_EQ(rig.run(*nexus, cdb_16(opcode, 1, 0, 1), Data(2 * wire_bytes)).additional(),
                  0x2000U)
            << int{opcode};
    for (const std::uint8_t action : {0x0F, 0x10}) {  // WRITE ATOMIC, WRITE STREAM (32)
        Data cdb(32);
        cdb[0] = 0x7F;
        cdb[7] = 0x18;
        cdb[9] = action;
        cdb[10] = 0x20;
        store_be(cdb.data() + 12, std::uint64_t{64});
        store_be(cdb.data() + 20, std::uint32_t{7000});
        store_be(cdb.data() + 28, std::uint32_t{3});
        const Data both = interleaved(pattern(3, action), 7000);
        ASSERT_EQ(rig.run(*nexus, cdb, both).status, Status::good);
        EXPECT_EQ(tuple(66).reference, 7002U);
        store_be(cdb.data() + 20, std::uint32_t{7001});
        expect_failure(rig.run(*nexus, cdb, both), 0x1003, 64);
    }
}

// What was there when the fence went up is what is compared and ORed.
TEST_F(ProtectionAtomicTest, AbortedBehindItsFenceTouchesNothing) {
    format(1);
    ASSERT_EQ(rig.write(*nexus, 0, pattern(2, 1)).status, Status::good);
    const Data before = read_with_tuples(0, 2);
    for (const Opcode opcode : {opcode_compare, opcode_orwrite, opcode_atomic}) {
        medium->hold(StoreOpcode::read);
        TestCommand& reading = rig.make(*nexus, read10(0, 2), {}, 1024);
        rig.start(reading, *nexus);
        ASSERT_TRUE(rig.wait(0, [&] { return medium->held() == 1; }));
        const Data instance = interleaved(pattern(2, 5), 0);
        TestCommand& command =
            rig.make(*nexus, cdb_16(opcode, 1, 0, 2),
                     opcode == opcode_compare ? joined(instance, instance) : instance);
        rig.start(command, *nexus);
        rig.settle();
        EXPECT_FALSE(command.ended()) << "the read is inside";
        rig.manage(*nexus, TaskManagementFunction::abort_task, command.tag, 0, false);
        medium->release();
        ASSERT_TRUE(rig.wait(0, [&] { return command.ended() && reading.ended(); }));
        EXPECT_TRUE(command.discarded);
        EXPECT_EQ(read_with_tuples(0, 2), before);
    }
}

}  // namespace
}  // namespace olio::target
