// The table of handlers.
#include <array>

#include "target/device_server.h"
#include "target/handlers_access.h"
#include "target/handlers_atomic.h"
#include "target/handlers_copy.h"
#include "target/handlers_information.h"
#include "target/handlers_log.h"
#include "target/handlers_maintenance.h"
#include "target/handlers_power.h"
#include "target/handlers_protection.h"
#include "target/handlers_reservation.h"
#include "target/handlers_scattered.h"
#include "target/handlers_stream.h"

namespace olio::target {

using scsi::Operation;

struct HandlerTable {
    static constexpr std::size_t size = static_cast<std::size_t>(Operation::count);
    using D = DeviceServer;
    using C = DeviceServer::CopyHandlers;
    using I = DeviceServer::InformationHandlers;
    using L = DeviceServer::LogHandlers;
    using Power = DeviceServer::PowerHandlers;
    using R = DeviceServer::ReservationHandlers;
    using Atomic = DeviceServer::AtomicHandlers;
    using Stream = DeviceServer::StreamHandlers;
    using P = DeviceServer::ProtectionHandlers;
    using Maintenance = DeviceServer::MaintenanceHandlers;
    using Scattered = DeviceServer::ScatteredHandlers;

    // In the order of scsi::Operation.
    static constexpr std::array<Handler, size> rows{{
        {Operation::data_in, D::prepare_nothing, nullptr, D::execute_data_in, nullptr},
        {Operation::test_unit_ready, D::prepare_nothing, nullptr, D::succeed, nullptr},
        {Operation::request_sense, D::prepare_nothing, nullptr, D::execute_request_sense, nullptr},
        {Operation::report_luns, D::prepare_nothing, nullptr, D::execute_data_in, nullptr},
        {Operation::mode_select, D::prepare_parameters, nullptr, D::execute_mode_select, nullptr},
        {Operation::report_timestamp, D::prepare_nothing, nullptr, I::execute_report_timestamp,
         nullptr},
        {Operation::set_timestamp, D::prepare_parameters, nullptr, I::execute_set_timestamp,
         nullptr},
        {Operation::set_identifying_information, D::prepare_parameters, nullptr,
         I::execute_set_identifying_information, nullptr},
        {Operation::change_aliases, D::prepare_parameters, nullptr, I::execute_change_aliases,
         nullptr},
        {Operation::set_priority, D::prepare_parameters, nullptr, I::execute_set_priority, nullptr},
        {Operation::log_sense, D::prepare_nothing, nullptr, L::execute_log_sense, nullptr},
        {Operation::log_select, D::prepare_parameters, nullptr, L::execute_log_select, nullptr},
        {Operation::start_stop_unit, Power::prepare_start_stop, nullptr, Power::execute_start_stop,
         Power::change_power},
        {Operation::reserve, D::prepare_nothing, nullptr, R::execute_reserve, nullptr},
        {Operation::release, D::prepare_nothing, nullptr, R::execute_release, nullptr},
        {Operation::persistent_reserve_out, D::prepare_parameters, nullptr, R::execute_reserve_out,
         nullptr},
        {Operation::read, D::prepare_read, nullptr, D::execute_read, D::resume_read},
        {Operation::write, D::prepare_write, nullptr, D::execute_write, D::resume_write},
        {Operation::write_and_verify, D::prepare_write_and_verify, nullptr,
         D::execute_write_and_verify, D::resume_write_and_verify},
        {Operation::verify, D::prepare_verify, nullptr, D::execute_verify, D::resume_verify},
        {Operation::synchronize_cache, D::prepare_range, nullptr, D::execute_synchronize,
         D::succeed},
        {Operation::unmap, D::prepare_unmap, D::parse_unmap, D::execute_unmap, D::resume_unmap},
        {Operation::write_same, D::prepare_write_same, nullptr, D::execute_write_same,
         D::resume_write_same},
        {Operation::compare_and_write, D::prepare_compare_and_write, nullptr,
         D::execute_compare_and_write, D::resume_compare_and_write},
        {Operation::pre_fetch, D::prepare_range, nullptr, D::execute_pre_fetch, D::succeed},
        {Operation::get_lba_status, D::prepare_get_lba_status, nullptr, D::execute_get_lba_status,
         D::resume_get_lba_status},
        {Operation::set_target_port_groups, D::prepare_parameters, nullptr,
         DeviceServer::AccessHandlers::execute_set_target_port_groups, nullptr},
        {Operation::orwrite, Atomic::prepare_orwrite, nullptr, Atomic::execute, Atomic::resume},
        {Operation::write_atomic, Atomic::prepare_write_atomic, nullptr, Atomic::execute,
         Atomic::resume},
        {Operation::write_stream, Stream::prepare_write_stream, nullptr, D::execute_write,
         D::resume_write},
        {Operation::stream_control, D::prepare_nothing, nullptr, Stream::execute_stream_control,
         nullptr},
        {Operation::protected_read, P::prepare_read, nullptr, P::execute_read, P::resume_read},
        {Operation::protected_write, P::prepare_write, P::parse_write, P::execute_write,
         P::resume_write},
        {Operation::protected_write_and_verify, P::prepare_write_and_verify, P::parse_write,
         P::execute_write_and_verify, P::resume_write_and_verify},
        {Operation::protected_verify, P::prepare_verify, P::parse_verify, P::execute_verify,
         P::resume_verify},
        {Operation::protected_write_same, P::prepare_write_same, P::parse_write_same,
         P::execute_write_same, P::resume_write_same},
        {Operation::protected_compare_and_write, P::prepare_compare_and_write,
         P::parse_compare_and_write, P::execute_compare_and_write, P::resume_compare_and_write},
        {Operation::protected_orwrite, P::prepare_orwrite, P::parse_write, P::execute_orwrite,
         P::resume_orwrite},
        {Operation::protected_write_atomic, P::prepare_write_atomic, P::parse_write,
         P::execute_write_atomic, P::resume_write},
        {Operation::protected_write_stream, Stream::prepare_protected_write_stream, P::parse_write,
         P::execute_write, P::resume_write},
        {Operation::extended_copy, D::prepare_parameters, nullptr, C::execute_extended_copy,
         nullptr},
        {Operation::receive_copy_results, D::prepare_nothing, nullptr,
         C::execute_receive_copy_results, nullptr},
        {Operation::copy_operation_abort, D::prepare_nothing, nullptr,
         C::execute_copy_operation_abort, nullptr},
        {Operation::report_all_rod_tokens, D::prepare_nothing, nullptr,
         C::execute_report_all_rod_tokens, nullptr},
        {Operation::format_unit, Maintenance::prepare_format, nullptr, Maintenance::execute_format,
         nullptr},
        {Operation::sanitize, D::prepare_parameters, nullptr, Maintenance::execute_sanitize,
         nullptr},
        {Operation::send_diagnostic, D::prepare_parameters, nullptr,
         Maintenance::execute_send_diagnostic, nullptr},
        {Operation::write_buffer, Maintenance::prepare_write_buffer, nullptr,
         Maintenance::execute_write_buffer, nullptr},
        {Operation::write_scattered, Scattered::prepare, Scattered::parse, Scattered::execute,
         Scattered::resume},
        {Operation::populate_token, D::prepare_parameters, nullptr, C::execute_populate_token,
         nullptr},
        {Operation::write_using_token, D::prepare_parameters, nullptr, C::execute_write_using_token,
         nullptr},
    }};

    static constexpr bool complete() {
        for (std::size_t i = 0; i < size; ++i)
            if (static_cast<std::size_t>(rows[i].operation) != i || !rows[i].prepare ||
                !rows[i].execute)
                return false;
        return true;
    }
};

const Handler& DeviceServer::handler_of(Operation operation) noexcept {
    static_assert(HandlerTable::complete(), "one handler for each operation, in their order");
    return HandlerTable::rows[static_cast<std::size_t>(operation)];
}

}  // namespace olio::target
