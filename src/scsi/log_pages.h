// The log pages (SPC-5 7.3, SBC-4 6.4) as two tables: the pages, and their parameters. LOG SENSE,
// LOG SELECT and the manual read them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "scsi/sense.h"

namespace olio::scsi {

struct LogicalUnitState;
struct Request;

// What a logical unit counts, on each shard for itself.
enum class LogCounter : std::uint8_t {
    read_bytes,
    read_errors,  // commands that ended with a medium error
    write_bytes,
    write_errors,
    verify_bytes,
    verify_errors,
    non_medium_errors,  // commands that the backing store failed in another way
    read_commands,
    write_commands,
    blocks_received,
    blocks_transmitted,
    always_zero,  // what is defined to be counted, and never happens here
    count,
};
inline constexpr std::size_t log_counters = static_cast<std::size_t>(LogCounter::count);

// The sums over all shards, or what is added to them: LOG SELECT changes a value by changing its
// addend, modulo 2^64, so that counting goes on undisturbed.
struct LogValues {
    std::array<std::uint64_t, log_counters> values{};

    [[nodiscard]] std::uint64_t& operator[](LogCounter counter) noexcept {
        return values[static_cast<std::size_t>(counter)];
    }
    [[nodiscard]] std::uint64_t operator[](LogCounter counter) const noexcept {
        return values[static_cast<std::size_t>(counter)];
    }
    bool operator==(const LogValues&) const = default;
};

struct LogPage {
    std::uint8_t code;
    std::uint8_t subpage;
    std::string_view name;
    std::string_view clause;
    // Whether this logical unit has the page; null: always.
    bool (*present)(const LogicalUnitState&) = nullptr;
};

struct LogChange {
    LogCounter counter;
    std::uint64_t value;
};
// What a LOG SELECT changes.
struct LogChanges {
    std::vector<LogChange> counters;
    bool forgets_self_tests = false;
    [[nodiscard]] bool empty() const noexcept { return counters.empty() && !forgets_self_tests; }
};

// FORMAT AND LINKING of the parameter control byte.
enum class LogFormat : std::uint8_t {
    bounded_counter = 0,  // LOG SELECT can set and reset it
    unbounded_counter = 2,
    binary_list = 3,
};

struct LogParameter {
    std::uint8_t page;
    std::uint8_t subpage;
    std::uint16_t code;
    std::uint8_t bytes;  // PARAMETER LENGTH
    std::string_view name;
    LogFormat format = LogFormat::bounded_counter;
    LogCounter counter = LogCounter::always_zero;  // of a bounded one
    // What the others show.
    void (*put)(const LogParameter&, const LogicalUnitState&, const LogValues&, Builder&) = nullptr;
    // "Reset Only": what PCR does to them; null ("Never"): nothing.
    void (*reset)(LogChanges&) = nullptr;
    // Whether there is anything to show; null: always.
    bool (*present)(const LogicalUnitState&) = nullptr;
};

// In ascending order of their codes.
[[nodiscard]] std::span<const LogPage> log_pages() noexcept;
[[nodiscard]] std::span<const LogParameter> log_parameters() noexcept;

// LOG SENSE (SPC-5 6.8). `values` are what the host shall see.
[[nodiscard]] std::expected<void, SenseData> log_sense(const Request& request,
                                                       const LogValues& values, Builder& into);

// Whether a LOG SENSE shows the resources of thin provisioning, which the store is asked for then.
[[nodiscard]] bool log_sense_shows_resources(Bytes cdb) noexcept;

// LOG SELECT (SPC-5 6.7): what is to change, or why not. PCR resets counters to zero, a parameter
// list sets them.
[[nodiscard]] std::expected<LogChanges, SenseData> log_select(const Request& request, Bytes list);

}  // namespace olio::scsi
