// The daemon: makes the reactor, the engine, the disks and the iSCSI target, runs them, and takes
// them down in order. The only place where these names meet.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "oliod/exit_status.h"
#include "oliod/options.h"
#include "reactor/shard.h"
#include "target/engine.h"

namespace olio::config {
class ControlServer;
class MethodTable;
}  // namespace olio::config
namespace olio::iscsi {
class IscsiTarget;
struct PortalGroupOptions;
}  // namespace olio::iscsi

namespace olio::oliod {

class Signals;

struct Disk {
    std::uint32_t lun = 0;
    DiskSpec spec;
    target::LogicalUnit* unit = nullptr;
};

enum class DaemonState : std::uint8_t { starting, serving, draining };
[[nodiscard]] std::string_view name_of(DaemonState state) noexcept;

// Used on shard 0, but for create() and run().
class Daemon {
  public:
    // Takes the control socket; opens nothing else yet.
    static Result<std::unique_ptr<Daemon>> create(Options options);
    ~Daemon();

    // Serves until told to end.
    ExitStatus run();

    // Lets hosts log out, at most for `grace_seconds`, and ends. Once; later calls do nothing.
    void end(unsigned grace_seconds);
    // Rescans every disk; the log says what became of each.
    void rescan_all();

    // For the control methods.
    [[nodiscard]] const Options& options() const noexcept { return options_; }
    [[nodiscard]] DaemonState state() const noexcept { return state_; }
    [[nodiscard]] reactor::Reactor& reactor() const noexcept { return *reactor_; }
    [[nodiscard]] const std::vector<Disk>& disks() const noexcept { return disks_; }
    [[nodiscard]] const Disk* find_disk(std::uint64_t lun) const noexcept;
    [[nodiscard]] iscsi::IscsiTarget& iscsi() const noexcept { return *iscsi_; }
    [[nodiscard]] const std::string& control_path() const noexcept;
    [[nodiscard]] std::uint64_t uptime_seconds() const noexcept;
    [[nodiscard]] std::uint64_t memory_bound_bytes() const noexcept { return memory_bound_bytes_; }

  private:
    // Ends the process where ending in order takes too long.
    class Watchdog final : public reactor::Timer {
      public:
        explicit Watchdog(Daemon& owner) : daemon_(owner) {}
        void fired() noexcept override { daemon_.end_at_once(); }

      private:
        Daemon& daemon_;
    };

    explicit Daemon(Options options);

    void start();
    void open_next_disk();
    void disk_opened(Result<target::LogicalUnit*> unit);
    void start_target();
    Result<void> add_target();
    [[nodiscard]] std::vector<scsi::ConfiguredPort> target_ports(std::uint32_t lun) const;
    [[nodiscard]] iscsi::PortalGroupOptions portal_group(
        std::uint16_t tag, std::shared_ptr<const target::LunMap> luns) const;
    void serving();
    void start_failed(const Error& error);
    void signal_heard(int signal);
    [[noreturn]] void end_at_once();
    void remove_disks();
    void stop_listening_to_us();
    Result<void> open_metadata();
    void report_memory_bound();

    Options options_;
    DaemonState state_ = DaemonState::starting;
    ExitStatus exit_status_ = ExitStatus::success;
    std::uint64_t memory_bound_bytes_ = 0;
    reactor::Nanoseconds started_at_ = 0;
    std::vector<Disk> disks_;
    bool end_after_start_ = false;
    unsigned ends_heard_ = 0;

    // In the order of making; taken down from the last to the first.
    std::unique_ptr<Signals> signals_;
    std::unique_ptr<reactor::Reactor> reactor_;
    std::unique_ptr<config::MethodTable> methods_;
    std::unique_ptr<config::ControlServer> control_;
    std::unique_ptr<target::MetadataStore> metadata_;
    std::unique_ptr<target::Engine> engine_;
    std::unique_ptr<iscsi::IscsiTarget> iscsi_;
    Watchdog watchdog_{*this};
};

}  // namespace olio::oliod
