#include "scsi/aptpl.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>

namespace olio::scsi {
namespace {

constexpr std::size_t limit = 512;

Registration make(unsigned number, std::uint64_t key, bool holds = false, std::uint16_t port = 1) {
    return {{*TransportId::from_words(ProtocolIdentifier::iscsi,
                                      fmt::format("iqn.1994-05.com.example:host{}", number),
                                      fmt::format("00023d{:06x}", number)),
             port, fmt::format("iqn.2024-01.example:disk,t,0x{:04x}", port)},
            key,
            holds,
            false,
            number};
}

// As a Linux 6.1 target writes it, with two registrations and one reservation.
constexpr std::string_view of_lio =
    "PR_REG_START: 0\n"
    "initiator_fabric=iSCSI\n"
    "initiator_node=iqn.1994-05.com.example:host1\n"
    "initiator_sid=00023d000001\n"
    "sa_res_key=81985529216486895\n"
    "res_holder=1\n"
    "res_type=05\n"
    "res_scope=00\n"
    "res_all_tg_pt=0\n"
    "mapped_lun=1\n"
    "target_fabric=iSCSI\n"
    "target_node=iqn.2024-01.example:disk\n"
    "tpgt=1\n"
    "port_rtpi=1\n"
    "target_lun=1\n"
    "PR_REG_END: 0\n"
    "PR_REG_START: 1\n"
    "initiator_fabric=iSCSI\n"
    "initiator_node=iqn.1994-05.com.example:host2\n"
    "initiator_sid=00023d000002\n"
    "sa_res_key=2\n"
    "res_holder=0\n"
    "res_all_tg_pt=0\n"
    "mapped_lun=2\n"
    "target_fabric=iSCSI\n"
    "target_node=iqn.2024-01.example:disk\n"
    "tpgt=2\n"
    "port_rtpi=2\n"
    "target_lun=2\n"
    "PR_REG_END: 1\n";

PersistentReservations known() {
    PersistentReservations all;
    all.registrations = {make(1, 81985529216486895, true), make(2, 2, false, 2)};
    all.type = ReservationType::write_exclusive_registrants_only;
    all.persists_through_power_loss = true;
    return all;
}

TEST(Aptpl, WritesAndReadsWhatLioWrites) {
    EXPECT_EQ(write_aptpl(known()), of_lio);
    const auto read = parse_aptpl(of_lio, limit);
    ASSERT_TRUE(read) << read.error();
    EXPECT_EQ(*read, known());
    EXPECT_EQ(read->registrations[1].nexus.port_name, "iqn.2024-01.example:disk,t,0x0002");
    // The kernel writes its null as well.
    EXPECT_EQ(*parse_aptpl(std::string(of_lio) + '\0', limit), known());
}

// As LIO writes it where a registration was made without one (enforce_pr_isids = 0).
TEST(Aptpl, ARegistrationWithoutSessionIdentifierIsThatOfADevice) {
    PersistentReservations all;
    all.persists_through_power_loss = true;
    Registration device;
    device.nexus.initiator = *TransportId::from_words(ProtocolIdentifier::iscsi, "iqn.host:1");
    device.nexus.relative_port = 1;
    device.nexus.port_name = "iqn.disk,t,0x0001";
    device.key = 5;
    all.registrations.push_back(device);
    const std::string text = write_aptpl(all);
    EXPECT_EQ(text.find("initiator_sid"), std::string::npos);
    const auto read = parse_aptpl(text, 8);
    ASSERT_TRUE(read) << read.error();
    EXPECT_EQ(read->registrations, all.registrations);
}

TEST(Aptpl, NothingIsSaidInWords) {
    PersistentReservations all = known();
    all.persists_through_power_loss = false;
    EXPECT_EQ(write_aptpl(all), "No Registrations or Reservations\n");
    EXPECT_EQ(write_aptpl({}), "No Registrations or Reservations\n");
    EXPECT_EQ(*parse_aptpl("No Registrations or Reservations\n", limit), PersistentReservations{});
    EXPECT_EQ(*parse_aptpl(std::string_view("No Registrations or Reservations\n\0", 34), limit),
              PersistentReservations{});
}

TEST(Aptpl, AllRegistrantsAndOtherProtocolsComeBack) {
    PersistentReservations all;
    all.persists_through_power_loss = true;
    all.type = ReservationType::exclusive_access_all_registrants;
    for (const auto& [protocol, words] :
         {std::pair{ProtocolIdentifier::fibre_channel, "21:00:00:e0:8b:05:05:04"},
          std::pair{ProtocolIdentifier::ieee1394, "0011223344556677"},
          std::pair{ProtocolIdentifier::rdma, "0x00112233445566778899aabbccddeeff"},
          std::pair{ProtocolIdentifier::sas, "naa.5000c50012345678"},
          std::pair{ProtocolIdentifier::sop, "0x1234"}})
        all.registrations.push_back(
            {{*TransportId::from_words(protocol, words), 7, "naa.600"}, 5, false, true, 3});
    const auto read = parse_aptpl(write_aptpl(all), limit);
    ASSERT_TRUE(read) << read.error();
    EXPECT_EQ(*read, all);
}

// Known defect 37: a bad line was accepted.
TEST(Aptpl, KnownDefect37AFileIsBelievedWholeOrNotAtAll) {
    const std::string good(of_lio);
    const auto with = [&](std::string_view what, std::string_view instead) {
        std::string text = good;
        text.replace(text.find(what), what.size(), instead);
        return parse_aptpl(text, limit);
    };
    for (const auto& [what, instead, words] : std::vector<std::array<std::string_view, 3>>{
             {"PR_REG_START: 0", "PR_REG_START: x", "line 1"},
             {"PR_REG_START: 0\n", "", "line 1"},
             {"PR_REG_END: 0\n", "", "line 16"},
             {"PR_REG_END: 0", "PR_REG_END: 1", "line 16"},
             {"sa_res_key=8", "sa_res_key=", ""},
             {"sa_res_key=81985529216486895", "sa_res_key=99999999999999999999", "sa_res_key"},
             {"sa_res_key=81985529216486895", "sa_res_key=0", "sa_res_key"},
             {"sa_res_key=81985529216486895", "sa_res_key=-1", "sa_res_key"},
             {"sa_res_key=81985529216486895", "sa_res_key", "line 5"},
             {"initiator_sid=00023d000001", "initiator_sid=zz", "initiator"},
             {"initiator_sid=", "initiator_siD=", "no known field"},
             {"initiator_node=iqn.1994-05.com.example:host1", "initiator_node=", "initiator"},
             {"initiator_fabric=iSCSI", "initiator_fabric=smoke", "initiator_fabric"},
             {"res_holder=1", "res_holder=2", "res_holder"},
             {"res_type=05", "res_type=04", "res_type"},
             {"res_type=05\n", "", "res_type"},
             {"res_scope=00", "res_scope=01", "res_scope"},
             {"port_rtpi=1", "port_rtpi=65536", "port_rtpi"},
             {"tpgt=1\n", "tpgt=1\ntpgt=1\n", "twice"},
             {"host2", "host1", ""},
         }) {
        const auto read = with(what, instead);
        if (words.empty())
            continue;  // another number, another name: nothing to see for anybody
        ASSERT_FALSE(read) << what << " -> " << instead;
        EXPECT_NE(read.error().find(words), std::string::npos) << read.error();
    }
    for (std::size_t size = 0; size < good.size(); ++size) {
        const auto read = parse_aptpl(std::string_view(good).substr(0, size), limit);
        // One registration alone is whole by itself, and so is the last line without its end.
        if (read) {
            EXPECT_TRUE(read->registrations.size() == 1 || *read == known()) << size;
        }
    }
    EXPECT_FALSE(parse_aptpl("", limit));
    EXPECT_FALSE(parse_aptpl("No Registrations or Reservations\nPR_REG_START: 0\n", limit));
}

TEST(Aptpl, KnownDefect63RegistrationsInAFileHaveALimit) {
    PersistentReservations all;
    all.persists_through_power_loss = true;
    for (unsigned number = 0; number < 20; ++number)
        all.registrations.push_back(make(number, 5));
    EXPECT_TRUE(parse_aptpl(write_aptpl(all), 20));
    EXPECT_FALSE(parse_aptpl(write_aptpl(all), 19));
}

TEST(Aptpl, TheSameNexusTwiceOrTwoHoldersAreRefused) {
    PersistentReservations all = known();
    all.registrations[1].holds = true;
    EXPECT_FALSE(parse_aptpl(write_aptpl(all), limit));
    all = known();
    all.registrations[1] = make(1, 7);
    EXPECT_FALSE(parse_aptpl(write_aptpl(all), limit));
}

TEST(Aptpl, RandomDamageIsFoundOrHarmless) {
    std::mt19937 random(7);  // NOLINT: the same each time
    for (int round = 0; round < 20'000; ++round) {
        std::string text(of_lio);
        for (unsigned damage = 0; damage <= random() % 3; ++damage)
            text[random() % text.size()] = static_cast<char>(random());
        const auto read = parse_aptpl(text, limit);
        if (read) {
            const auto again = parse_aptpl(write_aptpl(*read), limit);
            ASSERT_TRUE(again);
            EXPECT_EQ(*again, *read);
        }
    }
}

}  // namespace
}  // namespace olio::scsi
