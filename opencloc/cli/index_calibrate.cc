// `opencloc index calibrate`: where hits should end, from labelled data.
#include <memory>
#include <set>

#include <spdlog/fmt/fmt.h>

#include "opencloc/base/error.h"
#include "opencloc/base/log.h"
#include "opencloc/base/progress.h"
#include "opencloc/base/text_file.h"
#include "opencloc/cli/index_flags.h"
#include "opencloc/index/calibrate.h"
#include "opencloc/search/labelled.h"
#include "opencloc/search/query.h"

namespace opencloc::cli {
namespace {

struct CalibrateFlags : IndexFlags {
  std::string data, vocabulary, model, precision = "fp32";
  double share = 0.9;
  ShardOptions reader;
};

// Every name that pictures hold, and those of the vocabulary that none holds.
std::vector<NamedQuery> named_queries(const LabelledPictures& labels, const std::string& vocabulary,
                                      QueryEncoder& encoder) {
  std::vector<NamedQuery> names;
  for (const auto& [name, pictures] : labels.pictures_of) names.push_back({name, {}, pictures});
  std::set<std::string> absent;
  for (const std::string& name : read_text_lines(vocabulary)) {
    if (name.find_first_not_of(" \t") != name.npos && !labels.pictures_of.contains(name))
      absent.insert(name);
  }
  for (const std::string& name : absent) names.push_back({name, {}, {}});
  ProgressBar bar("names", static_cast<int64_t>(names.size()), "names");
  for (NamedQuery& name : names) {
    QuerySpec spec;
    spec.phrase = name.name;
    name.vector = encoder.encode(spec).vector;
    bar.advance(1);
  }
  return names;
}

std::string table_of(const std::vector<CalibratedKind>& kinds) {
  std::string text =
      "searched  score    cut by      limit  absent names without a hit  true hits kept\n";
  for (const CalibratedKind& kind : kinds) {
    const auto line = [&](const char* by, const CutEffect& effect, bool chosen) {
      text += fmt::format(
          "{:<9} {:<8} {:<8} {:>8.3f}  {:>25.1f} %  {:>12.1f} %{}\n", to_string(kind.cut.unit),
          kind.cut.score == SearchScore::kQuality ? "quality" : "cosine", by, effect.limit,
          100 * effect.absent_share, 100 * effect.true_share, chosen ? "  <- kept" : "");
    };
    line("z", kind.by_z, !kind.cut.flat);
    line("score", kind.by_score, kind.cut.flat);
    line("guess", kind.guess, false);
  }
  return text;
}

void run_calibrate(const CalibrateFlags& flags) {
  const auto store = open_store(flags.index);
  SkipCounter skips;
  LabelledPictures labels;
  {
    ProgressBar bar("labels", 0, "samples");
    labels = read_labels(store->catalog(), flags.data, flags.reader, skips,
                         [&](int64_t samples) { bar.advance(samples); });
  }
  if (skips.total() > 0) log::warn("{}", skips.summary());
  if (labels.unlabelled > 0) {
    log::warn(
        "{} of the index's pictures are not in the data: names that they hold would count as "
        "absent, and the cut-off be too high",
        labels.unlabelled);
  }
  QueryEncoder encoder(*store, flags.model,
                       {flags.common.device, thread_count(flags.common), flags.precision});
  const auto names = named_queries(labels, flags.vocabulary, encoder);
  const auto kinds = calibrate(*store, names, flags.share);
  std::vector<CalibratedCut> cuts;
  for (const CalibratedKind& kind : kinds) cuts.push_back(kind.cut);
  open_store_writer(flags.index)->set_cuts(cuts);
  const auto held = labels.pictures_of.size();
  Json json = {{"index", flags.shown()},
               {"pictures", labels.labelled},
               {"pictures_not_in_the_data", labels.unlabelled},
               {"samples_not_in_the_index", labels.elsewhere},
               {"names", held},
               {"absent_names", names.size() - held},
               {"cuts", calibration_json(kinds)}};
  print_line_or_json(
      flags, json,
      fmt::format("{}{}: {} names of {} pictures, {} absent names; 'search --cut "
                  "auto' ends hits by the lines that are kept",
                  table_of(kinds), flags.shown(), held, labels.labelled, names.size() - held));
}

}  // namespace

void add_index_calibrate(CLI::App& app) {
  const auto flags = std::make_shared<CalibrateFlags>();
  add_index_argument(app, *flags);
  app.add_option("--data", flags->data,
                 "shards of the index's pictures, with the names of what they hold: texts of "
                 "regions, and class labels")
      ->required()
      ->type_name("GLOB");
  app.add_option("--vocabulary", flags->vocabulary,
                 "names, one a line; those that the data does not hold should find nothing")
      ->required()
      ->type_name("FILE");
  app.add_option("--share", flags->share, "of these names that should find nothing")
      ->check(CLI::Range(0.01, 0.999))
      ->capture_default_str();
  app.add_flag("--skip-bad-shards", flags->reader.skip_bad_shards,
               "count shards that cannot be read instead of failing");
  app.add_flag("--json", flags->json, "print the result as JSON");
  app.add_option("--model", flags->model, "where the index's model is now")->type_name("DIR");
  app.add_option("--precision", flags->precision, "of matrix products")
      ->check(CLI::IsMember({"fp32", "bf16"}))
      ->capture_default_str();
  add_cache_flags(app);
  add_device_flag(app, flags->common);
  add_threads_flag(app, flags->common);
  add_config_flag(app);
  app.footer(
      "Asks for every name. Tries a z of each query's scores and a flat score, and keeps in the\n"
      "index what leaves more of the true hits (of the first 10 of every name that is held).\n"
      "'opencloc search --cut auto' then ends there in place of its guess. Run it again when the\n"
      "collection has grown much: more pictures give higher scores by chance.\n\n"
      "Example:\n"
      "  opencloc index calibrate photos.idx --data 'labelled/*.tar' --vocabulary names.txt\n"
      "  opencloc search photos.idx 'a red car' --cut auto");
  app.callback([flags] { run_calibrate(*flags); });
}

}  // namespace opencloc::cli
