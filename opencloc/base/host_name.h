// The name of this machine.
#pragma once

#include <string>

#include <unistd.h>

namespace opencloc {

// "n02"; empty where it has none.
inline std::string host_name() {
  char name[256] = {};
  ::gethostname(name, sizeof(name) - 1);
  return name;
}

}  // namespace opencloc
