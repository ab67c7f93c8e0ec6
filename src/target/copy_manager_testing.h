// For tests: three logical units, and copies between them.
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "scsi/extended_copy_testing.h"
#include "target/engine_testing.h"

namespace olio::target::testing {

using Bytestring = std::vector<std::uint8_t>;

inline std::shared_ptr<FakeMedium> medium_named(std::uint8_t last, std::uint32_t block_bytes = 512,
                                                std::uint64_t blocks = 8192) {
    auto medium = std::make_shared<FakeMedium>(blocks, block_bytes);
    medium->identification.serial = "unit" + std::to_string(last);
    medium->identification.naa = {0x60, 1, 0x40, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last};
    return medium;
}

inline Bytestring pattern(std::size_t bytes, unsigned seed) {
    Bytestring made(bytes);
    for (std::size_t i = 0; i < bytes; ++i)
        made[i] = static_cast<std::uint8_t>((i * 2654435761u >> 13) + i / 512 + seed);
    return made;
}

inline Bytestring copy_cdb(std::uint8_t service_action, std::size_t list_bytes) {
    Bytestring cdb(16);
    cdb[0] = 0x83;
    cdb[1] = service_action;
    store_be(cdb.data() + 10, static_cast<std::uint32_t>(list_bytes));
    return cdb;
}

inline Bytestring results_cdb(std::uint8_t service_action, std::uint32_t list_id) {
    Bytestring cdb(16);
    cdb[0] = 0x84;
    cdb[1] = service_action;
    if (service_action < 5)
        cdb[2] = static_cast<std::uint8_t>(list_id);
    else
        store_be(cdb.data() + 2, list_id);
    store_be(cdb.data() + 10, 4096u);
    return cdb;
}

// LUN 2 has blocks of 4096 bytes.
class Copies : public ::testing::Test {
  protected:
    explicit Copies(std::vector<std::shared_ptr<FakeMedium>> made = {medium_named(1),
                                                                     medium_named(2),
                                                                     medium_named(3, 4096, 1024)})
        : media(std::move(made)) {}

    std::vector<std::shared_ptr<FakeMedium>> media;
    EngineRig rig{2};
    std::vector<LogicalUnit*> units{rig.add_unit(media[0], 0), rig.add_unit(media[1], 1),
                                    rig.add_unit(media[2], 1)};
    TestNexus* nexus = &rig.add_nexus(0, units);

    scsi::testing::Naa naa(std::size_t unit) { return media[unit]->identification.naa; }
    scsi::testing::Descriptors all() {
        using scsi::testing::cscd;
        return {cscd(naa(0)), cscd(naa(1)), cscd(naa(2), 4096)};
    }
    TestCommand& make_copy(const Bytestring& list, TestNexus& by, std::uint32_t lun = 0) {
        return rig.make(by, copy_cdb(0, list.size()), list, 0, lun);
    }
    TestCommand& copy(const Bytestring& list, TestNexus& by, std::uint32_t lun = 0) {
        return rig.run(by, copy_cdb(0, list.size()), list, 0, lun);
    }
    TestCommand& copy(const scsi::testing::Descriptors& segments, std::uint32_t lun = 0) {
        return copy(scsi::testing::lid1_list(all(), segments), *nexus, lun);
    }
    // The COPY ABORTED of a device's refusal: its status, sense key and additional sense code.
    static std::string reported(const TestCommand& command) {
        const auto& s = command.sense_storage;
        if (command.status != scsi::Status::check_condition || command.key() != 0xA ||
            s.size() < 37)
            return "";
        char text[64];
        std::snprintf(text, sizeof text, "%04x: %02x %x/%02x/%02x", command.additional(), s[18],
                      s[21], s[31], s[32]);
        return text;
    }
};

}  // namespace olio::target::testing
