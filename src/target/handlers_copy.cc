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
constexpr std::int16_t data_lid4 = 0x06;
constexpr std::int16_t token_information = 0x07;

enum CopyPhase : std::uint8_t { phase_copy, phase_flush };

}  // namespace

// --- Copies by the store ---

const Handler DeviceServer::CopyHandlers::source_side = {scsi::Operation::read, nullptr, nullptr,
                                                         [](Command& c) {
                                                             CopyOperation::source_held(c);
                                                             return Step::waiting;
                                                         },
                                                         nullptr};

const Handler DeviceServer::CopyHandlers::destination_side = {
    scsi::Operation::write, nullptr, nullptr,
    [](Command& c) {
        c.phase_ = phase_copy;
        c.fua_ = write_must_be_durable(c);
        ask_write(c, StoreOpcode::copy, c.decoded_.lba, c.decoded_.blocks, {});
        return Step::submit;
    },
    [](Command& c) { return c.phase_ == phase_flush ? succeed(c) : finish_write(c, phase_flush); }};

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
        else if (action == data_lid4)
            scsi::put_copy_data_lid4(result, into);
        else
            scsi::put_copy_status_lid4(result, action == token_information, into);
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

// --- Tokens ---

// With IMMED the answer may come before the token is there; it comes with it, which takes no longer
// than the writes that are under way.
Step DeviceServer::CopyHandlers::execute_populate_token(Command& c) {
    if (c.transfer_bytes_ == 0)
        return succeed(c);
    auto list = scsi::parse_populate_token(c.data_out, c.unit_->state());
    if (!list)
        return refuse(c, list.error());
    auto& nexus = static_cast<ITNexusImpl&>(c.nexus());
    auto record = nexus.copy_manager().enter(c, load_be<std::uint32_t>(c.cdb.data() + 6));
    if (!record)
        return refuse(c, record.error());
    scsi::CopyResult& result = (*record)->result;
    result.block_bytes = c.unit_->block_bytes();
    const std::uint64_t bytes = list->blocks * result.block_bytes;
    nexus.tokens().make(c.unit_->unit(), std::move(*list),
                        [&c, &nexus, bytes, record = std::move(*record)](auto made) {
                            scsi::CopyResult& ended = record->result;
                            record->ended_at = nexus.shard().now();
                            if (c.abort_ != nullptr) {
                                if (made)
                                    nexus.tokens().remove(**made);
                                ended.status = scsi::CopyStatus::terminated;
                                ended.completion = scsi::Status::task_aborted;
                                end_aborted(c);
                            } else if (!made) {
                                ended.status = scsi::CopyStatus::failed;
                                ended.completion = scsi::Status::check_condition;
                                ended.sense_bytes = static_cast<std::uint8_t>(
                                    made.error().encode(scsi::SenseFormat::fixed, ended.sense));
                                refuse(c, made.error());
                            } else {
                                ended.status = scsi::CopyStatus::completed;
                                ended.transferred_bytes = bytes;
                                ended.token.assign((*made)->bytes.begin(), (*made)->bytes.end());
                                succeed(c);
                            }
                        });
    return Step::waiting;
}

// Those of the copy manager of this logical unit, whoever has asked for them: what is told of them
// does not let anybody use one.
Step DeviceServer::CopyHandlers::execute_report_all_rod_tokens(Command& c) {
    constexpr std::size_t header_bytes = 8;
    auto& nexus = static_cast<ITNexusImpl&>(c.nexus());
    const std::vector<std::uint8_t> tokens = nexus.tokens().management_tokens(c.unit_->unit());
    const std::size_t room = header_bytes + tokens.size();
    if (!obtain_buffer(c, room))
        return Step::waiting;
    return answer_with(c, c.buffer_.bytes(room),
                       [&](Builder& into) { scsi::put_rod_management_tokens(tokens, into); });
}

// A token is good for who reaches its logical unit: the source is read by commands of this nexus.
Step DeviceServer::CopyHandlers::execute_write_using_token(Command& c) {
    if (c.transfer_bytes_ == 0)
        return succeed(c);
    const auto list = scsi::parse_write_using_token(c.data_out, c.unit_->state());
    if (!list)
        return refuse(c, list.error());
    const auto fields = scsi::read_rod_token(list->token);
    if (!fields)
        return refuse(c, fields.error());
    auto& nexus = static_cast<ITNexusImpl&>(c.nexus());
    const std::uint32_t block_bytes = c.unit_->block_bytes();
    CopyJob job;
    job.immediate = list->immediate;
    job.own_destination = true;
    job.units.assign(2, c.unit_->unit().shared_from_this());
    if (fields->type == scsi::RodType::block_zero) {
        job.moves = scsi::plan_zeros(*list, block_bytes);
    } else {
        auto token = nexus.tokens().find(list->token, fields->identifier);
        if (!token)
            return refuse(c, token.error());
        const auto source = (*token)->unit.lock();
        if (source == nullptr || !nexus.copy_manager().reaches(*source))
            return refuse(c, scsi::make_sense(scsi::sense::token_unknown));
        job.units[0] = source;
        job.token = *token;
        job.delete_token = list->delete_token;
        job.moves = scsi::plan_write_using_token(*list, block_bytes, (*token)->ranges,
                                                 (*token)->block_bytes);
        if (job.moves.empty() && list->blocks != 0)  // OFFSET INTO ROD is behind its end
            return refuse(c, scsi::invalid_field_in_parameter_list(8));
    }
    auto record = nexus.copy_manager().enter(c, load_be<std::uint32_t>(c.cdb.data() + 6));
    if (!record)
        return refuse(c, record.error());
    job.record = std::move(*record);
    job.record->result.block_bytes = block_bytes;
    nexus.copy_manager().begin(c, std::move(job));
    return Step::waiting;
}

}  // namespace olio::target
