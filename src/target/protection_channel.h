// Protection information below the engine (SBC-4 4.21): stands before the channel of a store that
// keeps tuples, so that every command reads and writes blocks whose tuples are right, whether it
// knows of them or not. A write without tuples gets them made, a read without a place for them gets
// them checked and stripped, and what is unmapped gets those that switch checks off.
//
// The tuples are a second channel of the store, of blocks of eight bytes. A block and its tuple are
// therefore two requests, and must not be torn apart by another command or by an abort:
//   - two changes of one block never overlap: a lock per few blocks, over all shards, which the
//     second waits for;
//   - a read that meets a change may see the block of before with the tuple of after. A guard that
//     does not fit is hence read again under the lock before it counts;
//   - a change that has begun is not canceled before its tuples are there too.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "scsi/protection_information.h"
#include "target/backstore.h"

namespace olio::target {

class LogicalUnitView;

// The locks of one logical unit. Free ones cost a few atomic exchanges; who finds one taken waits
// in a list.
class ProtectionLocks {
  public:
    static constexpr std::uint64_t largest_blocks = 4096;  // of one range

    class Waiter {
      public:
        // On the thread of whoever unlocked; must only pass the word on.
        virtual void locks_freed() noexcept = 0;

      protected:
        ~Waiter() = default;
    };

    // False: `waiter` will be told when it is worth another try.
    [[nodiscard]] bool lock(std::uint64_t lba, std::uint64_t blocks, Waiter& waiter) noexcept;
    void unlock(std::uint64_t lba, std::uint64_t blocks) noexcept;

  private:
    static constexpr std::uint64_t stripe_blocks = 8;
    static constexpr std::size_t stripes = 65536;

    [[nodiscard]] bool try_lock(std::uint64_t first, std::uint64_t last) noexcept;
    void release(std::uint64_t first, std::uint64_t last) noexcept;

    std::array<std::atomic<std::uint8_t>, stripes> taken_{};
    std::atomic<std::uint32_t> waiting_count_{0};
    std::mutex mutex_;  // of the list, which is nearly always empty
    std::vector<Waiter*> waiting_;
};

class ProtectionChannel final : public StoreChannel {
  public:
    // `view` and `locks` outlive the channel.
    ProtectionChannel(const LogicalUnitView& view, std::unique_ptr<StoreChannel> data,
                      std::unique_ptr<StoreChannel> tuples, ProtectionLocks& locks);
    ~ProtectionChannel() override;

    void submit(StoreIo& io) noexcept override;
    void cancel(StoreIo& io) noexcept override;
    void stepped(StoreIo& io, std::int64_t result) noexcept override;

  private:
    static constexpr std::uint64_t chunk_blocks = 1024;
    class Request;

    void start(Request& request, StoreIo& io) noexcept;
    // Ends the request: the next one that waits takes its place.
    void finish(Request& request, StoreStatus status) noexcept;

    const LogicalUnitView& view_;
    std::unique_ptr<StoreChannel> data_;
    std::unique_ptr<StoreChannel> tuples_;
    ProtectionLocks& locks_;
    std::vector<std::unique_ptr<Request>> requests_;
    std::vector<Request*> free_;
    // Those that wait for a free request, linked through StoreIo::scratch.
    StoreIo* first_waiting_ = nullptr;
    StoreIo* last_waiting_ = nullptr;
};

}  // namespace olio::target
