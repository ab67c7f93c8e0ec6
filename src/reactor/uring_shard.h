// The default back end: one io_uring a shard, entered once a turn to submit, wait and collect.
#pragma once

#include <liburing.h>

#include <atomic>

#include "reactor/kernel_shard.h"

namespace olio::reactor {

class UringShard final : public KernelShard {
  public:
    // Whether this process may use io_uring, and the kernel's has what is needed of it; if not,
    // why.
    static Result<void> probe();
    // For tests: an errno that io_uring_setup(2) shall seem to fail with; 0 for none.
    static std::atomic<int> refusal_for_tests;

    static Result<std::unique_ptr<Shard>> create(unsigned index, std::uint64_t seed,
                                                 std::size_t buffer_limit_bytes,
                                                 HelperPool& helpers);
    ~UringShard() override;

  private:
    using KernelShard::KernelShard;

    void start_operation(Operation& operation) noexcept override;
    void cancel_operation(Operation& operation) noexcept override;
    void poll(Nanoseconds until) noexcept override;
    Result<void> begin_loop() override;
    void end_loop() noexcept override;

    [[nodiscard]] io_uring_sqe* next_entry() noexcept;
    void enqueue(Operation& operation) noexcept;
    void enqueue_poll(Operation& operation, io_uring_sqe& entry) noexcept;
    void enqueue_cancel(Operation& operation) noexcept;
    void retry_postponed() noexcept;
    void enter(Nanoseconds until) noexcept;
    void reap() noexcept;
    void completed(Operation& operation, std::int64_t result) noexcept;

    io_uring ring_{};
    bool open_ = false;
    bool wake_up_watched_ = false;
    OperationQueue unsent_;          // found no entry in the submission queue
    OperationQueue unsent_cancels_;  // in the kernel; their cancel found no entry
};

}  // namespace olio::reactor
