#include "reactor/reactor_testing.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "base/assert.h"
#include "reactor/sim.h"

namespace olio::reactor::testing {

std::string name_of(Backend backend) {
    switch (backend) {
        case Backend::io_uring:
            return "io_uring";
        case Backend::epoll:
            return "epoll";
        case Backend::sim:
            return "sim";
        case Backend::automatic:
            break;
    }
    return "automatic";
}

std::string why_unusable(Backend backend) {
    ReactorOptions options;
    options.backend = backend;
    auto reactor = Reactor::create(options);
    return reactor ? std::string() : reactor.error().message;
}

int make_file(Reactor& reactor, std::uint64_t size_bytes) {
    if (reactor.backend() == Backend::sim)
        return static_cast<SimReactor&>(reactor).create_disk(size_bytes);
    std::string path = std::filesystem::temp_directory_path() / "olio-test-XXXXXX";
    const int fd = ::mkostemp(path.data(), O_CLOEXEC);
    OLIO_ASSERT(fd >= 0, "no temporary file");
    ::unlink(path.c_str());
    OLIO_ASSERT(::ftruncate(fd, static_cast<off_t>(size_bytes)) == 0, "no room for a file");
    return fd;
}

void Transfer::start(int socket, std::span<std::uint8_t> bytes,
                     std::function<void(std::int64_t)> then, std::size_t pieces) {
    socket_ = socket;
    bytes_ = bytes;
    moved_ = 0;
    pieces_ = pieces;
    then_ = std::move(then);
    next();
}

void Transfer::next() {
    iov_.clear();
    const std::size_t piece = std::max<std::size_t>(1, (bytes_.size() - moved_) / pieces_);
    for (std::size_t at = moved_; at < bytes_.size();) {
        const bool last = iov_.size() + 1 == pieces_;
        const std::size_t length = last ? bytes_.size() - at : std::min(piece, bytes_.size() - at);
        iov_.push_back({bytes_.data() + at, length});
        at += length;
    }
    shard_.submit(direction_ == Direction::send ? operation_.send(socket_, iov_)
                                                : operation_.receive(socket_, iov_));
}

void Transfer::done(std::int64_t result) {
    if (result > 0)
        moved_ += static_cast<std::size_t>(result);
    if (result > 0 && moved_ < bytes_.size())
        next();
    else
        then_(result < 0 ? result : static_cast<std::int64_t>(moved_));
}

}  // namespace olio::reactor::testing
