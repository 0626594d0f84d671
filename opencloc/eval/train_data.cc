#include "opencloc/eval/train_data.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "opencloc/base/error.h"
#include "opencloc/data/remote/remote_names.h"
#include "opencloc/data/shard/find_shards.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;

std::set<std::string> shard_identities(const std::string& glob, const EvalOptions& options) {
  SkipCounter counted_when_read(0);
  std::set<std::string> names;
  for (const auto& shard :
       find_shards(glob, {.skip_bad_shards = options.skip_bad_shards}, counted_when_read)) {
    std::error_code none;
    names.insert(is_remote(shard) ? shard : fs::weakly_canonical(shard, none).string());
  }
  return names;
}

bool asks_for(const EvalOptions& options, Task task) {
  return std::find(options.tasks.begin(), options.tasks.end(), task) != options.tasks.end();
}

}  // namespace

void check_train_data(const EvalOptions& options) {
  if (!asks_for(options, Task::kLinearProbe) || !options.train_data.empty()) return;
  throw Error::input("a linear probe has nothing to learn from", "setting 'tasks'",
                     "give it shards with the setting 'train_data'");
}

bool learns_from_the_data(const std::string& data_glob, const EvalOptions& options) {
  if (options.train_data.empty()) return true;
  const auto tested = shard_identities(data_glob, options);
  const auto learned = shard_identities(options.train_data, options);
  const bool same = tested == learned;
  if (same && asks_for(options, Task::kLinearProbe)) {
    throw Error::input("a linear probe would be tested on what it learned from", options.train_data,
                       "give other shards with the setting 'train_data'");
  }
  if (same) return true;
  for (const auto& shard : learned) {
    if (!tested.contains(shard)) continue;
    throw Error::input("a shard is both in the data and in the training data", shard,
                       "leave it out of the setting 'data' or 'train_data'");
  }
  return false;
}

}  // namespace opencloc
