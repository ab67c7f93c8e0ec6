#include "base/result.h"

#include <system_error>

namespace olio {

std::unexpected<Error> fail_errno(int code, std::string_view what) {
    return fail(code, std::string(what) + ": " + std::generic_category().message(code));
}

}  // namespace olio
