// Aliases: eight bytes that a host gives to the names of targets (SPC-5, CHANGE ALIASES and REPORT
// ALIASES). Each I_T nexus has a list of its own with each logical unit; it ends with the nexus, or
// with a logical unit reset.
#pragma once

#include <cstdint>
#include <expected>
#include <vector>

#include "base/bytes.h"
#include "scsi/sense.h"
#include "scsi/types.h"

namespace olio::scsi {

struct Request;

struct Alias {
    std::uint64_t value = 0;  // not 0
    ProtocolIdentifier protocol = ProtocolIdentifier::none;
    std::uint8_t format = 0;                // FORMAT CODE, as the protocol has them
    std::vector<std::uint8_t> designation;  // as the host gave it
    bool operator==(const Alias&) const = default;
};

// What CHANGE ALIASES makes of `now`, or why nothing: all or nothing. At most
// limits::aliases_per_nexus_and_unit.
[[nodiscard]] std::expected<std::vector<Alias>, SenseData> change_aliases(std::vector<Alias> now,
                                                                          Bytes list);
// REPORT ALIASES: those of the nexus.
[[nodiscard]] std::expected<void, SenseData> report_aliases(const Request& request, Builder& into);

}  // namespace olio::scsi
