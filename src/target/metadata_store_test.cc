#include "target/metadata_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "base/limits.h"
#include "reactor/reactor.h"
#include "target/engine_testing.h"

namespace olio::target {
namespace {

namespace fs = std::filesystem;

class MetadataStoreTest : public ::testing::Test {
  protected:
    MetadataStoreTest() {
        std::string pattern = (fs::temp_directory_path() / "olio-metadata-XXXXXX").string();
        directory_ = ::mkdtemp(pattern.data());
    }
    ~MetadataStoreTest() override { fs::remove_all(directory_); }

    [[nodiscard]] static mode_t mode_of(const std::string& path) {
        struct stat status{};
        return ::stat(path.c_str(), &status) == 0 ? status.st_mode & 07777 : 0;
    }

    std::string directory_;
};

TEST_F(MetadataStoreTest, KnownDefect46WhatWasWrittenIsReadByTheNextDaemon) {
    testing::EngineRig rig;
    const std::string inside = directory_ + "/a/b/";
    for (int round = 0; round < 3; ++round) {
        auto store = open_metadata_directory(inside);
        ASSERT_TRUE(store) << store.error().message;
        bool done = false;
        rig.on(0, [&] {
            (*store)->read("pr/aptpl_x", [&, round](Result<std::optional<std::string>> found) {
                ASSERT_TRUE(found);
                EXPECT_EQ(found->has_value(), round != 0);
                if (round != 0) {
                    EXPECT_EQ(**found, std::string(200'000, static_cast<char>('a' + round - 1)));
                }
                (*store)->write("pr/aptpl_x", std::string(200'000, static_cast<char>('a' + round)),
                                [&](Result<void> written) {
                                    EXPECT_TRUE(written);
                                    done = true;
                                });
            });
        });
        ASSERT_TRUE(rig.wait(0, [&] { return done; }));
        rig.on(0, [&] { store->reset(); });
    }
    // Known defect 46: permissions that let others read.
    EXPECT_EQ(mode_of(inside + "pr/aptpl_x"), 0600U);
    EXPECT_EQ(mode_of(inside + "pr"), 0700U);
    EXPECT_EQ(mode_of(directory_ + "/a"), 0700U);
    EXPECT_FALSE(fs::exists(inside + "pr/aptpl_x%new"));
}

TEST_F(MetadataStoreTest, ATemporaryFileOfADeadDaemonIsNoHindrance) {
    ASSERT_TRUE(write_durably(directory_, "pr/x", "old"));
    std::ofstream(directory_ + "/pr/x%new") << "half of something that was longer than the new one";
    EXPECT_EQ(**read_whole(directory_, "pr/x"), "old");
    ASSERT_TRUE(write_durably(directory_, "pr/x", "new"));
    EXPECT_EQ(**read_whole(directory_, "pr/x"), "new");
}

TEST_F(MetadataStoreTest, FailuresAreTold) {
    std::ofstream(directory_ + "/pr") << "a file where a folder should be";
    const auto written = write_durably(directory_, "pr/x", "text");
    ASSERT_FALSE(written);
    EXPECT_NE(written.error().message.find("/pr"), std::string::npos) << written.error().message;
    EXPECT_FALSE(read_whole(directory_, "pr/x"));
    EXPECT_FALSE(open_metadata_directory(directory_ + "/pr/deeper"));
    EXPECT_FALSE(write_durably(directory_, "y", std::string(limits::metadata_file_bytes + 1, 'a')));
    std::ofstream(directory_ + "/z") << std::string(limits::metadata_file_bytes + 1, 'a');
    EXPECT_FALSE(read_whole(directory_, "z"));
    EXPECT_EQ(*read_whole(directory_, "absent"), std::nullopt);
}

// Known defect 36: names as long as they may be ran over a buffer. Here they become names of files,
// which are at most 255 bytes long.
TEST_F(MetadataStoreTest, KnownDefect36NamesOfEveryLengthCanBeWrittenAndStayApart) {
    std::set<std::string> names;
    for (const char letter : {'a', '/'})
        for (std::size_t length = 0; length <= 252; ++length) {
            const std::string name = metadata_name("pr", "aptpl_", std::string(length, letter));
            EXPECT_EQ(names.insert(name).second, length != 0 || letter == 'a') << name;
            if (length % 50 == 0 || length > 240) {
                ASSERT_TRUE(write_durably(directory_, name, std::to_string(length))) << name;
                EXPECT_EQ(**read_whole(directory_, name), std::to_string(length));
            }
        }
}

TEST_F(MetadataStoreTest, NamesStayInTheirFolderAndApart) {
    EXPECT_EQ(metadata_name("pr", "aptpl_", "0123ABCD-ef.g:h+i_j"), "pr/aptpl_0123ABCD-ef.g:h+i_j");
    EXPECT_EQ(metadata_name("pr", "aptpl_", "../../etc/x y%"), "pr/aptpl_..%2F..%2Fetc%2Fx%20y%25");
    EXPECT_EQ(metadata_name("pr", "aptpl_", std::string_view("\0\xFF", 2)), "pr/aptpl_%00%FF");
}

}  // namespace
}  // namespace olio::target
