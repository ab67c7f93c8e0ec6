// EXTENDED COPY between logical units, and what must not be possible by it.
#include "target/copy_manager.h"

#include <gtest/gtest.h>

#include "base/limits.h"
#include "target/copy_manager_testing.h"

namespace olio::target {
namespace {

using namespace testing;
using scsi::Status;
using scsi::testing::block_to_block;
using scsi::testing::bytes_to_bytes;
using scsi::testing::cscd;
using scsi::testing::Descriptors;
using scsi::testing::lid1_list;
using scsi::testing::lid4_list;
using scsi::testing::Naa;
using Function = TaskManagementFunction;

constexpr std::uint16_t own = scsi::receiving_unit_id;

TEST_F(Copies, BlocksGoFromOneLogicalUnitToAnother) {
    const Bytestring data = pattern(512 * 3000, 1);  // more than one piece
    media[0]->write(100, data);
    EXPECT_EQ(copy({block_to_block(0, 1, 3000, 100, 5)}).status, Status::good);
    EXPECT_EQ(media[1]->read(5, 3000), data);
    EXPECT_EQ(media[1]->read(4, 1), Bytestring(512));
    EXPECT_EQ(media[1]->read(3005, 1), Bytestring(512));
    EXPECT_EQ(media[0]->read(100, 3000), data);
}

TEST_F(Copies, AnyOfTheLogicalUnitsMayReceiveTheCommand) {
    media[0]->write(0, pattern(512, 1));
    EXPECT_EQ(copy({block_to_block(0, 1, 1, 0, 1)}, 1).status, Status::good);
    EXPECT_EQ(copy({block_to_block(0, 1, 1, 0, 2)}, 2).status, Status::good);
    EXPECT_EQ(copy({block_to_block(own, 1, 1, 0, 3)}, 0).status, Status::good);
    for (const std::uint64_t lba : {1, 2, 3})
        EXPECT_EQ(media[1]->read(lba, 1), pattern(512, 1)) << lba;
}

TEST_F(Copies, SegmentsAreProcessedInTheirOrder) {
    media[0]->write(0, pattern(512, 1));
    EXPECT_EQ(copy({block_to_block(0, 1, 1, 0, 0), block_to_block(1, 1, 1, 0, 7),
                    block_to_block(1, 0, 1, 7, 9), scsi::testing::verify_device(1, true)})
                  .status,
              Status::good);
    EXPECT_EQ(media[0]->read(9, 1), pattern(512, 1));
}

TEST_F(Copies, AnEmptyListDoesNothing) {
    EXPECT_EQ(rig.run(*nexus, copy_cdb(0, 0)).status, Status::good);
}

// Known defect 13: LIO took near-equal serial numbers for one unit and copied LUN 0 to itself.
TEST_F(Copies, KnownDefect13NearEqualDesignatorsAreDifferentUnits) {
    for (std::uint8_t i = 0; i < 3; ++i)
        media[i]->write(0, pattern(media[i]->read(0, 1).size(), i));
    EXPECT_EQ(copy({block_to_block(1, 0, 1, 0, 50)}).status, Status::good);
    EXPECT_EQ(media[0]->read(50, 1), pattern(512, 1));
    Bytestring similar = cscd(naa(1));
    similar[8 + 15] ^= 0x40;
    EXPECT_EQ(copy(lid1_list({cscd(naa(0)), similar}, {block_to_block(0, 1, 1, 0, 60)}), *nexus)
                  .additional(),
              0x0D02u);
}

// CVE-2020-28374 (LIO) and CVE-2021-3139 (tcmu-runner): any LUN of the host could be read and
// written by who knew its designator.
TEST_F(Copies, Cve202028374UnitsOutsideTheInitiatorsMapAreNotReached) {
    TestNexus& narrow = rig.add_nexus(1, {units[0]});
    media[0]->write(0, pattern(512, 1));
    media[1]->write(0, pattern(512, 2));
    for (const auto& [from, to] : {std::pair<std::uint16_t, std::uint16_t>{0, 1}, {1, 0}}) {
        TestCommand& command = copy(lid1_list(all(), {block_to_block(from, to, 1, 0, 9)}), narrow);
        EXPECT_EQ(command.status, Status::check_condition);
        EXPECT_EQ(command.key(), 0xA);
        EXPECT_EQ(command.additional(), 0x0D02u);
    }
    EXPECT_EQ(media[1]->read(9, 1), Bytestring(512));
    EXPECT_EQ(media[0]->read(9, 1), Bytestring(512));
    EXPECT_EQ(media[1]->count(StoreOpcode::read) + media[1]->count(StoreOpcode::write), 0u);
}

TEST_F(Copies, Cve20213139AUnitThatLeavesTheMapIsOutOfReachAtOnce) {
    media[0]->write(0, pattern(512 * 4096, 1));
    media[0]->hold(StoreOpcode::read);
    TestCommand& command = make_copy(lid1_list(all(), {block_to_block(0, 1, 4096, 0, 0)}), *nexus);
    rig.start(command, *nexus);
    ASSERT_TRUE(rig.wait(0, [&] { return media[0]->held() == 1; }));
    // LUN 1 is another unit now.
    rig.on(0, [&] {
        nexus->nexus->set_lun_map(*LunMap::make({{0, units[0], false}, {1, units[2], false}}));
    });
    media[0]->release();
    ASSERT_TRUE(rig.wait(0, [&] { return command.ended(); }));
    EXPECT_EQ(command.additional(), 0x0D02u);
    EXPECT_EQ(media[1]->count(StoreOpcode::write), 0u);
    EXPECT_EQ(media[2]->count(StoreOpcode::write), 0u);
}

TEST_F(Copies, AWriteProtectedDestinationIsNotWritten) {
    rig.on(0, [&] { units[1]->set_write_protected(true, [](Result<void>) {}); });
    rig.settle();
    EXPECT_EQ(reported(copy({block_to_block(0, 1, 1, 0, 0)})), "0d01: 02 7/27/00");
    rig.on(0, [&] { units[1]->set_write_protected(false, [](Result<void>) {}); });
    rig.settle();
    // For this initiator alone.
    rig.on(0, [&] {
        nexus->nexus->set_lun_map(*LunMap::make({{0, units[0], false}, {1, units[1], true}}));
    });
    rig.run(*nexus, test_unit_ready);  // takes REPORTED LUNS DATA HAS CHANGED
    EXPECT_EQ(reported(copy({block_to_block(0, 1, 1, 0, 0)})), "0d01: 02 7/27/00");
    EXPECT_EQ(media[1]->count(StoreOpcode::write), 0u);
    EXPECT_EQ(copy({block_to_block(1, 0, 1, 0, 0)}).status, Status::good);  // it may be read
}

TEST_F(Copies, ReservationsOfOthersHoldOnBothSides) {
    TestNexus& other = rig.add_nexus(1, units);
    rig.run(other, {0x16, 0, 0, 0, 0, 0}, {}, 0, 1);
    EXPECT_EQ(reported(copy({block_to_block(0, 1, 1, 0, 0)})), "0d01: 18 0/00/00");
    EXPECT_EQ(reported(copy({block_to_block(1, 0, 1, 0, 0)})), "0d01: 18 0/00/00");
    EXPECT_EQ(copy({block_to_block(0, 2, 8, 0, 0)}, 1).status, Status::reservation_conflict);
    EXPECT_EQ(copy(lid1_list(all(), {block_to_block(0, 1, 1, 0, 0)}), other).status, Status::good);
}

TEST_F(Copies, UnitAttentionsStayWithTheInitiator) {
    rig.on(0, [&] { units[1]->set_write_protected(true, [](Result<void>) {}); });
    rig.on(0, [&] { units[1]->set_write_protected(false, [](Result<void>) {}); });
    rig.settle();
    EXPECT_EQ(copy({block_to_block(0, 1, 1, 0, 0)}).status, Status::good);
    EXPECT_EQ(rig.run(*nexus, test_unit_ready, {}, 0, 1).additional(), 0x2A01u);
}

TEST_F(Copies, RangesThatAreNotThereEndTheCopyBeforeItBegins) {
    for (const auto& segment :
         {block_to_block(0, 1, 2, 8191, 0), block_to_block(0, 1, 2, 0, 8191)}) {
        TestCommand& command = copy({block_to_block(0, 1, 1, 0, 0), segment});
        EXPECT_EQ(command.key(), 0xA);
        EXPECT_EQ(command.additional(), 0u);
        EXPECT_EQ(command.sense_storage[11], 1u);  // the segment
    }
    EXPECT_EQ(media[1]->count(StoreOpcode::write), 0u);
}

TEST_F(Copies, OverlappingRangesAreCopiedAsIfAllWereReadFirst) {
    const Bytestring data = pattern(512 * 5000, 3);
    for (const auto& [from, to] : {std::pair<std::uint64_t, std::uint64_t>{10, 11},
                                   {10, 2500},
                                   {11, 10},
                                   {2500, 10},
                                   {10, 10}}) {
        media[0]->write(from, data);
        EXPECT_EQ(copy({block_to_block(0, own, 5000, from, to)}).status, Status::good);
        EXPECT_EQ(media[0]->read(to, 5000), data) << from << " to " << to;
    }
}

TEST_F(Copies, BlockLengthsMayDiffer) {
    const Bytestring data = pattern(4096 * 400, 4);
    media[0]->write(3, data);
    EXPECT_EQ(copy({block_to_block(0, 2, 3200, 3, 2)}).status, Status::good);
    EXPECT_EQ(media[2]->read(2, 400), data);
    EXPECT_EQ(copy({block_to_block(2, 1, 400, 2, 8)}).status, Status::good);
    EXPECT_EQ(media[1]->read(8, 3200), data);
}

TEST_F(Copies, WhatIsLeftOfABlockIsPaddedWithZeros) {
    media[2]->write(0, Bytestring(8192, 0xEE));
    media[0]->write(0, pattern(512 * 9, 5));
    Descriptors descriptors = all();
    descriptors[2][28] = 0x04;  // PAD
    EXPECT_EQ(copy(lid1_list(descriptors, {block_to_block(0, 2, 9, 0, 0)}), *nexus).status,
              Status::good);
    Bytestring expected = pattern(512 * 9, 5);
    expected.resize(8192);
    EXPECT_EQ(media[2]->read(0, 2), expected);
}

TEST_F(Copies, AnyByteRangeCanBeCopiedAndNothingBesideItChanges) {
    const Bytestring source = pattern(512 * 4200, 6);
    const Bytestring before = pattern(4096 * 600, 7);
    media[0]->write(0, source);
    struct Range {
        std::uint32_t bytes, source_byte, destination_byte;
    };
    for (const Range& range : {Range{1, 0, 0},
                               {511, 3, 4095},
                               {512, 512, 512},
                               {4096, 1, 4096},
                               {9000, 700, 5},
                               {2000000, 13, 4099},
                               {1 << 20, 4096, 8192}}) {
        media[2]->write(0, before);
        Bytestring expected = before;
        std::copy_n(source.begin() + range.source_byte, range.bytes,
                    expected.begin() + range.destination_byte);
        EXPECT_EQ(copy({bytes_to_bytes(0, 2, range.bytes, range.source_byte / 512,
                                       range.source_byte % 512, range.destination_byte / 4096,
                                       range.destination_byte % 4096)})
                      .status,
                  Status::good);
        EXPECT_EQ(media[2]->read(0, 600), expected) << range.bytes;
    }
}

TEST_F(Copies, OverlappingByteRangesWithinOneUnit) {
    for (const auto& [from, to] :
         {std::pair<std::uint32_t, std::uint32_t>{5, 700}, {700, 5}, {100, 101}, {512, 1}}) {
        Bytestring expected = pattern(512 * 3000, 8);
        media[0]->write(0, expected);
        std::memmove(expected.data() + to, expected.data() + from, 1300000);
        EXPECT_EQ(
            copy({bytes_to_bytes(0, 0, 1300000, from / 512, static_cast<std::uint16_t>(from % 512),
                                 to / 512, static_cast<std::uint16_t>(to % 512))})
                .status,
            Status::good);
        EXPECT_EQ(media[0]->read(0, 3000), expected) << from << " to " << to;
    }
}

TEST_F(Copies, APartOfABlockThatAnotherWritesIsReadAnew) {
    media[0]->write(0, Bytestring(512, 0xAA));
    media[1]->write(0, Bytestring(512, 0x11));
    media[1]->hold(StoreOpcode::read);
    TestCommand& command =
        make_copy(lid1_list(all(), {bytes_to_bytes(0, 1, 8, 0, 0, 0, 8)}), *nexus);
    rig.start(command, *nexus);
    ASSERT_TRUE(rig.wait(0, [&] { return media[1]->held() == 1; }));
    // The block is read, and looked at once more before it is written; in between somebody writes.
    media[1]->let_pass();
    ASSERT_TRUE(rig.wait(0, [&] { return media[1]->held() == 1; }));
    media[1]->write(0, Bytestring(512, 0x22));
    media[1]->release();
    ASSERT_TRUE(rig.wait(0, [&] { return command.ended(); }));
    EXPECT_EQ(command.status, Status::good);
    Bytestring expected(512, 0x22);
    std::fill_n(expected.begin() + 8, 8, std::uint8_t{0xAA});
    EXPECT_EQ(media[1]->read(0, 1), expected);
}

TEST_F(Copies, ErrorsOfTheStoreNameTheSideAndTheSegment) {
    media[0]->fail_next(StoreOpcode::read, StoreStatus::medium_error, 0);
    TestCommand& read = copy({block_to_block(0, 1, 1, 0, 0)});
    EXPECT_EQ(reported(read), "0d01: 02 3/11/00");
    EXPECT_EQ(read.sense_storage[8], 18);  // the source's
    EXPECT_EQ(read.sense_storage[9], 0);
    media[1]->fail_next(StoreOpcode::write, StoreStatus::no_space);
    TestCommand& written = copy({block_to_block(0, 1, 0, 0, 0), block_to_block(0, 1, 2, 0, 0)});
    EXPECT_EQ(reported(written), "0d01: 02 7/27/07");
    EXPECT_EQ(written.sense_storage[8], 0);
    EXPECT_EQ(written.sense_storage[9], 18);
    EXPECT_EQ(written.sense_storage[11], 1);  // the segment
    EXPECT_EQ(written.information(), 1024u);  // bytes not written
}

TEST_F(Copies, ACopyWaitsBehindCompareAndWrite) {
    media[1]->hold(StoreOpcode::read);
    Bytestring both(1024);
    std::fill_n(both.begin() + 512, 512, std::uint8_t{0x77});
    TestCommand& compare = rig.make(*nexus, compare_and_write(4, 1), both, 0, 1);
    rig.start(compare, *nexus);
    ASSERT_TRUE(rig.wait(0, [&] { return media[1]->held() == 1; }));
    media[0]->write(0, pattern(512, 9));
    TestCommand& command = make_copy(lid1_list(all(), {block_to_block(0, 1, 1, 0, 4)}), *nexus);
    rig.start(command, *nexus);
    rig.settle();
    EXPECT_EQ(media[1]->count(StoreOpcode::write), 0u);
    media[1]->release();
    ASSERT_TRUE(rig.wait(0, [&] { return command.ended() && compare.ended(); }));
    EXPECT_EQ(compare.status, Status::good);
    EXPECT_EQ(media[1]->read(4, 1), pattern(512, 9));
}

// --- The end before the end ---

struct CopiesEndedBy : Copies, ::testing::WithParamInterface<Function> {};

TEST_P(CopiesEndedBy, ATaskManagementFunctionWriteNothingAfterItsAnswer) {
    media[0]->write(0, pattern(512 * 4096, 1));
    for (const bool during_write : {false, true}) {
        const std::size_t side = during_write ? 1 : 0;
        media[side]->hold(during_write ? StoreOpcode::write : StoreOpcode::read);
        media[1]->forget_records();
        TestCommand& command =
            make_copy(lid1_list(all(), {block_to_block(0, 1, 4096, 0, 0)}), *nexus);
        rig.start(command, *nexus);
        ASSERT_TRUE(rig.wait(0, [&] { return media[side]->held() == 1; }));
        EXPECT_EQ(rig.manage(*nexus, GetParam(), command.tag).response,
                  TaskManagementResponse::function_complete);
        // A write that the store has may still end, but a read behind it waits for that.
        TestCommand& after = rig.make(*nexus, read10(0, 1), {}, 512, 1);
        if (GetParam() == Function::abort_task && during_write) {
            rig.start(after, *nexus);
            rig.settle();
            EXPECT_EQ(after.stage(), CommandStage::fenced);
        }
        media[side]->release();
        ASSERT_TRUE(rig.wait(0, [&] { return command.returned; }));
        EXPECT_TRUE(command.discarded);
        rig.settle();
        EXPECT_LE(media[1]->count(StoreOpcode::write), during_write ? 1u : 0u);
        for (const std::uint32_t lun : {0, 1, 2})
            rig.run(*nexus, test_unit_ready, {}, 0, lun);
    }
    EXPECT_EQ(copy({block_to_block(0, 1, 4096, 0, 0)}).status, Status::good);
}

INSTANTIATE_TEST_SUITE_P(Functions, CopiesEndedBy,
                         ::testing::Values(Function::abort_task, Function::abort_task_set,
                                           Function::clear_task_set, Function::logical_unit_reset,
                                           Function::target_reset, Function::i_t_nexus_reset),
                         [](const auto& one) {
                             return "Function" + std::to_string(static_cast<int>(one.param));
                         });

TEST_F(Copies, AResetOfTheDestinationByAnotherEndsTheCopyWithAnError) {
    TestNexus& other = rig.add_nexus(1, units);
    media[0]->write(0, pattern(512, 1));
    media[1]->hold(StoreOpcode::write);
    TestCommand& command = make_copy(lid1_list(all(), {block_to_block(0, 1, 4096, 0, 0)}), *nexus);
    rig.start(command, *nexus);
    ASSERT_TRUE(rig.wait(0, [&] { return media[1]->held() == 1; }));
    rig.manage(other, Function::logical_unit_reset, 0, 1);
    media[1]->release();
    ASSERT_TRUE(rig.wait(0, [&] { return command.ended(); }));
    EXPECT_EQ(reported(command), "0d01: 40 0/00/00");
    EXPECT_EQ(media[1]->count(StoreOpcode::write), 1u);
}

TEST_F(Copies, TheEndOfTheSessionEndsThem) {
    media[0]->hold(StoreOpcode::read);
    rig.start(make_copy(lid1_list(all(), {block_to_block(0, 1, 4096, 0, 0)}), *nexus), *nexus);
    const Bytestring list = lid4_list(all(), {block_to_block(0, 1, 4096, 0, 0)}, 7, true);
    EXPECT_EQ(rig.run(*nexus, copy_cdb(1, list.size()), list).status, Status::good);
    ASSERT_TRUE(rig.wait(0, [&] { return media[0]->held() == 2; }));
    bool fenced = false;
    rig.on(0, [&] { nexus->nexus->close([&] { fenced = true; }, [&] { nexus->drained = true; }); });
    ASSERT_TRUE(rig.wait(0, [&] { return fenced; }));
    media[0]->release();
    ASSERT_TRUE(rig.wait(0, [&] { return nexus->drained; }));
    EXPECT_EQ(media[1]->count(StoreOpcode::write), 0u);
    rig.close(*nexus);
}

// --- Results, list identifiers, background ---

TEST_F(Copies, ResultsCanBeAskedForByTheListIdentifier) {
    EXPECT_EQ(rig.run(*nexus, results_cdb(0, 1), {}, 64).additional(), 0x2400u);
    EXPECT_EQ(copy({block_to_block(0, 1, 9, 0, 0), block_to_block(0, 1, 1, 0, 0)}).status,
              Status::good);
    EXPECT_EQ(rig.run(*nexus, results_cdb(0, 1), {}, 64).in,
              (Bytestring{0, 0, 0, 8, 1, 0, 2, 0, 0, 0, 0x14, 0}));
    EXPECT_EQ(rig.run(*nexus, results_cdb(4, 1), {}, 64).in, Bytestring(4));
    // They are those of this nexus and this logical unit.
    EXPECT_EQ(rig.run(*nexus, results_cdb(0, 1), {}, 64, 1).additional(), 0x2400u);
    TestNexus& other = rig.add_nexus(0, units);
    EXPECT_EQ(rig.run(other, results_cdb(0, 1), {}, 64).additional(), 0x2400u);
}

TEST_F(Copies, FailureDetailsAreTheSenseDataOfTheCommand) {
    media[1]->fail_next(StoreOpcode::write, StoreStatus::no_space);
    TestCommand& command = copy({block_to_block(0, 1, 1, 0, 0)});
    EXPECT_EQ(rig.run(*nexus, results_cdb(0, 1), {}, 64).in[4], 2);
    TestCommand& details = rig.run(*nexus, results_cdb(4, 1), {}, 256);
    ASSERT_EQ(details.in.size(), 60 + command.sense_storage.size());
    EXPECT_EQ(details.in[56], 0x02);
    EXPECT_TRUE(std::equal(command.sense_storage.begin(), command.sense_storage.end(),
                           details.in.begin() + 60));
}

TEST_F(Copies, DataAreHeldForWhoAsks) {
    media[0]->write(0, pattern(512, 1));
    auto segment = block_to_block(0, 1, 1, 0, 0);
    segment[0] = 0x0D;
    EXPECT_EQ(copy({segment, segment}).status, Status::good);
    TestCommand& held = rig.run(*nexus, results_cdb(1, 1), {}, 4096);
    ASSERT_EQ(held.in.size(), 4 + 1024u);
}

TEST_F(Copies, HeldDataCanBeAskedForByAListIdentifierOf32Bits) {
    media[0]->write(0, pattern(512 * 4, 1));
    auto segment = block_to_block(0, 1, 2, 0, 0);
    segment[0] = 0x0D;
    auto more = block_to_block(0, 1, 1, 3, 9);
    more[0] = 0x0D;
    EXPECT_EQ(rig.run(*nexus, results_cdb(6, 0xABCDE), {}, 4096).additional(), 0x2400u);
    media[1]->hold(StoreOpcode::write);
    const Bytestring list = lid4_list(all(), {segment, more}, 0xABCDE, true);
    EXPECT_EQ(rig.run(*nexus, copy_cdb(1, list.size()), list).status, Status::good);
    ASSERT_TRUE(rig.wait(0, [&] { return media[1]->held() == 1; }));
    Bytestring data = rig.run(*nexus, results_cdb(6, 0xABCDE), {}, 4096).in;
    ASSERT_EQ(data.size(), 36u);
    EXPECT_EQ(data[5], 0x12);  // in the background
    EXPECT_EQ(load_be<std::uint32_t>(data.data() + 32), 0u);
    media[1]->release();
    rig.settle();
    data = rig.run(*nexus, results_cdb(6, 0xABCDE), {}, 4096).in;
    ASSERT_EQ(data.size(), 36u + 3 * 512);
    EXPECT_EQ(load_be<std::uint32_t>(data.data()), data.size() - 4);
    EXPECT_EQ(data[4], 0x01);
    EXPECT_EQ(data[5], 0x01);
    EXPECT_EQ(load_be<std::uint32_t>(data.data() + 32), 3 * 512u);
    Bytestring expected = media[0]->read(0, 2);
    const Bytestring last = media[0]->read(3, 1);
    expected.insert(expected.end(), last.begin(), last.end());
    EXPECT_EQ(Bytestring(data.begin() + 36, data.end()), expected);
    // More than is kept: HDD.
    auto large = block_to_block(0, 1, 129, 0, 0);
    large[0] = 0x0D;
    const Bytestring too_much = lid4_list(all(), {large}, 7);
    EXPECT_EQ(rig.run(*nexus, copy_cdb(1, too_much.size()), too_much).status, Status::good);
    data = rig.run(*nexus, results_cdb(6, 7), {}, 4096).in;
    ASSERT_EQ(data.size(), 36u);
    EXPECT_EQ(data[5], 0x81);
    // A copy that failed has a status and sense data, and no held data.
    media[1]->fail_next(StoreOpcode::write, StoreStatus::no_space);
    const Bytestring failing = lid4_list(all(), {segment}, 8);
    EXPECT_EQ(rig.run(*nexus, copy_cdb(1, failing.size()), failing).status,
              Status::check_condition);
    data = rig.run(*nexus, results_cdb(6, 8), {}, 4096).in;
    EXPECT_EQ(data[5], 0x02);
    ASSERT_EQ(data.size(), 36u + data[14]);
    EXPECT_EQ(load_be<std::uint32_t>(data.data() + 32 + data[14]), 0u);
}

TEST_F(Copies, HeldDataHaveABound) {
    auto segment = block_to_block(0, 1, 129, 0, 0);
    segment[0] = 0x0D;
    EXPECT_EQ(copy({segment}).status, Status::good);
    EXPECT_EQ(rig.run(*nexus, results_cdb(0, 1), {}, 64).in[4], 0x81);  // HDD
    EXPECT_EQ(rig.run(*nexus, results_cdb(1, 1), {}, 64).in, Bytestring(4));
}

TEST_F(Copies, AListIdentifierInUseCannotBeTakenTwice) {
    media[0]->hold(StoreOpcode::read);
    TestCommand& first = make_copy(lid1_list(all(), {block_to_block(0, 1, 1, 0, 0)}), *nexus);
    rig.start(first, *nexus);
    ASSERT_TRUE(rig.wait(0, [&] { return media[0]->held() == 1; }));
    EXPECT_EQ(copy({block_to_block(0, 1, 1, 0, 0)}).additional(), 0x0016u);
    EXPECT_EQ(rig.run(*nexus, results_cdb(0, 1), {}, 64).in[4], 0);  // in progress
    media[0]->release();
    ASSERT_TRUE(rig.wait(0, [&] { return first.ended(); }));
    EXPECT_EQ(copy({block_to_block(0, 1, 1, 0, 0)}).status, Status::good);
}

TEST_F(Copies, TheirNumberIsBounded) {
    media[0]->hold(StoreOpcode::read);
    for (std::size_t i = 0; i < limits::copies_per_nexus; ++i)
        rig.start(make_copy(lid1_list(all(), {block_to_block(0, 1, 1, 0, 0)}, 0,
                                      scsi::ListIdUsage::unnamed),
                            *nexus),
                  *nexus);
    EXPECT_EQ(copy({block_to_block(0, 1, 1, 0, 0)}).status, Status::busy);
    media[0]->release();
    rig.settle();
    // Results are kept of so many copies, and no more.
    for (unsigned i = 0; i < 2 * limits::copy_results_per_nexus; ++i)
        EXPECT_EQ(copy(lid1_list(all(), {}, static_cast<std::uint8_t>(i)), *nexus).status,
                  Status::good);
    EXPECT_EQ(rig.run(*nexus, results_cdb(0, 0), {}, 64).additional(), 0x2400u);
    EXPECT_EQ(rig.run(*nexus, results_cdb(0, 127), {}, 64).status, Status::good);
}

TEST_F(Copies, Lid4MayGoOnInTheBackground) {
    const Bytestring data = pattern(512 * 4096, 2);
    media[0]->write(0, data);
    media[0]->hold(StoreOpcode::read);
    const Bytestring list = lid4_list(all(), {block_to_block(0, 1, 4096, 0, 0)}, 0x1234567, true);
    EXPECT_EQ(rig.run(*nexus, copy_cdb(1, list.size()), list).status, Status::good);
    const auto ask = [&] { return rig.run(*nexus, results_cdb(5, 0x1234567), {}, 256).in; };
    EXPECT_EQ(ask()[5], 0x12);
    // ABORT TASK SET is not about it.
    rig.manage(*nexus, Function::abort_task_set);
    media[0]->release();
    ASSERT_TRUE(rig.wait(0, [&] { return media[1]->count(StoreOpcode::write) == 2; }));
    rig.settle();
    const Bytestring status = ask();
    EXPECT_EQ(status[4], 0x01);  // EXTENDED COPY(LID4)
    EXPECT_EQ(status[5], 0x01);  // completed without errors
    EXPECT_EQ(load_be<std::uint64_t>(status.data() + 16), data.size());
    EXPECT_EQ(load_be<std::uint16_t>(status.data() + 24), 1);
    EXPECT_EQ(media[1]->read(0, 4096), data);
}

TEST_F(Copies, AResetEndsACopyInTheBackground) {
    for (const std::uint32_t reset_lun : {0, 1}) {
        media[1]->forget_records();
        media[0]->hold(StoreOpcode::read);
        const Bytestring list = lid4_list(all(), {block_to_block(0, 1, 4096, 0, 0)}, 5, true);
        EXPECT_EQ(rig.run(*nexus, copy_cdb(1, list.size()), list).status, Status::good);
        ASSERT_TRUE(rig.wait(0, [&] { return media[0]->held() == 1; }));
        EXPECT_EQ(rig.manage(*nexus, Function::logical_unit_reset, 0, reset_lun).response,
                  TaskManagementResponse::function_complete);
        media[0]->release();
        rig.settle();
        rig.run(*nexus, test_unit_ready, {}, 0, reset_lun);
        const std::uint8_t status = rig.run(*nexus, results_cdb(5, 5), {}, 256).in[5];
        if (reset_lun == 0) {  // the one that has received the command
            EXPECT_EQ(status, 0x60);
            EXPECT_EQ(media[1]->count(StoreOpcode::write), 0u);
        } else {  // between two commands of the copy
            EXPECT_EQ(status, 0x01);
        }
    }
}

// SPC-5 5.13.11.2.6: what PREEMPT AND ABORT ends are copies in the background, too; whether they
// are reading or writing, and on whichever unit they do so.
TEST_F(Copies, PreemptAndAbortEndsCopiesOfThePreemptedInTheBackground) {
    TestNexus& fencer = rig.add_nexus(1, units);
    const auto reserve_out = [&](TestNexus& by, std::uint8_t action, std::uint64_t key,
                                 std::uint64_t service_key) {
        Bytestring list(24);
        store_be(list.data(), key);
        store_be(list.data() + 8, service_key);
        return rig.run(by, {0x5F, action, 5, 0, 0, 0, 0, 0, 24, 0}, list).status;
    };
    for (const bool reading : {true, false}) {
        const std::size_t held = reading ? 0 : 1;
        media[1]->forget_records();
        ASSERT_EQ(reserve_out(fencer, 6, 0, 0xF), Status::good);
        ASSERT_EQ(reserve_out(*nexus, 6, 0, 0xA), Status::good);
        media[held]->hold(reading ? StoreOpcode::read : StoreOpcode::write);
        const Bytestring list = lid4_list(all(), {block_to_block(0, 1, 4096, 0, 0)}, 5, true);
        EXPECT_EQ(rig.run(*nexus, copy_cdb(1, list.size()), list).status, Status::good);
        ASSERT_TRUE(rig.wait(0, [&] { return media[held]->held() == 1; }));
        // It answers though the store does not: what the store still has is behind a fence.
        EXPECT_EQ(reserve_out(fencer, 5, 0xF, 0xA), Status::good);
        media[held]->release();
        rig.settle();
        EXPECT_EQ(media[1]->count(StoreOpcode::write), reading ? 0U : 1U);
        EXPECT_EQ(rig.run(*nexus, test_unit_ready).additional(), 0x2A05U);
        EXPECT_EQ(rig.run(*nexus, results_cdb(5, 5), {}, 256).in[5], 0x60);
    }
    // One that another unit has received ends where it meets the reservation.
    ASSERT_EQ(reserve_out(fencer, 1, 0xF, 0), Status::good);
    const Bytestring list = lid4_list(all(), {block_to_block(1, 0, 8, 0, 0)}, 6, true);
    EXPECT_EQ(rig.run(*nexus, copy_cdb(1, list.size()), list, 0, 1).status, Status::good);
    rig.settle();
    EXPECT_EQ(rig.run(*nexus, results_cdb(5, 6), {}, 256, 1).in[5], 0x02);
    EXPECT_EQ(media[0]->count(StoreOpcode::write), 0U);
}

// Known defect 32: LIO followed a null pointer when a copy's command completed.
TEST_F(Copies, KnownDefect32ACopyEndsHoweverItsStoresComplete) {
    const Bytestring data = pattern(512 * 3000, 4);
    media[0]->write(0, data);
    for (const bool source_later : {false, true})
        for (const bool destination_later : {false, true}) {
            media[0]->complete_later(source_later);
            media[1]->complete_later(destination_later);
            media[1]->write(0, Bytestring(512 * 3000));
            EXPECT_EQ(copy({block_to_block(0, 1, 3000, 0, 0)}).status, Status::good);
            EXPECT_EQ(media[1]->read(0, 3000), data);
            for (const std::size_t broken : {0, 1}) {
                media[broken]->fail_next(broken == 0 ? StoreOpcode::read : StoreOpcode::write,
                                         StoreStatus::medium_error);
                EXPECT_EQ(copy({block_to_block(0, 1, 3000, 0, 0)}).key(), 0xA);
            }
        }
}

TEST_F(Copies, CopyOperationAbortEndsACopy) {
    const auto abort = [&](std::uint32_t list_id) -> TestCommand& {
        Bytestring cdb(16);
        cdb[0] = 0x83;
        cdb[1] = 0x1C;
        store_be(cdb.data() + 2, list_id);
        return rig.make(*nexus, cdb);
    };
    media[1]->hold(StoreOpcode::write);
    const Bytestring list = lid4_list(all(), {block_to_block(0, 1, 4096, 0, 0)}, 9);
    TestCommand& command = rig.make(*nexus, copy_cdb(1, list.size()), list);
    rig.start(command, *nexus);
    ASSERT_TRUE(rig.wait(0, [&] { return media[1]->held() == 1; }));
    TestCommand& unknown = abort(8);
    rig.start(unknown, *nexus);
    ASSERT_TRUE(rig.wait(0, [&] { return unknown.ended(); }));
    EXPECT_EQ(unknown.additional(), 0x2400u);
    TestCommand& known = abort(9);
    rig.start(known, *nexus);
    rig.settle();
    EXPECT_FALSE(known.ended());  // the store has the write
    media[1]->release();
    ASSERT_TRUE(rig.wait(0, [&] { return known.ended() && command.ended(); }));
    EXPECT_EQ(known.status, Status::good);
    EXPECT_EQ(command.key(), 0xA);
    EXPECT_EQ(command.additional(), 0x0006u);
    EXPECT_EQ(rig.run(*nexus, results_cdb(5, 9), {}, 256).in[5], 0x60);
    EXPECT_EQ(media[1]->count(StoreOpcode::write), 1u);
}

TEST_F(Copies, AnOrderedCommandDoesNotBlockTheCommandsOfItsOwnCopy) {
    TestCommand& command = make_copy(lid1_list(all(), {block_to_block(0, 0, 1, 0, 9)}), *nexus);
    command.attribute = scsi::TaskAttribute::ordered;
    rig.start(command, *nexus);
    ASSERT_TRUE(rig.wait(0, [&] { return command.ended(); }));
    EXPECT_EQ(command.status, Status::good);
}

TEST_F(Copies, AShortageOfMemoryIsWaitedFor) {
    std::vector<reactor::Buffer> hoard;
    TestCommand& command = make_copy(lid1_list(all(), {block_to_block(0, 1, 4096, 0, 0)}), *nexus);
    nexus->hold_data_out = true;
    rig.start(command, *nexus);
    rig.on(0, [&] {
        while (auto buffer = rig.reactor().shard(0).buffers().acquire(16 << 20))
            hoard.push_back(std::move(buffer));
        while (auto buffer = rig.reactor().shard(0).buffers().acquire(4096))
            hoard.push_back(std::move(buffer));
        nexus->deliver();
    });
    rig.settle();
    EXPECT_FALSE(command.ended());
    rig.on(0, [&] { hoard.clear(); });
    ASSERT_TRUE(rig.wait(0, [&] { return command.ended(); }));
    EXPECT_EQ(command.status, Status::good);
}

}  // namespace
}  // namespace olio::target
