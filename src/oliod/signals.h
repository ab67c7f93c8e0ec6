// Signals as events of a shard. One object per process.
#pragma once

#include <functional>
#include <memory>

#include "base/result.h"

namespace olio::reactor {
class Shard;
}

namespace olio::oliod {

class Signals {
  public:
    // Takes over SIGTERM, SIGINT and SIGHUP from now on; those that come before start() are kept. A
    // third SIGTERM or SIGINT ends the process from inside the handler (ExitStatus::at_once),
    // whatever the loop is doing.
    static Result<std::unique_ptr<Signals>> install();
    virtual ~Signals() = default;  // after stop's done, or if start() was never called

    // On the shard that shall hear of them.
    virtual void start(reactor::Shard& shard, std::move_only_function<void(int signal)> heard) = 0;
    virtual void stop(std::move_only_function<void()> done) = 0;
};

}  // namespace olio::oliod
