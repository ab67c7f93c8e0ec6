// An operation over a logical unit's blocks that nobody's command carries: a format, a sanitize, a
// self-test. It runs at the unit's home shard, one store request at a time, and lets others have
// their turn between them.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "reactor/shard.h"
#include "scsi/background.h"
#include "scsi/types.h"
#include "target/backstore.h"
#include "target/fence.h"

namespace olio::scsi {
struct LogicalUnitState;
}

namespace olio::target {

class LogicalUnitView;

// What is done to which blocks. What has been written is made durable at the end of each.
struct Stretch {
    StoreOpcode opcode = StoreOpcode::read;  // read, write, write_zeroes
    BlockRange range{};
    std::vector<std::uint8_t> pattern{};  // of one block; what `write` writes
    bool may_unmap = false;               // write_zeroes
};

struct BackgroundResult {
    StoreStatus status = StoreStatus::good;
    bool reading = false;  // what failed was a read
    std::uint64_t error_lba = 0;
    bool stopped = false;  // by stop()
};

// One such operation, on the home shard. Destroyed after it has ended, or before start().
class BackgroundTask final : private StoreCompletion, private reactor::Task {
  public:
    // `progress` in 65536ths, now and then; `ended` once, last of all: it may destroy the task.
    BackgroundTask(LogicalUnitView& view, std::vector<Stretch> stretches,
                   std::move_only_function<void(std::uint16_t)> progress,
                   std::move_only_function<void(const BackgroundResult&)> ended);
    void start() noexcept;
    // Ends as soon as the store lets go.
    void stop() noexcept { stopping_ = true; }

  private:
    static constexpr std::size_t buffer_bytes = 256 << 10;
    struct Free {
        void operator()(std::uint8_t* memory) const noexcept { std::free(memory); }
    };

    void store_completed(StoreIo& io) noexcept override;
    void run() noexcept override;
    void next() noexcept;
    void begin_stretch() noexcept;
    void request(StoreOpcode opcode, std::uint64_t lba, std::uint64_t blocks) noexcept;
    void report() noexcept;
    void finish(BackgroundResult result) noexcept;

    LogicalUnitView& view_;
    std::vector<Stretch> stretches_;
    std::move_only_function<void(std::uint16_t)> progress_;
    std::move_only_function<void(const BackgroundResult&)> ended_;
    std::unique_ptr<std::uint8_t, Free> buffer_;
    StoreIo io_;
    std::size_t stretch_ = 0;
    std::uint64_t done_blocks_ = 0;  // of the stretch
    std::uint64_t total_done_ = 0;
    std::uint64_t total_blocks_ = 0;
    std::uint16_t reported_ = 0;
    bool flushing_ = false;
    bool stopping_ = false;
};

// What LogicalUnitImpl::run_background is asked to do.
struct BackgroundPlan {
    scsi::BackgroundKind kind = scsi::BackgroundKind::none;
    std::vector<Stretch> stretches{};
    // The medium has this type of protection information afterwards, and every tuple is FFh before
    // the stretches begin. Only where the store keeps tuples, and only for what takes the medium.
    // While it is worked at it has none; when it fails it has the type of before.
    std::optional<std::uint8_t> protection_type{};
    scsi::NexusId asked_by = 0;      // who is not told that READ CAPACITY has another answer then
    bool unrestricted_exit = false;  // AUSE of SANITIZE
    // Refused where a fault stands: it does not write every block, so it cannot repair one.
    bool needs_whole_medium = false;
    // On the home shard, with the state that is about to be published: what the beginning and the
    // end change in it beside the operation's own place. Both may be null.
    std::move_only_function<void(scsi::LogicalUnitState&)> begin{};
    std::move_only_function<void(scsi::LogicalUnitState&, const BackgroundResult&)> conclude{};
};

}  // namespace olio::target
