// A test that runs as several processes of one job: the test binary starts itself again, as its
// ranks, and each of them runs the test's body.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include <gtest/gtest.h>

#include "opencloc/dist/join.h"
#include "opencloc/dist/launch.h"
#include "opencloc/dist/place.h"

namespace opencloc::fixtures {

inline int start_ranks(int count) {
  const auto* test = testing::UnitTest::GetInstance()->current_test_info();
  return dist::launch(
      {std::filesystem::read_symlink("/proc/self/exe").string(),
       std::string("--gtest_filter=") + test->test_suite_name() + "." + test->name(),
       "--gtest_output=", "--gtest_brief=1"},
      {.processes = count});
}

inline void run_processes(int count, const dist::JoinOptions& options,
                          const std::function<void(dist::Group& group)>& body) {
  const dist::Place place = dist::place_from_environment();
  if (place.size == 1) {
    EXPECT_EQ(start_ranks(count), 0);
  } else if (place.size == count) {
    dist::in_group(place, options, body);
  }
}

}  // namespace opencloc::fixtures
