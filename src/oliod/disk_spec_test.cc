#include "oliod/disk_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace olio::oliod {
namespace {

using testing::HasSubstr;

std::string fault(std::string_view text, std::string_view defaults = {}) {
    const auto spec = parse_disk_spec(text, defaults, "/here");
    return spec ? "(none)" : spec.error().message;
}

TEST(DiskSpec, takes_a_relative_path_from_the_folder_given) {
    EXPECT_EQ(parse_disk_spec("disk.img", "", "/here")->path, "/here/disk.img");
    EXPECT_EQ(parse_disk_spec("./disk.img", "", "/here")->path, "/here/disk.img");
    EXPECT_EQ(parse_disk_spec("/dev/sdx", "", "/here")->path, "/dev/sdx");
}

TEST(DiskSpec, reads_every_option) {
    const auto spec = parse_disk_spec(
        "a,size=1G,block-size=4096,direct,write-through,read-only,serial=S-1", "", "/here");
    ASSERT_TRUE(spec) << spec.error().message;
    EXPECT_FALSE(spec->ram);
    EXPECT_EQ(spec->size_bytes, 1ULL << 30);
    EXPECT_EQ(spec->block_bytes, 4096U);
    EXPECT_TRUE(spec->direct);
    EXPECT_TRUE(spec->write_through);
    EXPECT_TRUE(spec->read_only);
    EXPECT_EQ(spec->serial, "S-1");
}

TEST(DiskSpec, reads_ram_with_its_size) {
    const auto spec = parse_disk_spec("ram:64M,block-size=4K", "", "/here");
    ASSERT_TRUE(spec) << spec.error().message;
    EXPECT_TRUE(spec->ram);
    EXPECT_EQ(spec->size_bytes, 64U << 20);
    EXPECT_EQ(spec->block_bytes, 4096U);
    EXPECT_TRUE(spec->path.empty());
}

TEST(DiskSpec, a_file_may_have_commas_and_the_name_of_ram) {
    EXPECT_EQ(parse_disk_spec("a,,b,,,direct", "", "/here")->path, "/here/a,b,");
    const auto ram_file = parse_disk_spec("./ram:1G", "", "/here");
    EXPECT_FALSE(ram_file->ram);
    EXPECT_EQ(ram_file->path, "/here/ram:1G");
}

TEST(DiskSpec, says_what_is_wrong) {
    EXPECT_THAT(fault(""), HasSubstr("names no path"));
    EXPECT_THAT(fault(",direct"), HasSubstr("names no path"));
    EXPECT_THAT(fault("a,fast"), HasSubstr("there is no option 'fast'; there are size=SIZE"));
    EXPECT_THAT(fault("a,"), HasSubstr("there is no option ''"));
    EXPECT_THAT(fault("a,direct=1"), HasSubstr("'direct' takes no value"));
    EXPECT_THAT(fault("a,size"), HasSubstr("'size' takes a value: size=SIZE"));
    EXPECT_THAT(fault("a,size=big"), HasSubstr("'big' is not a size"));
    EXPECT_THAT(fault("a,direct,direct"), HasSubstr("given twice"));
    EXPECT_THAT(fault("a,block-size=1024"), HasSubstr("not 512 or 4096"));
    EXPECT_THAT(fault("a,serial=two words"), HasSubstr("without spaces"));
    EXPECT_THAT(fault("a,serial="), HasSubstr("1 to 252"));
    EXPECT_THAT(fault("ram:"), HasSubstr("'' is not a size"));
    EXPECT_THAT(fault("ram:1G,direct"), HasSubstr("does not apply to RAM"));
    EXPECT_THAT(fault("ram:1G,size=2G"), HasSubstr("write ram:SIZE"));
}

TEST(DiskSpec, takes_attributes_by_their_names) {
    using Attributes = std::vector<std::pair<std::string, std::string>>;
    const auto spec = parse_disk_spec("ram:1M,emulate_caw=0,max_write_same_len=0x100",
                                      "emulate_tas=0,emulate_caw=1", "/here");
    ASSERT_TRUE(spec) << spec.error().message;
    EXPECT_EQ(
        spec->attributes,
        (Attributes{{"emulate_caw", "0"}, {"max_write_same_len", "0x100"}, {"emulate_tas", "0"}}));
    EXPECT_THAT(fault("a,emulate_caw"), HasSubstr("takes a value: emulate_caw=1"));
    EXPECT_THAT(fault("a,emulate_caw=0,emulate_caw=0"), HasSubstr("given twice"));
    EXPECT_THAT(fault("a,emulate_cow=0"), HasSubstr("there is no option 'emulate_cow'"));
}

TEST(DiskSpec, sizes_are_whole_blocks) {
    EXPECT_THAT(fault("a,size=1000"), HasSubstr("not a whole number of blocks of 512"));
    EXPECT_THAT(fault("ram:512,block-size=4096"), HasSubstr("blocks of 4096"));
    EXPECT_EQ(fault("ram:512"), "(none)");
}

TEST(DiskSpec, protection_has_three_types_or_none_yet) {
    EXPECT_EQ(parse_disk_spec("a", "", "/here")->protection_type, 0);
    EXPECT_FALSE(parse_disk_spec("a", "", "/here")->protection);
    EXPECT_EQ(parse_disk_spec("a,protection=0", "", "/here")->protection_type, 0);
    EXPECT_TRUE(parse_disk_spec("a,protection=0", "", "/here")->protection);
    EXPECT_TRUE(parse_disk_spec("a,pi_prot_type=1", "", "/here")->protection);
    EXPECT_FALSE(parse_disk_spec("a,pi_prot_type=0", "", "/here")->protection);
    EXPECT_EQ(parse_disk_spec("a,protection=2", "", "/here")->protection_type, 2);
    EXPECT_EQ(parse_disk_spec("ram:1G,protection=3", "protection=1", "/")->protection_type, 3);
    for (const char* wrong : {"4", "", "11", "x"})
        EXPECT_THAT(fault(fmt::format("a,protection={}", wrong)), HasSubstr("is not 0, 1, 2 or 3"));
}

TEST(DiskSpec, provisioning_is_thin_unless_said_otherwise) {
    EXPECT_TRUE(parse_disk_spec("a", "", "/here")->thin);
    EXPECT_FALSE(parse_disk_spec("a,thin=off", "", "/here")->thin);
    EXPECT_TRUE(parse_disk_spec("a,thin=on", "thin=off", "/here")->thin);
    EXPECT_THAT(fault("a,thin=maybe"), HasSubstr("neither on nor off"));
    EXPECT_EQ(parse_disk_spec("ram:1G,limit=64K", "", "/here")->limit_bytes, 64U << 10);
    EXPECT_EQ(parse_disk_spec("a", "limit=64K", "/here")->limit_bytes, std::nullopt);
    EXPECT_THAT(fault("a,limit=64K"), HasSubstr("does not apply to files"));
    EXPECT_THAT(fault("ram:1G,limit=1000"), HasSubstr("not a multiple of 4096"));
    EXPECT_THAT(fault("ram:1G,limit=64K,thin=off"), HasSubstr("contradict"));
    EXPECT_THAT(fault("ram:1G,limit=64K,preallocate"), HasSubstr("contradict"));
}

TEST(DiskSpec, defaults_give_way_to_the_spec_and_where_they_cannot_apply) {
    const auto file = parse_disk_spec("a,size=2G", "size=1G,direct", "/here");
    EXPECT_EQ(file->size_bytes, 2ULL << 30);
    EXPECT_TRUE(file->direct);
    const auto ram = parse_disk_spec("ram:1M", "size=1G,direct,block-size=4096", "/here");
    ASSERT_TRUE(ram) << ram.error().message;
    EXPECT_EQ(ram->size_bytes, 1U << 20);
    EXPECT_FALSE(ram->direct);
    EXPECT_EQ(ram->block_bytes, 4096U);
    EXPECT_THAT(fault("a", "nonsense"), HasSubstr("no option 'nonsense'"));
}

}  // namespace
}  // namespace olio::oliod
