// Latencies, counted in buckets whose width is 1/32 of their power of two: 3 % of error, no
// allocation.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace olio::bench {

class LatencyHistogram {
  public:
    void add(std::uint64_t nanoseconds) {
        counts_[bucket(nanoseconds)]++;
        total_++;
    }

    // The latency that the fraction (0 to 1) of all does not exceed; 0 if there is none.
    std::uint64_t quantile_ns(double fraction) const {
        auto left = static_cast<std::uint64_t>(fraction * static_cast<double>(total_));
        for (std::size_t i = 0; i < counts_.size(); i++) {
            if (counts_[i] > left) {
                return lower_bound(i);
            }
            left -= counts_[i];
        }
        return 0;
    }

  private:
    static constexpr unsigned sub_bits = 5;
    static constexpr std::uint64_t sub_buckets = 1 << sub_bits;

    // Below 64 ns each value has a bucket; above, 32 buckets for each power of two.
    static constexpr std::size_t bucket(std::uint64_t value) {
        if (value < 2 * sub_buckets) {
            return value;
        }
        const auto shift = static_cast<unsigned>(std::bit_width(value)) - 1 - sub_bits;
        return shift * sub_buckets + (value >> shift);
    }
    static constexpr std::uint64_t lower_bound(std::size_t index) {
        if (index < 2 * sub_buckets) {
            return index;
        }
        const std::uint64_t shift = index / sub_buckets - 1;
        return (index % sub_buckets + sub_buckets) << shift;
    }

    std::array<std::uint64_t, (64 - sub_bits + 1) * sub_buckets> counts_{};
    std::uint64_t total_ = 0;
};

}  // namespace olio::bench
