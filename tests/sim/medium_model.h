// What a logical unit's medium may contain, given what hosts were told: for each cell of 512 bytes
// the set of values that a read may still find. Nothing here knows how the target works.
//
// A cell's value is a stamp: eight bytes, repeated; each write of a cell has one of its own, so
// that data at a wrong place, of a wrong command or torn are told apart. Stamp 0 is zeros.
//
// Time is a count of what hosts see: a command's interval goes from its sending to its answer. What
// SCSI allows is taken literally:
//   - a write that ended GOOD replaces every write that was over before it began;
//   - overlapping writes may take effect in any order;
//   - one that was aborted, failed, or lost with its connection may have had an effect, on any of
//   its
//     cells, up to its end, and none later (SAM-5: after the answer to the function, or when the
//     host is logged in again);
//   - one refused before it was begun (unit attention, bad field, ...) has none;
//   - what one read found is not undone by anything but a write that was not over when the read
//   began.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace olio::sim {

using Time = std::uint64_t;
inline constexpr Time never = ~Time{0};
using Stamp = std::uint64_t;
using WriteId = std::uint64_t;
inline constexpr std::size_t cell_bytes = 512;

// The stamps of one write: cell i gets base + i % period, or zeros.
struct Stamps {
    Stamp base = 0;
    std::uint32_t period = 1;

    [[nodiscard]] Stamp of(std::uint64_t i) const noexcept {
        return base == 0 ? 0 : base + i % period;
    }
};
void fill(MutableBytes bytes, const Stamps& stamps);

enum class WriteEnd : std::uint8_t {
    done,       // GOOD
    uncertain,  // aborted, failed on the medium, lost
    refused,    // it was never begun
};

class MediumModel {
  public:
    MediumModel(std::uint64_t cells, bool tracks_durability);

    [[nodiscard]] std::uint64_t cells() const noexcept { return cells_.size(); }

    void write_begins(WriteId id, Time now, std::uint64_t first, std::uint64_t count,
                      Stamps stamps);
    void write_ends(WriteId id, Time now, WriteEnd how, bool durable);
    [[nodiscard]] bool writing(WriteId id) const { return writes_.contains(id); }

    // A read of [first, first + count) that was sent at `begun` returned these bytes. A complaint,
    // or nothing. Also for a VERIFY that found its bytes equal.
    std::optional<std::string> read(Time begun, Time now, std::uint64_t first, Bytes bytes);
    // A COMPARE AND WRITE under the id (write_begins was called) found `compare` and wrote.
    std::optional<std::string> compared(WriteId id, Time now, Bytes compare);
    // A comparison failed: there must have been something else than `bytes`.
    std::optional<std::string> differed(Time begun, std::uint64_t first, Bytes bytes);

    // A SYNCHRONIZE CACHE of the range, sent at `begun`, ended GOOD.
    void flushed(Time begun, std::uint64_t first, std::uint64_t count);
    // After power failed: a complaint about what the disk holds.
    std::optional<std::string> after_crash(Bytes medium) const;

    // The medium was made smaller and larger again: what lay beyond may be gone.
    void may_be_zeroed(Time now, std::uint64_t first, std::uint64_t count);

    // Fills whole cells with the value that was there last, of those that may be.
    void likely(std::uint64_t first, MutableBytes bytes) const;

    // The begin of the oldest command still under way: nothing older is asked about any more.
    void forget_before(Time oldest) noexcept { oldest_ = oldest; }

  private:
    struct Version {
        Stamp stamp = 0;
        WriteId write = 0;
        Time begun = 0;
        Time end = 0;
        Time dead = never;  // not to be found by reads that begin later
        bool durably_dead = false;
        bool consumed = false;  // a COMPARE AND WRITE found and replaced it
    };
    using Cell = std::vector<Version>;
    struct Write {
        std::uint64_t first;
        std::uint64_t count;
        Stamps stamps;
        Time begun;
    };

    [[nodiscard]] static bool visible(const Version& version, Time begun) noexcept {
        return version.dead >= begun;
    }
    std::optional<std::string> check_cell(std::uint64_t cell, Time begun, Bytes bytes) const;
    void narrow(Cell& cell, Time begun, Time now, Stamp found);
    void prune(Cell& cell);
    [[nodiscard]] std::string describe(std::uint64_t cell, Time begun, Bytes found) const;

    bool tracks_durability_;
    Time oldest_ = 0;
    std::vector<Cell> cells_;
    std::map<WriteId, Write> writes_;
};

}  // namespace olio::sim
