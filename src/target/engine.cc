#include "target/engine.h"

#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <limits>
#include <set>

#include "base/limits.h"
#include "base/log.h"
#include "scsi/aptpl.h"
#include "target/access_keeper.h"
#include "target/it_nexus_impl.h"
#include "target/logical_unit.h"
#include "target/rod_tokens.h"
#include "target/unit_settings.h"

namespace olio::target {

namespace {

// 64 well mixed bits of a text (FNV-1a, then the finish of SplitMix64). Not for secrets.
std::uint64_t digest(std::string_view text, std::uint64_t start) noexcept {
    std::uint64_t value = 0xCBF29CE484222325ull ^ start;
    for (const char c : text)
        value = (value ^ static_cast<std::uint8_t>(c)) * 0x100000001B3ull;
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9ull;
    value = (value ^ value >> 27) * 0x94D049BB133111EBull;
    return value ^ value >> 31;
}

// What neither the configuration nor the backing store gave. The NAA designator follows from all of
// the serial number, so that near-equal serial numbers do not meet in one.
void complete_identification(scsi::Identification& identification, const std::string& name,
                             const std::string& description) {
    if (identification.serial.empty())
        identification.serial = fmt::format("{:016x}", digest(description, digest(name, 1)));
    if (std::ranges::any_of(identification.naa, [](std::uint8_t byte) { return byte != 0; }))
        return;
    const std::uint64_t high = digest(identification.serial, 2);
    const std::uint64_t low = digest(identification.serial, 3);
    // NAA 6h with the company identifier that LIO uses, 00 14 05h (SPC-5 7.7.6.6.5).
    constexpr std::uint64_t prefix = 0x6001405ull << 36;
    store_be<std::uint64_t>(identification.naa.data(), prefix | (high & 0xFFFFFFFFFull));
    store_be<std::uint64_t>(identification.naa.data() + 8, low);
}

Result<void> check(const LogicalUnitOptions& options, const Backstore& store, unsigned shards) {
    const scsi::Geometry geometry = store.geometry();
    std::uint64_t bytes = 0;
    if (options.home_shard >= shards)
        return fail(EINVAL, fmt::format("{}: home shard {} of {} shards", options.name,
                                        options.home_shard, shards));
    if (geometry.block_bytes < 512 || geometry.block_bytes > 4096 ||
        !std::has_single_bit(geometry.block_bytes))
        return fail(EINVAL, fmt::format("{}: blocks of {} bytes; 512 and 4096 are possible",
                                        options.name, geometry.block_bytes));
    if (options.protection_type > 3)
        return fail(EINVAL, fmt::format("{}: protection type {}; there are 0 (none), 1, 2 and 3",
                                        options.name, options.protection_type));
    if (options.protection_type != 0 && store.capabilities().protection != Support::native)
        return fail(ENOTSUP, fmt::format("{}: {} keeps no protection information", options.name,
                                         store.description()));
    if (geometry.blocks == 0)
        return fail(EINVAL, fmt::format("{}: {} has less than one block", options.name,
                                        store.description()));
    if (!checked_multiply<std::uint64_t>(geometry.blocks, geometry.block_bytes, bytes))
        return fail(EINVAL, fmt::format("{}: {} blocks of {} bytes is no size for a disk",
                                        options.name, geometry.blocks, geometry.block_bytes));
    std::set<std::uint16_t> relative_ports;
    for (const scsi::ConfiguredPort& port : options.target_ports) {
        const std::uint16_t relative_port = port.description.relative_port;
        if (relative_port == 0 || !relative_ports.insert(relative_port).second)
            return fail(EINVAL, fmt::format("{}: relative target port {} is given twice, or 0",
                                            options.name, relative_port));
    }
    if (relative_ports.size() > limits::grouped_ports)
        return fail(ENOSPC, fmt::format("{}: a logical unit has at most {} target ports",
                                        options.name, limits::grouped_ports));
    return {};
}

class EngineImpl final : public Engine {
  public:
    EngineImpl(reactor::Reactor& reactor, MetadataStore* metadata)
        : reactor_(reactor), metadata_(metadata) {}

    void add_logical_unit(LogicalUnitOptions options, std::unique_ptr<Backstore> store,
                          std::move_only_function<void(Result<LogicalUnit*>)> done) override;
    void remove_logical_unit(LogicalUnit& unit, LogicalUnit::Done done) override;
    Result<std::unique_ptr<ITNexus>> establish_nexus(const TargetPort& port,
                                                     InitiatorPort initiator,
                                                     std::shared_ptr<const LunMap> map,
                                                     TransportServices& services) override;

  private:
    using Added = std::move_only_function<void(Result<LogicalUnit*>)>;

    void read_metadata(LogicalUnitOptions options, std::unique_ptr<Backstore> store,
                       scsi::LogicalUnitState first, Added done);
    void read_settings(LogicalUnitOptions options, std::unique_ptr<Backstore> store,
                       scsi::LogicalUnitState first, Added done);
    // `unknown`: files of access states that were passed over.
    void make_logical_unit(LogicalUnitOptions options, std::unique_ptr<Backstore> store,
                           scsi::LogicalUnitState first, const std::vector<std::string>& unknown,
                           Added done);

    reactor::Reactor& reactor_;
    MetadataStore* metadata_;
    std::set<std::string> arriving_;  // serial numbers whose metadata is being read
    std::shared_ptr<RodTokens> tokens_ = std::make_shared<RodTokens>(reactor_);
    std::atomic<scsi::NexusId> last_nexus_{0};
    std::vector<std::shared_ptr<LogicalUnitImpl>> units_;  // shard 0's
};

void EngineImpl::add_logical_unit(LogicalUnitOptions options, std::unique_ptr<Backstore> store,
                                  std::move_only_function<void(Result<LogicalUnit*>)> done) {
    if (Result<void> good = check(options, *store, reactor_.size()); !good) {
        done(std::unexpected(std::move(good.error())));
        return;
    }
    scsi::Identification identification =
        options.identification ? *options.identification : store->identification();
    complete_identification(identification, options.name, store->description());
    const auto same = std::ranges::find_if(units_, [&](const auto& unit) {
        return unit->initial_state()->identification.serial == identification.serial;
    });
    if (same != units_.end()) {
        done(fail(EEXIST, fmt::format("{}: serial number {} is that of {}; give it another",
                                      options.name, identification.serial, (*same)->name())));
        return;
    }
    if (units_.size() + arriving_.size() >= limits::logical_units) {
        done(fail(ENOSPC, fmt::format("{}: there are {} logical units, the most that can be",
                                      options.name, units_.size())));
        return;
    }
    options.identification = std::move(identification);
    Result<scsi::LogicalUnitState> first = make_state_with_attributes(options, *store);
    if (!first) {
        done(fail(first.error().code, fmt::format("{}: {}", options.name, first.error().message)));
        return;
    }
    if (metadata_ == nullptr)
        return make_logical_unit(std::move(options), std::move(store), std::move(*first), {},
                                 std::move(done));
    if (!arriving_.insert(options.identification->serial).second) {
        done(fail(EEXIST, fmt::format("{}: serial number {} is that of another; give it another",
                                      options.name, options.identification->serial)));
        return;
    }
    if (reactor::Shard::current() != nullptr)
        return read_metadata(std::move(options), std::move(store), std::move(*first),
                             std::move(done));
    reactor_.shard(0).post([this, options = std::move(options), store = std::move(store),
                            first = std::move(*first), done = std::move(done)]() mutable {
        read_metadata(std::move(options), std::move(store), std::move(first), std::move(done));
    });
}

void EngineImpl::read_metadata(LogicalUnitOptions options, std::unique_ptr<Backstore> store,
                               scsi::LogicalUnitState first, Added done) {
    const std::string file = metadata_name("pr", "aptpl_", options.identification->serial);
    metadata_->read(file, [this, file, options = std::move(options), store = std::move(store),
                           first = std::move(first), done = std::move(done)](
                              Result<std::optional<std::string>> found) mutable {
        if (!found) {
            arriving_.erase(options.identification->serial);
            done(std::unexpected(std::move(found.error())));
            return;
        }
        first.reservations_can_persist = true;
        if (*found) {
            auto reservations = scsi::parse_aptpl(**found, limits::registrations_per_unit);
            if (!reservations) {
                arriving_.erase(options.identification->serial);
                done(fail(EINVAL,
                          fmt::format("{}: {}, {}; who may write there is not known. Repair the "
                                      "file, or remove it if no host relies on its reservations",
                                      options.name, file, reservations.error())));
                return;
            }
            reservations->any_session = !first.settings.enforce_session_identifiers;
            first.reservations.set(
                std::make_shared<const scsi::PersistentReservations>(std::move(*reservations)));
        }
        read_settings(std::move(options), std::move(store), std::move(first), std::move(done));
    });
}

void EngineImpl::read_settings(LogicalUnitOptions options, std::unique_ptr<Backstore> store,
                               scsi::LogicalUnitState first, Added done) {
    const std::string serial = options.identification->serial;
    const std::string file = unit_settings_name(serial);
    metadata_->read(
        file, [this, serial, file, options = std::move(options), store = std::move(store),
               first = std::move(first),
               done = std::move(done)](Result<std::optional<std::string>> found) mutable {
            if (!found) {
                arriving_.erase(serial);
                done(std::unexpected(std::move(found.error())));
                return;
            }
            first.mode_pages_savable = true;
            if (*found) {
                Result<void> read = read_unit_settings(**found, first);
                if (read)
                    read = apply_saved_mode_pages(first, *store);
                if (read)
                    apply_formatted_type(first, options.name);
                if (!read) {
                    arriving_.erase(serial);
                    done(fail(EINVAL,
                              fmt::format("{}: {}: {}. Repair the file, or remove it if no host "
                                          "relies on what it saved",
                                          options.name, file, read.error().message)));
                    return;
                }
            }
            const std::string name = options.name;
            read_access_files(
                *metadata_, name, std::move(first),
                [this, serial, options = std::move(options), store = std::move(store),
                 done = std::move(done)](scsi::LogicalUnitState whole,
                                         const std::vector<std::string>& passed_over) mutable {
                    arriving_.erase(serial);
                    make_logical_unit(std::move(options), std::move(store), std::move(whole),
                                      passed_over, std::move(done));
                });
        });
}

void EngineImpl::make_logical_unit(LogicalUnitOptions options, std::unique_ptr<Backstore> store,
                                   scsi::LogicalUnitState first,
                                   const std::vector<std::string>& unknown, Added done) {
    auto unit = std::make_shared<LogicalUnitImpl>(reactor_, std::move(options), std::move(store),
                                                  std::move(first), metadata_);
    unit->access_keeper().forget(unknown);
    unit->set_peers([this] { return units_; });
    units_.push_back(unit);
    unit->open([this, unit, done = std::move(done)](Result<void> opened) mutable {
        if (opened) {
            done(unit.get());
            return;
        }
        std::erase(units_, unit);
        done(std::unexpected(std::move(opened.error())));
    });
}

void EngineImpl::remove_logical_unit(LogicalUnit& unit, LogicalUnit::Done done) {
    const auto at = std::ranges::find_if(
        units_, [&](const auto& candidate) { return candidate.get() == &unit; });
    if (at == units_.end()) {
        done(fail(ENOENT, "the logical unit has been removed before"));
        return;
    }
    // Its serial number is free again when the last command has let go of the old one.
    (*at)->close([this, unit = *at, done = std::move(done)]() mutable {
        std::erase(units_, unit);
        unit.reset();
        done({});
    });
}

Result<std::unique_ptr<ITNexus>> EngineImpl::establish_nexus(const TargetPort& port,
                                                             InitiatorPort initiator,
                                                             std::shared_ptr<const LunMap> map,
                                                             TransportServices& services) {
    reactor::Shard* const shard = reactor::Shard::current();
    if (shard == nullptr)
        return fail(EPERM,
                    fmt::format("{}: a nexus is established on a shard only", initiator.name));
    return std::make_unique<ITNexusImpl>(reactor_, *shard, ++last_nexus_, port,
                                         std::move(initiator), std::move(map), services, tokens_);
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::create(reactor::Reactor& reactor, MetadataStore* metadata) {
    return std::make_unique<EngineImpl>(reactor, metadata);
}

}  // namespace olio::target
