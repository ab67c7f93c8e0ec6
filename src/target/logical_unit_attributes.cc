// A logical unit's attributes: at its making, and later.
#include "target/attributes.h"
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
    return state;
}

void LogicalUnitImpl::set_attribute(std::string name, std::string value, bool exported, Done done) {
    const auto result = std::make_shared<Result<void>>();
    change_state(
        [this, result, name = std::move(name), value = std::move(value),
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
            effects.changed =
                result->has_value() && (*attribute)->get({state, capabilities}) != before;
            if (effects.changed)
                effects.attention = (*attribute)->attention;
            return effects;
        },
        [result, done = std::move(done)](const std::expected<void, Refusal>&) mutable {
            done(std::move(*result));
        });
}

Result<std::uint32_t> LogicalUnitImpl::attribute(std::string_view name) const {
    const auto found = find_attribute(name);
    if (!found)
        return std::unexpected(found.error());
    return (*found)->get({*state(), store_->capabilities()});
}

}  // namespace olio::target
