// CDBs as an initiator writes them (SPC-5, SBC-4).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/bytes.h"

namespace olio::initiator {

struct Cdb {
    std::array<std::uint8_t, 16> bytes{};
    std::size_t length = 0;

    [[nodiscard]] Bytes span() const noexcept { return Bytes(bytes.data(), length); }
    operator Bytes() const noexcept { return span(); }  // NOLINT: a CDB is bytes
};

namespace cdb {

inline constexpr std::uint8_t fua = 0x08;             // READ, WRITE, WRITE AND VERIFY: byte 1
inline constexpr std::uint8_t unmap_bit = 0x08;       // WRITE SAME: byte 1
inline constexpr std::uint8_t no_data_out = 0x01;     // WRITE SAME(16): NDOB
inline constexpr std::uint8_t byte_check = 0x02;      // VERIFY: BYTCHK 01b
inline constexpr std::uint8_t byte_check_one = 0x06;  // VERIFY: BYTCHK 11b

// The (6), (10), (12) and (16) shapes with an LBA and a count of blocks.
[[nodiscard]] inline Cdb six(std::uint8_t opcode, std::uint32_t lba, std::uint8_t blocks) {
    Cdb c;
    c.length = 6;
    c.bytes[0] = opcode;
    store_be24(&c.bytes[1], lba & 0x1fffff);
    c.bytes[4] = blocks;
    return c;
}
[[nodiscard]] inline Cdb ten(std::uint8_t opcode, std::uint8_t flags, std::uint32_t lba,
                             std::uint16_t blocks) {
    Cdb c;
    c.length = 10;
    c.bytes[0] = opcode;
    c.bytes[1] = flags;
    store_be(&c.bytes[2], lba);
    store_be(&c.bytes[7], blocks);
    return c;
}
[[nodiscard]] inline Cdb twelve(std::uint8_t opcode, std::uint8_t flags, std::uint32_t lba,
                                std::uint32_t blocks) {
    Cdb c;
    c.length = 12;
    c.bytes[0] = opcode;
    c.bytes[1] = flags;
    store_be(&c.bytes[2], lba);
    store_be(&c.bytes[6], blocks);
    return c;
}
[[nodiscard]] inline Cdb sixteen(std::uint8_t opcode, std::uint8_t flags, std::uint64_t lba,
                                 std::uint32_t blocks) {
    Cdb c;
    c.length = 16;
    c.bytes[0] = opcode;
    c.bytes[1] = flags;
    store_be(&c.bytes[2], lba);
    store_be(&c.bytes[10], blocks);
    return c;
}

[[nodiscard]] inline Cdb test_unit_ready() {
    return six(0x00, 0, 0);
}
[[nodiscard]] inline Cdb request_sense(std::uint8_t allocation) {
    return six(0x03, 0, allocation);
}
[[nodiscard]] inline Cdb inquiry(std::uint16_t allocation, int page = -1) {
    Cdb c;
    c.length = 6;
    c.bytes[0] = 0x12;
    c.bytes[1] = page >= 0 ? 1 : 0;
    c.bytes[2] = page >= 0 ? static_cast<std::uint8_t>(page) : 0;
    store_be(&c.bytes[3], allocation);
    return c;
}
[[nodiscard]] inline Cdb read_capacity_10() {
    return ten(0x25, 0, 0, 0);
}
[[nodiscard]] inline Cdb read_capacity_16(std::uint32_t allocation) {
    return sixteen(0x9e, 0x10, 0, allocation);
}
[[nodiscard]] inline Cdb report_luns(std::uint32_t allocation) {
    return twelve(0xa0, 0, 0, allocation);
}
[[nodiscard]] inline Cdb mode_sense_10(std::uint8_t page, std::uint16_t allocation) {
    return ten(0x5a, 0, std::uint32_t{page} << 24, allocation);
}
[[nodiscard]] inline Cdb read_10(std::uint32_t lba, std::uint16_t blocks, std::uint8_t flags = 0) {
    return ten(0x28, flags, lba, blocks);
}
[[nodiscard]] inline Cdb write_10(std::uint32_t lba, std::uint16_t blocks, std::uint8_t flags = 0) {
    return ten(0x2a, flags, lba, blocks);
}
[[nodiscard]] inline Cdb read_16(std::uint64_t lba, std::uint32_t blocks, std::uint8_t flags = 0) {
    return sixteen(0x88, flags, lba, blocks);
}
[[nodiscard]] inline Cdb write_16(std::uint64_t lba, std::uint32_t blocks, std::uint8_t flags = 0) {
    return sixteen(0x8a, flags, lba, blocks);
}
[[nodiscard]] inline Cdb write_and_verify_10(std::uint32_t lba, std::uint16_t blocks) {
    return ten(0x2e, 0, lba, blocks);
}
[[nodiscard]] inline Cdb verify_10(std::uint32_t lba, std::uint16_t blocks, std::uint8_t flags) {
    return ten(0x2f, flags, lba, blocks);
}
[[nodiscard]] inline Cdb verify_16(std::uint64_t lba, std::uint32_t blocks, std::uint8_t flags) {
    return sixteen(0x8f, flags, lba, blocks);
}
[[nodiscard]] inline Cdb synchronize_cache_10(std::uint32_t lba, std::uint16_t blocks) {
    return ten(0x35, 0, lba, blocks);
}
[[nodiscard]] inline Cdb synchronize_cache_16(std::uint64_t lba, std::uint32_t blocks) {
    return sixteen(0x91, 0, lba, blocks);
}
[[nodiscard]] inline Cdb write_same_10(std::uint32_t lba, std::uint16_t blocks,
                                       std::uint8_t flags) {
    return ten(0x41, flags, lba, blocks);
}
[[nodiscard]] inline Cdb write_same_16(std::uint64_t lba, std::uint32_t blocks,
                                       std::uint8_t flags) {
    return sixteen(0x93, flags, lba, blocks);
}
[[nodiscard]] inline Cdb unmap(std::uint16_t list_bytes) {
    return ten(0x42, 0, 0, list_bytes);
}
[[nodiscard]] inline Cdb compare_and_write(std::uint64_t lba, std::uint8_t blocks,
                                           std::uint8_t flags = 0) {
    Cdb c = sixteen(0x89, flags, lba, 0);
    c.bytes[13] = blocks;
    return c;
}
[[nodiscard]] inline Cdb get_lba_status(std::uint64_t lba, std::uint32_t allocation) {
    return sixteen(0x9e, 0x12, lba, allocation);
}

}  // namespace cdb
}  // namespace olio::initiator
