#include "target/device_server.h"

#include <algorithm>
#include <bit>

#include "base/limits.h"
#include "scsi/range.h"
#include "target/aca.h"
#include "target/unit_settings.h"

namespace olio::target {

using scsi::DataDirection;
using scsi::LogicalUnitState;
using scsi::MediumAccess;
using scsi::SenseData;
using scsi::Status;
namespace sense = scsi::sense;

void Command::Waiter::buffer_available(reactor::Buffer buffer) noexcept {
    DeviceServer::buffer_available(command, std::move(buffer));
}

void Command::Continuation::run() noexcept {
    DeviceServer::resume_later(command);
}

void Command::store_completed(StoreIo&) noexcept {
    DeviceServer::store_completed(*this);
}

namespace {

[[nodiscard]] const ITNexusImpl& impl(const Command& command) noexcept {
    return static_cast<const ITNexusImpl&>(command.nexus());
}

// More commands than a nexus may have, and those whose answers are still under way.
constexpr std::size_t task_set_full_commands = 2 * std::size_t{limits::commands_per_nexus};

}  // namespace

// --- Arrival ---

// Nothing of an earlier use is left; the command is one of its logical unit's.
void DeviceServer::begin(Command& command, ITLNexus* itl) noexcept {
    command.row_ = nullptr;
    command.place_ = Command::Place::outside;
    command.access_ = MediumAccess::none;
    command.phase_ = 0;
    command.fua_ = false;
    command.data_received_ = false;
    command.watched_ = false;
    command.delayed_ = false;
    command.transfer_bytes_ = 0;
    command.lacking_bytes_ = 0;
    command.buffer_bytes_ = 0;
    command.first_block_ = 0;
    command.end_block_ = 0;
    command.done_blocks_ = 0;
    command.cursor_ = 0;
    command.items_ = 0;
    command.data_out = {};
    command.status = Status::good;
    command.residual_bytes = 0;
    command.sense_bytes_ = 0;
    command.data_in_count_ = 0;

    command.itl_ = itl;
    command.unit_ = nullptr;
    if (itl != nullptr) [[likely]] {
        LogicalUnitView& view = itl->view();
        command.unit_ = &view;
        ++itl->commands;
        ++view.traffic.in_flight;
        view.add(command);
    }
}

void DeviceServer::submit(ITNexusImpl& nexus, Command& command) noexcept {
    const bool repeated = nexus.find_tag(command.tag) != nullptr;
    ITLNexus* const itl = nexus.find(command.lun);
    command.services_ = &nexus.services();
    command.of_copy_manager_ = false;
    begin(command, itl);
    nexus.enlist_tag(command);
    if (nexus.closing()) [[unlikely]] {
        command.stage_ = CommandStage::discarding;
        command.services_->discard(command);
        return;
    }
    if (repeated && overlapped(command)) [[unlikely]]
        return;
    if (nexus.commands() > task_set_full_commands) [[unlikely]] {
        refuse_with_status(command, Status::task_set_full);
        return;
    }
    const bool aca = command.attribute == scsi::TaskAttribute::aca || (itl != nullptr && itl->aca);
    if (aca && !Aca::admit(command)) [[unlikely]]
        return;
    if (!admit(command))
        return;
    if (itl != nullptr) [[likely]]
        itl->tasks.enter(command);
    advance(command);
}

void DeviceServer::submit_within(ITLNexus& itl, Command& command, TransportServices& services,
                                 reactor::Buffer& spare) noexcept {
    command.nexus_ = &itl.nexus();
    command.services_ = &services;
    command.of_copy_manager_ = true;
    begin(command, &itl);
    if (!admit(command))
        return;
    if (spare && spare.capacity() >= std::max(command.buffer_bytes_, command.transfer_bytes_))
        command.buffer_ = std::move(spare);
    advance(command);
}

void DeviceServer::submit_side(ITLNexus& itl, Command& command, TransportServices& services,
                               const Handler& handler) noexcept {
    command.nexus_ = &itl.nexus();
    command.services_ = &services;
    command.of_copy_manager_ = true;
    begin(command, &itl);
    if (!admit(command))
        return;
    command.handler_ = &handler;
    command.transfer_bytes_ = 0;
    advance(command);
}

// SAM-5 5.11: a tag that is in use aborts every command of the nexus in that task set.
bool DeviceServer::overlapped(Command& command) noexcept {
    ITNexusImpl& nexus = static_cast<ITNexusImpl&>(*command.nexus_);
    command.stage_ = CommandStage::completing;  // not itself
    Marked marked;
    for (Command& other : nexus.all_commands())
        if (other.itl_ == command.itl_)
            mark(marked, other, AbortMode::silent, nullptr, false);
    abort_marked(marked);
    refuse(command, scsi::make_sense(sense::overlapped_commands_attempted));
    return true;
}

bool DeviceServer::admit(Command& command) noexcept {
    const auto found = scsi::find_row(command.cdb);
    // 1. The LUN. Without a logical unit only those work that ask what there is (SPC-5 6.6.1).
    if (command.unit_ == nullptr &&
        (!found || (*found)->unit_attention == scsi::UnitAttentionPolicy::report)) {
        refuse(command, scsi::make_sense(sense::logical_unit_not_supported));
        return false;
    }
    // 2. The command row, and whether this logical unit has the command.
    if (!found) [[unlikely]] {
        refuse(command, found.error());
        return false;
    }
    const scsi::CommandRow& row = **found;
    command.row_ = &row;
    // 3. The CDB usage mask.
    scsi::Operation operation = row.operation;
    if (const auto usage = scsi::check_usage(row, command.cdb); !usage) [[unlikely]] {
        // A unit with protection information has bits in use that the others have not.
        const auto allowed =
            command.unit_ == nullptr
                ? usage
                : scsi::check_usage_with_protection(row, command.cdb, command.unit_->state());
        if (!allowed) {
            refuse(command, allowed.error());
            return false;
        }
        operation = scsi::protected_form(operation);
    }
    command.decoded_ = scsi::decode(row, command.cdb);
    command.handler_ = &handler_of(operation);
    if (command.unit_ != nullptr && !check_unit(command, *command.unit_))
        return false;
    return command.handler_->prepare(command) && check_lengths(command);
}

bool DeviceServer::check_unit(Command& command, LogicalUnitView& view) noexcept {
    const scsi::CommandRow& row = *command.row_;
    const LogicalUnitState& state = view.state();
    ++view.counters[scsi::row_index(row)].commands;
    if (row.requirement != scsi::Requirement::none) {
        if (const auto supported = scsi::check_supported(row, state); !supported) {
            refuse(command, supported.error());
            return false;
        }
    }
    // 4. Unit attention.
    if (row.unit_attention == scsi::UnitAttentionPolicy::report &&
        !command.itl_->attentions.empty() && !command.of_copy_manager_) [[unlikely]] {
        UnitAttentionQueue& pending = command.itl_->attentions;
        const bool interlock = state.mode_pages.unit_attention_interlock != 0;
        refuse(command, scsi::sense_of(interlock ? *pending.first() : *pending.take()));
        return false;
    }
    // 5. Access state.
    if (state.access.restricted) [[unlikely]] {
        const std::uint16_t port = impl(command).port().description.relative_port;
        if (const auto passes = scsi::check_access(row, command.decoded_, state.access, port);
            !passes) {
            refuse(command, passes.error());
            return false;
        }
    }
    // 6. Write protection.
    if (row.medium == MediumAccess::writes) {
        if (state.write_protected || command.itl_->write_protected) [[unlikely]] {
            refuse(command, scsi::make_sense(sense::write_protected));
            return false;
        }
        if (state.mode_pages.software_write_protect) [[unlikely]] {
            refuse(command, scsi::make_sense(sense::logical_unit_software_write_protected));
            return false;
        }
    }
    // 7. Reservation.
    if (state.reservations.in_force()) [[unlikely]] {
        if (!check_reservation(command))
            return false;
    }
    // 8. What the logical unit works at, medium and capacity.
    if (!state.background.quiet()) [[unlikely]] {
        if (const auto busy = scsi::check_background(row, state.background)) {
            refuse(command, *busy);
            return false;
        }
    }
    if (row.medium == MediumAccess::none && row.operation != scsi::Operation::test_unit_ready)
        return true;
    return check_medium(command, view);
}

// SPC-5 5.14: a command that needs the medium ends an idle or standby condition; a stopped logical
// unit waits for START STOP UNIT.
bool DeviceServer::wake(Command& command, const LogicalUnitState& state) noexcept {
    if (state.power == scsi::PowerCondition::stopped) {
        refuse(command, scsi::make_sense(sense::initializing_command_required));
        return false;
    }
    if (command.row_->medium == MediumAccess::none)
        return true;
    command.unit_->unit().change_state(
        [](LogicalUnitState& next) -> std::expected<StateEffects, Refusal> {
            StateEffects effects;
            effects.changed = next.power != scsi::PowerCondition::stopped &&
                              scsi::enter_power_condition(next, scsi::PowerCondition::active);
            return effects;
        },
        [](const std::expected<void, Refusal>&) {});
    return true;
}

bool DeviceServer::check_medium(Command& command, const LogicalUnitView& view) noexcept {
    const scsi::CommandRow& row = *command.row_;
    const LogicalUnitState& state = view.state();
    if (!state.medium_present) [[unlikely]] {
        refuse(command, scsi::make_sense(sense::medium_not_present));
        return false;
    }
    if (state.power != scsi::PowerCondition::active && !wake(command, state)) [[unlikely]]
        return false;
    if (row.lba.bytes == 0)
        return true;
    // A command without a length, GET LBA STATUS, needs the block that it names.
    const std::uint64_t blocks = row.transfer_blocks.bytes == 0 ? 1 : command.decoded_.blocks;
    if (const auto range = scsi::check_range(state, command.decoded_.lba, blocks); !range)
        [[unlikely]] {
        refuse(command, range.error());
        return false;
    }
    // READ and WRITE, which are mostly far below their limit, need no Request made for them.
    if (row.limit == scsi::LengthLimit::transfer && blocks <= state.maximum_transfer_blocks)
        [[likely]]
        return true;
    const scsi::NexusState nexus = impl(command).state();
    if (const auto length = scsi::check_length(request_of(command, &state, nexus)); !length) {
        refuse(command, length.error());
        return false;
    }
    return true;
}

// What the host said that it moves, against what the CDB moves. They may differ, and the residual
// tells (RFC 7143 11.4.5.1). Data-in is cut to what the host takes, which is nothing if it only
// sends. Of data-out, what the CDB does not ask for is left behind, and a WRITE writes the whole
// blocks that are there. Other commands cannot do with less, and those that compare or repeat their
// data do not take more either: 256 blocks of COMPARE AND WRITE are 0 in its CDB, and GOOD to that
// would say that they have been compared.
bool DeviceServer::check_lengths(Command& command) noexcept {
    const std::uint64_t bytes = command.transfer_bytes_;
    const scsi::Operation operation = command.handler_->operation;
    const bool too_much = command.expected_data_out_bytes > bytes;
    if ((too_much && (operation == scsi::Operation::compare_and_write ||
                      operation == scsi::Operation::protected_compare_and_write)) ||
        bytes > impl(command).port().maximum_data_bytes) [[unlikely]] {
        refuse(command, scsi::invalid_field_in_cdb(command.row_->transfer_blocks.byte));
        return false;
    }
    if (command.row_->direction != DataDirection::out ||
        (too_much && operation != scsi::Operation::write_same &&
         operation != scsi::Operation::protected_write_same) ||
        command.expected_data_out_bytes == bytes) [[likely]]
        return true;
    if (!too_much && take_fewer_blocks(command))
        return true;
    SenseData data =
        scsi::illegal_request(sense::invalid_field_in_command_information_unit.additional);
    command.residual_bytes = static_cast<std::int64_t>(command.expected_data_out_bytes) -
                             static_cast<std::int64_t>(bytes);
    encode(command, Status::check_condition, data);
    respond(command);
    return false;
}

// Makes a WRITE end with the last whole block that the host sends. False: it is no WRITE, a block
// would be torn, or the host sends nothing because it takes the command for a read.
bool DeviceServer::take_fewer_blocks(Command& command) noexcept {
    const scsi::Operation operation = command.handler_->operation;
    if (operation != scsi::Operation::write && operation != scsi::Operation::write_and_verify)
        return false;
    const std::uint32_t expected = command.expected_data_out_bytes;
    const std::uint32_t block_bytes = command.unit_->block_bytes();
    if (expected % block_bytes != 0 || command.expected_data_in_bytes != 0)
        return false;
    command.lacking_bytes_ = command.transfer_bytes_ - expected;
    command.transfer_bytes_ = expected;
    command.buffer_bytes_ -= std::min(command.buffer_bytes_, command.lacking_bytes_);
    command.decoded_.blocks = expected / block_bytes;
    command.end_block_ = command.first_block_ + command.decoded_.blocks;
    return true;
}

// --- Data-out, order, fences ---

void DeviceServer::advance(Command& command) noexcept {
    if (command.transfer_bytes_ == 0 || command.row_->direction != DataDirection::out ||
        command.data_received_) {
        proceed(command);
        return;
    }
    if (command.place_ == Command::Place::dormant) {
        const reactor::BufferPool& pool = impl(command).shard().buffers();
        // One that waits for its turn holds no memory that an older one may need; data that come
        // unasked must be taken at once, so they get at most half of it.
        if (!command.unsolicited_data) {
            command.stage_ = CommandStage::dormant;
            return;
        }
        if (pool.bytes_in_use() > pool.limit_bytes() / 2) {
            refuse_with_status(command, Status::busy);
            return;
        }
    }
    start_data_out(command);
}

void DeviceServer::start_data_out(Command& command) noexcept {
    if (!command.buffer_) {
        const std::size_t bytes = std::max(command.buffer_bytes_, command.transfer_bytes_);
        if (!obtain_buffer(command, bytes))
            return;
    }
    command.stage_ = CommandStage::awaiting_data_out;
    command.data_out = command.buffer_.bytes(command.transfer_bytes_);
    command.services_->receive_data_out(command);
}

// False: the command waits for memory, or has been answered.
bool DeviceServer::obtain_buffer(Command& command, std::size_t bytes) noexcept {
    if (command.buffer_)
        return true;
    reactor::BufferPool& pool = impl(command).shard().buffers();
    const std::size_t rounded = std::bit_ceil(std::max(bytes, reactor::BufferPool::smallest_bytes));
    if (rounded > reactor::BufferPool::largest_bytes || rounded > pool.limit_bytes()) [[unlikely]] {
        refuse(command, scsi::make_sense(sense::insufficient_resources));
        return false;
    }
    command.buffer_ = pool.acquire(bytes);
    if (command.buffer_) [[likely]]
        return true;
    if (command.unsolicited_data && !command.data_received_ && command.transfer_bytes_ != 0) {
        refuse_with_status(command, Status::busy);
        return false;
    }
    command.stage_ = CommandStage::awaiting_buffer;
    pool.wait(command.waiter_, bytes);
    return false;
}

void DeviceServer::buffer_available(Command& command, reactor::Buffer buffer) noexcept {
    command.buffer_ = std::move(buffer);
    advance(command);
}

void DeviceServer::data_out_received(Command& command) noexcept {
    OLIO_ASSERT(command.stage_ == CommandStage::awaiting_data_out,
                "data-out comes after receive_data_out");
    command.data_received_ = true;
    if (command.handler_->parse != nullptr && !command.handler_->parse(command))
        return;
    proceed(command);
}

void DeviceServer::data_out_failed(Command& command, scsi::AdditionalSense additional) noexcept {
    OLIO_ASSERT(command.stage_ == CommandStage::awaiting_data_out,
                "data-out comes after receive_data_out");
    refuse(command, scsi::make_sense({scsi::SenseKey::aborted_command, additional}));
}

void DeviceServer::transfer_terminated(Command& command) noexcept {
    OLIO_ASSERT(command.stage_ == CommandStage::terminating,
                "a transfer ends after terminate_transfer");
    end_aborted(command);
}

void DeviceServer::proceed(Command& command) noexcept {
    if (command.place_ == Command::Place::dormant) [[unlikely]] {
        command.stage_ = CommandStage::dormant;
        return;
    }
    if (command.access_ != MediumAccess::none) [[likely]] {
        // The medium may have shrunk while the command waited.
        if (command.end_block_ > command.unit_->state().geometry.blocks) [[unlikely]] {
            refuse(command, scsi::make_sense(sense::logical_block_address_out_of_range));
            return;
        }
        if (command.unit_->must_wait(command)) [[unlikely]] {
            // Whoever formats has put the fence up: what was admitted before ends here.
            if (const auto busy =
                    scsi::check_background(*command.row_, command.unit_->state().background)) {
                refuse(command, *busy);
                return;
            }
            command.stage_ = CommandStage::fenced;
            command.unit_->wait(command);
            return;
        }
    }
    command.stage_ = CommandStage::executing;
    drive(command, command.handler_->execute(command));
}

// --- The store ---

void DeviceServer::drive(Command& command, Step step) noexcept {
    for (unsigned inside = 0; step == Step::submit; ++inside) {
        if (inside == inside_completions) {
            impl(command).shard().defer(command.continuation_);
            return;
        }
        command.completed_inside_ = false;
        command.submitting_ = true;
        command.store_active_ = true;
        command.unit_->channel().submit(command.io_);
        command.submitting_ = false;
        if (!command.completed_inside_)
            return;
        step = after_store(command);
    }
}

void DeviceServer::store_completed(Command& command) noexcept {
    command.store_active_ = false;
    if (command.submitting_) {
        command.completed_inside_ = true;
        return;
    }
    drive(command, after_store(command));
}

Step DeviceServer::after_store(Command& command) noexcept {
    if (command.abort_) [[unlikely]] {
        end_aborted(command);
        return Step::waiting;
    }
    if (command.io_.status != StoreStatus::good) [[unlikely]] {
        store_failed(command);
        return Step::waiting;
    }
    return command.handler_->resume(command);
}

void DeviceServer::resume_later(Command& command) noexcept {
    if (command.abort_)
        end_aborted(command);
    else
        drive(command, Step::submit);
}

// For the error counter log pages.
void DeviceServer::count_failure(Command& command) noexcept {
    LogicalUnitView::Traffic& traffic = command.unit_->traffic;
    if (command.io_.status != StoreStatus::medium_error)
        ++traffic.non_medium_errors;
    else if (command.row_->operation == scsi::Operation::verify)
        ++traffic.verify_errors;
    else if (command.row_->medium == MediumAccess::writes)
        ++traffic.write_errors;
    else
        ++traffic.read_errors;
}

void DeviceServer::store_failed(Command& command) noexcept {
    const StoreIo& io = command.io_;
    const bool read = io.opcode == StoreOpcode::read || io.opcode == StoreOpcode::prefetch ||
                      io.opcode == StoreOpcode::extent_status;
    SenseData data = scsi::make_sense(sense::internal_target_failure);
    if (io.opcode == StoreOpcode::copy) {  // the same range is read and written instead
        refuse(command, data);
        return;
    }
    count_failure(command);
    switch (io.status) {
        case StoreStatus::medium_error:
            data = scsi::make_sense_at(read ? sense::unrecovered_read_error : sense::write_error,
                                       io.error_lba);
            break;
        case StoreStatus::no_space:
            data = scsi::make_sense(sense::space_allocation_failed);
            break;
        case StoreStatus::write_protected:
            data = scsi::make_sense(sense::write_protected);
            break;
        case StoreStatus::not_ready:
            data = scsi::make_sense(sense::medium_not_present);
            // Until a rescan finds it again, commands fail without asking the store.
            command.unit_->unit().change_state(
                [](LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
                    StateEffects effects;
                    effects.changed = std::exchange(state.medium_present, false);
                    return effects;
                },
                [](const std::expected<void, Refusal>&) {});
            break;
        case StoreStatus::guard_check_failed:
            data = scsi::protection_sense(scsi::ProtectionTag::guard, io.error_lba);
            break;
        case StoreStatus::application_tag_check_failed:
            data = scsi::protection_sense(scsi::ProtectionTag::application, io.error_lba);
            break;
        case StoreStatus::reference_tag_check_failed:
            data = scsi::protection_sense(scsi::ProtectionTag::reference, io.error_lba);
            break;
        case StoreStatus::good:
        case StoreStatus::canceled:
        case StoreStatus::internal_error:
            break;
    }
    refuse(command, data);
}

void DeviceServer::ask_store(Command& command, StoreOpcode opcode, std::uint64_t lba,
                             std::uint64_t blocks, MutableBytes data) noexcept {
    StoreIo& io = command.io_;
    io.opcode = opcode;
    io.fua = false;
    io.may_unmap = false;
    io.anchor = false;
    io.may_borrow = false;
    io.priority = command.priority != 0 ? command.priority : command.itl_->priority;
    io.lba = lba;
    io.blocks = blocks;
    io.data = data;
    io.protection = {};
    io.completion = &command;
    io.status = StoreStatus::good;
    io.borrowed_count = 0;
    io.progress = 0;
    io.phase = 0;
    command.step_blocks_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(blocks, ~0u));
}

std::uint32_t DeviceServer::maximum_step_blocks(const Command& command) noexcept {
    const std::uint32_t bytes = command.unit_->capabilities().maximum_io_bytes;
    if (bytes == 0) [[likely]]
        return ~0u;
    return std::max(bytes / command.unit_->block_bytes(), 1u);
}

bool DeviceServer::write_must_be_durable(const Command& command) noexcept {
    const LogicalUnitView& view = *command.unit_;
    return command.fua_ ||
           (view.capabilities().volatile_cache && !view.state().mode_pages.write_cache_enabled);
}

void DeviceServer::change_state(Command& command, LogicalUnitImpl::Change change) {
    command.unit_->unit().change_state(std::move(change), answer_from_home(command));
}

LogicalUnitImpl::Changed DeviceServer::answer_from_home(Command& command) {
    command.home_active_ = true;
    return [&command](const std::expected<void, Refusal>& changed) {
        command.home_active_ = false;
        if (command.abort_)
            end_aborted(command);
        else if (changed)
            succeed(command);
        else
            refuse(command, changed.error());
    };
}

void DeviceServer::change_settings(Command& command, LogicalUnitImpl::Change change) {
    command.unit_->unit().settings().change(std::move(change), answer_from_home(command));
}

scsi::Request DeviceServer::request_of(const Command& command, const LogicalUnitState* state,
                                       const scsi::NexusState& nexus) noexcept {
    return {*command.row_, command.cdb, command.decoded_, state, nexus};
}

// --- Answers ---

// Neither the store nor the home shard works for it any more.
void DeviceServer::leave_medium(Command& command) noexcept {
    LogicalUnitView* const view = command.unit_;
    if (view == nullptr)
        return;
    if (command.fence_ != 0) [[unlikely]]
        view->unit().lower_fence(std::exchange(command.fence_, 0));
    view->command_left();
}

void DeviceServer::respond(Command& command) noexcept {
    if (command.watched_ && Aca::keeps_back(command)) [[unlikely]]
        return;
    send_answer(command);
}

void DeviceServer::send_answer(Command& command) noexcept {
    command.stage_ = CommandStage::completing;
    if (command.status != Status::good && command.status != Status::condition_met) [[unlikely]]
        Aca::unsuccessful(command);
    leave_medium(command);
    command.services_->complete(command);
}

void DeviceServer::encode(Command& command, Status status, const SenseData& data) noexcept {
    command.status = status;
    command.data_in_count_ = 0;
    const bool descriptor =
        command.unit_ != nullptr && command.unit_->state().mode_pages.descriptor_sense;
    if (status == Status::check_condition)
        command.sense_bytes_ = data.encode(
            descriptor ? scsi::SenseFormat::descriptor : scsi::SenseFormat::fixed, command.sense_);
}

// What was expected and not moved. Data-out has been moved when it has been received.
void DeviceServer::set_residual(Command& command, std::uint64_t moved) noexcept {
    command.residual_bytes =
        static_cast<std::int64_t>(std::uint64_t{command.expected_data_in_bytes} +
                                  command.expected_data_out_bytes) -
        static_cast<std::int64_t>(moved + command.lacking_bytes_);
}

Step DeviceServer::succeed(Command& command) noexcept {
    set_residual(command, command.data_received_ ? command.transfer_bytes_ : 0);
    respond(command);
    return Step::waiting;
}

Step DeviceServer::succeed_with_data(Command& command, std::uint64_t available_bytes) noexcept {
    set_residual(command, available_bytes);
    if (command.expected_data_in_bytes == 0)  // what it sends is no room for what it reads
        command.residual_bytes -=
            std::min<std::uint64_t>(command.expected_data_out_bytes, available_bytes);
    std::uint64_t room = std::min<std::uint64_t>(available_bytes, command.expected_data_in_bytes);
    std::size_t pieces = 0;
    while (pieces < command.data_in_count_ && room != 0) {
        iovec& piece = command.data_in_[pieces++];
        piece.iov_len = static_cast<std::size_t>(std::min<std::uint64_t>(piece.iov_len, room));
        room -= piece.iov_len;
    }
    command.data_in_count_ = pieces;
    respond(command);
    return Step::waiting;
}

Step DeviceServer::refuse(Command& command, const SenseData& data) noexcept {
    encode(command, Status::check_condition, data);
    set_residual(command, command.data_received_ ? command.transfer_bytes_ : 0);
    respond(command);
    return Step::waiting;
}

Step DeviceServer::refuse(Command& command, const Refusal& refusal) noexcept {
    if (refusal.status == Status::check_condition)
        return refuse(command, refusal.sense);
    return refuse_with_status(command, refusal.status);
}

// UA_INTLCK_CTRL = 11b (SPC-5 7.5.10): the host is told again, when it next asks.
void DeviceServer::remember_refusal(Command& command, Status status) noexcept {
    if (command.unit_ == nullptr || command.unit_->state().mode_pages.unit_attention_interlock != 3)
        return;
    if (status == Status::busy)
        command.itl_->attentions.establish(scsi::UnitAttention::previous_busy_status);
    else if (status == Status::task_set_full)
        command.itl_->attentions.establish(scsi::UnitAttention::previous_task_set_full_status);
    else if (status == Status::reservation_conflict)
        command.itl_->attentions.establish(
            scsi::UnitAttention::previous_reservation_conflict_status);
}

Step DeviceServer::refuse_with_status(Command& command, Status status) noexcept {
    remember_refusal(command, status);
    encode(command, status, {});
    set_residual(command, command.data_received_ ? command.transfer_bytes_ : 0);
    respond(command);
    return Step::waiting;
}

}  // namespace olio::target
