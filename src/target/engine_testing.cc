#include "target/engine_testing.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "base/assert.h"

namespace olio::target::testing {

// --- The store ---

FakeMedium::FakeMedium(std::uint64_t blocks, std::uint32_t block_bytes)
    : blocks_(blocks),
      block_bytes_(block_bytes),
      data_(blocks * block_bytes),
      mapped_(blocks, false),
      anchored_(blocks, false) {
    static std::atomic<unsigned> number{0};
    capabilities.unmap = Support::native;
    capabilities.write_zeroes = Support::native;
    capabilities.extent_status = Support::native;
    capabilities.unmapped_reads_zeros = true;
    capabilities.borrows = false;
    identification.serial = "fake" + std::to_string(++number);
}

void FakeMedium::hold(std::optional<StoreOpcode> opcode) {
    const std::lock_guard lock(mutex_);
    holding_ = true;
    held_opcode_ = opcode;
}

void FakeMedium::release() {
    {
        const std::lock_guard lock(mutex_);
        holding_ = false;
    }
    let_pass();
}

void FakeMedium::let_pass() {
    std::vector<Held> held;
    {
        const std::lock_guard lock(mutex_);
        held.swap(held_);
    }
    for (const Held& one : held)
        one.shard->post([this, io = one.io] { io->complete(perform(*io)); });
}

std::size_t FakeMedium::held() {
    const std::lock_guard lock(mutex_);
    return held_.size();
}

void FakeMedium::fail_next(StoreOpcode opcode, StoreStatus status, std::uint64_t error_lba) {
    const std::lock_guard lock(mutex_);
    failure_ = Failure{opcode, status, error_lba};
}

void FakeMedium::complete_later(bool enabled) {
    const std::lock_guard lock(mutex_);
    complete_later_ = enabled;
}

void FakeMedium::obey_cancel(bool enabled) {
    const std::lock_guard lock(mutex_);
    obey_cancel_ = enabled;
}

std::vector<FakeMedium::Record> FakeMedium::records() {
    const std::lock_guard lock(mutex_);
    return records_;
}

std::size_t FakeMedium::count(StoreOpcode opcode) {
    const std::lock_guard lock(mutex_);
    return static_cast<std::size_t>(std::ranges::count(records_, opcode, &Record::opcode));
}

void FakeMedium::forget_records() {
    const std::lock_guard lock(mutex_);
    records_.clear();
}

std::vector<std::uint8_t> FakeMedium::read(std::uint64_t lba, std::uint64_t blocks) {
    const std::lock_guard lock(mutex_);
    const auto from = data_.begin() + static_cast<std::ptrdiff_t>(lba * block_bytes_);
    return {from, from + static_cast<std::ptrdiff_t>(blocks * block_bytes_)};
}

void FakeMedium::write(std::uint64_t lba, const std::vector<std::uint8_t>& data) {
    const std::lock_guard lock(mutex_);
    std::ranges::copy(data, data_.begin() + static_cast<std::ptrdiff_t>(lba * block_bytes_));
}

bool FakeMedium::mapped(std::uint64_t lba) {
    const std::lock_guard lock(mutex_);
    return mapped_[lba];
}

bool FakeMedium::anchored(std::uint64_t lba) {
    const std::lock_guard lock(mutex_);
    return anchored_[lba];
}

void FakeMedium::set_space(const std::optional<StoreSpace>& space) {
    const std::lock_guard lock(mutex_);
    space_ = space;
}

// Of a copy: what is there. Else nothing.
static std::vector<std::uint8_t> source_data(const StoreIo& io);

StoreStatus FakeMedium::perform(StoreIo& io) {
    const std::vector<std::uint8_t> copied = source_data(io);
    const std::lock_guard lock(mutex_);
    if (failure_ && failure_->opcode == io.opcode) {
        const Failure failure = *failure_;
        failure_.reset();
        io.error_lba = failure.lba;
        return failure.status;
    }
    const std::size_t offset = io.lba * block_bytes_;
    const std::size_t bytes = io.blocks * block_bytes_;
    if (io.opcode != StoreOpcode::flush)
        OLIO_ASSERT(io.lba <= blocks_ && io.blocks <= blocks_ - io.lba, "the engine checks ranges");
    switch (io.opcode) {
        case StoreOpcode::read:
            if (io.may_borrow) {
                io.borrowed[0] = {data_.data() + offset, bytes};
                io.borrowed_count = 1;
                break;
            }
            OLIO_ASSERT(io.data.size() == bytes, "data has the length of the range");
            std::memcpy(io.data.data(), data_.data() + offset, bytes);
            break;
        case StoreOpcode::write:
            OLIO_ASSERT(io.data.size() == bytes, "data has the length of the range");
            std::memcpy(data_.data() + offset, io.data.data(), bytes);
            break;
        case StoreOpcode::unmap:
        case StoreOpcode::write_zeroes:
            std::memset(data_.data() + offset, 0, bytes);
            break;
        case StoreOpcode::extent_status:
            io.mapped = mapped_[io.lba];
            io.anchored = anchored_[io.lba];
            io.extent_blocks = 0;
            while (io.extent_blocks < io.blocks &&
                   mapped_[io.lba + io.extent_blocks] == io.mapped &&
                   anchored_[io.lba + io.extent_blocks] == io.anchored)
                ++io.extent_blocks;
            break;
        case StoreOpcode::copy:
            OLIO_ASSERT(copied.size() == bytes, "both sides have the same length");
            std::memcpy(data_.data() + offset, copied.data(), bytes);
            break;
        case StoreOpcode::flush:
        case StoreOpcode::prefetch:
        case StoreOpcode::count:
            break;
    }
    const bool filled = io.opcode == StoreOpcode::write || io.opcode == StoreOpcode::copy;
    if (filled || io.opcode == StoreOpcode::unmap || io.opcode == StoreOpcode::write_zeroes)
        for (std::uint64_t i = 0; i < io.blocks; ++i) {
            mapped_[io.lba + i] = filled;
            anchored_[io.lba + i] = !filled && io.anchor;
        }
    return StoreStatus::good;
}

class FakeChannel final : public StoreChannel {
  public:
    FakeChannel(std::shared_ptr<FakeMedium> medium, reactor::Shard& shard)
        : medium_(std::move(medium)), shard_(shard) {}

    void submit(StoreIo& io) noexcept override {
        io.channel = this;
        bool later = false;
        {
            const std::lock_guard lock(medium_->mutex_);
            if (medium_->record)
                medium_->records_.push_back({io.opcode, io.lba, io.blocks, io.fua, io.may_unmap,
                                             shard_.index(), io.priority});
            if (medium_->holding_ && medium_->held_opcode_.value_or(io.opcode) == io.opcode) {
                medium_->held_.push_back({&io, &shard_});
                return;
            }
            later = medium_->complete_later_;
        }
        if (later)
            shard_.post([this, &io] { io.complete(medium_->perform(io)); });
        else
            io.complete(medium_->perform(io));
    }
    void cancel(StoreIo& io) noexcept override {
        {
            const std::lock_guard lock(medium_->mutex_);
            if (!medium_->obey_cancel_ || std::erase_if(medium_->held_, [&](const auto& held) {
                                              return held.io == &io;
                                          }) == 0)
                return;
        }
        io.complete(StoreStatus::canceled);
    }
    void stepped(StoreIo&, std::int64_t) noexcept override {}
    [[nodiscard]] const void* copy_family() const noexcept override {
        static constexpr char family = 0;
        return medium_->copies ? &family : nullptr;
    }
    [[nodiscard]] FakeMedium& medium() const noexcept { return *medium_; }
    [[nodiscard]] std::uint32_t block_bytes() const noexcept { return medium_->block_bytes_; }

  private:
    std::shared_ptr<FakeMedium> medium_;
    reactor::Shard& shard_;
};

static std::vector<std::uint8_t> source_data(const StoreIo& io) {
    if (io.opcode != StoreOpcode::copy)
        return {};
    const auto& source = static_cast<const FakeChannel&>(*io.source);
    const auto& destination = static_cast<const FakeChannel&>(*io.channel);
    return source.medium().read(io.source_lba,
                                io.blocks * destination.block_bytes() / source.block_bytes());
}

class FakeStore final : public Backstore {
  public:
    explicit FakeStore(std::shared_ptr<FakeMedium> medium) : medium_(std::move(medium)) {}

    [[nodiscard]] std::string_view type() const override { return "fake"; }
    [[nodiscard]] std::string description() const override { return "memory of a test"; }
    [[nodiscard]] scsi::Geometry geometry() const override {
        scsi::Geometry geometry;
        geometry.blocks = medium_->blocks_;
        geometry.block_bytes = medium_->block_bytes_;
        return geometry;
    }
    [[nodiscard]] StoreCapabilities capabilities() const override { return medium_->capabilities; }
    [[nodiscard]] scsi::Identification identification() const override {
        return medium_->identification;
    }
    Result<std::unique_ptr<StoreChannel>> open_protection_channel(reactor::Shard& shard) override {
        if (!medium_->tuples)
            return Backstore::open_protection_channel(shard);
        return std::make_unique<FakeChannel>(medium_->tuples, shard);
    }
    Result<void> clear_protection() override {
        if (!medium_->tuples || medium_->clearing_fails)
            return Backstore::clear_protection();
        const std::size_t bytes = medium_->blocks_ * scsi::protection_bytes;
        medium_->tuples->write(0, std::vector<std::uint8_t>(bytes, 0xFF));
        return {};
    }
    Result<std::unique_ptr<StoreChannel>> open_channel(reactor::Shard& shard) override {
        return std::make_unique<FakeChannel>(medium_, shard);
    }
    Result<std::uint64_t> refresh_blocks() override { return medium_->blocks_; }
    Result<void> resize(std::uint64_t blocks) override {
        const std::lock_guard lock(medium_->mutex_);
        medium_->blocks_ = blocks;
        medium_->data_.resize(blocks * medium_->block_bytes_);
        medium_->mapped_.resize(blocks);
        medium_->anchored_.resize(blocks);
        return {};
    }
    Result<StoreSpace> space() override {
        const std::lock_guard lock(medium_->mutex_);
        if (!medium_->space_)
            return fail(EIO, "the medium does not tell");
        return *medium_->space_;
    }
    Result<void> set_volatile_cache(bool) override {
        if (medium_->cache_switch_fails)
            return fail(EIO, "the cache cannot be switched");
        return {};
    }

  private:
    std::shared_ptr<FakeMedium> medium_;
};

std::shared_ptr<FakeMedium> make_protected_medium(std::uint64_t blocks, std::uint32_t block_bytes) {
    auto medium = std::make_shared<FakeMedium>(blocks, block_bytes);
    medium->capabilities.protection = Support::native;
    medium->tuples = std::make_shared<FakeMedium>(blocks, scsi::protection_bytes);
    medium->tuples->write(0, std::vector<std::uint8_t>(blocks * scsi::protection_bytes, 0xFF));
    return medium;
}

std::unique_ptr<Backstore> make_fake_store(std::shared_ptr<FakeMedium> medium) {
    return std::make_unique<FakeStore>(std::move(medium));
}

// --- The fabric ---

void TestNexus::fill(TestCommand& command) {
    OLIO_ASSERT(command.data_out.size() <= command.out.size(),
                "the engine asks for no more than the host sends");
    std::copy_n(command.out.begin(), command.data_out.size(), command.data_out.begin());
    nexus->data_out_received(command);
}

void TestNexus::end(TestCommand& command) {
    if (hold_finish) {
        finishing.push_back(&command);
        return;
    }
    command.returned = true;
    nexus->finished(command);
}

void TestNexus::deliver() {
    for (TestCommand* command : std::exchange(receiving, {}))
        fill(*command);
}

void TestNexus::terminate() {
    for (TestCommand* command : std::exchange(terminating, {}))
        nexus->transfer_terminated(*command);
}

void TestNexus::finish() {
    hold_finish = false;
    for (TestCommand* command : std::exchange(finishing, {}))
        end(*command);
}

void TestNexus::receive_data_out(Command& command) noexcept {
    auto& test = static_cast<TestCommand&>(command);
    if (hold_data_out)
        receiving.push_back(&test);
    else
        fill(test);
}

void TestNexus::complete(Command& command) noexcept {
    auto& test = static_cast<TestCommand&>(command);
    OLIO_ASSERT(!test.ended(), "a command is answered once");
    test.answered = true;
    test.order = ++answers;
    test.sense_storage.assign(test.sense().begin(), test.sense().end());
    for (const iovec& piece : test.data_in()) {
        const auto* from = static_cast<const std::uint8_t*>(piece.iov_base);
        test.in.insert(test.in.end(), from, from + piece.iov_len);
    }
    end(test);
}

void TestNexus::terminate_transfer(Command& command) noexcept {
    auto& test = static_cast<TestCommand&>(command);
    std::erase(receiving, &test);
    if (hold_termination)
        terminating.push_back(&test);
    else
        nexus->transfer_terminated(command);
}

void TestNexus::discard(Command& command) noexcept {
    auto& test = static_cast<TestCommand&>(command);
    OLIO_ASSERT(!test.ended(), "a command is answered once");
    test.discarded = true;
    test.order = ++answers;
    end(test);
}

void TestNexus::task_management_executed(TaskManagement& request) noexcept {
    auto& test = static_cast<TestManagement&>(request);
    OLIO_ASSERT(!test.answered, "a function is answered once");
    test.answered = true;
    test.order = ++answers;
}

// --- The rig ---

EngineRig::EngineRig(unsigned shards, std::size_t buffer_limit_bytes, reactor::Backend backend,
                     MetadataStore* metadata) {
    reactor::ReactorOptions options;
    options.backend = backend;
    options.shards = shards;
    options.buffer_limit_bytes = buffer_limit_bytes;
    auto made = reactor::Reactor::create(options);
    OLIO_ASSERT(made.has_value(), "a reactor can be made");
    reactor_ = std::move(*made);
    auto engine = Engine::create(*reactor_, metadata);
    OLIO_ASSERT(engine.has_value(), "an engine can be made");
    engine_ = std::move(*engine);
    thread_ = std::thread([this] { reactor_->run(); });
}

EngineRig::~EngineRig() {
    while (!nexuses_.empty())
        close(*nexuses_.back());
    settle();
    reactor_->stop();
    thread_.join();
    engine_.reset();
}

void EngineRig::on(unsigned shard, const std::function<void()>& function) {
    std::mutex mutex;
    std::condition_variable ended;
    bool done = false;
    reactor_->shard(shard).post([&] {
        function();
        const std::lock_guard lock(mutex);
        done = true;
        ended.notify_one();
    });
    std::unique_lock lock(mutex);
    ended.wait(lock, [&] { return done; });
}

bool EngineRig::wait(unsigned shard, const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    for (;;) {
        bool holds = false;
        on(shard, [&] { holds = condition(); });
        if (holds || std::chrono::steady_clock::now() > deadline)
            return holds;
        std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
}

void EngineRig::settle() {
    constexpr int hops = 10;  // more than any chain of messages in the engine
    for (int i = 0; i < hops; ++i)
        for (unsigned shard = 0; shard < reactor_->size(); ++shard)
            on(shard, [] {});
}

LogicalUnit* EngineRig::add_unit(std::shared_ptr<FakeMedium> medium, unsigned home_shard) {
    LogicalUnitOptions options;
    options.name = medium->identification.serial;
    options.home_shard = home_shard;
    return add_unit(make_fake_store(std::move(medium)), std::move(options));
}

LogicalUnit* EngineRig::add_unit(std::unique_ptr<Backstore> store, LogicalUnitOptions options) {
    LogicalUnit* unit = nullptr;
    bool ended = false;
    on(0, [&] {
        engine_->add_logical_unit(std::move(options), std::move(store),
                                  [&](Result<LogicalUnit*> made) {
                                      unit = made.value_or(nullptr);
                                      ended = true;
                                  });
    });
    OLIO_ASSERT(wait(0, [&] { return ended; }), "adding a unit comes to an end");
    return unit;
}

InitiatorPort test_initiator(unsigned number) {
    const std::string node = "iqn.test:" + std::to_string(number);
    const auto id = scsi::TransportId::from_words(scsi::ProtocolIdentifier::iscsi, node,
                                                  std::to_string(number));
    OLIO_ASSERT(id.has_value(), "this is a name");
    return {node + ",i,0x" + id->session(), {id->bytes().begin(), id->bytes().end()}};
}

TestNexus& EngineRig::add_nexus(unsigned shard, const std::vector<LogicalUnit*>& units, bool fresh,
                                std::uint16_t relative_port) {
    nexuses_.push_back(std::make_unique<TestNexus>());
    TestNexus& nexus = *nexuses_.back();
    nexus.shard = shard;
    nexus.port.description.relative_port = relative_port;
    nexus.port.description.port_name = "iqn.disk,t,0x000" + std::to_string(relative_port);
    InitiatorPort initiator = test_initiator(++last_initiator_);
    std::vector<LunMapEntry> entries;
    for (LogicalUnit* unit : units)
        entries.push_back({static_cast<std::uint32_t>(entries.size()), unit, false});
    on(shard, [&] {
        auto made = engine_->establish_nexus(nexus.port, std::move(initiator),
                                             *LunMap::make(entries), nexus);
        OLIO_ASSERT(made.has_value(), "a nexus can be established");
        nexus.nexus = std::move(*made);
    });
    for (std::uint32_t lun = 0; !fresh && lun < units.size(); ++lun)
        run(nexus, test_unit_ready, {}, 0, lun);
    return nexus;
}

void EngineRig::close(TestNexus& nexus) {
    if (nexus.nexus != nullptr && !nexus.drained) {
        on(nexus.shard, [&] {
            nexus.nexus->close([&] { nexus.fenced = true; }, [&] { nexus.drained = true; });
        });
        OLIO_ASSERT(wait(nexus.shard, [&] { return nexus.drained && nexus.fenced; }),
                    "a nexus drains");
    }
    on(nexus.shard, [&] { nexus.nexus.reset(); });
    settle();
    std::erase_if(nexuses_, [&](const auto& one) { return one.get() == &nexus; });
}

TestCommand& EngineRig::make(TestNexus& nexus, std::vector<std::uint8_t> cdb,
                             std::vector<std::uint8_t> out, std::uint32_t expected_in,
                             std::uint32_t lun) {
    auto made = std::make_unique<TestCommand>();
    TestCommand& command = *made;
    command.cdb_storage = std::move(cdb);
    command.out = std::move(out);
    command.cdb = command.cdb_storage;
    command.lun = scsi::Lun::from_number(lun);
    command.tag = ++last_tag_;
    command.expected_data_out_bytes = static_cast<std::uint32_t>(command.out.size());
    command.expected_data_in_bytes = expected_in;
    on(nexus.shard, [&] { nexus.commands.push_back(std::move(made)); });
    return command;
}

void EngineRig::start(TestCommand& command, TestNexus& nexus) {
    on(nexus.shard, [&] { nexus.nexus->submit(command); });
}

TestCommand& EngineRig::run(TestNexus& nexus, std::vector<std::uint8_t> cdb,
                            std::vector<std::uint8_t> out, std::uint32_t expected_in,
                            std::uint32_t lun) {
    TestCommand& command = make(nexus, std::move(cdb), std::move(out), expected_in, lun);
    start(command, nexus);
    OLIO_ASSERT(wait(nexus.shard, [&] { return command.ended(); }), "a command ends");
    return command;
}

TestManagement& EngineRig::manage(TestNexus& nexus, TaskManagementFunction function,
                                  std::uint64_t tag, std::uint32_t lun, bool wait_for_it) {
    auto made = std::make_unique<TestManagement>();
    TestManagement& request = *made;
    request.function = function;
    request.lun = scsi::Lun::from_number(lun);
    request.referenced_tag = tag;
    on(nexus.shard, [&] {
        nexus.managements.push_back(std::move(made));
        nexus.nexus->task_management(request);
    });
    if (wait_for_it)
        OLIO_ASSERT(wait(nexus.shard, [&] { return request.answered; }), "a function ends");
    return request;
}

TestCommand& EngineRig::read(TestNexus& nexus, std::uint64_t lba, std::uint32_t blocks,
                             std::uint32_t block_bytes) {
    return run(nexus, read10(static_cast<std::uint32_t>(lba), static_cast<std::uint16_t>(blocks)),
               {}, blocks * block_bytes);
}

TestCommand& EngineRig::write(TestNexus& nexus, std::uint64_t lba, std::vector<std::uint8_t> data,
                              std::uint32_t block_bytes) {
    const auto blocks = static_cast<std::uint32_t>(data.size() / block_bytes);
    return run(nexus, write16(lba, blocks), std::move(data));
}

// --- CDBs ---

namespace {

std::vector<std::uint8_t> medium10(std::uint8_t opcode, std::uint32_t lba, std::uint16_t blocks,
                                   bool fua) {
    std::vector<std::uint8_t> cdb(10);
    cdb[0] = opcode;
    cdb[1] = fua ? 8 : 0;
    store_be<std::uint32_t>(cdb.data() + 2, lba);
    store_be<std::uint16_t>(cdb.data() + 7, blocks);
    return cdb;
}

}  // namespace

std::vector<std::uint8_t> read10(std::uint32_t lba, std::uint16_t blocks, bool fua) {
    return medium10(0x28, lba, blocks, fua);
}

std::vector<std::uint8_t> write10(std::uint32_t lba, std::uint16_t blocks, bool fua) {
    return medium10(0x2A, lba, blocks, fua);
}

std::vector<std::uint8_t> write16(std::uint64_t lba, std::uint32_t blocks) {
    std::vector<std::uint8_t> cdb(16);
    cdb[0] = 0x8A;
    store_be<std::uint64_t>(cdb.data() + 2, lba);
    store_be<std::uint32_t>(cdb.data() + 10, blocks);
    return cdb;
}

std::vector<std::uint8_t> compare_and_write(std::uint64_t lba, std::uint8_t blocks) {
    std::vector<std::uint8_t> cdb(16);
    cdb[0] = 0x89;
    store_be<std::uint64_t>(cdb.data() + 2, lba);
    cdb[13] = blocks;
    return cdb;
}

}  // namespace olio::target::testing
