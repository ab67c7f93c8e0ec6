// The methods of the control socket that list, read and set the attributes of a disk.
#pragma once

#include <vector>

namespace olio::config {
struct Method;
}

namespace olio::oliod {

class Daemon;

// As make_control_methods(), which puts them into its table.
void add_attribute_methods(Daemon& daemon, std::vector<config::Method>& methods);

}  // namespace olio::oliod
