#include "scsi/orwrite.h"

#include <array>

#include "scsi/cdb_fields.h"
#include "scsi/logical_unit_state.h"
#include "scsi/sense_codes.h"

namespace olio::scsi {

namespace {

constexpr auto perform = OrwriteAction::perform;
constexpr auto discard = OrwriteAction::discard;
constexpr auto refuse = OrwriteAction::refuse;

// SBC-4 table 29: a set operation that expects the previous generation, and one that expects
// neither that nor the current one.
struct Policy {
    std::uint8_t code;
    OrwriteAction previous;
    OrwriteAction other;
};
constexpr std::array policies{
    Policy{0, perform, refuse},  Policy{2, discard, refuse}, Policy{3, perform, perform},
    Policy{5, discard, discard}, Policy{7, refuse, refuse},
};

const Policy* find_policy(std::uint8_t code) noexcept {
    for (const Policy& policy : policies)
        if (policy.code == code)
            return &policy;
    return nullptr;
}

}  // namespace

std::expected<OrwriteFields, SenseData> decode_orwrite(Bytes cdb) noexcept {
    OrwriteFields fields;
    if (!is_variable_length(cdb))
        return fields;
    constexpr std::uint8_t highest_bit_of_operation = 2;
    const std::uint8_t operation = cdb[2] & 0x07;
    if (operation > static_cast<std::uint8_t>(BitmapOperation::change_generation_and_clear))
        return std::unexpected(invalid_field_in_cdb(2, highest_bit_of_operation));
    fields.operation = static_cast<BitmapOperation>(operation);
    fields.expected = load_be<std::uint32_t>(cdb.data() + 20);
    if (fields.operation == BitmapOperation::set)
        return fields;  // the others are ignored
    constexpr std::uint8_t highest_bit_of_policy = 3;
    fields.policy = cdb[3] & 0x0F;
    if (find_policy(fields.policy) == nullptr)
        return std::unexpected(invalid_field_in_cdb(3, highest_bit_of_policy));
    fields.next = load_be<std::uint32_t>(cdb.data() + 24);
    return fields;
}

OrwriteAction orwrite_action(const OrwriteFields& fields, const OrwriteGenerations& now) noexcept {
    if (fields.expected == now.current)
        return perform;
    if (fields.operation == BitmapOperation::change_generation_and_clear)
        return refuse;
    const Policy* const policy = find_policy(now.policy);
    if (policy == nullptr)
        return refuse;
    return fields.expected == now.previous ? policy->previous : policy->other;
}

OrwriteGenerations next_generations(const OrwriteFields& fields,
                                    const OrwriteGenerations& now) noexcept {
    return {.current = fields.next, .previous = now.current, .policy = fields.policy};
}

}  // namespace olio::scsi
