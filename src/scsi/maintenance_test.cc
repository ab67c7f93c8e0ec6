#include "scsi/maintenance.h"

#include <gtest/gtest.h>

#include "scsi/request_testing.h"

namespace olio::scsi {
namespace {

using testing::Asked;
using testing::describe;
using testing::hex;
using testing::to_hex;

TEST(ReadDefectData, ListsAreEmptyInEveryFormat) {
    const Asked unit;
    EXPECT_EQ(unit.asked("37 00 1d 00 00 00 00 00 ff 00"), "00 1d 00 00");
    EXPECT_EQ(unit.asked("37 00 08 00 00 00 00 00 ff 00"), "00 08 00 00");
    EXPECT_EQ(unit.asked("37 00 06 00 00 00 00 00 ff 00"), "5/24/00 cdb 2.2");
    EXPECT_EQ(unit.asked("b7 18 00 00 00 00 00 00 00 ff 00 00"), "00 18 00 00 00 00 00 00");
    EXPECT_EQ(unit.asked("b7 0f 00 00 00 00 00 00 00 ff 00 00"), "5/24/00 cdb 1.2");
    EXPECT_EQ(unit.asked("37 00 18 00 00 00 00 00 02 00"), "00 18");
}

TEST(Diagnostics, ThePageThatListsThePages) {
    const Asked unit;
    EXPECT_EQ(unit.asked("1c 01 00 00 ff 00"), "00 00 00 01 00");
    EXPECT_EQ(unit.asked("1c 00 00 00 ff 00"), "00 00 00 01 00");
    EXPECT_EQ(unit.asked("1c 01 40 00 ff 00"), "5/24/00 cdb 2");
    EXPECT_TRUE(check_diagnostic_list(hex("00 00 00 00")));
    EXPECT_EQ(describe(check_diagnostic_list(hex("00 00 00"))), "5/1a/00");
    EXPECT_EQ(describe(check_diagnostic_list(hex("40 00 00 00"))), "5/26/00 list 0");
    EXPECT_EQ(describe(check_diagnostic_list(hex("00 00 00 01 00"))), "5/26/00 list 2");
}

TEST(Diagnostics, SendDiagnosticIsChecked) {
    const Asked unit;
    const auto decoded = [&](std::string_view text) {
        return describe(unit.handle(text, decode_send_diagnostic));
    };
    EXPECT_EQ(decoded("1d 04 00 00 00 00"), "good");
    EXPECT_EQ(decoded("1d 20 00 00 00 00"), "good");
    EXPECT_EQ(decoded("1d 24 00 00 00 00"), "5/24/00 cdb 1.7");
    EXPECT_EQ(decoded("1d 60 00 00 00 00"), "5/24/00 cdb 1.7");
    EXPECT_EQ(decoded("1d e0 00 00 00 00"), "5/24/00 cdb 1.7");
    EXPECT_EQ(decoded("1d 30 00 00 04 00"), "5/24/00 cdb 3");
    EXPECT_EQ(decoded("1d 00 00 00 04 00"), "5/24/00 cdb 1.4");
    EXPECT_EQ(decoded("1d 10 00 00 04 00"), "good");
}

TEST(Buffers, EchoBufferBelongsToItsWriter) {
    Asked unit;
    EXPECT_EQ(unit.asked("3c 0b 00 00 00 00 00 00 ff 00"), "01 00 10 00");
    EXPECT_EQ(unit.asked("3c 03 07 00 00 00 00 00 ff 00"), "00 00 00 00");
    EXPECT_EQ(unit.asked("3c 0a 00 00 00 00 00 00 ff 00"), "5/2c/00");
    const auto mine = written(nullptr, unit.nexus.id, hex("01 02 03"));
    unit.state.echo_buffer = std::make_shared<const EchoBuffer>(mine);
    EXPECT_EQ(unit.asked("3c 0a 00 00 00 00 00 00 ff 00"), "01 02 03");
    EXPECT_EQ(unit.asked("3c 0a 00 00 00 00 00 00 02 00"), "01 02");
    const auto others = written(&mine, 99, hex("04"));
    unit.state.echo_buffer = std::make_shared<const EchoBuffer>(others);
    EXPECT_EQ(unit.asked("3c 0a 00 00 00 00 00 00 ff 00"), "b/3f/0f");
    unit.state.echo_buffer =
        std::make_shared<const EchoBuffer>(written(&others, unit.nexus.id, hex("05")));
    EXPECT_EQ(unit.asked("3c 0a 00 00 00 00 00 00 ff 00"), "05");
    EXPECT_EQ(unit.asked("3c 02 00 00 00 00 00 00 ff 00"), "5/24/00 cdb 1.4");
    EXPECT_EQ(unit.asked("3c 0a 01 00 00 00 00 00 ff 00"), "5/24/00 cdb 2");
    EXPECT_EQ(unit.asked("3c 0a 00 00 00 01 00 00 ff 00"), "5/24/00 cdb 3");
}

TEST(Buffers, MemoryOfWritersIsBounded) {
    EchoBuffer buffer = written(nullptr, 1, hex("00"));
    for (NexusId id = 2; id < 1000; ++id)
        buffer = written(&buffer, id, hex("00"));
    EXPECT_EQ(buffer.overwritten.size(), EchoBuffer::most_remembered);
    EXPECT_EQ(buffer.overwritten.back(), 998U);
}

TEST(Buffers, NoMicrocodeComesOverTheWire) {
    const Asked unit;
    for (unsigned mode = 0; mode < 32; ++mode) {
        std::vector<std::uint8_t> cdb = hex("3b 00 00 00 00 00 00 00 04 00");
        cdb[1] = static_cast<std::uint8_t>(mode);
        EXPECT_EQ(describe(unit.handle(cdb, check_write_buffer)),
                  mode == 0x0A ? "good" : "5/24/00 cdb 1.4");
    }
}

TEST(SelfTestLog, NewestFirstAndNoMoreThanTwenty) {
    SelfTestLog log;
    log.add({.code = SelfTestCode::background_short, .outcome = SelfTestOutcome::in_progress});
    log.add({.code = SelfTestCode::background_short, .outcome = SelfTestOutcome::good});
    EXPECT_EQ(log.count, 1);
    log.add({.code = SelfTestCode::foreground_extended,
             .outcome = SelfTestOutcome::read_failed,
             .power_on_hours = 0x0102,
             .first_failure_lba = 0x55,
             .key = SenseKey::medium_error,
             .additional = {0x11, 0x00}});
    std::array<std::uint8_t, 64> room{};
    Builder into(room);
    for (std::size_t number = 0; number < 3; ++number)
        put_self_test_result(log, number, into);
    EXPECT_EQ(to_hex(into.written()),
              "c7 00 01 02 00 00 00 00 00 00 00 55 03 11 00 00 "
              "20 00 00 00 ff ff ff ff ff ff ff ff 00 00 00 00 "
              "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00");
    for (unsigned i = 0; i < 30; ++i)
        log.add({});
    EXPECT_EQ(log.count, 20);
    log.forget_ended();
    EXPECT_EQ(log.count, 0);
    log.add({});
    log.add({.code = SelfTestCode::background_short, .outcome = SelfTestOutcome::in_progress});
    log.forget_ended();
    EXPECT_EQ(log.count, 1);
    EXPECT_EQ(log.results[0].outcome, SelfTestOutcome::in_progress);
}

TEST(Background, WhatMayPassIsReadFromTheRow) {
    const auto verdict = [](std::string_view cdb_text, const BackgroundState& state) {
        const auto cdb = hex(cdb_text);
        const auto busy = check_background(**find_row(cdb), state);
        return busy ? describe(*busy) : std::string("passes");
    };
    const BackgroundState format{.kind = BackgroundKind::format, .progress = 0x4000};
    EXPECT_EQ(verdict("12 00 00 00 60 00", format), "passes");
    EXPECT_EQ(verdict("03 00 00 00 12 00", format), "passes");
    EXPECT_EQ(verdict("a0 00 00 00 00 00 00 00 00 10 00 00", format), "passes");
    EXPECT_EQ(verdict("00 00 00 00 00 00", format), "2/04/04 progress 16384");
    EXPECT_EQ(verdict("28 00 00 00 00 00 00 00 01 00", format), "2/04/04 progress 16384");
    EXPECT_EQ(verdict("4d 00 40 00 00 00 00 00 ff 00", format), "2/04/04 progress 16384");
    const BackgroundState sanitize{.kind = BackgroundKind::sanitize, .progress = 1};
    EXPECT_EQ(verdict("4d 00 40 00 00 00 00 00 ff 00", sanitize), "passes");
    EXPECT_EQ(verdict("5a 00 3f 00 00 00 00 00 ff 00", sanitize), "passes");
    EXPECT_EQ(verdict("04 00 00 00 00 00", sanitize), "2/04/1b progress 1");
    const BackgroundState test{.kind = BackgroundKind::background_self_test, .progress = 9};
    EXPECT_TRUE(test.quiet());
    EXPECT_EQ(verdict("28 00 00 00 00 00 00 00 01 00", test), "passes");
    const BackgroundState corrupted{.fault = MediumFault::format_corrupted};
    EXPECT_EQ(verdict("28 00 00 00 00 00 00 00 01 00", corrupted), "3/31/00");
    EXPECT_EQ(verdict("00 00 00 00 00 00", corrupted), "3/31/00");
    EXPECT_EQ(verdict("5a 00 3f 00 00 00 00 00 ff 00", corrupted), "passes");
    EXPECT_EQ(verdict("04 00 00 00 00 00", corrupted), "passes");
    EXPECT_EQ(verdict("48 01 00 00 00 00 00 00 05 00", corrupted), "passes");
    const BackgroundState failed{.fault = MediumFault::sanitize_failed};
    EXPECT_EQ(verdict("28 00 00 00 00 00 00 00 01 00", failed), "3/31/03");
    EXPECT_EQ(verdict("04 00 00 00 00 00", failed), "3/31/03");
    EXPECT_EQ(verdict("48 1f 00 00 00 00 00 00 00 00", failed), "passes");
    EXPECT_EQ(verdict("12 00 00 00 60 00", failed), "passes");
}

}  // namespace
}  // namespace olio::scsi
