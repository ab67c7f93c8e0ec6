#include "scenario.h"

#include <fmt/format.h>

#include "reactor/shard.h"

namespace olio::sim {

Scenario Scenario::of_seed(std::uint64_t seed, Fabric fabric) {
    reactor::Random random(seed * 2 + (fabric == Fabric::iscsi ? 1 : 0));
    const auto sometimes = [&random](unsigned one_in, std::uint64_t value) {
        return random.below(one_in) == 0 ? value : 0;
    };
    Scenario s;
    s.seed = seed;
    s.fabric = fabric;
    s.shards = 1 + static_cast<unsigned>(random.below(3));
    s.sessions = 1 + static_cast<unsigned>(random.below(5));
    s.commands_per_session = 20 + static_cast<unsigned>(random.below(60));
    s.depth = 1 + static_cast<unsigned>(random.below(12));
    s.think_most_ms = random.below(4);
    s.power_fails = random.below(4) == 0;
    const std::uint64_t units = 1 + random.below(3);
    for (std::uint64_t i = 0; i < units; ++i) {
        UnitScenario unit;
        unit.ram = !s.power_fails && random.below(3) == 0;
        unit.block_bytes = random.below(3) == 0 ? 4096 : 512;
        unit.blocks = 32 + 8 * random.below(16);
        unit.write_through = random.below(3) == 0;
        unit.punches_holes = random.below(4) != 0;
        unit.disk_latency_most_ns = random.below(4) == 0 ? 30'000'000 : 500'000;
        if (unit.block_bytes == 512)  // a disk of larger blocks moves whole ones
            unit.short_io_per_mille = static_cast<unsigned>(sometimes(2, random.below(300)));
        s.units.push_back(unit);
    }
    s.cut_per_mille = static_cast<unsigned>(sometimes(2, random.below(40)));
    s.function_per_mille = static_cast<unsigned>(sometimes(2, random.below(80)));
    s.hold_per_mille = static_cast<unsigned>(sometimes(3, random.below(60)));
    s.stall_every_ms = sometimes(4, 20 + random.below(200));
    s.disk_error_every_ms = sometimes(4, 20 + random.below(200));
    s.resize_every_ms = sometimes(5, 20 + random.below(100));
    s.network_fault_every_ms = sometimes(4, 20 + random.below(200));
    s.network_latency_most_ns = random.below(4) == 0 ? 10'000'000 : 200'000;
    s.network_window_bytes = random.below(4) == 0 ? 2048 : 64 << 10;
    s.naca_per_mille = static_cast<unsigned>(sometimes(3, 100 + random.below(900)));
    return s;
}

std::string Scenario::text() const {
    std::string text = fmt::format(
        "seed {}: {}, {} shards, {} sessions of {} commands at depth {}; cut {}, functions {}, "
        "held data {}, "
        "NACA {} per mille; stalls {}, disk errors {}, resizes {}, network faults {} ms{}",
        seed, fabric == Fabric::iscsi ? "iSCSI" : "direct", shards, sessions, commands_per_session,
        depth, cut_per_mille, function_per_mille, hold_per_mille, naca_per_mille, stall_every_ms,
        disk_error_every_ms, resize_every_ms, network_fault_every_ms,
        power_fails ? "; power fails" : "");
    for (const UnitScenario& unit : units)
        text += fmt::format("; {} of {} blocks of {}{}", unit.ram ? "RAM" : "file", unit.blocks,
                            unit.block_bytes, unit.write_through ? ", write-through" : "");
    return text;
}

}  // namespace olio::sim
