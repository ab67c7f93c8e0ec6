// The seam above the engine: a fabric's target port and the transport protocol services of SAM-5
// (5.4, 7.12) that it gives to the engine.
#pragma once

#include <cstdint>
#include <string>

#include "scsi/logical_unit_state.h"
#include "target/task_management.h"

namespace olio::target {

class Command;

// Protocol facts are data. Immutable once the port is in use; shared by all shards.
struct TargetPort {
    scsi::PortDescription description;
    std::uint32_t maximum_data_bytes = 8 << 20;  // most that one command may move
};

// What the engine asks of a fabric, per session; every call on the session's shard. A call may be
// made from inside ITNexus::submit and its kin; the fabric in turn may call back into the nexus
// from inside.
class TransportServices {
  public:
    // Receive Data-Out: fill command.data_out (all of it, in any order), then call
    // ITNexus::data_out_received. Data beyond it that the host sends is dropped by the fabric.
    virtual void receive_data_out(Command& command) noexcept = 0;

    // Send Data-In and Send Command Complete in one: command.data_in (may be empty) and then
    // command.status with command.sense. When the last byte has been handed over and the memory is
    // not needed any more, call ITNexus::finished.
    virtual void complete(Command& command) noexcept = 0;

    // Terminate Data Transfer: stop filling data_out and let go of the buffer, then call
    // ITNexus::transfer_terminated, at once or later. Only after receive_data_out and before
    // data_out_received.
    virtual void terminate_transfer(Command& command) noexcept = 0;

    // The command ended without a response (aborted, SAM-5 5.6). Forget it and call
    // ITNexus::finished.
    virtual void discard(Command& command) noexcept = 0;

    // Task Management Function Executed: request.response is set; the object is the fabric's again.
    virtual void task_management_executed(TaskManagement& request) noexcept = 0;

  protected:
    ~TransportServices() = default;
};

}  // namespace olio::target
