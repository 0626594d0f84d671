// When L_CLOC's cosine test between region texts opens. Untrained text embeddings all lie within
// 0.9 of each other: from the first step the test would remove every negative and silence the loss.
// Identical texts are always masked; the test opens once it would remove few distinct texts, after
// warm-up at the earliest (the trainer observes from there on). Texts that drift together later
// would lose what keeps them apart, and nothing would bring it back: the test closes again above
// twice the share it opens below. Between the two it stays as it is.
#pragma once

#include <cstdint>

#include "opencloc/base/json.h"
#include "opencloc/loss/loss.h"

namespace opencloc {

struct FilterOptions {
  bool on = true;
  bool identical = true;  // identical texts are masked, whatever `on` says
  double threshold = 0.9;
  double open_below = 0.2;  // share of pairs of distinct texts above the threshold ...
  int64_t open_after = 20;  // ... for so many steps in a row; so many above close_above() close it
  double close_above() const { return 2 * open_below; }
};

enum class FilterChange { kNone, kOpens, kCloses };

class FilterSchedule {
 public:
  explicit FilterSchedule(const FilterOptions& options) : options_(options) {}

  TextFilter filter() const { return {open_, options_.threshold, options_.identical}; }
  // Told after each step with regions what region_loss measured.
  FilterChange observe(double similar_share);
  bool open() const { return open_; }

  Json state() const;
  void load(const Json& state, std::string_view where);

 private:
  FilterOptions options_;
  bool open_ = false;
  // In a row: below open_below while closed, above close_above() while open.
  int64_t steps_towards_change_ = 0;
};

}  // namespace opencloc
