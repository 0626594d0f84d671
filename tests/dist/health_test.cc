#include "opencloc/dist/health.h"

#include <future>

#include <gtest/gtest.h>

#include "opencloc/dist/address.h"
#include "opencloc/dist/store.h"

namespace opencloc::dist {
namespace {

using namespace std::chrono_literals;

// Two processes of a job in one: the first with the store, and the store's other user.
class HealthTest : public testing::Test {
 protected:
  static Place place() {
    Place place;
    place.host = "127.0.0.1";
    place.port = free_port();
    place.size = 2;
    return place;
  }
  const Place place_ = place();
  Store server_{place_, true, 30s};
  std::promise<std::string> given_up_;
  Health health_{std::make_unique<Store>(place_, false, 30s),
                 0,
                 {"n01, pid 1", "n02, pid 2"},
                 [this](const Error& error) { given_up_.set_value(error.what()); }};

  void other_fails() {
    server_.set_first(kFailureKey, failure_note(1, "the disk is full", ErrorKind::kFailed));
  }
};

// Connecting to a process that is gone, for instance.
TEST_F(HealthTest, ACallThatDoesNotEndIsGivenUpOnceAProcessFailed) {
  health_.begin("connecting");
  other_fails();
  EXPECT_EQ(given_up_.get_future().get(), "rank 1 (n02, pid 2) failed: the disk is full");
  health_.stop();
}

TEST_F(HealthTest, TheNextCallSaysWhatHappened) {
  health_.end(health_.begin("a sum"));
  other_fails();
  std::string said;
  while (said.empty()) {
    try {
      health_.end(health_.begin("a sum"));
    } catch (const Error& error) {
      said = error.what();
    }
  }
  EXPECT_EQ(said, "rank 1 (n02, pid 2) failed: the disk is full");
}

// Two lines have calls at the same time; each error names its own.
TEST_F(HealthTest, CallsOfTwoLinesAreToldApart) {
  const auto gradients = health_.begin("the sum of gradients"), counts = health_.begin("a sum");
  health_.end(counts);
  other_fails();
  health_.at("step 3");
  EXPECT_STREQ(health_.explain(gradients, "Connection reset by peer").what(),
               "rank 1 (n02, pid 2) failed: the disk is full");
}

}  // namespace
}  // namespace opencloc::dist
