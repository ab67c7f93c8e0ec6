// Files, on every back end.
#include <fcntl.h>

#include <memory>

#include "reactor/shard_test_harness.h"

namespace olio::reactor::testing {
namespace {

class FileTest : public BackendTest {
  protected:
    // Moves the whole buffer, however short the single results are.
    void read_all(std::uint64_t offset, std::vector<std::uint8_t>& into, std::function<void()> then,
                  std::size_t moved = 0) {
        iov_ = {into.data() + moved, into.size() - moved};
        operation_.set([this, offset, &into, then, moved](std::int64_t result) {
            ASSERT_GT(result, 0);
            const std::size_t sum = moved + static_cast<std::size_t>(result);
            sum == into.size() ? then() : read_all(offset, into, then, sum);
        });
        shard().submit(operation_.read(file_, std::span(&iov_, 1), offset + moved));
    }
    void write_all(std::uint64_t offset, std::vector<std::uint8_t>& from, bool durable,
                   std::function<void()> then, std::size_t moved = 0) {
        iov_ = {from.data() + moved, from.size() - moved};
        operation_.set([this, offset, &from, durable, then, moved](std::int64_t result) {
            ASSERT_GT(result, 0);
            const std::size_t sum = moved + static_cast<std::size_t>(result);
            sum == from.size() ? then() : write_all(offset, from, durable, then, sum);
        });
        shard().submit(operation_.write(file_, std::span(&iov_, 1), offset + moved, durable));
    }
    void finish() {
        shard().close(file_);
        done();
    }

    int file_ = -1;
    iovec iov_{};
    LambdaOperation operation_;
};
INSTANTIATE_TEST_SUITE_P(Backends, FileTest, all_backends(), parameter_name);

TEST_P(FileTest, WhatIsWrittenSyncedAndPunchedIsReadBack) {
    file_ = make_file(*reactor_, 1 << 20);
    std::vector<std::uint8_t> out(200'000);
    std::vector<std::uint8_t> in(200'000);
    for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = static_cast<std::uint8_t>(i * 7 + 3);
    const auto check_hole = [&] {
        for (std::size_t i = 0; i < in.size(); ++i)
            ASSERT_EQ(in[i], i >= 8192 - 4096 && i < 16384 - 4096 ? 0 : out[i]) << i;
        finish();
    };
    const auto punched = [&](std::int64_t result) {
        ASSERT_EQ(result, 0);
        read_all(4096, in, check_hole);
    };
    const auto synced = [&](std::int64_t result) {
        ASSERT_EQ(result, 0);
        read_all(4096, in, [&] {
            EXPECT_EQ(in, out);
            operation_.set(punched);
            shard().submit(
                operation_.allocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8192, 8192));
        });
    };
    run([&] {
        write_all(4096, out, false, [&] {
            operation_.set(synced);
            shard().submit(operation_.sync(file_));
        });
    });
}

TEST_P(FileTest, ADurableWriteAndManyPieces) {
    file_ = make_file(*reactor_, 1 << 20);
    std::vector<std::uint8_t> out(12'288, 0x77);
    std::vector<std::uint8_t> in(12'288);
    run([&] {
        write_all(0, out, true, [&] {
            static std::array<iovec, 3> pieces;
            pieces = {{{in.data(), 100}, {in.data() + 100, 4000}, {in.data() + 4100, 8188}}};
            operation_.set([&](std::int64_t result) {
                EXPECT_EQ(result, 12'288);
                EXPECT_EQ(in, out);
                finish();
            });
            shard().submit(operation_.read(file_, pieces, 0));
        });
    });
}

TEST_P(FileTest, AReadPastTheEndIsShort) {
    file_ = make_file(*reactor_, 4096);
    std::vector<std::uint8_t> in(4096);
    iov_ = {in.data(), in.size()};
    operation_.set([&](std::int64_t result) {
        EXPECT_EQ(result, 1024);
        operation_.set([&](std::int64_t past) {
            EXPECT_EQ(past, 0);
            finish();
        });
        shard().submit(operation_.read(file_, std::span(&iov_, 1), 1 << 20));
    });
    run([&] { shard().submit(operation_.read(file_, std::span(&iov_, 1), 3072)); });
}

TEST_P(FileTest, ADescriptorThatIsNotOpenIsAnError) {
    std::vector<std::uint8_t> in(16);
    iov_ = {in.data(), in.size()};
    const int closed = make_file(*reactor_, 4096);
    run([&] {
        shard().close(closed);
        operation_.set([&](std::int64_t result) {
            EXPECT_EQ(result, errno_of(EBADF));
            operation_.set([&](std::int64_t receive_result) {
                EXPECT_EQ(receive_result, errno_of(EBADF));
                done();
            });
            shard().submit(operation_.receive(closed, std::span(&iov_, 1)));
        });
        shard().submit(operation_.read(closed, std::span(&iov_, 1), 0));
    });
}

TEST_P(FileTest, ManyReadsInFlightAllComplete) {
    constexpr std::size_t count = 256;
    file_ = make_file(*reactor_, count * 512);
    std::vector<std::uint8_t> out(count * 512);
    for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = static_cast<std::uint8_t>(i / 512);
    struct Read {
        std::array<std::uint8_t, 512> bytes{};
        iovec iov{};
        LambdaOperation operation;
    };
    std::vector<std::unique_ptr<Read>> reads;
    std::size_t left = count;
    run([&] {
        write_all(0, out, false, [&] {
            for (std::size_t i = 0; i < count; ++i) {
                auto& read = *reads.emplace_back(std::make_unique<Read>());
                read.iov = {read.bytes.data(), read.bytes.size()};
                read.operation.set([&, i, read = &read](std::int64_t result) {
                    EXPECT_EQ(result, 512);
                    EXPECT_EQ(read->bytes[511], static_cast<std::uint8_t>(i));
                    if (--left == 0)
                        finish();
                });
                shard().submit(read.operation.read(file_, std::span(&read.iov, 1), i * 512));
            }
        });
    });
    EXPECT_EQ(left, 0U);
}

TEST_P(FileTest, CancelledReadsCompleteOnceWithEitherOutcome) {
    file_ = make_file(*reactor_, 1 << 20);
    struct Read {
        std::array<std::uint8_t, 4096> bytes{};
        iovec iov{};
        LambdaOperation operation;
    };
    std::vector<std::unique_ptr<Read>> reads;
    std::size_t completed = 0;
    run([&] {
        for (std::size_t i = 0; i < 100; ++i) {
            auto& read = *reads.emplace_back(std::make_unique<Read>());
            read.iov = {read.bytes.data(), read.bytes.size()};
            read.operation.set([&](std::int64_t result) {
                EXPECT_TRUE(result == 4096 || result == errno_of(ECANCELED)) << result;
                if (++completed == 100)
                    finish();
            });
            shard().submit(read.operation.read(file_, std::span(&read.iov, 1), i * 4096));
            if (i % 2 == 0)
                shard().cancel(read.operation);
        }
    });
    EXPECT_EQ(completed, 100U);
}

}  // namespace
}  // namespace olio::reactor::testing
