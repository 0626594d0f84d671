// When L_CLOC's cosine test between region texts opens. Untrained text embeddings all lie within
// 0.9 of each other: from the first step the test would remove every negative and silence the loss.
// Identical texts are always masked; the test opens once it would remove few distinct texts, after
// warm-up at the earliest (the trainer observes from there on).
#pragma once

#include <cstdint>

#include "opencloc/base/json.h"
#include "opencloc/loss/loss.h"

namespace opencloc {

struct FilterOptions {
  bool on = true;
  double threshold = 0.9;
  double open_below = 0.2;  // share of pairs of distinct texts above the threshold ...
  int64_t open_after = 20;  // ... for so many steps in a row
};

class FilterSchedule {
 public:
  explicit FilterSchedule(const FilterOptions& options) : options_(options) {}

  TextFilter filter() const { return {open_, options_.threshold}; }
  // Told after each step with regions what region_loss measured. Returns true when the test opens.
  bool observe(double similar_share);
  bool open() const { return open_; }

  Json state() const;
  void load(const Json& state, std::string_view where);

 private:
  FilterOptions options_;
  bool open_ = false;
  int64_t steps_below_ = 0;  // in a row
};

}  // namespace opencloc
