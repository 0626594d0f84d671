// The objectives there are. Another one is a file beside clip.cc and a line here.
#include "opencloc/objective/objective.h"

namespace opencloc {

std::unique_ptr<Objective> make_clip(const Cloc& model, const ObjectiveOptions& options);
std::unique_ptr<Objective> make_cloc(const Cloc& model, const ObjectiveOptions& options);
std::unique_ptr<Objective> make_coca(const Cloc& model, const ObjectiveOptions& options);
std::unique_ptr<Objective> make_entities(const Cloc& model, const ObjectiveOptions& options);
std::unique_ptr<Objective> make_m3ae(const Cloc& model, const ObjectiveOptions& options);

const std::vector<ObjectiveRow>& objectives() {
  static const std::vector<ObjectiveRow> table = {
      {.name = "clip", .title = "CLIP", .make = make_clip},
      {.name = "cloc", .title = "CLOC", .regions = true, .make = make_cloc},
      {.name = "coca", .title = "CoCa", .captions = true, .make = make_coca},
      {.name = "m3ae", .title = "M3AE", .masked = true, .make = make_m3ae},
      {.name = "entities", .title = "entities", .entities_only = true, .make = make_entities},
  };
  return table;
}

const ObjectiveRow* find_objective(std::string_view name) {
  for (const auto& row : objectives()) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

}  // namespace opencloc
