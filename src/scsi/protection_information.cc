#include "scsi/protection_information.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "scsi/command_table.h"
#include "scsi/logical_unit_state.h"
#include "scsi/protection_guards.h"
#include "scsi/sense_codes.h"

namespace olio::scsi {

namespace {

constexpr std::uint16_t polynomial = 0x8BB7;

constexpr auto crc_table = [] {
    std::array<std::uint16_t, 256> table{};
    for (unsigned byte = 0; byte < table.size(); ++byte) {
        auto crc = static_cast<std::uint16_t>(byte << 8);
        for (int bit = 0; bit < 8; ++bit)
            crc =
                static_cast<std::uint16_t>((crc & 0x8000) != 0 ? crc << 1 ^ polynomial : crc << 1);
        table[byte] = crc;
    }
    return table;
}();

constexpr TagSet all{true, true, true};
constexpr TagSet guard_alone{true, false, false};
constexpr TagSet tags_alone{false, true, true};
constexpr ProtectRow reserved_row{.reserved = true};

constexpr std::array<AdditionalSense, 3> check_failed{
    sense::logical_block_guard_check_failed, sense::logical_block_application_tag_check_failed,
    sense::logical_block_reference_tag_check_failed};

// Walks over blocks and tuples that may lie beside each other or interleaved.
struct Layout {
    std::size_t block_bytes;
    std::size_t block_stride;
    std::size_t tuple_stride;
};

constexpr std::size_t batch_blocks = 64;  // whose guards are made at a time

bool all_escape(const std::uint8_t* tuple, std::size_t blocks, const Layout& layout,
                std::uint8_t type) noexcept {
    std::size_t block = 0;
    while (block < blocks && escapes(load_tuple(tuple + block * layout.tuple_stride), type))
        ++block;
    return block == blocks;
}

std::optional<ProtectionFailure> check(const std::uint8_t* data, const std::uint8_t* tuple,
                                       std::size_t blocks, const Layout& layout,
                                       const ProtectionExpectation& expected) noexcept {
    const TagSet tags = expected.tags;
    if (!tags.guard && !tags.application && !tags.reference)
        return std::nullopt;
    std::uint32_t reference = expected.reference;
    std::array<std::uint16_t, batch_blocks> guards;
    for (std::size_t block = 0; block < blocks; ++block, ++reference) {
        const std::size_t in_batch = block % batch_blocks;
        if (in_batch == 0) {
            const std::size_t batch = std::min(batch_blocks, blocks - block);
            if (all_escape(tuple, batch, layout, expected.type)) {  // never written
                block += batch - 1;
                reference += static_cast<std::uint32_t>(batch - 1);
                data += batch * layout.block_stride;
                tuple += batch * layout.tuple_stride;
                continue;
            }
            if (tags.guard)
                guards_of(data, layout.block_bytes, layout.block_stride,
                          std::span(guards).first(batch));
        }
        const ProtectionTuple found = load_tuple(tuple);
        if (!escapes(found, expected.type)) [[likely]] {
            if (tags.guard && guards[in_batch] != found.guard)
                return ProtectionFailure{block, ProtectionTag::guard};
            if (tags.application &&
                ((found.application ^ expected.application) & expected.application_mask) != 0)
                return ProtectionFailure{block, ProtectionTag::application};
            if (tags.reference && found.reference != reference)
                return ProtectionFailure{block, ProtectionTag::reference};
        }
        data += layout.block_stride;
        tuple += layout.tuple_stride;
    }
    return std::nullopt;
}

}  // namespace

// SBC-4, the tables of RDPROTECT, WRPROTECT, VRPROTECT and ORPROTECT.
constinit const ProtectTable rdprotect_table{{
    {.medium = all},
    {.transferred = true, .medium = all},
    {.transferred = true, .medium = tags_alone},
    {.transferred = true},
    {.transferred = true, .medium = guard_alone},
    {.transferred = true, .medium = all},
    reserved_row,
    reserved_row,
}};

constinit const ProtectTable wrprotect_table{{
    {},
    {.transferred = true, .data_out = all},
    {.transferred = true, .data_out = tags_alone},
    {.transferred = true},
    {.transferred = true, .data_out = guard_alone},
    {.transferred = true, .data_out = all},
    reserved_row,
    reserved_row,
}};

constinit const ProtectTable vrprotect_table{{
    {.medium = all, .medium_compared = all},
    {.transferred = true, .medium = all, .data_out = all, .compared = all},
    {.transferred = true, .medium = tags_alone, .data_out = tags_alone, .compared = tags_alone},
    {.transferred = true, .compared = all},
    {.transferred = true, .medium = guard_alone, .data_out = guard_alone, .compared = all},
    {.transferred = true, .medium = all, .data_out = all, .compared = {true, true, false}},
    reserved_row,
    reserved_row,
}};

constinit const ProtectTable orprotect_table{{
    {.medium = all},
    {.transferred = true, .medium = all, .data_out = all},
    {.transferred = true, .medium = tags_alone, .data_out = tags_alone},
    {.transferred = true},
    {.transferred = true, .medium = guard_alone, .data_out = guard_alone},
    {.transferred = true, .medium = all, .data_out = all},
    reserved_row,
    reserved_row,
}};

// A tuple is eight bytes: one load, one store.
ProtectionTuple load_tuple(const std::uint8_t* from) noexcept {
    const auto bytes = load_be<std::uint64_t>(from);
    return {static_cast<std::uint16_t>(bytes >> 48), static_cast<std::uint16_t>(bytes >> 32),
            static_cast<std::uint32_t>(bytes)};
}

void store_tuple(const ProtectionTuple& tuple, std::uint8_t* into) noexcept {
    store_be(into, std::uint64_t{tuple.guard} << 48 | std::uint64_t{tuple.application} << 32 |
                       tuple.reference);
}

std::uint16_t guard_of(Bytes block) noexcept {
    return crc16_t10dif(0, block.data(), block.size());
}

std::uint16_t portable_guard_of(Bytes block) noexcept {
    std::uint16_t crc = 0;
    for (const std::uint8_t byte : block)
        crc = static_cast<std::uint16_t>(crc << 8 ^ crc_table[(crc >> 8 ^ byte) & 0xFF]);
    return crc;
}

std::uint8_t protect_field_of(const CommandRow& row, Bytes cdb) noexcept {
    return row.protect_byte == 0 ? std::uint8_t{0}
                                 : static_cast<std::uint8_t>(cdb[row.protect_byte] >> 5);
}

std::expected<void, SenseData> check_protect_field(const CommandRow& row, Bytes cdb,
                                                   const LogicalUnitState& state) noexcept {
    const std::uint8_t field = protect_field_of(row, cdb);
    if (field == 0)
        return {};
    const std::uint8_t type = state.protection.type;
    // What is reserved is so for every command.
    if (type == 0 || rdprotect_table[field].reserved)
        return std::unexpected(invalid_field_in_cdb(row.protect_byte, 7));
    if ((type == 2) != (row.expected_tags_byte != 0))
        return std::unexpected(make_sense(sense::invalid_command_operation_code));
    return {};
}

ProtectionExpectation expectations(const CommandRow& row, Bytes cdb, const LogicalUnitState& state,
                                   TagSet tags, std::uint64_t lba) noexcept {
    ProtectionExpectation expected;
    expected.type = state.protection.type;
    if (protect_field_of(row, cdb) == 0 ? state.mode_pages.protection_check_disabled
                                        : !state.settings.verify_protection)
        return expected;
    expected.tags.guard = tags.guard;
    if (row.expected_tags_byte != 0) {
        const std::uint8_t* const brought = cdb.data() + row.expected_tags_byte;
        expected.tags.reference = tags.reference;
        expected.reference = load_be<std::uint32_t>(brought);
        expected.tags.application = tags.application && state.mode_pages.application_tag_owner;
        expected.application = load_be<std::uint16_t>(brought + 4);
        expected.application_mask = load_be<std::uint16_t>(brought + 6);
        return expected;
    }
    expected.tags.reference = tags.reference && expected.type == 1;
    expected.reference = static_cast<std::uint32_t>(lba);
    return expected;
}

TagSet compared_tags(TagSet tags, const LogicalUnitState& state) noexcept {
    const bool owned = state.mode_pages.application_tag_owner;
    return {tags.guard, tags.application && owned,
            tags.reference && (owned || state.protection.type != 3)};
}

ProtectionExpectation default_expectations(const LogicalUnitState& state,
                                           std::uint64_t lba) noexcept {
    ProtectionExpectation expected;
    expected.type = state.protection.type;
    const bool checked = expected.type != 0 && !state.mode_pages.protection_check_disabled;
    expected.tags = {checked, false, checked && expected.type == 1};
    expected.reference = static_cast<std::uint32_t>(lba);
    return expected;
}

std::uint8_t protection_checks_of(const LogicalUnitState& state) noexcept {
    // By type. A unit that can have any type says what it can check, not what it checks now.
    static constexpr std::array<std::uint8_t, 4> checks{0x00, 0x05, 0x07, 0x04};
    if (!state.settings.verify_protection)
        return 0x00;
    return state.protection.supported ? std::uint8_t{0x07} : checks[state.protection.type & 3];
}

ProtectionMaking making_of(const LogicalUnitState& state, std::uint64_t lba) noexcept {
    ProtectionMaking making;
    making.application =
        state.mode_pages.application_tag_owner ? escape_tuple.application : std::uint16_t{0};
    const bool by_address = state.protection.type == 1;
    making.reference = by_address ? static_cast<std::uint32_t>(lba) : escape_tuple.reference;
    making.reference_step = by_address ? 1 : 0;
    return making;
}

std::optional<ProtectionFailure> check_protection(Bytes data, Bytes tuples, std::size_t block_bytes,
                                                  const ProtectionExpectation& expected) noexcept {
    const std::size_t blocks = tuples.size() / protection_bytes;
    OLIO_ASSERT(data.size() == blocks * block_bytes, "a tuple for each block");
    return check(data.data(), tuples.data(), blocks, {block_bytes, block_bytes, protection_bytes},
                 expected);
}

std::optional<ProtectionFailure> check_interleaved(Bytes interleaved, std::size_t block_bytes,
                                                   const ProtectionExpectation& expected) noexcept {
    const std::size_t stride = block_bytes + protection_bytes;
    return check(interleaved.data(), interleaved.data() + block_bytes, interleaved.size() / stride,
                 {block_bytes, stride, stride}, expected);
}

std::optional<ProtectionFailure> compare_protection(Bytes sent, Bytes medium, TagSet compared,
                                                    std::uint8_t type) noexcept {
    const std::size_t bytes = std::min(sent.size(), medium.size());
    for (std::size_t at = 0; at < bytes; at += protection_bytes) {
        const ProtectionTuple one = load_tuple(sent.data() + at);
        const ProtectionTuple other = load_tuple(medium.data() + at);
        if (one == other || escapes(one, type) || escapes(other, type))
            continue;
        const std::size_t block = at / protection_bytes;
        if (compared.guard && one.guard != other.guard)
            return ProtectionFailure{block, ProtectionTag::guard};
        if (compared.application && one.application != other.application)
            return ProtectionFailure{block, ProtectionTag::application};
        if (compared.reference && one.reference != other.reference)
            return ProtectionFailure{block, ProtectionTag::reference};
    }
    return std::nullopt;
}

void generate_protection(Bytes data, MutableBytes tuples, std::size_t block_bytes,
                         const ProtectionMaking& making) noexcept {
    const std::size_t blocks = tuples.size() / protection_bytes;
    OLIO_ASSERT(data.size() == blocks * block_bytes, "a tuple for each block");
    ProtectionTuple tuple{0, making.application, making.reference};
    std::array<std::uint16_t, batch_blocks> guards;
    for (std::size_t block = 0; block < blocks; block += batch_blocks) {
        const auto batch = std::span(guards).first(std::min(batch_blocks, blocks - block));
        guards_of(data.data() + block * block_bytes, block_bytes, block_bytes, batch);
        std::uint8_t* into = tuples.data() + block * protection_bytes;
        for (const std::uint16_t guard : batch) {
            tuple.guard = guard;
            store_tuple(tuple, into);
            tuple.reference += making.reference_step;
            into += protection_bytes;
        }
    }
}

void renew_guards(Bytes data, MutableBytes tuples, std::size_t block_bytes) noexcept {
    const std::size_t blocks = tuples.size() / protection_bytes;
    OLIO_ASSERT(data.size() == blocks * block_bytes, "a tuple for each block");
    std::array<std::uint16_t, batch_blocks> guards;
    for (std::size_t block = 0; block < blocks; block += batch_blocks) {
        const auto batch = std::span(guards).first(std::min(batch_blocks, blocks - block));
        guards_of(data.data() + block * block_bytes, block_bytes, block_bytes, batch);
        for (std::size_t i = 0; i < batch.size(); ++i)
            store_be(tuples.data() + (block + i) * protection_bytes, batch[i]);
    }
}

void interleave(Bytes data, Bytes tuples, std::size_t block_bytes, MutableBytes into) noexcept {
    OLIO_ASSERT(into.size() == data.size() + tuples.size(), "room for the data and the tuples");
    std::uint8_t* to = into.data();
    const std::uint8_t* from = data.data();
    for (std::size_t at = 0; at < tuples.size(); at += protection_bytes) {
        std::memcpy(to, from, block_bytes);
        std::memcpy(to + block_bytes, tuples.data() + at, protection_bytes);
        from += block_bytes;
        to += block_bytes + protection_bytes;
    }
}

void separate(MutableBytes interleaved, MutableBytes tuples, std::size_t block_bytes) noexcept {
    OLIO_ASSERT(
        interleaved.size() / (block_bytes + protection_bytes) * protection_bytes == tuples.size(),
        "room for the tuples");
    const std::uint8_t* from = interleaved.data();
    std::uint8_t* to = interleaved.data();
    for (std::size_t at = 0; at < tuples.size(); at += protection_bytes) {
        std::memcpy(tuples.data() + at, from + block_bytes, protection_bytes);
        std::memmove(to, from, block_bytes);
        from += block_bytes + protection_bytes;
        to += block_bytes;
    }
}

void repeat_tuple(const ProtectionTuple& first, std::uint8_t type, MutableBytes tuples) noexcept {
    ProtectionTuple tuple = first;
    for (std::size_t at = 0; at < tuples.size(); at += protection_bytes) {
        store_tuple(tuple, tuples.data() + at);
        tuple.reference += type == 3 ? 0 : 1;
    }
}

SenseData protection_sense(ProtectionTag tag, std::uint64_t lba) noexcept {
    return make_sense_at({SenseKey::aborted_command, check_failed[static_cast<std::size_t>(tag)]},
                         lba);
}

SenseData protection_miscompare(ProtectionTag tag, std::uint64_t lba) noexcept {
    return make_sense_at({SenseKey::miscompare, check_failed[static_cast<std::size_t>(tag)]}, lba);
}

}  // namespace olio::scsi
