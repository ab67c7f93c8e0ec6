#include "scsi/reservation_tables_testing.h"

namespace olio::scsi::testing {

const std::map<std::string, std::string>& golden_access() {
    static const std::map<std::string, std::string> table{
        // SPC-5
        {"CHANGE ALIASES", "CCACC"},
        {"COPY OPERATION ABORT", "CCACC"},
        {"EXTENDED COPY", "CCACC"},
        {"INQUIRY", "AAAAA"},
        {"LOG SELECT", "CCACC"},
        {"LOG SENSE", "AAAAA"},
        {"MODE SELECT", "CCACC"},
        {"MODE SENSE", "ACAAC"},
        {"PERSISTENT RESERVE IN", "AAAAA"},
        {"READ BUFFER", "ACAAC"},
        {"RECEIVE COPY DATA", "AAAAA"},
        {"RECEIVE COPY FAILURE DETAILS", "AAAAA"},
        {"RECEIVE COPY OPERATING PARAMETERS", "AAAAA"},
        {"RECEIVE COPY STATUS", "AAAAA"},
        {"RECEIVE DIAGNOSTIC RESULTS", "ACAAC"},
        {"RECEIVE ROD TOKEN INFORMATION", "AAAAA"},
        {"REPORT ALIASES", "AAAAA"},
        {"REPORT ALL ROD TOKENS", "AAAAA"},
        {"REPORT IDENTIFYING INFORMATION", "AAAAA"},
        {"REPORT LUNS", "AAAAA"},
        {"REPORT PRIORITY", "AAAAA"},
        {"REPORT SUPPORTED OPERATION CODES", "ACAAC"},
        {"REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", "ACAAC"},
        {"REPORT TARGET PORT GROUPS", "AAAAA"},
        {"REPORT TIMESTAMP", "AAAAA"},
        {"REQUEST SENSE", "AAAAA"},
        {"SEND DIAGNOSTIC", "CCACC"},
        {"SET IDENTIFYING INFORMATION", "CCACC"},
        {"SET PRIORITY", "CCACC"},
        {"SET TARGET PORT GROUPS", "CCACC"},
        {"SET TIMESTAMP", "CCACC"},
        {"TEST UNIT READY", "AAAAA"},
        {"WRITE BUFFER", "CCACC"},
        // SBC-4
        {"BACKGROUND CONTROL", "CCACC"},
        {"COMPARE AND WRITE", "CCACC"},
        {"FORMAT UNIT", "CCACC"},
        {"FORMAT WITH PRESET", "CCACC"},
        {"GET LBA STATUS", "ACAAC"},
        {"GET PHYSICAL ELEMENT STATUS", "ACAAC"},
        {"GET STREAM STATUS", "ACAAC"},
        {"ORWRITE", "CCACC"},
        {"POPULATE TOKEN", "ACAAC"},
        {"PRE-FETCH", "ACAAC"},
        {"READ", "ACAAC"},
        {"READ CAPACITY", "AAAAA"},
        {"READ DEFECT DATA", "ACAAC"},
        {"REASSIGN BLOCKS", "CCACC"},
        {"REPORT PROVISIONING INITIALIZATION PATTERN", "AAAAA"},
        {"REPORT REFERRALS", "AAAAA"},
        {"SANITIZE", "CCACC"},
        {"STREAM CONTROL", "CCACC"},
        {"SYNCHRONIZE CACHE", "CCACC"},
        {"UNMAP", "CCACC"},
        {"VERIFY", "ACAAC"},
        {"WRITE", "CCACC"},
        {"WRITE AND VERIFY", "CCACC"},
        {"WRITE ATOMIC", "CCACC"},
        {"WRITE LONG", "CCACC"},
        {"WRITE SAME", "CCACC"},
        {"WRITE SCATTERED", "CCACC"},
        {"WRITE STREAM", "CCACC"},
        {"WRITE USING TOKEN", "CCACC"},
    };
    return table;
}

std::string base_name(std::string_view name) {
    std::string base(name.substr(0, name.find('(')));
    while (base.ends_with(' '))
        base.pop_back();
    return base;
}

}  // namespace olio::scsi::testing
