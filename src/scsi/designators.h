// Designation descriptors (SPC-5 7.7.6.1): names of logical units, ports and devices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/bytes.h"

namespace olio::scsi {

struct Identification;
struct PortDescription;

enum class CodeSet : std::uint8_t { binary = 1, ascii = 2, utf_8 = 3 };
enum class Association : std::uint8_t { logical_unit = 0, target_port = 1, target_device = 2 };

// The four bytes before a designator. `port` says the protocol of a target port or target device;
// null for a logical unit.
void put_designator_header(const PortDescription* port, Association association, CodeSet code_set,
                           std::uint8_t type, std::size_t length, Builder& into);

// Designator type 8h (SPC-5 7.7.6.9): with a NUL, padded with more to a multiple of four, at most
// 252 bytes.
void put_scsi_name_string(const PortDescription& port, Association association,
                          std::string_view name, Builder& into);

// T10 vendor ID based and NAA designators.
void put_logical_unit_designators(const Identification& who, Builder& into);

}  // namespace olio::scsi
