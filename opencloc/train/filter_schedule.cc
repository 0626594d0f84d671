#include "opencloc/train/filter_schedule.h"

namespace opencloc {

bool FilterSchedule::observe(double similar_share) {
  if (!options_.on || open_) return false;
  steps_below_ = similar_share < options_.open_below ? steps_below_ + 1 : 0;
  open_ = steps_below_ >= options_.open_after;
  return open_;
}

Json FilterSchedule::state() const { return {{"open", open_}, {"steps_below", steps_below_}}; }

void FilterSchedule::load(const Json& state, std::string_view where) {
  open_ = json_bool(state, "open", where, false) && options_.on;
  steps_below_ = json_int(state, "steps_below", where, 0);
}

}  // namespace opencloc
