// `opencloc index export`: vectors for other programs.
#include <filesystem>
#include <memory>

#include <spdlog/fmt/fmt.h>

#include "opencloc/base/error.h"
#include "opencloc/base/progress.h"
#include "opencloc/cli/index_flags.h"
#include "opencloc/cli/outputs.h"
#include "opencloc/index/postgres/address.h"
#include "opencloc/index/transfer.h"

namespace opencloc::cli {

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

}  // namespace opencloc::cli
