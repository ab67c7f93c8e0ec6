#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>

#include "base/assert.h"
#include "base/limits.h"
#include "reactor/operation.h"
#include "reactor/shard.h"
#include "target/metadata_store.h"

namespace olio::target {

namespace {

constexpr mode_t directory_mode = 0700;
constexpr mode_t file_mode = 0600;

class Descriptor {
  public:
    explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() {
        if (descriptor_ >= 0)
            ::close(descriptor_);
    }
    [[nodiscard]] int get() const noexcept { return descriptor_; }
    explicit operator bool() const noexcept { return descriptor_ >= 0; }

  private:
    int descriptor_;
};

// With temporary_ending, as long as the name of a file may be (NAME_MAX).
constexpr std::string_view temporary_ending = "%new";
constexpr std::size_t longest_name = NAME_MAX - temporary_ending.size();

// FNV-1a.
std::uint64_t digest(std::string_view text) noexcept {
    std::uint64_t value = 0xCBF29CE484222325ull;
    for (const char c : text)
        value = (value ^ static_cast<std::uint8_t>(c)) * 0x100000001B3ull;
    return value;
}

Result<void> sync_directory(const std::string& path) {
    const Descriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory)
        return fail_errno(errno, path);
    if (::fsync(directory.get()) != 0)
        return fail_errno(errno, fmt::format("fsync of {}", path));
    return {};
}

std::string parent_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos)
        return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

// Makes a directory and those above it; what is made is durable.
Result<void> make_directories(const std::string& path) {
    if (::mkdir(path.c_str(), directory_mode) == 0)
        return sync_directory(parent_of(path));
    if (errno == EEXIST)
        return {};
    if (errno != ENOENT || path == parent_of(path))
        return fail_errno(errno, fmt::format("making the directory {}", path));
    OLIO_TRY(make_directories(parent_of(path)));
    if (::mkdir(path.c_str(), directory_mode) != 0 && errno != EEXIST)
        return fail_errno(errno, fmt::format("making the directory {}", path));
    return sync_directory(parent_of(path));
}

Result<void> write_all(int descriptor, std::string_view content, const std::string& path) {
    while (!content.empty()) {
        const ssize_t written = ::write(descriptor, content.data(), content.size());
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return fail_errno(written == 0 ? EIO : errno, fmt::format("writing {}", path));
        content.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
}

class MetadataDirectory final : public MetadataStore {
  public:
    explicit MetadataDirectory(std::string directory) : directory_(std::move(directory)) {}

    void read(std::string name, Found done) override;
    void write(std::string name, std::string content, Written done) override;

  private:
    std::string directory_;
};

// One call on a helper thread; it ends itself.
template <class Value>
class Errand final : public reactor::Operation {
  public:
    using Done = std::move_only_function<void(Result<Value>)>;

    Errand(std::move_only_function<Result<Value>()> work, Done done)
        : work_(std::move(work)), done_(std::move(done)) {}

    static void run(std::move_only_function<Result<Value>()> work, Done done) {
        reactor::Shard* const shard = reactor::Shard::current();
        OLIO_ASSERT(shard != nullptr, "metadata is read and written on a shard");
        auto errand = std::make_unique<Errand>(std::move(work), std::move(done));
        Errand& started = *errand.release();  // on_complete() takes it back
        shard->submit(started.call(perform, &started));
    }

    void on_complete(std::int64_t result) noexcept override {
        const std::unique_ptr<Errand> self(this);
        if (result < 0)
            result_ = fail_errno(static_cast<int>(-result), "metadata");
        done_(std::move(result_));
    }

  private:
    static std::int64_t perform(void* errand) {
        Errand& self = *static_cast<Errand*>(errand);
        self.result_ = self.work_();
        return 0;
    }

    std::move_only_function<Result<Value>()> work_;
    Done done_;
    Result<Value> result_{};
};

void MetadataDirectory::read(std::string name, Found done) {
    Errand<std::optional<std::string>>::run(
        [directory = directory_, name = std::move(name)] { return read_whole(directory, name); },
        std::move(done));
}

void MetadataDirectory::write(std::string name, std::string content, Written done) {
    Errand<void>::run(
        [directory = directory_, name = std::move(name), content = std::move(content)] {
            return write_durably(directory, name, content);
        },
        std::move(done));
}

}  // namespace

std::string metadata_name(std::string_view folder, std::string_view prefix,
                          std::string_view words) {
    constexpr std::string_view plain =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:+";
    std::string name(prefix);
    for (const char c : words)
        if (plain.find(c) != std::string_view::npos)
            name += c;
        else
            name += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    if (name.size() > longest_name) {
        const std::string ending = fmt::format("%~{:016x}", digest(words));
        name.resize(longest_name - ending.size());
        name += ending;
    }
    return fmt::format("{}/{}", folder, name);
}

Result<void> write_durably(const std::string& directory, const std::string& name,
                           std::string_view content) {
    const std::string path = fmt::format("{}/{}", directory, name);
    // A name that metadata_name() never makes, whatever a group of target ports is called.
    const std::string temporary = fmt::format("{}{}", path, temporary_ending);
    const std::string folder = parent_of(path);
    if (content.size() > limits::metadata_file_bytes)
        return fail(EFBIG, fmt::format("{}: {} bytes are more than the {} that it may have", path,
                                       content.size(), limits::metadata_file_bytes));
    OLIO_TRY(make_directories(folder));
    {
        const Descriptor file(::open(
            temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, file_mode));
        if (!file)
            return fail_errno(errno, temporary);
        OLIO_TRY(write_all(file.get(), content, temporary));
        if (::fsync(file.get()) != 0)
            return fail_errno(errno, fmt::format("fsync of {}", temporary));
    }
    if (::rename(temporary.c_str(), path.c_str()) != 0)
        return fail_errno(errno, fmt::format("renaming {} to {}", temporary, path));
    return sync_directory(folder);
}

Result<std::optional<std::string>> read_whole(const std::string& directory,
                                              const std::string& name) {
    const std::string path = fmt::format("{}/{}", directory, name);
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    if (!file) {
        if (errno == ENOENT)
            return std::nullopt;
        return fail_errno(errno, path);
    }
    std::string content;
    std::array<char, 16384> piece{};
    for (;;) {
        const ssize_t got = ::read(file.get(), piece.data(), piece.size());
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_errno(errno, fmt::format("reading {}", path));
        if (got == 0)
            return content;
        content.append(piece.data(), static_cast<std::size_t>(got));
        if (content.size() > limits::metadata_file_bytes)
            return fail(EFBIG, fmt::format("{} is longer than {} bytes; remove it if it is not "
                                           "needed",
                                           path, limits::metadata_file_bytes));
    }
}

Result<std::unique_ptr<MetadataStore>> open_metadata_directory(std::string directory) {
    while (directory.size() > 1 && directory.ends_with('/'))
        directory.pop_back();
    OLIO_TRY(make_directories(directory));
    if (::access(directory.c_str(), R_OK | W_OK | X_OK) != 0)
        return fail_errno(errno, fmt::format("the state directory {}", directory));
    return std::make_unique<MetadataDirectory>(std::move(directory));
}

}  // namespace olio::target
