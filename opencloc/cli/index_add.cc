// `opencloc index add`: pictures and their regions become vectors of an index.
#include <filesystem>
#include <memory>
#include <optional>

#include <spdlog/fmt/fmt.h>

#include "opencloc/base/error.h"
#include "opencloc/base/log.h"
#include "opencloc/base/progress.h"
#include "opencloc/base/text_file.h"
#include "opencloc/cli/box_file.h"
#include "opencloc/cli/index_flags.h"
#include "opencloc/cli/label_flags.h"
#include "opencloc/label/detector.h"
#include "opencloc/label/select.h"
#include "opencloc/model/device.h"
#include "opencloc/search/indexer.h"

namespace opencloc::cli {
namespace {

namespace fs = std::filesystem;

// Levels of the grid that large objects need (docs/results/search.md).
constexpr int64_t kUsualCoarse = 2;

struct IndexAddFlags : IndexFlags {
  std::string model, architecture, boxes, precision = "fp32";
  std::string detector, vocabulary, detector_kind = "owlv2";
  std::optional<double> threshold = std::nullopt;  // none: the detector's usual one
  int64_t most = 20;
  IndexInfo made;
  IndexerOptions options;
};

void report_added(const IndexAddFlags& flags, const IndexerSummary& summary,
                  const SkipCounter& skips) {
  if (skips.total() > 0) log::warn("{}", skips.summary());
  if (summary.off_canvas > 0)
    log::warn("{} regions lie off the model's canvas", summary.off_canvas);
  Json json = {{"index", flags.shown()}};
  json.update(summary.json());
  json["skipped"] = skips.json();
  print_line_or_json(
      flags, json,
      fmt::format("{}: {} pictures added with {} vectors, {} further names, {} there already, {} "
                  "broken; {}, {} of it beyond encoding",
                  flags.shown(), summary.added, summary.vectors, summary.aliases, summary.unchanged,
                  summary.broken, format_duration(summary.seconds),
                  fmt::format("{:.1f} s", summary.writing_seconds)));
}

// What an index was made with holds for all of it.
void require_same_regions(const CLI::App& app, const IndexAddFlags& flags) {
  if (!store_exists(flags.index)) return;
  const IndexInfo there = read_store_info(flags.index);
  if (app.count("--regions") > 0 && there.regions != flags.made.regions) {
    throw Error::input("the index was made with --regions " + there.regions, flags.shown(),
                       "leave the flag out, or make another index");
  }
  if (app.count("--region-method") > 0 &&
      (there.region_method == "crop") != (flags.made.region_method == "crop")) {
    throw Error::input("the index was made with another --region-method", flags.shown(),
                       "leave the flag out, or make another index");
  }
  if (app.count("--keep") > 0 && there.keep != flags.made.keep) {
    throw Error::input("the index was made with --keep " + std::to_string(there.keep),
                       flags.shown(), "leave the flag out, or make another index");
  }
  if (app.count("--coarse") > 0 && there.coarse != flags.made.coarse) {
    throw Error::input("the index was made with --coarse " + std::to_string(there.coarse),
                       flags.shown(), "leave the flag out, or make another index");
  }
  if (app.count("--grid") > 0 && there.grid != flags.made.grid) {
    throw Error::input("the index was made with another --grid", flags.shown(),
                       "leave the flag out, or make another index");
  }
}

// Every picture is asked for the whole vocabulary.
FindBoxes detector_boxes(const IndexAddFlags& flags) {
  std::vector<std::string> phrases;
  for (const auto& phrase : read_text_lines(flags.vocabulary)) {
    if (phrase.find_first_not_of(" \t") != phrase.npos) phrases.push_back(phrase);
  }
  if (phrases.empty())
    throw Error::input("no phrases to look for", flags.vocabulary, "write one a line");
  DetectorOptions options;
  options.device = parse_device(flags.common.device);
  options.precision = parse_precision(flags.precision);
  const std::shared_ptr<Detector> detector = flags.detector_kind == "cloc"
                                                 ? cloc_detector(flags.detector, options)
                                                 : owlv2_detector(flags.detector, options);
  SelectOptions select;
  select.threshold =
      static_cast<float>(flags.threshold.value_or(usual_threshold(flags.detector_kind)));
  select.most = static_cast<size_t>(flags.most);
  return [detector, phrases, select](const std::vector<const Image*>& images) {
    std::vector<DetectorQuery> queries;
    for (const Image* image : images) queries.push_back({image, phrases});
    std::vector<std::vector<SourceRegion>> found;
    for (auto& candidates : detector->detect(queries, select.threshold)) {
      auto& regions = found.emplace_back();
      for (const Candidate& one : select_candidates(std::move(candidates), select))
        regions.push_back({one.box, one.text});
    }
    return found;
  };
}

void run_index_add(const CLI::App& app, IndexAddFlags& flags) {
  if (!flags.detector.empty() && flags.vocabulary.empty()) {
    throw Error::input("a detector looks for phrases", "--detector",
                       "name them with --vocabulary FILE, one a line");
  }
  if (flags.options.images.empty() && flags.options.data.empty() && flags.boxes.empty()) {
    throw Error::input("no pictures are named", "index add", "give --images, --data or --boxes");
  }
  require_same_regions(app, flags);
  std::string model = flags.model;
  if (model.empty() && store_exists(flags.index)) model = read_store_info(flags.index).model;
  if (model.empty()) {
    throw Error::input("a new index needs a model", "index add",
                       "name a model directory with --model");
  }
  for (const auto& path : flags.options.images) {
    if (!fs::exists(path)) throw Error::input("no such picture or folder", path, "check the path");
  }
  if (!flags.boxes.empty()) add_boxes(flags.boxes, flags.options.with_boxes);
  if (!flags.detector.empty()) flags.options.find_boxes = detector_boxes(flags);
  LoadedModel loaded = load_model(model, {flags.architecture});
  flags.made.model = fs::absolute(model).lexically_normal().string();
  flags.options.encode.device = parse_device(flags.common.device);
  flags.options.encode.precision = parse_precision(flags.precision);
  flags.options.workers = thread_count(flags.common);
  std::unique_ptr<ProgressBar> bar;
  flags.options.begin = [&](int64_t expected) {
    bar = std::make_unique<ProgressBar>("index", expected, "pictures");
  };
  flags.options.progress = [&](int64_t pictures) { bar->advance(pictures); };
  SkipCounter skips;
  const auto summary = index_pictures(loaded, flags.index, flags.made, flags.options, skips);
  bar.reset();
  report_added(flags, summary, skips);
  const int64_t nothing = summary.added + summary.aliases + summary.unchanged;
  if (nothing == 0)
    throw Error::input("not one picture could be read", flags.shown(), "see the warnings above");
}

}  // namespace

void add_index_add(CLI::App& app) {
  const auto flags = std::make_shared<IndexAddFlags>();
  auto& options = flags->options;
  flags->made.coarse = kUsualCoarse;
  add_index_argument(app, *flags, kMadeIndexPlace);
  app.add_option("--model", flags->model,
                 "model directory; of an index that is there, the one it was made with")
      ->type_name("DIR");
  add_architecture_flag(app, flags->architecture);
  app.add_option("--images", options.images, "picture files, and folders with all pictures below")
      ->type_name("PATH");
  app.add_option("--data", options.data, "shards: their pictures, captions and regions")
      ->type_name("GLOB");
  app.add_option("--boxes", flags->boxes,
                 "file with a region a line: {\"image\": PATH, \"box\": [x0, y0, x1, y1], "
                 "\"text\"?: T}, the box in [0, 1] of the picture")
      ->type_name("FILE");
  app.add_option("--regions", flags->made.regions,
                 "of a new index: labels = the data's boxes, and the grid for pictures without; "
                 "grid = the grid for all; both = the data's boxes and the grid for all; none = "
                 "whole pictures only")
      ->check(CLI::IsMember({"labels", "grid", "both", "none"}))
      ->capture_default_str();
  app.add_option("--grid", flags->made.grid,
                 "of a new index: boxes a side, half-overlapping, level by level")
      ->delimiter(',')
      ->check(CLI::Range(1, 16))
      ->default_str("1,2,3");
  app.add_option("--region-method", flags->made.region_method,
                 "of a new index: model = as the model reads regions, all from one encode of the "
                 "picture; crop = each is cut out and encoded as a picture of its own")
      ->check(CLI::IsMember({"model", "crop"}))
      ->default_str("model");
  app.add_option(
         "--keep", flags->made.keep,
         "of a new index: of the grid's boxes only so many, those that hold one object best "
         "(models with a quality head); 0 = all")
      ->check(not_negative())
      ->capture_default_str();
  app.add_option("--coarse", flags->made.coarse,
                 "of a new index, with --keep: the grid's levels of up to so many boxes a side are "
                 "kept besides, for large objects; 0 = none")
      ->check(not_negative())
      ->capture_default_str();
  app.add_option("--detector", flags->detector,
                 "model directory of a detector, as for 'opencloc label': its boxes of the "
                 "vocabulary's phrases join the pictures' own")
      ->type_name("DIR");
  app.add_option("--vocabulary", flags->vocabulary,
                 "with --detector: the phrases that it looks for, one a line")
      ->type_name("FILE")
      ->needs("--detector");
  app.add_option("--detector-kind", flags->detector_kind,
                 "owlv2 (transformers' layout), or cloc (a model of ours with region heads)")
      ->check(CLI::IsMember({"owlv2", "cloc"}))
      ->needs("--detector")
      ->capture_default_str();
  app.add_option("--detector-threshold", flags->threshold,
                 "least score of its boxes; default 0.1 (owlv2), 0.3 (cloc: a cosine)")
      ->needs("--detector");
  app.add_option("--max-regions", flags->most, "of the detector's boxes, a picture")
      ->check(positive())
      ->needs("--detector")
      ->capture_default_str();
  app.add_option("--commit-every", options.commit_every,
                 "pictures that become valid together; a kill costs no more than these")
      ->check(positive())
      ->capture_default_str();
  app.add_option("--precision", flags->precision, "of matrix products")
      ->check(CLI::IsMember({"fp32", "bf16"}))
      ->capture_default_str();
  app.add_option("--batch-size", options.encode.batch_size, "pictures encoded at a time")
      ->check(positive())
      ->capture_default_str();
  app.add_option("--region-batch", options.encode.region_batch,
                 "regions encoded at a time; 0 = 512, or 64 with pool all")
      ->check(not_negative())
      ->capture_default_str();
  app.add_flag("--skip-bad-shards", options.skip_bad_shards,
               "count shards that cannot be read instead of failing");
  add_cache_flags(app);
  app.add_flag("--json", flags->json, "print the summary as JSON");
  add_device_flag(app, flags->common);
  add_threads_flag(app, flags->common);
  add_config_flag(app);
  app.footer(
      "Run it again for what is new: files that are there by name, size and time are not read\n"
      "again, and the same content under another name becomes an alias.\n\n"
      "Examples:\n"
      "  opencloc index add photos.idx --model runs/demo/model --images ~/Pictures\n"
      "  opencloc index add shop.idx --model clip-b16 --data 'shards/*.tar' --regions labels\n"
      "  opencloc index add photos.idx --images new --detector owlv2-base --vocabulary names.txt\n"
      "  opencloc search photos.idx 'a red car'");
  app.callback([flags, &app] { run_index_add(app, *flags); });
}

}  // namespace opencloc::cli
