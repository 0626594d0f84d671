// The run directory as a whole: one process at a time, no debris of killed ones.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "opencloc/base/folder_lock.h"
#include "opencloc/train/checkpoints.h"
#include "opencloc/train/config.h"

namespace opencloc {

// Held for as long as a process trains in the folder.
class RunFolder {
 public:
  // Creates the folder, locks it, removes what a killed process left half-written, gives what was
  // being replaced its name back, and refuses or replaces an earlier run as --resume and
  // --overwrite say. Throws Error (input) when another process trains here or a run would be
  // overwritten.
  explicit RunFolder(const RunConfig& config);
  // Leaves nothing behind of a run that never began.
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path metrics() const { return path_ / "metrics.jsonl"; }
  std::filesystem::path model() const { return path_ / "model"; }
  std::filesystem::path report() const { return path_ / "report.html"; }
  std::filesystem::path config() const { return path_ / "config.toml"; }

 private:
  std::filesystem::path path_;
  bool created_ = false;
  std::optional<FolderLock> lock_;
};

// The "flag = value" lines of a configuration that change what is learned.
std::string settings_that_matter(const std::string& effective);

// Warns of every flag whose value differs from the interrupted run's in a way that changes the
// result, and of data that changed: the resumed run is then no longer the same run.
void warn_of_changes(const RunConfig& config, const TrainState& saved,
                     const std::vector<uint64_t>& data_sizes);

}  // namespace opencloc
