// The copy manager of an I_T nexus (SPC-5 5.18): it carries out EXTENDED COPY and the commands that
// write with ROD tokens. It reaches logical units in one way only, by commands of its own that
// pass every check which a command of the same initiator through the same port passes: the LUN map,
// access states, write protection, reservations, capacity, fences. So a copy can do nothing that
// the initiator could not do by READ and WRITE. Everything lives on the nexus's shard.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "reactor/shard.h"
#include "scsi/extended_copy.h"
#include "target/device_server.h"
#include "target/rod_tokens.h"
#include "target/target_port.h"

namespace olio::target {

class CopyManager;
class CopyOperation;

// One of the copies by stores that may be under way in the process (limits::store_copies).
class StoreCopyPlace {
  public:
    StoreCopyPlace() = default;
    StoreCopyPlace(const StoreCopyPlace&) = delete;
    StoreCopyPlace& operator=(const StoreCopyPlace&) = delete;
    ~StoreCopyPlace() { leave(); }

    // False: there are too many.
    [[nodiscard]] bool enter() noexcept;
    void leave() noexcept;

  private:
    static inline std::atomic<unsigned> taken_{0};
    bool entered_ = false;
};

// What became of a copy, for who asks by its list identifier.
struct CopyRecord {
    std::weak_ptr<LogicalUnitImpl> unit;   // that received the command
    std::optional<std::uint32_t> list_id;  // none: nobody can ask
    scsi::CopyResult result;
    reactor::Nanoseconds ended_at = 0;
};

// What shall be copied.
struct CopyJob {
    std::vector<std::shared_ptr<LogicalUnitImpl>> units;  // what the moves' indices mean
    std::vector<scsi::CopyMove> moves;
    bool immediate = false;  // the command ends before the copy does
    std::shared_ptr<CopyRecord> record;
    // WRITE USING TOKEN: the copy goes on only as long as the token is good, and errors of the
    // destination, which is the unit that has received the command, are its own.
    std::shared_ptr<const RodToken> token;
    bool own_destination = false;
    bool delete_token = false;
};

// One copy under way. It belongs to the copy manager and ends by itself.
class CopyOperation final : private TransportServices, private reactor::Task {
  public:
    CopyOperation(CopyManager& manager, CopyJob job);
    ~CopyOperation() override;

    // `command` is in its handler. Answers it, at once if the job is `immediate`.
    void start(Command& command);

    [[nodiscard]] Command* at_work() noexcept;
    [[nodiscard]] const std::shared_ptr<CopyRecord>& record() const noexcept { return job_.record; }
    // The command that stands for a copy in the background; null for one in the foreground.
    [[nodiscard]] Command* stand_in() noexcept;
    // COPY OPERATION ABORT; `asking` is answered when the copy has ended.
    void cancel(Command& asking);
    // The reading side of a copy by the store has passed its checks and fences and stands.
    static void source_held(Command& command);

  private:
    class Carrier;
    struct Link;

    // What the command under way is for.
    enum class Work : std::uint8_t {
        none,
        test,
        read,
        read_edge,
        write,
        compare_and_write,
        zeros,
        hold,  // the source, while the stores copy
        copy,  // by the stores
    };

    // The bytes that are moved next.
    struct Chunk {
        std::uint64_t source_byte = 0;
        std::uint64_t destination_byte = 0;
        std::uint32_t bytes = 0;
        std::uint32_t pad_bytes = 0;
        bool edge = false;  // a part of one block of the destination
    };

    // TransportServices, for the commands of the copy manager.
    void receive_data_out(Command& command) noexcept override;
    void complete(Command& command) noexcept override;
    void terminate_transfer(Command& command) noexcept override;
    void discard(Command& command) noexcept override;
    void task_management_executed(TaskManagement&) noexcept override {}

    void run() noexcept override;
    void step();
    void next();
    void begin_move();
    [[nodiscard]] Chunk chunk(std::uint32_t most_bytes) const;
    [[nodiscard]] bool stores_can_copy() const noexcept;
    [[nodiscard]] bool revokes_its_token() const noexcept;
    void go_on();
    void chunk_done();
    void read_source();
    void read_edge();
    void write_whole();
    void write_edge();
    void write_zeros();
    void hold_source();
    void copy_by_store();
    void copied_by_store();
    void source_released(const Command& command, bool answered) noexcept;
    void send(std::uint16_t device, bool writes, Work work, std::uint32_t in_bytes,
              std::uint32_t out_bytes);
    [[nodiscard]] ITLNexus* reach(std::uint16_t device, bool writes) const noexcept;
    [[nodiscard]] std::uint32_t block_bytes(std::uint16_t device) const noexcept;
    static void put_transfer_cdb(Carrier& carrier, std::uint8_t opcode, std::uint64_t lba,
                                 std::uint32_t blocks);
    void remember_end(const Command& command, bool answered) noexcept;
    void hold(Bytes data);
    void inner_ended(Command& command, bool answered) noexcept;
    void inner_failed();

    void succeed();
    void fail(scsi::SenseData sense);
    void end_terminated();
    void end(scsi::CopyStatus status);

    CopyManager& manager_;
    CopyJob job_;
    Command* outer_ = nullptr;  // who is answered in the end
    std::unique_ptr<Carrier> stand_in_;
    std::unique_ptr<Carrier> inner_;
    std::unique_ptr<Carrier> source_side_;  // of copies by the store
    std::vector<Command*> asking_;
    StoreCopyPlace store_place_;  // while the two of them are at it
    bool inner_active_ = false;
    bool source_active_ = false;
    bool source_held_ = false;
    bool cancelled_ = false;
    Work work_ = Work::none;

    std::size_t move_ = 0;
    std::uint64_t done_bytes_ = 0;  // of the move
    std::uint32_t chunk_bytes_ = 0;
    std::uint32_t store_chunk_bytes_ = 0;  // by the stores; 0: not this move
    bool try_stores_ = true;               // with the next chunk
    bool yielded_ = false;                 // a fence was in the way of a copy by the store
    bool stores_failed_ = false;           // the last copy by the store
    bool backward_ = false;
    Chunk chunk_;
    unsigned retries_ = 0;
    reactor::Buffer source_buffer_;
    Bytes source_data_;
    reactor::Buffer edge_buffer_;
    Bytes edge_data_;

    // How the last command of its own ended.
    bool good_ = false;
    bool answered_ = false;
    scsi::Status status_ = scsi::Status::good;
    scsi::SenseData sense_;
};

class CopyManager {
  public:
    explicit CopyManager(ITNexusImpl& nexus);
    CopyManager(const CopyManager&) = delete;
    CopyManager& operator=(const CopyManager&) = delete;
    ~CopyManager();  // no copy is under way

    [[nodiscard]] ITNexusImpl& nexus() const noexcept { return nexus_; }

    // A record for a copy that `command` begins; its list identifier, if it has one, is in use from
    // here on. OPERATION IN PROGRESS where it is in use already, BUSY where too many copies run.
    [[nodiscard]] std::expected<std::shared_ptr<CopyRecord>, Refusal> enter(
        const Command& command, std::optional<std::uint32_t> list_id);
    void begin(Command& command, CopyJob job);

    // Null: no copy of this nexus and this logical unit has, or had, this list identifier.
    [[nodiscard]] std::shared_ptr<CopyRecord> find(const Command& command, std::uint32_t list_id);
    [[nodiscard]] CopyOperation* find_operation(const CopyRecord& record) noexcept;

    // Copies in the background, when the nexus is lost.
    void mark_background(DeviceServer::Marked& marked, const Ticket& ticket);

    // Whether the nexus reaches the logical unit.
    [[nodiscard]] bool reaches(const LogicalUnitImpl& unit) const noexcept;

    // The logical units that `command`'s initiator may reach through its port: the one with exactly
    // this designator. Null: there is none.
    [[nodiscard]] std::shared_ptr<LogicalUnitImpl> find_unit(
        const scsi::CscdDescriptor& descriptor) const;

    void ended(CopyOperation& operation);

  private:
    void forget_old();

    ITNexusImpl& nexus_;
    std::vector<std::unique_ptr<CopyOperation>> operations_;
    std::vector<std::shared_ptr<CopyRecord>> records_;  // oldest first
};

}  // namespace olio::target
