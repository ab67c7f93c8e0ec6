#include "fabric/iscsi/negotiation.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace olio::iscsi {

namespace {

using enum KeyKind;
using enum KeyUse;
using N = NegotiatedParameters;
using S = OperationalSettings;

constexpr std::uint32_t largest_length = 0xffffff;  // 2^24 - 1

constexpr std::string_view digest_items[] = {"None", "CRC32C"};
constexpr std::string_view reporting_items[] = {"RFC3720", "ResponseFence", "FastAbort"};

constexpr KeyRow text_row(Key key, std::string_view name, KeyUse use, KeySender sender,
                          bool in_security_stage = true) {
    return {.key = key,
            .name = name,
            .kind = text,
            .use = use,
            .sender = sender,
            .in_security_stage = in_security_stage};
}

constexpr KeyRow obsolete_row(Key key, std::string_view name) {
    return {.key = key, .name = name, .kind = obsolete, .use = any, .sender = KeySender::both};
}

struct Traits {
    bool irrelevant_in_discovery = false;
    bool proposed = false;
};

constexpr KeyRow number_row(Key key, std::string_view name, KeyKind kind, KeyUse use, Traits traits,
                            std::uint32_t smallest, std::uint32_t largest,
                            std::uint32_t N::* result, std::uint32_t S::* ours) {
    return {.key = key,
            .name = name,
            .kind = kind,
            .use = use,
            .sender = KeySender::both,
            .irrelevant_in_discovery = traits.irrelevant_in_discovery,
            .proposed = traits.proposed,
            .smallest = smallest,
            .largest = largest,
            .result = result,
            .ours = ours};
}

constexpr KeyRow list_row(Key key, std::string_view name, KeyUse use, Traits traits,
                          std::uint32_t N::* result, std::uint32_t S::* ours,
                          std::span<const std::string_view> items) {
    KeyRow row = number_row(key, name, list, use, traits, 0, 0, result, ours);
    row.items = items;
    return row;
}

constexpr Traits normal_only{.irrelevant_in_discovery = true};
constexpr Traits normal_only_proposed{.irrelevant_in_discovery = true, .proposed = true};

// In the order of enum Key.
constexpr KeyRow table[] = {
    text_row(Key::auth_method, "AuthMethod", initialize_only, KeySender::both),
    text_row(Key::chap_algorithm, "CHAP_A", initialize_only, KeySender::both),
    text_row(Key::chap_identifier, "CHAP_I", initialize_only, KeySender::both),
    text_row(Key::chap_challenge, "CHAP_C", initialize_only, KeySender::both),
    text_row(Key::chap_name, "CHAP_N", initialize_only, KeySender::both),
    text_row(Key::chap_response, "CHAP_R", initialize_only, KeySender::both),
    text_row(Key::initiator_name, "InitiatorName", initialize_only, KeySender::initiator),
    text_row(Key::initiator_alias, "InitiatorAlias", any, KeySender::initiator),
    text_row(Key::target_name, "TargetName", initialize_only, KeySender::initiator),
    text_row(Key::target_alias, "TargetAlias", any, KeySender::target),
    text_row(Key::target_address, "TargetAddress", any, KeySender::target),
    text_row(Key::target_portal_group_tag, "TargetPortalGroupTag", initialize_only,
             KeySender::target),
    // RFC 7143 13.21 says LO, but initiators send it on every connection.
    text_row(Key::session_type, "SessionType", initialize_only, KeySender::initiator),
    text_row(Key::send_targets, "SendTargets", full_feature_only, KeySender::initiator),
    list_row(Key::header_digest, "HeaderDigest", initialize_only, {.proposed = true},
             &N::header_digest, &S::header_digests, digest_items),
    list_row(Key::data_digest, "DataDigest", initialize_only, {.proposed = true}, &N::data_digest,
             &S::data_digests, digest_items),
    number_row(Key::max_connections, "MaxConnections", minimum, leading_only, normal_only, 1, 65535,
               &N::max_connections, &S::max_connections),
    number_row(Key::initial_r2t, "InitialR2T", boolean_or, leading_only, normal_only, 0, 1,
               &N::initial_r2t, &S::initial_r2t),
    number_row(Key::immediate_data, "ImmediateData", boolean_and, leading_only,
               normal_only_proposed, 0, 1, &N::immediate_data, &S::immediate_data),
    number_row(Key::max_recv_data_segment_length, "MaxRecvDataSegmentLength", declaration, any, {},
               512, largest_length, &N::initiator_max_recv_bytes, &S::max_recv_bytes),
    number_row(Key::max_burst_length, "MaxBurstLength", minimum, leading_only, normal_only_proposed,
               512, largest_length, &N::max_burst_bytes, &S::max_burst_bytes),
    number_row(Key::first_burst_length, "FirstBurstLength", minimum, leading_only,
               normal_only_proposed, 512, largest_length, &N::first_burst_bytes,
               &S::first_burst_bytes),
    number_row(Key::default_time2wait, "DefaultTime2Wait", maximum, leading_only, {}, 0, 3600,
               &N::time2wait_seconds, &S::time2wait_seconds),
    number_row(Key::default_time2retain, "DefaultTime2Retain", minimum, leading_only, {}, 0, 3600,
               &N::time2retain_seconds, &S::time2retain_seconds),
    number_row(Key::max_outstanding_r2t, "MaxOutstandingR2T", minimum, leading_only, normal_only, 1,
               65535, &N::max_outstanding_r2t, &S::max_outstanding_r2t),
    number_row(Key::data_pdu_in_order, "DataPDUInOrder", boolean_or, leading_only, normal_only, 0,
               1, &N::data_pdu_in_order, &S::data_pdu_in_order),
    number_row(Key::data_sequence_in_order, "DataSequenceInOrder", boolean_or, leading_only,
               normal_only, 0, 1, &N::data_sequence_in_order, &S::data_sequence_in_order),
    number_row(Key::error_recovery_level, "ErrorRecoveryLevel", minimum, leading_only, {}, 0, 2,
               &N::error_recovery_level, &S::error_recovery_level),
    list_row(Key::task_reporting, "TaskReporting", leading_only, normal_only, &N::task_reporting,
             &S::task_reporting, reporting_items),
    number_row(Key::protocol_level, "iSCSIProtocolLevel", minimum, leading_only, normal_only, 0, 31,
               &N::protocol_level, &S::protocol_level),
    obsolete_row(Key::if_marker, "IFMarker"),
    obsolete_row(Key::of_marker, "OFMarker"),
    obsolete_row(Key::if_mark_int, "IFMarkInt"),
    obsolete_row(Key::of_mark_int, "OFMarkInt"),
};
static_assert(std::size(table) == static_cast<std::size_t>(Key::count));
static_assert([] {
    for (std::size_t i = 0; i < std::size(table); ++i)
        if (table[i].key != static_cast<Key>(i))
            return false;
    return true;
}());

constexpr std::size_t index_of(Key key) {
    return static_cast<std::size_t>(key);
}

bool is_boolean(KeyKind kind) noexcept {
    return kind == boolean_and || kind == boolean_or;
}

// The number, or 0 and 1 for No and Yes, if it is one that the row admits.
std::optional<std::uint32_t> admissible(const KeyRow& row, std::string_view value) {
    if (is_boolean(row.kind)) {
        if (value == "Yes")
            return 1;
        if (value == "No")
            return 0;
        return std::nullopt;
    }
    const Result<std::uint64_t> number = parse_number(value);
    if (!number || *number < row.smallest || *number > row.largest)
        return std::nullopt;
    return static_cast<std::uint32_t>(*number);
}

std::string value_text(const KeyRow& row, std::uint32_t value) {
    if (is_boolean(row.kind))
        return value != 0 ? "Yes" : "No";
    if (row.kind == list)
        return std::string(row.items[value]);
    return fmt::format("{}", value);
}

}  // namespace

std::span<const KeyRow> key_table() noexcept {
    return table;
}

const KeyRow* find_key(std::string_view name) noexcept {
    const auto* row = std::ranges::find(table, name, &KeyRow::name);
    return row == std::end(table) ? nullptr : row;
}

const KeyRow& key_row(Key key) noexcept {
    return table[index_of(key)];
}

std::uint32_t Negotiation::combine(const KeyRow& row, std::uint32_t offered) const noexcept {
    const std::uint32_t ours = settings_.*row.ours;
    switch (row.kind) {
        case boolean_and:
            return ours & offered;
        case boolean_or:
            return ours | offered;
        case maximum:
            return std::max(ours, offered);
        case minimum:
            // 13.14: FirstBurstLength must not exceed MaxBurstLength.
            if (row.key == Key::first_burst_length)
                return std::min({ours, offered, result_.max_burst_bytes});
            return std::min(ours, offered);
        default:
            return offered;
    }
}

Result<void> Negotiation::take(std::span<const KeyValue> pairs, Phase phase, TextBuilder& answers,
                               std::vector<std::pair<Key, std::string_view>>& texts) {
    // FirstBurstLength depends on MaxBurstLength, which may come behind it.
    const KeyValue* first_burst = nullptr;
    std::bitset<static_cast<std::size_t>(Key::count)> now;
    for (const KeyValue& pair : pairs) {
        const KeyRow* row = find_key(pair.key);
        if (row == nullptr) {
            answers.add(pair.key, value_not_understood);
            continue;
        }
        if (row->sender == KeySender::target)
            return fail(EPROTO, fmt::format("the initiator sent {}, a target's key", row->name));
        // Not twice in one text; and 6.3: an attempt to negotiate a key twice in one login is an
        // error of the initiator.
        if (now.test(index_of(row->key)) ||
            (seen_.test(index_of(row->key)) && !is_identity_key(row->key)))
            return fail(EPROTO, fmt::format("{} was sent twice", row->name));
        seen_.set(index_of(row->key));
        now.set(index_of(row->key));
        if (phase == Phase::security && !row->in_security_stage)
            return fail(EPROTO, fmt::format("{} does not belong to the security stage", row->name));
        const bool login_key = row->use != any && row->use != full_feature_only;
        if (phase == Phase::full_feature && login_key) {
            answers.add(row->name, value_reject);
            continue;
        }
        if (phase != Phase::full_feature && row->use == full_feature_only)
            return fail(EPROTO, fmt::format("{} does not belong to a login", row->name));
        if (phase != Phase::full_feature && row->use == leading_only && !leading_)
            return fail(EPROTO, fmt::format("{} belongs to a leading login alone", row->name));
        if (row->kind == text)
            texts.emplace_back(row->key, pair.value);
        else if (row->key == Key::first_burst_length)
            first_burst = &pair;
        else
            OLIO_TRY(take_one(*row, pair.value, phase, answers));
    }
    if (first_burst != nullptr)
        OLIO_TRY(take_one(key_row(Key::first_burst_length), first_burst->value, phase, answers));
    return {};
}

Result<void> Negotiation::take_one(const KeyRow& row, std::string_view value, Phase phase,
                                   TextBuilder& answers) {
    if (row.kind == obsolete) {
        answers.add(row.name, value_reject);
        return {};
    }
    if (phase == Phase::operational && proposed_.test(index_of(row.key)))
        return take_answer(row, value);
    if (row.irrelevant_in_discovery && discovery_) {
        answers.add(row.name, value_irrelevant);
        return {};
    }
    if (row.kind == list)
        return take_list(row, value, answers);
    const std::optional<std::uint32_t> offered = admissible(row, value);
    if (row.kind == declaration) {
        if (!offered)
            return fail(EPROTO, fmt::format("{} is not a number from {} to {}", row.name,
                                            row.smallest, row.largest));
        result_.*row.result = *offered;
        return {};
    }
    if (!offered) {
        answers.add(row.name, value_reject);  // the default stands (6.2)
        return {};
    }
    result_.*row.result = combine(row, *offered);
    answers.add(row.name, value_text(row, result_.*row.result));
    return {};
}

Result<void> Negotiation::take_list(const KeyRow& row, std::string_view value,
                                    TextBuilder& answers) {
    const Result<std::vector<std::string_view>> offered = split_list(value);
    if (!offered)
        return fail(EPROTO, fmt::format("{}: {}", row.name, offered.error().message));
    for (const std::string_view item : *offered) {
        for (std::uint32_t i = 0; i < row.items.size(); ++i) {
            if (row.items[i] != item || (settings_.*row.ours >> i & 1) == 0)
                continue;
            result_.*row.result = i;
            answers.add(row.name, item);
            return {};
        }
    }
    // Without a common item the default stands, if we can live with it.
    answers.add(row.name, value_reject);
    if (default_hurts(row))
        return fail(EPROTO, fmt::format("{}: nothing offered that this target takes", row.name));
    return {};
}

bool Negotiation::default_hurts(const KeyRow& row) const noexcept {
    if (!row.proposed || (discovery_ && row.irrelevant_in_discovery) ||
        (row.use == leading_only && !leading_))
        return false;
    const std::uint32_t fallback = NegotiatedParameters{}.*row.result;
    if (row.kind == list)
        return (settings_.*row.ours >> fallback & 1) == 0;
    return (row.kind == minimum || row.kind == boolean_and) && settings_.*row.ours < fallback;
}

bool Negotiation::defaults_suffice() const noexcept {
    return std::ranges::none_of(table, [this](const KeyRow& row) {
        return !seen_.test(index_of(row.key)) && default_hurts(row);
    });
}

std::string Negotiation::proposal(const KeyRow& row) const {
    if (row.kind != list)
        return value_text(row, settings_.*row.ours);
    std::string items;
    for (std::uint32_t i = 0; i < row.items.size(); ++i) {
        if ((settings_.*row.ours >> i & 1) == 0)
            continue;
        if (!items.empty())
            items += ',';
        items += row.items[i];
    }
    return items;
}

void Negotiation::declare(TextBuilder& answers) {
    if (declared_)
        return;
    declared_ = true;
    result_.target_max_recv_bytes = settings_.max_recv_bytes;
    answers.add(key_name(Key::max_recv_data_segment_length),
                std::uint64_t{settings_.max_recv_bytes});
}

bool Negotiation::propose(TextBuilder& answers) {
    bool any_proposed = false;
    for (const KeyRow& row : table) {
        if (seen_.test(index_of(row.key)) || proposed_.test(index_of(row.key)) ||
            !default_hurts(row))
            continue;
        proposed_.set(index_of(row.key));
        answers.add(row.name, proposal(row));
        any_proposed = true;
    }
    return any_proposed;
}

Result<void> Negotiation::take_answer(const KeyRow& row, std::string_view value) {
    proposed_.reset(index_of(row.key));
    if (row.kind == list) {
        const auto item = std::ranges::find(row.items, value);
        const auto i = static_cast<std::uint32_t>(item - row.items.begin());
        if (item == row.items.end() || (settings_.*row.ours >> i & 1) == 0)
            return fail(EPROTO, fmt::format("{} was answered with what was not offered", row.name));
        result_.*row.result = i;
        return {};
    }
    const std::optional<std::uint32_t> answer = admissible(row, value);
    if (!answer || combine(row, *answer) != *answer)
        return fail(EPROTO, fmt::format("{} was answered with what was not offered", row.name));
    result_.*row.result = *answer;
    return {};
}

}  // namespace olio::iscsi
