// report.html: one file, no network, no scripts: curves, tables and pictures of a run.
#pragma once

#include <string>
#include <vector>

#include "opencloc/base/json.h"
#include "opencloc/image/image.h"
#include "opencloc/train/config.h"
#include "opencloc/train/setup.h"

namespace opencloc {

struct ReportBox {
  Box box;
  Box predicted;
  bool has_prediction = false;
  std::string text;
};
struct ReportPicture {
  Image image;
  std::string text;
  std::vector<ReportBox> boxes;
};

struct ReportInput {
  std::string title;
  std::string config;         // config.toml
  std::vector<Json> metrics;  // lines of metrics.jsonl
  std::vector<ReportPicture> pictures;
  std::string skipped;  // what was skipped, empty when nothing
};
// -> the page.
std::string report_html(const ReportInput& input);

// A page with nothing but pictures.
std::string pictures_html(const std::string& title, const std::vector<ReportPicture>& pictures);

// The first `count` usable samples with regions of `store`, in a random order that never changes,
// with the boxes the model finds for their region texts (when it was trained to).
std::vector<ReportPicture> report_pictures(const SampleStore& store, TrainedParts& parts,
                                           const TrainConfig& config, int count);

}  // namespace opencloc
