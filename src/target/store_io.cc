#include "target/backstore.h"

namespace olio::target {

void StoreIo::Step::on_complete(std::int64_t result) noexcept {
    io.channel->stepped(io, result);
}

}  // namespace olio::target
