#include "scsi/priorities.h"

#include <gtest/gtest.h>

#include "scsi/request_testing.h"

namespace olio::scsi {
namespace {

using testing::Asked;
using testing::describe;
using testing::hex;
using testing::to_hex;

NexusName name(std::string_view session, std::uint16_t port) {
    return {*TransportId::from_words(ProtocolIdentifier::iscsi, "iqn.host", session), port, {}};
}

class Priorities : public ::testing::Test {
  protected:
    Priorities() {
        unit.nexus.id = 1;
        unit.nexus.name = &nexuses[0].name;
    }
    // The changed ones, or the sense data.
    std::string set(std::string_view scope, Bytes list, NexusId by = 1) {
        const auto wanted = parse_set_priority(
            hex("a4 0e " + std::string(scope) + " 00 00 00 00 00 00 ff 00 00"), list);
        if (!wanted)
            return describe(wanted.error());
        const auto changed = set_priority(unit.state, *wanted, by, nexuses);
        if (!changed)
            return describe(changed.error());
        std::string text;
        for (const NexusId id : *changed)
            text += std::to_string(id);
        return text;
    }
    static std::vector<std::uint8_t> list_of(std::uint8_t priority, const NexusName& nexus) {
        const Bytes id = nexus.initiator.bytes();
        std::vector<std::uint8_t> list(8 + id.size());
        list[0] = priority;
        store_be<std::uint16_t>(list.data() + 2, nexus.relative_port);
        store_be<std::uint16_t>(list.data() + 6, static_cast<std::uint16_t>(id.size()));
        std::ranges::copy(id, list.begin() + 8);
        return list;
    }
    std::string reported(std::string_view which) {
        return unit.asked("a3 0e " + std::string(which) + " 00 00 00 00 00 04 00 00 00");
    }
    std::string entry(unsigned priority, const NexusName& nexus) const {
        return to_hex(list_of(static_cast<std::uint8_t>(priority), nexus));
    }

    Asked unit;
    std::vector<KnownNexus> nexuses{{1, name("1", 1)}, {2, name("2", 1)}, {3, name("1", 2)}};
};

TEST_F(Priorities, OfANexusIsTheInitialOneUntilItIsSet) {
    const std::string length = "00 00 00 28 ";
    EXPECT_EQ(reported("00"), length + entry(0, nexuses[0].name));
    EXPECT_EQ(reported("40"), "00 00 00 00");
    unit.state.mode_pages.initial_command_priority = 9;
    EXPECT_EQ(reported("00"), length + entry(9, nexuses[0].name));
    EXPECT_EQ(set("00", hex("03 00 00 00 00 00 00 00")), "1");
    EXPECT_EQ(priority_of(unit.state, 1), 3);
    EXPECT_EQ(priority_of(unit.state, 2), 9);
    EXPECT_EQ(reported("00"), length + entry(3, nexuses[0].name));
    EXPECT_EQ(reported("40"), length + entry(3, nexuses[0].name));
    EXPECT_EQ(set("00", hex("03 00 00 00 00 00 00 00")), "");
    EXPECT_EQ(set("00", hex("00 00 00 00 00 00 00 00")), "1");  // back
    EXPECT_EQ(priority_of(unit.state, 1), 9);
    EXPECT_EQ(reported("40"), "00 00 00 00");
    EXPECT_EQ(set("00", hex("09 00 00 00 00 00 00 00")), "");
    EXPECT_EQ(reported("40"), "00 00 00 00");  // set, to the initial one
    EXPECT_EQ(reported("80"), "5/24/00 cdb 2.7");
}

TEST_F(Priorities, OfAnotherNexusIsSetByItsNames) {
    EXPECT_EQ(set("40", list_of(5, nexuses[2].name)), "3");
    EXPECT_EQ(priority_of(unit.state, 1), 0);
    EXPECT_EQ(priority_of(unit.state, 3), 5);
    EXPECT_EQ(set("40", list_of(5, name("7", 1))), "5/26/00 list 2");
    EXPECT_EQ(set("40", list_of(5, name("2", 2))), "5/26/00 list 2");
    EXPECT_EQ(set("40", list_of(7, nexuses[1].name)), "2");
    EXPECT_EQ(reported("40"),
              "00 00 00 50 " + entry(5, nexuses[2].name) + " " + entry(7, nexuses[1].name));
    EXPECT_EQ(set("80", {}), "23");
    EXPECT_TRUE(unit.state.priorities.empty());
}

TEST_F(Priorities, WhatIsWrongIsPointedAt) {
    EXPECT_EQ(set("c0", {}), "5/24/00 cdb 2.7");
    EXPECT_EQ(set("00", hex("03 00 00 00 00 00 00")), "5/1a/00");
    auto list = list_of(5, nexuses[2].name);
    for (std::size_t length = 0; length < list.size(); ++length)
        EXPECT_EQ(set("40", Bytes(list).first(length)), "5/1a/00") << length;
    list[8] = 0x0F;  // no such protocol
    EXPECT_EQ(set("40", list), "5/26/00 list 8");
    NexusName device = nexuses[0].name;
    device.initiator = *TransportId::from_words(ProtocolIdentifier::iscsi, "iqn.host");
    EXPECT_EQ(set("40", list_of(5, device)), "5/26/00 list 8");  // a device, and no port
}

TEST_F(Priorities, EndWithTheirNexus) {
    EXPECT_EQ(set("40", list_of(5, nexuses[1].name)), "2");
    EXPECT_FALSE(forget_priority(unit.state, 1));
    EXPECT_TRUE(forget_priority(unit.state, 2));
    EXPECT_EQ(priority_of(unit.state, 2), 0);
    // One that nobody took away is gone with the next change.
    EXPECT_EQ(set("40", list_of(5, nexuses[1].name)), "2");
    nexuses.erase(nexuses.begin() + 1);
    EXPECT_EQ(set("00", hex("04 00 00 00 00 00 00 00")), "1");
    ASSERT_EQ(unit.state.priorities.size(), 1U);
    EXPECT_EQ(unit.state.priorities[0].nexus.id, 1U);
}

}  // namespace
}  // namespace olio::scsi
