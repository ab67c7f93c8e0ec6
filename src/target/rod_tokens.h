// The ROD tokens that have been given out (SPC-5 5.18, SBC-4 4.28). A token stands for the data of
// some ranges as they were when it was made. Nothing is copied for it: from then on the ranges are
// watched, and the first write into one of them, by whatever command and from whatever host, makes
// the token invalid (TOKEN REVOKED). That is what "point in time copy, change vulnerable" means.
//
// A token is a random secret of 512 bits in 512 bytes, all of which must come back as they were
// given out; it ends when it has not been used for its inactivity timeout. One registry for all
// logical units; every method on any shard.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "reactor/reactor.h"
#include "reactor/shard.h"
#include "scsi/rod_token.h"
#include "target/fence.h"

namespace olio::target {

class LogicalUnitImpl;

// A token as long as it is good. Immutable but for what its watch finds.
struct RodToken {
    ~RodToken();

    scsi::RodTokenBytes bytes{};
    std::uint64_t identifier = 0;
    std::weak_ptr<LogicalUnitImpl> unit;
    std::vector<scsi::BlockRange> ranges;
    std::uint32_t block_bytes = 512;
    std::uint32_t timeout_seconds = 0;
    std::shared_ptr<Watch> watch;
    FenceId fence = 0;  // lowered with the token

    [[nodiscard]] bool revoked() const noexcept { return watch->changed; }
};

class RodTokens : public std::enable_shared_from_this<RodTokens> {
  public:
    explicit RodTokens(reactor::Reactor& reactor) : reactor_(reactor) {}

    // Makes a token of the ranges as they are now: when the writes inside have ended, `done` on the
    // calling shard. An error where there are too many tokens, or no random numbers.
    using Made = std::move_only_function<void(
        std::expected<std::shared_ptr<const RodToken>, scsi::SenseData>)>;
    void make(LogicalUnitImpl& unit, scsi::PopulateTokenList list, Made done);

    // The token with these bytes; its inactivity begins anew. TOKEN UNKNOWN, TOKEN CORRUPT, TOKEN
    // REVOKED.
    [[nodiscard]] std::expected<std::shared_ptr<const RodToken>, scsi::SenseData> find(
        const scsi::RodTokenBytes& bytes, std::uint64_t identifier);
    void remove(const RodToken& token);
    // The ROD management tokens of those that are good and have been made of `unit`, one behind the
    // other.
    [[nodiscard]] std::vector<std::uint8_t> management_tokens(const LogicalUnitImpl& unit);
    [[nodiscard]] std::size_t size();

  private:
    struct Entry {
        std::shared_ptr<const RodToken> token;
        reactor::Nanoseconds ends_at = 0;
    };
    // Ends tokens in time, on shard 0.
    struct Sweeper final : reactor::Timer {
        explicit Sweeper(RodTokens& owner) : tokens(owner) {}
        void fired() noexcept override { tokens.sweep(); }
        RodTokens& tokens;
    };
    void keep(const std::shared_ptr<const RodToken>& token);
    void sweep();
    [[nodiscard]] static reactor::Nanoseconds now();

    reactor::Reactor& reactor_;
    std::mutex mutex_;
    std::uint64_t last_identifier_ = 0;
    std::size_t making_ = 0;
    bool sweeping_ = false;
    std::map<std::uint64_t, Entry> tokens_;
    Sweeper sweeper_{*this};
};

}  // namespace olio::target
