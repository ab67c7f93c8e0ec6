// What hosts leave with a logical unit that outlives the daemon: saved mode pages, identifying
// information, the type of protection that they formatted it with, and a medium that a format or a
// sanitize has not finished. One small file a unit in the metadata store; durable before a host is
// told GOOD.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "scsi/logical_unit_state.h"
#include "target/logical_unit.h"
#include "target/metadata_store.h"

namespace olio::target {

// The file's name in the store.
[[nodiscard]] std::string unit_settings_name(std::string_view serial);
// What a medium is found in when the daemon starts: what an operation that failed has left of it,
// or one that is under way would leave if the daemon ended.
struct MediumCondition {
    scsi::MediumFault fault = scsi::MediumFault::none;
    bool unrestricted_exit = false;  // AUSE of a SANITIZE

    friend bool operator==(const MediumCondition&, const MediumCondition&) = default;
};

// Its content: lines KEY=HEX after a line that names the format.
[[nodiscard]] std::string write_unit_settings(const scsi::LogicalUnitState& state,
                                              MediumCondition medium = {});
// Takes it over into a state that has none yet; EINVAL with a message where the file is damaged.
[[nodiscard]] Result<void> read_unit_settings(std::string_view content,
                                              scsi::LogicalUnitState& state);
// Puts saved mode pages in force: at the start of a unit. The store's cache follows WCE.
[[nodiscard]] Result<void> apply_saved_mode_pages(scsi::LogicalUnitState& state, Backstore& store);
// The type of protection that a host formatted the unit with, instead of the configured one: the
// tuples on the medium are of that type.
void apply_formatted_type(scsi::LogicalUnitState& state, std::string_view name);

// A member of the logical unit. Everything but change() is the home shard's.
class SettingsKeeper {
  public:
    // `metadata` may be null: then nothing is kept, and changes are made as change_state() makes
    // them.
    SettingsKeeper(LogicalUnitImpl& unit, MetadataStore* metadata);

    // From any shard; `done` there. As LogicalUnitImpl::change_state(), for changes of mode pages
    // and identifying information: one after another, and what the file holds is durable before
    // any shard sees it. A write that fails is HARDWARE ERROR, and nothing changes.
    void change(LogicalUnitImpl::Change change, LogicalUnitImpl::Changed done);

    // The same for what the next daemon shall find the medium in; the state does not change.
    void record(MediumCondition medium, LogicalUnitImpl::Changed done);

    // The fault of the medium is given up, in the file first and then in the state: as `check`
    // says, which changes nothing itself.
    void forget_fault(LogicalUnitImpl::Change check, LogicalUnitImpl::Changed done);

  private:
    struct Order {
        LogicalUnitImpl::Change change;         // empty: only
        std::optional<MediumCondition> medium;  // this is recorded; else the state gets it, too
        LogicalUnitImpl::Changed done;
    };
    void enter(Order order);
    void serve();
    void keep();
    void publish();
    void put_back(Refusal refusal);
    void end(std::expected<void, Refusal> result);

    LogicalUnitImpl& unit_;
    MetadataStore* metadata_;
    std::deque<Order> orders_;
    bool busy_ = false;
    // Of the first order.
    std::shared_ptr<const scsi::LogicalUnitState> before_;
    scsi::LogicalUnitState next_;  // what the order has made of it
    MediumCondition next_medium_;
    MediumCondition medium_before_;
    StateEffects effects_;
    MediumCondition medium_;  // what the file says, or would say
    // The file may say something else than the state: what could not be kept or put in force, where
    // it could not be put back either.
    bool file_unsure_ = false;
};

}  // namespace olio::target
