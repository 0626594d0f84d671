// `opencloc index export` and `import`: vectors for and from other programs.
#include <filesystem>
#include <memory>

#include <spdlog/fmt/fmt.h>

#include "opencloc/base/error.h"
#include "opencloc/base/progress.h"
#include "opencloc/checkpoint/fingerprint.h"
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
      info.model = std::filesystem::absolute(flags->model).lexically_normal().string();
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

}  // namespace opencloc::cli
