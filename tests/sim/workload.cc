#include "workload.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace olio::sim {
namespace {

namespace cdb = initiator::cdb;
using reactor::Random;

struct KindRow {
    Kind kind;
    std::string_view name;
    unsigned weight;
    bool writes;
};

constexpr std::array<KindRow, static_cast<std::size_t>(Kind::count)> kinds{{
    {Kind::read, "READ", 30, false},
    {Kind::write, "WRITE", 34, true},
    {Kind::write_and_verify, "WRITE AND VERIFY", 2, true},
    {Kind::write_same, "WRITE SAME", 5, true},
    {Kind::unmap, "UNMAP", 4, true},
    {Kind::compare_and_write, "COMPARE AND WRITE", 9, true},
    {Kind::verify, "VERIFY", 1, false},
    {Kind::verify_compare, "VERIFY with BYTCHK", 3, false},
    {Kind::synchronize_cache, "SYNCHRONIZE CACHE", 5, false},
    {Kind::test_unit_ready, "TEST UNIT READY", 2, false},
    {Kind::inquiry, "INQUIRY", 2, false},
    {Kind::read_capacity, "READ CAPACITY", 1, false},
    {Kind::report_luns, "REPORT LUNS", 1, false},
    {Kind::mode_sense, "MODE SENSE", 1, false},
    {Kind::get_lba_status, "GET LBA STATUS", 1, false},
    {Kind::pre_fetch, "PRE-FETCH", 1, false},
    {Kind::out_of_range, "out of range", 1, false},
    {Kind::unknown_opcode, "unknown opcode", 1, false},
}};

const KindRow& row_of(Kind kind) {
    return kinds[static_cast<std::size_t>(kind)];
}

Kind choose_kind(Random& random) {
    unsigned total = 0;
    for (const KindRow& row : kinds)
        total += row.weight;
    std::uint64_t at = random.below(total);
    for (const KindRow& row : kinds) {
        if (at < row.weight)
            return row.kind;
        at -= row.weight;
    }
    return Kind::read;
}

struct Range {
    std::uint64_t lba;
    std::uint32_t blocks;
};

// Most commands meet at the beginning of the unit, most are short.
Range choose_range(Random& random, const Unit& unit, std::uint32_t most) {
    const std::uint64_t span =
        random.below(4) != 0 ? std::min<std::uint64_t>(unit.blocks, 24) : unit.blocks;
    const std::uint64_t lba = random.below(span);
    const std::uint64_t wish = random.below(8) == 0 ? most : std::min<std::uint32_t>(most, 8);
    const std::uint64_t longest = std::min<std::uint64_t>(wish, unit.blocks - lba);
    return {lba, static_cast<std::uint32_t>(1 + random.below(longest))};
}

void set_range(HostCommand& command, const Unit& unit, Range range) {
    command.first_cell = range.lba * unit.cells_per_block();
    command.cells = range.blocks * unit.cells_per_block();
}

std::size_t bytes_of(const Unit& unit, Range range) {
    return std::size_t{range.blocks} * unit.block_bytes;
}

Stamps stamps_of(const HostCommand& command, const Unit& unit) {
    if (command.kind == Kind::unmap)
        return {};
    if (command.kind == Kind::write_same) {
        const bool zeros = std::all_of(command.data_out.begin(), command.data_out.end(),
                                       [](std::uint8_t byte) { return byte == 0; });
        return zeros ? Stamps{}
                     : Stamps{command.id << 24, static_cast<std::uint32_t>(unit.cells_per_block())};
    }
    return {command.id << 24, 1U << 24};
}

void fill_with_own(HostCommand& command, const Unit& unit, std::size_t bytes) {
    command.data_out.resize(bytes);
    fill(command.data_out, {command.id << 24, 1U << 24});
    (void)unit;
}

Cdb read_or_write(Random& random, bool writes, Range range, bool fua) {
    const std::uint8_t flags = fua ? cdb::fua : 0;
    const auto lba = static_cast<std::uint32_t>(range.lba);
    const auto blocks = static_cast<std::uint16_t>(range.blocks);
    switch (random.below(4)) {
        case 0:
            if (!fua && range.blocks < 256)
                return cdb::six(writes ? 0x0a : 0x08, lba, static_cast<std::uint8_t>(blocks));
            [[fallthrough]];
        case 1:
            return cdb::twelve(writes ? 0xaa : 0xa8, flags, lba, range.blocks);
        case 2:
            return cdb::sixteen(writes ? 0x8a : 0x88, flags, range.lba, range.blocks);
        default:
            return cdb::ten(writes ? 0x2a : 0x28, flags, lba, blocks);
    }
}

void make_write_same(HostCommand& command, Random& random, const Unit& unit, Range range) {
    const bool zeros = random.below(2) == 0;
    std::uint8_t flags = zeros && random.below(2) == 0 ? cdb::unmap_bit : 0;
    command.data_out.assign(unit.block_bytes, 0);
    if (!zeros)
        fill(command.data_out,
             {command.id << 24, static_cast<std::uint32_t>(unit.cells_per_block())});
    const auto lba = static_cast<std::uint32_t>(range.lba);
    if (random.below(2) == 0) {
        command.cdb = cdb::write_same_10(lba, static_cast<std::uint16_t>(range.blocks), flags);
        return;
    }
    if (zeros && random.below(2) == 0) {
        flags |= cdb::no_data_out;
        command.data_out.clear();
    }
    command.cdb = cdb::write_same_16(range.lba, range.blocks, flags);
}

void make_unmap(HostCommand& command, Range range) {
    command.data_out.assign(24, 0);
    store_be<std::uint16_t>(&command.data_out[0], 22);
    store_be<std::uint16_t>(&command.data_out[2], 16);
    store_be<std::uint64_t>(&command.data_out[8], range.lba);
    store_be<std::uint32_t>(&command.data_out[16], range.blocks);
    command.cdb = cdb::unmap(24);
}

// What to compare with: a guess of the medium, mostly a value that was there a moment ago.
void make_comparison(HostCommand& command, Random& random, const Unit& unit, Range range) {
    const std::size_t bytes = bytes_of(unit, range);
    std::vector<std::uint8_t> guess(bytes, 0);
    if (random.below(8) != 0)
        unit.model.likely(command.first_cell, guess);
    if (command.kind == Kind::verify_compare) {
        command.data_out = std::move(guess);
        command.cdb = cdb::verify_10(static_cast<std::uint32_t>(range.lba),
                                     static_cast<std::uint16_t>(range.blocks), cdb::byte_check);
        return;
    }
    fill_with_own(command, unit, bytes);
    command.data_out.insert(command.data_out.begin(), guess.begin(), guess.end());
    command.cdb = cdb::compare_and_write(range.lba, static_cast<std::uint8_t>(range.blocks),
                                         command.fua ? cdb::fua : 0);
}

void make_without_medium(HostCommand& command, const Unit& unit, Range range) {
    const auto lba = static_cast<std::uint32_t>(range.lba);
    const auto answer = [&command](const Cdb& cdb, std::size_t bytes) {
        command.cdb = cdb;
        command.data_in.resize(bytes);
    };
    switch (command.kind) {
        case Kind::inquiry:
            return answer(cdb::inquiry(96), 96);
        case Kind::read_capacity:
            return answer(cdb::read_capacity_16(32), 32);
        case Kind::report_luns:
            return answer(cdb::report_luns(256), 256);
        case Kind::mode_sense:
            return answer(cdb::mode_sense_10(0x3f, 512), 512);
        case Kind::get_lba_status:
            return answer(cdb::get_lba_status(range.lba, 64), 64);
        case Kind::pre_fetch:
            command.cdb = cdb::ten(0x34, 0, lba, static_cast<std::uint16_t>(range.blocks));
            return;
        case Kind::verify:
            command.cdb = cdb::verify_16(range.lba, range.blocks, 0);
            return;
        case Kind::out_of_range:
            return answer(cdb::read_16(unit.blocks - 1, 2), std::size_t{2} * unit.block_bytes);
        case Kind::unknown_opcode:
            command.cdb = cdb::six(0x02, 0, 0);
            return;
        default:
            command.cdb = cdb::test_unit_ready();
    }
}

Attribute choose_attribute(Random& random) {
    switch (random.below(16)) {
        case 0:
            return Attribute::ordered;
        case 1:
            return Attribute::head_of_queue;
        case 2:
            return Attribute::untagged;
        default:
            return Attribute::simple;
    }
}

enum : std::uint8_t {
    good = 0x00,
    check_condition = 0x02,
    condition_met = 0x04,
    busy = 0x08,
    task_set_full = 0x28,
    aca_active = 0x30,
    task_aborted = 0x40
};
enum : std::uint8_t {
    not_ready = 2,
    medium_error = 3,
    hardware_error = 4,
    illegal_request = 5,
    unit_attention = 6,
    data_protect = 7,
    aborted_command = 0xb,
    miscompare = 0xe
};

// Whether this answer has a reason that the run knows of.
bool explained(const HostCommand& command, const Unit& unit, const Answer& answer) {
    const std::uint16_t asc = answer.additional_sense;
    switch (answer.status) {
        case good:
            return command.kind != Kind::out_of_range && command.kind != Kind::unknown_opcode;
        case condition_met:
            return command.kind == Kind::pre_fetch;
        case task_aborted:
            return unit.functions_used;
        case busy:
        case task_set_full:
            return true;
        case aca_active:
            return unit.naca_used;
        case check_condition:
            break;
        default:
            return false;
    }
    switch (answer.sense_key) {
        case unit_attention:
            return (asc >> 8) == 0x29 || (asc == 0x2a09 && unit.resizes) ||
                   (asc == 0x2f00 && unit.functions_used) || asc == 0x3f0e;
        case illegal_request:
            return (asc == 0x2100 && (command.kind == Kind::out_of_range || unit.resizes)) ||
                   (asc == 0x4900 && command.attribute == Attribute::aca) ||
                   (asc == 0x2000 && command.kind == Kind::unknown_opcode) ||
                   (asc == 0x2000 && command.kind == Kind::unmap && !unit.unmaps) ||
                   (asc == 0x2400 && command.kind == Kind::write_same && !unit.unmaps);
        case miscompare:
            return asc == 0x1d00 && (command.kind == Kind::compare_and_write ||
                                     command.kind == Kind::verify_compare);
        case aborted_command:
            return asc == 0x4b00 || unit.fails;  // the direct fabric's failed transfers
        case not_ready:
        case medium_error:
        case hardware_error:
        case data_protect:
            return unit.fails;
        default:
            return false;
    }
}

// What the end of a command that writes says of its write.
WriteEnd end_of_write(const HostCommand& command, const Answer& answer) {
    if (answer.how != Answer::How::answered || answer.status == task_aborted)
        return WriteEnd::uncertain;
    if (answer.status == good)
        return command.kind == Kind::unmap ? WriteEnd::uncertain : WriteEnd::done;
    if (answer.status != check_condition)
        return WriteEnd::refused;
    const bool never_begun = answer.sense_key == unit_attention ||
                             answer.sense_key == illegal_request || answer.sense_key == miscompare;
    return never_begun ? WriteEnd::refused : WriteEnd::uncertain;
}

}  // namespace

std::string_view name_of(Kind kind) noexcept {
    return row_of(kind).name;
}

std::unique_ptr<HostCommand> make_command(Random& random, WriteId id, Unit& unit) {
    auto command = std::make_unique<HostCommand>();
    command->id = id;
    command->lun = unit.lun;
    command->kind = choose_kind(random);
    command->attribute = choose_attribute(random);
    const bool small = command->kind == Kind::compare_and_write;
    const Range range = choose_range(random, unit, small ? 3 : 64);
    set_range(*command, unit, range);
    command->fua = random.below(4) == 0;
    switch (command->kind) {
        case Kind::read:
            command->cdb = read_or_write(random, false, range, command->fua);
            command->data_in.resize(bytes_of(unit, range));
            break;
        case Kind::write:
            command->cdb = read_or_write(random, true, range, command->fua);
            fill_with_own(*command, unit, bytes_of(unit, range));
            break;
        case Kind::write_and_verify:
            command->fua = false;
            command->cdb = cdb::write_and_verify_10(static_cast<std::uint32_t>(range.lba),
                                                    static_cast<std::uint16_t>(range.blocks));
            fill_with_own(*command, unit, bytes_of(unit, range));
            break;
        case Kind::write_same:
            command->fua = false;
            make_write_same(*command, random, unit, range);
            break;
        case Kind::unmap:
            command->fua = false;
            make_unmap(*command, range);
            break;
        case Kind::compare_and_write:
        case Kind::verify_compare:
            make_comparison(*command, random, unit, range);
            break;
        case Kind::synchronize_cache: {
            const bool whole = random.below(2) == 0;
            if (whole)
                set_range(*command, unit, {0, static_cast<std::uint32_t>(unit.blocks)});
            command->cdb =
                whole ? cdb::synchronize_cache_16(0, 0)
                      : cdb::synchronize_cache_10(static_cast<std::uint32_t>(range.lba),
                                                  static_cast<std::uint16_t>(range.blocks));
            break;
        }
        default:
            make_without_medium(*command, unit, range);
    }
    return command;
}

std::unique_ptr<HostCommand> make_read(WriteId id, const Unit& unit, std::uint64_t lba,
                                       std::uint32_t blocks) {
    auto command = std::make_unique<HostCommand>();
    command->id = id;
    command->lun = unit.lun;
    command->kind = Kind::read;
    set_range(*command, unit, {lba, blocks});
    command->cdb = cdb::read_16(lba, blocks);
    command->data_in.resize(std::size_t{blocks} * unit.block_bytes);
    return command;
}

void begin(HostCommand& command, Unit& unit, Time now) {
    command.begun = now;
    if (row_of(command.kind).writes)
        unit.model.write_begins(command.id, now, command.first_cell, command.cells,
                                stamps_of(command, unit));
}

void lost_is_over(const HostCommand& command, Unit& unit, Time now) {
    if (unit.model.writing(command.id))
        unit.model.write_ends(command.id, now, WriteEnd::uncertain, false);
}

std::optional<std::string> end(const HostCommand& command, Unit& unit, const Answer& answer,
                               Time now) {
    const bool answered = answer.how == Answer::How::answered;
    const bool succeeded = answered && answer.status == good;
    std::optional<std::string> complaint;
    if (answered && !explained(command, unit, answer))
        return fmt::format("ended with status {:#x}, sense {:#x}/{:#06x}, without a reason",
                           answer.status, answer.sense_key, answer.additional_sense);
    const Bytes compared =
        Bytes(command.data_out)
            .first(command.kind == Kind::compare_and_write ? command.data_out.size() / 2
                                                           : command.data_out.size());
    if (row_of(command.kind).writes && answer.how != Answer::How::lost) {
        if (succeeded && command.kind == Kind::compare_and_write)
            complaint = unit.model.compared(command.id, now, compared);
        unit.model.write_ends(command.id, now, end_of_write(command, answer),
                              command.fua || unit.durable_writes);
    }
    if (complaint)
        return complaint;
    if (answered && answer.status == check_condition && answer.sense_key == miscompare)
        return unit.model.differed(command.begun, command.first_cell, compared);
    if (!succeeded)
        return std::nullopt;
    switch (command.kind) {
        case Kind::read:
            if (answer.data_in_bytes != command.data_in.size())
                return fmt::format("{} bytes of {} read", answer.data_in_bytes,
                                   command.data_in.size());
            return unit.model.read(command.begun, now, command.first_cell, command.data_in);
        case Kind::verify_compare:
            return unit.model.read(command.begun, now, command.first_cell, compared);
        case Kind::synchronize_cache:
            unit.model.flushed(command.begun, command.first_cell, command.cells);
            return std::nullopt;
        case Kind::read_capacity:
            if (!unit.resizes && load_be<std::uint64_t>(command.data_in.data()) != unit.blocks - 1)
                return "READ CAPACITY tells another capacity";
            return std::nullopt;
        default:
            return std::nullopt;
    }
}

std::string describe(const HostCommand& command) {
    return fmt::format("{} {} on LUN {}, cells {}+{}{}{}", name_of(command.kind), command.id,
                       command.lun, command.first_cell, command.cells, command.fua ? ", FUA" : "",
                       command.hold_data_out ? ", data held back" : "");
}

}  // namespace olio::sim
