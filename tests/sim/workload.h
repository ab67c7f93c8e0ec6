// Random commands to one logical unit, and what their answers say about the medium.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "host_session.h"
#include "medium_model.h"
#include "reactor/shard.h"

namespace olio::sim {

// A logical unit as the hosts of a run know it.
struct Unit {
    Unit(std::uint32_t lun_number, std::uint64_t block_count, std::uint32_t bytes_per_block,
         bool write_through, bool power_may_fail)
        : lun(lun_number),
          blocks(block_count),
          block_bytes(bytes_per_block),
          durable_writes(write_through),
          model(block_count * bytes_per_block / cell_bytes, power_may_fail) {}

    std::uint32_t lun;
    std::uint64_t blocks;  // what the model has room for
    std::uint32_t block_bytes;
    bool durable_writes;  // WCE = 0
    bool unmaps = true;
    bool resizes = false;         // its capacity may be smaller at times
    bool fails = false;           // its disk was told to fail
    bool naca_used = false;       // somebody sent commands with NACA = 1
    bool functions_used = false;  // somebody reset it or aborted commands on it
    bool stalled = false;
    std::uint64_t excused_until_ns = 0;  // slowness before this has a reason
    MediumModel model;

    [[nodiscard]] std::uint64_t cells_per_block() const { return block_bytes / cell_bytes; }
};

// A new command of a kind that chance chooses.
[[nodiscard]] std::unique_ptr<HostCommand> make_command(reactor::Random& random, WriteId id,
                                                        Unit& unit);
// A READ of the whole range.
[[nodiscard]] std::unique_ptr<HostCommand> make_read(WriteId id, const Unit& unit,
                                                     std::uint64_t lba, std::uint32_t blocks);

// To be called when it is sent: tells the model.
void begin(HostCommand& command, Unit& unit, Time now);
// Its end: tells the model, and answers with a complaint if there is one.
[[nodiscard]] std::optional<std::string> end(const HostCommand& command, Unit& unit,
                                             const Answer& answer, Time now);
// A command that was lost with its connection may work on until the host is logged in again: then
// this.
void lost_is_over(const HostCommand& command, Unit& unit, Time now);

[[nodiscard]] std::string describe(const HostCommand& command);

}  // namespace olio::sim
