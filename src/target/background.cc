#include "target/background.h"

#include <algorithm>

#include "scsi/format.h"
#include "target/logical_unit.h"

namespace olio::target {

namespace {

constexpr std::uint64_t zeroing_bytes = 16 << 20;  // asked of the store at a time
constexpr std::size_t buffer_alignment = 4096;     // what O_DIRECT wants at most
constexpr std::uint16_t report_every = 256;        // 65536ths

}  // namespace

BackgroundTask::BackgroundTask(LogicalUnitView& view, std::vector<Stretch> stretches,
                               std::move_only_function<void(std::uint16_t)> progress,
                               std::move_only_function<void(const BackgroundResult&)> ended)
    : view_(view),
      stretches_(std::move(stretches)),
      progress_(std::move(progress)),
      ended_(std::move(ended)),
      buffer_(static_cast<std::uint8_t*>(std::aligned_alloc(buffer_alignment, buffer_bytes))) {
    for (const Stretch& stretch : stretches_)
        total_blocks_ += stretch.range.end - stretch.range.first;
}

void BackgroundTask::start() noexcept {
    if (buffer_ == nullptr) {
        finish({.status = StoreStatus::internal_error, .reading = false, .error_lba = 0});
        return;
    }
    begin_stretch();
    view_.shard().defer(*this);
}

// The pattern, as often as the buffer holds it.
void BackgroundTask::begin_stretch() noexcept {
    done_blocks_ = 0;
    if (stretch_ == stretches_.size() || stretches_[stretch_].opcode != StoreOpcode::write)
        return;
    scsi::repeat_block(stretches_[stretch_].pattern, {buffer_.get(), buffer_bytes});
}

void BackgroundTask::store_completed(StoreIo&) noexcept {
    view_.shard().defer(*this);
}

void BackgroundTask::run() noexcept {
    if (io_.completion != nullptr) {  // a request has ended
        io_.completion = nullptr;
        if (io_.status != StoreStatus::good) {
            finish({.status = io_.status,
                    .reading = io_.opcode == StoreOpcode::read,
                    .error_lba = io_.error_lba});
            return;
        }
        if (flushing_) {
            flushing_ = false;
            ++stretch_;
            begin_stretch();
        } else {
            done_blocks_ += io_.blocks;
            total_done_ += io_.blocks;
            report();
        }
    }
    if (stopping_)
        finish(
            {.status = StoreStatus::canceled, .reading = false, .error_lba = 0, .stopped = true});
    else
        next();
}

void BackgroundTask::next() noexcept {
    while (stretch_ < stretches_.size()) {
        const Stretch& stretch = stretches_[stretch_];
        const std::uint64_t left = stretch.range.end - stretch.range.first - done_blocks_;
        if (left == 0) {
            if (stretch.opcode != StoreOpcode::read) {
                flushing_ = true;
                request(StoreOpcode::flush, 0, 0);
                return;
            }
            ++stretch_;
            begin_stretch();
            continue;
        }
        const std::uint64_t block_bytes = view_.block_bytes();
        std::uint64_t bytes =
            stretch.opcode == StoreOpcode::write_zeroes ? zeroing_bytes : buffer_bytes;
        const std::uint32_t most = view_.capabilities().maximum_io_bytes;
        if (most != 0 && stretch.opcode != StoreOpcode::write_zeroes)
            bytes = std::min<std::uint64_t>(bytes, most);
        request(stretch.opcode, stretch.range.first + done_blocks_,
                std::min(left, std::max<std::uint64_t>(bytes / block_bytes, 1)));
        return;
    }
    finish({});
}

void BackgroundTask::request(StoreOpcode opcode, std::uint64_t lba, std::uint64_t blocks) noexcept {
    const bool moves = opcode == StoreOpcode::read || opcode == StoreOpcode::write;
    io_.opcode = opcode;
    io_.fua = false;
    io_.may_unmap = opcode == StoreOpcode::write_zeroes && stretches_[stretch_].may_unmap;
    io_.anchor = false;
    io_.may_borrow = false;
    io_.priority = 0;
    io_.lba = lba;
    io_.blocks = blocks;
    io_.data = moves ? MutableBytes(buffer_.get(), blocks * view_.block_bytes()) : MutableBytes();
    io_.completion = this;
    io_.status = StoreStatus::good;
    io_.borrowed_count = 0;
    io_.progress = 0;
    io_.phase = 0;
    view_.channel().submit(io_);
}

void BackgroundTask::report() noexcept {
    if (total_blocks_ == 0)
        return;
    // In floating point: no product of two 64-bit numbers fits anywhere, and nobody counts on it.
    const double part = static_cast<double>(total_done_) / static_cast<double>(total_blocks_);
    const auto now = static_cast<std::uint16_t>(std::min(part, 1.0) * 65535.0);
    if (now - reported_ < report_every)
        return;
    reported_ = now;
    progress_(now);
}

void BackgroundTask::finish(BackgroundResult result) noexcept {
    auto ended = std::move(ended_);
    ended(result);  // and this may be the end of the task
}

}  // namespace olio::target
