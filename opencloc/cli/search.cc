// `opencloc search`: the pictures and regions of an index that are nearest to a query.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>

#include "opencloc/base/error.h"
#include "opencloc/base/log.h"
#include "opencloc/base/text_file.h"
#include "opencloc/cli/outputs.h"
#include "opencloc/cli/verb.h"
#include "opencloc/index/filter.h"
#include "opencloc/search/query.h"
#include "opencloc/search/report.h"

namespace opencloc::cli {
namespace {

constexpr const char* kPlaceOfIndex = "the index's folder, or postgres://USER@HOST/DB?index=NAME";

struct SearchFlags {
  CommonFlags common;
  std::string index, model, box, point, unit, cut = "off", deduplicate = "on", quality = "on", html,
                                              queries, filter;
  std::string precision = "fp32";
  std::optional<double> min_score;
  QuerySpec query;
  SearchOptions options;
  bool json = false;
};

// "0.1,0.2" as so many numbers.
std::vector<float> numbers_of(const std::string& flag, const std::string& text, size_t count) {
  std::vector<float> numbers;
  for (const auto& part : CLI::detail::split(text, ',')) {
    const auto number = parse_number(part);
    if (number) numbers.push_back(static_cast<float>(*number));
  }
  const auto parts = static_cast<size_t>(std::count(text.begin(), text.end(), ',')) + 1;
  if (numbers.size() != count || parts != count) {
    throw Error::input("'" + text + "' is not " + std::to_string(count) + " numbers", flag,
                       "write them with commas between, in [0, 1] of the picture");
  }
  return numbers;
}

Cut parse_cut(const std::string& text) {
  if (text == "off") return {};
  if (text == "auto") return {Cut::Mode::kAuto, 0};
  const auto z = parse_number(text);
  if (!z) throw Error::input("'" + text + "' is no cut", "--cut", "give auto, off or a number");
  return {Cut::Mode::kZ, *z};
}

std::string title_of(const QuerySpec& query) {
  if (!query.phrase.empty()) return query.phrase;
  if (!query.image.empty()) return query.image;
  return query.stored.empty() ? query.embedding : "id " + query.stored;
}

double milliseconds_since(std::chrono::steady_clock::time_point began) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began)
      .count();
}

// One line of JSON for each line of the file, in its order.
void run_queries(const SearchFlags& flags, IndexStore& index, QueryEncoder& encoder) {
  const auto phrases = read_text_lines(flags.queries);
  std::vector<std::vector<float>> vectors;
  for (const auto& phrase : phrases) {
    QuerySpec one;
    one.phrase = phrase;
    vectors.push_back(encoder.encode(one).vector);
  }
  const auto results = search(index, vectors, flags.options);
  for (size_t i = 0; i < results.size(); ++i) {
    Json json = {{"query", phrases[i]}};
    json.update(search_json(index, results[i], flags.options));
    std::printf("%s\n", dump_json(json).c_str());
  }
}

SearchUnit unit_of(const SearchFlags& flags, const IndexStore& index, SearchUnit otherwise) {
  if (flags.unit == "image") return SearchUnit::kPicture;
  if (flags.unit == "region") return SearchUnit::kRegion;
  if (flags.unit == "both") return SearchUnit::kBoth;
  const bool none = index.searched(otherwise) == 0;
  return none && otherwise == SearchUnit::kRegion ? SearchUnit::kPicture : otherwise;
}

void run_search(SearchFlags& flags) {
  check_output_file("--html", flags.html, kPageOutput, {flags.query.image});
  if (!flags.box.empty()) {
    const auto b = numbers_of("--box", flags.box, 4);
    flags.query.box = Box{b[0], b[1], b[2], b[3]};
  }
  if (!flags.point.empty()) {
    const auto p = numbers_of("--point", flags.point, 2);
    flags.query.point = Point{p[0], p[1]};
  }
  flags.options.min_score = flags.min_score;
  flags.options.cut = parse_cut(flags.cut);
  flags.options.fold = flags.deduplicate == "on";
  flags.options.quality = flags.quality == "on";

  const auto store = open_store(flags.index);
  IndexStore& index = *store;
  if (!flags.filter.empty())
    flags.options.only = filtered_pictures(index.catalog(), PictureFilter(flags.filter));
  QueryEncoder encoder(index, flags.model,
                       {flags.common.device, thread_count(flags.common), flags.precision});
  if (!flags.queries.empty()) {
    flags.options.unit = unit_of(flags, index, SearchUnit::kRegion);
    run_queries(flags, index, encoder);
    return;
  }
  const auto loading = std::chrono::steady_clock::now();
  const QueryVector query = encoder.encode(flags.query);
  const double encode_ms = milliseconds_since(loading);
  flags.options.unit = unit_of(flags, index, query.unit);
  const auto scanning = std::chrono::steady_clock::now();
  const auto result = search(index, {&query.vector, 1}, flags.options).front();
  const double scan_ms = milliseconds_since(scanning);

  if (flags.json) {
    Json json = {{"index", index.name()},
                 {"took_ms", {{"load_and_encode", encode_ms}, {"search", scan_ms}}}};
    json.update(search_json(index, result, flags.options));
    std::printf("%s\n", dump_json(json).c_str());
  } else {
    std::printf("%s", search_text(index, result).c_str());
  }
  if (!flags.html.empty()) {
    SkipCounter skips;
    make_parents(flags.html);
    write_search_page(index, result, title_of(flags.query), flags.html, skips);
    if (skips.total() > 0) log::warn("not on the page: {}", skips.summary());
  }
}

}  // namespace

void add_search(CLI::App& app) {
  const auto flags = std::make_shared<SearchFlags>();
  auto& query = flags->query;
  auto& options = flags->options;
  app.add_option("IDX", flags->index, kPlaceOfIndex)->required();
  auto* phrase = app.add_option("PHRASE", query.phrase, "what to look for, in words");
  app.add_option("--queries", flags->queries,
                 "many phrases instead, one a line: they share the passes over the index; prints a "
                 "line of JSON for each")
      ->excludes(phrase)
      ->type_name("FILE");
  app.add_option("--image", query.image, "a picture instead: what looks like it")
      ->type_name("FILE");
  app.add_option("--box", flags->box, "with --image: what looks like this part, x0,y0,x1,y1")
      ->type_name("BOX");
  app.add_option("--point", flags->point, "with --image: like what is at this point, x,y")
      ->type_name("POINT");
  app.add_option("--mask", query.mask,
                 "with --image: like what is inside; a picture of any size, bright = inside")
      ->type_name("FILE");
  app.add_option("--prompt", query.part, "with --image: like this thing in it, in words")
      ->type_name("PHRASE");
  app.add_option("--id", query.stored, "like picture N of the index, or its region K")
      ->type_name("N[:K]");
  app.add_option("--embedding", query.embedding, "a vector: .npy, or JSON with a list of numbers")
      ->type_name("FILE");
  app.add_option("--unit", flags->unit,
                 "search whole pictures, regions or both; without it regions, and whole pictures "
                 "when the query is one")
      ->check(CLI::IsMember({"image", "region", "both"}));
  app.add_option("--k,--num-results", options.k, "how many pictures")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000}))
      ->capture_default_str();
  app.add_option("--min-score,--threshold", flags->min_score, "least score of a hit")
      ->type_name("S");
  app.add_option("--cut", flags->cut,
                 "where hits end by z: a number, off, or auto = as 'index calibrate' found; of an "
                 "index without that, what the best of as many unrelated rows would reach in every "
                 "second query")
      ->type_name("auto|off|Z")
      ->capture_default_str();
  app.add_option("--filter", flags->filter,
                 "only pictures like these: caption ~ \"car\" and width >= 512; fields caption, "
                 "name, text (of a region), id, width, height, regions (docs/guide/search.md)")
      ->type_name("EXPR");
  app.add_option("--deduplicate", flags->deduplicate,
                 "on: near-duplicates (cosine of whole pictures from 0.94) are one hit")
      ->check(CLI::IsMember({"on", "off"}))
      ->capture_default_str();
  app.add_option(
         "--quality", flags->quality,
         "on: the score of a region is lower where the model predicts that its box is loose "
         "(docs/guide/search.md); off: the cosine")
      ->check(CLI::IsMember({"on", "off"}))
      ->capture_default_str();
  app.add_option("--html", flags->html, "also write a page with the pictures and their boxes")
      ->excludes("--queries")
      ->type_name("FILE");
  app.add_flag("--json", flags->json, "print JSON");
  app.add_option("--model", flags->model, "where the index's model is now")->type_name("DIR");
  app.add_option("--precision", flags->precision, "of matrix products")
      ->check(CLI::IsMember({"fp32", "bf16"}))
      ->capture_default_str();
  add_cache_flags(app);
  add_device_flag(app, flags->common);
  add_threads_flag(app, flags->common);
  add_config_flag(app);
  app.footer(
      "Every hit has a score (the cosine, or less where a box is loose), a rank and z: its "
      "distance\n"
      "from the median of this query's scores in standard deviations. docs/guide/search.md says "
      "how\n"
      "to read them.\n\n"
      "Examples:\n"
      "  opencloc search photos.idx 'a red car' --k 20 --html found.html\n"
      "  opencloc search photos.idx --image street.jpg --box 0.1,0.2,0.4,0.6\n"
      "  opencloc search photos.idx --id 17:3 --cut auto --json");
  app.callback([flags] { run_search(*flags); });
}

}  // namespace opencloc::cli
