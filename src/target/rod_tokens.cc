#include "target/rod_tokens.h"

#include <sys/random.h>

#include <algorithm>

#include "base/limits.h"
#include "scsi/sense_codes.h"
#include "target/logical_unit.h"

namespace olio::target {

namespace sense = scsi::sense;

namespace {

constexpr reactor::Nanoseconds sweep_interval = 5 * reactor::nanoseconds_per_second;

BlockRange hull(const std::vector<BlockRange>& ranges) {
    BlockRange whole{~std::uint64_t{0}, 0};
    for (const BlockRange& range : ranges) {
        whole.first = std::min(whole.first, range.first);
        whole.end = std::max(whole.end, range.end);
    }
    return whole;
}

// Without a branch on how many bytes are right.
bool same(const scsi::RodTokenBytes& a, const scsi::RodTokenBytes& b) noexcept {
    unsigned difference = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        difference |= unsigned{a[i]} ^ b[i];
    return difference == 0;
}

}  // namespace

RodToken::~RodToken() {
    if (fence == 0)
        return;
    if (const auto watched = unit.lock())
        watched->lower_fence(fence);
}

reactor::Nanoseconds RodTokens::now() {
    return reactor::Shard::current()->now();
}

void RodTokens::make(LogicalUnitImpl& unit, scsi::PopulateTokenList list, Made done) {
    auto token = std::make_shared<RodToken>();
    scsi::RodTokenFields fields;
    {
        const std::lock_guard lock(mutex_);
        if (tokens_.size() + making_ >= limits::rod_tokens) {
            done(std::unexpected(scsi::make_sense(sense::insufficient_resources)));
            return;
        }
        ++making_;
        fields.identifier = ++last_identifier_;
    }
    const std::shared_ptr<const scsi::LogicalUnitState> state = unit.state();
    token->identifier = fields.identifier;
    token->unit = unit.weak_from_this();
    token->ranges = std::move(list.ranges);
    token->block_bytes = state->geometry.block_bytes;
    token->timeout_seconds = list.inactivity_timeout_seconds;
    token->watch = std::make_shared<Watch>();
    for (const scsi::BlockRange& range : token->ranges)
        token->watch->ranges.push_back({range.lba, range.lba + range.blocks});
    fields.bytes = list.blocks * token->block_bytes;
    fields.block_bytes = token->block_bytes;
    const bool random = ::getrandom(fields.secret.data(), fields.secret.size(), 0) ==
                        static_cast<ssize_t>(fields.secret.size());
    token->bytes = scsi::make_rod_token(fields, state->identification);
    auto finish = [self = shared_from_this(), token, random,
                   done = std::move(done)](FenceId fence) mutable {
        token->fence = fence;
        {
            const std::lock_guard lock(self->mutex_);
            --self->making_;
        }
        if (!random) {
            done(std::unexpected(scsi::make_sense(sense::internal_target_failure)));
            return;
        }
        self->keep(token);
        done(std::shared_ptr<const RodToken>(std::move(token)));
    };
    if (!random || token->watch->ranges.empty()) {
        finish(0);
        return;
    }
    unit.raise_fence({hull(token->watch->ranges), FenceKind::watch, token->watch},
                     std::move(finish));
}

void RodTokens::keep(const std::shared_ptr<const RodToken>& token) {
    const std::lock_guard lock(mutex_);
    tokens_[token->identifier] = {token,
                                  now() + token->timeout_seconds * reactor::nanoseconds_per_second};
    if (std::exchange(sweeping_, true))
        return;
    reactor_.shard(0).post([weak = weak_from_this()] {
        if (const auto self = weak.lock())
            reactor::Shard::current()->start(self->sweeper_, sweep_interval);
    });
}

std::expected<std::shared_ptr<const RodToken>, scsi::SenseData> RodTokens::find(
    const scsi::RodTokenBytes& bytes, std::uint64_t identifier) {
    const std::lock_guard lock(mutex_);
    const auto at = tokens_.find(identifier);
    if (at == tokens_.end() || at->second.ends_at < now())
        return std::unexpected(scsi::make_sense(sense::token_unknown));
    const RodToken& token = *at->second.token;
    if (!same(token.bytes, bytes))
        return std::unexpected(scsi::make_sense(sense::token_corrupt));
    if (token.revoked())
        return std::unexpected(scsi::make_sense(sense::token_revoked));
    at->second.ends_at = now() + token.timeout_seconds * reactor::nanoseconds_per_second;
    return at->second.token;
}

// The end of a token lowers its fence, which must not happen under the lock.
void RodTokens::remove(const RodToken& token) {
    std::shared_ptr<const RodToken> removed;
    const std::lock_guard lock(mutex_);
    const auto at = tokens_.find(token.identifier);
    if (at == tokens_.end())
        return;
    removed = std::move(at->second.token);
    tokens_.erase(at);
}

std::vector<std::uint8_t> RodTokens::management_tokens(const LogicalUnitImpl& unit) {
    std::vector<std::uint8_t> found;
    const std::lock_guard lock(mutex_);
    for (const auto& [identifier, entry] : tokens_) {
        const RodToken& token = *entry.token;
        if (entry.ends_at < now() || token.revoked() || token.unit.lock().get() != &unit)
            continue;
        found.insert(found.end(), token.bytes.begin(),
                     token.bytes.begin() + scsi::rod_management_token_bytes);
    }
    return found;
}

std::size_t RodTokens::size() {
    const std::lock_guard lock(mutex_);
    return tokens_.size();
}

void RodTokens::sweep() {
    std::vector<std::shared_ptr<const RodToken>> ended;
    {
        const std::lock_guard lock(mutex_);
        for (auto at = tokens_.begin(); at != tokens_.end();) {
            // A revoked one is kept for its time, so that who uses it learns why it is of no use.
            if (at->second.ends_at >= now()) {
                ++at;
                continue;
            }
            ended.push_back(std::move(at->second.token));
            at = tokens_.erase(at);
        }
        sweeping_ = !tokens_.empty();
        if (sweeping_)
            reactor::Shard::current()->start(sweeper_, sweep_interval);
    }
}

}  // namespace olio::target
