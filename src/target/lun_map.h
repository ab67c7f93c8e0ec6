// Which logical units an initiator reaches, by LUN. An immutable value: a change is a new map,
// given to the nexus, which then reports REPORTED LUNS DATA HAS CHANGED.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "scsi/types.h"

namespace olio::target {

class LogicalUnit;

struct LunMapEntry {
    std::uint32_t lun = 0;  // 0 … 16383
    LogicalUnit* unit = nullptr;
    bool write_protected = false;  // for this initiator
};

class LunMap {
  public:
    // EINVAL for a LUN above 16383 or given twice.
    static Result<std::shared_ptr<const LunMap>> make(std::vector<LunMapEntry> entries);

    // nullptr: no such LUN. Constant time.
    [[nodiscard]] const LunMapEntry* find(std::uint32_t lun) const noexcept;
    [[nodiscard]] std::span<const LunMapEntry> entries() const noexcept {
        return entries_;
    }  // sorted
    [[nodiscard]] std::span<const scsi::Lun> inventory() const noexcept { return inventory_; }

  private:
    std::vector<LunMapEntry> entries_;
    std::vector<scsi::Lun> inventory_;
    std::vector<std::uint16_t> index_;
};

}  // namespace olio::target
