// A listening Unix socket at a path, made so that no other user can reach it and no running daemon
// loses its own.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"

namespace olio::config {

class ControlSocket {
  public:
    // See ControlServer::open.
    static Result<ControlSocket> open(const std::string& path);
    ControlSocket(ControlSocket&& other) noexcept;
    ControlSocket& operator=(ControlSocket&&) = delete;
    ~ControlSocket();  // removes the path, if it still is this socket, and closes

    [[nodiscard]] int descriptor() const noexcept { return descriptor_; }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }

  private:
    ControlSocket(std::string path, int descriptor, dev_t device, ino_t inode) noexcept;

    std::string path_;
    int descriptor_ = -1;
    dev_t device_ = 0;
    ino_t inode_ = 0;
};

}  // namespace olio::config
