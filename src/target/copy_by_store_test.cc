// Copies that the stores carry out by themselves, and what copies may do, whoever carries them out.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/limits.h"
#include "target/copy_manager.h"
#include "target/copy_manager_testing.h"

namespace olio::target {
namespace {

using namespace testing;
using scsi::AccessState;
using scsi::Status;
using scsi::testing::block_to_block;
using scsi::testing::bytes_to_bytes;
using scsi::testing::Descriptors;
using scsi::testing::lid1_list;
using scsi::testing::populate_list;
using scsi::testing::write_token_list;
using Function = TaskManagementFunction;

constexpr std::uint16_t own = scsi::receiving_unit_id;

std::vector<std::shared_ptr<FakeMedium>> media_that_copy(bool copies = true) {
    std::vector<std::shared_ptr<FakeMedium>> made{medium_named(1), medium_named(2),
                                                  medium_named(3, 4096, 1024)};
    for (const auto& medium : made) {
        medium->copies = copies;
        medium->capabilities.maximum_atomic_bytes = 64 << 10;
    }
    return made;
}

class CopiesByStore : public Copies {
  protected:
    explicit CopiesByStore(std::vector<std::shared_ptr<FakeMedium>> made = media_that_copy())
        : Copies(std::move(made)) {}

    [[nodiscard]] std::size_t count(StoreOpcode opcode) {
        return media[0]->count(opcode) + media[1]->count(opcode) + media[2]->count(opcode);
    }
    void forget() {
        for (const auto& medium : media)
            medium->forget_records();
    }
    TestCommand& start(const Descriptors& segments) {
        TestCommand& command = make_copy(lid1_list(all(), segments), *nexus);
        rig.start(command, *nexus);
        return command;
    }
};

TEST_F(CopiesByStore, NoBlockPassesThroughTheEngine) {
    const Bytestring data = pattern(512 * 8000, 1);
    media[0]->write(100, data);
    EXPECT_EQ(copy({block_to_block(0, 1, 8000, 100, 5)}).status, Status::good);
    EXPECT_EQ(media[1]->read(5, 8000), data);
    EXPECT_EQ(media[1]->read(4, 1), Bytestring(512));
    EXPECT_EQ(media[1]->read(8005, 1), Bytestring(512));
    EXPECT_EQ(count(StoreOpcode::copy), 1u);
    EXPECT_EQ(count(StoreOpcode::read) + count(StoreOpcode::write), 0u);
    TestCommand& status = rig.run(*nexus, results_cdb(0, 1), {}, 64);
    EXPECT_EQ(status.in[4], 1);
}

TEST_F(CopiesByStore, BlockLengthsMayDifferWhereWholeBlocksMeet) {
    const Bytestring data = pattern(4096 * 400, 4);
    media[0]->write(3, data);
    EXPECT_EQ(copy({block_to_block(0, 2, 3200, 3, 2)}).status, Status::good);
    EXPECT_EQ(media[2]->read(2, 400), data);
    EXPECT_EQ(copy({block_to_block(2, 1, 400, 2, 8)}).status, Status::good);
    EXPECT_EQ(media[1]->read(8, 3200), data);
    EXPECT_EQ(count(StoreOpcode::copy), 2u);
    EXPECT_EQ(count(StoreOpcode::read), 0u);
}

TEST_F(CopiesByStore, PartsOfBlocksAreReadAndWritten) {
    const Bytestring source = pattern(512 * 4200, 6);
    Bytestring expected = pattern(4096 * 600, 7);
    media[0]->write(0, source);
    media[2]->write(0, expected);
    std::copy_n(source.begin() + 700, 2000000, expected.begin() + 4099);
    EXPECT_EQ(copy({bytes_to_bytes(0, 2, 2000000, 1, 188, 1, 3)}).status, Status::good);
    EXPECT_EQ(media[2]->read(0, 600), expected);
    EXPECT_EQ(count(StoreOpcode::copy), 0u);  // no block of one is a block of the other
    EXPECT_EQ(copy({bytes_to_bytes(0, 1, 512 * 10 + 7, 0, 0, 0, 0)}).status, Status::good);
    EXPECT_EQ(media[1]->read(0, 10), Bytestring(source.begin(), source.begin() + 5120));
    EXPECT_EQ(media[1]->count(StoreOpcode::copy), 1u);
}

TEST_F(CopiesByStore, NothingIsCopiedOntoItself) {
    const Bytestring data = pattern(512 * 3000, 3);
    for (const auto& [from, to, by_store] :
         {std::tuple<std::uint64_t, std::uint64_t, bool>{10, 11, false},
          {10, 1500, true},  // what is left when it is shorter than the way
          {10, 300, false},
          {11, 10, false},
          {3500, 10, true},
          {10, 3010, true},
          {10, 10, false}}) {
        media[0]->write(from, data);
        forget();
        EXPECT_EQ(copy({block_to_block(0, own, 3000, from, to)}).status, Status::good);
        EXPECT_EQ(media[0]->read(to, 3000), data) << from << " to " << to;
        EXPECT_EQ(count(StoreOpcode::copy) != 0, by_store) << from << " to " << to;
    }
}

// --- Where a store does not, or cannot ---

TEST_F(CopiesByStore, WhatAStoreCannotCopyIsReadAndWritten) {
    const Bytestring data = pattern(512 * 6000, 2);
    media[0]->write(0, data);
    media[1]->fail_next(StoreOpcode::copy, StoreStatus::internal_error);
    EXPECT_EQ(copy({block_to_block(0, 1, 6000, 0, 0), block_to_block(0, 1, 8, 0, 7000)}).status,
              Status::good);
    EXPECT_EQ(media[1]->read(0, 6000), data);
    EXPECT_EQ(media[1]->count(StoreOpcode::copy), 2u);  // the second segment is another attempt
    EXPECT_EQ(media[1]->count(StoreOpcode::write), 3u);
    // An error of a copy alone is none of the medium's.
    std::uint64_t errors = 1;
    rig.on(0, [&] {
        units[1]->statistics([&](const LogicalUnitStatistics& all) {
            errors = all.write_errors + all.non_medium_errors;
        });
    });
    rig.settle();
    EXPECT_EQ(errors, 0u);
}

TEST_F(CopiesByStore, ErrorsNameTheSideThatFails) {
    for (const bool source : {true, false}) {
        // The copy fails as well as what stands in for it.
        media[1]->hold(StoreOpcode::copy);
        TestCommand& command = start({block_to_block(0, 1, 8, 0, 0)});
        ASSERT_TRUE(rig.wait(0, [&] { return media[1]->held() == 1; }));
        media[1]->fail_next(StoreOpcode::copy, StoreStatus::medium_error);
        if (source)
            media[0]->fail_next(StoreOpcode::read, StoreStatus::medium_error, 0);
        media[1]->release();
        rig.settle();
        ASSERT_TRUE(rig.wait(0, [&] { return command.ended(); }));
        EXPECT_EQ(reported(command), source ? "0d01: 02 3/11/00" : "");
    }
}

TEST_F(CopiesByStore, StoresOfDifferentKindsAreReadAndWritten) {
    media[1]->copies = false;
    media[0]->write(0, pattern(512, 1));
    EXPECT_EQ(copy({block_to_block(0, 1, 1, 0, 0)}).status, Status::good);
    EXPECT_EQ(media[1]->read(0, 1), pattern(512, 1));
    EXPECT_EQ(count(StoreOpcode::copy), 0u);
}

// A disk that is not thin has been promised its space: no copy takes it away.
TEST_F(CopiesByStore, ADiskThatIsNotThinSharesNoBlocks) {
    for (const bool shares : {false, true})
        for (const bool thin_source : {false, true})
            for (const bool thin_destination : {false, true}) {
                SCOPED_TRACE(fmt::format("{} {} {}", shares, thin_source, thin_destination));
                EngineRig other;
                std::vector<std::shared_ptr<FakeMedium>> both{medium_named(8), medium_named(9)};
                std::vector<LogicalUnit*> made;
                for (const auto& medium : both) {
                    medium->copies = true;
                    medium->capabilities.copies_share_blocks = shares;
                    LogicalUnitOptions options;
                    options.name = medium->identification.serial;
                    options.thin = medium == both[0] ? thin_source : thin_destination;
                    made.push_back(other.add_unit(make_fake_store(medium), options));
                }
                TestNexus& by = other.add_nexus(0, made);
                both[0]->write(0, pattern(512 * 8, 1));
                const Bytestring list =
                    lid1_list({scsi::testing::cscd(both[0]->identification.naa),
                               scsi::testing::cscd(both[1]->identification.naa)},
                              {block_to_block(0, 1, 8, 0, 0)});
                EXPECT_EQ(other.run(by, copy_cdb(0, list.size()), list).status, Status::good);
                EXPECT_EQ(both[1]->read(0, 8), pattern(512 * 8, 1));
                EXPECT_EQ(both[1]->count(StoreOpcode::copy) != 0,
                          !shares || (thin_source && thin_destination));
            }
}

// Each may keep a helper thread, and others need some.
TEST_F(CopiesByStore, OfManyAtOnceMostAreReadAndWritten) {
    TestNexus& other = rig.add_nexus(0, units);
    const Bytestring data = pattern(512 * 8, 1);
    for (int round = 0; round < 3; ++round) {
        forget();
        media[0]->write(0, data);
        media[1]->hold(StoreOpcode::copy);
        std::vector<TestCommand*> commands;
        for (std::uint32_t i = 0; i < 6; ++i) {
            TestNexus& by = i % 2 == 0 ? *nexus : other;
            Bytestring list = lid1_list(all(), {block_to_block(0, 1, 8, 0, 100 * i)});
            list[0] = static_cast<std::uint8_t>(i + 1);
            commands.push_back(&make_copy(list, by));
            rig.start(*commands.back(), by);
        }
        const auto ended = [&](const TestCommand* command) { return command->ended(); };
        const bool most_ended = rig.wait(0, [&] {
            return media[1]->held() == limits::store_copies &&
                   std::ranges::count_if(commands, ended) == 6 - limits::store_copies;
        });
        EXPECT_TRUE(most_ended) << media[1]->held();
        // One ends by itself, or is aborted.
        if (round == 1)
            rig.manage(*nexus, Function::logical_unit_reset);
        media[1]->release();
        ASSERT_TRUE(rig.wait(0, [&] { return std::ranges::all_of(commands, ended); }));
        for (std::uint32_t i = 0; i < 6 && round != 1; ++i)
            EXPECT_EQ(media[1]->read(100 * i, 8), data);
    }
}

// --- Durability ---

TEST_F(CopiesByStore, TheyAreAsDurableAsWrites) {
    for (const Support support : {Support::native, Support::emulate}) {
        auto from = medium_named(8);
        auto to = medium_named(9);
        for (const auto& medium : {from, to}) {
            medium->copies = true;
            medium->capabilities.volatile_cache = true;
            medium->capabilities.cache_mode_changeable = true;
            medium->capabilities.fua = support;
        }
        EngineRig other;
        TestNexus& by = other.add_nexus(0, {other.add_unit(from), other.add_unit(to)});
        const Descriptors both{scsi::testing::cscd(from->identification.naa),
                               scsi::testing::cscd(to->identification.naa)};
        const Bytestring list = lid1_list(both, {block_to_block(0, 1, 8, 0, 0)});
        ASSERT_EQ(other.run(by, copy_cdb(0, list.size()), list).status, Status::good);
        EXPECT_EQ(to->count(StoreOpcode::flush), 0u);
        // WCE = 0 by MODE SELECT: every write is durable before its GOOD.
        Bytestring page = other.run(by, {0x1A, 0x08, 0x08, 0, 64, 0}, {}, 64, 1).in;
        page[0] = page[2] = 0;
        page[4] &= 0x7F;
        page[6] &= 0xFB;
        page.resize(24);
        ASSERT_EQ(other.run(by, {0x15, 0x10, 0, 0, 24, 0}, page, 0, 1).status, Status::good);
        to->forget_records();
        ASSERT_EQ(other.run(by, copy_cdb(0, list.size()), list).status, Status::good);
        ASSERT_FALSE(to->records().empty());
        EXPECT_EQ(to->records()[0].opcode, StoreOpcode::copy);
        EXPECT_EQ(to->records()[0].fua, support == Support::native);
        EXPECT_EQ(to->count(StoreOpcode::flush), support == Support::native ? 0u : 1u);
    }
}

// --- Fences, aborts ---

TEST_F(CopiesByStore, TheyWaitBehindCompareAndWriteOnEitherSide) {
    for (const std::uint32_t lun : {0, 1}) {
        media[0]->write(0, pattern(512 * 64, 9));
        media[1]->write(0, Bytestring(512 * 64));
        const Bytestring there = media[lun]->read(4, 1);
        Bytestring both = there;
        both.resize(1024, 0x77);
        media[lun]->hold(StoreOpcode::write);
        TestCommand& compare = rig.make(*nexus, compare_and_write(4, 1), both, 0, lun);
        rig.start(compare, *nexus);
        ASSERT_TRUE(rig.wait(0, [&] { return media[lun]->held() == 1; }));
        forget();
        TestCommand& command = start({block_to_block(0, 1, 64, 0, 0)});
        rig.settle();
        EXPECT_EQ(count(StoreOpcode::copy) + count(StoreOpcode::write), 0u);
        EXPECT_FALSE(command.ended());
        media[lun]->release();
        ASSERT_TRUE(rig.wait(0, [&] { return command.ended() && compare.ended(); }));
        EXPECT_EQ(compare.status, Status::good);
        EXPECT_EQ(command.status, Status::good);
        Bytestring expected = pattern(512 * 64, 9);
        if (lun == 0)
            std::fill_n(expected.begin() + 4 * 512, 512, std::uint8_t{0x77});
        EXPECT_EQ(media[1]->read(0, 64), expected) << lun;
    }
}

// While a copy waits for a fence at its destination nothing of it stands on its source: what waits
// for reads there may be what the fence, on another shard, waits for.
TEST_F(CopiesByStore, NothingStandsOnTheSourceWhileTheDestinationIsFenced) {
    media[0]->write(0, pattern(512 * 64, 1));
    media[1]->hold(StoreOpcode::write);
    TestCommand& compare = rig.make(*nexus, compare_and_write(4, 1), Bytestring(1024), 0, 1);
    rig.start(compare, *nexus);
    ASSERT_TRUE(rig.wait(0, [&] { return media[1]->held() == 1; }));
    TestCommand& command = start({block_to_block(0, 1, 64, 0, 0)});
    rig.settle();
    EXPECT_FALSE(command.ended());
    Bytestring atomic(16);  // WRITE ATOMIC(16), which waits for reads
    atomic[0] = 0x9C;
    atomic[13] = 8;
    EXPECT_EQ(rig.run(*nexus, atomic, Bytestring(512 * 8, 0x55)).status, Status::good);
    EXPECT_FALSE(command.ended());
    media[1]->release();
    ASSERT_TRUE(rig.wait(0, [&] { return command.ended() && compare.ended(); }));
    EXPECT_EQ(command.status, Status::good);
    EXPECT_EQ(media[1]->read(8, 56), media[0]->read(8, 56));
}

// ... and while the stores copy, it does.
TEST_F(CopiesByStore, WhatWaitsForReadsWaitsForTheCopy) {
    media[1]->hold(StoreOpcode::copy);
    TestCommand& command = start({block_to_block(0, 1, 64, 0, 0)});
    ASSERT_TRUE(rig.wait(0, [&] { return media[1]->held() == 1; }));
    Bytestring cdb(16);
    cdb[0] = 0x9C;
    cdb[13] = 8;
    TestCommand& atomic = rig.make(*nexus, cdb, Bytestring(512 * 8, 0x55));
    rig.start(atomic, *nexus);
    rig.settle();
    EXPECT_FALSE(atomic.ended());
    media[1]->release();
    ASSERT_TRUE(rig.wait(0, [&] { return command.ended() && atomic.ended(); }));
    EXPECT_EQ(atomic.status, Status::good);
    EXPECT_EQ(media[1]->read(0, 8), Bytestring(512 * 8));
}

TEST_F(CopiesByStore, AReadOfTheDestinationWaitsBehindAnAbortedCopy) {
    for (const Function function :
         {Function::abort_task, Function::abort_task_set, Function::i_t_nexus_reset}) {
        media[1]->hold(StoreOpcode::copy);
        TestCommand& command = start({block_to_block(0, 1, 64, 0, 0)});
        ASSERT_TRUE(rig.wait(0, [&] { return media[1]->held() == 1; }));
        EXPECT_EQ(rig.manage(*nexus, function, command.tag).response,
                  TaskManagementResponse::function_complete);
        rig.run(*nexus, test_unit_ready, {}, 0, 1);
        TestCommand& after = rig.make(*nexus, read10(0, 1), {}, 512, 1);
        rig.start(after, *nexus);
        rig.settle();
        EXPECT_EQ(after.stage(), CommandStage::fenced);
        media[1]->release();
        ASSERT_TRUE(rig.wait(0, [&] { return command.returned && after.ended(); }));
        EXPECT_TRUE(command.discarded);
        EXPECT_EQ(after.status, Status::good);
        rig.run(*nexus, test_unit_ready);
    }
}

TEST_F(CopiesByStore, AResetByAnotherEndsThemWithAnError) {
    TestNexus& other = rig.add_nexus(1, units);
    for (const std::uint32_t lun : {0, 1}) {
        media[1]->hold(StoreOpcode::copy);
        TestCommand& command = make_copy(
            lid1_list(all(), {block_to_block(0, 1, 64, 0, 0), block_to_block(0, 1, 1, 0, 99)}),
            *nexus, 2);
        rig.start(command, *nexus);
        ASSERT_TRUE(rig.wait(0, [&] { return media[1]->held() == 1; }));
        forget();
        rig.manage(other, Function::logical_unit_reset, 0, lun);
        media[1]->release();
        ASSERT_TRUE(rig.wait(0, [&] { return command.ended(); }));
        EXPECT_EQ(reported(command), "0d01: 40 0/00/00");
        EXPECT_EQ(command.sense_storage[lun == 0 ? 8 : 9], 18);  // the side
        EXPECT_EQ(count(StoreOpcode::copy) + count(StoreOpcode::write), 0u);
        for (const std::uint32_t each : {0, 1, 2})
            rig.run(*nexus, test_unit_ready, {}, 0, each);
    }
}

TEST_F(CopiesByStore, TheEndOfTheSessionEndsThem) {
    media[1]->hold(StoreOpcode::copy);
    start({block_to_block(0, 1, 64, 0, 0), block_to_block(0, 1, 1, 0, 99)});
    ASSERT_TRUE(rig.wait(0, [&] { return media[1]->held() == 1; }));
    bool fenced = false;
    rig.on(0, [&] { nexus->nexus->close([&] { fenced = true; }, [&] { nexus->drained = true; }); });
    ASSERT_TRUE(rig.wait(0, [&] { return fenced; }));
    media[1]->release();
    ASSERT_TRUE(rig.wait(0, [&] { return nexus->drained; }));
    EXPECT_EQ(count(StoreOpcode::copy), 1u);
    rig.close(*nexus);
}

// Known defect of CVE-2021-3139's kind: the map is asked again for every piece.
TEST_F(CopiesByStore, Cve20213139AUnitThatLeavesTheMapIsOutOfReachAtOnce) {
    media[1]->hold(StoreOpcode::copy);
    TestCommand& command = start({block_to_block(0, 1, 64, 0, 0), block_to_block(0, 1, 1, 0, 99)});
    ASSERT_TRUE(rig.wait(0, [&] { return media[1]->held() == 1; }));
    rig.on(0, [&] {
        nexus->nexus->set_lun_map(*LunMap::make({{0, units[0], false}, {1, units[2], false}}));
    });
    media[1]->release();
    ASSERT_TRUE(rig.wait(0, [&] { return command.ended(); }));
    EXPECT_EQ(command.additional(), 0x0D02u);
    EXPECT_EQ(count(StoreOpcode::copy), 1u);
    EXPECT_EQ(count(StoreOpcode::write), 0u);
}

// --- What a copy may do, whoever carries it out ---

class WhoCopies : public CopiesByStore, public ::testing::WithParamInterface<bool> {
  protected:
    WhoCopies() : CopiesByStore(media_that_copy(GetParam())) {}

    void expect_nothing_moved() {
        EXPECT_EQ(count(StoreOpcode::copy) + count(StoreOpcode::write), 0u);
        forget();
    }
    Status reserve_out(TestNexus& by, std::uint32_t lun, std::uint8_t action, std::uint8_t type,
                       std::uint64_t key, std::uint64_t service_key = 0) {
        Bytestring list(24);
        store_be(list.data(), key);
        store_be(list.data() + 8, service_key);
        return rig.run(by, {0x5F, action, type, 0, 0, 0, 0, 0, 24, 0}, list, 0, lun).status;
    }
    void set_access(std::size_t unit, AccessState state) {
        bool done = false;
        rig.on(0, [&] {
            units[unit]->configure_access(
                [](scsi::AccessStateTable& table) -> Result<void> {
                    table.groups.clear();
                    OLIO_TRY(put_group(table, {.id = 10, .name = "only"}));
                    return put_port(table, 1, 10);
                },
                [&](const Result<void>& result) { done = result.has_value(); });
        });
        ASSERT_TRUE(rig.wait(0, [&] { return done; }));
        done = false;
        rig.on(0, [&] {
            units[unit]->set_access_states(
                {{.state = state, .id = 10}},
                [&](const Result<void>& result) { done = result.has_value(); });
        });
        ASSERT_TRUE(rig.wait(0, [&] { return done; }));
        for (int i = 0; i < 4; ++i)  // the unit attentions of that
            rig.run(*nexus, test_unit_ready, {}, 0, static_cast<std::uint32_t>(unit));
    }
};

INSTANTIATE_TEST_SUITE_P(Stores, WhoCopies, ::testing::Bool(),
                         [](const auto& one) { return one.param ? "ByStore" : "ByTheEngine"; });

// SPC-5 5.13: the copy's commands meet the reservations as those of its initiator do.
TEST_P(WhoCopies, PersistentReservationsHoldOnBothSidesForBothNexuses) {
    constexpr std::uint8_t register_key = 0, reserve = 1, release = 2;
    constexpr std::uint8_t write_exclusive = 1, exclusive_access = 3, registrants = 6;
    TestNexus& other = rig.add_nexus(1, units);
    const Bytestring forth = lid1_list(all(), {block_to_block(0, 1, 8, 0, 0)}, 1);
    const Bytestring back = lid1_list(all(), {block_to_block(1, 0, 8, 0, 64)}, 2);
    const std::string conflict = "0d01: 18 0/00/00";
    struct Case {
        std::uint8_t type;
        bool may_write, may_read;
    };
    // LUN 1 is reserved by `other`. The command goes to LUN 2, which is not.
    ASSERT_EQ(reserve_out(other, 1, register_key, 0, 0, 7), Status::good);
    for (const Case& one :
         {Case{write_exclusive, false, true}, Case{exclusive_access, false, false},
          Case{registrants, false, false}}) {
        ASSERT_EQ(reserve_out(other, 1, reserve, one.type, 7), Status::good);
        forget();
        EXPECT_EQ(reported(copy(forth, *nexus, 2)), one.may_write ? "" : conflict) << +one.type;
        if (!one.may_write)
            expect_nothing_moved();
        TestCommand& read = copy(back, *nexus, 2);
        EXPECT_EQ(reported(read), one.may_read ? "" : conflict) << +one.type;
        EXPECT_EQ(read.status, one.may_read ? Status::good : Status::check_condition);
        if (!one.may_read)
            expect_nothing_moved();
        EXPECT_EQ(copy(forth, other, 2).status, Status::good);  // the holder
        EXPECT_EQ(copy(back, other, 2).status, Status::good);
        ASSERT_EQ(reserve_out(other, 1, release, one.type, 7), Status::good);
        rig.run(*nexus, test_unit_ready, {}, 0, 1);
    }
    // A registrant is not held back by a reservation of the registrants.
    ASSERT_EQ(reserve_out(*nexus, 1, register_key, 0, 0, 8), Status::good);
    ASSERT_EQ(reserve_out(other, 1, reserve, registrants, 7), Status::good);
    EXPECT_EQ(copy(forth, *nexus, 2).status, Status::good);
    EXPECT_EQ(copy(back, *nexus, 2).status, Status::good);
}

TEST_P(WhoCopies, AReservationThatComesWhileACopyRunsHoldsForItsNextPiece) {
    TestNexus& other = rig.add_nexus(1, units);
    ASSERT_EQ(reserve_out(other, 1, 0, 0, 0, 7), Status::good);
    const StoreOpcode moves = GetParam() ? StoreOpcode::copy : StoreOpcode::write;
    media[1]->hold(moves);
    TestCommand& command = start({block_to_block(0, 1, 8, 0, 0), block_to_block(0, 1, 8, 0, 64)});
    ASSERT_TRUE(rig.wait(0, [&] { return media[1]->held() == 1; }));
    ASSERT_EQ(reserve_out(other, 1, 1, 1, 7), Status::good);
    media[1]->release();
    ASSERT_TRUE(rig.wait(0, [&] { return command.ended(); }));
    EXPECT_EQ(reported(command), "0d01: 18 0/00/00");
    EXPECT_EQ(media[1]->count(moves), 1u);
}

TEST_P(WhoCopies, AccessStatesHoldOnBothSides) {
    struct Case {
        AccessState state;
        const char* answer;
    };
    for (const std::size_t unit : {1, 0})
        for (const Case& one : {Case{AccessState::standby, "0d01: 02 2/04/0b"},
                                Case{AccessState::unavailable, "0d01: 02 2/04/0c"},
                                Case{AccessState::active_non_optimized, ""}}) {
            set_access(unit, one.state);
            forget();
            const TestCommand& command =
                copy(lid1_list(all(), {block_to_block(0, 1, 8, 0, 0)}), *nexus, 2);
            EXPECT_EQ(reported(command), one.answer) << unit;
            if (*one.answer != 0) {
                EXPECT_EQ(command.sense_storage[unit == 0 ? 8 : 9], 18) << "the side";
                expect_nothing_moved();
            } else {
                EXPECT_EQ(command.status, Status::good);
            }
            set_access(unit, AccessState::active_optimized);
        }
}

TEST_P(WhoCopies, AWriteProtectedUnitIsNotWrittenByCopies) {
    rig.on(0, [&] { units[1]->set_write_protected(true, [](Result<void>) {}); });
    rig.settle();
    EXPECT_EQ(reported(copy({block_to_block(0, 1, 1, 0, 0)})), "0d01: 02 7/27/00");
    expect_nothing_moved();
    EXPECT_EQ(copy({block_to_block(1, 0, 1, 0, 0)}).status, Status::good);
    // For this initiator alone, and by SWP.
    rig.on(0, [&] { units[1]->set_write_protected(false, [](Result<void>) {}); });
    rig.settle();
    rig.on(0, [&] {
        nexus->nexus->set_lun_map(
            *LunMap::make({{0, units[0], false}, {1, units[1], true}, {2, units[2], false}}));
    });
    rig.run(*nexus, test_unit_ready);
    forget();
    EXPECT_EQ(reported(copy({block_to_block(0, 1, 1, 0, 0)})), "0d01: 02 7/27/00");
    expect_nothing_moved();
}

TEST_P(WhoCopies, Cve202028374UnitsOutsideTheInitiatorsMapAreNotReached) {
    TestNexus& narrow = rig.add_nexus(1, {units[0]});
    for (const auto& [from, to] : {std::pair<std::uint16_t, std::uint16_t>{0, 1}, {1, 0}}) {
        TestCommand& command = copy(lid1_list(all(), {block_to_block(from, to, 1, 0, 9)}), narrow);
        EXPECT_EQ(command.key(), 0xA);
        EXPECT_EQ(command.additional(), 0x0D02u);
    }
    expect_nothing_moved();
    EXPECT_EQ(count(StoreOpcode::read), 0u);
}

TEST_P(WhoCopies, ProtectionInformationIsMadeAndCheckedOnItsWay) {
    const auto plain = medium_named(1);
    const auto protected_one = make_protected_medium(8192);
    const auto protected_two = make_protected_medium(8192);
    protected_one->identification = medium_named(2)->identification;
    protected_two->identification = medium_named(3)->identification;
    const std::vector<std::shared_ptr<FakeMedium>> all_media{plain, protected_one, protected_two};
    EngineRig other;
    std::vector<LogicalUnit*> made;
    for (const auto& medium : all_media) {
        medium->copies = GetParam();
        LogicalUnitOptions options;
        options.name = medium->identification.serial;
        options.protection_type = medium == plain ? 0 : medium == protected_one ? 1 : 3;
        made.push_back(other.add_unit(make_fake_store(medium), options));
    }
    TestNexus& by = other.add_nexus(0, made);
    Descriptors cscds;
    for (const auto& medium : all_media)
        cscds.push_back(scsi::testing::cscd(medium->identification.naa));
    const Bytestring data = pattern(512 * 64, 5);
    plain->write(0, data);
    const auto run = [&](std::uint16_t from, std::uint16_t to, std::uint64_t at) -> TestCommand& {
        const Bytestring list = lid1_list(cscds, {block_to_block(from, to, 64, 0, at)});
        return other.run(by, copy_cdb(0, list.size()), list);
    };
    const auto tuple = [](FakeMedium& medium, std::uint64_t lba) {
        return scsi::load_tuple(medium.tuples->read(lba, 1).data());
    };
    EXPECT_EQ(run(0, 1, 0).status, Status::good);
    EXPECT_EQ(run(1, 2, 0).status, Status::good);
    EXPECT_EQ(run(1, 1, 100).status, Status::good);
    EXPECT_EQ(run(2, 0, 200).status, Status::good);
    EXPECT_EQ(plain->read(200, 64), data);
    // Of type 1 the reference tag is that of the new place: a copied tuple would be wrong there.
    EXPECT_EQ(tuple(*protected_one, 107).reference, 107u);
    EXPECT_EQ(tuple(*protected_one, 107).guard, tuple(*protected_one, 7).guard);
    EXPECT_EQ(other.read(by, 100, 64, 512).status, Status::good);
    for (const auto& medium : all_media)
        EXPECT_EQ(medium->count(StoreOpcode::copy), 0u);
    // What is damaged does not become good by being copied.
    Bytestring damaged = data;
    damaged[512 * 9] ^= 1;
    protected_one->write(0, damaged);
    EXPECT_EQ(reported(run(1, 0, 300)), "0d01: 02 b/10/01");
}

TEST_P(WhoCopies, TokensAreCopiedFrom) {
    const auto cdb = [](std::uint8_t service_action, std::size_t list_bytes) {
        Bytestring made(16);
        made[0] = 0x83;
        made[1] = service_action;
        store_be(made.data() + 6, 1u);
        store_be(made.data() + 10, static_cast<std::uint32_t>(list_bytes));
        return made;
    };
    const Bytestring data = pattern(512 * 5000, 1);
    media[0]->write(7, data);
    const auto token = [&] {
        const Bytestring ranges = populate_list({{7, 5000}});
        EXPECT_EQ(rig.run(*nexus, cdb(0x10, ranges.size()), ranges).status, Status::good);
        const Bytestring found = rig.run(*nexus, results_cdb(7, 1), {}, 1024).in;
        return Bytestring(found.end() - 512, found.end());
    };
    const Bytestring list = write_token_list({{10, 5000}}, token());
    EXPECT_EQ(rig.run(*nexus, cdb(0x11, list.size()), list, 0, 1).status, Status::good);
    EXPECT_EQ(media[1]->read(10, 5000), data);
    EXPECT_EQ(count(StoreOpcode::copy) != 0, GetParam());
    // A write into the ranges while they are copied.
    const Bytestring again = write_token_list({{10, 5000}}, token());
    const StoreOpcode moves = GetParam() ? StoreOpcode::copy : StoreOpcode::write;
    media[1]->hold(moves);
    TestCommand& command = rig.make(*nexus, cdb(0x11, again.size()), again, 0, 1);
    rig.start(command, *nexus);
    ASSERT_TRUE(rig.wait(0, [&] { return media[1]->held() == 1; }));
    rig.write(*nexus, 5006, Bytestring(512));
    media[1]->release();
    ASSERT_TRUE(rig.wait(0, [&] { return command.ended(); }));
    EXPECT_EQ(command.additional(), 0x2306u);
}

// What ends with TOKEN REVOKED has not been written by then.
TEST_F(CopiesByStore, ACopyOntoItsOwnTokensRangesIsNotTheStores) {
    const auto cdb = [](std::uint8_t service_action, std::size_t list_bytes) {
        Bytestring made(16);
        made[0] = 0x83;
        made[1] = service_action;
        store_be(made.data() + 6, 1u);
        store_be(made.data() + 10, static_cast<std::uint32_t>(list_bytes));
        return made;
    };
    const Bytestring data = pattern(512 * 16, 1);
    // The token stands for two ranges: what is written goes into the second, or beside it.
    for (const auto& [to, by_store] : {std::pair<std::uint64_t, bool>{104, false},
                                       {97, false},
                                       {111, false},
                                       {112, true},
                                       {92, true}}) {
        SCOPED_TRACE(to);
        media[0]->write(0, data);
        media[0]->write(100, Bytestring(512 * 12));
        forget();
        const Bytestring ranges = populate_list({{0, 4}, {100, 12}});
        ASSERT_EQ(rig.run(*nexus, cdb(0x10, ranges.size()), ranges).status, Status::good);
        const Bytestring found = rig.run(*nexus, results_cdb(7, 1), {}, 1024).in;
        const Bytestring list =
            write_token_list({{to, 4}}, Bytestring(found.end() - 512, found.end()));
        const TestCommand& command = rig.run(*nexus, cdb(0x11, list.size()), list);
        EXPECT_EQ(command.status, Status::good);
        EXPECT_EQ(media[0]->read(to, 4), Bytestring(data.begin(), data.begin() + 4 * 512));
        EXPECT_EQ(media[0]->count(StoreOpcode::copy) != 0, by_store);
    }
}

}  // namespace
}  // namespace olio::target
