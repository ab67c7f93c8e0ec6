#include "target/access_keeper.h"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/log.h"
#include "target/logical_unit.h"

namespace olio::target {

using scsi::AccessState;
using scsi::AccessStateTable;
using scsi::LogicalUnitState;

namespace {

std::string group_file(const LogicalUnitState& state, const scsi::TargetPortGroup& group) {
    return metadata_name(metadata_name("alua", "tpgs_", state.identification.serial), "",
                         group.name);
}

// Nothing where it is not known which target the port is one of.
std::optional<std::string> port_file(const LogicalUnitState& state, std::uint16_t relative_port) {
    const auto found = std::ranges::find_if(state.target_ports, [relative_port](const auto& port) {
        return port.description.relative_port == relative_port;
    });
    if (found == state.target_ports.end() || found->description.device_name.empty())
        return std::nullopt;
    return fmt::format(
        "{}+{}/lun_{}",
        metadata_name(metadata_name("alua", "", found->fabric), "", found->description.device_name),
        found->portal_group_tag, found->lun);
}

}  // namespace

std::vector<AccessFile> access_files(const LogicalUnitState& state,
                                     const AccessStateTable& access) {
    std::vector<AccessFile> files;
    for (const scsi::TargetPortGroup& group : access.groups)
        files.push_back({group_file(state, group), group_metadata(group)});
    for (const scsi::GroupedPort& port : access.ports)
        if (auto name = port_file(state, port.relative_port))
            files.push_back({std::move(*name), port_metadata(port)});
    return files;
}

// --- At the start ---

namespace {

Result<void> take_group(const AccessStateTable& access, scsi::TargetPortGroup& group,
                        std::string_view text) {
    const auto kept = scsi::parse_group_metadata(text);
    if (!kept)
        return std::unexpected(kept.error());
    if (kept->id != group.id)
        return fail(EINVAL, fmt::format("it is of the target port group {}, not of {}", kept->id,
                                        group.id));
    if ((group.supported_states & bit_of(kept->state)) == 0 ||
        (kept->state == AccessState::lba_dependent && access.referrals.empty()))
        return fail(EINVAL, fmt::format("target port group {} cannot have its state {}", group.id,
                                        name_of(kept->state)));
    group.state = kept->state;
    group.status = kept->status;
    group.preferred = kept->preferred;
    return {};
}

Result<void> take_port(const AccessStateTable& access, scsi::GroupedPort& port,
                       std::string_view text) {
    const auto kept = scsi::parse_port_metadata(text);
    if (!kept)
        return std::unexpected(kept.error());
    const scsi::TargetPortGroup* const group = access.group(port.group);
    if (kept->offline &&
        (group == nullptr || (group->supported_states & bit_of(AccessState::offline)) == 0))
        return fail(EINVAL, fmt::format("target port {} cannot be offline", port.relative_port));
    port.offline = kept->offline;
    port.status = kept->status;
    return {};
}

// One file after another: those of the groups, then those of the ports.
class AccessFilesReader final : public std::enable_shared_from_this<AccessFilesReader> {
  public:
    AccessFilesReader(MetadataStore& metadata, std::string unit_name, LogicalUnitState first,
                      AccessFilesRead done)
        : metadata_(metadata),
          unit_name_(std::move(unit_name)),
          state_(std::move(first)),
          done_(std::move(done)) {}

    void next() {
        AccessStateTable& access = state_.access;
        const std::size_t groups = access.groups.size();
        const std::size_t at = at_++;
        if (at == groups + access.ports.size()) {
            access.settle();
            std::exchange(done_, nullptr)(std::move(state_), std::move(passed_over_));
            return;
        }
        const auto name = at < groups ? group_file(state_, access.groups[at])
                                      : port_file(state_, access.ports[at - groups].relative_port);
        if (!name)
            return next();
        metadata_.read(*name, [self = shared_from_this(), name = *name,
                               at](const Result<std::optional<std::string>>& found) {
            self->take(at, name, found);
            self->next();
        });
    }

  private:
    void take(std::size_t at, const std::string& name,
              const Result<std::optional<std::string>>& found) {
        AccessStateTable& access = state_.access;
        const std::size_t groups = access.groups.size();
        Result<void> taken;
        if (!found)
            taken = std::unexpected(found.error());
        else if (*found)
            taken = at < groups ? take_group(access, access.groups[at], **found)
                                : take_port(access, access.ports[at - groups], **found);
        if (taken)
            return;
        passed_over_.push_back(name);
        log::warning(
            "{}: the access state that was kept in {} cannot be taken up: {}. The configured "
            "one is in force; set it anew, or remove the file",
            unit_name_, name, taken.error().message);
    }

    MetadataStore& metadata_;
    std::string unit_name_;
    LogicalUnitState state_;
    AccessFilesRead done_;
    std::vector<std::string> passed_over_;
    std::size_t at_ = 0;
};

}  // namespace

void read_access_files(MetadataStore& metadata, std::string unit_name, LogicalUnitState first,
                       AccessFilesRead done) {
    std::make_shared<AccessFilesReader>(metadata, std::move(unit_name), std::move(first),
                                        std::move(done))
        ->next();
}

// --- Afterwards ---

AccessKeeper::AccessKeeper(LogicalUnitImpl& unit, MetadataStore* metadata)
    : unit_(unit), metadata_(metadata) {
    if (metadata_ == nullptr)
        return;
    const LogicalUnitState& state = *unit.initial_state();
    for (AccessFile& file : access_files(state, state.access))
        known_[std::move(file.name)] = std::move(file.content);
}

void AccessKeeper::forget(const std::vector<std::string>& files) {
    for (const std::string& name : files)
        known_[name].reset();
}

void AccessKeeper::keep(std::optional<scsi::Transition> transition, Kept kept) {
    if (metadata_ == nullptr)
        return kept({});
    orders_.push_back({std::move(transition), std::move(kept)});
    if (!std::exchange(busy_, true))
        serve();
}

void AccessKeeper::serve() {
    const auto state = unit_.newest_state();
    AccessStateTable access = state->access;
    if (const auto& transition = orders_.front().transition)
        finish_transition(access, *transition);
    to_write_ = access_files(*state, access);
    std::erase_if(to_write_, [this](const AccessFile& file) {
        const auto known = known_.find(file.name);
        return known != known_.end() && known->second == file.content;
    });
    write_next();
}

void AccessKeeper::write_next() {
    if (to_write_.empty())
        return written({});
    AccessFile file = std::move(to_write_.back());
    to_write_.pop_back();
    known_[file.name].reset();
    metadata_->write(file.name, file.content,
                     [this, unit = unit_.shared_from_this(), file](Result<void> result) {
                         if (!result)
                             return written(std::move(result));
                         known_[file.name] = file.content;
                         write_next();
                     });
}

// All of them, or not.
void AccessKeeper::written(Result<void> result) {
    Order& first = orders_.front();
    if (!result && first.transition && !failure_) {
        // Some may say already what is not going to be.
        failure_ = std::move(result.error());
        first.transition.reset();
        return serve();
    }
    if (failure_) {
        if (!result)
            log::error("{}: nor can the files of the access states be put back: {}", unit_.name(),
                       result.error().message);
        result = std::unexpected(std::move(*std::exchange(failure_, std::nullopt)));
    }
    Order order = std::move(first);
    orders_.pop_front();
    // What it brings about is in force before the next is looked at.
    const auto unit = unit_.shared_from_this();
    order.kept(std::move(result));
    busy_ = !orders_.empty();
    if (busy_)
        serve();
}

}  // namespace olio::target
