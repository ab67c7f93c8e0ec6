#include "fabric/iscsi/connection_testing.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"

namespace olio::iscsi::testing {

namespace {

class MemoryChannel final : public target::StoreChannel {
  public:
    explicit MemoryChannel(Medium& medium) : medium_(medium) {}
    void submit(target::StoreIo& io) noexcept override {
        io.channel = this;
        if (medium_.hold)
            medium_.held.push_back(&io);
        else
            medium_.perform(io);
    }
    void cancel(target::StoreIo& io) noexcept override {
        if (std::erase(medium_.held, &io) != 0)
            io.complete(target::StoreStatus::canceled);
    }
    void stepped(target::StoreIo&, std::int64_t) noexcept override {}

  private:
    Medium& medium_;
};

class MemoryStore final : public target::Backstore {
  public:
    explicit MemoryStore(Medium& medium) : medium_(medium) {}
    std::string_view type() const override { return "memory"; }
    std::string description() const override { return "a test's memory"; }
    scsi::Geometry geometry() const override {
        scsi::Geometry geometry;
        geometry.blocks = disk_blocks;
        geometry.block_bytes = block_bytes;
        return geometry;
    }
    target::StoreCapabilities capabilities() const override {
        target::StoreCapabilities capabilities;
        capabilities.borrows = true;
        capabilities.write_zeroes = target::Support::native;
        capabilities.unmap = target::Support::native;
        capabilities.unmapped_reads_zeros = true;
        return capabilities;
    }
    scsi::Identification identification() const override { return {}; }
    Result<std::unique_ptr<target::StoreChannel>> open_channel(reactor::Shard&) override {
        return std::make_unique<MemoryChannel>(medium_);
    }
    Result<std::uint64_t> refresh_blocks() override { return disk_blocks; }
    Result<void> resize(std::uint64_t) override { return fail(ENOTSUP, "fixed"); }
    Result<void> set_volatile_cache(bool) override { return {}; }

  private:
    Medium& medium_;
};

}  // namespace

std::unique_ptr<target::Backstore> make_memory_store(Medium& medium) {
    return std::make_unique<MemoryStore>(medium);
}

void Medium::release() {
    hold = false;
    for (target::StoreIo* io : std::exchange(held, {}))
        perform(*io);
}

void Medium::perform(target::StoreIo& io) {
    const std::size_t at = io.lba * block_bytes;
    const std::size_t length = io.blocks * block_bytes;
    priority = io.priority;
    switch (io.opcode) {
        case target::StoreOpcode::read:
            if (io.may_borrow) {
                // In uneven pieces, so that PDUs straddle them.
                const std::size_t first = std::min<std::size_t>(length, 700);
                io.borrowed[0] = {bytes.data() + at, first};
                io.borrowed[1] = {bytes.data() + at + first, length - first};
                io.borrowed_count = length > first ? 2 : 1;
            } else {
                std::memcpy(io.data.data(), bytes.data() + at, length);
            }
            break;
        case target::StoreOpcode::write:
            ++writes;
            std::memcpy(bytes.data() + at, io.data.data(), length);
            break;
        case target::StoreOpcode::unmap:
        case target::StoreOpcode::write_zeroes:
            std::memset(bytes.data() + at, 0, length);
            break;
        default:
            break;
    }
    io.complete(target::StoreStatus::good);
}

Machine::Machine() : reactor_(reactor::SimReactor::make({.shards = 1, .seed = 1})) {
    auto engine = target::Engine::create(*reactor_);
    OLIO_ASSERT(engine.has_value(), "no engine");
    engine_ = std::move(*engine);
    port_.description.port_name = "iqn.t,t,0x0001";
    port_.description.device_name = "iqn.t";
    target::LogicalUnitOptions options;
    options.name = "memory";
    scsi::Identification identification;
    identification.serial = "0123456789";
    options.identification = identification;
    on_shard([&] {
        engine_->add_logical_unit(std::move(options), make_memory_store(medium),
                                  [this](Result<target::LogicalUnit*> added) {
                                      OLIO_ASSERT(added.has_value(), "no logical unit");
                                      unit_ = *added;
                                  });
    });
    OLIO_ASSERT(unit_ != nullptr, "the logical unit did not come");
    target::LunMapEntry entry;
    entry.unit = unit_;
    luns_ = *target::LunMap::make({entry});
}

Machine::~Machine() {
    on_shard([this] { engine_->remove_logical_unit(*unit_, [](Result<void>) {}); });
}

void Machine::on_shard(const std::function<void()>& function) {
    if (reactor::Shard::current() == &reactor_->shard(0)) {
        function();
        return;
    }
    reactor_->enter(0, function);
    (void)reactor_->run_until_idle();
}

Host::Host(Machine& machine, Options options)
    : cmd_sn(options.first_cmd_sn), machine_(machine), options_(std::move(options)) {
    machine_.on_shard([this] {
        Session::Options session;
        session.identity.initiator_name = "iqn.i";
        session.identity.discovery = options_.discovery;
        session.parameters = options_.parameters;
        session.command_window = options_.command_window;
        session.first_cmd_sn = options_.first_cmd_sn;
        session.tsih = 1;
        session.buffers = &machine_.shard().buffers();
        session_ = std::make_unique<Session>(std::move(session), *this);
        if (!options_.discovery) {
            auto nexus = machine_.engine().establish_nexus(
                machine_.port(), {"iqn.i,i,0x800000000000", {}}, machine_.luns(), *session_);
            OLIO_ASSERT(nexus.has_value(), "no nexus");
            session_->attach(std::move(*nexus));
        }
        Connection::Options connection;
        connection.cid = 1;
        connection.stat_sn = 1;
        connection.times = options_.times;
        connection_ = std::make_unique<Connection>(*session_, *this, std::move(connection), now);
    });
}

Host::~Host() {
    disconnect();
}

void Host::disconnect() {
    if (session_ == nullptr)
        return;
    machine_.on_shard([this] {
        if (std::exchange(window_lent_, false))
            connection_->received(0, now);
        connection_->drop("the test ends");
        connection_->lost();
        connection_.reset();
        session_->close([] {}, [this] { drained_ = true; });
    });
    if (!drained_)
        machine_.on_shard([this] { machine_.medium.release(); });
    OLIO_ASSERT(drained_, "a session does not end");
    machine_.on_shard([this] { session_.reset(); });
}

void Host::drop(std::string_view reason) noexcept {
    dropped_ = true;
    reason_ = reason;
}

std::string Host::send_targets(const Connection&, std::string_view) {
    return targets;
}

bool Host::feed() {
    if (dropped_)
        return false;
    if (!window_lent_) {
        window_count_ = connection_->receive_window(window_);
        window_lent_ = window_count_ != 0;
    }
    if (!window_lent_)
        return false;
    if (std::exchange(renewals, 0) != 0) {
        window_lent_ = false;
        connection_->received(0, now);
        return true;
    }
    if (input_at_ == input_.size())
        return false;
    std::size_t left = std::min(options_.receive_step, input_.size() - input_at_);
    std::size_t put_in = 0;
    for (std::size_t i = 0; i < window_count_ && left != 0; ++i) {
        const std::size_t count = std::min(left, window_[i].iov_len);
        std::memcpy(window_[i].iov_base, input_.data() + input_at_, count);
        input_at_ += count;
        put_in += count;
        left -= count;
    }
    window_lent_ = false;
    connection_->received(put_in, now);
    return true;
}

bool Host::drain() {
    if (dropped_ || !reading)
        return false;
    std::array<iovec, 16> pieces;
    const std::size_t count = connection_->gather(pieces);
    std::size_t left = options_.send_step;
    std::size_t taken = 0;
    for (std::size_t i = 0; i < count && left != 0; ++i) {
        const std::size_t length = std::min(left, pieces[i].iov_len);
        const auto* from = static_cast<const std::uint8_t*>(pieces[i].iov_base);
        output_.insert(output_.end(), from, from + length);
        taken += length;
        left -= length;
    }
    if (taken == 0)
        return false;
    connection_->sent(taken, now);
    return true;
}

void Host::run() {
    bool moved = true;
    while (moved) {
        moved = false;
        machine_.on_shard([&] {
            while (feed() || drain())
                moved = true;
        });
    }
    if (input_at_ == input_.size()) {
        input_.clear();
        input_at_ = 0;
    }
    parse_output();
}

void Host::parse_output() {
    const NegotiatedParameters& agreed = options_.parameters;
    std::size_t at = 0;
    while (output_.size() - at >= bhs_bytes) {
        HostPdu pdu;
        std::copy_n(output_.begin() + static_cast<std::ptrdiff_t>(at), bhs_bytes,
                    pdu.header.begin());
        const std::size_t length = data_segment_length(pdu.header);
        const std::size_t header = bhs_bytes + (agreed.header_digest != 0 ? digest_bytes : 0);
        const std::size_t padded = length + padding(length);
        const std::size_t digest = agreed.data_digest != 0 && length != 0 ? digest_bytes : 0;
        if (output_.size() - at < header + padded + digest)
            break;
        const std::uint8_t* start = output_.data() + at;
        if (agreed.header_digest != 0) {
            Crc32c crc;
            crc.update({start, bhs_bytes});
            OLIO_ASSERT(crc.matches(start + bhs_bytes), "the target's header digest is wrong");
        }
        if (digest != 0) {
            Crc32c crc;
            crc.update({start + header, padded});
            OLIO_ASSERT(crc.matches(start + header + padded), "the target's data digest is wrong");
        }
        OLIO_ASSERT(length <= agreed.initiator_max_recv_bytes, "a data segment is too long");
        pdu.data.assign(start + header, start + header + length);
        at += header + padded + digest;
        pdus_.push_back(std::move(pdu));
    }
    output_.erase(output_.begin(), output_.begin() + static_cast<std::ptrdiff_t>(at));
}

void Host::put(const BasicHeader& header, Bytes data, Bytes ahs, int spoil) {
    BasicHeader bhs = header;
    set_data_segment_length(bhs, data.size());
    bhs[4] = static_cast<std::uint8_t>(ahs.size() / 4);
    const std::size_t start = input_.size();
    input_.insert(input_.end(), bhs.begin(), bhs.end());
    input_.insert(input_.end(), ahs.begin(), ahs.end());
    const auto digest = [this](std::size_t from, bool wrong) {
        Crc32c crc;
        crc.update(Bytes(input_).subspan(from));
        std::array<std::uint8_t, digest_bytes> wire;
        crc.store(wire.data());
        if (wrong)
            wire[0] ^= 1;
        input_.insert(input_.end(), wire.begin(), wire.end());
    };
    if (options_.parameters.header_digest != 0)
        digest(start, spoil == 1);
    const std::size_t data_start = input_.size();
    input_.insert(input_.end(), data.begin(), data.end());
    input_.insert(input_.end(), padding(data.size()), 0);
    if (options_.parameters.data_digest != 0 && !data.empty())
        digest(data_start, spoil == 2);
}

void Host::send(BasicHeader header, Bytes data, Bytes ahs) {
    put(header, data, ahs, 0);
    run();
}

void Host::send_raw(Bytes bytes) {
    input_.insert(input_.end(), bytes.begin(), bytes.end());
    run();
}

void Host::send_spoiled(const BasicHeader& header, Bytes data, bool header_digest) {
    put(header, data, {}, header_digest ? 1 : 2);
    run();
}

void Host::advance(std::uint64_t nanoseconds) {
    now += nanoseconds;
    machine_.on_shard([this] {
        if (connection_->next_deadline() <= now)
            connection_->expired(now);
    });
    run();
}

std::vector<HostPdu> Host::take() {
    return std::exchange(pdus_, {});
}

std::optional<HostPdu> Host::take_one(Opcode opcode) {
    const auto found = std::ranges::find(pdus_, opcode, &HostPdu::opcode);
    if (found == pdus_.end())
        return std::nullopt;
    HostPdu pdu = std::move(*found);
    pdus_.erase(found);
    return pdu;
}

ScsiCommandPdu Host::command(std::uint32_t tag, std::vector<std::uint8_t> cdb, std::uint8_t flags,
                             std::uint32_t expected_length) {
    ScsiCommandPdu pdu;
    pdu.flags = flags;
    pdu.task_tag = tag;
    pdu.expected_length = expected_length;
    pdu.cmd_sn = cmd_sn++;
    pdu.exp_stat_sn = exp_stat_sn;
    std::ranges::copy(cdb, pdu.cdb.begin());
    return pdu;
}

void Host::read(std::uint32_t tag, std::uint32_t lba, std::uint16_t blocks) {
    std::vector<std::uint8_t> cdb(10);
    cdb[0] = 0x28;
    store_be(&cdb[2], lba);
    store_be(&cdb[7], blocks);
    send(encode(command(tag, cdb, final_bit | command_flags::read | 1, blocks * block_bytes)));
}

void Host::write(std::uint32_t tag, std::uint32_t lba, std::uint16_t blocks, Bytes immediate,
                 bool final) {
    std::vector<std::uint8_t> cdb(10);
    cdb[0] = 0x2a;
    store_be(&cdb[2], lba);
    store_be(&cdb[7], blocks);
    const auto flags =
        static_cast<std::uint8_t>((final ? final_bit : 0) | command_flags::write | 1);
    send(encode(command(tag, cdb, flags, blocks * block_bytes)), immediate);
}

void Host::data_out(std::uint32_t tag, std::uint32_t transfer_tag, std::uint32_t data_sn,
                    std::uint32_t offset, Bytes data, bool final) {
    DataOutPdu pdu;
    pdu.flags = final ? final_bit : 0;
    pdu.task_tag = tag;
    pdu.transfer_tag = transfer_tag;
    pdu.data_sn = data_sn;
    pdu.buffer_offset = offset;
    pdu.exp_stat_sn = exp_stat_sn;
    send(encode(pdu), data);
}

void Host::abort(std::uint32_t tag, std::uint32_t referenced, std::uint32_t ref_cmd_sn,
                 TaskManagementFunction function) {
    TaskManagementRequestPdu pdu;
    pdu.immediate = true;
    pdu.flags = static_cast<std::uint8_t>(final_bit | static_cast<std::uint8_t>(function));
    pdu.task_tag = tag;
    pdu.referenced_task_tag = referenced;
    pdu.cmd_sn = cmd_sn;
    pdu.ref_cmd_sn = ref_cmd_sn;
    send(encode(pdu));
}

}  // namespace olio::iscsi::testing
