// The whole target in the simulator, under hosts and a world that misbehave by a seed.
//
//     sim_test [--fabric direct|iscsi] [--seed N] [--seeds COUNT] [--replay EVERY] [--verbose]
//
// Runs the seeds N … N+COUNT-1 (the environment's OLIO_SIM_SEEDS overrides COUNT, OLIO_TEST_SCALE
// makes it so many per cent). Every EVERY-th seed is run twice: it must come out the same to the
// event. Exit status 1, and how to replay it, if a seed fails.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "base/log.h"
#include "run.h"

namespace olio::sim {
namespace {

struct Options {
    Fabric fabric = Fabric::direct;
    std::uint64_t seed = 1;
    std::uint64_t seeds = 100;
    std::uint64_t replay_every = 50;
    bool verbose = false;
};

bool number(std::string_view text, std::uint64_t& value) {
    const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
    return end.ec == std::errc{} && end.ptr == text.data() + text.size();
}

bool parse(int argc, char** argv, Options& options) {
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        const std::string_view value = i + 1 < argc ? argv[i + 1] : "";
        if (word == "--verbose") {
            options.verbose = true;
            continue;
        }
        ++i;
        if (word == "--fabric" && (value == "direct" || value == "iscsi"))
            options.fabric = value == "iscsi" ? Fabric::iscsi : Fabric::direct;
        else if (!(word == "--seed" && number(value, options.seed)) &&
                 !(word == "--seeds" && number(value, options.seeds)) &&
                 !(word == "--replay" && number(value, options.replay_every)))
            return false;
    }
    if (const char* count = std::getenv("OLIO_SIM_SEEDS"))
        return number(count, options.seeds);
    std::uint64_t per_cent = 100;
    if (const char* scale = std::getenv("OLIO_TEST_SCALE");
        scale != nullptr && !number(scale, per_cent))
        return false;
    if (options.seeds > 1)
        options.seeds = std::max<std::uint64_t>(1, options.seeds * per_cent / 100);
    return true;
}

void report(const Scenario& scenario, const Verdict& verdict) {
    fmt::print("FAILED {}\n", scenario.text());
    for (const std::string& fault : verdict.faults)
        fmt::print("  {}\n", fault);
    fmt::print("  replay: sim_test --fabric {} --seed {} --seeds 1 --verbose\n",
               scenario.fabric == Fabric::iscsi ? "iscsi" : "direct", scenario.seed);
    std::fflush(stdout);
}

int run_seeds(const Options& options) {
    std::uint64_t failed = 0;
    std::map<std::string, std::uint64_t> counts;
    for (std::uint64_t seed = options.seed; seed < options.seed + options.seeds; ++seed) {
        const Scenario scenario = Scenario::of_seed(seed, options.fabric);
        if (options.verbose)
            fmt::print("{}\n", scenario.text());
        Verdict verdict = run(scenario, options.verbose);
        const bool again = options.replay_every != 0 && seed % options.replay_every == 0;
        if (again && run(scenario, false).hash != verdict.hash)
            verdict.faults.emplace_back("the same seed does not give the same run");
        for (const auto& [what, count] : verdict.counts)
            counts[what] += count;
        if (verdict.faults.empty())
            continue;
        report(scenario, verdict);
        if (++failed == 10)
            break;
    }
    for (const auto& [what, count] : counts)
        fmt::print("{:>10} {}\n", count, what);
    fmt::print("{} seeds failed\n", failed);
    return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace olio::sim

int main(int argc, char** argv) {
    olio::sim::Options options;
    if (!olio::sim::parse(argc, argv, options)) {
        fmt::print(
            "usage: {} [--fabric direct|iscsi] [--seed N] [--seeds COUNT] [--replay EVERY] "
            "[--verbose]\n",
            argv[0]);
        return 2;
    }
    olio::log::set_level(options.verbose ? olio::log::Level::debug : olio::log::Level::off);
    return olio::sim::run_seeds(options);
}
