#include <cerrno>

#include "target/backstore.h"

namespace olio::target {

void StoreIo::Step::on_complete(std::int64_t result) noexcept {
    io.channel->stepped(io, result);
}

Result<std::unique_ptr<StoreChannel>> Backstore::open_protection_channel(reactor::Shard&) {
    return fail(ENOTSUP, description() + " keeps no protection information");
}

Result<void> Backstore::clear_protection() {
    return fail(ENOTSUP, description() + " keeps no protection information");
}

}  // namespace olio::target
