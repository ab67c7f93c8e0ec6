// Errors that something outside can cause. A message says what failed, where, and what to do.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace olio {

struct Error {
    int code = 0;  // an errno value; 0 where none fits
    std::string message;
};

template <class T>
using Result = std::expected<T, Error>;

// return fail(EINVAL, fmt::format("portal '{}' has no port; write ADDRESS:PORT", text));
// The message is formatted where it is made, so that this header stays light.
[[nodiscard]] inline std::unexpected<Error> fail(int code, std::string message) {
    return std::unexpected(Error{code, std::move(message)});
}

// "what: strerror(code)" — for failed system calls.
[[nodiscard]] std::unexpected<Error> fail_errno(int code, std::string_view what);

}  // namespace olio

// Runs an expression of type Result; returns its error from the calling function.
#define OLIO_TRY(expression)                                            \
    do {                                                                \
        auto olio_try_result = (expression);                            \
        if (!olio_try_result)                                           \
            return std::unexpected(std::move(olio_try_result.error())); \
    } while (false)
