// `opencloc inspect`: what pictures, shards, weights, model and run directories hold.
#include <cstdio>
#include <filesystem>
#include <memory>

#include "opencloc/base/error.h"
#include "opencloc/cli/inspect_paths.h"
#include "opencloc/cli/verb.h"
#include "opencloc/data/ordered.h"

namespace opencloc::cli {
namespace {

struct InspectFlags {
  CommonFlags common;
  std::vector<std::string> paths;
  bool json = false;
};

void run_inspect(const InspectFlags& flags) {
  for (const auto& path : flags.paths) {
    if (!std::filesystem::exists(path)) throw Error::input("no such file", path, "check the path");
  }
  produce_in_order(
      static_cast<int64_t>(flags.paths.size()), thread_count(flags.common),
      [&](int64_t i) { return inspect_path(flags.paths[static_cast<size_t>(i)]); },
      [&](const Json& found) {
        std::printf("%s\n", (flags.json ? dump_json(found) : describe(found)).c_str());
      });
}

}  // namespace

void add_inspect(CLI::App& app) {
  const auto flags = std::make_shared<InspectFlags>();
  app.add_option("paths", flags->paths,
                 "pictures, shards, .safetensors files, folders of shards, model directories, "
                 "checkpoints, runs")
      ->required();
  app.add_flag("--json", flags->json, "print a JSON object a line");
  add_threads_flag(app, flags->common);
  add_config_flag(app);
  app.footer(
      "A picture that does not decode is an answer, not an error: exit code 0. A missing path and\n"
      "a broken shard, safetensors file or model directory are errors: exit code 2.\n\n"
      "Examples:\n"
      "  opencloc inspect --json photos/*.jpg\n"
      "  opencloc inspect runs/demo/model");
  app.callback([flags] { run_inspect(*flags); });
}

}  // namespace opencloc::cli
