// `opencloc inspect`: what pictures, shards, weights, model and run directories hold.
#include <cstdio>
#include <filesystem>
#include <memory>

#include "opencloc/base/error.h"
#include "opencloc/base/publish.h"
#include "opencloc/cli/inspect_architectures.h"
#include "opencloc/cli/inspect_paths.h"
#include "opencloc/cli/tensor_parts.h"
#include "opencloc/cli/verb.h"
#include "opencloc/data/load/ordered.h"

namespace opencloc::cli {
namespace {

struct InspectFlags {
  CommonFlags common;
  std::vector<std::string> paths;
  std::string architecture;
  bool json = false;
  bool architectures = false;
};

void run_inspect(const InspectFlags& flags) {
  if (flags.architectures) {
    const Json found = inspect_architectures();
    if (!flags.json) std::printf("%s\n", describe_architectures(found).c_str());
    for (const auto& line : found) {
      if (flags.json) std::printf("%s\n", dump_json(line).c_str());
    }
  } else if (flags.paths.empty()) {
    throw Error::input("nothing to inspect", "inspect", "name a path, or give --architectures");
  }
  for (const auto& path : flags.paths) {
    if (!std::filesystem::exists(current_folder(path)))
      throw Error::input("no such file", path, "check the path");
    if (may_hold_tensors(current_folder(path))) tensor_parts();
  }
  produce_in_order(
      static_cast<int64_t>(flags.paths.size()), thread_count(flags.common),
      [&](int64_t i) {
        return inspect_path(current_folder(flags.paths[static_cast<size_t>(i)]),
                            flags.architecture);
      },
      [&](const Json& found) {
        std::printf("%s\n", (flags.json ? dump_json(found) : describe(found)).c_str());
      });
}

}  // namespace

void add_inspect(CLI::App& app) {
  const auto flags = std::make_shared<InspectFlags>();
  app.add_option("paths", flags->paths,
                 "pictures, shards, weights (.safetensors, .gguf, .pt, .bin), folders of shards, "
                 "model directories, checkpoints, runs");
  add_architecture_flag(app, flags->architecture);
  app.add_flag("--architectures", flags->architectures,
               "list the names that train --model knows, with their sizes");
  app.add_flag("--json", flags->json, "print a JSON object a line");
  add_threads_flag(app, flags->common);
  add_config_flag(app);
  app.footer(
      "A picture that does not decode is an answer, not an error: exit code 0. A missing path and\n"
      "a broken shard, file of weights or model directory are errors: exit code 2.\n\n"
      "Examples:\n"
      "  opencloc inspect --json photos/*.jpg\n"
      "  opencloc inspect runs/demo/model ViT-B-32.pt mmproj.gguf\n"
      "  opencloc inspect --architectures");
  app.callback([flags] { run_inspect(*flags); });
}

}  // namespace opencloc::cli
