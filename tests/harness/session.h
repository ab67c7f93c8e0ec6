// A host's session with one LUN, on libiscsi: what the harnesses written in C++ share.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>

struct iscsi_context;

namespace olio::harness {

struct Capacity {
    std::uint64_t blocks = 0;
    std::uint32_t block_bytes = 0;
};

// Not thread safe. A broken session stays broken: libiscsi's reconnecting would hide what is
// tested.
class Session {
  public:
    // URL as libiscsi has it: iscsi://[user%secret@]host:port/iqn/lun. Each session takes an ISID
    // of its own, so that many may stand at once. Fails with libiscsi's words.
    static std::expected<std::unique_ptr<Session>, std::string> log_in(const std::string& url);

    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    ~Session();

    iscsi_context* context() const { return context_; }
    int lun() const { return lun_; }
    int descriptor() const;

    std::expected<Capacity, std::string> capacity();
    std::expected<bool, std::string> write_cache();  // the WCE bit of the caching mode page

    // Waits for the peer or for room to send, and calls back for what is done. False once the
    // session is lost; every task has then been called back as cancelled.
    bool serve(int timeout_ms);

  private:
    explicit Session(iscsi_context* context) : context_(context) {}

    iscsi_context* context_;
    int lun_ = 0;
};

}  // namespace olio::harness
