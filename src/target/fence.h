// Fences keep commands out of a range of blocks on every shard: around COMPARE AND WRITE, before a
// medium shrinks, and behind an aborted write that the backing store has not let go of. Where there
// is none, and that is nearly always, a command pays one comparison.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "target/command.h"

namespace olio::target {

using FenceId = std::uint64_t;  // 0: none

struct BlockRange {
    std::uint64_t first = 0;
    std::uint64_t end = 0;  // exclusive
    [[nodiscard]] bool overlaps(const BlockRange& other) const noexcept {
        return first < other.end && other.first < end;
    }
};

enum class FenceKind : std::uint8_t {
    // Keeps reads and writes out; stands at once. A read that passed would show the host what it
    // can
    // then see change, though the write that it changes by was aborted.
    orphan,
    exclusive,  // keeps reads and writes out; stands when the writes inside have ended, one at a
                // time
    shrink,     // as exclusive, and the reads inside have ended too
    unseen,     // as shrink, and those that lend the store's memory have been sent: nobody sees
                // what changes behind the fence half done
    // Keeps nobody out, and remembers that somebody came to write; stands when the writes inside
    // have ended.
    watch,
};

// What a fence of kind `watch` looks after. Its ranges lie in that of the fence.
struct Watch {
    std::vector<BlockRange> ranges;
    std::atomic<bool> changed{false};  // what is there may not be what it was
};

struct FenceRequest {
    BlockRange range;
    FenceKind kind = FenceKind::exclusive;
    std::shared_ptr<Watch> watch{};
};

// The fences that stand or rise on one shard for one logical unit.
class FenceTable {
  public:
    using Commands = IntrusiveList<Command, &Command::unit_hook_>;

    explicit FenceTable(Commands& commands) : commands_(commands) {}

    [[nodiscard]] bool empty() const noexcept { return fences_.empty(); }
    // Whether a command must wait, by its range and what it does to it.
    [[nodiscard]] bool keeps_out(const Command& command) const noexcept;
    // From now on the fence keeps commands out; `standing` when those inside have ended, maybe at
    // once.
    void raise(FenceId id, const FenceRequest& request, std::move_only_function<void()> standing);
    void lower(FenceId id) noexcept;
    // A command has left the store or the home shard: fences may stand now.
    void command_left() noexcept;

  private:
    struct Fence {
        FenceId id = 0;
        FenceRequest request;
        std::move_only_function<void()> standing;  // empty once called
    };
    void note_writers(const FenceRequest& request) const noexcept;
    [[nodiscard]] bool occupied(const FenceRequest& request) const noexcept;

    Commands& commands_;
    std::vector<Fence> fences_;
};

// Grants fences one after another, on the home shard: exclusive ones that overlap wait for each
// other in the order in which they were asked for.
class FenceQueue {
  public:
    struct Ticket {
        FenceRequest request;
        std::move_only_function<void(FenceId)> granted;
    };
    void request(Ticket ticket);
    void release(FenceId id);

  private:
    struct Grant {
        FenceId id = 0;
        BlockRange range;
    };
    [[nodiscard]] bool free(const BlockRange& range, std::size_t before) const noexcept;
    void serve();

    FenceId last_ = 0;
    bool serving_ = false;
    bool again_ = false;
    std::vector<Grant> grants_;  // the exclusive ones
    std::vector<Ticket> waiting_;
};

}  // namespace olio::target
