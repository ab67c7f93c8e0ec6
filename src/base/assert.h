// Assertions guard invariants of our own and stay on in every build. What a peer, a file, the
// network or an administrator can cause is never asserted: it is a Result or sense data.
#pragma once

namespace olio {

// Prints the message to stderr and aborts. Safe on every thread.
[[noreturn]] void assertion_failed(const char* condition, const char* message, const char* file,
                                   int line) noexcept;

}  // namespace olio

#define OLIO_ASSERT(condition, message)                                          \
    do {                                                                         \
        if (!(condition)) [[unlikely]]                                           \
            ::olio::assertion_failed(#condition, (message), __FILE__, __LINE__); \
    } while (false)

#define OLIO_UNREACHABLE(message) \
    ::olio::assertion_failed("unreachable", (message), __FILE__, __LINE__)
