#include "medium_model.h"

#include <gmock/gmock.h>

namespace olio::sim {
namespace {

using testing::HasSubstr;

class MediumModelTest : public testing::Test {
  protected:
    void write(WriteId id, Time begun, Time end, std::uint64_t first, WriteEnd how = WriteEnd::done,
               bool durable = false, std::uint64_t count = 1) {
        model.write_begins(id, begun, first, count, {id << 16, 16});
        if (end != never)
            model.write_ends(id, end, how, durable);
    }
    bool finds(WriteId id, Time begun, Time now, std::uint64_t cell) {
        std::vector<std::uint8_t> bytes(cell_bytes);
        fill(bytes, {id << 16, 16});
        return !model.read(begun, now, cell, bytes);
    }
    bool survives(WriteId id, std::uint64_t cell) {
        std::vector<std::uint8_t> medium(cell_bytes * model.cells());
        fill(MutableBytes(medium).subspan(cell * cell_bytes, cell_bytes), {id << 16, 16});
        return !model.after_crash(medium);
    }
    MediumModel model{8, true};
};

TEST_F(MediumModelTest, StartsWithZeros) {
    EXPECT_TRUE(finds(0, 1, 2, 3));
    EXPECT_FALSE(finds(9, 1, 2, 3));
}

TEST_F(MediumModelTest, AWriteThatEndedReplacesTheOld) {
    write(1, 1, 2, 0);
    EXPECT_FALSE(finds(0, 3, 4, 0));
    EXPECT_TRUE(finds(1, 3, 4, 0));
}

TEST_F(MediumModelTest, AReadThatBeganBeforeMayFindTheOld) {
    write(1, 3, 5, 0);
    EXPECT_TRUE(finds(0, 4, 6, 0));
    EXPECT_FALSE(finds(0, 6, 7, 0));
}

TEST_F(MediumModelTest, OverlappingWritesMayTakeEffectInAnyOrder) {
    write(1, 1, never, 0);
    write(2, 2, 3, 0);
    model.write_ends(1, 4, WriteEnd::done, false);
    EXPECT_TRUE(finds(1, 5, 6, 0));
    EXPECT_FALSE(finds(2, 7, 8, 0)) << "a read has found the other";
}

TEST_F(MediumModelTest, AnAbortedWriteMayShowButNotLate) {
    write(1, 1, 2, 0, WriteEnd::uncertain);
    EXPECT_TRUE(finds(0, 3, 4, 0));
    EXPECT_FALSE(finds(1, 5, 6, 0));
}

TEST_F(MediumModelTest, ALostWriteMayShowLateUntilItsEnd) {
    write(1, 1, never, 0);
    EXPECT_TRUE(finds(0, 3, 4, 0));
    EXPECT_TRUE(finds(1, 5, 6, 0));
    EXPECT_FALSE(finds(0, 7, 8, 0));
    model.write_ends(1, 9, WriteEnd::uncertain, false);
    EXPECT_TRUE(finds(1, 10, 11, 0));
}

TEST_F(MediumModelTest, ARefusedWriteNeverShows) {
    write(1, 1, 2, 0, WriteEnd::refused);
    EXPECT_FALSE(finds(1, 3, 4, 0));
}

TEST_F(MediumModelTest, SeesDataOfAnotherPlace) {
    write(1, 1, 2, 0, WriteEnd::done, false, 4);
    EXPECT_TRUE(finds(1, 3, 4, 0));
    EXPECT_FALSE(finds(1, 3, 4, 1));
}

TEST_F(MediumModelTest, TornCellsConsistOfWhatOverlapped) {
    std::vector<std::uint8_t> bytes(cell_bytes);
    fill(bytes, {std::uint64_t{1} << 16, 1});
    std::fill(bytes.begin(), bytes.begin() + 13, std::uint8_t{0});
    write(1, 1, 5, 0);
    EXPECT_FALSE(model.read(2, 6, 0, bytes));
    EXPECT_TRUE(model.read(7, 8, 0, bytes));
}

TEST_F(MediumModelTest, OneValueIsReplacedByOneCompareAndWriteOnly) {
    write(1, 1, 2, 0);
    std::vector<std::uint8_t> compare(cell_bytes);
    fill(compare, {1U << 16, 16});
    for (const WriteId id : {2, 3})
        model.write_begins(id, 3, 0, 1, {id << 16, 16});
    EXPECT_FALSE(model.compared(2, 5, compare));
    model.write_ends(2, 5, WriteEnd::done, false);
    EXPECT_THAT(*model.compared(3, 6, compare), HasSubstr("two COMPARE AND WRITE"));
}

TEST_F(MediumModelTest, AMiscompareNeedsADifference) {
    write(1, 1, 2, 0);
    std::vector<std::uint8_t> compare(cell_bytes);
    fill(compare, {1U << 16, 16});
    EXPECT_TRUE(model.differed(3, 0, compare));
    EXPECT_FALSE(model.differed(3, 1, compare));
}

TEST_F(MediumModelTest, ACrashMayTakeWhatWasNotFlushed) {
    write(1, 1, 2, 0);
    EXPECT_TRUE(survives(0, 0));
    EXPECT_TRUE(survives(1, 0));
    model.flushed(3, 0, 8);
    EXPECT_FALSE(survives(0, 0));
    EXPECT_TRUE(survives(1, 0));
}

TEST_F(MediumModelTest, AFlushCoversOnlyWhatEndedBeforeItBegan) {
    write(1, 1, 4, 0);
    model.flushed(3, 0, 8);
    EXPECT_TRUE(survives(0, 0));
}

TEST_F(MediumModelTest, ADurableWriteStays) {
    write(1, 1, 2, 0, WriteEnd::done, true);
    EXPECT_FALSE(survives(0, 0));
    EXPECT_TRUE(survives(1, 0));
}

}  // namespace
}  // namespace olio::sim
