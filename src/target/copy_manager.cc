#include "target/copy_manager.h"

#include <algorithm>
#include <cstring>

#include "base/limits.h"
#include "scsi/sense_codes.h"
#include "target/handlers_copy.h"
#include "target/it_nexus_impl.h"

namespace olio::target {

using scsi::CopyStatus;
using scsi::SenseData;
using scsi::Status;
namespace sense = scsi::sense;

namespace {

constexpr std::uint8_t test_unit_ready_opcode = 0x00;
constexpr std::uint8_t read_16_opcode = 0x88;
constexpr std::uint8_t compare_and_write_opcode = 0x89;
constexpr std::uint8_t write_16_opcode = 0x8A;
constexpr std::uint8_t write_same_16_opcode = 0x93;
constexpr unsigned most_retries = 16;  // of a part of a block that somebody else writes too

}  // namespace

// A command of the copy manager's own.
class CopyOperation::Carrier final : public Command {
  public:
    std::array<std::uint8_t, 16> storage{};
};

// What the command that is answered in the end has of its copy.
struct CopyOperation::Link final : CommandExtension {
    explicit Link(CopyOperation& owner) : operation(owner) {}
    [[nodiscard]] Command* at_work() noexcept override { return operation.at_work(); }
    CopyOperation& operation;
};

// --- The manager ---

CopyManager::CopyManager(ITNexusImpl& nexus) : nexus_(nexus) {}

CopyManager::~CopyManager() {
    OLIO_ASSERT(operations_.empty(), "a nexus is destroyed while it copies");
}

void CopyManager::forget_old() {
    const reactor::Nanoseconds keep = limits::copy_result_seconds * reactor::nanoseconds_per_second;
    const reactor::Nanoseconds now = nexus_.shard().now();
    std::erase_if(records_, [keep, now](const auto& record) {
        return !scsi::in_progress(record->result.status) && record->ended_at + keep < now;
    });
    if (records_.size() < limits::copy_results_per_nexus)
        return;
    const auto oldest = std::ranges::find_if(
        records_, [](const auto& record) { return !scsi::in_progress(record->result.status); });
    if (oldest != records_.end())
        records_.erase(oldest);
}

std::expected<std::shared_ptr<CopyRecord>, Refusal> CopyManager::enter(
    const Command& command, std::optional<std::uint32_t> list_id) {
    if (list_id) {
        const auto earlier = find(command, *list_id);
        if (earlier != nullptr && scsi::in_progress(earlier->result.status))
            return std::unexpected(
                Refusal{Status::check_condition, scsi::make_sense(sense::operation_in_progress)});
        std::erase(records_, earlier);
    }
    if (operations_.size() >= limits::copies_per_nexus)
        return std::unexpected(Refusal{Status::busy, {}});
    forget_old();
    auto record = std::make_shared<CopyRecord>();
    record->unit = command.unit_->unit().weak_from_this();
    record->list_id = list_id;
    record->result.service_action = static_cast<std::uint8_t>(scsi::service_action_of(command.cdb));
    if (list_id)
        records_.push_back(record);
    return record;
}

void CopyManager::begin(Command& command, CopyJob job) {
    nexus_.enter();
    operations_.push_back(std::make_unique<CopyOperation>(*this, std::move(job)));
    operations_.back()->start(command);
}

std::shared_ptr<CopyRecord> CopyManager::find(const Command& command, std::uint32_t list_id) {
    forget_old();
    const LogicalUnitImpl& unit = command.unit_->unit();
    for (const auto& record : records_)
        if (record->list_id == list_id && record->unit.lock().get() == &unit)
            return record;
    return nullptr;
}

CopyOperation* CopyManager::find_operation(const CopyRecord& record) noexcept {
    for (const auto& operation : operations_)
        if (operation->record().get() == &record)
            return operation.get();
    return nullptr;
}

void CopyManager::mark_background(DeviceServer::Marked& marked, const Ticket& ticket) {
    for (const auto& operation : operations_)
        if (Command* const stand_in = operation->stand_in())
            DeviceServer::mark(marked, *stand_in, AbortMode::silent, ticket, true);
}

std::shared_ptr<LogicalUnitImpl> CopyManager::find_unit(
    const scsi::CscdDescriptor& descriptor) const {
    for (const auto& itl : nexus_.itls())
        if (scsi::names(descriptor, itl->view().state().identification))
            return itl->view().unit().shared_from_this();
    return nullptr;
}

bool CopyManager::reaches(const LogicalUnitImpl& unit) const noexcept {
    return std::ranges::any_of(nexus_.itls(),
                               [&](const auto& itl) { return &itl->view().unit() == &unit; });
}

// The operation may be at work further up the stack.
void CopyManager::ended(CopyOperation& operation) {
    const auto at = std::ranges::find_if(
        operations_, [&](const auto& candidate) { return candidate.get() == &operation; });
    std::unique_ptr<CopyOperation> owned = std::move(*at);
    operations_.erase(at);
    nexus_.shard().post([owned = std::move(owned), &nexus = nexus_]() mutable {
        owned.reset();
        nexus.leave();
    });
}

// --- An operation ---

bool StoreCopyPlace::enter() noexcept {
    OLIO_ASSERT(!entered_, "a copy takes one place");
    entered_ = taken_.fetch_add(1) < limits::store_copies;
    if (!entered_)
        taken_.fetch_sub(1);
    return entered_;
}

void StoreCopyPlace::leave() noexcept {
    if (std::exchange(entered_, false))
        taken_.fetch_sub(1);
}

CopyOperation::CopyOperation(CopyManager& manager, CopyJob job)
    : manager_(manager),
      job_(std::move(job)),
      inner_(std::make_unique<Carrier>()),
      source_side_(std::make_unique<Carrier>()) {}

CopyOperation::~CopyOperation() = default;

void CopyOperation::start(Command& command) {
    outer_ = &command;
    job_.record->result.status = CopyStatus::in_foreground;
    if (job_.immediate) {
        job_.record->result.status = CopyStatus::in_background;
        stand_in_ = std::make_unique<Carrier>();
        Command& stand_in = *stand_in_;
        stand_in.lun = command.lun;
        stand_in.nexus_ = command.nexus_;
        stand_in.services_ = this;
        stand_in.of_copy_manager_ = true;
        DeviceServer::begin(stand_in, command.itl_);
        stand_in.row_ = command.row_;
        stand_in.handler_ = command.handler_;
        stand_in.stage_ = CommandStage::executing;
        outer_ = &stand_in;
    }
    outer_->extension_ = std::make_unique<Link>(*this);
    begin_move();
    go_on();
    if (job_.immediate)
        DeviceServer::succeed(command);
}

Command* CopyOperation::stand_in() noexcept {
    return stand_in_.get();
}

Command* CopyOperation::at_work() noexcept {
    if (inner_active_)
        return inner_.get();
    return source_active_ && !source_held_ ? source_side_.get() : nullptr;
}

void CopyOperation::cancel(Command& asking) {
    asking_.push_back(&asking);
    Command* const work = at_work();
    if (std::exchange(cancelled_, true) || work == nullptr)
        return;
    DeviceServer::Marked marked;
    DeviceServer::mark(marked, *work, AbortMode::silent, nullptr, true);
    DeviceServer::abort_marked(marked);
}

void CopyOperation::go_on() {
    manager_.nexus().shard().defer(*this);
}

// Nothing of its own is under way.
void CopyOperation::run() noexcept {
    store_place_.leave();
    if (outer_->abort_ != nullptr) {
        end_terminated();
    } else if (cancelled_) {
        const auto segment = static_cast<std::uint16_t>(std::min(move_, job_.moves.size()));
        fail(scsi::copy_aborted(sense::io_process_terminated, segment));
    } else {
        step();
    }
}

// After a command of its own, or at the beginning.
void CopyOperation::step() {
    const Work work = std::exchange(work_, Work::none);
    if (work == Work::copy && !good_ && (yielded_ || stores_failed_)) {
        // By READ and WRITE, which wait, and find out what is wrong with which side.
        try_stores_ = false;
        if (stores_failed_)
            store_chunk_bytes_ = 0;
        return next();
    }
    if (work != Work::none && !good_) {
        work_ = work;
        inner_failed();
        return;
    }
    switch (work) {
        case Work::none:
            return next();
        case Work::test:
            ++move_;
            begin_move();
            return go_on();
        case Work::read:
            // A write that this read has seen has made the token invalid before.
            if (job_.token != nullptr && job_.token->revoked())
                return fail(scsi::make_sense(sense::token_revoked));
            if (job_.moves[move_].hold)
                hold(source_data_);
            return chunk_.edge ? read_edge() : write_whole();
        case Work::read_edge:
            return write_edge();
        case Work::write:
        case Work::compare_and_write:
        case Work::zeros:
        case Work::hold:
            return chunk_done();
        case Work::copy:
            return copied_by_store();
    }
}

// --- Pieces ---

std::uint32_t CopyOperation::block_bytes(std::uint16_t device) const noexcept {
    return job_.units[device]->view(manager_.nexus().shard().index()).block_bytes();
}

// What is moved at a time is bounded by what either side takes in one command.
void CopyOperation::begin_move() {
    job_.record->result.segments_processed = static_cast<std::uint16_t>(move_);
    done_bytes_ = 0;
    retries_ = 0;
    try_stores_ = true;
    if (move_ == job_.moves.size())
        return;
    const scsi::CopyMove& move = job_.moves[move_];
    const unsigned shard = manager_.nexus().shard().index();
    std::uint64_t most = manager_.nexus().port().maximum_data_bytes;
    for (const std::uint16_t device : {move.source, move.destination}) {
        const scsi::LogicalUnitState& state = job_.units[device]->view(shard).state();
        if (state.maximum_transfer_blocks > 1)  // an unaligned source reads a block more
            most = std::min(most, std::uint64_t{state.maximum_transfer_blocks - 1} *
                                      state.geometry.block_bytes);
    }
    const auto by_store = std::min<std::uint64_t>(limits::copy_store_chunk_bytes, most);
    store_chunk_bytes_ = move.zeros || move.hold ? 0 : static_cast<std::uint32_t>(by_store);
    std::uint64_t bytes = std::min<std::uint64_t>(limits::copy_chunk_bytes, most);
    if (move.zeros) {  // they move no data
        const scsi::LogicalUnitState& state = job_.units[move.destination]->view(shard).state();
        const std::uint64_t blocks = state.provisioning.maximum_write_same_blocks;
        bytes = std::min<std::uint64_t>(limits::rod_token_optimal_bytes,
                                        blocks == 0 ? ~0ull : blocks * state.geometry.block_bytes);
    }
    chunk_bytes_ = static_cast<std::uint32_t>(std::max<std::uint64_t>(bytes, 4096));
    // As if all were read before anything is written.
    backward_ = job_.units[move.source] == job_.units[move.destination] &&
                move.destination_byte > move.source_byte &&
                move.destination_byte < move.source_byte + move.bytes;
}

// Whole blocks of the destination wherever possible. Backward, there is nothing to pad: the block
// lengths are the same.
CopyOperation::Chunk CopyOperation::chunk(std::uint32_t most_bytes) const {
    const scsi::CopyMove& move = job_.moves[move_];
    const std::uint64_t block = block_bytes(move.destination);
    const std::uint64_t left = move.bytes - done_bytes_;
    Chunk chunk;
    std::uint64_t offset = done_bytes_;
    std::uint64_t bytes = 0;
    if (backward_) {
        const std::uint64_t past = (move.destination_byte + left) % block;
        chunk.edge = past != 0 || left < block;
        bytes = past != 0      ? std::min(left, past)
                : left < block ? left
                               : std::min<std::uint64_t>(left, most_bytes) / block * block;
        offset = left - bytes;
    } else {
        const std::uint64_t past = (move.destination_byte + offset) % block;
        const std::uint64_t padded = left + move.pad_bytes;
        chunk.edge = past != 0 || padded < block;
        bytes = chunk.edge ? std::min(left, block - past)
                           : std::min<std::uint64_t>(padded, most_bytes) / block * block;
        if (bytes > left) {
            chunk.pad_bytes = static_cast<std::uint32_t>(bytes - left);
            bytes = left;
        }
    }
    chunk.bytes = static_cast<std::uint32_t>(bytes);
    chunk.source_byte = move.source_byte + offset;
    chunk.destination_byte = move.destination_byte + offset;
    return chunk;
}

void CopyOperation::next() {
    while (move_ < job_.moves.size()) {
        const scsi::CopyMove& move = job_.moves[move_];
        if (move.test_unit_ready) {
            inner_->storage.fill(0);
            inner_->cdb = Bytes(inner_->storage).first(6);
            inner_->storage[0] = test_unit_ready_opcode;
            return send(move.source, false, Work::test, 0, 0);
        }
        if (done_bytes_ < move.bytes) {
            if (try_stores_ && store_chunk_bytes_ != 0) {
                chunk_ = chunk(store_chunk_bytes_);
                if (stores_can_copy() && store_place_.enter())
                    return hold_source();
            }
            chunk_ = chunk(chunk_bytes_);
            return move.zeros ? write_zeros() : read_source();
        }
        ++move_;
        begin_move();
    }
    succeed();
}

void CopyOperation::chunk_done() {
    scsi::CopyResult& result = job_.record->result;
    done_bytes_ += chunk_.bytes;
    result.transferred_bytes += chunk_.bytes;
    ++result.operations;
    retries_ = 0;
    try_stores_ = true;
    next();
}

void CopyOperation::hold(Bytes data) {
    scsi::CopyResult& result = job_.record->result;
    if (result.held_discarded)
        return;
    if (data.size() > limits::copy_held_bytes - result.held.size()) {
        result.held_discarded = true;
        result.held = {};
        return;
    }
    result.held.insert(result.held.end(), data.begin(), data.end());
}

// --- Commands of its own ---

void CopyOperation::put_transfer_cdb(Carrier& carrier, std::uint8_t opcode, std::uint64_t lba,
                                     std::uint32_t blocks) {
    auto& cdb = carrier.storage;
    cdb.fill(0);
    cdb[0] = opcode;
    store_be(cdb.data() + 2, lba);
    store_be(cdb.data() + 10, blocks);
    carrier.cdb = cdb;
}

void CopyOperation::read_source() {
    const std::uint16_t device = job_.moves[move_].source;
    const std::uint64_t block = block_bytes(device);
    const std::uint64_t first = chunk_.source_byte / block;
    const std::uint64_t end = (chunk_.source_byte + chunk_.bytes + block - 1) / block;
    const auto blocks = static_cast<std::uint32_t>(end - first);
    put_transfer_cdb(*inner_, read_16_opcode, first, blocks);
    send(device, false, Work::read, static_cast<std::uint32_t>(blocks * block), 0);
}

void CopyOperation::write_whole() {
    const std::uint16_t device = job_.moves[move_].destination;
    const std::uint32_t block = block_bytes(device);
    const std::uint32_t bytes = chunk_.bytes + chunk_.pad_bytes;
    put_transfer_cdb(*inner_, write_16_opcode, chunk_.destination_byte / block, bytes / block);
    send(device, true, Work::write, 0, bytes);
}

// WRITE SAME without data-out.
void CopyOperation::write_zeros() {
    const std::uint16_t device = job_.moves[move_].destination;
    const std::uint32_t block = block_bytes(device);
    put_transfer_cdb(*inner_, write_same_16_opcode, chunk_.destination_byte / block,
                     chunk_.bytes / block);
    inner_->storage[1] = 0x01;  // NDOB
    send(device, true, Work::zeros, 0, 0);
}

// A part of a block: read, and written back only if nobody has written it meanwhile.
void CopyOperation::read_edge() {
    const std::uint16_t device = job_.moves[move_].destination;
    const std::uint32_t block = block_bytes(device);
    put_transfer_cdb(*inner_, read_16_opcode, chunk_.destination_byte / block, 1);
    send(device, true, Work::read_edge, block, 0);
}

void CopyOperation::write_edge() {
    const std::uint16_t device = job_.moves[move_].destination;
    const std::uint32_t block = block_bytes(device);
    put_transfer_cdb(*inner_, compare_and_write_opcode, chunk_.destination_byte / block, 1);
    send(device, true, Work::compare_and_write, 0, 2 * block);
}

// --- Copies by the stores ---

namespace {

// Whoever was promised the space of the whole disk must not lose it to a copy.
bool keeps_its_space(const ITLNexus& itl) noexcept {
    return itl.view().state().provisioning.unmap || !itl.view().capabilities().copies_share_blocks;
}

}  // namespace

// Whole blocks of both sides, of stores that are of a kind, and nothing of it onto itself.
bool CopyOperation::stores_can_copy() const noexcept {
    const scsi::CopyMove& move = job_.moves[move_];
    const ITLNexus* const source = reach(move.source, false);
    const ITLNexus* const destination = reach(move.destination, true);
    if (chunk_.edge || chunk_.pad_bytes != 0 || source == nullptr || destination == nullptr)
        return false;
    const std::uint64_t block = block_bytes(move.source);
    if (chunk_.source_byte % block != 0 || chunk_.bytes % block != 0)
        return false;
    const std::uint64_t apart = chunk_.source_byte < chunk_.destination_byte
                                    ? chunk_.destination_byte - chunk_.source_byte
                                    : chunk_.source_byte - chunk_.destination_byte;
    if (job_.units[move.source] == job_.units[move.destination] && apart < chunk_.bytes)
        return false;
    if (revokes_its_token())
        return false;
    if (!keeps_its_space(*source) || !keeps_its_space(*destination))
        return false;
    const void* const family = source->view().channel().copy_family();
    return family != nullptr && family == destination->view().channel().copy_family();
}

// The chunk is written into the ranges that its token stands for. By READ and WRITE it has been
// read before its write makes the token invalid; the stores would find that out when they have
// written.
bool CopyOperation::revokes_its_token() const noexcept {
    const std::uint16_t device = job_.moves[move_].destination;
    if (job_.token == nullptr || job_.token->unit.lock() != job_.units[device])
        return false;
    const std::uint64_t block = block_bytes(device);
    const std::uint64_t first = chunk_.destination_byte / block;
    const std::uint64_t end = first + chunk_.bytes / block;
    return std::ranges::any_of(job_.token->ranges, [&](const scsi::BlockRange& range) {
        return first < range.lba + range.blocks && range.lba < end;
    });
}

// A READ that stands on the source without reading.
void CopyOperation::hold_source() {
    const std::uint16_t device = job_.moves[move_].source;
    const std::uint32_t block = block_bytes(device);
    Command& side = *source_side_;
    work_ = Work::hold;
    good_ = false;
    yielded_ = false;
    stores_failed_ = false;
    source_active_ = true;
    ITLNexus& itl = *reach(device, false);
    put_transfer_cdb(*source_side_, read_16_opcode, chunk_.source_byte / block,
                     chunk_.bytes / block);
    side.lun = scsi::Lun::from_number(itl.lun);
    side.attribute = scsi::TaskAttribute::simple;
    side.expected_data_in_bytes = chunk_.bytes;
    side.expected_data_out_bytes = 0;
    DeviceServer::submit_side(itl, side, *this, DeviceServer::CopyHandlers::source_side);
}

void CopyOperation::source_held(Command& command) {
    auto& operation = static_cast<CopyOperation&>(*command.services_);
    operation.source_held_ = true;
    operation.copy_by_store();
}

// A WRITE whose data the stores move. It must not wait for a fence, which may itself wait for the
// source's side to end.
void CopyOperation::copy_by_store() {
    const scsi::CopyMove& move = job_.moves[move_];
    const std::uint32_t block = block_bytes(move.destination);
    work_ = Work::copy;
    ITLNexus* const itl = reach(move.destination, true);
    if (itl == nullptr) {  // it has left the map while the source's side waited
        yielded_ = true;
        DeviceServer::succeed(*source_side_);
        return;
    }
    Command& inner = *inner_;
    inner_active_ = true;
    put_transfer_cdb(*inner_, write_16_opcode, chunk_.destination_byte / block,
                     chunk_.bytes / block);
    inner.lun = scsi::Lun::from_number(itl->lun);
    inner.attribute = scsi::TaskAttribute::simple;
    inner.expected_data_in_bytes = 0;
    inner.expected_data_out_bytes = chunk_.bytes;
    inner.io_.status = StoreStatus::good;
    inner.io_.source = &source_side_->unit_->channel();
    inner.io_.source_lba = chunk_.source_byte / block_bytes(move.source);
    DeviceServer::submit_side(*itl, inner, *this, DeviceServer::CopyHandlers::destination_side);
    if (!inner_active_ || inner.stage_ != CommandStage::fenced)
        return;
    yielded_ = true;
    DeviceServer::Marked marked;
    DeviceServer::mark(marked, inner, AbortMode::silent, nullptr, true);
    DeviceServer::abort_marked(marked);
}

// Both sides have ended well.
void CopyOperation::copied_by_store() {
    // A write that came before this copy, or into it, has made the token invalid.
    if (job_.token != nullptr && job_.token->revoked())
        return fail(scsi::make_sense(sense::token_revoked));
    chunk_done();
}

// The source's side has ended: by itself before it stood, or because the destination's has.
void CopyOperation::source_released(const Command& command, bool answered) noexcept {
    const bool stood = std::exchange(source_held_, false);
    source_active_ = false;
    const bool ended_well = answered && command.status == Status::good;
    if (stood && ended_well)
        return;
    work_ = Work::hold;
    yielded_ = false;
    stores_failed_ = false;
    remember_end(command, answered);
    good_ = false;
}

// The LUN under which the nexus reaches the device at this moment.
ITLNexus* CopyOperation::reach(std::uint16_t device, bool writes) const noexcept {
    ITLNexus* found = nullptr;
    for (const auto& itl : manager_.nexus().itls()) {
        if (&itl->view().unit() != job_.units[device].get())
            continue;
        if (!writes || !itl->write_protected)
            return itl.get();
        found = itl.get();
    }
    return found;
}

void CopyOperation::send(std::uint16_t device, bool writes, Work work, std::uint32_t in_bytes,
                         std::uint32_t out_bytes) {
    ITLNexus* const itl = reach(device, writes);
    if (itl == nullptr)
        return fail(scsi::copy_aborted(sense::copy_target_device_not_reachable,
                                       static_cast<std::uint16_t>(move_)));
    work_ = work;
    good_ = false;
    inner_active_ = true;
    Command& inner = *inner_;
    inner.lun = scsi::Lun::from_number(itl->lun);
    inner.attribute = scsi::TaskAttribute::simple;
    inner.expected_data_in_bytes = in_bytes;
    inner.expected_data_out_bytes = out_bytes;
    inner.stable_data_in = true;  // it must lie in a buffer that can be handed on
    reactor::Buffer none;
    DeviceServer::submit_within(*itl, inner, *this, work == Work::write ? source_buffer_ : none);
}

void CopyOperation::receive_data_out(Command& command) noexcept {
    const MutableBytes into = command.data_out;
    const std::uint8_t* const from = source_data_.data();
    if (work_ == Work::compare_and_write) {
        const std::size_t block = edge_data_.size();
        std::memcpy(into.data(), edge_data_.data(), block);
        std::memcpy(into.data() + block, edge_data_.data(), block);
        std::memcpy(into.data() + block + chunk_.destination_byte % block, from, chunk_.bytes);
    } else {
        if (into.data() != from)
            std::memmove(into.data(), from, chunk_.bytes);
        std::memset(into.data() + chunk_.bytes, 0, chunk_.pad_bytes);
    }
    manager_.nexus().data_out_received(command);
}

void CopyOperation::terminate_transfer(Command& command) noexcept {
    manager_.nexus().transfer_terminated(command);
}

void CopyOperation::complete(Command& command) noexcept {
    inner_ended(command, true);
}

void CopyOperation::discard(Command& command) noexcept {
    inner_ended(command, false);
}

void CopyOperation::inner_ended(Command& command, bool answered) noexcept {
    if (&command == stand_in_.get()) {
        manager_.nexus().finished_within(command);
        return;
    }
    if (&command == source_side_.get()) {
        source_released(command, answered);
        manager_.nexus().finished_within(command);
        go_on();
        return;
    }
    inner_active_ = false;
    remember_end(command, answered);
    if (work_ == Work::copy) {
        stores_failed_ =
            command.io_.status != StoreStatus::good && status_ == Status::check_condition;
        manager_.nexus().finished_within(command);
        Command& side = *source_side_;
        if (side.abort_ != nullptr)
            DeviceServer::end_aborted(side);
        else
            DeviceServer::succeed(side);
        return;
    }
    if (good_ && (work_ == Work::read || work_ == Work::read_edge)) {
        OLIO_ASSERT(command.data_in().size() == 1 &&
                        command.data_in()[0].iov_len == command.expected_data_in_bytes,
                    "a READ that is GOOD has read all, into its buffer");
        const Bytes data(static_cast<const std::uint8_t*>(command.data_in()[0].iov_base),
                         command.expected_data_in_bytes);
        if (work_ == Work::read) {
            source_buffer_ = std::move(command.buffer_);
            source_data_ = data.subspan(chunk_.source_byte % block_bytes(job_.moves[move_].source),
                                        chunk_.bytes);
        } else {
            edge_buffer_ = std::move(command.buffer_);
            edge_data_ = data;
        }
    }
    manager_.nexus().finished_within(command);
    go_on();
}

void CopyOperation::remember_end(const Command& command, bool answered) noexcept {
    answered_ = answered;
    status_ = answered ? command.status : Status::task_aborted;
    good_ = status_ == Status::good;
    sense_ = status_ == Status::check_condition ? scsi::decode_sense(command.sense()) : SenseData{};
}

void CopyOperation::inner_failed() {
    if (work_ == Work::compare_and_write && sense_.key == scsi::SenseKey::miscompare &&
        retries_++ < most_retries)
        return read_edge();
    const scsi::CopyMove& move = job_.moves[move_];
    const bool source = work_ == Work::read || work_ == Work::test || work_ == Work::hold;
    if (job_.own_destination && !source && status_ == Status::check_condition)
        return fail(sense_);
    SenseData data = scsi::copy_aborted(sense::third_party_device_failure, move.segment);
    data.information = move.bytes + move.pad_bytes - done_bytes_;  // not written
    data.third_party = scsi::ThirdParty{!source, status_, sense_.key, sense_.additional};
    fail(data);
}

// --- The end ---

void CopyOperation::succeed() {
    Command& outer = *outer_;
    if (job_.delete_token && job_.token != nullptr)
        manager_.nexus().tokens().remove(*job_.token);
    end(CopyStatus::completed);
    DeviceServer::succeed(outer);
}

void CopyOperation::fail(SenseData data) {
    Command& outer = *outer_;
    scsi::CopyResult& result = job_.record->result;
    const bool descriptor = outer.unit_->state().mode_pages.descriptor_sense;
    result.completion = Status::check_condition;
    result.sense_bytes = static_cast<std::uint8_t>(data.encode(
        descriptor ? scsi::SenseFormat::descriptor : scsi::SenseFormat::fixed, result.sense));
    end(cancelled_ ? CopyStatus::terminated : CopyStatus::failed);
    DeviceServer::refuse(outer, data);
}

// The command has been aborted, and with it the copy.
void CopyOperation::end_terminated() {
    Command& outer = *outer_;
    job_.record->result.completion = Status::task_aborted;
    end(CopyStatus::terminated);
    DeviceServer::end_aborted(outer);
}

// Nothing is done any more; the caller answers. The operation stays until the stack has unwound.
void CopyOperation::end(CopyStatus status) {
    job_.record->result.status = status;
    job_.record->ended_at = manager_.nexus().shard().now();
    source_buffer_.release();
    edge_buffer_.release();
    outer_->extension_.reset();
    manager_.ended(*this);
    for (Command* const asking : std::exchange(asking_, {})) {
        if (asking->abort_ != nullptr)
            DeviceServer::end_aborted(*asking);
        else
            DeviceServer::succeed(*asking);
    }
}

}  // namespace olio::target
