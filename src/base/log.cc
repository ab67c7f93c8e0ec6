#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <cstdlib>

namespace olio::log {
namespace {

std::atomic<Level> threshold{Level::info};

struct LevelNames {
    spdlog::level::level_enum spdlog_level;
    const char* prefix;  // sd-daemon(3)
};
constexpr LevelNames names[] = {
    {spdlog::level::debug, "<7>"},
    {spdlog::level::info, "<6>"},
    {spdlog::level::warn, "<4>"},
    {spdlog::level::err, "<3>"},
};

spdlog::logger& logger() {
    static const auto instance = [] {
        auto made = spdlog::stderr_logger_mt("olio");
        made->set_level(spdlog::level::trace);
        made->set_pattern(std::getenv("JOURNAL_STREAM") ? "%v" : "%Y-%m-%d %H:%M:%S.%e %l: %v");
        return made;
    }();
    return *instance;
}

}  // namespace

void set_level(Level level) {
    threshold.store(level, std::memory_order_relaxed);
}

bool enabled(Level level) noexcept {
    return level >= threshold.load(std::memory_order_relaxed);
}

void write(Level level, std::string_view line) {
    static const bool journal = std::getenv("JOURNAL_STREAM") != nullptr;
    const LevelNames& name = names[static_cast<int>(level)];
    if (journal)
        logger().log(name.spdlog_level, "{}{}", name.prefix, line);
    else
        logger().log(name.spdlog_level, "{}", line);
}

}  // namespace olio::log
