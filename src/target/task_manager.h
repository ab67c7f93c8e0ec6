// The task manager (SAM-5 clause 7): every function of RFC 7143 11.5 and the QUERY functions. A
// function is answered when every command that it covers has ended or can reach the medium only
// behind a fence.
#pragma once

#include "target/it_nexus_impl.h"

namespace olio::target {

class TaskManager {
  public:
    static void execute(ITNexusImpl& nexus, TaskManagement& request);

  private:
    static void answer(ITNexusImpl& nexus, TaskManagement& request,
                       TaskManagementResponse response);
    // What holds back the answer "function complete".
    static Ticket begin(ITNexusImpl& nexus, TaskManagement& request);
    static void abort_task(ITNexusImpl& nexus, ITLNexus& itl, TaskManagement& request);
    static void abort_task_set(ITNexusImpl& nexus, ITLNexus& itl, TaskManagement& request);
    static void query_task_set(ITNexusImpl& nexus, ITLNexus& itl, TaskManagement& request);
    static void query_asynchronous_event(ITNexusImpl& nexus, ITLNexus& itl,
                                         TaskManagement& request);
    static void reset_nexus(ITNexusImpl& nexus, TaskManagement& request);
    static void reset_units(ITNexusImpl& nexus, std::vector<LogicalUnitImpl*> units,
                            TaskManagement& request);
};

}  // namespace olio::target
