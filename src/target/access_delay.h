// The delay that the active/non-optimized state adds to each command that accesses the medium
// (LIO's nonop_delay_msecs), so that hosts which do not understand asymmetric access choose the
// other path by its speed. One shard's and one logical unit's.
#pragma once

#include <cstdint>
#include <map>

#include "base/intrusive_list.h"
#include "reactor/shard.h"
#include "target/command.h"

namespace olio::target {

class AccessDelay final : public reactor::Timer {
  public:
    explicit AccessDelay(reactor::Shard& shard) : shard_(shard) {}

    // The command goes on by DeviceServer::proceed after its delay; an abort unlinks it.
    void wait(Command& command, std::uint32_t delay_ms);
    // No command waits any more, and none will.
    void close() noexcept;

  private:
    using Batch = IntrusiveList<Command, &Command::wait_hook_>;

    void fired() noexcept override;
    void arm();

    reactor::Shard& shard_;
    std::map<reactor::Nanoseconds, Batch> batches_;  // those that end their wait together
};

}  // namespace olio::target
