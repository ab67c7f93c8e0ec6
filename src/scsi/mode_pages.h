// Mode pages (SPC-5 7.5, SBC-4 6.5): current, changeable, default values from one table of pages.
#pragma once

#include <cstdint>
#include <expected>

#include "base/bytes.h"
#include "scsi/sense.h"

namespace olio::scsi {

struct LogicalUnitState;
struct Request;

// The values that can differ between logical units or be changed by MODE SELECT. The pages are made
// of them by the table in mode_pages.cc, which also says which bits are changeable.
struct ModePages {
    bool write_cache_enabled = false;     // caching page WCE: true to what the backing store does
    bool write_cache_changeable = false;  // MODE SELECT may switch it (the store can do both)
    bool read_cache_disabled = false;     // RCD
    bool descriptor_sense = false;        // control page D_SENSE
    bool task_aborted_status = true;      // control page TAS
    bool software_write_protect = false;  // control page SWP
    std::uint8_t task_set_type = 1;       // TST = 001b: a task set per I_T nexus
    std::uint8_t queue_algorithm_modifier = 1;  // 1: unrestricted reordering allowed
    bool operator==(const ModePages&) const = default;
};

// MODE SELECT(6) and (10): the next values, or why not (SPC-5 6.13). `list` is the whole parameter
// list. Unchanged pages are accepted; a change outside the changeable mask is INVALID FIELD IN
// PARAMETER LIST with a field pointer.
[[nodiscard]] std::expected<ModePages, SenseData> mode_select(const Request& request, Bytes list);

}  // namespace olio::scsi
