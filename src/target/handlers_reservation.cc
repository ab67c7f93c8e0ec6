#include "target/handlers_reservation.h"

#include "target/reservation_server.h"

namespace olio::target {

namespace {

ReservationServer::Requester requester(const Command& command, std::uint32_t lun) {
    const auto& nexus = static_cast<const ITNexusImpl&>(command.nexus());
    return {nexus.name(), nexus.id(), lun, &command};
}

}  // namespace

Step DeviceServer::ReservationHandlers::execute_reserve(Command& c) {
    c.unit_->unit().reservations().reserve(requester(c, c.itl_->lun), answer_from_home(c));
    return Step::waiting;
}

Step DeviceServer::ReservationHandlers::execute_release(Command& c) {
    c.unit_->unit().reservations().release(requester(c, c.itl_->lun), answer_from_home(c));
    return Step::waiting;
}

Step DeviceServer::ReservationHandlers::execute_reserve_out(Command& c) {
    auto out = scsi::parse_reserve_out(c.cdb, c.data_out);
    if (!out)
        return refuse(c, out.error());
    c.unit_->unit().reservations().reserve_out(requester(c, c.itl_->lun), std::move(*out),
                                               answer_from_home(c));
    return Step::waiting;
}

// The handler of commands that lost access while they waited.
Step DeviceServer::ReservationHandlers::execute_conflict(Command& c) {
    return refuse_with_status(c, scsi::Status::reservation_conflict);
}

// 7. of admit(), where there is a reservation.
bool DeviceServer::check_reservation(Command& command) noexcept {
    const scsi::Reservations& reservations = command.unit_->state().reservations;
    const bool reserved = reservations.reserved_by != 0 &&
                          scsi::conflicts_with_reserve(
                              *command.row_, reservations.reserved_by == command.nexus_->id());
    if (!reserved && !scsi::conflicts(*command.row_, command.cdb, reservations.type,
                                      command.itl_->role(reservations)))
        return true;
    refuse_with_status(command, scsi::Status::reservation_conflict);
    return false;
}

void DeviceServer::recheck_reservation(Command& command) noexcept {
    static constexpr Handler refuses{scsi::Operation::count, DeviceServer::prepare_nothing, nullptr,
                                     ReservationHandlers::execute_conflict, nullptr};
    const CommandStage stage = command.stage_;
    if (command.abort_ != nullptr ||
        (stage != CommandStage::awaiting_buffer && stage != CommandStage::awaiting_data_out &&
         stage != CommandStage::dormant && stage != CommandStage::fenced))
        return;
    const scsi::Reservations& reservations = command.unit_->state().reservations;
    if (scsi::conflicts(*command.row_, command.cdb, reservations.type,
                        command.itl_->role(reservations)))
        command.handler_ = &refuses;
}

bool DeviceServer::waits_for_aborts(const Command& command) noexcept {
    return command.row_ != nullptr &&
           command.row_->operation == scsi::Operation::persistent_reserve_out;
}

}  // namespace olio::target
