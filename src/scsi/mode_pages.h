// Mode pages (SPC-5 7.5, SBC-4 6.5): current, changeable, default values from one table of pages.
#pragma once

#include <cstdint>
#include <expected>
#include <vector>

#include "base/bytes.h"
#include "scsi/sense.h"

namespace olio::scsi {

struct LogicalUnitState;
struct Request;

// The values that can differ between logical units or be changed by MODE SELECT. The pages are made
// of them by the table in mode_page_table.cc, which also says which of them are changeable. A new
// member is a new row there.
struct ModePages {
    bool write_cache_enabled = false;     // caching page WCE: true to what the backing store does
    bool write_cache_changeable = false;  // MODE SELECT may switch it (the store can do both)
    bool read_cache_disabled = false;     // RCD
    bool descriptor_sense = false;        // control page D_SENSE
    bool task_aborted_status = true;      // control page TAS
    bool protection_changeable = false;   // the unit can have protection information: ATO and DPICZ
                                          // may be changed
    bool application_tag_owner = false;   // ATO: application tags are the application client's
    bool protection_check_disabled =
        false;                            // DPICZ: with a PROTECT field of 000b nothing is checked
    bool software_write_protect = false;  // control page SWP
    std::uint8_t task_set_type = 1;       // TST = 001b: a task set per I_T nexus
    std::uint8_t queue_algorithm_modifier = 1;  // 1: unrestricted reordering allowed
    std::uint8_t queue_error_management = 0;    // QERR: 00b, 01b, 11b
    std::uint8_t unit_attention_interlock = 0;  // UA_INTLCK_CTRL: 00b, 10b, 11b
    bool timestamp_precedence = true;           // control extension page SCSIP
    std::uint8_t initial_command_priority = 0;  // the same page; 0: none
    bool exceptions_disabled = false;           // informational exceptions page DEXCPT
    bool exception_test = false;                // TEST
    std::uint8_t exception_reporting = 0;       // MRIE: 0 none, 6 on request (REQUEST SENSE)
    // Logical Block Provisioning page, in threshold sets.
    bool available_threshold_enabled = false;
    std::uint32_t available_threshold = 0;
    bool used_threshold_enabled = false;
    std::uint32_t used_threshold = 0;
    bool operator==(const ModePages&) const = default;
};

// MODE SELECT(6) and (10): the next values, or why not (SPC-5 6.13). `list` is the whole parameter
// list. Unchanged pages are accepted; a change outside the changeable mask is INVALID FIELD IN
// PARAMETER LIST with a field pointer.
// SP = 1 is INVALID FIELD IN CDB where LogicalUnitState::mode_pages_savable is not set.
[[nodiscard]] std::expected<ModePages, SenseData> mode_select(const Request& request, Bytes list);
// SP: the next values are also to be the saved ones, all of them (SPC-5 6.13).
[[nodiscard]] bool mode_select_saves(Bytes cdb) noexcept;

// The values with which the logical unit starts, and to which a reset takes it: the saved ones, or
// the default ones where none were saved. WCE stays what the backing store does.
[[nodiscard]] ModePages mode_pages_after_reset(const LogicalUnitState& state);

// Saved values as they are kept on stable storage: the savable mode pages, one behind the other, as
// MODE SENSE gives them.
[[nodiscard]] std::vector<std::uint8_t> encode_saved_mode_pages(const ModePages& pages);
// Reads them back, made perhaps by another version: what can be changed is taken over into
// `defaults`, the rest is passed over. False: the bytes are not a list of mode pages.
[[nodiscard]] bool decode_saved_mode_pages(Bytes stored, const ModePages& defaults,
                                           ModePages& into);

}  // namespace olio::scsi
