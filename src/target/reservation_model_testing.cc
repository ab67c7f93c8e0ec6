#include "target/reservation_model_testing.h"

#include <algorithm>
#include <set>

namespace olio::target::testing {

namespace {

bool is_type(unsigned type) {
    return type == 1 || type == 3 || (type >= 5 && type <= 8);
}

}  // namespace

void Model::unregister(const Port& who, const Port& from) {
    if (!keys.contains(who))
        return;
    const bool was_holder = holder == who;
    keys.erase(who);
    const unsigned before = type;
    if (was_holder || keys.empty())
        drop_reservation();
    if (was_holder && (before == 5 || before == 6))
        for (const auto& [other, key] : keys)
            tell(other, from, 0x2A04);
}

Outcome Model::enroll(const Port& from, const Sent& sent) {
    const bool registered = keys.contains(from);
    if (sent.action == 0) {
        if (sent.key != (registered ? keys[from] : 0))
            return conflict;
        if (registered && sent.specifies())
            return bad_list;
    }
    if (!registered && sent.service_key == 0)
        return ok;
    std::set<unsigned> ports{from.port};
    if (sent.all_ports) {
        for (const auto& [who, pending] : attentions)
            ports.insert(who.port);
        for (const auto& [who, key] : keys)
            ports.insert(who.port);
    }
    // Its own port first: which refusal comes first, and who is told of a release
    // that comes on the way, depend on it.
    std::vector<unsigned> in_order{from.port};
    for (const unsigned port : ports)
        if (port != from.port)
            in_order.push_back(port);
    for (const unsigned port : in_order) {
        const Port own{from.initiator, port};
        if (sent.action == 0 && keys.contains(own) && keys[own] != sent.key)
            return conflict;
        for (const unsigned initiator : sent.initiators)
            if (sent.service_key != 0 && initiator != from.initiator &&
                keys.contains({initiator, port}))
                return bad_list;
    }
    aptpl = sent.aptpl;
    ++generation;
    for (const unsigned port : in_order) {
        if (sent.service_key == 0) {
            unregister({from.initiator, port}, from);
            continue;
        }
        keys[{from.initiator, port}] = sent.service_key;
        for (const unsigned initiator : sent.initiators)
            keys[{initiator, port}] = sent.service_key;
    }
    return ok;
}

Outcome Model::preempt(const Port& from, const Sent& sent) {
    std::set<Port> named;
    for (const auto& [who, key] : keys)
        if (key == sent.service_key)
            named.insert(who);
    const bool replaces =
        type != 0 && (everybody_holds() ? sent.service_key == 0
                                        : sent.service_key != 0 && named.contains(*holder));
    if (replaces) {
        if (sent.scope != 0 || !is_type(sent.type))
            return bad_cdb;
        if (sent.service_key == 0)
            for (const auto& [who, key] : keys)
                named.insert(who);
        const unsigned before = type;
        for (const Port& who : named)
            if (who != from) {
                keys.erase(who);
                tell(who, from, 0x2A05);
            }
        type = sent.type;
        holder.reset();
        if (!everybody_holds())
            holder = from;
        if (before != type)
            for (const auto& [who, key] : keys)
                tell(who, from, 0x2A04);
        ++generation;
        return ok;
    }
    if (sent.service_key == 0)
        return bad_list;
    if (named.empty())
        return conflict;
    for (const Port& who : named) {
        keys.erase(who);
        tell(who, from, 0x2A05);
    }
    if (keys.empty())
        drop_reservation();
    ++generation;
    return ok;
}

Outcome Model::move(const Port& from, const Sent& sent) {
    if (type == 0)
        return bad_cdb;
    if (everybody_holds() || holder != from)
        return conflict;
    const unsigned initiator = sent.initiators.front();
    std::set<unsigned> ports{from.port};
    for (const auto& [who, pending] : attentions)
        ports.insert(who.port);
    for (const auto& [who, key] : keys)
        ports.insert(who.port);
    if (sent.service_key == 0 || initiator == from.initiator || !ports.contains(sent.to_port))
        return bad_list;
    aptpl = sent.aptpl;
    ++generation;
    holder = Port{initiator, sent.to_port};
    keys[*holder] = sent.service_key;
    if (sent.unregister)
        keys.erase(from);
    return ok;
}

Outcome Model::out(const Port& from, const Sent& sent) {
    if (reserved)
        return conflict;
    if (sent.specifies() && sent.action != 0)
        return bad_list;
    if (sent.action == 0 || sent.action == 6)
        return enroll(from, sent);
    if (sent.action == 8)
        return type != 0 && !keys.contains(from) ? conflict : bad_release;
    if (!keys.contains(from) || keys[from] != sent.key)
        return conflict;
    switch (sent.action) {
        case 1:
            if (sent.scope != 0 || !is_type(sent.type))
                return bad_cdb;
            if (type != 0)
                return holds(from) && type == sent.type ? ok : conflict;
            type = sent.type;
            if (!everybody_holds())
                holder = from;
            return ok;
        case 2:
            if (!holds(from))
                return ok;
            if (sent.scope != 0 || sent.type != type)
                return bad_release;
            if (type >= 5)
                for (const auto& [who, key] : keys)
                    tell(who, from, 0x2A04);
            drop_reservation();
            return ok;
        case 3:
            for (const auto& [who, key] : keys)
                tell(who, from, 0x2A03);
            keys.clear();
            drop_reservation();
            ++generation;
            return ok;
        case 7:
            return move(from, sent);
        default:
            return preempt(from, sent);
    }
}

}  // namespace olio::target::testing
