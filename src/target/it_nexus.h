// An I_T nexus: one initiator port seen through one target port, i.e. an iSCSI session. Lives on
// the shard that established it; every method is called there.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "scsi/types.h"
#include "target/command.h"
#include "target/lun_map.h"
#include "target/target_port.h"
#include "target/task_management.h"

namespace olio::target {

class Engine;

struct InitiatorPort {
    std::string name;                        // SCSI port name; iSCSI: "iqn.…,i,0x…"
    std::vector<std::uint8_t> transport_id;  // SPC-5 7.6.4, for persistent reservations
};

class ITNexus {
  public:
    virtual ~ITNexus() = default;  // only after close()'s `drained`

    [[nodiscard]] virtual scsi::NexusId id() const noexcept = 0;

    // Upward calls of a fabric. `submit` takes the command in; see Command for its life.
    virtual void submit(Command& command) noexcept = 0;
    // command.data_out is full; or with failed = true, it cannot be received (lost data, wrong
    // lengths): the command ends with ABORTED COMMAND and `additional`.
    virtual void data_out_received(Command& command) noexcept = 0;
    virtual void data_out_failed(Command& command, scsi::AdditionalSense additional) noexcept = 0;
    virtual void transfer_terminated(Command& command) noexcept = 0;
    // The command is the fabric's again when this returns.
    virtual void finished(Command& command) noexcept = 0;

    virtual void task_management(TaskManagement& request) noexcept = 0;

    // Another LUN map takes effect for commands that follow.
    virtual void set_lun_map(std::shared_ptr<const LunMap> map) = 0;

    // I_T nexus loss (SAM-5 6.3.4): every command is aborted without response; reservations of
    // SPC-2 end. `fenced`: nothing of this nexus can reach a medium any more except behind a fence
    // that later commands respect; a new session of the same initiator may start. `drained`: every
    // command has been discarded and finished; the nexus may be destroyed (not from inside the
    // call).
    virtual void close(std::move_only_function<void()> fenced,
                       std::move_only_function<void()> drained) = 0;

    // For statistics and tests.
    [[nodiscard]] virtual std::size_t commands() const noexcept = 0;
};

}  // namespace olio::target
