#include "base/former_owner.h"

#include <chrono>
#include <thread>

#include "base/log.h"

namespace olio {

bool outwait_former_owner(std::string_view problem, const std::function<bool()>& attempt) {
    using std::chrono::milliseconds;
    constexpr milliseconds patience{3000};
    constexpr milliseconds pause{20};
    if (attempt())
        return true;
    log::info("{}; waiting up to {} s for that to end", problem, patience.count() / 1000);
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (std::chrono::steady_clock::now() < deadline) {
        std::this_thread::sleep_for(pause);
        if (attempt())
            return true;
    }
    return false;
}

}  // namespace olio
