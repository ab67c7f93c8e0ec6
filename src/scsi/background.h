// Operations that a logical unit works at for long: a format, a sanitize, a self-test. What they
// keep other commands from, what they leave behind, and what the host is told meanwhile.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "scsi/sense.h"

namespace olio::scsi {

struct CommandRow;

enum class BackgroundKind : std::uint8_t {
    none,
    background_self_test,  // SEND DIAGNOSTIC: other commands are processed meanwhile
    foreground_self_test,  // they are not
    format,                // FORMAT UNIT
    sanitize,              // SANITIZE
};

// What an operation that failed has left of the medium. Only another one that ends well repairs it.
enum class MediumFault : std::uint8_t {
    none,
    format_corrupted,  // MEDIUM FORMAT CORRUPTED
    sanitize_failed,   // SANITIZE COMMAND FAILED
};

struct BackgroundState {
    BackgroundKind kind = BackgroundKind::none;
    std::uint16_t progress = 0;  // 65536ths
    MediumFault fault = MediumFault::none;
    bool unrestricted_exit =
        false;  // AUSE of the SANITIZE that failed: EXIT FAILURE MODE may end it

    // Whether commands have to be asked for at all; false is the common case.
    [[nodiscard]] bool quiet() const noexcept {
        return kind <= BackgroundKind::background_self_test && fault == MediumFault::none;
    }
};

// The sense data of a command that the operation under way, or the fault of the medium, keeps from
// being processed; nullopt where the row lets it pass.
[[nodiscard]] std::optional<SenseData> check_background(const CommandRow& row,
                                                        const BackgroundState& state) noexcept;

// Nobody else may touch the medium.
[[nodiscard]] constexpr bool takes_the_medium(BackgroundKind kind) noexcept {
    return kind == BackgroundKind::format || kind == BackgroundKind::sanitize;
}
[[nodiscard]] constexpr bool is_self_test(BackgroundKind kind) noexcept {
    return kind == BackgroundKind::background_self_test ||
           kind == BackgroundKind::foreground_self_test;
}

// What REQUEST SENSE tells of it; nullopt where there is nothing to tell.
[[nodiscard]] std::optional<SenseData> background_sense(const BackgroundState& state) noexcept;

// --- The results of self-tests (SPC-5, Self-Test Results log page), newest first. ---

// SELF-TEST CODE of SEND DIAGNOSTIC.
enum class SelfTestCode : std::uint8_t {
    none = 0,
    background_short = 1,
    background_extended = 2,
    abort_background = 4,
    foreground_short = 5,
    foreground_extended = 6,
};

// SELF-TEST RESULTS.
enum class SelfTestOutcome : std::uint8_t {
    good = 0x0,
    aborted_by_host = 0x1,    // by SEND DIAGNOSTIC
    aborted_otherwise = 0x2,  // by a reset, or a command that could not wait
    read_failed = 0x7,        // "completed, ... the failing segment is not known"
    in_progress = 0xF,
};

struct SelfTestResult {
    SelfTestCode code = SelfTestCode::none;
    SelfTestOutcome outcome = SelfTestOutcome::good;
    std::uint16_t power_on_hours = 0;
    std::uint64_t first_failure_lba = ~std::uint64_t{0};
    SenseKey key = SenseKey::no_sense;
    AdditionalSense additional{};
};

struct SelfTestLog {
    static constexpr std::size_t most = 20;
    std::array<SelfTestResult, most> results{};
    std::uint8_t count = 0;

    void add(const SelfTestResult& result) noexcept;
    // All but the one that is in progress.
    void forget_ended() noexcept;
};

// What follows the header of a parameter of the Self-Test Results log page (10h), the first of
// which is number 0: 16 bytes, zeros where there is no such test.
inline constexpr std::uint8_t self_test_parameter_bytes = 16;
void put_self_test_result(const SelfTestLog& log, std::size_t number, Builder& into);

}  // namespace olio::scsi
