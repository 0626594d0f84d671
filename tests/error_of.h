// What an action that must fail says.
#pragma once

#include <functional>
#include <string>

#include <gtest/gtest.h>

#include "opencloc/base/error.h"

namespace opencloc::fixtures {

// The message of the Error that `action` throws, "no error" where it throws none. The error must
// carry `exit_code`.
inline std::string error_of(const std::function<void()>& action, int exit_code = 2) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), exit_code) << error.what();
    return error.what();
  }
  return "no error";
}

}  // namespace opencloc::fixtures
