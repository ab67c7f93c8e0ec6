#include "scsi/background.h"

#include <algorithm>

#include "scsi/command_table.h"
#include "scsi/sense_codes.h"

namespace olio::scsi {

namespace {

struct KindRow {
    BackgroundKind kind;
    Condition condition;
    WhileBusy lets_pass;
};
constexpr std::array<KindRow, 4> kinds{{
    {BackgroundKind::format, sense::format_in_progress, WhileBusy::format},
    {BackgroundKind::sanitize, sense::sanitize_in_progress, WhileBusy::sanitize},
    {BackgroundKind::foreground_self_test, sense::self_test_in_progress, WhileBusy::self_test},
    {BackgroundKind::background_self_test, sense::self_test_in_progress, WhileBusy::any},
}};

const KindRow* row_of(BackgroundKind kind) noexcept {
    const auto found = std::ranges::find(kinds, kind, &KindRow::kind);
    return found == kinds.end() ? nullptr : &*found;
}

bool has(WhileBusy mask, WhileBusy bit) noexcept {
    return (static_cast<std::uint8_t>(mask) & static_cast<std::uint8_t>(bit)) != 0;
}

}  // namespace

std::optional<SenseData> check_background(const CommandRow& row,
                                          const BackgroundState& state) noexcept {
    const KindRow* const busy = row_of(state.kind);
    if (busy != nullptr && busy->kind != BackgroundKind::background_self_test) {
        if (has(row.while_busy, busy->lets_pass))
            return std::nullopt;
        return background_sense(state);
    }
    switch (state.fault) {
        case MediumFault::none:
            return std::nullopt;
        case MediumFault::format_corrupted:
            // What does not touch the medium still works.
            if (has(row.while_busy, WhileBusy::format_corrupted) ||
                (row.medium == MediumAccess::none && row.operation != Operation::test_unit_ready))
                return std::nullopt;
            return make_sense(sense::medium_format_corrupted);
        case MediumFault::sanitize_failed:
            if (has(row.while_busy, WhileBusy::sanitize_failed))
                return std::nullopt;
            return make_sense(sense::sanitize_command_failed);
    }
    return std::nullopt;
}

std::optional<SenseData> background_sense(const BackgroundState& state) noexcept {
    if (const KindRow* const busy = row_of(state.kind)) {
        SenseData data = make_sense(busy->condition);
        data.progress = state.progress;
        return data;
    }
    if (state.fault == MediumFault::sanitize_failed)
        return make_sense(sense::sanitize_command_failed);
    if (state.fault == MediumFault::format_corrupted)
        return make_sense(sense::medium_format_corrupted);
    return std::nullopt;
}

void SelfTestLog::add(const SelfTestResult& result) noexcept {
    // The test that was in progress gets its end.
    if (count != 0 && results[0].outcome == SelfTestOutcome::in_progress) {
        results[0] = result;
        return;
    }
    std::ranges::move_backward(results.begin(), results.end() - 1, results.end());
    results[0] = result;
    count = static_cast<std::uint8_t>(std::min<std::size_t>(count + 1U, most));
}

void SelfTestLog::forget_ended() noexcept {
    const bool running = count != 0 && results[0].outcome == SelfTestOutcome::in_progress;
    count = running ? 1 : 0;
}

void put_self_test_result(const SelfTestLog& log, std::size_t number, Builder& into) {
    if (number >= log.count) {
        into.zeros(self_test_parameter_bytes);
        return;
    }
    const SelfTestResult& result = log.results[number];
    into.u8(static_cast<std::uint8_t>(static_cast<std::uint8_t>(result.code) << 5 |
                                      static_cast<std::uint8_t>(result.outcome)));
    into.u8(0);  // SELF-TEST NUMBER
    into.be16(result.power_on_hours);
    into.be64(result.first_failure_lba);
    into.u8(static_cast<std::uint8_t>(result.key));
    into.u8(result.additional.code);
    into.u8(result.additional.qualifier);
    into.u8(0);
}

}  // namespace olio::scsi
