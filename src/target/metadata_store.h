// Where the engine keeps the little that outlives the daemon and is not on the medium:
// registrations with APTPL, states of target port groups, saved mode pages. Small texts with names.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace olio::target {

class MetadataStore {
  public:
    virtual ~MetadataStore() = default;

    using Found = std::move_only_function<void(Result<std::optional<std::string>>)>;
    using Written = std::move_only_function<void(Result<void>)>;

    // Called on a shard; the callback comes there, perhaps from inside the call. Nothing that
    // blocks runs on the shard's loop.
    //
    // The content of that name; nothing if there is none.
    virtual void read(std::string name, Found done) = 0;
    // When it calls back without an error, the content is on stable storage; before and after a
    // crash at any time there is the old content or the new one, never a part. After an error
    // either may be there. Writes of one name must follow one another: the next one only after the
    // callback.
    virtual void write(std::string name, std::string content, Written done) = 0;
};

// A name of the store: `folder`/`prefix``words`, in which everything in `words` that is no letter,
// digit, '-', '_', '.', ':' or '+' is written %XX. So two words never meet in one name, and none
// leads out of the folder. What would be too long for the name of a file ends with a digest.
[[nodiscard]] std::string metadata_name(std::string_view folder, std::string_view prefix,
                                        std::string_view words);

// The store in a directory of files: DIRECTORY/pr/aptpl_SERIAL, as LIO has them below its dbroot.
// Made if it is missing (mode 0700; the files 0600). An error if it cannot be written to.
[[nodiscard]] Result<std::unique_ptr<MetadataStore>> open_metadata_directory(std::string directory);

// What open_metadata_directory()'s store does on a helper thread: temporary file, fsync, rename,
// fsync of the directory. Blocks.
[[nodiscard]] Result<void> write_durably(const std::string& directory, const std::string& name,
                                         std::string_view content);
[[nodiscard]] Result<std::optional<std::string>> read_whole(const std::string& directory,
                                                            const std::string& name);

}  // namespace olio::target
