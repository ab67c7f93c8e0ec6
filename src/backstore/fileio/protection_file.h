// The file beside a file: PATH.protection keeps the tuples of protection information, eight bytes
// for each block, in LIO's format. What was never written is FFh, which switches checks off.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "target/file_channel.h"

namespace olio::fileio {

class ProtectionFile {
  public:
    struct Disk {
        std::string path;
        std::uint64_t blocks = 0;
        bool made = false;  // it is new: what stands beside it belongs to another
        bool read_only = false;
        bool write_through = false;
    };
    // Makes the file where there is none, or where the disk is new; else it must have exactly a
    // tuple for each block.
    static Result<std::unique_ptr<ProtectionFile>> open(const Disk& disk);

    Result<std::unique_ptr<target::StoreChannel>> open_channel(reactor::Shard& shard);
    // Blocks. Larger: the new tuples are FFh.
    Result<void> resize(std::uint64_t blocks);
    // Blocks. Every tuple is FFh afterwards, durably.
    Result<void> clear();
    Result<void> set_write_through(bool enabled) {
        return backing_->set_write_through(descriptor_.get(), enabled);
    }

  private:
    ProtectionFile() = default;

    target::OwnedDescriptor descriptor_;
    std::shared_ptr<target::FileBacking> backing_ = std::make_shared<target::FileBacking>();
};

}  // namespace olio::fileio
