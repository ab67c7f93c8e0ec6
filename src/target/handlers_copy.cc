#include "target/handlers_copy.h"

#include <algorithm>

#include "base/limits.h"
#include "scsi/extended_copy.h"
#include "target/copy_manager.h"

namespace olio::target {

namespace {

// Service actions of EXTENDED COPY and RECEIVE COPY RESULTS.
constexpr std::int16_t copy_lid4 = 0x01;
constexpr std::int16_t status_lid1 = 0x00;
constexpr std::int16_t data_lid1 = 0x01;
constexpr std::int16_t failure_details_lid1 = 0x04;

}  // namespace

// --- EXTENDED COPY ---

// Everything is resolved before anything is written: a copy that cannot be done whole does not
// begin.
Step DeviceServer::CopyHandlers::execute_extended_copy(Command& c) {
    if (c.transfer_bytes_ == 0)
        return succeed(c);
    const auto list = scsi::service_action_of(c.cdb) == copy_lid4
                          ? scsi::parse_extended_copy_lid4(c.data_out)
                          : scsi::parse_extended_copy_lid1(c.data_out);
    if (!list)
        return refuse(c, list.error());
    CopyManager& manager = static_cast<ITNexusImpl&>(c.nexus()).copy_manager();
    const unsigned shard = c.unit_->shard().index();
    CopyJob job;
    for (const scsi::CscdDescriptor& descriptor : list->descriptors)
        job.units.push_back(manager.find_unit(descriptor));
    job.units.push_back(c.unit_->unit().shared_from_this());
    std::vector<scsi::CopyDevice> devices;
    for (const auto& unit : job.units) {
        scsi::CopyDevice device;
        if (unit != nullptr) {
            const scsi::Geometry& geometry = unit->view(shard).state().geometry;
            device = {true, geometry.blocks, geometry.block_bytes};
        }
        devices.push_back(device);
    }
    auto moves = scsi::plan_extended_copy(*list, devices);
    if (!moves)
        return refuse(c, moves.error());
    job.moves = std::move(*moves);
    job.immediate = list->immediate;
    auto record = manager.enter(
        c, list->usage == scsi::ListIdUsage::unnamed ? std::nullopt : std::optional(list->list_id));
    if (!record)
        return refuse(c, record.error());
    job.record = std::move(*record);
    manager.begin(c, std::move(job));
    return Step::waiting;
}

// --- RECEIVE COPY RESULTS, whatever it asks about one copy ---

Step DeviceServer::CopyHandlers::execute_receive_copy_results(Command& c) {
    const std::int16_t action = scsi::service_action_of(c.cdb);
    const bool lid1 =
        action == status_lid1 || action == data_lid1 || action == failure_details_lid1;
    const std::uint32_t list_id = lid1 ? c.cdb[2] : load_be<std::uint32_t>(c.cdb.data() + 2);
    CopyManager& manager = static_cast<ITNexusImpl&>(c.nexus()).copy_manager();
    const auto record = manager.find(c, list_id);
    if (record == nullptr)
        return refuse(c, scsi::invalid_field_in_cdb(2));
    const scsi::CopyResult& result = record->result;
    const bool running = scsi::in_progress(result.status);
    if (action == data_lid1 && running)  // it can be had when the copy has ended
        return refuse(c, scsi::invalid_field_in_cdb(2));
    const std::size_t room = 1024 + result.held.size() + result.token.size();
    if (!obtain_buffer(c, room))
        return Step::waiting;
    return answer_with(c, c.buffer_.bytes(room), [&](Builder& into) {
        if (action == status_lid1)
            scsi::put_copy_status_lid1(result, into);
        else if (action == data_lid1)
            scsi::put_copy_data(result, into);
        else if (action == failure_details_lid1)
            scsi::put_copy_failure_details(result, into);
        else
            scsi::put_copy_status_lid4(result, false, into);
    });
}

// --- COPY OPERATION ABORT ---

Step DeviceServer::CopyHandlers::execute_copy_operation_abort(Command& c) {
    CopyManager& manager = static_cast<ITNexusImpl&>(c.nexus()).copy_manager();
    const auto record = manager.find(c, load_be<std::uint32_t>(c.cdb.data() + 2));
    if (record == nullptr)
        return refuse(c, scsi::invalid_field_in_cdb(2));
    CopyOperation* const operation = manager.find_operation(*record);
    if (operation == nullptr)  // it has ended by itself
        return succeed(c);
    operation->cancel(c);
    return Step::waiting;
}

}  // namespace olio::target
