// The back end for kernels, containers and sandboxes without io_uring. Sockets: the system call is
// tried at once, and if it would block, again when epoll says that the socket is ready. Files and
// calls go to the helper threads.
#pragma once

#include <vector>

#include "reactor/kernel_shard.h"

namespace olio::reactor {

class EpollShard final : public KernelShard {
  public:
    static Result<std::unique_ptr<Shard>> create(unsigned index, std::uint64_t seed,
                                                 std::size_t buffer_limit_bytes,
                                                 HelperPool& helpers);
    ~EpollShard() override;
    void close(int descriptor) noexcept override;

  private:
    using KernelShard::KernelShard;

    // What waits for a socket, by direction.
    struct Waiting {
        OperationQueue in;   // accept, receive
        OperationQueue out;  // connect, send
    };

    void start_operation(Operation& operation) noexcept override;
    void cancel_operation(Operation& operation) noexcept override;
    void poll(Nanoseconds until) noexcept override;
    Result<void> begin_loop() override { return {}; }
    void end_loop() noexcept override {}

    OperationQueue& queue_of(Operation& operation);
    [[nodiscard]] static std::int64_t attempt(Operation& operation, bool first) noexcept;
    void advance(OperationQueue& queue) noexcept;
    void arm(int fd) noexcept;
    void fail_all(int fd, int error) noexcept;

    int epoll_ = -1;
    std::vector<Waiting> sockets_;  // by descriptor
};

}  // namespace olio::reactor
