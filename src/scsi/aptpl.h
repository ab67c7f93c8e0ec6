// The file aptpl_SERIAL in which registrations and a reservation outlive the power (APTPL), as LIO
// writes it: text, one line a field, one block of lines a registration. Pure; who keeps the file is
// elsewhere (target/metadata_store.h).
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "scsi/reservations.h"

namespace olio::scsi {

// What the file has to say of these reservations: all of them, or that there are none, which it
// also says where APTPL is not active. PRgeneration is not among it: power on sets it to zero.
[[nodiscard]] std::string write_aptpl(const PersistentReservations& reservations);

// Takes what write_aptpl() and LIO write, a trailing null included. The error says the line and
// what is wrong with it: a file is believed whole or not at all. At most `maximum_registrations`.
[[nodiscard]] std::expected<PersistentReservations, std::string> parse_aptpl(
    std::string_view text, std::size_t maximum_registrations);

}  // namespace olio::scsi
