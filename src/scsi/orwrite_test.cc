// ORWRITE: which generation does what.
#include "scsi/orwrite.h"

#include <gtest/gtest.h>

#include "scsi/logical_unit_state.h"

namespace olio::scsi {
namespace {

std::vector<std::uint8_t> cdb(std::uint8_t operation, std::uint8_t policy, std::uint32_t expected,
                              std::uint32_t next) {
    std::vector<std::uint8_t> made(32);
    made[0] = 0x7F;
    made[2] = operation;
    made[3] = policy;
    made[7] = 0x18;
    made[9] = 0x0E;
    store_be(made.data() + 20, expected);
    store_be(made.data() + 24, next);
    return made;
}

// SBC-4 table 29, typed in: a letter each for the current, the previous and any other generation.
// P performs, D discards, C is refused.
TEST(Orwrite, SetOperationsFollowThePolicyOfTheStandard) {
    struct Row {
        std::uint8_t policy;
        const char* actions;
    };
    for (const Row& row :
         {Row{0, "PPC"}, Row{2, "PDC"}, Row{3, "PPP"}, Row{5, "PDD"}, Row{7, "PCC"}}) {
        const OrwriteGenerations now{.current = 9, .previous = 4, .policy = row.policy};
        const std::uint32_t expected[] = {9, 4, 1};
        for (int i = 0; i < 3; ++i) {
            const auto fields = decode_orwrite(cdb(0, 0x0F, expected[i], 77));
            ASSERT_TRUE(fields);
            const OrwriteAction action = orwrite_action(*fields, now);
            const char letter = action == OrwriteAction::perform   ? 'P'
                                : action == OrwriteAction::discard ? 'D'
                                                                   : 'C';
            EXPECT_EQ(letter, row.actions[i]) << +row.policy << " " << expected[i];
        }
    }
}

TEST(Orwrite, AChangeNeedsTheCurrentGeneration) {
    for (const std::uint8_t policy : {0, 2, 3, 5, 7}) {
        const OrwriteGenerations now{.current = 9, .previous = 4, .policy = 3};
        const auto fields = decode_orwrite(cdb(1, policy, 9, 77));
        ASSERT_TRUE(fields);
        EXPECT_EQ(orwrite_action(*fields, now), OrwriteAction::perform);
        const OrwriteGenerations after = next_generations(*fields, now);
        EXPECT_EQ(after.current, 77u);
        EXPECT_EQ(after.previous, 9u);
        EXPECT_EQ(after.policy, policy);
        EXPECT_EQ(orwrite_action(*decode_orwrite(cdb(1, policy, 4, 77)), now),
                  OrwriteAction::refuse);
    }
}

TEST(Orwrite, WhatIsReservedIsRefused) {
    for (unsigned operation = 2; operation < 8; ++operation) {
        const auto fields = decode_orwrite(cdb(static_cast<std::uint8_t>(operation), 0, 0, 0));
        ASSERT_FALSE(fields);
        ASSERT_TRUE(fields.error().field);
        EXPECT_EQ(fields.error().field->byte, 2);
    }
    for (const std::uint8_t policy : {1, 4, 6, 8, 15}) {
        const auto fields = decode_orwrite(cdb(1, policy, 0, 0));
        ASSERT_FALSE(fields);
        ASSERT_TRUE(fields.error().field);
        EXPECT_EQ(fields.error().field->byte, 3);
        EXPECT_TRUE(decode_orwrite(cdb(0, policy, 0, 0)));
    }
}

TEST(Orwrite, TheShortFormExpectsGenerationZero) {
    const std::vector<std::uint8_t> short_form{0x8B, 0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 0, 0};
    const auto fields = decode_orwrite(short_form);
    ASSERT_TRUE(fields);
    EXPECT_EQ(fields->operation, BitmapOperation::set);
    EXPECT_EQ(orwrite_action(*fields, OrwriteGenerations{}), OrwriteAction::perform);
    EXPECT_EQ(orwrite_action(*fields, {.current = 1, .previous = 2, .policy = 7}),
              OrwriteAction::refuse);
}

}  // namespace
}  // namespace olio::scsi
