// The table that every import ends with.
#include <spdlog/fmt/fmt.h>

#include "opencloc/data/import/import.h"

namespace opencloc {
namespace {

std::string table_line(std::string_view name, int64_t count,
                       const std::vector<std::string>& names) {
  std::string line = fmt::format("  {:<52} {:>9}", name, count);
  for (size_t i = 0; i < names.size(); ++i) {
    std::string shown = names[i].substr(0, names[i].find('\n'));
    if (shown.size() > 100) shown = "..." + shown.substr(shown.size() - 97);
    line += (i == 0 ? "  " : "; ") + shown;
  }
  if (count > static_cast<int64_t>(names.size()) && !names.empty()) line += "; ...";
  return line + "\n";
}

}  // namespace

std::string import_table(const ImportReport& report, const SkipCounter& skips) {
  std::string table = table_line("pictures imported", report.images, {});
  table += table_line("  with regions", report.images_with_regions, {});
  table += table_line("  with a text", report.images_with_text, {});
  table += table_line("  with a label", report.images_with_label, {});
  if (report.images_unused > 0) {
    table += table_line("pictures that nothing names", report.images_unused, {});
  }
  table += table_line("pictures missing", skips.count(skip::kMissingImage),
                      skips.first_names(skip::kMissingImage));
  table += table_line("regions used", report.regions, {});
  table += table_line("  clipped to the picture", report.boxes_clipped, {});
  if (report.images_turned > 0) {
    table += table_line("pictures whose boxes were turned back (EXIF)", report.images_turned, {});
  }
  for (const auto& [reason, count] : skips.counts()) {
    if (reason == skip::kMissingImage) continue;
    table += table_line("left out: " + reason, count, skips.first_names(reason));
  }
  for (const auto& [doubt, count] : skips.notes()) {
    table += table_line("used, but: " + doubt, count, skips.first_names(doubt));
  }
  return table;
}

}  // namespace opencloc
