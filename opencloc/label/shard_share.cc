#include "opencloc/label/shard_share.h"

#include <charconv>
#include <cstring>
#include <optional>
#include <string>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

using Variables = std::function<const char*(const char*)>;

std::optional<int64_t> number(const Variables& variable, const char* name) {
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

ShardShare array_share(const Variables& variable) {
  const auto id = number(variable, "SLURM_ARRAY_TASK_ID");
  if (!id) return {};
  const int64_t first = number(variable, "SLURM_ARRAY_TASK_MIN").value_or(0);
  const int64_t last = number(variable, "SLURM_ARRAY_TASK_MAX").value_or(*id);
  const int64_t step = number(variable, "SLURM_ARRAY_TASK_STEP").value_or(1);
  if (step < 1) throw Error::input("$SLURM_ARRAY_TASK_STEP is below 1", "label");
  return {(*id - first) / step,
          number(variable, "SLURM_ARRAY_TASK_COUNT").value_or((last - first) / step + 1)};
}

ShardShare rank_share(const Variables& variable) {
  constexpr const char* kPairs[][2] = {{"SLURM_PROCID", "SLURM_STEP_NUM_TASKS"},
                                       {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
                                       {"PMI_RANK", "PMI_SIZE"},
                                       {"RANK", "WORLD_SIZE"}};
  for (const auto& pair : kPairs) {
    const auto rank = number(variable, pair[0]);
    const auto size = number(variable, pair[1]);
    if (rank && size) return {*rank, *size};
  }
  return {};
}

}  // namespace

ShardShare share_from_environment(const Variables& variable) {
  const ShardShare array = array_share(variable);
  const ShardShare rank = rank_share(variable);
  const ShardShare share{array.index * rank.count + rank.index, array.count * rank.count};
  if (array.index < 0 || rank.index < 0 || array.index >= array.count || rank.index >= rank.count) {
    throw Error::input("the launcher's variables make process " + std::to_string(share.index) +
                           " of " + std::to_string(share.count),
                       "label", "pass the settings 'shard_index' and 'shard_count'");
  }
  return share;
}

}  // namespace opencloc
