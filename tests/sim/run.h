// One run: the whole target in the simulator, hosts that use it, a world that goes wrong, and the
// judgement at the end.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "scenario.h"

namespace olio::sim {

struct Verdict {
    std::vector<std::string> faults;  // empty: all invariants held
    std::uint64_t hash = 0;           // of all that happened; the same for the same seed
    std::map<std::string, std::uint64_t> counts;
};

[[nodiscard]] Verdict run(const Scenario& scenario, bool verbose);

}  // namespace olio::sim
