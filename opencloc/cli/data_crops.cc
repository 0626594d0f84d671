// `opencloc data crops`.
#include "opencloc/base/progress.h"
#include "opencloc/cli/data_flags.h"
#include "opencloc/data/scenes/crops.h"
#include "opencloc/data/shard/find_shards.h"

namespace opencloc::cli {

void add_data_crops(CLI::App& app) {
  struct Flags : DataFlags {
    CropsOptions crops;
  };
  const auto flags = std::make_shared<Flags>();
  add_input_flags(app, *flags);
  app.add_option("--smallest", flags->crops.smallest,
                 "Pixels: regions with a shorter side are left out")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  add_output_flags(app, *flags);
  add_json_flag(app, *flags);
  add_threads_flag(app, flags->common);
  add_config_flag(app);
  app.footer(R"(Example:
  opencloc data crops --data scenes --smallest 8 --out scenes-crops
  opencloc train --objective clip --data scenes::scenes-crops --data-weights 1::2 --out runs/clip
Every region with a text becomes a picture of its own, a PNG, with that text as its caption: what a
model without boxes can learn from the same labels.)");
  app.callback([flags] {
    CropsOptions& options = flags->crops;
    SkipCounter skips;
    const auto shards = find_shards(flags->data, flags->reader, skips);
    ShardSetWriter out(flags->out, flags->writer);
    ProgressBar bar("crops", 0, "images");
    options.threads = thread_count(flags->common);
    options.shards = flags->reader;
    options.progress = [&bar] { bar.advance(); };
    const CropsReport report = make_crops(shards, options, out, skips);
    out.commit();
    bar.finish();
    print_written(*flags, out, skips,
                  {{"images", report.images},
                   {"regions_too_small", report.too_small},
                   {"regions_without_text", report.without_text}});
  });
}

}  // namespace opencloc::cli
