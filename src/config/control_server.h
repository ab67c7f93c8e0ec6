// The control socket: a Unix stream socket that only its owner can reach, on which each line is a
// message of JSON-RPC 2.0 (json_rpc.h). Requests of one connection are answered in order, one at a
// time. Runs on one shard.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"

namespace olio::reactor {
class Shard;
}

namespace olio::config {

class MethodTable;

class ControlServer {
  public:
    // Makes the socket with mode 0600 and binds it; whoever connects from now on waits until
    // start(). A socket that nobody answers on is replaced. Errors: EADDRINUSE (another daemon
    // answers there), EEXIST (something that is no socket is there), ENAMETOOLONG, and those of the
    // system. Any thread; may block for up to two seconds while another daemon starts in the same
    // folder.
    static Result<std::unique_ptr<ControlServer>> open(const std::string& path);

    // Closes and removes the socket. After stop's `done`, or if start() was never called.
    virtual ~ControlServer() = default;

    [[nodiscard]] virtual const std::string& path() const noexcept = 0;

    // On the shard that shall serve it. `methods` must outlive the server.
    virtual void start(reactor::Shard& shard, const MethodTable& methods) = 0;

    // On the same shard. Takes no more requests, sends what has been answered, closes all
    // connections. `done` when nothing is under way any more; never from inside the call.
    virtual void stop(std::move_only_function<void()> done) = 0;
};

}  // namespace olio::config
