// A simulated disk: it may be slow, answer out of order, fail, vanish, and lose in a crash what was
// not made durable, by sectors of 512 bytes.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "reactor/sim_world.h"

namespace olio::reactor {

class SimDisk {
  public:
    static constexpr std::size_t sector_bytes = 512;

    explicit SimDisk(std::uint64_t size_bytes) : size_bytes_(size_bytes) {}

    // Latency of one operation; with a span of several milliseconds, completions are well
    // reordered.
    Nanoseconds latency_least = 20'000;
    Nanoseconds latency_most = 500'000;
    unsigned short_io_per_mille = 0;  // how often a read or write moves fewer sectors than asked

    // An error for operations that touch the range, of one kind (none: of every kind but call).
    // Sync touches every range. 5 (EIO) is a bad sector, ENOSPC a thin disk that is full.
    struct Fault {
        int error = 5;
        OperationKind kind = OperationKind::none;
        std::uint64_t offset = 0;
        std::uint64_t length = ~std::uint64_t{0};
        std::uint64_t times = ~std::uint64_t{0};  // how often
    };
    void inject(const Fault& fault) { faults_.push_back(fault); }
    void clear_faults() { faults_.clear(); }
    // Everything fails with ENODEV from now on.
    void vanish() { inject({.error = 19}); }

    // While stalled, nothing completes.
    void stall() { stalled_ = true; }
    void resume() { stalled_ = false; }
    [[nodiscard]] bool stalled() const noexcept { return stalled_; }

    [[nodiscard]] std::uint64_t size_bytes() const noexcept { return size_bytes_; }
    void resize(std::uint64_t size_bytes) { size_bytes_ = size_bytes; }
    // What a read would find, and what a crash could not take away; without latency or faults.
    void peek(std::uint64_t offset, MutableBytes into) const;
    void peek_durable(std::uint64_t offset, MutableBytes into) const;
    [[nodiscard]] bool has_unsynced() const noexcept { return !unsynced_.empty(); }

    // The simulator's side. `written` of a sync is writes() at the time of its submission.
    [[nodiscard]] std::uint64_t writes() const noexcept { return writes_; }
    std::int64_t perform(Operation& operation, std::uint64_t written, Random& random);
    // The same for a copy, here being where to.
    std::int64_t perform_copy(Operation& operation, SimDisk& source, Random& random);
    // Of several syncs at once any may be given an error, and not always the one that ends first:
    // half of them take theirs when they begin. A negative errno, or 0.
    std::int64_t taken_at_start(const Operation& operation, Random& random);
    // A write or a copy that was in flight at a crash: any of its sectors may have got there.
    // `source`: of a copy.
    void perform_partly(Operation& operation, const SimDisk* source, Random& random);
    // Each sector not made durable becomes one of the versions that it had since.
    void lose_unsynced(Random& random);

  private:
    using Sector = std::array<std::uint8_t, sector_bytes>;
    struct Version {
        std::uint64_t number;
        Sector content;
    };

    [[nodiscard]] int fault_for(const Operation& operation);
    [[nodiscard]] int fault_in(OperationKind kind, std::uint64_t offset, std::uint64_t length);
    [[nodiscard]] Sector newest(std::uint64_t sector) const;
    void store(std::uint64_t sector, const Sector& content, bool durable);
    std::int64_t read(Operation& operation, std::size_t length);
    std::int64_t write(Operation& operation, std::size_t length);
    void put(std::uint64_t offset, Bytes data, bool durable);
    std::int64_t allocate(Operation& operation);
    void zero(std::uint64_t offset, std::uint64_t length);
    void sync(std::uint64_t written);

    std::uint64_t size_bytes_;
    bool stalled_ = false;
    std::vector<Fault> faults_;
    std::uint64_t writes_ = 0;
    std::map<std::uint64_t, Sector> durable_;  // sectors never written are zeros
    std::map<std::uint64_t, std::vector<Version>> unsynced_;
};

// The disks of one simulator, by descriptor.
class SimStorage {
  public:
    explicit SimStorage(SimWorld& world) : world_(world) {}

    [[nodiscard]] int attach(std::shared_ptr<SimDisk> disk);
    [[nodiscard]] std::shared_ptr<SimDisk> disk(int descriptor) const;
    void close(int descriptor) { disks_.erase(descriptor); }
    [[nodiscard]] bool owns(int descriptor) const { return disks_.contains(descriptor); }
    void start(Operation& operation);
    void resume(int descriptor);
    // Power fails: what is in flight ends with EIO, what is not durable is lost or torn.
    void crash(int descriptor);

  private:
    void due(int descriptor, std::uint64_t number);
    [[nodiscard]] SimDisk* source_of(const Operation& operation) const;

    struct InFlight {
        std::uint64_t number;  // of the operation in the world
        std::uint64_t written;
        bool waits;              // its time has come while the disk was stalled
        std::int64_t error = 0;  // taken at the start
    };
    SimWorld& world_;
    std::map<int, std::shared_ptr<SimDisk>> disks_;
    std::map<int, std::vector<InFlight>> in_flight_;
};

}  // namespace olio::reactor
