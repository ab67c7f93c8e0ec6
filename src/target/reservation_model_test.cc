// Random sequences of PERSISTENT RESERVE IN and OUT, RESERVE and RELEASE, sessions that end,
// resets, restarts of the daemon, failures to write its file, and other commands, through the
// engine on two simulated shards, against a model written from the clauses alone.
// OLIO_RESERVATION_STEPS: how many steps; OLIO_RESERVATION_SEED: which.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>
#include <set>

#include "reactor/sim.h"
#include "scsi/aptpl.h"
#include "scsi/reservation_tables_testing.h"
#include "scsi/reservations.h"
#include "target/engine_testing.h"
#include "target/reservation_model_testing.h"

namespace olio::target {
namespace {

using testing::conflict;
using testing::Model;
using testing::ok;
using testing::Outcome;
using testing::Port;
using testing::Sent;

using Data = std::vector<std::uint8_t>;

// --- The engine ---

// A store in memory that can fail.
class MemoryStore final : public MetadataStore {
  public:
    bool fail_next = false;
    bool failed = false;
    bool keep_failed = false;  // what fails has been written nevertheless
    std::map<std::string, std::string> files;

    void read(std::string name, Found done) override {
        const auto found = files.find(name);
        done(found == files.end() ? std::nullopt : std::optional(found->second));
    }
    void write(std::string name, std::string content, Written done) override {
        if (std::exchange(fail_next, false)) {
            failed = true;
            if (keep_failed)
                files[name] = std::move(content);
            done(fail(EIO, "as told"));
            return;
        }
        files[name] = std::move(content);
        // Later: others have their turn before it is done.
        reactor::Shard::current()->post([done = std::move(done)]() mutable { done({}); });
    }
};

class Machine {
  public:
    explicit Machine(std::uint64_t seed)
        : sim_(reactor::SimReactor::make({.shards = 2, .seed = seed})),
          engine_(*Engine::create(*sim_, &store)),
          medium_(std::make_shared<testing::FakeMedium>()) {
        medium_->record = false;
        medium_->identification.serial = "model";
        add_unit();
    }
    ~Machine() {
        for (auto& [name, nexus] : nexuses_)
            close(*nexus);
    }

    void add_unit() {
        sim_->enter(0, [&] {
            LogicalUnitOptions options;
            options.name = "model";
            engine_->add_logical_unit(std::move(options), testing::make_fake_store(medium_),
                                      [&](Result<LogicalUnit*> made) { unit_ = made.value(); });
        });
        sim_->run_until_idle();
    }
    void restart() {
        while (!nexuses_.empty())
            logout(nexuses_.begin()->first);
        sim_->enter(0, [&] { engine_->remove_logical_unit(*unit_, [](Result<void>) {}); });
        sim_->run_until_idle();
        add_unit();
    }
    void login(const Port& port) {
        auto nexus = std::make_unique<testing::TestNexus>();
        nexus->shard = (port.initiator + port.port) % 2;
        nexus->port.description.relative_port = static_cast<std::uint16_t>(port.port);
        nexus->port.description.port_name = "iqn.disk,t,0x000" + std::to_string(port.port);
        sim_->enter(nexus->shard, [&] {
            nexus->nexus =
                *engine_->establish_nexus(nexus->port, testing::test_initiator(port.initiator),
                                          *LunMap::make({{0, unit_, false}}), *nexus);
        });
        nexuses_[port] = std::move(nexus);
    }
    void logout(const Port& port) {
        close(*nexuses_.at(port));
        nexuses_.erase(port);
    }
    void reset(const Port& port) {
        testing::TestNexus& nexus = *nexuses_.at(port);
        testing::TestManagement request;
        request.function = TaskManagementFunction::logical_unit_reset;
        sim_->enter(nexus.shard, [&] { nexus.nexus->task_management(request); });
        sim_->run_until_idle();
        OLIO_ASSERT(request.answered, "a reset ends");
    }
    Outcome run(const Port& port, Data cdb, Data list = {}, std::uint32_t in = 0,
                Data* data = nullptr) {
        testing::TestNexus& nexus = *nexuses_.at(port);
        testing::TestCommand command;
        command.cdb_storage = std::move(cdb);
        command.cdb = command.cdb_storage;
        command.out = std::move(list);
        command.tag = ++tag_;
        command.expected_data_out_bytes = static_cast<std::uint32_t>(command.out.size());
        command.expected_data_in_bytes = in;
        command.lun = scsi::Lun::from_number(0);
        sim_->enter(nexus.shard, [&] { nexus.nexus->submit(command); });
        if (!command.returned)
            sim_->run_until_idle();
        OLIO_ASSERT(command.answered && command.returned, "a command is answered");
        if (data != nullptr)
            *data = command.in;
        if (command.status == scsi::Status::reservation_conflict)
            return conflict;
        if (command.status == scsi::Status::check_condition)
            return {Outcome::check, unsigned{command.key()} << 16 | command.additional()};
        return ok;
    }
    [[nodiscard]] scsi::LogicalUnitState state() const { return *unit_->state(); }
    // What a restart would find is what is in force, as far as it is to outlive one.
    [[nodiscard]] bool file_is_true() const {
        const auto file = store.files.find("pr/aptpl_model");
        const std::string text = scsi::write_aptpl(*unit_->state()->reservations.persistent);
        return text == (file == store.files.end() ? scsi::write_aptpl({}) : file->second);
    }

    MemoryStore store;

  private:
    void close(testing::TestNexus& nexus) {
        sim_->enter(nexus.shard, [&] { nexus.nexus->close([] {}, [&] { nexus.drained = true; }); });
        sim_->run_until_idle();
        OLIO_ASSERT(nexus.drained, "a nexus drains");
        sim_->enter(nexus.shard, [&] { nexus.nexus.reset(); });
    }

    std::unique_ptr<reactor::SimReactor> sim_;
    std::unique_ptr<Engine> engine_;
    std::shared_ptr<testing::FakeMedium> medium_;
    LogicalUnit* unit_ = nullptr;
    std::map<Port, std::unique_ptr<testing::TestNexus>> nexuses_;
    std::uint64_t tag_ = 0;
};

// --- The walk ---

class Walk {
  public:
    Walk(std::uint64_t seed, std::size_t nexuses) : random_(seed), machine_(seed) {
        for (unsigned i = 0; i < nexuses; ++i)
            ports_.push_back({1 + i % 4, 1 + i / 4});
        for (const Port& port : ports_)
            login(port);
        for (const scsi::CommandRow& row : scsi::command_table())
            if (row.operation != scsi::Operation::persistent_reserve_out &&
                row.reservation != scsi::ReservationClass::special &&
                row.medium != scsi::MediumAccess::writes && harmless(row))
                rows_.push_back(&row);
            else if (row.medium == scsi::MediumAccess::writes && row.lba.bytes != 0 &&
                     scsi::supported(row, machine_.state()))
                rows_.push_back(&row);
    }

    void run(std::size_t steps) {
        for (std::size_t i = 0; i < steps && !::testing::Test::HasFailure(); ++i) {
            step_ = i;
            step();
        }
    }

    [[nodiscard]] std::size_t cells_missed() const {
        return rows_.size() * (6 * 3 - 2) - cells_.size();
    }
    [[nodiscard]] const std::map<std::string, std::size_t>& counts() const { return counts_; }

  private:
    [[nodiscard]] bool harmless(const scsi::CommandRow& row) const {
        return scsi::supported(row, machine_.state());
    }
    unsigned below(unsigned bound) { return static_cast<unsigned>(random_() % bound); }
    bool chance(unsigned percent) { return below(100) < percent; }

    void login(const Port& port) {
        machine_.login(port);
        model_.attentions[port] = {0x2900};
    }
    void step();
    void send_out(const Port& from);
    void send_in(const Port& from);
    void send_spc2(const Port& from);
    void send_row(const Port& from);
    // Whether a pending unit attention is what the command ended with; others than the model's are
    // not its business.
    bool attention(const Port& from, const Outcome& got);
    Outcome run_past_strangers(const Port& from, const Data& cdb, const Data& list = {},
                               std::uint32_t in = 0, Data* data = nullptr);
    [[nodiscard]] Sent draw(const Port& from);
    [[nodiscard]] static Data cdb_of(const Sent& sent);
    [[nodiscard]] static Data list_of(const Sent& sent);

    std::mt19937_64 random_;
    Machine machine_;
    Model model_;
    std::vector<Port> ports_;
    std::vector<const scsi::CommandRow*> rows_;
    std::set<std::tuple<const scsi::CommandRow*, unsigned, unsigned>> cells_;
    std::map<std::string, std::size_t> counts_;
    std::size_t step_ = 0;
    bool file_unsure_ = false;  // nothing has been GOOD since a write failed
};

constexpr std::array<unsigned, 5> model_attentions{0x2900, 0x2903, 0x2A03, 0x2A04, 0x2A05};

Outcome Walk::run_past_strangers(const Port& from, const Data& cdb, const Data& list,
                                 std::uint32_t in, Data* data) {
    for (;;) {
        const Outcome got = machine_.run(from, cdb, list, in, data);
        const bool stranger =
            got.kind == Outcome::check && got.code >> 16 == 6 &&
            std::ranges::find(model_attentions, got.code & 0xFFFF) == model_attentions.end();
        if (!stranger)
            return got;
    }
}

bool Walk::attention(const Port& from, const Outcome& got) {
    auto& pending = model_.attentions.at(from);
    if (pending.empty())
        return false;
    const Outcome expected{Outcome::check, 0x060000 | pending.front()};
    EXPECT_EQ(got, expected) << "step " << step_ << std::hex << ", got " << got.code
                             << ", expected " << expected.code;
    pending.erase(pending.begin());
    ++counts_["unit attentions"];
    return true;
}

Sent Walk::draw(const Port& from) {
    Sent sent;
    constexpr std::array<unsigned, 20> actions{0, 0, 0, 0, 6, 6, 6, 6, 1, 1,
                                               1, 1, 2, 2, 4, 4, 5, 7, 8, 3};
    constexpr std::array<unsigned, 6> types{1, 3, 5, 6, 7, 8};
    sent.action = actions[below(actions.size())];
    if (sent.action == 3 && chance(70))
        sent.action = 1;
    sent.scope = chance(3) ? 1 + below(15) : 0;
    sent.type = chance(95) ? types[below(6)] : below(16);
    if (sent.action == 2 && chance(70))
        sent.type = model_.type;
    const auto own = model_.keys.find(from);
    sent.key = chance(90) ? (own == model_.keys.end() ? 0 : own->second) : below(4);
    sent.service_key = below(5) == 0 ? 0 : 1 + below(4);
    sent.aptpl = chance(40);
    if (sent.action == 0 || sent.action == 6)
        sent.all_ports = chance(15);
    if (sent.action == 7) {
        const Port& to = ports_[below(static_cast<unsigned>(ports_.size()))];
        sent.initiators = {chance(90) ? to.initiator : 9};
        sent.to_port = chance(90) ? to.port : 7;
        sent.unregister = chance(50);
    } else if (chance(sent.action == 0 ? 15 : 1)) {
        for (unsigned i = 0; i <= below(2); ++i)
            sent.initiators.push_back(1 + below(5));
    }
    return sent;
}

Data Walk::cdb_of(const Sent& sent) {
    const std::size_t length = list_of(sent).size();
    return {0x5F,
            static_cast<std::uint8_t>(sent.action),
            static_cast<std::uint8_t>(sent.scope << 4 | sent.type),
            0,
            0,
            0,
            0,
            static_cast<std::uint8_t>(length >> 8),
            static_cast<std::uint8_t>(length),
            0};
}

Data Walk::list_of(const Sent& sent) {
    Data list(24);
    store_be(list.data(), sent.key);
    store_be(list.data() + 8, sent.service_key);
    std::size_t length_at = 20;
    if (sent.action == 7) {
        list[17] = static_cast<std::uint8_t>((sent.unregister ? 2 : 0) | (sent.aptpl ? 1 : 0));
        store_be(list.data() + 18, static_cast<std::uint16_t>(sent.to_port));
    } else {
        list[20] = static_cast<std::uint8_t>((sent.specifies() ? 8 : 0) | (sent.all_ports ? 4 : 0) |
                                             (sent.aptpl ? 1 : 0));
        if (!sent.specifies())
            return list;
        length_at = 24;
        list.resize(28);
    }
    const std::size_t before = list.size();
    for (const unsigned initiator : sent.initiators) {
        const Data id = testing::test_initiator(initiator).transport_id;
        list.insert(list.end(), id.begin(), id.end());
    }
    store_be(list.data() + length_at, static_cast<std::uint32_t>(list.size() - before));
    return list;
}

void Walk::send_out(const Port& from) {
    const Sent sent = draw(from);
    machine_.store.fail_next = chance(3);
    machine_.store.failed = false;
    machine_.store.keep_failed = chance(50);
    const Outcome got = run_past_strangers(from, cdb_of(sent), list_of(sent));
    machine_.store.fail_next = false;
    if (attention(from, got))
        return;
    if (machine_.store.failed) {  // told, and nothing has changed
        EXPECT_EQ(got.code, 0x045500U) << "step " << step_;
        ++counts_["failed writes"];
        file_unsure_ = true;
        return;
    }
    Model next = model_;
    const Outcome expected = next.out(from, sent);
    EXPECT_EQ(got, expected) << "step " << step_ << ", action " << sent.action << std::hex
                             << ", got " << got.kind << " " << got.code << ", expected "
                             << expected.kind << " " << expected.code;
    if (expected == ok) {
        model_ = std::move(next);
        file_unsure_ = false;  // GOOD, even if it has changed nothing
        EXPECT_TRUE(machine_.file_is_true()) << "step " << step_ << ", action " << sent.action;
    }
    ++counts_["out " + std::to_string(sent.action) + (expected == ok ? " good" : " refused")];
}

void Walk::send_in(const Port& from) {
    const unsigned action = below(4);
    Data data;
    const Outcome got = run_past_strangers(
        from, {0x5E, static_cast<std::uint8_t>(action), 0, 0, 0, 0, 0, 0xFF, 0xFF, 0}, {}, 65535,
        &data);
    if (attention(from, got))
        return;
    ASSERT_EQ(got, model_.reserved ? conflict : ok) << "step " << step_;
    if (got != ok)
        return;
    ASSERT_GE(data.size(), 8U);
    if (action == 2) {
        EXPECT_EQ(data[3] & 1, model_.aptpl ? 1 : 0) << "step " << step_;
        return;
    }
    EXPECT_EQ(load_be<std::uint32_t>(data.data()), model_.generation) << "step " << step_;
    EXPECT_EQ(load_be<std::uint32_t>(data.data() + 4), data.size() - 8);
    Cursor cursor(Bytes(data).subspan(8));
    if (action == 0) {
        std::multiset<std::uint64_t> keys;
        std::multiset<std::uint64_t> expected;
        while (cursor.remaining() != 0)
            keys.insert(cursor.be64());
        for (const auto& [who, key] : model_.keys)
            expected.insert(key);
        EXPECT_EQ(keys, expected) << "step " << step_;
    } else if (action == 1) {
        if (model_.type == 0) {
            EXPECT_EQ(data.size(), 8U) << "step " << step_;
            return;
        }
        EXPECT_EQ(cursor.be64(), model_.everybody_holds() ? 0 : model_.keys.at(*model_.holder));
        cursor.skip(5);
        EXPECT_EQ(cursor.u8(), model_.type);
    } else {
        std::map<Port, std::uint64_t> keys;
        while (cursor.remaining() != 0) {
            const std::uint64_t key = cursor.be64();
            cursor.skip(4);
            const bool holds = cursor.u8() == 1;
            const unsigned type = cursor.u8();
            cursor.skip(4);
            const unsigned port = cursor.be16();
            const auto id = scsi::TransportId::parse(cursor.bytes(cursor.be32()));
            ASSERT_TRUE(id);
            const Port who{static_cast<unsigned>(std::stoul(id->id.session(), nullptr, 16)), port};
            keys[who] = key;
            EXPECT_EQ(holds, model_.holds(who)) << "step " << step_;
            EXPECT_EQ(type, model_.holds(who) ? model_.type : 0) << "step " << step_;
        }
        EXPECT_EQ(keys, model_.keys) << "step " << step_;
    }
    ++counts_["in " + std::to_string(action)];
}

void Walk::send_spc2(const Port& from) {
    const bool reserves = chance(40);
    const bool ten = chance(50);
    Data cdb(ten ? 10 : 6);
    cdb[0] = static_cast<std::uint8_t>((ten ? 0x56 : 0x16) + (reserves ? 0 : 1));
    const Outcome got = run_past_strangers(from, cdb);
    if (attention(from, got))
        return;
    Outcome expected = ok;
    if (model_.type != 0 &&
        (model_.holds(from) || (model_.type >= 5 && model_.keys.contains(from))))
        ++counts_["compatible reservation handling"];
    else if (!model_.keys.empty() || (reserves && model_.reserved && model_.reserved != from))
        expected = conflict;
    else if (reserves)
        model_.reserved = from;
    else if (model_.reserved == from)
        model_.reserved.reset();
    EXPECT_EQ(got, expected) << "step " << step_ << (reserves ? " RESERVE" : " RELEASE");
    ++counts_[reserves ? "reserve" : "release"];
}

void Walk::send_row(const Port& from) {
    const scsi::CommandRow& row = *rows_[below(static_cast<unsigned>(rows_.size()))];
    Data cdb(std::max<std::size_t>(row.cdb_bytes, 16));
    cdb[0] = row.opcode;
    if (row.opcode == 0x7F) {
        cdb.resize(row.cdb_bytes);
        cdb[7] = static_cast<std::uint8_t>(row.cdb_bytes - 8);
        store_be(cdb.data() + 8, row.service_action);
    } else if (row.service_action >= 0) {
        cdb[1] = static_cast<std::uint8_t>(row.service_action);
    }
    const std::string name = scsi::testing::base_name(row.name);
    std::string columns;
    if (name == "START STOP UNIT") {
        cdb[4] = chance(90) ? 1 : 0;
        columns = cdb[4] == 1 ? "AAAAA" : "CCACC";
    } else {
        const auto golden = scsi::testing::golden_access().find(name);
        ASSERT_NE(golden, scsi::testing::golden_access().end()) << name;
        columns = golden->second;
    }
    const Outcome got = run_past_strangers(from, cdb, {}, 0);
    auto& pending = model_.attentions.at(from);
    if (row.unit_attention == scsi::UnitAttentionPolicy::report && attention(from, got))
        return;
    if (row.unit_attention == scsi::UnitAttentionPolicy::own && !pending.empty())
        pending.erase(pending.begin());
    const unsigned role = model_.role(from);
    bool refused = false;
    if (model_.type != 0 && role != 2) {
        const bool exclusive = model_.type == 3 || model_.type == 6 || model_.type == 8;
        const std::size_t column = model_.type < 5 ? (exclusive ? 1U : 0U)
                                   : role == 1     ? 2U
                                   : exclusive     ? 4U
                                                   : 3U;
        refused = columns[column] == 'C';
    }
    // SPC-2 table 10; PERSISTENT RESERVE IN even of the holder.
    const std::set<std::string> passes_reserve{
        "INQUIRY",         "LOG SENSE", "REPORT LUNS", "REQUEST SENSE", "REPORT TARGET PORT GROUPS",
        "REPORT REFERRALS"};
    if (model_.reserved &&
        (name == "PERSISTENT RESERVE IN" ||
         (model_.reserved != from && row.reservation != scsi::ReservationClass::always_allowed)))
        refused = true;
    if (model_.reserved && model_.reserved != from && passes_reserve.contains(name))
        refused = false;
    EXPECT_EQ(got.kind == Outcome::conflict, refused)
        << "step " << step_ << ": " << row.name << ", type " << model_.type << ", role " << role;
    if (model_.type != 0)
        cells_.insert({&row, model_.type, role});
    ++counts_["commands"];
}

void Walk::step() {
    const Port& from = ports_[below(static_cast<unsigned>(ports_.size()))];
    const unsigned what = below(1000);
    if (!model_.attentions.contains(from)) {
        if (chance(30)) {
            login(from);
            ++counts_["logins"];
        }
        return;
    }
    if (what < 500)
        return send_row(from);
    if (what < 880)
        return send_out(from);
    if (what < 940)
        return send_in(from);
    if (what < 980)
        return send_spc2(from);
    if (what < 995) {
        machine_.logout(from);
        model_.attentions.erase(from);
        if (model_.reserved == from)
            model_.reserved.reset();
        ++counts_["logouts"];
        return;
    }
    if (what < 999) {
        machine_.reset(from);
        model_.reserved.reset();
        // The reset tells of itself, after a power on that has not been told of, and instead of all
        // that came before.
        for (auto& [who, pending] : model_.attentions) {
            if (std::ranges::find(pending, 0x2903U) != pending.end())
                continue;
            std::erase_if(pending, [](unsigned code) { return code != 0x2900; });
            pending.push_back(0x2903);
        }
        ++counts_["resets"];
        return;
    }
    if (file_unsure_)  // after a failure there may be either
        return;
    machine_.restart();
    model_.attentions.clear();
    model_.reserved.reset();
    model_.generation = 0;
    if (!model_.aptpl) {
        model_.keys.clear();
        model_.drop_reservation();
    }
    if (model_.keys.empty())
        model_.aptpl = false;
    for (const Port& port : ports_)
        login(port);
    ++counts_["restarts"];
}

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
    const char* const text = std::getenv(name);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OLIO_TEST_IS_SLOW
#endif
#endif
#if defined(NDEBUG) && !defined(OLIO_TEST_IS_SLOW) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
constexpr std::uint64_t default_steps = 1'000'000;
#else
constexpr std::uint64_t default_steps = 60'000;
#endif

// Known defects 17, 18 and 52: whatever PREEMPT does is held against the model.
TEST(ReservationModel, KnownDefect17And18And52RandomSequencesGoAsTheClausesSay) {
    const std::uint64_t steps = from_environment("OLIO_RESERVATION_STEPS", default_steps);
    const std::uint64_t seed = from_environment("OLIO_RESERVATION_SEED", 1);
    std::map<std::string, std::size_t> counts;
    std::size_t missed = 0;
    for (const std::size_t nexuses : {8U, 5U, 3U}) {
        Walk walk(seed + nexuses, nexuses);
        walk.run(nexuses == 8 ? steps / 2 : steps / 4);
        ASSERT_FALSE(HasFailure()) << "seed " << seed << ", " << nexuses << " nexuses";
        if (nexuses == 8)
            missed = walk.cells_missed();
        for (const auto& [name, count] : walk.counts())
            counts[name] += count;
    }
    for (const auto& [name, count] : counts)
        RecordProperty(name, std::to_string(count));
    if (steps >= default_steps) {
        // A walk of fewer steps does not come everywhere.
        if (steps >= 1'000'000) {
            EXPECT_EQ(missed, 0U) << "cells of command, type and role that nobody came to";
        }
        for (const char* name :
             {"restarts", "resets", "logouts", "failed writes", "compatible reservation handling",
              "reserve", "out 0 good", "out 1 good", "out 2 good", "out 3 good", "out 4 good",
              "out 5 good", "out 6 good", "out 7 good", "out 8 refused"})
            EXPECT_GT(counts[name], 0U) << name;
    }
}

}  // namespace
}  // namespace olio::target
