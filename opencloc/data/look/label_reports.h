// The reports that `opencloc label` leaves beside its shards (label_report_path), added up: what a
// labelling run of many processes did as a whole.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "opencloc/base/json.h"

namespace opencloc {

struct LabelReports {
  int64_t shards = 0;          // with a report
  int64_t shards_without = 0;  // without
  int64_t images = 0;
  int64_t regions = 0;
  double seconds = 0;                           // of all processes together
  std::map<std::string, double> stage_seconds;  // "read", "decode", stages, "write"
  std::map<std::string, int64_t> skipped;       // samples by reason
  Json stages = Json::object();                 // each stage's counts, by its name
  std::vector<Json> settings;                   // the different ones; one, if all is well

  // All of it, with regions_per_image, images_per_s (of one process) and stage_share (0 to 1).
  Json json() const;
  // The same for people, in the lines of DataStats::table().
  std::string table() const;
};

// Throws Error (input) for a report that is none.
LabelReports collect_label_reports(const std::vector<std::string>& shards);

}  // namespace opencloc
