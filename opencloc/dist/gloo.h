// A group over Gloo. Private to opencloc/dist.
#pragma once

#include <memory>
#include <string>

#include "opencloc/dist/group.h"
#include "opencloc/dist/health.h"
#include "opencloc/dist/join.h"
#include "opencloc/dist/place.h"
#include "opencloc/dist/store.h"

namespace opencloc::dist {

// What all lines of a job share.
struct Job {
  Place place;
  JoinOptions options;
  std::string address;  // of this process, for the others
  std::unique_ptr<Store> store;
  std::unique_ptr<Health> health;
};

void set_group_failed();

std::unique_ptr<Group> make_gloo_group(std::shared_ptr<Job> job, const std::string& name);

}  // namespace opencloc::dist
