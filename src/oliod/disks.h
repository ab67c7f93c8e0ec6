// From what was written to a backing store.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "oliod/disk_spec.h"

namespace olio::target {
class Backstore;
}

namespace olio::oliod {

// Opens RAM, a file or a block device, whichever the spec and what lies at its path say. `name`
// tells RAM disks apart, in messages and in their identity.
[[nodiscard]] Result<std::unique_ptr<target::Backstore>> open_disk(const DiskSpec& spec,
                                                                   const std::string& name);

}  // namespace olio::oliod
