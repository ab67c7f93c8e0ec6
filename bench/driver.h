// Two ways to send the benchmarks' commands, so that neither the target nor the initiator is
// flattered.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>

#include "harness/session.h"

namespace olio::bench {

class Driver {
  public:
    // Called for each command, from serve(): its slot, and whether it ended with GOOD status. May
    // submit again.
    using Done = std::function<void(unsigned slot, bool good)>;

    virtual ~Driver() = default;

    // Sends a READ(16) or WRITE(16) of `blocks` blocks, at the latest with the next serve(). A slot
    // has one command at a time. False if the session is lost.
    virtual bool submit(bool write, std::uint64_t lba, std::uint32_t blocks, unsigned slot) = 0;

    // Waits for the target, at most `timeout_ms`; false if the session is lost.
    virtual bool serve(int timeout_ms) = 0;
};

struct DriverSetup {
    std::string url;
    unsigned slots = 0;          // commands outstanding, at most
    std::uint32_t bytes = 0;     // of each command
    harness::Capacity capacity;  // of the LUN
    Driver::Done done;
};

// libiscsi: as QEMU and others use it. Its own cost, of several system calls a command, hides how
// fast a target is beyond about 50,000 commands a second.
std::expected<std::unique_ptr<Driver>, std::string> libiscsi_driver(const DriverSetup& setup);

// Just enough of RFC 7143: many commands in one send, many answers in one receive, data in not
// looked at.
std::expected<std::unique_ptr<Driver>, std::string> wire_driver(const DriverSetup& setup);

}  // namespace olio::bench
