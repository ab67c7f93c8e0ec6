#include "scsi/cdb_fields.h"

#include "scsi/logical_unit_state.h"
#include "scsi/sense_codes.h"

namespace olio::scsi {

namespace {

constexpr bool bit(Bytes cdb, std::size_t byte, unsigned number) noexcept {
    return (cdb[byte] >> number & 1U) != 0;
}

}  // namespace

CacheFields decode_cache_fields(Bytes cdb) noexcept {
    if (cdb[0] >> 5 == 0)  // READ(6) and WRITE(6) have neither
        return {};
    const std::size_t flags = flags_byte(cdb);
    return {.disable_page_out = bit(cdb, flags, 4), .force_unit_access = bit(cdb, flags, 3)};
}

std::expected<VerifyFields, SenseData> decode_verify(Bytes cdb) noexcept {
    constexpr std::uint8_t reserved = 2;
    const std::size_t byte = flags_byte(cdb);
    const std::uint8_t byte_check = cdb[byte] >> 1 & 0x03;
    if (byte_check == reserved)
        return std::unexpected(invalid_field_in_cdb(static_cast<std::uint16_t>(byte), 2));
    return VerifyFields{.disable_page_out = bit(cdb, byte, 4),
                        .byte_check = static_cast<ByteCheck>(byte_check)};
}

std::uint64_t verify_data_blocks(ByteCheck byte_check, std::uint64_t blocks) noexcept {
    switch (byte_check) {
        case ByteCheck::medium_only:
            return 0;
        case ByteCheck::compare:
            return blocks;
        case ByteCheck::compare_one:
            return blocks == 0 ? 0 : 1;
    }
    return 0;
}

std::expected<WriteSameFields, SenseData> decode_write_same(const Request& request) noexcept {
    const std::size_t flags = flags_byte(request.cdb);
    const auto at = static_cast<std::uint16_t>(flags);
    const Provisioning& thin = request.state->provisioning;
    const WriteSameFields fields{
        .unmap = bit(request.cdb, flags, 3),
        .anchor = bit(request.cdb, flags, 4),
        .no_data_out = request.row.cdb_bytes >= 16 && bit(request.cdb, flags, 0)};
    if (fields.unmap && !thin.write_same_unmap)
        return std::unexpected(invalid_field_in_cdb(at, 3));
    if (fields.anchor && (!fields.unmap || !thin.anchor))
        return std::unexpected(invalid_field_in_cdb(at, 4));
    return fields;
}

std::expected<bool, SenseData> decode_unmap_anchor(const Request& request) noexcept {
    const bool anchor = bit(request.cdb, 1, 0);
    if (anchor && !request.state->provisioning.anchor)
        return std::unexpected(invalid_field_in_cdb(1, 0));
    return anchor;
}

std::uint16_t atomic_boundary_of(Bytes cdb) noexcept {
    return load_be<std::uint16_t>(cdb.data() + (is_variable_length(cdb) ? 4 : 10));
}

CompareAndWriteFields decode_compare_and_write(const Request& request) noexcept {
    return {.cache = decode_cache_fields(request.cdb),
            .blocks = static_cast<std::uint8_t>(request.decoded.blocks)};
}

bool decode_immediate(Bytes cdb) noexcept {
    return bit(cdb, 1, 1);
}

StartStopFields decode_start_stop(Bytes cdb) noexcept {
    return {.immediate = bit(cdb, 1, 0), .no_flush = bit(cdb, 4, 2), .start = bit(cdb, 4, 0)};
}

}  // namespace olio::scsi
