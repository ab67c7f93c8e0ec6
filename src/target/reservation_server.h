// Changes of reservations, at the logical unit's home shard: one after another, durable before
// anybody sees them where that was asked for, then on every shard.
#pragma once

#include <deque>
#include <functional>
#include <vector>

#include "scsi/reservations.h"
#include "target/logical_unit.h"
#include "target/metadata_store.h"

namespace olio::target {

// Who hears what of a change and whose commands it ends; for LogicalUnitView::apply.
struct ReservationEffects {
    std::vector<scsi::ReservationNotice> notices;
    // PREEMPT AND ABORT: their commands end, but not `by_command`.
    std::vector<scsi::NexusName> aborted;
    scsi::NexusId by = 0;
    const Command* by_command = nullptr;  // to be compared only
    // At the home shard: how many shards have commands to end, and what comes then.
    std::size_t shards_aborting = 0;
    std::move_only_function<void()> when_aborted;
};

// A member of the logical unit; what has no shard in its comment is the home shard's.
class ReservationServer {
  public:
    // `metadata` may be null: then APTPL = 1 is refused.
    ReservationServer(LogicalUnitImpl& unit, MetadataStore* metadata);

    struct Requester {
        scsi::NexusName name;
        scsi::NexusId id = 0;
        std::uint32_t lun = 0;
        const Command* command = nullptr;
    };

    // From any shard; `done` there. PERSISTENT RESERVE OUT: when `done` says GOOD, every shard
    // knows, what has to outlive the daemon does, and no command that PREEMPT AND ABORT ended can
    // reach the medium but behind a fence.
    void reserve_out(Requester from, scsi::ReserveOut out, LogicalUnitImpl::Changed done);
    // RESERVE and RELEASE of SPC-2.
    void reserve(Requester from, LogicalUnitImpl::Changed done);
    void release(Requester from, LogicalUnitImpl::Changed done);

  private:
    using Result = std::expected<void, Refusal>;
    using Job = std::move_only_function<void()>;  // ends by calling finished()
    struct Order {
        Requester from;
        scsi::ReserveOut out;
        unsigned origin = 0;
        LogicalUnitImpl::Changed done;
    };
    using OrderPointer = std::shared_ptr<Order>;

    void enqueue(Job job);
    void finished();
    void serve();
    void answer(const OrderPointer& order, Result result);
    void end(const OrderPointer& order, Result result);

    void look_around(const OrderPointer& order);
    void decide(const OrderPointer& order, scsi::ReservationSurroundings surroundings);
    void keep(const OrderPointer& order, scsi::ReservationChange change, std::string text);
    void publish(const OrderPointer& order, scsi::ReservationChange change);
    void spc2(Requester from, bool reserves, LogicalUnitImpl::Changed done);

    LogicalUnitImpl& unit_;
    MetadataStore* metadata_;
    std::deque<Job> jobs_;
    bool busy_ = false;
    bool serving_ = false;
    bool file_unsure_ = false;  // a write failed: the file may say something else than the state
};

}  // namespace olio::target
