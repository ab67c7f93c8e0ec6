// A model of persistent reservations, written from the clauses of SPC-5 5.13 alone and apart from
// the code that it is held against.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace olio::target::testing {

struct Outcome {
    enum Kind { good, conflict, check } kind = good;
    unsigned code = 0;  // key, ASC, ASCQ as 0x052600
    bool operator==(const Outcome&) const = default;
};
inline constexpr Outcome ok{};
inline constexpr Outcome conflict{Outcome::conflict, 0};
inline constexpr Outcome bad_list{Outcome::check, 0x052600};
inline constexpr Outcome bad_cdb{Outcome::check, 0x052400};
inline constexpr Outcome bad_release{Outcome::check, 0x052604};

struct Port {
    unsigned initiator = 0;
    unsigned port = 0;
    auto operator<=>(const Port&) const = default;
};

struct Sent {
    unsigned action = 0;
    unsigned scope = 0;
    unsigned type = 0;
    std::uint64_t key = 0;
    std::uint64_t service_key = 0;
    bool aptpl = false;
    bool all_ports = false;
    bool unregister = false;
    std::vector<unsigned> initiators;  // SPEC_I_PT, or the one of REGISTER AND MOVE
    unsigned to_port = 0;
    [[nodiscard]] bool specifies() const { return action != 7 && !initiators.empty(); }
};

struct Model {
    std::map<Port, std::uint64_t> keys;
    unsigned type = 0;
    std::optional<Port> holder;  // not with types 7 and 8
    unsigned generation = 0;
    bool aptpl = false;
    std::optional<Port> reserved;                      // RESERVE
    std::map<Port, std::vector<unsigned>> attentions;  // of those that are logged in

    [[nodiscard]] bool everybody_holds() const { return type == 7 || type == 8; }
    [[nodiscard]] bool holds(const Port& who) const {
        return type != 0 && keys.contains(who) && (everybody_holds() || holder == who);
    }
    // 0 stranger, 1 registrant, 2 holder.
    [[nodiscard]] unsigned role(const Port& who) const {
        return holds(who) ? 2 : keys.contains(who) ? 1 : 0;
    }
    void tell(const Port& who, const Port& from, unsigned code) {
        const auto found = attentions.find(who);
        if (who == from || found == attentions.end())
            return;
        if (std::ranges::find(found->second, code) == found->second.end())
            found->second.push_back(code);
    }
    void drop_reservation() {
        type = 0;
        holder.reset();
    }

    Outcome out(const Port& from, const Sent& sent);

  private:
    Outcome enroll(const Port& from, const Sent& sent);
    Outcome preempt(const Port& from, const Sent& sent);
    Outcome move(const Port& from, const Sent& sent);
    void unregister(const Port& who, const Port& from);
};

}  // namespace olio::target::testing
