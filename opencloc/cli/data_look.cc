// `opencloc data stats` and `opencloc data show`.
#include "opencloc/base/files.h"
#include "opencloc/base/json.h"
#include "opencloc/base/log.h"
#include "opencloc/base/progress.h"
#include "opencloc/cli/data_flags.h"
#include "opencloc/cli/flag_names.h"
#include "opencloc/cli/outputs.h"
#include "opencloc/data/look/contact_sheet.h"
#include "opencloc/data/look/label_reports.h"
#include "opencloc/data/look/stats.h"
#include "opencloc/data/shard/find_shards.h"

namespace opencloc::cli {
namespace {

struct Counted {
  const DataStats& stats;
  const LabelReports& reports;
  const SkipCounter& skips;
};

// `row`: its name, when only the row of Table 1 is wanted.
void print_stats(const DataFlags& flags, const Counted& counted, const std::string& row) {
  const auto& [stats, reports, skips] = counted;
  if (flags.json) {
    Json result = stats.json();
    result["skipped"] = skips.json();
    if (reports.shards > 0) result["reports"] = reports.json();
    std::printf("%s\n", dump_json(result).c_str());
    return;
  }
  if (!row.empty()) {
    std::printf("%s", stats.markdown(row).c_str());
    if (skips.total() > 0) log::warn("{}", skips.summary());
    return;
  }
  std::printf("%s%-28s%s\n%s", stats.table().c_str(), "skipped",
              skips.total() == 0 ? "0" : skips.summary().c_str(),
              reports.shards > 0 ? in_flags(reports.table()).c_str() : "");
}

}  // namespace

void add_data_stats(CLI::App& app) {
  struct Flags : DataFlags {
    std::string tokenizer;
    std::string row;
    bool no_decode = false;
  };
  const auto flags = std::make_shared<Flags>();
  add_input_flags(app, *flags);
  app.add_option("--tokenizer", flags->tokenizer,
                 "Count this tokenizer's tokens (file or model directory); else words")
      ->type_name("PATH");
  app.add_flag("--no-decode", flags->no_decode, "Faster: do not check that pictures decode");
  app.add_option("--row", flags->row,
                 "Print but a row of the paper's Table 1 in Markdown, with this name")
      ->type_name("NAME");
  add_json_flag(app, *flags);
  add_threads_flag(app, flags->common);
  add_config_flag(app);
  app.footer(R"(Example:
  opencloc data stats --data 'shards/coco-val/*.tar'
  opencloc data stats --data scenes --tokenizer runs/demo/model --json
  opencloc data stats --data labelled --row 'VESL WiT'
Reports that `opencloc label` left beside the shards are added up: counts and seconds by stage,
what was skipped ("reports" with --json).)");
  app.callback([flags] {
    StatsOptions options;
    std::shared_ptr<const Tokenizer> tokenizer;
    if (!flags->tokenizer.empty()) {
      tokenizer = load_tokenizer(flags->tokenizer);
      options.tokenizer = tokenizer.get();
      options.tokenizer_name = flags->tokenizer;
    }
    options.decode = !flags->no_decode;
    options.threads = thread_count(flags->common);
    options.shards = flags->reader;
    SkipCounter skips;
    ProgressBar bar("stats", 0, "samples");
    options.progress = [&bar](int64_t samples) { bar.advance(samples); };
    const auto shards = find_shards(flags->data, flags->reader, skips);
    const LabelReports reports = collect_label_reports(shards);
    const DataStats stats = collect_stats(shards, options, skips);
    bar.finish();
    print_stats(*flags, {stats, reports, skips}, flags->row);
  });
}

void add_data_show(CLI::App& app) {
  struct Flags : DataFlags {
    ContactSheetOptions sheet;
    bool random = false;
  };
  const auto flags = std::make_shared<Flags>();
  add_input_flags(app, *flags);
  app.add_option("--out", flags->out, "The page, e.g. page.html")->type_name("FILE")->required();
  app.add_option("--count", flags->sheet.count, "Samples to show")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 30))
      ->capture_default_str();
  app.add_flag("--random", flags->random, "A random choice (by --seed) instead of the first ones");
  app.add_option("--size", flags->sheet.size, "Longest side of a picture in pixels")
      ->check(CLI::Range(32, 4096))
      ->capture_default_str();
  add_threads_flag(app, flags->common);
  add_seed_flag(app, flags->common);
  add_config_flag(app);
  app.footer(R"(Example:
  opencloc data show --data scenes --count 200 --random --out scenes.html
The page needs no other file and no network.)");
  app.callback([flags] {
    check_output_file("--out", flags->out, kPageOutput, {flags->data});
    ContactSheetOptions& options = flags->sheet;
    if (flags->random) options.seed = flags->common.seed;
    options.title = flags->data;
    options.threads = thread_count(flags->common);
    options.shards = flags->reader;
    SkipCounter skips;
    ProgressBar bar("show", 0, "samples");
    options.progress = [&bar] { bar.advance(); };
    const int64_t shown = write_contact_sheet(find_shards(flags->data, flags->reader, skips),
                                              flags->out, options, skips);
    bar.finish();
    std::printf("%s: %lld samples\n", flags->out.c_str(), static_cast<long long>(shown));
    if (skips.total() > 0) log::warn("{}", skips.summary());
  });
}

}  // namespace opencloc::cli
