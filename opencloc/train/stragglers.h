// Which process of a job holds the others up.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "opencloc/base/json.h"

namespace opencloc {

class Stragglers {
 public:
  // `hosts`: the machine of each rank.
  explicit Stragglers(std::vector<std::string> hosts) : hosts_(std::move(hosts)) {}

  // `busy`: the seconds that each rank worked since the last line, its waits for the loader among
  // them, those for other ranks not. -> {"rank", "host", "times_median"} of the slowest; null where
  // nobody worked. The median of an even number is the lower one: of two the other one's time.
  Json add(const std::vector<double>& busy);
  // What to warn of after the last add(): a rank was at more than 1.5 times the median in 10 lines
  // one after the other. Each such time is told once.
  std::optional<std::string> warning() const;

 private:
  const std::vector<std::string> hosts_;
  Json slowest_;
  int64_t late_rank_ = -1;
  int lines_ = 0;  // in which it was late
};

}  // namespace opencloc
