// `opencloc index import`: vectors of other programs.
#include <filesystem>
#include <memory>

#include <spdlog/fmt/fmt.h>

#include "opencloc/base/progress.h"
#include "opencloc/checkpoint/fingerprint.h"
#include "opencloc/cli/index_flags.h"
#include "opencloc/index/transfer.h"

namespace opencloc::cli {

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
