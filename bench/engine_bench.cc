// The engine alone: commands from a fabric that carries nothing to a disk in memory. Prints the
// time and the allocations per command; under a tool that counts instructions, the difference
// between two counts of commands is the engine's share (bench.py does that).
#include <fmt/core.h>

#include <array>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>

#include "backstore/ramdisk/ramdisk.h"
#include "target/engine.h"

namespace {

std::uint64_t allocations = 0;

}  // namespace

void* operator new(std::size_t size) {
    ++allocations;
    if (void* memory = std::malloc(size))
        return memory;
    throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}

namespace {

using namespace olio;

constexpr std::uint64_t disk_bytes = 64 << 20;
constexpr std::uint32_t io_bytes = 4096;
constexpr std::uint32_t io_blocks = io_bytes / 512;
constexpr std::uint64_t warm_up_commands = 1000;

struct Operation {
    std::string_view name;
    std::uint8_t opcode;
    bool out;
    std::uint32_t bytes;
};
constexpr std::array operations{
    Operation{"read", 0x28, false, io_bytes},
    Operation{"write", 0x2A, true, io_bytes},
    Operation{"test-unit-ready", 0x00, false, 0},
};

class NullFabric final : public target::TransportServices {
  public:
    target::ITNexus* nexus = nullptr;
    std::uint64_t good = 0;

    void receive_data_out(target::Command& command) noexcept override {
        nexus->data_out_received(command);
    }
    void complete(target::Command& command) noexcept override {
        good += command.status == scsi::Status::good;
        nexus->finished(command);
    }
    void terminate_transfer(target::Command& command) noexcept override {
        nexus->transfer_terminated(command);
    }
    void discard(target::Command& command) noexcept override { nexus->finished(command); }
    void task_management_executed(target::TaskManagement&) noexcept override {}
};

void run_commands(NullFabric& fabric, const Operation& operation, std::uint64_t count) {
    std::array<std::uint8_t, 16> cdb{};
    target::Command command;
    command.lun = scsi::Lun::from_number(0);
    std::uint32_t lba = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
        cdb[0] = operation.opcode;
        if (operation.bytes != 0) {
            store_be(cdb.data() + 2, lba);
            store_be(cdb.data() + 7, static_cast<std::uint16_t>(io_blocks));
        }
        lba = (lba + 977 * io_blocks) % static_cast<std::uint32_t>(disk_bytes / 512 - io_blocks);
        command.tag = i;
        command.cdb = cdb;
        command.expected_data_in_bytes = operation.out ? 0 : operation.bytes;
        command.expected_data_out_bytes = operation.out ? operation.bytes : 0;
        fabric.nexus->submit(command);
    }
}

struct Figures {
    double nanoseconds = 0;
    double allocations = 0;
};

Result<Figures> measure(target::Engine& engine, target::LogicalUnit& unit,
                        const Operation& operation, std::uint64_t count) {
    auto map = target::LunMap::make({{.lun = 0, .unit = &unit}});
    if (!map)
        return std::unexpected(map.error());
    static NullFabric fabric;
    static const target::TargetPort port;
    static std::unique_ptr<target::ITNexus> nexus;
    auto established =
        engine.establish_nexus(port, {"iqn.2026-01.example:bench", {}}, *map, fabric);
    if (!established)
        return std::unexpected(established.error());
    nexus = std::move(*established);
    fabric.nexus = nexus.get();
    run_commands(fabric, operation, warm_up_commands);  // takes the unit attention, fills the pools

    fabric.good = 0;
    const std::uint64_t allocations_before = allocations;
    const auto start = std::chrono::steady_clock::now();
    run_commands(fabric, operation, count);
    const std::chrono::duration<double, std::nano> time = std::chrono::steady_clock::now() - start;
    if (fabric.good != count)
        return fail(EIO, fmt::format("{} of {} commands failed", count - fabric.good, count));
    return Figures{
        time.count() / static_cast<double>(count),
        static_cast<double>(allocations - allocations_before) / static_cast<double>(count)};
}

Result<Figures> run(const Operation& operation, std::uint64_t count) {
    auto reactor = reactor::Reactor::create({.backend = reactor::Backend::epoll});
    if (!reactor)
        return std::unexpected(reactor.error());
    auto engine = target::Engine::create(**reactor);
    if (!engine)
        return std::unexpected(engine.error());
    ramdisk::Options disk;
    disk.size_bytes = disk_bytes;
    disk.preallocate = true;
    auto store = ramdisk::open(disk);
    if (!store)
        return std::unexpected(store.error());
    Result<Figures> figures = fail(EIO, "the reactor ended early");
    target::LogicalUnitOptions options;
    options.name = "bench";
    (*engine)->add_logical_unit(std::move(options), std::move(*store),
                                [&](Result<target::LogicalUnit*> unit) {
                                    if (unit)
                                        figures = measure(**engine, **unit, operation, count);
                                    else
                                        figures = std::unexpected(unit.error());
                                    (*reactor)->stop();
                                });
    (*reactor)->run();
    // The nexus still refers to them; the process ends here, and what it holds with it.
    (void)engine->release();
    (void)reactor->release();
    return figures;
}

}  // namespace

// engine_bench OPERATION COMMANDS
int main(int argc, char** argv) {
    std::uint64_t count = 0;
    if (argc == 3)
        std::from_chars(argv[2], argv[2] + std::strlen(argv[2]), count);
    for (const Operation& operation : operations) {
        if (count == 0 || argv[1] != operation.name)
            continue;
        const auto figures = run(operation, count);
        if (figures)
            fmt::print("{:.1f} ns, {:.3f} allocations a command\n", figures->nanoseconds,
                       figures->allocations);
        else
            fmt::print(stderr, "engine_bench: {}\n", figures.error().message);
        std::fflush(stdout);
        std::_Exit(figures ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    fmt::print(stderr, "usage: engine_bench read|write|test-unit-ready COMMANDS\n");
    return EXIT_FAILURE;
}
