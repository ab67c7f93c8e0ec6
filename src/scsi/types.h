// Words of SAM-5 that every room above uses.
#pragma once

#include <array>
#include <cstdint>

namespace olio::scsi {

// SAM-5 5.3.1
enum class Status : std::uint8_t {
    good = 0x00,
    check_condition = 0x02,
    condition_met = 0x04,
    busy = 0x08,
    reservation_conflict = 0x18,
    task_set_full = 0x28,
    aca_active = 0x30,
    task_aborted = 0x40,
};

// SAM-5 8.6
enum class TaskAttribute : std::uint8_t { simple, ordered, head_of_queue, aca };

// The eight bytes of a LUN as they travel (SAM-5 4.7).
struct Lun {
    std::array<std::uint8_t, 8> bytes{};

    // Single-level LUNs in peripheral (below 256) or flat space addressing; number <= 16383.
    [[nodiscard]] static Lun from_number(std::uint32_t number) noexcept;
    // The number of a single-level LUN in either form; logical unit or second-level addressing, and
    // anything in bytes 2 to 7, yields no_number (an unknown LUN).
    static constexpr std::uint32_t no_number = ~0u;
    [[nodiscard]] std::uint32_t number() const noexcept;
    bool operator==(const Lun&) const = default;
};

// SPC-5 7.6.1, the PROTOCOL IDENTIFIER field.
enum class ProtocolIdentifier : std::uint8_t {
    fibre_channel = 0x0,
    ssa = 0x2,
    ieee1394 = 0x3,
    rdma = 0x4,
    iscsi = 0x5,
    sas = 0x6,
    usb = 0x9,
    sop = 0xA,
    none = 0xF,
};

// Names one I_T nexus for as long as the daemon runs; never reused. 0: none.
using NexusId = std::uint64_t;

}  // namespace olio::scsi
