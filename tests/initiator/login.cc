// The login phase (RFC 7143 clauses 6, 7, 11.12, 11.13, 12.1, 13).
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "initiator/chap.h"
#include "initiator/connection.h"

namespace olio::initiator {
namespace {

constexpr std::uint8_t security_stage = 0;
constexpr std::uint8_t operational_stage = 1;
constexpr std::uint8_t full_feature_stage = 3;
constexpr unsigned most_exchanges = 64;
constexpr std::size_t login_segment_bytes = 8192;

using Keys = std::vector<std::pair<std::string, std::string>>;

std::string pair_text(std::string_view key, std::string_view value) {
    std::string text(key);
    text += '=';
    text += value;
    text += '\0';
    return text;
}

Keys split(std::string_view text, bool& malformed) {
    Keys keys;
    while (!text.empty()) {
        const std::size_t end = text.find('\0');
        const std::string_view pair = text.substr(0, end);
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
        if (pair.empty())
            continue;
        const std::size_t equals = pair.find('=');
        malformed |= equals == std::string_view::npos || equals == 0;
        if (equals != std::string_view::npos)
            keys.emplace_back(pair.substr(0, equals), pair.substr(equals + 1));
    }
    return keys;
}

const std::string* find(const Keys& keys, std::string_view key) {
    const auto at =
        std::find_if(keys.begin(), keys.end(), [key](auto& k) { return k.first == key; });
    return at == keys.end() ? nullptr : &at->second;
}

bool number(std::string_view text, std::uint32_t& value) {
    const bool hex = text.starts_with("0x") || text.starts_with("0X");
    if (hex)
        text.remove_prefix(2);
    const auto end = std::from_chars(text.data(), text.data() + text.size(), value, hex ? 16 : 10);
    return end.ec == std::errc{} && end.ptr == text.data() + text.size();
}

// How the result of a negotiation comes from what both sides say (clause 13).
enum class Rule : std::uint8_t { minimum, maximum, logical_or, logical_and, list, declared };

struct KeyRow {
    std::string_view key;
    Rule function;
    bool Negotiated::* flag = nullptr;
    std::uint32_t Negotiated::* value = nullptr;
};

constexpr std::array<KeyRow, 16> key_rows{{
    {"HeaderDigest", Rule::list, &Negotiated::header_digest},
    {"DataDigest", Rule::list, &Negotiated::data_digest},
    {"InitialR2T", Rule::logical_or, &Negotiated::initial_r2t},
    {"ImmediateData", Rule::logical_and, &Negotiated::immediate_data},
    {"DataPDUInOrder", Rule::logical_or, &Negotiated::data_pdu_in_order},
    {"DataSequenceInOrder", Rule::logical_or, &Negotiated::data_sequence_in_order},
    {"MaxBurstLength", Rule::minimum, nullptr, &Negotiated::max_burst_bytes},
    {"FirstBurstLength", Rule::minimum, nullptr, &Negotiated::first_burst_bytes},
    {"MaxOutstandingR2T", Rule::minimum, nullptr, &Negotiated::max_outstanding_r2t},
    {"ErrorRecoveryLevel", Rule::minimum, nullptr, &Negotiated::error_recovery_level},
    {"MaxConnections", Rule::minimum, nullptr, &Negotiated::max_connections},
    {"DefaultTime2Wait", Rule::maximum, nullptr, &Negotiated::time_to_wait_seconds},
    {"DefaultTime2Retain", Rule::minimum, nullptr, &Negotiated::time_to_retain_seconds},
    {"iSCSIProtocolLevel", Rule::minimum, nullptr, &Negotiated::protocol_level},
    {"MaxRecvDataSegmentLength", Rule::declared, nullptr,
     &Negotiated::target_max_recv_data_segment_bytes},
    {"TargetPortalGroupTag", Rule::declared},
}};

const KeyRow* row_of(std::string_view key) {
    const auto at = std::find_if(key_rows.begin(), key_rows.end(),
                                 [key](const KeyRow& row) { return row.key == key; });
    return at == key_rows.end() ? nullptr : &*at;
}

// Whether a target may answer so to what was offered.
bool legal_result(const KeyRow& row, const std::string& offered, const std::string& result) {
    std::uint32_t ours = 0;
    std::uint32_t theirs = 0;
    switch (row.function) {
        case Rule::minimum:
            return number(offered, ours) && number(result, theirs) && theirs <= ours;
        case Rule::maximum:
            return number(offered, ours) && number(result, theirs) && theirs >= ours;
        case Rule::logical_or:
            return offered == "Yes" ? result == "Yes" : result == "Yes" || result == "No";
        case Rule::logical_and:
            return offered == "No" ? result == "No" : result == "Yes" || result == "No";
        case Rule::list:
            return ("," + offered + ",").find("," + result + ",") != std::string::npos;
        case Rule::declared:
            return true;
    }
    return false;
}

}  // namespace

void Connection::login() {
    const Settings& settings = session_.settings();
    negotiated_ = {};
    std::string text = pair_text("InitiatorName", settings.initiator_name);
    text += pair_text("SessionType", settings.target_name.empty() ? "Discovery" : "Normal");
    if (!settings.target_name.empty())
        text += pair_text("TargetName", settings.target_name);
    for (const auto& [key, value] : settings.first_keys)
        text += pair_text(key, value);
    login_tag_ = session_.next_service_tag();
    login_exchanges_ = 0;
    if (settings.chap || settings.start_in_security_stage) {
        stage_ = Stage::security;
        text += pair_text("AuthMethod", settings.chap ? "CHAP" : "None");
        return put_login(std::move(text), !settings.chap, operational_stage);
    }
    stage_ = Stage::operational;
    put_operational(text);
}

void Connection::put_operational(const std::string& more) {
    const Settings& settings = session_.settings();
    operational_offered_ = true;
    std::string text = more;
    text +=
        pair_text("MaxRecvDataSegmentLength", std::to_string(settings.max_recv_data_segment_bytes));
    for (const auto& [key, value] : settings.keys)
        text += pair_text(key, value);
    put_login(std::move(text), true, full_feature_stage);
}

void Connection::put_login(std::string text, bool transit, std::uint8_t next_stage) {
    const std::uint8_t stage = stage_ == Stage::security ? security_stage : operational_stage;
    const auto flags =
        static_cast<std::uint8_t>(stage << 2 | (transit ? transit_bit | next_stage : 0));
    put_text_segments(Opcode::login_request, std::move(text), flags, no_tag);
}

// Text longer than a segment goes in several PDUs, all but the last with the C bit; each part waits
// for the empty answer to the one before (6.2).
void Connection::put_text_segments(Opcode opcode, std::string text, std::uint8_t last_flags,
                                   std::uint32_t transfer_tag) {
    const bool login = opcode == Opcode::login_request;
    const std::size_t most =
        login ? login_segment_bytes : negotiated_.target_max_recv_data_segment_bytes;
    const std::size_t part = std::min(text.size(), most);
    text_rest_ = text.substr(part);
    text_last_flags_ = last_flags;
    const bool last = text_rest_.empty();
    const auto flags = static_cast<std::uint8_t>(
        last ? last_flags : (login ? last_flags & 0x0c : 0) | continue_bit);
    Header header(opcode, flags, true);
    if (login) {
        const Settings& settings = session_.settings();
        std::copy(settings.isid.begin(), settings.isid.end(), &header.bytes[at::lun]);
        header.be16(at::tsih, session_.tsih_).be32(at::task_tag, login_tag_).be16(at::cid, cid_);
    } else {
        header.be32(at::task_tag, text_tag_).be32(at::transfer_tag, transfer_tag);
    }
    header.be32(at::cmd_sn, session_.cmd_sn_)
        .be32(at::exp_stat_sn, stat_sn_known_ ? exp_stat_sn_ : 0);
    put(header, as_bytes(std::string_view(text).substr(0, part)));
}

void Connection::fail_login(std::uint8_t status_class, std::uint8_t detail, std::string_view why) {
    stage_ = Stage::failed;
    session_.listener().login_failed(*this, status_class, detail, why);
}

void Connection::handle_login_response() {
    if (stage_ != Stage::security && stage_ != Stage::operational)
        return break_off("Login Response outside a login");
    if (be32(at::task_tag) != login_tag_)
        return break_off("Login Response with another task tag");
    const std::uint8_t status_class = u8(at::login_status);
    const std::uint8_t flags = u8(at::flags);
    if (status_class != 0)
        return fail_login(status_class, u8(at::login_status + 1), "refused by the target");
    if (!stat_sn_known_) {  // the target chooses the first one (11.13.4)
        exp_stat_sn_ = be32(at::stat_sn);
        stat_sn_known_ = true;
    }
    take_numbers(true);
    if (++login_exchanges_ > most_exchanges)
        return fail_login(0, 0, "too many exchanges");
    if (!text_rest_.empty()) {
        if (!scratch_.empty())
            violation("an answer in the middle of a login text");
        return put_text_segments(Opcode::login_request, std::move(text_rest_), text_last_flags_,
                                 no_tag);
    }
    text_in_ += as_text(scratch_);
    if ((flags & continue_bit) != 0) {
        if ((flags & transit_bit) != 0)
            violation("Login Response with both the T and the C bit");
        return put_login({}, false, 0);
    }
    const std::string text = std::move(text_in_);
    text_in_.clear();
    bool malformed = false;
    const Keys keys = split(text, malformed);
    if (malformed)
        violation("login text that is not key=value");
    const std::uint8_t stage = flags >> 2 & 3;
    if (stage != (stage_ == Stage::security ? security_stage : operational_stage))
        return fail_login(0, 0, "the target answers in another stage");
    if (const std::string* method = find(keys, "AuthMethod");
        method != nullptr && session_.settings().chap && *method != "CHAP")
        return fail_login(0, 0, "the target does not want CHAP");
    stage_ == Stage::security ? continue_security(keys, flags) : continue_operational(keys, flags);
}

void Connection::continue_security(const Keys& keys, std::uint8_t flags) {
    const bool transit = (flags & transit_bit) != 0;
    const auto& chap = session_.settings().chap;
    if (transit) {
        if (chap && !chap_answered_)
            return fail_login(0, 0, "the target asks for no proof");
        if (chap && !target_proved_itself(keys))
            return fail_login(0, 0, "the target's own proof is missing or wrong");
        stage_ = Stage::operational;
        if ((flags & 3) == full_feature_stage)
            return enter_full_feature();
        return put_operational();
    }
    if (find(keys, "CHAP_C") != nullptr) {
        const std::string answer = answer_challenge(keys);
        if (answer.empty())
            return fail_login(0, 0, "the target's challenge cannot be answered");
        chap_answered_ = true;
        return put_login(answer, true, operational_stage);
    }
    if (find(keys, "AuthMethod") != nullptr && chap)
        return put_login(pair_text("CHAP_A", chap->algorithms), false, 0);
    put_login({}, true, operational_stage);
}

std::string Connection::answer_challenge(const Keys& keys) {
    const Chap& chap = *session_.settings().chap;
    const std::string* algorithm = find(keys, "CHAP_A");
    const std::string* identifier = find(keys, "CHAP_I");
    std::uint32_t id = 0;
    const auto challenge = decode_binary(*find(keys, "CHAP_C"));
    if (algorithm == nullptr || identifier == nullptr || !number(*identifier, id) || id > 255 ||
        !challenge)
        return {};
    if (("," + chap.algorithms + ",").find("," + *algorithm + ",") == std::string::npos)
        violation("the target chose a CHAP algorithm that was not offered");
    chap_algorithm_ = *algorithm;
    const std::string response =
        chap_response(*algorithm, static_cast<std::uint8_t>(id), chap.secret, *challenge);
    if (response.empty())
        return {};
    std::string text = pair_text("CHAP_N", chap.user) + pair_text("CHAP_R", encode_hex(response));
    if (!chap.target_user.empty()) {
        mutual_challenge_ = random_bytes(16);
        mutual_identifier_ = static_cast<std::uint8_t>(random_bytes(1)[0]);
        text += pair_text("CHAP_I", std::to_string(mutual_identifier_)) +
                pair_text("CHAP_C", encode_hex(mutual_challenge_));
    }
    return text;
}

bool Connection::target_proved_itself(const Keys& keys) const {
    const Chap& chap = *session_.settings().chap;
    if (chap.target_user.empty())
        return true;
    const std::string* name = find(keys, "CHAP_N");
    const std::string* response = find(keys, "CHAP_R");
    if (name == nullptr || response == nullptr || *name != chap.target_user)
        return false;
    return decode_binary(*response) == chap_response(chap_algorithm_, mutual_identifier_,
                                                     chap.target_secret, mutual_challenge_);
}

void Connection::continue_operational(const Keys& keys, std::uint8_t flags) {
    std::string answer = adopt(keys);
    if ((flags & transit_bit) != 0) {
        if ((flags & 3) != full_feature_stage)
            return fail_login(0, 0, "the target turns to an unknown stage");
        if (!answer.empty())
            violation("the target offers keys in its last Login Response");
        return enter_full_feature();
    }
    put_login(std::move(answer), true, full_feature_stage);
}

// Takes over the results, and answers what the target itself offers.
std::string Connection::adopt(const Keys& keys) {
    std::string answer;
    for (const auto& [key, value] : keys) {
        const KeyRow* row = row_of(key);
        const std::string* offered = find(session_.settings().keys, key);
        if (value == "NotUnderstood" || value == "Irrelevant" || value == "Reject") {
            if (offered == nullptr && find(session_.settings().first_keys, key) == nullptr)
                violation(fmt::format("{}={} to what was never offered", key, value));
            continue;
        }
        const bool again = std::find(offered_.begin(), offered_.end(), key) != offered_.end();
        if (again)
            violation(fmt::format("{} is negotiated twice", key));
        offered_.push_back(key);
        if (row == nullptr) {
            const bool known = key == "TargetAlias" || key == "TargetAddress" ||
                               key == "AuthMethod" || key.starts_with("X") || offered != nullptr;
            if (!known)
                answer += pair_text(key, "NotUnderstood");
            continue;
        }
        if (offered != nullptr && !legal_result(*row, *offered, value))
            violation(fmt::format("{}={} is no legal answer to {}", key, value, *offered));
        if (offered == nullptr && row->function != Rule::declared)
            answer += pair_text(key, value);
        adopt_value(key, value);
    }
    return answer;
}

void Connection::adopt_value(std::string_view key, std::string_view value) {
    const KeyRow& row = *row_of(key);
    if (row.flag != nullptr)
        negotiated_.*row.flag = value == "Yes" || value == "CRC32C";
    if (row.value != nullptr && !number(value, negotiated_.*row.value))
        violation(fmt::format("{}={} is no number", key, value));
    if (negotiated_.target_max_recv_data_segment_bytes < 512) {
        violation("MaxRecvDataSegmentLength is below 512");
        negotiated_.target_max_recv_data_segment_bytes = 512;
    }
}

void Connection::enter_full_feature() {
    const std::uint16_t tsih = load_be<std::uint16_t>(&header_[at::tsih]);
    if (tsih == 0)
        violation("the last Login Response has TSIH 0");
    session_.tsih_ = tsih;
    if (negotiated_.first_burst_bytes > negotiated_.max_burst_bytes) {
        // Legal only by default values (13.14): the larger one is cut.
        negotiated_.first_burst_bytes = negotiated_.max_burst_bytes;
    }
    digests_on_ = true;
    stage_ = Stage::full_feature;
    session_.listener().logged_in(*this);
}

}  // namespace olio::initiator
