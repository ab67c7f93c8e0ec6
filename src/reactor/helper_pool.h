// A few threads for what blocks: Operation::call, and where io_uring is missing the operations on
// files. Threads are made when there is work that no idle one could take, and stay.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "reactor/operation_access.h"

namespace olio::reactor {

class HelperPool {
  public:
    explicit HelperPool(unsigned threads_at_most);
    ~HelperPool();  // nothing may be queued
    HelperPool(const HelperPool&) = delete;
    HelperPool& operator=(const HelperPool&) = delete;

    // Any shard's thread. The operation's own shard gets the result.
    void submit(Operation& operation) noexcept;
    // True if it had not begun: it will not run, and the caller finishes it.
    [[nodiscard]] bool withdraw(Operation& operation) noexcept;

  private:
    void work() noexcept;

    const unsigned threads_at_most_;
    std::mutex mutex_;
    std::condition_variable work_to_do_;
    OperationQueue queue_;              // under mutex_
    unsigned queued_ = 0;               // under mutex_
    unsigned idle_ = 0;                 // under mutex_
    bool ending_ = false;               // under mutex_
    std::vector<std::thread> threads_;  // under mutex_
};

}  // namespace olio::reactor
