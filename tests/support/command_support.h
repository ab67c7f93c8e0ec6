// For docs/scsi-support.md: where the standards describe a command, and which tests prove it. The
// tables of the engine say the rest. The longest matching beginning of a command's name counts.
#pragma once

#include <array>
#include <string_view>

namespace olio::support {

struct CommandSupport {
    std::string_view beginning;  // of the command's name
    std::string_view clause;
    std::string_view tests;  // test suites, and system tests in lower case
};

inline constexpr std::array commands{
    CommandSupport{"", "SPC-5 or SBC-4", "CommandTable"},
    CommandSupport{"CHANGE ALIASES", "SPC-5 clause 6", "Aliases, NexusCommands, nexus_list_fuzz"},
    CommandSupport{"CLOSE STREAM", "SBC-4 clause 5, STREAM CONTROL", "Streams"},
    CommandSupport{"COMPARE AND WRITE", "SBC-4 5.3",
                   "CompareAndWrite, DeviceServerTest, conformance"},
    CommandSupport{"COPY OPERATION ABORT", "SPC-5 clause 6", "CommandTable"},
    CommandSupport{"EXTENDED COPY", "SPC-5 clause 6", "CommandTable, conformance"},
    CommandSupport{"FORMAT UNIT", "SBC-4 clause 5", "CommandTable"},
    CommandSupport{"GET LBA STATUS", "SBC-4 5.8", "GetLbaStatus, conformance"},
    CommandSupport{"GET STREAM STATUS", "SBC-4 clause 5", "Streams"},
    CommandSupport{"INQUIRY", "SPC-5 6.6", "Inquiry, VitalProductData, conformance"},
    CommandSupport{"LOG SELECT", "SPC-5 6.7", "LogTest, PagesTest, log_select_fuzz"},
    CommandSupport{"LOG SENSE", "SPC-5 6.8", "LogTest, PagesTest, kernel"},
    CommandSupport{"MODE SELECT", "SPC-5 6.12 and 6.13",
                   "ModeSelect, SavedModePages, parameter_list_fuzz"},
    CommandSupport{"MODE SENSE", "SPC-5 6.14 and 6.15", "ModeSense, conformance"},
    CommandSupport{"ORWRITE", "SBC-4 clause 5", "Orwrite, OffloadTest"},
    CommandSupport{"PERSISTENT RESERVE", "SPC-5 5.13, clause 6", "CommandTable, conformance"},
    CommandSupport{"POPULATE TOKEN", "SBC-4 clause 5", "CommandTable"},
    CommandSupport{"PRE-FETCH", "SBC-4 5.13", "DeviceServerTest, conformance"},
    CommandSupport{"READ CAPACITY", "SBC-4 5.20 and 5.21", "ReadCapacity, conformance"},
    CommandSupport{"READ(", "SBC-4 clause 5", "DeviceServerTest, CdbFields, conformance"},
    CommandSupport{"RECEIVE COPY", "SPC-5 clause 6", "CommandTable, conformance"},
    CommandSupport{"RELEASE", "SPC-2 7.19", "DeviceServerTest, conformance"},
    CommandSupport{"REPORT ALIASES", "SPC-5 clause 6", "Aliases, NexusCommands"},
    CommandSupport{"REPORT ALL ROD TOKENS", "SPC-5 clause 6", "Tokens"},
    CommandSupport{"REPORT IDENTIFYING INFORMATION", "SPC-5 clause 6",
                   "InformationTest, InformationCommands"},
    CommandSupport{"REPORT PRIORITY", "SPC-5 clause 6, SAM-5", "Priorities, NexusCommands"},
    CommandSupport{"REPORT LUNS", "SPC-5 6.35", "ReportLuns, conformance"},
    CommandSupport{"REPORT REFERRALS", "SBC-4 clause 5", "Access, AccessStates"},
    CommandSupport{"REPORT SUPPORTED OPERATION CODES", "SPC-5 6.36",
                   "SupportedOperationCodes, conformance"},
    CommandSupport{"REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", "SPC-5 6.37",
                   "SupportedTaskManagementFunctions"},
    CommandSupport{"REPORT TARGET PORT GROUPS", "SPC-5 5.17, clause 6", "Access, AccessStates"},
    CommandSupport{"REPORT TIMESTAMP", "SPC-5 clause 6", "InformationTest, InformationCommands"},
    CommandSupport{"REQUEST SENSE", "SPC-5 6.39", "RequestSense, PollableSense, DeviceServerTest"},
    CommandSupport{"RESERVE", "SPC-2 7.21 and 7.22", "DeviceServerTest, conformance"},
    CommandSupport{"SANITIZE", "SBC-4 clause 5", "CommandTable, conformance"},
    CommandSupport{"SEND DIAGNOSTIC", "SPC-5 clause 6", "CommandTable"},
    CommandSupport{"SET IDENTIFYING INFORMATION", "SPC-5 clause 6",
                   "InformationTest, InformationCommands, identifying_information_fuzz"},
    CommandSupport{"SET PRIORITY", "SPC-5 clause 6, SAM-5",
                   "Priorities, NexusCommands, nexus_list_fuzz"},
    CommandSupport{"SET TARGET PORT GROUPS", "SPC-5 5.17, clause 6", "Access, AccessStates"},
    CommandSupport{"SET TIMESTAMP", "SPC-5 clause 6", "InformationTest, InformationCommands"},
    CommandSupport{"START STOP UNIT", "SBC-4 5.31", "PowerRequest, PagesTest, conformance"},
    CommandSupport{"STREAM CONTROL", "SBC-4 clause 5", "Streams"},
    CommandSupport{"SYNCHRONIZE CACHE", "SBC-4 5.33", "DeviceServerTest, crash"},
    CommandSupport{"TEST UNIT READY", "SPC-5 clause 6", "DeviceServerTest, conformance"},
    CommandSupport{"UNMAP", "SBC-4 5.35", "UnmapList, DeviceServerTest, conformance"},
    CommandSupport{"VERIFY", "SBC-4 5.36", "CdbFields, DeviceServerTest, conformance"},
    CommandSupport{"WRITE AND VERIFY", "SBC-4 5.52", "DeviceServerTest, conformance"},
    CommandSupport{"WRITE ATOMIC", "SBC-4 clause 5", "OffloadTest, conformance"},
    CommandSupport{"WRITE SAME", "SBC-4 5.50 and 5.51",
                   "DeviceServerTest, OffloadTest, conformance"},
    CommandSupport{"WRITE STREAM", "SBC-4 clause 5", "Streams"},
    CommandSupport{"WRITE(", "SBC-4 clause 5", "DeviceServerTest, CdbFields, conformance"},
};

constexpr const CommandSupport& support_of(std::string_view name) {
    const CommandSupport* best = &commands.front();
    for (const CommandSupport& row : commands)
        if (name.starts_with(row.beginning) && row.beginning.size() > best->beginning.size())
            best = &row;
    return *best;
}

}  // namespace olio::support
