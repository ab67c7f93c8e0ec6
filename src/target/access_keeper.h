// Access states that outlive the daemon (SPC-5 5.17): LIO's files, one for each target port group
// and one for each target port, in the metadata store. What a host was told is in force is in them
// before.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "scsi/logical_unit_state.h"
#include "target/metadata_store.h"

namespace olio::target {

class LogicalUnitImpl;

struct AccessFile {
    std::string name;  // alua/tpgs_SERIAL/GROUP, or alua/FABRIC/TARGET+TAG/lun_N
    std::string content;
    bool operator==(const AccessFile&) const = default;
};
// What is to be kept of `access`, which is that of `state` or what shall become of it. A port whose
// target is not known (LogicalUnitOptions::target_ports) has no file.
[[nodiscard]] std::vector<AccessFile> access_files(const scsi::LogicalUnitState& state,
                                                   const scsi::AccessStateTable& access);

// Takes what the files say over into `first`, of a unit that nobody reaches yet. A file that is
// torn, or foreign, or has a state that its group cannot have, is reported in the log and passed
// over: the configured state is in force then. On a shard; `done` there, with the names of those
// that were passed over.
using AccessFilesRead =
    std::move_only_function<void(scsi::LogicalUnitState, std::vector<std::string> passed_over)>;
void read_access_files(MetadataStore& metadata, std::string unit_name, scsi::LogicalUnitState first,
                       AccessFilesRead done);

// A member of the logical unit; everything is the home shard's.
class AccessKeeper {
  public:
    // `metadata` may be null: then nothing is kept, and keep() calls back at once. The files say
    // what the unit's state has now, or are not there.
    AccessKeeper(LogicalUnitImpl& unit, MetadataStore* metadata);
    // But for these: what they say is not known. Before the first keep().
    void forget(const std::vector<std::string>& files);

    // `kept` without an error: stable storage says what the access states will be when `transition`
    // (none: nothing) has finished; who waits for that makes it so from inside the callback. After
    // an error the files say what is in force, if they can still be written at all. One after
    // another, in the order of the calls.
    using Kept = std::move_only_function<void(Result<void>)>;
    void keep(std::optional<scsi::Transition> transition, Kept kept);

  private:
    struct Order {
        std::optional<scsi::Transition> transition;
        Kept kept;
    };
    void serve();
    void write_next();
    void written(Result<void> result);

    LogicalUnitImpl& unit_;
    MetadataStore* metadata_;
    // What each file says; nothing: it was passed over, or a write has failed, or is under way.
    std::map<std::string, std::optional<std::string>> known_;
    std::deque<Order> orders_;
    bool busy_ = false;
    // Of the first order.
    std::vector<AccessFile> to_write_;
    std::optional<Error> failure_;  // what has gone wrong, while the files are put back
};

}  // namespace olio::target
