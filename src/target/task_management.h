// Task management functions (SAM-5 clause 7) as values; their requests are the fabric's objects.
#pragma once

#include <array>
#include <cstdint>

#include "scsi/types.h"

namespace olio::target {

enum class TaskManagementFunction : std::uint8_t {
    abort_task,
    abort_task_set,
    clear_aca,
    clear_task_set,
    i_t_nexus_reset,
    logical_unit_reset,
    target_reset,  // warm and cold alike reset every logical unit that the nexus reaches; the
                   // fabric drops connections after a cold one
    query_task,
    query_task_set,
    query_asynchronous_event,
};

enum class TaskManagementResponse : std::uint8_t {
    function_complete,
    function_succeeded,  // the QUERY functions: yes
    task_does_not_exist,
    lun_does_not_exist,
    function_not_supported,
    function_rejected,
};

// Lives in the fabric's object until TransportServices::task_management_executed.
struct TaskManagement {
    TaskManagementFunction function = TaskManagementFunction::abort_task;
    scsi::Lun lun;
    std::uint64_t referenced_tag = 0;
    TaskManagementResponse response = TaskManagementResponse::function_rejected;
    // The Additional Response Information argument of QUERY ASYNCHRONOUS EVENT (SAM-5 7.10): UADE
    // DEPTH and the sense key, the additional sense code and its qualifier of the unit attention
    // that is reported next. Zeros for the others, and where there is none.
    std::array<std::uint8_t, 3> additional{};
    std::uint32_t pending = 0;  // engine's use: what the answer still waits for
};

}  // namespace olio::target
