#include "scsi/referrals.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <limits>
#include <optional>
#include <utility>

#include "base/limits.h"
#include "scsi/access_states.h"
#include "scsi/data_in.h"
#include "scsi/logical_unit_state.h"
#include "scsi/sense_codes.h"

namespace olio::scsi {

namespace {

struct StateLetter {
    char letter;
    AccessState state;
};
constexpr std::array<StateLetter, 4> letters{{
    {'O', AccessState::active_optimized},
    {'A', AccessState::active_non_optimized},
    {'S', AccessState::standby},
    {'U', AccessState::unavailable},
}};

// The text up to the next blank or line end, which is taken off.
std::string_view next_word(std::string_view& line) {
    const std::size_t begin = std::min(line.find_first_not_of(" \t\r"), line.size());
    const std::size_t end = std::min(line.find_first_of(" \t\r", begin), line.size());
    const std::string_view word = line.substr(begin, end - begin);
    line.remove_prefix(end);
    return word;
}

template <class T>
std::optional<T> number_of(std::string_view text) {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size())
        return std::nullopt;
    return value;
}

std::optional<ReferralGroup> group_of(std::string_view word) {
    const std::size_t colon = word.find(':');
    if (colon == std::string_view::npos || word.size() != colon + 2)
        return std::nullopt;
    const auto id = number_of<std::uint16_t>(word.substr(0, colon));
    for (const StateLetter& each : letters)
        if (id && each.letter == word[colon + 1])
            return ReferralGroup{*id, each.state};
    return std::nullopt;
}

std::optional<Referral> referral_of(std::string_view line) {
    const auto first = number_of<std::uint64_t>(next_word(line));
    const auto last = number_of<std::uint64_t>(next_word(line));
    if (!first || !last || *last < *first)
        return std::nullopt;
    Referral referral{.first_lba = *first, .last_lba = *last, .groups = {}};
    for (std::string_view word = next_word(line); !word.empty(); word = next_word(line)) {
        const auto group = group_of(word);
        if (!group || referral.groups.size() == limits::referral_groups)
            return std::nullopt;
        referral.groups.push_back(*group);
    }
    if (referral.groups.empty())
        return std::nullopt;
    return referral;
}

// How bad a state is for a command: its number, for the primary states.
AccessState worse(AccessState a, AccessState b) {
    return std::max(a, b);
}

AccessState state_in(const Referral& referral, std::uint16_t group) {
    for (const ReferralGroup& each : referral.groups)
        if (each.group == group)
            return each.state;
    return AccessState::unavailable;
}

// Where a block lies: in which entry, and the last block of the run that it begins.
struct Place {
    const Referral* referral = nullptr;
    std::uint64_t last_lba = 0;
};

Place place_of(const Referrals& referrals, std::uint64_t lba) {
    const std::uint64_t period =
        std::uint64_t{referrals.segment_blocks} * referrals.segment_multiplier;
    for (const Referral& each : referrals.list) {
        if (period == 0) {
            if (lba >= each.first_lba && lba <= each.last_lba)
                return {&each, each.last_lba};
            continue;
        }
        // One segment of each period.
        const std::uint64_t inside = lba % period;
        const std::uint64_t first = each.first_lba % period;
        if (inside < first || inside - first >= referrals.segment_blocks)
            continue;
        constexpr std::uint64_t highest = std::numeric_limits<std::uint64_t>::max();
        const std::uint64_t behind = referrals.segment_blocks - 1 - (inside - first);
        return {&each, lba > highest - behind ? highest : lba + behind};
    }
    return {};
}

}  // namespace

Result<Referrals> parse_referrals(std::string_view text) {
    Referrals referrals;
    bool begun = false;
    for (unsigned number = 1; !text.empty(); ++number) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line.find_first_not_of(" \t\r") == std::string_view::npos)
            continue;
        if (!std::exchange(begun, true)) {
            const auto size = number_of<std::uint32_t>(next_word(line));
            const auto multiplier = number_of<std::uint32_t>(next_word(line));
            if (!size || !multiplier || !next_word(line).empty() ||
                (*multiplier != 0 && *size == 0) || *multiplier > limits::referrals)
                return fail(EINVAL, fmt::format("line {} of the referrals must have a segment size "
                                                "in blocks and a multiplier of at most {}",
                                                number, limits::referrals));
            referrals.segment_blocks = *size;
            referrals.segment_multiplier = *multiplier;
            continue;
        }
        auto referral = referral_of(line);
        if (!referral)
            return fail(EINVAL,
                        fmt::format("line {} of the referrals must have the first and the last "
                                    "LBA, and 1 to {} words GROUP:STATE with O, A, S or U",
                                    number, limits::referral_groups));
        if (referrals.list.size() == limits::referrals)
            return fail(ENOSPC, fmt::format("more than {} referrals", limits::referrals));
        referrals.list.push_back(std::move(*referral));
    }
    if (referrals.empty())
        return Referrals{};
    return referrals;
}

std::string format_referrals(const Referrals& referrals) {
    if (referrals.empty())
        return {};
    std::string text =
        fmt::format("{} {}\n", referrals.segment_blocks, referrals.segment_multiplier);
    for (const Referral& each : referrals.list) {
        text += fmt::format("{} {}", each.first_lba, each.last_lba);
        for (const ReferralGroup& group : each.groups)
            for (const StateLetter& letter : letters)
                if (letter.state == group.state)
                    text += fmt::format(" {}:{}", group.group, letter.letter);
        text += '\n';
    }
    return text;
}

AccessState state_of_blocks(const Referrals& referrals, std::uint16_t group, std::uint64_t lba,
                            std::uint64_t blocks) noexcept {
    const std::uint64_t period =
        std::uint64_t{referrals.segment_blocks} * referrals.segment_multiplier;
    if (period != 0)
        blocks = std::min(blocks, period);  // behind one period it is all the same
    const std::uint64_t last = lba + std::max<std::uint64_t>(blocks, 1) - 1;
    if (last < lba)
        return AccessState::unavailable;  // the range wraps: no block of the unit
    AccessState found = AccessState::active_optimized;
    for (;;) {
        const Place place = place_of(referrals, lba);
        if (place.referral == nullptr)
            return AccessState::unavailable;
        found = worse(found, state_in(*place.referral, group));
        if (place.last_lba >= last || found == AccessState::unavailable)
            return found;
        lba = place.last_lba + 1;
    }
}

AccessState state_of_all_blocks(const Referrals& referrals, std::uint16_t group) noexcept {
    AccessState found = AccessState::active_optimized;
    for (const Referral& each : referrals.list)
        found = worse(found, state_in(each, group));
    return referrals.empty() ? AccessState::unavailable : found;
}

// SBC-4 5.27: the user data segments from the LBA on, or with ONE_SEG the one that holds it.
std::expected<void, SenseData> report_referrals(const Request& request, Builder& into) {
    constexpr std::uint8_t one_segment = 0x01;
    const Referrals& referrals = request.state->access.referrals;
    if (request.decoded.lba >= request.state->geometry.blocks)
        return std::unexpected(make_sense(sense::logical_block_address_out_of_range));
    const bool one = (request.cdb[14] & one_segment) != 0;
    into.be16(0);
    into.be16(0);  // length, below
    const Place at = place_of(referrals, request.decoded.lba);
    for (const Referral& each : referrals.list) {
        const bool wanted =
            one ? &each == at.referral
                : referrals.segment_multiplier != 0 || each.last_lba >= request.decoded.lba;
        if (!wanted)
            continue;
        into.be24(0);
        into.u8(static_cast<std::uint8_t>(each.groups.size()));
        into.be64(each.first_lba);
        into.be64(each.last_lba);
        for (const ReferralGroup& group : each.groups) {
            into.u8(static_cast<std::uint8_t>(group.state));
            into.u8(0);
            into.be16(group.group);
        }
    }
    into.patch(2, static_cast<std::uint16_t>(into.size() - 4));
    return {};
}

}  // namespace olio::scsi
