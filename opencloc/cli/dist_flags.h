// Flags of verbs that run as several processes.
#pragma once

#include <functional>
#include <string>

#include "opencloc/cli/verb.h"
#include "opencloc/dist/join.h"
#include "opencloc/dist/place.h"

namespace opencloc::cli {

struct DistFlags {
  std::string backend = "auto", url, interface;
  int timeout = 600;  // seconds
};
void add_dist_flags(CLI::App& app, DistFlags& flags);

// Throws Error (input), the same one in every process, where a flag that results hang on differs.
void require_same_flags(const CLI::App& app, dist::Group& group);

// This process in the job that the launcher has started; one of one if there is no launcher.
dist::Place place_of(const DistFlags& flags);

// Runs `work`, which computes on `device`, with the group of the job.
void in_job(const DistFlags& flags, const dist::Place& place, torch::Device device,
            const std::function<void(dist::Group& group)>& work);

}  // namespace opencloc::cli
