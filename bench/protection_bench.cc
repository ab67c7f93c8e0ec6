// What T10 protection information costs: its parts alone, and a command of 64 KiB through the
// engine to a disk in memory with and without it.
#include <benchmark/benchmark.h>

#include <array>
#include <memory>
#include <vector>

#include "backstore/ramdisk/ramdisk.h"
#include "scsi/protection_guards.h"
#include "scsi/protection_information.h"
#include "target/engine.h"

namespace {

using namespace olio;

constexpr std::size_t bytes = 64 << 10;
constexpr std::size_t block_bytes = 512;
constexpr std::size_t blocks = bytes / block_bytes;
constexpr std::uint64_t disk_bytes = 64 << 20;

void set_throughput(benchmark::State& state) {
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * bytes));
}

struct Sample {
    std::vector<std::uint8_t> data = std::vector<std::uint8_t>(bytes, 0x5A);
    std::vector<std::uint8_t> tuples = std::vector<std::uint8_t>(blocks * scsi::protection_bytes);
    std::vector<std::uint8_t> both = std::vector<std::uint8_t>(data.size() + tuples.size());
};

void guard_fast(benchmark::State& state) {
    const Sample sample;
    for (auto _ : state)
        for (std::size_t at = 0; at < bytes; at += block_bytes)
            benchmark::DoNotOptimize(scsi::guard_of(Bytes(sample.data).subspan(at, block_bytes)));
    set_throughput(state);
}
BENCHMARK(guard_fast);

void guards_by(benchmark::State& state, scsi::GuardMethod method, std::size_t of_bytes) {
    const Sample sample;
    std::vector<std::uint16_t> guards(bytes / of_bytes);
    for (auto _ : state) {
        if (!scsi::guards_by(method, sample.data.data(), of_bytes, of_bytes, guards)) {
            state.SkipWithError("this processor cannot");
            return;
        }
        benchmark::ClobberMemory();
    }
    set_throughput(state);
}
BENCHMARK_CAPTURE(guards_by, vector_512, scsi::GuardMethod::vector, 512);
BENCHMARK_CAPTURE(guards_by, vector_4096, scsi::GuardMethod::vector, 4096);
BENCHMARK_CAPTURE(guards_by, library_512, scsi::GuardMethod::library, 512);
BENCHMARK_CAPTURE(guards_by, library_4096, scsi::GuardMethod::library, 4096);

void guard_portable(benchmark::State& state) {
    const Sample sample;
    for (auto _ : state)
        for (std::size_t at = 0; at < bytes; at += block_bytes)
            benchmark::DoNotOptimize(
                scsi::portable_guard_of(Bytes(sample.data).subspan(at, block_bytes)));
    set_throughput(state);
}
BENCHMARK(guard_portable);

void generate(benchmark::State& state) {
    Sample sample;
    for (auto _ : state) {
        scsi::generate_protection(sample.data, sample.tuples, block_bytes, {0, 0, 1});
        benchmark::ClobberMemory();
    }
    set_throughput(state);
}
BENCHMARK(generate);

void check(benchmark::State& state) {
    Sample sample;
    scsi::generate_protection(sample.data, sample.tuples, block_bytes, {0, 0, 1});
    const scsi::ProtectionExpectation expected{.tags = {true, false, true}};
    for (auto _ : state)
        benchmark::DoNotOptimize(
            scsi::check_protection(sample.data, sample.tuples, block_bytes, expected));
    set_throughput(state);
}
BENCHMARK(check);

void interleave(benchmark::State& state) {
    Sample sample;
    for (auto _ : state) {
        scsi::interleave(sample.data, sample.tuples, block_bytes, sample.both);
        benchmark::ClobberMemory();
    }
    set_throughput(state);
}
BENCHMARK(interleave);

// Takes data-out from, and gives data-in to, memory of its own, as a fabric's socket would.
class CopyingFabric final : public target::TransportServices {
  public:
    target::ITNexus* nexus = nullptr;
    std::uint64_t good = 0;
    std::vector<std::uint8_t> memory = std::vector<std::uint8_t>(bytes, 0x5A);

    void receive_data_out(target::Command& command) noexcept override {
        std::copy_n(memory.begin(), command.data_out.size(), command.data_out.begin());
        nexus->data_out_received(command);
    }
    void complete(target::Command& command) noexcept override {
        good += command.status == scsi::Status::good;
        std::size_t at = 0;
        for (const iovec& piece : command.data_in()) {
            std::copy_n(static_cast<const std::uint8_t*>(piece.iov_base), piece.iov_len,
                        memory.begin() + static_cast<std::ptrdiff_t>(at));
            at += piece.iov_len;
        }
        nexus->finished(command);
    }
    void terminate_transfer(target::Command& command) noexcept override {
        nexus->transfer_terminated(command);
    }
    void discard(target::Command& command) noexcept override { nexus->finished(command); }
    void task_management_executed(target::TaskManagement&) noexcept override {}
};

void run_commands(benchmark::State& state, target::Engine& engine, target::LogicalUnit& unit,
                  bool writes) {
    CopyingFabric fabric;
    static const target::TargetPort port;
    const auto map = target::LunMap::make({{.lun = 0, .unit = &unit}});
    auto nexus = engine.establish_nexus(port, {"iqn.2026-01.example:bench", {}}, *map, fabric);
    if (!nexus) {
        state.SkipWithError("there is no nexus");
        return;
    }
    fabric.nexus = nexus->get();
    std::array<std::uint8_t, 16> cdb{};
    target::Command command;
    command.lun = scsi::Lun::from_number(0);
    command.cdb = cdb;
    std::uint32_t lba = 0;
    const auto run = [&](bool out) {
        cdb[0] = out ? 0x2A : 0x28;
        store_be(cdb.data() + 2, lba);
        store_be(cdb.data() + 7, static_cast<std::uint16_t>(blocks));
        lba = (lba + 8 * blocks) % static_cast<std::uint32_t>(disk_bytes / block_bytes);
        ++command.tag;
        command.expected_data_out_bytes = out ? bytes : 0;
        command.expected_data_in_bytes = out ? 0 : bytes;
        fabric.nexus->submit(command);
    };
    // Takes the unit attention, fills the pools, and gives every block its tuple.
    for (std::uint64_t i = 0; i <= disk_bytes / bytes; ++i)
        run(true);
    fabric.good = 0;
    for (auto _ : state)
        run(writes);
    if (fabric.good != static_cast<std::uint64_t>(state.iterations()))
        state.SkipWithError("commands failed");
    set_throughput(state);
    (void)nexus->release();  // the process ends here, and what it holds with it
}

void through_the_engine(benchmark::State& state, bool writes, std::uint8_t type) {
    auto reactor = reactor::Reactor::create({.backend = reactor::Backend::epoll});
    if (!reactor) {
        state.SkipWithError("there is no reactor");
        return;
    }
    auto engine = target::Engine::create(**reactor);
    ramdisk::Options disk;
    disk.size_bytes = disk_bytes;
    disk.preallocate = true;
    disk.protection = type != 0;
    auto store = ramdisk::open(disk);
    if (!engine || !store) {
        state.SkipWithError("there is no disk");
        return;
    }
    target::LogicalUnitOptions options;
    options.name = "bench";
    options.protection_type = type;
    (*engine)->add_logical_unit(std::move(options), std::move(*store),
                                [&](Result<target::LogicalUnit*> unit) {
                                    if (unit)
                                        run_commands(state, **engine, **unit, writes);
                                    (*reactor)->stop();
                                });
    (*reactor)->run();
    (void)engine->release();
    (void)reactor->release();
}
BENCHMARK_CAPTURE(through_the_engine, read_plain, false, 0);
BENCHMARK_CAPTURE(through_the_engine, read_checked, false, 1);
BENCHMARK_CAPTURE(through_the_engine, write_plain, true, 0);
BENCHMARK_CAPTURE(through_the_engine, write_made, true, 1);

}  // namespace

BENCHMARK_MAIN();
