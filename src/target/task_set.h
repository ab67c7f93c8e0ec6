// A task set: the commands of one I_T_L nexus (TST = 001b) and the order in which SAM-5 8.6 and 8.7
// lets them start. One shard's object.
#pragma once

#include <cstdint>

#include "base/intrusive_list.h"
#include "target/command.h"

namespace olio::target {

class TaskSet {
  public:
    // A command joins. Afterwards it is enabled, or dormant until older ones have left.
    void enter(Command& command) noexcept;
    // It leaves; others may be enabled, and then go on from inside this call.
    void leave(Command& command) noexcept;
    // It leaves, without enabling anybody yet: several are about to leave.
    void withdraw(Command& command) noexcept;
    // An ACA condition: nothing starts but the ACA command (SAM-5 8.8).
    void block() noexcept { blocked_ = true; }
    void unblock() noexcept {
        blocked_ = false;
        pump();
    }
    // An enabled command that has not begun becomes dormant again, before all others.
    void postpone(Command& command) noexcept;
    // Enables what may start now.
    void pump() noexcept {
        if (!dormant_.empty()) [[unlikely]]
            enable_dormant();
    }

    [[nodiscard]] bool empty() const noexcept { return active_ == 0 && dormant_count_ == 0; }
    [[nodiscard]] std::uint32_t size() const noexcept { return active_ + dormant_count_; }

  private:
    // Enabled commands: any number of SIMPLE ones, or one ORDERED, or HEAD OF QUEUE ones before
    // either.
    [[nodiscard]] bool may_start(const Command& command) const noexcept;
    // Enables one that waits for nobody.
    [[nodiscard]] bool passes_others(Command& command) noexcept;
    void enable(Command& command) noexcept;
    void enable_dormant() noexcept;

    std::uint32_t active_ = 0;
    std::uint32_t dormant_count_ = 0;
    std::uint32_t head_of_queue_ = 0;
    std::uint32_t ordered_ = 0;
    bool blocked_ = false;
    bool pumping_ = false;
    IntrusiveList<Command, &Command::wait_hook_> dormant_;  // the oldest first
};

}  // namespace olio::target
