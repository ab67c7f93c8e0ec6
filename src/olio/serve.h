// `olio serve`: a daemon for as long as a terminal lasts.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "olio/exit_status.h"

namespace olio::cli {

// What was asked for; texts go to the daemon as they are, which judges them.
struct ServeOptions {
    std::vector<std::string> disks;  // specs in the order of LUNs; RAM is ram:SIZE
    std::string size;
    std::string block_size;
    bool direct = false;
    bool write_through = false;
    bool read_only = false;
    std::vector<std::string> attributes;  // NAME=VALUE, for every disk
    std::vector<std::string> listen;
    std::string chap;
    std::string chap_file;
    std::string mutual_chap;
    std::string mutual_chap_file;
    std::vector<std::string> allow;
    bool open = false;
    std::string target_name;
    std::string reactor;
    std::string shards;
    std::string control;  // empty: one of its own, so that several can run at once
    std::string log_level = "warning";
    bool json = false;
};

// The daemon's arguments, its own name left out. Secrets are not among them: they go by the
// environment.
[[nodiscard]] std::vector<std::string> daemon_arguments(const ServeOptions& options,
                                                        const std::string& control_path);

// Runs until the daemon ends or a signal says so.
[[nodiscard]] ExitStatus serve(const ServeOptions& options);

}  // namespace olio::cli
