// TransportIDs: how one SCSI device names the initiator ports of others (SPC-5 7.6.4).
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "scsi/types.h"

namespace olio::scsi {

// A TransportID in its one canonical form: reserved bytes are zero, an initiator session identifier
// has twelve small digits, and an iSCSI name takes no more room than it needs. So two of them name
// the same port if they are equal. A value; the default one names nobody.
class TransportId {
  public:
    TransportId() = default;

    struct Parsed;
    // The first TransportID of a list. Nothing: it is cut short, of an unknown protocol or format
    // code, or its name is none.
    [[nodiscard]] static std::optional<Parsed> parse(Bytes list);

    // From the words of LIO's files: an iSCSI name and, for one port of that node, its ISID in
    // hexadecimal digits; or the name of a port as other protocols write it ("naa.5000…",
    // "21:00:00:…", "0x…"). Nothing if it is no such name.
    [[nodiscard]] static std::optional<TransportId> from_words(ProtocolIdentifier protocol,
                                                               std::string_view node,
                                                               std::string_view session = {});

    // As it travels; a multiple of four bytes, at least 24.
    [[nodiscard]] Bytes bytes() const noexcept { return bytes_; }
    [[nodiscard]] bool empty() const noexcept { return bytes_.empty(); }
    [[nodiscard]] ProtocolIdentifier protocol() const noexcept;
    // False for an iSCSI TransportID with format code 00b, which stands for every port of a device.
    [[nodiscard]] bool names_port() const noexcept;
    // Whether `port` is one of those that this TransportID names.
    [[nodiscard]] bool covers(const TransportId& port) const;

    // The words of from_words().
    [[nodiscard]] std::string node() const;
    [[nodiscard]] std::string session() const;

    auto operator<=>(const TransportId&) const = default;

  private:
    std::vector<std::uint8_t> bytes_;
};

struct TransportId::Parsed {
    TransportId id;
    std::size_t length_bytes = 0;  // of the list, more than id.bytes() where it was padded
};

}  // namespace olio::scsi
