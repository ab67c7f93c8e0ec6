// What the control socket can do: one row a method. `olio` and everyone else who asks gets these.
#pragma once

#include <memory>

namespace olio::config {
class MethodTable;
}

namespace olio::oliod {

class Daemon;

// The daemon must outlive the table; handlers run on shard 0.
[[nodiscard]] std::unique_ptr<config::MethodTable> make_control_methods(Daemon& daemon);

}  // namespace olio::oliod
