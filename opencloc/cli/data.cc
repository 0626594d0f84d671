// `opencloc data`: import, scenes, mosaic; stats and show are in data_look.cc.
#include <map>
#include <memory>
#include <optional>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/json.h"
#include "opencloc/base/progress.h"
#include "opencloc/cli/data_flags.h"
#include "opencloc/cli/flag_names.h"
#include "opencloc/data/import/import.h"
#include "opencloc/data/load/ordered.h"
#include "opencloc/data/scenes/mosaic.h"
#include "opencloc/data/scenes/scenes.h"
#include "opencloc/data/shard/find_shards.h"

namespace opencloc::cli {

void print_written(const DataFlags& flags, const ShardSetWriter& out, const SkipCounter& skips,
                   const Json& details) {
  Json result = {{"out", flags.out}, {"samples", out.samples()}, {"shards", out.shards()}};
  result.update(details);
  result["skipped"] = skips.json();
  if (flags.json) {
    std::printf("%s\n", dump_json(result).c_str());
    return;
  }
  std::printf("%s: %lld samples in %lld shards\n", flags.out.c_str(),
              static_cast<long long>(out.samples()), static_cast<long long>(out.shards()));
  for (const auto& [name, value] : details.items()) {
    if (value.is_structured()) continue;  // said in the table already
    std::printf("  %-20s %s\n", name.c_str(), dump_json(value).c_str());
  }
  if (skips.total() > 0) std::printf("  %s\n", skips.summary().c_str());
}

namespace {

struct ImportFlags : DataFlags {
  std::string format;
  ImportOptions options;
  bool check = false;
  bool strict = false;
};

Json counts_json(const std::map<std::string, int64_t>& counts) {
  Json result = Json::object();
  for (const auto& [name, count] : counts) result[name] = count;
  return result;
}

void print_checked(const ImportFlags& flags, const ImportReport& report, const SkipCounter& skips,
                   Json details) {
  if (!flags.json) {
    std::printf("checked, nothing is written: %lld samples\n",
                static_cast<long long>(report.images));
    return;
  }
  Json result = {{"checked", true}, {"samples", report.images}};
  result.update(details);
  result["skipped"] = skips.json();
  std::printf("%s\n", dump_json(result).c_str());
}

void run_import_verb(const ImportFlags& flags) {
  if (!flags.check && flags.out.empty()) throw CLI::RequiredError("--out");
  SkipCounter skips;
  std::unique_ptr<ProgressBar> bar;
  const ImportRun run{thread_count(flags.common), [&bar](int64_t, int64_t total) {
                        if (!bar) bar = std::make_unique<ProgressBar>("import", total, "pictures");
                        bar->advance();
                      }};
  std::optional<ShardSetWriter> out;
  if (!flags.check) out.emplace(flags.out, flags.writer);
  const ImportReport report = out ? import_dataset(flags.format, flags.options, *out, skips, run)
                                  : check_dataset(flags.format, flags.options, skips, run);
  const bool refused = flags.strict && skips.total() > 0;
  if (out && !refused) out->commit();
  bar.reset();
  Json details = report.json();
  details["warnings"] = counts_json(skips.notes());
  details["missing"] = skips.first_names(skip::kMissingImage);
  if (!flags.json) std::fprintf(stderr, "%s", in_flags(import_table(report, skips)).c_str());
  if (out && !refused) {
    print_written(flags, *out, skips, details);
  } else {
    print_checked(flags, report, skips, details);
  }
  if (refused) {
    throw Error::failed(
        "something would be left out, nothing is written (--strict): " + skips.summary(),
        flags.options.images.string(), "correct the data, or leave --strict out");
  }
}

void add_import(CLI::App& app) {
  const auto flags = std::make_shared<ImportFlags>();
  ImportOptions& options = flags->options;
  app.add_option("--format", flags->format, "What the dataset is")
      ->required()
      ->check(CLI::IsMember(import_formats()));
  app.add_option("--images", options.images, "Folder of the pictures")
      ->type_name("DIR")
      ->required();
  app.add_option(
         "--annotations", options.annotations,
         "The dataset's file: instances.json, data.yaml, a folder of XML, .jsonl, .csv, ...")
      ->type_name("PATH");
  app.add_option("--captions", options.captions,
                 "More captions: COCO's captions.json, or rows (.jsonl, .csv, .tsv, .txt)")
      ->type_name("FILE");
  app.add_option("--phrases", options.phrases,
                 "More regions: rows with image or image_id, phrase, bbox (.jsonl, .csv, .tsv)")
      ->type_name("FILE");
  app.add_option("--split", options.split,
                 "Only rows whose 'split' is this (refcoco, jsonl, csv); the list NAME.txt of "
                 "flickr30k-entities")
      ->type_name("NAME");
  app.add_option("--csv-img-key", options.csv_img_key, "Column of the picture")->type_name("NAME");
  app.add_option("--csv-caption-key", options.csv_caption_key, "Column of the caption")
      ->type_name("NAME");
  app.add_option("--csv-separator", options.csv_separator,
                 "Between columns; found out if not given")
      ->type_name("CHAR");
  app.add_flag("--no-header", options.csv_no_header, "The table's first line is a row, not names");
  app.add_option("--columns", options.csv_columns,
                 "Names of the table's columns, in order: image,caption")
      ->type_name("NAMES")
      ->delimiter(',');
  app.add_option("--caption-template", options.caption_template,
                 "Caption of pictures that have but a class (folder); '' = none")
      ->capture_default_str();
  app.add_flag("--crowd", options.crowd,
               "Keep boxes around many objects, marked: some evaluations count them (coco, lvis, "
               "coco-panoptic)");
  app.add_flag("--every-sentence", options.every_sentence,
               "Keep a sentence that was said of its box before: RefCOCO's evaluation counts it "
               "(refcoco, jsonl, csv)");
  app.add_flag("--check", flags->check,
               "Write nothing: only say what would be imported and what would not, and why");
  app.add_flag("--strict", flags->strict,
               "Write nothing and exit with code 1 when anything is left out");
  add_output_flags(app, *flags);
  app.get_option("--out")->required(false);
  add_json_flag(app, *flags);
  add_threads_flag(app, flags->common);
  add_config_flag(app);
  app.footer(R"(Example:
  opencloc data import --format coco --images coco/val2017 \
      --annotations coco/annotations/instances_val2017.json \
      --captions coco/annotations/captions_val2017.json --out shards/coco-val
  opencloc data import --format csv --images Flickr8k/images \
      --annotations Flickr8k/Flickr8k.token.txt --no-header --columns image,caption --out flickr8k
Pictures keep their bytes; boxes are clipped to the picture. The last lines on stderr are a table of
what was used, what is missing, and what was left out and why. docs/reference/import_sources.md says what is
read of each program's files.)");
  app.callback([flags] { run_import_verb(*flags); });
}

void add_scenes(CLI::App& app) {
  struct Flags : DataFlags {
    int64_t count = 0;
    SceneOptions scene;
    std::string alt_text = "web";
    std::string entities;
  };
  const auto flags = std::make_shared<Flags>();
  app.add_option("--count", flags->count, "Scenes to make")
      ->required()
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40));
  app.add_option("--size", flags->scene.size, "Pixels a side")->capture_default_str();
  app.add_option("--min-objects", flags->scene.min_objects)->capture_default_str();
  app.add_option("--max-objects", flags->scene.max_objects)->capture_default_str();
  app.add_option("--repeats", flags->scene.repeats,
                 "Chance that an object has the name of an earlier one: something to count")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  const auto add_chance = [&app](const char* name, double& value, const char* says) {
    app.add_option(name, value, says)->check(CLI::Range(0.0, 1.0))->capture_default_str();
  };
  add_chance("--repeat-names", flags->scene.repeat_names,
             "The same chance, and region texts that tell objects of one name apart: \"fox below "
             "the apple\"");
  add_chance("--context", flags->scene.context,
             "Chance that another object's text names its neighbour, too: \"fox below the apple\"");
  add_chance("--synonyms", flags->scene.synonyms,
             "Chance that an object goes by its name's second name, a made-up word");
  add_chance("--tiny", flags->scene.tiny,
             "Chance that an object is tiny: a sixteenth to an eighth of the side");
  const std::map<std::string, SceneVariants> variants = {{"none", SceneVariants::kNone},
                                                         {"train", SceneVariants::kTrain},
                                                         {"held-out", SceneVariants::kHeldOut}};
  app.add_option("--variants", flags->scene.variants,
                 "Forms that names are drawn in: none (the glyph as it is), train (six of each), "
                 "held-out (two others)")
      ->transform(one_of(variants))
      ->default_str("none");
  app.add_option("--negatives", flags->scene.negatives,
                 "Wrong texts for each object, at most 4: another size, tint, posture or name")
      ->capture_default_str();
  app.add_option("--names", flags->scene.names, "Use the first N names only; 0 = all")
      ->capture_default_str();
  const std::map<std::string, SceneSplit> splits = {
      {"train", SceneSplit::kTrain}, {"held-out", SceneSplit::kHeldOut}, {"all", SceneSplit::kAll}};
  app.add_option("--split", flags->scene.split,
                 "Names to draw: train, held-out (never in train) or all")
      ->transform(one_of(splits))
      ->default_str("train");
  app.add_option("--image-format", flags->scene.image_format, "jpg or png")->capture_default_str();
  app.add_option("--alt-text", flags->alt_text,
                 "web: some of the names among junk; aliases: any alias of the things, and of some "
                 "that are not there, with the truth as \"mentions\" (needs --entities)")
      ->check(CLI::IsMember({"web", "aliases"}))
      ->capture_default_str();
  app.add_option("--entities", flags->entities,
                 "For --alt-text aliases: a folder of 'data entities --format emoji' or wordnet")
      ->type_name("DIR");
  app.add_option("--font", flags->scene.font, "Colour emoji font")
      ->type_name("FILE")
      ->capture_default_str();
  add_output_flags(app, *flags);
  add_json_flag(app, *flags);
  add_threads_flag(app, flags->common);
  add_seed_flag(app, flags->common);
  add_config_flag(app);
  app.footer(R"(Example:
  opencloc data scenes --count 20000 --size 128 --seed 1 --out scenes
  opencloc data scenes --count 2000 --size 128 --seed 2 --split held-out --out scenes-held-out
  opencloc data entities --format emoji --source /usr/share/unicode/emoji/emoji-test.txt --out emoji
  opencloc data scenes --count 2000 --alt-text aliases --entities emoji --out aliased
  opencloc data scenes --count 20000 --repeat-names 0.4 --context 0.3 --tiny 0.2 --out harder
The scenes depend on the flags alone, not on --threads.)");
  app.callback([flags] {
    flags->scene.seed = flags->common.seed;
    if ((flags->alt_text == "aliases") == flags->entities.empty())
      throw Error::input("--alt-text aliases and --entities need each other", "data scenes",
                         "pass both or none");
    flags->scene.entities = flags->entities;
    const SceneGenerator generator(flags->scene);
    ShardSetWriter out(flags->out, flags->writer);
    ProgressBar bar("scenes", flags->count, "scenes");
    produce_in_order(
        flags->count, thread_count(flags->common),
        [&generator](int64_t i) { return generator.make(static_cast<uint64_t>(i)); },
        [&](Record&& record) {
          out.write(record);
          bar.advance();
        });
    out.commit();
    bar.finish();
    print_written(*flags, out, SkipCounter(), {{"names", generator.names().size()}});
  });
}

void add_mosaic(CLI::App& app) {
  struct Flags : DataFlags {
    MosaicOptions mosaic;
  };
  const auto flags = std::make_shared<Flags>();
  add_input_flags(app, *flags);
  app.add_option("--grid", flags->mosaic.grid, "G: the mosaic has G x G tiles")
      ->check(CLI::Range(1, 16))
      ->capture_default_str();
  app.add_option("--least-tile", flags->mosaic.least_tile,
                 "Above 0: free cuts; every tile is at least so high and wide, as a share of an "
                 "even tile; 0 = even tiles")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--count", flags->mosaic.count, "Mosaics to make")
      ->required()
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40));
  app.add_option("--size", flags->mosaic.size, "Pixels a side")
      ->check(CLI::Range(16, 8192))
      ->capture_default_str();
  const std::map<std::string, MosaicRegions> regions = {{"moved", MosaicRegions::kMoved},
                                                        {"tiles", MosaicRegions::kTiles},
                                                        {"both", MosaicRegions::kBoth}};
  app.add_option("--regions", flags->mosaic.regions,
                 "moved: the samples' own boxes moved along, the whole tile where a sample has "
                 "none; tiles: whole tiles with their labels; both")
      ->transform(one_of(regions))
      ->default_str("moved");
  const std::map<std::string, CanvasRule> fits = {{"crop", CanvasRule::kShortest},
                                                  {"pad", CanvasRule::kLongest},
                                                  {"squash", CanvasRule::kSquash}};
  app.add_option("--fit", flags->mosaic.fit, "How a picture fills its tile: crop, pad or squash")
      ->transform(one_of(fits))
      ->default_str("crop");
  app.add_option("--quality", flags->mosaic.quality, "Of the JPEGs")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  add_output_flags(app, *flags);
  add_json_flag(app, *flags);
  add_threads_flag(app, flags->common);
  add_seed_flag(app, flags->common);
  add_config_flag(app);
  app.footer(R"(Example:
  opencloc data mosaic --data photos --grid 2 --size 256 --count 10000 --seed 1 --out photos-2x2
  opencloc data mosaic --data photos --grid 3 --least-tile 0.3 --count 10000 --out photos-free
Every sample is used once before any is used twice.)");
  app.callback([flags] {
    MosaicOptions& options = flags->mosaic;
    SkipCounter skips;
    const auto shards = find_shards(flags->data, flags->reader, skips);
    ShardSetWriter out(flags->out, flags->writer);
    ProgressBar bar("mosaics", options.count, "mosaics");
    options.seed = flags->common.seed;
    options.threads = thread_count(flags->common);
    options.shards = flags->reader;
    options.progress = [&bar] { bar.advance(); };
    make_mosaics(shards, options, out, skips);
    out.commit();
    bar.finish();
    print_written(*flags, out, skips);
  });
}

}  // namespace

void add_data(CLI::App& app) {
  app.require_subcommand(1);
  add_import(*app.add_subcommand("import", "Any dataset -> shards"));
  add_scenes(*app.add_subcommand("scenes", "Generated scenes with exact boxes -> shards"));
  add_mosaic(*app.add_subcommand("mosaic", "Mosaics of existing samples -> shards"));
  add_data_crops(*app.add_subcommand("crops", "Regions as pictures of their own -> shards"));
  add_data_stats(*app.add_subcommand("stats", "Count pictures, regions, words and what is broken"));
  add_data_show(*app.add_subcommand("show", "A web page of samples with their boxes drawn"));
  add_data_dialogues(
      *app.add_subcommand("dialogues", "Questions and answers about the pictures -> shards"));
  add_data_entities(*app.add_subcommand(
      "entities", "WordNet, emoji, Wikidata, own tables -> a base of entities to label with"));
  add_data_classes(
      *app.add_subcommand("classes", "Labelled entities -> the classes of a training"));
  add_data_export(*app.add_subcommand("export", "Dialogues as other trainers read them"));
  app.footer(R"(Example:
  opencloc data import --format folder --images photos --out shards/photos
  opencloc data stats --data shards/photos
  opencloc data show --data shards/photos --out photos.html)");
}

}  // namespace opencloc::cli
