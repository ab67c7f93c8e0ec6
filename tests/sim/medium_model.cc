#include "medium_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/assert.h"

namespace olio::sim {
namespace {

Stamp word_at(Bytes bytes, std::size_t offset) {
    Stamp word = 0;
    std::memcpy(&word, bytes.data() + offset, sizeof word);
    return word;
}

// The one stamp that the cell consists of.
std::optional<Stamp> stamp_of(Bytes cell) {
    if (std::memcmp(cell.data(), cell.data() + sizeof(Stamp), cell_bytes - sizeof(Stamp)) != 0)
        return std::nullopt;
    return word_at(cell, 0);
}

Bytes cell_of(Bytes bytes, std::uint64_t i) {
    return bytes.subspan(i * cell_bytes, cell_bytes);
}

}  // namespace

void fill(MutableBytes bytes, const Stamps& stamps) {
    for (std::size_t i = 0; i < bytes.size() / cell_bytes; ++i) {
        const Stamp stamp = stamps.of(i);
        for (std::size_t at = 0; at < cell_bytes; at += sizeof stamp)
            std::memcpy(bytes.data() + i * cell_bytes + at, &stamp, sizeof stamp);
    }
}

MediumModel::MediumModel(std::uint64_t cells, bool tracks_durability)
    : tracks_durability_(tracks_durability), cells_(cells, Cell{Version{}}) {}

void MediumModel::write_begins(WriteId id, Time now, std::uint64_t first, std::uint64_t count,
                               Stamps stamps) {
    OLIO_ASSERT(first + count <= cells_.size(), "a write beyond the model");
    writes_.emplace(id, Write{first, count, stamps, now});
    for (std::uint64_t i = 0; i < count; ++i)
        cells_[first + i].push_back({stamps.of(i), id, now, never, never, false, false});
}

void MediumModel::write_ends(WriteId id, Time now, WriteEnd how, bool durable) {
    const auto at = writes_.find(id);
    OLIO_ASSERT(at != writes_.end(), "an unknown write ends");
    const Write write = at->second;
    writes_.erase(at);
    for (std::uint64_t i = 0; i < write.count; ++i) {
        Cell& cell = cells_[write.first + i];
        const auto mine = std::find_if(cell.begin(), cell.end(),
                                       [id](const Version& v) { return v.write == id; });
        if (mine == cell.end())
            continue;
        if (how == WriteEnd::refused) {
            cell.erase(mine);
            continue;
        }
        mine->end = std::min(mine->end, now);
        if (how == WriteEnd::done) {
            for (Version& older : cell) {
                if (older.write == id || older.end >= write.begun)
                    continue;
                older.dead = std::min(older.dead, now);
                older.durably_dead |= durable;
            }
        }
        prune(cell);
    }
}

void MediumModel::prune(Cell& cell) {
    std::erase_if(cell, [this](const Version& v) {
        return v.dead < oldest_ && (v.durably_dead || !tracks_durability_);
    });
}

std::optional<std::string> MediumModel::check_cell(std::uint64_t cell, Time begun,
                                                   Bytes bytes) const {
    const Cell& versions = cells_[cell];
    if (const auto stamp = stamp_of(bytes)) {
        const bool known = std::any_of(versions.begin(), versions.end(), [&](const Version& v) {
            return v.stamp == *stamp && visible(v, begun);
        });
        return known ? std::nullopt : std::optional(describe(cell, begun, bytes));
    }
    // Torn: overlapping writes may leave, or a read may catch, some bytes of each.
    for (std::size_t i = 0; i < cell_bytes; ++i) {
        const bool known = std::any_of(versions.begin(), versions.end(), [&](const Version& v) {
            const Stamp stamp = v.stamp;
            std::array<std::uint8_t, sizeof stamp> of{};
            std::memcpy(of.data(), &stamp, sizeof stamp);
            return visible(v, begun) && of[i % sizeof stamp] == bytes[i];
        });
        if (!known)
            return "torn, and " + describe(cell, begun, bytes);
    }
    return std::nullopt;
}

std::string MediumModel::describe(std::uint64_t cell, Time begun, Bytes found) const {
    std::string text =
        fmt::format("cell {} (512 bytes each) holds {:#x}, but may hold", cell, word_at(found, 0));
    for (const Version& v : cells_[cell])
        if (visible(v, begun))
            text += fmt::format(" {:#x}[{},{}]", v.stamp, v.begun,
                                v.end == never ? std::string("…") : std::to_string(v.end));
    for (const Version& v : cells_[cell])
        if (!visible(v, begun))
            text += fmt::format("; not {:#x}[{},{}], gone at {}", v.stamp, v.begun, v.end, v.dead);
    return text;
}

// What was over before the read began, and was not what it found, cannot be found any more.
void MediumModel::narrow(Cell& cell, Time begun, Time now, Stamp found) {
    for (Version& v : cell)
        if (v.stamp != found && v.end < begun)
            v.dead = std::min(v.dead, now);
    prune(cell);
}

std::optional<std::string> MediumModel::read(Time begun, Time now, std::uint64_t first,
                                             Bytes bytes) {
    for (std::uint64_t i = 0; i < bytes.size() / cell_bytes; ++i) {
        const Bytes cell = cell_of(bytes, i);
        if (auto complaint = check_cell(first + i, begun, cell))
            return complaint;
        if (const auto stamp = stamp_of(cell))
            narrow(cells_[first + i], begun, now, *stamp);
    }
    return std::nullopt;
}

std::optional<std::string> MediumModel::compared(WriteId id, Time now, Bytes compare) {
    const Write write = writes_.at(id);
    for (std::uint64_t i = 0; i < write.count; ++i) {
        const Bytes bytes = cell_of(compare, i);
        if (auto complaint = check_cell(write.first + i, write.begun, bytes))
            return "COMPARE AND WRITE ended GOOD, but " + *complaint;
        const Stamp found = *stamp_of(bytes);
        Cell& cell = cells_[write.first + i];
        narrow(cell, write.begun, now, found);
        for (Version& v : cell) {
            if (v.stamp != found || v.write == id || found == 0)
                continue;
            if (v.consumed)
                return fmt::format("two COMPARE AND WRITE commands found {:#x} in cell {}", found,
                                   write.first + i);
            v.consumed = true;
            v.end = std::min(v.end, now);
            v.dead = std::min(v.dead, now);
        }
    }
    return std::nullopt;
}

std::optional<std::string> MediumModel::differed(Time begun, std::uint64_t first, Bytes bytes) {
    for (std::uint64_t i = 0; i < bytes.size() / cell_bytes; ++i) {
        const auto stamp = stamp_of(cell_of(bytes, i));
        for (const Version& v : cells_[first + i])
            if (visible(v, begun) && stamp != v.stamp)
                return std::nullopt;
    }
    return fmt::format("MISCOMPARE, but cells {} to {} can only hold what was compared", first,
                       first + bytes.size() / cell_bytes - 1);
}

void MediumModel::flushed(Time begun, std::uint64_t first, std::uint64_t count) {
    for (std::uint64_t i = first; i < first + count; ++i) {
        for (Version& v : cells_[i])
            v.durably_dead |= v.dead < begun;
        prune(cells_[i]);
    }
}

std::optional<std::string> MediumModel::after_crash(Bytes medium) const {
    for (std::uint64_t i = 0; i < cells_.size(); ++i) {
        const auto stamp = stamp_of(cell_of(medium, i));
        const bool known = std::any_of(cells_[i].begin(), cells_[i].end(), [&](const Version& v) {
            return stamp == v.stamp && !v.durably_dead;
        });
        if (known)
            continue;
        std::string text = fmt::format("after the power failure cell {} holds {:#x}, not", i,
                                       word_at(cell_of(medium, i), 0));
        for (const Version& v : cells_[i])
            if (!v.durably_dead)
                text += fmt::format(" {:#x}[{},{}]", v.stamp, v.begun, v.end);
        return text;
    }
    return std::nullopt;
}

void MediumModel::likely(std::uint64_t first, MutableBytes bytes) const {
    for (std::uint64_t i = 0; i < bytes.size() / cell_bytes; ++i) {
        Stamp stamp = 0;
        for (const Version& v : cells_[first + i])
            if (v.dead == never && v.end != never)
                stamp = v.stamp;
        fill(bytes.subspan(i * cell_bytes, cell_bytes), {stamp, 1});
    }
}

void MediumModel::may_be_zeroed(Time now, std::uint64_t first, std::uint64_t count) {
    for (std::uint64_t i = first; i < first + count; ++i)
        cells_[i].push_back({0, 0, now, now, never, false, false});
}

}  // namespace olio::sim
