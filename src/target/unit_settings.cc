#include "target/unit_settings.h"

#include <fmt/core.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <vector>

#include "base/log.h"
#include "scsi/sense_codes.h"

namespace olio::target {

using scsi::LogicalUnitState;

namespace {

constexpr std::string_view format_line = "olio unit settings 1";

std::string to_hex(Bytes bytes) {
    std::string text;
    for (const std::uint8_t byte : bytes)
        text += fmt::format("{:02x}", byte);
    return text;
}

Result<std::vector<std::uint8_t>> from_hex(std::string_view text) {
    std::vector<std::uint8_t> bytes(text.size() / 2);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        const char* const digits = text.data() + 2 * i;
        const auto [stop, error] = std::from_chars(digits, digits + 2, bytes[i], 16);
        if (error != std::errc() || stop != digits + 2)
            return fail(EINVAL,
                        fmt::format("'{}' is no hexadecimal number", text.substr(2 * i, 2)));
    }
    if (text.size() % 2 != 0)
        return fail(EINVAL, "a hexadecimal number is cut short");
    return bytes;
}

// Takes one line; its key and value are known to be separated by '='.
Result<void> read_line(std::string_view key, std::string_view value, LogicalUnitState& state) {
    const auto bytes = from_hex(value);
    if (!bytes)
        return std::unexpected(bytes.error());
    scsi::IdentifyingInformation& information = state.identifying_information;
    if (key == "mode_pages") {
        scsi::ModePages saved;
        if (!scsi::decode_saved_mode_pages(*bytes, state.default_mode_pages, saved))
            return fail(EINVAL, "the mode pages are cut short");
        state.saved_mode_pages = saved;
    } else if (key == "identifying_information" &&
               bytes->size() <= scsi::IdentifyingInformation::peripheral_bytes) {
        information.peripheral = as_text(*bytes);
    } else if (key == "identifying_text" &&
               bytes->size() <= scsi::IdentifyingInformation::text_bytes) {
        information.text = as_text(*bytes);
    } else if (key == "protection_type" && bytes->size() == 1 && bytes->front() <= 3) {
        state.protection.formatted = bytes->front();
    } else if (key == "medium" && bytes->size() == 2 && (*bytes)[0] != 0 &&
               (*bytes)[0] <= static_cast<std::uint8_t>(scsi::MediumFault::sanitize_failed) &&
               (*bytes)[1] <= 1) {
        state.background.fault = static_cast<scsi::MediumFault>((*bytes)[0]);
        state.background.unrestricted_exit = (*bytes)[1] != 0;
    } else {
        return fail(EINVAL, fmt::format("'{}' is not known, or is too long", key));
    }
    return {};
}

// Takes over what has become other than it was before; the rest may have changed meanwhile.
template <auto... Members, typename Values>
void take_changes(const Values& before, const Values& next, Values& into) {
    const auto take = [](const auto& was, const auto& is, auto& to) {
        if (!(was == is))
            to = is;
    };
    (take(before.*Members, next.*Members, into.*Members), ...);
}

// What is fixed when the unit is made has no place here.
void take_mode_pages(const scsi::ModePages& before, const scsi::ModePages& next,
                     scsi::ModePages& into) {
    using scsi::ModePages;
    take_changes<&ModePages::write_cache_enabled, &ModePages::read_cache_disabled,
                 &ModePages::descriptor_sense, &ModePages::task_aborted_status,
                 &ModePages::application_tag_owner, &ModePages::protection_check_disabled,
                 &ModePages::software_write_protect, &ModePages::task_set_type,
                 &ModePages::queue_algorithm_modifier, &ModePages::queue_error_management,
                 &ModePages::unit_attention_interlock, &ModePages::timestamp_precedence,
                 &ModePages::initial_command_priority, &ModePages::exceptions_disabled,
                 &ModePages::exception_test, &ModePages::exception_reporting,
                 &ModePages::available_threshold_enabled, &ModePages::available_threshold,
                 &ModePages::used_threshold_enabled, &ModePages::used_threshold>(before, next,
                                                                                 into);
}

}  // namespace

std::string unit_settings_name(std::string_view serial) {
    return metadata_name("unit", "settings_", serial);
}

std::string write_unit_settings(const LogicalUnitState& state, MediumCondition medium) {
    std::string text = fmt::format("{}\n", format_line);
    if (state.saved_mode_pages)
        text += fmt::format("mode_pages={}\n",
                            to_hex(scsi::encode_saved_mode_pages(*state.saved_mode_pages)));
    const scsi::IdentifyingInformation& information = state.identifying_information;
    if (!information.peripheral.empty())
        text +=
            fmt::format("identifying_information={}\n", to_hex(as_bytes(information.peripheral)));
    if (!information.text.empty())
        text += fmt::format("identifying_text={}\n", to_hex(as_bytes(information.text)));
    if (state.protection.formatted)
        text += fmt::format("protection_type={:02x}\n", *state.protection.formatted);
    if (medium.fault != scsi::MediumFault::none)
        text += fmt::format("medium={:02x}{:02x}\n", static_cast<unsigned>(medium.fault),
                            medium.unrestricted_exit ? 1 : 0);
    return text;
}

Result<void> read_unit_settings(std::string_view content, LogicalUnitState& state) {
    std::size_t number = 0;
    while (!content.empty()) {
        const std::size_t end = content.find('\n');
        if (end == std::string_view::npos)
            return fail(EINVAL, fmt::format("line {} is cut short", number + 1));
        const std::string_view line = content.substr(0, end);
        content.remove_prefix(end + 1);
        ++number;
        if (number == 1) {
            if (line != format_line)
                return fail(EINVAL, fmt::format("it does not begin with '{}'", format_line));
            continue;
        }
        const std::size_t equals = line.find('=');
        if (equals == std::string_view::npos)
            return fail(EINVAL, fmt::format("line {} has no '='", number));
        if (const auto read = read_line(line.substr(0, equals), line.substr(equals + 1), state);
            !read)
            return fail(EINVAL, fmt::format("line {}: {}", number, read.error().message));
    }
    if (number == 0)
        return fail(EINVAL, "it is empty");
    return {};
}

Result<void> apply_saved_mode_pages(LogicalUnitState& state, Backstore& store) {
    if (!state.saved_mode_pages)
        return {};
    const bool wanted = state.saved_mode_pages->write_cache_enabled;
    state.mode_pages = scsi::mode_pages_after_reset(state);
    if (!state.mode_pages.write_cache_changeable || wanted == state.mode_pages.write_cache_enabled)
        return {};
    OLIO_TRY(store.set_volatile_cache(wanted));
    state.mode_pages.write_cache_enabled = wanted;
    return {};
}

void apply_formatted_type(LogicalUnitState& state, std::string_view name) {
    const scsi::Protection& protection = state.protection;
    if (!protection.supported || !protection.formatted || *protection.formatted == protection.type)
        return;
    log::info("{}: a host has formatted it with protection type {}", name, *protection.formatted);
    state.protection.type = *protection.formatted;
}

// --- Changes ---

SettingsKeeper::SettingsKeeper(LogicalUnitImpl& unit, MetadataStore* metadata)
    : unit_(unit),
      metadata_(metadata),
      medium_{unit.initial_state()->background.fault,
              unit.initial_state()->background.unrestricted_exit} {}

void SettingsKeeper::change(LogicalUnitImpl::Change change, LogicalUnitImpl::Changed done) {
    enter({std::move(change), std::nullopt, std::move(done)});
}

void SettingsKeeper::record(MediumCondition medium, LogicalUnitImpl::Changed done) {
    enter({nullptr, medium, std::move(done)});
}

void SettingsKeeper::forget_fault(LogicalUnitImpl::Change check, LogicalUnitImpl::Changed done) {
    enter({std::move(check), MediumCondition{}, std::move(done)});
}

void SettingsKeeper::enter(Order order) {
    const unsigned origin = LogicalUnitImpl::here();
    unit_.on_home([this, origin, order = std::move(order)]() mutable {
        order.done = [this, origin,
                      done = std::move(order.done)](std::expected<void, Refusal> result) mutable {
            unit_.on_shard(origin, [done = std::move(done), result = std::move(result)]() mutable {
                done(std::move(result));
            });
        };
        orders_.push_back(std::move(order));
        if (!std::exchange(busy_, true))
            serve();
    });
}

void SettingsKeeper::serve() {
    Order& order = orders_.front();
    before_ = unit_.newest_state();
    next_ = *before_;
    next_medium_ = order.medium.value_or(medium_);
    if (order.change) {
        auto effects = order.change(next_);
        if (!effects)
            return end(std::unexpected(std::move(effects.error())));
        effects_ = std::move(*effects);
        if (!effects_.changed && !file_unsure_)
            return end({});
        if (!effects_.changed)
            next_medium_ = medium_;
    }
    if (metadata_ == nullptr ||
        (!file_unsure_ && write_unit_settings(next_, next_medium_) ==
                              write_unit_settings(unit_.home_state(), medium_)))
        return publish();
    keep();
}

void SettingsKeeper::keep() {
    metadata_->write(unit_settings_name(next_.identification.serial),
                     write_unit_settings(next_, next_medium_), [this](Result<void> written) {
                         file_unsure_ = !written;
                         if (written)
                             return publish();
                         log::error("{}: what a host saved cannot be kept: {}", unit_.name(),
                                    written.error().message);
                         put_back({scsi::Status::check_condition,
                                   scsi::make_sense(scsi::sense::internal_target_failure)});
                     });
}

// Other changes may have come meanwhile; only what the order changed is taken over.
void SettingsKeeper::publish() {
    medium_before_ = std::exchange(medium_, next_medium_);
    if (!orders_.front().change)
        return end({});
    unit_.change_state(
        [this](LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
            const bool cache = next_.mode_pages.write_cache_enabled;
            if (cache != before_->mode_pages.write_cache_enabled &&
                cache != state.mode_pages.write_cache_enabled &&
                !unit_.store().set_volatile_cache(cache))
                return std::unexpected(
                    Refusal{scsi::Status::check_condition,
                            scsi::make_sense(scsi::sense::internal_target_failure)});
            take_mode_pages(before_->mode_pages, next_.mode_pages, state.mode_pages);
            state.saved_mode_pages = next_.saved_mode_pages;
            state.identifying_information = next_.identifying_information;
            state.protection.formatted = next_.protection.formatted;
            if (orders_.front().medium) {
                state.background.fault = next_medium_.fault;
                state.background.unrestricted_exit = next_medium_.unrestricted_exit;
            }
            return effects_;
        },
        [this](std::expected<void, Refusal> result) {
            if (result)
                return end({});
            medium_ = medium_before_;
            put_back(std::move(result.error()));
        });
}

// What is refused may be in the file. One attempt: what comes next tries again.
void SettingsKeeper::put_back(Refusal refusal) {
    std::string old = write_unit_settings(unit_.home_state(), medium_);
    if (metadata_ == nullptr || old == write_unit_settings(next_, next_medium_))
        return end(std::unexpected(std::move(refusal)));
    file_unsure_ = true;
    metadata_->write(unit_settings_name(next_.identification.serial), std::move(old),
                     [this, refusal = std::move(refusal)](const Result<void>& written) mutable {
                         file_unsure_ = !written;
                         if (!written)
                             log::error("{}: nor can the file be put back: {}", unit_.name(),
                                        written.error().message);
                         end(std::unexpected(std::move(refusal)));
                     });
}

void SettingsKeeper::end(std::expected<void, Refusal> result) {
    Order order = std::move(orders_.front());
    orders_.pop_front();
    const bool more = !orders_.empty();
    busy_ = more;  // before `done`, which may bring the next one
    order.done(std::move(result));
    if (more)
        serve();
}

}  // namespace olio::target
