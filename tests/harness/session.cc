#include "harness/session.h"

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <random>

namespace olio::harness {
namespace {

constexpr const char* initiator_name = "iqn.2026-01.test.initiator:harness";
constexpr int sync_timeout_seconds = 30;

}  // namespace

std::expected<std::unique_ptr<Session>, std::string> Session::log_in(const std::string& url) {
    // libiscsi writes to a socket whose peer may be dead.
    std::signal(SIGPIPE, SIG_IGN);
    iscsi_context* context = iscsi_create_context(initiator_name);
    if (context == nullptr) {
        return std::unexpected("libiscsi is out of memory");
    }
    std::unique_ptr<Session> session(new Session(context));
    const std::unique_ptr<iscsi_url, void (*)(iscsi_url*)> parsed(
        iscsi_parse_full_url(context, url.c_str()), iscsi_destroy_url);
    if (!parsed) {
        return std::unexpected(iscsi_get_error(context));
    }
    std::random_device random;
    iscsi_set_isid_random(context, random() & 0xffffff, random() & 0xffff);
    iscsi_set_session_type(context, ISCSI_SESSION_NORMAL);
    iscsi_set_header_digest(context, ISCSI_HEADER_DIGEST_NONE);
    iscsi_set_noautoreconnect(context, 1);
    // Only until the login is done: afterwards a slow disk is not an error.
    iscsi_set_timeout(context, sync_timeout_seconds);
    session->lun_ = parsed->lun;
    if (iscsi_full_connect_sync(context, parsed->portal, parsed->lun) != 0) {
        return std::unexpected(iscsi_get_error(context));
    }
    iscsi_set_timeout(context, 0);
    return session;
}

Session::~Session() {
    iscsi_destroy_context(context_);  // cancels what is outstanding and closes the connection
}

int Session::descriptor() const {
    return iscsi_get_fd(context_);
}

std::expected<Capacity, std::string> Session::capacity() {
    const std::unique_ptr<scsi_task, void (*)(scsi_task*)> task(
        iscsi_readcapacity16_sync(context_, lun_), scsi_free_scsi_task);
    if (!task || task->status != SCSI_STATUS_GOOD) {
        return std::unexpected(std::string("READ CAPACITY(16): ") + iscsi_get_error(context_));
    }
    const auto* answer =
        static_cast<const scsi_readcapacity16*>(scsi_datain_unmarshall(task.get()));
    if (answer == nullptr || answer->block_length == 0) {
        return std::unexpected("READ CAPACITY(16): the answer cannot be read");
    }
    return Capacity{answer->returned_lba + 1, answer->block_length};
}

std::expected<bool, std::string> Session::write_cache() {
    const std::unique_ptr<scsi_task, void (*)(scsi_task*)> task(
        iscsi_modesense6_sync(context_, lun_, 1, SCSI_MODESENSE_PC_CURRENT, SCSI_MODEPAGE_CACHING,
                              0, 255),
        scsi_free_scsi_task);
    if (!task || task->status != SCSI_STATUS_GOOD) {
        return std::unexpected(std::string("MODE SENSE(6): ") + iscsi_get_error(context_));
    }
    auto* answer = static_cast<scsi_mode_sense*>(scsi_datain_unmarshall(task.get()));
    const scsi_mode_page* page =
        answer == nullptr ? nullptr : scsi_modesense_get_page(answer, SCSI_MODEPAGE_CACHING, 0);
    if (page == nullptr) {
        return std::unexpected("MODE SENSE(6): there is no caching page");
    }
    return page->caching.wce != 0;
}

bool Session::serve(int timeout_ms) {
    pollfd wait{descriptor(), static_cast<short>(iscsi_which_events(context_)), 0};
    const int ready = poll(&wait, 1, timeout_ms);
    if (ready < 0) {
        return errno == EINTR;
    }
    return iscsi_service(context_, wait.revents) == 0;
}

}  // namespace olio::harness
