// The tables of the standards that say which commands pass a persistent reservation, typed in:
// golden data for tests, and no part of the code that they test.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace olio::scsi::testing {

// The five columns of SPC-5 table 65 and SBC-4 table 13: from any I_T nexus under Write Exclusive
// and Exclusive Access; from a registered one under registrants only and all registrants; from one
// that is not registered under these with Write Exclusive and with Exclusive Access. A: allowed, C:
// conflict.
[[nodiscard]] const std::map<std::string, std::string>& golden_access();

// "READ(10)" and "PERSISTENT RESERVE IN (READ KEYS)" stand in the tables without what is in
// brackets.
[[nodiscard]] std::string base_name(std::string_view name);

}  // namespace olio::scsi::testing
