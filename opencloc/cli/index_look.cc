// `opencloc index stats`, `verify` and `compact`.
#include <cstdio>
#include <memory>

#include <spdlog/fmt/fmt.h>

#include "opencloc/base/error.h"
#include "opencloc/base/log.h"
#include "opencloc/base/progress.h"
#include "opencloc/cli/index_flags.h"
#include "opencloc/index/postgres/address.h"
#include "opencloc/index/verify.h"

namespace opencloc::cli {
namespace {

constexpr int64_t kManySegments = 64;

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
  if (info.coarse > 0) json["coarse"] = info.coarse;
  json["quality"] = index.has_quality();
  json["region_method"] = info.region_method;
  json["pictures"] = counts.pictures;
  json["names"] = counts.names;
  json["vectors"] = counts.rows;
  json["region_vectors"] = counts.rows - counts.pictures;
  json["region_texts"] = counts.texts;
  if (!index.cuts().empty()) json["cuts"] = cuts_json(index.cuts());
  json.update(index.storage());
  return json;
}

}  // namespace

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

std::string IndexFlags::shown() const { return shown_place(index); }

void add_index_argument(CLI::App& app, IndexFlags& flags, const char* what) {
  app.add_option("IDX", flags.index, what)->required();
}

void print_line_or_json(const IndexFlags& flags, const Json& json, const std::string& line) {
  std::printf("%s\n", flags.json ? dump_json(json).c_str() : line.c_str());
}

}  // namespace opencloc::cli
