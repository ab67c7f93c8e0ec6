// The commands that need no medium or only its state.
#include <algorithm>

#include "base/limits.h"
#include "scsi/cdb_fields.h"
#include "scsi/data_in.h"
#include "target/device_server.h"

namespace olio::target {

using scsi::LogicalUnitState;
using scsi::Operation;
namespace sense = scsi::sense;

bool DeviceServer::prepare_nothing(Command&) {
    return true;
}

bool DeviceServer::prepare_parameters(Command& c) {
    c.transfer_bytes_ = c.decoded_.parameter_bytes;
    c.buffer_bytes_ = c.transfer_bytes_;
    if (c.transfer_bytes_ <= limits::parameter_list_bytes)
        return true;
    refuse(c, scsi::invalid_field_in_cdb(c.row_->parameter_bytes.byte));
    return false;
}

// --- Parameter data ---

// Answers with what `fill` puts into `room`, cut to ALLOCATION LENGTH.
Step DeviceServer::answer_with(Command& c, MutableBytes room,
                               const std::function<void(Builder&)>& fill) {
    std::size_t allocation = room.size();
    if (c.row_->allocation_bytes.bytes != 0)
        allocation = std::min<std::size_t>(allocation, c.decoded_.allocation_bytes);
    Builder into(room.first(allocation));
    fill(into);
    c.data_in_[0] = {room.data(), into.written().size()};
    c.data_in_count_ = 1;
    return succeed_with_data(c, into.written().size());
}

Step DeviceServer::execute_data_in(Command& c) {
    const auto& nexus = static_cast<const ITNexusImpl&>(c.nexus());
    const bool luns = c.row_->operation == Operation::report_luns;
    const std::size_t whole =
        luns ? 8 + 8 * nexus.map().entries().size() : limits::parameter_list_bytes;
    std::size_t bytes = whole;
    if (c.row_->allocation_bytes.bytes != 0)
        bytes = std::min<std::size_t>(bytes, c.decoded_.allocation_bytes);
    if (!obtain_buffer(c, std::max<std::size_t>(bytes, 1)))
        return Step::waiting;

    const LogicalUnitState* state = c.unit_ == nullptr ? nullptr : &c.unit_->state();
    std::optional<LogicalUnitState> protected_state;
    if (state != nullptr && c.itl_->write_protected && !state->write_protected) {
        protected_state = *state;  // WP of MODE SENSE as this initiator finds it
        protected_state->write_protected = true;
        state = &*protected_state;
    }
    scsi::NexusState nexus_state = nexus.state();
    if (c.itl_ != nullptr)
        nexus_state.aliases = c.itl_->aliases;
    std::expected<void, scsi::SenseData> result;
    Builder into(c.buffer_.bytes(bytes));
    result = c.row_->data_in(request_of(c, state, nexus_state), into);
    if (!result)
        return refuse(c, result.error());
    if (luns)  // SPC-5 6.35
        for (const auto& itl : nexus.itls())
            itl->attentions.clear(scsi::UnitAttention::reported_luns_data_changed);
    c.data_in_[0] = {c.buffer_.data(), into.written().size()};
    c.data_in_count_ = 1;
    return succeed_with_data(c, into.written().size());
}

Step DeviceServer::execute_request_sense(Command& c) {
    constexpr std::size_t room = 256;
    if (!obtain_buffer(c, room))
        return Step::waiting;
    scsi::SenseData pending = scsi::make_sense(sense::no_additional_sense_information);
    if (c.unit_ == nullptr)
        pending = scsi::make_sense(sense::logical_unit_not_supported);
    else if (const auto attention = c.itl_->attentions.take())
        pending = scsi::sense_of(*attention);
    else if (const auto busy = scsi::background_sense(c.unit_->state().background))
        pending = *busy;
    else if (!c.unit_->state().medium_present)
        pending = scsi::make_sense(sense::medium_not_present);
    else
        pending = scsi::pollable_sense(c.unit_->state());
    const scsi::NexusState nexus = static_cast<const ITNexusImpl&>(c.nexus()).state();
    const LogicalUnitState* state = c.unit_ == nullptr ? nullptr : &c.unit_->state();
    return answer_with(c, c.buffer_.bytes(room), [&](Builder& into) {
        scsi::request_sense(request_of(c, state, nexus), pending, into);
    });
}

// --- Changes of state ---

Step DeviceServer::execute_mode_select(Command& c) {
    const bool save = scsi::mode_select_saves(c.cdb);
    if (c.transfer_bytes_ == 0 && !save)
        return succeed(c);
    // On the home shard. The command waits for the answer, so its CDB and list stay. The store's
    // cache is switched when the values come into force.
    const scsi::NexusState nexus = static_cast<const ITNexusImpl&>(c.nexus()).state();
    change_settings(
        c, [&c, nexus, save](LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
            const Bytes list = c.transfer_bytes_ == 0 ? Bytes{} : Bytes(c.data_out);
            auto pages = scsi::mode_select(request_of(c, &state, nexus), list);
            if (!pages)
                return std::unexpected(Refusal{scsi::Status::check_condition, pages.error()});
            StateEffects effects;
            const bool differ = !(*pages == state.mode_pages);
            effects.changed = differ || (save && state.saved_mode_pages != *pages);
            if (differ)
                effects.attention = scsi::UnitAttention::mode_parameters_changed;
            effects.except = nexus.id;
            state.mode_pages = *pages;
            if (save)
                state.saved_mode_pages = *pages;
            return effects;
        });
    return Step::waiting;
}

// --- The cache ---

// With IMMED the answer may come before the data are on the medium; it does not.
Step DeviceServer::execute_synchronize(Command& c) {
    ask_store(c, StoreOpcode::flush, c.decoded_.lba, c.decoded_.blocks, {});
    return Step::submit;
}

// A hint to the store, which does not say how much of it stays in a cache: so GOOD, "not all", and
// never CONDITION MET (SBC-4 5.13).
Step DeviceServer::execute_pre_fetch(Command& c) {
    ask_store(c, StoreOpcode::prefetch, c.first_block_, c.end_block_ - c.first_block_, {});
    return Step::submit;
}

}  // namespace olio::target
