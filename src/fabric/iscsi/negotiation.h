// Every text key of iSCSI in one table (RFC 7143 12 and 13, RFC 7144 7.1), and the negotiation of
// operational parameters that is driven by it (RFC 7143 6.2).
#pragma once

#include <bitset>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "base/result.h"
#include "fabric/iscsi/text.h"

namespace olio::iscsi {

enum class Key : std::uint8_t {
    auth_method,
    chap_algorithm,
    chap_identifier,
    chap_challenge,
    chap_name,
    chap_response,
    initiator_name,
    initiator_alias,
    target_name,
    target_alias,
    target_address,
    target_portal_group_tag,
    session_type,
    send_targets,
    header_digest,
    data_digest,
    max_connections,
    initial_r2t,
    immediate_data,
    max_recv_data_segment_length,
    max_burst_length,
    first_burst_length,
    default_time2wait,
    default_time2retain,
    max_outstanding_r2t,
    data_pdu_in_order,
    data_sequence_in_order,
    error_recovery_level,
    task_reporting,
    protocol_level,
    if_marker,
    of_marker,
    if_mark_int,
    of_mark_int,
    count,
};

// Keys that say who the initiator is and what it wants. Some initiators repeat them in each stage.
[[nodiscard]] constexpr bool is_identity_key(Key key) noexcept {
    return key == Key::initiator_name || key == Key::initiator_alias || key == Key::target_name ||
           key == Key::session_type;
}

enum class KeyKind : std::uint8_t {
    text,         // names and the keys of authentication: the login code's
    declaration,  // a number that one side states (MaxRecvDataSegmentLength)
    boolean_and,  // 6.2.2
    boolean_or,
    minimum,
    maximum,
    list,      // the first item of the offer that we take (6.2.1)
    obsolete,  // 13.25: answered with Reject
};

// The "Use" of RFC 7143 13.
enum class KeyUse : std::uint8_t {
    initialize_only,   // IO: during login of any connection
    leading_only,      // LO: during login of a session's leading connection
    any,               // ALL
    full_feature_only  // FFPO
};

enum class KeySender : std::uint8_t { initiator, target, both };

enum class Phase : std::uint8_t { security, operational, full_feature };

enum class Digest : std::uint32_t { none = 0, crc32c = 1 };
enum class TaskReporting : std::uint32_t { rfc3720 = 0, response_fence = 1, fast_abort = 2 };

// What both sides agreed on. The defaults are the RFC's. Booleans are 0 or 1.
struct NegotiatedParameters {
    // Of the connection.
    std::uint32_t header_digest = 0;  // Digest
    std::uint32_t data_digest = 0;
    std::uint32_t initiator_max_recv_bytes = 8192;  // MaxRecvDataSegmentLength of the initiator
    std::uint32_t target_max_recv_bytes = 8192;     // ours, as it was declared
    // Of the session.
    std::uint32_t max_connections = 1;
    std::uint32_t initial_r2t = 1;
    std::uint32_t immediate_data = 1;
    std::uint32_t max_burst_bytes = 262144;
    std::uint32_t first_burst_bytes = 65536;
    std::uint32_t time2wait_seconds = 2;
    std::uint32_t time2retain_seconds = 20;
    std::uint32_t max_outstanding_r2t = 1;
    std::uint32_t data_pdu_in_order = 1;
    std::uint32_t data_sequence_in_order = 1;
    std::uint32_t error_recovery_level = 0;
    std::uint32_t task_reporting = 0;  // TaskReporting
    std::uint32_t protocol_level = 1;
};

// What we offer or take. Lists are masks of the positions in the row's items.
struct OperationalSettings {
    std::uint32_t header_digests = 0b11;  // bit 0: None, bit 1: CRC32C
    std::uint32_t data_digests = 0b11;
    std::uint32_t max_recv_bytes = limits::max_recv_data_segment_bytes;
    std::uint32_t max_connections = 1;
    std::uint32_t initial_r2t = 0;
    std::uint32_t immediate_data = 1;
    std::uint32_t max_burst_bytes = 1 << 20;
    std::uint32_t first_burst_bytes = 256 << 10;
    std::uint32_t time2wait_seconds = 0;
    std::uint32_t time2retain_seconds = 0;  // nothing is kept for recovery at level 0
    std::uint32_t max_outstanding_r2t = limits::outstanding_r2ts;
    std::uint32_t data_pdu_in_order = 0;  // any order is taken
    std::uint32_t data_sequence_in_order = 0;
    std::uint32_t error_recovery_level = 0;
    std::uint32_t task_reporting = 0b011;  // RFC3720, ResponseFence
    std::uint32_t protocol_level = 2;      // RFC 7144
};

struct KeyRow {
    Key key;
    std::string_view name;
    KeyKind kind;
    KeyUse use;
    KeySender sender;
    bool in_security_stage = false;        // else only the operational stage of a login has it
    bool irrelevant_in_discovery = false;  // "Irrelevant when: SessionType=Discovery"
    // Login fails or hurts if the initiator says nothing and the default stands against our
    // setting.
    bool proposed = false;
    std::uint32_t smallest = 0;
    std::uint32_t largest = 0;
    std::uint32_t NegotiatedParameters::* result = nullptr;
    std::uint32_t OperationalSettings::* ours = nullptr;
    std::span<const std::string_view> items = {};  // of a list
};

[[nodiscard]] std::span<const KeyRow> key_table() noexcept;
[[nodiscard]] const KeyRow* find_key(std::string_view name) noexcept;
[[nodiscard]] const KeyRow& key_row(Key key) noexcept;
[[nodiscard]] inline std::string_view key_name(Key key) noexcept {
    return key_row(key).name;
}

inline constexpr std::string_view value_reject = "Reject";
inline constexpr std::string_view value_irrelevant = "Irrelevant";
inline constexpr std::string_view value_not_understood = "NotUnderstood";

class Negotiation {
  public:
    // `leading`: the login makes a new session. The settings are copied.
    Negotiation(const OperationalSettings& settings, bool leading) noexcept
        : settings_(settings), leading_(leading) {}

    void set_discovery(bool discovery) noexcept { discovery_ = discovery; }
    void set_settings(const OperationalSettings& settings) noexcept { settings_ = settings; }

    // Takes one batch of pairs and appends our answers. Pairs of kind `text` are checked (phase,
    // sender, repetition) and handed back in `texts`. An error means a violation of protocol: a
    // login fails with "initiator error".
    [[nodiscard]] Result<void> take(std::span<const KeyValue> pairs, Phase phase,
                                    TextBuilder& answers,
                                    std::vector<std::pair<Key, std::string_view>>& texts);

    // Our declaration of MaxRecvDataSegmentLength, once, in the operational stage.
    void declare(TextBuilder& answers);

    // The initiator wants to leave the operational stage: appends what we must still propose. False
    // if there is nothing to propose and the stage may end.
    [[nodiscard]] bool propose(TextBuilder& answers);
    // Whether a proposal of ours waits for its answer.
    [[nodiscard]] bool unanswered() const noexcept { return proposed_.any(); }
    // Whether the defaults would do if there were no operational stage at all.
    [[nodiscard]] bool defaults_suffice() const noexcept;

    [[nodiscard]] const NegotiatedParameters& result() const noexcept { return result_; }
    void set_result(const NegotiatedParameters& result) noexcept { result_ = result; }
    // Text negotiation in the full feature phase begins anew with each sequence.
    void restart() noexcept { seen_.reset(); }

  private:
    [[nodiscard]] Result<void> take_one(const KeyRow& row, std::string_view value, Phase phase,
                                        TextBuilder& answers);
    [[nodiscard]] Result<void> take_answer(const KeyRow& row, std::string_view value);
    [[nodiscard]] Result<void> take_list(const KeyRow& row, std::string_view value,
                                         TextBuilder& answers);
    [[nodiscard]] std::string proposal(const KeyRow& row) const;
    [[nodiscard]] bool default_hurts(const KeyRow& row) const noexcept;
    [[nodiscard]] std::uint32_t combine(const KeyRow& row, std::uint32_t offered) const noexcept;

    OperationalSettings settings_;
    NegotiatedParameters result_;
    bool leading_;
    bool discovery_ = false;
    bool declared_ = false;
    std::bitset<static_cast<std::size_t>(Key::count)> seen_;
    std::bitset<static_cast<std::size_t>(Key::count)> proposed_;
};

}  // namespace olio::iscsi
