// Changes of asymmetric access states (SPC-5 5.17.2) in the engine: a transition begins at the
// logical unit's home shard, lasts as long as its groups' delays say, and ends when the new states
// are kept (target/access_keeper.h) and in force on every shard. Where they cannot be kept, those
// before it come back.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/result.h"
#include "reactor/shard.h"
#include "scsi/access_states.h"
#include "target/logical_unit.h"

namespace olio::target {

struct AccessRequest {
    std::vector<scsi::AccessChange> changes;
    scsi::AccessStatus status = scsi::AccessStatus::implicitly;
    // The I_T nexus that asked, which gets no unit attention for it; 0: the administrator.
    scsi::NexusId by = 0;
};

// From any shard; `done` there. The units of the same logical unit group change with this one
// (changes of groups, where they have the group; not those of single ports). EBUSY: a group is in
// transition; other errors as scsi::begin_transition has them.
void change_access_states(LogicalUnitImpl& unit, AccessRequest request,
                          std::move_only_function<void(Result<void>)> done);

// One unit's transition; kept by the unit while it lasts. Home shard.
class AccessTransition final : public reactor::Timer,
                               public std::enable_shared_from_this<AccessTransition> {
  public:
    AccessTransition(std::shared_ptr<LogicalUnitImpl> unit, AccessRequest request,
                     std::move_only_function<void(Result<void>)> done);

    void begin();
    // Lets the rest of the delay be: the unit is about to close.
    void hurry();

  private:
    void fired() noexcept override;
    void begun(std::uint32_t delay_ms);
    void finish();
    void confirm();
    void publish();
    void cancel(Error error);
    void end(Result<void> result);

    std::shared_ptr<LogicalUnitImpl> unit_;
    AccessRequest request_;
    std::move_only_function<void(Result<void>)> done_;
    scsi::Transition transition_;
};

}  // namespace olio::target
