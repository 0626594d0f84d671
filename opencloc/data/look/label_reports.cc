#include "opencloc/data/look/label_reports.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include <spdlog/fmt/fmt.h>

#include "opencloc/base/error.h"
#include "opencloc/data/look/label_output.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;

Error not_a_report(const std::string& what, const std::string& where) {
  return Error::input("not the report of a labelled shard: " + what, where,
                      "remove it, or label the shard again");
}

int64_t sum_of(int64_t a, int64_t b, const std::string& where) {
  int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) throw not_a_report("a count is too large", where);
  return sum;
}

// Adds the numbers of `part`, member by member; what is no number is no count.
void add_counts(Json& sum, const Json& part, const std::string& where) {
  for (const auto& [key, value] : part.items()) {
    if (value.is_object()) {
      Json& below = sum[key];
      if (!below.is_object()) below = Json::object();
      add_counts(below, value, where);
    } else if (value.is_number_integer()) {
      const auto it = sum.find(key);
      const bool known = it != sum.end() && it->is_number_integer();
      sum[key] = sum_of(known ? it->get<int64_t>() : 0, value.get<int64_t>(), where);
    }
  }
}

const Json& object_at(const Json& report, const char* key, const std::string& where) {
  const Json& value = json_at(report, key, where);
  if (!value.is_object()) throw not_a_report(std::string("'") + key + "' is no object", where);
  return value;
}

void add_report(const Json& report, const std::string& where, LabelReports& all) {
  if (!report.is_object()) throw not_a_report("no object", where);
  const Json& settings = object_at(report, "settings", where);
  if (std::find(all.settings.begin(), all.settings.end(), settings) == all.settings.end()) {
    all.settings.push_back(settings);
  }
  all.images = sum_of(all.images, json_int(report, "images", where, 0), where);
  all.regions = sum_of(all.regions, json_int(report, "regions", where, 0), where);
  all.seconds += json_number(report, "seconds", where, 0);
  if (report.contains("stages")) add_counts(all.stages, object_at(report, "stages", where), where);
  const Json& skipped = object_at(report, "skipped", where);
  for (const auto& [reason, count] : skipped.items()) {
    int64_t& sum = all.skipped[reason];
    sum = sum_of(sum, json_int(skipped, reason.c_str(), where, 0), where);
  }
  const Json& seconds = object_at(report, "stage_seconds", where);
  for (const auto& [stage, time] : seconds.items()) {
    all.stage_seconds[stage] += json_number(seconds, stage.c_str(), where, 0);
  }
  ++all.shards;
}

double ratio(double sum, double count) { return count > 0 ? sum / count : 0; }

std::map<std::string, double> shares_of(const std::map<std::string, double>& seconds) {
  double all = 0;
  for (const auto& [stage, time] : seconds) all += time;
  std::map<std::string, double> shares;
  for (const auto& [stage, time] : seconds) shares[stage] = ratio(time, all);
  return shares;
}

// "captions 506, phrases 1501, dropped (stop words 20)": the counts above 0.
std::string counts_line(const Json& counts) {
  std::string line;
  for (const auto& [name, value] : counts.items()) {
    std::string part;
    if (value.is_object()) {
      const std::string below = counts_line(value);
      if (!below.empty()) part = fmt::format("{} ({})", name, below);
    } else if (value != 0) {
      part = name + " " + dump_json(value);
    }
    if (!part.empty()) line += (line.empty() ? "" : ", ") + part;
  }
  return line;
}

}  // namespace

LabelReports collect_label_reports(const std::vector<std::string>& shards) {
  LabelReports all;
  for (const auto& shard : shards) {
    const fs::path path = label_report_path(shard);
    if (fs::exists(path)) {
      add_report(read_json(path), path.string(), all);
    } else {
      ++all.shards_without;
    }
  }
  return all;
}

Json LabelReports::json() const {
  const auto count = static_cast<double>(images);
  return {{"shards", shards},
          {"shards_without", shards_without},
          {"images", images},
          {"regions", regions},
          {"regions_per_image", ratio(static_cast<double>(regions), count)},
          {"skipped", skipped},
          {"stages", stages},
          {"seconds", seconds},
          {"images_per_s", ratio(count, seconds)},
          {"stage_seconds", stage_seconds},
          {"stage_share", shares_of(stage_seconds)},
          {"settings", settings}};
}

std::string LabelReports::table() const {
  std::string out;
  const auto line = [&out](std::string_view name, const std::string& value) {
    out += fmt::format("{:<28}{}\n", name, value);
  };
  line("labelled shards", fmt::format("{} with a report, {} without", shards, shards_without));
  line("  images, regions",
       fmt::format("{}, {} ({:.2f} an image)", images, regions,
                   ratio(static_cast<double>(regions), static_cast<double>(images))));
  line("  skipped", skipped.empty() ? "0" : counts_line(Json(skipped)));
  for (const auto& [stage, counts] : stages.items()) line("  " + stage, counts_line(counts));
  line("  seconds of a process", fmt::format("{:.1f} ({:.1f} images/s)", seconds,
                                             ratio(static_cast<double>(images), seconds)));
  const auto shares = shares_of(stage_seconds);
  std::vector<std::pair<double, std::string>> slowest;
  for (const auto& [stage, time] : stage_seconds) slowest.emplace_back(-time, stage);
  std::sort(slowest.begin(), slowest.end());
  for (const auto& [time, stage] : slowest) {
    line("    " + stage, fmt::format("{:.1f} ({:.0f}%)", -time, 100 * shares.at(stage)));
  }
  if (settings.size() > 1) {
    line("  settings",
         fmt::format("{} different ones: the setting 'json' shows them", settings.size()));
  }
  return out;
}

}  // namespace opencloc
