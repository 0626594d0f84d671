#include "opencloc/dist/place.h"

#include <map>

#include <gtest/gtest.h>

#include "opencloc/base/error.h"

namespace opencloc::dist {
namespace {

Place place_of(const std::map<std::string, std::string>& variables, const std::string& url = {}) {
  return place_from(
      [&](const char* name) {
        const auto found = variables.find(name);
        return found == variables.end() ? nullptr : found->second.c_str();
      },
      url);
}

TEST(Place, WithoutALauncherAProcessIsAlone) {
  const Place place = place_of({{"SLURM_NTASKS", "4"}, {"SLURM_PROCID", "0"}});
  EXPECT_EQ(place.size, 1);
  EXPECT_EQ(place.rank, 0);
  EXPECT_TRUE(place.launcher.empty());
}

TEST(Place, Torchrun) {
  std::map<std::string, std::string> variables = {{"RANK", "5"},
                                                  {"WORLD_SIZE", "8"},
                                                  {"LOCAL_RANK", "1"},
                                                  {"LOCAL_WORLD_SIZE", "4"},
                                                  {"GROUP_RANK", "1"},
                                                  {"MASTER_ADDR", "n01"},
                                                  {"MASTER_PORT", "1234"},
                                                  {"TORCHELASTIC_RESTART_COUNT", "2"},
                                                  {"TORCHELASTIC_RUN_ID", "none"},
                                                  {"TORCHELASTIC_USE_AGENT_STORE", "True"},
                                                  {"OMP_NUM_THREADS", "1"}};
  const Place place = place_of(variables);
  EXPECT_EQ(place.rank, 5);
  EXPECT_EQ(place.size, 8);
  EXPECT_EQ(place.local_rank, 1);
  EXPECT_EQ(place.local_size, 4);
  EXPECT_EQ(place.host, "n01");
  EXPECT_EQ(place.port, 1234);
  EXPECT_EQ(place.attempt, 2);
  EXPECT_TRUE(place.launcher_keeps_store);
  EXPECT_EQ(place.launcher, "torchrun");
  // Under srun torchrun, Slurm's numbers are of the machines.
  variables["SLURM_PROCID"] = "1";
  variables["SLURM_STEP_NUM_TASKS"] = "2";
  EXPECT_EQ(place_of(variables).rank, 5);
  // The c10d rendezvous leaves the store to rank 0.
  variables["TORCHELASTIC_USE_AGENT_STORE"] = "False";
  EXPECT_FALSE(place_of(variables).launcher_keeps_store);
}

TEST(Place, Srun) {
  const Place place = place_of({{"SLURM_PROCID", "5"},
                                {"SLURM_STEP_NUM_TASKS", "6"},
                                {"SLURM_LOCALID", "1"},
                                {"SLURM_NODEID", "2"},
                                {"SLURM_STEP_TASKS_PER_NODE", "2(x3)"},
                                {"SLURM_STEP_NODELIST", "gpu[003-005]"},
                                {"SLURM_JOB_ID", "77"},
                                {"SLURM_STEP_ID", "0"}});
  EXPECT_EQ(place.rank, 5);
  EXPECT_EQ(place.local_rank, 1);
  EXPECT_EQ(place.local_size, 2);
  EXPECT_EQ(place.host, "gpu003");
  EXPECT_GE(place.port, 20000);
  EXPECT_FALSE(place.launcher_keeps_store);
}

TEST(Place, MpiOnOneMachineMeetsAtItself) {
  const Place open = place_of({{"OMPI_COMM_WORLD_RANK", "2"},
                               {"OMPI_COMM_WORLD_SIZE", "3"},
                               {"OMPI_COMM_WORLD_LOCAL_RANK", "2"},
                               {"OMPI_COMM_WORLD_LOCAL_SIZE", "3"}});
  EXPECT_EQ(open.rank, 2);
  EXPECT_EQ(open.host, "127.0.0.1");
  const Place hydra = place_of(
      {{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}, {"MPI_LOCALRANKID", "1"}, {"MPI_LOCALNRANKS", "2"}});
  EXPECT_EQ(hydra.rank, 1);
  EXPECT_EQ(hydra.launcher, "MPI");
}

TEST(Place, MpiOnSeveralMachinesMustBeTold) {
  const std::map<std::string, std::string> variables = {{"OMPI_COMM_WORLD_RANK", "2"},
                                                        {"OMPI_COMM_WORLD_SIZE", "4"},
                                                        {"OMPI_COMM_WORLD_LOCAL_RANK", "0"},
                                                        {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}};
  EXPECT_TRUE(place_of(variables).host.empty());
  const Place told = place_of(variables, "tcp://n07:4000");
  EXPECT_EQ(told.host, "n07");
  EXPECT_EQ(told.port, 4000);
}

TEST(Place, Kubernetes) {
  const Place job = place_of(
      {{"JOB_COMPLETION_INDEX", "2"}, {"WORLD_SIZE", "3"}, {"MASTER_ADDR", "train-0.train"}});
  EXPECT_EQ(job.rank, 2);
  EXPECT_EQ(job.size, 3);
  EXPECT_EQ(job.local_size, 1);
  EXPECT_EQ(job.host, "train-0.train");
  const Place pytorch_job = place_of({{"RANK", "1"},
                                      {"WORLD_SIZE", "2"},
                                      {"MASTER_ADDR", "t-master-0"},
                                      {"MASTER_PORT", "23456"}});
  EXPECT_EQ(pytorch_job.local_size, 1);
  EXPECT_EQ(pytorch_job.port, 23456);
}

TEST(Place, NonsenseIsAnError) {
  EXPECT_THROW(place_of({{"RANK", "4"}, {"WORLD_SIZE", "4"}}), Error);
  EXPECT_THROW(place_of({{"RANK", "-1"}, {"WORLD_SIZE", "4"}}), Error);
  EXPECT_THROW(place_of({{"RANK", "one"}, {"WORLD_SIZE", "4"}}), Error);
  const std::map<std::string, std::string> two = {{"RANK", "1"}, {"WORLD_SIZE", "2"}};
  for (const char* url : {"n01:29500", "tcp://n01", "tcp://n01:0", "tcp://:29500"})
    EXPECT_THROW(place_of(two, url), Error) << url;
}

TEST(Place, FirstHostOfSlurmsList) {
  EXPECT_EQ(first_host("n[003-007,9],m1"), "n003");
  EXPECT_EQ(first_host("login1"), "login1");
  EXPECT_EQ(first_host("a1,b2"), "a1");
  EXPECT_EQ(first_host("n[7,9-12]"), "n7");
}

}  // namespace
}  // namespace opencloc::dist
