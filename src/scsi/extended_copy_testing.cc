#include "scsi/extended_copy_testing.h"

namespace olio::scsi::testing {

namespace {

std::vector<std::uint8_t> segment(std::uint8_t type, std::size_t bytes, std::uint16_t source,
                                  std::uint16_t destination) {
    std::vector<std::uint8_t> made(bytes);
    made[0] = type;
    store_be(made.data() + 2, static_cast<std::uint16_t>(bytes - 4));
    store_be(made.data() + 4, source);
    store_be(made.data() + 6, destination);
    return made;
}

std::size_t append(std::vector<std::uint8_t>& list, const Descriptors& descriptors) {
    const std::size_t before = list.size();
    for (const auto& one : descriptors)
        list.insert(list.end(), one.begin(), one.end());
    return list.size() - before;
}

}  // namespace

std::vector<std::uint8_t> cscd(const Naa& naa, std::uint32_t block_bytes) {
    std::vector<std::uint8_t> made(32);
    made[0] = 0xE4;
    made[4] = 1;
    made[5] = 3;
    made[7] = 16;
    std::copy(naa.begin(), naa.end(), made.begin() + 8);
    store_be24(made.data() + 29, block_bytes);
    return made;
}

std::vector<std::uint8_t> block_to_block(std::uint16_t source, std::uint16_t destination,
                                         std::uint16_t blocks, std::uint64_t source_lba,
                                         std::uint64_t destination_lba) {
    auto made = segment(0x02, 28, source, destination);
    store_be(made.data() + 10, blocks);
    store_be(made.data() + 12, source_lba);
    store_be(made.data() + 20, destination_lba);
    return made;
}

std::vector<std::uint8_t> bytes_to_bytes(std::uint16_t source, std::uint16_t destination,
                                         std::uint32_t bytes, std::uint64_t source_lba,
                                         std::uint16_t source_offset, std::uint64_t destination_lba,
                                         std::uint16_t destination_offset) {
    auto made = segment(0x0A, 32, source, destination);
    store_be(made.data() + 8, bytes);
    store_be(made.data() + 12, source_lba);
    store_be(made.data() + 20, destination_lba);
    store_be(made.data() + 28, source_offset);
    store_be(made.data() + 30, destination_offset);
    return made;
}

std::vector<std::uint8_t> verify_device(std::uint16_t source, bool test_unit_ready) {
    auto made = segment(0x07, 12, source, 0);
    made[8] = test_unit_ready ? 1 : 0;
    return made;
}

std::vector<std::uint8_t> lid1_list(const Descriptors& cscds, const Descriptors& segments,
                                    std::uint8_t list_id, ListIdUsage usage) {
    std::vector<std::uint8_t> list(16);
    list[0] = list_id;
    list[1] = static_cast<std::uint8_t>(static_cast<unsigned>(usage) << 3);
    const std::size_t cscd_bytes = append(list, cscds);
    const std::size_t segment_bytes = append(list, segments);
    store_be(list.data() + 2, static_cast<std::uint16_t>(cscd_bytes));
    store_be(list.data() + 8, static_cast<std::uint32_t>(segment_bytes));
    return list;
}

std::vector<std::uint8_t> lid4_list(const Descriptors& cscds, const Descriptors& segments,
                                    std::uint32_t list_id, bool immediate) {
    std::vector<std::uint8_t> list(48);
    list[0] = 1;
    list[3] = 32;
    list[15] = immediate ? 1 : 0;
    list[16] = 0xFF;
    store_be(list.data() + 20, list_id);
    const std::size_t cscd_bytes = append(list, cscds);
    const std::size_t segment_bytes = append(list, segments);
    store_be(list.data() + 42, static_cast<std::uint16_t>(cscd_bytes));
    store_be(list.data() + 44, static_cast<std::uint16_t>(segment_bytes));
    return list;
}

namespace {

void put_ranges(std::vector<std::uint8_t>& list, std::size_t length_at,
                const std::vector<BlockRange>& ranges) {
    const std::size_t first = list.size();
    list.resize(first + 16 * ranges.size());
    for (std::size_t i = 0; i < ranges.size(); ++i) {
        store_be(list.data() + first + 16 * i, ranges[i].lba);
        store_be(list.data() + first + 16 * i + 8, static_cast<std::uint32_t>(ranges[i].blocks));
    }
    store_be(list.data() + length_at, static_cast<std::uint16_t>(16 * ranges.size()));
    store_be(list.data(), static_cast<std::uint16_t>(list.size() - 2));
}

}  // namespace

std::vector<std::uint8_t> populate_list(const std::vector<BlockRange>& ranges) {
    std::vector<std::uint8_t> list(16);
    put_ranges(list, 14, ranges);
    return list;
}

std::vector<std::uint8_t> write_token_list(const std::vector<BlockRange>& ranges, Bytes token,
                                           std::uint64_t offset) {
    std::vector<std::uint8_t> list(536);
    store_be(list.data() + 8, offset);
    std::copy(token.begin(), token.end(), list.begin() + 16);
    put_ranges(list, 534, ranges);
    return list;
}

}  // namespace olio::scsi::testing
