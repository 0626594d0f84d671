#include "opencloc/objective/filter_schedule.h"

namespace opencloc {

FilterChange FilterSchedule::observe(double similar_share) {
  if (!options_.on) return FilterChange::kNone;
  const bool towards_change =
      open_ ? similar_share > options_.close_above() : similar_share < options_.open_below;
  steps_towards_change_ = towards_change ? steps_towards_change_ + 1 : 0;
  if (steps_towards_change_ < options_.open_after) return FilterChange::kNone;
  open_ = !open_;
  steps_towards_change_ = 0;
  return open_ ? FilterChange::kOpens : FilterChange::kCloses;
}

Json FilterSchedule::state() const {
  return {{"open", open_}, {open_ ? "steps_above" : "steps_below", steps_towards_change_}};
}

void FilterSchedule::load(const Json& state, std::string_view where) {
  open_ = json_bool(state, "open", where, false) && options_.on;
  // Runs of before the test could close hold steps_below of when it opened.
  steps_towards_change_ = json_int(state, open_ ? "steps_above" : "steps_below", where, 0);
}

}  // namespace opencloc
