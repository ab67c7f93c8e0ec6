#include "target/reservation_server.h"

#include <algorithm>

#include "base/limits.h"
#include "base/log.h"
#include "scsi/aptpl.h"
#include "scsi/sense_codes.h"
#include "target/aca.h"
#include "target/device_server.h"
#include "target/it_nexus_impl.h"

namespace olio::target {

using scsi::LogicalUnitState;
using scsi::NexusName;
using scsi::PersistentReservations;

namespace {

Refusal conflict() {
    return {scsi::Status::reservation_conflict, {}};
}

scsi::ReservationSurroundings surroundings_of(const std::vector<scsi::KnownNexus>& nexuses,
                                              const LogicalUnitState& state) {
    scsi::ReservationSurroundings all;
    const auto add_port = [&all](const NexusName& nexus) {
        if (std::ranges::find(all.ports, nexus.relative_port, &NexusName::relative_port) ==
            all.ports.end())
            all.ports.push_back({{}, nexus.relative_port, nexus.port_name});
    };
    for (const scsi::ConfiguredPort& port : state.target_ports)
        add_port({{}, port.description.relative_port, port.description.port_name});
    for (const scsi::KnownNexus& nexus : nexuses) {
        all.nexuses.push_back(nexus.name);
        add_port(nexus.name);
    }
    for (const scsi::Registration& each : state.reservations.persistent->registrations)
        add_port(each.nexus);
    for (const scsi::GroupedPort& port : state.access.ports)
        add_port({{}, port.relative_port, {}});
    return all;
}

}  // namespace

ReservationServer::ReservationServer(LogicalUnitImpl& unit, MetadataStore* metadata)
    : unit_(unit), metadata_(metadata) {}

// --- One after another ---

void ReservationServer::enqueue(Job job) {
    jobs_.push_back(std::move(job));
    serve();
}

void ReservationServer::finished() {
    busy_ = false;
    serve();
}

void ReservationServer::serve() {
    if (std::exchange(serving_, true))
        return;  // finished() was called from inside a job
    while (!busy_ && !jobs_.empty()) {
        busy_ = true;
        Job job = std::move(jobs_.front());
        jobs_.pop_front();
        job();
    }
    serving_ = false;
}

void ReservationServer::answer(const OrderPointer& order, Result result) {
    unit_.on_shard(order->origin,
                   [done = std::move(order->done), result = std::move(result)]() mutable {
                       done(std::move(result));
                   });
}

void ReservationServer::end(const OrderPointer& order, Result result) {
    answer(order, std::move(result));
    finished();
}

// --- PERSISTENT RESERVE OUT ---

void ReservationServer::reserve_out(Requester from, scsi::ReserveOut out,
                                    LogicalUnitImpl::Changed done) {
    auto order = std::make_shared<Order>(
        Order{std::move(from), std::move(out), LogicalUnitImpl::here(), std::move(done)});
    unit_.on_home([this, order] {
        enqueue([this, order] {
            if (order->out.needs_surroundings())
                look_around(order);
            else
                decide(order, {});
        });
    });
}

// Which I_T nexuses there are, and through which target ports.
void ReservationServer::look_around(const OrderPointer& order) {
    unit_.find_nexuses([this, order](const std::vector<scsi::KnownNexus>& found) {
        decide(order, surroundings_of(found, unit_.home_state()));
    });
}

void ReservationServer::decide(const OrderPointer& order,
                               scsi::ReservationSurroundings surroundings) {
    surroundings.can_persist = metadata_ != nullptr;
    surroundings.maximum_registrations = limits::registrations_per_unit;
    if (surroundings.can_persist && unit_.home_state().settings.force_aptpl)
        order->out.persist = true;
    const scsi::Reservations& now = unit_.home_state().reservations;
    if (now.reserved_by != 0)  // a RESERVE came while this one was on its way
        return end(order, std::unexpected(conflict()));
    auto change =
        scsi::apply(*now.persistent, order->out, order->from.name, order->from.lun, surroundings);
    if (!change)
        return end(order, std::unexpected(Refusal{change.error().status, change.error().sense}));
    std::string text;
    if (metadata_ != nullptr) {
        text = scsi::write_aptpl(change->next);
        if (!file_unsure_ && text == scsi::write_aptpl(*now.persistent))
            text.clear();  // it says that already
    }
    if (!text.empty())
        return keep(order, std::move(*change), std::move(text));
    publish(order, std::move(*change));
}

// Before anybody sees it: what has been seen must not be gone after a crash.
void ReservationServer::keep(const OrderPointer& order, scsi::ReservationChange change,
                             std::string text) {
    const auto shared = std::make_shared<scsi::ReservationChange>(std::move(change));
    const std::string& serial = unit_.home_state().identification.serial;
    metadata_->write(metadata_name("pr", "aptpl_", serial), std::move(text),
                     [this, order, shared](olio::Result<void> written) {
                         file_unsure_ = !written;
                         if (written)
                             return publish(order, std::move(*shared));
                         log::error("{}: persistent reservations cannot be kept: {}", unit_.name(),
                                    written.error().message);
                         end(order, std::unexpected(Refusal{
                                        scsi::Status::check_condition,
                                        scsi::make_sense(scsi::sense::system_resource_failure)}));
                     });
}

void ReservationServer::publish(const OrderPointer& order, scsi::ReservationChange change) {
    auto effects = std::make_shared<ReservationEffects>();
    effects->notices = std::move(change.notices);
    effects->aborted = std::move(change.aborted);
    effects->by = order->from.id;
    effects->by_command = order->from.command;
    const bool aborts = !effects->aborted.empty();
    if (aborts)
        effects->when_aborted = [this, order] { answer(order, {}); };
    unit_.change_state(
        [next = std::make_shared<PersistentReservations>(std::move(change.next)),
         effects](LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
            StateEffects all;
            // It may have been configured anew while the file was written.
            next->any_session = state.reservations.persistent->any_session;
            all.changed = !(*next == *state.reservations.persistent) || !effects->aborted.empty();
            state.reservations.set(next);
            all.reservations = effects;
            return all;
        },
        [this, order, aborts](const std::expected<void, Refusal>&) {
            // Not later: what waits in the queue may be a command that is to end.
            if (!aborts)
                answer(order, {});
            finished();
        });
}

// --- RESERVE and RELEASE of SPC-2 ---

void ReservationServer::reserve(Requester from, LogicalUnitImpl::Changed done) {
    spc2(std::move(from), true, std::move(done));
}

void ReservationServer::release(Requester from, LogicalUnitImpl::Changed done) {
    spc2(std::move(from), false, std::move(done));
}

// SPC-2 7.19, 7.21 and 7.22, where SPC-5 5.13.3 does not say otherwise. RELEASE by one that does
// not hold the reservation does nothing.
void ReservationServer::spc2(Requester from, bool reserves, LogicalUnitImpl::Changed done) {
    auto order = std::make_shared<Order>(
        Order{std::move(from), {}, LogicalUnitImpl::here(), std::move(done)});
    unit_.on_home([this, order, reserves] {
        enqueue([this, order, reserves] {
            unit_.change_state(
                [order, reserves](LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
                    scsi::NexusId& holder = state.reservations.reserved_by;
                    StateEffects effects;
                    effects.changed = false;
                    const auto verdict = scsi::judge_reserve_release(*state.reservations.persistent,
                                                                     order->from.name);
                    if (verdict == scsi::ReserveVerdict::conflict)
                        return std::unexpected(conflict());
                    if (verdict == scsi::ReserveVerdict::good_without_effect)
                        return effects;
                    if (reserves && holder != 0 && holder != order->from.id)
                        return std::unexpected(conflict());
                    if (reserves || holder == order->from.id) {
                        const scsi::NexusId next = reserves ? order->from.id : 0;
                        effects.changed = std::exchange(holder, next) != next;
                    }
                    return effects;
                },
                [this, order](std::expected<void, Refusal> changed) {
                    end(order, std::move(changed));
                });
        });
    });
}

// --- On every shard ---

void LogicalUnitView::collect_nexuses(std::vector<scsi::KnownNexus>& into) const {
    for (const ITLNexus* itl : itls_)
        if (!itl->retired && !itl->nexus().closing())
            into.push_back({itl->nexus().id(), itl->nexus().name()});
}

void LogicalUnitView::apply_reservations(const ReservationEffects& effects, const Ticket& ticket) {
    const scsi::PersistentReservations& now = *state_->reservations.persistent;
    // The name of a device means those of its sessions that have no registration of their own, and
    // not the one that knows already: it asked.
    const auto is_for = [&now, &effects](const NexusName& named, const ITNexus& each) {
        const auto& nexus = static_cast<const ITNexusImpl&>(each);
        if (named == nexus.name())
            return true;
        return now.any_session && nexus.id() != effects.by && named.covers(nexus.name()) &&
               std::ranges::find(now.registrations, nexus.name(), &scsi::Registration::nexus) ==
                   now.registrations.end();
    };
    const auto aborts = [&effects, &is_for](const ITNexus& nexus) {
        return std::ranges::any_of(effects.aborted,
                                   [&](const NexusName& named) { return is_for(named, nexus); });
    };
    for (ITLNexus* itl : itls_)
        for (const scsi::ReservationNotice& notice : effects.notices)
            if (is_for(notice.nexus, itl->nexus()))
                itl->attentions.establish(notice.attention);
    // What has not begun is subject to the new reservation (SPC-5 5.13.1).
    for (Command& command : commands_)
        DeviceServer::recheck_reservation(command);
    DeviceServer::Marked marked;
    const AbortMode others =
        state_->mode_pages.task_aborted_status ? AbortMode::task_aborted : AbortMode::silent;
    for (Command& command : commands_) {
        const auto& nexus = static_cast<const ITNexusImpl&>(command.nexus());
        if (&command == effects.by_command || !aborts(nexus))
            continue;
        // Two that preempt one another would wait for each other for ever; and there is no need
        // to: such a command is nothing to the medium.
        const bool preempts = DeviceServer::waits_for_aborts(command);
        DeviceServer::mark(marked, command, nexus.id() == effects.by ? AbortMode::silent : others,
                           preempts ? nullptr : ticket, false);
    }
    DeviceServer::abort_marked(marked);
    // SPC-5 5.13.11.2.6: and the ACA conditions of those whose commands it aborts.
    for (ITLNexus* itl : itls_)
        if (aborts(itl->nexus()))
            DeviceServer::Aca::clear(*itl);
}

}  // namespace olio::target
