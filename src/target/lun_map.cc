#include "target/lun_map.h"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>

namespace olio::target {

namespace {
constexpr std::uint32_t highest_lun = 16383;
}

Result<std::shared_ptr<const LunMap>> LunMap::make(std::vector<LunMapEntry> entries) {
    std::ranges::sort(entries, {}, &LunMapEntry::lun);
    for (std::size_t i = 0; i < entries.size(); ++i) {
        if (entries[i].lun > highest_lun)
            return fail(EINVAL, fmt::format("LUN {} is above {}, the highest that there is",
                                            entries[i].lun, highest_lun));
        if (entries[i].unit == nullptr)
            return fail(EINVAL, fmt::format("LUN {} has no logical unit", entries[i].lun));
        if (i != 0 && entries[i].lun == entries[i - 1].lun)
            return fail(EINVAL, fmt::format("LUN {} is given twice", entries[i].lun));
    }
    auto map = std::make_shared<LunMap>();
    map->entries_ = std::move(entries);
    map->inventory_.reserve(map->entries_.size());
    if (!map->entries_.empty())
        map->index_.resize(map->entries_.back().lun + std::size_t{1}, 0);
    for (std::size_t i = 0; i < map->entries_.size(); ++i) {
        const std::uint32_t lun = map->entries_[i].lun;
        map->inventory_.push_back(scsi::Lun::from_number(lun));
        map->index_[lun] = static_cast<std::uint16_t>(i + 1);
    }
    return map;
}

const LunMapEntry* LunMap::find(std::uint32_t lun) const noexcept {
    if (lun >= index_.size() || index_[lun] == 0)
        return nullptr;
    return &entries_[index_[lun] - std::size_t{1}];
}

}  // namespace olio::target
