#include "opencloc/label/shard_share.h"

#include <charconv>
#include <cstring>
#include <optional>
#include <string>

#include "opencloc/base/error.h"
#include "opencloc/dist/place.h"

namespace opencloc {
namespace {

std::optional<int64_t> number(const dist::Variables& variable, const char* name) {
  const char* text = variable(name);
  if (text == nullptr || *text == '\0') return std::nullopt;
  int64_t value = 0;
  const char* end = text + std::strlen(text);
  if (const auto read = std::from_chars(text, end, value);
      read.ec != std::errc() || read.ptr != end) {
    throw Error::input(std::string("$") + name + " is '" + text + "', not a number", "label",
                       "pass the settings 'shard_index' and 'shard_count'");
  }
  return value;
}

ShardShare array_share(const dist::Variables& variable) {
  const auto id = number(variable, "SLURM_ARRAY_TASK_ID");
  if (!id) return {};
  const int64_t first = number(variable, "SLURM_ARRAY_TASK_MIN").value_or(0);
  const int64_t last = number(variable, "SLURM_ARRAY_TASK_MAX").value_or(*id);
  const int64_t step = number(variable, "SLURM_ARRAY_TASK_STEP").value_or(1);
  if (step < 1) throw Error::input("$SLURM_ARRAY_TASK_STEP is below 1", "label");
  return {(*id - first) / step,
          number(variable, "SLURM_ARRAY_TASK_COUNT").value_or((last - first) / step + 1)};
}

}  // namespace

ShardShare share_from_environment(const dist::Variables& variable) {
  const ShardShare array = array_share(variable);
  const dist::Place place = dist::place_from(variable);
  const ShardShare rank{place.rank, place.size};
  const ShardShare share{array.index * rank.count + rank.index, array.count * rank.count};
  if (array.index < 0 || array.index >= array.count) {
    throw Error::input("Slurm makes this task " + std::to_string(array.index) + " of " +
                           std::to_string(array.count) + " of an array",
                       "label", "pass the settings 'shard_index' and 'shard_count'");
  }
  return share;
}

}  // namespace opencloc
