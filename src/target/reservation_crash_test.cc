// kill -9 while reservations with APTPL are being written: afterwards there is the state before or
// the one after, and what was acknowledged is there. OLIO_RESERVATION_KILLS: how often.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "scsi/aptpl.h"
#include "target/metadata_store.h"

namespace olio::target {
namespace {

namespace fs = std::filesystem;
constexpr std::size_t maximum_registrations = 64;
const std::string file = "pr/aptpl_crash";

// The state after change number `number`: its registrations, their keys and the holder follow from
// it, so that a mixture of two is no state.
scsi::PersistentReservations state_of(std::uint64_t number) {
    scsi::PersistentReservations state;
    state.persists_through_power_loss = true;
    state.type = scsi::ReservationType::write_exclusive_registrants_only;
    const std::uint64_t count = 1 + number % 40;
    for (std::uint64_t i = 0; i < count; ++i) {
        scsi::Registration one;
        one.nexus.initiator = *scsi::TransportId::from_words(scsi::ProtocolIdentifier::iscsi,
                                                             "iqn.host:" + std::to_string(i), "1");
        one.nexus.relative_port = 1;
        one.nexus.port_name = "iqn.disk,t,0x0001";
        one.key = number;
        one.holds = i == number % count;
        state.registrations.push_back(std::move(one));
    }
    return state;
}

// As if without care: over the old content, and in two pieces.
void write_carelessly(const std::string& directory, std::string_view text) {
    std::ofstream out(directory + "/" + file, std::ios::trunc);
    out << text.substr(0, text.size() / 2) << std::flush;
    std::this_thread::sleep_for(std::chrono::microseconds(300));
    out << text.substr(text.size() / 2) << std::flush;
}

// Never returns: change after change, each told through the pipe when it is done.
[[noreturn]] void write_for_ever(const std::string& directory, std::uint64_t number, int told,
                                 bool careful) {
    for (;;) {
        const std::string text = scsi::write_aptpl(state_of(++number));
        if (!careful)
            write_carelessly(directory, text);
        else if (!write_durably(directory, file, text))
            ::_exit(2);
        if (::write(told, &number, sizeof number) != sizeof number)
            ::_exit(3);
    }
}

// What the file says, or what is wrong with it.
std::expected<std::uint64_t, std::string> number_in_file(const std::string& directory) {
    const auto text = read_whole(directory, file);
    if (!text)
        return std::unexpected(text.error().message);
    if (!*text)
        return 0;
    const auto state = scsi::parse_aptpl(**text, maximum_registrations);
    if (!state)
        return std::unexpected(state.error());
    if (state->registrations.empty())
        return std::unexpected("no registrations");
    const std::uint64_t number = state->registrations[0].key;
    if (!(*state == state_of(number)))
        return std::unexpected("a mixture of states");
    return number;
}

struct Kills {
    std::uint64_t acknowledged = 0;
    std::uint64_t unacknowledged = 0;  // in the file though nobody had been told: allowed
    std::string violation;
};

Kills kill_often(const std::string& directory, unsigned kills, bool careful) {
    std::mt19937 random(11);  // NOLINT: the delays are never the same twice anyway
    Kills counts;
    std::uint64_t number = 0;
    for (unsigned i = 0; i < kills && counts.violation.empty(); ++i) {
        std::array<int, 2> pipe{};
        if (::pipe(pipe.data()) != 0)
            return {0, 0, "no pipe"};
        const pid_t child = ::fork();
        if (child == 0) {
            ::close(pipe[0]);
            write_for_ever(directory, number, pipe[1], careful);
        }
        ::close(pipe[1]);
        // After one change has been told of, some time within the next ones.
        std::uint64_t told = number;
        const auto start = std::chrono::steady_clock::now();
        if (::read(pipe[0], &told, sizeof told) == sizeof told)
            ++counts.acknowledged;
        const auto took = std::chrono::duration_cast<std::chrono::nanoseconds>(
            std::chrono::steady_clock::now() - start);
        std::this_thread::sleep_for(took * (random() % 200) / 100);
        ::kill(child, SIGKILL);
        int status = 0;
        ::waitpid(child, &status, 0);
        std::uint64_t one = 0;
        while (::read(pipe[0], &one, sizeof one) == sizeof one) {
            told = one;
            ++counts.acknowledged;
        }
        ::close(pipe[0]);
        const auto found = number_in_file(directory);
        if (!WIFSIGNALED(status))
            counts.violation = "a write failed";
        else if (!found)
            counts.violation = found.error();
        else if (*found != told && *found != told + 1)
            counts.violation = "told " + std::to_string(told) + ", found " + std::to_string(*found);
        else
            counts.unacknowledged += *found == told + 1 ? 1 : 0;
        number = found.value_or(0);
    }
    return counts;
}

class ReservationCrash : public ::testing::Test {
  protected:
    ReservationCrash() {
        // In memory where that can be: what was given to the kernel survives kill -9 there, too.
        const fs::path memory = "/dev/shm";
        std::string pattern =
            ((fs::is_directory(memory) ? memory : fs::temp_directory_path()) / "olio-crash-XXXXXX")
                .string();
        directory_ = ::mkdtemp(pattern.data());
    }
    ~ReservationCrash() override { fs::remove_all(directory_); }
    std::string directory_;
};

TEST_F(ReservationCrash, AThousandKillsLeaveTheStateBeforeOrAfter) {
    const char* const wanted = std::getenv("OLIO_RESERVATION_KILLS");
    const unsigned kills = wanted == nullptr ? 1000 : static_cast<unsigned>(std::atoi(wanted));
    const Kills counts = kill_often(directory_, kills, true);
    EXPECT_EQ(counts.violation, "");
    EXPECT_GE(counts.acknowledged, kills);
    RecordProperty("acknowledged", std::to_string(counts.acknowledged));
    RecordProperty("unacknowledged", std::to_string(counts.unacknowledged));
}

TEST_F(ReservationCrash, AWriterWithoutCareIsFoundOut) {
    ASSERT_TRUE(write_durably(directory_, file, scsi::write_aptpl(state_of(1))));
    EXPECT_NE(kill_often(directory_, 1000, false).violation, "");
}

}  // namespace
}  // namespace olio::target
