// `opencloc index`: make, change and look at indexes of pictures and regions; `search` asks them.
#include <cstdio>
#include <filesystem>
#include <memory>
#include <set>

#include <spdlog/fmt/fmt.h>

#include "opencloc/base/error.h"
#include "opencloc/base/log.h"
#include "opencloc/base/progress.h"
#include "opencloc/checkpoint/fingerprint.h"
#include "opencloc/cli/box_file.h"
#include "opencloc/cli/outputs.h"
#include "opencloc/cli/verb.h"
#include "opencloc/index/postgres/address.h"
#include "opencloc/index/transfer.h"
#include "opencloc/index/verify.h"
#include "opencloc/model/device.h"
#include "opencloc/search/indexer.h"

namespace opencloc::cli {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kManySegments = 64;

struct IndexFlags {
  CommonFlags common;
  std::string index;
  bool json = false;

  std::string shown() const { return shown_place(index); }
};

constexpr const char* kIndexFolder = "the index's folder";
constexpr const char* kIndexPlace = "the index's folder, or postgres://USER@HOST/DB?index=NAME";
constexpr const char* kMadeIndexPlace =
    "the index's folder, or postgres://USER@HOST/DB?index=NAME; made where there is none";

void add_index_argument(CLI::App& app, IndexFlags& flags, const char* what = kIndexPlace) {
  app.add_option("IDX", flags.index, what)->required();
}

void print_line_or_json(const IndexFlags& flags, const Json& json, const std::string& line) {
  std::printf("%s\n", flags.json ? dump_json(json).c_str() : line.c_str());
}

// ---- add ----

struct IndexAddFlags : IndexFlags {
  std::string model, architecture, boxes, precision = "fp32";
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
  if (app.count("--grid") > 0 && there.grid != flags.made.grid) {
    throw Error::input("the index was made with another --grid", flags.shown(),
                       "leave the flag out, or make another index");
  }
}

void run_index_add(const CLI::App& app, IndexAddFlags& flags) {
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

void add_index_add(CLI::App& app) {
  const auto flags = std::make_shared<IndexAddFlags>();
  auto& options = flags->options;
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
                 "grid = the grid for all; none = whole pictures only")
      ->check(CLI::IsMember({"labels", "grid", "none"}))
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
      "  opencloc search photos.idx 'a red car'");
  app.callback([flags, &app] { run_index_add(app, *flags); });
}

// ---- remove ----

void add_index_remove(CLI::App& app) {
  struct Flags : IndexFlags {
    std::vector<int64_t> ids;
    std::vector<std::string> images;
    bool missing = false;
  };
  const auto flags = std::make_shared<Flags>();
  add_index_argument(app, *flags);
  app.add_option("--ids", flags->ids, "numbers of pictures, as searches give them")
      ->delimiter(',')
      ->type_name("N");
  app.add_option("--images", flags->images,
                 "names of pictures as searches give them; a picture goes with its last name")
      ->type_name("NAME");
  app.add_flag("--missing", flags->missing, "names whose file or shard is not there any more");
  app.add_flag("--json", flags->json, "print the summary as JSON");
  add_config_flag(app);
  app.footer(
      "The next search does not see what was removed. 'opencloc index compact' takes its vectors\n"
      "off the disk.\n\n"
      "Examples:\n"
      "  opencloc index remove photos.idx --missing\n"
      "  opencloc index remove photos.idx --ids 17,23");
  app.callback([flags] {
    if (flags->ids.empty() && flags->images.empty() && !flags->missing) {
      throw Error::input("nothing is named", "index remove", "give --ids, --images or --missing");
    }
    const auto store = open_store_writer(flags->index);
    IndexStoreWriter& writer = *store;
    std::vector<std::string> names;
    if (flags->missing) names = missing_names(writer.catalog());
    for (const auto& name : flags->images) {
      const auto absolute = fs::absolute(name).lexically_normal().string();
      names.push_back(writer.catalog().find_name(name) ? name : absolute);
    }
    const int64_t by_id = writer.remove(flags->ids);
    const int64_t by_name = names.empty() ? 0 : writer.remove_names(names);
    Json json = {{"index", flags->shown()}, {"removed", by_id + by_name}, {"names", names.size()}};
    print_line_or_json(*flags, json,
                       fmt::format("{}: {} pictures removed", flags->shown(), by_id + by_name));
  });
}

// ---- stats, verify, compact ----

Json stats_of(IndexStore& index) {
  const IndexInfo& info = index.info();
  const CatalogCounts counts = index.catalog().counts();
  Json json;
  json["model"] = info.model;
  json["fingerprint"] = info.fingerprint;
  json["width"] = info.width;
  json["regions"] = info.regions;
  json["grid"] = info.grid;
  if (info.keep > 0) json["keep"] = info.keep;
  json["quality"] = index.has_quality();
  json["region_method"] = info.region_method;
  json["pictures"] = counts.pictures;
  json["names"] = counts.names;
  json["vectors"] = counts.rows;
  json["region_vectors"] = counts.rows - counts.pictures;
  json["region_texts"] = counts.texts;
  json.update(index.storage());
  return json;
}

void add_index_stats(CLI::App& app) {
  const auto flags = std::make_shared<IndexFlags>();
  add_index_argument(app, *flags);
  app.add_flag("--json", flags->json, "print JSON");
  add_config_flag(app);
  app.footer("Example:\n  opencloc index stats photos.idx");
  app.callback([flags] {
    const Json json = stats_of(*open_store(flags->index));
    const int64_t segments = json.value("segments", int64_t{0});
    if (segments > kManySegments) {
      log::warn("{} segments: 'opencloc index compact {}' makes one of them", segments,
                flags->index);
    }
    if (flags->json) {
      std::printf("%s\n", dump_json(json).c_str());
      return;
    }
    for (const auto& [key, value] : json.items()) {
      const std::string text = value.is_string() ? value.get<std::string>() : dump_json(value);
      std::printf("%-24s %s\n", key.c_str(), text.c_str());
    }
  });
}

void add_index_verify(CLI::App& app) {
  const auto flags = std::make_shared<IndexFlags>();
  add_index_argument(app, *flags, kIndexFolder);
  app.add_flag("--json", flags->json, "print JSON");
  add_config_flag(app);
  app.footer(
      "Reads every byte: checksums, contents, and whether the catalog and the segments agree.\n"
      "Exit code 1 when something is wrong.\n\n"
      "Example:\n  opencloc index verify photos.idx");
  app.callback([flags] {
    if (is_postgres(flags->index)) {
      throw Error::input("PostgreSQL checks its own files", flags->shown(),
                         "run pg_amcheck; a cluster with data checksums finds damaged pages");
    }
    IndexFaults found;
    {
      ProgressBar bar("verify", 0, "bytes");
      found = verify_index(flags->index,
                           [&](uint64_t bytes) { bar.advance(static_cast<int64_t>(bytes)); });
    }
    for (const auto& fault : found.faults) log::error("{}", fault);
    for (const auto& file : found.debris)
      log::info("left by a writer that was killed, cleared by the next one: {}", file);
    Json json = {{"index", flags->index},  {"faults", found.faults},
                 {"debris", found.debris}, {"segments", found.segments},
                 {"vectors", found.rows},  {"pictures", found.pictures}};
    print_line_or_json(
        *flags, json,
        fmt::format("{}: {} pictures, {} vectors in {} segments, {} faults", flags->index,
                    found.pictures, found.rows, found.segments, found.faults.size()));
    if (!found.faults.empty()) {
      throw Error::failed(std::to_string(found.faults.size()) + " faults", flags->index,
                          "see the lines above");
    }
  });
}

void add_index_compact(CLI::App& app) {
  const auto flags = std::make_shared<IndexFlags>();
  add_index_argument(app, *flags);
  app.add_flag("--json", flags->json, "print the summary as JSON");
  add_config_flag(app);
  app.footer(
      "In a folder: makes one segment of all, without what was removed. No result changes. Needs\n"
      "as much free disk space as the segments take.\n"
      "In PostgreSQL: builds the HNSW indexes, or builds them anew. From then on searches are\n"
      "approximate (docs/guide/search.md).\n"
      "Searching is possible meanwhile.\n\n"
      "Example:\n  opencloc index compact photos.idx");
  app.callback([flags] {
    Compaction done;
    {
      const auto writer = open_store_writer(flags->index);
      ProgressBar bar("compact", 0, "vectors");
      done = writer->compact([&](int64_t rows) { bar.advance(rows); });
    }
    Json json = {{"index", flags->shown()},
                 {"segments_before", done.segments},
                 {"vectors", done.rows},
                 {"dropped", done.dropped}};
    std::string line = flags->shown() + ": compact already";
    if (!done.says.empty()) {
      json["says"] = done.says;
      line = flags->shown() + ": " + done.says;
    } else if (done.segments > 0) {
      line = fmt::format("{}: {} segments became one of {} vectors, {} dropped", flags->shown(),
                         done.segments, done.rows, done.dropped);
    }
    print_line_or_json(*flags, json, line);
  });
}

// ---- export, import ----

void add_index_export(CLI::App& app) {
  struct Flags : IndexFlags {
    std::string out, to = "npy";
  };
  const auto flags = std::make_shared<Flags>();
  add_index_argument(app, *flags);
  app.add_option("--to", flags->to,
                 "npy = vectors.npy (float32) and rows.jsonl; qdrant = points.jsonl; milvus = "
                 "rows.jsonl for its bulk import")
      ->check(CLI::IsMember({"npy", "qdrant", "milvus"}))
      ->capture_default_str();
  app.add_option("--out", flags->out, "folder to write")->required()->type_name("DIR");
  app.add_flag("--json", flags->json, "print the summary as JSON");
  add_config_flag(app);
  app.footer(
      "Line N of rows.jsonl says what row N of vectors.npy is.\n\n"
      "Examples:\n"
      "  opencloc index export photos.idx --out vectors\n"
      "  opencloc index export photos.idx --to qdrant --out points\n"
      "  opencloc index export photos.idx --to milvus --out rows");
  app.callback([flags] {
    check_output_folder("--out", flags->out,
                        {is_postgres(flags->index) ? std::string() : flags->index});
    const auto store = open_store(flags->index);
    IndexStore& index = *store;
    int64_t rows = 0;
    {
      ProgressBar bar("export", index.searched(SearchUnit::kBoth), "vectors");
      const auto advance = [&](int64_t count) { bar.advance(count); };
      if (flags->to == "npy") rows = export_npy(index, flags->out, advance);
      if (flags->to == "qdrant") rows = export_qdrant(index, flags->out, advance);
      if (flags->to == "milvus") rows = export_milvus(index, flags->out, advance);
    }
    Json json = {{"out", flags->out}, {"vectors", rows}};
    print_line_or_json(*flags, json, fmt::format("{}: {} vectors", flags->out, rows));
  });
}

void add_index_import(CLI::App& app) {
  struct Flags : IndexFlags {
    std::string embeddings, model;
  };
  const auto flags = std::make_shared<Flags>();
  add_index_argument(app, *flags, kMadeIndexPlace);
  app.add_option("--embeddings", flags->embeddings,
                 "folder: what 'index export' wrote, clip-retrieval's with img_emb/*.npy, or .npy "
                 "files of float32 or float16 [N, E]")
      ->required()
      ->type_name("DIR");
  app.add_option("--model", flags->model,
                 "model that the vectors are from, which searching by phrase or picture needs")
      ->type_name("DIR");
  app.add_flag("--json", flags->json, "print the summary as JSON");
  add_config_flag(app);
  app.footer(
      "Rows of plain .npy files are whole pictures, named FILE.npy#ROW.\n\n"
      "Examples:\n"
      "  opencloc index import copy.idx --embeddings vectors\n"
      "  opencloc index import laion.idx --embeddings embeddings_folder --model clip-b32");
  app.callback([flags] {
    IndexInfo info;
    if (!flags->model.empty()) {
      const LoadedModel loaded = load_model(flags->model);
      info.model = fs::absolute(flags->model).lexically_normal().string();
      info.fingerprint = model_fingerprint(loaded.model, loaded.tokenizer.get());
    }
    Imported done;
    {
      ProgressBar bar("import", 0, "vectors");
      done = import_vectors(flags->embeddings, flags->index, info,
                            [&](int64_t rows) { bar.advance(rows); });
    }
    Json json = {{"index", flags->shown()},
                 {"pictures", done.pictures},
                 {"vectors", done.vectors},
                 {"aliases", done.aliases}};
    print_line_or_json(*flags, json,
                       fmt::format("{}: {} pictures with {} vectors, {} further names",
                                   flags->shown(), done.pictures, done.vectors, done.aliases));
  });
}

}  // namespace

void add_index(CLI::App& app) {
  app.require_subcommand(1);
  add_index_add(*app.add_subcommand("add", "Add pictures and their regions; makes the index"));
  add_index_remove(*app.add_subcommand("remove", "Remove pictures"));
  add_index_stats(*app.add_subcommand("stats", "Say what is in an index"));
  add_index_verify(*app.add_subcommand("verify", "Check every byte of an index"));
  add_index_compact(*app.add_subcommand("compact", "Make searching as fast as it gets"));
  add_index_export(*app.add_subcommand("export", "Vectors for other programs"));
  add_index_import(*app.add_subcommand("import", "An index of vectors that are there"));
  app.footer(
      "Example:\n"
      "  opencloc index add photos.idx --model runs/demo/model --images ~/Pictures\n"
      "  opencloc search photos.idx 'a red car' --html found.html");
}

}  // namespace opencloc::cli
