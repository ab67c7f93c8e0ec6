// A logical unit's attributes: at its making, and later.
#include <cerrno>

#include "target/attributes.h"
#include "target/background.h"
#include "target/logical_unit.h"

namespace olio::target {

using scsi::LogicalUnitState;

Result<LogicalUnitState> make_state_with_attributes(const LogicalUnitOptions& options,
                                                    Backstore& store) {
    LogicalUnitState state = make_state(options, store);
    const StoreCapabilities capabilities = store.capabilities();
    AttributeTarget target{state, capabilities, store, options.name};
    for (const auto& [name, value] : options.attributes) {
        const auto attribute = find_attribute(name);
        if (!attribute)
            return std::unexpected(attribute.error());
        OLIO_TRY(set_attribute(target, **attribute, value, false));
    }
    if (target.format_protection)
        OLIO_TRY(store.clear_protection());
    return state;
}

void LogicalUnitImpl::set_attribute(std::string name, std::string value, bool exported, Done done) {
    const auto result = std::make_shared<Result<void>>();
    const auto format = std::make_shared<bool>(false);
    change_state(
        [this, result, format, name = std::move(name), value = std::move(value),
         exported](LogicalUnitState& state) -> std::expected<StateEffects, Refusal> {
            StateEffects effects;
            effects.changed = false;
            const auto attribute = find_attribute(name);
            if (!attribute) {
                *result = std::unexpected(attribute.error());
                return effects;
            }
            const StoreCapabilities capabilities = store_->capabilities();
            AttributeTarget target{state, capabilities, *store_, options_.name};
            const std::uint32_t before = (*attribute)->get({state, capabilities});
            *result = target::set_attribute(target, **attribute, value, exported);
            *format = target.format_protection;
            effects.changed =
                result->has_value() && (*attribute)->get({state, capabilities}) != before;
            if (effects.changed)
                effects.attention = (*attribute)->attention;
            return effects;
        },
        [this, result, format,
         done = std::move(done)](const std::expected<void, Refusal>&) mutable {
            if (*format)
                format_protection(std::move(done));
            else
                done(std::move(*result));
        });
}

void LogicalUnitImpl::format_protection(Done done) {
    // Shared: it either does not begin or ends.
    const auto answer = std::make_shared<Done>(std::move(done));
    run_background(
        {.kind = scsi::BackgroundKind::format,
         .protection_type = state()->protection.type,
         .needs_whole_medium = true,
         // As the file says, and the next start would find it.
         .conclude =
             [](LogicalUnitState& after, const BackgroundResult& result) {
                 after.background.fault = result.status == StoreStatus::good
                                              ? scsi::MediumFault::none
                                              : scsi::MediumFault::format_corrupted;
             }},
        [this, answer](const std::expected<void, Refusal>& begun) {
            if (begun)
                return;
            if (state()->background.fault != scsi::MediumFault::none)
                (*answer)(fail(EIO, name() + ": a format or sanitize of it has failed; a host "
                                             "must format or sanitize it first"));
            else
                (*answer)(fail(EBUSY, name() + ": it is being formatted, sanitized or tested"));
        },
        [this, answer](const BackgroundResult& ended) {
            (*answer)(ended.status == StoreStatus::good
                          ? Result<void>{}
                          : fail(EIO, name() + ": its protection information cannot be formatted"));
        });
}

Result<std::uint32_t> LogicalUnitImpl::attribute(std::string_view name) const {
    const auto found = find_attribute(name);
    if (!found)
        return std::unexpected(found.error());
    return (*found)->get({*state(), store_->capabilities()});
}

}  // namespace olio::target
