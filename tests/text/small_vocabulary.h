// A CLIP vocabulary small enough to follow by hand.
#pragma once

#include <string>

namespace opencloc {

constexpr int kSmallMerges = 7;
inline std::string small_merges() {
  return "\"small\" #version: 0.2\n"
         "a a\n"        // 512
         "aa aa\n"      // 513
         "l o</w>\n"    // 514
         "l o\n"        // 515
         "lo w</w>\n"   // 516
         "e r</w>\n"    // 517
         "w er</w>\n";  // 518, which "lower" reaches
}

}  // namespace opencloc
