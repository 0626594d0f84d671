#include "opencloc/label/shard_share.h"

#include <map>
#include <string>

#include <gtest/gtest.h>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

ShardShare share_of(const std::map<std::string, std::string>& variables) {
  return share_from_environment([&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

void expect_share(const std::map<std::string, std::string>& variables, int64_t index,
                  int64_t count) {
  const ShardShare share = share_of(variables);
  EXPECT_EQ(share.index, index);
  EXPECT_EQ(share.count, count);
}

TEST(ShardShare, FromLaunchers) {
  expect_share({}, 0, 1);
  expect_share({{"RANK", "2"}, {"WORLD_SIZE", "4"}}, 2, 4);
  expect_share({{"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "3"}}, 1, 3);
  expect_share({{"PMI_RANK", "5"}, {"PMI_SIZE", "6"}}, 5, 6);
  expect_share({{"SLURM_ARRAY_TASK_ID", "7"},
                {"SLURM_ARRAY_TASK_MIN", "1"},
                {"SLURM_ARRAY_TASK_MAX", "9"},
                {"SLURM_ARRAY_TASK_STEP", "2"},
                {"SLURM_ARRAY_TASK_COUNT", "5"}},
               3, 5);
  // Two ranks in each of four array tasks.
  expect_share({{"SLURM_ARRAY_TASK_ID", "3"},
                {"SLURM_ARRAY_TASK_COUNT", "4"},
                {"SLURM_PROCID", "1"},
                {"SLURM_STEP_NUM_TASKS", "2"}},
               7, 8);
  // A batch script without srun: one process, whatever was asked for.
  expect_share({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}}, 0, 1);
}

TEST(ShardShare, NonsenseIsAnError) {
  EXPECT_THROW(share_of({{"RANK", "x"}, {"WORLD_SIZE", "4"}}), Error);
  EXPECT_THROW(share_of({{"RANK", "4"}, {"WORLD_SIZE", "4"}}), Error);
  EXPECT_THROW(share_of({{"RANK", "-1"}, {"WORLD_SIZE", "4"}}), Error);
  EXPECT_THROW(share_of({{"SLURM_ARRAY_TASK_ID", "9"}, {"SLURM_ARRAY_TASK_COUNT", "4"}}), Error);
}

}  // namespace
}  // namespace opencloc
