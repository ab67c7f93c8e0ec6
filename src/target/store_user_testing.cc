#include "target/store_user_testing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <future>

#include "reactor/shard.h"

namespace olio::target::testing {

RunningReactor::RunningReactor(reactor::Backend backend, unsigned shards) {
    reactor::ReactorOptions options;
    options.backend = backend;
    options.shards = shards;
    auto made = reactor::Reactor::create(options);
    if (!made) {
        problem_ = made.error().message;
        return;
    }
    reactor_ = std::move(*made);
    thread_ = std::thread([this] { reactor_->run(); });
}

RunningReactor::~RunningReactor() {
    if (!thread_.joinable())
        return;
    reactor_->stop();
    thread_.join();
}

void RunningReactor::on(unsigned shard, const std::function<void()>& function) {
    std::promise<void> done;
    reactor_->shard(shard).post([&] {
        function();
        done.set_value();
    });
    done.get_future().wait();
}

void AlignedBytes::Free::operator()(std::uint8_t* memory) const noexcept {
    std::free(memory);
}

AlignedBytes::AlignedBytes(std::size_t size, std::uint8_t fill)
    : data_(static_cast<std::uint8_t*>(std::aligned_alloc(4096, (size + 4095) / 4096 * 4096))),
      size_(size) {
    std::memset(data_.get(), fill, size);
}

void AlignedBytes::pattern(std::uint64_t seed) noexcept {
    for (std::size_t at = 0; at < size_; at += 8) {
        const std::uint64_t value = (seed + at / 8) * 0x9e3779b97f4a7c15;
        const std::uint64_t mixed = value ^ value >> 29;
        std::memcpy(data_.get() + at, &mixed, std::min<std::size_t>(8, size_ - at));
    }
}

bool AlignedBytes::operator==(const AlignedBytes& other) const noexcept {
    return size_ == other.size_ && std::memcmp(data_.get(), other.data_.get(), size_) == 0;
}

namespace {

class Waiter final : public StoreCompletion {
  public:
    explicit Waiter(reactor::Shard& shard) : shard_(shard) {}
    void store_completed(StoreIo&) noexcept override {
        EXPECT_EQ(reactor::Shard::current(), &shard_) << "completed on another shard";
        EXPECT_EQ(++times_, 1) << "completed twice";
        if (times_ == 1)
            done_.set_value();
    }
    void wait() { done_.get_future().wait(); }

  private:
    reactor::Shard& shard_;
    int times_ = 0;
    std::promise<void> done_;
};

}  // namespace

StoreUser::StoreUser(RunningReactor& reactor, Backstore& store)
    : reactor_(reactor), block_bytes_(store.geometry().block_bytes) {
    for (unsigned shard = 0; shard < reactor.size(); ++shard)
        reactor_.on(shard, [&] {
            auto channel = store.open_channel(reactor_.shard(shard));
            ASSERT_TRUE(channel) << channel.error().message;
            channels_.push_back(std::move(*channel));
        });
}

StoreUser::StoreUser(RunningReactor& reactor, std::uint32_t block_bytes,
                     const std::function<std::unique_ptr<StoreChannel>(reactor::Shard&)>& make)
    : reactor_(reactor), block_bytes_(block_bytes) {
    reactor_.on(0, [&] { channels_.push_back(make(reactor_.shard(0))); });
}

StoreUser::~StoreUser() {
    for (unsigned shard = 0; shard < channels_.size(); ++shard)
        reactor_.on(shard, [&] { channels_[shard].reset(); });
}

StoreStatus StoreUser::run(StoreIo& io, unsigned shard) {
    Waiter waiter(reactor_.shard(shard));
    io.completion = &waiter;
    reactor_.shard(shard).post([&io, this, shard] { channels_[shard]->submit(io); });
    waiter.wait();
    // The turn that completed it is over, so nothing touches it any more.
    reactor_.on(shard, [] {});
    error_lba_ = io.error_lba;
    return io.status;
}

StoreStatus StoreUser::run_and_cancel(StoreIo& io) {
    Waiter waiter(reactor_.shard(0));
    io.completion = &waiter;
    reactor_.on(0, [&] {
        channels_.front()->submit(io);
        channels_.front()->cancel(io);
    });
    waiter.wait();
    return io.status;
}

StoreStatus StoreUser::data(StoreOpcode opcode, std::uint64_t lba, AlignedBytes& bytes, bool fua,
                            unsigned shard) {
    StoreIo io;
    io.opcode = opcode;
    io.lba = lba;
    io.blocks = bytes.size() / block_bytes_;
    io.data = bytes.bytes();
    io.fua = fua;
    return run(io, shard);
}

StoreStatus StoreUser::range(StoreOpcode opcode, std::uint64_t lba, std::uint64_t blocks,
                             bool may_unmap, bool fua, unsigned shard) {
    StoreIo io;
    io.opcode = opcode;
    io.lba = lba;
    io.blocks = blocks;
    io.may_unmap = may_unmap;
    io.fua = fua;
    return run(io, shard);
}

StoreStatus StoreUser::read(std::uint64_t lba, AlignedBytes& into, unsigned shard) {
    return data(StoreOpcode::read, lba, into, false, shard);
}
StoreStatus StoreUser::copy(std::uint64_t lba, std::uint64_t blocks, std::uint64_t source_lba,
                            StoreUser* from, bool fua) {
    StoreIo io;
    io.opcode = StoreOpcode::copy;
    io.lba = lba;
    io.blocks = blocks;
    io.fua = fua;
    io.source = &(from == nullptr ? *this : *from).channel();
    io.source_lba = source_lba;
    return run(io);
}
StoreStatus StoreUser::write(std::uint64_t lba, AlignedBytes& from, bool fua, unsigned shard) {
    return data(StoreOpcode::write, lba, from, fua, shard);
}
StoreStatus StoreUser::flush(unsigned shard) {
    return range(StoreOpcode::flush, 0, 0, false, false, shard);
}
StoreStatus StoreUser::unmap(std::uint64_t lba, std::uint64_t blocks, unsigned shard) {
    return range(StoreOpcode::unmap, lba, blocks, false, false, shard);
}
StoreStatus StoreUser::write_zeroes(std::uint64_t lba, std::uint64_t blocks, bool may_unmap,
                                    bool fua) {
    return range(StoreOpcode::write_zeroes, lba, blocks, may_unmap, fua, 0);
}
StoreStatus StoreUser::extent(std::uint64_t lba, bool& mapped, std::uint64_t& blocks) {
    StoreIo io;
    io.opcode = StoreOpcode::extent_status;
    io.lba = lba;
    io.blocks = 1;
    const StoreStatus status = run(io);
    mapped = io.mapped;
    blocks = io.extent_blocks;
    return status;
}

StoreStatus StoreUser::anchor(StoreOpcode opcode, std::uint64_t lba, std::uint64_t blocks) {
    StoreIo io;
    io.opcode = opcode;
    io.may_unmap = true;
    io.anchor = true;
    io.lba = lba;
    io.blocks = blocks;
    return run(io);
}
StoreUser::Extent StoreUser::extent(std::uint64_t lba) {
    StoreIo io;
    io.opcode = StoreOpcode::extent_status;
    io.lba = lba;
    io.blocks = 1;
    EXPECT_EQ(run(io), StoreStatus::good);
    return {io.mapped, io.anchored, io.extent_blocks};
}

}  // namespace olio::target::testing
