#include "scsi/protection_guards.h"

#include <gtest/gtest.h>
#include <isa-l/crc.h>

#include <algorithm>
#include <random>
#include <vector>

#include "scsi/protection_information.h"

namespace olio::scsi {
namespace {

constexpr std::array methods{GuardMethod::vector, GuardMethod::library};
static_assert(methods.size() == guard_methods);

std::vector<std::uint8_t> random_bytes(std::size_t count, unsigned seed) {
    std::mt19937 random(seed);
    std::vector<std::uint8_t> bytes(count);
    for (std::uint8_t& byte : bytes)
        byte = static_cast<std::uint8_t>(random());
    return bytes;
}

// ISA-L is the golden data, and a table of our own, bit by bit, that of ISA-L.
TEST(ProtectionGuards, EveryMethodSaysWhatIsaLSays) {
    const auto bytes = random_bytes(70000, 1);
    for (const GuardMethod method : methods)
        for (const std::size_t block_bytes : {512, 1024, 1536, 2048, 4096, 520, 8, 1})
            for (const std::size_t between : {0, 8, 1})
                for (const std::size_t offset : {0, 1, 7, 16, 31})
                    for (const std::size_t blocks : {0, 1, 2, 3, 13}) {
                        const std::size_t stride = block_bytes + between;
                        std::vector<std::uint16_t> guards(blocks);
                        if (!guards_by(method, bytes.data() + offset, block_bytes, stride, guards))
                            continue;
                        for (std::size_t block = 0; block < blocks; ++block) {
                            const std::uint8_t* const at = bytes.data() + offset + block * stride;
                            ASSERT_EQ(guards[block], crc16_t10dif(0, at, block_bytes))
                                << int(method) << " " << block_bytes << " " << block;
                            ASSERT_EQ(guards[block], portable_guard_of({at, block_bytes}));
                        }
                    }
}

TEST(ProtectionGuards, EverySingleBitCountsInEveryMethod) {
    for (const GuardMethod method : methods)
        for (const std::size_t block_bytes : {512, 4096}) {
            std::vector<std::uint8_t> block(block_bytes);
            std::uint16_t guard = 1;
            if (!guards_by(method, block.data(), block_bytes, block_bytes, {&guard, 1}))
                continue;
            EXPECT_EQ(guard, 0) << "of zeros";
            for (std::size_t bit = 0; bit < 8 * block_bytes; ++bit) {
                block[bit / 8] = static_cast<std::uint8_t>(0x80 >> bit % 8);
                ASSERT_TRUE(guards_by(method, block.data(), block_bytes, block_bytes, {&guard, 1}));
                ASSERT_EQ(guard, portable_guard_of(block)) << bit;
                block[bit / 8] = 0;
            }
            std::ranges::fill(block, std::uint8_t{0xFF});
            ASSERT_TRUE(guards_by(method, block.data(), block_bytes, block_bytes, {&guard, 1}));
            EXPECT_EQ(guard, portable_guard_of(block));
        }
}

TEST(ProtectionGuards, ThoseInUseAreForBlocksOfAnySize) {
    const auto bytes = random_bytes(4200, 2);
    std::uint16_t guard = 0;
    for (std::size_t block_bytes = 1; block_bytes < 4200; block_bytes += 7) {
        guards_of(bytes.data(), block_bytes, block_bytes, {&guard, 1});
        ASSERT_EQ(guard, portable_guard_of(Bytes(bytes).first(block_bytes))) << block_bytes;
    }
    EXPECT_FALSE(guards_by(GuardMethod::vector, bytes.data(), 520, 520, {&guard, 1}));
}

}  // namespace
}  // namespace olio::scsi
