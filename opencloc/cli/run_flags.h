// The flags of every verb that trains: data, optimisation, processes and the run directory.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "opencloc/cli/dist_flags.h"
#include "opencloc/cli/verb.h"
#include "opencloc/train/config.h"
#include "opencloc/train/run.h"

namespace opencloc::cli {

struct RunFlags {
  CommonFlags common;
  DistFlags dist;
  int64_t local_batch_size = 0;  // of a process; 0: config.batch_size is for all
  bool as_always = false;        // flags that ask for what is always so
  int64_t eval_samples = 0;      // of --val
  // Words that stand for values.
  std::string out, precision = "fp32", eval_tasks;
};

void add_source_flags(CLI::App& app, RunConfig& config);
void add_optimisation_flags(CLI::App& app, RunFlags& flags, RunConfig& config);
void add_folder_flags(CLI::App& app, RunFlags& flags, RunConfig& config);
void add_exchange_flags(CLI::App& app, RunFlags& flags, RunConfig& config);

// Their words into `config`, for the process of this number on its machine, which takes a GPU of
// its own where there are enough. Throws Error (input) naming the flag.
void apply_run_flags(const RunFlags& flags, int local_rank, RunConfig& config);

// Calls train() in every process of the job, and says at the end where the results are.
void run_in_job(const RunFlags& flags, const dist::Place& place, RunConfig& config,
                const std::function<TrainResult(dist::Group&)>& train);

// "4x192" -> layers and width. Throws Error (input) naming the flag.
std::pair<int64_t, int64_t> layers_by_width(const std::string& text, const std::string& flag);

// "flag = value" lines (TOML) of every flag of the verb that has a value, given or default.
std::string effective_flags(const CLI::App& app);

}  // namespace opencloc::cli
