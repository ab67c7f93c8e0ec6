#include "target/protection_channel.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "base/limits.h"
#include "target/logical_unit.h"

namespace olio::target {

using scsi::protection_bytes;

// --- Locks --------------------------------------------------------------------------------------

bool ProtectionLocks::try_lock(std::uint64_t first, std::uint64_t last) noexcept {
    for (std::uint64_t stripe = first; stripe <= last; ++stripe) {
        if (taken_[stripe % stripes].exchange(1) == 0) [[likely]]
            continue;
        if (stripe != first)
            release(first, stripe - 1);
        return false;
    }
    return true;
}

void ProtectionLocks::release(std::uint64_t first, std::uint64_t last) noexcept {
    for (std::uint64_t stripe = first; stripe <= last; ++stripe)
        taken_[stripe % stripes].store(0);
}

bool ProtectionLocks::lock(std::uint64_t lba, std::uint64_t blocks, Waiter& waiter) noexcept {
    static_assert(largest_blocks / stripe_blocks < stripes, "a range takes no lock twice");
    OLIO_ASSERT(blocks != 0 && blocks <= largest_blocks, "a range of blocks that can be locked");
    const std::uint64_t first = lba / stripe_blocks;
    const std::uint64_t last = (lba + blocks - 1) / stripe_blocks;
    if (try_lock(first, last)) [[likely]]
        return true;
    {
        const std::lock_guard guard(mutex_);
        waiting_.push_back(&waiter);
        ++waiting_count_;
    }
    // Whoever held them may have gone before we stood in the list.
    if (!try_lock(first, last))
        return false;
    {
        const std::lock_guard guard(mutex_);
        if (std::erase(waiting_, &waiter) != 0) {
            --waiting_count_;
            return true;
        }
    }
    release(first, last);  // the word is under way already
    return false;
}

void ProtectionLocks::unlock(std::uint64_t lba, std::uint64_t blocks) noexcept {
    release(lba / stripe_blocks, (lba + blocks - 1) / stripe_blocks);
    if (waiting_count_.load() == 0) [[likely]]
        return;
    std::vector<Waiter*> woken;
    {
        const std::lock_guard guard(mutex_);
        woken.swap(waiting_);
        waiting_count_ = 0;
    }
    for (Waiter* waiter : woken)
        waiter->locks_freed();
}

// --- One request of the engine ------------------------------------------------------------------

// Goes through its blocks chunk by chunk; for each, a request to the data and one to the tuples.
class ProtectionChannel::Request final : public StoreCompletion, public ProtectionLocks::Waiter {
  public:
    explicit Request(ProtectionChannel& channel) : channel_(channel) {}

    void start(StoreIo& io) noexcept {
        outer_ = &io;
        done_ = 0;
        canceled_ = false;
        locked_ = false;
        again_ = false;
        must_lock_ = io.opcode != StoreOpcode::read && io.opcode != StoreOpcode::flush;
        io.borrowed_count = 0;
        drive();
    }
    void cancel() noexcept {
        canceled_ = true;
        if (outer_->opcode == StoreOpcode::read && pending_ != 0) {
            if (data_pending_)
                channel_.data_->cancel(data_io_);
            if (tuples_pending_)
                channel_.tuples_->cancel(tuples_io_);
        }
    }

    void store_completed(StoreIo& io) noexcept override {
        (&io == &data_io_ ? data_pending_ : tuples_pending_) = false;
        if (--pending_ == 0 && chunk_done())
            drive();
    }
    void locks_freed() noexcept override {
        channel_.view_.shard().post([this] { drive(); });
    }

    [[nodiscard]] StoreIo& outer() const noexcept { return *outer_; }

  private:
    // Begins chunks until one is under way, or the request has ended or waits for locks.
    void drive() noexcept {
        do {
            if (canceled_) {
                channel_.finish(*this, StoreStatus::canceled);
                return;
            }
            blocks_ = outer_->opcode == StoreOpcode::flush
                          ? outer_->blocks
                          : std::min(outer_->blocks - done_, chunk_blocks);
            if (must_lock_ && !locked_) {
                if (!channel_.locks_.lock(lba(), blocks_, *this))
                    return;
                locked_ = true;
            }
            prepare();
            pending_ = 3;  // and one that keeps completions inside submit from ending the chunk
            data_pending_ = tuples_pending_ = true;
            channel_.tuples_->submit(tuples_io_);
            channel_.data_->submit(data_io_);
            if (--pending_ != 0)
                return;
        } while (chunk_done());
    }

    [[nodiscard]] std::uint64_t lba() const noexcept { return outer_->lba + done_; }
    [[nodiscard]] MutableBytes chunk_tuples() noexcept {
        const std::size_t bytes = blocks_ * protection_bytes;
        if (!outer_->protection.empty())
            return outer_->protection.subspan(done_ * protection_bytes, bytes);
        return MutableBytes(own_tuples_).first(bytes);
    }

    static void fill(StoreIo& io, const StoreIo& like, std::uint64_t lba,
                     std::uint64_t blocks) noexcept {
        io.opcode = like.opcode;
        io.fua = like.fua;
        io.may_unmap = like.may_unmap;
        io.anchor = like.anchor;
        io.may_borrow = like.may_borrow;
        io.priority = like.priority;
        io.lba = lba;
        io.blocks = blocks;
        io.data = {};
        io.status = StoreStatus::good;
        io.borrowed_count = 0;
        io.progress = 0;
        io.phase = 0;
    }

    void prepare() noexcept {
        fill(data_io_, *outer_, lba(), blocks_);
        fill(tuples_io_, *outer_, lba(), blocks_);
        data_io_.completion = tuples_io_.completion = this;
        tuples_io_.may_borrow = false;
        if (outer_->opcode == StoreOpcode::flush)
            return;
        tuples_io_.data = chunk_tuples();
        const std::size_t block_bytes = channel_.view_.block_bytes();
        if (!outer_->data.empty())
            data_io_.data = outer_->data.subspan(done_ * block_bytes, blocks_ * block_bytes);
        if (outer_->opcode == StoreOpcode::read)
            return;
        tuples_io_.opcode = StoreOpcode::write;
        make_tuples(tuples_io_.data);
    }

    void make_tuples(MutableBytes tuples) noexcept {
        const bool unmapped = outer_->opcode == StoreOpcode::unmap ||
                              (outer_->opcode == StoreOpcode::write_zeroes && outer_->may_unmap);
        if (unmapped) {
            std::memset(tuples.data(), 0xFF, tuples.size());
            return;
        }
        if (!outer_->protection.empty())
            return;
        const scsi::ProtectionMaking making = scsi::making_of(channel_.view_.state(), lba());
        if (outer_->opcode == StoreOpcode::write) {
            scsi::generate_protection(data_io_.data, tuples, channel_.view_.block_bytes(), making);
            return;
        }
        scsi::ProtectionTuple tuple{0, making.application, making.reference};  // zeros: guard 0
        for (std::size_t at = 0; at < tuples.size(); at += protection_bytes) {
            scsi::store_tuple(tuple, tuples.data() + at);
            tuple.reference += making.reference_step;
        }
    }

    // True: another chunk follows. Else the request has ended, and must not be touched any more.
    bool chunk_done() noexcept {
        const std::optional<StoreStatus> end = judge();
        if (std::exchange(locked_, false))
            channel_.locks_.unlock(lba(), blocks_);
        if (end) {
            channel_.finish(*this, *end);
            return false;
        }
        if (std::exchange(again_, false))
            return true;
        done_ += blocks_;
        must_lock_ = outer_->opcode != StoreOpcode::read;
        if (done_ < outer_->blocks)
            return true;
        channel_.finish(*this, StoreStatus::good);
        return false;
    }

    // How the request ends with this chunk; nothing: it does not.
    std::optional<StoreStatus> judge() noexcept {
        for (const StoreIo* io : {&data_io_, &tuples_io_})
            if (io->status != StoreStatus::good) {
                outer_->error_lba = io->error_lba;
                return io->status;
            }
        if (outer_->opcode == StoreOpcode::flush)
            return StoreStatus::good;
        if (outer_->opcode != StoreOpcode::read)
            return std::nullopt;
        Bytes data = data_io_.data;
        if (data_io_.may_borrow) {
            if (data_io_.borrowed_count != 1 || blocks_ != outer_->blocks)
                return StoreStatus::good;  // nothing was lent: the engine will ask for a copy
            data = {static_cast<const std::uint8_t*>(data_io_.borrowed[0].iov_base),
                    blocks_ * channel_.view_.block_bytes()};
        }
        if (const auto failure = check(data)) {
            static constexpr std::array failures{StoreStatus::guard_check_failed,
                                                 StoreStatus::application_tag_check_failed,
                                                 StoreStatus::reference_tag_check_failed};
            outer_->error_lba = lba() + failure->block;
            if (must_lock_)
                return failures[static_cast<std::size_t>(failure->tag)];
            again_ = must_lock_ = true;
            return std::nullopt;
        }
        outer_->borrowed = data_io_.borrowed;
        outer_->borrowed_count = data_io_.borrowed_count;
        return std::nullopt;
    }

    [[nodiscard]] std::optional<scsi::ProtectionFailure> check(Bytes data) const noexcept {
        scsi::ProtectionExpectation expected =
            outer_->protection.empty() ? scsi::default_expectations(channel_.view_.state(), lba())
                                       : outer_->expectation.after(done_);
        // A guard that is not asked for tells all the same whether a change came between. Once
        // nothing can come between, it is not looked at.
        expected.tags.guard |= !must_lock_;
        return scsi::check_protection(data, tuples_io_.data, channel_.view_.block_bytes(),
                                      expected);
    }

    ProtectionChannel& channel_;
    StoreIo* outer_ = nullptr;
    std::uint64_t done_ = 0;
    std::uint64_t blocks_ = 0;  // of this chunk
    unsigned pending_ = 0;
    bool data_pending_ = false;
    bool tuples_pending_ = false;
    bool canceled_ = false;
    bool must_lock_ = false;
    bool locked_ = false;
    bool again_ = false;  // the chunk is read once more, under the lock
    StoreIo data_io_;
    StoreIo tuples_io_;
    alignas(64) std::array<std::uint8_t, chunk_blocks * protection_bytes> own_tuples_;
};

// --- The channel --------------------------------------------------------------------------------

ProtectionChannel::ProtectionChannel(const LogicalUnitView& view,
                                     std::unique_ptr<StoreChannel> data,
                                     std::unique_ptr<StoreChannel> tuples, ProtectionLocks& locks)
    : view_(view), data_(std::move(data)), tuples_(std::move(tuples)), locks_(locks) {
    static_assert(chunk_blocks <= ProtectionLocks::largest_blocks);
    requests_.reserve(limits::protection_requests_per_channel);
    free_.reserve(limits::protection_requests_per_channel);
}

ProtectionChannel::~ProtectionChannel() {
    OLIO_ASSERT(free_.size() == requests_.size() && first_waiting_ == nullptr,
                "a channel is destroyed while requests are under way");
}

void ProtectionChannel::submit(StoreIo& io) noexcept {
    if (view_.state().protection.type == 0 || io.opcode == StoreOpcode::extent_status ||
        io.opcode == StoreOpcode::prefetch) {
        // A command may have been admitted when the unit was still formatted with some.
        if (io.opcode == StoreOpcode::read)
            std::ranges::fill(io.protection, std::uint8_t{0xFF});
        data_->submit(io);
        return;
    }
    io.channel = this;
    io.phase = 0;
    io.error_lba = io.lba;
    if (free_.empty() && requests_.size() < limits::protection_requests_per_channel) {
        requests_.push_back(std::make_unique<Request>(*this));
        free_.push_back(requests_.back().get());
    }
    if (free_.empty()) {
        io.scratch[0] = 0;
        if (last_waiting_ != nullptr)
            last_waiting_->scratch[0] = reinterpret_cast<std::uint64_t>(&io);
        else
            first_waiting_ = &io;
        last_waiting_ = &io;
        return;
    }
    Request& request = *free_.back();
    free_.pop_back();
    start(request, io);
}

void ProtectionChannel::start(Request& request, StoreIo& io) noexcept {
    io.scratch[1] = reinterpret_cast<std::uint64_t>(&request);
    io.phase = 1;  // has a request
    request.start(io);
}

void ProtectionChannel::finish(Request& request, StoreStatus status) noexcept {
    StoreIo& io = request.outer();
    if (first_waiting_ != nullptr) {
        StoreIo& next = *first_waiting_;
        first_waiting_ = reinterpret_cast<StoreIo*>(next.scratch[0]);
        if (first_waiting_ == nullptr)
            last_waiting_ = nullptr;
        start(request, next);
    } else {
        free_.push_back(&request);
    }
    // Last: whoever is told may close the channel.
    io.complete(status);
}

void ProtectionChannel::cancel(StoreIo& io) noexcept {
    if (io.channel != this) {
        data_->cancel(io);
        return;
    }
    if (io.phase == 1)  // else it waits, and will have its turn soon
        reinterpret_cast<Request*>(io.scratch[1])->cancel();
}

void ProtectionChannel::stepped(StoreIo&, std::int64_t) noexcept {
    OLIO_ASSERT(false, "the requests below take the steps");
}

}  // namespace olio::target
