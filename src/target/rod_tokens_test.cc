// POPULATE TOKEN and WRITE USING TOKEN between logical units.
#include "target/rod_tokens.h"

#include <gtest/gtest.h>

#include <chrono>
#include <set>
#include <thread>

#include "base/limits.h"
#include "scsi/extended_copy_testing.h"
#include "target/engine_testing.h"

namespace olio::target {
namespace {

using namespace testing;
using scsi::BlockRange;
using scsi::Status;
using scsi::testing::populate_list;
using scsi::testing::write_token_list;
using Bytestring = std::vector<std::uint8_t>;
using Function = TaskManagementFunction;

std::shared_ptr<FakeMedium> medium_named(std::uint8_t last, std::uint32_t block_bytes = 512) {
    auto medium = std::make_shared<FakeMedium>(8192, block_bytes);
    medium->identification.serial = "unit" + std::to_string(last);
    medium->identification.naa = {0x60, 1, 0x40, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last};
    return medium;
}

Bytestring pattern(std::size_t bytes, unsigned seed) {
    Bytestring made(bytes);
    for (std::size_t i = 0; i < bytes; ++i)
        made[i] = static_cast<std::uint8_t>((i * 2654435761u >> 13) + i / 512 + seed);
    return made;
}

class Tokens : public ::testing::Test {
  protected:
    std::vector<std::shared_ptr<FakeMedium>> media{medium_named(1), medium_named(2),
                                                   medium_named(3, 4096)};
    EngineRig rig{2};
    std::vector<LogicalUnit*> units{rig.add_unit(media[0], 0), rig.add_unit(media[1], 1),
                                    rig.add_unit(media[2], 1)};
    TestNexus* nexus = &rig.add_nexus(0, units);

    static Bytestring cdb(std::uint8_t service_action, std::size_t list_bytes,
                          std::uint32_t list_id) {
        Bytestring made(16);
        made[0] = 0x83;
        made[1] = service_action;
        store_be(made.data() + 6, list_id);
        store_be(made.data() + 10, static_cast<std::uint32_t>(list_bytes));
        return made;
    }
    TestCommand& populate(TestNexus& by, const std::vector<BlockRange>& ranges,
                          std::uint32_t lun = 0, std::uint32_t list_id = 1) {
        const Bytestring list = populate_list(ranges);
        return rig.run(by, cdb(0x10, list.size(), list_id), list, 0, lun);
    }
    Bytestring information(TestNexus& by, std::uint32_t lun = 0, std::uint32_t list_id = 1) {
        Bytestring made(16);
        made[0] = 0x84;
        made[1] = 0x07;
        store_be(made.data() + 2, list_id);
        store_be(made.data() + 10, 1024u);
        return rig.run(by, made, {}, 1024, lun).in;
    }
    Bytestring token(TestNexus& by, const std::vector<BlockRange>& ranges, std::uint32_t lun = 0) {
        EXPECT_EQ(populate(by, ranges, lun).status, Status::good);
        const Bytestring found = information(by, lun);
        EXPECT_EQ(found.size(), 32u + 4 + 514);
        return {found.end() - 512, found.end()};
    }
    TestCommand& write(TestNexus& by, std::uint32_t lun, const Bytestring& list) {
        return rig.run(by, cdb(0x11, list.size(), 2), list, 0, lun);
    }
    TestCommand& write(TestNexus& by, std::uint32_t lun, const std::vector<BlockRange>& ranges,
                       const Bytestring& with, std::uint64_t offset = 0) {
        return write(by, lun, write_token_list(ranges, with, offset));
    }
};

TEST_F(Tokens, DataGoWhereTheyAreWritten) {
    const Bytestring data = pattern(512 * 3000, 1);
    media[0]->write(7, data);
    const Bytestring one = token(*nexus, {{7, 1000}, {1007, 2000}});
    EXPECT_EQ(write(*nexus, 1, {{10, 2500}, {5000, 500}}, one).status, Status::good);
    EXPECT_EQ(media[1]->read(10, 2500), Bytestring(data.begin(), data.begin() + 512 * 2500));
    EXPECT_EQ(media[1]->read(5000, 500), Bytestring(data.begin() + 512 * 2500, data.end()));
    const Bytestring status = information(*nexus, 1, 2);
    EXPECT_EQ(status[4], 0x11);
    EXPECT_EQ(status[5], 0x01);
    EXPECT_EQ(status[15], 0xF1);  // in blocks
    EXPECT_EQ(load_be<std::uint64_t>(status.data() + 16), 3000u);
    EXPECT_EQ(load_be<std::uint32_t>(status.data() + 32), 0u);  // no token
}

TEST_F(Tokens, TheOffsetAndAnotherSessionAndAnotherBlockLength) {
    TestNexus& other = rig.add_nexus(1, units);
    const Bytestring data = pattern(4096 * 200, 2);
    media[0]->write(0, data);
    const Bytestring one = token(*nexus, {{0, 1600}});
    EXPECT_EQ(write(other, 2, {{5, 100}}, one, 50).status, Status::good);
    EXPECT_EQ(media[2]->read(5, 100),
              Bytestring(data.begin() + 50 * 4096, data.begin() + 150 * 4096));
    // As much as there is.
    EXPECT_EQ(write(other, 2, {{500, 100}}, one, 150).status, Status::good);
    EXPECT_EQ(load_be<std::uint64_t>(information(other, 2, 2).data() + 16), 50u);
    EXPECT_EQ(write(other, 2, {{500, 100}}, one, 200).additional(), 0x2600u);
}

TEST_F(Tokens, BlocksOfZerosNeedNoSource) {
    media[1]->write(0, pattern(512 * 4000, 3));
    Bytestring zero(512);
    store_be(zero.data(), 0xFFFF0001u);
    zero[6] = 1;
    zero[7] = 0xF8;
    EXPECT_EQ(write(*nexus, 1, {{10, 3000}, {3500, 1}}, zero).status, Status::good);
    EXPECT_EQ(media[1]->read(10, 3000), Bytestring(512 * 3000));
    EXPECT_EQ(media[1]->read(3500, 1), Bytestring(512));
    EXPECT_NE(media[1]->read(9, 1), Bytestring(512));
    EXPECT_NE(media[1]->read(3010, 1), Bytestring(512));
}

TEST_F(Tokens, AllOfALogicalUnitAreReportedWithoutWhatMakesThemUsable) {
    const auto report = [&](std::uint32_t lun, std::uint32_t allocation = 4096) {
        Bytestring made(16);
        made[0] = 0x84;
        made[1] = 0x08;
        store_be(made.data() + 10, allocation);
        TestCommand& command = rig.run(*nexus, made, {}, allocation, lun);
        EXPECT_EQ(command.status, Status::good);
        return command.in;
    };
    EXPECT_EQ(report(0), (Bytestring{0, 0, 0, 4, 0, 0, 0, 0}));
    const Bytestring first = token(*nexus, {{0, 10}});
    const Bytestring second = token(*nexus, {{20, 10}, {40, 1}});
    const Bytestring elsewhere = token(*nexus, {{0, 1}}, 1);
    Bytestring expected{0, 0, 0, 4 + 2 * 96, 0, 0, 0, 0};
    expected.insert(expected.end(), first.begin(), first.begin() + 96);
    expected.insert(expected.end(), second.begin(), second.begin() + 96);
    EXPECT_EQ(report(0), expected);
    EXPECT_EQ(report(0, 50), Bytestring(expected.begin(), expected.begin() + 50));
    EXPECT_EQ(report(1).size(), 8u + 96);
    EXPECT_EQ(report(2).size(), 8u);
    // One that is good no more is not among them, nor one that is deleted.
    rig.write(*nexus, 5, Bytestring(512));
    EXPECT_EQ(report(0).size(), 8u + 96);
    Bytestring list = write_token_list({{100, 1}}, second);
    list[2] |= 0x02;  // DEL_TKN
    EXPECT_EQ(write(*nexus, 1, list).status, Status::good);
    EXPECT_EQ(report(0).size(), 8u);
    EXPECT_EQ(report(1).size(), 8u + 96);
}

// --- What makes a token invalid ---

TEST_F(Tokens, AWriteIntoItsRangesByAnybodyRevokesIt) {
    TestNexus& other = rig.add_nexus(1, units);
    const auto after = [&](const std::function<void()>& what) {
        const Bytestring one = token(*nexus, {{100, 10}, {200, 10}});
        what();
        return write(*nexus, 1, {{0, 1}}, one).additional();
    };
    EXPECT_EQ(after([&] { rig.write(other, 109, Bytestring(512)); }), 0x2306u);
    EXPECT_EQ(after([&] { rig.write(*nexus, 200, Bytestring(512)); }), 0x2306u);
    EXPECT_EQ(after([&] { rig.write(other, 110, Bytestring(512 * 90)); }), 0u);  // between them
    EXPECT_EQ(after([&] { rig.read(other, 100, 10); }), 0u);
    EXPECT_EQ(after([&] { rig.run(other, compare_and_write(205, 1), Bytestring(1024)); }), 0x2306u);
    EXPECT_EQ(after([&] {  // a copy
                  const auto list = scsi::testing::lid1_list(
                      {}, {scsi::testing::block_to_block(0xFFFF, 0xFFFF, 1, 0, 105)});
                  Bytestring made(16);
                  made[0] = 0x83;
                  store_be(made.data() + 10, static_cast<std::uint32_t>(list.size()));
                  EXPECT_EQ(rig.run(other, made, list).status, Status::good);
              }),
              0x2306u);
    EXPECT_EQ(after([&] {
                  bool done = false;
                  rig.on(0, [&] { units[0]->rescan(150, [&](Result<void>) { done = true; }); });
                  EXPECT_TRUE(rig.wait(0, [&] { return done; }));
              }),
              0x2306u);
}

TEST_F(Tokens, AWriteThatIsUnderWayIsWaitedFor) {
    media[0]->hold(StoreOpcode::write);
    TestCommand& early = rig.make(*nexus, write10(5, 1), Bytestring(512, 9));
    rig.start(early, *nexus);
    ASSERT_TRUE(rig.wait(0, [&] { return media[0]->held() == 1; }));
    const Bytestring list = populate_list({{0, 10}});
    TestCommand& command = rig.make(*nexus, cdb(0x10, list.size(), 1), list);
    rig.start(command, *nexus);
    rig.settle();
    EXPECT_FALSE(command.ended());
    media[0]->release();
    ASSERT_TRUE(rig.wait(0, [&] { return command.ended(); }));
    const Bytestring found = information(*nexus);
    EXPECT_EQ(write(*nexus, 1, {{0, 10}}, {found.end() - 512, found.end()}).status, Status::good);
    EXPECT_EQ(media[1]->read(5, 1), Bytestring(512, 9));
}

TEST_F(Tokens, AWriteDuringTheCopyEndsIt) {
    media[0]->write(0, pattern(512 * 4096, 4));
    const Bytestring one = token(*nexus, {{0, 4096}});
    media[0]->hold(StoreOpcode::read);
    const Bytestring list = write_token_list({{0, 4096}}, one);
    TestCommand& command = rig.make(*nexus, cdb(0x11, list.size(), 2), list, 0, 1);
    rig.start(command, *nexus);
    ASSERT_TRUE(rig.wait(0, [&] { return media[0]->held() == 1; }));
    rig.write(*nexus, 4000, Bytestring(512));
    media[0]->release();
    ASSERT_TRUE(rig.wait(0, [&] { return command.ended(); }));
    EXPECT_EQ(command.additional(), 0x2306u);
    EXPECT_EQ(media[1]->count(StoreOpcode::write), 0u);
    EXPECT_EQ(information(*nexus, 1, 2)[5], 0x02);
}

TEST_F(Tokens, AreDeletedWhenTheHostSaysSo) {
    const Bytestring one = token(*nexus, {{0, 8}});
    Bytestring list = write_token_list({{0, 8}}, one);
    list[2] = 0x02;
    EXPECT_EQ(write(*nexus, 1, list).status, Status::good);
    EXPECT_EQ(write(*nexus, 1, {{0, 8}}, one).additional(), 0x2304u);
}

// --- Who may use one ---

TEST_F(Tokens, AllOfItMustComeBack) {
    const Bytestring one = token(*nexus, {{0, 8}});
    for (const std::size_t byte : {16u, 24u, 63u, 100u, 160u, 200u, 223u, 224u, 511u}) {
        Bytestring forged = one;
        forged[byte] ^= 1;
        EXPECT_EQ(write(*nexus, 1, {{0, 8}}, forged).additional(), 0x2305u) << byte;
    }
    Bytestring unknown = one;
    unknown[15] ^= 0x55;
    EXPECT_EQ(write(*nexus, 1, {{0, 8}}, unknown).additional(), 0x2304u);
    EXPECT_EQ(write(*nexus, 1, {{0, 8}}, Bytestring(512)).additional(), 0x230Au);
    Bytestring other_type = one;
    other_type[3] = 2;
    EXPECT_EQ(write(*nexus, 1, {{0, 8}}, other_type).additional(), 0x2301u);
    EXPECT_EQ(write(*nexus, 1, {{0, 8}}, one).status, Status::good);
}

TEST_F(Tokens, NoTwoAreAlikeAndNothingOfThemCanBeGuessed) {
    std::set<Bytestring> secrets;
    for (int i = 0; i < 50; ++i) {
        const Bytestring one = token(*nexus, {{0, 8}});
        secrets.emplace(one.begin() + 160, one.begin() + 224);
        EXPECT_GT(std::set<std::uint8_t>(one.begin() + 160, one.begin() + 224).size(), 16u);
    }
    EXPECT_EQ(secrets.size(), 50u);
}

// CVE-2020-28374 and CVE-2021-3139, by token: knowing one is not enough.
TEST_F(Tokens, Cve202028374ATokenOpensNoUnitThatTheInitiatorDoesNotReach) {
    TestNexus& narrow = rig.add_nexus(1, {units[1]});
    const Bytestring one = token(*nexus, {{0, 8}});
    EXPECT_EQ(write(narrow, 0, {{0, 8}}, one).additional(), 0x2304u);
    EXPECT_EQ(media[0]->count(StoreOpcode::read), 0u);
}

TEST_F(Tokens, ReservationsAndWriteProtectionHoldOnBothSides) {
    TestNexus& other = rig.add_nexus(1, units);
    const Bytestring one = token(*nexus, {{0, 8}});
    rig.run(other, {0x16, 0, 0, 0, 0, 0}, {}, 0, 0);
    TestCommand& read = write(*nexus, 1, {{0, 8}}, one);
    EXPECT_EQ(read.key(), 0xA);
    EXPECT_EQ(read.additional(), 0x0D01u);
    EXPECT_EQ(read.sense_storage[18], 0x18);
    EXPECT_EQ(populate(*nexus, {{0, 8}}).status, Status::reservation_conflict);
    rig.run(other, {0x17, 0, 0, 0, 0, 0}, {}, 0, 0);
    rig.run(other, {0x16, 0, 0, 0, 0, 0}, {}, 0, 1);
    EXPECT_EQ(write(*nexus, 1, {{0, 8}}, one).status, Status::reservation_conflict);
    rig.run(other, {0x17, 0, 0, 0, 0, 0}, {}, 0, 1);
    rig.on(0, [&] { units[1]->set_write_protected(true, [](Result<void>) {}); });
    rig.settle();
    rig.run(*nexus, test_unit_ready, {}, 0, 1);
    EXPECT_EQ(write(*nexus, 1, {{0, 8}}, one).additional(), 0x2700u);
    EXPECT_EQ(media[1]->count(StoreOpcode::write), 0u);
}

TEST_F(Tokens, ErrorsOfTheDestinationAreItsOwn) {
    const Bytestring one = token(*nexus, {{0, 8}});
    media[1]->fail_next(StoreOpcode::write, StoreStatus::medium_error, 3);
    TestCommand& command = write(*nexus, 1, {{0, 8}}, one);
    EXPECT_EQ(command.key(), 3);
    EXPECT_EQ(command.additional(), 0x0C00u);
    EXPECT_EQ(command.information(), 3u);
}

// --- Bounds and ends ---

TEST_F(Tokens, TheirNumberIsBounded) {
    for (std::size_t i = 0; i < limits::rod_tokens; ++i)
        ASSERT_EQ(populate(*nexus, {{i, 1}}).status, Status::good);
    EXPECT_EQ(populate(*nexus, {{0, 1}}).additional(), 0x5503u);
}

TEST_F(Tokens, EndWhenTheyHaveNotBeenUsedForTheirTime) {
    Bytestring list = populate_list({{0, 8}});
    list[7] = 1;  // second
    EXPECT_EQ(rig.run(*nexus, cdb(0x10, list.size(), 1), list).status, Status::good);
    const Bytestring found = information(*nexus);
    const Bytestring one(found.end() - 512, found.end());
    EXPECT_EQ(write(*nexus, 1, {{0, 8}}, one).status, Status::good);
    std::this_thread::sleep_for(std::chrono::milliseconds(1200));
    EXPECT_EQ(write(*nexus, 1, {{0, 8}}, one).additional(), 0x2304u);
}

TEST_F(Tokens, InTheBackgroundTheyAreCopiedToTheEnd) {
    const Bytestring data = pattern(512 * 4096, 5);
    media[0]->write(0, data);
    const Bytestring one = token(*nexus, {{0, 4096}});
    media[0]->hold(StoreOpcode::read);
    Bytestring list = write_token_list({{0, 4096}}, one);
    list[2] = 0x01;  // IMMED
    EXPECT_EQ(write(*nexus, 1, list).status, Status::good);
    EXPECT_EQ(information(*nexus, 1, 2)[5], 0x12);
    media[0]->release();
    ASSERT_TRUE(rig.wait(0, [&] { return media[1]->count(StoreOpcode::write) == 2; }));
    rig.settle();
    EXPECT_EQ(information(*nexus, 1, 2)[5], 0x01);
    EXPECT_EQ(media[1]->read(0, 4096), data);
}

TEST_F(Tokens, AnAbortedPopulateLeavesNoToken) {
    media[0]->hold(StoreOpcode::write);
    TestCommand& early = rig.make(*nexus, write10(5, 1), Bytestring(512, 9));
    rig.start(early, *nexus);
    ASSERT_TRUE(rig.wait(0, [&] { return media[0]->held() == 1; }));
    const Bytestring list = populate_list({{0, 10}});
    TestCommand& command = rig.make(*nexus, cdb(0x10, list.size(), 1), list);
    rig.start(command, *nexus);
    rig.settle();
    EXPECT_EQ(rig.manage(*nexus, Function::abort_task, command.tag).response,
              TaskManagementResponse::function_complete);
    media[0]->release();
    ASSERT_TRUE(rig.wait(0, [&] { return command.returned; }));
    EXPECT_TRUE(command.discarded);
    EXPECT_EQ(information(*nexus)[5], 0x60);
}

}  // namespace
}  // namespace olio::target
