// What tests of this and other rooms need of the engine: a backing store in memory whose requests
// can be held, failed and counted; a fabric that records; and a rig that runs them on a reactor of
// its own.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "reactor/reactor.h"
#include "target/engine.h"

namespace olio::target::testing {

// The state of a FakeStore; it outlives the store, and every member may be used on any thread.
class FakeMedium {
  public:
    explicit FakeMedium(std::uint64_t blocks = 2048, std::uint32_t block_bytes = 512);

    struct Record {
        StoreOpcode opcode;
        std::uint64_t lba;
        std::uint64_t blocks;
        bool fua;
        bool may_unmap;
        unsigned shard;
        std::uint8_t priority;
    };
    // Requests of this kind stay with the store until release(); nullopt: all kinds.
    void hold(std::optional<StoreOpcode> opcode);
    // Lets go of what is held, and holds no more.
    void release();
    // Lets go of what is held, and holds what follows.
    void let_pass();
    [[nodiscard]] std::size_t held();
    // The next request of this kind ends with `status`.
    void fail_next(StoreOpcode opcode, StoreStatus status, std::uint64_t error_lba = 0);
    // Requests complete from the loop, not from inside submit.
    void complete_later(bool enabled);
    // Held requests end as `canceled` when they are cancelled; else they stay, as on a dead device.
    void obey_cancel(bool enabled);

    [[nodiscard]] std::vector<Record> records();
    [[nodiscard]] std::size_t count(StoreOpcode opcode);
    void forget_records();
    [[nodiscard]] std::vector<std::uint8_t> read(std::uint64_t lba, std::uint64_t blocks);
    void write(std::uint64_t lba, const std::vector<std::uint8_t>& data);
    [[nodiscard]] bool mapped(std::uint64_t lba);
    [[nodiscard]] bool anchored(std::uint64_t lba);
    // nullopt: it cannot tell.
    void set_space(const std::optional<StoreSpace>& space);

    // To be set before the store is given to the engine.
    StoreCapabilities capabilities;
    scsi::Identification identification;
    // The tuples of protection information, as a medium of blocks of 8 bytes; null: it keeps none.
    std::shared_ptr<FakeMedium> tuples;
    bool copies = false;          // blocks, by itself, from other media that do
    bool clearing_fails = false;  // the tuples cannot be formatted
    bool cache_switch_fails = false;
    bool record = true;  // off: nothing is allocated for a request

  private:
    friend class FakeChannel;
    friend class FakeStore;
    struct Held {
        StoreIo* io;
        reactor::Shard* shard;
    };
    struct Failure {
        StoreOpcode opcode;
        StoreStatus status;
        std::uint64_t lba;
    };
    StoreStatus perform(StoreIo& io);

    std::mutex mutex_;
    std::uint64_t blocks_;
    std::uint32_t block_bytes_;
    std::vector<std::uint8_t> data_;
    std::vector<bool> mapped_;
    std::vector<bool> anchored_;
    std::optional<StoreSpace> space_ = StoreSpace{};
    bool holding_ = false;
    std::optional<StoreOpcode> held_opcode_;
    bool complete_later_ = false;
    bool obey_cancel_ = false;
    std::optional<Failure> failure_;
    std::vector<Held> held_;
    std::vector<Record> records_;
};

// A medium that keeps protection information, FFh at first.
[[nodiscard]] std::shared_ptr<FakeMedium> make_protected_medium(std::uint64_t blocks = 2048,
                                                                std::uint32_t block_bytes = 512);
[[nodiscard]] std::unique_ptr<Backstore> make_fake_store(std::shared_ptr<FakeMedium> medium);

// A command, what was answered to it, and the order of answers on its fabric.
class TestCommand final : public Command {
  public:
    std::vector<std::uint8_t> cdb_storage;
    std::vector<std::uint8_t> out;  // what the host sends
    std::vector<std::uint8_t> in;   // what it got
    std::vector<std::uint8_t> sense_storage;
    bool answered = false;
    bool discarded = false;
    bool returned = false;  // finished() has been called
    unsigned order = 0;

    [[nodiscard]] bool ended() const noexcept { return answered || discarded; }
    [[nodiscard]] std::uint8_t key() const {
        return sense_storage.size() > 2 ? sense_storage[2] & 15 : 0;
    }
    // ASC and ASCQ of fixed sense data, as 0x2900.
    [[nodiscard]] unsigned additional() const {
        return sense_storage.size() > 13 ? sense_storage[12] << 8 | sense_storage[13] : 0;
    }
    [[nodiscard]] std::uint32_t information() const {
        return sense_storage.size() > 7 ? load_be<std::uint32_t>(sense_storage.data() + 3) : 0;
    }
};

class TestManagement : public TaskManagement {
  public:
    bool answered = false;
    unsigned order = 0;
};

// One nexus and its fabric. Members are the shard's, but for those of EngineRig that wait.
class TestNexus final : public TransportServices {
  public:
    TargetPort port;
    std::unique_ptr<ITNexus> nexus;
    unsigned shard = 0;
    bool hold_data_out = false;     // data-out comes when deliver() is called
    bool hold_termination = false;  // transfers end when terminate() is called
    bool hold_finish = false;       // finished() comes when finish() is called
    bool fenced = false;
    bool drained = false;
    unsigned answers = 0;
    std::vector<TestCommand*> receiving;
    std::vector<TestCommand*> terminating;
    std::vector<TestCommand*> finishing;
    std::vector<std::unique_ptr<TestCommand>> commands;
    std::vector<std::unique_ptr<TestManagement>> managements;

    void deliver();
    void terminate();
    void finish();

    void receive_data_out(Command& command) noexcept override;
    void complete(Command& command) noexcept override;
    void terminate_transfer(Command& command) noexcept override;
    void discard(Command& command) noexcept override;
    void task_management_executed(TaskManagement& request) noexcept override;

  private:
    void fill(TestCommand& command);
    void end(TestCommand& command);
};

// A fabric that does nothing: data-out is taken as it is in the buffer, answers are dropped. For
// counting what the engine alone costs. On the nexus's shard; commands may be submitted again when
// submit returns, if the store completes inside submit.
class NullFabric final : public TransportServices {
  public:
    ITNexus* nexus = nullptr;
    std::uint64_t completed = 0;
    std::uint64_t failed = 0;  // with another status than GOOD

    void receive_data_out(Command& command) noexcept override { nexus->data_out_received(command); }
    void complete(Command& command) noexcept override {
        ++completed;
        failed += command.status != scsi::Status::good ? 1 : 0;
        nexus->finished(command);
    }
    void terminate_transfer(Command& command) noexcept override {
        nexus->transfer_terminated(command);
    }
    void discard(Command& command) noexcept override { nexus->finished(command); }
    void task_management_executed(TaskManagement&) noexcept override {}
};

class EngineRig {
  public:
    explicit EngineRig(unsigned shards = 1, std::size_t buffer_limit_bytes = 64 << 20,
                       reactor::Backend backend = reactor::Backend::epoll,
                       MetadataStore* metadata = nullptr);
    ~EngineRig();

    [[nodiscard]] Engine& engine() noexcept { return *engine_; }
    [[nodiscard]] reactor::Reactor& reactor() noexcept { return *reactor_; }
    // Runs it on that shard and waits for its end.
    void on(unsigned shard, const std::function<void()>& function);
    // Until the condition, asked on that shard, holds. False after ten seconds.
    [[nodiscard]] bool wait(unsigned shard, const std::function<bool()>& condition);
    // Until nothing moves any more that messages could move.
    void settle();

    LogicalUnit* add_unit(std::shared_ptr<FakeMedium> medium, unsigned home_shard = 0);
    LogicalUnit* add_unit(std::unique_ptr<Backstore> store, LogicalUnitOptions options);
    // LUN 0, 1, ... are `units`. Unit attentions of the power-on are cleared unless `fresh`. The
    // initiator port is a new one each time: "iqn.test:N,i,0x00000000000N".
    TestNexus& add_nexus(unsigned shard, const std::vector<LogicalUnit*>& units, bool fresh = false,
                         std::uint16_t relative_port = 1);
    // Closes, waits until it has drained, and destroys it.
    void close(TestNexus& nexus);

    // Makes a command; start() submits it, run() waits for its end as well.
    TestCommand& make(TestNexus& nexus, std::vector<std::uint8_t> cdb,
                      std::vector<std::uint8_t> out = {}, std::uint32_t expected_in = 0,
                      std::uint32_t lun = 0);
    void start(TestCommand& command, TestNexus& nexus);
    TestCommand& run(TestNexus& nexus, std::vector<std::uint8_t> cdb,
                     std::vector<std::uint8_t> out = {}, std::uint32_t expected_in = 0,
                     std::uint32_t lun = 0);
    TestManagement& manage(TestNexus& nexus, TaskManagementFunction function, std::uint64_t tag = 0,
                           std::uint32_t lun = 0, bool wait_for_it = true);

    // Frequent commands.
    TestCommand& read(TestNexus& nexus, std::uint64_t lba, std::uint32_t blocks,
                      std::uint32_t block_bytes = 512);
    TestCommand& write(TestNexus& nexus, std::uint64_t lba, std::vector<std::uint8_t> data,
                       std::uint32_t block_bytes = 512);

  private:
    std::unique_ptr<reactor::Reactor> reactor_;
    std::thread thread_;
    std::unique_ptr<Engine> engine_;
    std::vector<std::unique_ptr<TestNexus>> nexuses_;
    std::uint64_t last_tag_ = 0;
    unsigned last_initiator_ = 0;
};

// The initiator port of TestNexuses by number.
[[nodiscard]] InitiatorPort test_initiator(unsigned number);

[[nodiscard]] std::vector<std::uint8_t> read10(std::uint32_t lba, std::uint16_t blocks,
                                               bool fua = false);
[[nodiscard]] std::vector<std::uint8_t> write10(std::uint32_t lba, std::uint16_t blocks,
                                                bool fua = false);
[[nodiscard]] std::vector<std::uint8_t> write16(std::uint64_t lba, std::uint32_t blocks);
[[nodiscard]] std::vector<std::uint8_t> compare_and_write(std::uint64_t lba, std::uint8_t blocks);
inline const std::vector<std::uint8_t> test_unit_ready{0, 0, 0, 0, 0, 0};

}  // namespace olio::target::testing
