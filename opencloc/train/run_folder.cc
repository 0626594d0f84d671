#include "opencloc/train/run_folder.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "opencloc/base/error.h"
#include "opencloc/base/log.h"
#include "opencloc/base/publish.h"
#include "opencloc/base/temporary.h"

namespace opencloc {
namespace fs = std::filesystem;
namespace {

// Temporary files and folders of write_file() and write_folder(). With a lock that holds for every
// machine all of them are dead; without one only those of this machine's processes that are gone.
void remove_debris(const fs::path& folder, const FolderLock& lock) {
  if (!fs::is_directory(folder)) return;
  std::vector<fs::path> debris;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (lock.is_certain() ? is_temporary(name) : is_abandoned(name)) debris.push_back(entry.path());
  }
  std::error_code error;
  for (const auto& path : debris) {
    fs::remove_all(path, error);
    if (error) log::warn("cannot remove {}: {}", path.string(), error.message());
  }
}

void remove_run(const fs::path& folder) {
  for (const char* name :
       {"checkpoints", "model", "metrics.jsonl", "report.html", "config.toml", "tokenizer.model"}) {
    fs::remove_all(folder / name);
  }
}

std::string trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return std::string(text);
}

// "flag = value" lines.
std::map<std::string, std::string> parse_lines(std::string_view text) {
  std::map<std::string, std::string> values;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const auto line = text.substr(0, end);
    if (const size_t at = line.find('='); at != std::string_view::npos && line[0] != '#') {
      values.emplace(trimmed(line.substr(0, at)), trimmed(line.substr(at + 1)));
    }
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return values;
}

// Flags that may differ without changing what is learned.
const std::set<std::string> kHarmless = {
    "out",          "resume",           "overwrite",    "save-every",
    "eval-every",   "log-every",        "val",          "workers",
    "threads",      "keep-checkpoints", "eval-tasks",   "eval-samples",
    "config",       "cache-dir",        "cache-gb",     "zero",
    "bucket-mb",    "dist-url",         "dist-backend", "dist-interface",
    "dist-timeout", "report-pictures"};
// Of these, those that all processes must agree on: what they do together, and when.
const std::set<std::string> kAgreed = {"zero",      "bucket-mb", "save-every", "eval-every",
                                       "log-every", "val",       "eval-tasks", "eval-samples"};

}  // namespace

RunFolder::RunFolder(const RunConfig& config) : path_(config.out) {
  std::error_code error;
  created_ = fs::create_directories(path_, error);
  lock_.emplace(path_);
  for (const auto& folder : {path_, path_ / "checkpoints"}) {
    recover_folders(folder);
    remove_debris(folder, *lock_);
  }
  const bool holds_run = !list_checkpoints(path_).empty() || fs::exists(metrics());
  if (config.resume != "none" || !holds_run) return;
  if (!config.overwrite) {
    throw Error::input("the folder holds a run already", path_.string(),
                       "continue it with the setting 'resume=auto', name another folder for the "
                       "setting 'out', or replace it with the setting 'overwrite'");
  }
  remove_run(path_);
}

RunFolder::~RunFolder() {
  std::error_code error;
  int files = 0;
  for (fs::directory_iterator at(path_, error); !error && at != fs::directory_iterator();
       at.increment(error)) {
    ++files;
  }
  if (created_ && !error && files == 1) fs::remove_all(path_, error);  // only the lock
}

std::string settings_that_matter(const std::string& effective) {
  std::string lines;
  for (const auto& [flag, value] : parse_lines(effective))
    if (!kHarmless.contains(flag) || kAgreed.contains(flag)) lines += flag + " = " + value + "\n";
  return lines;
}

void warn_of_changes(const RunConfig& config, const TrainState& saved,
                     const std::vector<uint64_t>& data_sizes) {
  if (saved.position.order != kSampleOrder) {
    log::warn(
        "the checkpoint is of an older version of opencloc: samples come in another order than "
        "before");
  }
  if (saved.data_sizes != data_sizes) {
    log::warn(
        "the data has changed since the checkpoint was written: samples come in another "
        "order");
  }
  const auto before = parse_lines(saved.config), now = parse_lines(config.effective);
  for (const auto& [flag, value] : now) {
    const auto it = before.find(flag);
    if (it == before.end() || it->second == value || kHarmless.contains(flag)) continue;
    std::string setting = flag;
    std::ranges::replace(setting, '-', '_');
    log::warn("setting '{}' was {} and is {} now: not the same run any more", setting, it->second,
              value);
  }
}

}  // namespace opencloc
