#include "target/fence.h"

#include <algorithm>

namespace olio::target {

using scsi::MediumAccess;

namespace {

void note_write(Watch& watch, const BlockRange& range) noexcept {
    for (const BlockRange& one : watch.ranges)
        if (one.overlaps(range))
            watch.changed = true;
}

}  // namespace

bool FenceTable::keeps_out(const Command& command) const noexcept {
    if (command.access_ == MediumAccess::none)
        return false;
    const BlockRange range{command.first_block_, command.end_block_};
    bool waits = false;
    for (const Fence& fence : fences_) {
        if (!fence.request.range.overlaps(range))
            continue;
        if (fence.request.kind != FenceKind::watch)
            waits = true;
        else if (command.access_ == MediumAccess::writes)
            note_write(*fence.request.watch, range);
    }
    return waits;
}

// Who raises another fence means to write inside, or something that was aborted still may.
void FenceTable::note_writers(const FenceRequest& request) const noexcept {
    for (const Fence& fence : fences_) {
        if (request.kind == FenceKind::watch && fence.request.kind != FenceKind::watch)
            note_write(*request.watch, fence.request.range);
        else if (request.kind != FenceKind::watch && fence.request.kind == FenceKind::watch)
            note_write(*fence.request.watch, request.range);
    }
}

bool FenceTable::occupied(const FenceRequest& request) const noexcept {
    if (request.kind == FenceKind::orphan)
        return false;
    for (Command& command : commands_) {
        const bool read = command.access_ == MediumAccess::reads;
        const bool lent =
            read && command.stage_ == CommandStage::completing && command.io_.borrowed_count != 0;
        if (command.stage_ != CommandStage::executing &&
            !(lent && request.kind == FenceKind::unseen))
            continue;
        const bool counts = command.access_ == MediumAccess::writes ||
                            (read && request.kind != FenceKind::exclusive);
        if (counts && request.range.overlaps({command.first_block_, command.end_block_}))
            return true;
    }
    return false;
}

void FenceTable::raise(FenceId id, const FenceRequest& request,
                       std::move_only_function<void()> standing) {
    note_writers(request);
    const bool wait = occupied(request);
    fences_.push_back({id, request, nullptr});
    if (wait)
        fences_.back().standing = std::move(standing);
    else
        standing();
}

void FenceTable::lower(FenceId id) noexcept {
    std::erase_if(fences_, [id](const Fence& fence) { return fence.id == id; });
}

void FenceTable::command_left() noexcept {
    // Each call may change the table, so look from the start again.
    for (;;) {
        const auto ready = std::ranges::find_if(fences_, [this](const Fence& fence) {
            return fence.standing != nullptr && !occupied(fence.request);
        });
        if (ready == fences_.end())
            return;
        auto standing = std::exchange(ready->standing, nullptr);
        standing();
    }
}

bool FenceQueue::free(const BlockRange& range, std::size_t before) const noexcept {
    for (const Grant& grant : grants_)
        if (grant.range.overlaps(range))
            return false;
    for (std::size_t i = 0; i < before; ++i)
        if (waiting_[i].request.range.overlaps(range))
            return false;
    return true;
}

void FenceQueue::request(Ticket ticket) {
    if (ticket.request.kind == FenceKind::orphan || ticket.request.kind == FenceKind::watch) {
        ticket.granted(++last_);
        return;
    }
    waiting_.push_back(std::move(ticket));
    serve();
}

void FenceQueue::release(FenceId id) {
    if (std::erase_if(grants_, [id](const Grant& grant) { return grant.id == id; }) != 0)
        serve();
}

void FenceQueue::serve() {
    again_ = true;
    if (serving_)
        return;  // granted() below came back to us
    serving_ = true;
    while (std::exchange(again_, false)) {
        for (std::size_t i = 0; i < waiting_.size(); ++i) {
            if (!free(waiting_[i].request.range, i))
                continue;
            Ticket ticket = std::move(waiting_[i]);
            waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
            grants_.push_back({++last_, ticket.request.range});
            again_ = true;
            ticket.granted(last_);
            break;  // the list may be another now
        }
    }
    serving_ = false;
}

}  // namespace olio::target
