// The table of handlers, and the commands that need no medium or only its state.
#include <algorithm>
#include <array>

#include "base/limits.h"
#include "scsi/cdb_fields.h"
#include "scsi/data_in.h"
#include "target/device_server.h"

namespace olio::target {

using scsi::LogicalUnitState;
using scsi::Operation;
namespace sense = scsi::sense;

struct HandlerTable {
    static constexpr std::size_t size = static_cast<std::size_t>(Operation::count);
    using D = DeviceServer;

    // In the order of scsi::Operation.
    static constexpr std::array<Handler, size> rows{{
        {Operation::data_in, D::prepare_nothing, nullptr, D::execute_data_in, nullptr},
        {Operation::test_unit_ready, D::prepare_nothing, nullptr, D::succeed, nullptr},
        {Operation::request_sense, D::prepare_nothing, nullptr, D::execute_request_sense, nullptr},
        {Operation::report_luns, D::prepare_nothing, nullptr, D::execute_data_in, nullptr},
        {Operation::mode_select, D::prepare_parameters, nullptr, D::execute_mode_select, nullptr},
        {Operation::start_stop_unit, D::prepare_nothing, nullptr, D::execute_start_stop,
         D::start_or_stop},
        {Operation::reserve, D::prepare_nothing, nullptr, D::execute_reserve, nullptr},
        {Operation::release, D::prepare_nothing, nullptr, D::execute_release, nullptr},
        {Operation::read, D::prepare_read, nullptr, D::execute_read, D::resume_read},
        {Operation::write, D::prepare_write, nullptr, D::execute_write, D::resume_write},
        {Operation::write_and_verify, D::prepare_write_and_verify, nullptr,
         D::execute_write_and_verify, D::resume_write_and_verify},
        {Operation::verify, D::prepare_verify, nullptr, D::execute_verify, D::resume_verify},
        {Operation::synchronize_cache, D::prepare_range, nullptr, D::execute_synchronize,
         D::succeed},
        {Operation::unmap, D::prepare_unmap, D::parse_unmap, D::execute_unmap, D::resume_unmap},
        {Operation::write_same, D::prepare_write_same, nullptr, D::execute_write_same,
         D::resume_write_same},
        {Operation::compare_and_write, D::prepare_compare_and_write, nullptr,
         D::execute_compare_and_write, D::resume_compare_and_write},
        {Operation::pre_fetch, D::prepare_range, nullptr, D::execute_pre_fetch, D::succeed},
        {Operation::get_lba_status, D::prepare_nothing, nullptr, D::execute_get_lba_status,
         D::resume_get_lba_status},
    }};

    static constexpr bool complete() {
        for (std::size_t i = 0; i < size; ++i)
            if (static_cast<std::size_t>(rows[i].operation) != i || !rows[i].prepare ||
                !rows[i].execute)
                return false;
        return true;
    }
};

const Handler& DeviceServer::handler_of(Operation operation) noexcept {
    static_assert(HandlerTable::complete(), "one handler for each operation, in their order");
    return HandlerTable::rows[static_cast<std::size_t>(operation)];
}

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
    const scsi::NexusState nexus_state = nexus.state();
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
    else if (!c.unit_->state().medium_present)
        pending = scsi::make_sense(sense::medium_not_present);
    else if (c.unit_->state().stopped)
        pending = scsi::make_sense(sense::initializing_command_required);
    const scsi::NexusState nexus = static_cast<const ITNexusImpl&>(c.nexus()).state();
    const LogicalUnitState* state = c.unit_ == nullptr ? nullptr : &c.unit_->state();
    return answer_with(c, c.buffer_.bytes(room), [&](Builder& into) {
        scsi::request_sense(request_of(c, state, nexus), pending, into);
    });
}

// --- Changes of state ---

Step DeviceServer::execute_mode_select(Command& c) {
    if (c.transfer_bytes_ == 0)
        return succeed(c);
    // On the home shard. The command waits for the answer, so its CDB and list stay.
    const scsi::NexusState nexus = static_cast<const ITNexusImpl&>(c.nexus()).state();
    Backstore& store = c.unit_->unit().store();
    change_state(
        c, [&c, &store, nexus](LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
            auto pages = scsi::mode_select(request_of(c, &state, nexus), c.data_out);
            if (!pages)
                return std::unexpected(Refusal{scsi::Status::check_condition, pages.error()});
            StateEffects effects;
            effects.changed = !(*pages == state.mode_pages);
            if (!effects.changed)
                return effects;
            if (pages->write_cache_enabled != state.mode_pages.write_cache_enabled &&
                !store.set_volatile_cache(pages->write_cache_enabled))
                return std::unexpected(Refusal{scsi::Status::check_condition,
                                               scsi::make_sense(sense::internal_target_failure)});
            state.mode_pages = *pages;
            effects.attention = scsi::UnitAttention::mode_parameters_changed;
            effects.except = nexus.id;
            return effects;
        });
    return Step::waiting;
}

// START = 0 first makes the cache durable, unless NO_FLUSH (SBC-4 5.31).
Step DeviceServer::execute_start_stop(Command& c) {
    const scsi::StartStopFields fields = scsi::decode_start_stop(c.cdb);
    if (fields.start || fields.no_flush || !c.unit_->state().medium_present)
        return start_or_stop(c);
    ask_store(c, StoreOpcode::flush, 0, 0, {});
    return Step::submit;
}

Step DeviceServer::start_or_stop(Command& c) {
    const bool stop = !scsi::decode_start_stop(c.cdb).start;
    change_state(c, [stop](LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
        StateEffects effects;
        effects.changed = state.stopped != stop;
        state.stopped = stop;
        return effects;
    });
    return Step::waiting;
}

// SPC-2 7.21 and 7.22: the home shard decides between two that ask at the same time.
Step DeviceServer::execute_reserve(Command& c) {
    const scsi::NexusId id = c.nexus_->id();
    change_state(c, [id](LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
        scsi::NexusId& holder = state.reservations.reserved_by;
        if (holder != 0 && holder != id)
            return std::unexpected(Refusal{scsi::Status::reservation_conflict, {}});
        StateEffects effects;
        effects.changed = std::exchange(holder, id) != id;
        return effects;
    });
    return Step::waiting;
}

// SPC-2 7.19: from a nexus that does not hold the reservation it does nothing.
Step DeviceServer::execute_release(Command& c) {
    const scsi::NexusId id = c.nexus_->id();
    change_state(c, [id](LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
        StateEffects effects;
        effects.changed = state.reservations.reserved_by == id;
        if (effects.changed)
            state.reservations.reserved_by = 0;
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
