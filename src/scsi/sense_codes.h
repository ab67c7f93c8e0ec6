// Every additional sense code that the engine sends (SPC-5 annex F.2), bound to its sense key where
// the key is always the same, and the few ways to make sense data of them.
#pragma once

#include <cstdint>

#include "scsi/sense.h"

namespace olio::scsi {

// A sense key and an additional sense code that always go together.
struct Condition {
    SenseKey key = SenseKey::no_sense;
    AdditionalSense additional;
    bool operator==(const Condition&) const = default;
};

namespace sense {

inline constexpr Condition no_additional_sense_information{SenseKey::no_sense, {0x00, 0x00}};

// The power conditions of REQUEST SENSE, and the informational exception that a test makes.
inline constexpr Condition failure_prediction_threshold_exceeded_false{SenseKey::no_sense,
                                                                       {0x5D, 0xFF}};
inline constexpr Condition idle_condition_activated_by_command{SenseKey::no_sense, {0x5E, 0x03}};
inline constexpr Condition standby_condition_activated_by_command{SenseKey::no_sense, {0x5E, 0x04}};
inline constexpr Condition idle_b_condition_activated_by_command{SenseKey::no_sense, {0x5E, 0x06}};
inline constexpr Condition idle_c_condition_activated_by_command{SenseKey::no_sense, {0x5E, 0x08}};
inline constexpr Condition standby_y_condition_activated_by_command{SenseKey::no_sense,
                                                                    {0x5E, 0x0A}};

inline constexpr Condition not_ready_cause_not_reportable{SenseKey::not_ready, {0x04, 0x00}};
inline constexpr Condition becoming_ready{SenseKey::not_ready, {0x04, 0x01}};
inline constexpr Condition initializing_command_required{SenseKey::not_ready, {0x04, 0x02}};
inline constexpr Condition manual_intervention_required{SenseKey::not_ready, {0x04, 0x03}};
inline constexpr Condition format_in_progress{SenseKey::not_ready, {0x04, 0x04}};
inline constexpr Condition self_test_in_progress{SenseKey::not_ready, {0x04, 0x09}};
inline constexpr Condition sanitize_in_progress{SenseKey::not_ready, {0x04, 0x1B}};
inline constexpr Condition asymmetric_access_state_transition{SenseKey::not_ready, {0x04, 0x0A}};
inline constexpr Condition target_port_in_standby_state{SenseKey::not_ready, {0x04, 0x0B}};
inline constexpr Condition target_port_in_unavailable_state{SenseKey::not_ready, {0x04, 0x0C}};
inline constexpr Condition logical_unit_offline{SenseKey::not_ready, {0x04, 0x12}};
inline constexpr Condition logical_unit_communication_failure{SenseKey::not_ready, {0x08, 0x00}};
inline constexpr Condition medium_not_present{SenseKey::not_ready, {0x3A, 0x00}};

inline constexpr Condition write_error{SenseKey::medium_error, {0x0C, 0x00}};
inline constexpr Condition medium_format_corrupted{SenseKey::medium_error, {0x31, 0x00}};
inline constexpr Condition format_command_failed{SenseKey::medium_error, {0x31, 0x01}};
inline constexpr Condition sanitize_command_failed{SenseKey::medium_error, {0x31, 0x03}};
inline constexpr Condition unrecovered_read_error{SenseKey::medium_error, {0x11, 0x00}};

inline constexpr Condition set_target_port_groups_command_failed{SenseKey::hardware_error,
                                                                 {0x67, 0x0A}};
inline constexpr Condition logical_unit_failed_self_test{SenseKey::hardware_error, {0x3E, 0x03}};
inline constexpr Condition internal_target_failure{SenseKey::hardware_error, {0x44, 0x00}};
inline constexpr Condition system_resource_failure{SenseKey::hardware_error, {0x55, 0x00}};

inline constexpr Condition parameter_list_length_error{SenseKey::illegal_request, {0x1A, 0x00}};
inline constexpr Condition invalid_command_operation_code{SenseKey::illegal_request, {0x20, 0x00}};
inline constexpr Condition logical_block_address_out_of_range{SenseKey::illegal_request,
                                                              {0x21, 0x00}};
inline constexpr Condition invalid_field_in_cdb{SenseKey::illegal_request, {0x24, 0x00}};
inline constexpr Condition logical_unit_not_supported{SenseKey::illegal_request, {0x25, 0x00}};
inline constexpr Condition invalid_field_in_parameter_list{SenseKey::illegal_request, {0x26, 0x00}};
inline constexpr Condition too_many_target_descriptors{SenseKey::illegal_request, {0x26, 0x06}};
inline constexpr Condition unsupported_target_descriptor_type_code{SenseKey::illegal_request,
                                                                   {0x26, 0x07}};
inline constexpr Condition too_many_segment_descriptors{SenseKey::illegal_request, {0x26, 0x08}};
inline constexpr Condition unsupported_segment_descriptor_type_code{SenseKey::illegal_request,
                                                                    {0x26, 0x09}};
inline constexpr Condition inline_data_length_exceeded{SenseKey::illegal_request, {0x26, 0x0B}};
inline constexpr Condition operation_in_progress{SenseKey::illegal_request, {0x00, 0x16}};
inline constexpr Condition command_sequence_error{SenseKey::illegal_request, {0x2C, 0x00}};
inline constexpr Condition orwrite_generation_does_not_match{SenseKey::illegal_request,
                                                             {0x2C, 0x0C}};
inline constexpr Condition stream_not_open{SenseKey::illegal_request, {0x2C, 0x0F}};
inline constexpr Condition maximum_number_of_streams_open{SenseKey::illegal_request, {0x55, 0x10}};
inline constexpr Condition saving_parameters_not_supported{SenseKey::illegal_request, {0x39, 0x00}};
inline constexpr Condition invalid_message_error{SenseKey::illegal_request, {0x49, 0x00}};
inline constexpr Condition invalid_release_of_persistent_reservation{SenseKey::illegal_request,
                                                                     {0x26, 0x04}};
inline constexpr Condition insufficient_registration_resources{SenseKey::illegal_request,
                                                               {0x55, 0x04}};
inline constexpr Condition insufficient_resources{SenseKey::illegal_request, {0x55, 0x03}};

inline constexpr Condition write_protected{SenseKey::data_protect, {0x27, 0x00}};
inline constexpr Condition logical_unit_software_write_protected{SenseKey::data_protect,
                                                                 {0x27, 0x02}};
inline constexpr Condition space_allocation_failed{SenseKey::data_protect, {0x27, 0x07}};

inline constexpr Condition miscompare_during_verify{SenseKey::miscompare, {0x1D, 0x00}};

inline constexpr Condition unexpected_unsolicited_data{SenseKey::aborted_command, {0x0C, 0x0C}};
inline constexpr Condition not_enough_unsolicited_data{SenseKey::aborted_command, {0x0C, 0x0D}};
inline constexpr Condition invalid_field_in_command_information_unit{SenseKey::aborted_command,
                                                                     {0x0E, 0x03}};
inline constexpr Condition data_phase_error{SenseKey::aborted_command, {0x4B, 0x00}};
inline constexpr Condition protocol_service_crc_error{SenseKey::aborted_command, {0x47, 0x05}};
// Always ABORTED COMMAND, save where VERIFY compares: then MISCOMPARE.
inline constexpr AdditionalSense logical_block_guard_check_failed{0x10, 0x01};
inline constexpr AdditionalSense logical_block_application_tag_check_failed{0x10, 0x02};
inline constexpr AdditionalSense logical_block_reference_tag_check_failed{0x10, 0x03};
inline constexpr Condition echo_buffer_overwritten{SenseKey::aborted_command, {0x3F, 0x0F}};
inline constexpr Condition overlapped_commands_attempted{SenseKey::aborted_command, {0x4E, 0x00}};
inline constexpr Condition command_timeout_during_processing{SenseKey::aborted_command,
                                                             {0x2E, 0x02}};
inline constexpr Condition command_cleared_by_device_server{SenseKey::aborted_command,
                                                            {0x2F, 0x02}};

inline constexpr Condition unsupported_token_type{SenseKey::illegal_request, {0x23, 0x01}};
inline constexpr Condition token_unknown{SenseKey::illegal_request, {0x23, 0x04}};
inline constexpr Condition token_corrupt{SenseKey::illegal_request, {0x23, 0x05}};
inline constexpr Condition token_revoked{SenseKey::illegal_request, {0x23, 0x06}};
inline constexpr Condition invalid_token_length{SenseKey::illegal_request, {0x23, 0x0A}};

// COPY ABORTED with one of these (SPC-5 5.18, errors while segments are processed).
inline constexpr AdditionalSense io_process_terminated{0x00, 0x06};
inline constexpr AdditionalSense third_party_device_failure{0x0D, 0x01};
inline constexpr AdditionalSense copy_target_device_not_reachable{0x0D, 0x02};
inline constexpr AdditionalSense incorrect_copy_target_device_type{0x0D, 0x03};
inline constexpr AdditionalSense unexpected_inexact_segment{0x26, 0x0A};

}  // namespace sense

[[nodiscard]] inline SenseData make_sense(Condition condition) noexcept {
    SenseData data;
    data.key = condition.key;
    data.additional = condition.additional;
    return data;
}

// ILLEGAL REQUEST with any additional sense code.
[[nodiscard]] inline SenseData illegal_request(AdditionalSense additional) noexcept {
    return make_sense({SenseKey::illegal_request, additional});
}

// `bit` is the leftmost bit of the wrong field, 7 to 0; without it the pointer names a whole byte,
// the first of a field of several (SPC-5 4.4.2.4.2).
[[nodiscard]] inline SenseData invalid_field_in_cdb(
    std::uint16_t byte, std::optional<std::uint8_t> bit = std::nullopt) noexcept {
    SenseData data = make_sense(sense::invalid_field_in_cdb);
    data.field = FieldPointer{true, byte, bit};
    return data;
}

[[nodiscard]] inline SenseData invalid_field_in_parameter_list(
    std::uint16_t byte, std::optional<std::uint8_t> bit = std::nullopt) noexcept {
    SenseData data = make_sense(sense::invalid_field_in_parameter_list);
    data.field = FieldPointer{false, byte, bit};
    return data;
}

// A condition of a logical block, its LBA in INFORMATION: errors of the medium, miscompares.
[[nodiscard]] inline SenseData make_sense_at(Condition condition,
                                             std::uint64_t information) noexcept {
    SenseData data = make_sense(condition);
    data.information = information;
    return data;
}

}  // namespace olio::scsi
