// Writes to a LUN whose daemon is killed under it, and knows what must be there afterwards.
//
//   crash_writer URL SEED
//
// Commands on standard input, one answer line each:
//   write    logs in and says "writing WCE=0" or "writing WCE=1"; writes until the session is lost,
//            then says "lost WRITES DURABLE SYNCS": writes acknowledged, those of them that were
//            promised to be durable, and acknowledged SYNCHRONIZE CACHE commands, all since the
//            program began
//   verify   logs in, reads every block and says "ok BLOCKS-WRITTEN" or "violation ..."
//
// Each block carries its LBA, a generation that no other write has, and a checksum. What a block
// may hold is the last generation that was promised to be durable, or any generation sent since
// then; once it has been read after a crash it is what was read, for good. Durable is a write with
// FUA, one acknowledged before an acknowledged SYNCHRONIZE CACHE was sent, and with WCE=0 every
// one.
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "harness/session.h"

namespace olio::crash {
namespace {

using harness::Session;

constexpr std::uint64_t region_bytes = 8 << 20;  // small: every block is overwritten often
constexpr unsigned writes_outstanding = 24;
constexpr std::uint32_t blocks_per_write = 64;  // at most
constexpr unsigned writes_per_sync = 40;
constexpr std::uint32_t blocks_per_read = 256;

// The first bytes of each block; the rest repeats the generation.
struct Stamp {
    std::uint64_t lba;
    std::uint64_t generation;
    std::uint64_t checksum;
};

Stamp stamp_of(std::uint64_t lba, std::uint64_t generation) {
    std::uint64_t mixed = (lba + 0x9e3779b97f4a7c15U) * 0xbf58476d1ce4e5b9U ^ generation;
    mixed = (mixed ^ (mixed >> 31)) * 0x94d049bb133111ebU;
    return {lba, generation, mixed ^ (mixed >> 29)};
}

void fill_block(std::uint8_t* block, std::uint32_t bytes, const Stamp& stamp) {
    std::memset(block, static_cast<int>(stamp.generation & 0xff), bytes);
    std::memcpy(block, &stamp, sizeof stamp);
}

// The generation of a block, 0 if it was never written; nothing if it is no whole block of ours.
std::optional<std::uint64_t> read_block(const std::uint8_t* block, std::uint32_t bytes,
                                        std::uint64_t lba) {
    if (std::all_of(block, block + bytes, [](std::uint8_t byte) { return byte == 0; })) {
        return 0;
    }
    Stamp found{};
    std::memcpy(&found, block, sizeof found);
    std::vector<std::uint8_t> expected(bytes);
    fill_block(expected.data(), bytes, stamp_of(lba, found.generation));
    if (std::memcmp(block, expected.data(), bytes) != 0) {
        return std::nullopt;
    }
    return found.generation;
}

// What one block may hold.
struct Expected {
    std::uint64_t durable = 0;        // promised
    std::uint64_t acknowledged = 0;   // the last one with GOOD status, durable or not
    std::vector<std::uint64_t> sent;  // after `durable`, oldest first
    bool busy = false;                // part of an outstanding write

    void promise(std::uint64_t generation) {
        durable = std::max(durable, generation);
        std::erase_if(sent, [this](std::uint64_t other) { return other <= durable; });
    }
    bool allows(std::uint64_t generation) const {
        return generation == durable || std::ranges::find(sent, generation) != sent.end();
    }
};

class Writer {
  public:
    Writer(std::string url, std::uint64_t seed) : url_(std::move(url)), random_(seed) {}

    std::string write_until_lost();
    std::string verify();

  private:
    struct Write {
        Writer* writer = nullptr;
        std::uint64_t lba = 0;
        std::uint32_t blocks = 0;
        std::uint64_t generation = 0;
        bool fua = false;
        bool outstanding = false;
        std::vector<std::uint8_t> data;
    };
    struct Promise {
        std::uint64_t lba;
        std::uint64_t generation;
    };

    std::optional<std::string> prepare(Session& session);
    bool send_write(Session& session, Write& slot);
    void send_sync(Session& session);
    bool range_is_idle(std::uint64_t lba, std::uint32_t blocks) const;
    void write_done(Write& slot, int status);
    void sync_done(int status);
    std::optional<std::string> check_blocks(std::uint64_t first, const std::uint8_t* data,
                                            std::uint64_t count);

    static void on_write(iscsi_context*, int status, void* task, void* slot) {
        auto* write = static_cast<Write*>(slot);
        scsi_free_scsi_task(static_cast<scsi_task*>(task));
        write->writer->write_done(*write, status);
    }
    static void on_sync(iscsi_context*, int status, void* task, void* writer) {
        scsi_free_scsi_task(static_cast<scsi_task*>(task));
        static_cast<Writer*>(writer)->sync_done(status);
    }

    std::string url_;
    bool write_cache_ = false;  // WCE, as the LUN says it
    std::mt19937_64 random_;
    std::uint32_t block_bytes_ = 0;
    std::vector<Expected> blocks_;
    std::vector<Write> slots_ = std::vector<Write>(writes_outstanding);
    std::vector<Promise> syncing_;  // what the outstanding SYNCHRONIZE CACHE promises
    bool sync_outstanding_ = false;
    std::string refused_;  // a status that no write should get
    std::uint64_t next_generation_ = 1;
    std::uint64_t acknowledged_ = 0;
    std::uint64_t promised_ = 0;
    std::uint64_t syncs_ = 0;
};

std::optional<std::string> Writer::prepare(Session& session) {
    const auto capacity = session.capacity();
    if (!capacity) {
        return capacity.error();
    }
    if (blocks_.empty()) {
        block_bytes_ = capacity->block_bytes;
        blocks_.resize(std::min(region_bytes / block_bytes_, capacity->blocks));
    }
    if (capacity->block_bytes != block_bytes_ || capacity->blocks < blocks_.size()) {
        return "the LUN has another size than before the crash";
    }
    const auto write_cache = session.write_cache();
    if (!write_cache) {
        return write_cache.error();
    }
    write_cache_ = *write_cache;
    return std::nullopt;
}

bool Writer::range_is_idle(std::uint64_t lba, std::uint32_t blocks) const {
    const auto first = blocks_.begin() + static_cast<std::ptrdiff_t>(lba);
    return std::none_of(first, first + blocks, [](const Expected& block) { return block.busy; });
}

bool Writer::send_write(Session& session, Write& slot) {
    slot.blocks = 1 + static_cast<std::uint32_t>(random_() % blocks_per_write);
    slot.lba = random_() % (blocks_.size() - slot.blocks + 1);
    if (!range_is_idle(slot.lba, slot.blocks)) {
        return true;  // the next turn tries elsewhere
    }
    slot.writer = this;
    slot.generation = next_generation_++;
    slot.fua = write_cache_ && random_() % 2 == 0;
    slot.outstanding = true;
    slot.data.resize(std::size_t{slot.blocks} * block_bytes_);
    for (std::uint32_t i = 0; i < slot.blocks; i++) {
        fill_block(&slot.data[std::size_t{i} * block_bytes_], block_bytes_,
                   stamp_of(slot.lba + i, slot.generation));
        Expected& block = blocks_[slot.lba + i];
        block.sent.push_back(slot.generation);
        block.busy = true;
    }
    return iscsi_write16_task(session.context(), session.lun(), slot.lba, slot.data.data(),
                              static_cast<std::uint32_t>(slot.data.size()),
                              static_cast<int>(block_bytes_), 0, 0, slot.fua ? 1 : 0, 0, 0,
                              on_write, &slot) != nullptr;
}

void Writer::write_done(Write& slot, int status) {
    slot.outstanding = false;
    const bool durable = slot.fua || !write_cache_;
    if (status == SCSI_STATUS_GOOD) {
        acknowledged_++;
        promised_ += durable ? 1 : 0;
    } else if (status != SCSI_STATUS_CANCELLED && status != SCSI_STATUS_ERROR) {
        refused_ = "a write ended with status " + std::to_string(status);
    }
    for (std::uint64_t lba = slot.lba; lba < slot.lba + slot.blocks; lba++) {
        Expected& block = blocks_[lba];
        block.busy = false;
        if (status == SCSI_STATUS_GOOD) {
            block.acknowledged = slot.generation;
            if (durable) {
                block.promise(slot.generation);
            }
        }
    }
}

void Writer::send_sync(Session& session) {
    // It covers what was acknowledged before it was sent, and nothing else.
    syncing_.clear();
    for (std::uint64_t lba = 0; lba < blocks_.size(); lba++) {
        if (blocks_[lba].acknowledged > blocks_[lba].durable) {
            syncing_.push_back({lba, blocks_[lba].acknowledged});
        }
    }
    sync_outstanding_ = iscsi_synchronizecache16_task(session.context(), session.lun(), 0, 0, 0, 0,
                                                      on_sync, this) != nullptr;
}

void Writer::sync_done(int status) {
    sync_outstanding_ = false;
    if (status != SCSI_STATUS_GOOD) {
        return;
    }
    syncs_++;
    for (const Promise& promise : syncing_) {
        blocks_[promise.lba].promise(promise.generation);
    }
}

std::string Writer::write_until_lost() {
    auto session = Session::log_in(url_);
    if (!session) {
        return "violation: cannot log in: " + session.error();
    }
    if (const auto error = prepare(**session)) {
        return "violation: " + *error;
    }
    std::cout << (write_cache_ ? "writing WCE=1" : "writing WCE=0") << std::endl;
    std::uint64_t next_sync = acknowledged_ + writes_per_sync;
    bool alive = true;
    while (alive && refused_.empty()) {
        for (Write& slot : slots_) {
            if (!slot.outstanding) {
                alive = send_write(**session, slot) && alive;
            }
        }
        if (write_cache_ && !sync_outstanding_ && acknowledged_ >= next_sync) {
            next_sync = acknowledged_ + writes_per_sync;
            send_sync(**session);
        }
        alive = (*session)->serve(1000) && alive;
    }
    session->reset();  // calls back whatever is still outstanding
    if (!refused_.empty()) {
        return "violation: " + refused_;
    }
    return "lost " + std::to_string(acknowledged_) + " " + std::to_string(promised_) + " " +
           std::to_string(syncs_);
}

std::optional<std::string> Writer::check_blocks(std::uint64_t first, const std::uint8_t* data,
                                                std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; i++) {
        Expected& block = blocks_[first + i];
        const auto found = read_block(data + i * block_bytes_, block_bytes_, first + i);
        if (!found || !block.allows(*found)) {
            return "LBA " + std::to_string(first + i) + " holds " +
                   (found ? "generation " + std::to_string(*found)
                          : std::string("no whole block")) +
                   ", but generation " + std::to_string(block.durable) +
                   " was promised to be durable";
        }
        block = Expected{.durable = *found, .acknowledged = *found, .sent = {}, .busy = false};
    }
    return std::nullopt;
}

std::string Writer::verify() {
    auto session = Session::log_in(url_);
    if (!session) {
        return "violation: cannot log in: " + session.error();
    }
    if (const auto error = prepare(**session)) {
        return "violation: " + *error;
    }
    for (std::uint64_t lba = 0; lba < blocks_.size(); lba += blocks_per_read) {
        const auto count = std::min<std::uint64_t>(blocks_per_read, blocks_.size() - lba);
        scsi_task* task = iscsi_read16_sync((*session)->context(), (*session)->lun(), lba,
                                            static_cast<std::uint32_t>(count * block_bytes_),
                                            static_cast<int>(block_bytes_), 0, 0, 0, 0, 0);
        std::optional<std::string> wrong;
        if (task == nullptr || task->status != SCSI_STATUS_GOOD ||
            task->datain.size != static_cast<int>(count * block_bytes_)) {
            wrong = "LBA " + std::to_string(lba) +
                    " cannot be read: " + iscsi_get_error((*session)->context());
        } else {
            wrong = check_blocks(lba, task->datain.data, count);
        }
        scsi_free_scsi_task(task);
        if (wrong) {
            return "violation: " + *wrong;
        }
    }
    const auto written =
        std::ranges::count_if(blocks_, [](const Expected& b) { return b.durable; });
    return "ok " + std::to_string(written);
}

}  // namespace
}  // namespace olio::crash

int main(int argc, char** argv) {
    if (argc != 3) {
        std::cerr << "usage: crash_writer URL SEED\n";
        return 2;
    }
    olio::crash::Writer writer(argv[1], std::strtoull(argv[2], nullptr, 10));
    for (std::string command; std::getline(std::cin, command);) {
        if (command == "write") {
            std::cout << writer.write_until_lost() << std::endl;
        } else if (command == "verify") {
            std::cout << writer.verify() << std::endl;
        } else {
            std::cerr << "there is no command '" << command << "'\n";
            return 2;
        }
    }
    return 0;
}
