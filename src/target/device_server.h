// The device server: takes a command from its arrival to its answer. Everything is static: the
// state is the command's, the view's and the nexus's; so every shard is a device server for every
// logical unit.
//
// A command's way: submit, admit (the checks of SAM-5 and SPC-5 in their order), the handler's
// prepare; into the task set; data-out, if any; its turn in the task set; the fences; execute and,
// after each store request, resume; the answer.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "scsi/lba_status.h"
#include "scsi/sense_codes.h"
#include "target/it_nexus_impl.h"

namespace olio::target {

// What a handler wants next.
enum class Step : std::uint8_t {
    submit,   // the store request in the command
    waiting,  // nothing now: the command has been answered or waits; it must not be touched any
              // more
};

// How an operation of the command table is done. One row for each scsi::Operation.
struct Handler {
    scsi::Operation operation;
    // Looks at what the row does not know of; says how many bytes are moved (transfer_bytes_) and
    // what is touched. False: the command has been refused.
    bool (*prepare)(Command&);
    // Data-out is there: looks at the parameter list. Null: nothing to look at.
    bool (*parse)(Command&);
    Step (*execute)(Command&);
    // After a store request that went well.
    Step (*resume)(Command&);
};

enum class AbortMode : std::uint8_t { silent, task_aborted };

// An abort under way (SAM-5 5.6). It outlives the command while its fence stands.
struct AbortRecord {
    AbortMode mode = AbortMode::silent;
    std::vector<Ticket> until_finished;
    std::vector<Ticket> until_fenced;
    std::shared_ptr<LogicalUnitImpl> unit;
    FenceId fence = 0;
    bool fence_asked = false;
    bool ended = false;
};

class DeviceServer {
  public:
    static void submit(ITNexusImpl& nexus, Command& command) noexcept;
    static void data_out_received(Command& command) noexcept;
    static void data_out_failed(Command& command, scsi::AdditionalSense additional) noexcept;
    static void transfer_terminated(Command& command) noexcept;
    static void buffer_available(Command& command, reactor::Buffer buffer) noexcept;
    static void store_completed(Command& command) noexcept;
    static void resume_later(Command& command) noexcept;

    // Goes on after data-out was needed or its turn has come.
    static void advance(Command& command) noexcept;
    // Goes on behind the fences.
    static void proceed(Command& command) noexcept;

    // Aborts. `ticket` is held until nothing of the command can reach the medium but behind a
    // fence; with `transfers`, until its data transfer has been terminated too. First mark() all
    // that are to be aborted, then abort_marked().
    using Marked = IntrusiveList<Command, &Command::abort_hook_>;
    static void mark(Marked& marked, Command& command, AbortMode mode, const Ticket& ticket,
                     bool transfers);
    static void abort_marked(Marked& marked) noexcept;

    // A reservation has changed: a command that has not begun, and may not now, will end with
    // RESERVATION CONFLICT when its turn comes.
    static void recheck_reservation(Command& command) noexcept;
    // Whether the command may be waiting for aborts itself.
    [[nodiscard]] static bool waits_for_aborts(const Command& command) noexcept;

    // Answers; the command must not be touched afterwards.
    static Step succeed(Command& command) noexcept;
    static Step succeed_with_data(Command& command, std::uint64_t available_bytes) noexcept;
    static Step refuse(Command& command, const scsi::SenseData& sense) noexcept;
    static Step refuse(Command& command, const Refusal& refusal) noexcept;
    static Step refuse_with_status(Command& command, scsi::Status status) noexcept;

    // The handlers of one subject each: handlers_<subject>.h and .cc. As members they may use what
    // is private here and in Command.
    struct Aca;
    struct AccessHandlers;
    struct CopyHandlers;
    struct InformationHandlers;
    struct LogHandlers;
    struct PowerHandlers;
    struct ReservationHandlers;
    struct AtomicHandlers;
    struct StreamHandlers;
    struct ProtectionHandlers;
    struct MaintenanceHandlers;
    struct ScatteredHandlers;

  private:
    friend class Command;
    friend class CopyManager;
    friend class CopyOperation;
    friend struct HandlerTable;

    // The copy manager's commands. They go through every check of a command of their nexus, but
    // stand in no task set, have no tag, and take no unit attention. `spare` is used as the data
    // buffer if it is large enough.
    static void submit_within(ITLNexus& itl, Command& command, TransportServices& services,
                              reactor::Buffer& spare) noexcept;
    // One side of a copy that the stores do by themselves: what the CDB, a READ or a WRITE, asks of
    // checks and fences, and then `handler` instead of data.
    static void submit_side(ITLNexus& itl, Command& command, TransportServices& services,
                            const Handler& handler) noexcept;
    static void begin(Command& command, ITLNexus* itl) noexcept;
    [[nodiscard]] static const Handler& handler_of(scsi::Operation operation) noexcept;
    static bool admit(Command& command) noexcept;
    static bool check_unit(Command& command, LogicalUnitView& view) noexcept;
    static bool check_reservation(Command& command) noexcept;
    static bool check_medium(Command& command, const LogicalUnitView& view) noexcept;
    static bool check_lengths(Command& command) noexcept;
    static bool take_fewer_blocks(Command& command) noexcept;
    static bool overlapped(Command& command) noexcept;
    static void start_data_out(Command& command) noexcept;
    static void drive(Command& command, Step step) noexcept;
    static bool wake(Command& command, const scsi::LogicalUnitState& state) noexcept;
    static void count_failure(Command& command) noexcept;
    static void store_failed(Command& command) noexcept;
    static void remember_refusal(Command& command, scsi::Status status) noexcept;
    static Step after_store(Command& command) noexcept;
    static void respond(Command& command) noexcept;
    static void send_answer(Command& command) noexcept;
    static void encode(Command& command, scsi::Status status, const scsi::SenseData& data) noexcept;
    static void set_residual(Command& command, std::uint64_t moved) noexcept;
    static void leave_medium(Command& command) noexcept;
    static void end_aborted(Command& command) noexcept;
    static void abort(Command& command) noexcept;
    static void fence_orphan(Command& command);

    // For handlers.
    static bool obtain_buffer(Command& command, std::size_t bytes) noexcept;
    static scsi::Request request_of(const Command& command, const scsi::LogicalUnitState* state,
                                    const scsi::NexusState& nexus) noexcept;
    static void ask_store(Command& command, StoreOpcode opcode, std::uint64_t lba,
                          std::uint64_t blocks, MutableBytes data) noexcept;
    // A step of a command that writes: `write` or `write_zeroes`. What fua_ asks for is done here
    // and in finish_write, on the way or by a flush behind, as the store can.
    static void ask_write(Command& command, StoreOpcode opcode, std::uint64_t lba,
                          std::uint64_t blocks, MutableBytes data) noexcept;
    // All has been written. If it takes a flush to make it durable, resume is called with
    // `flush_phase`; else the command has succeeded.
    static Step finish_write(Command& command, std::uint8_t flush_phase) noexcept;
    // The same for a command that goes on afterwards. False: nothing needs to be flushed.
    static bool ask_flush(Command& command) noexcept;
    static std::uint32_t maximum_step_blocks(const Command& command) noexcept;
    [[nodiscard]] static bool write_must_be_durable(const Command& command) noexcept;
    static void change_state(Command& command, LogicalUnitImpl::Change change);
    // The same for what outlives the daemon: mode pages and identifying information.
    static void change_settings(Command& command, LogicalUnitImpl::Change change);
    // What the home shard calls when it is done with the command, which waits for that.
    static LogicalUnitImpl::Changed answer_from_home(Command& command);

    // The rows of the table of handlers.
    static bool prepare_nothing(Command&);
    static Step execute_data_in(Command&);
    static Step execute_request_sense(Command&);
    static bool prepare_parameters(Command&);
    static Step execute_mode_select(Command&);
    static bool prepare_read(Command&);
    static Step execute_read(Command&);
    static Step resume_read(Command&);
    static Step next_read(Command&);
    static bool prepare_write(Command&);
    static Step execute_write(Command&);
    static Step resume_write(Command&);
    static Step next_write(Command&, MutableBytes data);
    static bool prepare_write_and_verify(Command&);
    static Step execute_write_and_verify(Command&);
    static Step resume_write_and_verify(Command&);
    static bool prepare_verify(Command&);
    static Step execute_verify(Command&);
    static Step resume_verify(Command&);
    static Step next_verify(Command&);
    static bool compare_step(Command&, bool single_block);
    static bool prepare_range(Command&);
    static Step execute_synchronize(Command&);
    static Step execute_pre_fetch(Command&);
    static bool prepare_unmap(Command&);
    static bool parse_unmap(Command&);
    static Step execute_unmap(Command&);
    static Step resume_unmap(Command&);
    static Step next_unmap(Command&);
    static bool prepare_write_same(Command&);
    static Step execute_write_same(Command&);
    static Step resume_write_same(Command&);
    static Step next_write_same(Command&);
    static bool prepare_compare_and_write(Command&);
    static Step execute_compare_and_write(Command&);
    static void fence_stands(Command&) noexcept;
    // The fence that a command asked for stands. False: the command has ended meanwhile.
    static bool may_use_fence(Command&) noexcept;
    static Step resume_compare_and_write(Command&);
    static Step next_compare_and_write(Command&);
    static bool prepare_get_lba_status(Command&);
    static Step execute_get_lba_status(Command&);
    static Step resume_get_lba_status(Command&);
    static Step next_lba_status(Command&);
    static Step answer_lba_status(Command&, scsi::LbaStatusEnd end);
    static Step answer_with(Command&, MutableBytes room, const std::function<void(Builder&)>& fill);
};

// A store request that completes inside submit this often in a row lets others have their turn.
inline constexpr unsigned inside_completions = 32;

}  // namespace olio::target
