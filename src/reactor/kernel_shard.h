// What the back ends on a real kernel share: the clock, the wake-up descriptor and the socket
// calls.
#pragma once

#include "reactor/helper_pool.h"
#include "reactor/shard.h"

namespace olio::reactor {

class KernelShard : public Shard {
  public:
    ~KernelShard() override;

    Result<int> listen(const Endpoint& at) override;
    Result<int> open_socket(const Endpoint& peer) override;
    Result<Endpoint> local_endpoint(int socket) override;
    Result<Endpoint> peer_endpoint(int socket) override;
    void shutdown(int socket) noexcept override;
    void close(int descriptor) noexcept override;

  protected:
    KernelShard(unsigned index, std::uint64_t seed, std::size_t buffer_limit_bytes,
                HelperPool& helpers);
    [[nodiscard]] Result<void> open_wake_up();

    Nanoseconds clock() const noexcept override;
    void wake() noexcept override;
    void drain_wake_up() noexcept;

    HelperPool& helpers_;
    int wake_up_ = -1;  // eventfd
};

}  // namespace olio::reactor
