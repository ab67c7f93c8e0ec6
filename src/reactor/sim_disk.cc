#include "reactor/sim_disk.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/assert.h"

namespace olio::reactor {
namespace {

std::size_t total(std::span<iovec> iov) {
    std::size_t sum = 0;
    for (const iovec& piece : iov)
        sum += piece.iov_len;
    return sum;
}

// Copies between an iovec and a flat buffer, in the direction that `to_iov` says.
void copy(std::span<iovec> iov, std::uint8_t* flat, std::size_t length, bool to_iov) {
    for (const iovec& piece : iov) {
        const std::size_t count = std::min(piece.iov_len, length);
        if (count == 0)
            continue;
        if (to_iov)
            std::memcpy(piece.iov_base, flat, count);
        else
            std::memcpy(flat, piece.iov_base, count);
        flat += count;
        length -= count;
    }
}

// Calls each(sector, first byte in it, count of bytes, position in the range) for a range of bytes.
template <class Each>
void for_each_sector(std::uint64_t offset, std::uint64_t length, Each each) {
    for (std::uint64_t done = 0; done < length;) {
        const std::uint64_t at = offset + done;
        const std::size_t begin = at % SimDisk::sector_bytes;
        const std::size_t count =
            std::min<std::uint64_t>(SimDisk::sector_bytes - begin, length - done);
        each(at / SimDisk::sector_bytes, begin, count, done);
        done += count;
    }
}

}  // namespace

int SimDisk::fault_for(const Operation& operation) {
    const OperationAccess access{const_cast<Operation&>(operation)};
    const OperationKind kind = access.kind();
    const bool by_length = kind == OperationKind::allocate || kind == OperationKind::copy;
    return fault_in(kind, access.offset(), by_length ? access.length() : total(access.iov()));
}

int SimDisk::fault_in(OperationKind kind, std::uint64_t offset, std::uint64_t length) {
    const bool everywhere = kind == OperationKind::sync;
    for (Fault& fault : faults_) {
        if (fault.times == 0 || (fault.kind != OperationKind::none && fault.kind != kind))
            continue;
        // Written so that no sum can overflow.
        const bool apart = offset >= fault.offset ? offset - fault.offset >= fault.length
                                                  : fault.offset - offset >= length;
        if (!everywhere && apart)
            continue;
        --fault.times;
        return fault.error;
    }
    return 0;
}

std::int64_t SimDisk::taken_at_start(const Operation& operation, Random& random) {
    const OperationAccess access{const_cast<Operation&>(operation)};
    if (faults_.empty() || access.kind() != OperationKind::sync || random.below(2) == 0)
        return 0;
    return -fault_for(operation);
}

SimDisk::Sector SimDisk::newest(std::uint64_t sector) const {
    if (const auto at = unsynced_.find(sector); at != unsynced_.end())
        return at->second.back().content;
    const auto at = durable_.find(sector);
    return at == durable_.end() ? Sector{} : at->second;
}

void SimDisk::store(std::uint64_t sector, const Sector& content, bool durable) {
    if (durable) {
        durable_[sector] = content;
        unsynced_.erase(sector);
    } else {
        unsynced_[sector].push_back({writes_, content});
    }
}

void SimDisk::peek(std::uint64_t offset, MutableBytes into) const {
    for_each_sector(offset, into.size(), [&](auto sector, auto begin, auto count, auto at) {
        const Sector content = newest(sector);
        std::memcpy(into.data() + at, content.data() + begin, count);
    });
}

void SimDisk::peek_durable(std::uint64_t offset, MutableBytes into) const {
    for_each_sector(offset, into.size(), [&](auto sector, auto begin, auto count, auto at) {
        const auto found = durable_.find(sector);
        const Sector content = found == durable_.end() ? Sector{} : found->second;
        std::memcpy(into.data() + at, content.data() + begin, count);
    });
}

std::int64_t SimDisk::perform(Operation& operation, std::uint64_t written, Random& random) {
    if (const int error = fault_for(operation); error != 0)
        return -error;
    const OperationAccess access{operation};
    if (access.kind() == OperationKind::sync) {
        sync(written);
        return 0;
    }
    if (access.kind() == OperationKind::allocate)
        return allocate(operation);
    std::size_t length = total(access.iov());
    if (access.offset() >= size_bytes_)
        return access.kind() == OperationKind::write && length != 0 ? -ENOSPC : 0;
    length = std::min<std::uint64_t>(length, size_bytes_ - access.offset());
    if (length > sector_bytes && random.below(1000) < short_io_per_mille)
        length = (1 + random.below(length / sector_bytes)) * sector_bytes;
    return access.kind() == OperationKind::read ? read(operation, length)
                                                : write(operation, length);
}

std::int64_t SimDisk::read(Operation& operation, std::size_t length) {
    const OperationAccess access{operation};
    std::vector<std::uint8_t> flat(length);
    peek(access.offset(), flat);
    copy(access.iov(), flat.data(), length, true);
    return static_cast<std::int64_t>(length);
}

std::int64_t SimDisk::write(Operation& operation, std::size_t length) {
    const OperationAccess access{operation};
    std::vector<std::uint8_t> flat(length);
    copy(access.iov(), flat.data(), length, false);
    put(access.offset(), flat, access.durable());
    return static_cast<std::int64_t>(length);
}

void SimDisk::put(std::uint64_t offset, Bytes data, bool durable) {
    ++writes_;
    for_each_sector(offset, data.size(), [&](auto sector, auto begin, auto count, auto at) {
        Sector content = newest(sector);
        std::memcpy(content.data() + begin, data.data() + at, count);
        store(sector, content, durable);
    });
}

std::int64_t SimDisk::perform_copy(Operation& operation, SimDisk& source, Random& random) {
    const OperationAccess access{operation};
    if (const int error = fault_for(operation); error != 0)
        return -error;
    if (const int error =
            source.fault_in(OperationKind::read, access.from_offset(), access.length());
        error != 0)
        return -error;
    if (access.offset() >= size_bytes_ || access.from_offset() >= source.size_bytes_)
        return 0;
    std::uint64_t length = std::min({access.length(), size_bytes_ - access.offset(),
                                     source.size_bytes_ - access.from_offset()});
    if (length > sector_bytes && random.below(1000) < short_io_per_mille)
        length = (1 + random.below(length / sector_bytes)) * sector_bytes;
    std::vector<std::uint8_t> flat(length);
    source.peek(access.from_offset(), flat);
    put(access.offset(), flat, false);
    return static_cast<std::int64_t>(length);
}

void SimDisk::perform_partly(Operation& operation, const SimDisk* source, Random& random) {
    const OperationAccess access{operation};
    if ((access.kind() != OperationKind::write && source == nullptr) ||
        access.offset() >= size_bytes_)
        return;
    const std::uint64_t bytes = source != nullptr ? access.length() : total(access.iov());
    const std::size_t length = std::min<std::uint64_t>(bytes, size_bytes_ - access.offset());
    std::vector<std::uint8_t> flat(length);
    if (source != nullptr)
        source->peek(access.from_offset(), flat);
    else
        copy(access.iov(), flat.data(), length, false);
    ++writes_;
    for_each_sector(access.offset(), length, [&](auto sector, auto begin, auto count, auto at) {
        if (random.below(2) == 0)
            return;
        Sector content = newest(sector);
        std::memcpy(content.data() + begin, flat.data() + at, count);
        store(sector, content, false);
    });
}

std::int64_t SimDisk::allocate(Operation& operation) {
    const OperationAccess access{operation};
    if (access.length() == 0)
        return -EINVAL;
    if (access.offset() > size_bytes_ || access.length() > size_bytes_ - access.offset())
        return -ENOSPC;
    if ((access.mode() & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0)
        zero(access.offset(), access.length());
    return 0;
}

void SimDisk::zero(std::uint64_t offset, std::uint64_t length) {
    ++writes_;
    for_each_sector(offset, length, [&](auto sector, auto begin, auto count, auto) {
        if (!durable_.contains(sector) && !unsynced_.contains(sector))
            return;  // zeros already
        Sector content = newest(sector);
        std::memset(content.data() + begin, 0, count);
        store(sector, content, false);
    });
}

void SimDisk::sync(std::uint64_t written) {
    for (auto at = unsynced_.begin(); at != unsynced_.end();) {
        auto& versions = at->second;
        const auto first_later = std::find_if(versions.begin(), versions.end(),
                                              [&](const Version& v) { return v.number > written; });
        if (first_later != versions.begin()) {
            durable_[at->first] = std::prev(first_later)->content;
            versions.erase(versions.begin(), first_later);
        }
        at = versions.empty() ? unsynced_.erase(at) : std::next(at);
    }
}

void SimDisk::lose_unsynced(Random& random) {
    for (const auto& [sector, versions] : unsynced_) {
        const std::uint64_t survivor = random.below(versions.size() + 1);
        if (survivor != versions.size())
            durable_[sector] = versions[survivor].content;
    }
    unsynced_.clear();
}

int SimStorage::attach(std::shared_ptr<SimDisk> disk) {
    const int descriptor = world_.new_descriptor();
    disks_.emplace(descriptor, std::move(disk));
    return descriptor;
}

std::shared_ptr<SimDisk> SimStorage::disk(int descriptor) const {
    const auto at = disks_.find(descriptor);
    return at == disks_.end() ? nullptr : at->second;
}

void SimStorage::start(Operation& operation) {
    const OperationAccess access{operation};
    SimDisk& disk = *disks_.at(access.fd());
    const std::uint64_t number = access.cookie();
    in_flight_[access.fd()].push_back(
        {number, disk.writes(), false, disk.taken_at_start(operation, world_.random())});
    world_.at(world_.now() + world_.between(disk.latency_least, disk.latency_most),
              [this, descriptor = access.fd(), number] { due(descriptor, number); });
}

void SimStorage::due(int descriptor, std::uint64_t number) {
    auto& list = in_flight_[descriptor];
    const auto at = std::find_if(list.begin(), list.end(),
                                 [&](const InFlight& each) { return each.number == number; });
    if (at == list.end())
        return;
    Operation* const operation = world_.find(number);
    if (operation == nullptr) {  // cancelled
        list.erase(at);
        return;
    }
    SimDisk& disk = *disks_.at(descriptor);
    if (disk.stalled()) {
        at->waits = true;
        return;
    }
    const InFlight due = *at;
    list.erase(at);
    std::int64_t result = due.error;
    if (result == 0 && OperationAccess{*operation}.kind() == OperationKind::copy) {
        SimDisk* const source = source_of(*operation);
        result =
            source == nullptr ? -EBADF : disk.perform_copy(*operation, *source, world_.random());
    } else if (result == 0) {
        result = disk.perform(*operation, due.written, world_.random());
    }
    world_.finish(*operation, result);
}

// Of a copy.
SimDisk* SimStorage::source_of(const Operation& operation) const {
    const OperationAccess access{const_cast<Operation&>(operation)};
    const auto at =
        access.kind() == OperationKind::copy ? disks_.find(access.from_fd()) : disks_.end();
    return at == disks_.end() ? nullptr : at->second.get();
}

void SimStorage::resume(int descriptor) {
    disks_.at(descriptor)->resume();
    for (const InFlight& each : in_flight_[descriptor])
        if (each.waits)
            world_.at(world_.now() + world_.between(0, disks_.at(descriptor)->latency_most),
                      [this, descriptor, number = each.number] { due(descriptor, number); });
}

void SimStorage::crash(int descriptor) {
    SimDisk& disk = *disks_.at(descriptor);
    auto list = std::exchange(in_flight_[descriptor], {});
    for (const InFlight& each : list) {
        Operation* const operation = world_.find(each.number);
        if (operation == nullptr)
            continue;
        disk.perform_partly(*operation, source_of(*operation), world_.random());
        world_.finish(*operation, -EIO);
    }
    disk.lose_unsynced(world_.random());
}

}  // namespace olio::reactor
