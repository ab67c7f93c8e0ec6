#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

#include <vector>

#include "driver.h"

namespace olio::bench {
namespace {

class LibiscsiDriver final : public Driver {
  public:
    LibiscsiDriver(const DriverSetup& setup, std::unique_ptr<harness::Session> session)
        : done_(setup.done),
          block_bytes_(setup.capacity.block_bytes),
          session_(std::move(session)),
          slots_(setup.slots) {
        for (unsigned i = 0; i < setup.slots; i++) {
            slots_[i].driver = this;
            slots_[i].number = i;
            slots_[i].data.assign(setup.bytes, 0xa5);
            slots_[i].span = {slots_[i].data.data(), slots_[i].data.size()};
        }
    }
    ~LibiscsiDriver() override {
        done_ = [](unsigned, bool) {};
        session_.reset();  // calls what is outstanding back as cancelled, while the slots stand
    }

    bool submit(bool write, std::uint64_t lba, std::uint32_t blocks, unsigned slot) override {
        iscsi_context* context = session_->context();
        const int lun = session_->lun();
        const auto block_bytes = static_cast<int>(block_bytes_);
        const std::uint32_t bytes = blocks * block_bytes_;
        Slot& mine = slots_[slot];
        return (write ? iscsi_write16_iov_task(context, lun, lba, nullptr, bytes, block_bytes, 0, 0,
                                               0, 0, 0, on_done, &mine, &mine.span, 1)
                      : iscsi_read16_iov_task(context, lun, lba, bytes, block_bytes, 0, 0, 0, 0, 0,
                                              on_done, &mine, &mine.span, 1)) != nullptr;
    }

    bool serve(int timeout_ms) override { return session_->serve(timeout_ms); }

  private:
    struct Slot {
        LibiscsiDriver* driver = nullptr;
        unsigned number = 0;
        std::vector<std::uint8_t> data;
        scsi_iovec span{};
    };

    static void on_done(iscsi_context*, int status, void* task, void* slot) {
        scsi_free_scsi_task(static_cast<scsi_task*>(task));
        const auto* mine = static_cast<Slot*>(slot);
        mine->driver->done_(mine->number, status == SCSI_STATUS_GOOD);
    }

    Done done_;
    std::uint32_t block_bytes_;
    std::unique_ptr<harness::Session> session_;
    std::vector<Slot> slots_;
};

}  // namespace

std::expected<std::unique_ptr<Driver>, std::string> libiscsi_driver(const DriverSetup& setup) {
    auto session = harness::Session::log_in(setup.url);
    if (!session) {
        return std::unexpected(session.error());
    }
    return std::make_unique<LibiscsiDriver>(setup, std::move(*session));
}

}  // namespace olio::bench
