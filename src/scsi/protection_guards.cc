#include "scsi/protection_guards.h"

#include <isa-l/crc.h>

#include <array>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace olio::scsi {

namespace {

using Guards = std::span<std::uint16_t>;
using Function = void (*)(const std::uint8_t* data, std::size_t block_bytes,
                          std::size_t stride_bytes, Guards guards) noexcept;

void by_library(const std::uint8_t* data, std::size_t block_bytes, std::size_t stride_bytes,
                Guards guards) noexcept {
    for (std::uint16_t& guard : guards) {
        guard = crc16_t10dif(0, data, block_bytes);
        data += stride_bytes;
    }
}

constexpr std::size_t piece_bytes = 512;

#if defined(__x86_64__)

// A block is a polynomial over GF(2), its first bit the highest coefficient; its guard is what is
// left of it times x^16 by the polynomial of T10. Each 64 bits of a piece of 512 bytes are
// multiplied by x^n mod P, where n says how far from the end of the piece they stand, so that all
// products stand at its end and their sum is the piece mod P, in 79 bits. No product waits for
// another, and the division at the end, which does wait, overlaps with the next block's products.

constexpr std::uint32_t polynomial = 0x18BB7;  // P

constexpr std::uint64_t power_of_x(std::size_t exponent) {  // mod P
    std::uint32_t power = 1;
    for (std::size_t i = 0; i < exponent; ++i) {
        power <<= 1;
        if ((power & 0x10000) != 0)
            power ^= polynomial;
    }
    return power;
}

// Without its highest coefficient, that of x^64: x^80 divided by P.
constexpr std::uint64_t reciprocal = [] {
    std::uint64_t quotient = 0;
    std::uint32_t rest = 1;  // x^0; its further coefficients are zero
    for (std::size_t i = 0; i < 80; ++i) {
        rest <<= 1;
        quotient <<= 1;
        if ((rest & 0x10000) != 0) {
            rest ^= polynomial;
            quotient |= 1;
        }
    }
    return quotient;
}();

struct Multipliers {
    // For each 16 bytes of a piece: that of the later eight, that of the earlier eight.
    alignas(32) std::array<std::uint64_t, piece_bytes / 8> of_piece{};
};
constexpr Multipliers multipliers = [] {
    Multipliers made;
    for (std::size_t at = 0; at < piece_bytes; at += 16) {
        const std::size_t bits_behind = (piece_bytes - at - 16) * 8;
        made.of_piece[at / 8] = power_of_x(bits_behind);
        made.of_piece[at / 8 + 1] = power_of_x(bits_behind + 64);
    }
    return made;
}();
// Of what the pieces before have left, when another piece comes behind.
constexpr std::uint64_t piece_low = power_of_x(piece_bytes * 8);
constexpr std::uint64_t piece_high = power_of_x(piece_bytes * 8 + 64);
constexpr std::uint64_t word = power_of_x(64);

// Of the functions below alone: the rest is built for any x86-64.
#define OLIO_VECTOR __attribute__((target("pclmul,sse4.1,avx2,vpclmulqdq")))

// Both halves times theirs.
OLIO_VECTOR inline __m128i products(__m128i value, __m128i by) noexcept {
    return _mm_xor_si128(_mm_clmulepi64_si128(value, by, 0x00),
                         _mm_clmulepi64_si128(value, by, 0x11));
}

// What is left of `sum` times x^16 by P.
OLIO_VECTOR inline std::uint16_t divided(__m128i sum) noexcept {
    const __m128i one =
        _mm_set_epi64x(static_cast<long long>(reciprocal), static_cast<long long>(word));
    const __m128i two = _mm_cvtsi64_si128(polynomial & 0xFFFF);
    // The 15 or more bits above 64, brought below.
    const __m128i low = _mm_xor_si128(sum, _mm_clmulepi64_si128(sum, one, 0x01));
    const __m128i quotient = _mm_xor_si128(
        low, _mm_unpackhi_epi64(_mm_clmulepi64_si128(low, one, 0x10), _mm_setzero_si128()));
    return static_cast<std::uint16_t>(_mm_cvtsi128_si64(_mm_clmulepi64_si128(quotient, two, 0x00)));
}

OLIO_VECTOR void by_vector(const std::uint8_t* data, std::size_t block_bytes,
                           std::size_t stride_bytes, Guards guards) noexcept {
    const __m256i reverse = _mm256_broadcastsi128_si256(
        _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    const __m128i next_piece = _mm_set_epi64x(piece_high, piece_low);
    const auto* const by = reinterpret_cast<const __m256i*>(multipliers.of_piece.data());
    for (std::uint16_t& guard : guards) {
        __m128i before = _mm_setzero_si128();
        for (std::size_t piece = 0; piece < block_bytes; piece += piece_bytes) {
            const auto* const from = reinterpret_cast<const __m256i*>(data + piece);
            __m256i low = _mm256_setzero_si256();
            __m256i high = _mm256_setzero_si256();
            for (std::size_t i = 0; i < piece_bytes / 32; ++i) {
                const __m256i value = _mm256_shuffle_epi8(_mm256_loadu_si256(from + i), reverse);
                low = _mm256_xor_si256(low, _mm256_clmulepi64_epi128(value, by[i], 0x00));
                high = _mm256_xor_si256(high, _mm256_clmulepi64_epi128(value, by[i], 0x11));
            }
            const __m256i sum = _mm256_xor_si256(low, high);
            const __m128i both =
                _mm_xor_si128(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
            before = piece == 0 ? both : _mm_xor_si128(both, products(before, next_piece));
        }
        guard = divided(before);
        data += stride_bytes;
    }
}

#undef OLIO_VECTOR

#endif

// Null: the processor cannot.
Function function_of(GuardMethod method) noexcept {
    if (method == GuardMethod::library)
        return by_library;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1") &&
        __builtin_cpu_supports("avx2") && __builtin_cpu_supports("vpclmulqdq"))
        return by_vector;
#endif
    return nullptr;
}

struct Methods {
    std::array<Function, guard_methods> functions{};
    Function best = by_library;
    Methods() noexcept {
        for (std::size_t i = guard_methods; i-- > 0;) {
            functions[i] = function_of(static_cast<GuardMethod>(i));
            if (functions[i] != nullptr)
                best = functions[i];
        }
    }
};

const Methods& methods() noexcept {
    static const Methods found;
    return found;
}

[[nodiscard]] bool whole_pieces(std::size_t block_bytes) noexcept {
    return block_bytes != 0 && block_bytes % piece_bytes == 0;
}

}  // namespace

void guards_of(const std::uint8_t* data, std::size_t block_bytes, std::size_t stride_bytes,
               Guards guards) noexcept {
    const Function function = whole_pieces(block_bytes) ? methods().best : by_library;
    function(data, block_bytes, stride_bytes, guards);
}

bool guards_by(GuardMethod method, const std::uint8_t* data, std::size_t block_bytes,
               std::size_t stride_bytes, Guards guards) noexcept {
    const Function function = methods().functions[static_cast<std::size_t>(method)];
    if (function == nullptr || (method != GuardMethod::library && !whole_pieces(block_bytes)))
        return false;
    function(data, block_bytes, stride_bytes, guards);
    return true;
}

}  // namespace olio::scsi
