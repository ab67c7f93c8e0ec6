#include <bit>

#include "initiator/wire.h"

namespace olio::initiator {
namespace {

struct Table {
    std::uint32_t row[8][256]{};
    constexpr Table() {
        for (std::uint32_t byte = 0; byte < 256; ++byte) {
            std::uint32_t value = byte;
            for (int bit = 0; bit < 8; ++bit)
                value = value & 1 ? value >> 1 ^ 0x82f63b78 : value >> 1;
            row[0][byte] = value;
        }
        for (std::uint32_t byte = 0; byte < 256; ++byte)
            for (int i = 1; i < 8; ++i)
                row[i][byte] = row[i - 1][byte] >> 8 ^ row[0][row[i - 1][byte] & 0xff];
    }
};
constexpr Table table;

std::uint32_t by_table(std::uint32_t state, const std::uint8_t* p, std::size_t count) noexcept {
    while (count >= 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, p, 8);
        if constexpr (std::endian::native == std::endian::big)
            word = std::byteswap(word);
        word ^= state;
        state = 0;
        for (unsigned i = 0; i < 8; ++i)
            state ^= table.row[7 - i][word >> 8 * i & 0xff];
        p += 8;
        count -= 8;
    }
    for (; count != 0; --count)
        state = state >> 8 ^ table.row[0][(state ^ *p++) & 0xff];
    return state;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) std::uint32_t by_instruction(std::uint32_t state,
                                                               const std::uint8_t* p,
                                                               std::size_t count) noexcept {
    std::uint64_t wide = state;
    for (; count >= 8; p += 8, count -= 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, p, 8);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    state = static_cast<std::uint32_t>(wide);
    for (; count != 0; --count)
        state = __builtin_ia32_crc32qi(state, *p++);
    return state;
}
#endif

}  // namespace

std::uint32_t crc32c(std::uint32_t state, Bytes bytes) noexcept {
#if defined(__x86_64__)
    static const bool fast = __builtin_cpu_supports("sse4.2");
    if (fast)
        return by_instruction(state, bytes.data(), bytes.size());
#endif
    return by_table(state, bytes.data(), bytes.size());
}

}  // namespace olio::initiator
