// The seam's contract as a test: every backing store passes it. A room runs it on its stores so:
//
//   INSTANTIATE_TEST_SUITE_P(Ramdisk, BackstoreConformance,
//                            ::testing::ValuesIn(on_each_backend({"ramdisk512", make})),
//                            conformance_name);
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "reactor/reactor.h"
#include "target/backstore.h"

namespace olio::target::testing {

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

// A store to be tried: empty (all zeros), of at least conformance_bytes, its own with each call. An
// error whose code is ENOTSUP says why it cannot be made on this machine: the tests are skipped.
struct ConformanceSubject {
    std::string name;
    std::function<Result<std::unique_ptr<Backstore>>()> make;
    reactor::Backend backend = reactor::Backend::epoll;
};
inline constexpr std::uint64_t conformance_bytes = 24 << 20;

// The subject on io_uring and on epoll.
[[nodiscard]] std::vector<ConformanceSubject> on_each_backend(const ConformanceSubject& subject);
[[nodiscard]] std::string conformance_name(
    const ::testing::TestParamInfo<ConformanceSubject>& info);

class BackstoreConformance : public ::testing::TestWithParam<ConformanceSubject> {
  protected:
    BackstoreConformance();
    ~BackstoreConformance() override;
    void SetUp() override;
    void TearDown() override;

    [[nodiscard]] std::uint32_t block() const { return store_->geometry().block_bytes; }
    [[nodiscard]] std::uint64_t blocks() const { return store_->geometry().blocks; }
    [[nodiscard]] AlignedBytes pattern(std::uint64_t count, std::uint64_t seed) const;
    [[nodiscard]] AlignedBytes empty(std::uint64_t count, std::uint8_t fill = 0xee) const;
    void expect_zeros(std::uint64_t lba, std::uint64_t count);
    void expect_pattern(std::uint64_t lba, std::uint64_t count, std::uint64_t seed);
    // Writes blocks `around` a range, lets `change` loose on the range, and expects zeros in the
    // range and the old data around it.
    void expect_zeroed_by(const std::function<StoreStatus(std::uint64_t, std::uint64_t)>& change);

    std::unique_ptr<RunningReactor> reactor_;
    std::unique_ptr<Backstore> store_;
    std::unique_ptr<StoreUser> user_;
};

}  // namespace olio::target::testing
