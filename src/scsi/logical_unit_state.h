// All that the command set must know of a logical unit to answer a command without doing I/O: a
// value. The logical unit's home shard makes the next one; every shard holds an immutable snapshot
// of it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/limits.h"
#include "scsi/access_states.h"
#include "scsi/aliases.h"
#include "scsi/background.h"
#include "scsi/command_table.h"
#include "scsi/log_pages.h"
#include "scsi/maintenance.h"
#include "scsi/mode_pages.h"
#include "scsi/pollable_sense.h"
#include "scsi/priorities.h"
#include "scsi/reservations.h"
#include "scsi/types.h"
#include "scsi/unit_information.h"

namespace olio::scsi {

// Who the logical unit is, in INQUIRY and the VPD pages 80h and 83h.
struct Identification {
    std::string vendor = "OLIO";         // at most 8 ASCII characters
    std::string product = "disk";        // at most 16
    std::string revision = "0001";       // at most 4
    std::string serial;                  // unit serial number, at most 252 characters, unique
    std::array<std::uint8_t, 16> naa{};  // NAA 6h (IEEE registered extended), unique and stable
};

// The medium and the Block Limits, Block Device Characteristics and Logical Block Provisioning
// pages.
struct Geometry {
    std::uint64_t blocks = 0;                  // capacity; at least 1
    std::uint32_t block_bytes = 512;           // 512 or 4096
    std::uint8_t physical_block_exponent = 0;  // logical blocks per physical block: 2^n
    std::uint16_t lowest_aligned_lba = 0;
    std::uint16_t rotation_rate = 1;                 // SBC-4 6.6.2: 1 = non-rotating
    std::uint32_t optimal_transfer_granularity = 0;  // blocks
    std::uint32_t optimal_transfer_blocks = 0;
};

struct Provisioning {
    bool unmap = false;                 // UNMAP (LBPU)
    bool write_same_unmap = false;      // WRITE SAME with UNMAP=1 (LBPWS, LBPWS10)
    bool unmapped_reads_zeros = false;  // LBPRZ
    bool anchor = false;                // ANC_SUP: blocks can be anchored
    // What the store tells of its space: the resources of SBC-4, and whether the thresholds
    // of the mode page stand reached (scsi/provisioning.h).
    bool reports_resources = false;
    bool resources_known = false;   // it did tell when it was last asked
    bool shared_resources = false;  // with others, of whom the store knows nothing
    bool available_reached = false;
    bool used_reached = false;
    std::uint64_t available_blocks = 0;
    std::uint64_t used_blocks = 0;
    std::uint32_t granularity_blocks = 0;
    std::uint32_t alignment_blocks = 0;
    std::uint32_t maximum_unmap_blocks = 0;       // of one UNMAP in all; 0: no limit
    std::uint32_t maximum_unmap_descriptors = 0;  // 0: no limit
    std::uint64_t maximum_write_same_blocks = 0;  // 0: no limit
    bool operator==(const Provisioning&) const = default;
};

// One target port through which the logical unit is reached, for VPD pages 83h and 88h.
struct PortDescription {
    ProtocolIdentifier protocol = ProtocolIdentifier::iscsi;
    std::uint16_t relative_port = 1;
    std::string port_name;    // SCSI name string, iSCSI: "iqn...,t,0x0001"
    std::string device_name;  // SCSI name string of the target device, iSCSI: "iqn..."
};

// A target port that the logical unit is configured at, whether a host comes that way or not.
struct ConfiguredPort {
    PortDescription description;
    std::string fabric = "iscsi";        // as LIO names the module: iscsi, qla2xxx, ...
    std::uint16_t portal_group_tag = 1;  // LIO's tpgt
    std::uint64_t lun = 0;               // of the logical unit there
};

// The streams that STREAM CONTROL has opened (SBC-4). What they are written for is a hint to
// the medium, of which ours makes nothing; a logical unit reset closes them.
struct Streams {
    static constexpr std::uint16_t maximum = 16;  // MAXIMUM NUMBER OF STREAMS
    std::uint32_t open = 0;                       // a bit for each identifier, 1 to `maximum`

    [[nodiscard]] bool is_open(std::uint16_t stream) const noexcept {
        return stream >= 1 && stream <= maximum && (open >> stream & 1U) != 0;
    }
};

// The generations of the bitmaps that ORWRITE maintains (SBC-4 4.27). A logical unit reset leaves
// them.
struct OrwriteGenerations {
    std::uint32_t current = 0;
    std::uint32_t previous = 0;
    std::uint8_t policy = 7;  // the current ORWRITE processing policy
};

// T10 protection information of the medium (SBC-4 4.21). Type 0: none.
struct Protection {
    std::uint8_t type = 0;   // 0 to 3: how the medium is formatted
    bool supported = false;  // the store can keep it: FORMAT UNIT may choose another type
    // What FORMAT UNIT has chosen; it outlives the daemon. None: nobody has formatted the unit.
    std::optional<std::uint8_t> formatted;

    // Whether hosts are told that the unit can have it (PROTECT of the standard INQUIRY data).
    [[nodiscard]] bool offered() const noexcept { return supported || type != 0; }
};

// What an administrator sets and no other part of the state shows; target/attributes.h has the
// names and the rest.
struct UnitSettings {
    bool model_alias = false;                 // INQUIRY's product is the unit's name
    bool third_party_copy = true;             // EXTENDED COPY and its relatives exist
    bool reservations = true;                 // PERSISTENT RESERVE, RESERVE and RELEASE exist
    bool operation_code_report = true;        // REPORT SUPPORTED OPERATION CODES exists
    bool enforce_session_identifiers = true;  // a registration belongs to a session's ISID
    bool force_aptpl = false;                 // every reservation outlives a loss of power
    // Tuples that travel with the data (a PROTECT field other than 000b) are checked. Off, those
    // who take and send them are left to check them, and hosts are told so.
    bool verify_protection = true;
    std::uint32_t queue_depth = limits::commands_per_nexus;
    std::uint32_t submit_type = 0;
};

struct LogicalUnitState {
    Identification identification;
    Geometry geometry;
    Provisioning provisioning;
    Protection protection;
    UnitSettings settings;
    ModePages mode_pages;
    ModePages default_mode_pages;               // what MODE SENSE reports as default values
    std::optional<ModePages> saved_mode_pages;  // what MODE SELECT with SP = 1 saved
    bool mode_pages_savable = false;            // there is stable storage to save them on
    Reservations reservations;
    bool reservations_can_persist = false;  // APTPL = 1: there is a place to keep them
    AccessStateTable access;
    std::vector<ConfiguredPort> target_ports;  // by relative port; empty: not told
    Streams streams;
    OrwriteGenerations orwrite;
    BackgroundState background;
    SelfTestLog self_tests;
    std::shared_ptr<const EchoBuffer> echo_buffer;  // null: nobody has written it
    bool write_protected = false;  // by the administrator or the backing store; also SWP
    bool fua_supported = true;     // DPOFUA in MODE SENSE
    PowerCondition power = PowerCondition::active;  // as START STOP UNIT left it
    bool medium_present = true;                     // false: the backing store vanished (NOT READY)
    std::uint32_t maximum_transfer_blocks = 0;      // 0: no limit
    std::uint32_t maximum_compare_and_write_blocks = 255;  // at most 255; 0: no COMPARE AND WRITE
    bool block_erase = false;                              // SANITIZE with BLOCK ERASE
    std::uint32_t maximum_atomic_blocks = 0;               // 0: no WRITE ATOMIC
    std::vector<NexusPriority> priorities;                 // that SET PRIORITY gave
    IdentifyingInformation identifying_information;
    Timestamp timestamp;
    LogValues log_addends;                // what LOG SELECT added to the counters; see log_pages.h
    std::uint32_t start_stop_cycles = 0;  // ends of the stopped condition
    std::array<std::uint32_t, power_transition_codes> power_transitions{};  // by parameter code
    std::optional<std::uint8_t> endurance_used_percent;  // of the medium, where known
    std::uint64_t version = 0;                           // grows with each snapshot
};

// What an answer may depend on besides the logical unit.
struct NexusState {
    NexusId id = 0;
    const PortDescription* port = nullptr;
    std::span<const Lun> luns;         // the nexus's LUN inventory, for REPORT LUNS
    const NexusName* name = nullptr;   // null where nobody asks for it
    std::span<const Alias> aliases{};  // with the logical unit
};

// A command as a pure handler sees it. `cdb` is at least row.cdb_bytes long. `state` is null for a
// LUN that has no logical unit (INQUIRY answers with peripheral qualifier 011b there, SPC-5 6.6.1;
// REPORT LUNS and REQUEST SENSE work too).
struct Request {
    const CommandRow& row;
    Bytes cdb;
    DecodedCdb decoded;
    const LogicalUnitState* state;
    const NexusState& nexus;
};

}  // namespace olio::scsi
