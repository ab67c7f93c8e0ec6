#include "fabric/iscsi/task.h"

#include <algorithm>

namespace olio::iscsi {

namespace {
// A sequence whose PDUs come in any order is remembered as runs; more runs than this are refused.
constexpr std::size_t max_extents = 64;
}  // namespace

bool Burst::accept(std::uint32_t at, std::uint32_t bytes, bool in_order) {
    if (at < offset || at - offset > length || bytes > length - (at - offset))
        return false;
    if (in_order) {
        if (at != offset + received)
            return false;
        received += bytes;
        return true;
    }
    if (bytes == 0)
        return true;
    const std::uint32_t end = at + bytes;
    auto after = std::ranges::find_if(extents, [at](const Extent& run) { return run.begin >= at; });
    if (after != extents.end() && after->begin < end)
        return false;
    if (after != extents.begin() && std::prev(after)->end > at)
        return false;
    if (after != extents.begin() && std::prev(after)->end == at) {
        std::prev(after)->end = end;
    } else if (after != extents.end() && after->begin == end) {
        after->begin = at;
    } else {
        if (extents.size() == max_extents)
            return false;
        extents.insert(after, {at, end});
    }
    received += bytes;
    return true;
}

void IscsiTask::reset() noexcept {
    state = TaskState::unused;
    immediate = reads = holds_window = terminating = false;
    protocol_failed = failure_reported = false;
    unsolicited_done = true;
    unsolicited_data = false;
    failure = {};
    expected_length = next_offset = staging_bytes = 0;
    expected_data_out_bytes = expected_data_in_bytes = 0;
    sequence_number = data_in_bytes = data_in_sent = burst_sent = 0;
    data_out = {};
    for (Burst& burst : bursts)
        burst.open = false;
    staging.release();
    long_cdb.clear();
}

Burst* IscsiTask::find_burst(std::uint32_t transfer_tag) noexcept {
    const auto found = std::ranges::find_if(bursts, [transfer_tag](const Burst& burst) {
        return burst.open && burst.transfer_tag == transfer_tag;
    });
    return found == bursts.end() ? nullptr : &*found;
}

unsigned IscsiTask::open_bursts() const noexcept {
    return static_cast<unsigned>(std::ranges::count(bursts, true, &Burst::open));
}

void IscsiTask::close_bursts() noexcept {
    for (Burst& burst : bursts) {
        sequence_number -= burst.open && !burst.announced ? 1 : 0;
        burst.open = false;
    }
}

MutableBytes IscsiTask::data_out_memory() const noexcept {
    if (protocol_failed || terminating)
        return {};
    if (state == TaskState::receiving)
        return data_out;
    if (state == TaskState::held && staging)
        return staging.bytes(staging_bytes);
    return {};
}

}  // namespace olio::iscsi
