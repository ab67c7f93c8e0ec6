// The seam's contract as a test: every backing store passes it. A room runs it on its stores so:
//
//   INSTANTIATE_TEST_SUITE_P(Ramdisk, BackstoreConformance,
//                            ::testing::ValuesIn(on_each_backend({"ramdisk512", make})),
//                            conformance_name);
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "reactor/reactor.h"
#include "target/backstore.h"
#include "target/store_user_testing.h"

namespace olio::target::testing {

// A store to be tried: empty (all zeros), of at least conformance_bytes, its own with each call. An
// error whose code is ENOTSUP says why it cannot be made on this machine: the tests are skipped.
struct ConformanceSubject {
    std::string name;
    std::function<Result<std::unique_ptr<Backstore>>()> make;
    reactor::Backend backend = reactor::Backend::epoll;
    bool copies_keep_holes = true;
};
inline constexpr std::uint64_t conformance_bytes = 24 << 20;

// The subject on io_uring and on epoll.
[[nodiscard]] std::vector<ConformanceSubject> on_each_backend(const ConformanceSubject& subject);
[[nodiscard]] std::string conformance_name(
    const ::testing::TestParamInfo<ConformanceSubject>& info);

class BackstoreConformance : public ::testing::TestWithParam<ConformanceSubject> {
  protected:
    BackstoreConformance();
    ~BackstoreConformance() override;
    void SetUp() override;
    void TearDown() override;

    [[nodiscard]] std::uint32_t block() const { return store_->geometry().block_bytes; }
    [[nodiscard]] std::uint64_t blocks() const { return store_->geometry().blocks; }
    [[nodiscard]] AlignedBytes pattern(std::uint64_t count, std::uint64_t seed) const;
    [[nodiscard]] AlignedBytes empty(std::uint64_t count, std::uint8_t fill = 0xee) const;
    void expect_zeros(std::uint64_t lba, std::uint64_t count);
    void expect_pattern(std::uint64_t lba, std::uint64_t count, std::uint64_t seed);
    // Writes blocks `around` a range, lets `change` loose on the range, and expects zeros in the
    // range and the old data around it.
    void expect_zeroed_by(const std::function<StoreStatus(std::uint64_t, std::uint64_t)>& change);

    std::unique_ptr<RunningReactor> reactor_;
    std::unique_ptr<Backstore> store_;
    std::unique_ptr<StoreUser> user_;
};

}  // namespace olio::target::testing
