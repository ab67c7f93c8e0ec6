#include "target/it_nexus_impl.h"

#include <algorithm>
#include <set>

#include "scsi/unit_attention.h"
#include "target/aca.h"
#include "target/copy_manager.h"
#include "target/device_server.h"
#include "target/task_manager.h"

namespace olio::target {

using scsi::UnitAttention;

ITLNexus::ITLNexus(ITNexusImpl& nexus, LogicalUnitView& view, const LunMapEntry& entry)
    : lun(entry.lun),
      write_protected(entry.write_protected),
      priority(scsi::priority_of(view.state(), nexus.id())),
      nexus_(nexus),
      view_(view) {
    attentions.establish(UnitAttention::power_on_reset_or_bus_device_reset);
    view_.add(*this);
}

ITLNexus::~ITLNexus() {
    OLIO_ASSERT(commands == 0, "an I_T_L nexus is destroyed with commands in it");
    view_.remove(*this);
}

namespace {

std::unique_ptr<ITLNexus> make_itl(ITNexusImpl& nexus, const LunMapEntry& entry) {
    auto& unit = static_cast<LogicalUnitImpl&>(*entry.unit);
    return std::make_unique<ITLNexus>(nexus, unit.view(nexus.shard().index()), entry);
}

scsi::NexusName name_of(const InitiatorPort& initiator, const scsi::PortDescription& port) {
    scsi::NexusName name{{}, port.relative_port, port.port_name};
    if (auto parsed = scsi::TransportId::parse(initiator.transport_id);
        parsed && parsed->id.names_port())
        name.initiator = std::move(parsed->id);
    return name;
}

}  // namespace

void ITLNexus::look_up_role(const scsi::Reservations& reservations) noexcept {
    role_ = scsi::role_of(*reservations.persistent, nexus_.name());
    role_version_ = reservations.version;
}

ITNexusImpl::ITNexusImpl(reactor::Reactor& reactor, reactor::Shard& shard, scsi::NexusId id,
                         const TargetPort& port, InitiatorPort initiator,
                         std::shared_ptr<const LunMap> map, TransportServices& services,
                         std::shared_ptr<RodTokens> tokens)
    : reactor_(reactor),
      shard_(shard),
      id_(id),
      port_(port),
      initiator_(std::move(initiator)),
      name_(name_of(initiator_, port_.description)),
      services_(services),
      map_(std::move(map)),
      tokens_(std::move(tokens)) {
    itls_.reserve(map_->entries().size());
    for (const LunMapEntry& entry : map_->entries())
        itls_.push_back(make_itl(*this, entry));
}

ITNexusImpl::~ITNexusImpl() {
    OLIO_ASSERT(count_ == 0 && pending_ == 0, "a nexus is destroyed before it has drained");
}

ITLNexus* ITNexusImpl::find(const scsi::Lun& lun) const noexcept {
    const LunMapEntry* entry = map_->find(lun.number());
    if (entry == nullptr)
        return nullptr;
    return itls_[static_cast<std::size_t>(entry - map_->entries().data())].get();
}

Command* ITNexusImpl::find_tag(std::uint64_t tag) const noexcept {
    for (Command* command = tags_[bucket_of(tag)]; command != nullptr; command = command->tag_next_)
        if (command->tag == tag && command->stage_ != CommandStage::completing &&
            command->stage_ != CommandStage::discarding && !command->abort_)
            return command;
    return nullptr;
}

Command* ITNexusImpl::find_tag_to_abort(std::uint64_t tag) const noexcept {
    if (Command* const command = find_tag(tag))
        return command;
    for (Command* command = tags_[bucket_of(tag)]; command != nullptr; command = command->tag_next_)
        if (command->tag == tag && command->abort_ != nullptr)
            return command;
    return nullptr;
}

void ITNexusImpl::forget_tag(Command& command) noexcept {
    Command** link = &tags_[bucket_of(command.tag)];
    while (*link != &command)
        link = &(*link)->tag_next_;
    *link = command.tag_next_;
}

void ITNexusImpl::submit(Command& command) noexcept {
    command.nexus_ = this;
    commands_.push_back(command);
    ++count_;
    DeviceServer::submit(*this, command);
}

void ITNexusImpl::data_out_received(Command& command) noexcept {
    DeviceServer::data_out_received(command);
}

void ITNexusImpl::data_out_failed(Command& command, scsi::AdditionalSense additional) noexcept {
    DeviceServer::data_out_failed(command, additional);
}

void ITNexusImpl::transfer_terminated(Command& command) noexcept {
    DeviceServer::transfer_terminated(command);
}

void ITNexusImpl::enlist_tag(Command& command) noexcept {
    Command*& bucket = tags_[bucket_of(command.tag)];
    command.tag_next_ = bucket;
    bucket = &command;
}

void ITNexusImpl::finished(Command& command) noexcept {
    OLIO_ASSERT(
        command.stage_ == CommandStage::completing || command.stage_ == CommandStage::discarding,
        "finished is the answer to complete and discard");
    forget_tag(command);
    commands_.remove(command);
    leave_unit(command);
    --count_;
    if (closing_) [[unlikely]]
        report_drained();
}

void ITNexusImpl::finished_within(Command& command) noexcept {
    leave_unit(command);
}

void ITNexusImpl::leave_unit(Command& command) noexcept {
    command.abort_hook_.unlink();
    command.buffer_.release();
    if (command.extension_) [[unlikely]]
        command.extension_.reset();
    command.stage_ = CommandStage::idle;
    ITLNexus* const itl = command.itl_;
    if (itl == nullptr)
        return;
    command.itl_ = nullptr;
    LogicalUnitView& view = itl->view();
    --view.traffic.in_flight;
    view.remove(command);
    itl->tasks.withdraw(command);
    --itl->commands;
    itl->tasks.pump();  // the command may be in use again from here on
    if (itl->retired && itl->commands == 0) [[unlikely]]
        sweep_retired();
}

CopyManager& ITNexusImpl::copy_manager() {
    if (copy_manager_ == nullptr)
        copy_manager_ = std::make_unique<CopyManager>(*this);
    return *copy_manager_;
}

void ITNexusImpl::leave() noexcept {
    --pending_;
    if (closing_)
        report_drained();
}

void ITNexusImpl::report_drained() {
    if (count_ != 0 || pending_ != 0 || !drained_)
        return;
    // Not from inside a call of the fabric's, which may destroy the nexus in the callback.
    shard_.post(std::exchange(drained_, nullptr));
}

void ITNexusImpl::task_management(TaskManagement& request) noexcept {
    TaskManager::execute(*this, request);
}

void ITNexusImpl::sweep_retired() {
    if (std::exchange(sweeping_, true))
        return;
    enter();
    // Its task set may be at work further up the stack.
    shard_.post([this] {
        sweeping_ = false;
        std::erase_if(retired_, [](const auto& itl) { return itl->commands == 0; });
        leave();
    });
}

void ITNexusImpl::set_lun_map(std::shared_ptr<const LunMap> map) {
    std::vector<std::unique_ptr<ITLNexus>> next;
    next.reserve(map->entries().size());
    for (const LunMapEntry& entry : map->entries()) {
        std::unique_ptr<ITLNexus> itl;
        if (const LunMapEntry* old = map_->find(entry.lun); old && old->unit == entry.unit) {
            itl = std::move(itls_[static_cast<std::size_t>(old - map_->entries().data())]);
            itl->write_protected = entry.write_protected;
        } else {
            itl = make_itl(*this, entry);
        }
        itl->attentions.establish(UnitAttention::reported_luns_data_changed);
        next.push_back(std::move(itl));
    }
    // What has left the map stays for the commands that came before.
    for (auto& itl : itls_) {
        if (itl == nullptr)
            continue;
        itl->retired = true;
        DeviceServer::Aca::clear(*itl);
        LogicalUnitImpl& unit = itl->view().unit();
        const bool gone = std::ranges::none_of(
            map->entries(), [&](const LunMapEntry& entry) { return entry.unit == &unit; });
        if (gone) {
            enter();
            unit.forget_nexus(id_, [this] { leave(); });
        }
        retired_.push_back(std::move(itl));
    }
    itls_ = std::move(next);
    map_ = std::move(map);
    if (!retired_.empty())
        sweep_retired();
}

void ITNexusImpl::forget_in_units(const Ticket& ticket) {
    // A unit may have several LUNs. In the order of the LUNs: a simulated run must replay.
    std::set<const LogicalUnitImpl*> seen;
    std::vector<LogicalUnitImpl*> units;
    for (const auto& itl : itls_) {
        itl->aliases.clear();
        if (seen.insert(&itl->view().unit()).second)
            units.push_back(&itl->view().unit());
    }
    for (LogicalUnitImpl* unit : units) {
        enter();
        unit->forget_nexus(id_, [this, held = Ticket(ticket)]() mutable {
            held.reset();
            leave();
        });
    }
}

void ITNexusImpl::close(std::move_only_function<void()> fenced,
                        std::move_only_function<void()> drained) {
    OLIO_ASSERT(!closing_, "a nexus is closed once");
    closing_ = true;
    drained_ = std::move(drained);
    enter();
    Ticket ticket = when_released([this, fenced = std::move(fenced)]() mutable {
        shard_.post([this, fenced = std::move(fenced)]() mutable {
            fenced();
            leave();
        });
    });
    forget_in_units(ticket);
    DeviceServer::Marked marked;
    for (Command& command : commands_)
        DeviceServer::mark(marked, command, AbortMode::silent, ticket, false);
    if (copy_manager_ != nullptr)
        copy_manager_->mark_background(marked, ticket);
    DeviceServer::abort_marked(marked);
}

}  // namespace olio::target
