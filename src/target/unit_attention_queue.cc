#include "target/unit_attention_queue.h"

namespace olio::target {

using scsi::UnitAttention;

void UnitAttentionQueue::erase(std::size_t at) noexcept {
    for (std::size_t i = at + 1; i < count_; ++i)
        queue_[i - 1] = queue_[i];
    --count_;
}

bool UnitAttentionQueue::pending(UnitAttention attention) const noexcept {
    for (std::size_t i = 0; i < count_; ++i)
        if (queue_[i] == attention)
            return true;
    return false;
}

void UnitAttentionQueue::establish(UnitAttention attention) noexcept {
    const scsi::UnitAttentionRow& row = scsi::row_of(attention);
    if (pending(attention))
        return;
    if (row.clears_others()) {
        for (std::size_t i = count_; i-- > 0;)
            if (scsi::row_of(queue_[i]).priority >= row.priority)
                erase(i);
    }
    if (count_ == queue_.size()) {
        queue_[0] = UnitAttention::power_on_reset_or_bus_device_reset;
        count_ = 1;
        return;
    }
    std::size_t at = count_;
    while (at > 0 && scsi::row_of(queue_[at - 1]).priority > row.priority) {
        queue_[at] = queue_[at - 1];
        --at;
    }
    queue_[at] = attention;
    ++count_;
}

std::optional<UnitAttention> UnitAttentionQueue::take() noexcept {
    if (count_ == 0)
        return std::nullopt;
    const UnitAttention first = queue_[0];
    erase(0);
    return first;
}

void UnitAttentionQueue::clear(UnitAttention attention) noexcept {
    for (std::size_t i = 0; i < count_; ++i)
        if (queue_[i] == attention) {
            erase(i);
            return;
        }
}

}  // namespace olio::target
