#include "base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace olio {

void assertion_failed(const char* condition, const char* message, const char* file,
                      int line) noexcept {
    std::fprintf(stderr, "olio: %s:%d: assertion failed: %s (%s)\n", file, line, message,
                 condition);
    std::fflush(stderr);
    std::abort();
}

}  // namespace olio
