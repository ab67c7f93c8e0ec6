// What a seed stands for: how many shards, hosts and units, what they are made of, and what goes
// wrong.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace olio::sim {

enum class Fabric : std::uint8_t { direct, iscsi };

struct UnitScenario {
    bool ram = false;
    std::uint64_t blocks = 256;
    std::uint32_t block_bytes = 512;
    bool write_through = false;
    bool punches_holes = true;
    std::uint64_t disk_latency_most_ns = 500'000;
    unsigned short_io_per_mille = 0;
};

struct Scenario {
    std::uint64_t seed = 1;
    Fabric fabric = Fabric::direct;
    unsigned shards = 1;
    std::vector<UnitScenario> units;
    unsigned sessions = 1;
    unsigned commands_per_session = 40;
    unsigned depth = 4;
    std::uint64_t think_most_ms = 3;
    // Of the actions of a host, per mille.
    unsigned cut_per_mille = 0;
    unsigned function_per_mille = 0;
    unsigned hold_per_mille = 0;
    unsigned naca_per_mille = 0;  // of commands, whose CHECK CONDITION establishes an ACA condition
    // What happens to the world, every so many milliseconds on average; 0: never.
    std::uint64_t stall_every_ms = 0;
    std::uint64_t disk_error_every_ms = 0;
    std::uint64_t resize_every_ms = 0;
    std::uint64_t network_fault_every_ms = 0;
    std::uint64_t network_latency_most_ns = 200'000;
    std::uint64_t network_window_bytes = 64 << 10;
    bool power_fails = false;

    [[nodiscard]] static Scenario of_seed(std::uint64_t seed, Fabric fabric);
    [[nodiscard]] std::string text() const;
};

}  // namespace olio::sim
