// For tests: parameter lists of EXTENDED COPY.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "scsi/extended_copy.h"
#include "scsi/rod_token.h"

namespace olio::scsi::testing {

using Naa = std::array<std::uint8_t, 16>;

// Descriptors as the standard lays them out; edit the bytes for what is special.
[[nodiscard]] std::vector<std::uint8_t> cscd(const Naa& naa, std::uint32_t block_bytes = 512);
[[nodiscard]] std::vector<std::uint8_t> block_to_block(std::uint16_t source,
                                                       std::uint16_t destination,
                                                       std::uint16_t blocks,
                                                       std::uint64_t source_lba,
                                                       std::uint64_t destination_lba);
[[nodiscard]] std::vector<std::uint8_t> bytes_to_bytes(
    std::uint16_t source, std::uint16_t destination, std::uint32_t bytes, std::uint64_t source_lba,
    std::uint16_t source_offset, std::uint64_t destination_lba, std::uint16_t destination_offset);
[[nodiscard]] std::vector<std::uint8_t> verify_device(std::uint16_t source, bool test_unit_ready);

using Descriptors = std::vector<std::vector<std::uint8_t>>;
[[nodiscard]] std::vector<std::uint8_t> lid1_list(const Descriptors& cscds,
                                                  const Descriptors& segments,
                                                  std::uint8_t list_id = 1,
                                                  ListIdUsage usage = ListIdUsage::held);
[[nodiscard]] std::vector<std::uint8_t> lid4_list(const Descriptors& cscds,
                                                  const Descriptors& segments,
                                                  std::uint32_t list_id, bool immediate = false);

// Parameter lists of POPULATE TOKEN and WRITE USING TOKEN.
[[nodiscard]] std::vector<std::uint8_t> populate_list(const std::vector<BlockRange>& ranges);
[[nodiscard]] std::vector<std::uint8_t> write_token_list(const std::vector<BlockRange>& ranges,
                                                         Bytes token, std::uint64_t offset = 0);

}  // namespace olio::scsi::testing
