// Every limit of the daemon, in one place. They add up to the memory bound that is printed at
// start.
#pragma once

#include <cstddef>
#include <cstdint>

namespace olio::limits {

// target/
inline constexpr std::size_t logical_units = 4096;
inline constexpr std::uint32_t commands_per_nexus = 256;       // CmdSN window of iSCSI, at most
inline constexpr std::size_t transfer_length_bytes = 8 << 20;  // one command; Block Limits VPD page
inline constexpr std::uint32_t unmap_blocks = 1 << 20;  // one command; a bound on its duration
inline constexpr std::uint32_t compare_and_write_blocks = 255;
inline constexpr std::size_t protection_requests_per_channel = 64;  // 9 KiB each, made as needed
inline constexpr std::uint32_t unmap_descriptors = 256;             // of one UNMAP
inline constexpr std::size_t parameter_list_bytes = 64 << 10;
inline constexpr std::size_t log_page_bytes = 4096;     // the longest answer to LOG SENSE
inline constexpr std::size_t target_port_groups = 256;  // of one logical unit
inline constexpr std::size_t grouped_ports = 255;       // of one logical unit
inline constexpr std::size_t referrals = 1024;          // of one logical unit
inline constexpr std::size_t referral_groups = 8;       // of one referral
inline constexpr std::size_t unit_attentions_per_nexus_and_unit = 16;
inline constexpr std::size_t aliases_per_nexus_and_unit = 16;  // CHANGE ALIASES
inline constexpr std::size_t registrations_per_unit = 512;     // persistent reservations
inline constexpr std::size_t metadata_file_bytes = 1 << 20;    // what is kept beside the medium
inline constexpr std::size_t sense_bytes = 96;
inline constexpr std::size_t cdb_bytes = 260;  // SPC-5 4.2.3: 7Fh CDBs are at most 260 bytes
// Third-party copies.
inline constexpr std::size_t copy_cscd_descriptors = 16;     // of one EXTENDED COPY
inline constexpr std::size_t copy_segment_descriptors = 64;  // of one EXTENDED COPY
inline constexpr std::uint32_t copy_segment_bytes = 256 << 20;
inline constexpr std::uint32_t copy_chunk_bytes = 1 << 20;        // moved at a time
inline constexpr std::uint32_t copy_store_chunk_bytes = 8 << 20;  // ... by the store itself
inline constexpr std::uint32_t copy_held_bytes = 64 << 10;        // for RECEIVE COPY DATA
// By stores, of all nexuses: each may keep one of the helper threads, which are twice as many, for
// as long as a file system does not answer.
inline constexpr unsigned store_copies = 2;
inline constexpr std::size_t copies_per_nexus = 16;        // at the same time
inline constexpr std::size_t copy_results_per_nexus = 64;  // kept for who asks
inline constexpr std::size_t rod_tokens = 1024;            // of all logical units
inline constexpr std::size_t rod_token_ranges = 64;        // of one token, and of one write by it
inline constexpr std::uint64_t rod_token_data_bytes = 1 << 30;  // that one token represents
inline constexpr std::uint64_t rod_token_optimal_bytes = 64 << 20;
inline constexpr std::uint32_t rod_token_timeout_seconds = 300;  // since it was last used, at most
inline constexpr std::uint32_t rod_token_default_timeout_seconds = 60;
inline constexpr std::uint32_t copy_result_seconds = 300;  // ... and for how long

// reactor/
inline constexpr std::size_t buffer_bytes_per_shard = 512 << 20;
inline constexpr unsigned io_uring_entries = 1024;
inline constexpr unsigned shards = 64;

// fabric/iscsi
inline constexpr std::size_t sessions = 4096;
inline constexpr std::size_t connections_in_login = 1024;
inline constexpr std::size_t login_text_bytes = 64 << 10;  // one login or text negotiation
inline constexpr unsigned login_exchanges = 64;            // PDUs of one login
inline constexpr std::uint32_t login_timeout_seconds = 15;
inline constexpr std::uint32_t max_recv_data_segment_bytes = 256 << 10;  // what we declare
inline constexpr std::size_t iscsi_name_bytes = 223;                     // RFC 7143 4.2.7.1
inline constexpr std::size_t outstanding_r2ts = 8;
inline constexpr std::size_t async_output_bytes =
    1 << 20;  // answers queued to a host that reads nothing

// config/: the control socket
inline constexpr std::size_t control_connections = 32;
inline constexpr std::size_t control_message_bytes = 64 << 10;  // one request
inline constexpr std::size_t control_batch_requests = 64;
inline constexpr std::size_t control_nesting = 16;            // arrays and objects in each other
inline constexpr std::uint32_t control_timeout_seconds = 30;  // for the rest of a message begun

}  // namespace olio::limits
