// A backing store used from outside the reactor, as tests want it: one request at a time, and wait.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "reactor/reactor.h"
#include "target/backstore.h"

namespace olio::target::testing {

inline constexpr std::uint64_t mib = 1 << 20;

// A reactor that runs on a thread of its own as long as this lives.
class RunningReactor {
  public:
    explicit RunningReactor(reactor::Backend backend, unsigned shards = 2);
    ~RunningReactor();
    // Empty, or why there is no reactor of this kind on this machine.
    [[nodiscard]] const std::string& problem() const noexcept { return problem_; }
    [[nodiscard]] reactor::Shard& shard(unsigned index) noexcept { return reactor_->shard(index); }
    [[nodiscard]] unsigned size() const noexcept { return reactor_->size(); }
    // Runs it on that shard and waits for its end.
    void on(unsigned shard, const std::function<void()>& function);

  private:
    std::unique_ptr<reactor::Reactor> reactor_;
    std::string problem_;
    std::thread thread_;
};

// Page-aligned bytes, as the engine's buffers are.
class AlignedBytes {
  public:
    explicit AlignedBytes(std::size_t size, std::uint8_t fill = 0);
    [[nodiscard]] MutableBytes bytes() noexcept { return {data_.get(), size_}; }
    [[nodiscard]] Bytes view() const noexcept { return {data_.get(), size_}; }
    [[nodiscard]] std::uint8_t* data() noexcept { return data_.get(); }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    // Bytes that follow from their place and a seed, so that any of them out of place is seen.
    void pattern(std::uint64_t seed) noexcept;
    bool operator==(const AlignedBytes& other) const noexcept;

  private:
    struct Free {
        void operator()(std::uint8_t* memory) const noexcept;
    };
    std::unique_ptr<std::uint8_t, Free> data_;
    std::size_t size_;
};

// Uses a store from outside the reactor, one request at a time: each call waits for its end, and
// fails the test if a request completes twice or on another shard.
class StoreUser {
  public:
    StoreUser(RunningReactor& reactor, Backstore& store);
    // Over a channel made by the test, on shard 0.
    StoreUser(RunningReactor& reactor, std::uint32_t block_bytes,
              const std::function<std::unique_ptr<StoreChannel>(reactor::Shard&)>& make);
    ~StoreUser();

    [[nodiscard]] StoreChannel& channel(unsigned shard = 0) noexcept { return *channels_[shard]; }
    [[nodiscard]] RunningReactor& reactor() noexcept { return reactor_; }
    StoreStatus run(StoreIo& io, unsigned shard = 0);
    // Asks for its early end in the same breath; on shard 0.
    StoreStatus run_and_cancel(StoreIo& io);

    StoreStatus read(std::uint64_t lba, AlignedBytes& into, unsigned shard = 0);
    StoreStatus write(std::uint64_t lba, AlignedBytes& from, bool fua = false, unsigned shard = 0);
    StoreStatus flush(unsigned shard = 0);
    StoreStatus unmap(std::uint64_t lba, std::uint64_t blocks, unsigned shard = 0);
    StoreStatus write_zeroes(std::uint64_t lba, std::uint64_t blocks, bool may_unmap,
                             bool fua = false);
    // Within the store, or from another whose channel is of the same family.
    StoreStatus copy(std::uint64_t lba, std::uint64_t blocks, std::uint64_t source_lba,
                     StoreUser* from = nullptr, bool fua = false);
    StoreStatus extent(std::uint64_t lba, bool& mapped, std::uint64_t& blocks);
    // With StoreIo::anchor: unmap, or write_zeroes that may unmap.
    StoreStatus anchor(StoreOpcode opcode, std::uint64_t lba, std::uint64_t blocks);
    struct Extent {
        bool mapped;
        bool anchored;
        std::uint64_t blocks;
        bool operator==(const Extent&) const = default;
    };
    Extent extent(std::uint64_t lba);
    // error_lba of the last of these requests.
    [[nodiscard]] std::uint64_t error_lba() const noexcept { return error_lba_; }

  private:
    StoreStatus range(StoreOpcode opcode, std::uint64_t lba, std::uint64_t blocks, bool may_unmap,
                      bool fua, unsigned shard);
    StoreStatus data(StoreOpcode opcode, std::uint64_t lba, AlignedBytes& bytes, bool fua,
                     unsigned shard);

    RunningReactor& reactor_;
    std::uint32_t block_bytes_;
    std::vector<std::unique_ptr<StoreChannel>> channels_;
    std::atomic<std::uint64_t> error_lba_ = 0;  // tests may run requests on several threads
};

}  // namespace olio::target::testing
