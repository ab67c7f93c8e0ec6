// The guards of many blocks at once (SBC-4 4.21.4), twice as fast as one after the other: what a
// block costs besides its bytes is hidden behind the next one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace olio::scsi {

// Blocks of `block_bytes`, the first of which stands at `data` and each further one `stride_bytes`
// behind the one before; as many as there are `guards`. Reentrant.
void guards_of(const std::uint8_t* data, std::size_t block_bytes, std::size_t stride_bytes,
               std::span<std::uint16_t> guards) noexcept;

// The ways there are to do that. The first that the processor can is taken; all say the same.
enum class GuardMethod : std::uint8_t {
    vector,   // VPCLMULQDQ: 32 bytes at a time, of blocks of a multiple of 512 bytes
    library,  // ISA-L, block by block
};
inline constexpr std::size_t guard_methods = 2;
// False: this processor cannot, or the method is not for blocks of that size.
[[nodiscard]] bool guards_by(GuardMethod method, const std::uint8_t* data, std::size_t block_bytes,
                             std::size_t stride_bytes, std::span<std::uint16_t> guards) noexcept;

}  // namespace olio::scsi
