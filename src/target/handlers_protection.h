// Commands with protection information on the wire: those whose PROTECT field is not 000b, and
// READ, WRITE, VERIFY and WRITE AND VERIFY (32). In handlers_protection.cc READ, WRITE, VERIFY,
// WRITE AND VERIFY and WRITE SAME, in handlers_protected_atomic.cc those that work behind a fence
// of their own: COMPARE AND WRITE, ORWRITE and WRITE ATOMIC.
#pragma once

#include "target/device_server.h"

namespace olio::target {

struct DeviceServer::ProtectionHandlers {
    static bool prepare_read(Command&);
    static Step execute_read(Command&);
    static Step resume_read(Command&);
    static bool prepare_write(Command&);
    static bool parse_write(Command&);
    static Step execute_write(Command&);
    static Step resume_write(Command&);
    static bool prepare_write_and_verify(Command&);
    static Step execute_write_and_verify(Command&);
    static Step resume_write_and_verify(Command&);
    static bool prepare_verify(Command&);
    static bool parse_verify(Command&);
    static Step execute_verify(Command&);
    static Step resume_verify(Command&);
    static bool prepare_write_same(Command&);
    static bool parse_write_same(Command&);
    static Step execute_write_same(Command&);
    static Step resume_write_same(Command&);
    static bool prepare_compare_and_write(Command&);
    static bool parse_compare_and_write(Command&);
    static Step execute_compare_and_write(Command&);
    static Step resume_compare_and_write(Command&);
    static bool prepare_orwrite(Command&);
    static Step execute_orwrite(Command&);
    static Step resume_orwrite(Command&);
    static bool prepare_write_atomic(Command&);
    static Step execute_write_atomic(Command&);

  private:
    // Where the parts lie in the command's buffer.
    struct Layout {
        std::size_t block_bytes = 0;
        std::size_t wire_bytes = 0;     // of a block as the command transfers it
        bool transferred = false;       // with tuples
        std::size_t tuples = 0;         // where those of data-out lie once they are apart
        std::size_t staging = 0;        // where a chunk of blocks is read to
        std::size_t staged_tuples = 0;  // and its tuples
        std::size_t chunk_blocks = 0;
        std::size_t end = 0;
    };
    static Layout layout_of(const Command&, std::uint64_t data_out_blocks);
    static bool begin(Command&, scsi::MediumAccess access);
    static const scsi::ProtectRow& protect(const Command&);
    static scsi::ProtectionExpectation expected(const Command&, scsi::TagSet tags);
    static bool take_apart(Command&, std::uint64_t blocks);
    static bool compare_tuples(Command&, const Layout& layout);
    static MutableBytes tuples_of(Command&, const Layout& layout, std::uint64_t block,
                                  std::uint64_t blocks);
    static std::uint64_t data_out_blocks(const Command&);
    static Step next_read(Command&);
    static Step next_write(Command&);
    static Step next_verify(Command&);
    static Step next_write_same(Command&);
    static bool compare_step(Command&);
    static bool compare_blocks(Command&, const Layout& layout);
    static Step behind_fence(Command&, FenceKind kind, Step (*work)(Command&));
    static Step start_compare(Command&);
    static Step next_compare(Command&);
    static Step start_orwrite(Command&);
    static Step next_orwrite(Command&);
};

}  // namespace olio::target
