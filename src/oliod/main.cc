#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

#include "oliod/daemon.h"
#include "oliod/options.h"
#include "oliod/process.h"

int main(int argc, char** argv) {
    using namespace olio::oliod;
    auto parsed = parse_options(argc, argv);
    if (!parsed.options)
        return static_cast<int>(parsed.status);
    // Nothing is read from the current folder from here on, nor is a file system kept busy by it.
    if (::chdir("/") != 0)
        std::perror("oliod: cannot change to the root folder");
    ::umask(077);
    raise_descriptor_limit();
    auto daemon = Daemon::create(std::move(*parsed.options));
    if (!daemon) {
        fmt::print(stderr, "oliod: {}\n", daemon.error().message);
        return static_cast<int>(ExitStatus::failure);
    }
    return static_cast<int>((*daemon)->run());
}
